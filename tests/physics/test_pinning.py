"""Interface pinning of an ideal gas at constant cross-section, whose order parameter and length have known laws."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms, units
from known_potentials import Free
from scipy import stats
from test_ensembles import BEYOND, WITHIN, Density, distribution_sigmas, mean_sigmas, sample, thinned

from longhot.dynamics.pinned import PinnedPotential, order_parameter

pytestmark = pytest.mark.physics

N_SITES, TEMPERATURE_K, SIDE_A = 96, 300.0, 3000.0
K_INDICES = (80, 60, 0)


def pinned_gas_law(anchor: float, kappa_eV: float) -> Density:
    """Q of N random phases, to first order in 1/N (Rayleigh and Pearson's random walk), times the bias."""
    order = np.linspace(0.0, 6.0, 2001)
    walk = order * np.exp(-(order**2)) * (1 - (1 - 2 * order**2 + order**4 / 2) / (2 * N_SITES))
    return Density(
        order, np.maximum(walk, 0) * np.exp(-kappa_eV / 2 * (order - anchor) ** 2 / (units.kB * TEMPERATURE_K))
    )


def test_pinned_ideal_gas(tmp_path: Path) -> None:
    """Neither the bias nor the barostat along z disturbs the other."""
    anchor, kappa_eV, pressure_bar = 2.5, 0.17, 1.5e-4
    scale_A = units.kB * TEMPERATURE_K / (pressure_bar * units.bar * SIDE_A**2)
    length_law = stats.gamma(N_SITES + 1, scale=scale_A)
    generator, starts = np.random.default_rng(0), []
    for length_A in length_law.ppf((np.arange(48) + 0.5) / 48):
        cell = np.diag([SIDE_A, SIDE_A, length_A])
        starts.append(Atoms(f"He{N_SITES}", cell=cell, pbc=True, positions=generator.random((N_SITES, 3)) @ cell))
    (sampled,) = sample(
        PinnedPotential(Free(), anchor, kappa_eV, K_INDICES, range(N_SITES)),  # type: ignore[arg-type]
        starts,
        tmp_path,
        30,
        equilibration_ps=10.0,
        ensemble="npt",
        barostat_axes="z",
        pressure_bar=pressure_bar,
        temperatures_K=[TEMPERATURE_K],
        duration_ps=70.0,
        time_step_fs=10.0,
        friction_per_ps=1.0,
        frame_interval_fs=1000.0,
    )
    order = order_parameter(sampled.positions_A, sampled.cell_A, K_INDICES)
    np.testing.assert_allclose(sampled.potential_eV, kappa_eV / 2 * (order - anchor) ** 2, rtol=1e-9, atol=1e-15)
    (independent,), law = thinned(order), pinned_gas_law(anchor, kappa_eV)
    assert mean_sigmas(independent, law.mean()) < WITHIN
    assert mean_sigmas((independent - law.mean()) ** 2, law.variance()) < WITHIN
    assert distribution_sigmas(independent, law) < WITHIN
    # Twice as strong, as without the half; and not pinned at all.
    for wrong in (2 * kappa_eV, 0.0):
        assert distribution_sigmas(independent, pinned_gas_law(anchor, wrong)) > BEYOND
    assert (sampled.cell_A[..., :2, :2] == SIDE_A * np.eye(2)).all()
    (length_A,) = thinned(sampled.cell_A[..., 2, 2])
    assert distribution_sigmas(length_A, length_law) < WITHIN
