"""Properties of each phase by the sampler and by each member: rows of observables.csv."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from ase import units

import longhot.observables.properties
from longhot.block import plugin, plugin_names
from longhot.observables.melting_point.phases import Phase
from longhot.uncertainty.reweighting import (
    FreeEnergyDifference,
    cumulant_average,
    decorrelate,
    direct_average,
    free_energy_difference,
    student_factor,
)


def frame_enthalpies_meV(one: Phase, energies_eV: np.ndarray, pressure_bar: float) -> np.ndarray:
    """Potential energy and PV of each frame per molecule, by the potential whose energies are given."""
    work_eV = pressure_bar * units.bar * one.samples.volume_A3[one.samples.frame_sample]
    return 1e3 * (energies_eV + work_eV) / one.n_molecules


def free_energy(one: Phase, energies_eV: np.ndarray) -> FreeEnergyDifference:
    """G_k - G_0 of a phase from the sampler's frames; the error counts independent ones.

    Args:
        one: the sampler's run.
        energies_eV: V_k of its frames, shape (n_frames,).
    """
    differences_eV = energies_eV - one.samples.energy_eV[one.samples.frame_sample]
    usable = len(differences_eV) > 1 and np.isfinite(differences_eV).all()
    independent = decorrelate(differences_eV).n_independent if usable else None
    return free_energy_difference(differences_eV, one.temperature_K, independent)


def rows_of(
    one: Phase, energies_eV: np.ndarray | None, pressure_bar: float, with_spatial: bool
) -> list[dict[str, Any]]:
    """All properties of one phase at one temperature.

    Args:
        one: the sampler's run.
        energies_eV: V_k of its frames for a member; None for the sampler itself.
        pressure_bar: of the run.
        with_spatial: whether functions of a distance are wanted too.
    """
    sampled = one.samples.energy_eV[one.samples.frame_sample]
    energies = sampled if energies_eV is None else energies_eV
    enthalpies = frame_enthalpies_meV(one, energies, pressure_bar)
    h = (energies - sampled) / (units.kB * one.temperature_K)
    found = None if energies_eV is None else free_energy(one, energies_eV)
    rows = []
    for name in plugin_names(longhot.observables.properties):
        module = plugin(longhot.observables.properties, name)
        coordinates = module.coordinates(one.samples)
        if one.phase not in module.PHASES or (coordinates is not None and not with_spatial):
            continue
        mean, error, how = average(module.values(one.samples, enthalpies), h, found)
        state = {"temperature_K": one.temperature_K, "phase": one.phase, "observable": name}
        judged = how if one.valid else how | {"valid": False, "reason": one.reason}
        for place, (value, own_error) in enumerate(zip(mean, error, strict=True)):
            coordinate = np.nan if coordinates is None else coordinates[place]
            rows.append({**state, "coordinate_A": coordinate, "value": value, "sampling_error": own_error, **judged})
    return rows


def average(
    values: np.ndarray, h: np.ndarray, found: FreeEnergyDifference | None
) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
    """Average and its standard error, each of shape (n_values,), and how they were got.

    By the method that the free energy of the same frames takes; the error counts independent frames, with
    ``student_factor``.

    Args:
        values: shape (n_frames, n_values).
        h: beta (V_k - V_0), shape (n_frames,); zeros for the sampler itself.
        found: what ``free_energy`` gave; None for the sampler's own average.
    """
    if not np.isfinite(h).all():
        nothing = np.full(values.shape[1], np.nan)
        return nothing, nothing, _how("direct", np.nan, False, "the member gives no energy for some frames")
    # Of many values the one that varies most: the first bin of a distribution may hold zeros alone.
    independent = decorrelate(values[:, values.std(axis=0).argmax()], h).n_independent
    if found is None:
        error = values.std(axis=0, ddof=1) * _of_mean(independent)
        return values.mean(axis=0), error, _how("sampled", 1.0, True, "")
    if found.method == "direct":
        mean = direct_average(values, h)
        weights = np.exp(h.min() - h)
        # The delta method for a ratio of means: frames of much weight may be those that are far off.
        influence = (weights / weights.mean())[:, None] * (values - mean)
        error = influence.std(axis=0, ddof=1) * _of_mean(independent, found.ess)
        return mean, error, _how("direct", found.ess, found.valid, found.reason)
    influence = values - (h - h.mean())[:, None] * (values - values.mean(axis=0))
    error = influence.std(axis=0, ddof=1) * _of_mean(independent)
    return cumulant_average(values, h), error, _how("cumulant", found.ess, found.valid, found.reason)


def _of_mean(n_independent: float, ess: float = 1.0) -> float:
    """Standard error of a mean over the standard deviation of what it is over."""
    return student_factor(ess * n_independent) / float(np.sqrt(n_independent))


def _how(method: str, ess: float, valid: bool, reason: str) -> dict[str, Any]:
    return {"method": method, "ess": ess, "valid": valid, "reason": reason}


def enthalpy_of_melting_rows(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Enthalpy of melting (liquid less solid) at each temperature, from both phases by one potential."""
    own = {(row["phase"], row["temperature_K"]): row for row in rows if row["observable"] == "enthalpy_meV"}
    made = []
    for temperature_K in sorted({temperature_K for _, temperature_K in own}):
        solid, liquid = own.get(("solid", temperature_K)), own.get(("liquid", temperature_K))
        if solid is None or liquid is None:
            continue
        made.append(
            {
                **liquid,
                "phase": "both",
                "observable": "enthalpy_of_melting_meV",
                "value": liquid["value"] - solid["value"],
                "sampling_error": float(np.hypot(liquid["sampling_error"], solid["sampling_error"])),
                "method": "+".join(dict.fromkeys([solid["method"], liquid["method"]])),
                "ess": min(solid["ess"], liquid["ess"]),
                "valid": solid["valid"] and liquid["valid"],
                "reason": "; ".join(filter(None, dict.fromkeys([solid["reason"], liquid["reason"]]))),
            }
        )
    return made
