"""The report on a study folder whose tables are known."""

import base64
import gzip
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import melting_point_example
import numpy as np
import pandas as pd
import pytest
from map_example import write_example
from report_example import (
    CONFIG,
    active_learning_tables,
    all_tables,
    curves_table,
    md_tables,
    slopes_table,
    write_study,
)

from longhot.dynamics.tables import survival_table, survival_tests_table
from longhot.files import read_json
from longhot.learning import dataset_map
from longhot.report import manifest, overview, page
from longhot.report.columns import COLUMNS, EXACT, NOT_STATED, column, kind_of, missing
from longhot.report.flags import flags
from longhot.report.learning_curves_verdict import baseline, ladder, mean_errors, scaling
from longhot.report.plots import PLOTS, interactive
from longhot.report.statements import listed, number, p_text
from longhot.report.verdict import verdict
from longhot.report.views import FIRST_ROWS, about, facts, packed_rows, table_view


@pytest.fixture
def study(tmp_path: Path) -> Path:
    return write_study(tmp_path / "demo", all_tables())


class Links(HTMLParser):
    """Collects every address that the page would load, and every id."""

    def __init__(self) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.ids: list[str] = []
        self.anchors: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("src", "srcset") or (name == "href" and tag in ("link", "use", "image")):
                self.loads.append(value or "")
            elif name == "href":
                self.anchors.append(value or "")
            elif name == "id":
                self.ids.append(value or "")


def built(study: Path) -> tuple[str, Links]:
    page.build(study, CONFIG, study / "report" / "index.html")
    text = (study / "report" / "index.html").read_text(encoding="utf-8")
    links = Links()
    links.feed(text)
    return text, links


def test_page_is_one_file_that_loads_nothing(study: Path) -> None:
    text, links = built(study)
    assert text.startswith("<!DOCTYPE html>")
    assert all(one.startswith("#") for one in links.loads)
    assert "url(http" not in text
    assert "@import" not in text


def test_ids_are_unique_and_links_lead_somewhere(study: Path) -> None:
    _, links = built(study)
    assert len(links.ids) == len(set(links.ids))
    assert {one.removeprefix("#") for one in [*links.anchors, *links.loads]} <= set(links.ids)


def test_page_escapes_the_question_and_shows_every_part(study: Path) -> None:
    text, _ = built(study)
    assert "Does &lt;ethanol&gt; survive?" in text
    for part in (
        "mace-L1-nu2",
        "GFN2-xTB",
        "the pool holds 3 duplicates",
        "Figure 3.",
        "tables/recheck.csv",
        "train_sizes",
    ):
        assert part in text, part


def test_page_reads_no_file_that_a_killed_job_left_half_written(study: Path) -> None:
    whole = built(study)[0]
    (study / "figures" / ".survival-abcd1234.svg").write_text("<?xml")
    (study / "tables" / ".survival-abcd1234.csv").write_text("model,surv")
    assert built(study)[0] == whole


def test_page_is_the_same_from_the_same_files(study: Path) -> None:
    assert built(study)[0] == built(study)[0]


def test_page_without_robustness(tmp_path: Path) -> None:
    tables = {name: table for name, table in all_tables().items() if name.startswith("learning")}
    text, _ = built(write_study(tmp_path / "demo", tables))
    assert "mace-L1-nu2" in text
    assert "Survival" not in re.sub(r"<style>.*?</style>", "", text, flags=re.DOTALL)


def test_page_with_a_melting_point(tmp_path: Path) -> None:
    tables = melting_point_example.partly_invalid()
    text, links = built(write_study(tmp_path / "demo", tables))
    assert len(links.ids) == len(set(links.ids))
    for part in (
        "<dt>Melting point</dt>",
        "277.3 ± 1.2\u00a0K by interface pinning",
        "Error budget of the melting point",
        "<summary>Melting point of every member <span",
        "tables/observables.csv",
        melting_point_example.FROZEN,
    ):
        assert part in text, part
    assert len(tables["observables"]) > FIRST_ROWS
    assert f"The first {FIRST_ROWS} of {len(tables['observables'])} rows" in text


