"""Figure of reliability: how many errors lie within the intervals that a committee's spread promises."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from longhot.report.columns import SCOPES, column
from longhot.report.rows import models_of, reason_of, rows_of, sizes_of
from longhot.report.style import BELOW, COLOURS, MARKERS, NEUTRAL, RC, panel_pairs, save, say, shades

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes


def draw_reliability(axes: Axes, points: pd.DataFrame, calibration: pd.DataFrame, colours: Mapping[int, Any]) -> None:
    """Observed against expected shares of one quantity and scope: a shade for each training size, raw and calibrated.

    The legend gives alpha of each training size, and the alpha that the frames of the panel would ask for.
    """
    if points.empty:
        say(axes, f"No errors to compare: {reason_of(calibration) or 'no such frames'}.")
        return
    axes.plot([0, 1], [0, 1], color=NEUTRAL, lw=1)
    for place, (size, shade) in enumerate(colours.items()):
        own, marker = rows_of(points, train_size=size), MARKERS[place % len(MARKERS)]
        raw, calibrated = (rows_of(own, spread=spread).sort_values("expected") for spread in ("raw", "calibrated"))
        axes.plot(raw["expected"], raw["observed"], color=shade, ls="--", lw=1, marker=marker, mfc="white", ms=3.5)
        axes.plot(calibrated["expected"], calibrated["observed"], color=shade, lw=1.6, marker=marker, ms=3.5)
        axes.plot(
            [], [], color=shade, marker=marker, ms=4, label=with_alpha(size, rows_of(calibration, train_size=size))
        )
    axes.plot([], [], color=NEUTRAL, ls="--", lw=1, marker="o", mfc="white", ms=3.5, label="raw spread")
    axes.plot([], [], color=NEUTRAL, lw=1.6, marker="o", ms=3.5, label="calibrated spread")
    axes.text(0.97, 0.05, "spread too small", transform=axes.transAxes, ha="right", fontsize=7.5, color=NEUTRAL)
    axes.text(0.03, 0.92, "spread too large", transform=axes.transAxes, fontsize=7.5, color=NEUTRAL)
    axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    axes.set(xlabel="expected share of errors", ylabel="observed share of errors")
    axes.legend(**BELOW)


def with_alpha(size: int, calibration: pd.DataFrame) -> str:
    """Training size with alpha, and with what the frames themselves ask for."""
    if calibration.empty or np.isnan(calibration["alpha"].iloc[0]):
        return f"N = {size}: no α"
    alpha, own = calibration[["alpha", "alpha_of_scope"]].iloc[0]
    return f"N = {size}: α = {alpha:.2f}" + ("" if np.isnan(own) else f" ({own:.2f} asked for)")


def draw(reliability_path: str | Path, calibration_path: str | Path, out: Sequence[str | Path]) -> None:
    """Draw the figure from the two tables: a row for each dataset, model and quantity, hold-out left and MD right.

    Args:
        reliability_path: reliability.csv.
        calibration_path: calibration.csv.
        out: paths to write, the ending tells the format.
    """
    import matplotlib as mpl
    import pandas as pd

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    points, calibration = pd.read_csv(reliability_path), pd.read_csv(calibration_path)
    models = models_of(calibration)
    rows = points[["dataset", "model", "quantity"]].drop_duplicates().to_dict("records")
    nothing = f"No committee was held against reference data: {reason_of(calibration) or 'no frames'}."
    with plt.rc_context(RC):
        figure, pairs = panel_pairs(len(rows), nothing)
        for pair, row in zip(pairs, rows, strict=True):
            full = COLOURS[models.index(row["model"]) % len(COLOURS)]
            sizes = sizes_of(rows_of(calibration, model=row["model"]))
            colours = dict(zip(sizes, shades(full, len(sizes)), strict=True))
            for axes, (scope, name) in zip(pair, SCOPES.items(), strict=True):
                own = {"scope": scope, **row}
                draw_reliability(axes, rows_of(points, **own), rows_of(calibration, **own), colours)
                axes.set_title(
                    f"{row['dataset']}, {row['model']}: {column(row['quantity']).label}, {name}", fontsize=10
                )
        save(figure, out)
        plt.close(figure)
