"""How jobs end: one sentence and a type for each fault of the machine, and within seconds on SIGTERM and Ctrl-C."""

from __future__ import annotations

import errno
import logging
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import fake_calculators
import model_examples
import numpy as np
import pytest
import torch
from known_potentials import bonded_molecule
from test_kills import assert_same
from test_label_workers import fake, frames
from test_online import INITIAL, SETTINGS, reference
from test_online import Toy as Learning
from test_rounds import new_inputs
from toy_potentials import ethanol

from longhot import files, integrity, references
from longhot.block import InputError
from longhot.config import Protocol
from longhot.datasets import generate, ice
from longhot.datasets.ice import ice_ih
from longhot.dynamics import engine_runs, lammps
from longhot.dynamics.engine import simulate
from longhot.dynamics.samples import Settings
from longhot.job import FAULTS, fault, job
from longhot.learning import fits, online, rounds
from longhot.models import resolve_device
from longhot.references._time_limit import TIME_LIMIT_S
from longhot.run import KILLED, OUT_OF_MEMORY, Run, kernel_kills

FORK = multiprocessing.get_context("fork")
LOG = Path("results", "mine", "logs", "simulate", "one.log")
TABLE = Path("results", "mine", "tables", "one.csv")
LONGEST_END_S = 10.0


def snakemake(**changes: Any) -> SimpleNamespace:
    """What a script sees of Snakemake."""
    return SimpleNamespace(
        **{"rule": "simulate", "threads": 1, "log": [str(LOG)], "input": [], "output": [], "resources": {}} | changes
    )


def child(work: Callable[[], None], **changes: Any) -> Any:
    """Start ``work`` as a job in a process of its own, which has what a script has: no handlers, a log folder."""

    def run() -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
        with Path("terminal").open("w", buffering=1) as terminal:
            os.dup2(terminal.fileno(), 2)
            sys.stderr = terminal
            with job(snakemake(**changes)):
                work()

    process = FORK.Process(target=run)
    process.start()
    return process


