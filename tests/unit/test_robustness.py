"""Survival and robustness tables against numbers worked out by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from longhot.dynamics.tables import GROUP, kaplan_meier, read, robustness_table, survival_table, write_tables

IDS = {"dataset": "d", "model": "m", "train_size": 25, "temperature_K": 1000.0}


def test_kaplan_meier_with_censoring_by_hand() -> None:
    """Failures at 1, 2, 2 and 5 ps, censored at 3 and 6 ps.

    At risk 6, 5, 2: survival 5/6, 5/6 * 3/5 = 1/2, 1/2 * 1/2 = 1/4. Greenwood's variance of log(-log S)
    at 5 ps is (1/(6*5) + 2/(5*3) + 1/(2*1)) / log(S)^2.
    """
    durations = np.array([1.0, 2.0, 2.0, 3.0, 5.0, 6.0])
    curve = kaplan_meier(durations, np.array([True, True, True, False, True, False])).set_index("time_ps")
    np.testing.assert_allclose(curve["survival"], [1, 5 / 6, 1 / 2, 1 / 2, 1 / 4, 1 / 4])
    log_survival = np.log(1 / 4)
    deviation = np.sqrt((1 / 30 + 2 / 15 + 1 / 2) / log_survival**2)
    np.testing.assert_allclose(curve.loc[5, "ci_low"], np.exp(log_survival * np.exp(1.959964 * deviation)), rtol=1e-5)
    np.testing.assert_allclose(curve.loc[5, "ci_high"], np.exp(log_survival * np.exp(-1.959964 * deviation)), rtol=1e-5)


def test_interval_is_binomial_where_all_or_none_live() -> None:
    none_failed = kaplan_meier(np.full(8, 10.0), np.zeros(8, dtype=bool)).iloc[-1]
    assert (none_failed["survival"], none_failed["ci_high"]) == (1.0, 1.0)
    assert none_failed["ci_low"] == pytest.approx(0.025 ** (1 / 8))
    all_failed = kaplan_meier(np.arange(1.0, 9.0), np.ones(8, dtype=bool)).iloc[-1]
    assert all_failed["survival"] == pytest.approx(0.0, abs=1e-12)
    assert all_failed["ci_low"] == 0.0
    assert all_failed["ci_high"] == pytest.approx(1 - 0.025 ** (1 / 8))


def stability(
    outcomes: list[str], simulated_ps: list[float], seeds: list[int] | None = None, **ids: object
) -> pd.DataFrame:
    """Outcomes of one group."""
    failures = [
        time if outcome not in ("completed", "timeout") else None
        for outcome, time in zip(outcomes, simulated_ps, strict=True)
    ]
    columns = {"seed": seeds or [0] * len(outcomes), "replica": range(len(outcomes)), "outcome": outcomes}
    numbers = {"failure_time_ps": failures, "simulated_ps": simulated_ps, "wall_s": 1.0, "cause": ""}
    return pd.DataFrame({**IDS, **ids, **columns, **numbers})


def test_survival_table_pools_seeds_and_counts_what_ended() -> None:
    table = survival_table(
        stability(["overlap", "completed", "timeout", "completed"], [2.0, 10.0, 4.0, 10.0], seeds=[0, 0, 1, 1])
    )
    (row,) = table.to_dict("records")
    assert (row["n_replicas"], row["n_failed"], row["n_timeout"]) == (4, 1, 1)
    assert row["survival_at_end"] == 0.75
    assert 0 < row["ci_low"] < 0.75 < row["ci_high"] < 1
    assert np.isnan(row["median_survival_ps"])
    assert row["median_lower_bound_ps"] == row["end_ps"] == 10.0


def test_median_survival_where_it_is_reached() -> None:
    (row,) = survival_table(stability(["overlap"] * 3 + ["completed"], [1.0, 2.0, 3.0, 10.0])).to_dict("records")
    assert row["median_survival_ps"] == 2.0
    assert np.isnan(row["median_lower_bound_ps"])


def rechecked(errors: list[float], late: list[bool] | None = None, **ids: object) -> pd.DataFrame:
    status = ["ok" if np.isfinite(error) else "not_converged" for error in errors]
    columns = {"seed": 0, "before_failure": late or [False] * len(errors), "reference_status": status}
    return pd.DataFrame({**IDS, **ids, **columns, "model_status": "ok", "force_mae_meV_per_A": errors})


def curves(**ids: object) -> pd.DataFrame:
    """Seeds 0, 1 and 2 with static errors of 10, 20 and 90 meV/A, and a hot set that does not count."""
    rows = [
        {**IDS, **ids, "seed": seed, "test_set": name, "force_mae_meV_per_A": error}
        for name, errors in (("test", (10.0, 20.0, 90.0)), ("test_hot", (500.0, 500.0, 500.0)))
        for seed, error in enumerate(errors)
    ]
    return pd.DataFrame(rows).drop(columns="temperature_K")


def test_robustness_by_hand() -> None:
    """Twenty even frames with errors 1 to 20, two before a failure, one that the reference failed on."""
    errors = [*map(float, range(1, 21)), 900.0, 1100.0, np.nan]
    runs = stability(["overlap", "completed"], [2.0, 10.0], seeds=[0, 1])
    table = robustness_table(runs, rechecked(errors, [False] * 20 + [True] * 2 + [False]), curves(), "test")
    (row,) = table.to_dict("records")
    assert row["static_force_mae_meV_per_A"] == 15.0, "the seeds that were simulated"
    assert row["md_force_mae_meV_per_A"] == 10.5
    assert row["md_force_mae_p95_meV_per_A"] == pytest.approx(19.05)
    assert row["error_ratio"] == 0.7
    assert row["md_force_mae_before_failure_meV_per_A"] == 1000.0
    assert (row["n_rechecked"], row["n_before_failure"], row["n_reference_failed"]) == (20, 2, 1)
    assert (row["n_replicas"], row["n_failed"]) == (2, 1)
    assert "reference failed on 1 frames" in row["reason"]


def test_control_has_no_ratio_and_says_why() -> None:
    control = {"model": "reference", "train_size": 0}
    runs = stability(["completed"], [10.0], **control)
    (row,) = robustness_table(runs, rechecked([0.0, 0.0], **control), curves(), "test").to_dict("records")
    assert row["static_force_mae_meV_per_A"] == row["md_force_mae_meV_per_A"] == 0.0
    assert np.isnan(row["error_ratio"])
    assert row["reason"].startswith("control")


def test_group_without_rechecked_frames_or_static_error_says_so() -> None:
    runs = stability(["nonfinite"], [0.0], train_size=50)
    (row,) = robustness_table(runs, rechecked([5.0]), curves(), "test").to_dict("records")
    assert row["n_rechecked"] == 0
    assert np.isnan(row["md_force_mae_meV_per_A"])
    assert np.isnan(row["static_force_mae_meV_per_A"])
    assert "no rechecked frame" in row["reason"]
    assert "no static test error" in row["reason"]


def test_tables_are_written_from_the_files_of_all_runs(tmp_path: Path) -> None:
    """Numbers pass unchanged, a file without rows does no harm, and empty stays empty."""
    runs = {
        "a": stability(["overlap", "completed"], [0.1 + 0.2, 10.0]),
        "b": stability(["completed"] * 2, [10.0, 10.0], train_size=50),
    }
    frames = {"a": rechecked([7.0, np.nan]), "b": rechecked([3.0], train_size=50).iloc[:0]}
    for name in runs:
        runs[name].to_csv(tmp_path / f"o{name}.csv", index=False)
        frames[name].to_csv(tmp_path / f"r{name}.csv", index=False)
    curves().to_csv(tmp_path / "curves.csv", index=False)
    paths = {name: tmp_path / f"{name}.csv" for name in ("stability", "survival", "recheck", "robustness")}
    write_tables(
        [tmp_path / "oa.csv", tmp_path / "ob.csv"],
        [tmp_path / "ra.csv", tmp_path / "rb.csv"],
        tmp_path / "curves.csv",
        "test",
        **paths,
    )
    assert "0.30000000000000004" in paths["stability"].read_text()
    assert len(read(paths["stability"])) == 4
    assert read(paths["survival"])["n_failed"].tolist() == [1, 0]
    robustness = read(paths["robustness"])
    assert robustness[GROUP].to_numpy().tolist() == [["d", "m", 25, 1000.0], ["d", "m", 50, 1000.0]]
    assert robustness["n_rechecked"].tolist() == [1, 0]
    for path in paths.values():
        assert not {"nan", "inf"} & set(path.read_text().lower().replace("\n", ",").split(","))


def drawn(tmp_path: Path, runs: pd.DataFrame, frames: pd.DataFrame) -> list[Path]:
    from longhot.report.robustness_figures import draw

    tables = {"stability": runs, "recheck": frames, "robustness": robustness_table(runs, frames, curves(), "test")}
    for name, table in tables.items():
        table.to_csv(tmp_path / f"{name}.csv", index=False)
    out = [tmp_path / name for name in ("r.svg", "r.png", "s.svg", "s.png")]
    paths = [tmp_path / f"{name}.csv" for name in ("robustness", "recheck", "stability")]
    draw(*paths, robustness=out[:2], survival=out[2:])
    return out


def test_figures_are_the_same_bytes_again(tmp_path: Path) -> None:
    control = {"model": "reference", "train_size": 0}
    runs = pd.concat(
        [
            stability(["overlap", "completed", "timeout"], [2.0, 10.0, 7.0]),
            stability(["completed"] * 2, [10.0, 10.0], train_size=50),
            stability(["completed"], [10.0], model="cheap", train_size=50),
            stability(["completed"], [10.0], **control),
        ],
        ignore_index=True,
    )
    frames = pd.concat(
        [
            rechecked([7.0, 9.0, np.nan]),
            rechecked([3.0, 4.0], train_size=50),
            rechecked([30.0], model="cheap", train_size=50),
            rechecked([0.0], **control),
        ],
        ignore_index=True,
    )
    frames["time_ps"] = np.arange(1.0, 1.0 + len(frames))
    first = [path.read_bytes() for path in drawn(tmp_path, runs, frames)]
    assert first == [path.read_bytes() for path in drawn(tmp_path, runs, frames)]
    assert all(len(content) > 10_000 for content in first)


@pytest.mark.parametrize("case", ["all_failed_at_once", "no_reference"])
def test_figures_of_poor_tables_are_drawn(tmp_path: Path, case: str) -> None:
    frames = rechecked([np.nan, np.nan])
    runs = stability(["completed"] * 2, [10.0, 10.0])
    if case == "all_failed_at_once":
        runs, frames = stability(["nonfinite"] * 2, [0.0, 0.0]), frames.iloc[:0]
    frames["time_ps"] = np.arange(1.0, 1.0 + len(frames))
    assert all(path.stat().st_size > 1000 for path in drawn(tmp_path, runs, frames))
