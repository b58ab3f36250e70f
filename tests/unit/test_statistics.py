"""Statistics against textbook numbers, numbers worked out by hand, and independent ways to the same answer."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.stats import binomtest, kendalltau, poisson

from longhot.dynamics import statistics as st

# Remission in weeks of leukaemia under 6-MP and placebo (Freireich 1963), the example of most textbooks.
TREATED = np.array([6, 6, 6, 7, 10, 13, 16, 22, 23, 6, 9, 10, 11, 17, 19, 20, 25, 32, 32, 34, 35], dtype=float)
TREATED_FAILED = np.arange(21) < 9
PLACEBO = np.array([1, 1, 2, 2, 3, 4, 4, 5, 5, 8, 8, 8, 8, 11, 11, 12, 12, 15, 17, 22, 23], dtype=float)


def lifetimes(rng: np.random.Generator, rate_per_ns: float, n: int, end_ps: float) -> tuple[np.ndarray, np.ndarray]:
    """Exponential lifetimes that are cut off at the end: durations in ps, and whether each failed."""
    drawn = rng.exponential(st.PS_PER_NS / rate_per_ns, n)
    return np.minimum(drawn, end_ps), drawn < end_ps


# Kaplan-Meier


def test_kaplan_meier_with_censoring_by_hand() -> None:
    """Failures at 1, 2, 2 and 5 ps, censored at 3 and 6 ps.

    At risk 6, 5, 2: survival 5/6, 5/6 * 3/5 = 1/2, 1/2 * 1/2 = 1/4. At 5 ps the upper bound is the quantile of
    Beta(6, 1) Beta(4, 2) Beta(2, 1), the lower one of that and Beta(1, 1), of the one still alive.
    """
    durations = np.array([1.0, 2.0, 2.0, 3.0, 5.0, 6.0])
    curve = st.kaplan_meier(durations, np.array([True, True, True, False, True, False])).set_index("time_ps")
    np.testing.assert_allclose(curve["survival"], [1, 5 / 6, 1 / 2, 1 / 2, 1 / 4, 1 / 4])
    draws = np.random.default_rng(0).beta([6, 4, 2, 1], [1, 2, 1, 1], size=(400_000, 4))
    assert curve.loc[5, "ci_low"] == pytest.approx(np.quantile(draws.prod(axis=1), 0.025), abs=0.003)
    assert curve.loc[5, "ci_high"] == pytest.approx(np.quantile(draws[:, :3].prod(axis=1), 0.975), abs=0.01)


@pytest.mark.parametrize("n_failed", range(1, 9))
def test_interval_is_that_of_clopper_and_pearson_where_nothing_is_cut_off_early(n_failed: int) -> None:
    durations = np.where(np.arange(9) < n_failed, 1.0 + np.arange(9), 20.0)
    end = st.kaplan_meier(durations, np.arange(9) < n_failed).iloc[-1]
    exact = binomtest(9 - n_failed, 9).proportion_ci(0.95, method="exact")
    assert (end["ci_low"], end["ci_high"]) == pytest.approx((exact.low, exact.high))


def test_kaplan_meier_of_the_textbook() -> None:
    curve = st.kaplan_meier(TREATED, TREATED_FAILED).set_index("time_ps")["survival"]
    np.testing.assert_allclose(
        curve.loc[[6, 7, 10, 13, 16, 22, 23]], [0.857, 0.807, 0.753, 0.690, 0.627, 0.538, 0.448], atol=5e-4
    )


def test_interval_is_binomial_where_all_or_none_live() -> None:
    none_failed = st.kaplan_meier(np.full(8, 10.0), np.zeros(8, dtype=bool)).iloc[-1]
    assert (none_failed["survival"], none_failed["ci_high"]) == (1.0, 1.0)
    assert none_failed["ci_low"] == pytest.approx(0.025 ** (1 / 8))
    all_failed = st.kaplan_meier(np.arange(1.0, 9.0), np.ones(8, dtype=bool)).iloc[-1]
    assert all_failed["survival"] == pytest.approx(0.0, abs=1e-12)
    assert all_failed["ci_low"] == 0.0
    assert all_failed["ci_high"] == pytest.approx(1 - 0.025 ** (1 / 8))


def test_median_of_the_textbook() -> None:
    """Half of those treated relapse within 23 weeks, of the others within 8."""
    median, low, high = st.median_survival_ps(st.kaplan_meier(TREATED, TREATED_FAILED))
    assert (median, low) == (23, 13)
    assert np.isnan(high)
    assert st.median_survival_ps(st.kaplan_meier(PLACEBO, np.ones(21, dtype=bool))) == (8, 4, 12)


def test_median_that_is_not_reached_has_no_upper_bound() -> None:
    median, low, high = st.median_survival_ps(st.kaplan_meier(np.full(8, 10.0), np.arange(8) < 1))
    assert np.isnan(median)
    assert np.isnan(high)
    assert low == 10.0, "the interval of the survival first reaches 1/2 where it ends"


# Failure rate


def test_garwood_interval_inverts_the_poisson_distribution() -> None:
    """At each bound, as many failures or more (fewer) have the chance 2.5 %."""
    rate, low, high = st.failure_rate_per_ns(5, 2000.0)
    assert rate == 2.5
    assert poisson.sf(4, low * 2) == pytest.approx(0.025)
    assert poisson.cdf(5, high * 2) == pytest.approx(0.025)


def test_no_failure_leaves_an_upper_bound() -> None:
    assert st.failure_rate_per_ns(0, 500.0) == pytest.approx((0.0, 0.0, -np.log(0.025) / 0.5))


def test_failures_in_no_time_are_infinitely_many_per_ns() -> None:
    rate, low, high = st.failure_rate_per_ns(3, 0.0)
    assert rate == np.inf
    assert np.isnan([low, high]).all()
    assert np.isnan(st.failure_rate_per_ns(0, 0.0)[0])


# Log-rank test


def test_log_rank_of_the_textbook() -> None:
    """9 of the treated relapse where 19.25 would, were both alike: chi-squared 16.79 (Kleinbaum and Klein)."""
    test = st.log_rank(TREATED, TREATED_FAILED, PLACEBO, np.ones(21, dtype=bool))
    assert test.statistic == pytest.approx(16.79, abs=0.005)
    assert test.p_value == pytest.approx(4.17e-5, rel=0.01)
    assert test.reason == ""


def test_log_rank_of_several_groups() -> None:
    """Of two groups it is the test of two; a third of the same kind as the first is told apart from the second too."""
    durations, is_failure = (
        np.concatenate([TREATED, PLACEBO]),
        np.concatenate([TREATED_FAILED, np.ones(21, dtype=bool)]),
    )
    two = np.repeat([0, 1], 21)
    assert st.log_rank_of_groups(durations, is_failure, two) == pytest.approx(4.17e-5, rel=0.01)
    three = np.where(np.arange(42) < 10, 2, two)
    assert st.log_rank_of_groups(durations, is_failure, three) < 0.001
    mixed = np.random.default_rng(11).permutation(three)
    assert st.log_rank_of_groups(durations, is_failure, mixed) > 0.05
    assert np.isnan(st.log_rank_of_groups(durations, is_failure, np.zeros(42)))
    assert np.isnan(st.log_rank_of_groups(durations, np.zeros(42, dtype=bool), two))


def observed_minus_expected(durations: np.ndarray, is_failure: np.ndarray, first: np.ndarray) -> float:
    """Failures in the first group beyond those expected if both were alike: the log-rank sum, written out."""
    total = 0.0
    for time in np.unique(durations[is_failure]):
        at_risk, now = durations >= time, (durations == time) & is_failure
        total += (now & first).sum() - now.sum() * (at_risk & first).sum() / at_risk.sum()
    return total


def test_log_rank_agrees_with_a_permutation_test() -> None:
    rng = np.random.default_rng(3)
    own, other = lifetimes(rng, 300.0, 16, 10.0), lifetimes(rng, 120.0, 16, 10.0)
    test = st.log_rank(*own, *other)
    durations, is_failure = (np.concatenate(pair) for pair in zip(own, other, strict=True))
    first = np.arange(32) < 16
    truth = abs(observed_minus_expected(durations, is_failure, first))
    draws = [abs(observed_minus_expected(durations, is_failure, rng.permutation(first))) for _ in range(4000)]
    share = np.mean(np.array(draws) >= truth - 1e-9)
    assert 0.005 < share < 0.2, "a case that can tell"
    assert test.p_value == pytest.approx(share, abs=0.015)
    assert test.p_value_from == "chi-squared"


def test_small_groups_are_tested_over_all_splits() -> None:
    """With ties between and within the groups, and trajectories that are cut off."""
    durations = np.array([1.0, 2.0, 2.0, 6.0, 2.0, 5.0, 7.0, 10.0, 10.0])
    is_failure = np.array([True, True, True, True, True, True, False, False, False])
    test = st.log_rank(durations[:4], is_failure[:4], durations[4:], is_failure[4:])
    sums = [
        abs(observed_minus_expected(durations, is_failure, np.isin(np.arange(9), split)))
        for split in itertools.combinations(range(9), 4)
    ]
    assert test.p_value == pytest.approx(np.mean(np.array(sums) >= sums[0] - 1e-9))
    assert test.p_value_from == "all 126 splits"


def test_the_clearest_difference_of_small_groups_is_as_likely_as_the_number_of_splits_says() -> None:
    """All of 8 fail and none of 8 others: 2 of C(16, 8) splits."""
    test = st.log_rank(np.arange(1.0, 9.0), np.ones(8, dtype=bool), np.full(8, 10.0), np.zeros(8, dtype=bool))
    assert test.p_value == pytest.approx(2 / 12870)


def test_log_rank_is_symmetric_and_sees_the_order_of_times_only() -> None:
    rng = np.random.default_rng(4)
    own, other = lifetimes(rng, 300.0, 10, 10.0), lifetimes(rng, 100.0, 12, 10.0)
    forth, back = st.log_rank(*own, *other), st.log_rank(*other, *own)
    assert forth.statistic == pytest.approx(back.statistic)
    stretched = st.log_rank(own[0] ** 3, own[1], other[0] ** 3, other[1])
    assert forth.statistic == pytest.approx(stretched.statistic)


def test_log_rank_without_failures_or_with_one_small_group_says_so() -> None:
    quiet, failed = np.zeros(8, dtype=bool), np.ones(3, dtype=bool)
    none = st.log_rank(np.full(8, 10.0), quiet, np.full(8, 10.0), quiet)
    assert np.isnan([none.statistic, none.p_value]).all()
    assert none.reason == st.NOTHING_FAILED
    many = np.full(80, 10.0)
    few = st.log_rank(np.arange(1.0, 4.0), failed, many, np.zeros(80, dtype=bool))
    assert few.p_value < 0.05
    assert "rough" in few.reason


def test_log_rank_of_like_groups_raises_few_alarms() -> None:
    rng = np.random.default_rng(5)
    p_values = [
        st.log_rank(*lifetimes(rng, 100.0, 12, 10.0), *lifetimes(rng, 100.0, 12, 10.0)).p_value for _ in range(250)
    ]
    assert 0.02 <= np.mean(np.array(p_values) < 0.05) <= 0.09
    assert 0.4 <= np.mean(np.array(p_values) < 0.5) <= 0.6


def test_holm_holds_the_rate_of_families_with_a_false_alarm() -> None:
    families = np.random.default_rng(5).uniform(size=(4000, 6))
    assert (families.min(axis=1) < 0.05).mean() > 0.2, "without it one family in four has an alarm"
    assert np.mean([st.holm(family).min() < 0.05 for family in families]) == pytest.approx(0.05, abs=0.012)


def test_holm_by_hand() -> None:
    """Holm's steps: 4 * 0.01, 3 * 0.015, then 2 * 0.02 raised to the step before, and 0.9."""
    p_values = np.array([0.015, np.nan, 0.9, 0.01, 0.02])
    np.testing.assert_allclose(st.holm(p_values), [0.045, np.nan, 0.9, 0.04, 0.045])
    np.testing.assert_allclose(st.holm(np.array([0.6, 0.7])), [1.0, 1.0])


