"""What a committee's member would have given, from frames sampled with another potential.

Frames are sampled from V_0 (the committee's mean, say) at one temperature; each is judged by V_k. Everything
follows from h = beta (V_k - V_0), of shape (n_frames,), with beta = 1/(k_B T):

- directly: <a>_k = sum a e^-h / sum e^-h, exact for endless sampling, useless where few frames carry all weight;
- by the cumulant expansion, CEA: <a>_k = <a> - (<a h> - <a><h>), first order in h, and
  F_k - F_0 = <V_k - V_0> - beta var(V_k - V_0)/2, second order: of little noise, exact where h is Gaussian
  (Ceriotti et al., Proc. R. Soc. A 468, 2 (2012); Imbalzano et al., J. Chem. Phys. 154, 074102 (2021));
- in stages, by MBAR over potentials between V_0 and V_k that were sampled too.

A number that the frames cannot support comes with ``valid`` False and the reason, never alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from ase import units

from longhot.block import InputError

N_BOOTSTRAP = 200
"""A standard deviation over 200 draws is known to 5 %."""

MIN_RUN_LENGTH = 50
"""In units of g: pymbar sums the correlation function up to its first zero, and shorter runs have not seen their slow
motions; g then comes out too small, and so do all errors. 50 is what emcee asks for its autocorrelation time."""

FREEDOM_SHARE = 0.25
"""Degrees of freedom of g, for one independent frame: the sum of a correlation function over M frames on either side
has n / (2 M) of them (Priestley, Spectral Analysis and Time Series (1981), table 6.1), and its first zero comes at
about M = 2 g."""

MIN_ESS = 0.3
"""Fraction of the frames. Gaussian h of variance s^2 has e^(-s^2), so s < 1.1; the frames that decide lie about s^2
below the mean of h, where then still a seventh of them is. Further out the sample does not know what it lacks, and its
own effective sample size flatters it: of runs with s = 1.2 to 1.5 those that pass 0.2 have errors that cover the truth
in 77 to 90 % of cases."""

MIN_EFFECTIVE_FRAMES = 50
"""The bias of -ln<e^-h> is half its variance, at most 1/(2 n ESS) (Zuckerman & Woolf, Phys. Rev. Lett. 89, 180602
(2002)): from 50 effective frames on it is below 0.01 kT, and a fourteenth of the statistical error."""

FEW_EFFECTIVE_FRAMES = 70
"""Between ``MIN_EFFECTIVE_FRAMES`` and this many the result is valid with a remark: 1.96 errors cover the truth in 89
to 92 % of cases."""

MAX_VARIANCE = 4.0
"""Of h, for the second order: the frames that decide then lie two standard deviations out, 2 % of a sample."""

MIN_GAUSSIAN_FRAMES = 200
"""Independent frames below which almost anything passes for Gaussian."""

MAX_JARQUE_BERA = 5.99
"""5 % point of chi^2 with 2 degrees of freedom. A skewness that just passes shifts the second order, by skewness s^3/6
kT, by 2.3 of its statistical errors at the largest variance and by 1.0 at that of ``MIN_ESS``."""

MAX_DISAGREEMENT = 3.0
"""Between direct and second order, in standard errors of their difference."""

MIN_OVERLAP = 0.03
"""Between neighbouring states (Klimovich, Shirts & Mobley, J. Comput.-Aided Mol. Des. 29, 397 (2015))."""


def _weights(h: np.ndarray) -> np.ndarray:
    """Weights e^-h scaled to a largest of 1, so that none overflows and not all vanish."""
    return np.exp(h.min() - h)


def direct_average(values: np.ndarray, h: np.ndarray) -> np.ndarray:
    """<a>_k = sum a e^-h / sum e^-h.

    Args:
        values: a, shape (n_frames, ...).
        h: beta (V_k - V_0), shape (n_frames,).

    Returns:
        Shape (...), in the unit of the values.
    """
    weights = _weights(h)
    return np.tensordot(weights / weights.sum(), values, axes=1)


def cumulant_average(values: np.ndarray, h: np.ndarray) -> np.ndarray:
    """<a>_k = <a> - (<a h> - <a><h>), the expansion to first order in h.

    Linear in h: where V_0 is the mean of the members, the mean of their averages is <a> itself.

    Args:
        values: a, shape (n_frames, ...).
        h: beta (V_k - V_0), shape (n_frames,).

    Returns:
        Shape (...), in the unit of the values.
    """
    # <a h> - <a><h> as it stands would lose its digits where h has a large mean.
    return values.mean(axis=0) - np.tensordot(h - h.mean(), values, axes=1) / len(h)


def effective_sample_size(h: np.ndarray) -> float:
    """(sum w)^2 / sum w^2 of the weights w = e^-h, as a fraction of the frames (Kish 1965); 1 for constant h."""
    weights = _weights(h)
    return float(weights.sum() ** 2 / (weights**2).sum() / len(h))


def free_energy_direct(differences_eV: np.ndarray, temperature_K: float) -> float:
    """F_k - F_0 = -kT ln<e^-h> in eV (Zwanzig, J. Chem. Phys. 22, 1420 (1954)).

    Args:
        differences_eV: V_k - V_0 of the frames sampled from V_0, shape (n_frames,).
        temperature_K: at which they were sampled.
    """
    h = differences_eV / (units.kB * temperature_K)
    return float(differences_eV.min() - units.kB * temperature_K * np.log(_weights(h).mean()))


def free_energy_cumulant(differences_eV: np.ndarray, temperature_K: float) -> float:
    """F_k - F_0 = <V_k - V_0> - beta var(V_k - V_0)/2 in eV, to second order, with the unbiased variance.

    Args:
        differences_eV: V_k - V_0 of the frames sampled from V_0, shape (n_frames,), at least 2.
        temperature_K: at which they were sampled.
    """
    return float(differences_eV.mean() - differences_eV.var(ddof=1) / (2 * units.kB * temperature_K))


@dataclass(frozen=True)
class Decorrelated:
    """How many independent frames a run holds, and which to take for them."""

    statistical_inefficiency: float
    """g = 1 + 2 tau in frames, at least 1: n frames are worth n / g."""
    indices: np.ndarray
    """Of independent frames, shape (n_independent,)."""
    reason: str
    """Empty, or why g is not to be trusted."""

    @property
    def n_independent(self) -> int:
        """Number of independent frames."""
        return len(self.indices)


def _check_finite(series: np.ndarray) -> None:
    """Refuse what pymbar would turn into a wrong number.

    Raises:
        InputError: numbers that are not finite.
    """
    lost = int(np.sum(~np.isfinite(series)))
    if lost:
        raise InputError(f"decorrelation: {lost} of {len(series)} values are not finite, cut the run where it failed")


def decorrelate(*series: np.ndarray) -> Decorrelated:
    """Statistical inefficiency of a run: the largest over several series of it, by pymbar.

    Chodera et al., J. Chem. Theory Comput. 3, 26 (2007). A series that never changes has no correlation and does not
    count; where all are such, the run is worth one frame.

    Args:
        series: quantities of the same frames in the order of time, each of shape (n_frames,).

    Raises:
        InputError: numbers that are not finite.
    """
    from pymbar import timeseries

    for one in series:
        _check_finite(one)
    n_frames = len(series[0])
    changing = [one for one in series if np.ptp(one) > 0]
    if not changing:
        return Decorrelated(
            float(n_frames), np.zeros(1, dtype=int), "nothing changes in the run, it is worth one frame"
        )
    g = max(float(timeseries.statistical_inefficiency(one)) for one in changing)
    reason = ""
    if n_frames < MIN_RUN_LENGTH * g:
        reason = (
            f"{n_frames} frames are {n_frames / g:.0f} times the statistical inefficiency of {g:.1f} frames, which is "
            f"underestimated in runs below {MIN_RUN_LENGTH} times: errors may be too small, run longer"
        )
    return Decorrelated(g, np.array(timeseries.subsample_correlated_data(series[0], g=g)), reason)


def student_factor(n_independent: float) -> float:
    """By how much a standard error from so many independent frames is to be enlarged, so that 1.96 of it hold 95 %.

    Student's t over that of the normal distribution: 1.6 for 8 frames, 1.2 for 20, 1.05 for 100.
    """
    from scipy.stats import norm, t

    return float(t.ppf(0.975, max(2.0, FREEDOM_SHARE * n_independent)) / norm.ppf(0.975))


def equilibrated(series: np.ndarray) -> int:
    """First frame of the equilibrated part: the start that leaves the most independent frames, by pymbar.

    Chodera, J. Chem. Theory Comput. 12, 1799 (2016). 200 starts are tried.

    Args:
        series: shape (n_frames,), in the order of time.

    Raises:
        InputError: numbers that are not finite.
    """
    from pymbar import timeseries

    _check_finite(series)
    return int(timeseries.detect_equilibration(series, nskip=max(1, len(series) // 200))[0])


@dataclass(frozen=True)
class FreeEnergyDifference:
    """F_k - F_0 with its statistical error."""

    value_eV: float
    error_eV: float
    """One standard deviation, with ``student_factor``; for the second order with the size of the third-order term."""
    method: Literal["direct", "cumulant"]
    ess: float
    """Effective sample size as a fraction of the frames."""
    valid: bool
    reason: str
    """Why not valid, or what to bear in mind."""


def free_energy_difference(
    differences_eV: np.ndarray, temperature_K: float, n_independent: int | None = None
) -> FreeEnergyDifference:
    """F_k - F_0 by the method that the frames support.

    Direct, where the weights are spread over enough frames (``MIN_ESS``, ``MIN_EFFECTIVE_FRAMES``). Otherwise by the
    second-order expansion, if h is Gaussian as far as its frames can tell: enough of them, a variance of at most
    ``MAX_VARIANCE``, the test of Jarque & Bera (skewness and excess kurtosis, in units of their sampling errors), and
    agreement with the direct value where that rests on enough frames to mean something. Otherwise the second-order
    value is given as not valid.

    The error is the standard deviation over bootstrap samples of ``n_independent`` frames out of all: the value uses
    every frame, the error counts only the independent ones. For the second order the third-order term, <(h - <h>)^3>/6
    kT, is added to it in quadrature: the first term left out says how good those kept are.

    What a sample does not hold no guard can see. In trials with Gaussian h 1.96 errors covered the truth in 0.94 to
    0.97 of the valid results from 200 independent frames and more, and in 0.92 from 100; with h skewed by -0.5, and so
    a far tail that decides, in as little as half from 200 frames, while from 1000 such h is refused.

    Args:
        differences_eV: V_k - V_0 of the frames sampled from V_0, shape (n_frames,).
        temperature_K: at which they were sampled.
        n_independent: how many of the frames are independent, from ``decorrelate``; all, if not given.

    Raises:
        InputError: more independent frames than frames, or less than one.
    """
    n_frames = len(differences_eV)
    n_independent = n_frames if n_independent is None else n_independent
    lost = int(np.sum(~np.isfinite(differences_eV)))
    if lost or n_frames < 2:
        what = f"{lost} of {n_frames} energy differences are not finite" if lost else f"{n_frames} frame(s)"
        return FreeEnergyDifference(np.nan, np.nan, "direct", np.nan, False, f"no free energy from these: {what}")
    if not 1 <= n_independent <= n_frames:
        raise InputError(f"free energy: {n_independent} independent of {n_frames} frames, give 1 to {n_frames}")

    h = differences_eV / (units.kB * temperature_K)
    direct = free_energy_direct(differences_eV, temperature_K)
    cumulant = free_energy_cumulant(differences_eV, temperature_K)
    third_order_eV = np.mean((h - h.mean()) ** 3) / 6 * units.kB * temperature_K
    draws = _bootstrap(differences_eV, temperature_K, n_independent)
    direct_error, cumulant_error = map(float, np.hypot(draws.std(axis=0), [0.0, third_order_eV]))
    ess = effective_sample_size(h)
    effective = ess * n_independent
    if ess >= MIN_ESS and effective >= MIN_EFFECTIVE_FRAMES:
        few = f"the weights rest on {effective:.0f} independent frames, and 1.96 errors hold the truth in some 90 %"
        remark = few if effective < FEW_EFFECTIVE_FRAMES else ""
        return FreeEnergyDifference(direct, direct_error * student_factor(effective), "direct", ess, True, remark)

    fault = _gaussian_fault(h, n_independent)
    if not fault and effective >= MIN_EFFECTIVE_FRAMES:
        disagreement = abs(direct - cumulant) / (draws[:, 0] - draws[:, 1]).std()
        if disagreement > MAX_DISAGREEMENT:
            fault = f"it is {disagreement:.1f} standard errors off the direct value"
    reason = (
        f"the weights rest on {effective:.0f} of {n_independent} independent frames (ESS {ess:.2g}), and the "
        f"second-order expansion cannot replace them: {fault}; sample stages between the potentials"
    )
    cumulant_error *= student_factor(n_independent)
    return FreeEnergyDifference(cumulant, cumulant_error, "cumulant", ess, not fault, reason if fault else "")


def _bootstrap(differences_eV: np.ndarray, temperature_K: float, n_independent: int) -> np.ndarray:
    """Direct and second-order values in eV of ``n_independent`` frames drawn again and again, (N_BOOTSTRAP, 2)."""
    rng = np.random.default_rng(0)
    # A variance takes two frames; with fewer no method is valid in any case.
    size = max(2, n_independent)
    draws = (differences_eV[rng.integers(len(differences_eV), size=size)] for _ in range(N_BOOTSTRAP))
    return np.array(
        [[free_energy_direct(one, temperature_K), free_energy_cumulant(one, temperature_K)] for one in draws]
    )


def _gaussian_fault(h: np.ndarray, n_independent: int) -> str:
    """Why h cannot be taken for Gaussian and narrow, or nothing."""
    if n_independent < MIN_GAUSSIAN_FRAMES:
        return f"it takes {MIN_GAUSSIAN_FRAMES} independent frames to tell that beta (V_k - V_0) is Gaussian"
    variance = h.var()
    if variance > MAX_VARIANCE:
        return f"the variance of beta (V_k - V_0) is {variance:.3g}, above {MAX_VARIANCE:g}"
    z = (h - h.mean()) / np.sqrt(variance)
    skewness, excess_kurtosis = np.mean(z**3), np.mean(z**4) - 3
    if n_independent * (skewness**2 / 6 + excess_kurtosis**2 / 24) > MAX_JARQUE_BERA:
        return (
            f"beta (V_k - V_0) is not Gaussian, with a skewness of {skewness:.2f} and an excess kurtosis of "
            f"{excess_kurtosis:.2f}"
        )
    return ""


@dataclass(frozen=True)
class StagedFreeEnergy:
    """Free energy of the last state above the first."""

    difference_kT: float
    error_kT: float
    """One standard deviation, if all frames are independent."""
    overlap: float
    """Smallest between neighbouring states: the chance that a frame of one looks like one of the other."""
    valid: bool
    reason: str
    """Empty where valid, or why not."""


def staged_free_energy(reduced_energies: np.ndarray, n_frames: np.ndarray) -> StagedFreeEnergy:
    """Free-energy difference over stages by MBAR (Shirts & Chodera, J. Chem. Phys. 129, 124105 (2008); pymbar).

    Where MBAR has no answer the numbers are NaN and ``reason`` tells why.

    Args:
        reduced_energies: u_kn = beta V_k of frame n in state k, shape (n_states, sum of n_frames), at least 2 states;
            the frames of the first state come first, and so on. Take independent frames, see ``decorrelate``.
        n_frames: number of frames sampled in each state, shape (n_states,).
    """
    from pymbar import MBAR
    from pymbar.utils import ConvergenceError, ParameterError

    lost = int(np.sum(~np.isfinite(reduced_energies)))
    if lost:
        return StagedFreeEnergy(np.nan, np.nan, np.nan, False, f"{lost} reduced energies are not finite")
    try:
        # States without overlap: MBAR takes roots of negative numbers, and the overlap below says the same.
        with np.errstate(invalid="ignore"):
            mbar = MBAR(reduced_energies, n_frames, initialize="BAR")
            found = mbar.compute_free_energy_differences()
            matrix = mbar.compute_overlap()["matrix"]
    # Without any overlap pymbar meets a name that it does not define.
    except (ConvergenceError, ParameterError, np.linalg.LinAlgError, NameError) as failure:
        cause = " ".join(str(failure).split())
        return StagedFreeEnergy(np.nan, np.nan, np.nan, False, f"MBAR found no free energies: {cause}")
    # Not symmetric where the states have different numbers of frames.
    neighbours = np.minimum(np.diag(matrix, 1), np.diag(matrix, -1))
    weakest = int(np.argmin(neighbours))
    overlap = float(neighbours[weakest])
    difference, error = float(found["Delta_f"][0, -1]), float(found["dDelta_f"][0, -1])
    if overlap >= MIN_OVERLAP:
        return StagedFreeEnergy(difference, error, overlap, True, "")
    # Without an error the difference is what MBAR started from.
    difference = difference if np.isfinite(error) else np.nan
    reason = f"states {weakest} and {weakest + 1} overlap by {overlap:.2g}, below {MIN_OVERLAP}: put a stage between"
    return StagedFreeEnergy(difference, error, overlap, False, reason)
