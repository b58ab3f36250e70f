"""DFT by PySCF: physical laws, known answers, DFT-D4, and what happens where the SCF does not converge."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from ase.units import Bohr, Hartree
from scipy.spatial.transform import Rotation

from longhot import references
from longhot.block import InputError
from longhot.potential import Label
from longhot.references import pyscf as plugin

pytestmark = [
    pytest.mark.physics,
    pytest.mark.filterwarnings("ignore:Basis may be available in basis-set-exchange"),
]

SMALL = {"method": "pyscf", "xc": "pbe", "basis": "sto-3g", "grid_level": 3, "conv_tol_hartree": 1e-11}
FINITE_DIFFERENCE_TOLERANCE_EV_PER_A = 2e-4
GRID_TOLERANCE_EV = 1e-3
"""The grid does not turn with the molecule."""
SCF_TOLERANCE_EV = 1e-6

VARIANTS = {
    "restricted": {},
    "radical": {"multiplicity": 2, "charge": 1},
    "hartree-fock": {"xc": "hf"},
    "hybrid-no-fit": {"xc": "b3lyp", "density_fit": False},
    "meta-gga": {"xc": "scan"},
    "d4": {"dispersion": "d4"},
    "newton": {"solver": "newton"},
}


def config(**change: Any) -> Any:
    return references.parse(SMALL | change)


def one(atoms: Atoms, settings: Any) -> Label:
    found = references.label([atoms], settings)[0]
    assert (found.status, found.attempts) == ("ok", 1), found.message
    return found


def bent_water() -> Atoms:
    atoms = molecule("H2O")
    atoms.positions += np.random.default_rng(3).normal(0.0, 0.1, atoms.positions.shape)
    return atoms


def as_pyscf(atoms: Atoms, basis: str, **settings: Any) -> Any:
    from pyscf import gto

    return gto.M(atom=list(zip(atoms.symbols, atoms.positions, strict=True)), basis=basis, verbose=0, **settings)


@pytest.mark.parametrize("change", VARIANTS.values(), ids=VARIANTS)
def test_force_is_minus_the_gradient_of_the_energy(change: dict[str, Any]) -> None:
    """Along one step of all atoms at once."""
    settings, atoms, h = config(**change), bent_water(), 0.005
    step = np.random.default_rng(0).normal(size=(3, 3))
    step /= np.linalg.norm(step)
    sides = []
    for sign in (1, -1):
        moved = atoms.copy()
        moved.positions += sign * h * step
        sides.append(one(moved, settings).energy_eV)
    numeric = -(sides[0] - sides[1]) / (2 * h)
    analytic = float((one(atoms, settings).forces_eV_per_A * step).sum())
    assert abs(analytic) > 0.1
    assert analytic == pytest.approx(numeric, abs=FINITE_DIFFERENCE_TOLERANCE_EV_PER_A)


@pytest.mark.parametrize("change", [{}, {"multiplicity": 2, "charge": 1}, {"dispersion": "d4"}])
def test_rotation_and_translation_move_no_energy_and_turn_the_forces(change: dict[str, Any]) -> None:
    settings, atoms = config(**change), bent_water()
    before = one(atoms, settings)
    turn = Rotation.from_rotvec([0.3, -1.1, 0.7]).as_matrix()
    turned = atoms.copy()
    turned.positions = atoms.positions @ turn.T + [1.0, -2.0, 3.0]
    after = one(turned, settings)
    assert after.energy_eV == pytest.approx(before.energy_eV, abs=GRID_TOLERANCE_EV)
    np.testing.assert_allclose(after.forces_eV_per_A, before.forces_eV_per_A @ turn.T, atol=2e-3)


@pytest.mark.parametrize(
    ("xc", "density_fit", "charge", "multiplicity"), [("pbe", True, 0, 1), ("b3lyp", False, 0, 1), ("pbe", True, 1, 2)]
)
def test_numbers_are_those_of_pyscf_itself(xc: str, density_fit: bool, charge: int, multiplicity: int) -> None:
    from pyscf import dft

    atoms = bent_water()
    found = one(atoms, config(xc=xc, density_fit=density_fit, charge=charge, multiplicity=multiplicity))
    direct = as_pyscf(atoms, "sto-3g", charge=charge, spin=multiplicity - 1)
    field = (dft.RKS if multiplicity == 1 else dft.UKS)(direct)
    field.xc, field.grids.level, field.conv_tol = xc, 3, 1e-11
    field = field.density_fit() if density_fit else field
    field.kernel()
    assert found.energy_eV == pytest.approx(field.e_tot * Hartree, abs=SCF_TOLERANCE_EV)
    method = field.nuc_grad_method()
    method.grid_response = True
    gradient = method.kernel()
    np.testing.assert_allclose(found.forces_eV_per_A, -gradient * Hartree / Bohr, atol=1e-4)


def test_energies_that_are_known() -> None:
    """Hydrogen's atom is half a Hartree; Hartree-Fock of it in STO-3G is -0.46658 Hartree (Szabo and Ostlund)."""
    good = config(basis="def2-tzvp")
    assert references.isolated_atom_energy_eV("H", good) == pytest.approx(-0.5 * Hartree, abs=0.05)
    hartree_fock = config(xc="hf")
    assert references.isolated_atom_energy_eV("H", hartree_fock) == pytest.approx(-0.46658 * Hartree, abs=1e-3)
    h2 = Atoms("H2", positions=[(0, 0, 0), (0, 0, 1.4 * Bohr)])
    exact = config(xc="hf", density_fit=False)
    assert one(h2, exact).energy_eV == pytest.approx(-1.1167 * Hartree, abs=2e-3)


