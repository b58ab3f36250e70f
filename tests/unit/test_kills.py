"""A run that is stopped anywhere and taken up again leaves what an unbroken run leaves, to the last bit."""

from __future__ import annotations

import csv
import itertools
import multiprocessing
import os
import signal
import time
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from known_potentials import Toy, bonded_crystal, bonded_molecule

from longhot import references
from longhot.config import Protocol
from longhot.dynamics.engine import OUTPUTS, WORK_FOLDER, simulate
from longhot.langevin import BLOCK_STEPS
from longhot.potential import BatchResult, Potential

N_KILLS = 300
KILL_SEED = 20
MEAN_LIFE_S = 0.05
"""Of a process that is killed at a random moment; a run takes a few of these."""
STRIKES = 12
"""Files are written in fewer steps than this between two kills."""
REFILLS = 10
"""Calls of a block besides its steps: replicas that begin are computed once before."""
DEADLINE_S = 60.0


class Fragile:
    """A toy whose replicas fail by what they do, not by when or where in the batch, and whose numbers remember.

    A replica that has gone far from where it was made breaks, gives NaN, or fails to converge, by its own
    positions alone. As in a self-consistent field, the forces depend a little on how often a batch was
    asked since its ``reset``, and so they show every reset that is missing.
    """

    def __init__(self, toy: Toy, atoms: Atoms, reach_A: float, sleep_s: float = 0.0) -> None:
        self.toy, self.reach_A, self.sleep_s = toy, reach_A, sleep_s
        self.made = atoms.get_scaled_positions(wrap=False) if atoms.pbc.any() else atoms.positions
        self.interrupt_at: int | None = None
        self.n_calls = 0

    def batch(self, atoms: Atoms, n_replicas: int) -> FragileBatch:
        self.toy.batch(atoms, n_replicas)
        return FragileBatch(self)

    def batch_sizes(self, n_replicas: int) -> list[int]:
        return list(range(n_replicas, 0, -1))


class FragileBatch:
    def __init__(self, potential: Fragile) -> None:
        self.potential, self.n_since_reset = potential, 0

    def reset(self) -> None:
        self.n_since_reset = 0

    def compute(self, positions_A: np.ndarray, cell_A: np.ndarray | None = None) -> BatchResult:
        whole = self.potential
        whole.n_calls += 1
        if whole.n_calls == whole.interrupt_at:
            raise KeyboardInterrupt
        time.sleep(whole.sleep_s)
        result = whole.toy.compute(positions_A, cell_A)
        forces = result.forces_eV_per_A * (1 + 1e-9 * self.n_since_reset)
        self.n_since_reset += 1
        made = whole.made if cell_A is None else whole.made @ cell_A
        away = positions_A - made
        # From its own centre, which moves freely, and in one direction for each kind of failure.
        away = away - away.mean(axis=1, keepdims=True)
        forces[away[:, 0, 0] > whole.reach_A] = np.nan
        errors = dict.fromkeys(np.flatnonzero(away[:, 1, 1] > whole.reach_A).tolist(), "not_converged: it went too far")
        return BatchResult(result.energy_eV, forces, errors)


REACH_A = {"nvt": 0.55, "nve": 0.42, "npt": 0.27}
"""How far an atom must go for its replica to fail, such that some do."""


def system(ensemble: str, sleep_s: float = 0.0) -> tuple[Fragile, list[Atoms], Protocol]:
    """Eight replicas at two temperatures in three places, some of which fail."""
    atoms, toy = bonded_crystal() if ensemble == "npt" else bonded_molecule()
    protocol = Protocol(
        ensemble=ensemble,
        temperatures_K=[300.0, 900.0],
        replicas=4,
        batch_replicas=3,
        duration_ps=0.53,
        time_step_fs=1.0,
        friction_per_ps=20.0,
        pressure_bar=2000.0,
        bond_checks=False,
        frame_interval_fs=7.0,
        check_interval_fs=3.0,
        checkpoint_interval_s=1e-3,
    )
    starts = [atoms.copy() for _ in range(protocol.replicas)]
    for number, start in enumerate(starts):
        start.rattle(0.02, seed=number)
    return Fragile(toy, atoms, REACH_A[ensemble], sleep_s), starts, protocol


def run(directory: Path, ensemble: str, sleep_s: float = 0.0, interrupt_at: int | None = None) -> int:
    """Run to the end, or to an interrupt at some call of the potential; the number of calls."""
    potential, starts, protocol = system(ensemble, sleep_s)
    potential.interrupt_at = interrupt_at
    try:
        simulate(potential, starts, protocol, 5, directory)  # type: ignore[arg-type]
    except KeyboardInterrupt:
        assert not (directory / "outcomes.csv").exists()
    return potential.n_calls


