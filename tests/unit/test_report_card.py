"""Models against tolerances: judgements, intervals and typed reasons of tables whose answers are known."""

import json

import melting_point_example
import numpy as np
import pandas as pd
import pytest
from scipy.stats import t as student

from longhot.block import InputError
from longhot.config import Report, load
from longhot.dynamics.tables import survival_table, survival_tests_table
from longhot.report.columns import EXPLODED, NOT_RUN, NOT_VALID, UNSUPPORTED
from longhot.report.model_verdict import models
from longhot.report.report_card import CONTROL, CardCell, CardRow, ReportCard, Score, report_card

LIMITS = {"force_mae_meV_per_A": 30, "md_force_mae_meV_per_A": 100, "survival_share": 0.5, "failures_per_ns": 100}
SIZES = (10, 20, 40)
ERRORS = {"good": (40.0, 28.0, 20.0), "bad": (300.0, 200.0, 130.0), "silent": (np.nan,) * 3}
SEED_FACTORS = (0.98, 1.02)


def report(**more: object) -> Report:
    return Report.model_validate({"tolerances": LIMITS, **more})


def curves() -> pd.DataFrame:
    rows = []
    for model, errors in ERRORS.items():
        for size, error in zip(SIZES, errors, strict=True):
            for seed, factor in enumerate(SEED_FACTORS):
                fails = np.isnan(error)
                rows.append(
                    {
                        "dataset": "methanol",
                        "model": model,
                        "family": "mace",
                        "train_size": size,
                        "seed": seed,
                        "test_set": "test",
                        "energy_mae_meV_per_atom": error * factor / 30,
                        "force_mae_meV_per_A": error * factor,
                        "n_test_frames": 0 if fails else 50,
                        "n_test_frames_failed": 50 if fails else 0,
                        "converged": (model, size) != ("good", 40),
                        "reason": "the model does not know the element Cl" if fails else "",
                    }
                )
    return pd.DataFrame(rows)


def stability() -> pd.DataFrame:
    """20 ps: the control and ``good`` live, of ``bad`` all fail at 1 ps with 10 frames, at once with 40."""
    rows = []
    for model, size, failure_ps in (("reference", 0, None), ("good", 40, None), ("bad", 10, 1.0), ("bad", 40, 0.0)):
        for replica in range(8):
            rows.append(
                {
                    "dataset": "methanol",
                    "model": model,
                    "train_size": size,
                    "seed": 0,
                    "temperature_K": 1000.0,
                    "replica": replica,
                    "outcome": "completed" if failure_ps is None else "overlap",
                    "failure_time_ps": failure_ps,
                    "simulated_ps": 20.0 if failure_ps is None else failure_ps,
                }
            )
    return pd.DataFrame(rows)


def recheck() -> pd.DataFrame:
    """Errors of ``good``: trajectory k has the mean error 60 + 10 k, each frame of it the same."""
    frames = [("good", 40, replica, 60.0 + 10 * replica) for replica in range(4) for _ in range(5)]
    frames += [("bad", 10, replica, 500.0 + replica) for replica in range(8)]
    table = pd.DataFrame(frames, columns=["model", "train_size", "replica", "force_mae_meV_per_A"])
    return table.assign(dataset="methanol", seed=0, temperature_K=1000.0, choice="even", reference_status="ok")


def tables() -> dict[str, pd.DataFrame]:
    runs = stability()
    robustness = runs.drop_duplicates(["model", "train_size"]).assign(reason="")
    return {
        "learning_curves": curves(),
        "stability": runs,
        "survival": survival_table(runs),
        "survival_tests": survival_tests_table(runs),
        "recheck": recheck(),
        "robustness": robustness,
    }


def cells(card: ReportCard | None) -> dict[tuple[str, str], CardCell]:
    assert card is not None
    (of_methanol,) = card.cards
    return {(row.model, cell.criterion.key): cell for row in of_methanol.rows for cell in row.cells}


@pytest.mark.parametrize(
    ("low", "value", "high", "limit", "is_least", "verdict"),
    [
        (10, 20, 29, 30, False, "met"),
        (10, 20, 31, 30, False, "cannot tell"),
        (31, 40, 50, 30, False, "not met"),
        (30, 40, 50, 30, False, "cannot tell"),
        (0.6, 0.9, 1, 0.5, True, "met"),
        (0.4, 0.9, 1, 0.5, True, "cannot tell"),
        (0, 0.1, 0.4, 0.5, True, "not met"),
        (np.nan, 20, np.nan, 30, False, "met"),
        (np.nan, 40, np.nan, 30, False, "not met"),
        (10, 20, 29, None, False, "no limit"),
        (np.nan, np.nan, np.nan, 30, False, "no number"),
    ],
)
def test_a_score_is_judged_by_its_whole_interval(
    low: float, value: float, high: float, limit: float | None, is_least: bool, verdict: str
) -> None:
    assert Score(10, value, low, high).judge(limit, is_least) == verdict