def test_page_without_any_question(tmp_path: Path) -> None:
    text, _ = built(write_study(tmp_path / "demo", {}))
    assert "asked no question" in text


def texts(tables: dict[str, pd.DataFrame], topic: str) -> list[str]:
    return [sentence.text for sentence in verdict(tables) if sentence.topic == topic]


def test_verdict_names_the_best_model_with_its_numbers() -> None:
    (text,) = texts(all_tables(), "Static accuracy")
    # 40 meV/A x 4^-0.45 = 21.4; the second seed is 2 % worse.
    assert "With 400 training frames, mace-L1-nu2" in text
    assert "21.6 meV/Å (2 seeds: 21.4 to 21.9)" in text
    assert "With 25 frames its error is 75.4 meV/Å." in text
    assert "tell it apart" not in text


def test_verdict_says_where_seeds_overlap() -> None:
    curves = curves_table()
    rows = (curves["model"] == "mace-L0-nu2") & (curves["seed"] == 0) & (curves["train_size"] == 400)
    curves.loc[rows, "force_mae_meV_per_A"] = 21.5
    (text,) = texts({"learning_curves": curves}, "Static accuracy")
    assert text.endswith("The seeds do not tell it apart from mace-L0-nu2.")


def test_body_order_and_equivariance_ladders() -> None:
    errors = mean_errors(curves_table())
    (body,) = ladder(errors, "", "correlation", "max_L")
    # 104 x 4^-0.2 over 50 x 4^-0.4 = 2.74
    assert "from 1 to 2 divides the force error by 2.74" in body.text
    assert "every seed agrees" in body.text
    (equivariance,) = ladder(errors, "", "max_L", "correlation")
    assert "from 0 to 1 divides" in equivariance.text


def test_ladder_keeps_silent_where_other_hyperparameters_differ() -> None:
    curves = curves_table()
    wider = curves[curves["model"] == "mace-L0-nu2"].assign(model="mace-L0-nu2-c64")
    assert ladder(mean_errors(pd.concat([curves, wider])), "", "correlation", "max_L") == []


def test_baseline_says_who_beats_it_from_where_and_who_does_not() -> None:
    curves = curves_table()
    bad = curves[curves["model"] == "mace-L0-nu1"].assign(model="bad", force_mae_meV_per_A=120.0)
    found, warning = baseline(mean_errors(pd.concat([curves, bad])))
    assert "beaten at every training size by mace-L0-nu2 and mace-L1-nu2" in found.text
    assert "mace-L0-nu1 (from 400 frames on)" in found.text
    assert warning.level == "warning"
    assert warning.text == "bad does not beat gfn1 with the largest training set."


def test_scaling_warns_of_models_that_do_not_learn() -> None:
    slopes = slopes_table()
    slopes.loc[slopes["model"] == "mace-L0-nu1", "slope_ci_high"] = 0.02
    found, warning = scaling(slopes, mean_errors(curves_table()), "ethanol")
    assert "s = −0.45 (95 % interval −0.50 to −0.40)" in found.text
    assert "from −0.45 to −0.20" in found.text
    assert "mace-L0-nu1" in warning.text
    assert "gfn1" not in warning.text


def test_survival_is_told_beside_the_control() -> None:
    cold, control, model, worse, unsure, pairs, kinds = texts(all_tables(), "Survival in MD")
    # Garwood for no failure in 8 x 10 ps: -ln(0.025) / 0.08 ns.
    assert cold == (
        "At 300 K, within 10.0 ps, none of 32 trajectories failed, models and control together: "
        "at most 46.1 failures per ns in each group."
    )
    assert control == "At 1000 K, within 10.0 ps, the control keeps 8 of 8 (at most 46.1 failures per ns)."
    # 7 failures in 1.25 x (1 + ... + 7) + 10 = 45 ps.
    assert (
        "mace-L0-nu2 keeps 1 of 8 (N = 25; 156 [62.5, 321] failures per ns; half gone after 5.00 ps), 8 of 8" in model
    )
    # All but one of 8 fail and none of 8 others: 18 of the 12,870 ways to part them.
    assert (
        worse == "At 1000 K log-rank tests show shorter lives than in the control for mace-L0-nu2 (N = 25; p = 0.0014)."
    )
    assert unsure.endswith("do not tell from the control: mace-L0-nu2 (N = 100) and mace-L0-nu2 (N = 400).")
    assert "log-rank tests tell apart 2 of 3 pairs" in pairs
    assert "mace-L0-nu2 (N = 100) outlives mace-L0-nu2 (N = 25), p = 0.0028" in pairs
    assert kinds == "Of 48 trajectories of models 7 failed: bond broken (7). The first failure came after 1.25 ps."


