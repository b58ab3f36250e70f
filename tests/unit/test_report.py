"""The report on a study folder whose tables are known."""

import json
import os
import re
from html.parser import HTMLParser
from pathlib import Path

import melting_point_example
import numpy as np
import pandas as pd
import pytest

from longhot.dynamics.statistics import NO_WIDTH
from longhot.dynamics.tables import survival_table, survival_tests_table
from longhot.files import read_json
from longhot.report import manifest, page
from longhot.report.columns import column
from longhot.report.flags import flags
from longhot.report.statements import listed, number
from longhot.report.verdict import baseline, ladder, mean_errors, p_text, scaling, verdict
from longhot.report.views import MOST_ROWS, table_view

CONFIG = {
    "study": {"name": "demo", "question": "Does <ethanol> survive?", "device": "cpu"},
    "learning_curves": {"train_sizes": [25, 100, 400], "seeds": [0, 1]},
    "robustness": {"seeds": [0]},
}
SIZES = (25, 100, 400)
# model: family, max_L, correlation, force error at N = 100 (meV/A), slope
MODELS = {
    "mace-L0-nu1": ("mace", 0, 1, 104.0, -0.20),
    "mace-L0-nu2": ("mace", 0, 2, 50.0, -0.40),
    "mace-L1-nu2": ("mace", 1, 2, 40.0, -0.45),
    "gfn1": ("nonml", None, None, 90.0, 0.0),
}


def curves_table() -> pd.DataFrame:
    rows = []
    for model, (family, max_L, correlation, error, slope) in MODELS.items():
        for size in SIZES:
            for seed in (0, 1):
                for test_set, factor in (("test", 1.0), ("test_hot", 1.7)):
                    force = error * (size / 100) ** slope * factor * (1 + 0.02 * seed * (family == "mace"))
                    rows.append(
                        {
                            "dataset": "ethanol",
                            "model": model,
                            "family": family,
                            "max_L": max_L,
                            "correlation": correlation,
                            "train_size": size,
                            "seed": seed,
                            "test_set": test_set,
                            "energy_mae_meV_per_atom": force / 30,
                            "force_mae_meV_per_A": force,
                            "force_rmse_meV_per_A": 1.5 * force,
                            "n_test_frames": 300,
                            "n_test_frames_failed": 0,
                            "train_wall_s": 21.5,
                            "converged": not (model == "mace-L0-nu1" and size == 400),
                            "reason": "",
                        }
                    )
    return pd.DataFrame(rows)


def slopes_table() -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "dataset": "ethanol",
                "model": model,
                "test_set": test_set,
                "slope": slope,
                "slope_ci_low": slope - 0.05,
                "slope_ci_high": slope + 0.05,
                "interval_from": "bootstrap over 2 seeds",
                "n_points": 6,
            }
            for model, (_, _, _, _, slope) in MODELS.items()
            for test_set in ("test", "test_hot")
        ]
    )


def md_tables() -> dict[str, pd.DataFrame]:
    """MD of one model and the control: with 25 frames 7 of 8 replicas break at 1000 K, with more none."""
    stability, recheck, robustness = [], [], []
    for model, size in (("reference", 0), *(("mace-L0-nu2", size) for size in SIZES)):
        for temperature in (300.0, 1000.0):
            broken = 7 if (size, temperature) == (25, 1000.0) else 0
            ids = {"dataset": "ethanol", "model": model, "train_size": size}
            for replica in range(8):
                fails = replica < broken
                stability.append(
                    {
                        **ids,
                        "seed": 0,
                        "temperature_K": temperature,
                        "replica": replica,
                        "outcome": "bond_broken" if fails else "completed",
                        "failure_time_ps": 1.25 * (replica + 1) if fails else np.nan,
                        "simulated_ps": 1.25 * (replica + 1) if fails else 10.0,
                        "wall_s": 12.0,
                        "cause": "bond broken: O2-H3 at 1.7 A" if fails else "",
                        "atoms": "2 3" if fails else "",
                    }
                )
                for frame in range(2):
                    status = "not_converged" if fails and frame else "ok"
                    recheck.append(
                        {
                            **ids,
                            "seed": 0,
                            "temperature_K": temperature,
                            "replica": replica,
                            "time_ps": frame * 0.5,
                            "choice": "before_failure" if fails and frame == 1 else "even",
                            "reference": "xtb",
                            "reference_status": status,
                            "model_status": "ok",
                            "force_mae_meV_per_A": 0.0 if model == "reference" else 80.0 if status == "ok" else np.nan,
                            "energy_error_meV_per_atom": -1.25,
                            "committee_force_std_meV_per_A": np.nan,
                        }
                    )
            ratio = {0: np.nan, 25: 2.9, 100: 1.6, 400: 1.2}[size]
            robustness.append(
                {
                    **ids,
                    "temperature_K": temperature,
                    "static_force_mae_meV_per_A": 0.0 if model == "reference" else 40.0,
                    "md_force_mae_meV_per_A": 0.0 if model == "reference" else 40.0 * ratio,
                    "md_force_mae_p95_meV_per_A": 0.0 if model == "reference" else 60.0 * ratio,
                    "error_ratio": ratio,
                    "md_force_mae_before_failure_meV_per_A": 300.0 if broken else np.nan,
                    "n_rechecked": 16,
                    "n_reference_failed": broken,
                    "run_by": "xtb" if model == "reference" else "",
                    "rechecked_by": "xtb",
                    "reason": "control" if model == "reference" else "",
                }
            )
    runs = pd.DataFrame(stability)
    return {
        "stability": runs,
        "survival": survival_table(runs),
        "survival_tests": survival_tests_table(runs),
        "recheck": pd.DataFrame(recheck),
        "robustness": pd.DataFrame(robustness),
        "rank_agreement": agreement_table(),
    }


