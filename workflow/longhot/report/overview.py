"""The tables that a reader wants first, made from those of the study."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from longhot.config import REFERENCE_MODEL
from longhot.report import melting_point_views
from longhot.report.columns import EXACT, Column, Missing, column, kind_of
from longhot.report.learning_curves_verdict import BASELINE_FAMILY, main_test_set, mean_errors
from longhot.report.rows import rows_of
from longhot.report.statements import number
from longhot.report.views import NO_LEVELS, Cell, TableView, about, cell, empty_cell, facts, table_view

if TYPE_CHECKING:
    import pandas as pd

ERROR = "force_mae_meV_per_A"
NOT_RUN = Missing("not run", "The study did not ask for it.")
NO_TRAINING = Missing("n/a", "The control needs no training.")
NO_FRAME = Missing("n/a", "There is no such frame.")
NO_SLOPE = Missing("n/a", "Too few training sizes, or an error that does not depend on N.")


def overview(tables: Mapping[str, pd.DataFrame], levels: Mapping[str, str] = NO_LEVELS) -> list[TableView]:
    """The tables that a reader wants first: errors by training size, survival, error in MD, melting points.

    Args:
        tables: of the study, by name.
        levels: level of theory of each dataset.
    """
    views = []
    curves, survival, robustness, recheck, comparison = (
        tables[name] if name in tables and len(tables[name]) else None
        for name in ("learning_curves", "survival", "robustness", "recheck", "active_learning_comparison")
    )
    if curves is not None:
        for _, of_dataset in curves.groupby("dataset", sort=False):
            views += error_overview(of_dataset, tables.get("learning_curve_slopes"), levels)
    if survival is not None:
        for _, of_dataset in survival.groupby("dataset", sort=False):
            views += [survival_overview(of_dataset, levels), rate_overview(of_dataset, levels)]
    if robustness is not None:
        left_out = ("n_replicas", "n_failed", "run_by", "rechecked_by")
        kept = [one for one in robustness if one not in left_out]
        shown = table_view("robustness", robustness[robustness["model"] != REFERENCE_MODEL][kept], levels)
        agreement = tables["rank_agreement"]
        orders = table_view("rank_agreement", agreement[agreement["over"] == "fits"], levels)
        views += [shown, orders]
    if recheck is not None:
        views.append(recheck_overview(recheck, levels))
    views += melting_point_views.overview(tables, levels)
    if comparison is not None:
        views.append(table_view("active_learning_comparison", comparison, levels))
    return views


def error_overview(
    curves: pd.DataFrame, slopes: pd.DataFrame | None, levels: Mapping[str, str] = NO_LEVELS
) -> list[TableView]:
    """Force error by model (rows) and training size (columns), one table for each test set of one dataset."""
    errors = mean_errors(curves)
    sets = list(errors["test_set"].unique())
    first = main_test_set(sets)
    dataset = errors["dataset"].iloc[0]
    views = []
    for test_set in [first, *[one for one in sets if one != first]]:
        rows_of_set, fits = errors[errors["test_set"] == test_set], rows_of(curves, test_set=test_set)
        sizes = sorted(rows_of_set["train_size"].unique())
        smallest = rows_of_set[rows_of_set["family"] != BASELINE_FAMILY].groupby("train_size")["mean"].min()
        rows = []
        for model, group in rows_of_set.groupby("model", sort=False):
            by_size = {row["train_size"]: row for _, row in group.iterrows()}
            cells = [
                _error_cell(by_size.get(size), smallest.get(size), rows_of(fits, model=model, train_size=size))
                for size in sizes
            ]
            rows.append([Cell(str(model), str(model)), *cells, _slope_cell(slopes, dataset, str(model), test_set)])
        notes = ["Mean over seeds, in brackets the smallest and largest; the smallest learned error at each N is bold."]
        if (rows_of_set["unconverged"] > 0).any():
            notes.append("* a fit had not converged.")
        error, slope = column(ERROR), replace(column("slope"), meaning="Error ∝ N^s, with its 95 % interval")
        headings = [column("model"), *[replace(error, label=f"N = {size}") for size in sizes], slope]
        said = [about(ERROR, rows_of(fits, train_size=size), levels) for size in sizes]
        views.append(
            TableView(
                f"Force error on {dataset}, test set {test_set}",
                headings,
                rows,
                notes=notes,
                source="tables/learning_curves.csv",
                facts=facts(fits[["dataset", "test_set", "n_test_frames", ERROR]], levels) + " The lower, the better.",
                about=[about("model", fits, levels), *said, slope.meaning + ".\nThe lower, the better."],
            )
        )
    return views


def _error_cell(row: pd.Series | None, smallest: float | None, fits: pd.DataFrame) -> Cell:
    """Mean and range over seeds; how many of them have a number where some have none."""
    if row is None:
        return empty_cell(NOT_RUN)
    if np.isnan(row["mean"]):
        reason = next(filter(None, fits["reason"].fillna("").astype(str)), "No number.")
        return empty_cell(Missing(kind_of(reason), reason))
    text = number(row["mean"])
    if row["seeds"] > 1 and row["low"] < row["high"]:
        text += f" ({number(row['low'])}–{number(row['high'])})"
    text += "*" if row["unconverged"] else ""
    with_number = int(fits[ERROR].notna().sum())
    text += "" if with_number == len(fits) else f", {with_number} of {len(fits)} seeds"
    best = row["family"] != BASELINE_FAMILY and row["mean"] == smallest
    hint = f"{with_number} of {len(fits)} seeds have a number."
    return Cell(text, repr(float(row["mean"])), hint, "number best" if best else "number")


def _slope_cell(slopes: pd.DataFrame | None, dataset: str, model: str, test_set: str) -> Cell:
    if slopes is not None:
        mine = slopes[(slopes["dataset"] == dataset) & (slopes["model"] == model) & (slopes["test_set"] == test_set)]
        mine = mine.dropna(subset=["slope"])
        if len(mine):
            row = mine.iloc[0]
            interval = (
                "" if np.isnan(row["slope_ci_low"]) else f" ({row['slope_ci_low']:.2f} to {row['slope_ci_high']:.2f})"
            )
            text = f"{row['slope']:.2f}{interval}"
            return Cell(text.replace("-", "−"), repr(float(row["slope"])), style="number")
    return empty_cell(NO_SLOPE)


def survival_overview(survival: pd.DataFrame, levels: Mapping[str, str] = NO_LEVELS) -> TableView:
    """Surviving trajectories by model and training size (rows) and temperature (columns) of one dataset."""
    title = f"Survival in MD on {survival['dataset'].iloc[0]}"
    note = f"Trajectories that did not fail, of all; in brackets the interval of the survival ({EXACT})."
    return _by_temperature(survival, "survival_at_end", _survival_cell, title, note, levels)


def rate_overview(survival: pd.DataFrame, levels: Mapping[str, str] = NO_LEVELS) -> TableView:
    """Failure rates by model and training size (rows) and temperature (columns) of one dataset."""
    title = f"Failures per ns of MD on {survival['dataset'].iloc[0]}"
    note = f"Failures over the time simulated; in brackets the interval for a constant rate ({EXACT})."
    return _by_temperature(survival, "failure_rate_per_ns", _rate_cell, title, note, levels)


def _by_temperature(
    survival: pd.DataFrame,
    score: str,
    one_cell: Callable[[pd.Series | None], Cell],
    title: str,
    note: str,
    levels: Mapping[str, str],
) -> TableView:
    """One cell for each model and training size (rows) and temperature (columns), the control first."""
    temperatures = sorted(survival["temperature_K"].unique())
    rows = []
    for (model, size), group in survival.groupby(["model", "train_size"], sort=False, dropna=False):
        by_temperature = {row["temperature_K"]: row for _, row in group.iterrows()}
        name = "control" if model == REFERENCE_MODEL else str(model)
        size_cell = cell(size, column("train_size")) if size else replace(empty_cell(NO_TRAINING), key="0")
        rows.append([Cell(name, name), size_cell, *[one_cell(by_temperature.get(one)) for one in temperatures]])
    rows.sort(key=lambda row: row[0].text != "control")
    measured = replace(column(score), unit=column(score).unit)
    headings = [column("model"), column("train_size"), *[replace(measured, label=f"{one:g} K") for one in temperatures]]
    said = [about(score, rows_of(survival, temperature_K=one), levels) for one in temperatures]
    return TableView(
        title,
        headings,
        rows,
        notes=[note],
        source="tables/survival.csv",
        facts=facts(survival[["dataset", "n_replicas", score]], levels) + f" The {measured.better}, the better.",
        about=[about(one, survival, levels) for one in ("model", "train_size")] + said,
    )


def _survival_cell(row: pd.Series | None) -> Cell:
    if row is None:
        return empty_cell(NOT_RUN)
    kept = int(row["n_replicas"] - row["n_failed"])
    text = f"{kept} of {int(row['n_replicas'])}"
    if row["ci_low"] == row["ci_low"]:
        text += f" ({row['ci_low']:.0%} to {row['ci_high']:.0%})"
    return Cell(text.replace("%", " %"), repr(float(row["survival_at_end"])), style="number")


def _rate_cell(row: pd.Series | None) -> Cell:
    if row is None:
        return empty_cell(NOT_RUN)
    rate = row["failure_rate_per_ns"]
    if np.isnan(rate):
        return empty_cell(Missing(kind_of(str(row["reason"])), str(row["reason"])))
    interval = f"({number(row['failure_rate_ci_low'])} to {number(row['failure_rate_ci_high'])})"
    return Cell(f"{number(rate)} {interval}", repr(float(rate)), style="number")


def recheck_overview(recheck: pd.DataFrame, levels: Mapping[str, str] = NO_LEVELS) -> TableView:
    """Force error on visited frames: coverage, median, 95th percentile, largest, and on picked frames, by run."""
    keys = ["dataset", "model", "train_size", "temperature_K"]
    error = replace(column(ERROR), empty=NO_FRAME)
    own = recheck[recheck["model"] != REFERENCE_MODEL]
    rows = []
    for key, group in own.groupby(keys, sort=False):
        even, before, highest = (
            group.loc[group["choice"] == choice, ERROR].dropna()
            for choice in ("even", "before_failure", "highest_spread")
        )
        values = [even.median(), even.quantile(0.95), even.max(), before.median(), highest.median()]
        labelled = int(group[ERROR].notna().sum())
        rows.append(
            [cell(value, column(name)) for name, value in zip(keys, key, strict=True)]
            + [Cell(f"{labelled} of {len(group)}", repr(labelled), style="number")]
            + [cell(value, error) for value in values]
        )
    labels = {
        "median": "Median over frames spread evenly in time",
        "95th percentile": "Over frames spread evenly in time",
        "largest": "Of the frames spread evenly in time",
        "before failures": "Median over the frames just before failures",
        "at highest spread": "Median over the frames of the highest committee spread",
    }
    coverage = Column("with an error", "frames", "Frames that have both a label and a prediction, of all picked ones")
    errors = [replace(error, label=label, meaning=f"{error.meaning}. {said}") for label, said in labels.items()]
    headings = [*map(column, keys), coverage, *errors]
    notes = ["Mean absolute force error of single frames that the model visited, recomputed by the reference method."]
    return TableView(
        "Force error on the frames visited in MD",
        headings,
        rows,
        notes=notes,
        source="tables/recheck.csv",
        facts=facts(own[["dataset", "choice", ERROR]], levels) + " The lower, the better.",
        about=[*(about(one, own, levels) for one in keys), coverage.meaning + ".",
               *(about(ERROR, own, levels, one) for one in errors)],
    )  # fmt: skip