def test_what_had_no_time_to_run_neither_failed_nor_survived() -> None:
    tables = all_tables()
    runs = tables["stability"]
    waiting = (runs["model"] == "mace-L0-nu2") & (runs["train_size"] == 100) & (runs["temperature_K"] == 1000)
    runs.loc[waiting, ["outcome", "failure_time_ps", "simulated_ps"]] = ["timeout", np.nan, 0.0]
    tables["survival"], tables["survival_tests"] = survival_table(runs), survival_tests_table(runs)
    said = " ".join(texts(tables, "Survival in MD"))
    assert "8 of 8 (N = 100; no time to run)" in said
    assert "outlives mace-L0-nu2 (N = 100)" not in said
    runs[["outcome", "failure_time_ps", "simulated_ps"]] = ["timeout", np.nan, 0.0]
    tables["survival"], tables["survival_tests"] = survival_table(runs), survival_tests_table(runs)
    assert "At 1000 K no trajectory had time to run." in texts(tables, "Survival in MD")


def test_what_outlives_the_control_is_told() -> None:
    tables = all_tables()
    swapped = {"reference": "mace-L0-nu2", "mace-L0-nu2": "reference"}
    runs = tables["stability"]
    runs = runs[runs["train_size"].isin([0, 25]) & (runs["temperature_K"] == 1000)].replace({"model": swapped})
    runs["train_size"] = runs["model"].map({"reference": 0, "mace-L0-nu2": 25})
    tables |= {"stability": runs, "survival": survival_table(runs), "survival_tests": survival_tests_table(runs)}
    found = texts(tables, "Survival in MD")
    assert (
        "At 1000 K log-rank tests show longer lives than in the control for mace-L0-nu2 (N = 25; p = 0.0014)." in found
    )


def test_control_says_who_ran_it() -> None:
    tables = all_tables()
    (own,) = texts(tables, "Control")
    assert own == "The control ran with xtb, the method that also computed the visited frames again."
    control = tables["robustness"]["model"] == "reference"
    tables["robustness"].loc[control, ["run_by", "md_force_mae_meV_per_A"]] = ["cheap", 88.0]
    (other,) = texts(tables, "Control")
    assert other.startswith("The control ran with cheap in place of xtb")
    assert "the force error of cheap against xtb is 88.0 meV/Å at 300 K and 88.0 meV/Å at 1000 K" in other
    assert "Control on ethanol ran with cheap, not xtb" in [flag.what for flag in flags(tables)]


def test_order_of_the_static_test_is_held_against_use() -> None:
    tied, unshown, alike, errors = texts(all_tables(), "Static order")
    assert tied == (
        "At 300 K the order of the fits by static force error cannot be held against that by failure rate: "
        "all values of one side are equal."
    )
    assert unshown == (
        "At 300 K, between the orders of 6 fits by static force error and by force error in their own MD, "
        "Kendall's τ = 0.20 [−0.50, 0.80], p = 0.7: no sure agreement."
    )
    assert alike.endswith("by failure rate, Kendall's τ = 1.00, p = 0.0028: the better in the test fails less.")
    assert errors.endswith("Kendall's τ = 0.80 [0.40, 1.00], p = 0.012: the better in the test errs less in MD.")
    wide = all_tables()
    wide["rank_agreement"].loc[3, "ci_low"] = -0.1
    assert texts(wide, "Static order")[3].endswith("no sure agreement."), "the interval includes zero"
    reversed_order = all_tables()
    reversed_order["rank_agreement"].loc[2, "kendall_tau"] = -1.0
    assert texts(reversed_order, "Static order")[2].endswith("the better in the test fails more.")


