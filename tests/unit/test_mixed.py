"""Mixtures of potentials: their line by hand, and parts that give no numbers."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from known_potentials import Bonds, bonded_crystal
from test_committee import Shifted
from test_engine import Nothing
from toy_potentials import Springs, ethanol

from longhot.block import InputError
from longhot.dynamics.mixed import MixedPotential
from longhot.potential import LabelStatus

N_REPLICAS = 3
WEIGHTS = (0.7, 0.3)


def two_crystals() -> tuple[Atoms, Bonds, Bonds]:
    """A skew cell, and two sets of bonds for it."""
    atoms, stiff = bonded_crystal(swollen=1.01)
    soft = Bonds(stiff.first, stiff.second, stiff.image, 1.02 * stiff.length_A, depth_eV=0.1, range_per_A=1.1)
    return atoms, stiff, soft


def moved(atoms: Atoms) -> tuple[np.ndarray, np.ndarray]:
    """Positions and cells of replicas that differ in both."""
    stretch = np.linspace(0.99, 1.02, N_REPLICAS)[:, None, None]
    noise = np.random.default_rng(0).normal(0.0, 0.1, (N_REPLICAS, len(atoms), 3))
    return stretch * atoms.positions + noise, stretch * np.asarray(atoms.cell)


def molecules() -> np.ndarray:
    return ethanol().positions + np.random.default_rng(0).normal(0.0, 0.05, (N_REPLICAS, 9, 3))


@pytest.mark.parametrize("weights", [WEIGHTS, (0.0, 1.0), (1.0, 0.0), (-0.5, 1.5)])
def test_mixture_is_the_line_between_its_parts(weights: tuple[float, float]) -> None:
    atoms, *parts = two_crystals()
    places = moved(atoms)
    first, second = (part.batch(atoms, N_REPLICAS).compute(*places) for part in parts)
    found = MixedPotential(parts, weights).batch(atoms, N_REPLICAS).compute(*places)
    for name in ("energy_eV", "forces_eV_per_A"):
        line = weights[0] * getattr(first, name) + weights[1] * getattr(second, name)
        np.testing.assert_array_equal(getattr(found, name), line)
    assert found.errors == {}


def test_forces_are_the_negative_gradient() -> None:
    atoms, *parts = two_crystals()
    batch = MixedPotential(parts, WEIGHTS).batch(atoms, 2)
    (one, *_), (cell, *_) = moved(atoms)
    steps = 1e-4 * np.eye(one.size).reshape(-1, *one.shape)
    up, down = (
        batch.compute(one + sign * steps, np.repeat(cell[None], len(steps), axis=0)).energy_eV for sign in (1, -1)
    )
    forces = batch.compute(one[None], cell[None]).forces_eV_per_A[0]
    np.testing.assert_allclose(forces.ravel(), -(up - down) / 2e-4, atol=1e-6)


def test_predictions_are_those_of_the_batch() -> None:
    parts = [Shifted(energy=1.0, force=0.1), Shifted(energy=5.0, force=0.5), Shifted()]
    mixed = MixedPotential(parts, (0.5, 0.25, 0.25))
    found = mixed.batch(ethanol(), N_REPLICAS).compute(molecules())
    labels = mixed.predict([Atoms("C2OH6", positions=positions) for positions in molecules()])
    np.testing.assert_allclose([one.energy_eV for one in labels], found.energy_eV)
    np.testing.assert_allclose([one.forces_eV_per_A for one in labels], found.forces_eV_per_A)
    assert [(one.status, one.wall_s) for one in labels] == [("ok", 1.5)] * N_REPLICAS
    alone = Springs().batch(ethanol(), N_REPLICAS).compute(molecules())
    np.testing.assert_allclose(found.energy_eV - alone.energy_eV, 1.75)


@pytest.mark.parametrize("spoilt", [0, 1])
@pytest.mark.parametrize("lost", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("weights", [WEIGHTS, (0.0, 1.0), (1.0, 0.0)])
def test_numbers_that_one_part_lacks_no_mixture_has(spoilt: int, lost: float, weights: tuple[float, float]) -> None:
    """Not even one that gives this part no weight."""
    parts = [Shifted(status="nonfinite", lost=lost) if part == spoilt else Shifted() for part in range(2)]
    found = MixedPotential(parts, weights).batch(ethanol(), N_REPLICAS).compute(molecules())
    for values in (found.energy_eV, found.forces_eV_per_A):
        assert np.isnan(values[1]).all()
        assert np.isfinite(values[[0, 2]]).all()
    assert found.errors == {}


def test_error_of_a_part_is_one_of_the_mixture() -> None:
    for parts, cause in (
        ([Shifted(), Shifted(status="crashed")], "part 2: no luck"),
        ([Shifted(status="crashed"), Shifted(status="crashed")], "part 1: no luck"),
    ):
        found = MixedPotential(parts, WEIGHTS).batch(ethanol(), N_REPLICAS).compute(molecules())
        assert found.errors == {1: cause}
        assert np.isnan(found.energy_eV[1])


@pytest.mark.parametrize("status", ["nonfinite", "crashed", "not_converged"])
def test_prediction_that_one_part_lacks_is_typed(status: LabelStatus) -> None:
    for one in MixedPotential([Shifted(), Shifted(status=status)], WEIGHTS).predict([ethanol()]):
        assert (one.status, one.message) == (status, "part 2: no luck")
        assert np.isnan(one.energy_eV)
        assert np.isnan(one.forces_eV_per_A).all()


def test_resets_reach_every_part_that_has_one() -> None:
    part = Shifted()
    MixedPotential([part, Springs()], WEIGHTS).batch(ethanol(), N_REPLICAS).reset()
    assert part.resets == 1


def test_batch_shrinks_to_sizes_that_suit_all() -> None:
    assert MixedPotential([Shifted(), Shifted(every=False)], WEIGHTS).batch_sizes(8) == [8, 4, 2, 1]


def test_parts_keep_their_own_arrays() -> None:
    """A potential may answer with the same ones again and again."""
    nothing = Nothing()
    batch = MixedPotential([nothing, Shifted(status="nonfinite")], WEIGHTS).batch(ethanol(), N_REPLICAS)  # type: ignore[list-item]
    assert np.isnan(batch.compute(molecules()).energy_eV[1])
    assert (nothing.result.energy_eV == 0).all()
    assert (nothing.result.forces_eV_per_A == 0).all()


@pytest.mark.parametrize(
    ("weights", "message"), [((0.5, 0.6), "must add up to 1"), ((np.nan, 1.0), "must add up to 1"), ((1.0,), "as many")]
)
def test_weights_that_are_no_shares_are_refused(weights: tuple[float, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        MixedPotential([Springs(), Springs()], weights)
