"""Tables as the page shows them: cells with hints, headings with units, notes on what is empty."""

from __future__ import annotations

import numbers
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from longhot.report.columns import COMPONENTS, METHODS, SCOPES, STRATEGIES, Column, column
from longhot.report.statements import number

if TYPE_CHECKING:
    import pandas as pd

CAPTIONS = Path(__file__).resolve().parents[2] / "report"
"""Captions of figures and tables, shared with ``snakemake --report``."""
MOST_ROWS = 200
"""Rows of a table that the page shows; the rest is in the CSV file."""

LONG_TEXT = 40
"""Characters from which on a cell may be broken into lines."""

WANTED = ("converged", "valid", "within 2 σ")
"""Headings of truth values of which a no is marked."""
IN_WORDS = ("outcome", "label", "chosen", "method", "part of the error", "scope", "strategy", "against")
"""Headings of ids that are shown as words."""
WORDS = METHODS | COMPONENTS | SCOPES | STRATEGIES
NAMED_COLUMNS = ("order by", "compared by", "and by", "quantity", "observable")
"""Headings of cells that are themselves names of columns."""

TABLES = {
    "learning_curve_slopes": "Slopes of the learning curves",
    "robustness": "Static error and MD error",
    "survival": "Survival of trajectories",
    "survival_tests": "Log-rank tests of survival",
    "rank_agreement": "Agreement of orders",
    "melting_point_summary": "Melting point of each committee",
    "melting_point_budget": "Error budget of the melting point",
    "required_accuracy": "Force error that a precision asks for",
    "calibration": "Calibration of the committees",
    "active_learning_comparison": "Strategies of active learning against random choice",
    "melting_point": "Melting point of every member",
    "delta_mu": "Chemical potential of the solid against the liquid",
    "interfaces": "Every run with an interface",
    "phases": "Every bulk run",
    "observables": "Every average",
    "reliability": "Observed and expected shares of errors",
    "learning_curves": "Every fit and test set",
    "stability": "Every trajectory",
    "recheck": "Every rechecked frame",
    "active_learning": "Every round of active learning",
    "active_learning_online": "The run that learns on the fly",
    "structure_search": "Structures found after each round of the search",
}
"""Tables in reading order; others follow by name."""


@dataclass(frozen=True)
class Cell:
    """One cell: what is shown, what it sorts by, and a hint."""

    text: str
    key: str = ""
    hint: str = ""
    style: str = ""


@dataclass(frozen=True)
class TableView:
    """A table as the page shows it."""

    title: str
    headings: list[Column]
    rows: list[list[Cell]]
    caption: str = ""
    notes: list[str] = field(default_factory=list)
    source: str = ""


def caption(name: str) -> str:
    """Caption of a figure or table as plain text; empty where there is none."""
    path = CAPTIONS / f"{name}.rst"
    return " ".join(path.read_text(encoding="utf-8").split()) if path.exists() else ""


def cell(value: Any, heading: Column) -> Cell:
    """One value of a table as text; an empty cell says why it may be empty."""
    import pandas as pd

    if value is None or pd.isna(value):
        return Cell("–", "", heading.empty, "empty")
    if type(value).__name__ in ("bool", "bool_"):
        is_bad = heading.label in WANTED and not value
        return Cell("yes" if value else "no", str(value), style="flagged" if is_bad else "")
    if isinstance(value, str):
        text = WORDS.get(value, value.replace("_", " ")) if heading.label in IN_WORDS else value
        text = _in_words(column(value)) if heading.label in NAMED_COLUMNS else text
        return Cell(text, value, style="long" if len(text) > LONG_TEXT else "")
    whole = isinstance(value, numbers.Integral) or (heading.whole and float(value).is_integer())
    text = f"{value:.0f}" if whole else number(float(value), heading.digits)
    return Cell(text.replace("-", "\u2212"), repr(float(value)), style="number")


def _in_words(named: Column) -> str:
    """A column that is itself the value of a cell."""
    return f"{named.label} ({named.unit})" if named.unit else named.label


def table_view(name: str, table: pd.DataFrame) -> TableView:
    """A table from its file: at most ``MOST_ROWS`` rows, columns that are empty throughout left out."""
    shown = table.dropna(axis="columns", how="all")
    headings = [column(str(one)) for one in shown]
    rows = [
        [cell(value, heading) for value, heading in zip(row, headings, strict=True)]
        for row in shown.head(MOST_ROWS).itertuples(index=False, name=None)
    ]
    hints = {
        f"Empty under {heading.label}: {heading.empty}"
        for row in rows
        for one, heading in zip(row, headings, strict=True)
        if one.style == "empty" and heading.empty
    }
    notes = sorted(hints)
    if len(table) > MOST_ROWS:
        notes.append(f"The first {MOST_ROWS} of {len(table)} rows; the file has all.")
    if dropped := [column(str(one)).label for one in table if one not in shown]:
        notes.append(f"Empty throughout and left out: {', '.join(dropped)}.")
    title = TABLES.get(name, name.replace("_", " ").capitalize())
    return TableView(title, headings, rows, caption(f"{name}_table"), notes, f"tables/{name}.csv")