def test_committee_spread_as_a_warning_at_the_highest_temperature() -> None:
    (text,) = texts(all_tables(), "Committee spread")
    assert "at 1000 K" in text
    assert "τ = 0.10 [−0.10, 0.30] (N = 25) and τ = 0.40 [0.25, 0.55] (N = 100)" in text
    assert text.endswith("; no warning is shown for N = 25.")


@pytest.mark.parametrize(("value", "text"), [(0.2, "p = 0.2"), (0.0123, "p = 0.012"), (0.0004, "p < 0.001")])
def test_p_text(value: float, text: str) -> None:
    assert p_text(value) == text


def test_error_in_md_is_told_and_warned_of() -> None:
    found, warning = texts(all_tables(), "Error in MD")
    assert "2.90 times (N = 25: 116 against 40.0 meV/Å)" in found
    assert "at 1000 K" in found
    assert warning.endswith("by a factor of 2 or more for mace-L0-nu2 (N = 25).")


def test_several_datasets_are_told_apart() -> None:
    curves = curves_table()
    both = pd.concat([curves, curves.assign(dataset="aspirin")])
    assert [text.split(":")[0] for text in texts({"learning_curves": both}, "Static accuracy")] == [
        "On ethanol",
        "On aspirin",
    ]


def test_flags_gather_every_reservation() -> None:
    tables = all_tables()
    tables["stability"].loc[0, "outcome"] = "overlap"
    tables["stability"].loc[20, "outcome"] = "timeout"
    tables["learning_curves"].loc[0, "n_test_frames_failed"] = 4
    tables["learning_curve_slopes"].loc[0, "n_points"] = 2
    found = {flag.what: flag.count for flag in flags(tables)}
    assert found == {
        "Fits of mace-L0-nu1 on ethanol that had not converged (N = 400)": "2 of 6",
        "Test frames of test (ethanol) for which mace-L0-nu1 gave no numbers": "4 of 304",
        "Slope of mace-L0-nu1 on ethanol, test": "2 points",
        "MD of mace-L0-nu2 (N = 25) on ethanol at 300 K: timeout": "1 of 8 trajectories",
        "Control on ethanol at 300 K: overlap": "1 of 8 trajectories",
        "Frames of mace-L0-nu2 (N = 25) on ethanol at 1000 K, by the reference method: not converged": "7 of 16 frames",
        "Survival on ethanol: all trajectories of a group run with one fit": "6 of 6 groups",
        "Rank agreement of static force error and failure rate on ethanol at 300 K": "6 fits",
        "Rank agreement of static force error and failure rate on ethanol at 1000 K": "6 fits",
    }


def test_flags_of_few_trajectories_and_missing_errors() -> None:
    tables = all_tables()
    tables["survival"].loc[0, "n_replicas"] = 4
    tables["survival"].loc[1, ["n_seeds", "seeds_p_value"]] = [3, 0.004]
    tables["survival"].loc[2, "model"] = "gfn1"  # learns nothing, so further fits would be the same
    tables["robustness"].loc[3, ["md_force_mae_meV_per_A", "reason"]] = [np.nan, "no rechecked frame"]
    found = {flag.what: (flag.count, flag.why) for flag in flags(tables)}
    assert found["Survival on ethanol: all trajectories of a group run with one fit"][0] == "4 of 5 groups"
    assert found["Survival on ethanol: groups of fewer than 8 trajectories"][0] == "1 of 8 groups"
    assert found["Fits of mace-L0-nu2 on ethanol at 1000 K that live unlike each other (N = 25)"][0] == "1 of 3 sizes"
    assert "for 1 of 1 models and training sizes" in texts(tables, "Survival in MD")[6]
    assert found["MD error of mace-L0-nu2 (N = 25) on ethanol at 1000 K"] == ("no number", "no rechecked frame.")


