"""Figure of the force error on rechecked frames against the spread of the committee: does the spread warn of error?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from longhot.dynamics.tables import ERROR, SPREAD, read
from longhot.report.robustness_figures import BELOW, places_of, rows_of, sizes_of, title
from longhot.report.style import COLOURS, NEUTRAL, RC, panel_blocks, save, say, shades

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

KINDS = {
    "even": ("o", "even in time"),
    "before_failure": ("x", "before a failure"),
    "highest_spread": ("^", "of the highest spread"),
}
"""Marker and name of each reason for which a frame was rechecked."""


def draw_spread(axes: Axes, frames: pd.DataFrame, agreement: pd.DataFrame, colour: str) -> None:
    """Error against spread of one model on logarithmic axes: a shade for each training size, a marker for each kind.

    The dashed line is where both are equal. The legend gives Kendall's tau over the even frames of each size.
    """
    sizes = sizes_of(frames)
    for size, shade in zip(sizes, shades(colour, len(sizes)), strict=True):
        own = rows_of(frames, train_size=size)
        for kind, (marker, _) in KINDS.items():
            part = rows_of(own, choice=kind)
            axes.plot(
                part[SPREAD],
                part[ERROR],
                marker,
                color=shade,
                ms=4,
                alpha=0.7,
                mew=1,
                mec=None if marker == "x" else "white",
            )
        axes.plot([], [], "s", color=shade, label=f"N = {size}: {tau_text(rows_of(agreement, train_size=size))}")
    for kind, (marker, name) in KINDS.items():
        if len(rows_of(frames, choice=kind)):
            axes.plot([], [], marker, color=NEUTRAL, mfc="none", label=f"frames {name}")
    values = frames[[SPREAD, ERROR]].to_numpy()
    values = values[values > 0]
    ends = [values.min(), values.max()] if len(values) else [1, 10]
    axes.plot(ends, ends, color=NEUTRAL, ls="--", lw=1, label="error = spread", zorder=0)
    axes.set(xscale="log", yscale="log", xlabel="committee spread of forces (meV/Å)", ylabel="force MAE (meV/Å)")
    axes.legend(title="τ: rank correlation over the frames even in time (95 % interval)", **BELOW)


def tau_text(agreement: pd.DataFrame) -> str:
    """Kendall's tau of one group with its interval, or that there is none."""
    if agreement.empty or np.isnan(agreement["kendall_tau"].iloc[0]):
        return "no τ"
    row = agreement.iloc[0]
    if np.isnan(row["ci_low"]):
        return f"τ = {row['kendall_tau']:.2f}"
    return f"τ = {row['kendall_tau']:.2f} ({row['ci_low']:.2f} to {row['ci_high']:.2f})".replace("-", "−")


def draw(recheck_path: str | Path, rank_agreement_path: str | Path, out: Sequence[str | Path]) -> None:
    """Draw the figure from the two tables: a panel for each dataset, temperature and model with a committee.

    Args:
        recheck_path: recheck.csv.
        rank_agreement_path: rank_agreement.csv.
        out: paths to write, the ending tells the format.
    """
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    frames = read(recheck_path).dropna(subset=[SPREAD, ERROR])
    agreement = rows_of(read(rank_agreement_path), over="frames")
    places, models = places_of(frames), list(frames["model"].unique())
    with plt.rc_context(RC):
        if frames.empty:
            figure, axes = plt.subplots(figsize=(9.2, 1.2))
            say(axes, "No model has a committee, which takes fits of two seeds or more: there is no spread to judge.")
        else:
            figure, blocks = panel_blocks(len(places), len(models))
            for block, place in zip(blocks, places, strict=True):
                for style, (axes, model) in enumerate(zip(block, models, strict=True)):
                    own = rows_of(frames, model=model, **place)
                    if own.empty:
                        say(axes, f"{model} has no rechecked frames on {title(place)}.")
                        continue
                    draw_spread(axes, own, rows_of(agreement, model=model, **place), COLOURS[style % len(COLOURS)])
                    axes.set_title(f"{title(place)}: {model}", fontsize=10)
        save(figure, out)
        plt.close(figure)
