"""Everything about a melting point that is not valid, too short or missing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from longhot.config import REFERENCE_MODEL
from longhot.report.columns import COMPONENTS, SCOPES, column, method_in_words
from longhot.report.rows import is_sampler, reason_of, rows_of, valid_of
from longhot.report.statements import Flag, listed

if TYPE_CHECKING:
    import pandas as pd

LOW_ESS = 0.3
"""Effective share of the frames below which weights alone are no ground for an average."""
UNSAID = "no reason is given"


def invalid_phases(phases: pd.DataFrame) -> list[Flag]:
    """Bulk runs that are not valid, by sampler and phase."""
    return [
        Flag(f"Bulk {phase} of {_sampler(sampler)} on {dataset}{_range(rows)}", f"{len(rows)} of {total} runs", why)
        for (dataset, sampler, phase), rows, total, why in _invalid(phases, ["dataset", "sampler", "phase"])
    ]


def remarked_phases(phases: pd.DataFrame) -> list[Flag]:
    """Bulk runs that are valid, but for a remark: too short to know their own errors."""
    valid = valid_of(phases)
    remarked = valid[valid["reason"].notna() & (valid["reason"] != "")]
    return [
        Flag(
            f"Bulk {phase} of {_sampler(sampler)} on {dataset}{_range(rows)}",
            f"{len(rows)} of {total} runs",
            f"Valid, but: {why}",
        )
        for (dataset, sampler, phase), rows, total, why in _by_reason(remarked, phases, ["dataset", "sampler", "phase"])
    ]


def invalid_interfaces(interfaces: pd.DataFrame) -> list[Flag]:
    """Runs with an interface that are not valid, by sampler and method."""
    return [
        Flag(
            f"Runs of {_sampler(sampler)} on {dataset}, {_by(method)}, cell {_each(rows['cell'])},{_range(rows)}",
            f"{len(rows)} of {total} runs",
            why,
        )
        for (dataset, sampler, method), rows, total, why in _invalid(interfaces, ["dataset", "sampler", "method"])
    ]


def invalid_delta_mu(delta_mu: pd.DataFrame) -> list[Flag]:
    """Differences of chemical potential that are not valid, by model and method."""
    return [
        Flag(
            f"Δμ of {_fits(rows)} on {dataset} {_by(method)}{_range(rows)}",
            f"{len(rows)} of {total}",
            why,
        )
        for (dataset, _, method), rows, total, why in _invalid(delta_mu, ["dataset", "model", "method"])
    ]


def low_ess(delta_mu: pd.DataFrame) -> list[Flag]:
    """Valid differences of chemical potential for which the weights of the frames would be no ground."""
    valid = valid_of(delta_mu)
    valid = valid.assign(ess=valid[["ess_solid", "ess_liquid"]].min(axis=1))
    low = valid[valid["ess"] < LOW_ESS]
    return [
        Flag(
            f"Δμ of {_fits(rows)} on {dataset} {_by(method)}{_range(rows)}",
            f"effective sample down to {100 * rows['ess'].min():.0f} %",
            "Valid, but not by the weights of the frames, which a few decide: it rests on a normal distribution of the "
            "energy differences.",
        )
        for (dataset, _, method), rows in low.groupby(["dataset", "model", "method"], sort=False)
    ]


def invalid_melting_points(points: pd.DataFrame) -> list[Flag]:
    """Melting points of the reference and of members that are not valid, by model and method."""
    return [
        Flag(f"Melting point of {_fits(rows)} on {dataset} {_by(method)}", f"{len(rows)} of {total}", why)
        for (dataset, _, method), rows, total, why in _invalid(points, ["dataset", "model", "method"])
    ]


def incomplete_committees(summary: pd.DataFrame) -> list[Flag]:
    """Committees of which members are left out, and those whose spread is not calibrated."""
    found = []
    for _, row in summary.iterrows():
        what = f"Committee of {row['model']} (N = {row['train_size']:g}) on {row['dataset']}"
        if row["n_valid"] < row["n_members"]:
            why = "Mean and spread are over the others, which may be the better ones."
            count = f"{row['n_valid']:g} of {row['n_members']:g} members valid"
            found.append(Flag(what, count, why if row["n_valid"] else _sentence(row["reason"])))
        if row["n_valid"] and row["committee_std_calibrated_K"] != row["committee_std_calibrated_K"]:
            found.append(Flag(what, "not calibrated", _sentence(row["reason"])))
    return found


def missing_budget(budget: pd.DataFrame) -> list[Flag]:
    """Parts of the error budget without a valid number, those with the same reason together, by model."""
    found = []
    for (dataset, model), group in budget.groupby(["dataset", "model"], sort=False):
        n_sizes = group["train_size"].nunique()
        parts: dict[tuple[int, str], list[str]] = {}
        for component, name in COMPONENTS.items():
            rows = rows_of(group, component=component)
            missing = n_sizes - len(valid_of(rows).dropna(subset=["error_K"]))
            if missing:
                why = _sentence(reason_of(valid_of(rows, valid=False)))
                parts.setdefault((missing, why), []).append(name)
        found += [
            Flag(f"Error budget of {model} on {dataset}: {listed(names)}", f"{missing} of {n_sizes} sizes", why)
            for (missing, why), names in parts.items()
        ]
    return found


def missing_calibration(calibration: pd.DataFrame) -> list[Flag]:
    """Quantities of which a factor or a score is missing, by model."""
    numbers = ["alpha", "alpha_of_scope", "nll_raw", "nll_calibrated"]
    table = calibration.assign(valid=calibration[numbers].notna().all(axis=1))
    return [
        Flag(
            f"Calibration of {_fits(rows)} on {dataset}, {_each(rows['scope'].replace(SCOPES))}: "
            f"{_each(rows['quantity'].map(lambda name: column(name).label))}",
            f"{len(rows)} of {total}",
            why,
        )
        for (dataset, _), rows, total, why in _invalid(table, ["dataset", "model"])
    ]


def unknown_accuracy(required: pd.DataFrame) -> list[Flag]:
    """Targets for which the force error, or its interval, is not known."""
    unknown = required[required[["force_mae_meV_per_A", "ci_low", "ci_high"]].isna().any(axis=1)]
    return [
        Flag(
            f"Force error of {row['model']} on {row['dataset']} for {row['target_melting_point_error_K']:g} K",
            "no number" if row["force_mae_meV_per_A"] != row["force_mae_meV_per_A"] else "no interval",
            _sentence(row["reason"]),
        )
        for _, row in unknown.iterrows()
    ]


def invalid_observables(observables: pd.DataFrame) -> list[Flag]:
    """Averages that are not valid, a curve counted as one, by model and method."""
    one = ["dataset", "model", "train_size", "member", "temperature_K", "phase", "observable", "method"]
    averages = observables.drop_duplicates([*one, "valid"])
    return [
        Flag(
            f"Averages of {_fits(rows)} on {dataset}, {_by(method)}, {_each(rows['phase'])},{_range(rows)}",
            f"{len(rows)} of {total}",
            why,
        )
        for (dataset, _, method), rows, total, why in _invalid(averages, ["dataset", "model", "method"])
    ]


CHECKS: dict[str, tuple[Callable[[Any], list[Flag]], ...]] = {
    "phases": (invalid_phases, remarked_phases),
    "interfaces": (invalid_interfaces,),
    "delta_mu": (invalid_delta_mu, low_ess),
    "melting_point": (invalid_melting_points,),
    "melting_point_summary": (incomplete_committees,),
    "melting_point_budget": (missing_budget,),
    "calibration": (missing_calibration,),
    "required_accuracy": (unknown_accuracy,),
    "observables": (invalid_observables,),
}
"""What is checked of each table."""


def _invalid(table: pd.DataFrame, keys: Sequence[str]) -> Iterator[tuple[tuple[Any, ...], pd.DataFrame, int, str]]:
    """Rows that are not valid, as ``_by_reason`` groups them."""
    return _by_reason(valid_of(table, valid=False), table, keys)


def _by_reason(
    rows: pd.DataFrame, table: pd.DataFrame, keys: Sequence[str]
) -> Iterator[tuple[tuple[Any, ...], pd.DataFrame, int, str]]:
    """Rows of a table in groups of the same ids and like reasons.

    Yields:
        The ids, the rows, how many rows of the table have these ids in all, and the reason as a sentence.
        Reasons that differ in their numbers alone are alike; the first stands for all.
    """
    rows = rows.assign(reason=rows["reason"].astype(object).fillna(UNSAID).astype(str))
    kinds = rows["reason"].str.replace(r"\d[\d.]*", "#", regex=True)
    for (*ids, _), group in rows.groupby([*keys, kinds], sort=False):
        total = len(rows_of(table, **dict(zip(keys, ids, strict=True))))
        more = " (and the like)" if group["reason"].nunique() > 1 else ""
        yield tuple(ids), group, total, _sentence(f"{group['reason'].iloc[0]}{more}")


def _sentence(reason: object) -> str:
    text = str(reason) if isinstance(reason, str) and reason else UNSAID
    return f"{text[0].upper()}{text[1:].rstrip('.')}."


def _sampler(sampler: str) -> str:
    return "the reference" if sampler == REFERENCE_MODEL else f"the sampler {sampler}"


def _fits(rows: pd.DataFrame) -> str:
    """Model and training sizes of the rows, or what sampled."""
    model = rows["model"].iloc[0]
    if is_sampler(model):
        return f"the {model}"
    return f"{model} (N = {_each(rows['train_size'].sort_values())})"


def _by(method: str) -> str:
    return f"by {method_in_words(method)}"


def _each(values: pd.Series) -> str:
    """The values that occur, as a list."""
    return listed([str(value) for value in values.unique()])


def _range(rows: pd.DataFrame) -> str:
    """`` at 270 to 290 K``."""
    low, high = rows["temperature_K"].min(), rows["temperature_K"].max()
    return f" at {low:g} K" if low == high else f" at {low:g} to {high:g} K"
