"""The melting point in the report: sentences, reservations, tables and figures from tables that are known."""

from collections.abc import Callable
from pathlib import Path

import melting_point_example as example
import numpy as np
import pandas as pd
import pytest

from longhot.report import page
from longhot.report.columns import column
from longhot.report.figures import FIGURES
from longhot.report.flags import flags
from longhot.report.melting_point_flags import CHECKS
from longhot.report.melting_point_verdict import relative_error_of_spread
from longhot.report.melting_point_views import overview
from longhot.report.rows import valid_of
from longhot.report.statements import number, with_error
from longhot.report.verdict import verdict
from longhot.report.views import TABLES, caption, table_view

MADE = (example.tables, example.partly_invalid, example.all_invalid, example.own_samplers)


def stored(found: dict[str, pd.DataFrame], folder: Path) -> dict[str, pd.DataFrame]:
    """The tables as the report reads them: empty cells change the types of columns."""
    example.write(found, folder)
    return page.read_tables(folder)


def told(found: dict[str, pd.DataFrame], topic: str) -> list[str]:
    """Sentences of one topic, with an exclamation mark before the warnings."""
    return [("! " if one.level == "warning" else "") + one.text for one in verdict(found) if one.topic == topic]


def flagged(found: dict[str, pd.DataFrame]) -> dict[str, tuple[str, str]]:
    return {flag.what: (flag.count, flag.why) for flag in flags(found)}


def test_good_tables_are_told_with_their_numbers(tmp_path: Path) -> None:
    found = stored(example.tables(), tmp_path)
    reference, check, small, middle, large, coverage, trend, budget = told(found, "Melting point")
    assert reference == (
        "The reference melts at 277.3 ± 1.2 K by interface pinning; the entropy of melting is 0.205 meV/K a molecule."
    )
    assert check == (
        "Coexistence of the reference without a bias gives 276.10 ± 0.90 K, 1.2 K below the pinned run: "
        "within 2 σ of both errors."
    )
    # The members lie at -1, -0.3, 0.4 and 0.9 times 3 K: a standard deviation of 2.49 K, times 1.9.
    assert small == (
        "With N = 25, mace-L0-nu2 melts at 271.3 ± 4.7 K (calibrated spread; raw 2.5 K); the sampling error is 0.25 K. "
        "4 of 4 members are valid, by staged integration. That is 6.0 K below the reference, within 2 σ."
    )
    assert "by reweighting" in middle
    assert "276.40 ± 0.50 K" in large
    assert coverage.startswith(
        "With the calibrated spread of mace-L0-nu2, the error of a mean over its members and the sampling error, 2 σ "
        "cover the distance from the reference "
        "at 3 of 3 training sizes; with the raw spread they would at 1."
    )
    assert "A spread over 4 members is itself uncertain by about 41 %" in coverage
    assert trend == (
        "From N = 25 to N = 400, for mace-L0-nu2, the calibrated spread falls from 4.7 to 0.50 K and the distance from "
        "the reference falls from 6.0 to 0.90 K."
    )
    assert "pinned run 1.2 K, coexistence check 1.1 K" in budget
    assert budget.endswith("The largest is the pinned run.")
    assert flagged(found) == {}


def test_coexistence_that_disagrees_warns() -> None:
    found = example.tables()
    found["melting_point"].loc[1, "melting_point_K"] = 281.0
    assert told(found, "Melting point")[1] == (
        "! Coexistence of the reference without a bias gives 281.00 ± 0.90 K, 3.7 K above the pinned run: "
        "not within 2 σ of both errors, so the protocol shifts the number, or an error is too small."
    )


def test_committee_that_is_too_sure_of_itself_warns() -> None:
    found = example.tables()
    found["melting_point_summary"].loc[2, ["melting_point_K", "covered_2sigma"]] = [279.0, False]
    texts = told(found, "Melting point")
    assert texts[4].startswith("! With N = 400")
    assert texts[4].endswith("That is 1.7 K above the reference, beyond 2 σ.")
    assert "at 2 of 3 training sizes; with the raw spread they would at none" in texts[5]
    assert texts[5].startswith("! ")


def test_trend_that_chance_may_make_is_not_claimed() -> None:
    found = example.tables()
    found["melting_point_summary"]["committee_std_calibrated_K"] = [2.0, 1.5, 1.0]
    found["melting_point_summary"]["melting_point_K"] = [276.0, 276.2, 276.5]
    trend = told(found, "Melting point")[6]
    assert "the calibrated spread goes from 2.0 to 1.0 K (no clear change)" in trend
    assert "the distance from the reference goes from 1.3 to 0.80 K (no clear change)" in trend
    found["melting_point_summary"]["committee_std_calibrated_K"] = [0.5, 1.5, 5.0]
    assert "the calibrated spread rises from 0.50 to 5.0 K" in told(found, "Melting point")[6]


