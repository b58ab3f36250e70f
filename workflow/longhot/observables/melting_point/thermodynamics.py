"""From chemical potentials at some temperatures to the melting point, by the Gibbs-Helmholtz equation.

With delta mu = mu_s - mu_l and delta h = h_s - h_l, per molecule,

    d(delta mu / T)/dT = -delta h / T^2.

With delta h = a + b (T - m) this is delta mu(T)/T = delta mu(T0)/T0 + (a - b m)(1/T - 1/T0) - b ln(T/T0). At the
melting point delta mu is zero, its slope the entropy of melting, delta s = -delta h / T_m > 0.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from longhot.observables.melting_point.phases import Phase, standard_error

SEARCH_SHARE = 0.3
"""How far from the anchor, as a part of its temperature, a crossing is sought."""


@dataclass(frozen=True)
class EnthalpyDifference:
    """h_s - h_l = a + b (T - m) in meV per molecule."""

    middle_K: float
    """m, the weighted mean temperature, for which the errors of a and b are independent."""
    a_meV: float
    b_meV_per_K: float
    a_error_meV: float
    b_error_meV_per_K: float
    temperatures_K: tuple[float, ...]
    """At which both phases were sampled."""

    def __call__(self, temperature_K: float) -> float:
        """h_s - h_l at a temperature."""
        return self.a_meV + self.b_meV_per_K * (temperature_K - self.middle_K)


@dataclass(frozen=True)
class Curve:
    """mu_s - mu_l of the sampler at all temperatures, through one known point."""

    temperature_K: float
    delta_mu_meV: float
    error_meV: float
    enthalpy: EnthalpyDifference

    def __call__(self, temperature_K: float) -> float:
        """mu_s - mu_l in meV per molecule."""
        by_a, by_b = self._way(temperature_K)
        way = by_a * self.enthalpy.a_meV + by_b * self.enthalpy.b_meV_per_K
        return self.delta_mu_meV * temperature_K / self.temperature_K + way

    def error(self, temperature_K: float) -> float:
        """Standard error of ``self(temperature_K)`` in meV: of the known point, and of the enthalpy on the way."""
        by_a, by_b = self._way(temperature_K)
        way = np.hypot(by_a * self.enthalpy.a_error_meV, by_b * self.enthalpy.b_error_meV_per_K)
        return float(np.hypot(self.error_meV * temperature_K / self.temperature_K, way))

    def _way(self, temperature_K: float) -> tuple[float, float]:
        """What a and b of the enthalpy, each a unit of its own, add on the way from the known point."""
        t0, t = self.temperature_K, temperature_K
        by_a = 1 - t / t0
        return by_a, float(-t * np.log(t / t0) - self.enthalpy.middle_K * by_a)


@dataclass(frozen=True)
class MeltingPoint:
    """Where mu_s - mu_l vanishes."""

    temperature_K: float
    error_K: float
    entropy_meV_per_K: float
    """s_l - s_s there."""
    valid: bool
    reason: str


def enthalpy_difference(phases: Sequence[Phase], pressure_bar: float) -> EnthalpyDifference | None:
    """A line through h_s - h_l at all temperatures where both phases are valid; None where there is none.

    One temperature gives a constant.
    """
    by_state = {(one.phase, one.temperature_K): one for one in phases if one.valid}
    found = []
    for temperature_K in sorted({one.temperature_K for one in phases}):
        pair = [by_state.get((name, temperature_K)) for name in ("solid", "liquid")]
        if pair[0] is None or pair[1] is None:
            continue
        (solid, solid_error), (liquid, liquid_error) = (_enthalpy(one, pressure_bar) for one in pair if one)
        found.append((temperature_K, solid - liquid, float(np.hypot(solid_error, liquid_error))))
    if not found:
        return None
    temperatures, differences, errors = (np.array(column) for column in zip(*found, strict=True))
    weights = np.maximum(errors, 1e-9) ** -2
    middle_K, middle_meV = (float(np.average(column, weights=weights)) for column in (temperatures, differences))
    away = temperatures - middle_K
    spread = float((weights * away**2).sum())
    b, b_error = (float((weights * away * differences).sum()) / spread, spread**-0.5) if len(found) > 1 else (0.0, 0.0)
    sampled_K = tuple(temperatures.tolist())
    return EnthalpyDifference(middle_K, middle_meV, b, float(weights.sum() ** -0.5), b_error, sampled_K)


def _enthalpy(one: Phase, pressure_bar: float) -> tuple[float, float]:
    series = one.enthalpies_meV(pressure_bar)
    return float(series.mean()), standard_error(series, one.statistical_inefficiency)


def combined(points: Sequence[tuple[float, float, float]], enthalpy: EnthalpyDifference) -> tuple[Curve, float]:
    """One curve through several (T in K, delta mu and its error in meV), and the chi-squared per degree of freedom.

    Each point is carried to the temperature of the most precise one; the mean there is weighted by their errors, and
    where the points scatter by more than these say, its error is enlarged by the root of chi-squared.
    """
    t0 = min(points, key=lambda one: one[2])[0]
    carried = [Curve(t, value, error, enthalpy) for t, value, error in points]
    values = np.array([curve(t0) for curve in carried])
    weights = np.array([max(curve.error(t0), 1e-9) ** -2 for curve in carried])
    mean = float((weights * values).sum() / weights.sum())
    chi2 = float((weights * (values - mean) ** 2).sum() / (len(points) - 1)) if len(points) > 1 else 1.0
    error = float(np.sqrt(max(1.0, chi2) / weights.sum()))
    return Curve(t0, mean, error, enthalpy), chi2


def crossing(
    delta_mu_meV: Callable[[float], float],
    error_meV: Callable[[float], float],
    near_K: float,
    sampled_K: Sequence[float],
) -> MeltingPoint:
    """Where a curve crosses zero, with the side on which to sample where the temperatures do not bracket it.

    Args:
        delta_mu_meV: mu_s - mu_l at a temperature in K.
        error_meV: its standard error.
        near_K: a temperature to search about.
        sampled_K: temperatures at which the curve rests on samples.
    """
    from scipy.optimize import brentq

    low, high = (1 - SEARCH_SHARE) * near_K, (1 + SEARCH_SHARE) * near_K
    if not delta_mu_meV(low) < 0 < delta_mu_meV(high):
        reason = f"mu_s - mu_l does not rise through zero between {low:.0f} and {high:.0f} K"
        return MeltingPoint(np.nan, np.nan, np.nan, False, reason)
    found = float(brentq(delta_mu_meV, low, high))
    slope = delta_mu_meV(found + 0.5) - delta_mu_meV(found - 0.5)
    point = MeltingPoint(found, error_meV(found) / slope, slope, True, "")
    outside = _outside(found, sampled_K)
    return replace(point, valid=not outside, reason=outside)


def _outside(found_K: float, sampled_K: Sequence[float]) -> str:
    low, high = min(sampled_K), max(sampled_K)
    if low <= found_K <= high:
        return ""
    side, beyond = (
        ("below", 5 * np.floor(found_K / 5 - 1)) if found_K < low else ("above", 5 * np.ceil(found_K / 5 + 1))
    )
    return (
        f"the crossing at {found_K:.0f} K lies {side} the sampled temperatures of {low:g} to {high:g} K: "
        f"add {beyond:g} K to melting_point.bulk.temperatures_K"
    )
