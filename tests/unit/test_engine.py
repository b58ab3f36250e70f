"""The engine: same numbers in any batch, after any kill, whatever else fails; and little overhead."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import ase.io
import h5py
import numpy as np
import pytest
from ase import Atoms
from toy_potentials import Springs, ethanol

from longhot.block import InputError
from longhot.config import Protocol
from longhot.dynamics.engine import WORK_FOLDER, choose_starts, simulate
from longhot.dynamics.trajectory import Ring, export_extxyz, read_numbers, read_replica
from longhot.langevin import Stream, draw_noise, draw_velocities
from longhot.potential import BatchResult, halved_sizes

PROTOCOL = Protocol(temperatures_K=[500], replicas=3, duration_ps=0.4, frame_interval_fs=20, checkpoint_interval_s=1e-3)


def run(directory: Path, potential: Springs | None = None, protocol: Protocol = PROTOCOL, **more: object) -> Path:
    starts = [ethanol() for _ in range(protocol.replicas)]
    simulate(potential or Springs(), starts, protocol, 7, directory, **more)  # type: ignore[arg-type]
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
    rows = outcomes(tmp_path)
    for replica in range(3):
        frames, last = read_replica(tmp_path / "frames.h5", 500.0, replica)
        np.testing.assert_allclose(frames.time_ps, np.arange(0, 0.4001, 0.02))
        assert frames.positions_A.shape == (21, 9, 3)
        np.testing.assert_array_equal(frames.positions_A[0], ethanol().positions)
        assert last is None
    assert read_numbers(tmp_path / "frames.h5").tolist() == ethanol().numbers.tolist()
    assert list(rows[0])[:7] == ["dataset", "model", "train_size", "seed", "temperature_K", "replica", "outcome"]
    assert [(row["replica"], row["outcome"], row["simulated_ps"]) for row in rows] == [
        (str(replica), "completed", "0.4") for replica in range(3)
    ]
    assert rows[0]["failure_time_ps"] == ""
    assert not (tmp_path / WORK_FOLDER).exists()


def test_stored_energy_belongs_to_the_stored_positions(tmp_path: Path) -> None:
    frames, _ = read_replica(run(tmp_path) / "frames.h5", 500.0, 1)
    energies = Springs().batch(ethanol(), len(frames)).compute(frames.positions_A).energy_eV
    np.testing.assert_array_equal(energies, frames.energy_eV)


def trajectory(directory: Path, replica: int, temperature_K: float = 500.0) -> np.ndarray:
    return read_replica(directory / "frames.h5", temperature_K, replica)[0].positions_A


def test_replica_is_the_same_alone_and_in_a_batch(tmp_path: Path) -> None:
    run(tmp_path / "1", protocol=changed(replicas=1))
    run(tmp_path / "3")
    run(tmp_path / "6", protocol=changed(temperatures_K=[300, 500]))
    for other in ("3", "6"):
        np.testing.assert_array_equal(trajectory(tmp_path / "1", 0), trajectory(tmp_path / other, 0))
    assert not np.array_equal(trajectory(tmp_path / "3", 0)[-1], trajectory(tmp_path / "3", 1)[-1])


def changed(**settings: object) -> Protocol:
    return Protocol.model_validate(PROTOCOL.model_dump() | settings)


@pytest.mark.parametrize("places", [1, 2, 4, 5])
def test_places_are_refilled_and_nothing_else_changes(tmp_path: Path, places: int) -> None:
    """Intervals that are no divisors of a block, so that the grids of late starters differ from the run's."""
    odd = {"temperatures_K": [300, 500], "duration_ps": 0.377, "frame_interval_fs": 13, "check_interval_fs": 3.5}
    run(tmp_path / "all", Springs(fault=whoever_stretches), changed(**odd))
    run(tmp_path / "few", Springs(fault=whoever_stretches), changed(**odd, batch_replicas=places))
    assert_same(tmp_path / "all", tmp_path / "few")
    ends = [row["outcome"] for row in outcomes(tmp_path / "all")]
    assert "completed" in ends
    assert "bond_broken" in ends


def whoever_stretches(call: int, positions: np.ndarray, result: BatchResult) -> BatchResult:
    """H8 leaves any replica in which it is further than 1.16 A from its carbon."""
    bonds = positions[:, 8] - positions[:, 0]
    lengths = np.linalg.norm(bonds, axis=1)
    long = lengths > 1.16
    result.forces_eV_per_A[long, 8] = 10 * bonds[long] / lengths[long, None]
    return result


