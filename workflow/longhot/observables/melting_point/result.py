"""The sampler's melting point, from its runs of bulk phases and interfaces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from longhot.dynamics.samples import load
from longhot.observables.melting_point import interfaces, phases
from longhot.observables.melting_point.interfaces import Interface
from longhot.observables.melting_point.phases import Phase
from longhot.observables.melting_point.thermodynamics import (
    Curve,
    EnthalpyDifference,
    MeltingPoint,
    combined,
    crossing,
    enthalpy_difference,
)

if TYPE_CHECKING:
    from longhot.config import MeltingPoint as Question
    from longhot.config import Pinning

MAX_CHI2 = 9.0
"""Scatter of pinned runs at several temperatures, per degree of freedom, above which they contradict each other: three
standard deviations for two runs. Below, the error is enlarged by its root."""


@dataclass(frozen=True)
class SamplerFiles:
    """Files of the runs of one sampler."""

    bulk: dict[tuple[str, float], Path]
    """By phase and temperature in K."""
    pinned: dict[tuple[str, float], Path]
    """Folders with the three runs, by cell and temperature in K; the first cell is the one that counts."""
    coexistence: Path | None = None

    @classmethod
    def of(cls, bulk: list[Any], pinned: list[Any], coexistence: str | None) -> SamplerFiles:
        """From plain lists of (phase, temperature, file) and (cell, temperature, folder)."""
        return cls(_keyed(bulk), _keyed(pinned), Path(coexistence) if coexistence else None)


def _keyed(rows: Sequence[tuple[str, float, str]]) -> dict[tuple[str, float], Path]:
    return {(name, temperature_K): Path(path) for name, temperature_K, path in rows}


@dataclass(frozen=True)
class SamplerResult:
    """All that the sampler's own runs say."""

    phases: list[Phase]
    interfaces: list[Interface]
    enthalpy: EnthalpyDifference | None
    curve: Curve | None
    """mu_s - mu_l of the first cell; None where no pinned run or no pair of phases is valid."""
    fault: str
    """Why nothing that rests on the curve is valid; empty where it may be."""
    melting_point: MeltingPoint
    by_cell: dict[str, MeltingPoint] = field(default_factory=dict)
    coexistence: Interface | None = None

    def phase(self, name: str, temperature_K: float) -> Phase:
        """A bulk run."""
        return next(one for one in self.phases if (one.phase, one.temperature_K) == (name, temperature_K))

    @property
    def temperatures_K(self) -> list[float]:
        """Of the bulk runs, ascending."""
        return sorted({one.temperature_K for one in self.phases})

    def nearest_K(self) -> float:
        """The temperature of bulk runs nearest to the melting point; the middle one where there is none."""
        temperatures = self.temperatures_K
        if not np.isfinite(self.melting_point.temperature_K):
            return temperatures[len(temperatures) // 2]
        return min(temperatures, key=lambda one: abs(one - self.melting_point.temperature_K))


def analyse(question: Question, files: SamplerFiles) -> SamplerResult:
    """Read and judge all runs of a sampler."""
    equilibration_ps = question.bulk.equilibration_ps
    bulk = [
        phases.analyse(load(path), phase, temperature_K, equilibration_ps, question.pressure_bar)
        for (phase, temperature_K), path in files.bulk.items()
    ]
    pinned = pinned_runs(question.pinning, files.pinned)
    enthalpy = enthalpy_difference(bulk, question.pressure_bar)
    curves = {
        cell: curve_through([one for one in pinned if one.cell == cell], enthalpy)
        for cell in dict.fromkeys(one.cell for one in pinned)
    }
    by_cell = {cell: melting_point_of(*found) for cell, found in curves.items()}
    first = next(iter(curves))
    beside = None
    if files.coexistence is not None and question.coexistence is not None:
        origin = next(one for one in pinned if one.cell == first)
        beside = interfaces.coexistence(first, load(files.coexistence), origin, question.coexistence.equilibration_ps)
    return SamplerResult(bulk, pinned, enthalpy, *curves[first], by_cell[first], by_cell, beside)


def pinned_runs(block: Pinning, folders: dict[tuple[str, float], Path]) -> list[Interface]:
    """Read and judge pinned runs, given by cell and temperature, that were made with these settings."""
    return [
        interfaces.pinning(
            cell,
            temperature_K,
            {name: load(folder / f"{name}.npz") for name in ("solid", "liquid", "pinned")},
            block.kappa_eV,
            block.equilibration_ps,
        )
        for (cell, temperature_K), folder in folders.items()
    ]


def curve_through(pinned: Sequence[Interface], enthalpy: EnthalpyDifference | None) -> tuple[Curve | None, str]:
    """mu_s - mu_l through the valid ones of some pinned runs, and why it is not to be trusted or not there."""
    points = [(one.temperature_K, one.value, one.error) for one in pinned if one.valid]
    if not points:
        return None, "; ".join(f"{one.temperature_K:g} K: {one.reason}" for one in pinned)
    if enthalpy is None:
        return None, "no temperature has valid runs of both bulk phases"
    curve, chi2 = combined(points, enthalpy)
    if chi2 > MAX_CHI2:
        return (
            curve,
            f"the pinned runs contradict each other (chi-squared {chi2:.1f} per degree of freedom): run longer",
        )
    return curve, ""


def melting_point_of(curve: Curve | None, fault: str) -> MeltingPoint:
    """Where what ``curve_through`` gave crosses zero."""
    if curve is None:
        return MeltingPoint(np.nan, np.nan, np.nan, False, fault)
    found = crossing(curve, curve.error, curve.temperature_K, curve.enthalpy.temperatures_K)
    return replace(found, valid=False, reason="; ".join(filter(None, [fault, found.reason]))) if fault else found
