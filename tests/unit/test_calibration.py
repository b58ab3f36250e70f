"""Calibration of committees: Gaussian data of known scale, scores against closed forms and integrals."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

from longhot.block import InputError
from longhot.uncertainty import calibration
from longhot.uncertainty.calibration import CommitteePrediction, calibration_factor, calibration_rows, scores

SIZES = (2, 5, 3)  # atoms of the frames, in turn
ROW_KEYS = {
    "scope",
    "quantity",
    "alpha",
    "alpha_ci_low",
    "alpha_ci_high",
    "alpha_of_scope",
    "n_members",
    "n_frames",
    "n_values",
    "reason",
}
ROW_KEYS |= {
    f"{score}_{spread}" for score in ("nll", "crps", "miscalibration_area", "ence") for spread in ("raw", "calibrated")
}


def committee(alpha: float, n_members: int, n_values: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Errors and spreads where the reference scatters alpha times as far about the truth as the members do."""
    rng = np.random.default_rng(seed)
    scale = rng.uniform(0.5, 2.0, n_values)
    members = scale * rng.normal(size=(n_members, n_values))
    reference = alpha * scale * rng.normal(size=n_values)
    return reference - members.mean(axis=0), members.std(axis=0, ddof=1)


def predicted(alpha: float, n_members: int, n_frames: int, seed: int = 0) -> CommitteePrediction:
    """Energies that scatter by 10 meV an atom and forces by 0.1 eV/A, the reference alpha times as far."""
    rng = np.random.default_rng(seed)
    sizes = np.resize(SIZES, n_frames)
    level = -1000.0 * sizes
    return CommitteePrediction(
        level + 0.01 * sizes * rng.normal(size=(n_members, n_frames)),
        level + alpha * 0.01 * sizes * rng.normal(size=n_frames),
        [0.1 * rng.normal(size=(n_members, size, 3)) for size in sizes],
        [0.1 * alpha * rng.normal(size=(size, 3)) for size in sizes],
    )


@pytest.mark.parametrize("alpha", [0.5, 1.0, 3.0])
@pytest.mark.parametrize(
    # z^2 of 4 members has no finite variance: 2 million values, and still 3 %.
    ("n_members", "n_values", "tolerance"),
    [(4, 2_000_000, 0.03), (6, 500_000, 0.02), (16, 200_000, 0.01)],
)
def test_the_factor_of_gaussian_members_is_recovered(
    alpha: float, n_members: int, n_values: int, tolerance: float
) -> None:
    errors, spreads = committee(alpha, n_members, n_values)
    assert calibration_factor(errors, spreads, n_members) == pytest.approx(alpha, rel=tolerance)


def test_four_members_need_the_correction() -> None:
    """Without it alpha would be sqrt(3 (1 + 1/4)) = 1.94 instead of 1, for 16 members still 1.11."""
    errors, spreads = committee(1.0, 4, 2_000_000)
    assert np.sqrt(np.mean((errors / spreads) ** 2)) == pytest.approx(np.sqrt(3.75), rel=0.03)
    errors, spreads = committee(1.0, 16, 200_000)
    assert np.sqrt(np.mean((errors / spreads) ** 2)) == pytest.approx(np.sqrt(15 / 13 * 17 / 16), rel=0.01)


def test_the_factor_by_hand() -> None:
    """z^2 = 9 and 1: -1/5 + (2/4) 5 = 2.3; pooled over 3 components (10/12) 5 - 1/5."""
    errors, spreads = np.array([3.0, -2.0]), np.array([1.0, 2.0])
    assert calibration_factor(errors, spreads, 5) == pytest.approx(np.sqrt(2.3))
    assert calibration_factor(errors, spreads, 5, np.array([3, 3])) == pytest.approx(np.sqrt(50 / 12 - 0.2))