def test_batch_shrinks_as_replicas_end(tmp_path: Path) -> None:
    sizes = []

    class Watched(Springs):
        def batch(self, atoms: Atoms, n_replicas: int):
            sizes.append(n_replicas)
            return super().batch(atoms, n_replicas)

        def batch_sizes(self, n_replicas: int) -> list[int]:
            return halved_sizes(n_replicas)

    run(tmp_path, Watched(fault=whoever_stretches), changed(temperatures_K=[300, 700], replicas=4, duration_ps=1))
    assert sizes[0] == 8
    assert len(sizes) > 1
    assert set(sizes) <= {8, 4, 2, 1}


def test_noise_and_velocities_depend_on_the_replica_and_not_on_the_batch() -> None:
    masses = ethanol().get_masses()
    streams = [Stream(5, 300.0, replica) for replica in range(3)]
    np.testing.assert_array_equal(draw_noise(streams[2:], [4], 9)[:, 0], draw_noise(streams, [0, 1, 4], 9)[:, 2])
    others = [Stream(6, 300.0, 2), Stream(5, 300.0, 1), Stream(5, 301.0, 2)]
    noise = [draw_noise([stream], [4], 9) for stream in (streams[2], *others)] + [draw_noise(streams[2:], [5], 9)]
    for other in noise[1:]:
        assert not np.isin(noise[0], other).any()
    drawn = draw_velocities(streams[2], masses)
    assert not any(np.isin(drawn, draw_velocities(stream, masses)).any() for stream in others)


def test_failure_of_one_replica_leaves_the_others_alone(tmp_path: Path) -> None:
    run(tmp_path / "sound")
    run(tmp_path / "faulty", Springs(fault=breaking))
    rows = outcomes(tmp_path / "faulty")
    assert [row["outcome"] for row in rows] == ["completed", "bond_broken", "completed"]
    for replica in (0, 2):
        np.testing.assert_array_equal(trajectory(tmp_path / "sound", replica), trajectory(tmp_path / "faulty", replica))
    cut = trajectory(tmp_path / "faulty", 1)
    assert 0 < len(cut) < len(trajectory(tmp_path / "sound", 1))
    assert np.isfinite(cut).all()


def test_frames_before_a_failure_are_kept_at_check_intervals(tmp_path: Path) -> None:
    run(tmp_path, Springs(fault=breaking))
    frames, last = read_replica(tmp_path / "frames.h5", 500.0, 1)
    assert last is not None
    failure_ps = float(outcomes(tmp_path)[1]["failure_time_ps"])
    assert last.time_ps[-1] == failure_ps
    np.testing.assert_allclose(np.diff(last.time_ps), 0.005)
    assert frames.time_ps[-1] < failure_ps
    lengths = np.linalg.norm(last.positions_A[:, 8] - last.positions_A[:, 0], axis=1)
    assert lengths[-1] > 1.6 * 1.07 > lengths[-2]


def test_frames_around_a_failure_name_the_atoms(tmp_path: Path) -> None:
    run(tmp_path, Springs(fault=breaking))
    movie = ase.io.read(tmp_path / "failures.extxyz", ":")
    row = outcomes(tmp_path)[1]
    assert row["atoms"] == "0 8"
    _, last = read_replica(tmp_path / "frames.h5", 500.0, 1)
    assert last is not None
    assert len(movie) == len(last)
    assert [frame.info["failed"] for frame in movie] == [False] * (len(last) - 1) + [True]
    assert movie[-1].info["time_ps"] == float(row["failure_time_ps"])
    assert {(frame.info["replica"], frame.info["outcome"], frame.info["cause"]) for frame in movie} == {
        (1, "bond_broken", row["cause"])
    }
    assert np.flatnonzero(movie[0].arrays["offending"]).tolist() == [0, 8]
    np.testing.assert_allclose(movie[-1].positions, last.positions_A[-1], atol=1e-7)


def test_run_without_failures_leaves_an_empty_movie(tmp_path: Path) -> None:
    assert (run(tmp_path) / "failures.extxyz").read_text(encoding="utf-8") == ""


def test_trajectory_goes_out_as_extended_xyz(tmp_path: Path) -> None:
    run(tmp_path)
    export_extxyz(tmp_path / "frames.h5", ethanol(), 500.0, 2, tmp_path / "out.xyz")
    frames, written = read_replica(tmp_path / "frames.h5", 500.0, 2)[0], ase.io.read(tmp_path / "out.xyz", ":")
    assert len(written) == len(frames)
    for index, frame in enumerate(written):
        np.testing.assert_allclose(frame.positions, frames.positions_A[index], atol=1e-7)
        assert frame.info["time_ps"] == pytest.approx(frames.time_ps[index])


