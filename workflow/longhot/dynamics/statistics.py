"""Statistics of survival and of orders: intervals, tests and rank correlations, each from plain arrays.

All intervals are at 95 %. Those of counts (survival, median, failure rate) are exact ones, which cover the truth in
95 % of cases or more: outcomes are discrete, and no interval can hit 95 % for all true values. A number that the data
cannot give is NaN, and ``reason`` says why.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from longhot.uncertainty.clusters import jackknife_error

if TYPE_CHECKING:
    import pandas as pd

ALPHA = 0.05
PS_PER_NS = 1000.0
FEWEST_TRAJECTORIES = 8
"""In smaller groups only the grossest differences can show, and the chi-squared law of the log-rank test is rough."""
MOST_SPLITS = 20_000
"""Two groups that can be parted anew in at most so many ways (8 and 8 can in 12,870) are tested exactly."""
FEWEST_POINTS = 4
"""Three points stand in the same or the reversed order by chance in 1 case of 3."""
N_BOOTSTRAP = 2000
N_PERMUTATIONS = 9999
MOST_POINTS_WITH_ALL_PERMUTATIONS = 7

NOTHING_FAILED = "nothing failed in either group"
NO_TIME = "every trajectory that was run failed at once, so there is no rate"
NO_TURN = "not run: the time limit came before the first step, so there is no rate"
TOO_FEW_POINTS = f"fewer than {FEWEST_POINTS} points"
ALL_TIED = "all values of one side are equal"
TOO_FEW_CLUSTERS = f"no interval: fewer than {FEWEST_POINTS} trajectories"
NO_WIDTH = "no interval: the order is the same in every draw of the bootstrap"
DEPENDENT_POINTS = "no p-value: frames of one trajectory are not independent"


def kaplan_meier(durations_ps: np.ndarray, is_failure: np.ndarray) -> pd.DataFrame:
    """Kaplan-Meier estimate of the share of trajectories that live beyond each time.

    The 95 % interval is the beta product one (Fay, Brittain and Proschan, Biostatistics 14, 723 (2013); by moments),
    which holds its level with few trajectories and heavy censoring, where Greenwood's variance on the log-log scale
    covers the truth in as little as 85 %. Where nothing is cut off early it is the exact binomial one (Clopper and
    Pearson 1934). A trajectory that was cut off at a time is taken to live then.

    Args:
        durations_ps: failure time, or time simulated where there was no failure; shape (n_trajectories,).
        is_failure: shape (n_trajectories,).

    Returns:
        Columns time_ps, survival, ci_low, ci_high; from time 0 on, a row where something ended.
    """
    import pandas as pd

    times = np.unique([0.0, *durations_ps])
    at_risk = (durations_ps >= times[:, None]).sum(axis=1)
    alive = at_risk - ((durations_ps == times[:, None]) & is_failure).sum(axis=1)
    # Rounded, for a product of shares may miss 1/2 or 0 by the last bit.
    survival = np.cumprod(alive / at_risk).round(12)
    low, high = _beta_product(at_risk, alive)
    return pd.DataFrame({"time_ps": times, "survival": survival, "ci_low": low, "ci_high": high})


def _beta_product(at_risk: np.ndarray, alive: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper bounds of the survival at each time, each of shape (n_times,).

    Where d of Y at risk fail, the share of those that live on is beyond Beta(Y - d + 1, d) of the failures before; the
    upper bound is of the product of these, the lower one of that and the Beta(Y, 1) of the failure that comes next. A
    product of betas is taken for the beta of its first two moments, which it is where nothing is cut off.

    Args:
        at_risk: just before each time, shape (n_times,).
        alive: those of them that do not fail then, shape (n_times,).
    """
    from scipy.stats import beta

    first = np.cumprod((alive + 1) / (at_risk + 1))
    second = np.cumprod((alive + 1) * (alive + 2) / ((at_risk + 1) * (at_risk + 2)))
    next_first, next_second = first * alive / (alive + 1), second * alive / (alive + 2)
    with np.errstate(invalid="ignore", divide="ignore"):
        low = beta.ppf(ALPHA / 2, *_of_moments(next_first, next_second))
        high = beta.ppf(1 - ALPHA / 2, *_of_moments(first, second))
    # Without a survivor, or a failure so far, there is nothing to multiply.
    return np.where(alive == 0, 0.0, low), np.where(np.cumsum(at_risk - alive) == 0, 1.0, high)


