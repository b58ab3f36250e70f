"""Rows in JSON, which has no NaN: null stands for a number that is none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np


def plain_value(value: Any) -> Any:
    """A value of a row as JSON can hold it."""
    return None if isinstance(value, float) and not np.isfinite(value) else value


def plain(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row that JSON can hold."""
    return {key: plain_value(value) for key, value in row.items()}


def filled(row: Mapping[str, Any]) -> dict[str, Any]:
    """What ``plain`` was given."""
    return {key: np.nan if value is None else value for key, value in row.items()}
