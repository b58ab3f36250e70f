"""A study of a minute for real: archived, run again, and held against its archive."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import pytest
import yaml
from studies import ROOT, copy_of_repository, planned, snakemake

pytestmark = pytest.mark.workflow

TINY = Path("config") / "tiny.yaml"
STUDY = {
    "study": {"name": "tiny", "question": "Can it be made again?", "device": "cpu"},
    "references": {"gfn2": {"method": "xtb", "hamiltonian": "GFN2-xTB"}},
    "datasets": {
        "methanol": {
            "source": "generate",
            "reference": "gfn2",
            "molecule": "CH3OH",
            "temperatures_K": [300],
            "n_train_pool": 4,
            "n_valid": 2,
            "n_test": 4,
            "sample_interval_fs": 5,
            "equilibration_fs": 5,
        }
    },
    "models": {
        "gfn1": {"family": "nonml", "reference_method": {"method": "xtb", "hamiltonian": "GFN1-xTB"}},
        "mace": {"family": "mace", "channels": 4, "max_ell": 1, "gradient_steps": 20, "compile": "never"},
    },
    "learning_curves": {"datasets": ["methanol"], "train_sizes": [2], "seeds": [0]},
    "robustness": {
        "datasets": ["methanol"],
        "models": ["mace"],
        "train_sizes": [2],
        "protocol": {"temperatures_K": [300], "replicas": 2, "duration_ps": 0.05},
    },
}


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the repository in which the study has run and is archived."""
    directory = copy_of_repository(tmp_path_factory.mktemp("reproduce"))
    shutil.copy(ROOT / "CITATION.cff", directory)
    (directory / TINY).write_text(yaml.safe_dump(STUDY), encoding="utf-8")
    done = snakemake(directory, "--cores", "2", "archive", "--configfile", TINY)
    assert done.returncode == 0, done.stdout[-5000:]
    return directory


def test_the_archive_holds_what_the_study_ends_in(repository: Path) -> None:
    results = repository / "results" / "tiny"
    with zipfile.ZipFile(results / "tiny.zip") as bag:
        names = {name.removeprefix("tiny/data/") for name in bag.namelist()}
    assert names >= {
        *("config.yaml", "manifest.json", "report/index.html", "CITATION.cff", "tables/learning_curves.csv"),
        *("figures/learning_curves.svg", "figures/learning_curves.png", "datasets/methanol/card.json"),
        *("datasets/methanol/test.extxyz", "models/methanol/gfn1/n2/seed0/model.json"),
    }


def test_the_study_is_reproduced_from_its_archive_and_a_moved_number_is_found(repository: Path) -> None:
    stored = repository / "results" / "tiny" / "tiny.zip"
    with zipfile.ZipFile(stored) as bag:
        (repository / "config" / "stored.yaml").write_bytes(bag.read("tiny/data/config.yaml"))
    again = ("--cores", "2", "reproduce", "--configfile", "config/stored.yaml", "--config")
    done = snakemake(repository, *again, f"against={stored.relative_to(repository)}")
    assert done.returncode == 0, done.stdout[-5000:]
    assert "REPRODUCED to the last digit." in done.stdout
    assert {"dataset", "fit", "predict", "simulate", "recheck"} <= planned(done.stdout).keys(), (
        "everything is made again"
    )
    results = repository / "results" / "tiny-reproduced"
    assert (results / "reproduction.txt").read_text(encoding="utf-8") in done.stdout

    altered = repository / "altered"
    shutil.copytree(repository / "results" / "tiny", altered, ignore=shutil.ignore_patterns(".sha256"))
    curves = altered / "tables" / "learning_curves.csv"
    curves.write_text(curves.read_text(encoding="utf-8").replace(",nonml,", ",other,", 1), encoding="utf-8")
    done = snakemake(repository, *again, "against=altered")
    assert done.returncode == 1
    assert set(planned(done.stdout)) == {"reproduce"}, "nothing is made a third time"
    assert "family other -> nonml (to the last digit)" in done.stdout
    assert "NOT REPRODUCED: 1 cell or row not the same." in done.stdout
    assert "family,other,nonml" in (results / "reproduction.csv").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "reproduce: name the stored study by --config against=PATH"),
        (("--config", "against=results/nowhere"), "against: results/nowhere: no such file or folder"),
        (("--config", "against=Snakefile"), "against: Snakefile: damaged or no zip file"),
    ],
)
def test_a_study_that_cannot_be_held_against_is_a_sentence(
    arguments: tuple[str, ...], sentence: str, repository: Path
) -> None:
    done = snakemake(repository, "--cores", "1", "reproduce", "--configfile", TINY, *arguments)
    assert done.returncode != 0
    assert sentence in done.stdout
    assert not planned(done.stdout)


def test_the_stored_study_is_never_made_anew(repository: Path) -> None:
    done = snakemake(repository, "-n", "reproduce", "--configfile", TINY, "--config", "against=results/tiny")
    assert done.returncode == 0, done.stdout
    assert "results/tiny/" not in done.stdout
