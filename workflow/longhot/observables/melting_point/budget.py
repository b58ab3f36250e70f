"""What the melting point of a committee may be off by, and the force error that a wanted precision asks for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from longhot.observables.melting_point.committees import Committee
from longhot.observables.melting_point.result import SamplerResult
from longhot.observables.melting_point.thermodynamics import MeltingPoint

Part = tuple[float, str]
"""An error in K, NaN where there is none, and a remark or the reason why."""


def budget(one: Committee) -> dict[str, Part]:
    """Every named part of the error of a committee's melting point.

    The calibrated spread alpha sigma is that of the members about the mean of endlessly many of them. The mean of M
    members is off that one too, by sigma / sqrt(M): just the term -1/M that alpha^2 = -1/M + ... takes off, see
    ``longhot.uncertainty.calibration.calibration_factor``. It is a part of its own, ``finite_committee``, which needs
    no calibration.
    """
    points = np.array([point.temperature_K for point in one.valid.values()])
    errors = [point.error_K for point in one.valid.values()]
    raw = float(points.std(ddof=1)) if len(points) > 1 else np.nan
    few = f"{len(points)} of {len(one.points)} members have a melting point, a spread takes two"
    why_no_spread = few if len(points) < 2 else ""
    why_no_alpha = one.why_no_alpha if np.isnan(one.alpha) else ""
    result = one.sampler
    return {
        "committee_raw": (raw, why_no_spread),
        "committee_calibrated": (raw * one.alpha, why_no_spread or why_no_alpha),
        "finite_committee": (raw / np.sqrt(max(1, len(points))), why_no_spread),
        # The frames are the same for all members, so their errors do not average out.
        "reweighting": (float(np.sqrt(np.mean(np.square(errors)))), "") if errors else (np.nan, few),
        "pinning": (result.melting_point.error_K, result.melting_point.reason),
        "protocol_coexistence": _beside_coexistence(result),
        "protocol_size": _beside_other_cells(result),
    }


COVERING = ("committee_calibrated", "finite_committee", "reweighting")
"""Parts of a committee's error that its deviation from the reference is compared with. The error of the pinned run is
common to both, and cancels."""
PROTOCOL = ("protocol_coexistence", "protocol_size")


def _beside_coexistence(result: SamplerResult) -> Part:
    beside, own = result.coexistence, result.melting_point
    if beside is None:
        return np.nan, "not run: no block melting_point.coexistence"
    if not beside.valid:
        return np.nan, f"coexistence: {beside.reason}"
    if not own.valid:
        return np.nan, f"pinning: {own.reason}"
    return _difference(own.temperature_K, own.error_K, beside.value, beside.error)


def _beside_other_cells(result: SamplerResult) -> Part:
    if len(result.by_cell) < 2:
        return np.nan, "not estimated: melting_point.pinning.cells names one cell"
    first, *others = result.by_cell.values()
    usable = [one for one in others if one.valid]
    if not first.valid or not usable:
        return np.nan, "; ".join(f"{cell}: {one.reason}" for cell, one in result.by_cell.items() if not one.valid)
    second = usable[0]
    return _difference(first.temperature_K, first.error_K, second.temperature_K, second.error_K)


def _difference(first: float, first_error: float, second: float, second_error: float) -> Part:
    error = np.hypot(first_error, second_error)
    return abs(first - second), f"a difference of {second - first:+.1f} K with a statistical error of {error:.1f} K"


def summary(one: Committee, truth: MeltingPoint | None) -> dict[str, Any]:
    """The melting point of a committee beside that of the reference, as columns of melting_point_summary.csv.

    Args:
        one: the committee.
        truth: the reference's; None where it is not run.
    """
    parts = budget(one)
    points = [point.temperature_K for point in one.valid.values()]
    mean = float(np.mean(points)) if points else np.nan
    known = truth if truth is not None and truth.valid else MeltingPoint(np.nan, np.nan, np.nan, False, "")
    protocol = [parts[name][0] for name in PROTOCOL if np.isfinite(parts[name][0])]
    sigma = float(np.sqrt(sum(parts[name][0] ** 2 for name in COVERING)))
    width, half = 2 * sigma, _half_width(one, sigma)
    gap = abs(mean - known.temperature_K)
    left_out = [str(seed) for seed, (point, _) in one.points.items() if not point.valid]
    members = f"member{'s' if len(left_out) > 1 else ''} {', '.join(left_out)}"
    reasons = [f"no valid melting point of {members}" if left_out else ""]
    reasons.append("" if known.valid else "no valid melting point of the reference to compare with")
    reasons.append("" if np.isfinite(width) else f"no calibrated spread: {parts['committee_calibrated'][1]}")
    return {
        "melting_point_K": mean,
        "ci_low_K": mean - half,
        "ci_high_K": mean + half,
        "committee_std_K": parts["committee_raw"][0],
        "committee_std_calibrated_K": parts["committee_calibrated"][0],
        "sampling_error_K": parts["reweighting"][0],
        "reference_melting_point_K": known.temperature_K,
        "reference_error_K": known.error_K,
        "covered_2sigma": bool(gap <= width) if np.isfinite([gap, width]).all() else None,
        "n_members": len(one.points),
        "n_valid": len(points),
        "force_mae_meV_per_A": float(np.mean(one.force_maes_meV_per_A)),
        "protocol_error_K": float(np.sqrt(np.sum(np.square(protocol)))) if protocol else np.nan,
        "reason": "; ".join(filter(None, reasons)),
    }


def _half_width(one: Committee, sigma_K: float) -> float:
    """Half of the 95 % interval in K: two sigma of 4 members cover the truth in some 83 % of cases only.

    By Student's t. The degrees of freedom are those of a product of two variances, of the members' and of alpha^2 with
    what 1/M adds, the latter as its own interval tells; their inverses add up.
    """
    from scipy.stats import norm, t

    n_members = len(one.valid)
    if n_members < 2:
        return np.nan
    low, high = (bound**2 + 1 / n_members for bound in one.alpha_interval)
    deviation = np.log(high / low) / (2 * norm.ppf(0.975))  # of ln(alpha^2 + 1/M), with 2 / deviation^2 of them
    return float(sigma_K * t.ppf(0.975, 1 / (1 / (n_members - 1) + deviation**2 / 2)))


def required_accuracy(committees: Sequence[Committee], truth: MeltingPoint | None, target_K: float) -> dict[str, Any]:
    """The force error that a wanted precision asks for.

    To first order the error of T_m is linear in the error of the potential, so the ratio of the two is taken to be the
    same at all training sizes: its mean square over all members gives the wanted force error, and a chi-squared
    distribution its 95 % interval. Deviations are from the reference, or from the committee's own mean (one degree
    of freedom less) where there is none. Members of a committee may all be off to one side: the degrees of freedom are
    those of a sum of the means' squares and of the squares about them (Satterthwaite, Biometrics Bull. 2, 110 (1946)).
    """
    known_K = truth.temperature_K if truth is not None and truth.valid else np.nan
    own = [ratios for one in committees if len(ratios := _ratios(one, known_K))]
    n_points = sum(map(len, own))
    total = sum(float((ratios**2).sum()) for ratios in own)
    n_means = 0 if np.isnan(known_K) else len(own)
    freedom = n_points if n_means else n_points - len(own)
    if freedom < 2:
        needed, reason = np.full(3, np.nan), "fewer than two members have a valid melting point to compare"
    else:
        together = sum(len(ratios) * float(ratios.mean()) ** 2 for ratios in own) if n_means else 0.0
        bounds = _relative_bounds((together, n_means), (total - together, freedom - n_means))
        needed = target_K / np.sqrt(total / freedom) * np.array([1.0, *bounds])
        reason = (
            "the members are off to one side as one, so the interval may be too narrow" if 2 * together > total else ""
        )
    names = ("force_mae_meV_per_A", "ci_low", "ci_high")
    return {
        **dict(zip(names, needed.tolist(), strict=True)),
        "exponent": 1.0,
        "n_points": n_points,
        "reason": reason,
    }


def _ratios(one: Committee, known_K: float) -> np.ndarray:
    """Error of T_m over force error of each valid member in K A/meV; about their mean where ``known_K`` is NaN."""
    maes = dict(zip(one.points, one.force_maes_meV_per_A, strict=True))
    points = {seed: point.temperature_K for seed, point in one.valid.items() if np.isfinite(maes[seed])}
    if np.isnan(known_K):
        if len(points) < 2:
            return np.zeros(0)
        known_K = float(np.mean(list(points.values())))
    return np.array([(point - known_K) / maes[seed] for seed, point in points.items()])


def _relative_bounds(*parts: tuple[float, int]) -> np.ndarray:
    """95 % interval of 1/sigma over its value, where sigma^2 is from sums of squares with degrees of freedom."""
    from scipy.stats import chi2

    total = sum(squares for squares, _ in parts)
    freedom = total**2 / sum(squares**2 / own for squares, own in parts if own)
    return np.sqrt(chi2.ppf([0.025, 0.975], freedom) / freedom)
