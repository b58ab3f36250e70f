"""What a study says of MD: the control, survival, what failures were, and the error on visited frames."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from longhot.config import REFERENCE_MODEL
from longhot.report.statements import SIGNIFICANCE, Sentence, listed, number, p_text

if TYPE_CHECKING:
    import pandas as pd

NOTABLE_RATIO = 2.0
"""MD error over static error from which the static test is said to mislead."""
MOST_PAIRS = 4
"""Pairs of models or training sizes that a sentence names."""


def control(robustness: pd.DataFrame, where: str = "") -> list[Sentence]:
    """Which method ran the control, and how far it errs from the one that rechecks where that is another."""
    rows = robustness[robustness["model"] == REFERENCE_MODEL].sort_values("temperature_K")
    if rows.empty:
        return []
    run_by, rechecked_by = rows[["run_by", "rechecked_by"]].iloc[0]
    if run_by == rechecked_by:
        text = f"{where}The control ran with {run_by}, the method that also computed the visited frames again."
        return [Sentence("Control", text)]
    errors = [
        f"{number(row['md_force_mae_meV_per_A'])} meV/Å at {row['temperature_K']:g} K"
        for _, row in rows.dropna(subset=["md_force_mae_meV_per_A"]).iterrows()
    ]
    text = (
        f"{where}The control ran with {run_by} in place of {rechecked_by}, which computed the visited frames again: "
        f"what it survives, {rechecked_by} may not."
    )
    if errors:
        text += f" On its own frames the force error of {run_by} against {rechecked_by} is {listed(errors)}."
    return [Sentence("Control", text, "warning")]


def stability(survival: pd.DataFrame, tests: pd.DataFrame, where: str = "") -> list[Sentence]:
    """What survives how long at each temperature, the control first, and what the log-rank tests tell apart.

    Args:
        survival: survival.csv of one dataset.
        tests: survival_tests.csv of the same.
        where: prefix that names the dataset.
    """
    sentences = []
    for temperature, rows in survival.groupby("temperature_K"):
        head = f"{where}At {temperature:g} K"
        within = f"{head}, within {number(rows['end_ps'].max())} ps,"
        if not rows["n_failed"].any():
            if rows["failure_rate_ci_high"].isna().all():
                sentences.append(Sentence("Survival in MD", f"{head} no trajectory had time to run.", "warning"))
                continue
            text = (
                f"{within} none of {rows['n_replicas'].sum()} trajectories failed, models and control together: at "
                f"most {number(rows['failure_rate_ci_high'].max())} failures per ns in each group."
            )
            sentences.append(Sentence("Survival in MD", text))
            continue
        reference, models = rows[rows["model"] == REFERENCE_MODEL], rows[rows["model"] != REFERENCE_MODEL]
        told = [f"the control keeps {_kept(row)}" for _, row in reference.iterrows()] or ["no control was run"]
        for model, group in models.groupby("model", sort=False):
            told.append(
                f"{model} keeps {listed([_kept(row) for _, row in group.sort_values('train_size').iterrows()])}"
            )
        sentences += [Sentence("Survival in MD", f"{within if one is told[0] else head} {one}.") for one in told]
        sentences += _told_apart(tests[tests["temperature_K"] == temperature], rows, head)
        sentences += _unlike_fits(models, head)
    return sentences


def _unlike_fits(models: pd.DataFrame, head: str) -> list[Sentence]:
    """Warn where the fits of a group differ: its trajectories are then not independent."""
    several = models[models["n_seeds"] > 1]
    unlike = several[several["seeds_p_value"] < SIGNIFICANCE]
    if unlike.empty:
        return []
    text = (
        f"{head} fits that differ in their seed alone live unlike each other for {len(unlike)} of {len(several)} "
        "models and training sizes (log-rank tests): intervals and p-values are of these fits, and too sure for others."
    )
    return [Sentence("Survival in MD", text, "warning")]


def _kept(row: pd.Series) -> str:
    """How many trajectories of a group did not fail, its failure rate, and when half of them had failed."""
    said = [f"N = {row['train_size']:g}"] if row["model"] != REFERENCE_MODEL else []
    if np.isnan(row["failure_rate_per_ns"]):
        said.append("all failed at once" if row["n_failed"] else "no time to run")
    elif row["n_failed"]:
        interval = f"[{number(row['failure_rate_ci_low'])}, {number(row['failure_rate_ci_high'])}]"
        said.append(f"{number(row['failure_rate_per_ns'])} {interval} failures per ns")
    else:
        said.append(f"at most {number(row['failure_rate_ci_high'])} failures per ns")
    if np.isfinite(row["median_survival_ps"]):
        said.append(f"half gone after {number(row['median_survival_ps'])} ps")
    return f"{int(row['n_replicas'] - row['n_failed'])} of {int(row['n_replicas'])} ({'; '.join(said)})"


def _sized(model: object, size: float, more: str = "") -> str:
    return f"{model} (N = {size:g}{more})"


def _told_apart(tests: pd.DataFrame, survival: pd.DataFrame, head: str) -> list[Sentence]:
    """What the log-rank tests of one temperature tell from the control, and models and sizes from each other."""
    # A group that failed at once has no rate, for it fails faster than any other; nor has one that had no time to run.
    groups = survival.set_index(["model", "train_size"])
    rates = groups["failure_rate_per_ns"].fillna((groups["n_failed"] > 0).map({True: np.inf, False: 0.0}))
    own, other = (list(zip(tests[f"{one}model"], tests[f"{one}train_size"], strict=True)) for one in ("", "against_"))
    tests = tests.assign(
        own=own,
        other=other,
        apart=tests["p_value_adjusted"] < SIGNIFICANCE,
        is_worse=[rates[first] > rates[second] for first, second in zip(own, other, strict=True)],
    )
    of_control = tests["against_model"] == REFERENCE_MODEL
    return _against_control(tests[of_control], head) + _among_models(tests[~of_control], head)


def _against_control(tests: pd.DataFrame, head: str) -> list[Sentence]:
    def named(rows: pd.DataFrame) -> str:
        pairs = zip(rows["own"], rows["p_value_adjusted"], strict=True)
        return listed([_sized(model, size, f"; {p_text(p_value)}") for (model, size), p_value in pairs])

    worse, better = (tests[tests["apart"] & (tests["is_worse"] == one)] for one in (True, False))
    unsure = tests[~tests["apart"]]
    sentences = []
    if len(worse):
        text = f"{head} log-rank tests show shorter lives than in the control for {named(worse)}."
        sentences.append(Sentence("Survival in MD", text, "warning"))
    if len(better):
        text = f"{head} log-rank tests show longer lives than in the control for {named(better)}."
        sentences.append(Sentence("Survival in MD", text))
    if len(unsure):
        text = f"{head} log-rank tests do not tell from the control: {listed([_sized(*one) for one in unsure['own']])}."
        sentences.append(Sentence("Survival in MD", text))
    return sentences


def _among_models(tests: pd.DataFrame, head: str) -> list[Sentence]:
    if tests.empty:
        return []
    apart = tests[tests["apart"]].sort_values("p_value_adjusted", kind="stable")
    count = f"{len(apart) or 'none'} of {len(tests)} {'pair' if len(tests) == 1 else 'pairs'}"
    text = f"{head} log-rank tests tell apart {count} of models or training sizes"
    pairs = []
    for _, row in apart.head(MOST_PAIRS).iterrows():
        longer, shorter = (row["other"], row["own"]) if row["is_worse"] else (row["own"], row["other"])
        pairs.append(f"{_sized(*longer)} outlives {_sized(*shorter)}, {p_text(row['p_value_adjusted'])}")
    if len(apart) > MOST_PAIRS:
        text += f", the {MOST_PAIRS} clearest of them"
    return [Sentence("Survival in MD", text + (f": {'; '.join(pairs)}." if pairs else "."))]


def failure_kinds(outcomes: pd.DataFrame) -> list[Sentence]:
    """What ended the trajectories that failed."""
    failed = outcomes[~outcomes["outcome"].isin(["completed", "timeout"]) & (outcomes["model"] != REFERENCE_MODEL)]
    total = int((outcomes["model"] != REFERENCE_MODEL).sum())
    if not total:
        return []
    if failed.empty:
        return [Sentence("Survival in MD", f"None of the {total} trajectories of models failed.")]
    kinds = [f"{kind.replace('_', ' ')} ({count})" for kind, count in failed["outcome"].value_counts().items()]
    earliest = failed["failure_time_ps"].min()
    text = f"Of {total} trajectories of models {len(failed)} failed: {listed(kinds)}."
    return [Sentence("Survival in MD", f"{text} The first failure came after {number(earliest)} ps.")]


def own_dynamics(robustness: pd.DataFrame, where: str = "") -> list[Sentence]:
    """The error on the frames that each model visits, against its static error, at the highest temperature."""
    rows = robustness[(robustness["model"] != REFERENCE_MODEL)].dropna(subset=["error_ratio"])
    if rows.empty:
        return []
    temperature = rows["temperature_K"].max()
    hottest = rows[rows["temperature_K"] == temperature]
    sentences = []
    for model, group in hottest.groupby("model", sort=False):
        ratios = [_ratio(row) for _, row in group.sort_values("train_size").iterrows()]
        text = (
            f"{where}On the frames that {model} visits in its own MD at {temperature:g} K, its force error is "
            f"{listed(ratios)} its static test error."
        )
        sentences.append(Sentence("Error in MD", text))
    misled = hottest[hottest["error_ratio"] >= NOTABLE_RATIO]
    if len(misled):
        names = [f"{row['model']} (N = {row['train_size']:g})" for _, row in misled.iterrows()]
        text = f"{where}The static test understates the error in MD by a factor of {NOTABLE_RATIO:g} or more for "
        sentences.append(Sentence("Error in MD", text + listed(names) + ".", "warning"))
    return sentences


def _ratio(row: pd.Series) -> str:
    pair = f"{number(row['md_force_mae_meV_per_A'])} against {number(row['static_force_mae_meV_per_A'])} meV/Å"
    return f"{row['error_ratio']:.2f} times (N = {row['train_size']:g}: {pair})"
