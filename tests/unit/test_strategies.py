"""Strategies of active learning against random choice: known effects, chance, and equal budgets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from longhot.files import write_json
from longhot.learning import strategies
from longhot.learning.strategies import METRICS, comparison_table, paired, rounds_table
from longhot.report.active_learning_verdict import active_learning, few_seeds, online, unequal_labels

IDS = {"dataset": "methanol", "model": "mace"}


def records(factor: float, noise: float, n_seeds: int = 6, labels: tuple[int, int] = (20, 20)) -> list[dict[str, Any]]:
    """A start and one round of random choice and of a strategy whose errors are ``factor`` times as large."""
    rng = np.random.default_rng(1)
    found = []
    for seed in range(n_seeds):
        own = {"start": (1.0, 10), "random": (0.8, labels[0]), "diverse": (0.8 * factor, labels[1])}
        level = 100 * np.exp(rng.normal())  # seeds differ far more than strategies
        for strategy, (share, n_labels) in own.items():
            error = level * share * np.exp(noise * rng.normal())
            found.append(
                {
                    "strategy": strategy,
                    "round": int(strategy != "start"),
                    "seed": seed,
                    "n_labels": n_labels,
                    "n_reference_calls": n_labels,
                    **dict.fromkeys(METRICS, error),
                    "survival_at_end": 0.5 + 0.25 * (strategy == "diverse") + 0.01 * seed * (strategy == "random"),
                    "n_replicas": 8,
                    "converged": False,
                    "reason": "",
                }
            )
    return found


def table(**changes: Any) -> pd.DataFrame:
    return comparison_table(rounds_table(records(**({"factor": 0.5, "noise": 0.05} | changes)), IDS)).set_index(
        "metric"
    )


def test_a_known_ratio_is_found_within_its_interval() -> None:
    row = table().loc["md_force_mae_meV_per_A"]
    assert row["effect"] == pytest.approx(0.5, rel=0.1)
    assert row["ci_low"] < 0.5 < row["ci_high"] < 0.6
    assert row["p_value"] < 1e-4
    assert (row["n_seeds"], row["n_labels"]) == (6, 20)


def test_survival_is_compared_by_its_difference() -> None:
    row = table().loc["survival_at_end"]
    assert row["effect"] == pytest.approx(0.25 - 0.025)
    assert row["ci_low"] < 0.225 < row["ci_high"]


def test_pairs_of_seeds_find_what_their_scatter_hides() -> None:
    """Unpaired, the scatter of e^1 over seeds would hide a factor of 0.8."""
    from scipy import stats

    rounds = rounds_table(records(factor=0.8, noise=0.02), IDS)
    last = rounds[rounds["round"] == 1]
    first, second = (np.log(last.loc[last["strategy"] == one, METRICS[0]]) for one in ("random", "diverse"))
    assert stats.ttest_ind(first, second).pvalue > 0.3
    assert table(factor=0.8, noise=0.02).loc[METRICS[0], "p_value"] < 1e-3


def test_chance_is_called_real_in_one_case_of_twenty_and_intervals_hold_the_truth() -> None:
    rng = np.random.default_rng(0)
    found = np.array([paired(rng.normal(size=3)) for _ in range(2000)])
    assert np.mean(found[:, 3] < 0.05) == pytest.approx(0.05, abs=0.015)
    assert np.mean((found[:, 1] < 0) & (found[:, 2] > 0)) == pytest.approx(0.95, abs=0.015)


def test_one_seed_and_equal_numbers_have_no_interval() -> None:
    assert np.isnan(paired(np.array([0.3]))[1:]).all()
    assert np.isnan(paired(np.array([0.3, 0.3]))[1:]).all()
    assert np.isnan(paired(np.array([]))).all()
    assert table(n_seeds=1).loc[METRICS[0], "reason"] == "one seed"


def test_start_stands_once_for_each_strategy() -> None:
    rounds = rounds_table(records(0.5, 0.1, n_seeds=2), IDS)
    assert len(rounds) == 8
    begins = rounds[rounds["round"] == 0].pivot(index="seed", columns="strategy", values=METRICS[0])
    assert (begins["random"] == begins["diverse"]).all()
    assert set(strategies.COLUMNS) == set(rounds)


def test_unequal_budgets_are_named() -> None:
    compared = table(labels=(20, 19))
    assert compared["reason"].str.contains("numbers of labels differ").all()
    assert len(unequal_labels(compared.reset_index())) == 1
    assert unequal_labels(table().replace("", np.nan).reset_index()) == []


@pytest.mark.parametrize(
    ("factor", "noise", "said"),
    [
        (0.5, 0.05, "it helped (3 of 3"),
        (2.0, 0.05, "it did harm (3 of 3"),
        (1.0, 0.3, "no difference is beyond chance"),
    ],
)
def test_verdict_says_whether_it_helped(factor: float, noise: float, said: str) -> None:
    rounds = rounds_table(records(factor, noise), IDS)
    tables = {"active_learning": rounds, "active_learning_comparison": comparison_table(rounds)}
    tables["active_learning_online"] = pd.DataFrame(columns=list(strategies.ONLINE_COLUMNS))
    first, second = active_learning(tables)
    assert "from 10 to 20 labels, 6 seeds" in first.text
    assert said in second.text
    assert second.level == ("warning" if "chance" in said and "no" in said else "finding")


def online_trace(folder: Path, outcome: str) -> Path:
    """A run of 201 frames with 10 initial labels, three calls and two audits."""
    folder.mkdir()
    kinds = {0: "audit", 40: "call", 41: "call", 100: "audit", 150: "call"}
    rows = [
        {
            "step": step,
            "time_ps": step / 2000,
            "estimated_meV_per_A": 50.0,
            "true_meV_per_A": {"audit": 80.0, "call": 200.0}.get(kinds.get(step, "step")),
            "threshold_meV_per_A": 100.0,
            "kind": kinds.get(step, "step"),
            "atoms": "",
            "wall_s": 0.0,
        }
        for step in sorted({*range(0, 201, 10), *kinds})
    ]
    pd.DataFrame(rows).to_csv(folder / "trace.csv", index=False)
    write_json(folder / "outcome.json", {"outcome": outcome, "cause": "H3 flew away", "n_initial": 10})
    return folder / "trace.csv"


@pytest.mark.parametrize(("outcome", "level"), [("completed", "finding"), ("bond_broken", "warning")])
def test_a_run_on_the_fly_says_what_it_saved(outcome: str, level: str, tmp_path: Path) -> None:
    strategies.write_online_table([online_trace(tmp_path / "run", outcome)], IDS, tmp_path / "online.csv")
    table = pd.read_csv(tmp_path / "online.csv")
    assert table.loc[table["step"] == 200, "share_saved"].item() == pytest.approx(1 - 13 / 201)
    assert table.loc[table["step"] == 41, "n_calls"].item() == 2
    assert list(table["outcome"].dropna()) == [outcome]
    sentence = online(table)
    assert "with 3 calls of the reference and 10 initial labels: 93.5 % of the 201 frames needed none" in sentence.text
    assert "audits find a mean error of 80.0 meV" in sentence.text
    assert sentence.level == level
    assert ("bond broken (H3 flew away)" in sentence.text) == (level == "warning")


def test_a_study_without_a_run_on_the_fly_has_an_empty_table(tmp_path: Path) -> None:
    strategies.write_online_table([], IDS, tmp_path / "online.csv")
    table = pd.read_csv(tmp_path / "online.csv")
    assert table.empty
    assert list(table) == list(strategies.ONLINE_COLUMNS)


def test_few_seeds_are_a_reservation() -> None:
    assert len(few_seeds(table(n_seeds=2).reset_index())) == 1
    assert few_seeds(table(n_seeds=3).reset_index()) == []


def test_p_values_are_adjusted_for_their_number() -> None:
    compared = table(factor=0.8, noise=0.1)
    raw, adjusted = compared["p_value"].to_numpy(float), compared["p_value_adjusted"].to_numpy(float)
    assert (adjusted >= raw).all()
    assert adjusted[raw.argmin()] == pytest.approx(len(raw) * raw.min())
