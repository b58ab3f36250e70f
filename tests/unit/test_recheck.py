"""Recheck: which frames are chosen, and the numbers that come of them, by hand."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from toy_potentials import Springs, ethanol

from longhot.block import InputError
from longhot.config import Protocol, Recheck
from longhot.dynamics.engine import simulate
from longhot.dynamics.recheck import COLUMNS, choose_frames, committee_force_std, recheck
from longhot.dynamics.trajectory import Snapshots
from longhot.potential import BatchResult, Label


def snapshots(times_ps: Sequence[float]) -> Snapshots:
    times = np.array(times_ps, dtype=float)
    return Snapshots(times, times[:, None, None] * np.ones((1, 2, 3)), times, times)


def chosen(frames: Snapshots, last: Snapshots | None, n_even: int, n_before: int) -> tuple[list[float], list[bool]]:
    found, late = choose_frames(frames, last, n_even, n_before)
    np.testing.assert_array_equal(found.positions_A[:, 0, 0], found.time_ps)
    return found.time_ps.tolist(), late.tolist()


def test_frames_are_even_and_leave_out_the_start() -> None:
    assert chosen(snapshots(range(101)), None, 4, 5) == ([25, 50, 75, 100], [False] * 4)


def test_short_run_gives_each_frame_once() -> None:
    assert chosen(snapshots(range(4)), None, 10, 5) == ([1, 2, 3], [False] * 3)


def test_replica_that_never_moved_gives_nothing() -> None:
    assert chosen(snapshots([0]), snapshots([0]), 10, 5) == ([], [])


def test_frames_before_failure_leave_out_the_failed_one_and_doubles() -> None:
    frames, last = snapshots(range(0, 101, 10)), snapshots(range(92, 107, 2))
    assert chosen(frames, last, 2, 5) == ([50, 96, 98, 100, 102, 104], [False, True, True, False, True, True])
    assert chosen(frames, last, 2, 0) == ([50, 100], [False, False])


def test_failure_before_the_first_stored_frame_still_gives_its_checks() -> None:
    assert chosen(snapshots([0]), snapshots([0, 1, 2, 3]), 10, 5) == ([1, 2], [True, True])


def test_frames_that_are_not_finite_are_not_chosen() -> None:
    frames, last = snapshots(range(5)), snapshots(range(4, 8))
    frames.positions_A[2] = np.nan
    frames.energy_eV[3] = np.inf
    last.positions_A[1] = np.nan
    assert chosen(frames, last, 4, 5)[0] == [1, 4, 6]


def test_committee_force_std_by_hand() -> None:
    """One atom, two members that differ by 2 in x alone: variance 2, 0, 0, so the root of 2/3."""
    forces = np.array([[[1.0, 5.0, 5.0]], [[3.0, 5.0, 5.0]]])
    assert committee_force_std(forces) == pytest.approx(np.sqrt(2 / 3))


class Shifted:
    """A potential whose forces and energy are the springs' plus constants."""

    def __init__(self, force: float, energy: float, status: str = "ok") -> None:
        self.force, self.energy, self.status = force, energy, status

    def predict(self, frames: Sequence[Atoms]) -> list[Label]:
        labels = Springs().predict(frames)
        return [
            Label(one.energy_eV + self.energy, one.forces_eV_per_A + self.force, self.status, "no luck")  # type: ignore[arg-type]
            for one in labels
        ]

    def batch(self, atoms: Atoms, n_replicas: int) -> None:
        raise AssertionError("not asked")


