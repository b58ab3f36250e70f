"""The melting point of each member of a committee, from the frames of the sampler.

For each phase, temperature and member k the frames give G_k - G_0 by reweighting; per molecule the difference of the
two phases is the correction c_k to mu_s - mu_l. T_m,k is where the sampler's curve plus the correction vanishes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from ase import units

from longhot.dynamics.samples import Samples
from longhot.files import atomic_path
from longhot.observables.melting_point.averages import average, frame_enthalpies_meV, free_energy
from longhot.observables.melting_point.phases import Phase
from longhot.observables.melting_point.thermodynamics import Curve, MeltingPoint, crossing
from longhot.uncertainty.reweighting import FreeEnergyDifference

if TYPE_CHECKING:
    from ase import Atoms

    from longhot.potential import Potential


@dataclass(frozen=True)
class Correction:
    """c_k at one temperature: what a member adds to the sampler's mu_s - mu_l, in meV per molecule."""

    member: int
    temperature_K: float
    value_meV: float
    error_meV: float
    method: str
    """``direct``, ``cumulant``, both joined by a plus where the phases differ, or ``staged``."""
    ess_solid: float
    ess_liquid: float
    valid: bool
    reason: str
    slope_meV_per_K: float = np.nan
    """dc_k/dT, from the enthalpies of member and sampler."""
    slope_error_meV_per_K: float = np.nan


def frames_of(samples: Samples) -> list[Atoms]:
    """The frames of a run as Atoms."""
    from ase import Atoms

    return [
        Atoms(numbers=samples.numbers, positions=positions_A, cell=samples.cell_A[sample], pbc=True)
        for positions_A, sample in zip(samples.positions_A, samples.frame_sample, strict=True)
    ]


def energies_eV(potential: Potential, samples: Samples) -> np.ndarray:
    """Energy of each frame of a run by one potential, NaN where it gives none; shape (n_frames,)."""
    return np.array([label.energy_eV for label in potential.predict(frames_of(samples))])


def write_energies(members: Sequence[Potential], runs: dict[str, Samples], out: Path) -> None:
    """Write the members' energies of all frames: for each run an array (n_members, n_frames) in eV.

    Args:
        members: the committee.
        runs: equilibrated samples by name, see ``state_name``.
        out: npz file.
    """
    found = {name: np.array([energies_eV(member, run) for member in members]) for name, run in runs.items()}
    with atomic_path(out) as temporary:
        np.savez(temporary, allow_pickle=False, **found)


def state_name(phase: str, temperature_K: float) -> str:
    """Name of a bulk run in files."""
    return f"{phase}-T{temperature_K:g}"


def correction(
    member: int,
    solid: Phase,
    liquid: Phase,
    solid_energies_eV: np.ndarray,
    liquid_energies_eV: np.ndarray,
    pressure_bar: float,
) -> Correction:
    """c_k by reweighting both phases at one temperature.

    Args:
        member: its seed.
        solid: the sampler's run.
        liquid: the sampler's run at the same temperature.
        solid_energies_eV: V_k of the frames of ``solid``, shape (n_frames,).
        liquid_energies_eV: of those of ``liquid``.
        pressure_bar: of both runs.
    """
    parts = {"solid": (solid, solid_energies_eV), "liquid": (liquid, liquid_energies_eV)}
    shifts = {name: _shift(one, energies_eV, pressure_bar) for name, (one, energies_eV) in parts.items()}
    reasons = [f"{name}: {one.reason}" for name, (one, _) in parts.items() if not one.valid]
    said = {name: one.free_energy for name, one in shifts.items() if one.free_energy.reason}
    reasons += [f"{name}: {one.reason}" for name, one in said.items() if not one.valid]
    remarks = [f"{name}: {one.reason}" for name, one in said.items() if one.valid]
    first, second = (one.free_energy for one in shifts.values())
    per_molecule = 1e3 / solid.n_molecules, 1e3 / liquid.n_molecules
    value = first.value_eV * per_molecule[0] - second.value_eV * per_molecule[1]
    enthalpy = shifts["solid"].enthalpy_meV - shifts["liquid"].enthalpy_meV
    enthalpy_error = np.hypot(shifts["solid"].enthalpy_error_meV, shifts["liquid"].enthalpy_error_meV)
    return Correction(
        member,
        solid.temperature_K,
        value,
        float(np.hypot(first.error_eV * per_molecule[0], second.error_eV * per_molecule[1])),
        first.method if first.method == second.method else f"{first.method}+{second.method}",
        first.ess,
        second.ess,
        not reasons,
        "; ".join(reasons + remarks),
        (value - enthalpy) / solid.temperature_K,
        float(enthalpy_error) / solid.temperature_K,
    )


