"""Runs of Snakemake in a copy of the repository."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
SMOKE = Path("config") / "smoke.yaml"


def copy_of_repository(directory: Path) -> Path:
    """Everything that a study needs, in ``directory``."""
    ignored = shutil.ignore_patterns("__pycache__")
    for name in ("config", "workflow", "envs", "profiles"):
        shutil.copytree(ROOT / name, directory / name, ignore=ignored)
    shutil.copy(ROOT / "Snakefile", directory)
    return directory


def environment() -> dict[str, str]:
    """What a user has who has not set up anything."""
    return {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "OMP_NUM_THREADS")}


def snakemake(directory: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run Snakemake as a user does; ``stdout`` holds both streams."""
    return subprocess.run(
        [sys.executable, "-m", "snakemake", "--nocolor", *map(str, arguments)],
        cwd=directory,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=900,
    )


def write_config(directory: Path, name: str, **changes: Any) -> Path:
    """A config like smoke.yaml; a key such as ``study__name`` reaches into blocks."""
    raw = yaml.safe_load((directory / SMOKE).read_text(encoding="utf-8"))
    for key, value in changes.items():
        *way, last = key.split("__")
        block = raw
        for part in way:
            block = block[part]
        block[last] = value
    path = directory / "config" / name
    path.write_text(yaml.safe_dump(raw, sort_keys=False), encoding="utf-8")
    return path.relative_to(directory)


def planned(output: str) -> dict[str, int]:
    """Number of jobs of each rule in the first job table that Snakemake printed; empty without one."""
    lines = iter(output.splitlines())
    jobs: dict[str, int] = {}
    for line in lines:
        if line.startswith("job ") and "count" in line:
            next(lines)
            for row in lines:
                words = row.split()
                if len(words) != 2 or words[0] == "total":
                    return jobs
                jobs[words[0]] = int(words[1])
    return jobs
