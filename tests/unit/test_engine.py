"""The engine: same numbers in any batch, after any kill, whatever else fails; and little overhead."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
from ase import Atoms
from toy_potentials import Springs, ethanol

from longhot.block import InputError
from longhot.config import Protocol
from longhot.dynamics.engine import WORK_FOLDER, choose_starts, simulate
from longhot.dynamics.trajectory import Ring, read_replica
from longhot.langevin import draw_noise, draw_velocities
from longhot.potential import BatchResult

PROTOCOL = Protocol(temperatures_K=[500], replicas=3, duration_ps=0.4, frame_interval_fs=20, checkpoint_interval_s=1e-3)


def run(directory: Path, potential: Springs | None = None, protocol: Protocol = PROTOCOL, **more: object) -> Path:
    starts = [ethanol() for _ in range(protocol.replicas)]
    simulate(potential or Springs(), starts, protocol, 500.0, 7, directory, **more)  # type: ignore[arg-type]
    return directory


def outcomes(directory: Path, with_wall: bool = True) -> list[dict[str, str]]:
    with (directory / "outcomes.csv").open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    return [{name: text for name, text in row.items() if with_wall or name != "wall_s"} for row in rows]


def contents(directory: Path) -> dict[str, np.ndarray]:
    found = {}
    with h5py.File(directory / "frames.h5") as h5:
        h5.visititems(lambda name, item: found.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None)
    return found


def assert_same(first: Path, second: Path) -> None:
    """Equal to the last bit, but for the wall time."""
    one, other = contents(first), contents(second)
    assert one.keys() == other.keys()
    for name, values in one.items():
        np.testing.assert_array_equal(values, other[name], err_msg=name)
    assert outcomes(first, with_wall=False) == outcomes(second, with_wall=False)


def breaking(call: int, positions: np.ndarray, result: BatchResult) -> BatchResult:
    """H8 of replica 1 leaves once it is further than 1.15 A from its carbon: a fault of place, not of time."""
    bond = positions[1, 8] - positions[1, 0]
    length = np.linalg.norm(bond)
    if length > 1.15:
        result.forces_eV_per_A[1, 8] = 10 * bond / length
    return result


def test_files_hold_what_the_protocol_asks(tmp_path: Path) -> None:
    run(tmp_path, ids={"dataset": "d", "model": "m", "train_size": 25})
    found, rows = contents(tmp_path), outcomes(tmp_path)
    np.testing.assert_allclose(found["time_ps"], np.arange(0, 0.4001, 0.02))
    assert found["positions_A"].shape == (21, 3, 9, 3)
    np.testing.assert_array_equal(found["positions_A"][0, 2], ethanol().positions)
    assert list(found["n_frames"]) == [21, 21, 21]
    assert list(rows[0])[:7] == ["dataset", "model", "train_size", "seed", "temperature_K", "replica", "outcome"]
    assert [(row["replica"], row["outcome"], row["simulated_ps"]) for row in rows] == [
        (str(replica), "completed", "0.4") for replica in range(3)
    ]
    assert rows[0]["failure_time_ps"] == ""
    assert not (tmp_path / WORK_FOLDER).exists()


def test_stored_energy_belongs_to_the_stored_positions(tmp_path: Path) -> None:
    found = contents(run(tmp_path))
    batch = Springs().batch(ethanol(), 3)
    for positions, energy in zip(found["positions_A"], found["energy_eV"], strict=True):
        np.testing.assert_array_equal(batch.compute(positions).energy_eV, energy)


def test_replica_is_the_same_alone_and_in_a_batch(tmp_path: Path) -> None:
    alone = PROTOCOL.model_copy(update={"replicas": 1})
    one, three = contents(run(tmp_path / "1", protocol=alone)), contents(run(tmp_path / "3"))
    np.testing.assert_array_equal(one["positions_A"][:, 0], three["positions_A"][:, 0])
    assert not np.array_equal(three["positions_A"][-1, 0], three["positions_A"][-1, 1])


def test_noise_and_velocities_depend_on_the_replica_and_not_on_the_batch() -> None:
    masses = ethanol().get_masses()
    np.testing.assert_array_equal(draw_noise(5, [2], 4, 9)[:, 0], draw_noise(5, range(3), 4, 9)[:, 2])
    np.testing.assert_array_equal(
        draw_velocities(5, [2], masses, 300.0)[0], draw_velocities(5, range(3), masses, 300.0)[2]
    )
    noise = [
        draw_noise(seed, [replica], block, 9) for seed, replica, block in ((5, 2, 4), (6, 2, 4), (5, 3, 4), (5, 2, 5))
    ]
    for other in noise[1:]:
        assert not np.isin(noise[0], other).any()


def test_failure_of_one_replica_leaves_the_others_alone(tmp_path: Path) -> None:
    sound, faulty = contents(run(tmp_path / "sound")), contents(run(tmp_path / "faulty", Springs(fault=breaking)))
    rows = outcomes(tmp_path / "faulty")
    assert [row["outcome"] for row in rows] == ["completed", "bond_broken", "completed"]
    for replica in (0, 2):
        np.testing.assert_array_equal(sound["positions_A"][:, replica], faulty["positions_A"][:, replica])
    n_frames = int(faulty["n_frames"][1])
    assert np.isfinite(faulty["positions_A"][:n_frames, 1]).all()
    assert np.isnan(faulty["positions_A"][n_frames:, 1]).all()
    assert np.isnan(faulty["energy_eV"][n_frames:, 1]).all()


def test_frames_before_a_failure_are_kept_at_check_intervals(tmp_path: Path) -> None:
    run(tmp_path, Springs(fault=breaking))
    frames, last = read_replica(tmp_path / "frames.h5", 1)
    assert last is not None
    failure_ps = float(outcomes(tmp_path)[1]["failure_time_ps"])
    assert last.time_ps[-1] == failure_ps
    np.testing.assert_allclose(np.diff(last.time_ps), 0.005)
    assert frames.time_ps[-1] < failure_ps
    lengths = np.linalg.norm(last.positions_A[:, 8] - last.positions_A[:, 0], axis=1)
    assert lengths[-1] > 1.6 * 1.07 > lengths[-2]
    assert read_replica(tmp_path / "frames.h5", 0)[1] is None


def test_ring_keeps_the_last_checks_in_order() -> None:
    ring = Ring((2, 1, 3))
    for check in range(50):
        live = np.array([True, check < 7])
        ring.add(check, np.full((2, 1, 3), check), np.full(2, check), np.full(2, check), live)
    np.testing.assert_array_equal(ring.of(0).time_ps, np.arange(30, 50))
    np.testing.assert_array_equal(ring.of(0).positions_A[:, 0, 0], np.arange(30, 50))
    np.testing.assert_array_equal(ring.of(1).energy_eV, np.arange(7))


def test_run_that_ends_by_failure_stops_at_once(tmp_path: Path) -> None:
    def all_nan(call: int, positions: np.ndarray, result: BatchResult) -> BatchResult:
        return BatchResult(result.energy_eV * np.nan, result.forces_eV_per_A) if call >= 50 else result

    potential = Springs(fault=all_nan)
    run(tmp_path, potential)
    assert {(row["outcome"], row["failure_time_ps"]) for row in outcomes(tmp_path)} == {("nonfinite", "0.025")}
    assert contents(tmp_path)["time_ps"].tolist() == [0.0, 0.02]


def test_time_limit_censors_the_live(tmp_path: Path) -> None:
    limited = PROTOCOL.model_copy(update={"time_limit_s": 0.2})
    run(tmp_path, Springs(sleep_s=0.002), limited)
    for row in outcomes(tmp_path):
        assert row["outcome"] == "timeout"
        assert row["failure_time_ps"] == ""
        assert 0 < float(row["simulated_ps"]) < 0.4
        assert "0.2 s" in row["cause"]


class History(Springs):
    """Springs whose numbers depend a little on how often they were asked since ``reset``, as an SCF's do."""

    def batch(self, atoms: Atoms, n_replicas: int):
        batch = super().batch(atoms, n_replicas)
        compute = batch.compute

        def remembering(positions: np.ndarray) -> BatchResult:
            result = compute(positions)
            return BatchResult(result.energy_eV, result.forces_eV_per_A * (1 + 1e-9 * batch.calls))

        batch.compute = remembering  # type: ignore[method-assign]
        batch.reset = lambda: setattr(batch, "calls", 0)  # type: ignore[attr-defined]
        return batch