STATIC_ERROR, FAILURES, MD_ERROR = "static_force_mae_meV_per_A", "failure_rate_per_ns", "md_force_mae_meV_per_A"
SPREAD_ERROR = ("committee_force_std_meV_per_A", "force_mae_meV_per_A")


def agreement_table() -> pd.DataFrame:
    """At 300 K nothing fails and the errors do not agree; at 1000 K they do, and the spread warns at N = 100 only."""
    nan = np.nan
    rows = [
        (300.0, "fits", "", nan, STATIC_ERROR, FAILURES, 6, nan, nan, nan, nan, "all values of one side are equal"),
        (300.0, "fits", "", nan, STATIC_ERROR, MD_ERROR, 6, 0.2, -0.5, 0.8, 0.7, ""),
        (1000.0, "fits", "", nan, STATIC_ERROR, FAILURES, 6, 1.0, nan, nan, 0.0028, NO_WIDTH),
        (1000.0, "fits", "", nan, STATIC_ERROR, MD_ERROR, 6, 0.8, 0.4, 1.0, 0.012, ""),
        (300.0, "frames", "mace-L0-nu2", 25, *SPREAD_ERROR, 60, 0.5, 0.4, 0.6, nan, ""),
        (1000.0, "frames", "mace-L0-nu2", 25, *SPREAD_ERROR, 60, 0.1, -0.1, 0.3, nan, ""),
        (1000.0, "frames", "mace-L0-nu2", 100, *SPREAD_ERROR, 60, 0.4, 0.25, 0.55, nan, ""),
    ]
    names = ["temperature_K", "over", "model", "train_size", "x", "y", "n_points"]
    names += ["kendall_tau", "ci_low", "ci_high", "p_value", "reason"]
    return pd.DataFrame(rows, columns=names).assign(dataset="ethanol")


def all_tables() -> dict[str, pd.DataFrame]:
    return {"learning_curves": curves_table(), "learning_curve_slopes": slopes_table(), **md_tables()}


SVG = """<?xml version="1.0"?>
<!DOCTYPE svg PUBLIC "x" "y">
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 640 260" width="640pt" height="260pt">
<metadata>made somewhere</metadata>
<defs><clipPath id="p1"><rect width="640" height="260"/></clipPath><path id="g" d="M0 0"/></defs>
<g clip-path="url(#p1)"><line x1="40" y1="220" x2="600" y2="40" stroke="#0072B2" stroke-width="2"/></g><use href="#g"/>
</svg>"""

CARD = {
    "source": "generate",
    "level_of_theory": "GFN2-xTB",
    "licence": "made by this study",
    "units": {"energy": "eV", "forces": "eV/A"},
    "elements": ["C", "H", "O"],
    "sets": {"train_pool": {"n_frames": 800, "force_rms_eV_per_A": 1.25}, "test": {"n_frames": 300}},
    "isolated_atoms": {"origin": "computed", "energies_eV": {"C": -48.8, "H": -10.7, "O": -102.6}},
    "facts": {"relaxed_positions_A": [[0.0, 0.0, 0.0], [0.0, 0.0, 1.0]]},
    "warnings": ["the pool holds 3 duplicates"],
    "config": {"source": "generate"},
}


