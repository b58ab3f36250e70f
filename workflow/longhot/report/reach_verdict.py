"""What the verdict says of how far MD went from the training frames."""

from __future__ import annotations

from typing import TYPE_CHECKING

from longhot.config import REFERENCE_MODEL
from longhot.report.rows import members_of, models_of, rows_of
from longhot.report.statements import Sentence, listed, place, signed

if TYPE_CHECKING:
    import pandas as pd

TOPIC = "Beyond the training data"
NOTABLE_SHARE = 0.5
"""Of the frames of a phase that lie beyond every test frame, from which on the reader is warned."""


def training_reach(tables: dict[str, pd.DataFrame]) -> list[Sentence]:
    """Which share of the visited frames lies beyond every test frame, and whether errors grow with the distance."""
    reach = tables.get("training_reach")
    if reach is None or reach.empty:
        return []
    reach = reach.fillna({"phase": ""})
    sentences = []
    for dataset, own in reach.groupby("dataset", sort=False):
        where, of_md = place(reach, dataset), rows_of(own, phase="")
        for temperature_K, rows in of_md.groupby("temperature_K"):
            sentences += _shares(rows, where, float(temperature_K))
        sentences += _agreement(of_md, where) + _phases(own[own["phase"] != ""], where)
    return sentences


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _shares(rows: pd.DataFrame, where: str, temperature_K: float) -> list[Sentence]:
    """Model by model, in the order of the training sizes."""
    said = []
    for model in models_of(rows):
        own = rows_of(rows, model=model).sort_values("train_size")
        shares = listed([_percent(share) for share in own["share_beyond"]])
        said.append(f"{shares} with {model} (N = {listed([f'{size:g}' for size in own['train_size']])})")
    if not said:
        return []
    text = (
        f"{where}Of the frames that MD at {temperature_K:g} K visited, {'; '.join(said)} lie farther from the model's "
        "training frames than any test frame does."
    )
    control = rows_of(rows, model=REFERENCE_MODEL)
    if len(control):
        text += f" Of those of the control, {_percent(control['share_beyond'].iloc[0])} lie so far from the pool."
    return [Sentence(TOPIC, text)]


def _agreement(rows: pd.DataFrame, where: str) -> list[Sentence]:
    """Whether the distance warns of the error."""
    known = members_of(rows).dropna(subset=["kendall_tau", "ci_low"])
    if known.empty:
        return []
    sure = int((known["ci_low"] > 0).sum())
    low, high = signed(known["kendall_tau"].min()), signed(known["kendall_tau"].max())
    values = f"τ = {low}" if low == high else f"τ from {low} to {high}"
    text = (
        f"{where}Distance from the training frames and force error rise together, beyond chance, in {sure} of "
        f"{len(known)} groups of visited frames ({values})."
    )
    return [Sentence(TOPIC, text)]


def _phases(rows: pd.DataFrame, where: str) -> list[Sentence]:
    """Phases that were sampled mostly where no test frame lies."""
    sentences = []
    for (model, phase), own in rows.groupby(["model", "phase"], sort=False):
        share = own["n_beyond"].sum() / own["n_frames"].sum()
        if share > NOTABLE_SHARE:
            who = "the reference" if model == REFERENCE_MODEL else model
            text = (
                f"{where}{_percent(share)} of the frames of the {phase} that {who} sampled lie farther from the "
                "training pool than any test frame does: errors on the test set say nothing of them."
            )
            sentences.append(Sentence(TOPIC, text, "warning"))
    return sentences
