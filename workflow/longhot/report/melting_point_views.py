"""Tables of the melting point that a reader wants first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from longhot.report.columns import COMPONENTS, Missing, column, kind_of
from longhot.report.rows import reason_of, rows_of, valid_of
from longhot.report.views import NO_LEVELS, TABLES, Cell, TableView, about, cell, empty_cell, facts, table_view

if TYPE_CHECKING:
    import pandas as pd

SCORES = ("alpha", "alpha_of_scope", "miscalibration_area", "ence", "nll")
"""Columns of the calibration, or their beginnings, that the overview shows."""


def overview(tables: Mapping[str, pd.DataFrame], levels: Mapping[str, str] = NO_LEVELS) -> list[TableView]:
    """Committees, error budget and calibration; nothing where the study asked for no melting point."""
    views = []
    summary, budget, calibration = (
        tables.get(name) for name in ("melting_point_summary", "melting_point_budget", "calibration")
    )
    if summary is not None and len(summary):
        views.append(table_view("melting_point_summary", _without_empty_reasons(summary), levels))
    if budget is not None and len(budget):
        views.append(budget_overview(budget, levels))
    if calibration is not None and len(calibration):
        ids = ["dataset", "model", "train_size", "quantity", "scope"]
        shown = [*ids, *[name for name in calibration if name.startswith(SCORES)], "n_values", "reason"]
        views.append(table_view("calibration", _without_empty_reasons(calibration[shown]), levels))
    return views


def _without_empty_reasons(table: pd.DataFrame) -> pd.DataFrame:
    return table if reason_of(table) else table.drop(columns="reason")


def budget_overview(budget: pd.DataFrame, levels: Mapping[str, str] = NO_LEVELS) -> TableView:
    """Parts of the error (columns) of each model and training size (rows)."""
    keys = ["dataset", "model", "train_size"]
    parts = [part for part in COMPONENTS if part in set(budget["component"])]
    rows = []
    for key, group in budget.groupby(keys, sort=False):
        ids = [cell(value, column(name)) for name, value in zip(keys, key, strict=True)]
        rows.append(ids + [_part(rows_of(group, component=part)) for part in parts])
    error = column("error_K")
    headings = [*map(column, keys), *[replace(error, label=COMPONENTS[part]) for part in parts]]
    return TableView(
        TABLES["melting_point_budget"],
        headings,
        rows,
        notes=["One standard deviation each."],
        source="tables/melting_point_budget.csv",
        facts=facts(budget, levels),
        about=[
            *(about(one, budget, levels) for one in keys),
            *(about("error_K", rows_of(budget, component=part), levels) for part in parts),
        ],
    )


def _part(rows: pd.DataFrame) -> Cell:
    valid = valid_of(rows).dropna(subset=["error_K"])
    if len(valid):
        return cell(valid["error_K"].iloc[0], column("error_K"))
    reason = reason_of(rows)
    return empty_cell(Missing(kind_of(reason), reason) if reason else Missing("n/a", "No such part."))