# Rank agreement


@pytest.mark.parametrize(("y", "tau"), [([1, 2, 3, 4, 5], 1.0), ([5, 4, 3, 2, 1], -1.0), ([2, 1, 3, 4, 5], 0.8)])
def test_tau_of_known_orders(y: list[float], tau: float) -> None:
    found = st.rank_agreement(np.arange(5.0), np.array(y, dtype=float))
    assert found.kendall_tau == pytest.approx(tau)
    assert found.n_points == 5
    if abs(tau) == 1:
        assert np.isnan([found.ci_low, found.ci_high]).all()
        assert found.reason == st.NO_WIDTH
        assert found.p_value == pytest.approx(2 / 120), "2 of all 5! orders agree as much"


@pytest.mark.parametrize("n_points", [6, 30])
def test_tau_and_p_value_agree_with_scipy(n_points: int) -> None:
    rng = np.random.default_rng(6)
    x = rng.normal(size=n_points)
    y = 0.4 * x + rng.normal(size=n_points)
    found, scipy = st.rank_agreement(x, y), kendalltau(x, y, method="exact")
    assert found.kendall_tau == pytest.approx(scipy.statistic)
    assert found.p_value == pytest.approx(scipy.pvalue, abs=1e-12 if n_points == 6 else 0.02)


