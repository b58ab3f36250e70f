"""What a study says of a melting point: of the sampler, of each committee, and of how honest its spread is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from longhot.config import REFERENCE_MODEL
from longhot.report.columns import COMPONENTS, column, method_in_words
from longhot.report.rows import members_of, models_of, reason_of, rows_of, samplers_of, valid_of
from longhot.report.statements import Sentence, is_false, listed, number, place, signed, with_error

if TYPE_CHECKING:
    import pandas as pd

TOPIC, CALIBRATION, ACCURACY = "Melting point", "Calibration", "Accuracy needed"
N_SIGMA = 2
"""Standard deviations within which two numbers agree."""
NOTABLE_FACTOR = 1.5
"""Between the alpha of the hold-out and that of MD frames, from which on calibration is said not to carry over."""


def melting_point(tables: dict[str, pd.DataFrame]) -> list[Sentence]:
    """All sentences on the melting point, in reading order; none where the study did not ask for it."""
    points = tables.get("melting_point")
    if points is None or points.empty:
        return []
    sentences: list[Sentence] = []
    for dataset in points["dataset"].unique():
        where = place(points, dataset)
        own = {name: rows_of(tables[name], dataset=dataset) for name in ("melting_point", *NEEDED)}
        sentences += samplers(own["melting_point"], where)
        for model in models_of(own["melting_point_summary"]):
            of_model = {name: rows_of(table, model=model) for name, table in own.items()}
            summary = of_model["melting_point_summary"].sort_values("train_size")
            sentences += committees(summary, of_model["melting_point"], where)
            sentences += coverage(summary, where)
            sentences += own_pinning(samplers_of(own["melting_point"], model), of_model["melting_point"], where)
            sentences += trend(summary, where)
            sentences += budget(of_model["melting_point_budget"], where)
            sentences += calibration(of_model["calibration"], where)
            sentences += required_accuracy(of_model["required_accuracy"], summary, where)
    return sentences


NEEDED = ("melting_point_summary", "melting_point_budget", "calibration", "required_accuracy")


def samplers(points: pd.DataFrame, where: str = "") -> list[Sentence]:
    """Where the reference melts by interface pinning, and whether coexistence agrees.

    The same is said of each committee that sampled for itself.

    Args:
        points: melting_point.csv of one dataset.
        where: prefix that names the dataset.
    """
    sentences = []
    sampled = points.drop(members_of(points).index)
    if REFERENCE_MODEL not in set(sampled["model"]):
        text = f"{where}The reference was not sampled: no melting point here is held against it."
        sentences.append(Sentence(TOPIC, text, "warning"))
    for model, rows in sampled.groupby("model", sort=False):
        pinning, coexistence = (rows_of(rows, method=method) for method in ("pinning", "coexistence"))
        pinned = valid_of(pinning)
        if pinned.empty:
            text = f"{where}Interface pinning gives no melting point of the {model}: {reason_of(pinning) or 'not run'}."
            sentences.append(Sentence(TOPIC, text, "warning"))
        else:
            row = pinned.iloc[0]
            text = (
                f"{where}The {model} melts at {_kelvin(row)} by interface pinning; the entropy of melting is "
                f"{number(row['entropy_of_melting_meV_per_K'])} meV/K a molecule."
            )
            sentences += [Sentence(TOPIC, text), _beside(row, coexistence, where)]
    return sentences


def _beside(pinned: pd.Series, coexistence: pd.DataFrame, where: str) -> Sentence:
    """Whether coexistence agrees with the pinned run."""
    valid, name = valid_of(coexistence), pinned["model"]
    if valid.empty:
        text = f"{where}Coexistence did not check the pinned run of the {name}: {reason_of(coexistence) or 'not run'}."
        return Sentence(TOPIC, text, "warning")
    row = valid.iloc[0]
    gap = row["melting_point_K"] - pinned["melting_point_K"]
    text = f"{where}Coexistence of the {name} without a bias gives {_kelvin(row)}, {_apart(gap)} the pinned run: "
    if abs(gap) <= N_SIGMA * np.hypot(row["sampling_error_K"], pinned["sampling_error_K"]):
        return Sentence(TOPIC, f"{text}within {N_SIGMA} σ of both errors.")
    text += f"not within {N_SIGMA} σ of both errors, so the protocol shifts the number, or an error is too small."
    return Sentence(TOPIC, text, "warning")


def _kelvin(row: pd.Series) -> str:
    return f"{with_error(row['melting_point_K'], row['sampling_error_K'])} K"


def _apart(gap_K: float) -> str:
    return f"{number(abs(gap_K), 2)} K {'above' if gap_K >= 0 else 'below'}"


def deviation_K(summary: pd.DataFrame) -> pd.Series:
    """Melting point of the committee minus that of the reference."""
    return summary["melting_point_K"] - summary["reference_melting_point_K"]


def committees(summary: pd.DataFrame, points: pd.DataFrame, where: str = "") -> list[Sentence]:
    """The melting point of a model at each training size, held against the reference.

    Args:
        summary: melting_point_summary.csv of one model and dataset, by training size.
        points: melting_point.csv of the same.
        where: prefix that names the dataset.
    """
    sentences = []
    for (_, row), gap in zip(summary.iterrows(), deviation_K(summary), strict=True):
        head = f"{where}With N = {row['train_size']:g}, {row['model']}"
        members = f"{row['n_valid']:g} of {row['n_members']:g} members are valid"
        if np.isnan(row["melting_point_K"]):
            text = f"{head} gives no melting point; {members}{_because(row)}."
            sentences.append(Sentence(TOPIC, text, "warning"))
            continue
        methods = valid_of(_indirect(rows_of(points, train_size=row["train_size"])))["method"].unique()
        sampling = f"{number(row['sampling_error_K'], 2)} K" if np.isfinite(row["sampling_error_K"]) else "not known"
        text = f"{head} melts at {_with_spread(row)}; the sampling error is {sampling}. "
        text += f"{members}, by {listed([method_in_words(method) for method in methods])}."
        covered = row["covered_2sigma"]
        if np.isfinite(gap):
            text += f" That is {_apart(gap)} the reference"
            if isinstance(covered, float) and np.isnan(covered):
                text += f"; whether its uncertainty covers this is not known{_because(row)}"
            else:
                text += f", {'beyond' if is_false(covered) else 'within'} {N_SIGMA} σ"
            text += "."
        sentences.append(Sentence(TOPIC, text, "warning" if is_false(covered) else "finding"))
    return sentences


def _because(row: pd.Series) -> str:
    return f": {row['reason']}" if isinstance(row["reason"], str) and row["reason"] else ""


def _with_spread(row: pd.Series) -> str:
    """Melting point with the spread of the committee, calibrated where there is a factor."""
    raw, calibrated = row["committee_std_K"], row["committee_std_calibrated_K"]
    if np.isfinite(calibrated):
        return f"{with_error(row['melting_point_K'], calibrated)} K (calibrated spread; raw {number(raw, 2)} K)"
    if np.isfinite(raw):
        return f"{with_error(row['melting_point_K'], raw)} K (raw spread, not calibrated)"
    return f"{number(row['melting_point_K'], 4)} K (no spread)"


def relative_error_of_spread(n_members: float) -> float:
    """Standard error of a standard deviation over so many normal values, as a fraction of it: 1/sqrt(2 (M - 1))."""
    return float(1 / np.sqrt(2 * (n_members - 1))) if n_members > 1 else np.nan


def coverage(summary: pd.DataFrame, where: str = "") -> list[Sentence]:
    """At how many training sizes the spread covers the error, calibrated and raw, and how little that proves."""
    known = summary.dropna(subset=["covered_2sigma"])
    if known.empty:
        return []
    covered = ~known["covered_2sigma"].map(is_false).astype(bool)
    raw_sigma = np.hypot(known["committee_std_K"], known["sampling_error_K"])
    covered_raw = deviation_K(known).abs() <= N_SIGMA * raw_sigma
    total = f"{len(known)} training {'size' if len(known) == 1 else 'sizes'}"
    text = (
        f"{where}With the calibrated spread of {known['model'].iloc[0]}, the error of a mean over its members and the "
        f"sampling error, {N_SIGMA} σ cover the "
        f"distance from the reference at {covered.sum() or 'none'} of {total}; with the raw spread they would at "
        f"{covered_raw.sum() or 'none'}."
    )
    fewest = known["n_valid"].min()
    if fewest > 1:
        text += (
            f" A spread over {fewest:g} members is itself uncertain by about "
            f"{100 * relative_error_of_spread(fewest):.0f} %, and all sizes share the same sampled frames: "
            "this can show that an uncertainty is too small, not prove that it is right."
        )
    return [Sentence(TOPIC, text, "finding" if covered.all() else "warning")]


def _indirect(points: pd.DataFrame) -> pd.DataFrame:
    """Melting points of members from the sampler's; a member's own pinned run is a check on them."""
    return points[points["method"] != "pinning"]


def own_pinning(sampled: pd.DataFrame, points: pd.DataFrame, where: str = "") -> list[Sentence]:
    """Whether members that ran their own pinned interface melt where reweighting says.

    Args:
        sampled: melting_point.csv of what sampled for the model.
        points: melting_point.csv of the model.
        where: prefix that names the dataset.
    """
    pinned_error_K = valid_of(rows_of(sampled, method="pinning"))["sampling_error_K"].max()
    sentences = []
    for _, row in valid_of(rows_of(points, method="pinning")).iterrows():
        same = rows_of(points, train_size=row["train_size"], member=row["member"])
        for _, other in valid_of(_indirect(same)).iterrows():
            gap = row["melting_point_K"] - other["melting_point_K"]
            # The pinned run of the sampler is part of the one number and not of the other: its error does not cancel.
            sigma = np.sqrt(row["sampling_error_K"] ** 2 + other["sampling_error_K"] ** 2 + pinned_error_K**2)
            is_within = abs(gap) <= N_SIGMA * sigma
            text = (
                f"{where}Pinned with member {row['member']:g} of {row['model']} (N = {row['train_size']:g}) itself, "
                f"the melting point is {_kelvin(row)}, {_apart(gap)} that by {method_in_words(other['method'])}: "
                f"{'within' if is_within else 'not within'} {N_SIGMA} σ."
            )
            sentences.append(Sentence(TOPIC, text, "finding" if is_within else "warning"))
    return sentences


def trend(summary: pd.DataFrame, where: str = "") -> list[Sentence]:
    """Whether spread and error fall from the smallest to the largest training set, by more than chance."""
    spread = (
        "committee_std_calibrated_K" if summary["committee_std_calibrated_K"].notna().sum() > 1 else "committee_std_K"
    )
    rows = summary[(summary["n_valid"] > 1) & (summary[spread] > 0)]
    if len(rows) < 2:
        return []
    first, last = rows.iloc[0], rows.iloc[-1]
    doubt = np.hypot(relative_error_of_spread(first["n_valid"]), relative_error_of_spread(last["n_valid"]))
    parts = [
        _step(
            f"{'raw' if spread == 'committee_std_K' else 'calibrated'} spread",
            first[spread],
            last[spread],
            is_clear=abs(np.log(last[spread] / first[spread])) > N_SIGMA * doubt,
        )
    ]
    before, after = deviation_K(rows).abs().iloc[[0, -1]]
    if np.isfinite([before, after]).all():
        # The mean over M members has the error std/sqrt(M), beside that of the sampling.
        variances = rows["committee_std_K"] ** 2 / rows["n_valid"] + rows["sampling_error_K"] ** 2
        noise_K = np.sqrt(variances.iloc[0] + variances.iloc[-1])
        parts.append(_step("distance from the reference", before, after, abs(after - before) > N_SIGMA * noise_K))
    text = f"{where}From N = {first['train_size']:g} to N = {last['train_size']:g}, for {first['model']}, "
    return [Sentence(TOPIC, f"{text}the {' and the '.join(parts)}.")]


def _step(name: str, before_K: float, after_K: float, is_clear: bool) -> str:
    verb = ("falls" if after_K < before_K else "rises") if is_clear else "goes"
    text = f"{name} {verb} from {number(before_K, 2)} to {number(after_K, 2)} K"
    return text if is_clear else f"{text} (no clear change)"


def budget(rows: pd.DataFrame, where: str = "") -> list[Sentence]:
    """The parts of the error at the largest training size that has any, and the largest of them."""
    known = valid_of(rows).dropna(subset=["error_K"])
    if known.empty:
        return []
    known = rows_of(known, train_size=known["train_size"].max())
    errors = known.set_index("component")["error_K"]
    told = [f"{name} {number(errors[part], 2)} K" for part, name in COMPONENTS.items() if part in errors]
    missing = [name for part, name in COMPONENTS.items() if part not in errors]
    text = f"{where}Errors of {known['model'].iloc[0]} with N = {known['train_size'].iloc[0]:g}: {', '.join(told)}."
    if missing:
        text += f" Not known: {listed(missing)}."
        return [Sentence(TOPIC, text, "warning")]
    # The raw spread is the calibrated one before it was scaled, no further error.
    return [Sentence(TOPIC, f"{text} The largest is the {COMPONENTS[errors.drop('committee_raw').idxmax()]}.")]


def calibration(rows: pd.DataFrame, where: str = "") -> list[Sentence]:
    """The factor that hold-out frames ask for, whether frames of MD ask for the same, and whether it helps there.

    Args:
        rows: calibration.csv of one model and dataset.
        where: prefix that names the dataset.
    """
    sentences = []
    for quantity, group in rows.groupby("quantity", sort=False):
        head = f"{where}For the {column(str(quantity)).label} of {group['model'].iloc[0]}"
        holdout, md = (
            rows_of(group, scope=scope).set_index("train_size").sort_index().dropna(subset=["alpha"])
            for scope in ("holdout", "md")
        )
        if holdout.empty:
            text = f"{head} no calibration is possible: {reason_of(group) or 'no hold-out frames'}."
            sentences.append(Sentence(CALIBRATION, text, "warning"))
            continue
        text = f"{head} the hold-out asks for α = {_by_size(holdout['alpha'])}"
        asked = md.dropna(subset=["alpha_of_scope"])
        if asked.empty:
            text += f"; whether it holds in MD is not known: {reason_of(md) or 'no such frames'}."
            sentences.append(Sentence(CALIBRATION, text, "warning"))
            continue
        text += f", frames of MD for {_by_size(asked['alpha_of_scope'])}."
        ratio = asked["alpha_of_scope"] / asked["alpha"]
        off = {"small": ratio[ratio >= NOTABLE_FACTOR], "large": 1 / ratio[ratio <= 1 / NOTABLE_FACTOR]}
        for word, factors in off.items():
            if len(factors):
                text += f" In MD the calibrated spread is too {word} by a factor of {_by_size(factors)}."
        helped = (asked["nll_calibrated"] < asked["nll_raw"]).sum()
        text += f" Calibration raises the likelihood of the MD errors at {helped or 'none'} of {len(asked)} "
        text += f"{'size' if len(asked) == 1 else 'sizes'}."
        is_off = any(len(factors) for factors in off.values()) or helped < len(asked)
        sentences.append(Sentence(CALIBRATION, text, "warning" if is_off else "finding"))
    return sentences


def _by_size(values: pd.Series) -> str:
    return listed([f"{signed(value)} (N = {size:g})" for size, value in values.items()])


def required_accuracy(rows: pd.DataFrame, summary: pd.DataFrame, where: str = "") -> list[Sentence]:
    """The force error that a wanted precision asks for, and whether the best fits reach it.

    Args:
        rows: required_accuracy.csv of one model and dataset.
        summary: melting_point_summary.csv of the same.
        where: prefix that names the dataset.
    """
    best = summary.dropna(subset=["force_mae_meV_per_A"]).nsmallest(1, "force_mae_meV_per_A")
    sentences = []
    for _, row in rows.iterrows():
        head = f"{where}A melting point to {row['target_melting_point_error_K']:g} K by {row['model']}"
        needed = row["force_mae_meV_per_A"]
        if np.isnan(needed):
            sentences.append(
                Sentence(ACCURACY, f"{head}: the force error it takes is not known{_because(row)}.", "warning")
            )
            continue
        low, high = row["ci_low"], row["ci_high"]
        interval = f" [{number(low)}, {number(high)}]" if np.isfinite([low, high]).all() else ""
        text = f"{head} takes a force MAE of {number(needed)}{interval} meV/Å (from {row['n_points']:g} members)."
        if summary["reference_melting_point_K"].isna().all():
            text += " It rests on how far the members lie apart alone, for want of a reference."
        if best.empty:
            sentences.append(Sentence(ACCURACY, text))
            continue
        reached = best["force_mae_meV_per_A"].iloc[0]
        fit = f"The best fits (N = {best['train_size'].iloc[0]:g}) have {number(reached)} meV/Å"
        if reached <= (low if interval else needed):
            sentences.append(Sentence(ACCURACY, f"{text} {fit}: they reach it."))
        elif reached > (high if interval else needed):
            text += f" {fit}: they do not reach it, and how it is reached is extrapolated."
            sentences.append(Sentence(ACCURACY, text, "warning"))
        else:
            sentences.append(Sentence(ACCURACY, f"{text} {fit}, within the interval: undecided.", "warning"))
    return sentences
