"""The tables of the melting point, from the files of all runs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from longhot.config import REFERENCE_MODEL
from longhot.files import atomic_path
from longhot.observables.melting_point import interfaces, phases
from longhot.observables.melting_point.averages import enthalpy_of_melting_rows, rows_of
from longhot.observables.melting_point.budget import budget, required_accuracy, summary
from longhot.observables.melting_point.committees import Committee, CommitteeFiles, read_committee
from longhot.observables.melting_point.members import Correction, state_name
from longhot.observables.melting_point.result import SamplerFiles, SamplerResult, analyse
from longhot.observables.melting_point.thermodynamics import MeltingPoint

if TYPE_CHECKING:
    import pandas as pd

    from longhot.config import MeltingPoint as Question


def write_tables(
    question: Question, samplers: dict[str, SamplerFiles], committees: Sequence[CommitteeFiles], out: dict[str, str]
) -> None:
    """Write every table of ``TABLES`` to the path that ``out`` names.

    Args:
        question: all settings.
        samplers: files by sampler, ``reference`` or a committee's.
        committees: files of each model and training size.
        out: path by the name of the table.
    """
    results = {name: analyse(question, files) for name, files in samplers.items()}
    known = [read_committee(question, files, results[files.sampler]) for files in committees]
    for name, make in TABLES.items():
        frame = _table(name, question.dataset, make(question, results, known))
        with atomic_path(out[name]) as temporary:
            # Total energies of DFT are -5e5 meV a molecule and more, their errors 0.1 meV.
            frame.to_csv(temporary, index=False, float_format="%.10g")


# Tables

Rows = Iterable[dict[str, Any]]
REFERENCE_IDS = {"model": REFERENCE_MODEL, "train_size": 0, "member": 0}


def _sampled_by(name: str) -> dict[str, Any]:
    """Columns of rows that a sampler's own runs give: those of the control where the reference samples."""
    return REFERENCE_IDS if name == REFERENCE_MODEL else {"model": f"sampler {name}", "train_size": 0, "member": 0}


def _calibration(question: Question, results: dict[str, SamplerResult], known: Sequence[Committee]) -> Rows:
    return [{**one.ids, **row} for one in known for row in one.calibration["calibration"]]


def _reliability(question: Question, results: dict[str, SamplerResult], known: Sequence[Committee]) -> Rows:
    return [{**one.ids, **row} for one in known for row in one.calibration["reliability"]]


def _phases(question: Question, results: dict[str, SamplerResult], known: Sequence[Committee]) -> Rows:
    return [
        {"sampler": name, **phases.row(one, question.pressure_bar, question.bulk.equilibration_ps)}
        for name, result in results.items()
        for one in result.phases
    ]


def _interfaces(question: Question, results: dict[str, SamplerResult], known: Sequence[Committee]) -> Rows:
    return [
        {"sampler": name, **interfaces.row(one)}
        for name, result in results.items()
        for one in [*result.interfaces, *([result.coexistence] if result.coexistence else [])]
    ]


def _delta_mu(question: Question, results: dict[str, SamplerResult], known: Sequence[Committee]) -> Rows:
    rows = []
    for name, result in results.items():
        for temperature_K in result.temperatures_K:
            curve = result.curve
            rows.append(
                {
                    **_sampled_by(name),
                    "temperature_K": temperature_K,
                    "delta_mu_meV": curve(temperature_K) if curve else np.nan,
                    "sampling_error_meV": curve.error(temperature_K) if curve else np.nan,
                    "method": "pinning+gibbs_helmholtz",
                    "ess_solid": np.nan,
                    "ess_liquid": np.nan,
                    "valid": not result.fault,
                    "reason": result.fault,
                }
            )
    for one in known:
        for own in one.corrections.values():
            rows += [_member_delta_mu(one, part) for part in own]
    return rows


def _member_delta_mu(one: Committee, part: Correction) -> dict[str, Any]:
    curve, fault = one.sampler.curve, one.sampler.fault
    return {
        **one.ids,
        "member": part.member,
        "temperature_K": part.temperature_K,
        "delta_mu_meV": curve(part.temperature_K) + part.value_meV if curve else np.nan,
        "sampling_error_meV": part.error_meV,
        "method": part.method,
        "ess_solid": part.ess_solid,
        "ess_liquid": part.ess_liquid,
        "valid": part.valid and not fault,
        "reason": "; ".join(filter(None, [fault and f"the sampler: {fault}", part.reason])),
    }


