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

from longhot.dynamics.samples import Samples
from longhot.files import atomic_path
from longhot.observables.melting_point.phases import Phase
from longhot.observables.melting_point.thermodynamics import Curve, MeltingPoint, crossing
from longhot.uncertainty.reweighting import decorrelate, free_energy_difference

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
    slope_meV_per_K: float | None = None
    """dc_k/dT, where the member itself was sampled."""


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
    member: int, solid: Phase, liquid: Phase, solid_energies_eV: np.ndarray, liquid_energies_eV: np.ndarray
) -> Correction:
    """c_k by reweighting both phases at one temperature.

    Args:
        member: its seed.
        solid: the sampler's run.
        liquid: the sampler's run at the same temperature.
        solid_energies_eV: V_k of the frames of ``solid``, shape (n_frames,).
        liquid_energies_eV: of those of ``liquid``.
    """
    parts, reasons = [], []
    for one, energies in ((solid, solid_energies_eV), (liquid, liquid_energies_eV)):
        if not one.valid:
            reasons.append(f"{one.phase}: {one.reason}")
        differences = energies - one.samples.energy_eV[one.samples.frame_sample]
        independent = decorrelate(differences).n_independent if np.isfinite(differences).all() else None
        found = free_energy_difference(differences, one.temperature_K, independent)
        parts.append((found, 1e3 / one.n_molecules))
        if not found.valid:
            reasons.append(f"{one.phase}: {found.reason}")
    (first, per_solid), (second, per_liquid) = parts
    return Correction(
        member,
        solid.temperature_K,
        first.value_eV * per_solid - second.value_eV * per_liquid,
        float(np.hypot(first.error_eV * per_solid, second.error_eV * per_liquid)),
        first.method if first.method == second.method else f"{first.method}+{second.method}",
        first.ess,
        second.ess,
        not reasons,
        "; ".join(reasons),
    )


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
    """Weighted line through valid corrections; with one of them, its own slope, or none."""
    temperatures = np.array([one.temperature_K for one in corrections])
    values = np.array([one.value_meV for one in corrections])
    errors = np.maximum([one.error_meV for one in corrections], 1e-6)
    middle_K = float(np.average(temperatures, weights=errors**-2))
    if len(corrections) == 1:
        slope = corrections[0].slope_meV_per_K or 0.0
        return MemberCurve(sampler, np.array([values[0], slope]), np.diag([errors[0] ** 2, 0.0]), middle_K)
    basis = np.stack([np.ones_like(temperatures), temperatures - middle_K], axis=1) / errors[:, None]
    covariance = np.linalg.inv(basis.T @ basis)
    return MemberCurve(sampler, covariance @ basis.T @ (values / errors), covariance, middle_K)


def melting_point(sampler: Curve, corrections: Sequence[Correction], near_K: float) -> tuple[MeltingPoint, str]:
    """T_m,k of one member and how it was got (``reweighting`` or ``staged``), or why there is none."""
    valid = [one for one in corrections if one.valid]
    if not valid:
        reasons = dict.fromkeys(f"{one.temperature_K:g} K, {one.reason}" for one in corrections)
        return MeltingPoint(np.nan, np.nan, np.nan, False, "; ".join(reasons) or "no frames"), "reweighting"
    staged = any(one.method == "staged" for one in valid)
    curve = member_curve(sampler, valid)
    return crossing(curve, curve.error, near_K, sampler.enthalpy.temperatures_K), "staged" if staged else "reweighting"
