"""Methods in prose: what the study used is told and cited, and nothing else is."""

import copy
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from longhot.config import Report, Study, load, load_file
from longhot.report import methods_fits
from longhot.report.methods import cost, gpu_hours_of, methods, topics
from longhot.report.methods_text import Topic, bibliography, cited, html, latex, mathml

CONFIGS = Path(__file__).resolve().parents[2] / "config"
MANIFEST: dict[str, Any] = {
    "longhot": "0.1.0",
    "code_sha256": "0123456789abcdef",
    "versions": {"python": "3.11.7", "ase": "3.29.0", "snakemake": "9.27.1", "xtb": "22.1"},
    "machine": {"system": "Linux", "processor": "a processor", "cores": 4},
    "devices": ["cpu"],
    "seeds": {"learning_curves": [0, 1]},
    "stages": [{"stage": "fit", "wall_s": 3600.0}, {"stage": "report", "wall_s": 1800.0}],
    "total": {"jobs": 10, "core_s": 7200.0, "elapsed_s": 3600.0},
}
CARD = {
    "level_of_theory": "GFN2-xTB (xtb)",
    "formula": "CH4O",
    "sets": {"train_pool": {"n_frames": 200}, "test": {"n_frames": 150}},
    "isolated_atoms": {"origin": "computed"},
}


def told(study: Study) -> list[Topic]:
    return topics(study, dict.fromkeys(study.datasets, CARD), MANIFEST)


def keys(study: Study) -> set[str]:
    return set(cited(told(study)))


def raw(**changes: Any) -> dict[str, Any]:
    """A study that asks for learning curves of one MACE on molecules of GFN2-xTB; ``changes`` replace blocks."""
    return copy.deepcopy(
        {
            "study": {"name": "s", "question": "?"},
            "references": {"gfn2": {"method": "xtb"}},
            "datasets": {"methanol": {"source": "generate", "reference": "gfn2", "molecule": "CH3OH"}},
            "models": {"mace": {"family": "mace", "gradient_steps": 100}},
            "learning_curves": {"train_sizes": [5, 10]},
        }
        | changes
    )


ROBUSTNESS = {"models": ["mace"], "train_sizes": [5], "protocol": {"temperatures_K": [1000]}}
MACE = {"batatia2022", "geiger2022", "paszke2019", "kingma2015", "reddi2018"}
XTB = {"bannwarth2021", "bannwarth2019"}
MD = {"stocker2022", "kaplan1958", "davidson2019", "mantel1966", "fay2013", "garwood1936", "holm1979", "cordero2008"}
MELTING = {"pedersen2013pinning", "imbalzano2021", "nguyen2015", "musil2019", "shirts2008", "chung2021"}


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_study_has_methods_whose_keys_exist(path: Path) -> None:
    study = load_file(path)
    assert keys(study) <= set(bibliography())
    assert all(topic.paragraphs for topic in told(study))
    for topic in told(study):
        for paragraph in topic.paragraphs:
            assert "None" not in paragraph, paragraph
            assert "{" not in re.sub(r"\$[^$]+\$|\$\$.*\$\$", "", paragraph), paragraph


def test_every_entry_of_the_bibliography_is_cited_by_some_study() -> None:
    """An entry that no config can cite would be dead; what the shipped configs leave out is asked for here."""
    more = [
        raw(datasets={"m": {"source": "generate", "reference": "gfn2", "smiles": "CCO", "n_normal_modes": 5}}),
        raw(references={"gfn2": {"method": "tblite", "hamiltonian": "GFN1-xTB"}}),
        raw(references={"gfn2": {"method": "pyscf", "xc": "pbe", "basis": "def2-svp", "dispersion": "d4"}}),
        raw(
            models={"mace": {"family": "mace", "gradient_steps": 100, "optimiser": "adamw"}, "gp": {"family": "gp"}},
            learning_curves={"train_sizes": [5], "subset": "farthest_point"},
            robustness={**ROBUSTNESS, "protocol": {"temperatures_K": [300], "ensemble": "npt"}},
            report={"tolerances": {"force_mae_meV_per_A": 10}},
        ),
    ]
    molecules = yaml.safe_load((CONFIGS / "ice-mw-large.yaml").read_text(encoding="utf-8"))
    molecules["datasets"]["ice"]["molecule"] = "H2O"
    studies = [*map(load, [*more, molecules]), *map(load_file, CONFIGS.glob("*.yaml"))]
    used = set().union(*map(keys, studies))
    versions = {"python", "snakemake", "ase", "numpy", "scipy", "pandas", "matplotlib"}
    used |= set(cited(topics(studies[0], {}, MANIFEST | {"versions": dict.fromkeys(versions, "1")})))
    assert used == set(bibliography())


