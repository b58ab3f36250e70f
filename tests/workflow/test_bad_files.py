"""Config files that are no sound text: Snakemake ends with the sentence, and plans nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from studies import ROOT, SMOKE, copy_of_repository, environment, planned, snakemake

pytestmark = pytest.mark.workflow

TEXT = (ROOT / SMOKE).read_text(encoding="utf-8")
BOMB = "study: &a [0, 0, 0, 0, 0, 0, 0, 0, 0]\n" + "".join(
    f"b{n}: &b{n} [{', '.join(['*a' if n == 0 else f'*b{n - 1}'] * 9)}]\n" for n in range(9)
)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_of_repository(tmp_path_factory.mktemp("repository"))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (TEXT.replace("study:", "stdy:", 1), "study: missing, add it"),
        (f"{TEXT}\nreferences: {{}}\n", "the key 'references' stands twice"),
        (BOMB, "beyond 100000 values, repeats by anchors among them"),
        ("", "Config file must be given as JSON or YAML with keys at top level"),
        (TEXT.replace("name: smoke", "name: ../smoke", 1), "study.name: may hold only letters, digits"),
    ],
    ids=["no-study", "twice", "bomb", "empty", "traversal"],
)
def test_a_bad_file_is_a_sentence(text: str, sentence: str, repository: Path) -> None:
    path = repository / "config" / "bad.yaml"
    path.write_text(text, encoding="utf-8")
    done = snakemake(repository, "-n", "--configfile", path)
    assert done.returncode != 0
    assert sentence in done.stdout
    assert "Traceback" not in done.stdout
    assert not planned(done.stdout)


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"[" * 5000, b"study: &a {name: *a}\n", None])
def test_make_checks_the_file_before_snakemake_reads_it(content: bytes | None, tmp_path: Path) -> None:
    """Of these Snakemake's own reader makes a traceback before it reads the Snakefile."""
    path = tmp_path / "bad.yaml"
    if content is not None:
        path.write_bytes(content)
    command = [sys.executable, "-m", "longhot.config", str(path)]
    done = subprocess.run(
        command, cwd=ROOT / "workflow", env=environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr.startswith("config: ")
    assert done.stderr.count("\n") == 1
    assert 'longhot.config "$(CONFIG)"' in (ROOT / "Makefile").read_text(encoding="utf-8")
