"""Tables of the melting point that a reader wants first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from longhot.report.columns import COMPONENTS, Column, column
from longhot.report.rows import reason_of, rows_of, valid_of
from longhot.report.views import TABLES, Cell, TableView, cell, table_view

if TYPE_CHECKING:
    import pandas as pd

SCORES = ("alpha", "alpha_of_scope", "miscalibration_area", "ence", "nll")
"""Columns of the calibration, or their beginnings, that the overview shows."""


def overview(tables: dict[str, pd.DataFrame]) -> list[TableView]:
    """Committees, error budget and calibration; nothing where the study asked for no melting point."""
    views = []
    summary, budget, calibration = (
        tables.get(name) for name in ("melting_point_summary", "melting_point_budget", "calibration")
    )
    if summary is not None and len(summary):
        views.append(table_view("melting_point_summary", _without_empty_reasons(summary)))
    if budget is not None and len(budget):
        views.append(budget_overview(budget))
    if calibration is not None and len(calibration):
        ids = ["dataset", "model", "train_size", "quantity", "scope"]
        shown = [*ids, *[name for name in calibration if name.startswith(SCORES)], "n_values", "reason"]
        views.append(table_view("calibration", _without_empty_reasons(calibration[shown])))
    return views


def _without_empty_reasons(table: pd.DataFrame) -> pd.DataFrame:
    return table if reason_of(table) else table.drop(columns="reason")


def budget_overview(budget: pd.DataFrame) -> TableView:
    """Parts of the error (columns) of each model and training size (rows)."""
    keys = ["dataset", "model", "train_size"]
    parts = [part for part in COMPONENTS if part in set(budget["component"])]
    rows = []
    for key, group in budget.groupby(keys, sort=False):
        ids = [cell(value, column(name)) for name, value in zip(keys, key, strict=True)]
        rows.append(ids + [_part(rows_of(group, component=part)) for part in parts])
    headings = [*map(column, keys), *[Column(COMPONENTS[part], "K") for part in parts]]
    notes = ["One standard deviation each. A dash: no valid number; pointing at it says why."]
    source = "tables/melting_point_budget.csv"
    return TableView(TABLES["melting_point_budget"], headings, rows, notes=notes, source=source)


def _part(rows: pd.DataFrame) -> Cell:
    valid = valid_of(rows).dropna(subset=["error_K"])
    if len(valid):
        return cell(valid["error_K"].iloc[0], column("error_K"))
    return Cell("–", "", reason_of(rows) or "No number.", "empty")
