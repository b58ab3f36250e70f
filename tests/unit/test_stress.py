"""Stresses by strain against those of ASE and of LAMMPS, and their calibration."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk

from longhot import references
from longhot.datasets._ice import ice_ih_sites
from longhot.observables.melting_point import calibrate
from longhot.references import ReferencePotential
from longhot.uncertainty.calibration import CommitteePrediction, calibration_rows
from longhot.uncertainty.stress import strained, stresses_GPa

EMT = references.parse({"method": "ase", "calculator": "ase.calculators.emt.EMT", "level_of_theory": "EMT"})


def rattled() -> Atoms:
    """Warm copper in a sheared cell."""
    atoms = bulk("Cu", cubic=True) * (2, 2, 2)
    atoms.rattle(0.1, seed=3)
    strain = np.array([[0.02, 0.01, 0.0], [0.0, -0.01, 0.03], [0.0, 0.0, 0.01]])
    atoms.set_cell(atoms.cell.array @ (np.eye(3) + strain), scale_atoms=True)
    return atoms


def test_stress_is_the_analytic_one_of_ase() -> None:
    from ase.calculators.emt import EMT as Calculator

    atoms = rattled()
    (found,) = stresses_GPa(ReferencePotential(EMT), [atoms])
    atoms.calc = Calculator()
    np.testing.assert_allclose(found, atoms.get_stress() / units.GPa, atol=3e-3)
    assert np.abs(found).min() > 0.05


def test_strain_of_one_component_keeps_the_others() -> None:
    atoms = rattled()
    for component in range(6):
        moved = strained(atoms, component, 1e-3)
        tensor = np.linalg.solve(atoms.cell.array, moved.cell.array) - np.eye(3)
        assert np.count_nonzero(np.abs(tensor) > 1e-9) == (1 if component < 3 else 2)
        np.testing.assert_allclose(moved.get_scaled_positions(wrap=False), atoms.get_scaled_positions(wrap=False))


def test_ice_under_pressure_pushes() -> None:
    ice = ice_ih_sites((1, 2, 1), 2.76)
    small = ice.copy()
    small.set_cell(0.97 * ice.cell, scale_atoms=True)
    mW = ReferencePotential(references.parse({"method": "lammps"}))
    pressed, free = stresses_GPa(mW, [small, ice])
    assert pressed[:3].max() < free[:3].min() - 0.5
    np.testing.assert_allclose(pressed[3:], 0.0, atol=1e-3)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_frame_without_energy_has_no_stress() -> None:
    atoms = rattled()
    broken = atoms.copy()
    broken.positions[1] = broken.positions[0]
    found = stresses_GPa(ReferencePotential(EMT), [broken, atoms])
    assert np.isnan(found[0]).all()
    assert np.isfinite(found[1]).all()


@pytest.mark.parametrize("n_frames", [1, 2, 3, 9, 80, 201])
def test_pairs_of_neighbours_have_their_stress_computed(n_frames: int) -> None:
    some = calibrate.stressed_frames(n_frames)
    assert len(set(some)) == len(some) <= 2 * calibrate.STRESS_PAIRS
    assert some.max() < n_frames
    assert abs(np.sum(some % 2 == 0) - np.sum(some % 2 == 1)) <= 1
    if n_frames >= 20:
        assert len(some) == 2 * calibrate.STRESS_PAIRS


def test_stresses_are_calibrated_where_they_were_computed() -> None:
    """Members twice as far apart as the truth asks for."""
    rng, n_frames, n_members = np.random.default_rng(0), 2000, 16
    truth = rng.normal(size=(n_frames, 6))
    members = truth + rng.normal(size=(n_frames, 6)) + 2.0 * rng.normal(size=(n_members, n_frames, 6))
    members -= members.mean(axis=0) - (truth + rng.normal(size=(n_frames, 6)))
    truth[n_frames // 2 :], members[:, n_frames // 2 :] = np.nan, np.nan
    zeros = [np.zeros((2, 3))] * n_frames
    prediction = CommitteePrediction(
        rng.normal(size=(n_members, n_frames)),
        rng.normal(size=n_frames),
        [rng.normal(size=(n_members, 2, 3)) for _ in zeros],
        zeros,
        members,
        truth,
    )
    rows, _ = calibration_rows(prediction)
    row = next(row for row in rows if row["quantity"] == "stress_GPa")
    assert row["n_values"] == n_frames // 4 * 6
    assert row["alpha"] == pytest.approx(np.sqrt(0.25 - 1 / n_members), rel=0.05)