def write_study(folder: Path, tables: dict[str, pd.DataFrame]) -> Path:
    """A study folder as the pipeline leaves it, manifest included."""
    for part in ("tables", "figures", "datasets/ethanol", "benchmarks/fit/ethanol", "logs/fit", "models/a"):
        (folder / part).mkdir(parents=True)
    for name, table in tables.items():
        table.to_csv(folder / "tables" / f"{name}.csv", index=False)
        if name in page.FIGURES:
            (folder / "figures" / f"{name}.svg").write_text(SVG)
    (folder / "datasets/ethanol/card.json").write_text(json.dumps(CARD))
    (folder / "models/a/fit.json").write_text(json.dumps({"device": "cpu"}))
    header = "s\th:m:s\tmax_rss\tmax_vms\tmax_uss\tmax_pss\tio_in\tio_out\tmean_load\tcpu_time\n"
    for number_of_fit, seconds in enumerate((40.0, 30.0)):
        path = folder / f"benchmarks/fit/ethanol/{number_of_fit}.tsv"
        path.write_text(f"{header}{seconds}\t0:00:40\t900.5\t1\t1\t1\t1\t1\t98.0\t15.0\n")
        os.utime(path, (1000 + 20 * number_of_fit, 1000 + 20 * number_of_fit))
        log = "2026-01-01 00:00:00 fit took 40.0 s of wall time, 39.5 s of core time and 1200 MB\n"
        (folder / f"logs/fit/{number_of_fit}.log").write_text("2026-01-01 00:00:00 step 1\n" + log)
    short = folder / "benchmarks/report.tsv"
    short.write_text(f"{header}0.4\t0:00:00\tNA\tNA\tNA\tNA\tNA\tNA\tNA\tNA\n")
    os.utime(short, (2000, 2000))
    manifest.build(folder, CONFIG, folder / "manifest.json")
    return folder


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
        "<summary>Melting point of every member</summary>",
        "tables/observables.csv",
        melting_point_example.FROZEN,
    ):
        assert part in text, part
    assert len(tables["observables"]) > MOST_ROWS
    assert f"The first {MOST_ROWS} of {len(tables['observables'])} rows" in text


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


def test_long_tables_are_cut_and_say_so() -> None:
    recheck = pd.concat([md_tables()["recheck"]] * 4, ignore_index=True)
    view = table_view("recheck", recheck)
    assert len(view.rows) == MOST_ROWS
    assert f"The first {MOST_ROWS} of {len(recheck)} rows; the file has all." in view.notes


def test_empty_cells_say_why() -> None:
    view = table_view("stability", md_tables()["stability"])
    place = [heading.label for heading in view.headings].index("failed at")
    empty = [row[place] for row in view.rows if row[place].style == "empty"]
    assert {one.text for one in empty} == {"–"}
    assert {one.hint for one in empty} == {"The trajectory did not fail."}


def test_overview_marks_the_smallest_error_and_unconverged_fits() -> None:
    table, hot = page.error_overview(curves_table(), slopes_table())
    rows = {row[0].text: row[1:] for row in table.rows}
    assert [cell.style for cell in rows["mace-L1-nu2"][:3]] == ["number best"] * 3
    assert "best" not in "".join(cell.style for cell in rows["gfn1"])
    assert [cell.text.endswith("*") for cell in rows["mace-L0-nu1"][:3]] == [False, False, True]
    assert rows["mace-L0-nu2"][3].text == "−0.40 (−0.45 to −0.35)"
    assert hot.title.endswith("test_hot")


def test_survival_overview_puts_the_control_first() -> None:
    view = page.survival_overview(md_tables()["survival"].iloc[::-1])
    assert view.rows[0][0].text.startswith("control")
    assert [one.text for one in view.rows[-1]] == [
        "mace-L0-nu2",
        "25",
        "8 of 8 (63 % to 100 %)",
        "1 of 8 (1 % to 42 %)",
    ]
    rates = page.rate_overview(md_tables()["survival"])
    assert [one.text for one in rates.rows[0]] == ["control", "–", "0 (0 to 46.1)", "0 (0 to 46.1)"]
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
