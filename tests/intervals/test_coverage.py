"""The tables' intervals hold the truth as often as they claim: few repeats here, all by ``make intervals``."""

from __future__ import annotations

import numpy as np
import pytest
from cases import RANGE, Case, Coverage, cases, measure, verdict

STANDARD_ERRORS = 3.0
"""By chance further out in 1 of 370 cases; the draws are seeded, so a case passes always or never."""


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("case", cases(), ids=lambda case: f"{case.estimator}, {case.regime}")
def test_intervals_hold_the_truth_as_often_as_they_claim(case: Case) -> None:
    found = measure(case, case.quick)
    off = STANDARD_ERRORS * found.error
    if case.claim == "short":
        assert case.where
        assert found.share < RANGE[0] + off
        return
    assert found.n > 0.3 * case.quick, "most runs of a regime give an interval"
    assert found.share > RANGE[0] - off
    if case.claim == "nominal":
        assert found.share < RANGE[1] + off


def test_every_estimator_has_a_regime_in_which_it_means_what_it_says() -> None:
    sound = {case.estimator for case in cases() if case.claim != "short"}
    assert {case.estimator for case in cases()} - sound == {"melting_point_summary: covered_2sigma"}


def test_the_check_finds_an_interval_that_is_too_narrow() -> None:
    """Normal quantiles for the mean of four numbers hold it in 85 %."""

    def draw(rng: np.random.Generator) -> tuple[float, float, float]:
        values = rng.normal(size=4)
        width = 1.96 * values.std(ddof=1) / 2
        return values.mean() - width, values.mean() + width, 0.0

    case = Case("normal", "4 numbers", draw)
    found = measure(case, 1000)
    assert found.share < RANGE[0] - STANDARD_ERRORS * found.error
    assert verdict(case, found) == "below 93 %"


def test_an_open_end_holds_and_a_refusal_does_not_count() -> None:
    turns = iter([(np.nan, 1.0, 0.0), None, (2.0, np.nan, 0.0), (-1.0, np.nan, 0.0)])
    found = measure(Case("open", "ends", lambda rng: next(turns)), 4)
    assert (found.n, found.n_refused, found.share) == (3, 1, pytest.approx(2 / 3))


@pytest.mark.parametrize(
    ("claim", "share", "said"),
    [
        ("nominal", 0.95, "within 93 to 97 %"),
        ("nominal", 0.975, "97 % to within the standard error"),
        ("nominal", 0.98, "above 97 %"),
        ("conservative", 0.98, "above 97 %, conservative by construction"),
        ("nominal", 0.925, "93 % to within the standard error"),
        ("nominal", 0.92, "below 93 %"),
        ("short", 0.9, "below 93 %, as the tables say"),
    ],
)
def test_verdicts(claim: str, share: float, said: str) -> None:
    case = Case("some", "data", lambda rng: None, claim)  # type: ignore[arg-type]
    assert verdict(case, Coverage(1000, 0, share)) == said