def test_calibration_that_fails_in_md_warns() -> None:
    found = example.tables()
    energies, forces = told(found, "Calibration")
    assert energies.startswith(
        "! For the energies of mace-L0-nu2 the hold-out asks for α = 1.90 (N = 25), 1.40 (N = 100) and 1.20 (N = 400)"
    )
    assert "In MD the calibrated spread is too small by a factor of 2.00 (N = 25)." in energies
    assert "For the forces (spread by atom)" in forces
    found["calibration"]["alpha_of_scope"] = found["calibration"]["alpha"]
    energies, _ = told(found, "Calibration")
    assert not energies.startswith("!")
    assert "too small" not in energies
    assert energies.endswith("Calibration raises the likelihood of the MD errors at 3 of 3 sizes.")
    found["calibration"]["alpha_of_scope"] = found["calibration"]["alpha"] / 3
    found["calibration"]["nll_calibrated"] = 9.0
    energies, _ = told(found, "Calibration")
    assert "In MD the calibrated spread is too large by a factor of 3.00 (N = 25), 3.00 (N = 100)" in energies
    assert energies.endswith("at none of 3 sizes.")


@pytest.mark.parametrize(
    ("force_mae", "said"),
    [
        (8.1, "! A melting point to 1 K by mace-L0-nu2 takes a force MAE of 7.20 [5.10, 10.3] meV/Å (from 12 members). "
              "The best fits (N = 400) have 8.10 meV/Å, within the interval: undecided."),
        (4.0, "The best fits (N = 400) have 4.00 meV/Å: they reach it."),
        (12.0, "The best fits (N = 400) have 12.0 meV/Å: they do not reach it, and how it is reached is extrapolated."),
    ],
)  # fmt: skip
def test_needed_force_error_is_held_against_the_fits(force_mae: float, said: str) -> None:
    found = example.tables()
    found["melting_point_summary"].loc[2, "force_mae_meV_per_A"] = force_mae
    (text,) = told(found, "Accuracy needed")
    assert text.endswith(said)
    assert text.startswith("!") == (force_mae > 5)


def test_member_that_pinned_its_own_interface_is_a_check() -> None:
    found = example.tables()
    points = found["melting_point"]
    row = points[(points["train_size"] == 400) & (points["member"] == 0)].assign(method="pinning")
    row[["melting_point_K", "sampling_error_K"]] = [277.0, 1.0]
    found["melting_point"] = pd.concat([points, row], ignore_index=True)
    texts = told(found, "Melting point")
    assert "4 of 4 members are valid, by reweighting." in texts[4]
    # Member 0 lies 1.4 K below the reference; errors of 1.0, 0.5 and, of the sampler's own pinned run, 1.2 K.
    said = "Pinned with member 0 of mace-L0-nu2 (N = 400) itself, the melting point is 277.0 ± 1.0 K, 1.1 K above that "
    assert f"{said}by reweighting: within 2 σ." in texts
    found["melting_point"].loc[len(points), "melting_point_K"] = 285.0
    assert any(
        text.startswith("! Pinned") and text.endswith("not within 2 σ.") for text in told(found, "Melting point")
    )


def test_partly_invalid_tables_are_told_and_flagged(tmp_path: Path) -> None:
    found = stored(example.partly_invalid(), tmp_path)
    texts = told(found, "Melting point")
    assert texts[1] == f"! Coexistence did not check the pinned run of the reference: {example.FROZEN}."
    assert texts[2] == (
        f"! With N = 25, mace-L0-nu2 gives no melting point; 0 of 4 members are valid: {example.LOW_ESS}."
    )
    assert "2 of 4 members are valid, by reweighting" in texts[3]
    assert "A spread over 2 members is itself uncertain by about 71 %" in texts[5]
    assert texts[-1].endswith("Not known: coexistence check.")
    energies, _ = told(found, "Calibration")
    assert energies == (
        "! For the energies of mace-L0-nu2 the hold-out asks for α = 1.40 (N = 100) and 1.20 (N = 400); whether it "
        "holds in MD is not known: no such frames."
    )
    (needed,) = told(found, "Accuracy needed")
    assert needed.endswith("the force error it takes is not known: 2 points, of which a line needs 3.")
    assert {what: count for what, (count, _) in flagged(found).items()} == {
        "Δμ of mace-L0-nu2 (N = 25) on ice by cumulant expansion at 265 to 295 K": "16 of 16",
        "Δμ of mace-L0-nu2 (N = 100) on ice by direct reweighting at 265 to 295 K": "8 of 32",
        "Melting point of the reference on ice by coexistence": "1 of 1",
        "Melting point of mace-L0-nu2 (N = 25) on ice by staged integration": "4 of 4",
        "Melting point of mace-L0-nu2 (N = 100) on ice by reweighting": "2 of 8",
        "Committee of mace-L0-nu2 (N = 25) on ice": "0 of 4 members valid",
        "Committee of mace-L0-nu2 (N = 100) on ice": "2 of 4 members valid",
        "Error budget of mace-L0-nu2 on ice: coexistence check": "3 of 3 sizes",
        "Calibration of mace-L0-nu2 (N = 25) on ice, hold-out: energies and forces (spread by atom)": "2 of 6",
        "Force error of mace-L0-nu2 on ice for 1 K": "no number",
    }


