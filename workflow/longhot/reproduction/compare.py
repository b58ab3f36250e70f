"""Two studies' tables side by side: which numbers are the same, which moved beyond their error bars."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from longhot.block import InputError
from longhot.files import visible
from longhot.reproduction import bars
from longhot.reproduction.contracts import COMMON, CONTRACTS, COSTS, MEAN_ERROR, NOISE, OUTCOMES, SCORES, Bar, Contract

if TYPE_CHECKING:
    import pandas as pd

Tables = Mapping[str, "pd.DataFrame"]
"""Tables by name, all cells as text."""
Verdict = Literal["identical", "within", "moved", "outcome changed", "missing", "new", "by chance", "not compared"]
COUNTED = ("moved", "outcome changed", "missing", "new")
"""Verdicts that say that two studies differ. ``by chance`` is named and not counted: an outcome of one repeat of
several, whose share is judged; a row that is there only where chance made something happen."""

TOLERANCE = 0.1
"""Relative difference allowed to a number without an error bar."""
NOISE_FACTOR = 2.0
"""Ratio allowed to two numbers about noise, such as error bars and scores of a calibration."""
SCORE_TOLERANCE = 0.1
"""Difference allowed besides to scores of a calibration that are 0 at best."""
ROUNDING = 1e-6
"""Relative difference that is none: tables hold six digits or more."""

WITHOUT_BAR = f"no error bar: within {TOLERANCE:.0%}"
ABOUT_NOISE = f"about noise: within a factor of {NOISE_FACTOR:g}, scores also within {SCORE_TOLERANCE:g}"
AS_COUNT = "Poisson interval of a count"
AS_SHARE = "Wilson interval of a share"


class Finding(NamedTuple):
    """What became of one number, outcome or row."""

    table: str
    row: str
    column: str
    first: str
    second: str
    verdict: Verdict
    judged_by: str = ""
    bar: float | None = None
    """How far the two may lie apart."""


@dataclass(frozen=True)
class Comparison:
    """All findings on two studies."""

    findings: list[Finding]
    level: float
    """Of the error bars."""

    @property
    def differences(self) -> list[Finding]:
        """Those that count."""
        return [one for one in self.findings if one.verdict in COUNTED]


def read_tables(folder: Path) -> dict[str, pd.DataFrame]:
    """All tables of a folder."""
    return {path.stem: read_table(path) for path in visible(folder, "*.csv")}


def read_table(source: object) -> pd.DataFrame:
    """A table with all cells as text, from a path or an open file."""
    import pandas as pd

    return pd.read_csv(source, dtype=str, keep_default_na=False)


# Cell by cell


def unequal(first: Tables, second: Tables) -> list[Finding]:
    """Every cell that is not the same to the last digit, costs left out, and every row that only one study has."""
    findings = list(_tables_of_one(first, second))
    for name in sorted(first.keys() & second.keys()):
        findings += _unequal_cells(name, first[name], second[name])
    return findings


def _tables_of_one(first: Tables, second: Tables) -> Iterator[Finding]:
    for name in sorted(first.keys() ^ second.keys()):
        verdict: Verdict = "missing" if name in first else "new"
        yield Finding(
            name, "the whole table", "", str(len(first.get(name, ()))), str(len(second.get(name, ()))), verdict
        )


def _unequal_cells(name: str, first: pd.DataFrame, second: pd.DataFrame) -> Iterator[Finding]:
    contract = CONTRACTS.get(name, Contract(()))
    keys = [column for column in (*contract.keys, *contract.repeats) if column in first and column in second]
    columns = [column for column in dict.fromkeys((*first, *second)) if not COSTS.search(column)]
    one, other = _numbered_rows(first, keys), _numbered_rows(second, keys)
    for key in dict.fromkeys((*one, *other)):
        row = _row_text([*keys, "number"], key)
        if key not in one or key not in other:
            yield Finding(name, row, "", "", "", "missing" if key in one else "new")
            continue
        for column in columns:
            cells = one[key].get(column, "no such column"), other[key].get(column, "no such column")
            if cells[0] != cells[1]:
                yield Finding(name, row, column, *cells, "moved", "to the last digit")


def _numbered_rows(table: pd.DataFrame, keys: list[str]) -> dict[tuple[str, ...], dict[str, str]]:
    """Rows by their keys and, where several have the same ones, their number from 2."""
    seen: Counter[tuple[str, ...]] = Counter()
    rows = {}
    for row in table.to_dict("records"):
        key = tuple(_plain(row[name]) for name in keys)
        seen[key] += 1
        number = str(seen[key]) if seen[key] > 1 else ""
        rows[*key, number] = {str(column): cell for column, cell in row.items()}
    return rows


def _plain(cell: object) -> str:
    """Text of a key: 300 and 300.0 are the same."""
    try:
        return f"{float(str(cell)):.12g}"
    except ValueError:
        return str(cell)


def _row_text(names: Sequence[str], key: Sequence[str]) -> str:
    return " ".join(f"{name}={value}" for name, value in zip(names, key, strict=False) if value != "")


# Within error bars


def compare(first: Tables, second: Tables, *, jointly: bool = False) -> Comparison:
    """Judge all numbers of two studies by their error bars.

    Repeats are judged together: their means by the spread over them, their outcomes by the shares.

    Args:
        first: tables of the one study.
        second: tables of the other.
        jointly: stretch the error bars so that they hold all numbers at once with a probability of 95 % (Bonferroni),
            where without it they hold each of them with 95 %, and one in twenty lies outside by chance.

    Raises:
        InputError: a table lacks a column that says what its rows are about.
    """
    level = bars.LEVEL
    if jointly:
        with_bar = sum(one.bar is not None and one.verdict != "identical" for one in _findings(first, second, level))
        level = 1 - (1 - level) / max(1, with_bar)
    return Comparison(list(_findings(first, second, level)), level)


def _findings(first: Tables, second: Tables, level: float) -> Iterator[Finding]:
    yield from _tables_of_one(first, second)
    for name in sorted(first.keys() & second.keys()):
        contract = CONTRACTS.get(name)
        if contract is None:
            yield Finding(name, "the whole table", "", "", "", "not compared", "unknown to this version")
        else:
            yield from _Pair(name, contract, first[name], second[name], level).findings()


class _Rows:
    """The rows of one table about one thing: cells by column, numbers where all of a column are."""

    def __init__(self, cells: dict[str, list[str]], usable: list[bool]):
        self.cells = cells
        self.usable = usable

    def __len__(self) -> int:
        return len(self.usable)

    def numbers(self, column: str) -> list[float]:
        """Numbers of rows that are valid; NaN for the others and for empty cells."""
        pairs = zip(self.cells[column], self.usable, strict=True)
        return [float(cell) if cell != "" and usable else np.nan for cell, usable in pairs]


class _Pair:
    """Two tables of the same name."""

    def __init__(self, name: str, contract: Contract, first: pd.DataFrame, second: pd.DataFrame, level: float):
        self.name, self.contract, self.level = name, contract, level
        self.tables = [self._prepared(table) for table in (first, second)]
        one, other = self.tables
        ids = {*contract.keys, *contract.repeats}
        self.columns = [column for column in one if column in other and column not in ids and self._is_judged(column)]
        self.numeric = {column for column in self.columns if _is_numeric([*one[column], *other[column]])}
        self.groups = [self._grouped(table) for table in self.tables]

    def _prepared(self, table: pd.DataFrame) -> pd.DataFrame:
        try:
            prepared = self.contract.prepare(table)
            prepared[[*self.contract.keys, *self.contract.repeats]]
        except KeyError as error:
            raise InputError(
                f"{self.name}.csv: {error.args[0]}; another version wrote it, compare like with like"
            ) from None
        return prepared.fillna("").astype(str)

    def _is_judged(self, column: str) -> bool:
        ends = {end for bar in self.contract.bars.values() if isinstance(bar, tuple) for end in bar}
        made = (COMMON, MEAN_ERROR)
        return not (COSTS.search(column) or column in ends or column in self.contract.elsewhere or column in made)

    def _grouped(self, table: pd.DataFrame) -> dict[tuple[str, ...], _Rows]:
        columns = {str(name): table[name].tolist() for name in table}
        usable = [cell != "False" for cell in columns.get("valid", [""] * len(table))]
        members: dict[tuple[str, ...], list[int]] = {}
        for index, key in enumerate(
            zip(*([_plain(c) for c in columns[name]] for name in self.contract.keys), strict=True)
        ):
            members.setdefault(key, []).append(index)
        return {
            key: _Rows({name: [cells[i] for i in own] for name, cells in columns.items()}, [usable[i] for i in own])
            for key, own in members.items()
        }

    def findings(self) -> Iterator[Finding]:
        """Of all groups, and of columns that cannot be compared."""
        first, second = self.groups
        one, other = self.tables
        for column in sorted(name for name in set(one) ^ set(other) if not COSTS.search(name)):
            yield Finding(self.name, "all rows", column, "", "", "not compared", "a column of one study alone")
        same_design = all(
            {cell for rows in first.values() for cell in rows.cells[name]}
            == {cell for rows in second.values() for cell in rows.cells[name]}
            for name in self.contract.repeats
        )
        for key in dict.fromkeys((*first, *second)):
            row = _row_text(self.contract.keys, key)
            if key not in first or key not in second:
                yield self._row_of_one(row, key, in_first=key in first)
                continue
            if same_design and not self._is_by_chance(key):
                yield from self._repeats(row, key, first[key], second[key])
            for column in self.columns:
                if column in OUTCOMES:
                    yield from self._outcomes(row, column, first[key], second[key])
                elif column in self.numeric:
                    yield self._number(row, column, first[key], second[key])

    def _is_by_chance(self, key: tuple[str, ...]) -> bool:
        return bool(dict(zip(self.contract.keys, key, strict=True)).get(self.contract.by_chance))

    def _row_of_one(self, row: str, key: tuple[str, ...], *, in_first: bool) -> Finding:
        cells = ("there", "") if in_first else ("", "there")
        if self._is_by_chance(key):
            return Finding(self.name, row, "", *cells, "by chance", "chance decides which rows there are")
        return Finding(self.name, row, "", *cells, "missing" if in_first else "new")

    def _repeats(self, row: str, key: tuple[str, ...], first: _Rows, second: _Rows) -> Iterator[Finding]:
        """Repeats that only one study has, and outcomes of single ones that changed."""
        one, other = (self._by_repeat(rows) for rows in (first, second))
        for repeat in dict.fromkeys((*one, *other)):
            name = f"{row} {_row_text(self.contract.repeats, repeat)}"
            if repeat not in one or repeat not in other:
                yield self._row_of_one(name, key, in_first=repeat in one)
            elif len(first) > 1 or len(second) > 1:
                for column in sorted(OUTCOMES & {*self.columns}):
                    cells = first.cells[column][one[repeat]], second.cells[column][other[repeat]]
                    if cells[0] != cells[1]:
                        yield Finding(self.name, name, column, *cells, "by chance", f"one of {len(first)} repeats")

    def _by_repeat(self, rows: _Rows) -> dict[tuple[str, ...], int]:
        """Place of each repeat."""
        keys = zip(*(rows.cells[name] for name in self.contract.repeats), strict=True)
        return {tuple(_plain(cell) for cell in key): index for index, key in enumerate(keys)}

    def _outcomes(self, row: str, column: str, first: _Rows, second: _Rows) -> Iterator[Finding]:
        one, other = first.cells[column], second.cells[column]
        if len(one) == len(other) == 1:
            verdict: Verdict = "identical" if one == other else "outcome changed"
            yield Finding(self.name, row, column, one[0], other[0], verdict)
            return
        for value in sorted({*one, *other} - {""}):
            n_one, n_other = one.count(value), other.count(value)
            widths = (bars.of_share(n_one, len(one), self.level), bars.of_share(n_other, len(other), self.level))
            shares = (n_one / len(one), n_other / len(other))
            yield self._judged(
                f"{row} {column}={value}", f"share of {column}", shares, widths, AS_SHARE, same=one == other
            )

    def _number(self, row: str, column: str, first: _Rows, second: _Rows) -> Finding:
        values = [rows.numbers(column) for rows in (first, second)]
        means = [float(np.nanmean(own)) if np.isfinite(own).any() else np.nan for own in values]
        same = first.cells[column] == second.cells[column]
        if np.isnan(means).any():
            return self._empty(row, column, means)
        widths, judged_by = self._widths(column, first, second)
        if NOISE.fullmatch(column):
            return self._by_factor(row, column, means, same)
        return self._judged(row, column, (means[0], means[1]), widths, judged_by, same)

    def _empty(self, row: str, column: str, means: list[float]) -> Finding:
        one, other = ("" if np.isnan(mean) else f"{mean:.6g}" for mean in means)
        if one == other:
            return Finding(self.name, row, column, one, other, "identical")
        # Where a row is not valid, or a share of outcomes differs, that is judged itself.
        explained = "valid" in self.tables[0]
        verdict: Verdict = "by chance" if explained else "outcome changed"
        return Finding(self.name, row, column, one, other, verdict, "empty in one")

    def _widths(self, column: str, first: _Rows, second: _Rows) -> tuple[tuple[bars.Width, bars.Width] | None, str]:
        """Error bars of both means, from what the table itself gives and from the spread over repeats."""
        own = [self._own_width(self.contract.bars.get(column), column, rows) for rows in (first, second)]
        said = []
        parts: list[list[bars.Width]] = [[], []]
        if own[0] is not None and own[1] is not None:
            parts[0].append(own[0])
            parts[1].append(own[1])
            bar = self.contract.bars[column]
            said.append(bar if isinstance(bar, str) else " to ".join(bar))
        units = self._units(column, first, second)
        if units is not None:
            name, spreads = units
            for part, spread in zip(parts, spreads, strict=True):
                part.append(bars.of_spread(spread, self.level))
            said.append(f"spread over {len(spreads[0])} and {len(spreads[1])} of {name}")
        elif not said and _is_count(column):
            counts = (float(np.nanmean(rows.numbers(column))) for rows in (first, second))
            parts = [[bars.of_count(n, self.level)] for n in counts]
            said.append(AS_COUNT)
        if not said:
            return None, WITHOUT_BAR
        return (bars.together(*parts[0]), bars.together(*parts[1])), " and ".join(said)

    def _own_width(self, bar: Bar | None, column: str, rows: _Rows) -> bars.Width | None:
        """Of the error bars of the rows: those of repeats rest on the same samples, and do not average out."""
        if bar is None:
            return None
        values, columns = rows.numbers(column), (bar,) if isinstance(bar, str) else bar
        ends = [rows.numbers(name) for name in columns]
        if isinstance(bar, str):
            common = rows.numbers(COMMON) if COMMON in rows.cells else [0.0] * len(rows)
            errors = np.hypot(ends[0], np.nan_to_num(common))
            used = np.isfinite(values) & np.isfinite(errors)
            return bars.of_error(float(np.sqrt(np.mean(errors[used] ** 2))), self.level) if used.any() else None
        widths = [
            bars.of_interval(value, low, high, self.level)
            for value, low, high in zip(values, *ends, strict=True)
            if np.isfinite([value, low, high]).all()
        ]
        return (max(low for low, _ in widths), max(high for _, high in widths)) if widths else None

    def _units(self, column: str, first: _Rows, second: _Rows) -> tuple[str, list[list[float]]] | None:
        """Means over the coarsest repeats of which both studies have two: finer ones are not independent."""
        for depth in range(1, len(self.contract.repeats) + 1):
            names = self.contract.repeats[:depth]
            means = [_means(rows, names, column) for rows in (first, second)]
            if min(map(len, means)) > 1:
                return names[-1], means
        return None

    def _judged(
        self,
        row: str,
        column: str,
        pair: tuple[float, float],
        widths: tuple[bars.Width, bars.Width] | None,
        judged_by: str,
        same: bool,
    ) -> Finding:
        first, second = pair
        scale = max(abs(first), abs(second))
        bar = None if widths is None else bars.of_difference(first, second, *widths)
        allowed = max(TOLERANCE * scale if bar is None else bar, ROUNDING * scale)
        verdict: Verdict = "identical" if same else "within" if abs(second - first) <= allowed else "moved"
        return Finding(self.name, row, column, f"{first:.6g}", f"{second:.6g}", verdict, judged_by, bar)

    def _by_factor(self, row: str, column: str, means: list[float], same: bool) -> Finding:
        small, large = sorted(map(abs, means))
        within = large <= NOISE_FACTOR * small or (large - small <= SCORE_TOLERANCE and SCORES.fullmatch(column))
        verdict: Verdict = "identical" if same else "within" if within else "moved"
        return Finding(self.name, row, column, f"{means[0]:.6g}", f"{means[1]:.6g}", verdict, ABOUT_NOISE)


def _is_numeric(cells: Iterable[str]) -> bool:
    filled = [cell for cell in cells if cell != ""]
    try:
        return bool(np.isfinite([float(cell) for cell in filled]).all()) and bool(filled)
    except ValueError:
        return False


def _is_count(column: str) -> bool:
    return column.startswith(("n_", "against_n_"))


def _means(rows: _Rows, names: Sequence[str], column: str) -> list[float]:
    """Means over the rows that are alike in ``names``."""
    found: dict[tuple[str, ...], list[float]] = {}
    for key, value in zip(zip(*(rows.cells[name] for name in names), strict=True), rows.numbers(column), strict=True):
        if np.isfinite(value):
            found.setdefault(key, []).append(value)
    return [float(np.mean(own)) for own in found.values()]


def by_table(findings: Iterable[Finding]) -> dict[str, Counter[str]]:
    """Number of findings of each verdict, by table."""
    ordered = sorted(findings, key=lambda one: one.table)
    return {
        name: Counter(one.verdict for one in own) for name, own in itertools.groupby(ordered, lambda one: one.table)
    }