def test_isolated_atom_is_neutral_unrestricted_and_in_its_ground_state_spin() -> None:
    ion = config(charge=1, multiplicity=2)
    triplet = references.isolated_atom_energy_eV("O", ion)
    assert triplet == references.isolated_atom_energy_eV("O", config())
    closed_shell = references.evaluate(references.new_calculator(config(), 0), Atoms("O")).energy_eV
    assert triplet < closed_shell - 0.5


def test_charge_and_multiplicity_reach_the_code() -> None:
    water = molecule("H2O")
    ionisation_eV = one(water, config(charge=1, multiplicity=2)).energy_eV - one(water, config()).energy_eV
    assert 5.0 < ionisation_eV < 15.0
    oxygen = molecule("O2")
    assert one(oxygen, config(multiplicity=3)).energy_eV < one(oxygen, config()).energy_eV - 0.5


def test_core_potentials_come_with_the_basis() -> None:
    """Iodine in def2 sets has 28 electrons in its core potential; without it the energy is that of no molecule."""
    atoms = Atoms("HI", positions=[(0, 0, 0), (0, 0, 1.61)])
    made = plugin._molecule(config(basis="def2-svp"), atoms, 0, 0)
    assert made.nelectron == 54 - 28
    assert plugin._molecule(config(), atoms, 0, 0).nelectron == 54


def test_net_force_vanishes() -> None:
    """On any grid, for it moves with the atoms; it does not turn with them, so a torque may be left."""
    forces = one(bent_water(), config(grid_level=1)).forces_eV_per_A
    np.testing.assert_allclose(forces.sum(axis=0), 0.0, atol=1e-6)


def by_dftd4(atoms: Atoms, charge: int) -> Atoms:
    """The atoms with dftd4's own ASE calculator, which takes the total charge from those of the atoms."""
    from dftd4.ase import DFTD4

    atoms = atoms.copy()
    atoms.set_initial_charges([charge] + [0] * (len(atoms) - 1))
    atoms.calc = DFTD4(method="PBE")
    return atoms


def test_d4_adds_what_dftd4_itself_says() -> None:
    atoms = molecule("CH4") + molecule("HF")
    atoms.positions[5:] += [0.0, 0.0, 3.4]
    without, with_d4 = (one(atoms, config(dispersion=name, grid_level=1)) for name in ("none", "d4"))
    own = by_dftd4(atoms, 0)
    assert own.get_potential_energy() < -0.01
    assert with_d4.energy_eV - without.energy_eV == pytest.approx(own.get_potential_energy(), abs=1e-6)
    np.testing.assert_allclose(with_d4.forces_eV_per_A - without.forces_eV_per_A, own.get_forces(), atol=1e-5)


def test_d4_knows_the_charge() -> None:
    atoms = molecule("CH3CH2OH")
    energy_hartree, gradient = plugin.d4(atoms.numbers, atoms.positions / Bohr, 1, "pbe")
    neutral, cation = by_dftd4(atoms, 0), by_dftd4(atoms, 1)
    assert abs(cation.get_potential_energy() - neutral.get_potential_energy()) > 1e-3
    assert energy_hartree * Hartree == pytest.approx(cation.get_potential_energy(), abs=1e-7)
    np.testing.assert_allclose(-gradient * Hartree / Bohr, cation.get_forces(), atol=1e-7)


def test_d4_of_a_published_example() -> None:
    """The molecule, functional and energy in the docstring of dftd4's DispersionModel."""
    numbers = np.array([1, 1, 6, 5, 1, 15, 8, 17, 13, 15, 5, 1, 9, 15, 1, 15])
    positions_bohr = np.array(
        [
            [+2.79274810283778, +3.82998228828316, -2.79287054959216],
            [-1.43447454186833, +0.43418729987882, +5.53854345129809],
            [-3.26268343665218, -2.50644032426151, -1.56631149351046],
            [+2.14548759959147, -0.88798018953965, -2.24592534506187],
            [-4.30233097423181, -3.93631518670031, -0.48930754109119],
            [+0.06107643564880, -3.82467931731366, -2.22333344469482],
            [+0.41168550401858, +0.58105573172764, +5.56854609916143],
            [+4.41363836635653, +3.92515871809283, +2.57961724984000],
            [+1.33707758998700, +1.40194471661647, +1.97530004949523],
            [+3.08342709834868, +1.72520024666801, -4.42666116106828],
            [-3.02346932078505, +0.04438199934191, -0.27636197425010],
            [+1.11508390868455, -0.97617412809198, +6.25462847718180],
            [+0.61938955433011, +2.17903547389232, -6.21279842416963],
            [-2.67491681346835, +3.00175899761859, +1.05038813614845],
            [-4.13181080289514, -2.34226739863660, -3.44356159392859],
            [+2.85007173009739, -2.64884892757600, +0.71010806424206],
        ]
    )
    energy_hartree, _ = plugin.d4(numbers, positions_bohr, 0, "scan")
    assert energy_hartree == pytest.approx(-0.005328888532435093, abs=1e-8)


