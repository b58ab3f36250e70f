"""The tables of the melting point, from the files of all runs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from longhot.config import REFERENCE_MODEL
from longhot.files import atomic_path, read_json
from longhot.observables.melting_point import interfaces, phases, staged
from longhot.observables.melting_point.averages import enthalpy_of_melting_rows, rows_of
from longhot.observables.melting_point.members import Correction, correction, melting_point, state_name
from longhot.observables.melting_point.result import SamplerFiles, SamplerResult, analyse
from longhot.observables.melting_point.thermodynamics import MeltingPoint, combined, crossing

if TYPE_CHECKING:
    import pandas as pd

    from longhot.config import MeltingPoint as Question

MIN_FOR_CALIBRATION = 4


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
        for row in self.calibration["calibration"]:
            if row["quantity"].startswith("energy") and row["scope"] == "holdout":
                return np.nan if row["alpha"] is None else row["alpha"]
        return np.nan

    @property
    def valid(self) -> dict[int, MeltingPoint]:
        """Valid melting points by seed."""
        return {seed: point for seed, (point, _) in self.points.items() if point.valid}


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
            frame.to_csv(temporary, index=False, float_format="%.6g")


def read_committee(question: Question, files: CommitteeFiles, sampler: SamplerResult) -> Committee:
    """Corrections and melting points of all members."""
    with np.load(files.energies, allow_pickle=False) as stored:
        energies = dict(stored)
    by_stages = {one.member: one for one in staged.read(files.staged)} if files.staged else {}
    corrections = {
        seed: _with_stages(reweighted(sampler, energies, place, seed), by_stages.get(seed))
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


def reweighted(sampler: SamplerResult, energies_eV: dict[str, np.ndarray], place: int, seed: int) -> list[Correction]:
    """Corrections of one member at all temperatures by reweighting."""
    found = []
    for temperature_K in sampler.temperatures_K:
        solid, liquid = (sampler.phase(name, temperature_K) for name in ("solid", "liquid"))
        own, other = (energies_eV[state_name(one.phase, temperature_K)][place] for one in (solid, liquid))
        found.append(correction(seed, solid, liquid, own, other))
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
    return melting_point(sampler.curve, corrections, sampler.melting_point.temperature_K)


def _own_point(question: Question, sampler: SamplerResult, folders: dict[tuple[str, float], Path]) -> MeltingPoint:
    """T_m of a member by its own pinned interface, carried to the crossing with the sampler's enthalpies."""
    runs = [
        interfaces.pinning(
            cell, temperature_K, _runs(folder), question.pinning.kappa_eV, question.pinning.equilibration_ps
        )
        for (cell, temperature_K), folder in folders.items()
    ]
    valid = [(one.temperature_K, one.value, one.error) for one in runs if one.valid]
    if not valid or sampler.enthalpy is None:
        faults = "; ".join(f"{one.temperature_K:g} K: {one.reason}" for one in runs if not one.valid)
        return MeltingPoint(np.nan, np.nan, np.nan, False, faults or "the sampler has no enthalpies")
    curve, _ = combined(valid, sampler.enthalpy)
    return crossing(curve, curve.error, curve.temperature_K, sampler.enthalpy.temperatures_K)


def _runs(folder: Path) -> dict[str, Any]:
    from longhot.dynamics.samples import load

    return {name: load(folder / f"{name}.npz") for name in ("solid", "liquid", "pinned")}


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
            curve, point = result.curve, result.melting_point
            rows.append(
                {
                    **_sampled_by(name),
                    "temperature_K": temperature_K,
                    "delta_mu_meV": curve(temperature_K) if curve else np.nan,
                    "sampling_error_meV": curve.error(temperature_K) if curve else np.nan,
                    "method": "pinning+gibbs_helmholtz",
                    "ess_solid": np.nan,
                    "ess_liquid": np.nan,
                    "valid": curve is not None,
                    "reason": "" if curve else point.reason,
                }
            )
    for one in known:
        for own in one.corrections.values():
            rows += [_member_delta_mu(one, part) for part in own]
    return rows