def test_only_what_was_used_is_cited() -> None:
    plain = keys(load(raw()))
    assert plain >= MACE | XTB
    assert not plain & (MD | MELTING | {"grimme2017", "sun2020", "fieller1954", "tblite"})
    assert keys(load(raw(robustness=ROBUSTNESS))) >= MD
    baseline = {"family": "nonml", "reference_method": {"method": "tblite", "hamiltonian": "GFN1-xTB"}}
    with_baseline = keys(load(raw(models={"mace": raw()["models"]["mace"], "gfn1": baseline})))
    assert with_baseline - plain == {"grimme2017", "tblite"}
    assert keys(load(raw(models={"gfn1": baseline}))) & MACE == set()
    assert keys(load(raw(report={"tolerances": {"force_mae_meV_per_A": 10}}))) - plain == {"fieller1954"}
    ice = keys(load_file(CONFIGS / "ice-mw-large.yaml"))
    assert ice >= MELTING | {"molinero2009", "stillinger1985"}
    assert not ice & XTB


def test_numbers_of_the_config_and_the_card_stand_in_the_text() -> None:
    study = load(raw(robustness=ROBUSTNESS))
    text = " ".join(paragraph for topic in told(study) for paragraph in topic.paragraphs)
    for part in (
        "300 and 500 K",
        "200 in train_pool and 150 in test",
        "100 gradient steps of batches of 5",
        "8 replicas of 10 ps at 1000 K, in the canonical ensemble",
        "closer than 0.6 times",
        "stretched beyond 1.6",
        "seeds 0 and 1",
        "xtb 22.1",
    ):
        assert part in text, part
    nve = load(raw(robustness={**ROBUSTNESS, "protocol": {"temperatures_K": [1000], "ensemble": "nve"}}))
    assert "change of the total energy" in " ".join(one for topic in told(nve) for one in topic.paragraphs)
    assert "change of the total energy" not in text


def test_energy_is_core_hours_and_gpu_hours_times_the_stated_power() -> None:
    (text,) = cost(MANIFEST, Report(core_power_W=10, gpu_power_W=500)).paragraphs
    assert "2.00 core-hours" in text
    assert "0.020 kWh" in text
    assert "GPU" not in text
    on_gpu = MANIFEST | {"devices": ["cuda"]}
    assert gpu_hours_of(on_gpu) == 1.0
    (text,) = cost(on_gpu, Report(core_power_W=10, gpu_power_W=500)).paragraphs
    assert "0.52 kWh" in text
    assert "500 W for a GPU during 1.00 hours" in text


def test_the_cost_says_how_much_of_it_was_no_science() -> None:
    total = MANIFEST["total"] | {"overhead_share": 0.0912, "startup_core_s": 200.0, "engine_core_s": 35.0}
    _, text = cost(MANIFEST | {"total": total}, Report()).paragraphs
    assert "Of the core time 9.1 % was no science (at most 15 is the aim)" in text
    assert "3 min 20 s to starts of Python and imports and 35.0 s to Snakemake itself." in text
    _, text = cost(MANIFEST | {"total": total | {"engine_core_s": None}}, Report()).paragraphs
    assert "Snakemake" not in text


def write_study(folder: Path) -> Path:
    for part in ("tables", "figures", "datasets/methanol"):
        (folder / part).mkdir(parents=True)
    (folder / "tables/survival.csv").write_text("a\n")
    (folder / "figures/survival.svg").write_text("<svg/>")
    (folder / "datasets/methanol/card.json").write_text(json.dumps(CARD))
    return folder


