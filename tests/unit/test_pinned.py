"""Interface pinning: the order parameter of known structures, its gradient, and the bias on top of a potential."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from known_potentials import Bonds, Free, bonded_crystal
from test_committee import Shifted
from test_engine import Nothing
from test_mixed import N_REPLICAS, moved
from toy_potentials import ethanol

from longhot.block import InputError
from longhot.dynamics import pinned as pinned_module
from longhot.dynamics.pinned import PinnedPotential, order_parameter, order_parameter_gradient, wave_vector_per_A

BOX = np.diag([8.0, 9.0, 21.0])
SKEW = np.array([[8.0, 0.0, 0.0], [2.0, 9.0, 0.0], [1.0, -3.0, 21.0]])
IN_PLANE, OBLIQUE = (4, 0, 0), (2, -1, 3)
PIN = {"anchor": 2.0, "kappa_eV": 0.3}


def gas(n_frames: int, n_sites: int, cell_A: np.ndarray, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((n_frames, n_sites, 3)) @ cell_A


def test_perfect_lattices() -> None:
    """sqrt(N) |S|: 1 at an allowed reflection, 0 at one that the basis forbids, 1/2 of it at a weaker one."""
    copper = bulk("Cu", "fcc", a=3.6, cubic=True) * (2, 2, 5)
    cell, n_sites = np.asarray(copper.cell), len(copper)
    for k_indices, structure_factor in (
        ((4, 0, 0), 1),
        ((4, 4, 0), 1),
        ((2, 2, 10), 0),
        ((2, 2, 0), 0),
        ((1, 0, 0), 0),
    ):
        found = order_parameter(copper.positions, cell, k_indices)
        np.testing.assert_allclose(found, np.sqrt(n_sites) * structure_factor, atol=1e-10)
    # A basis of two atoms a quarter of a period apart: |1 + i| / 2.
    pair = Atoms("Cu2", cell=BOX, positions=[[0, 0, 0], [2.0, 0, 0]]) * (3, 3, 3)
    found = order_parameter(pair.positions, np.asarray(pair.cell), (3, 0, 0))
    np.testing.assert_allclose(found, np.sqrt(len(pair)) * np.sqrt(2) / 2)


def test_ideal_gas_has_the_mean_and_mean_square_of_a_random_walk() -> None:
    """Q^2 is exponential with mean 1 for many sites: <Q> = sqrt(pi)/2."""
    found = order_parameter(gas(4000, 100, SKEW), SKEW, OBLIQUE)
    assert found.shape == (4000,)
    assert found.mean() == pytest.approx(np.sqrt(np.pi) / 2, abs=0.02)
    assert (found**2).mean() == pytest.approx(1.0, abs=0.05)


def test_wave_vector_is_the_reciprocal_one() -> None:
    k = wave_vector_per_A(SKEW, OBLIQUE)
    np.testing.assert_allclose(SKEW @ k, 2 * np.pi * np.array(OBLIQUE), atol=1e-12)


def test_one_cell_serves_all_frames_and_one_each_may_differ() -> None:
    """Two axes of frames, a cell each: fractional positions that stay make Q stay."""
    positions = gas(6, 10, SKEW).reshape(2, 3, 10, 3)
    one = order_parameter(positions, SKEW, OBLIQUE)
    assert one.shape == (2, 3)
    stretch = np.linspace(0.9, 1.1, 6).reshape(2, 3, 1, 1)
    np.testing.assert_allclose(order_parameter(stretch * positions, stretch * SKEW, OBLIQUE), one, rtol=1e-10)
    alone = [order_parameter(frame, SKEW, OBLIQUE) for frame in positions.reshape(6, 10, 3)]
    np.testing.assert_array_equal(np.ravel(one), alone)


def test_translation_images_and_the_length_along_z_do_not_count() -> None:
    positions = gas(5, 20, BOX)
    found, gradient = order_parameter_gradient(positions, BOX, IN_PLANE)
    np.testing.assert_allclose(
        order_parameter(positions + np.array([0.3, -7.7, 2.2]), BOX, IN_PLANE), found, rtol=1e-10
    )
    images = np.random.default_rng(1).integers(-2, 3, positions.shape) @ BOX
    np.testing.assert_allclose(order_parameter(positions + images, BOX, IN_PLANE), found, rtol=1e-10)
    longer, longer_gradient = order_parameter_gradient(positions * [1, 1, 1.37], BOX * [1, 1, 1.37], IN_PLANE)
    np.testing.assert_array_equal(longer, found)
    np.testing.assert_array_equal(longer_gradient, gradient)
    assert (gradient[..., 1:] == 0).all()
    np.testing.assert_allclose(gradient.sum(axis=1), 0.0, atol=1e-12)


@pytest.mark.parametrize(("cell", "k_indices"), [(BOX, IN_PLANE), (SKEW, OBLIQUE)])
def test_gradient_by_finite_differences(cell: np.ndarray, k_indices: tuple[int, int, int]) -> None:
    (one,) = gas(1, 8, cell)
    steps = 1e-5 * np.eye(one.size).reshape(-1, *one.shape)
    up, down = (order_parameter(one + sign * steps, cell, k_indices) for sign in (1, -1))
    order, gradient = order_parameter_gradient(one, cell, k_indices)
    assert order == order_parameter(one, cell, k_indices)
    np.testing.assert_allclose(gradient.ravel(), (up - down) / 2e-5, atol=1e-8)


def test_gradient_is_finite_where_the_order_parameter_is_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waves of exactly opposite sign, which pi in floating point does not give."""
    waves = np.array([[1.0, -1.0, 1j, -1j], [1.0, 1.0, 1j, -1j]])
    monkeypatch.setattr(pinned_module, "_waves", lambda positions_A, k_per_A: waves)
    with np.errstate(all="raise"):
        order, gradient = order_parameter_gradient(np.zeros((2, 4, 3)), BOX, IN_PLANE)
    assert order.tolist() == [0.0, 1.0]
    assert (gradient[0] == 0).all()
    assert (gradient[1, 2:, 0] != 0).all()


