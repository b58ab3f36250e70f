"""Committees: their files read, and the melting point of each member."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from longhot.files import read_json
from longhot.observables.melting_point import staged
from longhot.observables.melting_point.members import Correction, correction, melting_point, state_name
from longhot.observables.melting_point.result import (
    SamplerFiles,
    SamplerResult,
    curve_through,
    melting_point_of,
    pinned_runs,
)
from longhot.observables.melting_point.thermodynamics import MeltingPoint

if TYPE_CHECKING:
    from longhot.config import MeltingPoint as Question


@dataclass(frozen=True)
class CommitteeFiles:
    """Files of one committee."""

    model: str
    train_size: int
    sampler: str
    """Key of its sampler."""
    energies: Path
    staged: Path | None
    calibration: Path
    own_pinning: dict[int, dict[tuple[str, float], Path]]
    """Of members that ran their own interface: folders by cell and temperature, by seed."""

    @classmethod
    def of(cls, plain: dict[str, Any]) -> CommitteeFiles:
        """From plain data with the same keys; ``folder`` stands for the three files."""
        folder = Path(plain["folder"])
        return cls(
            plain["model"],
            plain["train_size"],
            plain["sampler"],
            folder / "energies.npz",
            folder / "staged.json" if plain["staged"] else None,
            folder / "calibration.json",
            {seed: SamplerFiles.of([], folders, None).pinned for seed, folders in plain["own_pinning"]},
        )


@dataclass(frozen=True)
class Committee:
    """All that is known of one committee."""

    model: str
    train_size: int
    sampler: SamplerResult
    corrections: dict[int, list[Correction]]
    """By seed: the reweighted ones, and a staged one where those at its temperature are not valid."""
    points: dict[int, tuple[MeltingPoint, str]]
    """T_m and method by seed."""
    own: dict[int, MeltingPoint]
    """T_m of members by their own pinned interface, by seed."""
    energies_eV: dict[str, np.ndarray]
    """By ``state_name``, shape (n_members, n_frames)."""
    calibration: dict[str, Any]

    @property
    def ids(self) -> dict[str, Any]:
        """Its columns of any table."""
        return {"model": self.model, "train_size": self.train_size}

    @property
    def alpha(self) -> float:
        """Calibration factor of energies, from the hold-out; NaN where there is none."""
        return self._of_energies("alpha")

    @property
    def alpha_interval(self) -> tuple[float, float]:
        """Its 95 % interval."""
        return self._of_energies("alpha_ci_low"), self._of_energies("alpha_ci_high")

    def _of_energies(self, column: str) -> float:
        """A number of the calibration of energies on the hold-out; NaN where there is none."""
        for row in self.calibration["calibration"]:
            if row["quantity"].startswith("energy") and row["scope"] == "holdout":
                return np.nan if row[column] is None else float(row[column])
        return np.nan

    @property
    def why_no_alpha(self) -> str:
        """Why ``alpha`` is NaN."""
        reasons = [row["reason"] for row in self.calibration["calibration"] if row["quantity"].startswith("energy")]
        # One sentence: a row tells of its own frames too, after a semicolon.
        return next(iter(reasons), "no calibration").partition("; ")[0]

    @property
    def force_maes_meV_per_A(self) -> np.ndarray:
        """Of each member on the hold-out, shape (n_members,); NaN where a frame has no forces."""
        return np.array(self.calibration["force_mae_meV_per_A"], dtype=float)

    @property
    def valid(self) -> dict[int, MeltingPoint]:
        """Valid melting points by seed."""
        return {seed: point for seed, (point, _) in self.points.items() if point.valid}


def read_committee(question: Question, files: CommitteeFiles, sampler: SamplerResult) -> Committee:
    """Corrections and melting points of all members."""
    with np.load(files.energies, allow_pickle=False) as stored:
        energies = dict(stored)
    by_stages = {one.member: one for one in staged.read(files.staged)} if files.staged else {}
    corrections = {
        seed: _with_stages(reweighted(sampler, energies, place, seed, question.pressure_bar), by_stages.get(seed))
        for place, seed in enumerate(question.seeds)
    }
    return Committee(
        files.model,
        files.train_size,
        sampler,
        corrections,
        {seed: member_point(sampler, own) for seed, own in corrections.items()},
        {seed: _own_point(question, sampler, folders) for seed, folders in files.own_pinning.items()},
        energies,
        read_json(files.calibration),
    )


def reweighted(
    sampler: SamplerResult, energies_eV: dict[str, np.ndarray], place: int, seed: int, pressure_bar: float
) -> list[Correction]:
    """Corrections of one member at all temperatures by reweighting."""
    found = []
    for temperature_K in sampler.temperatures_K:
        solid, liquid = (sampler.phase(name, temperature_K) for name in ("solid", "liquid"))
        own, other = (energies_eV[state_name(one.phase, temperature_K)][place] for one in (solid, liquid))
        found.append(correction(seed, solid, liquid, own, other, pressure_bar))
    return found


def _with_stages(by_weights: list[Correction], by_stages: Correction | None) -> list[Correction]:
    """Stages take the place of what reweighting could not reach at their temperature."""
    if by_stages is None:
        return by_weights
    return [by_stages if one.temperature_K == by_stages.temperature_K else one for one in by_weights]


def member_point(sampler: SamplerResult, corrections: Sequence[Correction]) -> tuple[MeltingPoint, str]:
    """T_m of a member, or why there is none."""
    if sampler.curve is None:
        reason = f"the sampler has no melting point: {sampler.melting_point.reason}"
        return MeltingPoint(np.nan, np.nan, np.nan, False, reason), "reweighting"
    found, method = melting_point(sampler.curve, corrections)
    if sampler.fault:
        reasons = [f"the sampler: {sampler.fault}", found.reason]
        found = replace(found, valid=False, reason="; ".join(filter(None, reasons)))
    return found, method


def _own_point(question: Question, sampler: SamplerResult, folders: dict[tuple[str, float], Path]) -> MeltingPoint:
    """T_m of a member by its own pinned interface, carried on with the sampler's enthalpies.

    Its cell may be a smaller one: what that changes in the sampler's T_m is taken off. As in the members' other
    melting points, the error is without that of the sampler's own in the first cell.
    """
    runs = pinned_runs(question.member_pinning or question.pinning, folders)
    cell = runs[0].cell
    found = melting_point_of(*curve_through([one for one in runs if one.cell == cell], sampler.enthalpy))
    first, same = sampler.melting_point, sampler.by_cell[cell]
    if same is first:
        return found
    reasons = [found.reason, *(f"the sampler: {one.reason}" for one in (first, same) if not one.valid)]
    effect_K = same.temperature_K - first.temperature_K
    remark = f"found in {cell}: {effect_K:+.1f} K of size effect, the sampler's own, are taken off"
    return replace(
        found,
        temperature_K=found.temperature_K - effect_K,
        error_K=float(np.hypot(found.error_K, same.error_K)),
        valid=found.valid and first.valid and same.valid,
        reason="; ".join(filter(None, [*reasons, remark])),
    )
