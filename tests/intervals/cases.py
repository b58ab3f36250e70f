"""Every interval and error that stands in a table, on data whose truth is known, as small as Longhot's own.

A case draws data, gives them to the estimator, and returns its 95 % interval with the truth. Where a table gives one
standard deviation, the interval is the value and 1.96 of it to either side.
"""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
from ase import units
from scipy.signal import lfilter
from scipy.stats import kendalltau

from longhot.block import InputError
from longhot.dynamics import statistics as st
from longhot.dynamics.samples import Pin, Samples
from longhot.learning import curves, strategies
from longhot.observables.melting_point import averages, interfaces, staged
from longhot.observables.melting_point.budget import required_accuracy, summary
from longhot.observables.melting_point.committees import Committee
from longhot.observables.melting_point.interfaces import Interface
from longhot.observables.melting_point.members import correction, melting_point
from longhot.observables.melting_point.phases import Phase
from longhot.observables.melting_point.result import SamplerResult, curve_through, melting_point_of
from longhot.observables.melting_point.thermodynamics import (
    Curve,
    EnthalpyDifference,
    MeltingPoint,
    crossing,
    enthalpy_difference,
)
from longhot.uncertainty import calibration, clusters
from longhot.uncertainty.reweighting import decorrelate, free_energy_difference

Interval = tuple[float, float, float]
"""Low, high, and the truth. A NaN for a bound is an open end."""
Draw = Callable[[np.random.Generator], Interval | None]
"""One repeat; None where the estimator refuses the data, and says so in its table."""
Claim = Literal["nominal", "conservative", "short"]
"""What the tables claim: 93 to 97 %, at least 93 %, or less, which they then say."""

NORMAL = 1.959964
RANGE = (0.93, 0.97)
"""Coverage of an interval that means what it says."""


@dataclass(frozen=True)
class Case:
    """An estimator in one regime."""

    estimator: str
    """Table and column."""
    regime: str
    draw: Draw
    claim: Claim = "nominal"
    where: str = ""
    """Why the coverage is not the nominal one, and where the tables say so."""
    quick: int = 300
    """Repeats of the quick check, fewer where one takes long."""


@dataclass(frozen=True)
class Coverage:
    """How often the interval held the truth."""

    n: int
    """Repeats that gave an interval."""
    n_refused: int
    share: float

    @property
    def error(self) -> float:
        """Binomial standard error of the share, at least that of the nominal one."""
        return float(np.sqrt(max(self.share * (1 - self.share), 0.05 * 0.95) / max(self.n, 1)))


def measure(case: Case, repeats: int) -> Coverage:
    """Draw a case again and again, always with the same seed."""
    rng = np.random.default_rng(zlib.crc32(f"{case.estimator} {case.regime}".encode()))
    found = [interval for _ in range(repeats) if (interval := case.draw(rng)) is not None]
    low, high, truth = np.array(found).reshape(-1, 3).T
    held = ~(truth < low) & ~(truth > high)  # an open end holds all
    return Coverage(len(found), repeats - len(found), float(held.mean()) if len(found) else np.nan)


def verdict(case: Case, found: Coverage) -> str:
    """What the coverage is, in words."""
    low, high = RANGE
    if case.claim == "nominal" and 0 < max(low - found.share, found.share - high) <= found.error:
        return f"{100 * (low if found.share < low else high):.0f} % to within the standard error"
    if found.share < low:
        return f"below {100 * low:.0f} %" + (", as the tables say" if case.claim == "short" else "")
    if found.share > high:
        return f"above {100 * high:.0f} %" + (", conservative by construction" if case.claim == "conservative" else "")
    return f"within {100 * low:.0f} to {100 * high:.0f} %"


def about(value: float, error: float, truth: float) -> Interval:
    """The interval that one standard deviation stands for."""
    return value - NORMAL * error, value + NORMAL * error, truth


# Correlated series


def ar1(rng: np.random.Generator, n: int, inefficiency: float) -> np.ndarray:
    """Stationary AR(1) of mean 0 and variance 1 with g = (1 + phi) / (1 - phi), shape (n,)."""
    phi = (inefficiency - 1) / (inefficiency + 1)
    noise = rng.normal(size=n) * np.sqrt(1 - phi**2)
    noise[0] = rng.normal()
    return lfilter([1.0], [1.0, -phi], noise)


