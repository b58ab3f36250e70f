"""How far two estimates of one quantity may lie apart.

Each estimate has an interval, ``Width`` below and above it. The interval of a difference follows from both by the
method of variance estimates recovery (Zou and Donner 2008), which keeps intervals lopsided where they are so:
b - a > 0 is within its error bar where (b - a)^2 <= upper_a^2 + lower_b^2. For standard errors that is the
usual rule, for shares with Wilson's interval it is Newcombe's.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

Width = tuple[float, float]
"""Distance from an estimate to the lower and to the upper end of its interval."""

LEVEL = 0.95
"""Of the intervals in the tables."""


@functools.cache
def quantile(level: float, freedom: float = math.inf) -> float:
    """Half the width of the central interval of Student's t, of the normal distribution by default."""
    from scipy.stats import norm, t

    tail = 0.5 + level / 2
    return float(norm.ppf(tail) if math.isinf(freedom) else t.ppf(tail, freedom))


def of_error(error: float, level: float) -> Width:
    """From a standard error."""
    return (quantile(level) * error,) * 2


def of_interval(value: float, low: float, high: float, level: float) -> Width:
    """From both ends of a 95 % interval, stretched as that of a normal distribution where another level is asked."""
    stretch = quantile(level) / quantile(LEVEL)
    return max(0.0, value - low) * stretch, max(0.0, high - value) * stretch


def of_spread(values: Sequence[float], level: float) -> Width:
    """Of the mean of at least two repeats, by Student's t."""
    n = len(values)
    mean = math.fsum(values) / n
    error = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (n - 1) / n)
    return (quantile(level, n - 1) * error,) * 2


@functools.cache
def of_count(n: float, level: float) -> Width:
    """Of a count (Garwood)."""
    from scipy.stats import chi2

    tail = (1 - level) / 2
    low = float(chi2.ppf(tail, 2 * n)) / 2 if n > 0 else 0.0
    return n - low, float(chi2.isf(tail, 2 * n + 2)) / 2 - n


def of_share(n: int, total: int, level: float) -> Width:
    """Of the share ``n / total`` (Wilson)."""
    z, share = quantile(level), n / total
    middle = (share + z**2 / (2 * total)) / (1 + z**2 / total)
    half = z / (1 + z**2 / total) * math.sqrt(share * (1 - share) / total + z**2 / (4 * total**2))
    return max(0.0, share - middle + half), max(0.0, middle + half - share)


def together(*parts: Width) -> Width:
    """Of a sum of independent parts."""
    lows, highs = zip(*parts, strict=True)
    return math.hypot(*lows), math.hypot(*highs)


def of_difference(first: float, second: float, width_first: Width, width_second: Width) -> float:
    """How far ``second`` may lie from ``first``, on the side on which it lies."""
    up = bool(second >= first)
    return math.hypot(width_first[up], width_second[not up])
