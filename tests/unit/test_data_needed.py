"""The number of frames that a target asks for: power laws whose answer is known."""

import numpy as np
import pytest

from longhot.report.data_needed import data_needed

SIZES = np.array([5, 10, 20, 40])
PREFACTOR, SLOPE = 60.0, -0.6  # the error is 60 meV/A at 20 frames and falls as N^-0.6


def law(sizes: np.ndarray) -> np.ndarray:
    return PREFACTOR * (sizes / 20) ** SLOPE


def frames_at(target: float) -> float:
    return 20 * (target / PREFACTOR) ** (1 / SLOPE)


@pytest.mark.parametrize("target", [80.0, 30.0, 10.0])
def test_power_law_without_noise_gives_its_own_answer(target: float) -> None:
    found = data_needed(SIZES, law(SIZES), np.zeros(4), target)
    assert found.frames == pytest.approx(frames_at(target))
    assert found.low == pytest.approx(found.high) == pytest.approx(found.frames)
    assert found.is_extrapolated == (frames_at(target) > 80)


@pytest.mark.parametrize(
    ("n_seeds", "offset", "lowest", "highest"),
    [(1, 0.0, 0.93, 0.97), (2, 0.0, 0.93, 0.98), (2, 0.04, 0.93, 0.985), (4, 0.08, 0.93, 1.0)],
)
def test_interval_covers_the_truth_as_often_as_it_says(
    n_seeds: int, offset: float, lowest: float, highest: float
) -> None:
    """1,000 noisy curves; ``offset``: how far the seeds' whole curves scatter, beside 0.04 of every fit."""
    rng = np.random.default_rng(0)
    sizes, seeds = np.tile(SIZES, n_seeds), np.repeat(np.arange(n_seeds), len(SIZES))
    covered = []
    for _ in range(1000):
        noise = rng.normal(0, 0.04, len(sizes)) + rng.normal(0, offset, n_seeds)[seeds]
        found = data_needed(sizes, law(sizes) * 10**noise, seeds, 30.0)
        if np.isfinite(found.frames):
            covered.append(found.low <= frames_at(30.0) <= found.high)
    assert len(covered) > 980
    assert lowest <= np.mean(covered) <= highest


def test_a_slope_that_may_be_zero_gives_no_number() -> None:
    rng = np.random.default_rng(1)
    refused = [
        "not surely below 0" in data_needed(SIZES, 50 * 10 ** rng.normal(0, 0.05, 4), np.zeros(4), 20.0).reason
        for _ in range(400)
    ]
    # A slope of 0 looks like a falling one in 2.5 % of cases.
    assert 0.95 <= np.mean(refused) < 1
    rising = data_needed(SIZES, law(SIZES)[::-1], np.zeros(4), 20.0)
    assert "not surely below 0" in rising.reason
    assert np.isnan(rising.frames)


def test_the_interval_is_wider_further_out_and_for_a_curve_that_bends() -> None:
    wobble = 1 + 0.05 * np.array([1, -1, -1, 1])
    near, far = (data_needed(SIZES, law(SIZES) * wobble, np.zeros(4), target) for target in (60.0, 20.0))
    straight = data_needed(SIZES, law(SIZES) * (1 + 0.01 * np.array([1, -1, -1, 1])), np.zeros(4), 20.0)
    assert far.high / far.low > 1.5 * near.high / near.low
    assert far.high / far.low > 1.5 * straight.high / straight.low


def test_too_few_sizes_or_too_far_give_no_number() -> None:
    assert "fewer than 3" in data_needed(SIZES[:2], law(SIZES[:2]), np.zeros(2), 30.0).reason
    assert "fewer than 3" in data_needed(SIZES, np.array([1.0, 2.0, np.nan, 0.0]), np.zeros(4), 30.0).reason
    assert "too far" in data_needed(SIZES, law(SIZES), np.zeros(4), 1.0).reason
    assert "fewer than 3" in data_needed(np.array([]), np.array([]), np.array([]), 1.0).reason
