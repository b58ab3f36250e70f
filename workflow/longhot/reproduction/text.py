"""A comparison of two studies in words, and as a table."""

from __future__ import annotations

import csv
import itertools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from longhot.files import atomic_path, write_text
from longhot.reproduction.bars import LEVEL
from longhot.reproduction.compare import (
    ABOUT_NOISE,
    AS_COUNT,
    COUNTED,
    NOISE_FACTOR,
    SCORE_TOLERANCE,
    TOLERANCE,
    WITHOUT_BAR,
    Comparison,
    Finding,
    by_table,
)
from longhot.reproduction.contracts import CONTRACTS
from longhot.reproduction.origins import Difference

MOST_LINES = 200
"""Lines of one list; the table beside it has all."""
COLUMNS = ("identical", "within", "moved", "outcome changed", "missing", "new", "by chance", "not compared")


def difference(first: Path, second: Path, found: Sequence[Difference], comparison: Comparison) -> str:
    """Two studies that need not be the same."""
    differ = comparison.differences
    with_bar = [one for one in comparison.findings if one.bar is not None and one.verdict != "identical"]
    outside = sum(one.verdict == "moved" for one in with_bar)
    verdict = (
        f"{_counted(len(differ), 'difference')} beyond error bars and tolerances. Of {len(with_bar)} numbers that are "
        f"not identical and have an error bar, {outside} lie outside of it; about {(1 - LEVEL) * len(with_bar):.0f} "
        "would by chance if they were independent."
        if differ
        else "Nothing moved beyond its error bar or tolerance."
    )
    return _joined(
        _heading(first, second), _origins(found), _summary(comparison), _lists(comparison), _rules(comparison), verdict
    )


def reproduction(
    first: Path,
    second: Path,
    found: Sequence[Difference],
    reasons: Sequence[str],
    cells: Sequence[Finding],
    comparison: Comparison,
) -> str:
    """A study and its repetition.

    Args:
        first: the stored study.
        second: the study that was run again.
        found: where their manifests differ.
        reasons: why the digits need not be the same; empty where they must.
        cells: cells that are not the same.
        comparison: by error bars that hold jointly.
    """
    if reasons:
        demand = ["Demanded: all numbers within their error bars together, since the digits need not be the same:"]
        demand += [f"  {reason}" for reason in reasons]
        failed = len(comparison.differences)
        verdict = (
            f"NOT REPRODUCED: {_counted(failed, 'difference')}."
            if failed
            else "REPRODUCED within error bars and tolerances."
        )
        listed = _lists(comparison)
    else:
        demand = ["Demanded: every digit, since code, packages, processor, cores and C library are the same."]
        verdict = (
            f"NOT REPRODUCED: {_counted(len(cells), 'cell or row', 'cells or rows')} not the same."
            if cells
            else "REPRODUCED to the last digit."
        )
        listed = _list("Not the same", cells)
        if cells and not comparison.differences:
            listed += "\nBy their error bars, all of these are within what chance allows."
    return _joined(
        _heading(first, second),
        _origins(found),
        "\n".join(demand),
        _summary(comparison),
        listed,
        _rules(comparison),
        verdict,
    )


def _heading(first: Path, second: Path) -> str:
    return f"First:  {first}\nSecond: {second}"


def _origins(found: Sequence[Difference]) -> str:
    if not found:
        return "Made alike: the same config, seeds, code, versions, machine and devices."
    return "\n".join(["Made differently:", *(f"  {one}" for one in found)])


def _summary(comparison: Comparison) -> str:
    counts = by_table(comparison.findings)
    shown = [name for name in COLUMNS if any(one[name] for one in counts.values())]
    width = max([len("table"), *map(len, counts)])
    lines = ["  ".join([f"{'table':<{width}}", *shown])]
    for table, one in counts.items():
        lines.append("  ".join([f"{table:<{width}}", *(f"{one[name] or '':>{len(name)}}" for name in shown)]))
    return "\n".join(lines)


