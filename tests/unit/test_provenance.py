"""Digests of the code behind a result: what changes them and what does not."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from longhot import provenance

SCRIPTS = sorted(path.stem for path in (provenance.WORKFLOW / "scripts").glob("*.py"))
NEW_CODE = ("\n\n\ndef ", "\n\n\ndef another() -> None: ...\n\n\ndef ")


@pytest.fixture
def workflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of workflow/ that the digests are taken from."""
    copy = tmp_path / "workflow"
    shutil.copytree(provenance.WORKFLOW, copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(provenance, "WORKFLOW", copy)
    forget()
    return copy


@pytest.fixture(autouse=True)
def _no_digest_outlives_its_files() -> Iterator[None]:
    yield
    forget()


def forget() -> None:
    for function in (provenance.code_digest, provenance._tree, provenance._imports, provenance._substance):
        function.cache_clear()


def digests() -> dict[str, str]:
    forget()
    return {script: provenance.code_digest(script) for script in SCRIPTS}


def changed_by(path: Path, old: str, new: str) -> set[str]:
    """The scripts whose digest another text of one file changes."""
    before, text = digests(), path.read_text(encoding="utf-8")
    assert old in text, f"{path} has changed: give this test another line of it"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    after = digests()
    path.write_text(text, encoding="utf-8")
    return {script for script in SCRIPTS if before[script] != after[script]}


def test_digest_is_a_function_of_the_files(workflow: Path) -> None:
    assert digests() == digests()
    assert len(set(digests().values())) == len(SCRIPTS)


def test_comments_docstrings_and_layout_do_not_count(workflow: Path) -> None:
    path = workflow / "longhot" / "files.py"
    assert not changed_by(path, '"""Files that', '"""Other words: files that')
    assert not changed_by(path, "import hashlib\n", "# a comment\n\n\nimport hashlib\n")
    assert not changed_by(path, '    """Read a JSON file."""\n', '    """Reads.\n\n    More.\n    """\n')


def test_a_changed_string_counts(workflow: Path) -> None:
    assert changed_by(workflow / "longhot" / "frames.py", 'TEST_SET = "test_set"', 'TEST_SET = "set"')


def test_a_change_reaches_all_that_import_it_and_no_other(workflow: Path) -> None:
    """What detectors.py is behind: simulate, and recheck, which starts from the engine's frames."""
    changed = changed_by(
        workflow / "longhot" / "dynamics" / "detectors.py", "def ", "def another() -> None: ...\n\n\ndef "
    )
    assert "simulate" in changed
    assert not changed & {"dataset", "subset", "fit", "predict", "compile_model", "learning_curves_tables"}


def test_the_report_is_behind_no_calculation(workflow: Path) -> None:
    changed = changed_by(workflow / "longhot" / "report" / "page.py", *NEW_CODE)
    assert changed == {"report"}


def test_a_module_at_the_root_of_all_changes_all(workflow: Path) -> None:
    changed = changed_by(workflow / "longhot" / "block.py", "frozen=True", "frozen=False")
    assert changed == set(SCRIPTS), "every script runs longhot.job, which imports it"


def test_the_script_itself_counts(workflow: Path) -> None:
    assert changed_by(workflow / "scripts" / "subset.py", "snakemake.output[0]", "snakemake.output[-1]") == {"subset"}


def test_plugins_count_with_all_that_they_import_inside_functions(workflow: Path) -> None:
    def digest() -> tuple[str, str]:
        forget()
        return tuple(provenance.code_digest("fit", f"longhot.models.{name}") for name in ("mace", "nonml"))

    before, path = digest(), workflow / "longhot" / "models" / "_mace_train.py"
    path.write_text(path.read_text(encoding="utf-8").replace("CONVERGED_FALL = 0.03", "CONVERGED_FALL = 0.04"))
    after = digest()
    assert before[0] != after[0]
    assert before[1] == after[1], "the baseline does not run MACE's training"


def test_all_plugins_of_a_package_count_and_one_that_is_new(workflow: Path) -> None:
    def digest() -> str:
        forget()
        return provenance.code_digest("melting_point_tables", "longhot.observables.properties.*")

    before, path = digest(), workflow / "longhot" / "observables" / "properties" / "rdf.py"
    path.write_text(path.read_text(encoding="utf-8").replace("N_BINS = 80", "N_BINS = 40"))
    edited = digest()
    path.with_name("volume_A3.py").write_text("from longhot.dynamics.detectors import temperature_limit_K\n")
    added = digest()
    assert len({before, edited, added}) == 3
    detectors = workflow / "longhot" / "dynamics" / "detectors.py"
    detectors.write_text(detectors.read_text(encoding="utf-8") + "\n\ndef another() -> None: ...\n")
    assert digest() != added, "what a plugin imports counts too"


def test_only_absolute_imports_stand_in_the_library() -> None:
    """The digests do not follow relative ones."""
    for path in provenance.WORKFLOW.rglob("*.py"):
        for line in path.read_text(encoding="utf-8").splitlines():
            assert not line.strip().startswith("from ."), f"{path}: {line}"