def two_scales(rng: np.random.Generator, n: int, inefficiency: float) -> np.ndarray:
    """Half of the variance relaxes ten times faster than the other half."""
    return np.sqrt(0.5) * (ar1(rng, n, inefficiency) + ar1(rng, n, max(1.0, inefficiency / 10)))


Series = Callable[[np.random.Generator, int, float], np.ndarray]


def block_error(series: Series, n: int, n_independent: float) -> Draw:
    """Mean of a run's order parameter, energy or temperature, by ``standard_error``, where its guards let it pass."""

    def draw(rng: np.random.Generator) -> Interval | None:
        values = series(rng, n, n / n_independent)
        found = interfaces._Series.of(values)
        return None if found.fault("series") else about(found.mean, found.error, 0.0)

    return draw


def error_cases() -> Iterator[Case]:
    """Means of correlated series."""
    name = "phases, interfaces: standard errors of means"
    for n_independent in (16, 30, 100, 300):
        yield Case(name, f"AR(1), 1,500 samples worth {n_independent}", block_error(ar1, 1500, n_independent))
    for n_independent in (30, 100):
        yield Case(
            name, f"two time scales, 1,500 samples worth {n_independent}", block_error(two_scales, 1500, n_independent)
        )
    yield Case(
        name,
        "two time scales, 1,500 samples worth 8",
        block_error(two_scales, 1500, 8),
        "short",
        "a run so short cannot tell its slow motions; below 50 independent samples the column reason says so",
    )
    yield Case("observables: sampling_error", "AR(1), 600 frames worth 200", observable(600, 3.0, 0.0))
    yield Case("observables: sampling_error", "AR(1), 600 frames worth 100", observable(600, 6.0, 0.0))
    yield Case("observables: sampling_error, reweighted", "600 frames worth 200, s = 0.5", observable(600, 3.0, 0.5))
    yield Case("observables: sampling_error, reweighted", "600 frames worth 600, s = 1", observable(600, 1.0, 1.0))


def observable(n: int, inefficiency: float, s: float) -> Draw:
    """<x> of a harmonic potential, by itself (s = 0) or by one with the linear perturbation s x kT: it is -s."""

    def draw(rng: np.random.Generator) -> Interval | None:
        x = ar1(rng, n, inefficiency)
        found = None if s == 0 else free_energy_difference(s * x * KT_EV, T_K, decorrelate(x).n_independent)
        if found is not None and not found.valid:
            return None
        (mean,), (error,), _ = averages.average(x[:, None], s * x, found)
        return about(mean, error, -s)

    return draw


# Reweighting and stages

T_K = 275.0
KT_EV = units.kB * T_K


def free_energy(n: int, inefficiency: float, s: float) -> Draw:
    """Gaussian h of standard deviation s: the free energy is -s^2/2 kT."""

    def draw(rng: np.random.Generator) -> Interval | None:
        differences = s * KT_EV * ar1(rng, n, inefficiency)
        found = free_energy_difference(differences, T_K, decorrelate(differences).n_independent)
        return about(found.value_eV / KT_EV, found.error_eV / KT_EV, -(s**2) / 2) if found.valid else None

    return draw


def windows(s: float, n: int, inefficiency: float) -> Draw:
    """A linear perturbation s x kT of a harmonic potential, in stages: a window of weight w samples x about -w s."""
    lambdas = [0.0, 0.25, 0.5, 0.75, 1.0]

    def draw(rng: np.random.Generator) -> Interval | None:
        energies = []
        for weight in lambdas:
            own = 600 if weight == 0 else n
            x = ar1(rng, own, 3.0 if weight == 0 else inefficiency) - weight * s
            energies.append(KT_EV * np.array([x**2 / 2, x**2 / 2 + s * x]))
        found = staged.free_energy_of_windows(energies, lambdas, KT_EV)
        return about(found.difference_kT, found.error_kT, -(s**2) / 2) if found.valid else None

    return draw