def _of_moments(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Parameters of the beta distributions with these first and second moments."""
    both = (first - second) / (second - first**2)
    return first * both, (1 - first) * both


def median_survival_ps(curve: pd.DataFrame) -> tuple[float, float, float]:
    """Time in ps at which half of the trajectories have failed, and its 95 % interval.

    The interval holds the times at which that of the survival holds 1/2 (Brookmeyer and Crowley 1982).
    A bound that is not reached is NaN: the median, or its upper bound, is then beyond the time simulated.

    Args:
        curve: from ``kaplan_meier``.
    """
    median, low, high = (_first_time(curve, name) for name in ("survival", "ci_low", "ci_high"))
    return median, low, high


def _first_time(curve: pd.DataFrame, column: str) -> float:
    """Time of the first row at which a column is down to 1/2, NaN where it never is."""
    below = curve.loc[curve[column] <= 0.5, "time_ps"]
    return float(below.iloc[0]) if len(below) else np.nan


def failure_rate_per_ns(n_failed: int, simulated_ps: float) -> tuple[float, float, float]:
    """Failures per ns of simulated time, with the exact Poisson interval (Garwood 1936).

    With no failure the lower bound is 0 and the upper one -ln(0.025) over the time. The interval takes the rate to be
    constant in time: where it falls, as it does where bad starts fail at once, it covers the truth in some 90 % of
    cases. With failures but no time simulated the rate is infinite and has no interval.

    Args:
        n_failed: number of failures.
        simulated_ps: time of all trajectories together, those that failed included.
    """
    from scipy.stats import chi2

    if simulated_ps == 0:
        return (np.inf if n_failed else np.nan), np.nan, np.nan
    low = chi2.ppf(ALPHA / 2, 2 * n_failed) / 2 if n_failed else 0.0
    high = chi2.ppf(1 - ALPHA / 2, 2 * n_failed + 2) / 2
    scale = PS_PER_NS / simulated_ps
    return n_failed * scale, float(low) * scale, float(high) * scale


@dataclass(frozen=True)
class LogRank:
    """Result of a log-rank test."""

    statistic: float
    p_value: float
    p_value_from: str
    reason: str


def log_rank(
    durations_ps: np.ndarray, is_failure: np.ndarray, against_ps: np.ndarray, against_is_failure: np.ndarray
) -> LogRank:
    """Log-rank test of whether two groups of trajectories fail alike (Mantel 1966; lifelines), two-sided.

    The chi-squared law of the statistic calls differences between small groups too sure, so for these the
    p-value is the share of all ways to part the trajectories anew in which the groups differ as much. That
    takes both groups to be cut off alike, as those of one protocol are.

    Args:
        durations_ps: failure time, or time simulated where there was no failure; shape (n_trajectories,).
        is_failure: shape (n_trajectories,).
        against_ps: the same of the other group, shape (n_others,).
        against_is_failure: shape (n_others,).
    """
    from lifelines.statistics import logrank_test

    if not (is_failure.any() or against_is_failure.any()):
        return LogRank(np.nan, np.nan, "", NOTHING_FAILED)
    result = logrank_test(durations_ps, against_ps, is_failure, against_is_failure)
    n_own, n_all = len(durations_ps), len(durations_ps) + len(against_ps)
    n_splits = math.comb(n_all, n_own)
    if n_splits <= MOST_SPLITS:
        excess = _failures_beyond_expected(
            np.concatenate([durations_ps, against_ps]), np.concatenate([is_failure, against_is_failure])
        )
        splits = np.array(list(itertools.combinations(range(n_all), n_own)))  # (n_splits, n_own)
        # Rounded, so that ties stay ties.
        differences = np.abs(excess[splits].sum(axis=1)).round(9)
        p_value = float(np.mean(differences >= differences[0]))
        return LogRank(float(result.test_statistic), p_value, f"all {n_splits} splits", "")
    rough = min(n_own, n_all - n_own) < FEWEST_TRAJECTORIES
    reason = "the p-value is rough, one group is small" if rough else ""
    return LogRank(float(result.test_statistic), float(result.p_value), "chi-squared", reason)


def log_rank_of_groups(durations_ps: np.ndarray, is_failure: np.ndarray, groups: np.ndarray) -> float:
    """P-value of the log-rank test of whether several groups fail alike; NaN for one group, or if nothing failed.

    Args:
        durations_ps: failure time, or time simulated where there was no failure; shape (n_trajectories,).
        is_failure: shape (n_trajectories,).
        groups: label of the group of each trajectory, shape (n_trajectories,).
    """
    from lifelines.statistics import multivariate_logrank_test

    labels = np.unique(groups)
    if len(labels) == 1 or not is_failure.any():
        return np.nan
    if len(labels) == 2:
        own = groups == labels[0]
        return log_rank(durations_ps[own], is_failure[own], durations_ps[~own], is_failure[~own]).p_value
    return float(multivariate_logrank_test(durations_ps, groups, is_failure).p_value)


def _failures_beyond_expected(durations_ps: np.ndarray, is_failure: np.ndarray) -> np.ndarray:
    """Whether each trajectory failed, less its expected failures by the cumulative hazard of all (Nelson and Aalen).

    Summed over a group, these are its observed minus its expected failures, the numerator of the log-rank test.
    """
    times = np.unique(durations_ps[is_failure])
    at_risk = (durations_ps[:, None] >= times).sum(axis=0)
    failures = (is_failure[:, None] & (durations_ps[:, None] == times)).sum(axis=0)
    hazard = np.where(times <= durations_ps[:, None], failures / at_risk, 0).sum(axis=1)
    return is_failure - hazard


def holm(p_values: np.ndarray) -> np.ndarray:
    """P-values adjusted for their number, so that the chance of any false alarm stays below the level (Holm 1979).

    Args:
        p_values: shape (n_tests,); NaN where there was no test, which then does not count.
    """
    adjusted = np.full(len(p_values), np.nan)
    tested = np.flatnonzero(~np.isnan(p_values))
    order = tested[np.argsort(p_values[tested], kind="stable")]
    factors = np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(factors * p_values[order]))
    return adjusted


@dataclass(frozen=True)
class RankAgreement:
    """How far two orders of the same points agree: Kendall's tau-b, 1 alike, -1 reversed, 0 unrelated."""

    n_points: int
    kendall_tau: float
    ci_low: float
    ci_high: float
    p_value: float
    reason: str


def rank_agreement(x: np.ndarray, y: np.ndarray, clusters: np.ndarray | None = None) -> RankAgreement:
    """Kendall's tau-b between two quantities, with a bootstrap interval and a permutation p-value.

    The interval of independent points is the percentile one over draws of them; draws in which one side is all
    tied have no tau and are left out. There is none where every draw gives the same tau. It covers the truth in 95 %
    of cases or more, in nearly all of them where there are fewer than 8 points. Where points within a cluster depend
    on each other the bootstrap falls short, so there it is Student's t on arctanh(tau), with the scatter of leaving
    out each cluster (the jackknife; Long and Cliff, Br. J. Math. Stat. Psychol. 50, 31 (1997)).

    The p-value (two-sided) is the share of orders of y that agree or disagree as much as the true one: over all
    orders of few points, over random ones of more. It counts ties as they are. Clustered points have none.

    Args:
        x: shape (n_points,); infinity is larger than any number.
        y: shape (n_points,), the same.
        clusters: label of the cluster of each point, shape (n_points,); None where points are independent.
    """
    n_points = len(x)
    if n_points < FEWEST_POINTS:
        return RankAgreement(n_points, np.nan, np.nan, np.nan, np.nan, TOO_FEW_POINTS)
    names = np.arange(n_points) if clusters is None else clusters
    sums = _pair_sums(_ranks(x), _ranks(y), names)
    tau = float(_tau_b(sums, np.ones((1, sums.shape[1])))[0])
    if np.isnan(tau):
        return RankAgreement(n_points, np.nan, np.nan, np.nan, np.nan, ALL_TIED)
    if clusters is not None:
        low, high, reason = _jackknife_interval(sums, tau)
        return RankAgreement(n_points, tau, low, high, np.nan, "; ".join(filter(None, [reason, DEPENDENT_POINTS])))
    low, high, reason = _bootstrap_interval(sums)
    return RankAgreement(n_points, tau, low, high, _permutation_p_value(_ranks(x), _ranks(y)), reason)


def _ranks(values: np.ndarray) -> np.ndarray:
    """Dense ranks, so that differences of infinite values have a sign; shape (n_points,)."""
    return np.unique(values, return_inverse=True)[1]


def _pair_sums(x: np.ndarray, y: np.ndarray, clusters: np.ndarray) -> np.ndarray:
    """Sums over the pairs of points of each pair of clusters, shape (3, n_clusters, n_clusters).

    The three are: concordant minus discordant pairs, pairs that differ in x, and pairs that differ in y.
    """
    _, labels = np.unique(clusters, return_inverse=True)
    n_clusters = labels.max() + 1
    member = (labels[:, None] == np.arange(n_clusters)).astype(float)  # (n_points, n_clusters)
    sums = np.empty((3, n_clusters, n_clusters))
    for cluster in range(n_clusters):
        own = labels == cluster
        signs_x = np.sign(x[own][:, None] - x)  # (n_own, n_points)
        signs_y = np.sign(y[own][:, None] - y)
        for place, values in enumerate((signs_x * signs_y, signs_x**2, signs_y**2)):
            sums[place, cluster] = values.sum(axis=0) @ member
    return sums


def _tau_b(sums: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Tau-b with each cluster counted as often as its weight, NaN where a side is all tied; shape (n_draws,).

    A point drawn twice is tied with its copy on both sides, and such pairs count nowhere.

    Args:
        sums: from ``_pair_sums``.
        weights: shape (n_draws, n_clusters).
    """
    agree, differ_x, differ_y = (((weights @ one) * weights).sum(axis=1) for one in sums)
    with np.errstate(invalid="ignore"):
        return agree / np.sqrt(differ_x * differ_y)


def _bootstrap_interval(sums: np.ndarray) -> tuple[float, float, str]:
    """Percentile bootstrap interval of tau over points, and why there is none."""
    n_points = sums.shape[1]
    rng = np.random.default_rng(0)
    weights = rng.multinomial(n_points, np.full(n_points, 1 / n_points), size=N_BOOTSTRAP)
    low, high = np.nanquantile(_tau_b(sums, weights), [ALPHA / 2, 1 - ALPHA / 2])
    if high - low < 1e-12:
        return np.nan, np.nan, NO_WIDTH
    return float(low), float(high), ""


def _jackknife_interval(sums: np.ndarray, tau: float) -> tuple[float, float, str]:
    """Interval of tau from its values without each cluster, and why there is none."""
    from scipy.stats import t

    n_clusters = sums.shape[1]
    if n_clusters < FEWEST_POINTS:
        return np.nan, np.nan, TOO_FEW_CLUSTERS
    without = _tau_b(sums, 1 - np.eye(n_clusters))
    error = jackknife_error(without[np.isfinite(without)])
    if error < 1e-12 or abs(tau) == 1:
        return np.nan, np.nan, NO_WIDTH
    width = t.ppf(1 - ALPHA / 2, n_clusters - 1) * error / (1 - tau**2)
    return float(np.tanh(np.arctanh(tau) - width)), float(np.tanh(np.arctanh(tau) + width)), ""


def _permutation_p_value(x: np.ndarray, y: np.ndarray) -> float:
    """Share of the orders of y whose pairs agree or disagree with x at least as much; the true order is one of them."""
    n_points = len(x)
    signs_x, signs_y = (np.sign(values[:, None] - values) for values in (x, y))
    if n_points <= MOST_POINTS_WITH_ALL_PERMUTATIONS:
        orders = [np.array(order) for order in itertools.permutations(range(n_points))]
    else:
        rng = np.random.default_rng(0)
        orders = [np.arange(n_points), *(rng.permutation(n_points) for _ in range(N_PERMUTATIONS))]
    agreements = np.array([np.sum(signs_x * signs_y[np.ix_(order, order)]) for order in orders])
    return float(np.mean(np.abs(agreements) >= abs(np.sum(signs_x * signs_y))))