def test_nothing_valid_is_said(tmp_path: Path) -> None:
    found = stored(example.all_invalid(), tmp_path)
    reference, *sizes = told(found, "Melting point")
    assert reference == f"! Interface pinning gives no melting point of the reference: {example.FROZEN}."
    assert [text[:18] for text in sizes] == ["! With N = 25, mac", "! With N = 100, ma", "! With N = 400, ma"]
    assert all(text.startswith("! ") for topic in ("Calibration", "Accuracy needed") for text in told(found, topic))
    concerned = " ".join(flagged(found))
    for part in ("Bulk solid of the reference", "by interface pinning, cell 2x3x8 and 3x4x8, at 280 K", "Averages of"):
        assert part in concerned


def test_committees_that_sampled_for_themselves_are_told_apart(tmp_path: Path) -> None:
    found = stored(example.own_samplers(), tmp_path)
    texts = told(found, "Melting point")
    assert texts[0] == "! The reference was not sampled: no melting point here is held against it."
    assert texts[1].startswith("The sampler mace-L0-nu2-n25 melts at 271.3 ± 1.2 K by interface pinning")
    assert not any("the reference," in text for text in texts[1:])
    assert told(found, "Accuracy needed")[0].count("for want of a reference") == 1


def test_two_datasets_are_told_apart() -> None:
    one, other = example.tables(), example.tables()
    both = {name: pd.concat([one[name], other[name].assign(dataset="brine")], ignore_index=True) for name in one}
    heads = {text.removeprefix("! ").split(": ")[0] for text in told(both, "Melting point")}
    assert heads == {"On ice", "On brine"}
    assert len(told(both, "Melting point")) == 2 * len(told(one, "Melting point"))


def test_reservations_about_valid_rows() -> None:
    found = example.tables()
    found["phases"].loc[0, "reason"] = "200 frames are 20 times the statistical inefficiency: run longer"
    found["delta_mu"].loc[4:5, ["ess_solid", "ess_liquid"]] = [0.5, 0.034]
    found["melting_point_summary"].loc[0, ["committee_std_calibrated_K", "reason"]] = [np.nan, "no calibrated spread"]
    found["required_accuracy"].loc[0, ["ci_low", "reason"]] = [np.nan, "one point"]
    seen = flagged(found)
    assert seen["Bulk solid of the reference on ice at 265 K"] == (
        "1 of 4 runs",
        "Valid, but: 200 frames are 20 times the statistical inefficiency: run longer.",
    )
    what = "Δμ of mace-L0-nu2 (N = 25) on ice by cumulant expansion at 265 to 275 K"
    assert seen[what][0] == "effective sample down to 3 %"
    assert seen["Committee of mace-L0-nu2 (N = 25) on ice"] == ("not calibrated", "No calibrated spread.")
    assert seen["Force error of mace-L0-nu2 on ice for 1 K"] == ("no interval", "One point.")


def test_reasons_that_differ_in_numbers_are_one_reservation() -> None:
    found = example.tables()
    found["delta_mu"].loc[8:11, "valid"] = False
    found["delta_mu"].loc[8:11, "reason"] = [f"ESS {0.01 * place:.2f} is below 0.2" for place in range(4)]
    assert flagged(found) == {
        "Δμ of mace-L0-nu2 (N = 25) on ice by cumulant expansion at 265 to 295 K": (
            "4 of 16",
            "ESS 0.00 is below 0.2 (and the like).",
        )
    }