def reweighting_cases() -> Iterator[Case]:
    """Free energies of members."""
    name = "delta_mu: sampling_error_meV, by reweighting"
    for n, g, s in (
        (600, 1.0, 0.6),
        (600, 3.0, 0.6),
        (600, 3.0, 1.0),
        (250, 1.0, 0.6),
        (250, 1.0, 1.5),
        (600, 1.0, 1.2),
    ):
        yield Case(name, f"{n} frames worth {n / g:.0f}, s = {s:g}", free_energy(n, g, s), quick=100)
    yield Case(
        name,
        "600 frames worth 100, s = 1",
        free_energy(600, 6.0, 1.0),
        "short",
        "few of such runs pass the guards, those that flatter themselves; the column reason says so",
        quick=100,
    )
    name = "delta_mu: sampling_error_meV, staged"
    yield Case(name, "4 windows of 160 frames worth 40, s = 3", windows(3.0, 160, 4.0), quick=60)
    careful = "the factor is that of the shortest window alone"
    yield Case(name, "4 windows of 32 frames worth 16, s = 2", windows(2.0, 32, 2.0), "conservative", careful, quick=60)


# Learning curves

SIZES = np.array([5, 10, 20, 40])
SLOPE = -0.6
FIT_NOISE = 0.05
"""Of log10 of the error: 12 %, what two seeds of the default study differ by."""


def slope(n_seeds: int, nested: float, own_slopes: float = 0.0) -> Draw:
    """Power laws with a level for each seed, noise of each fit, and noise that nested subsets share.

    Args:
        n_seeds: number of seeds.
        nested: share of the variance that goes on from subset to subset, as a running mean does.
        own_slopes: standard deviation of the slopes over seeds.
    """
    x = np.log10(SIZES)
    shared = np.linalg.cholesky(np.sqrt(np.minimum.outer(SIZES, SIZES) / np.maximum.outer(SIZES, SIZES)))

    def draw(rng: np.random.Generator) -> Interval | None:
        own, going_on = rng.normal(size=(2, n_seeds, len(x)))
        noise = FIT_NOISE * (np.sqrt(1 - nested) * own + np.sqrt(nested) * going_on @ shared.T)
        level, steep = rng.normal(size=(2, n_seeds, 1)) * np.array([FIT_NOISE, own_slopes])[:, None, None]
        y = 2 + level + (SLOPE + steep) * (x - x.mean()) + noise
        low, high, _ = curves.slope_interval(
            np.tile(SIZES, n_seeds), 10 ** y.ravel(), np.repeat(np.arange(n_seeds), len(x))
        )
        return low, high, SLOPE

    return draw


def slope_cases() -> Iterator[Case]:
    """Slopes of learning curves."""
    name = "learning_curve_slopes: slope_ci_low, slope_ci_high"
    careful = "one or two seeds: noise is taken to go on through nested subsets; interval_from says what it is from"
    for n_seeds, seeds in ((1, "1 seed"), (2, "2 seeds")):
        yield Case(name, f"{seeds}, 4 sizes, noise of nested subsets", slope(n_seeds, 1.0))
        yield Case(name, f"{seeds}, 4 sizes, noise of each fit", slope(n_seeds, 0.0), "conservative", careful)
    yield Case(name, "2 seeds, 4 sizes, both", slope(2, 0.5), "conservative", careful)
    for n_seeds in (3, 5):
        yield Case(name, f"{n_seeds} seeds, 4 sizes, noise of each fit", slope(n_seeds, 0.0))
        yield Case(name, f"{n_seeds} seeds, 4 sizes, noise of nested subsets", slope(n_seeds, 1.0))
        yield Case(name, f"{n_seeds} seeds, 4 sizes, both, own slopes of 0.1", slope(n_seeds, 0.5, 0.1))
    yield Case(name, "2 seeds, 4 sizes, both, own slopes of 0.1", slope(2, 0.5, 0.1))


# Survival

END_PS = 20.0


