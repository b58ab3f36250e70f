"""What a run of a bulk phase says: enthalpy, density, and whether it is still the phase that it began as."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import units

from longhot.dynamics.samples import OXYGEN, Samples
from longhot.frames import evenly_spread
from longhot.observables.crystallinity import crystalline_share
from longhot.uncertainty.reweighting import decorrelate, student_factor

MIN_SHARE_OF_SOLID, MAX_SHARE_OF_LIQUID = 0.5, 0.4
"""Share of the sites that are ice-like in the frames of a run: 0.8 to 1 in ice up to its melting, 0.0 to 0.2 in cold
water, more than a half once a part of it has frozen."""
MAX_FRAMES_TO_CLASSIFY = 20
N_BLOCKS = 8
"""More would be shorter than the correlation of a pinned interface, fewer would scatter by more than a quarter."""


@dataclass(frozen=True)
class Phase:
    """One phase at one temperature."""

    phase: str
    temperature_K: float
    samples: Samples
    """Without the equilibration."""
    statistical_inefficiency: float
    """Of the enthalpy, in samples."""
    crystalline_share: float
    valid: bool
    reason: str
    """Why it is not valid, or what to bear in mind."""

    @property
    def n_molecules(self) -> int:
        """Molecules in the cell."""
        return int((self.samples.numbers == OXYGEN).sum())

    def enthalpies_meV(self, pressure_bar: float) -> np.ndarray:
        """Potential energy and PV of each sample, per molecule; both phases have the same kinetic energy."""
        work = pressure_bar * units.bar * self.samples.volume_A3
        return 1e3 * (self.samples.energy_eV + work) / self.n_molecules

    @property
    def n_independent(self) -> float:
        """Independent samples."""
        return len(self.samples.time_ps) / self.statistical_inefficiency


def correlated_error(series: np.ndarray, statistical_inefficiency: float) -> float:
    """Of the mean of a correlated series, by its statistical inefficiency alone."""
    return float(series.std(ddof=1) * np.sqrt(statistical_inefficiency / len(series)))


def standard_error(series: np.ndarray, statistical_inefficiency: float) -> float:
    """Of the mean of a correlated series: by its statistical inefficiency or by block averages, whichever is larger.

    The first falls short where the run has not seen its slow motions, which ``N_BLOCKS`` blocks still show (Flyvbjerg
    and Petersen, J. Chem. Phys. 91, 461 (1989)). Neither is known well from a short run: ``student_factor``.
    """
    error = correlated_error(series, statistical_inefficiency)
    if len(series) >= 2 * N_BLOCKS:
        blocks = [block.mean() for block in np.array_split(series, N_BLOCKS)]
        error = max(error, float(np.std(blocks, ddof=1)) / np.sqrt(N_BLOCKS))
    return error * student_factor(len(series) / statistical_inefficiency)


def analyse(samples: Samples, phase: str, temperature_K: float, equilibration_ps: float, pressure_bar: float) -> Phase:
    """One run of a bulk phase, judged."""
    kept = samples.after(equilibration_ps)
    if len(kept.time_ps) < 2 or not len(kept.frame_sample):
        reason = samples.failure or "the run is shorter than its equilibration"
        return Phase(phase, temperature_K, kept, np.nan, np.nan, False, reason)
    found = decorrelate(kept.energy_eV + pressure_bar * units.bar * kept.volume_A3)
    share = mean_crystalline_share(kept)
    fault = samples.failure or transformed(phase, share)
    return Phase(phase, temperature_K, kept, found.statistical_inefficiency, share, not fault, fault or found.reason)


def mean_crystalline_share(samples: Samples) -> float:
    """Over at most ``MAX_FRAMES_TO_CLASSIFY`` frames, spread evenly."""
    positions_A = samples.oxygen_A
    chosen = evenly_spread(len(positions_A), MAX_FRAMES_TO_CLASSIFY)
    cells_A = samples.cell_A[samples.frame_sample]
    return float(np.mean([crystalline_share(positions_A[one], cells_A[one]) for one in chosen]))


def transformed(phase: str, share: float) -> str:
    """Why the run is not of its phase; empty where it is."""
    if phase == "solid" and share < MIN_SHARE_OF_SOLID:
        return f"the solid melted during sampling ({100 * share:.0f} % of it is ice-like): lower the temperature"
    if phase == "liquid" and share > MAX_SHARE_OF_LIQUID:
        return f"the liquid froze during sampling ({100 * share:.0f} % of it is ice-like): raise the temperature"
    return ""


def row(one: Phase, pressure_bar: float, equilibration_ps: float) -> dict[str, Any]:
    """Its row of phases.csv."""
    samples, empty = one.samples, not np.isfinite(one.statistical_inefficiency)
    enthalpy_meV = np.full(2, np.nan) if empty else one.enthalpies_meV(pressure_bar)
    mass_g = samples.masses_amu.sum() * units._amu * 1e3
    return {
        "phase": one.phase,
        "temperature_K": one.temperature_K,
        "n_sites": one.n_molecules,
        "simulated_ps": np.nan if empty else samples.time_ps[-1] - samples.time_ps[0],
        "equilibration_ps": equilibration_ps,
        "n_frames": len(samples.frame_sample),
        "statistical_inefficiency": one.statistical_inefficiency,
        "n_independent": np.nan if empty else one.n_independent,
        "density_g_per_cm3": np.nan if empty else mass_g / (samples.volume_A3.mean() * 1e-24),
        "enthalpy_meV": enthalpy_meV.mean(),
        "enthalpy_error_meV": np.nan if empty else standard_error(enthalpy_meV, one.statistical_inefficiency),
        "crystalline_share": one.crystalline_share,
        "valid": one.valid,
        "reason": one.reason,
    }
