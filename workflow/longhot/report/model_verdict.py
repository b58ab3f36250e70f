"""The verdict on each model in a sentence: robust or not, its melting point, and how much data a target asks for."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Literal

import numpy as np

from longhot.config import REFERENCE_MODEL, Report
from longhot.report.columns import COMPONENTS
from longhot.report.data_needed import FURTHEST, NEAR, data_needed
from longhot.report.learning_curves_verdict import BASELINE_FAMILY, main_test_set
from longhot.report.rows import models_of, rows_of, valid_of
from longhot.report.statements import SIGNIFICANCE, Sentence, is_false, listed, number, p_text, place, with_error

if TYPE_CHECKING:
    import pandas as pd

    Tables = dict[str, pd.DataFrame]

MD_TABLES = ("survival", "survival_tests")
ROBUST = "is robust"
HOT = "test_hot"


def models(tables: Tables, report: Report) -> list[Sentence]:
    """What can be said of each model of each dataset in a sentence or two; the topic of each is the model.

    Args:
        tables: by name.
        report: the block of the config, whose tolerances are the targets of the data needed.
    """
    sentences: list[Sentence] = []
    curves, survival, summary = (tables.get(name) for name in ("learning_curves", "survival", "melting_point_summary"))
    has_md = survival is not None and len(survival) > 0
    if curves is not None and len(curves):
        for dataset in curves["dataset"].unique():
            own = rows_of(curves, dataset=dataset)
            md = {name: rows_of(tables[name], dataset=dataset) for name in MD_TABLES} if has_md else {}
            for model in models_of(own):
                sentences.append(in_use(own, model, md, place(curves, dataset)))
                sentences += data(rows_of(own, model=model), report, place(curves, dataset))
    if summary is not None and len(summary):
        budget = tables["melting_point_budget"]
        for (dataset, model), rows in summary.groupby(["dataset", "model"], sort=False):
            where = place(summary, dataset)
            sentences.append(at_melting(rows, rows_of(budget, dataset=dataset, model=model), where))
    return sentences


def in_use(curves: pd.DataFrame, model: str, md: Tables, where: str = "") -> Sentence:
    """Whether the MD of a model at its largest training size is robust, to which temperature and time.

    It is called robust where nothing failed, and not robust where it fails sooner than the control by a log-rank test
    (without a control: where anything failed). Else the runs do not say.

    Args:
        curves: learning_curves.csv of one dataset.
        model: the model.
        md: survival.csv and survival_tests.csv of the dataset; empty where no MD was asked for.
        where: prefix that names the dataset.
    """
    runs = rows_of(md["survival"], model=model) if md else curves[:0]
    if runs.empty:
        size = int(rows_of(curves, model=model)["train_size"].max())
        error = _static(curves, model, size) or " gave no force error"
        return Sentence(model, f"{where}With N = {size}, {model}{error}; its MD was not run.")
    size = int(runs["train_size"].max())
    runs = rows_of(runs, train_size=size).sort_values("temperature_K")
    judged = [(row, *_robust(row, md)) for _, row in runs.iterrows()]
    sound = list(itertools.takewhile(lambda one: one[1] == ROBUST, judged))
    parts = []
    if sound:
        last, _, why = sound[-1]
        upto = f"up to {last['temperature_K']:g} K" if len(sound) > 1 else f"at {last['temperature_K']:g} K"
        parts.append(f"{ROBUST} {upto}: {why}")
    parts += [f"{word} at {row['temperature_K']:g} K: {why}" for row, word, why in judged[len(sound) :]]
    error = _static(curves, model, size)
    text = f"{where}With N = {size}, {model}{error}{' and' if error else ''} {'; '.join(parts)}."
    return Sentence(model, text, "finding" if len(sound) == len(judged) else "warning")


def _static(curves: pd.DataFrame, model: str, size: int) -> str:
    test_set = main_test_set(list(curves["test_set"].unique()))
    error = rows_of(curves, model=model, train_size=size, test_set=test_set)["force_mae_meV_per_A"].mean()
    return f" has a force error of {number(error)} meV/Å on the test set" if np.isfinite(error) else ""


def _robust(row: pd.Series, md: Tables) -> tuple[str, str]:
    """Robust or not at one temperature, and on what ground."""
    end_ps = rows_of(md["survival"], temperature_K=row["temperature_K"])["end_ps"].max()
    kept = f"{row['n_replicas'] - row['n_failed']:g} of {row['n_replicas']:g} trajectories live {end_ps:g} ps"
    if not row["n_failed"]:
        return ROBUST, f"{kept}, at most {number(row['failure_rate_ci_high'])} failures per ns"
    if np.isfinite(row["median_survival_ps"]):
        kept += f", half are gone after {number(row['median_survival_ps'], 2)} ps"
    ids = {name: row[name] for name in ("model", "train_size", "temperature_K")}
    against = rows_of(md["survival_tests"], **ids, against_model=REFERENCE_MODEL).dropna(subset=["p_value_adjusted"])
    if against.empty:
        return "is not robust", kept
    test = against.iloc[0]
    n_lived, n_control = test["against_n_replicas"] - test["against_n_failed"], test["against_n_replicas"]
    kept += f", against {n_lived:g} of {n_control:g} of the control ({p_text(test['p_value_adjusted'])})"
    is_worse = row["n_failed"] / row["n_replicas"] > test["against_n_failed"] / n_control
    if test["p_value_adjusted"] < SIGNIFICANCE and is_worse:
        return "is not robust", kept
    return "cannot be told from the control", kept


def at_melting(summary: pd.DataFrame, budget: pd.DataFrame, where: str = "") -> Sentence:
    """The melting point of a model at its largest training size, beside the reference's, with the error budget.

    Args:
        summary: melting_point_summary.csv of one model and dataset.
        budget: melting_point_budget.csv of the same.
        where: prefix that names the dataset.
    """
    row = summary.sort_values("train_size").iloc[-1]
    model = str(row["model"])
    head = f"{where}With N = {row['train_size']:g}, {model}"
    if np.isnan(row["melting_point_K"]):
        return Sentence(model, f"{head} gives no melting point: {row['reason']}.", "warning")
    spread = row["committee_std_calibrated_K"]
    kind = "calibrated spread"
    if np.isnan(spread):
        spread, kind = row["committee_std_K"], "raw spread"
    text = f"{head} melts at {with_error(row['melting_point_K'], spread)} K ({kind} of {row['n_valid']:g} members)"
    if np.isfinite(row["reference_melting_point_K"]):
        text += f", the reference at {with_error(row['reference_melting_point_K'], row['reference_error_K'])} K"
    known = valid_of(rows_of(budget, train_size=row["train_size"])).dropna(subset=["error_K"])
    errors = dict(zip(known["component"], known["error_K"], strict=True))
    told = [f"{name} {number(errors[part], 2)} K" for part, name in COMPONENTS.items() if part in errors]
    if told:
        text += f"; error budget: {listed(told)}"
    return Sentence(model, f"{text}.", "warning" if is_false(row["covered_2sigma"]) else "finding")


def data(curves: pd.DataFrame, report: Report, where: str = "") -> list[Sentence]:
    """How many training frames the force errors of the tolerances ask for.

    Args:
        curves: learning_curves.csv of one dataset and model.
        report: the block of the config.
        where: prefix that names the dataset.
    """
    if curves["family"].iloc[0] == BASELINE_FAMILY:
        return []
    model, dataset = str(curves["model"].iloc[0]), str(curves["dataset"].iloc[0])
    limits, main = report.limits(dataset), main_test_set(list(curves["test_set"].unique()))
    targets = {main: limits["force_mae_meV_per_A"], HOT: limits["hot_force_mae_meV_per_A"]}
    told = [
        (f"{target:g} meV/Å on {name} {text}", is_sure)
        for name, target in targets.items()
        if target is not None and name in set(curves["test_set"])
        for text, is_sure in [_needed(rows_of(curves, test_set=name), target)]
    ]
    if not told:
        return []
    level: Literal["finding", "warning"] = "finding" if all(is_sure for _, is_sure in told) else "warning"
    return [Sentence(model, f"{where}A force error of {'; one of '.join(text for text, _ in told)}.", level)]


def _needed(curve: pd.DataFrame, target: float) -> tuple[str, bool]:
    """Frames that one model needs for one target on one test set, in words, and whether that is firm ground."""
    means = curve.groupby("train_size")["force_mae_meV_per_A"].mean().sort_index()
    above = means.index[~(means <= target)]
    within = means.index[means.index > above.max()] if len(above) else means.index
    if len(within):
        size = int(within[0])
        return f"is reached with N = {size} ({number(means[size])} meV/Å, mean over seeds)", True
    sizes, errors, seeds = (curve[name].to_numpy(float) for name in ("train_size", "force_mae_meV_per_A", "seed"))
    found = data_needed(sizes, errors, seeds, target)
    if np.isnan(found.frames):
        return f"is not reached, and the learning curve does not tell what it takes: {found.reason}", False
    most = FURTHEST * found.largest
    high = f"over {most:,.0f}" if found.high > most else _count(found.high)
    text = f"takes about {_count(found.frames)} [{_count(found.low)}, {high}] frames by the power law"
    if found.is_extrapolated:
        return (
            f"{text}, extrapolated to {number(found.frames / found.largest, 2)} times the largest training set",
            False,
        )
    if found.high > NEAR * found.largest:
        return f"{text}, with an extrapolated upper end", False
    return text, True


def _count(value: float) -> str:
    """A number of frames to two digits."""
    return f"{float(f'{value:.2g}'):,.0f}"