def test_file_is_h5md(tmp_path: Path) -> None:
    """The elements that H5MD 1.1 asks for, and units; step and time are shared by links, not stored twice."""
    run(tmp_path)
    with h5py.File(tmp_path / "frames.h5") as h5:
        assert h5["h5md"].attrs["version"].tolist() == [1, 1]
        assert {"author", "creator"} <= set(h5["h5md"])
        group = h5["particles/T500_replica0001"]
        assert group["position/value"].attrs["unit"] == "Angstrom"
        assert group["position/time"].attrs["unit"] == "ps"
        np.testing.assert_array_equal(group["position/step"][:], np.arange(21) * 40)
        assert group["box"].attrs["dimension"] == 3
        assert group["box"].attrs["boundary"].tolist() == [b"none"] * 3
        energy = h5["observables/T500_replica0001/potential_energy"]
        assert energy["value"].attrs["unit"] == "eV"
        assert energy["step"] == group["position/step"]


def test_ring_keeps_the_last_checks_in_order() -> None:
    ring = Ring(2, 1)
    for check in range(50):
        live, two = np.array([True, check < 7]), np.full(2, check)
        ring.add(two, np.full((2, 1, 3), check), np.full((2, 3, 3), check), two, two, live)
    np.testing.assert_array_equal(ring.of(0).time_ps, np.arange(30, 50))
    np.testing.assert_array_equal(ring.of(0).positions_A[:, 0, 0], np.arange(30, 50))
    np.testing.assert_array_equal(ring.of(1).energy_eV, np.arange(7))


def test_run_that_ends_by_failure_stops_at_once(tmp_path: Path) -> None:
    def all_nan(call: int, positions: np.ndarray, result: BatchResult) -> BatchResult:
        return BatchResult(result.energy_eV * np.nan, result.forces_eV_per_A) if call >= 50 else result

    potential = Springs(fault=all_nan)
    run(tmp_path, potential)
    assert {(row["outcome"], row["failure_time_ps"]) for row in outcomes(tmp_path)} == {("nonfinite", "0.025")}
    assert read_replica(tmp_path / "frames.h5", 500.0, 0)[0].time_ps.tolist() == [0.0, 0.02]


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

        def remembering(positions: np.ndarray, cell_A: np.ndarray | None = None) -> BatchResult:
            result = compute(positions, cell_A)
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
    assert calls - before <= 801 - stop_at + 100, "it started anew"
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
    assert [start.info["start_index"] for start in choose_starts(frames, "test", 1)] == [0]
    again = choose_starts(frames, "test_hot", 6)
    assert [start.info["start_index"] for start in again] == [8, 9, 10, 11, 8, 9]
    np.testing.assert_array_equal(again[1].positions, frames[9].positions)
    with pytest.raises(InputError, match=r"start_set: no test set 'cold', use one of test, test_hot"):
        choose_starts(frames, "cold", 4)


def test_starts_of_different_molecules_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="differ in their atoms"):
        simulate(Springs(), [ethanol(), Atoms("H2O")], PROTOCOL, 0, tmp_path)


class Nothing:
    """No forces at no cost."""

    def batch(self, atoms: Atoms, n_replicas: int):
        self.result = BatchResult(np.zeros(n_replicas), np.zeros((n_replicas, len(atoms), 3)))
        return self

    def batch_sizes(self, n_replicas: int) -> list[int]:
        return [n_replicas]

    def compute(self, positions_A: np.ndarray, cell_A: np.ndarray | None = None) -> BatchResult:
        return self.result


def test_overhead_of_a_step_is_small(tmp_path: Path) -> None:
    """Under 0.1 ms of core time for 16 ethanol molecules, checks and frames included; the best of three."""

    def core_s(duration_ps: float) -> float:
        protocol = Protocol(temperatures_K=[1e-3], replicas=16, duration_ps=duration_ps, friction_per_ps=1e-9)
        start = time.process_time()
        simulate(Nothing(), [ethanol()] * 16, protocol, 0, tmp_path)  # type: ignore[arg-type]
        used = time.process_time() - start
        assert {row["outcome"] for row in outcomes(tmp_path)} == {"completed"}
        return used

    core_s(0.05)  # imports
    assert min(core_s(0.55) - core_s(0.05) for _ in range(3)) / 1000 < 100e-6