def ended(process: Any) -> tuple[int, str, str]:
    """Exit code, log and what stands on the terminal."""
    process.join(60)
    return process.exitcode, LOG.read_text(), Path("terminal").read_text()


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder in which Snakemake would run."""
    monkeypatch.chdir(tmp_path)
    for path in (LOG, TABLE):
        path.parent.mkdir(parents=True)
    return tmp_path


def within(error: Exception) -> Exception:
    """An error that another, which says nothing, was raised in."""
    try:
        try:
            raise error
        except Exception:
            raise RuntimeError("writing failed")  # noqa: B904 - as a library would
    except RuntimeError as outer:
        return outer


ERRORS = [
    (OSError(errno.ENOSPC, "No space left on device"), "disk_full"),
    (OSError(errno.EDQUOT, "Disk quota exceeded"), "disk_full"),
    (OSError("Can't write data (file write failed, error message = 'No space left on device')"), "disk_full"),
    (RuntimeError("[enforce fail at inline_container.cc] PytorchStreamWriter failed writing file data/1"), "disk_full"),
    (OSError(errno.EROFS, "Read-only file system"), "read_only"),
    (PermissionError(errno.EACCES, "Permission denied"), "read_only"),
    (OSError(errno.EIO, "Input/output error"), "input_output"),
    (MemoryError(), "out_of_memory"),
    (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried 1 TB"), "out_of_memory"),
    (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB"), "gpu_memory"),
    (RuntimeError("CUDA error: an illegal memory access was encountered"), "gpu_lost"),
    (RuntimeError("CUDA error: device is lost or was reset"), "gpu_lost"),
    (RuntimeError("No CUDA GPUs are available"), "gpu_lost"),
    (within(OSError(errno.ENOSPC, "No space left on device")), "disk_full"),
]


@pytest.mark.parametrize(("error", "name"), ERRORS, ids=[f"{name}{i}" for i, (_, name) in enumerate(ERRORS)])
def test_fault_of_the_machine_is_a_type_and_a_sentence(error: Exception, name: str) -> None:
    def work() -> None:
        raise error

    code, log, terminal = ended(child(work))
    assert code == 1
    assert f"simulate: {name}: {FAULTS[name]}" in terminal
    assert f"simulate: {name}: {FAULTS[name]}" in log
    assert "Traceback" not in log + terminal


def test_fault_of_the_code_leaves_a_traceback() -> None:
    def work() -> None:
        raise KeyError("no such thing")

    code, log, _ = ended(child(work))
    assert code == 1
    assert "simulate failed\nTraceback" in log
    assert fault(KeyError("x")) is None


def test_full_file_system(here: Path) -> None:
    """A real one of 1 MB, where the tests may mount it."""
    disk = here / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
    if os.geteuid() or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("mounting needs root")
    try:
        atoms, toy = bonded_molecule()
        protocol = Protocol(
            temperatures_K=[300.0],
            replicas=16,
            duration_ps=0.5,
            frame_interval_fs=1,
            checkpoint_interval_s=0.01,
            bond_checks=False,
        )
        code, log, terminal = ended(child(lambda: simulate(toy, [atoms] * 16, protocol, 0, disk / "md")))
        assert code == 1
        assert "simulate: disk_full: the disk is full, make room" in log
        assert "Traceback" not in log + terminal
        assert not (disk / "md" / "outcomes.csv").exists()
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_read_only_results(here: Path) -> None:
    """Not even the log can be written: the sentence is on the terminal, and the code says so."""
    LOG.parent.rmdir()
    LOG.parent.write_text("no folder")
    process = child(lambda: None)
    process.join(60)
    assert process.exitcode == 1
    LOG.parent.unlink()
    folder = here / "results"
    if os.geteuid() or subprocess.run(["mount", "--bind", folder, folder], capture_output=True, check=False).returncode:
        pytest.skip("mounting needs root")
    try:
        LOG.parent.mkdir()
        subprocess.run(["mount", "-o", "remount,bind,ro", folder], check=True)
        process = child(lambda: None)
        process.join(60)
        terminal = Path("terminal").read_text()
        assert process.exitcode == 1
        assert "simulate: read_only: a file or folder cannot be written" in terminal
        assert "Traceback" not in terminal
    finally:
        subprocess.run(["umount", folder], check=True)


def test_damaged_input_ends_the_job_before_its_work() -> None:
    TABLE.write_text("a,b\n1,2\n")
    integrity.record(TABLE.parents[1], TABLE)
    TABLE.write_text("a,b\n1,3\n")
    code, log, terminal = ended(child(lambda: Path("worked").touch(), input=[str(TABLE)]))
    assert code == 1
    assert f"simulate: {TABLE}: has changed since it was made" in terminal
    assert "Traceback" not in log + terminal
    assert not Path("worked").exists()


def test_job_records_what_it_made() -> None:
    code, log, _ = ended(child(lambda: TABLE.write_text("x"), output=[str(TABLE)]))
    assert code == 0
    assert "simulate took" in log
    assert integrity.digest_file(TABLE.parents[1], TABLE).exists()


def test_second_process_of_a_job_is_turned_away() -> None:
    first = child(lambda: time.sleep(60))
    wait_for(lambda: LOG.exists() and (time.sleep(0.2) or True))
    LOG.write_text("what the first one says\n")
    code, log, terminal = ended(child(lambda: Path("worked").touch()))
    assert code == 1
    assert "another process runs this job, wait until it has ended or stop it" in terminal
    assert log == "what the first one says\n"
    assert not Path("worked").exists()
    first.kill()
    first.join()
    assert ended(child(lambda: None))[0] == 0


def wait_for(true: Callable[[], Any], longest_s: float = 180.0) -> None:
    deadline = time.monotonic() + longest_s
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


# Long jobs of every kind, each with a sign that it is in its stride.


def fit() -> None:
    labelled = model_examples.methanol_frames(8)
    block = model_examples.EXAMPLES["mace"] | {"gradient_steps": 1_000_000}
    fits.fit(block, model_examples.task(labelled, Path("work")))


def md() -> None:
    atoms, toy = bonded_molecule()
    simulate(toy, [atoms] * 4, Protocol(temperatures_K=[10.0], replicas=4, duration_ps=1e5), 0, "work")


def labels() -> None:
    references.label(frames(10_000), fake(calls="calls", sleep_s=0.05), workers=2, store="labels")


def hanging_label() -> None:
    references.label(frames(3), fake(calls="calls", sleep_s=1e5), workers=2)


def sampled_dataset() -> None:
    config = generate.Config(
        source="generate", reference="x", molecule="H2O", n_train_pool=100_000, n_valid=10_000, n_test=10_000
    )
    generate.splits(config, references.parse({"method": "xtb"}), Path("work"), workers=2)


def sampled_ice() -> None:
    config = ice.Config(source="ice", reference="x", repeats=[1, 2, 1], n_train_pool=100_000)
    ice.splits(config, references.parse({"method": "lammps"}), Path("work"), workers=2)


def settings(**changes: Any) -> Settings:
    return Settings(
        **{
            "temperature_K": 270.0,
            "duration_ps": 1e5,
            "time_step_fs": 5.0,
            "sample_interval_ps": 0.1,
            "frame_interval_ps": 1.0,
            "pressure_bar": 1.0,
            "barostat": "isotropic",
            "k_indices": (2, 0, 0),
            "seed": 0,
        }
        | changes
    )


def lammps_sampler() -> None:
    config = references.parse({"method": "lammps"})
    lammps.run(ice_ih("mW", (1, 2, 1), 0), config, settings(), Path("work", "solid.npz"))


def engine_sampler() -> None:
    atoms = ice_ih("mW", (1, 2, 1), 0)
    potential = references.ReferencePotential(references.parse({"method": "lammps"}))
    engine_runs.run(atoms, potential, settings(), Path("work", "solid.npz"), "x")


def active_round() -> None:
    protocol = {"temperatures_K": [10], "replicas": 2, "duration_ps": 1e4, "frame_interval_fs": 100}
    rounds.run(new_inputs(protocol=protocol), "start", 0, None, Path("work", "records.json"))


def online_run() -> None:
    online.run(Learning(), reference, INITIAL, ethanol(), SETTINGS.model_copy(update={"duration_ps": 1e5}), 0, "work")


LONG_JOBS = {
    fit: lambda: Path("work").exists(),
    md: lambda: list(Path("work").rglob("frames.bin")),
    labels: lambda: Path("calls").exists(),
    hanging_label: lambda: True,
    sampled_dataset: lambda: True,
    sampled_ice: lambda: True,
    lammps_sampler: lambda: list(Path("work").rglob("run.json")),
    engine_sampler: lambda: list(Path("work").rglob("frames.bin")),
    active_round: lambda: list(Path("work").rglob("frames.bin")),
    online_run: lambda: list(Path("work").rglob("trace.csv")),
}


def processes_below(folder: Path) -> set[int]:
    """Processes that work in a folder."""
    found = set()
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and (entry / "cwd").resolve().is_relative_to(folder):
                found.add(int(entry.name))
        except OSError:
            continue
    return found - {os.getpid()}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "Ctrl-C"])
@pytest.mark.parametrize("work", LONG_JOBS, ids=[work.__name__ for work in LONG_JOBS])
def test_long_job_ends_cleanly_within_ten_seconds(work: Callable[[], None], number: int, here: Path) -> None:
    process = child(work)
    wait_for(lambda: LOG.exists() and LONG_JOBS[work]())
    time.sleep(0.3)
    start = time.monotonic()
    os.kill(process.pid, number)
    code, log, terminal = ended(process)
    assert time.monotonic() - start < LONGEST_END_S
    assert code == 128 + number
    assert log.rstrip().endswith("simulate: stopped: what was done is kept, and the next run goes on from there")
    assert "Traceback" not in log + terminal
    assert not Path("work", "outcomes.csv").exists()
    wait_for(lambda: not processes_below(here), LONGEST_END_S)


def hears_no_signal() -> None:
    """As in a long call of a compiled library, and where a callback has lost the exception."""
    while True:
        with suppress(SystemExit):
            Path("began").touch()
            time.sleep(60)


def holds_the_lock_of_logging() -> None:
    """As where a signal comes in a fork: its exception is lost, and so is what the fork would have done next."""
    logging._acquireLock()  # type: ignore[attr-defined]
    hears_no_signal()


@pytest.mark.parametrize("work", [hears_no_signal, holds_the_lock_of_logging])
def test_a_job_that_loses_the_signal_ends_too(work: Callable[[], None]) -> None:
    process = child(work)
    wait_for(Path("began").exists)
    start = time.monotonic()
    os.kill(process.pid, signal.SIGTERM)
    code, log, terminal = ended(process)
    assert time.monotonic() - start < LONGEST_END_S
    assert code == 128 + signal.SIGTERM
    assert "simulate: stopped" in log
    assert "simulate: stopped" in terminal


def test_a_second_signal_breaks_nothing_off() -> None:
    def work() -> None:
        try:
            Path("began").touch()
            time.sleep(60)
        finally:
            time.sleep(0.5)
            Path("kept").touch()

    process = child(work)
    wait_for(Path("began").exists)
    for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGINT):
        os.kill(process.pid, number)
        time.sleep(0.1)
    assert ended(process)[0] == 128 + signal.SIGTERM
    assert Path("kept").exists()


def test_hanging_and_crashing_references_cost_their_own_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call beyond its time limit and a segmentation fault are typed; all other frames are labelled."""
    monkeypatch.setenv(TIME_LIMIT_S, "0.5")
    mixed = frames(30)
    mixed[7].positions[0, 0] = fake_calculators.HANGS_AT_A
    mixed[20].positions[0, 0] = fake_calculators.DIES_AT_A
    start = time.monotonic()
    found = references.label(mixed, fake(signal=int(signal.SIGSEGV)), workers=2, store="labels")
    assert time.monotonic() - start < 30
    assert {index: one.status for index, one in enumerate(found) if one.status != "ok"} == {7: "timeout", 20: "crashed"}
    assert found[7].message == "it took longer than 0.5 s, see study.reference_time_limit_s"
    assert "SIGSEGV" in found[20].message
    # Neither is kept: with more time, or another build of the program, the frame may have a label.
    again = references.label([mixed[7]], fake(calls="calls"), workers=1, store="labels")
    assert again[0].status == "timeout"