def test_tau_with_ties_agrees_with_scipy() -> None:
    """Most fits fail never, at the rate 0: ties count as in tau-b, and infinity is the largest."""
    x, y = np.array([5.0, 3.0, 3.0, 2.0, 1.0, 0.5, 0.1]), np.array([np.inf, 40.0, 0.0, 0.0, 0.0, 0.0, 0.0])
    found = st.rank_agreement(x, y)
    assert found.kendall_tau == pytest.approx(kendalltau(x, np.array([99.0, *y[1:]])).statistic)
    assert np.isfinite([found.ci_low, found.ci_high]).all()
    # By hand: every two fits could be those that failed, and the pairs that they make with the others count.
    scores = []
    for worst, second in itertools.permutations(range(7), 2):
        order = np.zeros(7)
        order[worst], order[second] = 2, 1
        scores.append(sum(np.sign(x[i] - x[j]) * np.sign(order[i] - order[j]) for i in range(7) for j in range(i)))
    assert found.p_value == pytest.approx(np.mean(np.abs(scores) >= abs(scores[0])))


def test_tau_sees_orders_only() -> None:
    rng = np.random.default_rng(7)
    x = rng.uniform(1, 2, 12)
    y = x + rng.normal(scale=0.3, size=12)
    assert st.rank_agreement(x, y) == st.rank_agreement(np.log(x), y**3)
    turned = st.rank_agreement(-x, y)
    assert turned.kendall_tau == pytest.approx(-st.rank_agreement(x, y).kendall_tau)


