"""Each job takes one GPU of the machine: with a make-believe nvidia-smi in place of a driver."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from longhot import devices

ROOT = Path(__file__).resolve().parents[2]
TAKE = "import sys; from longhot import devices; print(devices.take_one(), flush=True); sys.stdin.read()"
PATIENCE_S = 20.0


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A machine of two GPUs, with locks of its own."""
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "workflow"))
    monkeypatch.delenv(devices.VISIBLE, raising=False)
    install(tmp_path, "echo GPU-a; echo GPU-b")
    yield tmp_path
    devices.installed.cache_clear()


def install(folder: Path, script: str) -> None:
    tool = folder / "nvidia-smi"
    tool.write_text(f"#!/bin/sh\n{script}\n")
    tool.chmod(0o755)
    devices.installed.cache_clear()


def job() -> subprocess.Popen[str]:
    """A process that takes a GPU, says which, and holds it until its input ends."""
    return subprocess.Popen([sys.executable, "-c", TAKE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_jobs_take_different_gpus_and_the_third_waits_for_a_killed_one() -> None:
    first, second = job(), job()
    assert sorted([said(first), (taken := said(second))]) == ["GPU-a", "GPU-b"]
    third = job()
    time.sleep(2 * devices.WAIT_S)
    assert third.poll() is None
    second.kill()
    assert said(third) == taken
    for process in (first, third):
        process.communicate(timeout=PATIENCE_S)


def test_no_driver_no_gpu(machine: Path) -> None:
    install(machine, "exit 9")
    assert devices.usable() == []
    assert devices.take_one() is None


@pytest.mark.parametrize(
    ("visible", "expected"),
    [("1", ["GPU-b"]), ("1, GPU-a", ["GPU-b", "GPU-a"]), ("", []), ("-1", []), ("MIG-x/0", ["MIG-x/0"])],
)
def test_only_what_was_made_visible(visible: str, expected: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """By the names that other processes use, whatever numbers they see."""
    monkeypatch.setenv(devices.VISIBLE, visible)
    assert devices.usable() == expected
