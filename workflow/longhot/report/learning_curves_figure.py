"""Figure of the learning curves: body order on the left, equivariance on the right, a row for each test set."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from longhot.report.style import COLOURS, MARKERS, NEUTRAL, RC, label_decade, save

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

MAE = "force_mae_meV_per_A"
BASELINE = "nonml"


def body_order_models(curves: pd.DataFrame) -> list[str]:
    """Learned models at the lowest max_L, by correlation order."""
    learned = curves[curves.max_L.notna()]
    lowest = learned[learned.max_L == learned.max_L.min()]
    return list(lowest.sort_values("correlation").model.unique())


def equivariance_models(curves: pd.DataFrame) -> list[str]:
    """Learned models at the correlation order that was run at the most values of max_L, by max_L."""
    learned = curves[curves.max_L.notna()]
    if learned.empty:
        return []
    fixed = learned.groupby("correlation").max_L.nunique().idxmax()
    return list(learned[learned.correlation == fixed].sort_values("max_L").model.unique())


def draw_curve(axes: Axes, part: pd.DataFrame, slope: pd.Series | None, style: int, label: str) -> float:
    """Mean over seeds with their range as the bar, the fitted line, and the seeds; returns the last mean."""
    colour, marker = COLOURS[style % len(COLOURS)], MARKERS[style % len(MARKERS)]
    grouped = part.groupby("train_size")[MAE]
    sizes, mean = np.array(sorted(grouped.groups)), grouped.mean().to_numpy()
    bars = np.abs(np.stack([mean - grouped.min().to_numpy(), grouped.max().to_numpy() - mean]))
    if slope is not None and np.isfinite(slope.slope):
        interval = "" if np.isnan(slope.slope_ci_low) else f" [{slope.slope_ci_low:.2f}, {slope.slope_ci_high:.2f}]"
        label += f", slope {slope.slope:.2f}{interval}"
        centre = np.mean(np.log10(part[MAE])) - slope.slope * np.mean(np.log10(part.train_size))
        axes.plot(sizes, 10**centre * sizes**slope.slope, color=colour, lw=1, ls="--", alpha=0.7)
    axes.errorbar(sizes, mean, yerr=bars, color=colour, marker=marker, ms=5, lw=0, elinewidth=1, capsize=3, label=label)
    open_fits = part[~part.converged.astype(bool)]
    axes.plot(open_fits.train_size, open_fits[MAE], marker="x", ms=8, lw=0, color=NEUTRAL, alpha=0.6)
    return float(mean[-1])


def write_slopes(axes: Axes, x: float, ends: list[tuple[float, float, str]]) -> None:
    """Write each slope behind the end of its line, moved apart where two would touch.

    ``ends``: last MAE, slope and colour of each line.
    """
    lowest, smallest_gap = -np.inf, 0.045
    for mae, slope, colour in sorted(ends):
        place = axes.transAxes.inverted().transform(axes.transData.transform((x, mae)))[1]
        lowest = max(place, lowest + smallest_gap)
        axes.text(1.01, lowest, f"{slope:.2f}", transform=axes.transAxes, color=colour, va="center", fontsize=8)


def draw_panel(axes: Axes, curves: pd.DataFrame, slopes: pd.DataFrame, models: Sequence[str], key: str) -> None:
    """One panel: the curves of ``models``, named by the hyperparameter ``key``, and the baseline."""
    ends = []
    for style, model in enumerate(models):
        part = curves[(curves.model == model) & np.isfinite(curves[MAE])]
        if part.empty:
            continue
        found = slopes[slopes.model == model]
        slope = None if found.empty else found.iloc[0]
        name = f"$\\nu$ = {part.correlation.iloc[0]}" if key == "correlation" else f"max L = {part.max_L.iloc[0]}"
        if len(models) != curves[curves.model.isin(models)][key].nunique():
            name = model
        last = draw_curve(axes, part, slope, style, name)
        if slope is not None and np.isfinite(slope.slope):
            ends.append((last, float(slope.slope), COLOURS[style % len(COLOURS)]))
    baseline = curves[(curves.family == BASELINE) & np.isfinite(curves[MAE])]
    for model, part in baseline.groupby("model"):
        axes.axhline(part[MAE].mean(), color=NEUTRAL, ls=":", lw=1.5, label=f"{model} (no learning)")
    axes.set(xscale="log", yscale="log")
    sizes = sorted(curves.train_size.unique())
    axes.set_xticks(sizes, [str(size) for size in sizes])
    axes.set_xticks([], minor=True)
    label_decade(axes)
    axes.legend(fontsize=7.5, loc="upper center", bbox_to_anchor=(0.5, -0.18), ncols=2)
    axes.figure.canvas.draw()
    write_slopes(axes, sizes[-1], ends)


def draw(curves_path: str, slopes_path: str, out: Sequence[str | Path]) -> None:
    """Draw the figure from the two tables.

    Args:
        curves_path: learning_curves.csv.
        slopes_path: learning_curve_slopes.csv.
        out: paths to write, the ending tells the format.
    """
    import matplotlib as mpl
    import pandas as pd

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    curves, slopes = pd.read_csv(curves_path), pd.read_csv(slopes_path)
    curves = curves.astype({"max_L": "Int64", "correlation": "Int64"})
    rows: list[Any] = list(curves.groupby(["dataset", "test_set"], sort=False))
    with plt.rc_context(RC):
        figure, panels = plt.subplots(len(rows), 2, figsize=(9, 4.2 * len(rows)), sharey="row", squeeze=False)
        for (left, right), ((dataset, test_set), part) in zip(panels, rows, strict=True):
            own = slopes[(slopes.dataset == dataset) & (slopes.test_set == test_set)]
            body, equivariance = body_order_models(part), equivariance_models(part)
            draw_panel(left, part, own, body, "correlation")
            draw_panel(right, part, own, equivariance, "max_L")
            learned = part[part.max_L.notna()]
            left.set_title(f"{dataset}, {test_set}: body order, max L = {learned.max_L.min()}", fontsize=10)
            fixed = part[part.model.isin(equivariance)].correlation
            right.set_title(f"{dataset}, {test_set}: equivariance, $\\nu$ = {fixed.min()}", fontsize=10)
            left.set_ylabel("force MAE (meV/Å)")
            for axes in (left, right):
                axes.set_xlabel("training frames")
        save(figure, out)
        plt.close(figure)