def test_an_explosion_misses_every_tolerance() -> None:
    assert Score(10, kind=EXPLODED).judge(30, False) == "not met"
    assert Score(10, kind=EXPLODED).judge(None, False) == "no limit"


def test_force_error_is_a_mean_over_seeds_with_an_interval_and_what_it_covers() -> None:
    cell = cells(report_card(tables(), report()))["good", "force_mae_meV_per_A"]
    assert cell.shown.value == pytest.approx(20.0)
    half = student.ppf(0.975, 1) * np.std(np.log(SEED_FACTORS), ddof=1) / np.sqrt(2)
    assert np.log([cell.shown.low / 20, cell.shown.high / 20]) == pytest.approx([-half, half])
    assert cell.shown.coverage == "100 of 100 frames by 2 of 2 fits"
    assert cell.shown.remark == "2 of 2 fits not converged"
    assert (cell.verdict, cell.met_from) == ("met", None)  # at N = 20 the interval straddles 30
    looser = cells(report_card(tables(), report(dataset_tolerances={"methanol": {"force_mae_meV_per_A": 40}})))
    assert looser["good", "force_mae_meV_per_A"].met_from == 20


def test_md_error_has_an_interval_over_trajectories() -> None:
    shown = cells(report_card(tables(), report()))["good", "md_force_mae_meV_per_A"].shown
    means = np.array([60.0, 70.0, 80.0, 90.0])
    half = student.ppf(0.975, 3) * means.std(ddof=1) / 2
    assert [shown.value, shown.low, shown.high] == pytest.approx([75.0, 75 - half, 75 + half])
    assert shown.coverage == "20 of 20 frames of 4 trajectories"


def test_md_interval_covers_the_mean_over_trajectories() -> None:
    """200 studies of 8 trajectories that differ from each other: 95 % of the intervals hold the true mean."""
    from longhot.report.report_card import _of_trajectories

    rng = np.random.default_rng(0)
    hits = []
    for _ in range(400):
        errors = 100 + np.repeat(rng.normal(0, 10, 8), 5) + rng.normal(0, 5, 40)
        frames = pd.DataFrame(
            {"force_mae_meV_per_A": errors, "seed": 0, "replica": np.repeat(range(8), 5), "reference_status": "ok"}
        )
        score = _of_trajectories(10, frames, pd.Series({"reason": ""}))
        hits.append(score.low <= 100 <= score.high)
    assert 0.92 <= np.mean(hits) <= 0.98


def test_survival_is_taken_at_the_time_that_is_asked_for() -> None:
    found = cells(report_card(tables(), report()))
    assert found["good", "survival_share"].shown.value == 1
    assert found["bad", "survival_share"].verdict == "not met"
    early = report_card(tables(), report(survival_time_ps=0.5))
    (at_10, at_40) = cells(early)["bad", "survival_share"].scores
    assert (at_10.value, at_40.value) == (1, 0)


def test_empty_cells_have_typed_reasons() -> None:
    found = cells(report_card(tables(), report()))
    assert found["silent", "force_mae_meV_per_A"].shown.kind == UNSUPPORTED
    assert found["silent", "md_force_mae_meV_per_A"].shown.kind == NOT_RUN
    assert found["reference", "force_mae_meV_per_A"].shown.kind == CONTROL
    for key in ("failures_per_ns", "md_force_mae_meV_per_A"):
        assert found["bad", key].shown.kind == EXPLODED
        assert found["bad", key].verdict == "not met"
    assert all(cell.shown.text for cell in found.values())


def test_a_reason_has_the_type_that_it_has_in_the_tables() -> None:
    fits = curves()
    fits.loc[fits["model"] == "silent", "reason"] = "no rechecked frame"
    found = cells(report_card(tables() | {"learning_curves": fits}, report()))
    assert found["silent", "force_mae_meV_per_A"].shown.kind == NOT_RUN


def test_scores_for_the_script_are_json_without_nan() -> None:
    found = cells(report_card(tables(), report()))
    assert json.loads(found["bad", "failures_per_ns"].data)[-1] == [40, None, None, None, True]
    size, value, low, high, exploded = json.loads(found["good", "force_mae_meV_per_A"].data)[0]
    assert (size, value, exploded) == (10, 40.0, False)
    assert low < value < high