@pytest.mark.parametrize("stop_at", [1, 99, 100, 101, 350, 799])
def test_interrupted_run_ends_the_same(tmp_path: Path, stop_at: int) -> None:
    calls = 0

    def interrupt(call: int, positions: np.ndarray, result: BatchResult) -> BatchResult:
        nonlocal calls
        calls += 1
        if calls == stop_at + 1:
            raise KeyboardInterrupt
        return breaking(call, positions, result)

    run(tmp_path / "whole", History(fault=breaking))
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "broken", History(fault=interrupt))
    assert not (tmp_path / "broken/outcomes.csv").exists()
    before = calls
    run(tmp_path / "broken", History(fault=interrupt))
    assert calls - before <= 800 - stop_at + 100, "it started anew"
    assert_same(tmp_path / "whole", tmp_path / "broken")


def test_checkpoint_of_another_run_is_not_continued(tmp_path: Path) -> None:
    def interrupt(call: int, positions: np.ndarray, result: BatchResult) -> BatchResult:
        if call == 350:
            raise KeyboardInterrupt
        return result

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "stale", Springs(30.0, interrupt), identity="old")
    run(tmp_path / "stale", identity="new")
    run(tmp_path / "fresh", identity="new")
    assert_same(tmp_path / "fresh", tmp_path / "stale")


