"""Tables of survival and robustness, from the outcomes and rechecks of all simulations."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from longhot.config import REFERENCE_MODEL
from longhot.dynamics.detectors import CENSORED
from longhot.files import atomic_path

if TYPE_CHECKING:
    import pandas as pd

GROUP = ["dataset", "model", "train_size", "temperature_K"]
_ALPHA = 0.05


def concatenate(paths: Sequence[str | Path]) -> pd.DataFrame:
    """All rows of CSV files with the same columns, in the order of the ids."""
    import pandas as pd

    # As text: no number is to change on its way through.
    tables = [pd.read_csv(path, dtype=str, keep_default_na=False) for path in paths]
    filled = [table for table in tables if len(table)] or tables[:1]
    return pd.concat(filled, ignore_index=True)


_NUMBERS = (
    "time_ps",
    "failure_time_ps",
    "force_mae_meV_per_A",
    "energy_error_meV_per_atom",
    "committee_force_std_meV_per_A",
    "median_survival_ps",
    "median_lower_bound_ps",
    "static_force_mae_meV_per_A",
    "md_force_mae_meV_per_A",
    "md_force_mae_p95_meV_per_A",
    "md_force_mae_before_failure_meV_per_A",
    "error_ratio",
)
"""Columns of numbers that may be empty."""


def read(path: str | Path) -> pd.DataFrame:
    """Read a table; empty fields of number columns become NaN, those of text stay empty."""
    import pandas as pd

    table = pd.read_csv(path, keep_default_na=False, na_values={name: [""] for name in _NUMBERS})
    return table.astype({name: float for name in _NUMBERS if name in table})


def failed(stability: pd.DataFrame) -> pd.Series:
    """Whether each trajectory ended in a failure, and was not just cut off or completed."""
    return ~stability["outcome"].isin(CENSORED)


def kaplan_meier(durations_ps: np.ndarray, is_failure: np.ndarray) -> pd.DataFrame:
    """Kaplan-Meier estimate of the share of trajectories that live beyond each time.

    The 95 % interval is Greenwood's on the log-log scale (lifelines). It has no width where all or none
    live, which would claim too much, so there it is the exact binomial one for those at risk.

    Args:
        durations_ps: failure time, or time simulated where there was no failure; shape (n_trajectories,).
        is_failure: shape (n_trajectories,).

    Returns:
        Columns time_ps, survival, ci_low, ci_high; from time 0 on, a row where something ended.
    """
    import pandas as pd
    from lifelines import KaplanMeierFitter

    fitter = KaplanMeierFitter(alpha=_ALPHA).fit(durations_ps, is_failure)
    # Rounded, for a product of shares may miss 1/2 or 0 by the last bit.
    survival = fitter.survival_function_.iloc[:, 0].to_numpy().round(12)
    low, high = fitter.confidence_interval_survival_function_.to_numpy().T
    at_risk = fitter.event_table["at_risk"].to_numpy()
    width = (_ALPHA / 2) ** (1 / np.maximum(at_risk, 1))
    low = np.where(survival == 1, width, np.where(survival == 0, 0.0, low))
    high = np.where(survival == 1, 1.0, np.where(survival == 0, 1 - width[0], high))
    times = fitter.survival_function_.index.to_numpy()
    return pd.DataFrame({"time_ps": times, "survival": survival, "ci_low": low, "ci_high": high})


def survival_table(stability: pd.DataFrame) -> pd.DataFrame:
    """Survival of each model, training size and temperature, all seeds and replicas together.

    Survival is that at the longest time simulated in the group. ``median_survival_ps`` is empty where
    more than half live on; ``median_lower_bound_ps`` is then the longest time simulated.
    """
    import pandas as pd

    rows = []
    for ids, group in stability.groupby(GROUP, sort=True):
        durations, failures = group["simulated_ps"].to_numpy(float), failed(group).to_numpy()
        curve = kaplan_meier(durations, failures)
        end = curve.iloc[-1]
        below = curve.loc[curve["survival"] <= 0.5, "time_ps"]
        rows.append(
            {
                **dict(zip(GROUP, ids, strict=True)),
                "n_replicas": len(group),
                "n_failed": int(failures.sum()),
                "n_timeout": int((group["outcome"] == "timeout").sum()),
                "survival_at_end": end["survival"],
                "ci_low": end["ci_low"],
                "ci_high": end["ci_high"],
                "end_ps": durations.max(),
                "median_survival_ps": below.iloc[0] if len(below) else np.nan,
                "median_lower_bound_ps": np.nan if len(below) else durations.max(),
            }
        )
    return pd.DataFrame(rows)


def robustness_table(
    stability: pd.DataFrame, rechecked: pd.DataFrame, curves: pd.DataFrame, test_set: str
) -> pd.DataFrame:
    """Static test error against the error on the frames that the model's own MD visited.

    The MD error is over the frames spread evenly in time. Those just before a failure stand apart, in
    ``md_force_mae_before_failure_meV_per_A``: how many there are depends on the failures, and they would
    drown the rest. The static error is the mean over the seeds that were simulated. ``reason`` says why a
    number is missing or special.

    Args:
        stability: all outcomes.
        rechecked: all rechecked frames.
        curves: the table of the learning curves.
        test_set: the test set that counts as static.
    """
    import pandas as pd

    rows = []
    for ids, runs in stability.groupby(GROUP, sort=True):
        key = dict(zip(GROUP, ids, strict=True))
        frames = rechecked[np.logical_and.reduce([rechecked[name] == value for name, value in key.items()])]
        static = _static_error(key, curves, set(runs["seed"]), test_set)
        rows.append({**key, **_errors(static, frames, is_control=key["model"] == REFERENCE_MODEL), **_counts(runs)})
        rows[-1]["reason"] = _reason(rows[-1])
    return pd.DataFrame(rows)


def _static_error(key: dict[str, Any], curves: pd.DataFrame, seeds: set[int], test_set: str) -> float:
    """Mean test error over seeds in meV/A; NaN where there is none."""
    rows = curves[(curves["test_set"] == test_set) & curves["seed"].isin(seeds)]
    for name in ("dataset", "model", "train_size"):
        rows = rows[rows[name] == key[name]]
    if len(rows) == 0 and key["model"] == REFERENCE_MODEL:
        return 0.0
    return float(rows["force_mae_meV_per_A"].mean())


def _errors(static: float, frames: pd.DataFrame, is_control: bool) -> dict[str, Any]:
    late = frames["before_failure"].astype(bool)
    values = frames["force_mae_meV_per_A"]
    even, before = values[~late].dropna(), values[late].dropna()
    md_error = float(even.mean())
    return {
        "static_force_mae_meV_per_A": static,
        "md_force_mae_meV_per_A": md_error,
        "md_force_mae_p95_meV_per_A": float(np.quantile(even, 0.95)) if len(even) else np.nan,
        "error_ratio": md_error / static if static > 0 and not is_control else np.nan,
        "md_force_mae_before_failure_meV_per_A": float(before.mean()),
        "n_rechecked": len(even),
        "n_before_failure": len(before),
        "n_reference_failed": int((frames["reference_status"] != "ok").sum()),
        "n_model_failed": int((frames["model_status"] != "ok").sum()),
    }


def _counts(runs: pd.DataFrame) -> dict[str, int]:
    return {"n_replicas": len(runs), "n_failed": int(failed(runs).sum())}


def _reason(row: dict[str, Any]) -> str:
    said = []
    if row["model"] == REFERENCE_MODEL:
        said.append("control: the reference itself, so its static error is 0 and a ratio means nothing")
    elif np.isnan(row["static_force_mae_meV_per_A"]):
        said.append("no static test error for these seeds")
    if row["n_rechecked"] == 0:
        said.append("no rechecked frame, the replicas failed at once or the reference did")
    if row["n_reference_failed"]:
        said.append(f"the reference failed on {row['n_reference_failed']} frames, which are left out")
    if row["n_model_failed"]:
        said.append(f"the model gave no numbers on {row['n_model_failed']} frames, which are left out")
    return "; ".join(said)


def write_tables(
    outcomes: Sequence[str | Path],
    rechecks: Sequence[str | Path],
    learning_curves: str | Path,
    test_set: str,
    *,
    stability: str | Path,
    survival: str | Path,
    recheck: str | Path,
    robustness: str | Path,
) -> None:
    """Write the four tables; the first two arguments are the files of all simulations, the last four paths."""
    import pandas as pd

    _write(concatenate(outcomes), stability)
    _write(concatenate(rechecks), recheck)
    _write(survival_table(read(stability)), survival)
    _write(robustness_table(read(stability), read(recheck), pd.read_csv(learning_curves), test_set), robustness)


def _write(table: pd.DataFrame, path: str | Path) -> None:
    with atomic_path(path) as temporary:
        table.to_csv(temporary, index=False)
