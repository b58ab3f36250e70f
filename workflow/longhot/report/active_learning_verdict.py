"""What active learning brought, in sentences made from its tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from longhot.report.columns import STRATEGIES
from longhot.report.statements import SIGNIFICANCE, Flag, Sentence, is_false, listed, number

if TYPE_CHECKING:
    import pandas as pd

TOPIC = "Active learning"
METRICS = {
    "md_force_mae_meV_per_A": "the force error on its own MD",
    "hot_force_mae_meV_per_A": "the force error on the hot test set",
    "force_mae_meV_per_A": "the force error on the test set",
}


def active_learning(tables: dict[str, pd.DataFrame]) -> list[Sentence]:
    """All sentences that the tables allow.

    Args:
        tables: by name; ``active_learning`` and ``active_learning_comparison`` count.
    """
    rounds = tables.get("active_learning")
    if rounds is None or rounds.empty:
        return []
    sentences = []
    comparison = tables["active_learning_comparison"]
    for (dataset, model), own in rounds.groupby(["dataset", "model"], sort=False):
        compared = comparison[(comparison["dataset"] == dataset) & (comparison["model"] == model)]
        where = f"{model} on {dataset}"
        sentences += [progress(own, where)]
        sentences += [against_random(group, own, where) for _, group in compared.groupby("strategy", sort=False)]
        sentences += tolerance(own)
    trace = tables["active_learning_online"]
    return sentences + [online(own) for _, own in trace.groupby(["dataset", "model"], sort=False)]


def online(trace: pd.DataFrame) -> Sentence:
    """What a run that learns on the fly saved, and how wrong it was by the audits."""
    last = trace.iloc[-1]
    audits = trace.loc[trace["kind"] == "audit", "true_meV_per_A"].dropna()
    error = f"; audits find a mean error of {number(audits.mean())} meV/Å on the worst atom" if len(audits) else ""
    text = (
        f"Learning on the fly, {last['model']} on {last['dataset']} ran {number(last['time_ps'])} ps with "
        f"{last['n_calls']:.0f} call{'' if last['n_calls'] == 1 else 's'} of the reference and "
        f"{last['n_initial']:.0f} initial labels: "
        f"{100 * last['share_saved']:.1f} % of the {last['step'] + 1:.0f} frames needed none{error}."
    )
    if last["outcome"] == "completed":
        return Sentence(TOPIC, text)
    ending = f"{str(last['outcome']).replace('_', ' ')} ({last['cause']})"
    return Sentence(TOPIC, f"{text} It ended early: {ending}.", "warning")


def progress(rounds: pd.DataFrame, where: str) -> Sentence:
    """What any strategy brought from the first to the last round."""
    first, last = (rounds[rounds["round"] == one] for one in (rounds["round"].min(), rounds["round"].max()))
    parts = []
    for strategy, own in last.groupby("strategy", sort=False):
        parts.append(
            f"{number(own['md_force_mae_meV_per_A'].mean())} meV/Å by {_name(strategy)} "
            f"({100 * own['survival_at_end'].mean():.0f} % of the replicas survive)"
        )
    text = (
        f"{where}, from {first['n_labels'].max():.0f} to {last['n_labels'].max():.0f} labels, "
        f"{last['seed'].nunique()} seeds: the force error on its own MD goes from "
        f"{number(first['md_force_mae_meV_per_A'].mean())} meV/Å "
        f"({100 * first['survival_at_end'].mean():.0f} % survive) to {listed(parts)}."
    )
    return Sentence(TOPIC, text)


def against_random(comparison: pd.DataFrame, rounds: pd.DataFrame, where: str) -> Sentence:
    """Whether a strategy beats random choice at the same number of labels, by more than chance."""
    strategy = comparison["strategy"].iloc[0]
    rows = {row["metric"]: row for _, row in comparison.iterrows()}
    parts, verdicts = [], []
    for metric, name in METRICS.items():
        row = rows.get(metric)
        if row is None or not np.isfinite(row["effect"]):
            continue
        is_real = bool(row["p_value_adjusted"] < SIGNIFICANCE)
        verdicts.append((is_real, row["effect"] < 1))
        interval = f" [{number(row['ci_low'])}, {number(row['ci_high'])}]" if np.isfinite(row["ci_low"]) else ""
        parts.append(f"{name} is {number(row['effect'])}{interval} times that of random choice")
    survival = rows.get("survival_at_end")
    if survival is not None and np.isfinite(survival["effect"]):
        parts.append(f"survival differs by {100 * survival['effect']:+.0f} points".replace("-", "−"))
    n_labels = int(comparison["n_labels"].max())
    text = f"At {n_labels} labels and chosen by {_name(strategy)}, {listed(parts)}: {_judged(verdicts)}."
    return Sentence(TOPIC, text, "finding" if any(real for real, _ in verdicts) else "warning")


def _judged(verdicts: list[tuple[bool, bool]]) -> str:
    real = [is_better for is_real, is_better in verdicts if is_real]
    if not real:
        return "no difference is beyond chance at this budget and number of seeds"
    mixed = "it helped in some and did harm in others"
    kind = "it helped" if all(real) else mixed if any(real) else "it did harm"
    basis = "paired t-tests over seeds, adjusted for their number"
    return f"{kind} ({len(real)} of {len(verdicts)} differences in error are beyond chance, {basis})"


def tolerance(rounds: pd.DataFrame) -> list[Sentence]:
    """Loops that ended since what they chose was within the tolerance."""
    done = rounds[~rounds["converged"].map(is_false)]
    if done.empty:
        return []
    names = [_name(one) for one in dict.fromkeys(done["strategy"])]
    n_loops = done.groupby(["strategy", "seed"]).ngroups
    text = f"Frames chosen by {listed(names)} came within the tolerance in {n_loops} loops, which then stopped."
    return [Sentence(TOPIC, text)]


def _name(strategy: object) -> str:
    return STRATEGIES.get(str(strategy), str(strategy))


def few_seeds(comparison: pd.DataFrame) -> list[Flag]:
    """Comparisons that rest on fewer than three pairs, or on none."""
    weak = comparison[comparison["n_seeds"] < 3]
    if weak.empty:
        return []
    why = "A t-test over so few pairs finds only huge differences; run more seeds."
    return [Flag("Comparisons of strategies over fewer than 3 seeds", f"{len(weak)} of {len(comparison)}", why)]


def unequal_labels(comparison: pd.DataFrame) -> list[Flag]:
    """Comparisons at different numbers of labels, or with seeds left out."""
    said = comparison[comparison["reason"].notna()]
    if said.empty:
        return []
    return [
        Flag(
            "Comparisons of strategies with a reason attached",
            f"{len(said)} of {len(comparison)}",
            "; ".join(dict.fromkeys(said["reason"])) + ".",
        )
    ]


CHECKS = {"active_learning_comparison": (few_seeds, unequal_labels)}