_CHILD = """
import sys
from pathlib import Path
sys.path[:0] = {paths!r}
from test_engine import History, breaking, run
run(Path({directory!r}), History(fault=breaking, sleep_s=0.001))
"""


@pytest.mark.parametrize("kind", [signal.SIGKILL, signal.SIGTERM])
def test_killed_process_is_continued_bit_by_bit(tmp_path: Path, kind: signal.Signals) -> None:
    here = Path(__file__).parent
    code = _CHILD.format(paths=[str(here), str(here.parents[1] / "workflow")], directory=str(tmp_path / "killed"))
    child = subprocess.Popen([sys.executable, "-c", code], env={**os.environ, "OMP_NUM_THREADS": "1"})
    checkpoint, deadline = tmp_path / "killed" / WORK_FOLDER / "checkpoint.npz", time.monotonic() + 60
    while not checkpoint.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.1)
    child.send_signal(kind)
    code = child.wait(30)
    assert code == (-kind if kind == signal.SIGKILL else 128 + kind)
    assert checkpoint.exists()
    run(tmp_path / "killed", History(fault=breaking))
    run(tmp_path / "whole", History(fault=breaking))
    assert_same(tmp_path / "whole", tmp_path / "killed")


def test_starts_are_spread_over_one_test_set() -> None:
    frames = [ethanol() for _ in range(12)]
    for index, frame in enumerate(frames):
        frame.info["test_set"] = "test" if index < 8 else "test_hot"
        frame.positions += index
    assert [start.info["start_index"] for start in choose_starts(frames, "test", 4)] == [0, 2, 5, 7]
    again = choose_starts(frames, "test_hot", 6)
    assert [start.info["start_index"] for start in again] == [8, 9, 10, 11, 8, 9]
    np.testing.assert_array_equal(again[1].positions, frames[9].positions)
    with pytest.raises(InputError, match=r"start_set: no test set 'cold', use one of test, test_hot"):
        choose_starts(frames, "cold", 4)


def test_starts_of_different_molecules_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="differ in their atoms"):
        simulate(Springs(), [ethanol(), Atoms("H2O")], PROTOCOL, 500.0, 0, tmp_path)


class Nothing:
    """No forces at no cost."""

    def batch(self, atoms: Atoms, n_replicas: int):
        self.result = BatchResult(np.zeros(n_replicas), np.zeros((n_replicas, len(atoms), 3)))
        return self

    def compute(self, positions_A: np.ndarray) -> BatchResult:
        return self.result


def test_overhead_of_a_step_is_small(tmp_path: Path) -> None:
    """Under 0.1 ms of core time for 16 ethanol molecules, checks and frames included; the best of three."""

    def core_s(duration_ps: float) -> float:
        protocol = Protocol(temperatures_K=[1], replicas=16, duration_ps=duration_ps, friction_per_ps=1e-9)
        start = time.process_time()
        simulate(Nothing(), [ethanol()] * 16, protocol, 1e-3, 0, tmp_path)  # type: ignore[arg-type]
        used = time.process_time() - start
        assert {row["outcome"] for row in outcomes(tmp_path)} == {"completed"}
        return used

    core_s(0.05)  # imports
    assert min(core_s(0.55) - core_s(0.05) for _ in range(3)) / 1000 < 100e-6
