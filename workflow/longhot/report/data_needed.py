"""How much data a target asks for: the power law of a learning curve, solved for the number of frames.

With x = log10 N and y the mean over seeds of log10 MAE, y = a + s x + noise is fitted by least squares. The training
sizes x* at which the line may reach the target y* with 95 % confidence are those with

    (a + s x* - y*)^2 <= t^2 [v (1/n + (x* - mean x)^2 / Sxx) + w]

(Fieller 1954; t of Student's law with n - 2 degrees of freedom). v is the scatter of the n sizes about the line, so a
curve that bends widens the interval. w is the variance that the seeds' own offsets leave in their mean. The set is one
interval where the slope differs from 0 beyond chance, s^2 > t^2 v / Sxx; elsewhere no number of frames is given.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

CONFIDENCE = 0.95
FEWEST_SIZES = 3
"""Two sizes lie on their line, whatever the noise."""
NEAR = 2.0
"""Beyond so many times the largest training size a number is called an extrapolation."""
FURTHEST = 100.0
"""Beyond so many times the largest training size a power law is no ground for a number."""


@dataclass(frozen=True)
class DataNeeded:
    """Training frames that a target asks for; NaN with a reason where the curve does not say."""

    frames: float = np.nan
    low: float = np.nan
    high: float = np.nan
    largest: int = 0
    """The largest training size of the curve."""
    reason: str = ""

    @property
    def is_extrapolated(self) -> bool:
        """Whether the target lies well beyond the curve."""
        return self.frames > NEAR * self.largest


def data_needed(sizes: np.ndarray, maes: np.ndarray, seeds: np.ndarray, target: float) -> DataNeeded:
    """Training frames at which the mean error over seeds comes down to a target.

    Args:
        sizes: training frames of each fit, shape (n_fits,).
        maes: its error, in the unit of the target, shape (n_fits,); fits without a positive number are left out.
        seeds: its seed, shape (n_fits,).
        target: the error that is wanted.
    """
    usable = np.isfinite(maes) & (maes > 0)
    sizes, maes, seeds = sizes[usable], maes[usable], seeds[usable]
    names, places = np.unique(sizes, return_inverse=True)
    largest = int(names.max(initial=0))
    if len(names) < FEWEST_SIZES:
        return DataNeeded(largest=largest, reason=f"fewer than {FEWEST_SIZES} training sizes")
    from scipy.stats import t as student

    logs = np.log10(maes)
    means = np.bincount(places, logs) / np.bincount(places)
    x = np.log10(names) - np.log10(names).mean()
    spread = float(x @ x)
    slope = float(x @ means) / spread
    residuals = means - means.mean() - slope * x
    quantile = float(student.ppf((1 + CONFIDENCE) / 2, len(names) - 2))
    variance = float(residuals @ residuals) / (len(names) - 2)
    curvature = slope**2 - quantile**2 * variance / spread
    half = quantile * np.sqrt(variance / spread)
    if slope >= 0 or curvature <= 0:
        said = f"{slope - half:.2f} to {slope + half:.2f}".replace("-", "\N{MINUS SIGN}")
        reason = f"by the scatter of the training sizes about their line its slope is {said}, not surely below 0"
        return DataNeeded(largest=largest, reason=reason)
    gap = float(means.mean() - np.log10(target))
    noise = quantile**2 * (variance / len(names) + _seed_variance(logs - means[places], seeds))
    root = np.sqrt(max(0.0, (gap * slope) ** 2 - curvature * (gap**2 - noise)))
    centre = float(np.log10(names).mean())
    logs_needed = centre + np.array(
        [-gap / slope, (-gap * slope - root) / curvature, (-gap * slope + root) / curvature]
    )
    if logs_needed[0] > np.log10(FURTHEST * largest):
        reason = f"more than {FURTHEST:g} times the largest training set, too far to extrapolate"
        return DataNeeded(largest=largest, reason=reason)
    frames, low, high = (float(one) for one in 10.0**logs_needed)
    return DataNeeded(frames, low, high, largest)


def _seed_variance(deviations: np.ndarray, seeds: np.ndarray) -> float:
    """Variance that offsets of whole curves leave in the mean over seeds; 0 for one seed, which shows none.

    Args:
        deviations: of each fit from the mean over seeds at its size, shape (n_fits,).
        seeds: shape (n_fits,).
    """
    names, places = np.unique(seeds, return_inverse=True)
    if len(names) < 2:
        return 0.0
    counts = np.bincount(places)
    offsets = np.bincount(places, deviations) / counts
    rest = deviations - offsets[places]
    # Each seed's offset holds the scatter of its own fits too, which the line's residuals know already.
    within = float(rest @ rest) / max(1, (len(names) - 1) * (int(counts.max()) - 1))
    between = float(offsets @ offsets) / (len(names) - 1)
    return max(0.0, between - within / float(counts.mean())) / len(names)