@pytest.mark.parametrize("spread", [calibration.atom_force_values, calibration.frame_force_values])
def test_spreads_over_several_components_need_less_correction(spread: calibration.Pooling) -> None:
    """Four members: as the spread of single numbers, that of an atom would give an alpha 36 % too small."""
    values = spread(predicted(1.5, 4, 6000))
    corrected = calibration_factor(values.errors, values.spreads, 4, values.n_components)
    assert corrected == pytest.approx(1.5, rel=0.02)
    assert calibration_factor(values.errors, values.spreads, 4) < 0.7 * 1.5


@pytest.mark.parametrize(("alpha", "observed_below"), [(3.0, True), (0.4, False)])
def test_wrong_confidence_is_seen_and_mended(alpha: float, observed_below: bool) -> None:
    errors, spreads = committee(alpha, 64, 20_000)
    factor = calibration_factor(errors, spreads, 64)
    assert (factor > 1) == (alpha > 1)
    raw, calibrated = scores(errors, spreads), scores(errors, factor * spreads)
    assert calibrated.miscalibration_area < 0.2 * raw.miscalibration_area
    assert calibrated.ence < 0.3 * raw.ence
    assert calibrated.nll < raw.nll
    assert calibrated.crps < raw.crps
    expected, observed = calibration.reliability(errors, spreads)
    assert np.all((observed < expected)[1:-1] == observed_below)
    expected, observed = calibration.reliability(errors, factor * spreads)
    np.testing.assert_allclose(observed, expected, atol=0.04)


def test_three_members_are_refused() -> None:
    with pytest.raises(InputError, match=r"3 members, but the correction .* needs at least 4: fit more seeds"):
        calibration_factor(np.ones(5), np.ones(5), 3)


