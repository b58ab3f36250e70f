"""Recheck: which frames are chosen, and the numbers that come of them, by hand."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from toy_potentials import Springs, ethanol

from longhot import references
from longhot.block import InputError
from longhot.config import Protocol, Recheck
from longhot.dynamics import recheck as recheck_module
from longhot.dynamics.engine import simulate
from longhot.dynamics.recheck import COLUMNS, choose_frames, recheck, spread_of
from longhot.dynamics.trajectory import Snapshots
from longhot.potential import BatchResult, Label
from longhot.uncertainty.committee import Committee

EVEN, BEFORE, SPREAD = "even", "before_failure", "highest_spread"


def snapshots(times_ps: Sequence[float]) -> Snapshots:
    times = np.array(times_ps, dtype=float)
    positions = times[:, None, None] * np.ones((1, 2, 3))
    return Snapshots(times, positions, times[:, None, None] * np.eye(3), times, times)


def chosen(
    frames: Snapshots,
    last: Snapshots | None,
    n_even: int,
    n_before: int,
    n_spread: int = 0,
    spread: Sequence[float] | None = None,
) -> list[tuple[float, str]]:
    settings = Recheck(frames_per_replica=n_even, frames_before_failure=n_before, frames_highest_spread=n_spread)
    found, choices = choose_frames(frames, last, None if spread is None else np.array(spread, dtype=float), settings)
    np.testing.assert_array_equal(found.positions_A[:, 0, 0], found.time_ps)
    np.testing.assert_array_equal(found.cell_A[:, 0, 0], found.time_ps)
    return list(zip(found.time_ps.tolist(), choices, strict=True))


def test_frames_are_even_and_leave_out_the_start() -> None:
    assert chosen(snapshots(range(101)), None, 4, 5) == [(25, EVEN), (50, EVEN), (75, EVEN), (100, EVEN)]


def test_short_run_gives_each_frame_once() -> None:
    assert chosen(snapshots(range(4)), None, 10, 5) == [(1, EVEN), (2, EVEN), (3, EVEN)]


def test_replica_that_never_moved_gives_nothing() -> None:
    assert chosen(snapshots([0]), snapshots([0]), 10, 5, 3, [7.0]) == []


def test_replica_without_a_frame_gives_nothing() -> None:
    """It failed on its start frame, or waited until time ran out."""
    assert chosen(snapshots([]), snapshots([0]), 10, 5, 3, []) == []
    assert chosen(snapshots([]), None, 1, 0) == []


def test_frames_before_failure_leave_out_the_failed_one_and_doubles() -> None:
    frames, last = snapshots(range(0, 101, 10)), snapshots(range(92, 107, 2))
    expected = [(50, EVEN), (96, BEFORE), (98, BEFORE), (100, EVEN), (102, BEFORE), (104, BEFORE)]
    assert chosen(frames, last, 2, 5) == expected
    assert chosen(frames, last, 2, 0) == [(50, EVEN), (100, EVEN)]


def test_failure_before_the_first_stored_frame_still_gives_its_checks() -> None:
    assert chosen(snapshots([0]), snapshots([0, 1, 2, 3]), 10, 5) == [(1, BEFORE), (2, BEFORE)]


def test_frames_of_highest_spread_come_on_top() -> None:
    """The start has the highest of all and is left out; an even frame and one before a failure stay what they are."""
    spread = [99, 1, 5, 2, 6, 3, 9, 4, 8, 0, 7]
    frames = snapshots(range(11))
    assert chosen(frames, None, 2, 0, 3, spread) == [(5, EVEN), (6, SPREAD), (8, SPREAD), (10, EVEN)]
    expected = [(5, EVEN), (6, BEFORE), (8, SPREAD), (10, EVEN)]
    assert chosen(frames, snapshots([6, 6.5]), 2, 1, 3, spread) == expected
    assert chosen(frames, None, 2, 0, 0, spread) == [(5, EVEN), (10, EVEN)]


def test_frames_without_spread_are_not_those_of_the_highest() -> None:
    spread = [np.nan, 1, np.nan, 3, 2]
    assert chosen(snapshots(range(5)), None, 1, 0, 2, spread) == [(3, SPREAD), (4, EVEN)]


def test_frames_that_are_not_finite_are_not_chosen() -> None:
    frames, last = snapshots(range(5)), snapshots(range(4, 8))
    frames.positions_A[2] = np.nan
    frames.energy_eV[3] = np.inf
    last.positions_A[1] = np.nan
    assert [time for time, _ in chosen(frames, last, 4, 5, 5, [1, 2, 3, 4, 5])] == [1, 4, 6]


class Shifted:
    """A potential whose forces and energy are the springs' plus constants; ``slope`` lets the forces grow with x."""

    def __init__(self, force: float, energy: float, status: str = "ok", slope: float = 0.0) -> None:
        self.force, self.energy, self.status, self.slope = force, energy, status, slope
        self.n_frames: list[int] = []

    def predict(self, frames: Sequence[Atoms]) -> list[Label]:
        self.n_frames.append(len(frames))
        labels = Springs().predict(frames)
        shifts = [self.force + self.slope * frame.positions[0, 0] for frame in frames]
        return [
            Label(one.energy_eV + self.energy, one.forces_eV_per_A + shift, self.status, "no luck")  # type: ignore[arg-type]
            for one, shift in zip(labels, shifts, strict=True)
        ]

    def batch(self, atoms: Atoms, n_replicas: int) -> Any:
        raise AssertionError("not asked")

    def batch_sizes(self, n_replicas: int) -> Any:
        raise AssertionError("not asked")


