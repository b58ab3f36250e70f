"""Ice Ih: its lattice, its proton order, and how much of a box is ice."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk
from ase.neighborlist import neighbor_list
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation
from scipy.special import sph_harm_y

from longhot.block import InputError
from longhot.datasets import _ice
from longhot.observables.crystallinity import bond_correlations, crystalline_share, four_nearest, ice_like

TETRAHEDRON_DEG = 109.4712
WATER_MASS_U = 18.015
REPEATS = [(1, 2, 1), (2, 2, 2), (3, 4, 4)]


@pytest.mark.parametrize("repeats", [(1, 1, 1), *REPEATS])
@pytest.mark.parametrize("distance_A", [2.75, 2.9])
def test_sites_are_perfectly_tetrahedral(repeats, distance_A):
    sites = _ice.ice_ih_sites(repeats, distance_A)
    first, distances, vectors = neighbor_list("idD", sites, 1.5 * distance_A)
    assert len(sites) == 8 * np.prod(repeats)
    np.testing.assert_array_equal(np.bincount(first), 4)
    np.testing.assert_allclose(distances, distance_A, rtol=1e-12)
    u = (vectors / distance_A)[np.argsort(first, kind="stable")].reshape(-1, 4, 3)
    cosines = (u @ np.swapaxes(u, 1, 2))[:, *np.triu_indices(4, 1)]
    np.testing.assert_allclose(np.degrees(np.arccos(cosines)), TETRAHEDRON_DEG, atol=1e-4)


def test_cell_is_orthorhombic_with_the_prism_face_across_z():
    c, a, b = _ice.ice_ih_sites((1, 1, 1)).cell.lengths()
    assert _ice.ice_ih_sites((1, 1, 1)).cell.orthorhombic
    assert b == pytest.approx(np.sqrt(3) * a)
    assert c == pytest.approx(np.sqrt(8 / 3) * a)


@pytest.mark.parametrize(("axis", "cut"), [(0, 2), (2, 2)])
def test_faces_across_x_and_z_cut_the_fewest_bonds(axis, cut):
    """Two bonds of each cell; bonds that cross the face have their ends on different sides of it."""
    sites = _ice.ice_ih_sites((1, 1, 1))
    shifts = np.abs(neighbor_list("S", sites, 3.0)[:, axis])
    assert shifts.sum() == 2 * cut  # each bond stands in the list from both of its ends


def test_density():
    sites = _ice.ice_ih_sites((2, 2, 2), symbol="S")
    grams = len(sites) * WATER_MASS_U / units.mol
    assert grams / (sites.get_volume() * 1e-24) == pytest.approx(0.934, abs=0.001)
    assert set(sites.symbols) == {"S"}


def hydrogen_bonds(water: Atoms) -> np.ndarray:
    """For each O-H its molecule and the molecule that it points to, shape (n_hydrogens, 2), from positions alone."""
    oxygens, hydrogens = (np.flatnonzero(water.symbols == symbol) for symbol in "OH")
    found = []
    for hydrogen in hydrogens:
        distances = water.get_distances(hydrogen, oxygens, mic=True)
        own, other = np.argsort(distances)[:2]
        assert distances[own] == pytest.approx(0.9572)
        assert distances[other] < 1.9
        found.append((own, other))
    return np.array(found)


@pytest.mark.parametrize("repeats", REPEATS[:2])
def test_ice_rules(repeats):
    """Two donated and two accepted bonds a molecule, and one hydrogen between any two neighbours."""
    water = _ice.ice_ih_water(repeats, seed=3)
    bonds = hydrogen_bonds(water)
    np.testing.assert_array_equal(np.bincount(bonds[:, 0]), 2)
    np.testing.assert_array_equal(np.bincount(bonds[:, 1]), 2)
    first, second = neighbor_list("ij", water[water.symbols == "O"], 3.0)
    pairs = {frozenset(pair) for pair in zip(first.tolist(), second.tolist(), strict=True)}
    assert {frozenset(bond) for bond in bonds.tolist()} == pairs
    assert len(pairs) == len(bonds)


@pytest.mark.parametrize("repeats", REPEATS)
@pytest.mark.parametrize("seed", range(5))
def test_no_net_dipole(repeats, seed):
    bonds = _ice.donated_bonds(_ice.ice_ih_sites(repeats), 2.75, seed)
    np.testing.assert_allclose(bonds.sum(axis=(0, 1)), 0.0, atol=1e-8)
    molecules = _ice.ice_ih_water(repeats, seed).positions.reshape(-1, 3, 3)
    dipole = molecules[:, 1] + molecules[:, 2] - 2 * molecules[:, 0]
    np.testing.assert_allclose(dipole.sum(axis=0), 0.0, atol=1e-8)


def test_water_molecules_are_rigid_and_whole():
    water = _ice.ice_ih_water((1, 2, 1), seed=0)
    assert str(water.symbols) == "OH2" * 16
    for first in range(0, len(water), 3):
        assert water.get_angle(first + 1, first, first + 2) == pytest.approx(104.52)
        assert water.get_distance(first, first + 1) == pytest.approx(water.get_distance(first, first + 2))
    np.testing.assert_allclose(water.positions[::3], _ice.ice_ih_sites((1, 2, 1)).positions)


def test_seeds_give_proton_orders():
    one, same, other = (_ice.ice_ih_water((2, 2, 2), seed).positions for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert np.abs(one - other).max() > 0.5


def test_the_global_random_state_is_left_alone():
    np.random.seed(0)  # noqa: NPY002
    before = np.random.get_state()[1]  # noqa: NPY002
    _ice.ice_ih_water((1, 2, 1), seed=1)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


@pytest.mark.parametrize("repeats", [(1, 1, 1), (3, 1, 3)])
def test_too_small_a_cell_is_refused(repeats):
    with pytest.raises(InputError, match=r"the smallest repeats that work are \(1, 2, 1\)"):
        _ice.ice_ih_water(repeats, seed=0)


@pytest.mark.parametrize(("repeats", "distance_A"), [((0, 2, 1), 2.75), ((1, 2, 1), 0.0), ((1, 2, 1), np.nan)])
def test_no_cell_and_no_distance_are_refused(repeats, distance_A):
    with pytest.raises(InputError, match="give at least one cell along each axis and a positive distance"):
        _ice.ice_ih_sites(repeats, distance_A)


def test_a_dipole_that_stays_is_refused(monkeypatch):
    monkeypatch.setattr(_ice, "MAX_ORDERS", 1)
    monkeypatch.setattr(_ice, "PARITY_DRAWS", 0)
    sites = _ice.ice_ih_sites((2, 2, 2))
    with pytest.raises(InputError, match="none of 1 proton orders is without dipole"):
        [_ice.donated_bonds(sites, 2.75, seed) for seed in range(50)]


def gas(n: int, closest_A: float, cell_A: np.ndarray, seed: int) -> np.ndarray:
    """Random sites in an orthorhombic cell, none nearer to another than ``closest_A``."""
    generator = np.random.default_rng(seed)
    taken = np.empty((0, 3))
    while len(taken) < n:
        new = generator.random(3) @ cell_A
        if len(taken) == 0 or cKDTree(taken, boxsize=np.diag(cell_A)).query(new)[0] > closest_A:
            taken = np.vstack([taken, new])
    return taken


@pytest.fixture(scope="module")
def ice() -> Atoms:
    return _ice.ice_ih_sites((3, 4, 4))


@pytest.mark.parametrize("repeats", [(1, 1, 1), *REPEATS])
def test_ice_is_crystalline_whatever_the_cell(repeats):
    sites = _ice.ice_ih_sites(repeats)
    assert crystalline_share(sites.positions, sites.cell) == 1.0


def test_bonds_of_the_lattice(ice):
    """Hexagonal ice: three staggered bonds (-1) and an eclipsed one (-1/9); cubic ice: four staggered ones."""
    c = np.sort(bond_correlations(ice.positions, ice.cell), axis=1)
    np.testing.assert_allclose(c, np.tile([-1, -1, -1, -1 / 9], (len(ice), 1)), atol=1e-8)
    cubic = bulk("Si", "diamond", a=6.35) * (3, 3, 3)
    np.testing.assert_allclose(bond_correlations(cubic.positions, cubic.cell), -1, atol=1e-8)
    assert crystalline_share(cubic.positions, cubic.cell) == 1.0


def test_warm_ice_is_crystalline(ice):
    noise = np.random.default_rng(0).normal(0, 0.1, ice.positions.shape)
    assert crystalline_share(ice.positions + noise, ice.cell) > 0.98


@pytest.mark.parametrize("closest_A", [0.0, 2.3])
def test_disorder_is_not(ice, closest_A):
    positions = gas(len(ice), closest_A, ice.cell.array, seed=1)
    assert crystalline_share(positions, ice.cell) < 0.02


def test_half_a_box_of_ice(ice):
    """All but the layers beside the disorder are ice."""
    fractions = ice.get_scaled_positions()
    frozen = fractions[:, 2] < 0.5
    cell = ice.cell.array
    melt = gas((~frozen).sum(), 2.0, cell * [[1], [1], [0.5]], seed=0) + cell[2] / 2
    found = ice_like(np.vstack([ice.positions[frozen], melt]), cell)
    inner = (fractions[frozen, 2] > 0.15) & (fractions[frozen, 2] < 0.35)
    assert found[: frozen.sum()][inner].all()
    assert 0.25 < found.mean() < 0.5


def test_correlations_are_those_of_spherical_harmonics(ice):
    """Against the definition, q_3m(i) = sum over the four neighbours of Y_3m."""
    positions = gas(100, 2.0, ice.cell.array, seed=2)
    neighbours, u = four_nearest(positions, ice.cell)
    theta, phi = np.arccos(u[..., 2]), np.arctan2(u[..., 1], u[..., 0])
    q = sph_harm_y(3, np.arange(-3, 4)[:, None, None], theta, phi).sum(axis=-1).T  # (n, 7)
    q /= np.linalg.norm(q, axis=1, keepdims=True)
    expected = np.einsum("im,ijm->ij", q, q[neighbours].conj()).real
    np.testing.assert_allclose(bond_correlations(positions, ice.cell), expected, atol=1e-10)


def test_share_does_not_change_with_the_frame_of_reference(ice):
    """Turned, moved, wrapped by other lattice vectors, and in another cell of the same lattice."""
    generator = np.random.default_rng(0)
    positions = ice.positions + generator.normal(0, 0.3, ice.positions.shape)
    expected = ice_like(positions, ice.cell)
    assert 0.1 < expected.mean() < 0.9
    turn = Rotation.random(rng=generator).as_matrix().T
    np.testing.assert_array_equal(ice_like(positions @ turn, ice.cell @ turn), expected)
    np.testing.assert_array_equal(ice_like(positions + generator.normal(0, 9, 3), ice.cell), expected)
    images = generator.integers(-2, 3, positions.shape) @ ice.cell
    np.testing.assert_array_equal(ice_like(positions + images, ice.cell), expected)
    skewed = np.array([[1, 0, 0], [1, 1, 0], [-1, 1, 1]]) @ ice.cell
    np.testing.assert_array_equal(ice_like(positions, skewed), expected)


def test_a_position_that_is_not_finite_is_an_error(ice):
    positions = ice.positions.copy()
    positions[3, 1] = np.nan
    with pytest.raises(ValueError, match="finite"):
        crystalline_share(positions, ice.cell)
