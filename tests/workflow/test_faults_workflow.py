"""Faults in a run of Snakemake: signals, kills, two runs at once, damage, a full memory; the rest goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from studies import copy_of_repository, environment, snakemake, write_config

pytestmark = pytest.mark.workflow

LONGEST_END_S = 10.0
LOG = Path("results", "faults", "logs", "simulate", "methanol", "reference", "n0", "seed0.log")
FRAMES = Path("results", "faults", "simulations", "methanol", "reference", "n0", "seed0", "frames.h5")
POOL = Path("results", "faults", "datasets", "methanol", "train_pool.extxyz")
CONTROL = Path("results", "faults", "models", "methanol", "reference", "n0", "seed0", "model.json")
OTHER = Path("results", "faults", "models", "methanol", "gfn1", "n10", "seed0", "model.json")
SUBSET = Path("results", "faults", "subsets", "methanol", "seed0", "n10.json")


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study whose control runs for hours, and whose dataset is made."""
    repository = copy_of_repository(tmp_path_factory.mktemp("faults"))
    write_config(
        repository,
        "faults.yaml",
        study__name="faults",
        learning_curves={"datasets": ["methanol"], "models": ["gfn1"], "train_sizes": [10], "seeds": [0]},
        melting_point=None,
        active_learning=None,
        robustness__models=["gfn1"],
        robustness__train_sizes=[10],
        robustness__protocol__duration_ps=1000,
        robustness__protocol__checkpoint_interval_s=0.5,
    )
    done = run(repository, POOL, CONTROL)
    assert done.returncode == 0, done.stdout[-3000:]
    return repository


def run(repository: Path, *targets: Path) -> subprocess.CompletedProcess[str]:
    """Run Snakemake to its end, as a user does again after whatever happened."""
    return snakemake(repository, "--cores", "2", "--configfile", "config/faults.yaml", "--", *targets)


@pytest.fixture
def going(repository: Path) -> Iterator[subprocess.Popen[str]]:
    """A run in which the control's MD writes checkpoints, while another job waits for its core."""
    command = [sys.executable, "-m", "snakemake", "--cores", "1", "--configfile", "config/faults.yaml", "--"]
    process = subprocess.Popen(
        [*command, str(FRAMES), str(OTHER)],
        cwd=repository,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        # Tests that run in the background have inherited to ignore it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    checkpoint = repository / FRAMES.parent / ".partial" / "checkpoint.npz"
    checkpoint.unlink(missing_ok=True)
    deadline = time.monotonic() + 300
    while not checkpoint.exists():
        assert process.poll() is None, process.stdout and process.stdout.read()[-3000:]
        assert time.monotonic() < deadline
        time.sleep(0.1)
    yield process
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    if process.stdout is not None:
        process.stdout.close()


def assert_goes_on(repository: Path) -> None:
    """Nothing is locked, and a plain run plans to go on."""
    done = snakemake(repository, "-n", "--configfile", "config/faults.yaml", "--", FRAMES)
    assert done.returncode == 0, done.stdout[-3000:]
    assert "simulate" in done.stdout
    assert (repository / FRAMES.parent / ".partial" / "checkpoint.npz").exists()
    other = run(repository, SUBSET)
    assert other.returncode == 0, other.stdout[-3000:]


def jobs_of(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """Processes of the job's script."""
    below = psutil.Process(process.pid).children(recursive=True)
    return [one for one in below if any("simulate.py" in word for word in one.cmdline()) and one.name() != "bash"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "Ctrl-C"])
def test_run_ends_within_ten_seconds_and_goes_on_later(
    number: int, going: subprocess.Popen[str], repository: Path
) -> None:
    """SIGTERM comes to the main process alone, as from a scheduler; Ctrl-C to all that the terminal started."""
    jobs = jobs_of(going)
    assert jobs
    start = time.monotonic()
    if number == signal.SIGTERM:
        going.send_signal(number)
    else:
        os.killpg(going.pid, number)
    output, _ = going.communicate(timeout=60)
    assert time.monotonic() - start < LONGEST_END_S
    assert going.returncode != 0
    assert "Traceback" not in output
    assert not any(one.is_running() for one in jobs)
    assert "simulate: stopped: what was done is kept" in (repository / LOG).read_text()
    assert_goes_on(repository)


def test_second_run_is_turned_away_and_the_first_goes_on(going: subprocess.Popen[str], repository: Path) -> None:
    second = run(repository, FRAMES)
    assert second.returncode != 0
    assert "locked" in second.stdout or "another run of the study faults is going on" in second.stdout
    # Also where somebody has unlocked the folder, as Snakemake says that one may.
    assert snakemake(repository, "--unlock", "--configfile", "config/faults.yaml").returncode == 0
    third = run(repository, FRAMES)
    assert third.returncode != 0
    assert "another run of the study faults is going on in this folder" in third.stdout
    assert "Traceback" not in second.stdout + third.stdout
    assert going.poll() is None


def test_killed_job_is_named_and_the_others_go_on(going: subprocess.Popen[str], repository: Path) -> None:
    """As by the kernel where memory runs out."""
    for one in jobs_of(going):
        one.kill()
    output, _ = going.communicate(timeout=120)
    assert going.returncode != 0
    assert f"{LOG}: killed: it was ended before it could say why, most often because memory ran out" in output
    assert " simulate: killed: " in (repository / LOG).read_text()
    assert (repository / OTHER).exists(), "a job that could only begin afterwards"
    assert_goes_on(repository)


def test_everything_killed_needs_no_unlocking(going: subprocess.Popen[str], repository: Path) -> None:
    os.killpg(going.pid, signal.SIGKILL)
    going.communicate()
    assert_goes_on(repository)


def test_flipped_bit_is_named_before_it_is_used_and_can_be_mended(repository: Path) -> None:
    (repository / SUBSET).unlink(missing_ok=True)
    path = repository / POOL
    content = path.read_bytes()
    times = path.stat()
    path.write_bytes(content[:-2] + bytes([content[-2] ^ 1]) + content[-1:])
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    done = run(repository, SUBSET)
    assert done.returncode != 0
    assert f"subset: {POOL}: has changed since it was made" in done.stdout
    assert f"remove {POOL} and run again" in done.stdout
    assert not (repository / SUBSET).exists()
    path.unlink()
    done = run(repository, SUBSET)
    assert done.returncode == 0, done.stdout[-3000:]
    assert path.read_bytes() == content
