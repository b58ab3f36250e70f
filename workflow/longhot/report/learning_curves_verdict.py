"""What a study says of learning curves: accuracy, slopes, orders of a model, the baseline, other test sets."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np

from longhot.config import REFERENCE_MODEL
from longhot.report.statements import Sentence, is_false, listed, number, signed

if TYPE_CHECKING:
    import pandas as pd

BASELINE_FAMILY = "nonml"
FORCE_ERROR = "force_mae_meV_per_A"


def main_test_set(names: list[str]) -> str:
    """The in-distribution test set: ``test``, or the first where none is called so."""
    return "test" if "test" in names else names[0]


def mean_errors(curves: pd.DataFrame) -> pd.DataFrame:
    """Mean, smallest and largest force error over seeds.

    Returns:
        One row for each dataset, model, test set and training size, with columns ``mean``, ``low``,
        ``high`` (meV/A), ``seeds``, ``unconverged`` (number of fits) and the model's family and orders.
    """
    curves = curves[curves["model"] != REFERENCE_MODEL]
    keys = ["dataset", "model", "test_set", "train_size"]
    grouped = curves.assign(unconverged=curves["converged"].map(is_false)).groupby(keys, sort=False)
    return grouped.agg(
        mean=(FORCE_ERROR, "mean"),
        low=(FORCE_ERROR, "min"),
        high=(FORCE_ERROR, "max"),
        seeds=("seed", "nunique"),
        unconverged=("unconverged", "sum"),
        family=("family", "first"),
        max_L=("max_L", "first"),
        correlation=("correlation", "first"),
    ).reset_index()


def _main(errors: pd.DataFrame) -> pd.DataFrame:
    return errors[errors["test_set"] == main_test_set(list(errors["test_set"].unique()))]


def _learned(errors: pd.DataFrame) -> pd.DataFrame:
    return errors[errors["family"] != BASELINE_FAMILY]


def _at_largest(errors: pd.DataFrame) -> pd.DataFrame:
    return errors[errors["train_size"] == errors["train_size"].max()]


def _spread(row: pd.Series) -> str:
    if row["seeds"] == 1:
        return "one seed"
    return f"{row['seeds']} seeds: {number(row['low'])} to {number(row['high'])}"


def _best(errors: pd.DataFrame) -> pd.Series | None:
    """The learned model with the smallest error on the main test set at the largest training size."""
    candidates = _at_largest(_learned(_main(errors))).dropna(subset=["mean"])
    return None if candidates.empty else candidates.loc[candidates["mean"].idxmin()]


def accuracy(errors: pd.DataFrame, where: str = "") -> list[Sentence]:
    """Which learned model has the smallest static error, and what more data did for it."""
    best = _best(errors)
    if best is None:
        return []
    text = (
        f"{where}With {best['train_size']} training frames, {best['model']} has the smallest mean absolute force "
        f"error on the test set {best['test_set']}: {number(best['mean'])} meV/Å ({_spread(best)})."
    )
    others = errors[(errors["model"] == best["model"]) & (errors["test_set"] == best["test_set"])]
    first = others.loc[others["train_size"].idxmin()]
    if first["train_size"] < best["train_size"] and np.isfinite(first["mean"]):
        text += f" With {first['train_size']} frames its error is {number(first['mean'])} meV/Å."
    rivals = _at_largest(_learned(_main(errors)))
    rivals = rivals[(rivals["model"] != best["model"]) & (rivals["low"] <= best["high"]) & (best["seeds"] > 1)]
    if len(rivals):
        text += f" The seeds do not tell it apart from {listed(list(rivals['model']))}."
    return [Sentence("Static accuracy", text)]


def scaling(slopes: pd.DataFrame | None, errors: pd.DataFrame, dataset: str, where: str = "") -> list[Sentence]:
    """How fast errors fall with data: the slope of the best model, the range of all, and who does not learn."""
    if slopes is None or slopes.empty:
        return []
    ours = slopes[(slopes["dataset"] == dataset) & (slopes["test_set"] == _main(errors)["test_set"].iloc[0])]
    ours = ours[ours["model"].isin(_learned(errors)["model"])].dropna(subset=["slope"])
    if "quantity" in ours:
        ours = ours[ours["quantity"].astype(str).str.contains("force")]
    best = _best(errors)
    if ours.empty or best is None:
        return []
    sentences = []
    mine = ours[ours["model"] == best["model"]]
    if len(mine):
        row = mine.iloc[0]
        sentences.append(
            f"The force error of {row['model']} falls with the number N of training frames as N^s with "
            f"s = {signed(row['slope'])}{_interval(row)}."
        )
    if len(ours) > 1:
        sentences.append(
            f"Over all {len(ours)} learned models s runs from {signed(ours['slope'].min())} to "
            f"{signed(ours['slope'].max())}."
        )
    found = [Sentence("Learning from data", where + " ".join(sentences))] if sentences else []
    idle = list(ours[ours["slope_ci_high"] >= 0]["model"])
    if idle:
        text = f"{where}For {listed(idle)} the interval of s includes zero: no gain from more data is shown."
        found.append(Sentence("Learning from data", text, "warning"))
    return found


def _interval(row: pd.Series) -> str:
    if not np.isfinite([row["slope_ci_low"], row["slope_ci_high"]]).all():
        return " (no interval)"
    return f" (95 % interval {signed(row['slope_ci_low'])} to {signed(row['slope_ci_high'])})"


def ladder(errors: pd.DataFrame, where: str, step: str, held: str) -> list[Sentence]:
    """What raising one order does to the error at the largest training size, the other order held.

    Args:
        errors: of one dataset, from ``mean_errors``.
        where: prefix that names the dataset.
        step: ``correlation`` or ``max_L``, the order that is raised.
        held: the other one.
    """
    topic = {"correlation": "Body order", "max_L": "Equivariance"}[step]
    names = {"correlation": "correlation ν", "max_L": "max L"}
    rows = _at_largest(_learned(_main(errors))).dropna(subset=["mean", "max_L", "correlation"])
    sentences = []
    for (family, level), group in rows.groupby(["family", held]):
        if group[step].duplicated().any() or len(group) < 2:
            continue  # further hyperparameters differ: nothing is held
        ordered = [row for _, row in group.sort_values(step).iterrows()]
        steps = [
            f"from {low[step]:g} to {high[step]:g} {_change(low, high)}" for low, high in itertools.pairwise(ordered)
        ]
        text = (
            f"{where}At {names[held]} = {level:g} and {ordered[0]['train_size']} training frames ({family}), raising "
            f"{names[step]} {'; '.join(steps)}."
        )
        sentences.append(Sentence(topic, text))
    return sentences


def _change(low: pd.Series, high: pd.Series) -> str:
    """How the error changes between two models, and whether the seeds can tell."""
    ratio = low["mean"] / high["mean"]
    verb, factor = ("divides", ratio) if ratio >= 1 else ("multiplies", 1 / ratio)
    text = f"{verb} the force error by {factor:.2f} ({number(low['mean'])} to {number(high['mean'])} meV/Å"
    if min(low["seeds"], high["seeds"]) == 1:
        return f"{text}; one seed, so the spread is unknown)"
    apart = low["low"] > high["high"] or low["high"] < high["low"]
    return f"{text}; {'every seed agrees' if apart else 'the seeds overlap, so this is no clear difference'})"


def baseline(errors: pd.DataFrame, where: str = "") -> list[Sentence]:
    """Which learned models beat the cheap physical methods, and from which training size on."""
    rows = _main(errors)
    sentences = []
    for name, cheap in rows[rows["family"] == BASELINE_FAMILY].groupby("model", sort=False):
        limit = cheap["mean"].min()
        head = f"{where}The baseline without machine learning, {name}, has a force error of {number(limit)} meV/Å."
        always, partly, never = [], [], []
        for model, group in _learned(rows).groupby("model", sort=False):
            beats = group.sort_values("train_size").set_index("train_size")["mean"] < limit
            if beats.all():
                always.append(str(model))
            elif beats.iloc[-1]:
                since = beats.index[~beats].max()
                partly.append(f"{model} (from {beats.index[beats.index > since].min()} frames on)")
            else:
                never.append(str(model))
        parts = [
            f"{verb} {listed(models)}"
            for verb, models in (("beaten at every training size by", always), ("beaten in part by", partly))
            if models
        ]
        if parts:
            sentences.append(Sentence("Against physics", f"{head} It is {', and '.join(parts)}."))
        if never:
            text = "" if parts else head + " "
            text += (
                f"{listed(never)} {'does' if len(never) == 1 else 'do'} not beat {name} with the largest training set."
            )
            sentences.append(Sentence("Against physics", text if not parts else where + text, "warning"))
    return sentences


def extrapolation(errors: pd.DataFrame, where: str = "") -> list[Sentence]:
    """The best model's error on each further test set, as a multiple of that on the main one."""
    best = _best(errors)
    if best is None:
        return []
    same = _at_largest(errors[(errors["model"] == best["model"]) & (errors["test_set"] != best["test_set"])])
    sentences = []
    for _, row in same.dropna(subset=["mean"]).iterrows():
        text = (
            f"{where}On {row['test_set']} the force error of {row['model']} with {row['train_size']} frames is "
            f"{number(row['mean'])} meV/Å, {row['mean'] / best['mean']:.2f} times that on {best['test_set']}."
        )
        winner = _at_largest(_learned(errors[errors["test_set"] == row["test_set"]]))
        winner_row = winner.loc[winner["mean"].idxmin()]
        if winner_row["model"] != row["model"]:
            text += f" The smallest there is that of {winner_row['model']}: {number(winner_row['mean'])} meV/Å."
        sentences.append(Sentence("Extrapolation", text))
    return sentences