def lifetimes(
    rng: np.random.Generator, n: int, survival: float, cut_off: float, shape: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """Weibull lifetimes of which a share is cut off early: durations in ps and whether each failed."""
    lives = END_PS * (rng.exponential(size=n) / -np.log(survival)) ** (1 / shape)
    ends = np.where(rng.random(n) < cut_off, rng.uniform(0, END_PS, n), END_PS)
    return np.minimum(lives, ends), lives < ends


def survival_at_end(n: int, survival: float, cut_off: float = 0.0) -> Draw:
    """Survival to the longest time simulated."""

    def draw(rng: np.random.Generator) -> Interval | None:
        durations, failures = lifetimes(rng, n, survival, cut_off)
        end = st.kaplan_meier(durations, failures).iloc[-1]
        return end["ci_low"], end["ci_high"], survival ** (durations.max() / END_PS)

    return draw


def survival_of_fits(n: int, own: float, other: float, of_these: bool) -> Draw:
    """Two fits of unlike survival: that of these fits, or of one more fit that is like the first or the second."""

    def draw(rng: np.random.Generator) -> Interval | None:
        both = [lifetimes(rng, n // 2, survival, 0.0) for survival in (own, other)]
        durations, failures = (np.concatenate(one) for one in zip(*both, strict=True))
        end = st.kaplan_meier(durations, failures).iloc[-1]
        truth = (own + other) / 2 if of_these else rng.choice([own, other])
        return end["ci_low"], end["ci_high"], truth

    return draw


def median(n: int, survival: float, cut_off: float = 0.0) -> Draw:
    """Median survival; an end that is not reached is open."""

    def draw(rng: np.random.Generator) -> Interval | None:
        _, low, high = st.median_survival_ps(st.kaplan_meier(*lifetimes(rng, n, survival, cut_off)))
        return low, high, END_PS * np.log(0.5) / np.log(survival)

    return draw


def failure_rate(n: int, survival: float, shape: float = 1.0) -> Draw:
    """Failures per ns; of lifetimes without a constant rate, the expected failures over the expected time."""
    grid = (np.arange(4000) + 0.5) / 4000
    expected_ps = END_PS * float(np.mean(survival ** (grid**shape)))
    truth = st.PS_PER_NS * (1 - survival) / expected_ps

    def draw(rng: np.random.Generator) -> Interval | None:
        durations, failures = lifetimes(rng, n, survival, 0.0, shape)
        _, low, high = st.failure_rate_per_ns(int(failures.sum()), float(durations.sum()))
        return low, high, truth

    return draw


EXACT = "exact for discrete outcomes, and so conservative by construction"


def survival_cases() -> Iterator[Case]:
    """Survival, median and failure rate."""
    name = "survival: ci_low, ci_high"
    for n, survival in ((4, 0.8), (8, 0.5), (8, 0.05), (16, 0.95)):
        yield Case(name, f"{n} replicas, survival {survival:g}", survival_at_end(n, survival), "conservative", EXACT)
    for n, survival in ((8, 0.2), (16, 0.2), (16, 0.8)):
        regime = f"{n} replicas, half cut off early, survival {survival:g}"
        yield Case(name, regime, survival_at_end(n, survival, 0.5), "conservative", EXACT)
    unlike = "2 fits of 8 replicas, survival 0.9 and 0.2"
    yield Case(name, f"{unlike}: of these fits", survival_of_fits(16, 0.9, 0.2, True), "conservative", EXACT)
    yield Case(
        name,
        f"{unlike}: of another fit",
        survival_of_fits(16, 0.9, 0.2, False),
        "short",
        "the interval is of these fits; the report's reservations and the column seeds_p_value say where fits differ",
    )
    name = "survival: median_ci_low_ps, median_ci_high_ps"
    for n, cut_off in ((8, 0.0), (16, 0.0), (16, 0.5)):
        regime = f"{n} replicas, survival 0.2" + (", half cut off early" if cut_off else "")
        yield Case(name, regime, median(n, 0.2, cut_off), "conservative", EXACT)
    name = "survival: failure_rate_ci_low, failure_rate_ci_high"
    for n, survival in itertools.product((4, 8, 16), (0.9, 0.3)):
        yield Case(name, f"{n} replicas, survival {survival:g}", failure_rate(n, survival), "conservative", EXACT)
    regime = "8 replicas, survival 0.3, a rate that"
    yield Case(name, f"{regime} grows with time", failure_rate(8, 0.3, 2.0), "conservative", EXACT)
    yield Case(
        name,
        f"{regime} falls with time",
        failure_rate(8, 0.3, 0.5),
        "short",
        "the interval is that of a constant rate, as its heading says; the curve of survival shows where it is not",
    )


# Robustness


def recheck(n: int, between: float, within: float) -> Draw:
    """Log-normal errors of frames of trajectories that last for 2 to 10 of them."""

    def draw(rng: np.random.Generator) -> Interval | None:
        counts = rng.integers(2, 11, n)
        logs = np.repeat(between * rng.normal(size=n), counts) + within * rng.normal(size=counts.sum())
        low, high = clusters.mean_interval(np.exp(logs), np.repeat(np.arange(n), counts))
        return low, high, float(np.exp((between**2 + within**2) / 2))

    return draw


def rank_points(n: int, correlation: float) -> Draw:
    """Normal pairs, of which tau is known; without the permutations of the p-value, which would take all the time."""

    def draw(rng: np.random.Generator) -> Interval | None:
        x, other = rng.normal(size=(2, n))
        y = correlation * x + np.sqrt(1 - correlation**2) * other
        low, high, _ = st._bootstrap_interval(st._pair_sums(x, y, np.arange(n)))
        return None if np.isnan(low) else (low, high, 2 / np.pi * float(np.arcsin(correlation)))

    return draw


def clustered_frames(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Spread and error of ten frames of each trajectory, with parts that a whole trajectory shares."""
    shared, own = rng.normal(size=(2, n, 1)), rng.normal(size=(2, n, 10))
    x = shared[0] + own[0]
    return x.ravel(), (0.5 * x + 0.7 * shared[1] + 0.8 * own[1]).ravel(), np.repeat(np.arange(n), 10)


@cache
def mean_tau(n: int) -> float:
    """Of ``clustered_frames``; it depends a little on n, by the pairs within a trajectory."""
    rng = np.random.default_rng(0)
    return float(np.mean([kendalltau(*clustered_frames(rng, n)[:2]).statistic for _ in range(1000)]))


def rank_clusters(n: int) -> Draw:
    """Tau of the frames of n trajectories."""

    def draw(rng: np.random.Generator) -> Interval | None:
        found = st.rank_agreement(*clustered_frames(rng, n))
        return None if np.isnan(found.ci_low) else (found.ci_low, found.ci_high, mean_tau(n))

    return draw


def robustness_cases() -> Iterator[Case]:
    """Errors on frames of MD, and orders."""
    name = "robustness: md_ci_low, md_ci_high"
    for n, between in ((4, 0.3), (8, 0.3), (16, 0.3), (16, 0.5), (8, 0.6), (16, 0.6)):
        yield Case(name, f"{n} trajectories that differ by {between:g} in ln", recheck(n, between, 0.4))
    yield Case(
        name,
        "8 trajectories that differ by 1 in ln",
        recheck(8, 1.0, 0.5),
        "short",
        "the largest errors decide, and few are seen; the column reason says so",
    )
    name = "rank_agreement: ci_low, ci_high"
    few = "few points; discrete, and [-1, 1] at the smallest numbers"
    for n, correlation in ((6, 0.5), (12, 0.8)):
        yield Case(
            name,
            f"{n} fits, tau {2 / np.pi * np.arcsin(correlation):.2f}",
            rank_points(n, correlation),
            "conservative",
            few,
        )
    for n in (8, 16):
        yield Case(name, f"{n} trajectories of 10 frames", rank_clusters(n))


# Active learning


def paired_ratio(n_seeds: int) -> Draw:
    """Ln of a ratio of errors, of scatter over seeds that is partly common to both strategies."""

    def draw(rng: np.random.Generator) -> Interval | None:
        own, baseline = 0.5 * rng.normal(size=n_seeds) + 0.15 * rng.normal(size=(2, n_seeds))
        return *strategies.paired(own - baseline + np.log(0.8))[1:3], np.log(0.8)

    return draw


def paired_survival(n_seeds: int, n_replicas: int, own: float, other: float) -> Draw:
    """Difference of the shares of replicas that survive; none where it is the same for all seeds."""

    def draw(rng: np.random.Generator) -> Interval | None:
        first, second = rng.binomial(n_replicas, [[own], [other]], size=(2, n_seeds)) / n_replicas
        low, high = strategies.paired(first - second)[1:3]
        return None if np.isnan(low) else (low, high, own - other)

    return draw


def strategy_cases() -> Iterator[Case]:
    """Active learning against random choice."""
    name = "active_learning_comparison: ci_low, ci_high"
    for n_seeds in (2, 3, 5):
        yield Case(name, f"ratio of errors, {n_seeds} seeds", paired_ratio(n_seeds))
    for n_seeds in (3, 5):
        regime = f"difference of survival, {n_seeds} seeds of 8 replicas"
        yield Case(name, regime, paired_survival(n_seeds, 8, 0.9, 0.6), "conservative", "shares of eight are discrete")


# Committees

N_MEMBERS = 4


def alpha(n_frames: int, true_alpha: float) -> Draw:
    """Energies of members that are spread about a mean, which is off the truth by ``true_alpha`` of their spread."""

    def draw(rng: np.random.Generator) -> Interval | None:
        size = np.exp(0.5 * rng.normal(size=n_frames))
        members = size * rng.normal(size=(N_MEMBERS, n_frames))
        errors = true_alpha * size * rng.normal(size=n_frames) - members.mean(axis=0)
        ones = np.ones(n_frames)
        values = calibration.Values(errors, members.std(axis=0, ddof=1), ones, np.arange(n_frames))
        return *calibration.calibration_interval(values, N_MEMBERS), true_alpha

    return draw


def alpha_of_forces(n_frames: int, n_atoms: int, shared: float) -> Draw:
    """Forces by atom: a part of the size of errors and spreads goes with the frame, and one of the ratio too."""

    def draw(rng: np.random.Generator) -> Interval | None:
        scale = np.exp(shared * rng.normal(size=(n_frames, 1, 1)) - shared**2)
        members = rng.normal(size=(N_MEMBERS, n_frames, n_atoms, 3))
        errors = np.sqrt(1 + 1 / N_MEMBERS) * scale * rng.normal(size=(n_frames, n_atoms, 3))
        spreads = np.repeat(np.sqrt(members.var(axis=0, ddof=1).mean(axis=-1)).ravel(), 3)
        frames = np.repeat(np.arange(n_frames), 3 * n_atoms)
        values = calibration.Values(errors.ravel(), spreads, np.full(errors.size, 3.0), frames)
        return *calibration.calibration_interval(values, N_MEMBERS), 1.0

    return draw


def committee(points_K: np.ndarray, mae: float = 5.0, **calibrated: float) -> Committee:
    """Members that differ in nothing but their melting points."""
    points = {seed: (MeltingPoint(one, 0.03, ENTROPY, True, ""), "reweighting") for seed, one in enumerate(points_K)}
    row = {"quantity": "energy_meV_per_atom", "scope": "holdout", "reason": "", **calibrated}
    maes = [mae] * len(points_K)
    sampler = SamplerResult([], [], None, None, "", MeltingPoint(T_MELT_K, 1.0, ENTROPY, True, ""))
    return Committee("m", 1, sampler, {}, points, {}, {}, {"calibration": [row], "force_mae_meV_per_A": maes})


def committee_point(n_frames: int, true_alpha: float, two_sigma: bool) -> Draw:
    """The truth is off the members' centre by alpha times their spread; alpha is fitted on as many frames."""

    def draw(rng: np.random.Generator) -> Interval | None:
        errors = rng.standard_t(N_MEMBERS - 1, n_frames) * np.sqrt(true_alpha**2 + 1 / N_MEMBERS)
        values = calibration.Values(errors, np.ones(n_frames), np.ones(n_frames), np.arange(n_frames))
        try:
            factor = calibration.calibration_factor(values.errors, values.spreads, N_MEMBERS)
        except InputError:
            return None
        low, high = calibration.calibration_interval(values, N_MEMBERS)
        points = T_MELT_K + rng.normal(size=N_MEMBERS)
        truth = T_MELT_K + true_alpha * rng.normal()
        one = committee(points, alpha=factor, alpha_ci_low=low, alpha_ci_high=high)
        row = summary(one, MeltingPoint(truth, 1.0, ENTROPY, True, ""))
        if two_sigma:
            return (-1.0, 1.0, 0.0) if row["covered_2sigma"] else (1.0, 2.0, 0.0)
        return row["ci_low_K"], row["ci_high_K"], truth

    return draw


def accuracy(n_committees: int, shared: float, known: bool = True, n_members: int = N_MEMBERS) -> Draw:
    """Errors of T_m in proportion to the force errors, of which a share of the variance is common to a committee."""
    ratio = 0.2

    def draw(rng: np.random.Generator) -> Interval | None:
        made = []
        for mae in 20 / 2 ** np.arange(n_committees):
            off = np.sqrt(shared) * rng.normal() + np.sqrt(1 - shared) * rng.normal(size=n_members)
            made.append(committee(T_MELT_K + ratio * mae * off, mae))
        row = required_accuracy(made, MeltingPoint(T_MELT_K, 1.0, ENTROPY, known, ""), 2.0)
        return row["ci_low"], row["ci_high"], 2.0 / ratio

    return draw


def committee_cases() -> Iterator[Case]:
    """Calibration, melting points of committees, and the force error that a precision asks for."""
    name = "calibration: alpha_ci_low, alpha_ci_high"
    for n_frames, value in ((40, 1.0), (40, 2.0), (75, 1.0)):
        yield Case(
            name, f"energies of {n_frames} frames, 4 members, alpha {value:g}", alpha(n_frames, value), quick=150
        )
    yield Case(name, "forces of 40 frames of 20 atoms, 4 members", alpha_of_forces(40, 20, 0.2))
    name = "melting_point_summary: ci_low_K, ci_high_K"
    for n_frames, value in ((40, 1.0), (75, 2.0)):
        regime = f"4 members, alpha {value:g} from {n_frames} frames"
        yield Case(name, regime, committee_point(n_frames, value, False))
        yield Case(
            "melting_point_summary: covered_2sigma",
            regime,
            committee_point(n_frames, value, True),
            "short",
            "two standard deviations over four members; the heading of the column says so, and the interval beside it "
            "is by Student's t",
        )
    name = "required_accuracy: ci_low, ci_high"
    yield Case(name, "4 members, independent", accuracy(1, 0.0))
    yield Case(name, "2 sizes of 4 members, independent", accuracy(2, 0.0))
    yield Case(name, "2 sizes of 4 members, without a reference", accuracy(2, 0.0, known=False))
    yield Case(name, "2 sizes of 4 members, 30 % shared", accuracy(2, 0.3))
    yield Case(name, "4 members, 60 % shared", accuracy(1, 0.6))
    yield Case(
        name,
        "8 members, 60 % shared",
        accuracy(1, 0.6, n_members=8),
        "short",
        "members that are off as one are little more than one number; where it shows, the column reason says so",
    )


# Melting points

ENTROPY = 0.2
T_MELT_K = 274.0
SLOPE_MEV = ENTROPY
"""d(mu_s - mu_l)/dT at the melting point in meV/K."""
N_MOLECULES = 96
BULK_K = (260.0, 275.0, 290.0)
HEAT_MEV_PER_K = -0.05
"""Of h_s - h_l."""


def true_enthalpy(t: float) -> float:
    """h_s - h_l in meV."""
    return -ENTROPY * T_MELT_K + HEAT_MEV_PER_K * (t - T_MELT_K)


TRUE_CURVE = Curve(
    T_MELT_K,
    0.0,
    0.0,
    EnthalpyDifference(T_MELT_K, true_enthalpy(T_MELT_K), HEAT_MEV_PER_K, 0.0, 0.0, BULK_K),
)


def phase(
    rng: np.random.Generator, name: str, t: float, n: int, inefficiency: float, spread_meV: float, per_frame: int = 1
) -> Phase:
    """A run whose enthalpy fluctuates about the true one."""
    mean = true_enthalpy(t) if name == "solid" else 0.0
    energy = 1e-3 * N_MOLECULES * (mean + spread_meV * ar1(rng, n, inefficiency))
    frames = np.arange(0, n, per_frame)
    samples = Samples(
        time_ps=0.1 * np.arange(n),
        energy_eV=energy,
        temperature_K=np.full(n, t),
        cell_A=np.broadcast_to(np.eye(3), (n, 3, 3)),
        order_parameter=np.zeros(n),
        frame_sample=frames,
        positions_A=np.broadcast_to(0.0, (len(frames), N_MOLECULES, 3)),
        numbers=np.full(N_MOLECULES, 8),
        masses_amu=np.full(N_MOLECULES, 18.0),
    )
    g = decorrelate(energy).statistical_inefficiency
    return Phase(name, t, samples, g, 1.0, True, "")


def interface(rng: np.random.Generator, t: float, n: int, n_independent: float) -> Interface | None:
    """A pinned run about the order parameter that the true curve asks for."""
    pin, solid, liquid, n_molecules = Pin(6.6, 0.17), 12.4, 0.8, 384
    slope_meV = interfaces.delta_mu_meV(pin.anchor + 1, pin, solid, liquid, n_molecules)
    found = interfaces._Series.of(pin.anchor + TRUE_CURVE(t) / slope_meV + 0.5 * ar1(rng, n, n / n_independent))
    value = interfaces.delta_mu_meV(found.mean, pin, solid, liquid, n_molecules)
    fault = found.fault("order parameter")
    return Interface(
        "pinning", "c", t, n_molecules, 1.0, found.mean, found.error, solid, liquid, pin.anchor, value,
        abs(slope_meV) * found.error, not fault, fault,
    )  # fmt: skip


def sampler_point(n_independent: float) -> Draw:
    """T_m by pinning at two temperatures and Gibbs-Helmholtz integration from bulk runs at three."""

    def draw(rng: np.random.Generator) -> Interval | None:
        bulk = [phase(rng, name, t, 1500, 15.0, 2.0) for name in ("solid", "liquid") for t in BULK_K]
        pinned = [interface(rng, t, 1500, n_independent) for t in (275.0, 285.0)]
        point = melting_point_of(*curve_through(pinned, enthalpy_difference(bulk, 0.0)))
        return about(point.temperature_K, point.error_K, T_MELT_K) if point.valid else None

    return draw


def member_point(s: float, inefficiency: float) -> Draw:
    """T_m of a member by reweighting both phases at three temperatures: h is Gaussian, of standard deviation s."""
    shift_meV = 0.4
    truth_K = crossing(lambda t: TRUE_CURVE(t) + shift_meV, lambda t: 0.0, T_MELT_K, BULK_K).temperature_K

    def draw(rng: np.random.Generator) -> Interval | None:
        found = []
        for t in BULK_K:
            kT = units.kB * t
            runs = [phase(rng, name, t, 600, inefficiency, 2.0) for name in ("solid", "liquid")]
            own = [
                run.samples.energy_eV + kT * (s * ar1(rng, 600, inefficiency) + s**2 / 2) + constant
                for run, constant in zip(runs, (1e-3 * N_MOLECULES * shift_meV, 0.0), strict=True)
            ]
            found.append(correction(0, *runs, *own, 0.0))
        point, _ = melting_point(TRUE_CURVE, found)
        return about(point.temperature_K, point.error_K, truth_K) if point.valid else None

    return draw


def melting_point_cases() -> Iterator[Case]:
    """Melting points of sampler and members."""
    name = "melting_point: sampling_error_K, by pinning"
    for n_independent in (20, 60):
        regime = f"2 pinned runs worth {n_independent}, 6 bulk runs worth 100"
        yield Case(name, regime, sampler_point(n_independent), quick=120)
    name = "melting_point: sampling_error_K, of a member by reweighting"
    yield Case(name, "3 temperatures, 600 frames worth 200, s = 0.6", member_point(0.6, 3.0), quick=50)


def cases() -> list[Case]:
    """All of them."""
    families = (
        slope_cases,
        survival_cases,
        robustness_cases,
        strategy_cases,
        error_cases,
        reweighting_cases,
        committee_cases,
        melting_point_cases,
    )
    return [case for family in families for case in family()]
