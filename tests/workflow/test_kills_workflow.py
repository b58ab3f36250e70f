"""Snakemake and all its jobs killed at random moments: a plain run ends with the same tables and trajectories."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from studies import SMOKE, copy_of_repository, environment, snakemake, write_config

from longhot import integrity
from longhot.files import sha256

pytestmark = pytest.mark.workflow

KILLS = int(os.environ.get("LONGHOT_KILLS", "3"))
"""How many runs are killed, each once, at another moment."""
SMOKE_KILLS = int(os.environ.get("LONGHOT_SMOKE_KILLS", "0"))
"""How often one run of the smoke study is killed; it takes twice the time of the study."""
TABLES = ("stability", "survival", "survival_tests", "recheck", "robustness", "rank_agreement")
WALL_CLOCK = {"wall_s"}


class Study:
    """A small study whose fits are done, and whose MD and recheck are made again and again."""

    def __init__(self, repository: Path) -> None:
        self.repository, self.results = repository, repository / "results" / "kills"
        self.config = write_config(
            repository,
            "kills.yaml",
            study__name="kills",
            models={"mace": {"family": "mace", "channels": 4, "max_ell": 1, "gradient_steps": 40, "compile": "never"}},
            learning_curves={"datasets": ["methanol"], "train_sizes": [10], "seeds": [0, 1]},
            melting_point=None,
            active_learning=None,
            robustness__models=["mace"],
            robustness__train_sizes=[10],
            robustness__protocol__duration_ps=0.3,
            robustness__protocol__checkpoint_interval_s=0.5,
        )
        self.arguments = ("--cores", "2", "robustness", "--configfile", self.config)

    def tables(self) -> dict[str, pd.DataFrame]:
        """Every table as text, without what tells of the clock."""
        read = {name: pd.read_csv(self.results / "tables" / f"{name}.csv", dtype=str) for name in TABLES}
        return {name: table.drop(columns=WALL_CLOCK & set(table)) for name, table in read.items()}

    def trajectories(self) -> dict[str, str]:
        """SHA-256 of all frames of MD."""
        return {str(path): sha256(path) for path in sorted(self.results.glob("simulations/**/frames.h5"))}

    def forget(self) -> None:
        """Remove the MD and all that follows from it, known labels too."""
        for name in ("simulations", "rechecks", "tables", "figures", "logs/simulate", "logs/recheck"):
            shutil.rmtree(self.results / name, ignore_errors=True)
        shutil.rmtree(self.results.parent / "labels", ignore_errors=True)

    def run(self) -> float:
        """Run to the end; returns the seconds that it took."""
        start = time.monotonic()
        done = snakemake(self.repository, *self.arguments)
        assert done.returncode == 0, done.stdout[-5000:]
        return time.monotonic() - start

    def run_and_kill(self, after_s: float) -> bool:
        """Start, kill everything after some seconds in which a simulation began; False where all was done before."""
        start, process = time.monotonic(), started(self.repository, *self.arguments)
        while time.monotonic() < start + after_s or not any(self.results.glob("logs/simulate/**/*.log")):
            if process.poll() is not None:
                assert process.returncode == 0, "Snakemake failed before it was killed"
                return False
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return True


def started(repository: Path, *arguments: str | Path) -> subprocess.Popen[bytes]:
    """Snakemake in a session of its own, which one signal ends with all its jobs."""
    return subprocess.Popen(
        [sys.executable, "-m", "snakemake", *map(str, arguments)],
        cwd=repository,
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return Study(copy_of_repository(tmp_path_factory.mktemp("kills")))


def test_a_killed_study_ends_with_the_same_tables(study: Study) -> None:
    study.run()
    study.forget()
    # Again, for a run in which nothing but MD and recheck is to do says how long these take.
    whole_s = study.run()
    expected, trajectories = study.tables(), study.trajectories()
    for moment in np.random.default_rng(0).uniform(0, whole_s, KILLS):
        study.forget()
        while not study.run_and_kill(moment):
            study.forget()
            moment *= 0.8
        study.run()
        for name, table in study.tables().items():
            pd.testing.assert_frame_equal(table, expected[name], obj=f"{name}.csv after a kill at {moment:.1f} s")
        assert study.trajectories() == trajectories, f"frames after a kill at {moment:.1f} s"


@pytest.mark.skipif(not SMOKE_KILLS, reason="half an hour: set LONGHOT_SMOKE_KILLS=20 to run it")
def test_the_smoke_study_killed_again_and_again(tmp_path: Path) -> None:
    """All stages: every artefact is as in an unbroken run, byte by byte where no clock stands in it."""
    repositories = [copy_of_repository(tmp_path / name) for name in ("whole", "killed")]
    arguments = ("--cores", "1", "--configfile", SMOKE)
    start = time.monotonic()
    done = snakemake(repositories[0], *arguments)
    assert done.returncode == 0, done.stdout[-5000:]
    mean_life_s = (time.monotonic() - start) / SMOKE_KILLS
    generator = np.random.default_rng(0)
    for _ in range(SMOKE_KILLS):
        process = started(repositories[1], *arguments)
        try:
            # Snakemake itself needs some seconds to start.
            process.wait(5 + generator.exponential(mean_life_s))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        assert integrity.damaged(repositories[1] / "results" / "smoke") == []
    done = snakemake(repositories[1], *arguments)
    assert done.returncode == 0, done.stdout[-5000:]
    whole, killed = (repository / "results" / "smoke" for repository in repositories)
    for path in sorted(one for one in whole.rglob("*") if one.is_file()):
        name = path.relative_to(whole)
        if path.suffix in (".h5", ".npz", ".extxyz", ".safetensors"):
            assert path.read_bytes() == (killed / name).read_bytes(), name
        elif name.parts[0] == "tables":
            one, other = (pd.read_csv(folder / name, dtype=str) for folder in (whole, killed))
            clocks = [column for column in one if column.endswith("_s")]
            pd.testing.assert_frame_equal(one.drop(columns=clocks), other.drop(columns=clocks), obj=str(name))