def test_converged_is_read_from_text_too(tmp_path: Path) -> None:
    """An empty cell makes pandas read the whole column as text."""
    curves = curves_table().astype({"converged": object})
    curves.loc[0, "converged"] = None
    curves.to_csv(tmp_path / "learning_curves.csv", index=False)
    (flag,) = flags(page.read_tables(tmp_path))
    assert flag.count == "2 of 6"


def unpacked(text: str, name: str) -> Any:
    """What stands packed in the page."""
    (packed,) = re.findall(rf'id="data-{name}">([^<]+)<', text)
    return json.loads(gzip.decompress(base64.b64decode(packed)))


def test_long_tables_stand_packed_in_the_page(tmp_path: Path) -> None:
    tables = all_tables()
    tables["recheck"] = pd.concat([tables["recheck"]] * 4, ignore_index=True)
    text, _ = built(write_study(tmp_path / "demo", tables))
    assert f"The first {FIRST_ROWS} of {len(tables['recheck'])} rows" in text
    packed = unpacked(text, "table-every-rechecked-frame")
    assert len(packed["rows"]) == len(tables["recheck"])
    place = [*tables["recheck"].dropna(axis="columns", how="all")].index("force_mae_meV_per_A")
    failed = tables["recheck"]["reference_status"].ne("ok").argmax()
    kind, key, style, hint = packed["rows"][failed][place]
    assert (kind, key, style, packed["hints"][hint]) == ("not converged", "", "empty", "not converged")
    assert packed["rows"][0][place] == ["0", "0.0", "number"]


def test_short_tables_stand_in_the_page_alone() -> None:
    assert packed_rows(table_view("survival", md_tables()["survival"])) is None


def test_empty_cells_say_of_which_kind_they_are_and_why() -> None:
    view = table_view("stability", md_tables()["stability"])
    place = [heading.label for heading in view.headings].index("failed at")
    empty = [row[place] for row in view.rows if row[place].style == "empty"]
    assert {one.text for one in empty} == {"n/a"}
    assert {one.hint for one in empty} == {"The trajectory did not fail."}


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("all trajectories failed at once", "exploded"),
        ("2 of 8 fits not converged", "not converged"),
        ("unsupported element Xe", "unsupported element"),
        ("no rechecked frame", "not run"),
        ("the weights rest on 2 of 579 independent frames", "not valid"),
    ],
)
def test_a_reason_has_a_kind(reason: str, kind: str) -> None:
    assert kind_of(reason) == kind
    assert missing(column("melting_point_K"), {"reason": reason}).kind == kind
    assert missing(column("max_L"), {"reason": reason}).kind == "n/a", "the column knows better than the row"


def example_tables(folder: Path) -> dict[str, pd.DataFrame]:
    """Tables of every kind, with what they lack."""
    dataset_map.write_tables([write_example(folder)], folder / "dataset_map.csv", folder / "training_reach.csv")
    return {
        **all_tables(),
        **melting_point_example.partly_invalid(),
        **active_learning_tables(),
        **{name: pd.read_csv(folder / f"{name}.csv") for name in ("dataset_map", "training_reach")},
    }


def test_every_empty_cell_has_a_type_and_a_reason(tmp_path: Path) -> None:
    tables = example_tables(tmp_path)
    views = [table_view(name, table) for name, table in tables.items()] + overview.overview(tables)
    empty = [
        (view.title, heading.label, cell)
        for view in views
        for row in view.rows
        for heading, cell in zip(view.headings, row, strict=True)
        if cell.style == "empty"
    ]
    assert len({title for title, _, _ in empty}) > 10
    assert [place for *place, cell in empty if not (cell.text and cell.hint)] == []
    assert {tuple(place) for *place, cell in empty if cell.text == NOT_STATED.kind} == set()


def test_a_column_that_nobody_foresaw_still_gives_a_reason() -> None:
    (row,) = table_view("new", pd.DataFrame({"n_things": [1.0, np.nan]})).rows[1:]
    assert (row[0].text, row[0].hint) == (NOT_STATED.kind, NOT_STATED.why)