@pytest.fixture(scope="module")
def simulation(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two replicas; the second fails at 0.06 ps."""

    def fault(call: int, positions: np.ndarray, result: BatchResult) -> BatchResult:
        if call >= 120:
            result.forces_eV_per_A[1] = np.nan
        return result

    directory = tmp_path_factory.mktemp("simulation")
    protocol = Protocol(temperatures_K=[300], replicas=2, duration_ps=0.1, frame_interval_fs=10)
    ids = {"dataset": "d", "model": "m", "train_size": 25}
    simulate(Springs(fault=fault), [ethanol()] * 2, protocol, 300.0, 4, directory, ids=ids)
    return directory


def rows(simulation: Path, output: Path, model: object, committee: Sequence[object], label: object) -> list[dict]:
    recheck(
        simulation / "frames.h5",
        simulation / "outcomes.csv",
        ethanol(),
        output,
        reference="springs",
        label=label,  # type: ignore[arg-type]
        model=model,  # type: ignore[arg-type]
        committee=committee,  # type: ignore[arg-type]
        settings=Recheck(frames_per_replica=5, frames_before_failure=3),
    )
    with output.open(newline="") as handle:
        reader = csv.DictReader(handle)
        assert tuple(reader.fieldnames or ()) == COLUMNS
        return list(reader)


def test_errors_are_the_models_minus_the_references(simulation: Path, tmp_path: Path) -> None:
    found = rows(simulation, tmp_path / "r.csv", Shifted(-0.03, -0.9), [Shifted(0.01, 0.0)], Springs().predict)
    assert [(row["replica"], float(row["time_ps"]), row["before_failure"]) for row in found] == [
        *(("0", time, "False") for time in (0.02, 0.04, 0.06, 0.08, 0.1)),
        *(("1", time, "False") for time in (0.01, 0.02, 0.03, 0.04)),
        ("1", 0.045, "True"),
        ("1", 0.05, "False"),
        ("1", 0.055, "True"),
    ]
    for row in found:
        assert (row["dataset"], row["model"], row["train_size"], row["seed"]) == ("d", "m", "25", "4")
        assert (row["reference"], row["reference_status"], row["model_status"]) == ("springs", "ok", "ok")
        assert float(row["force_mae_meV_per_A"]) == pytest.approx(30.0)
        assert float(row["energy_error_meV_per_atom"]) == pytest.approx(-100.0)
        # Two members that differ by 0.04 everywhere: their standard deviation is 0.04 / sqrt(2).
        assert float(row["committee_force_std_meV_per_A"]) == pytest.approx(40 / np.sqrt(2))


def test_failed_reference_keeps_its_row(simulation: Path, tmp_path: Path) -> None:
    def label(frames: Sequence[Atoms]) -> list[Label]:
        labels = Springs().predict(frames)
        return [Label(np.nan, np.full((9, 3), np.nan), "not_converged", "250 cycles"), *labels[1:]]

    found = rows(simulation, tmp_path / "r.csv", Springs(), [], label)
    assert (found[0]["reference_status"], found[0]["message"]) == ("not_converged", "250 cycles")
    assert found[0]["force_mae_meV_per_A"] == found[0]["energy_error_meV_per_atom"] == ""
    assert [float(row["force_mae_meV_per_A"]) for row in found[1:]] == [0.0] * (len(found) - 1)
    assert {row["committee_force_std_meV_per_A"] for row in found} == {""}


def test_failed_member_leaves_the_committee_empty(simulation: Path, tmp_path: Path) -> None:
    broken = Shifted(0.0, 0.0, "nonfinite")
    found = rows(simulation, tmp_path / "r.csv", Springs(), [broken], Springs().predict)
    assert {(row["committee_force_std_meV_per_A"], row["model_status"]) for row in found} == {("", "ok")}
    found = rows(simulation, tmp_path / "r.csv", broken, [], Springs().predict)
    assert {(row["force_mae_meV_per_A"], row["model_status"]) for row in found} == {("", "nonfinite")}


def test_atoms_of_another_molecule_are_refused(simulation: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not those of the test set"):
        recheck(
            simulation / "frames.h5",
            simulation / "outcomes.csv",
            Atoms("H2O"),
            tmp_path / "r.csv",
            reference="springs",
            label=Springs().predict,
            model=Springs(),  # type: ignore[arg-type]
            committee=[],
            settings=Recheck(),
        )
