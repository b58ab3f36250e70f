"""Snakemake on every config without running it, and on configs that are wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from studies import ROOT, SMOKE, copy_of_repository, planned, snakemake, write_config

pytestmark = pytest.mark.workflow

CONFIGS = sorted(path.relative_to(ROOT) for path in (ROOT / "config").glob("*.yaml"))


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_of_repository(tmp_path_factory.mktemp("repository"))


def test_lint_is_clean(repository: Path) -> None:
    done = snakemake(repository, "--lint", "--configfile", SMOKE)
    assert done.returncode == 0, done.stdout
    assert "Congratulations, your workflow is in a good condition!" in done.stdout


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.stem)
def test_every_config_plans_to_its_report(config: Path, repository: Path) -> None:
    done = snakemake(repository, "-n", "--configfile", config)
    assert done.returncode == 0, done.stdout
    jobs = planned(done.stdout)
    assert jobs["report"] == 1
    assert jobs["dataset"] >= 1


def test_jobs_of_the_smoke_study(repository: Path) -> None:
    """Four models, two sizes, two seeds; MD of two fits, the baseline and the control; two committees of four."""
    jobs = planned(snakemake(repository, "-n", "--configfile", SMOKE).stdout)
    expected = {"dataset": 2, "subset": 4 + 8, "fit": 16 + 8, "predict": 4, "control": 1, "simulate": 4, "recheck": 4}
    expected |= {"bulk": 4, "interface": 1, "coexistence": 1, "member_energies": 2, "staged": 2, "calibrate": 2}
    expected |= {"active_round": 1 + 2 * 2, "active_online": 1}
    assert {rule: jobs.get(rule) for rule in expected} == expected
    assert "compile_model" not in jobs


@pytest.mark.parametrize(
    ("target", "absent"),
    [
        ("learning_curves", "simulate"),
        ("robustness", "report"),
        ("melting_point", "simulate"),
        ("active_learning", "simulate"),
    ],
)
def test_a_single_question_can_be_asked(target: str, absent: str, repository: Path) -> None:
    done = snakemake(repository, "-n", target, "--configfile", SMOKE)
    assert done.returncode == 0, done.stdout
    assert absent not in planned(done.stdout)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"models__mace__chanels": 8}, "models.mace.chanels: unknown key"),
        ({"datasets__methanol__reference": "gfn3"}, "datasets.methanol.reference: no 'gfn3' in references"),
        ({"robustness__train_sizes": [30]}, "robustness.train_sizes: [30] not in learning_curves.train_sizes"),
        ({"learning_curves__train_sizes": [20, 10]}, "learning_curves.train_sizes: must ascend"),
        ({"models__mace__family": "gap"}, "unknown name 'gap' in models: use one of"),
        ({"models__water__r_max_A": 5.0}, "melting_point.bulk.repeats: [1, 2, 1] has an edge of 7.2 A"),
        ({"active_learning__model": "mace"}, "active_learning.model: mace is a sweep"),
        ({"active_learning__model": "gfn1", "active_learning__refit_steps": None}, "forces of gfn1 learn nothing"),
        ({"active_learning__members": 1}, "active_learning.members: one fit of mace-L0-nu2 has no spread"),
        ({"active_learning__strategies": ["greedy"]}, "active_learning.strategies.0: must be"),
        ({"datasets__ice__reference": None}, "melting_point.sampler: datasets.ice names no reference"),
    ],
)
def test_a_bad_config_is_one_line(changes: dict[str, Any], sentence: str, repository: Path) -> None:
    done = snakemake(repository, "-n", "--configfile", write_config(repository, "bad.yaml", **changes))
    assert done.returncode != 0
    (line,) = [line for line in done.stdout.splitlines() if "config:" in line]
    assert sentence in line
    assert "Traceback" not in done.stdout
    assert not planned(done.stdout)


def test_a_training_size_beyond_the_pool_fails_before_any_fit(repository: Path) -> None:
    changes = {"learning_curves__train_sizes": [10, 20, 50], "melting_point": None, "active_learning": None}
    config = write_config(repository, "greedy.yaml", study__name="greedy", **changes)
    done = snakemake(repository, "--cores", "1", "--configfile", config)
    assert done.returncode != 0
    lines = [line for line in done.stdout.splitlines() if "50" in line and "40" in line]
    assert lines, done.stdout
    assert "Traceback" not in done.stdout
    fitted = {path.parts[-4] for path in repository.glob("results/greedy/models/*/*/*/*/fit.json")}
    assert fitted <= {"reference"}, "the control needs no data"
