"""Tables of survival and robustness, from the outcomes and rechecks of all simulations."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from longhot.config import REFERENCE_MODEL
from longhot.dynamics.detectors import CENSORED
from longhot.dynamics.statistics import (
    NO_TIME,
    NO_TURN,
    failure_rate_per_ns,
    holm,
    kaplan_meier,
    log_rank,
    log_rank_of_groups,
    median_survival_ps,
    rank_agreement,
)
from longhot.files import atomic_path
from longhot.uncertainty.clusters import MOST_SPREAD, mean_interval, spread

if TYPE_CHECKING:
    import pandas as pd

GROUP = ["dataset", "model", "train_size", "temperature_K"]
FIT = ["dataset", "temperature_K", "model", "train_size", "seed"]
STATIC = "static_force_mae_meV_per_A"
MD = "md_force_mae_meV_per_A"
RATE = "failure_rate_per_ns"
ERROR = "force_mae_meV_per_A"
SPREAD = "committee_force_std_meV_per_A"


def concatenate(paths: Sequence[str | Path]) -> pd.DataFrame:
    """All rows of CSV files with the same columns, in the order of the ids."""
    import pandas as pd

    # As text: no number is to change on its way through.
    tables = [pd.read_csv(path, dtype=str, keep_default_na=False) for path in paths]
    filled = [table for table in tables if len(table)] or tables[:1]
    return pd.concat(filled, ignore_index=True)


_TEXT = ("cause", "atoms", "message", "reason", "model", "against_model", "p_value_from", "run_by", "rechecked_by")
"""Columns of text that may be empty throughout."""


def read(path: str | Path) -> pd.DataFrame:
    """Read a table; empty fields of number columns become NaN, those of text stay empty."""
    import pandas as pd

    table = pd.read_csv(path, keep_default_na=False, na_values=[""], dtype=dict.fromkeys(_TEXT, str))
    if table.empty:  # pandas takes columns without a value for text
        return table.astype({name: float for name in table if name not in _TEXT})
    return table.fillna({name: "" for name in _TEXT if name in table})


def failed(stability: pd.DataFrame) -> pd.Series:
    """Whether each trajectory ended in a failure, and was not just cut off or completed."""
    return ~stability["outcome"].isin(CENSORED)


def survival_table(stability: pd.DataFrame) -> pd.DataFrame:
    """Survival of each model, training size and temperature, all seeds and replicas together.

    Survival is that at the longest time simulated in the group. ``median_survival_ps`` is empty where
    more than half live on; ``median_lower_bound_ps`` is then the longest time simulated. All intervals are of these
    fits, whose trajectories are independent; of another fit to as many frames they say nothing, and a small
    ``seeds_p_value`` shows that fits differ.
    """
    import pandas as pd

    rows = []
    for ids, group in stability.groupby(GROUP, sort=True):
        durations, failures = group["simulated_ps"].to_numpy(float), failed(group).to_numpy()
        curve = kaplan_meier(durations, failures)
        end = curve.iloc[-1]
        median, median_low, median_high = median_survival_ps(curve)
        rate, rate_low, rate_high = failure_rate_per_ns(int(failures.sum()), float(durations.sum()))
        rows.append(
            {
                **dict(zip(GROUP, ids, strict=True)),
                "n_replicas": len(group),
                "n_seeds": group["seed"].nunique(),
                "n_failed": int(failures.sum()),
                "n_timeout": int((group["outcome"] == "timeout").sum()),
                "survival_at_end": end["survival"],
                "ci_low": end["ci_low"],
                "ci_high": end["ci_high"],
                "end_ps": durations.max(),
                "median_survival_ps": median,
                "median_lower_bound_ps": durations.max() if np.isnan(median) else np.nan,
                "median_ci_low_ps": median_low,
                "median_ci_high_ps": median_high,
                "simulated_ps": durations.sum(),
                RATE: rate if np.isfinite(rate) else np.nan,
                "failure_rate_ci_low": rate_low,
                "failure_rate_ci_high": rate_high,
                "seeds_p_value": log_rank_of_groups(durations, failures, group["seed"].to_numpy()),
                "reason": "" if np.isfinite(rate) else NO_TIME if failures.any() else NO_TURN,
            }
        )
    return pd.DataFrame(rows)


Fit = tuple[str, int]
"""Model and training size."""


def survival_tests_table(stability: pd.DataFrame) -> pd.DataFrame:
    """Log-rank tests at each temperature, all seeds and replicas of a group together.

    Each model and training size is tested against the control, against the other models at its size, and
    against the other sizes of its model (``comparison``: control, model, size). The p-values are adjusted for
    the number of tests of the dataset in the same comparison, at all temperatures.
    """
    import pandas as pd

    rows = []
    for (dataset, temperature), runs in stability.groupby(["dataset", "temperature_K"], sort=True):
        groups = dict(iter(runs.groupby(["model", "train_size"], sort=True)))
        for comparison, first, second in _pairs(list(groups)):
            own, other = groups[first], groups[second]
            test = log_rank(*_lifetimes(own), *_lifetimes(other))
            rows.append(
                {
                    "dataset": dataset,
                    "temperature_K": temperature,
                    "comparison": comparison,
                    "model": first[0],
                    "train_size": first[1],
                    "against_model": second[0],
                    "against_train_size": second[1],
                    "statistic": test.statistic,
                    "p_value": test.p_value,
                    "p_value_from": test.p_value_from,
                    "n_failed": int(failed(own).sum()),
                    "n_replicas": len(own),
                    "against_n_failed": int(failed(other).sum()),
                    "against_n_replicas": len(other),
                    "reason": test.reason,
                }
            )
    table = pd.DataFrame(rows)
    families = table.groupby(["dataset", "comparison"])["p_value"]
    adjusted = families.transform(lambda values: holm(values.to_numpy()))
    table.insert(table.columns.get_loc("p_value") + 1, "p_value_adjusted", adjusted)
    return table


def _pairs(groups: Sequence[Fit]) -> Iterator[tuple[str, Fit, Fit]]:
    """The pairs to test, with what is compared: against the control, models at one size, sizes of one model."""
    controls = [group for group in groups if group[0] == REFERENCE_MODEL]
    fits = [group for group in groups if group[0] != REFERENCE_MODEL]
    yield from (("control", *pair) for pair in itertools.product(fits, controls))
    for comparison, same in (("model", 1), ("size", 0)):
        pairs = itertools.combinations(fits, 2)
        yield from ((comparison, *pair) for pair in pairs if pair[0][same] == pair[1][same])


def _lifetimes(runs: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    return runs["simulated_ps"].to_numpy(float), failed(runs).to_numpy()


def fits_table(stability: pd.DataFrame, rechecked: pd.DataFrame, curves: pd.DataFrame, test_set: str) -> pd.DataFrame:
    """One row for each simulated fit and temperature: its static error, failure rate and error in MD.

    The failure rate stands for the survival, for it has no need of a common end: a trajectory that was cut
    off counts with the time that it lived. Fits of which nothing failed are tied at 0. It is infinite where
    every trajectory failed at once.
    """
    runs = stability[stability["model"] != REFERENCE_MODEL]
    runs = runs.assign(is_failure=failed(runs))
    ended = runs.groupby(FIT).agg(n_failed=("is_failure", "sum"), simulated_ps=("simulated_ps", "sum"))
    ended[RATE] = [failure_rate_per_ns(*row)[0] for row in ended.itertuples(index=False)]
    even = rechecked[rechecked["choice"] == "even"]
    in_md = even.groupby(FIT)[ERROR].mean().rename(MD)
    keys = [name for name in FIT if name != "temperature_K"]
    static = curves[curves["test_set"] == test_set].set_index(keys)[ERROR].rename(STATIC)
    return ended[[RATE]].join(in_md).reset_index().join(static, on=keys)


def rank_agreement_table(fits: pd.DataFrame, rechecked: pd.DataFrame) -> pd.DataFrame:
    """Whether the order by one quantity is the order by another, at each temperature.

    Over the fits of all models, sizes and seeds: static error against failure rate and against error in MD,
    with ``model`` and ``train_size`` empty. Over the even frames of each model and size that has a committee:
    its spread against its error, drawn anew by trajectories.

    Args:
        fits: from ``fits_table``.
        rechecked: all rechecked frames.
    """
    import pandas as pd

    rows: list[dict[str, Any]] = []
    for (dataset, temperature), group in fits.groupby(["dataset", "temperature_K"], sort=True):
        for quantity in (RATE, MD):
            points = group.dropna(subset=[STATIC, quantity])
            agreement = asdict(rank_agreement(points[STATIC].to_numpy(), points[quantity].to_numpy()))
            ids = {"dataset": dataset, "temperature_K": temperature, "model": "", "train_size": None}
            rows.append({**ids, "over": "fits", "x": STATIC, "y": quantity, **agreement})
            if missing := len(group) - len(points):
                rows[-1]["reason"] = _joined(rows[-1]["reason"], f"{missing} fits without one of the errors left out")
    frames = rechecked[rechecked["choice"] == "even"].dropna(subset=[SPREAD, ERROR])
    for ids, group in frames.groupby(["dataset", "temperature_K", "model", "train_size"], sort=True):
        trajectories = group.groupby(["seed", "replica"]).ngroup().to_numpy()
        agreement = asdict(rank_agreement(group[SPREAD].to_numpy(), group[ERROR].to_numpy(), trajectories))
        named = dict(zip(("dataset", "temperature_K", "model", "train_size"), ids, strict=True))
        rows.append({**named, "over": "frames", "x": SPREAD, "y": ERROR, **agreement})
    return pd.DataFrame(rows).astype({"train_size": "Int64"})


def _joined(*parts: str) -> str:
    return "; ".join(filter(None, parts))


def robustness_table(
    stability: pd.DataFrame,
    rechecked: pd.DataFrame,
    curves: pd.DataFrame,
    test_set: str,
    controls: Mapping[str, str],
    references: Mapping[str, str],
) -> pd.DataFrame:
    """Static test error against the error on the frames that the model's own MD visited.

    The MD error is over the frames spread evenly in time. Those just before a failure and those of the
    highest committee spread stand apart: they were picked for their errors, and would drown the rest. The
    static error is the mean over the seeds that were simulated. The interval of the MD error is over whole
    trajectories, of these fits. ``reason`` says why a number is missing or special.

    Args:
        stability: all outcomes.
        rechecked: all rechecked frames.
        curves: the table of the learning curves.
        test_set: the test set that counts as static.
        controls: name of the reference that ran the control of each dataset.
        references: name of the reference that rechecked each dataset.
    """
    import pandas as pd

    rows = []
    for ids, runs in stability.groupby(GROUP, sort=True):
        key = dict(zip(GROUP, ids, strict=True))
        is_control, rechecked_by = key["model"] == REFERENCE_MODEL, references[key["dataset"]]
        run_by = controls[key["dataset"]] if is_control else ""
        frames = rechecked[np.logical_and.reduce([rechecked[name] == value for name, value in key.items()])]
        # The reference has no error against itself.
        static = 0.0 if run_by == rechecked_by else _static_error(key, curves, set(runs["seed"]), test_set)
        row = {**key, **_errors(static, frames, is_control), **_counts(runs)}
        rows.append({**row, "run_by": run_by, "rechecked_by": rechecked_by})
        rows[-1]["reason"] = _reason(rows[-1])
    return pd.DataFrame(rows)


def _static_error(key: dict[str, Any], curves: pd.DataFrame, seeds: set[int], test_set: str) -> float:
    """Mean test error over seeds in meV/A; NaN where there is none."""
    rows = curves[(curves["test_set"] == test_set) & curves["seed"].isin(seeds)]
    for name in ("dataset", "model", "train_size"):
        rows = rows[rows[name] == key[name]]
    return float(rows[ERROR].mean())


def _errors(static: float, frames: pd.DataFrame, is_control: bool) -> dict[str, Any]:
    even, before_failure, highest_spread = (
        frames.loc[frames["choice"] == choice, ERROR].dropna()
        for choice in ("even", "before_failure", "highest_spread")
    )
    md_error = float(even.mean())
    trajectories = frames.loc[even.index].groupby(["seed", "replica"]).ngroup().to_numpy()
    low, high = (np.nan, np.nan) if is_control else mean_interval(even.to_numpy(), trajectories)
    return {
        STATIC: static,
        MD: md_error,
        "md_ci_low_meV_per_A": low,
        "md_ci_high_meV_per_A": high,
        "md_trajectory_spread": np.nan if is_control else spread(even.to_numpy(), trajectories),
        "md_force_mae_p95_meV_per_A": float(np.quantile(even, 0.95)) if len(even) else np.nan,
        "error_ratio": md_error / static if static > 0 and not is_control else np.nan,
        "md_force_mae_before_failure_meV_per_A": float(before_failure.mean()),
        "md_force_mae_highest_spread_meV_per_A": float(highest_spread.mean()),
        "n_rechecked": len(even),
        "n_before_failure": len(before_failure),
        "n_highest_spread": len(highest_spread),
        "n_reference_failed": int((frames["reference_status"] != "ok").sum()),
        "n_model_failed": int((frames["model_status"] != "ok").sum()),
    }


def _counts(runs: pd.DataFrame) -> dict[str, int]:
    return {"n_replicas": len(runs), "n_failed": int(failed(runs).sum())}


def _reason(row: dict[str, Any]) -> str:
    said = []
    if row["model"] == REFERENCE_MODEL and row["run_by"] == row["rechecked_by"]:
        said.append("control: the reference itself, so its static error is 0 and a ratio means nothing")
    elif row["model"] == REFERENCE_MODEL:
        said.append(
            f"control: run by the cheaper {row['run_by']}, so it has no static error, and its MD error is that of "
            f"{row['run_by']} against {row['rechecked_by']}"
        )
    elif np.isnan(row[STATIC]):
        said.append("no static test error for these seeds")
    if row["md_trajectory_spread"] > MOST_SPREAD:
        said.append("trajectories differ so much that the interval of the MD error holds in some 88 to 93 %, not 95 %")
    if row["n_rechecked"] == 0:
        said.append(f"no rechecked frame, {_why_no_frame(row)}")
    if row["n_reference_failed"]:
        said.append(f"the reference failed on {row['n_reference_failed']} frames, which are left out")
    if row["n_model_failed"]:
        said.append(f"the model gave no numbers on {row['n_model_failed']} frames, which are left out")
    return "; ".join(said)


def _why_no_frame(row: dict[str, Any]) -> str:
    if row["n_failed"] or row["n_reference_failed"] or row["n_model_failed"]:
        return "the replicas failed at once or the reference did"
    return "the time limit came before the first"


def write_tables(
    outcomes: Sequence[str | Path],
    rechecks: Sequence[str | Path],
    learning_curves: str | Path,
    test_set: str,
    controls: Mapping[str, str],
    references: Mapping[str, str],
    out: Mapping[str, str | Path],
) -> None:
    """Write the tables of the MD.

    Args:
        outcomes: outcomes.csv of all simulations.
        rechecks: the rechecked frames of all simulations.
        learning_curves: learning_curves.csv.
        test_set: the test set that counts as static.
        controls: name of the reference that ran the control of each dataset.
        references: name of the reference that rechecked each dataset.
        out: path of each table: stability, survival, survival_tests, recheck, robustness, rank_agreement.
    """
    import pandas as pd

    # What was gathered is read back, so that all tables follow from the files.
    _write(concatenate(outcomes), out["stability"])
    _write(concatenate(rechecks), out["recheck"])
    stability, rechecked, curves = read(out["stability"]), read(out["recheck"]), pd.read_csv(learning_curves)
    _write(survival_table(stability), out["survival"])
    _write(survival_tests_table(stability), out["survival_tests"])
    _write(robustness_table(stability, rechecked, curves, test_set, controls, references), out["robustness"])
    fits = fits_table(stability, rechecked, curves, test_set)
    _write(rank_agreement_table(fits, rechecked), out["rank_agreement"])


def _write(table: pd.DataFrame, path: str | Path) -> None:
    with atomic_path(path) as temporary:
        table.to_csv(temporary, index=False)