def outcomes(directory: Path) -> list[dict[str, str]]:
    """Rows of outcomes.csv but for the wall time."""
    with (directory / "outcomes.csv").open(newline="", encoding="utf-8") as handle:
        return [{name: text for name, text in row.items() if name != "wall_s"} for row in csv.DictReader(handle)]


def contents(directory: Path) -> dict[str, np.ndarray]:
    """Every dataset of frames.h5."""
    found: dict[str, np.ndarray] = {}
    with h5py.File(directory / "frames.h5") as h5:
        h5.visititems(lambda name, item: found.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None)
    return found


def assert_same(one: Path, other: Path) -> None:
    """The same bits in every number that a run leaves, but for wall times."""
    first, second = contents(one), contents(other)
    assert first.keys() == second.keys()
    for name, values in first.items():
        assert values.tobytes() == second[name].tobytes(), name
    assert outcomes(one) == outcomes(other)
    assert (one / "failures.extxyz").read_bytes() == (other / "failures.extxyz").read_bytes()
    assert not (other / WORK_FOLDER).exists()


@pytest.fixture(scope="module", params=REACH_A)
def unbroken(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path, int]:
    """Ensemble, folder and number of calls of a run that nothing stops."""
    directory = tmp_path_factory.mktemp(request.param)
    return request.param, directory, run(directory, request.param)


def test_the_run_has_what_a_restart_may_lose(unbroken: tuple[str, Path, int]) -> None:
    """Failures, places that were given on, and cells that change where they should."""
    ensemble, directory, n_calls = unbroken
    rows = outcomes(directory)
    assert {"completed", "engine_error"} <= {row["outcome"] for row in rows}
    assert n_calls > 2 * 530
    boxes = [values for name, values in contents(directory).items() if name.endswith("edges/value")]
    assert len(boxes) == (len(rows) if ensemble == "npt" else 0)
    assert all(len(box) < 30 or np.ptp(np.linalg.det(box)) > 0.1 for box in boxes)


@pytest.mark.parametrize("calls", ["in every block", "at random"])
def test_stopped_again_and_again(unbroken: tuple[str, Path, int], tmp_path: Path, calls: str) -> None:
    """Each run goes on from what the one before left, once from the end of each block and once by chance."""
    ensemble, whole, _ = unbroken
    generator, n_runs = np.random.default_rng(0), 0
    while not (tmp_path / "outcomes.csv").exists():
        run(tmp_path, ensemble, interrupt_at=BLOCK_STEPS + 20 if calls == "in every block" else generator.integers(400))
        n_runs += 1
    assert n_runs > 5
    assert_same(whole, tmp_path)


@pytest.mark.parametrize("unbroken", ["nvt"], indirect=True)
@pytest.mark.parametrize("failing", range(len(OUTPUTS) + 1))
def test_stopped_while_the_outputs_are_put_in_place(
    tmp_path: Path, unbroken: tuple[str, Path, int], monkeypatch: pytest.MonkeyPatch, failing: int
) -> None:
    ensemble, whole, n_calls = unbroken
    counter = itertools.count()
    replace = Path.replace

    def stopping(self: Path, target: Path) -> Path:
        if Path(target).name in OUTPUTS and next(counter) == failing:
            raise KeyboardInterrupt
        return replace(self, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", stopping)
        if failing == len(OUTPUTS):
            patched.setattr("shutil.rmtree", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt()))
        potential, starts, protocol = system(ensemble)
        with pytest.raises(KeyboardInterrupt):
            simulate(potential, starts, protocol, 5, tmp_path)  # type: ignore[arg-type]
    assert run(tmp_path, ensemble) < n_calls / 2, "it started anew"
    assert_same(whole, tmp_path)


def test_reference_stopped_at_random_steps(tmp_path: Path) -> None:
    """GFN2-xTB, hot methanol, with places that are refilled."""
    potential = references.ReferencePotential(references.parse({"method": "xtb"}))
    protocol = Protocol(
        temperatures_K=[1000.0],
        replicas=3,
        batch_replicas=2,
        duration_ps=0.13,
        time_step_fs=0.5,
        frame_interval_fs=5.0,
        checkpoint_interval_s=1e-3,
    )
    starts = [molecule("CH3OH") for _ in range(3)]
    simulate(potential, starts, protocol, 5, tmp_path / "whole")
    for calls in (37, 250, 170):
        with pytest.raises(KeyboardInterrupt):
            simulate(Stopping(potential, calls), starts, protocol, 5, tmp_path / "stopped")
    simulate(potential, starts, protocol, 5, tmp_path / "stopped")
    assert_same(tmp_path / "whole", tmp_path / "stopped")