def test_scf_that_does_not_converge_is_typed_and_gives_no_numbers() -> None:
    found = references.evaluate(references.new_calculator(config(max_cycle=1)), bent_water())
    assert found.status == "not_converged"
    assert "1 cycles (diis)" in found.message
    assert np.isnan(found.energy_eV)
    assert np.isnan(found.forces_eV_per_A).all()


@pytest.mark.parametrize("change", [{}, {"multiplicity": 2, "charge": 1}], ids=["restricted", "radical"])
def test_second_attempt_reaches_the_same_state(change: dict[str, Any]) -> None:
    atoms = bent_water()
    rescued = references.label([atoms], config(max_cycle=1, **change))[0]
    plain = one(atoms, config(**change))
    assert (rescued.status, rescued.attempts) == ("ok", 2)
    assert rescued.energy_eV == pytest.approx(plain.energy_eV, abs=SCF_TOLERANCE_EV)
    np.testing.assert_allclose(rescued.forces_eV_per_A, plain.forces_eV_per_A, atol=1e-4)
    assert rescued.wall_s > plain.wall_s / 2


def test_md_and_isolated_atoms_have_a_second_attempt_too() -> None:
    atoms, short = bent_water(), config(max_cycle=1)
    batch = references.ReferencePotential(short).batch(atoms, 2)
    found = batch.compute(np.stack([atoms.positions] * 2))
    assert found.errors == {}
    np.testing.assert_allclose(found.energy_eV, one(atoms, config()).energy_eV, atol=SCF_TOLERANCE_EV)
    oxygen = [references.isolated_atom_energy_eV("O", settings) for settings in (short, config())]
    assert oxygen[0] == pytest.approx(oxygen[1], abs=1e-3)


def test_second_order_solver_goes_on_where_the_cautious_scf_stops() -> None:
    """In so few cycles damping converges nothing, and steps of second order do."""
    atoms, settings = bent_water(), config(solver="newton", max_cycle=8)
    field = plugin._mean_field(settings, plugin._molecule(settings, atoms, 0, 0), unrestricted=False)
    found = plugin._converged(settings, field)
    assert "SecondOrder" in type(found).__name__
    assert found.e_tot * Hartree == pytest.approx(one(atoms, config()).energy_eV, abs=SCF_TOLERANCE_EV)


def test_safer_settings_are_of_the_same_level() -> None:
    plain = config(dispersion="d4", max_cycle=20)
    safer = references.safer(plain)
    changed = {name for name, value in plain.model_dump().items() if getattr(safer, name) != value}
    assert changed == {"solver", "max_cycle"}
    assert references.level_of_theory(plain) == "PBE-D4/sto-3g (PySCF)"


def test_element_that_the_basis_lacks_and_periodic_frames_are_typed() -> None:
    lacking, periodic = Atoms("UH"), molecule("H2O", vacuum=5.0, pbc=True)
    lacking.positions[1, 2] = 2.0
    labels = references.label([lacking, periodic, bent_water()], config(basis="def2-svp", grid_level=0))
    assert [label.status for label in labels] == ["crashed", "crashed", "ok"]
    assert "periodic" in labels[1].message


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"xc": "nonsense"}, "xc 'nonsense': not a functional"),
        ({"basis": "nonsense"}, "basis 'nonsense': not a basis set"),
        ({"xc": "pbe,pbe", "dispersion": "d4"}, "no parameters for xc 'pbe,pbe'"),
    ],
)
def test_settings_that_no_frame_can_be_computed_with(change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        references.label([bent_water()], config(**change))


def test_dispersion_in_the_name_of_the_functional_is_refused() -> None:
    with pytest.raises(InputError, match="use the key dispersion"):
        config(xc="b3lyp-d4")


def test_gpu_is_refused_where_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugin, "_gpu_is_there", lambda: False)
    with pytest.raises(InputError, match="finds no GPU"):
        references.new_calculator(config(device="gpu"))


@pytest.mark.parametrize(
    ("change", "moved"),
    [({}, True), ({"device": "gpu"}, True), ({"device": "cpu"}, False), ({"solver": "newton"}, False)],
)
def test_field_moves_to_the_gpu_where_there_is_one(
    change: dict[str, Any], moved: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plugin, "_gpu_is_there", lambda: True)
    field = SimpleNamespace(converged=True, kernel=lambda: None)
    field.to_gpu = lambda: SimpleNamespace(converged=True, kernel=lambda: None, on_gpu=True)
    assert hasattr(plugin._converged(config(**change), field), "on_gpu") == moved