@pytest.mark.parametrize(
    ("x", "y", "reason"), [([1, 2, 3], [1, 2, 3], st.TOO_FEW_POINTS), ([1, 2, 3, 4], [0] * 4, st.ALL_TIED)]
)
def test_no_tau_has_a_reason(x: list[float], y: list[float], reason: str) -> None:
    found = st.rank_agreement(np.array(x, dtype=float), np.array(y, dtype=float))
    assert np.isnan([found.kendall_tau, found.ci_low, found.ci_high, found.p_value]).all()
    assert found.reason == reason


def test_weights_are_copies() -> None:
    """The bootstrap weighs points where it could copy them; both must give scipy's tau of the copies."""
    rng = np.random.default_rng(9)
    x, y = rng.integers(0, 6, 10).astype(float), rng.integers(0, 6, 10).astype(float)
    weights = rng.multinomial(10, np.full(10, 0.1), size=5)
    found = st._tau_b(st._pair_sums(x, y, np.arange(10)), weights)
    copies = [np.repeat(np.arange(10), one) for one in weights]
    np.testing.assert_allclose(found, [kendalltau(x[one], y[one]).statistic for one in copies])


def test_copied_frames_do_not_narrow_the_interval_of_clusters() -> None:
    """Each trajectory's frames copied five times tell nothing new; taken as independent they would."""
    rng = np.random.default_rng(10)
    x = rng.normal(size=16)
    y = x + rng.normal(size=16)
    one = st.rank_agreement(x, y, np.arange(16))
    copies = [np.repeat(values, 5) for values in (x, y, np.arange(16))]
    many = st.rank_agreement(*copies)
    assert many.kendall_tau == pytest.approx(one.kendall_tau)
    assert (many.ci_low, many.ci_high) == pytest.approx((one.ci_low, one.ci_high))
    naive = st.rank_agreement(*copies[:2], np.arange(80))
    assert naive.ci_high - naive.ci_low < 0.7 * (one.ci_high - one.ci_low)
    assert np.isnan(one.p_value)
    assert one.reason == st.DEPENDENT_POINTS


def test_too_few_trajectories_give_a_tau_without_interval() -> None:
    found = st.rank_agreement(np.arange(6.0), np.array([0.0, 2, 1, 3, 5, 4]), np.array([0, 0, 0, 1, 1, 2]))
    assert found.kendall_tau == pytest.approx(11 / 15)
    assert np.isnan(found.ci_low)
    assert found.reason.startswith(st.TOO_FEW_CLUSTERS)


def test_interval_over_trajectories_is_the_jackknife_written_out() -> None:
    rng = np.random.default_rng(12)
    clusters = np.repeat(np.arange(6), 4)
    x = np.repeat(rng.normal(size=6), 4) + rng.normal(size=24)
    y = x + rng.normal(size=24)
    tau = kendalltau(x, y).statistic
    without = np.array([kendalltau(x[clusters != one], y[clusters != one]).statistic for one in range(6)])
    error = np.sqrt(5 / 6 * ((without - without.mean()) ** 2).sum()) / (1 - tau**2)
    found = st.rank_agreement(x, y, clusters)
    expected = np.tanh(np.arctanh(tau) + np.array([-1, 1]) * 2.570582 * error)
    assert (found.ci_low, found.ci_high) == pytest.approx(tuple(expected), rel=1e-5)