def _point_row(ids: dict[str, Any], point: MeltingPoint, method: str) -> dict[str, Any]:
    return {
        **ids,
        "melting_point_K": point.temperature_K,
        "sampling_error_K": point.error_K,
        "method": method,
        "entropy_of_melting_meV_per_K": point.entropy_meV_per_K,
        "valid": point.valid,
        "reason": point.reason,
    }


def _melting_point(question: Question, results: dict[str, SamplerResult], known: Sequence[Committee]) -> Rows:
    rows = []
    for name, result in results.items():
        rows.append(_point_row(_sampled_by(name), result.melting_point, "pinning"))
        if result.coexistence:
            beside = result.coexistence
            point = MeltingPoint(beside.value, beside.error, np.nan, beside.valid, beside.reason)
            rows.append(_point_row(_sampled_by(name), point, "coexistence"))
    for one in known:
        rows += [_point_row({**one.ids, "member": seed}, *found) for seed, found in one.points.items()]
        rows += [_point_row({**one.ids, "member": seed}, found, "pinning") for seed, found in one.own.items()]
    return rows


def _budget(question: Question, results: dict[str, SamplerResult], known: Sequence[Committee]) -> Rows:
    rows = []
    for one in known:
        for component, (error_K, reason) in budget(one).items():
            valid = bool(np.isfinite(error_K)) and (component != "pinning" or one.sampler.melting_point.valid)
            rows.append({**one.ids, "component": component, "error_K": error_K, "valid": valid, "reason": reason})
    return rows


def _summary(question: Question, results: dict[str, SamplerResult], known: Sequence[Committee]) -> Rows:
    return [{**one.ids, **summary(one, _truth(results))} for one in known]


def _truth(results: dict[str, SamplerResult]) -> MeltingPoint | None:
    return results[REFERENCE_MODEL].melting_point if REFERENCE_MODEL in results else None


def _required(question: Question, results: dict[str, SamplerResult], known: Sequence[Committee]) -> Rows:
    target = question.target_melting_point_error_K
    return [
        {
            "model": model,
            "target_melting_point_error_K": target,
            **required_accuracy([one for one in known if one.model == model], _truth(results), target),
        }
        for model in dict.fromkeys(one.model for one in known)
    ]


def _observables(question: Question, results: dict[str, SamplerResult], known: Sequence[Committee]) -> Rows:
    rows: list[dict[str, Any]] = []
    for name, result in results.items():
        rows += [{**_sampled_by(name), **row} for row in _properties(question, result, None)]
    for one in known:
        for place, seed in enumerate(one.points):
            energies = {state: values[place] for state, values in one.energies_eV.items()}
            rows += [{**one.ids, "member": seed, **row} for row in _properties(question, one.sampler, energies)]
    return rows


def _properties(
    question: Question, result: SamplerResult, energies_eV: dict[str, np.ndarray] | None
) -> list[dict[str, Any]]:
    """Properties of all bulk runs; functions of a distance at the temperature nearest to the melting point alone."""
    rows = []
    for one in result.phases:
        if not len(one.samples.frame_sample):
            continue
        own = None if energies_eV is None else energies_eV[state_name(one.phase, one.temperature_K)]
        rows += rows_of(one, own, question.pressure_bar, one.temperature_K == result.nearest_K())
    return rows + enthalpy_of_melting_rows(rows)


TABLES = {
    "calibration": _calibration,
    "reliability": _reliability,
    "phases": _phases,
    "interfaces": _interfaces,
    "delta_mu": _delta_mu,
    "melting_point": _melting_point,
    "melting_point_summary": _summary,
    "melting_point_budget": _budget,
    "required_accuracy": _required,
    "observables": _observables,
}


COLUMNS_OF_EMPTY = {
    "observables": [
        *("dataset", "model", "train_size", "member", "temperature_K", "phase", "observable", "coordinate_A"),
        *("value", "sampling_error", "method", "ess", "valid", "reason"),
    ],
    "reliability": ["dataset", "model", "train_size", "scope", "quantity", "spread", "expected", "observed"],
}
"""Columns of the tables that have no row where no run left a frame, or no spread has scores."""


def _table(name: str, dataset: str, rows: Rows) -> pd.DataFrame:
    import pandas as pd

    made = [{"dataset": dataset, **row} for row in rows]
    # A table may be empty, its columns are promised all the same.
    return pd.DataFrame(made, columns=None if made else COLUMNS_OF_EMPTY[name])