class Stopping:
    """A potential that is interrupted after so many calls."""

    def __init__(self, potential: Potential, calls: int) -> None:
        self.potential, self.left = potential, calls

    def batch_sizes(self, n_replicas: int) -> list[int]:
        return self.potential.batch_sizes(n_replicas)

    def batch(self, atoms: Atoms, n_replicas: int) -> Any:
        batch = self.potential.batch(atoms, n_replicas)
        compute = batch.compute

        def counted(*arguments: Any) -> BatchResult:
            self.left -= 1
            if self.left < 0:
                raise KeyboardInterrupt
            return compute(*arguments)

        batch.compute = counted  # type: ignore[method-assign]
        return batch


class Wells:
    """Atoms on springs, which cost next to nothing; a number that all processes share counts what was computed."""

    def __init__(self, start: Atoms, n_calls: Any) -> None:
        self.made, self.n_calls = start.positions, n_calls

    def batch(self, atoms: Atoms, n_replicas: int) -> Wells:
        return self

    def batch_sizes(self, n_replicas: int) -> list[int]:
        return list(range(n_replicas, 0, -1))

    def compute(self, positions_A: np.ndarray, cell_A: np.ndarray | None = None) -> BatchResult:
        self.n_calls.value += 1
        away = positions_A - self.made
        return BatchResult(0.5 * (away**2).sum(axis=(1, 2)), -away)


def run_wells(directory: Path, n_calls: Any, strike: int | None = None) -> None:
    """Three short trajectories with a checkpoint after each block; ``strike`` as for ``die_while_writing``."""
    if strike is not None:
        die_while_writing(strike)
    start = molecule("H2O")
    protocol = Protocol(
        temperatures_K=[300.0],
        replicas=3,
        batch_replicas=2,
        duration_ps=0.53,
        time_step_fs=1.0,
        bond_checks=False,
        frame_interval_fs=7.0,
        check_interval_fs=5.0,
        checkpoint_interval_s=1e-3,
    )
    simulate(Wells(start, n_calls), [start] * 3, protocol, 5, directory)  # type: ignore[arg-type]


def die_while_writing(strike: int) -> None:
    """Let SIGKILL come at one of the steps in which files are written: half-way, before it is synced or renamed."""
    counter = itertools.count(1)

    def due() -> bool:
        return next(counter) == strike

    def die() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    write_bytes, replace, fsync = Path.write_bytes, Path.replace, os.fsync

    def half_written(self: Path, content: bytes) -> int:
        if due():
            write_bytes(self, content[: len(content) // 2])
            die()
        return write_bytes(self, content)

    def replaced(self: Path, target: Path) -> Path:
        if due():
            die()
        return replace(self, target)

    def synced(handle: int) -> None:
        if due():
            die()
        fsync(handle)

    Path.write_bytes, Path.replace, os.fsync = half_written, replaced, synced  # type: ignore[method-assign,assignment]


def test_process_killed_three_hundred_times(tmp_path: Path) -> None:
    """SIGKILL at random moments, and at random steps of writing a checkpoint: the same bits, and little done twice."""
    context = multiprocessing.get_context("fork")
    n_calls, whole = context.Value("q", 0, lock=False), tmp_path / "whole"
    run_wells(whole, n_calls)
    n_unbroken, n_kills, n_while_writing = n_calls.value, 0, 0
    generator = np.random.default_rng(KILL_SEED)
    for number in itertools.count():
        directory, n_calls.value, n_struck = tmp_path / str(number), 0, 0
        while not (directory / "outcomes.csv").exists():
            strike = int(generator.integers(1, STRIKES)) if generator.random() < 0.5 else None
            child = context.Process(target=run_wells, args=(directory, n_calls, strike))
            child.start()
            child.join(DEADLINE_S if strike else generator.exponential(MEAN_LIFE_S))
            child.kill()
            child.join(DEADLINE_S)
            assert child.exitcode in (0, -signal.SIGKILL)
            n_struck += child.exitcode != 0
            n_while_writing += bool(strike) and child.exitcode != 0
        assert n_calls.value <= n_unbroken + (n_struck + 1) * (BLOCK_STEPS + REFILLS), "work was lost"
        # A kill after the outputs leaves all as it shall be but the work folder, whole or half removed.
        run_wells(directory, n_calls) if (directory / WORK_FOLDER).exists() else None
        assert_same(whole, directory)
        n_kills += n_struck
        if n_kills >= N_KILLS:
            break
    assert n_while_writing > N_KILLS / 5