def test_gradient_near_zero_is_bounded() -> None:
    """Two sites half a period apart but for rounding: |dQ/dr_j| is at most |k| / sqrt(N)."""
    order, gradient = order_parameter_gradient(np.array([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0]]), BOX, IN_PLANE)
    assert order < 1e-15
    assert np.abs(gradient).max() <= np.pi / np.sqrt(2) + 1e-12


# The potential


def crystal() -> tuple[Atoms, Bonds, PinnedPotential]:
    """A skew cell, of which the bias counts some atoms only."""
    atoms, bonds = bonded_crystal(swollen=1.01)
    return atoms, bonds, PinnedPotential(bonds, **PIN, k_indices=(1, 2, 0), sites=[0, 1, 2, 5, 7])


def test_energy_is_that_of_the_base_and_the_bias() -> None:
    atoms, bonds, pinned = crystal()
    positions, cells = moved(atoms)
    batch = pinned.batch(atoms, N_REPLICAS)
    order = order_parameter(positions[:, pinned.sites], cells, pinned.k_indices)
    expected = bonds.compute(positions, cells).energy_eV + 0.15 * (order - 2.0) ** 2
    np.testing.assert_allclose(batch.compute(positions, cells).energy_eV, expected, rtol=1e-14)
    at_rest = batch.compute(positions, np.broadcast_to(atoms.cell.array, cells.shape))
    np.testing.assert_array_equal(batch.compute(positions).energy_eV, at_rest.energy_eV)


def test_forces_are_the_negative_gradient() -> None:
    atoms, _, pinned = crystal()
    batch = pinned.batch(atoms, N_REPLICAS)
    (one, *_), (cell, *_) = moved(atoms)
    steps = 1e-4 * np.eye(one.size).reshape(-1, *one.shape)
    up, down = (
        batch.compute(one + sign * steps, np.repeat(cell[None], len(steps), axis=0)).energy_eV for sign in (1, -1)
    )
    forces = batch.compute(one[None], cell[None]).forces_eV_per_A[0]
    np.testing.assert_allclose(forces.ravel(), -(up - down) / 2e-4, atol=1e-6)