def test_exact_intervals_say_that_they_cover_more() -> None:
    for name in ("ci_low", "median_ci_low_ps", "median_ci_high_ps", "failure_rate_ci_low", "failure_rate_ci_high"):
        assert EXACT in about(name, md_tables()["survival"], {}), name


def test_every_column_of_every_table_is_defined() -> None:
    tables = all_tables() | melting_point_example.partly_invalid()
    assert not {name for table in tables.values() for name in table} - set(COLUMNS)
    assert not [name for name, heading in COLUMNS.items() if not heading.meaning]


def test_help_of_a_heading_gives_definition_unit_direction_reference_and_coverage() -> None:
    curves = curves_table()
    curves.loc[0, "force_mae_meV_per_A"] = np.nan
    lines = about("force_mae_meV_per_A", curves, {"ethanol": "GFN2-xTB"}).split("\n")
    assert lines[:3] == ["Mean absolute error of force components.", "Unit: meV/Å.", "The lower, the better."]
    assert "Reference: GFN2-xTB." in lines
    assert "Test subset: test, test hot." in lines
    assert "300 test frames a row." in lines
    assert f"Filled in {len(curves) - 1} of {len(curves)} rows." in lines


def test_coverage_names_the_scores_that_have_fewer() -> None:
    curves = curves_table()
    curves.loc[:3, "force_mae_meV_per_A"] = np.nan
    n = len(curves)
    assert facts(curves, {}).endswith(f"Coverage: {n} of {n} rows, but force MAE {n - 4}.")


def test_seeds_without_a_number_show_in_the_cell() -> None:
    curves = curves_table()
    curves.loc[0, "force_mae_meV_per_A"] = np.nan
    curves.loc[[4, 6], ["force_mae_meV_per_A", "reason"]] = [np.nan, "the fit exploded"]
    table, _ = overview.error_overview(curves, slopes_table())
    assert table.rows[0][1].text.endswith(", 1 of 2 seeds")
    assert (table.rows[0][2].text, table.rows[0][2].hint) == ("exploded", "the fit exploded")


@pytest.mark.parametrize("name", sorted(set(PLOTS) - {"dataset_map"}))  # its table has tests of its own
def test_every_figure_has_an_interactive_form(name: str) -> None:
    tables = {**all_tables(), **melting_point_example.partly_invalid(), **active_learning_tables()}
    tables["recheck"]["committee_force_std_meV_per_A"] = 50.0 + tables["recheck"]["replica"]
    panels = interactive(name, tables)
    assert not isinstance(panels, str), panels
    json.dumps(panels, allow_nan=False)
    for one in panels:
        assert one["title"]
        for trace in one["data"]:
            assert len(trace["x"]) == len(trace["y"]) > 0, trace["name"]


def test_plots_hold_the_numbers_of_the_tables() -> None:
    panels = interactive("learning_curves", all_tables())
    assert [one["title"] for one in panels][:2] == ["ethanol, test: body order", "ethanol, test: equivariance"]
    curve = next(trace for trace in panels[0]["data"] if trace["name"].startswith("mace-L0-nu2, slope"))
    # The mean of two seeds, the second of which is 2 % worse.
    assert curve["y"] == pytest.approx([50 * (size / 100) ** -0.4 * 1.01 for size in (25, 100, 400)], rel=1e-5)
    assert curve["name"] == "mace-L0-nu2, slope −0.40 [−0.45, −0.35]"


def test_plotted_frames_carry_the_keys_of_their_structures() -> None:
    panels = interactive("failure_causes", all_tables())
    times = next(one for one in panels if one["title"] == "ethanol, 1000 K: when they failed")
    (trace,) = times["data"]
    assert trace["customdata"][0] == "ethanol/mace-L0-nu2/n25/seed0/1000K/0/1.25ps"
    assert trace["text"][0] == "bond broken: O2-H3 at 1.7 A"


def test_too_many_points_leave_the_figure_static() -> None:
    assert "too many" in interactive("robustness", all_tables(), most_points=10)