def test_a_study_without_the_question_says_nothing() -> None:
    assert told({}, "Melting point") == []
    assert overview({}) == []
    empty = {name: table.iloc[:0] for name, table in example.tables().items()}
    assert verdict(empty) == []
    assert overview(empty) == []
    assert flags(empty) == []


def test_overview_puts_the_parts_of_the_error_side_by_side(tmp_path: Path) -> None:
    summary, budget, scores = overview(stored(example.tables(), tmp_path))
    assert [cell.text for cell in summary.rows[0][:4]] == ["ice", "mace-L0-nu2", "25", "271.3"]
    assert [heading.label for heading in budget.headings][3:] == [
        "calibrated spread", "raw spread", "mean of few members",
        "reweighting", "pinned run", "coexistence check", "cell size",
    ]  # fmt: skip
    assert [cell.text for cell in budget.rows[2]][6:] == ["0.250", "1.20", "1.10", "0.700"]
    assert [cell.text for cell in scores.rows[1][3:7]] == ["energies (meV/atom)", "MD", "1.90", "3.80"]


def test_overview_says_why_a_part_is_missing(tmp_path: Path) -> None:
    summary, budget, _ = overview(stored(example.partly_invalid(), tmp_path))
    (missing,) = (cell for cell in budget.rows[0] if cell.style == "empty")
    assert missing.hint == example.FROZEN
    assert summary.rows[0][-1].text == example.LOW_ESS


@pytest.mark.parametrize("name", sorted(example.tables()))
def test_every_table_is_known_to_the_page(name: str) -> None:
    view = table_view(name, example.tables()[name])
    assert view.title == TABLES[name]
    assert name in CHECKS or name == "reliability"
    headings = [(heading.label, heading.unit) for heading in view.headings]
    assert len(headings) == len(set(headings))


@pytest.mark.parametrize("name", ["melting_point_K", "delta_mu_meV", "alpha", "order_parameter"])
def test_empty_numbers_say_where_the_reason_is(name: str) -> None:
    assert column(name).empty.why == "The reason in the row says why, where it is known."


@pytest.mark.parametrize("made", MADE)
def test_figures_are_drawn_from_any_tables(made: Callable[[], dict[str, pd.DataFrame]], tmp_path: Path) -> None:
    figures = example.draw(made(), tmp_path)
    assert len(figures) == 8
    assert all(path.stat().st_size > 3000 for path in figures)


def test_figures_are_the_same_bytes_again(tmp_path: Path) -> None:
    first, second = ([path.read_bytes() for path in example.draw(example.tables(), tmp_path)] for _ in range(2))
    assert first == second


def test_figures_of_empty_tables_say_so(tmp_path: Path) -> None:
    empty = {name: table.iloc[:0] for name, table in example.tables().items()}
    assert all(path.stat().st_size > 1000 for path in example.draw(empty, tmp_path))


def test_figures_take_phases_that_went_different_ways(tmp_path: Path) -> None:
    found = example.tables()
    for name in ("delta_mu", "observables"):
        found[name].loc[found[name]["method"] == "direct", "method"] = "direct+cumulant"
    assert len(example.draw(found, tmp_path)) == 8


def test_figures_and_captions_are_known_to_the_page() -> None:
    for name in ("melting_point", "melting_point_by_size", "reliability", "rdf"):
        assert name in FIGURES
        assert caption(name).startswith(("Left: ", "How far", "Share of"))


@pytest.mark.parametrize(("members", "error"), [(4, 0.408), (2, 0.707), (9, 0.25)])
def test_error_of_a_spread(members: int, error: float) -> None:
    assert relative_error_of_spread(members) == pytest.approx(error, abs=1e-3)


def test_one_member_has_no_spread() -> None:
    assert np.isnan(relative_error_of_spread(1))


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (277.31, 1.19, "277.3 ± 1.2"),
        (277.31, 0.96, "277.31 ± 0.96"),
        (277.31, 12.3, "277 ± 12"),
        (277.31, np.nan, "277.3"),
    ],
)
def test_with_error(value: float, error: float, text: str) -> None:
    assert with_error(value, error) == text


def test_number_of_digits() -> None:
    assert [number(277.31, digits) for digits in (2, 3, 4, 5)] == ["277", "277", "277.3", "277.31"]


def test_valid_is_read_from_text_too() -> None:
    table = pd.DataFrame({"valid": [True, False, None]}, dtype=object)
    assert len(valid_of(table)) == 1
    assert len(valid_of(table, valid=False)) == 2
    assert valid_of(table.iloc[:0]).empty
