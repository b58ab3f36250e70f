"""Tables as the page shows them: cells with hints, headings with units, notes on what is empty."""

from __future__ import annotations

import numbers
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from longhot.report.columns import COMPONENTS, METHODS, SCOPES, STRATEGIES, Column, Missing, column, missing
from longhot.report.statements import number

if TYPE_CHECKING:
    import pandas as pd

CAPTIONS = Path(__file__).resolve().parents[2] / "report"
"""Captions of figures and tables, shared with ``snakemake --report``."""
FIRST_ROWS = 50
"""Rows of a table that stand in the page itself; the rest is packed, and unpacked when the table is opened."""
MOST_ROWS = 20_000
"""Rows that the page holds at all; the file has every row."""

LONG_TEXT = 40
"""Characters from which on a cell may be broken into lines."""

FOLDED_TEXT = 100
"""Characters from which on only the beginning is shown until the cell is opened."""

WANTED = ("converged", "valid", "within 2 σ")
"""Headings of truth values of which a no is marked."""
IN_WORDS = ("outcome", "label", "chosen", "method", "part of the error", "scope", "strategy", "against")
"""Headings of ids that are shown as words."""
WORDS = METHODS | COMPONENTS | SCOPES | STRATEGIES
NAMED_COLUMNS = ("order by", "compared by", "and by", "quantity", "observable")
"""Headings of cells that are themselves names of columns."""
SUBSETS = {"test_set": "Test subset", "scope": "Frames", "choice": "Frames chosen"}
"""Columns that say which frames a score is over."""
COUNTED = {
    "n_test_frames": "test frames",
    "n_rechecked": "rechecked frames",
    "n_before_failure": "frames before failures",
    "n_highest_spread": "frames of the highest spread",
    "n_points": "points",
    "n_values": "errors",
    "n_valid": "valid members",
}
"""What a count counts, where its heading does not say it in full."""
NO_ROW: Mapping[str, object] = MappingProxyType({})
NO_LEVELS: Mapping[str, str] = MappingProxyType({})

