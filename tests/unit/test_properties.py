"""Density, enthalpy and radial distribution function of frames whose answers are known."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

import longhot.observables.properties
from longhot.block import plugin, plugin_names
from longhot.datasets._ice import ice_ih_sites, ice_ih_water
from longhot.dynamics.samples import Samples
from longhot.observables.properties import density_g_per_cm3, enthalpy_meV, rdf

NAMES = plugin_names(longhot.observables.properties)
NOTHING = np.zeros(0)


def samples(frames: list[Atoms]) -> Samples:
    """A run with a frame at every second sample; the cells of the others are twice as large."""
    n = 2 * len(frames)
    cell_A = np.repeat([2 * frame.cell.array for frame in frames], 2, axis=0)
    cell_A[1::2] /= 2
    return Samples(
        time_ps=np.arange(1.0, n + 1),
        energy_eV=np.zeros(n),
        temperature_K=np.zeros(n),
        cell_A=cell_A,
        order_parameter=np.zeros(n),
        frame_sample=np.arange(1, n, 2),
        positions_A=np.array([frame.positions for frame in frames]),
        numbers=frames[0].numbers,
        masses_amu=frames[0].get_masses(),
    )


@pytest.mark.parametrize("name", NAMES)
def test_contract(name):
    one = plugin(longhot.observables.properties, name)
    run = samples([ice_ih_sites((2, 2, 2)), ice_ih_sites((2, 2, 2), 2.8)])
    assert set(one.PHASES) <= {"solid", "liquid"}
    values, coordinates = one.values(run, np.array([1.0, 2.0])), one.coordinates(run)
    assert values.shape == (2, 1 if coordinates is None else len(coordinates))
    assert np.isfinite(values).all()


@pytest.mark.parametrize("molecule", ["sites", "water"])
def test_density(molecule):
    """Of ideal ice with neighbours at 2.75 A, 0.934 g/cm3, and of ice a tenth longer along one axis."""
    atoms = ice_ih_water((2, 2, 1), 0) if molecule == "water" else ice_ih_sites((2, 2, 1))
    if molecule == "sites":
        atoms.set_masses(np.full(len(atoms), 18.01528))
    longer = atoms.copy()
    longer.set_cell(atoms.cell.array * [[1], [1], [1.1]], scale_atoms=True)
    found = density_g_per_cm3.values(samples([atoms, longer]), NOTHING)
    np.testing.assert_allclose(found, [[0.934], [0.934 / 1.1]], atol=1e-3)


def test_enthalpy_is_that_of_the_potential_whose_average_is_taken():
    run = samples([ice_ih_sites((1, 2, 1))] * 3)
    np.testing.assert_array_equal(enthalpy_meV.values(run, np.array([-1.0, 2.0, 5.0])), [[-1.0], [2.0], [5.0]])


# The radial distribution function


def shells_A3(run: Samples) -> np.ndarray:
    """Volume of the shell of each bin."""
    return 8 / 3 * np.pi * rdf.coordinates(run)[0] * (3 * rdf.coordinates(run) ** 2 + rdf.coordinates(run)[0] ** 2)


def neighbours_within(run: Samples, radius_A: float) -> np.ndarray:
    """4 pi rho times the integral of g r^2 up to a radius, for each frame."""
    density_per_A3 = run.oxygen_A.shape[1] / run.volume_A3[run.frame_sample]
    return density_per_A3 * (rdf.values(run, NOTHING) * shells_A3(run))[:, rdf.coordinates(run) < radius_A].sum(axis=1)


def test_coordinates_are_the_middles_of_bins_up_to_half_the_narrowest_height():
    wide, narrow = ice_ih_sites((2, 2, 2)), ice_ih_sites((2, 2, 2), 2.7)
    half_A = narrow.cell.lengths().min() / 2
    middles = (np.arange(rdf.N_BINS) + 0.5) * half_A / rdf.N_BINS
    np.testing.assert_allclose(rdf.coordinates(samples([wide, narrow])), middles)


def test_height_of_a_skew_cell_is_less_than_its_vectors():
    cell = np.array([[9.0, 0, 0], [6.0, 8.0, 0], [0, 0, 20.0]])
    run = samples([Atoms("O2", [(0, 0, 0), (3, 0, 0)], cell=cell, pbc=True)])
    height_A = 9.0 * 8.0 / 10.0
    assert rdf.coordinates(run)[-1] == pytest.approx(height_A / 2 * (1 - 0.5 / rdf.N_BINS))


@pytest.mark.parametrize("shape", ["box", "skew"])
def test_ideal_gas_has_a_flat_one(shape):
    """(N - 1)/N at every distance, within the noise of the number of pairs in each bin."""
    generator, n, n_frames = np.random.default_rng(0), 100, 60
    cell = np.diag([12.0, 14.0, 13.0]) if shape == "box" else np.array([[12.0, 0, 0], [4, 14.0, 0], [-3, 5, 13.0]])
    gas = [Atoms(f"O{n}", generator.random((n, 3)) @ cell, cell=cell, pbc=True) for _ in range(n_frames)]
    run = samples(gas)
    g = rdf.values(run, NOTHING).mean(axis=0)
    n_pairs = n_frames * n * (n - 1) / 2 * shells_A3(run) / abs(np.linalg.det(cell))
    seen = n_pairs > 20
    assert seen.sum() > 50
    surprise = (g - (n - 1) / n)[seen] * np.sqrt(n_pairs[seen])
    assert np.abs(surprise).max() < 4
    assert surprise.std() == pytest.approx(1.0, abs=0.25)


def test_shells_of_ice():
    """4 neighbours at d, 12 at sqrt(8/3) d and 1 at 5/3 d, and nothing between."""
    run = samples([ice_ih_sites((2, 3, 2)), ice_ih_sites((2, 3, 2), 2.85)])
    for radius_A, count in ((2.6, 0), (3.0, 4), (4.3, 4), (5.0, 17)):
        np.testing.assert_allclose(neighbours_within(run, radius_A), count, err_msg=str(radius_A))
    g = rdf.values(run, NOTHING)
    for frame, distance_A in enumerate((2.75, 2.85)):
        first = rdf.coordinates(run)[np.flatnonzero(g[frame])[0]]
        assert first == pytest.approx(distance_A, abs=rdf.coordinates(run)[0])


def test_shells_of_a_skew_primitive_cell():
    """Twelve neighbours in a face-centred cubic lattice, whatever its cell, turned, moved, and in other images."""
    generator = np.random.default_rng(1)
    box, skew = bulk("O", "fcc", a=4.0, cubic=True) * (3, 3, 3), bulk("O", "fcc", a=4.0) * (4, 4, 4)
    for atoms in (box, skew):
        assert neighbours_within(samples([atoms]), 3.3)[0] == pytest.approx(12)
    turned = skew.copy()
    turned.rotate(40, (1, 2, 3), rotate_cell=True)
    turned.positions += [0.3, -7.0, 1.0]
    turned.positions += generator.integers(-2, 3, turned.positions.shape) @ turned.cell.array
    warm = generator.normal(0, 0.2, skew.positions.shape)
    axes = np.linalg.solve(skew.cell.array, turned.cell.array)
    turned.positions += warm @ axes
    skew.positions += warm
    np.testing.assert_allclose(rdf.values(samples([turned]), NOTHING), rdf.values(samples([skew]), NOTHING), atol=1e-9)


def test_oxygen_alone_counts():
    water, sites = ice_ih_water((2, 3, 2), 0), ice_ih_sites((2, 3, 2))
    np.testing.assert_array_equal(rdf.values(samples([water]), NOTHING), rdf.values(samples([sites]), NOTHING))
    assert neighbours_within(samples([water]), 3.5)[0] == pytest.approx(4)


def test_each_frame_has_its_own_cell():
    """A frame's values do not depend on the others, but for the range of distances."""
    one, other = ice_ih_sites((2, 2, 2)), ice_ih_sites((2, 2, 2), 2.9)
    np.testing.assert_array_equal(rdf.values(samples([one, other]), NOTHING)[0], rdf.values(samples([one]), NOTHING)[0])
    np.testing.assert_array_equal(rdf.values(samples([other, one]), NOTHING)[1], rdf.values(samples([one]), NOTHING)[0])