def test_melting_point_is_judged_by_its_distance_from_the_reference() -> None:
    summary = melting_point_example.tables()
    card = report_card(summary, Report.model_validate({"tolerances": {"melting_point_error_K": 3}}))
    assert card is not None
    (of_ice,) = card.cards
    (cell,) = [cell for cell in of_ice.rows[0].cells if cell.criterion.key == "melting_point_error_K"]
    row = summary["melting_point_summary"].sort_values("train_size").iloc[-1]
    assert cell.shown.value == pytest.approx(abs(row["melting_point_K"] - row["reference_melting_point_K"]))
    assert cell.shown.low < cell.shown.value < cell.shown.high
    broken = {**summary, "melting_point_summary": summary["melting_point_summary"].assign(melting_point_K=np.nan)}
    (failed,) = [
        cell
        for cell in report_card(broken, Report()).cards[0].rows[0].cells  # type: ignore[union-attr]
        if cell.criterion.key == "melting_point_error_K"
    ]
    assert failed.shown.kind == NOT_VALID


def test_no_ranking_unless_asked_for_and_equals_share_a_place() -> None:
    card = report_card(tables(), report())
    assert card is not None
    assert not card.ranking
    (of_methanol,) = card.cards
    ranks = {row.model: of_methanol.rank_text(row) for row in of_methanol.rows}
    assert ranks == {"reference": "–", "good": "1", "bad": "2", "silent": "2"}
    assert isinstance(of_methanol.rows[0], CardRow)
    assert of_methanol.rows[0].is_control


def test_a_study_without_anything_to_judge_has_no_card() -> None:
    assert report_card({}, Report()) is None
    assert models({}, Report()) == []


def test_each_model_has_a_verdict_with_numbers() -> None:
    said = {sentence.text: sentence for sentence in models(tables(), report())}
    of_good, of_bad, of_silent = (
        [one for one in said.values() if one.topic == model] for model in ("good", "bad", "silent")
    )
    assert "is robust at 1000 K: 8 of 8 trajectories live 20 ps, at most 23.1 failures per ns" in of_good[0].text
    assert "30 meV/Å on test is reached with N = 20 (28.0 meV/Å" in of_good[1].text
    assert "is not robust at 1000 K: 0 of 8 trajectories live 20 ps" in of_bad[0].text
    assert "against 8 of 8 of the control (p < 0.001)" in of_bad[0].text
    assert of_bad[0].level == "warning"
    # 300 (N / 10)^-0.6 comes down to 30 at 464 frames.
    assert "takes about 4" in of_bad[1].text
    assert "extrapolated to 1" in of_bad[1].text
    assert "gave no force error; its MD was not run" in of_silent[0].text


def test_few_failures_are_not_called_robust_nor_the_opposite() -> None:
    runs = stability()
    runs = runs[runs["model"] != "bad"]
    first = (runs["model"] == "good") & (runs["replica"] == 0)
    runs.loc[first, ["outcome", "failure_time_ps", "simulated_ps"]] = ["overlap", 5.0, 5.0]
    md = {"stability": runs, "survival": survival_table(runs), "survival_tests": survival_tests_table(runs)}
    sentence = models({"learning_curves": curves(), **md}, Report())[0]
    assert "cannot be told from the control at 1000 K: 7 of 8" in sentence.text
    assert sentence.level == "warning"


def test_melting_point_verdict_has_its_budget() -> None:
    (sentence,) = models(melting_point_example.tables(), Report())
    assert sentence.topic == melting_point_example.MODEL
    assert "error budget: " in sentence.text
    assert "the reference at 277.3" in sentence.text


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ({"temperature_K": 500}, "report.temperature_K: 500 not in robustness.protocol.temperatures_K"),
        ({"survival_time_ps": 30}, "report.survival_time_ps: 30 is beyond robustness.protocol.duration_ps"),
        ({"dataset_tolerances": {"ethanol": {}}}, "report.dataset_tolerances: no 'ethanol' in datasets"),
        ({"tolerances": {"survival_share": 1.5}}, "report.tolerances.survival_share"),
    ],
)
def test_tolerances_that_cannot_be_judged_are_refused(block: dict[str, object], message: str) -> None:
    config = {
        "study": {"name": "s", "question": "?"},
        "references": {"gfn2": {"method": "xtb"}},
        "datasets": {"methanol": {"source": "generate", "reference": "gfn2", "molecule": "CH3OH"}},
        "models": {"mace": {"family": "mace", "gradient_steps": 100}},
        "learning_curves": {"train_sizes": [5]},
        "robustness": {"models": ["mace"], "train_sizes": [5], "protocol": {"temperatures_K": [300, 1000]}},
    }
    load(config)
    with pytest.raises(InputError) as caught:
        load({**config, "report": block})
    assert message in str(caught.value)


def test_limits_of_a_dataset_stand_in_place_of_those_for_all() -> None:
    limits = report(dataset_tolerances={"ice": {"force_mae_meV_per_A": 5}})
    assert limits.limits("ice")["force_mae_meV_per_A"] == 5
    assert limits.limits("ice")["survival_share"] == 0.5
    assert limits.limits("methanol")["force_mae_meV_per_A"] == 30
