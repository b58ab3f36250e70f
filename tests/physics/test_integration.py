"""Thermodynamic integration along a mixture, between two Einstein crystals of known free energies.

With springs k_0 and k_1 and sites a distance d apart, each of the 3N coordinates has the mean
lambda k_1 d / k and the variance kT / k at lambda, with k = (1 - lambda) k_0 + lambda k_1.
"""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk
from known_potentials import Einstein
from pymbar import MBAR
from test_ensembles import BEYOND, WITHIN, mean_sigmas, sample, thinned

from longhot.dynamics.mixed import MixedPotential

pytestmark = pytest.mark.physics

TEMPERATURE_K = 300.0
KT = units.kB * TEMPERATURE_K
SOFT, STIFF = 4.0, 9.0
APART_A = np.array([0.05, 0.0, -0.08])
OFFSET_EV = 0.3
LAMBDAS, WEIGHTS = (
    0.5 * (part + shift) for part, shift in zip(np.polynomial.legendre.leggauss(5), (1, 0), strict=True)
)
"""Of Gauss and Legendre, from 0 to 1: exact for polynomials up to the ninth degree."""


def crystals() -> tuple[Atoms, Einstein, Einstein]:
    """Atoms between both sets of sites, and the two crystals: the second is stiffer, elsewhere, and higher."""
    atoms = bulk("Cu", "fcc", a=5.0, cubic=True)
    sites, volume = atoms.get_scaled_positions(), atoms.get_volume()
    first = Einstein(sites, SOFT, 0.0, volume)
    second = Einstein(sites + APART_A / 5.0, STIFF, 2 * OFFSET_EV / volume, 2 * volume)
    atoms.positions += 0.5 * APART_A
    return atoms, first, second


EXACT_EV = OFFSET_EV / 2 + 1.5 * 4 * KT * np.log(STIFF / SOFT)


def slope_eV(weight: float) -> float:
    """<dV/dlambda> of the 12 coordinates."""
    stiffness = (1 - weight) * SOFT + weight * STIFF
    mean_A = weight * STIFF * APART_A / stiffness
    squares = [np.sum(where**2) + 3 * KT / stiffness for where in (mean_A, mean_A - APART_A)]
    return OFFSET_EV / 2 + 4 * 0.5 * (STIFF * squares[1] - SOFT * squares[0])


@pytest.fixture(scope="module")
def windows(tmp_path_factory: pytest.TempPathFactory) -> list[np.ndarray]:
    """V_0 and V_1 of independent frames in each window, shape (2, n_frames)."""
    atoms, *parts = crystals()
    found = []
    for number, weight in enumerate(LAMBDAS):
        (sampled,) = sample(
            MixedPotential(parts, (1 - weight, weight)),
            [atoms] * 32,
            tmp_path_factory.mktemp("window"),
            20 + number,
            equilibration_ps=2.0,
            temperatures_K=[TEMPERATURE_K],
            duration_ps=22.0,
            time_step_fs=4.0,
            friction_per_ps=10.0,
            frame_interval_fs=200.0,
        )
        flat = sampled.positions_A.reshape(-1, len(atoms), 3)
        energies = [part.compute(flat).energy_eV.reshape(sampled.kinetic_eV.shape) for part in parts]
        mixed = (1 - weight) * energies[0] + weight * energies[1]
        np.testing.assert_allclose(sampled.potential_eV, mixed, rtol=1e-12)
        found.append(np.array(thinned(*energies)))
    return found


def test_slope_in_each_window(windows: list[np.ndarray]) -> None:
    for weight, (first, second) in zip(LAMBDAS, windows, strict=True):
        assert mean_sigmas(second - first, slope_eV(weight)) < WITHIN


def test_free_energy_by_integration(windows: list[np.ndarray]) -> None:
    np.testing.assert_allclose(WEIGHTS @ [slope_eV(weight) for weight in LAMBDAS], EXACT_EV, rtol=1e-4)
    slopes = [second - first for first, second in windows]
    found = WEIGHTS @ [slope.mean() for slope in slopes]
    error = np.sqrt(WEIGHTS**2 @ [slope.var(ddof=1) / len(slope) for slope in slopes])
    assert abs(found - EXACT_EV) < WITHIN * error
    # Springs alone, without the offset; and the wrong way round.
    for wrong in (EXACT_EV - OFFSET_EV / 2, OFFSET_EV - EXACT_EV):
        assert abs(found - wrong) > BEYOND * error


def test_free_energy_by_mbar(windows: list[np.ndarray]) -> None:
    """The ends are reweighted to: every frame has its energy in every window by the line."""
    first, second = np.concatenate(windows, axis=1)
    states = np.array([0.0, *LAMBDAS, 1.0])[:, None]
    n_frames = [0, *(window.shape[1] for window in windows), 0]
    found = MBAR(((1 - states) * first + states * second) / KT, n_frames).compute_free_energy_differences()
    difference_eV, error_eV = (KT * found[name][0, -1] for name in ("Delta_f", "dDelta_f"))
    assert abs(difference_eV - EXACT_EV) < WITHIN * error_eV
    assert error_eV < 0.1 * EXACT_EV