@pytest.mark.parametrize(
    ("errors", "spreads", "message"),
    [
        ([], [], "no values"),
        ([1.0, np.nan, 2.0], [1.0, 1.0, np.inf], "2 of 3 values are not finite, leave failed frames out"),
        ([1.0, 1.0], [0.0, 1.0], "agree exactly on 1 of 2 values"),
    ],
)
def test_values_without_an_answer_say_so(errors: list[float], spreads: list[float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        calibration_factor(np.array(errors), np.array(spreads), 8)
    with pytest.raises(InputError, match=message):
        scores(np.array(errors), np.array(spreads))


def test_errors_below_those_of_the_mean_have_no_factor() -> None:
    with pytest.raises(InputError, match="no factor exists"):
        calibration_factor(np.full(10, 1e-3), np.ones(10), 8)


def normal_values(n_values: int) -> np.ndarray:
    """Standard normal numbers without noise: the quantiles at the midpoints of equal probabilities."""
    return norm.ppf((np.arange(n_values) + 0.5) / n_values)


def test_scores_of_perfect_predictions() -> None:
    """NLL = ln(2 pi e)/2 and CRPS = 1/sqrt(pi) for z and spreads of one, no miscalibration."""
    errors = np.random.default_rng(0).permutation(normal_values(100_000))
    found = scores(errors, np.ones(100_000))
    assert found.nll == pytest.approx(np.log(2 * np.pi * np.e) / 2, abs=1e-4)
    assert found.crps == pytest.approx(1 / np.sqrt(np.pi), abs=1e-4)
    assert found.miscalibration_area < 1e-4
    assert found.ence < 3 * 0.56 / np.sqrt(10_000)


@pytest.mark.parametrize(("error", "spread"), [(0.0, 1.0), (0.7, 0.3), (-4.0, 2.5)])
def test_crps_is_its_integral(error: float, spread: float) -> None:
    """Integral of (F(x) - step(x - y))^2, in two halves for the step."""
    below = quad(lambda x: norm.cdf(x / spread) ** 2, -40, error)[0]
    above = quad(lambda x: norm.sf(x / spread) ** 2, error, 40)[0]
    assert scores(np.array([error]), np.array([spread])).crps == pytest.approx(below + above, rel=1e-6)


def test_other_units_change_no_share() -> None:
    errors, spreads = committee(2.0, 8, 1000)
    found, scaled = scores(errors, spreads), scores(1e3 * errors, 1e3 * spreads)
    assert scaled.miscalibration_area == pytest.approx(found.miscalibration_area)
    assert scaled.ence == pytest.approx(found.ence)
    assert scaled.crps == pytest.approx(1e3 * found.crps)
    assert scaled.nll == pytest.approx(found.nll + np.log(1e3))
    assert calibration_factor(1e3 * errors, 1e3 * spreads, 8) == pytest.approx(calibration_factor(errors, spreads, 8))


def test_ence_by_hand() -> None:
    """Two bins of 20: spreads 1 with errors 2, and spreads 4 with errors 3, so the mean of 1 and 1/4."""
    order = np.random.default_rng(0).permutation(40)
    errors, spreads = np.repeat([2.0, -3.0], 20)[order], np.repeat([1.0, 4.0], 20)[order]
    assert calibration.ence(errors, spreads) == pytest.approx(0.625)
    assert calibration.ence(errors[:3], spreads[:3]) == pytest.approx(
        abs(1 - np.sqrt(np.sum(errors[:3] ** 2) / np.sum(spreads[:3] ** 2)))
    )


def test_reliability_by_hand() -> None:
    """|z| of 0.5, 1, 2 and 3 within the quartiles' 0.674 and within infinity."""
    expected, observed = calibration.reliability(np.array([0.5, -2.0, 4.0, -6.0]), np.array([1.0, 2.0, 2.0, 2.0]), 3)
    np.testing.assert_allclose(expected, [0.0, 0.5, 1.0])
    np.testing.assert_allclose(observed, [0.0, 0.25, 1.0])


def test_atom_spreads_by_hand() -> None:
    """Two members: one atom differs by 2 in x alone, the other by 3, 6 and 6 (variances 4.5, 18, 18)."""
    forces = np.array([[[1.0, 5.0, 5.0], [0.0, 0.0, 0.0]], [[3.0, 5.0, 5.0], [3.0, 6.0, -6.0]]])
    np.testing.assert_allclose(calibration.atom_spreads(forces), np.sqrt([2 / 3, 13.5]))


def by_ids(rows: list[dict]) -> dict[tuple[str, str], dict]:
    return {(row["scope"], row["quantity"]): row for row in rows}


def test_rows_of_a_committee_that_is_sure_of_itself_and_worse_in_its_own_dynamics() -> None:
    rows, levels = calibration_rows(predicted(2.0, 16, 1200), predicted(5.0, 16, 300, seed=1))
    table = by_ids(rows)
    assert len(rows) == len(table) == 6
    for (scope, quantity), row in table.items():
        assert set(row) == ROW_KEYS
        assert row["reason"] == ""
        assert row["alpha"] == table["holdout", quantity]["alpha"] == pytest.approx(2.0, rel=0.1)
        assert 0.8 * row["alpha"] < row["alpha_ci_low"] < row["alpha"] < row["alpha_ci_high"] < 1.25 * row["alpha"]
        assert row["alpha_of_scope"] == pytest.approx(2.0 if scope == "holdout" else 5.0, rel=0.1)
        assert (row["n_members"], row["n_frames"]) == (16, 600 if scope == "holdout" else 300)
        energies = quantity == "energy_meV_per_atom"
        assert row["n_values"] == row["n_frames"] * (1 if energies else 10)  # 10/3 atoms a frame
        assert row["nll_calibrated"] < row["nll_raw"]
        assert row["crps_calibrated"] < row["crps_raw"]
        # Gaussians of 20 or 200 meV: CRPS of a perfect prediction is 0.56 of the standard deviation.
        unit = (10.0 if energies else 100.0) * row["alpha_of_scope"] / np.sqrt(np.pi)
        assert row["crps_calibrated"] == pytest.approx(unit, rel=0.2)
    assert table["holdout", "energy_meV_per_atom"]["miscalibration_area_calibrated"] < 0.05
    assert table["md", "energy_meV_per_atom"]["miscalibration_area_calibrated"] > 0.1
    assert len(levels) == 6 * 2 * 21
    assert list(levels[0]) == ["scope", "quantity", "spread", "expected", "observed"]


def test_the_holdout_is_not_scored_on_frames_that_gave_alpha() -> None:
    holdout = predicted(2.0, 8, 100)
    other = predicted(3.0, 8, 100, seed=1)
    mixed = CommitteePrediction(
        np.where(np.arange(100) % 2, other.energies_eV, holdout.energies_eV),
        np.where(np.arange(100) % 2, other.reference_energies_eV, holdout.reference_energies_eV),
        [(holdout, other)[i % 2].forces_eV_per_A[i] for i in range(100)],
        [(holdout, other)[i % 2].reference_forces_eV_per_A[i] for i in range(100)],
    )
    alone, changed = by_ids(calibration_rows(holdout)[0]), by_ids(calibration_rows(mixed)[0])
    swapped = by_ids(calibration_rows(other)[0])
    for ids, row in changed.items():
        assert row["alpha"] == alone[ids]["alpha"] != swapped[ids]["alpha"]
        assert row["nll_raw"] == swapped[ids]["nll_raw"] != alone[ids]["nll_raw"]


def test_a_small_committee_has_raw_scores_and_a_reason() -> None:
    rows, levels = calibration_rows(predicted(1.0, 3, 20), predicted(1.0, 3, 10, seed=1))
    for row in rows:
        assert np.isnan([row["alpha"], row["nll_calibrated"], row["alpha_of_scope"]]).all()
        assert np.isfinite([row["nll_raw"], row["crps_raw"], row["miscalibration_area_raw"], row["ence_raw"]]).all()
        assert row["reason"].count("3 members, but the correction") == 1
    assert {one["spread"] for one in levels} == {"raw"}


def test_members_that_agree_and_dynamics_without_labels_are_told() -> None:
    holdout = predicted(1.0, 4, 20)
    holdout.energies_eV[:, 4] = -2000.0
    rows, _ = calibration_rows(holdout, predicted(1.0, 4, 0))
    table = by_ids(rows)
    assert "agree exactly on 1 of 10 values" in table["holdout", "energy_meV_per_atom"]["reason"]
    assert np.isfinite(table["holdout", "energy_meV_per_atom"]["nll_raw"])  # frame 4 is not one of those scored
    assert table["holdout", "force_per_atom_meV_per_A"]["reason"] == ""
    md = table["md", "force_per_atom_meV_per_A"]
    assert "no values" in md["reason"]
    assert np.isnan([md["nll_raw"], md["nll_calibrated"], md["alpha_of_scope"]]).all()
    assert (md["n_frames"], md["n_values"]) == (0, 0)


def test_single_precision_costs_nothing_that_it_has() -> None:
    """The spread of float32 energies of -5000 eV is that of the stored numbers, to 1e-9."""
    holdout = predicted(1.0, 4, 6)
    stored = holdout.energies_eV.astype(np.float32)
    single = CommitteePrediction(
        stored, holdout.reference_energies_eV, holdout.forces_eV_per_A, holdout.reference_forces_eV_per_A
    )
    exact = 1e3 * stored.astype(np.float64).std(axis=0, ddof=1) / np.resize(SIZES, 6)
    np.testing.assert_allclose(calibration.energy_values(single).spreads, exact, rtol=1e-9)


def test_frames_that_do_not_match_are_refused() -> None:
    one = predicted(1.0, 4, 3)
    with pytest.raises(InputError, match="3 of energies, 2 of reference energies"):
        CommitteePrediction(
            one.energies_eV, one.reference_energies_eV[:2], one.forces_eV_per_A, one.reference_forces_eV_per_A
        )
    with pytest.raises(InputError, match=r"frame 0 have the shape \(4, 2, 3\), expected \(4, 3, 3\)"):
        CommitteePrediction(
            one.energies_eV, one.reference_energies_eV, one.forces_eV_per_A, one.reference_forces_eV_per_A[::-1]
        )
    with pytest.raises(InputError, match="1 member"):
        predicted(1.0, 1, 3)
