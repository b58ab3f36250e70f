"""Committees: mean and spread by hand, and members that give no numbers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from toy_potentials import Springs, ethanol

from longhot.block import InputError
from longhot.config import Protocol
from longhot.dynamics.engine import simulate
from longhot.dynamics.trajectory import read_replica
from longhot.potential import BatchResult, Label, LabelStatus, every_size, halved_sizes
from longhot.uncertainty.committee import Committee, committee_force_std

N_REPLICAS = 3


class Shifted:
    """Springs whose energy and forces carry constants; it may fail, or shrink to sizes of its own."""

    def __init__(
        self,
        energy: float = 0.0,
        force: float = 0.0,
        status: LabelStatus = "ok",
        lost: float = np.nan,
        every: bool = True,
    ) -> None:
        self.energy, self.force, self.status, self.lost, self.every = energy, force, status, lost, every
        self.resets = 0

    def predict(self, frames: Sequence[Atoms]) -> list[Label]:
        labels = Springs().predict(frames)
        if self.status != "ok":
            return [Label(np.nan, np.full_like(one.forces_eV_per_A, np.nan), self.status, "no luck") for one in labels]
        return [Label(one.energy_eV + self.energy, one.forces_eV_per_A + self.force, wall_s=0.5) for one in labels]

    def batch(self, atoms: Atoms, n_replicas: int) -> Shifted:
        return self

    def batch_sizes(self, n_replicas: int) -> list[int]:
        return every_size(n_replicas) if self.every else halved_sizes(n_replicas)

    def reset(self) -> None:
        self.resets += 1

    def compute(self, positions_A: np.ndarray, cell_A: np.ndarray | None = None) -> BatchResult:
        found = Springs().batch(ethanol(), len(positions_A)).compute(positions_A)
        energy, forces = found.energy_eV + self.energy, found.forces_eV_per_A + self.force
        if cell_A is not None:
            energy = energy + cell_A[:, 0, 0]
        if self.status != "ok":
            forces[1, 4, 2] = self.lost
        return BatchResult(energy, forces, {1: "no luck"} if self.status == "crashed" else {})


def moved() -> np.ndarray:
    return ethanol().positions + np.random.default_rng(0).normal(0.0, 0.05, (N_REPLICAS, 9, 3))


def frames() -> list[Atoms]:
    return [Atoms("C2OH6", positions=positions) for positions in moved()]


def test_identical_members_are_the_member_itself_without_spread() -> None:
    found = Committee([Springs()] * 4).batch(ethanol(), N_REPLICAS).compute(moved())
    alone = Springs().batch(ethanol(), N_REPLICAS).compute(moved())
    np.testing.assert_allclose(found.energy_eV, alone.energy_eV, rtol=1e-14)
    np.testing.assert_allclose(found.forces_eV_per_A, alone.forces_eV_per_A, rtol=1e-14)
    np.testing.assert_allclose(found.energy_std_eV, 0.0, atol=1e-13)
    np.testing.assert_allclose(found.force_std_eV_per_A, 0.0, atol=1e-13)
    assert found.errors == {}


def test_mean_and_spread_of_known_offsets() -> None:
    """Offsets 0, 1 and 5: mean 2, variance (4 + 1 + 9) / 2 = 7."""
    committee = Committee([Shifted(energy=shift, force=shift / 10) for shift in (0.0, 1.0, 5.0)])
    alone = Springs().batch(ethanol(), N_REPLICAS).compute(moved())
    found = committee.batch(ethanol(), N_REPLICAS).compute(moved())
    np.testing.assert_allclose(found.energy_eV, alone.energy_eV + 2.0)
    np.testing.assert_allclose(found.forces_eV_per_A, alone.forces_eV_per_A + 0.2)
    np.testing.assert_allclose(found.energy_std_eV, np.full(N_REPLICAS, np.sqrt(7)))
    np.testing.assert_allclose(found.force_std_eV_per_A, np.full((N_REPLICAS, 9, 3), np.sqrt(0.07)))


def test_predictions_are_those_of_the_batch() -> None:
    committee = Committee([Shifted(energy=shift, force=shift / 10) for shift in (0.0, 1.0, 5.0)])
    found = committee.batch(ethanol(), N_REPLICAS).compute(moved())
    labels = committee.predict(frames())
    np.testing.assert_allclose([one.energy_eV for one in labels], found.energy_eV)
    np.testing.assert_allclose([one.forces_eV_per_A for one in labels], found.forces_eV_per_A)
    assert [(one.status, one.wall_s) for one in labels] == [("ok", 1.5)] * N_REPLICAS
    np.testing.assert_allclose(committee.force_std(frames()), np.sqrt(0.07))
    members = committee.predict_members(frames())
    assert [len(labels) for labels in members] == [N_REPLICAS] * 3
    assert members[2][0].energy_eV - members[0][0].energy_eV == pytest.approx(5.0)


def test_committee_force_std_by_hand() -> None:
    """One atom, two members that differ by 2 in x alone: variance 2, 0, 0, so the root of 2/3."""
    forces = np.array([[[1.0, 5.0, 5.0]], [[3.0, 5.0, 5.0]]])
    assert committee_force_std(forces) == pytest.approx(np.sqrt(2 / 3))


@pytest.mark.parametrize("lost", [np.nan, np.inf, -np.inf])
def test_numbers_that_one_member_lacks_no_mean_has(lost: float) -> None:
    found = Committee([Shifted(), Shifted(status="nonfinite", lost=lost)]).batch(ethanol(), N_REPLICAS).compute(moved())
    for values in vars(found).values():
        if isinstance(values, np.ndarray):
            assert np.isnan(values[1]).all()
            assert np.isfinite(values[[0, 2]]).all()
    assert found.errors == {}


def test_error_of_a_member_is_one_of_the_committee() -> None:
    found = Committee([Shifted(), Shifted(status="crashed")]).batch(ethanol(), N_REPLICAS).compute(moved())
    assert found.errors == {1: "member 2: no luck"}


@pytest.mark.parametrize("status", ["nonfinite", "crashed", "not_converged"])
def test_prediction_that_one_member_lacks_is_typed(status: LabelStatus) -> None:
    committee = Committee([Shifted(), Shifted(status=status), Shifted()])
    for one in committee.predict(frames()):
        assert (one.status, one.message) == (status, "member 2: no luck")
        assert np.isnan(one.energy_eV)
        assert np.isnan(one.forces_eV_per_A).all()
    assert np.isnan(committee.force_std(frames())).all()


def test_cells_and_resets_reach_every_member() -> None:
    members = [Shifted(), Shifted(energy=1.0)]
    batch = Committee(members).batch(ethanol(), N_REPLICAS)
    cells = np.arange(N_REPLICAS)[:, None, None] * np.eye(3)
    difference = batch.compute(moved(), cells).energy_eV - batch.compute(moved()).energy_eV
    np.testing.assert_allclose(difference, [0.0, 1.0, 2.0], atol=1e-12)
    batch.reset()
    assert [member.resets for member in members] == [1, 1]


def test_batch_shrinks_to_sizes_that_suit_all() -> None:
    assert Committee([Shifted(), Shifted(every=False)]).batch_sizes(8) == [8, 4, 2, 1]


def test_engine_runs_a_committee(tmp_path: Path) -> None:
    protocol = Protocol(temperatures_K=[300], replicas=2, duration_ps=0.02)
    simulate(Committee([Springs(19.0), Springs(21.0)]), [ethanol()] * 2, protocol, 0, tmp_path / "committee")
    simulate(Springs(20.0), [ethanol()] * 2, protocol, 0, tmp_path / "mean")
    found, mean = (read_replica(tmp_path / name / "frames.h5", 300.0, 1)[0] for name in ("committee", "mean"))
    np.testing.assert_allclose(found.positions_A, mean.positions_A, atol=1e-9)


def test_one_member_is_no_committee() -> None:
    with pytest.raises(InputError, match="fit more seeds"):
        Committee([Springs()])