@dataclass(frozen=True)
class _Shift:
    """What a member changes in one phase."""

    free_energy: FreeEnergyDifference
    enthalpy_meV: float
    """Per molecule."""
    enthalpy_error_meV: float


def _shift(one: Phase, energies_eV: np.ndarray, pressure_bar: float) -> _Shift:
    found = free_energy(one, energies_eV)
    if not np.isfinite(found.value_eV):
        return _Shift(found, np.nan, np.nan)
    sampled_eV = one.samples.energy_eV[one.samples.frame_sample]
    before, after = (frame_enthalpies_meV(one, energies, pressure_bar) for energies in (sampled_eV, energies_eV))
    h = (energies_eV - sampled_eV) / (units.kB * one.temperature_K)
    (enthalpy,), (error,), _ = average(after[:, None], h, found)
    return _Shift(found, float(enthalpy - before.mean()), float(error))


@dataclass(frozen=True)
class MemberCurve:
    """A line through the valid corrections of one member, on top of the sampler's curve."""

    sampler: Curve
    coefficients: np.ndarray
    """Of 1 and T - T0."""
    covariance: np.ndarray
    middle_K: float

    def __call__(self, temperature_K: float) -> float:
        """mu_s - mu_l of the member in meV per molecule."""
        return self.sampler(temperature_K) + float(self.coefficients @ self._basis(temperature_K))

    def error(self, temperature_K: float) -> float:
        """Standard error of the correction alone: the sampler's own is common to all members."""
        basis = self._basis(temperature_K)
        return float(np.sqrt(basis @ self.covariance @ basis))

    def _basis(self, temperature_K: float) -> np.ndarray:
        return np.array([1.0, temperature_K - self.middle_K])


def member_curve(sampler: Curve, corrections: Sequence[Correction]) -> MemberCurve:
    """Weighted line through valid corrections; through one of them, with the slope that its enthalpies tell."""
    temperatures = np.array([one.temperature_K for one in corrections])
    values = np.array([one.value_meV for one in corrections])
    errors = np.maximum([one.error_meV for one in corrections], 1e-6)
    middle_K = float(np.average(temperatures, weights=errors**-2))
    if len(corrections) == 1:
        slope, slope_error = np.nan_to_num([corrections[0].slope_meV_per_K, corrections[0].slope_error_meV_per_K])
        return MemberCurve(sampler, np.array([values[0], slope]), np.diag([errors[0] ** 2, slope_error**2]), middle_K)
    basis = np.stack([np.ones_like(temperatures), temperatures - middle_K], axis=1) / errors[:, None]
    covariance = np.linalg.inv(basis.T @ basis)
    return MemberCurve(sampler, covariance @ basis.T @ (values / errors), covariance, middle_K)


def melting_point(sampler: Curve, corrections: Sequence[Correction]) -> tuple[MeltingPoint, str]:
    """T_m,k of one member and how it was got (``reweighting`` or ``staged``), or why there is none."""
    valid = [one for one in corrections if one.valid]
    if not valid:
        reasons = dict.fromkeys(f"{one.temperature_K:g} K, {one.reason}" for one in corrections)
        return MeltingPoint(np.nan, np.nan, np.nan, False, "; ".join(reasons) or "no frames"), "reweighting"
    staged = any(one.method == "staged" for one in valid)
    curve = member_curve(sampler, valid)
    found = crossing(curve, curve.error, sampler.temperature_K, sampler.enthalpy.temperatures_K)
    return found, "staged" if staged else "reweighting"
