"""A reference in a process of its own: the same numbers, a typed label for what ends it, and no process left behind."""

from __future__ import annotations

import csv
import logging
import multiprocessing
import os
import signal
import tempfile
import time
from pathlib import Path
from typing import Any

import fake_calculators
import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from test_label_workers import alive, fake

from longhot import files, references
from longhot.block import InputError
from longhot.config import Protocol
from longhot.dynamics.engine import simulate
from longhot.frames import labelled
from longhot.models import FitTask, nonml
from longhot.references import _guard, xtb
from longhot.references._time_limit import TIME_LIMIT_S

XTB = references.parse({"method": "xtb"})
SITES_A = fake_calculators.Traps.SITES_A
LIMIT_S = 0.5
TOO_LONG = f"it took longer than {LIMIT_S:g} s, see study.reference_time_limit_s"


@pytest.fixture(autouse=True)
def limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TIME_LIMIT_S, str(LIMIT_S))


def traps(number: int | None = None) -> Any:
    return fake("Traps", **({} if number is None else {"signal": int(number)}))


def at(x_A: float) -> Atoms:
    return Atoms("H2", positions=SITES_A + np.array([(x_A, 0, 0), (0, 0, 0)]))


def children() -> set[int]:
    """Processes that this one has started and that are not collected."""
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[1]) == os.getpid():
                found.add(int(entry.name))
    return found


def test_batch_gives_the_numbers_of_this_process_bit_for_bit() -> None:
    """Each replica with a calculator of its own, over several calls, with a failed frame among them."""
    atoms, rng = molecule("CH3OH"), np.random.default_rng(0)
    batch = references.ReferencePotential(XTB).batch(atoms, 3)
    here = [references.InProcessLabeller(XTB) for _ in range(3)]
    for step in range(4):
        positions_A = atoms.positions + 0.1 * rng.normal(size=(3, 6, 3))
        if step == 2:
            positions_A[1, 0] = np.nan
        found = batch.compute(positions_A)
        for place, labeller in enumerate(here):
            moved = atoms.copy()
            moved.positions = positions_A[place]
            expected = labeller(moved)
            np.testing.assert_array_equal(found.energy_eV[place], expected.energy_eV)
            np.testing.assert_array_equal(found.forces_eV_per_A[place], expected.forces_eV_per_A)
        assert list(found.errors) == ([1] if step == 2 else [])
    assert found.forces_eV_per_A.flags.writeable


def test_cells_reach_the_reference() -> None:
    config = references.parse({"method": "lammps"})
    atoms = Atoms("O2", [(0, 0, 0), (2.7, 0, 0)], cell=[9, 9, 9], pbc=True)
    cells_A = np.stack([np.eye(3) * length for length in (9.0, 5.0)])
    found = references.ReferencePotential(config).batch(atoms, 2).compute(np.stack([atoms.positions] * 2), cells_A)
    for cell_A, energy_eV in zip(cells_A, found.energy_eV, strict=True):
        moved = atoms.copy()
        moved.set_cell(cell_A)
        assert references.InProcessLabeller(config)(moved).energy_eV == energy_eV
    assert found.energy_eV[0] != found.energy_eV[1]