def test_section_numbers_its_references_and_names_a_command_for_each_file(tmp_path: Path) -> None:
    config = load(raw(study={"name": "demo", "question": "?"})).model_dump(mode="json")
    found = methods(write_study(tmp_path / "demo"), config, MANIFEST, "config/demo.yaml")
    assert found is not None
    text = " ".join(one for _, paragraphs in found.topics for one, _ in paragraphs)
    numbers = [int(one) for one in re.findall(r'href="#reference-(\d+)"', text)]
    first_seen = list(dict.fromkeys(numbers))
    assert first_seen == sorted(first_seen) == list(range(1, len(found.references) + 1))
    assert found.bibtex.count("@") == len(found.references)
    assert list(re.findall(r"^@\w+\{(\w+),", found.bibtex, re.MULTILINE)) == [one.key for one in found.references]
    cited_in_latex = {key for group in re.findall(r"\\cite\{([^}]*)\}", found.latex) for key in group.split(",")}
    assert cited_in_latex == {one.key for one in found.references}
    assert found.commands[0] == (
        "tables/survival.csv",
        "snakemake --cores 2 --configfile config/demo.yaml results/demo/tables/survival.csv",
    )
    assert "data-methods" in found.blobs
    assert methods(tmp_path, {"study": {}}, MANIFEST, "x.yaml") is None


def test_text_is_escaped_and_formulas_become_mathml() -> None:
    shown = html("a < b of $x^2$ as told [@mantel1966, @holm1979].", {"mantel1966": 2, "holm1979": 1})
    assert "a &lt; b" in shown
    assert "<math" in shown
    assert 'alttext="x^2"' in shown
    assert '[<a href="#reference-1">1</a>,<a href="#reference-2">2</a>]' in shown
    assert " [" not in shown
    assert 'display="block"' in html(r"$$\frac{1}{M}$$", {})
    assert "<mfrac>" in mathml(r"\frac{1}{M}", "inline")
    assert latex([Topic("T & U", ["50 % of $a_b$ in Å [@holm1979]."])]) == (
        "\\subsection*{T \\& U}\n\n50 \\% of $a_b$ in \\AA{}~\\cite{holm1979}.\n"
    )


def test_bibliography_is_complete() -> None:
    entries = bibliography()
    assert len(entries) == BIB_COUNT()
    for entry in entries.values():
        assert {"author", "title"} <= set(entry.fields), entry.key
        if entry.source.startswith("@article"):
            assert {"journal", "pages", "year"} <= set(entry.fields), entry.key
        if "doi" in entry.fields:
            assert re.fullmatch(r"10\.\d{4,}/\S+", entry.fields["doi"]), entry.key
        assert not re.search(r"[{}]", entry.text), entry.text
        if "year" in entry.fields and not entry.key[-1].isalpha():
            assert entry.key.endswith(entry.fields["year"]), entry.key
    assert entries["hoja2021"].text.count("Robert A. DiStasio Jr.") == 1
    assert entries["sun2020"].text.startswith("Qiming Sun, Xing Zhang, Samragni Banerjee et al. Recent")


def BIB_COUNT() -> int:
    from longhot.report.methods_text import BIBLIOGRAPHY

    return BIBLIOGRAPHY.read_text(encoding="utf-8").count("\n@") + 1


def test_references_of_a_block_are_told_with_its_settings() -> None:
    study = load(raw(references={"gfn2": {"method": "pyscf", "xc": "b3lyp", "basis": "6-31g"}}))
    text = methods_fits.reference(study.references["gfn2"])
    assert "B3LYP/6-31g" in text
    assert "perdew1996" not in text
    assert "weigend2005" not in text
    pair_style = {"method": "lammps", "pair_style": "eam", "pair_coeff": ["* * a"]}
    eam = load(raw(references={"gfn2": pair_style}))
    assert "molinero2009" not in methods_fits.reference(eam.references["gfn2"])


def test_texts_of_the_user_are_no_formulas_and_cite_nothing() -> None:
    method = {"method": "ase", "calculator": "ase.calculators.emt.EMT", "level_of_theory": "EMT $x$ [@nothing]"}
    study = load(raw(models={"mine": {"family": "reference", "reference_method": method}}))
    told_of_it = methods_fits.models(study)
    assert cited([told_of_it]) == ["larsen2017"]
    (text,) = told_of_it.paragraphs
    assert text.endswith("learns nothing here: EMT x [ @nothing], through its calculator in ASE [@larsen2017].")


def test_a_family_of_the_users_is_told_by_its_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(methods_fits, "TOLD_ELSEWHERE", ("gp",))
    study = load(raw())
    assert "family mace" in methods_fits.models(study).paragraphs[-1]
    assert "gradient_steps 100" in methods_fits.models(study).paragraphs[-1]
