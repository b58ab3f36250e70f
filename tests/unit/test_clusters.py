"""Means over trajectories: the same numbers as a t-test where there is nothing to tell apart, and what has none."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from longhot.uncertainty.clusters import mean_interval, spread


def test_single_values_that_hardly_differ_have_the_interval_of_a_t_test() -> None:
    values = 100.0 + np.random.default_rng(0).normal(size=9)
    exact = stats.ttest_1samp(values, 0.0).confidence_interval(0.95)
    assert mean_interval(values, np.arange(9)) == pytest.approx((exact.low, exact.high), rel=1e-4)


def test_copies_within_a_cluster_tell_nothing_new() -> None:
    values = np.random.default_rng(1).lognormal(size=6)
    copies = np.repeat(values, 7), np.repeat(np.arange(6), 7)
    assert mean_interval(*copies) == pytest.approx(mean_interval(values, np.arange(6)))
    assert spread(*copies) == pytest.approx(np.log(values).std(ddof=1))


def test_the_interval_goes_with_the_unit_and_stays_positive() -> None:
    values = np.array([0.1, 0.2, 9.0])
    low, high = mean_interval(values, np.arange(3))
    assert 0 < low < values.mean() < high
    assert mean_interval(1e3 * values, np.arange(3)) == pytest.approx((1e3 * low, 1e3 * high))


@pytest.mark.parametrize(("values", "clusters"), [([1.0, 2.0], [0, 0]), ([1.0, 0.0], [0, 1]), ([], [])])
def test_one_cluster_and_errors_of_zero_have_none(values: list[float], clusters: list[int]) -> None:
    given = np.array(values), np.array(clusters)
    assert np.isnan(mean_interval(*given)).all()
    assert np.isnan(spread(*given))
