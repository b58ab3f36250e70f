"""From chemical potentials at some temperatures to the melting point, by the Gibbs-Helmholtz equation.

With delta mu = mu_s - mu_l and delta h = h_s - h_l, per molecule,

    d(delta mu / T)/dT = -delta h / T^2.

With delta h = a + b T this is delta mu(T)/T = delta mu(T0)/T0 + a (1/T - 1/T0) - b ln(T/T0). At the melting point
delta mu is zero, its slope the entropy of melting, delta s = -delta h / T_m > 0.
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
    """h_s - h_l = a + b T in meV per molecule."""

    a_meV: float
    b_meV_per_K: float
    error_meV: float
    """Of the difference in the middle of the temperatures."""
    temperatures_K: tuple[float, ...]
    """At which both phases were sampled."""

    def __call__(self, temperature_K: float) -> float:
        """h_s - h_l at a temperature."""
        return self.a_meV + self.b_meV_per_K * temperature_K


@dataclass(frozen=True)
class Curve:
    """mu_s - mu_l of the sampler at all temperatures, through one known point."""

    temperature_K: float
    delta_mu_meV: float
    error_meV: float
    enthalpy: EnthalpyDifference

    def __call__(self, temperature_K: float) -> float:
        """mu_s - mu_l in meV per molecule."""
        t0, t = self.temperature_K, temperature_K
        a, b = self.enthalpy.a_meV, self.enthalpy.b_meV_per_K
        return float(t * (self.delta_mu_meV / t0 + a * (1 / t - 1 / t0) - b * np.log(t / t0)))

    def error(self, temperature_K: float) -> float:
        """Standard error of ``self(temperature_K)`` in meV: of the known point, and of the enthalpy on the way."""
        way = 1 - temperature_K / self.temperature_K
        return float(np.hypot(self.error_meV * temperature_K / self.temperature_K, self.enthalpy.error_meV * way))


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
    weights = 1 / np.maximum(errors, 1e-9)
    middle_error = float(1 / np.sqrt((weights**2).sum()))
    if len(found) == 1:
        return EnthalpyDifference(float(differences[0]), 0.0, middle_error, tuple(temperatures.tolist()))
    slope, intercept = np.polyfit(temperatures, differences, 1, w=weights)
    return EnthalpyDifference(float(intercept), float(slope), middle_error, tuple(temperatures.tolist()))


def _enthalpy(one: Phase, pressure_bar: float) -> tuple[float, float]:
    series = one.enthalpies_meV(pressure_bar)
    return float(series.mean()), standard_error(series, one.statistical_inefficiency)


def combined(points: Sequence[tuple[float, float, float]], enthalpy: EnthalpyDifference) -> tuple[Curve, float]:
    """One curve through several (T in K, delta mu and its error in meV), and the chi-squared per degree of freedom.

    Each point is carried to the first one's temperature; the mean there is weighted by their errors, and where the
    points scatter by more than these say, its error is enlarged by the root of chi-squared.
    """
    t0 = points[0][0]
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
    slope = (delta_mu_meV(found + 0.5) - delta_mu_meV(found - 0.5)) / 1.0
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
