"""Physical laws that every reference method must obey, and known answers of the xTB codes."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from scipy.spatial.transform import Rotation

from longhot import references
from longhot.block import InputError

pytestmark = pytest.mark.physics

FINITE_DIFFERENCE_TOLERANCE_EV_PER_A = 2e-3
"""Of forces at the default SCF accuracy against energies 0.01 A apart."""
CODE_FORCE_TOLERANCE_EV_PER_A = 1e-3
CODE_ENERGY_TOLERANCE_EV = 1e-4

METHODS = {
    "xtb": {"method": "xtb"},
    "xtb-gfn1": {"method": "xtb", "hamiltonian": "GFN1-xTB"},
    "tblite": {"method": "tblite"},
    "emt": {"method": "ase", "calculator": "ase.calculators.emt.EMT", "level_of_theory": "EMT"},
}


def bent_ethanol() -> Atoms:
    atoms = molecule("CH3CH2OH")
    atoms.positions += np.random.default_rng(3).normal(0.0, 0.05, atoms.positions.shape)
    return atoms


@pytest.fixture(params=METHODS)
def config(request):
    return references.parse(METHODS[request.param])


def one(atoms: Atoms, config):
    found = references.label([atoms], config)[0]
    assert found.status == "ok", found.message
    return found


def test_force_is_minus_the_gradient_of_the_energy(config):
    atoms = bent_ethanol()
    forces = one(atoms, config).forces_eV_per_A
    h = 0.005
    for atom, axis in ((0, 0), (2, 1), (4, 2)):
        sides = []
        for sign in (1, -1):
            moved = atoms.copy()
            moved.positions[atom, axis] += sign * h
            sides.append(one(moved, config).energy_eV)
        numeric = -(sides[0] - sides[1]) / (2 * h)
        assert forces[atom, axis] == pytest.approx(numeric, abs=FINITE_DIFFERENCE_TOLERANCE_EV_PER_A)


def test_rotation_and_translation_move_no_energy_and_turn_the_forces(config):
    atoms = bent_ethanol()
    before = one(atoms, config)
    turn = Rotation.from_rotvec([0.3, -1.1, 0.7]).as_matrix()
    turned = atoms.copy()
    turned.positions = atoms.positions @ turn.T + [1.0, -2.0, 3.0]
    after = one(turned, config)
    assert after.energy_eV == pytest.approx(before.energy_eV, abs=1e-5)
    np.testing.assert_allclose(after.forces_eV_per_A, before.forces_eV_per_A @ turn.T, atol=1e-3)


def test_permutation_permutes_the_forces(config):
    atoms = bent_ethanol()
    order = np.random.default_rng(0).permutation(len(atoms))
    before, after = one(atoms, config), one(atoms[order], config)
    assert after.energy_eV == pytest.approx(before.energy_eV, abs=1e-5)
    np.testing.assert_allclose(after.forces_eV_per_A, before.forces_eV_per_A[order], atol=1e-3)


def test_net_force_and_torque_vanish(config):
    atoms = bent_ethanol()
    forces = one(atoms, config).forces_eV_per_A
    np.testing.assert_allclose(forces.sum(axis=0), 0.0, atol=1e-4)
    np.testing.assert_allclose(np.cross(atoms.positions, forces).sum(axis=0), 0.0, atol=1e-3)


def test_forces_do_not_depend_on_history(config):
    """A batch gives at the end of a walk what a new one gives, bit for bit, and what its reset gives."""
    atoms = bent_ethanol()
    walk = atoms.positions + np.random.default_rng(1).normal(0.0, 0.05, (5, 1, len(atoms), 3))
    batch = references.ReferencePotential(config).batch(atoms, 1)
    for positions in walk:
        last = batch.compute(positions)
    fresh = references.ReferencePotential(config).batch(atoms, 1).compute(walk[-1])
    batch.reset()
    for other in (fresh, batch.compute(walk[-1])):
        np.testing.assert_array_equal(last.forces_eV_per_A, other.forces_eV_per_A)
        np.testing.assert_array_equal(last.energy_eV, other.energy_eV)


@pytest.mark.parametrize("hamiltonian", ["GFN2-xTB", "GFN1-xTB"])
def test_xtb_and_tblite_agree(hamiltonian):
    frames = [molecule("CH3CH2OH"), bent_ethanol(), molecule("H2O"), molecule("CH3Cl")]
    configs = [references.parse({"method": method, "hamiltonian": hamiltonian}) for method in ("xtb", "tblite")]
    for a, b in zip(*(references.label(frames, config) for config in configs), strict=True):
        assert a.energy_eV == pytest.approx(b.energy_eV, abs=CODE_ENERGY_TOLERANCE_EV)
        np.testing.assert_allclose(a.forces_eV_per_A, b.forces_eV_per_A, atol=CODE_FORCE_TOLERANCE_EV_PER_A)
    for symbol in ("H", "C", "N", "O", "S", "Cl"):
        energies = [references.isolated_atom_energy_eV(symbol, config) for config in configs]
        assert energies[0] == pytest.approx(energies[1], abs=CODE_ENERGY_TOLERANCE_EV)


@pytest.mark.parametrize("hamiltonian", ["GFN2-xTB", "GFN1-xTB"])
@pytest.mark.parametrize("name", ["H2O", "CH3OH", "CH3CH2OH", "C2H4", "CH4"])
def test_forces_of_symmetric_molecules_along_the_axes(name, hamiltonian):
    """The forces of xtb itself are wrong where atoms share a coordinate; its energies, and all of tblite, are right."""
    atoms = molecule(name)
    atoms.positions[1, 0] += 0.02
    xtb, tblite = (
        one(atoms, references.parse({"method": method, "hamiltonian": hamiltonian})) for method in ("xtb", "tblite")
    )
    np.testing.assert_allclose(xtb.forces_eV_per_A, tblite.forces_eV_per_A, atol=CODE_FORCE_TOLERANCE_EV_PER_A)


@pytest.mark.parametrize("method", ["xtb", "tblite"])
def test_published_energy_of_water(method):
    """GFN2-xTB of ASE's water, as tblite's manual gives it."""
    config = references.parse({"method": method})
    assert one(molecule("H2O"), config).energy_eV == pytest.approx(-137.96777594361677, abs=1e-5)


@pytest.mark.parametrize("method", ["xtb", "tblite"])
def test_charge_and_spin_reach_the_code(method):
    """The hydroxide anion as tblite's manual gives water's, and triplet O2 below singlet O2 by an exchange energy."""
    anion = references.parse({"method": method, "charge": -1, "multiplicity": 2})
    assert one(molecule("H2O"), anion).energy_eV == pytest.approx(-131.50015843891822, abs=1e-3)
    singlet, triplet = (references.parse({"method": method, "multiplicity": m}) for m in (1, 3))
    assert one(molecule("O2"), singlet).energy_eV != pytest.approx(one(molecule("O2"), triplet).energy_eV, abs=1e-2)


@pytest.mark.parametrize("method", ["xtb", "tblite"])
def test_isolated_atom_is_neutral_and_in_its_ground_state_spin(method):
    """The molecule's charge and spin do not reach the atom; carbon's triplet is not its closed shell."""
    plain = references.parse({"method": method})
    ion = references.parse({"method": method, "charge": 1, "multiplicity": 2})
    assert references.isolated_atom_energy_eV("C", ion) == references.isolated_atom_energy_eV("C", plain)
    closed_shell = references.evaluate(references.new_calculator(plain, 0), Atoms("C")).energy_eV
    assert abs(references.isolated_atom_energy_eV("C", plain) - closed_shell) > 0.01


def test_electrons_and_multiplicity_must_fit():
    config = references.parse({"method": "xtb", "charge": 1})
    with pytest.raises(InputError, match="25 electrons"):
        references.check_electrons(config, molecule("CH3CH2OH").numbers)
    references.check_electrons(references.parse({"method": "xtb"}), molecule("CH3CH2OH").numbers)
