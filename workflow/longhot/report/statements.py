"""What the report says in words, findings and reservations, and how numbers and lists are put into them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

SIGNIFICANCE = 0.05
"""P-value below which groups are told apart, and orders are said to agree."""


@dataclass(frozen=True)
class Sentence:
    """One statement of the verdict."""

    topic: str
    text: str
    level: Literal["finding", "warning"] = "finding"


@dataclass(frozen=True)
class Flag:
    """One reservation: what it concerns, how much of it, and why it matters."""

    what: str
    count: str
    why: str


def is_false(value: object) -> bool:
    """Whether a cell of a table says no; an empty cell does not."""
    return str(value).strip().lower() in ("false", "0", "0.0", "no")


def number(value: float, digits: int = 3) -> str:
    """So many significant digits, without exponent."""
    if not np.isfinite(value):
        return "no number"
    if value == 0:
        return "0"
    decimals = max(0, digits - 1 - int(np.floor(np.log10(abs(value)))))
    return f"{value:.{decimals}f}"


def with_error(value: float, error: float) -> str:
    """A value and its error to two digits of the error, such as ``277.3 ± 1.2``; alone, to four, where it has none."""
    if not np.isfinite(error) or error <= 0:
        return number(value, 4)
    decimals = max(0, 1 - int(np.floor(np.log10(error))))
    return f"{value:.{decimals}f} ± {error:.{decimals}f}"


def signed(value: float) -> str:
    """Two decimals, with the minus sign of print."""
    return f"{value:.2f}".replace("-", "−")


def p_text(p_value: float) -> str:
    """A p-value with two digits, or that it is very small."""
    return "p < 0.001" if p_value < 0.001 else f"p = {p_value:.2g}"


def listed(items: list[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return items[0] if len(items) == 1 else ", ".join(items[:-1]) + " and " + items[-1]


def place(table: pd.DataFrame, dataset: object) -> str:
    """``On ethanol: `` where there are several datasets, else nothing."""
    return f"On {dataset}: " if table["dataset"].nunique() > 1 else ""