def _member_delta_mu(one: Committee, part: Correction) -> dict[str, Any]:
    curve = one.sampler.curve
    return {
        **one.ids,
        "member": part.member,
        "temperature_K": part.temperature_K,
        "delta_mu_meV": curve(part.temperature_K) + part.value_meV if curve else np.nan,
        "sampling_error_meV": part.error_meV,
        "method": part.method,
        "ess_solid": part.ess_solid,
        "ess_liquid": part.ess_liquid,
        "valid": part.valid and curve is not None,
        "reason": part.reason or ("" if curve else one.sampler.melting_point.reason),
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


@dataclass(frozen=True)
class Budget:
    """What the melting point of a committee may be off by, each part with the reason where it is not known."""

    parts: dict[str, tuple[float, str]]
    """Error in K and remark by component; NaN where there is none."""

    def __getitem__(self, component: str) -> float:
        return self.parts[component][0]


def budget(question: Question, one: Committee) -> Budget:
    """Every named part of the error of a committee's melting point."""
    points = np.array([point.temperature_K for point in one.valid.values()])
    raw = float(points.std(ddof=1)) if len(points) > 1 else np.nan
    errors = [point.error_K for point in one.valid.values()]
    few = f"{len(points)} of {len(one.points)} members have a melting point, a spread takes two"
    uncalibrated = few if len(points) < 2 else _why_no_alpha(one)
    # The frames are the same for all members, so their errors do not average out.
    sampling = float(np.sqrt(np.mean(np.square(errors)))) if errors else np.nan
    result = one.sampler
    return Budget(
        {
            "committee_raw": (raw, few if len(points) < 2 else ""),
            "committee_calibrated": (
                raw * one.alpha,
                uncalibrated if np.isnan(one.alpha) else few if len(points) < 2 else "",
            ),
            "reweighting": (sampling, "" if errors else few),
            "pinning": (result.melting_point.error_K, result.melting_point.reason),
            "protocol_coexistence": _beside_coexistence(result),
            "protocol_size": _beside_other_cells(question, result),
        }
    )


def _why_no_alpha(one: Committee) -> str:
    reasons = [row["reason"] for row in one.calibration["calibration"] if row["quantity"].startswith("energy")]
    return next(iter(reasons), "no calibration")


def _beside_coexistence(result: SamplerResult) -> tuple[float, str]:
    beside, own = result.coexistence, result.melting_point
    if beside is None:
        return np.nan, "not run: no block melting_point.coexistence"
    if not beside.valid:
        return np.nan, f"coexistence: {beside.reason}"
    if not own.valid:
        return np.nan, f"pinning: {own.reason}"
    return _difference(own.temperature_K, own.error_K, beside.value, beside.error)


def _beside_other_cells(question: Question, result: SamplerResult) -> tuple[float, str]:
    if len(result.by_cell) < 2:
        return np.nan, "not estimated: melting_point.pinning.cells names one cell"
    first, *others = result.by_cell.values()
    usable = [one for one in others if one.valid]
    if not first.valid or not usable:
        return np.nan, "; ".join(f"{cell}: {one.reason}" for cell, one in result.by_cell.items() if not one.valid)
    last = usable[-1]
    return _difference(first.temperature_K, first.error_K, last.temperature_K, last.error_K)


def _difference(first: float, first_error: float, second: float, second_error: float) -> tuple[float, str]:
    error = np.hypot(first_error, second_error)
    return abs(first - second), f"a difference of {second - first:+.1f} K with a statistical error of {error:.1f} K"


COMPONENTS = (
    "committee_raw",
    "committee_calibrated",
    "reweighting",
    "pinning",
    "protocol_coexistence",
    "protocol_size",
)


def _budget(question: Question, results: dict[str, SamplerResult], known: Sequence[Committee]) -> Rows:
    rows = []
    for one in known:
        for component, (error_K, reason) in budget(question, one).parts.items():
            valid = bool(np.isfinite(error_K)) and (component != "pinning" or one.sampler.melting_point.valid)
            rows.append({**one.ids, "component": component, "error_K": error_K, "valid": valid, "reason": reason})
    return rows


def _summary(question: Question, results: dict[str, SamplerResult], known: Sequence[Committee]) -> Rows:
    truth = results[REFERENCE_MODEL].melting_point if REFERENCE_MODEL in results else None
    return [_summary_row(question, one, truth) for one in known]


def _summary_row(question: Question, one: Committee, truth: MeltingPoint | None) -> dict[str, Any]:
    parts = budget(question, one)
    points = [point.temperature_K for point in one.valid.values()]
    mean = float(np.mean(points)) if points else np.nan
    known = truth is not None and truth.valid
    protocol = [parts[name] for name in ("protocol_coexistence", "protocol_size") if np.isfinite(parts[name])]
    width = 2 * np.hypot(parts["committee_calibrated"], parts["reweighting"])
    gap = abs(mean - truth.temperature_K) if truth is not None and known else np.nan
    left_out = [seed for seed, (point, _) in one.points.items() if not point.valid]
    reasons = [f"members {', '.join(map(str, left_out))} have no valid melting point" if left_out else ""]
    reasons.append("" if known else "no valid melting point of the reference to compare with")
    reasons.append("" if np.isfinite(width) else f"no calibrated spread: {parts.parts['committee_calibrated'][1]}")
    return {
        **one.ids,
        "melting_point_K": mean,
        "committee_std_K": parts["committee_raw"],
        "committee_std_calibrated_K": parts["committee_calibrated"],
        "sampling_error_K": parts["reweighting"],
        "reference_melting_point_K": truth.temperature_K if truth is not None and known else np.nan,
        "reference_error_K": truth.error_K if truth is not None and known else np.nan,
        # The error of the pinned run is common to committee and reference, and cancels in their difference.
        "covered_2sigma": bool(gap <= width) if np.isfinite(gap) and np.isfinite(width) else None,
        "n_members": len(one.points),
        "n_valid": len(points),
        "force_mae_meV_per_A": float(np.mean(one.calibration["force_mae_meV_per_A"])),
        "protocol_error_K": float(np.sqrt(np.sum(np.square(protocol)))) if protocol else np.nan,
        "reason": "; ".join(filter(None, reasons)),
    }


def _required(question: Question, results: dict[str, SamplerResult], known: Sequence[Committee]) -> Rows:
    truth = results[REFERENCE_MODEL].melting_point if REFERENCE_MODEL in results else None
    rows = []
    for model in dict.fromkeys(one.model for one in known):
        own = [one for one in known if one.model == model]
        target = question.target_melting_point_error_K
        rows.append({"model": model, "target_melting_point_error_K": target, **required_accuracy(own, truth, target)})
    return rows


def required_accuracy(committees: Sequence[Committee], truth: MeltingPoint | None, target_K: float) -> dict[str, Any]:
    """The force error that a wanted precision asks for.

    To first order the error of T_m is linear in the error of the potential, so the ratio of the two is taken to be the
    same at all training sizes: its mean square over all members gives the wanted force error, and a chi-squared
    distribution its 95 % interval. Deviations are from the reference, or from the committee's own mean (one degree
    of freedom less) where there is none.
    """
    from scipy.stats import chi2

    ratios: list[float] = []
    freedom = 0
    for one in committees:
        points = one.valid
        if truth is not None and truth.valid:
            middle, lost = truth.temperature_K, 0
        elif len(points) > 1:
            middle, lost = float(np.mean([point.temperature_K for point in points.values()])), 1
        else:
            continue
        maes = dict(zip(one.points, one.calibration["force_mae_meV_per_A"], strict=True))
        ratios += [(point.temperature_K - middle) / maes[seed] for seed, point in points.items()]
        freedom += len(points) - lost
    if freedom < 2:
        reason = "fewer than two members have a valid melting point"
        return {
            "force_mae_meV_per_A": np.nan,
            "ci_low": np.nan,
            "ci_high": np.nan,
            "n_points": freedom,
            "reason": reason,
        }
    ratio = np.sqrt(np.square(ratios).sum() / freedom)
    low, high = (np.sqrt(chi2.ppf(level, freedom) / freedom) for level in (0.025, 0.975))
    needed = target_K / ratio
    return {
        "force_mae_meV_per_A": needed,
        "ci_low": needed * low,
        "ci_high": needed * high,
        "exponent": 1.0,
        "n_points": len(ratios),
        "reason": "",
    }


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


def _table(name: str, dataset: str, rows: Rows) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame([{"dataset": dataset, **row} for row in rows])
