"""Figure of the force error on rechecked frames against the spread of the committee: does the spread warn of error?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from longhot.dynamics.tables import ERROR, SPREAD, read
from longhot.report.robustness_figures import title
from longhot.report.rows import rows_of, sizes_of
from longhot.report.style import BELOW, COLOURS, NEUTRAL, RC, label_decade, notice, panel_blocks, save, shades

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
            edge = shade if marker == "x" else "white"
            axes.plot(part[SPREAD], part[ERROR], marker, color=shade, ms=5, alpha=0.8, mec=edge, mew=0.8)
        axes.plot([], [], "s", color=shade, label=f"N = {size}: {tau_text(rows_of(agreement, train_size=size))}")
    for kind, (marker, name) in KINDS.items():
        if len(rows_of(frames, choice=kind)):
            axes.plot([], [], marker, color=NEUTRAL, mfc="none", label=f"frames {name}")
    axes.set(xscale="log", yscale="log", xlabel="committee spread of forces (meV/Å)", ylabel="force MAE (meV/Å)")
    middle = frames[SPREAD].median()  # the line runs through the panel wherever the errors are
    axes.axline((middle, middle), (1.1 * middle, 1.1 * middle), color=NEUTRAL, ls="--", lw=1, label="error = spread")
    label_decade(axes, "x")
    label_decade(axes, "y")
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
    with plt.rc_context(RC):
        if frames.empty:
            figure = notice("No model has a committee, which takes fits of two seeds or more: no spread to judge.")
        else:
            groups = list(frames.groupby(["dataset", "temperature_K", "model"]))
            models = list(frames["model"].unique())
            figure, (panels,) = panel_blocks([len(groups)])
            for axes, ((dataset, temperature, model), own) in zip(panels, groups, strict=True):
                place = {"dataset": dataset, "temperature_K": temperature}
                colour = COLOURS[models.index(model) % len(COLOURS)]
                draw_spread(axes, own, rows_of(agreement, model=model, **place), colour)
                axes.set_title(f"{title(place)}: {model}", fontsize=10)
        save(figure, out)
        plt.close(figure)
