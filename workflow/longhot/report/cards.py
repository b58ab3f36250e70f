"""Dataset cards as the page shows them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from longhot.files import read_json
from longhot.report.columns import Column, column
from longhot.report.views import Cell, TableView, cell

LEFT_OUT = ("config", "warnings")
"""Parts of a card that stand elsewhere on the page: under the settings, and under the reservations."""


def cards(folder: Path) -> list[dict[str, Any]]:
    """Each dataset's card: its name, pairs of key and text, and tables of what repeats."""
    found = []
    for path in sorted(folder.glob("*/card.json")):
        content = {key: value for key, value in read_json(path).items() if key not in LEFT_OUT}
        pairs: list[tuple[str, str]] = []
        views: list[TableView] = []
        _sort_card(content, "", pairs, views)
        found.append({"name": path.parent.name, "pairs": pairs, "tables": views})
    return found


def _sort_card(content: dict[str, Any], prefix: str, pairs: list[tuple[str, str]], views: list[TableView]) -> None:
    """Append every leaf of nested mappings to ``pairs``, and every set of alike mappings to ``views``."""
    for key, value in content.items():
        name = f"{prefix} {key}".strip().replace("_", " ")
        alike = list(value.values()) if isinstance(value, dict) else value
        if isinstance(alike, list) and len(alike) > 1 and all(isinstance(one, dict) for one in alike):
            names = list(value) if isinstance(value, dict) else None
            views.append(_card_table(name, alike, names))
        elif isinstance(value, dict):
            _sort_card(value, name, pairs, views)
        else:
            pairs.append((name, _leaf(value)))


def _card_table(title: str, records: list[dict[str, Any]], names: list[str] | None) -> TableView:
    keys = list(dict.fromkeys(key for record in records for key in record))
    headings = [Column("name")] if names else []
    rows = []
    for place, record in enumerate(records):
        first = [Cell(names[place], names[place])] if names else []
        rows.append([*first, *(_card_cell(record.get(key), column(key)) for key in keys)])
    return TableView(title.capitalize(), [*headings, *(column(key) for key in keys)], rows)


def _card_cell(value: Any, heading: Column) -> Cell:
    return Cell(_leaf(value)) if isinstance(value, list | dict) else cell(value, heading)


def _leaf(value: Any) -> str:
    match value:
        case None:
            return "not stated"
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:.6g}".replace("-", "\u2212")
        case [] | {}:
            return "none"
        case dict():
            return ", ".join(f"{key}: {_leaf(one)}" for key, one in value.items())
        case [list() | dict(), *_]:
            return f"{len(value)} entries, in card.json"
        case list():
            return ", ".join(_leaf(one) for one in value)
    return str(value)
