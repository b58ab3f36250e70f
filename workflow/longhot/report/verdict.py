"""The verdict of a study: sentences made from its tables, and from nothing else.

Each function takes tables as DataFrames, with the columns of the contracts, and returns sentences.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np

from longhot.config import REFERENCE_MODEL
from longhot.report.active_learning_verdict import active_learning
from longhot.report.melting_point_verdict import melting_point
from longhot.report.statements import Sentence, is_false, listed, number, place, signed
from longhot.report.structure_search_verdict import structure_search

if TYPE_CHECKING:
    import pandas as pd

BASELINE_FAMILY = "nonml"
FORCE_ERROR = "force_mae_meV_per_A"
NOTABLE_RATIO = 2.0
"""MD error over static error from which the static test is said to mislead."""
SIGNIFICANCE = 0.05
"""P-value below which groups are told apart, and orders are said to agree."""
MOST_PAIRS = 4
"""Pairs of models or training sizes that a sentence names."""


def verdict(tables: dict[str, pd.DataFrame]) -> list[Sentence]:
    """All sentences that the tables at hand allow, in reading order.

    Args:
        tables: by name, such as ``learning_curves``; a question that was not asked has no table.
    """
    sentences: list[Sentence] = []
    curves = tables.get("learning_curves")
    if curves is not None and len(curves):
        slopes = tables.get("learning_curve_slopes")
        for dataset, of_dataset in curves.groupby("dataset", sort=False):
            errors = mean_errors(of_dataset)
            where = place(curves, dataset)
            sentences += accuracy(errors, where)
            sentences += scaling(slopes, errors, str(dataset), where)
            sentences += ladder(errors, where, "correlation", "max_L")
            sentences += ladder(errors, where, "max_L", "correlation")
            sentences += baseline(errors, where)
            sentences += extrapolation(errors, where)
    robustness = tables.get("robustness")
    if robustness is not None and len(robustness):
        survival, tests, agreement = (tables[name] for name in ("survival", "survival_tests", "rank_agreement"))
        for dataset, of_dataset in robustness.groupby("dataset", sort=False):
            where = place(robustness, dataset)
            sentences += control(of_dataset, where)
            sentences += stability(_of(survival, dataset), _of(tests, dataset), where)
            sentences += own_dynamics(of_dataset, where)
            sentences += static_order(_of(agreement, dataset), where)
            sentences += committee_spread(_of(agreement, dataset), where)
        sentences += failure_kinds(tables["stability"])
    return sentences + melting_point(tables) + active_learning(tables) + structure_search(tables)


def _of(table: pd.DataFrame, dataset: object) -> pd.DataFrame:
    return table[table["dataset"] == dataset]


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
        said.append("all failed at once")
    elif row["n_failed"]:
        interval = f"[{number(row['failure_rate_ci_low'])}, {number(row['failure_rate_ci_high'])}]"
        said.append(f"{number(row['failure_rate_per_ns'])} {interval} failures per ns")
    else:
        said.append(f"at most {number(row['failure_rate_ci_high'])} failures per ns")
    if np.isfinite(row["median_survival_ps"]):
        said.append(f"half gone after {number(row['median_survival_ps'])} ps")
    return f"{int(row['n_replicas'] - row['n_failed'])} of {int(row['n_replicas'])} ({'; '.join(said)})"


def p_text(p_value: float) -> str:
    """A p-value with two digits, or that it is very small."""
    return "p < 0.001" if p_value < 0.001 else f"p = {p_value:.2g}"


def _sized(model: object, size: float, more: str = "") -> str:
    return f"{model} (N = {size:g}{more})"


def _told_apart(tests: pd.DataFrame, survival: pd.DataFrame, head: str) -> list[Sentence]:
    """What the log-rank tests of one temperature tell from the control, and models and sizes from each other."""
    # A group that failed at once has no rate: it fails faster than any other.
    rates = survival.set_index(["model", "train_size"])["failure_rate_per_ns"].fillna(np.inf)
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


def _tau(row: pd.Series) -> str:
    """Kendall's tau with what is known of its spread."""
    text = f"τ = {signed(row['kendall_tau'])}"
    if np.isfinite(row["ci_low"]):
        text += f" [{signed(row['ci_low'])}, {signed(row['ci_high'])}]"
    return text if np.isnan(row["p_value"]) else f"{text}, {p_text(row['p_value'])}"


def static_order(agreement: pd.DataFrame, where: str = "") -> list[Sentence]:
    """Whether the order of the fits by static test error is their order by survival and by error in MD.

    Args:
        agreement: rank_agreement.csv of one dataset.
        where: prefix that names the dataset.
    """
    use = {
        "failure_rate_per_ns": ("failure rate", "fails less", "fails more"),
        "md_force_mae_meV_per_A": ("force error in their own MD", "errs less in MD", "errs more in MD"),
    }
    sentences = []
    for _, row in agreement[agreement["over"] == "fits"].iterrows():
        name, better, worse = use[row["y"]]
        head = f"{where}At {row['temperature_K']:g} K"
        if np.isnan(row["kendall_tau"]):
            text = f"{head} the order of the fits by static force error cannot be held against that by {name}"
            sentences.append(Sentence("Static order", f"{text}: {row['reason']}."))
            continue
        text = f"{head}, between the orders of {row['n_points']} fits by static force error and by {name}, Kendall's "
        is_sure = row["p_value"] < SIGNIFICANCE and not row["ci_low"] * row["ci_high"] < 0
        if not is_sure:
            sentences.append(Sentence("Static order", f"{text}{_tau(row)}: no sure agreement.", "warning"))
        elif row["kendall_tau"] < 0:
            sentences.append(Sentence("Static order", f"{text}{_tau(row)}: the better in the test {worse}.", "warning"))
        else:
            sentences.append(Sentence("Static order", f"{text}{_tau(row)}: the better in the test {better}."))
    return sentences


def committee_spread(agreement: pd.DataFrame, where: str = "") -> list[Sentence]:
    """Whether the spread over seeds warns of the force error on visited frames, at the highest temperature.

    Args:
        agreement: rank_agreement.csv of one dataset.
        where: prefix that names the dataset.
    """
    rows = agreement[agreement["over"] == "frames"].dropna(subset=["kendall_tau"])
    rows = rows[rows["temperature_K"] == rows["temperature_K"].max()]
    sentences = []
    for model, group in rows.groupby("model", sort=False):
        taus = [f"{_tau(row)} (N = {row['train_size']:g})" for _, row in group.sort_values("train_size").iterrows()]
        head = f"{where}On frames of its MD at {rows['temperature_K'].iloc[0]:g} K"
        text = f"{head}, between the orders by committee spread of {model} and by force error, Kendall's {listed(taus)}"
        shown = group["ci_low"] > 0
        if shown.all():
            sentences.append(Sentence("Committee spread", f"{text}: a rising spread warns of a rising error."))
        elif shown.any():
            sizes = listed([f"N = {size:g}" for size in sorted(group.loc[~shown, "train_size"])])
            sentences.append(Sentence("Committee spread", f"{text}; no warning is shown for {sizes}.", "warning"))
        else:
            sentences.append(Sentence("Committee spread", f"{text}: no warning of error is shown.", "warning"))
    return sentences
