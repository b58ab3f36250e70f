"""Strategies of active learning held against random choice at equal numbers of labels, seed by seed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from longhot.dynamics.statistics import holm
from longhot.files import atomic_path, read_json

if TYPE_CHECKING:
    import pandas as pd

BASELINE = "random"
CONFIDENCE = 0.95
COLUMNS = (
    "dataset",
    "model",
    "strategy",
    "round",
    "seed",
    "n_labels",
    "n_reference_calls",
    "force_mae_meV_per_A",
    "hot_force_mae_meV_per_A",
    "md_force_mae_meV_per_A",
    "n_md_frames",
    "survival_at_end",
    "n_replicas",
    "error_over_spread",
    "hot_error_over_spread",
    "chosen_force_mae_meV_per_A",
    "chosen_spread_meV_per_A",
    "n_chosen_failed",
    "train_wall_s",
    "md_wall_s",
    "label_wall_s",
    "evaluation_wall_s",
    "choose_wall_s",
    "overhead_wall_s",
    "core_s",
    "converged",
    "reason",
)
METRICS = ("force_mae_meV_per_A", "hot_force_mae_meV_per_A", "md_force_mae_meV_per_A", "survival_at_end")
"""What strategies are compared by: errors by their ratio, survival by its difference."""


def rounds_table(records: Sequence[dict[str, Any]], ids: dict[str, str]) -> pd.DataFrame:
    """Rows of active_learning.csv; the start stands once for each strategy, as its round 0.

    Args:
        records: what the rounds left, see ``rounds``.
        ids: dataset and model.
    """
    import pandas as pd

    later = [one for one in records if one["round"] > 0]
    rows = list(later)
    for strategy in dict.fromkeys(one["strategy"] for one in later):
        rows += [one | {"strategy": strategy} for one in records if one["round"] == 0]
    order = {strategy: place for place, strategy in enumerate(dict.fromkeys(one["strategy"] for one in later))}
    rows.sort(key=lambda one: (order[one["strategy"]], one["round"], one["seed"]))
    named = [{"dataset": ids["dataset"], "model": ids["model"], **one} for one in rows]
    return pd.DataFrame(named, columns=list(COLUMNS))


def comparison_table(rounds: pd.DataFrame) -> pd.DataFrame:
    """Each strategy beside ``BASELINE`` at the last round: a paired t-test over the seeds.

    Errors are compared by the mean over seeds of ln(error / error of random), so ``effect`` is a ratio, with its
    interval; survival by the mean difference. Seeds share their initial frames and weights, hence the pairs. The
    p-values are adjusted for their number (Holm), the intervals are not.
    """
    import pandas as pd

    rows = []
    last = rounds[rounds["round"] == rounds["round"].max()]
    for (dataset, model), group in last.groupby(["dataset", "model"], sort=False):
        baseline = group[group["strategy"] == BASELINE].set_index("seed")
        for strategy in dict.fromkeys(group["strategy"]):
            own = group[group["strategy"] == strategy].set_index("seed")
            if strategy == BASELINE or baseline.empty:
                continue
            for metric in METRICS:
                ids = {"dataset": dataset, "model": model, "strategy": strategy, "against": BASELINE, "metric": metric}
                rows.append(ids | _paired(own, baseline, metric))
    columns = ["dataset", "model", "strategy", "against", "metric", "n_labels", "effect", "ci_low", "ci_high"]
    table = pd.DataFrame(rows, columns=[*columns, "p_value", "p_value_adjusted", "n_seeds", "reason"])
    table["p_value_adjusted"] = holm(table["p_value"].to_numpy(float))
    return table


def _paired(own: pd.DataFrame, baseline: pd.DataFrame, metric: str) -> dict[str, Any]:
    is_ratio = metric != "survival_at_end"
    first, second = (table[metric].astype(float) for table in (own, baseline))
    differences = (np.log(first / second) if is_ratio else first - second).dropna().to_numpy()
    equal_labels = own["n_labels"].equals(baseline["n_labels"])
    found = paired(differences)
    effect = np.exp(found[:3]) if is_ratio else np.array(found[:3])
    reasons = [] if equal_labels else ["the numbers of labels differ: " + _labels(own, baseline)]
    if len(differences) < len(own):
        reasons.append(f"{len(own) - len(differences)} of {len(own)} seeds have no number")
    if not np.isfinite(found[3]):
        reasons.append("one seed" if len(differences) == 1 else "all differences are equal" if len(differences) else "")
    return {
        "n_labels": int(own["n_labels"].max()),
        **dict(zip(("effect", "ci_low", "ci_high"), effect.tolist(), strict=True)),
        "p_value": found[3],
        "n_seeds": len(differences),
        "reason": "; ".join(filter(None, reasons)),
    }


def _labels(own: pd.DataFrame, baseline: pd.DataFrame) -> str:
    return f"{own['n_labels'].tolist()} against {baseline['n_labels'].tolist()}"


def paired(differences: np.ndarray) -> tuple[float, float, float, float]:
    """Mean of paired differences, its 95 % interval, and the p-value of Student's t-test that it is 0.

    Args:
        differences: shape (n_pairs,); one pair gives no interval, equal ones give neither interval nor p-value.
    """
    from scipy import stats

    if not len(differences):
        return np.nan, np.nan, np.nan, np.nan
    mean = float(np.mean(differences))
    if len(differences) < 2 or np.ptp(differences) == 0:
        return mean, np.nan, np.nan, np.nan
    found = stats.ttest_1samp(differences, 0.0)
    interval = found.confidence_interval(CONFIDENCE)
    return mean, float(interval.low), float(interval.high), float(found.pvalue)


def write_tables(records: Sequence[str | Path], ids: dict[str, str], rounds_out: Path, comparison_out: Path) -> None:
    """Write active_learning.csv and active_learning_comparison.csv from the records of all rounds."""
    rounds = rounds_table([one for path in records for one in read_json(path)], ids)
    for table, path in ((rounds, rounds_out), (comparison_table(rounds), comparison_out)):
        with atomic_path(path) as temporary:
            table.to_csv(temporary, index=False)


ONLINE_COLUMNS = (
    *("dataset", "model", "step", "time_ps", "estimated_meV_per_A", "true_meV_per_A", "threshold_meV_per_A", "kind"),
    *("atoms", "n_initial", "n_calls", "share_saved", "outcome", "cause"),
)


def write_online_table(traces: Sequence[str | Path], ids: dict[str, str], out: Path) -> None:
    """Write active_learning_online.csv: the trace of the run that learns on the fly, with its counts so far.

    ``share_saved`` is the share of the frames so far that the reference did not have to compute, initial frames
    counted against it; ``outcome`` and ``cause`` stand in the last row.

    Args:
        traces: trace.csv with its outcome.json beside it, or none.
        ids: dataset and model.
        out: the table.
    """
    import pandas as pd

    parts = []
    for path in map(Path, traces):
        trace, ending = pd.read_csv(path), read_json(path.parent / "outcome.json")
        n_calls = (trace["kind"] == "call").cumsum()
        share_saved = (1 - (ending["n_initial"] + n_calls) / (trace["step"] + 1)).clip(0)
        trace = trace.assign(
            dataset=ids["dataset"], model=ids["model"], n_initial=ending["n_initial"], n_calls=n_calls
        ).assign(share_saved=share_saved)
        is_last = trace.index == trace.index[-1]
        trace["outcome"] = np.where(is_last, ending["outcome"], "")
        trace["cause"] = np.where(is_last, ending["cause"], "")
        parts.append(trace)
    table = pd.concat(parts) if parts else pd.DataFrame()
    with atomic_path(out) as temporary:
        table.reindex(columns=list(ONLINE_COLUMNS)).to_csv(temporary, index=False)
