"""Everything in a study's tables that is not converged, not valid or missing, in one list."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from longhot.config import REFERENCE_MODEL
from longhot.dynamics.statistics import FEWEST_TRAJECTORIES
from longhot.files import read_json
from longhot.report.active_learning_verdict import CHECKS as ACTIVE_LEARNING_CHECKS
from longhot.report.learning_curves_verdict import BASELINE_FAMILY
from longhot.report.melting_point_flags import CHECKS as MELTING_POINT_CHECKS
from longhot.report.statements import SIGNIFICANCE, Flag, is_false
from longhot.report.unsaid_flags import unsaid

if TYPE_CHECKING:
    import pandas as pd

FEWEST_POINTS = 3
"""A slope through fewer training sizes than this has no spread to judge it by."""


def flags(tables: dict[str, pd.DataFrame]) -> list[Flag]:
    """All reservations that the tables hold."""
    curves = tables.get("learning_curves")
    baselines = [] if curves is None else list(curves.loc[curves["family"] == BASELINE_FAMILY, "model"].unique())
    checks = {
        "learning_curves": (unconverged_fits, missing_errors, failed_predictions, single_seeds),
        "learning_curve_slopes": (weak_slopes, few_seeds_of_slopes),
        "stability": (unfinished_runs, failing_control),
        "survival": (few_trajectories, partial(single_fits, baselines=baselines), unlike_fits),
        "recheck": (failed_rechecks,),
        "robustness": (cheaper_control, missing_md_errors),
        "rank_agreement": (unknown_agreement,),
        **MELTING_POINT_CHECKS,
        **ACTIVE_LEARNING_CHECKS,
    }
    found = []
    for name, functions in checks.items():
        table = tables.get(name)
        if table is not None and len(table):
            found += [flag for function in functions for flag in function(table)]
    return found + unsaid(tables, found)


def unconverged_fits(curves: pd.DataFrame) -> list[Flag]:
    """Fits whose validation error was still falling, by model."""
    fits = curves.drop_duplicates(["dataset", "model", "train_size", "seed"])
    fits = fits[fits["family"] != BASELINE_FAMILY]
    found = []
    for (dataset, model), group in fits.groupby(["dataset", "model"], sort=False):
        open_fits = group[group["converged"].map(is_false)]
        if len(open_fits):
            sizes = ", ".join(str(size) for size in sorted(open_fits["train_size"].unique()))
            found.append(
                Flag(
                    f"Fits of {model} on {dataset} that had not converged (N = {sizes})",
                    f"{len(open_fits)} of {len(group)}",
                    "The validation error still fell by more than 3 % over the last fifth of the steps: "
                    "these points measure the length of the fit as well as the data.",
                )
            )
    return found


def missing_errors(curves: pd.DataFrame) -> list[Flag]:
    """Rows of the learning curves without a force error."""
    missing = curves[curves["force_mae_meV_per_A"].isna()]
    return [
        Flag(f"Learning-curve rows of {model} on {dataset} without a number", f"{len(group)}", "See the job's log.")
        for (dataset, model), group in missing.groupby(["dataset", "model"], sort=False)
    ]


def failed_predictions(curves: pd.DataFrame) -> list[Flag]:
    """Test frames for which a model gave no numbers."""
    if "n_test_frames_failed" not in curves:
        return []
    failed = curves[curves["n_test_frames_failed"] > 0]
    failed = failed.assign(total=failed["n_test_frames_failed"] + failed["n_test_frames"])
    return [
        Flag(
            f"Test frames of {test_set} ({dataset}) for which {model} gave no numbers",
            f"{group['n_test_frames_failed'].sum()} of {group['total'].sum()}",
            "They are missing from the test error, which may be too low.",
        )
        for (dataset, model, test_set), group in failed.groupby(["dataset", "model", "test_set"], sort=False)
    ]


def single_seeds(curves: pd.DataFrame) -> list[Flag]:
    """Datasets whose fits have one seed only."""
    learned = curves[curves["family"] != BASELINE_FAMILY]
    return [
        Flag(
            f"Learning curves on {dataset}",
            "1 seed",
            "The spread over seeds, and with it small differences, is unknown.",
        )
        for dataset, group in learned.groupby("dataset", sort=False)
        if group["seed"].nunique() == 1
    ]


def weak_slopes(slopes: pd.DataFrame) -> list[Flag]:
    """Slopes through too few points."""
    weak = slopes[slopes["n_points"] < FEWEST_POINTS]
    return [
        Flag(
            f"Slope of {row['model']} on {row['dataset']}, {row['test_set']}",
            f"{row['n_points']:g} points",
            "Too few to fit.",
        )
        for _, row in weak.iterrows()
    ]


def few_seeds_of_slopes(slopes: pd.DataFrame) -> list[Flag]:
    """Slopes whose interval takes noise to go on through nested subsets, for want of seeds."""
    if "interval_from" not in slopes:
        return []
    assumed = slopes[slopes["interval_from"].astype(str).str.contains("nested")]
    return [
        Flag(
            f"Intervals of slopes on {dataset}: one or two seeds",
            f"{len(group)} of {(slopes['dataset'] == dataset).sum()} slopes",
            "They take the noise of a fit to go on to the next size, and so cover the truth in up to 99 % of cases; "
            "from three seeds on the slopes of the seeds give an interval that covers it in 95 %.",
        )
        for dataset, group in assumed.groupby("dataset", sort=False)
    ]


def unfinished_runs(outcomes: pd.DataFrame) -> list[Flag]:
    """Trajectories that ended for a reason that says nothing of the potential."""
    reasons = {
        "timeout": "Stopped by the wall-time limit: counted as censored, neither survived nor failed.",
        "engine_error": "The engine itself failed: counted as a failure, the cause is in stability.csv.",
    }
    found = []
    for key, group in outcomes.groupby(["dataset", "model", "train_size", "temperature_K"], sort=False):
        dataset, model, size, temperature = key
        for outcome, why in reasons.items():
            hit = int((group["outcome"] == outcome).sum())
            if hit:
                what = f"MD of {model} (N = {size:g}) on {dataset} at {temperature:g} K: {outcome.replace('_', ' ')}"
                found.append(Flag(what, f"{hit} of {len(group)} trajectories", why))
    return found


def failing_control(outcomes: pd.DataFrame) -> list[Flag]:
    """Trajectories of the control that failed: there, a model may fail for good reasons."""
    control = outcomes[(outcomes["model"] == REFERENCE_MODEL)]
    found = []
    for (dataset, temperature), group in control.groupby(["dataset", "temperature_K"], sort=False):
        failed = group[~group["outcome"].isin(["completed", "timeout", "engine_error"])]
        if len(failed):
            kinds = ", ".join(sorted(kind.replace("_", " ") for kind in failed["outcome"].unique()))
            found.append(
                Flag(
                    f"Control on {dataset} at {temperature:g} K: {kinds}",
                    f"{len(failed)} of {len(group)} trajectories",
                    "The reference method itself meets the criteria of failure here: compare with it, not with zero.",
                )
            )
    return found


def few_trajectories(survival: pd.DataFrame) -> list[Flag]:
    """Groups with too few trajectories for the tests."""
    few = survival[survival["n_replicas"] < FEWEST_TRAJECTORIES]
    return [
        Flag(
            f"Survival on {dataset}: groups of fewer than {FEWEST_TRAJECTORIES} trajectories",
            f"{len(group)} of {(survival['dataset'] == dataset).sum()} groups",
            "Only the grossest differences can show in tests, and the intervals are wide.",
        )
        for dataset, group in few.groupby("dataset", sort=False)
    ]


def single_fits(survival: pd.DataFrame, baselines: Sequence[str]) -> list[Flag]:
    """Models whose survival is that of one fit at each training size, without the baselines, which learn nothing."""
    fitted = survival[~survival["model"].isin([REFERENCE_MODEL, *baselines])]
    return [
        Flag(
            f"Survival on {dataset}: all trajectories of a group run with one fit",
            f"{len(group)} of {(fitted['dataset'] == dataset).sum()} groups",
            "What differs between two fits may be due to their seeds: the tests do not know how another fit would do.",
        )
        for dataset, group in fitted[fitted["n_seeds"] == 1].groupby("dataset", sort=False)
    ]


def unlike_fits(survival: pd.DataFrame) -> list[Flag]:
    """Models whose fits (seeds) of one size differ in survival by more than chance."""
    found = []
    for (dataset, model, temperature), group in survival.groupby(["dataset", "model", "temperature_K"], sort=False):
        unlike = group[group["seeds_p_value"] < SIGNIFICANCE]
        if len(unlike):
            sizes = ", ".join(f"{size:g}" for size in sorted(unlike["train_size"]))
            found.append(
                Flag(
                    f"Fits of {model} on {dataset} at {temperature:g} K that live unlike each other (N = {sizes})",
                    f"{len(unlike)} of {len(group)} sizes",
                    "Intervals and tests of survival take trajectories to be independent; they are too sure where "
                    "fits that differ in their seed alone differ in survival (log-rank, p < 0.05).",
                )
            )
    return found


def cheaper_control(robustness: pd.DataFrame) -> list[Flag]:
    """Datasets whose control ran with another method than the one that rechecks."""
    rows = robustness[(robustness["model"] == REFERENCE_MODEL) & (robustness["run_by"] != robustness["rechecked_by"])]
    return [
        Flag(
            f"Control on {dataset} ran with {group['run_by'].iloc[0]}, not {group['rechecked_by'].iloc[0]}",
            "",
            f"Whether {group['rechecked_by'].iloc[0]} itself would survive the protocol is not known.",
        )
        for dataset, group in rows.groupby("dataset", sort=False)
    ]


def missing_md_errors(robustness: pd.DataFrame) -> list[Flag]:
    """Models without an error in MD."""
    return [
        Flag(
            f"MD error of {row['model']} (N = {row['train_size']:g}) on {row['dataset']} at {row['temperature_K']:g} K",
            "no number",
            f"{row['reason']}.",
        )
        for _, row in robustness[robustness["md_force_mae_meV_per_A"].isna()].iterrows()
    ]


def unknown_agreement(agreement: pd.DataFrame) -> list[Flag]:
    """Rank correlations, or their intervals, that the data do not give."""
    unknown = agreement[agreement["kendall_tau"].isna() | agreement["ci_low"].isna()]
    return [
        Flag(
            f"Rank agreement of {_order(row)} on {row['dataset']} at {row['temperature_K']:g} K",
            f"{row['n_points']} {row['over']}",
            f"{'No number' if np.isnan(row['kendall_tau']) else 'No interval'}: {row['reason']}.",
        )
        for _, row in unknown.iterrows()
    ]


def _order(row: pd.Series) -> str:
    if row["over"] == "frames":
        return f"committee spread and force error of {row['model']} (N = {row['train_size']:g})"
    return "static force error and " + ("failure rate" if row["y"] == "failure_rate_per_ns" else "force error in MD")


def failed_rechecks(recheck: pd.DataFrame) -> list[Flag]:
    """Frames that the reference method, or the model itself, could not compute."""
    keys = ["dataset", "model", "train_size", "temperature_K"]
    found = []
    for (dataset, model, size, temperature), group in recheck.groupby(keys, sort=False):
        for who, column in (("the reference method", "reference_status"), ("the model", "model_status")):
            failed = group[group[column] != "ok"] if column in group else group[:0]
            if len(failed):
                kinds = ", ".join(sorted({str(status).replace("_", " ") for status in failed[column]}))
                found.append(
                    Flag(
                        f"Frames of {model} (N = {size:g}) on {dataset} at {temperature:g} K, by {who}: {kinds}",
                        f"{len(failed)} of {len(group)} frames",
                        "These frames are missing from the MD error, which may be too low.",
                    )
                )
    return found


def card_flags(folder: Path) -> list[Flag]:
    """What the datasets' own cards warn of."""
    return [
        Flag(f"Dataset {path.parent.name}", "", str(warning))
        for path in sorted(folder.glob("*/card.json"))
        for warning in read_json(path).get("warnings", [])
    ]