TABLES = {
    "learning_curve_slopes": "Slopes of the learning curves",
    "robustness": "Static error and MD error",
    "survival": "Survival of trajectories",
    "survival_tests": "Log-rank tests of survival",
    "rank_agreement": "Agreement of orders",
    "training_reach": "How far MD went from its training frames",
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
    "dataset_map": "Every frame of the map of the data",
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

    @property
    def is_long(self) -> bool:
        """Whether only its beginning is shown until it is opened."""
        return len(self.text) > FOLDED_TEXT

    @property
    def beginning(self) -> str:
        """What stands for a long text."""
        return self.text[: FOLDED_TEXT - 20].rsplit(" ", 1)[0] + " …"


@dataclass(frozen=True)
class TableView:
    """A table as the page shows it."""

    title: str
    headings: list[Column]
    rows: list[list[Cell]]
    caption: str = ""
    notes: list[str] = field(default_factory=list)
    source: str = ""
    facts: str = ""
    """What its scores are measured by: reference method, frames or replicas, test subset, coverage."""
    names: list[str] = field(default_factory=list)
    """Names of the columns in the file; empty where the table is not a file's."""
    about: list[str] = field(default_factory=list)
    """What stands behind the help of each heading."""
    n_in_file: int = 0
    """Rows of the file; 0 where the table is not a file's."""

    @property
    def n_rows(self) -> int:
        """How many rows there are, in the page or not."""
        return max(len(self.rows), self.n_in_file)

    @property
    def all_notes(self) -> list[str]:
        """The notes, and how many rows the page does not hold."""
        if len(self.rows) == self.n_rows:
            return self.notes
        return [f"The first {len(self.rows)} of {self.n_rows} rows; the file has all.", *self.notes]

    @property
    def anchor(self) -> str:
        """Its id in the page."""
        return "table-" + re.sub(r"[^a-z0-9]+", "-", self.title.lower()).strip("-")

    @property
    def first_rows(self) -> list[list[Cell]]:
        """The rows that stand in the page itself."""
        return self.rows[:FIRST_ROWS]


def packed_rows(view: TableView) -> dict[str, Any] | None:
    """All rows of a long table as plain data, None where the page itself holds them all.

    A cell is its text, or ``[text, key, style, hint]`` with the ends left out that are empty, and the hint as a
    place in ``hints``.
    """
    if len(view.rows) <= FIRST_ROWS:
        return None
    hints: dict[str, int] = {}
    rows = [[_packed_cell(one, hints) for one in row] for row in view.rows]
    return {"rows": rows, "hints": list(hints)}


def _packed_cell(cell: Cell, hints: dict[str, int]) -> str | list[str | int]:
    parts: list[str | int] = [cell.text, cell.key, cell.style]
    if cell.hint:
        return [*parts, hints.setdefault(cell.hint, len(hints))]
    while parts[-1] == "":
        parts.pop()
        if not parts:
            return ""
    return cell.text if parts == [cell.text, cell.text] else parts


def caption(name: str) -> str:
    """Caption of a figure or table as plain text; empty where there is none."""
    path = CAPTIONS / f"{name}.rst"
    return " ".join(path.read_text(encoding="utf-8").split()) if path.exists() else ""


def cell(value: Any, heading: Column, row: Mapping[str, object] = NO_ROW) -> Cell:
    """One value of a table as text; an empty cell says of which kind it is and why.

    Args:
        value: of the table.
        heading: of its column.
        row: the other values of its row, which may hold the reason.
    """
    if value is None or value != value:
        return empty_cell(missing(heading, row))
    if type(value).__name__ in ("bool", "bool_"):
        is_bad = heading.label in WANTED and not value
        return Cell("yes" if value else "no", str(value), style="flagged" if is_bad else "")
    if isinstance(value, str):
        text = WORDS.get(value, value.replace("_", " ")) if heading.label in IN_WORDS else value
        text = _in_words(column(value)) if heading.label in NAMED_COLUMNS else text
        return Cell(text, value, style="long" if len(text) > LONG_TEXT else "")
    whole = isinstance(value, numbers.Integral) or (heading.whole and float(value).is_integer())
    text = f"{value:.0f}" if whole else number(float(value), heading.digits)
    return Cell(text.replace("-", "\u2212"), repr(value if whole else float(value)), style="number")


def empty_cell(why: Missing) -> Cell:
    """A cell without a value; a dash where there is nothing to miss."""
    return Cell("–" if why.kind == "none" else why.kind, "", why.why, "empty")


def _in_words(named: Column) -> str:
    """A column that is itself the value of a cell."""
    return f"{named.label} ({named.unit})" if named.unit else named.label


def table_view(name: str, table: pd.DataFrame, levels: Mapping[str, str] = NO_LEVELS) -> TableView:
    """A table from its file; columns that are empty throughout are left out.

    Args:
        name: of the file, without its ending.
        table: its rows.
        levels: level of theory of each dataset.
    """
    shown = table.dropna(axis="columns", how="all")
    names = [str(one) for one in shown]
    headings = [column(one) for one in names]
    rows = [
        [cell(value, heading, row) for value, heading in zip(row.values(), headings, strict=True)]
        for row in shown.head(MOST_ROWS).to_dict("records")
    ]
    notes = []
    if dropped := [column(str(one)).label for one in table if one not in shown]:
        notes.append(f"Empty throughout and left out: {', '.join(dropped)}.")
    return TableView(
        TABLES.get(name, name.replace("_", " ").capitalize()),
        headings,
        rows,
        caption(f"{name}_table"),
        notes,
        f"tables/{name}.csv",
        facts(table, levels),
        names,
        [about(one, table, levels) for one in names],
        len(table),
    )


def facts(table: pd.DataFrame, levels: Mapping[str, str]) -> str:
    """What the scores of a table are measured by, and how many of them there are."""
    scores = [name for name in table if column(str(name)).over]
    if not scores or table.empty:
        return ""
    parts = [*_measured_by(table, levels), *_counts(scores, table)]
    filled = {name: int(table[name].notna().sum()) for name in scores}
    full = max(filled.values())
    fewer = [f"{column(name).label} {number}" for name, number in filled.items() if number < full]
    coverage = f"Coverage: {full} of {len(table)} rows" + (f", but {', '.join(fewer)}" if fewer else "")
    return ". ".join([*parts, coverage]) + "."


def about(name: str, table: pd.DataFrame, levels: Mapping[str, str], heading: Column | None = None) -> str:
    """Lines on one column: definition, unit, direction, reference, test subset, counts and coverage.

    Args:
        name: of the column in the file.
        table: that it stands in.
        levels: level of theory of each dataset.
        heading: where the page calls the column otherwise.
    """
    heading = heading or column(name)
    lines = [heading.meaning and heading.meaning + ".", heading.unit and f"Unit: {heading.unit}."]
    if heading.better:
        lines.append(f"The {heading.better}, the better.")
    if heading.over:
        lines += [f"{one}." for one in (*_measured_by(table, levels), *_counts([name], table))]
    if name in table and len(table):
        empty = len(table) - int(table[name].notna().sum())
        lines.append(f"Filled in {len(table) - empty} of {len(table)} rows.")
        if empty:
            lines.append(f"Empty: {heading.empty.why}")
    if name in table:
        lines.append(f"In the file: {name}.")
    return "\n".join(filter(None, lines))


def _measured_by(table: pd.DataFrame, levels: Mapping[str, str]) -> list[str]:
    """Reference method and test subset of a table."""
    found = []
    datasets = list(table["dataset"].unique()) if "dataset" in table else []
    if methods := list(dict.fromkeys(levels[one] for one in datasets if one in levels)):
        found.append(f"Reference: {', '.join(methods)}")
    for name, label in SUBSETS.items():
        if name in table and table[name].notna().any():
            found.append(f"{label}: {', '.join(str(one).replace('_', ' ') for one in table[name].dropna().unique())}")
    return found


def _counts(scores: Sequence[str], table: pd.DataFrame) -> list[str]:
    """How many frames, replicas or fits stand behind the scores of a row."""
    counts = dict.fromkeys(next((one for one in column(name).over if one in table), "") for name in scores)
    found = []
    for name in filter(None, counts):
        values = table[name].dropna()
        if len(values):
            low, high = int(values.min()), int(values.max())
            noun = COUNTED.get(name, column(name).label)
            found.append(f"{low if low == high else f'{low} to {high}'} {noun} a row")
    return found