def test_time_limit_is_for_each_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TIME_LIMIT_S, "0.4")
    found = references.label(frames(8), fake(sleep_s=0.1), workers=1, store="labels")
    assert {one.status for one in found} == {"ok"}
    time.sleep(0.5)


def test_job_that_labels_without_workers_outlives_the_time_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TIME_LIMIT_S, "0.3")

    def work() -> None:
        assert [one.status for one in references.label(frames(1), fake(sleep_s=60))] == ["timeout"]

    assert ended(child(work))[0] == 0


def die(*_: Any, **__: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize(("source", "work"), [(generate, sampled_dataset), (ice, sampled_ice)], ids=["generate", "ice"])
def test_killed_process_of_a_sampling_pool_is_one_sentence(
    source: Any, work: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source, "_sampled", die)
    with pytest.raises(InputError, match="a process that samples was killed: the memory did not suffice"):
        work()


def test_device_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert [resolve_device(wanted) for wanted in ("cpu", "auto")] == ["cpu", "cpu"]
    with pytest.raises(InputError, match=r"study\.device: cuda, but PyTorch finds no GPU here"):
        resolve_device("cuda")


def test_gpu_that_vanishes_in_md_leaves_a_checkpoint(here: Path) -> None:
    atoms, toy = bonded_molecule()
    protocol = Protocol(temperatures_K=[300.0], replicas=2, duration_ps=0.2, time_step_fs=0.5, bond_checks=False)
    compute, calls = toy.compute, []

    def vanishing(*arguments: Any) -> Any:
        calls.append(1)
        if len(calls) == 250:
            raise RuntimeError("CUDA error: the launch timed out and was terminated")
        return compute(*arguments)

    def run() -> None:
        toy.compute = vanishing
        simulate(toy, [atoms] * 2, protocol, 0, "work")

    code, log, _ = ended(child(run))
    assert (code, "simulate: gpu_lost: the GPU fails or is gone" in log) == (1, True)
    simulate(toy, [atoms] * 2, protocol, 0, "work")
    simulate(toy, [atoms] * 2, protocol, 0, "whole")
    assert_same(here / "whole", here / "work")


def test_what_a_killed_job_left_half_written_is_never_read_and_goes() -> None:
    def killed() -> None:
        with files.atomic_path(TABLE) as temporary:
            temporary.write_text("model,surv")
            os.kill(os.getpid(), signal.SIGKILL)

    assert ended(child(killed, output=[str(TABLE)]))[0] == -signal.SIGKILL
    (left,) = TABLE.parent.iterdir()
    assert left.suffix == TABLE.suffix
    assert left.read_text() == "model,surv"
    assert files.visible(TABLE.parent, "*.csv") == []
    assert ended(child(lambda: files.write_text(TABLE, "model\n"), output=[str(TABLE)]))[0] == 0
    assert list(TABLE.parent.iterdir()) == [TABLE]


# Around the jobs of a run.


@pytest.mark.parametrize(("kills", "cause"), [(7, KILLED), (8, OUT_OF_MEMORY)])
def test_run_names_the_jobs_that_were_killed(kills: int, cause: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("longhot.run.kernel_kills", lambda: 7)
    state = Path(".snakemake")
    LOG.with_name("earlier.log").write_text("cut off long ago")
    os.utime(LOG.with_name("earlier.log"), (1, 1))
    run = Run(state, "mine")
    for name, text in (
        ("done", "2026-01-01 simulate took 1.0 s of wall time, 1.0 s of core time and 100 MB"),
        ("said", "2026-01-01 simulate: disk_full: the disk is full"),
        ("code", "2026-01-01 simulate failed\nTraceback"),
        ("killed", "2026-01-01 continuing: 3 of 8 replicas have ended"),
    ):
        LOG.with_name(f"{name}.log").write_text(text)
    monkeypatch.setattr("longhot.run.kernel_kills", lambda: kills)
    killed = LOG.with_name("killed.log")
    assert run.killed() == [f"{killed}: {cause}"]
    assert f" simulate: {cause}\n" in killed.read_text()
    assert run.killed() == []


def test_the_kernel_counts_what_it_kills() -> None:
    assert kernel_kills() >= 0


def test_no_run_begins_where_nothing_can_be_written() -> None:
    Path("occupied").touch()
    with pytest.raises(InputError, match=r"^occupied/state: no run can begin here \(Not a directory\)"):
        Run(Path("occupied", "state"), "mine")


def holding(began: Any, go_on: Any) -> None:
    run = Run(Path(".snakemake"), "mine")
    run.begin()
    began.set()
    go_on.wait(60)


def test_one_run_of_a_study_at_a_time_and_no_lock_outlives_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that lives keeps its locks, those of one that was killed go, and other studies keep theirs."""
    monkeypatch.setattr("longhot.run.PATIENCE_S", 0.2)
    locks = Path(".snakemake", "locks")
    locks.mkdir(parents=True)
    (locks / "0.input.lock").write_text("data/mine.xyz\nresults/mine/tables/one.csv\n")
    (locks / "1.output.lock").write_text("results/mine/tables/two.csv\n")
    (locks / "2.output.lock").write_text("results/other/tables/two.csv\n")
    began, go_on = FORK.Event(), FORK.Event()
    process = FORK.Process(target=holding, args=[began, go_on])
    process.start()
    assert began.wait(60)
    (locks / "1.output.lock").write_text("results/mine/tables/two.csv\n")
    second = Run(Path(".snakemake"), "mine")
    with pytest.raises(InputError, match="another run of the study mine is going on in this folder"):
        second.begin()
    assert {path.name for path in locks.iterdir()} == {"1.output.lock", "2.output.lock"}
    Run(Path(".snakemake"), "other")
    process.kill()
    process.join()
    (locks / "2.output.lock").write_text("results/other/tables/two.csv\n")
    Run(Path(".snakemake"), "mine")
    assert {path.name for path in locks.iterdir()} == {"2.output.lock"}


def test_store_of_labels_is_shared_by_processes_at_once(here: Path) -> None:
    """The store of labels survives two studies that write to it at once, and a third that is killed in between."""
    barrier, calls = FORK.Barrier(3), Path("calls")

    def labelling(first: int) -> None:
        barrier.wait(60)
        references.label(frames(40, first_A=first), fake(calls="calls", sleep_s=0.01), workers=1, store="labels")

    workers = [FORK.Process(target=labelling, args=[first]) for first in (0, 0, 1)]
    for process in workers:
        process.start()
    wait_for(lambda: calls.exists() and len(calls.read_text().splitlines()) > 10)
    workers[2].kill()
    for process in workers:
        process.join(60)
    assert [process.exitcode for process in workers] == [0, 0, -signal.SIGKILL]
    before = calls.read_text()
    found = references.label(frames(40), fake(calls="calls", sleep_s=0.01), workers=1, store="labels")
    np.testing.assert_array_equal([one.energy_eV for one in found], [(a.positions**2).sum() / 2 for a in frames(40)])
    assert calls.read_text() == before