@pytest.fixture(scope="module")
def simulation(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two temperatures with two replicas each; one of the four fails at 0.06 ps."""

    def fault(call: int, positions: np.ndarray, result: BatchResult) -> BatchResult:
        if call >= 120:
            result.forces_eV_per_A[1] = np.nan
        return result

    directory = tmp_path_factory.mktemp("simulation")
    protocol = Protocol(temperatures_K=[300, 600], replicas=2, duration_ps=0.1, frame_interval_fs=10)
    ids = {"dataset": "d", "model": "m", "train_size": 25}
    simulate(Springs(fault=fault), [ethanol()] * 2, protocol, 4, directory, ids=ids)
    return directory


def rows(
    simulation: Path, output: Path, model: Any, others: Sequence[Any], label: Any, template: Atoms | None = None
) -> list[dict[str, str]]:
    recheck(
        simulation / "frames.h5",
        simulation / "outcomes.csv",
        ethanol() if template is None else template,
        output,
        reference="springs",
        label=label,
        model=model,
        others=others,
        settings=Recheck(frames_per_replica=5, frames_before_failure=3, frames_highest_spread=2),
    )
    with output.open(newline="") as handle:
        reader = csv.DictReader(handle)
        assert tuple(reader.fieldnames or ()) == COLUMNS
        return list(reader)


def trajectories(simulation: Path) -> list[tuple[float, int, str]]:
    with (simulation / "outcomes.csv").open(newline="") as handle:
        outcomes = list(csv.DictReader(handle))
    found = [(float(row["temperature_K"]), int(row["replica"]), row["outcome"]) for row in outcomes]
    assert sorted(outcome for *_, outcome in found) == ["completed"] * 3 + ["nonfinite"]
    return found


def kinds(found: Sequence[dict[str, str]], temperature_K: float, replica: int) -> list[tuple[float, str]]:
    own = [row for row in found if (float(row["temperature_K"]), row["replica"]) == (temperature_K, str(replica))]
    return [(float(row["time_ps"]), row["choice"]) for row in own]


def test_errors_are_the_models_minus_the_references(simulation: Path, tmp_path: Path) -> None:
    found = rows(simulation, tmp_path / "r.csv", Shifted(-0.03, -0.9), [], Springs().predict)
    whole = [(time, EVEN) for time in (0.02, 0.04, 0.06, 0.08, 0.1)]
    even = [(time, EVEN) for time in (0.01, 0.02, 0.03, 0.04)]
    for temperature_K, replica, outcome in trajectories(simulation):
        failed = [*even, (0.045, BEFORE), (0.05, EVEN), (0.055, BEFORE)]
        assert kinds(found, temperature_K, replica) == (whole if outcome == "completed" else failed)
    for row in found:
        assert (row["dataset"], row["model"], row["train_size"], row["seed"]) == ("d", "m", "25", "4")
        assert (row["reference"], row["reference_status"], row["model_status"]) == ("springs", "ok", "ok")
        assert (row["attempts"], row["message"]) == ("1", "")
        assert float(row["force_mae_meV_per_A"]) == pytest.approx(30.0)
        assert float(row["energy_error_meV_per_atom"]) == pytest.approx(-100.0)
        assert row["committee_force_std_meV_per_A"] == ""


def test_spread_of_a_long_trajectory_is_looked_at_on_an_even_part(simulation: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(recheck_module, "MAX_CANDIDATES", 3)
    temperature_K, replica, _ = next(one for one in trajectories(simulation) if one[2] == "completed")
    stored, _ = recheck_module.read_replica(simulation / "frames.h5", temperature_K, replica)
    spread = spread_of(stored, ethanol(), Committee([Shifted(0.0, 0.0), Shifted(0.01, 0.0, slope=1.0)]))
    assert np.flatnonzero(np.isfinite(spread)).tolist() == [0, 5, 10]
    nothing = spread_of(
        recheck_module._take(stored, np.array([], dtype=int)), ethanol(), Committee([Shifted(0.0, 0.0)] * 2)
    )
    assert nothing.shape == (0,), "a replica that failed at once"


def test_frames_of_highest_spread_are_found_over_all_stored_ones(simulation: Path, tmp_path: Path) -> None:
    """The spread of the two members is 0.04 + |slope x| over root 2: it grows with the first atom's x."""
    other = Shifted(0.01, 0.0, slope=1.0)
    found = rows(simulation, tmp_path / "r.csv", Shifted(-0.03, -0.9), [other], Springs().predict)
    # 11 stored frames of each unbroken replica and 6 of the failed one; then the chosen ones.
    assert sorted(other.n_frames[:-1]) == [6, 11, 11, 11]
    assert other.n_frames[-1] == len(found)
    assert sum(row["choice"] == SPREAD for row in found) > 0
    for temperature_K, replica, outcome in trajectories(simulation):
        stored, _ = recheck_module.read_replica(simulation / "frames.h5", temperature_K, replica)
        spread = np.abs(0.04 + stored.positions_A[:, 0, 0]) / np.sqrt(2)
        members = Committee([Shifted(-0.03, 0.0), Shifted(0.01, 0.0, slope=1.0)])
        np.testing.assert_allclose(spread_of(stored, ethanol(), members), spread)
        if outcome == "completed":
            highest = 1 + np.argsort(spread[1:])[-2:]  # of frames 0.01 ps apart, of which every second is even
            extra = [0.01 * index for index in sorted(highest) if index % 2]
            assert [time for time, kind in kinds(found, temperature_K, replica) if kind == SPREAD] == pytest.approx(
                extra
            )
            for row in found:
                if (float(row["temperature_K"]), int(row["replica"])) == (temperature_K, replica):
                    own = spread[round(float(row["time_ps"]) / 0.01)]
                    assert float(row["committee_force_std_meV_per_A"]) == pytest.approx(1e3 * own)


def test_frames_and_both_forces_stand_beside_the_table(simulation: Path, tmp_path: Path) -> None:
    def label(frames: Sequence[Atoms]) -> list[Label]:
        return [Label(np.nan, np.full((9, 3), np.nan), "crashed"), *Springs().predict(frames)[1:]]

    found = rows(simulation, tmp_path / "r.csv", Shifted(-0.03, 0.0), [], label)
    stored = recheck_module.RecheckedFrames.load(tmp_path / "r.npz")
    assert stored.positions_A.shape == (len(found), 9, 3)
    np.testing.assert_array_equal(stored.numbers, ethanol().numbers)
    assert not stored.pbc.any()
    for index, row in enumerate(found):
        frames, last = recheck_module.read_replica(
            simulation / "frames.h5", float(row["temperature_K"]), int(row["replica"])
        )
        source = last if row["choice"] == BEFORE else frames
        assert source is not None
        (place,) = np.flatnonzero(source.time_ps == float(row["time_ps"]))
        np.testing.assert_array_equal(stored.positions_A[index], source.positions_A[place])
    shift = stored.model_forces_eV_per_A - stored.reference_forces_eV_per_A
    assert np.isnan(shift[0]).all(), "the reference failed on the first frame"
    np.testing.assert_allclose(shift[1:], -0.03, atol=1e-6)
    first = (tmp_path / "r.npz").read_bytes()
    rows(simulation, tmp_path / "r.csv", Shifted(-0.03, 0.0), [], label)
    assert (tmp_path / "r.npz").read_bytes() == first


def test_failed_reference_keeps_its_row(simulation: Path, tmp_path: Path) -> None:
    def label(frames: Sequence[Atoms]) -> list[Label]:
        labels = Springs().predict(frames)
        return [Label(np.nan, np.full((9, 3), np.nan), "not_converged", "250 cycles", attempts=2), *labels[1:]]

    found = rows(simulation, tmp_path / "r.csv", Springs(), [], label)
    assert (found[0]["reference_status"], found[0]["message"], found[0]["attempts"]) == (
        "not_converged",
        "250 cycles",
        "2",
    )
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
        rows(simulation, tmp_path / "r.csv", Springs(), [], Springs().predict, template=Atoms("H2O"))


def test_periodic_frames_have_their_own_cell_and_molecules_none() -> None:
    frames = snapshots([0, 5, 6])
    periodic, alone = Atoms("H2", cell=[9, 9, 9], pbc=True), Atoms("H2")
    made = recheck_module.frame_of(periodic, frames, 2)
    np.testing.assert_array_equal(made.cell.array, 6 * np.eye(3))
    np.testing.assert_array_equal(made.positions, np.full((2, 3), 6.0))
    assert periodic.cell[0, 0] == 9
    assert recheck_module.frame_of(alone, frames, 2).cell.rank == 0


def test_second_recheck_labels_nothing(simulation: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """With the store of the references behind it, and with the same rows."""
    caplog.set_level("INFO", "longhot")
    config = references.parse({"method": "xtb"})
    model = references.ReferencePotential(config, store=tmp_path / "labels")
    found = []
    for name in ("first.csv", "second.csv"):
        with references.new_workers(config, 2, tmp_path / "labels") as pool:
            found.append(rows(simulation, tmp_path / name, model, [], pool.label))
    assert found[0] == found[1]
    # The control is the same method: what it predicts is known once the reference has labelled.
    assert {row["force_mae_meV_per_A"] for row in found[0]} == {"0.0"}
    assert caplog.text.count("labelled ") == 1