def test_replica_is_the_same_alone_and_in_a_batch() -> None:
    atoms, _, pinned = crystal()
    positions, cells = moved(atoms)
    together = pinned.batch(atoms, N_REPLICAS).compute(positions, cells)
    for replica in range(N_REPLICAS):
        alone = pinned.batch(atoms, 1).compute(positions[replica, None], cells[replica, None])
        np.testing.assert_array_equal(alone.energy_eV[0], together.energy_eV[replica])
        np.testing.assert_array_equal(alone.forces_eV_per_A[0], together.forces_eV_per_A[replica])


def test_bias_does_not_feel_the_length_along_z() -> None:
    """So a barostat along z alone sees the base only."""
    atoms = Atoms("Cu8", cell=BOX, pbc=True, positions=gas(1, 8, BOX)[0])
    pinned = PinnedPotential(Free(), **PIN, k_indices=IN_PLANE, sites=range(8))
    lengths = np.linspace(0.8, 1.2, 5)[:, None, None]
    stretch = np.concatenate([np.ones((5, 1, 2)), lengths], axis=2)
    found = pinned.batch(atoms, 5).compute(atoms.positions * stretch, BOX * stretch)
    assert found.energy_eV[0] > 0.01
    assert np.ptp(found.energy_eV) == 0


def test_predictions_are_those_of_the_batch() -> None:
    atoms, _, pinned = crystal()
    positions, cells = moved(atoms)
    frames = [Atoms(atoms.numbers, one, cell=cell, pbc=True) for one, cell in zip(positions, cells, strict=True)]
    found, labels = pinned.batch(atoms, N_REPLICAS).compute(positions, cells), pinned.predict(frames)
    np.testing.assert_allclose([one.energy_eV for one in labels], found.energy_eV, rtol=1e-14)
    np.testing.assert_allclose([one.forces_eV_per_A for one in labels], found.forces_eV_per_A, atol=1e-14)


def periodic_ethanol() -> Atoms:
    atoms = ethanol()
    atoms.set_cell(BOX)
    atoms.pbc = True
    return atoms


def test_what_the_base_lacks_the_pinned_lacks() -> None:
    pinned = PinnedPotential(Shifted(status="crashed"), **PIN, k_indices=IN_PLANE, sites=[0, 1])
    batch = pinned.batch(periodic_ethanol(), 3)
    found = batch.compute(np.repeat(ethanol().positions[None], 3, axis=0))
    assert found.errors == {1: "no luck"}
    assert np.isnan(found.forces_eV_per_A[1]).any()
    assert np.isfinite(found.forces_eV_per_A[[0, 2]]).all()
    (label,) = pinned.predict([periodic_ethanol()])
    assert (label.status, label.message) == ("crashed", "no luck")
    assert np.isnan(label.energy_eV)
    assert np.isnan(label.forces_eV_per_A).all()


def test_base_is_asked_as_before() -> None:
    base = Shifted(every=False)
    pinned = PinnedPotential(base, **PIN, k_indices=IN_PLANE, sites=[0, 1])
    assert pinned.batch_sizes(8) == [8, 4, 2, 1]
    pinned.batch(periodic_ethanol(), 3).reset()
    assert base.resets == 1


def test_base_keeps_its_own_arrays() -> None:
    """It may answer with the same ones again and again."""
    nothing, atoms = Nothing(), periodic_ethanol()
    pinned = PinnedPotential(nothing, **PIN, k_indices=IN_PLANE, sites=[0, 1, 5])  # type: ignore[arg-type]
    found = pinned.batch(atoms, 2).compute(np.repeat(atoms.positions[None], 2, axis=0))
    assert (found.energy_eV != 0).all()
    assert (nothing.result.energy_eV == 0).all()
    assert (nothing.result.forces_eV_per_A == 0).all()


def test_molecule_without_a_cell_is_refused() -> None:
    pinned = PinnedPotential(Shifted(), **PIN, k_indices=IN_PLANE, sites=[0, 1])
    with pytest.raises(InputError, match="periodic in all directions"):
        pinned.batch(ethanol(), 2)
    with pytest.raises(InputError, match="periodic in all directions"):
        pinned.predict([ethanol()])