def test_overview_marks_the_smallest_error_and_unconverged_fits() -> None:
    table, hot = overview.error_overview(curves_table(), slopes_table())
    rows = {row[0].text: row[1:] for row in table.rows}
    assert [cell.style for cell in rows["mace-L1-nu2"][:3]] == ["number best"] * 3
    assert "best" not in "".join(cell.style for cell in rows["gfn1"])
    assert [cell.text.endswith("*") for cell in rows["mace-L0-nu1"][:3]] == [False, False, True]
    assert rows["mace-L0-nu2"][3].text == "−0.40 (−0.45 to −0.35)"
    assert hot.title.endswith("test_hot")


def test_survival_overview_puts_the_control_first() -> None:
    view = overview.survival_overview(md_tables()["survival"].iloc[::-1])
    assert view.rows[0][0].text.startswith("control")
    assert [one.text for one in view.rows[-1]] == [
        "mace-L0-nu2",
        "25",
        "8 of 8 (63 % to 100 %)",
        "1 of 8 (0 % to 53 %)",
    ]
    rates = overview.rate_overview(md_tables()["survival"])
    assert [one.text for one in rates.rows[0]] == ["control", "n/a", "0 (0 to 46.1)", "0 (0 to 46.1)"]
    assert rates.rows[1][3].text == "156 (62.5 to 321)"


def test_column_headings_carry_units() -> None:
    assert column("force_mae_meV_per_A").unit == "meV/Å"
    assert (column("new_energy_eV").label, column("new_energy_eV").unit) == ("new energy", "eV")
    assert column("n_things").unit == ""


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (0.01234, "0.0123"), (1.0, "1.00"), (99.96, "100.0"), (123.4, "123"), (np.nan, "no number")],
)
def test_number_has_three_digits(value: float, text: str) -> None:
    assert number(value) == text


def test_listed() -> None:
    assert [listed(list("abc")[:count]) for count in (1, 2, 3)] == ["a", "a and b", "a, b and c"]


def test_manifest_adds_up_costs(study: Path) -> None:
    content = read_json(study / "manifest.json")
    fit, report = content["stages"]
    assert (fit["stage"], fit["jobs"], fit["wall_s"], fit["max_memory_MB"]) == ("fit", 2, 70.0, 1200.0)
    # Snakemake's last sample saw 15 s of each fit; the logs say 39.5 s.
    assert fit["core_s"] == 79.0
    assert (report["stage"], report["core_s"], report["max_memory_MB"]) == ("report", 0.0, None)
    # Fits from 960 to 1000 s and from 990 to 1020 s overlap; the report took 0.4 s later.
    assert content["total"]["elapsed_s"] == pytest.approx(60.4)
    assert content["total"]["jobs"] == 3
    assert content["seeds"] == {"learning_curves": [0, 1], "robustness": [0]}
    assert content["devices"] == ["cpu"]
    assert content["versions"]["numpy"] == np.__version__


def test_summary_names_the_costliest_stage_first(study: Path) -> None:
    lines = manifest.summary(read_json(study / "manifest.json")).splitlines()
    assert (
        lines[0] == "Cost: 1 min 00 s in all, 1 min 19 s of core time in 3 jobs, at most 1.2 GB of memory in one job."
    )
    assert lines[1].split()[:2] == ["fit", "2"]


@pytest.mark.parametrize(
    ("seconds", "text"), [(4.24, "4.2 s"), (59.99, "1 min 00 s"), (200, "3 min 20 s"), (7500, "2 h 05 min")]
)
def test_duration_text(seconds: float, text: str) -> None:
    assert manifest.duration_text(seconds) == text


def test_code_digest_sees_sources_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.py").write_text("x = 1\n")
    monkeypatch.setattr(manifest.longhot, "__file__", str(tmp_path / "a.py"))
    first = manifest.code_digest()
    (tmp_path / "a.pyc").write_text("bytecode")
    assert manifest.code_digest() == first
    (tmp_path / "a.py").write_text("x = 2\n")
    assert manifest.code_digest() != first