def _lists(comparison: Comparison) -> str:
    titles = {
        "moved": "Moved",
        "outcome changed": "Outcome changed",
        "missing": "Missing: in the first alone",
        "new": "New: in the second alone",
        "by chance": "Changed by chance, named and not counted: single repeats, and rows that chance makes",
        "not compared": "Not compared",
    }
    lists = [
        _list(title, [one for one in comparison.findings if one.verdict == verdict])
        for verdict, title in titles.items()
    ]
    return "\n\n".join(filter(None, lists))


def _list(title: str, findings: Sequence[Finding]) -> str:
    if not findings:
        return ""
    lines = list(_lines(findings))
    shown = [f"{title} ({len(findings)}):", *(f"  {line}" for line in lines[:MOST_LINES])]
    if len(lines) > MOST_LINES:
        shown.append(f"  and {len(lines) - MOST_LINES} more lines: the table beside this text has all")
    return "\n".join(shown)


def _lines(findings: Sequence[Finding]) -> Iterator[str]:
    """One for each finding; rows of one study alone that differ in their last key share one."""
    for _, own in itertools.groupby(findings, lambda one: (one.table, one.column, one.row.rpartition(" ")[0])):
        alike = list(own)
        if alike[0].column or len(alike) < 4:
            yield from map(_line, alike)
        else:
            yield f"{_line(alike[0])} and {len(alike) - 1} rows like it"


def _line(one: Finding) -> str:
    what = f"{one.table}: {one.row}"
    if one.column:
        what += f": {one.column} {one.first or '(empty)'} -> {one.second or '(empty)'}"
    how = one.judged_by if one.bar is None else f"at most {one.bar:.3g} apart, {one.judged_by}"
    return f"{what} ({how})" if how else what


def _rules(comparison: Comparison) -> str:
    """How the numbers were judged, those without an error bar by name."""
    jointly = (
        "" if comparison.level == LEVEL else f" (each at {comparison.level:.4%}, so that {LEVEL:.0%} hold for all)"
    )
    lines = [f"Judged by the error bars of both studies, {LEVEL:.0%}{jointly}, taken to be independent."]
    for rule, said in (
        (WITHOUT_BAR, f"No error bar: a relative difference of {TOLERANCE:.0%} is allowed"),
        (
            ABOUT_NOISE,
            f"Numbers about noise: a factor of {NOISE_FACTOR:g} is allowed, or {SCORE_TOLERANCE:g} to scores",
        ),
        (AS_COUNT, "Counts: a Poisson interval"),
    ):
        columns = {f"{one.table}.{one.column}" for one in comparison.findings if one.judged_by == rule}
        if columns:
            lines.append(f"{said}: {', '.join(sorted(columns))}.")
    tables = {one.table for one in comparison.findings}
    derived = [
        f"{name}.{column} ({table})"
        for name in sorted(tables & CONTRACTS.keys())
        for column, table in CONTRACTS[name].elsewhere.items()
    ]
    if derived:
        lines.append(f"Computed from other rows, and judged in the table in brackets: {', '.join(derived)}.")
    lines.append("Left out: wall and core times, and remarks in words.")
    return "\n".join(lines)


def _counted(n: int, noun: str, plural: str | None = None) -> str:
    return f"{n} {noun if n == 1 else plural or noun + 's'}"


def _joined(*parts: str) -> str:
    return "\n\n".join(filter(None, parts)) + "\n"


def write(stem: Path, said: str, findings: Iterable[Finding]) -> None:
    """Write a comparison as ``<stem>.txt`` and ``<stem>.csv``; in the table ``counted`` marks what differs."""
    write_text(stem.with_suffix(".txt"), said)
    with (
        atomic_path(stem.with_suffix(".csv")) as temporary,
        temporary.open("w", newline="", encoding="utf-8") as handle,
    ):
        table = csv.writer(handle, lineterminator="\n")
        table.writerow((*Finding._fields, "counted"))
        table.writerows((*one, one.verdict in COUNTED) for one in findings)