@pytest.mark.parametrize("forked", [False, True], ids=["program", "fork"])
@pytest.mark.parametrize(
    ("number", "expected"),
    [(None, f"timeout: {TOO_LONG}"), (signal.SIGSEGV, "crashed: its worker process ended with signal 11 (SIGSEGV)")],
    ids=["hangs", "segfault"],
)
def test_replica_that_ends_the_process_is_typed_and_the_others_are_computed(
    number: int | None, expected: str, forked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = XTB if forked else traps(number)
    if forked:
        monkeypatch.setattr(xtb, "calculator", lambda *_: fake_calculators.Traps(number))
    batch = references.ReferencePotential(config).batch(at(0.0), 3)
    positions_A = np.stack([at(x).positions for x in (0.5, fake_calculators.Traps.TRAP_A, 1.0)])
    found = batch.compute(positions_A)
    assert found.errors == {1: expected}
    assert np.isnan(found.energy_eV[1])
    np.testing.assert_array_equal(found.forces_eV_per_A[::2], SITES_A - positions_A[::2])
    # The same frame again is not tried, and costs no second process.
    start = time.monotonic()
    again = batch.compute(positions_A)
    assert time.monotonic() - start < LIMIT_S / 2
    assert again.errors == found.errors
    np.testing.assert_array_equal(again.forces_eV_per_A, found.forces_eV_per_A)


PROTOCOL = Protocol(
    temperatures_K=[1000.0],
    replicas=3,
    duration_ps=0.05,
    time_step_fs=1.0,
    frame_interval_fs=10.0,
    check_interval_fs=10.0,
    bond_checks=False,
)


def outcomes(folder: Path) -> list[dict[str, str]]:
    with (folder / "outcomes.csv").open() as file:
        return [{**row, "wall_s": ""} for row in csv.DictReader(file)]


@pytest.mark.parametrize(
    ("number", "expected"),
    [(None, f"timeout: {TOO_LONG}"), (signal.SIGSEGV, "crashed: its worker process ended with signal 11 (SIGSEGV)")],
    ids=["hangs", "segfault"],
)
def test_md_ends_the_replica_whose_frame_hangs_or_crashes_and_no_other(
    number: int | None, expected: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """One replica swings into the trap; it ends there, the same in each run, and leaves no process."""
    caplog.set_level(logging.INFO, "longhot")
    before = children()
    starts = [at(x) for x in (0.1, 2.0, 0.2)]
    for name in ("one", "two"):
        simulate(references.ReferencePotential(traps(number)), starts, PROTOCOL, 0, tmp_path / name)
    rows = outcomes(tmp_path / "one")
    assert [row["outcome"] for row in rows] == ["completed", "engine_error", "completed"]
    assert rows[1]["cause"] == expected
    assert 0 < float(rows[1]["failure_time_ps"]) < 0.02
    assert rows == outcomes(tmp_path / "two")
    assert f"the reference has no label for a frame: {expected.replace(': ', ', ', 1)}" in caplog.text
    assert f"1000 K, replica 1: engine_error after {float(rows[1]['failure_time_ps']):g} ps, {expected}" in caplog.text
    assert children() <= before


def test_calls_outside_of_md_are_typed_too() -> None:
    """Single labels, predictions, and the fit of the baseline."""
    frames = [at(0.5), at(fake_calculators.Traps.TRAP_A), at(1.0)]
    for found in (
        references.label(frames, traps()),
        references.ReferencePotential(traps()).predict(frames),
        [references.Labeller(traps())(frame) for frame in frames],
    ):
        assert [one.status for one in found] == ["ok", "timeout", "ok"]
        assert found[1].message == TOO_LONG
        assert found[1].forces_eV_per_A.shape == (2, 3)


def test_fit_of_the_baseline_leaves_out_what_its_method_dies_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    frames = [at(0.5), at(fake_calculators.Traps.TRAP_A), at(1.0)]
    train = [labelled(frame, 1.0, np.zeros((2, 3))) for frame in frames]
    block = {"family": "nonml", "reference_method": traps(signal.SIGSEGV).model_dump()}
    nonml.fit(nonml.Config(**block), FitTask(train, [], {}, 0, tmp_path, "cpu"))
    assert "1 of 3 training frames failed and are left out" in caplog.text
    found = nonml.load(tmp_path).predict(frames)
    assert [one.status for one in found] == ["ok", "crashed", "ok"]


def test_isolated_atom_that_crashes_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xtb, "calculator", lambda *_: fake_calculators.Springs(signal=signal.SIGSEGV))
    monkeypatch.setattr(fake_calculators, "DIES_AT_A", 0.0)
    with pytest.raises(InputError, match=r"no energy for an isolated H atom \(its worker process ended with signal 11"):
        references.isolated_atom_energy_eV("H", XTB)


def test_method_that_cannot_be_set_up() -> None:
    for made in (references.Labeller, lambda config: references.ReferencePotential(config).predict([at(0.0)])):
        with pytest.raises(InputError, match="refuses its arguments"):
            made(fake(nonsense=1))
        with pytest.raises(InputError, match="ended with exit code 3 while it was set up"):
            made(fake(exit_code=3))


def test_calculators_are_made_anew_only_where_they_may_remember(tmp_path: Path) -> None:
    made = []
    for config, n_made in ((fake(calls=str(tmp_path / "calls")), 2), (XTB, 1)):
        batch = references.ReferencePotential(config).batch(at(0.0), 1)
        replicas = _guard._Replicas(config, None)
        first = replicas._labellers[0]
        question = ([0], at(0.3).positions.tobytes(), None, _guard.pack(at(0.0)))
        batch.reset()
        replicas.answer((*question, batch._guard._forget))
        made.append(1 + (replicas._labellers[0] is not first))
        assert made[-1] == n_made


def endless(config: Any, pid_file: Path) -> None:
    """A batch that computes without an end, and notes the process that does."""
    batch = references.ReferencePotential(config).batch(at(0.0), 1)
    batch.compute(at(0.5).positions[None])
    process: Any = batch._guard._process
    pid_file.write_text(str(process._process.pid))
    while True:
        batch.compute(at(0.5).positions[None] + np.random.default_rng().normal(0, 0.01, (1, 2, 3)))


@pytest.mark.parametrize("config", [XTB, traps()], ids=["fork", "program"])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["SIGKILL", "SIGTERM"])
def test_process_ends_with_the_job(config: Any, number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the job dies of, and nothing is left in the folder of temporary files."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    job = multiprocessing.get_context("fork").Process(target=endless, args=[config, tmp_path / "pid"])
    job.start()
    deadline = time.monotonic() + 60
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.kill(job.pid, number)
    job.join(30)
    worker = int((tmp_path / "pid").read_text())
    while alive(worker) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not alive(worker)
    assert list(scratch.iterdir()) == []


def test_interruption_in_a_call_leaves_no_answer_for_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xtb, "calculator", lambda *_: fake_calculators.Springs(sleep_s=0.3))
    batch = references.ReferencePotential(XTB).batch(at(0.0), 1)

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    handler = signal.signal(signal.SIGUSR1, interrupt)
    try:
        batch.compute(at(0.1).positions[None])
        multiprocessing.get_context("fork").Process(target=tell, args=[os.getpid()]).start()
        with pytest.raises(KeyboardInterrupt):
            batch.compute(at(0.2).positions[None])
    finally:
        signal.signal(signal.SIGUSR1, handler)
    positions_A = at(0.3).positions[None]
    np.testing.assert_array_equal(batch.compute(positions_A).forces_eV_per_A, -positions_A)


def tell(pid: int) -> None:
    time.sleep(0.1)
    os.kill(pid, signal.SIGUSR1)


def test_fork_keeps_no_lock_of_the_job(tmp_path: Path) -> None:
    """A lock lasts as long as any process has the file open."""
    batch = references.ReferencePotential(XTB).batch(at(0.0), 1)
    with (tmp_path / "log").open("w") as log:
        files.lock(log, "busy")
        batch.compute(at(0.5).positions[None])
    with (tmp_path / "log").open("w") as log:
        files.lock(log, "busy")
