"""Whether orders agree: of fits by static error and in use, of frames by committee spread and by error."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from longhot.report.statements import SIGNIFICANCE, Sentence, listed, p_text, signed

if TYPE_CHECKING:
    import pandas as pd


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
