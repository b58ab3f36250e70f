"""Figures of hot MD: the error on frames that a model's own MD visited, and how long its trajectories survive.

Both have panels for each dataset and temperature, and shades of a model's colour for its training sizes.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from longhot.config import REFERENCE_MODEL
from longhot.dynamics.statistics import kaplan_meier
from longhot.dynamics.tables import ERROR, MD, STATIC, failed, read
from longhot.report.rows import models_of, rows_of, sizes_of
from longhot.report.style import BELOW, COLOURS, DASHES, MARKERS, NEUTRAL, RC, label_decade, panel_blocks, save, shades

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

N_TIME_BINS = 10
PERCENTILES = (5, 95)


def places_of(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Dataset and temperature of each block of panels, the coolest first."""
    groups = table.groupby(["dataset", "temperature_K"]).groups
    return [{"dataset": dataset, "temperature_K": temperature} for dataset, temperature in groups]


def title(place: dict[str, Any]) -> str:
    """Dataset and temperature as the head of a panel."""
    return f"{place['dataset']}, {place['temperature_K']:g} K"


def draw_errors(axes: Axes, robustness: pd.DataFrame, frames: pd.DataFrame, styles: dict[str, int]) -> None:
    """Static error (open, dashed) and error in MD (filled) against training size, a colour for each model.

    Bars go from the 5th to the 95th percentile over the rechecked frames. A model that was run at one
    training size, because its forces do not depend on the data, becomes horizontal lines.
    """
    learned = [model for model in styles if len(rows_of(robustness, model=model)) > 1]
    for model, style in styles.items():
        rows = rows_of(robustness, model=model).sort_values("train_size")
        if rows.empty:
            continue
        colour, marker = COLOURS[style % len(COLOURS)], MARKERS[style % len(MARKERS)]
        if model not in learned and learned:
            axes.axhline(rows[MD].iloc[0], color=colour, lw=1.5, label=f"{model}, in MD")
            axes.axhline(rows[STATIC].iloc[0], color=colour, lw=1.2, ls="--", label=f"{model}, test set")
            continue
        open_marker: dict[str, Any] = {
            "color": colour,
            "marker": marker,
            "mfc": "white",
            "ls": "--",
            "lw": 1.2,
            "ms": 5,
        }
        axes.plot(rows["train_size"], rows[STATIC], label=f"{model}, test set", **open_marker)
        axes.errorbar(
            rows["train_size"] * 1.03**style,  # moved a little, so that bars stand side by side
            rows[MD],
            yerr=_bars(rows, frames),
            color=colour,
            marker=marker,
            ms=5,
            lw=1.5,
            elinewidth=1,
            capsize=3,
            label=f"{model}, in MD",
        )
    axes.set(xscale="log", yscale="log", xlabel="training frames", ylabel="force MAE (meV/Å)")
    sizes = sizes_of(robustness[robustness["model"] != REFERENCE_MODEL])
    axes.set_xticks(sizes, [str(size) for size in sizes])
    axes.set_xticks([], minor=True)
    if len(sizes) == 1:
        axes.set_xlim(sizes[0] / 2, sizes[0] * 2)
    label_decade(axes)
    handles, labels = axes.get_legend_handles_labels()
    order = np.argsort(labels)  # the two lines of a model side by side
    axes.legend(
        [handles[place] for place in order],
        [labels[place] for place in order],
        title="bars: 5th to 95th percentile over rechecked frames",
        **BELOW,
    )


def _bars(rows: pd.DataFrame, frames: pd.DataFrame) -> np.ndarray:
    """Distances from the mean in MD down and up to the percentiles over frames, shape (2, n_sizes)."""
    bars = []
    for row in rows.itertuples():
        errors = rows_of(frames, model=row.model, train_size=row.train_size)[ERROR].dropna()
        mean = getattr(row, MD)
        low, high = np.percentile(errors, PERCENTILES) if len(errors) else (mean, mean)
        bars.append((mean - low, high - mean))
    # The mean of a few wild frames can lie beyond the percentile.
    return np.maximum(np.array(bars).T, 0)


def draw_course(axes: Axes, frames: pd.DataFrame, runs: pd.DataFrame, colour: str) -> None:
    """Rechecked force error of one model along simulation time, and crosses at the top where it failed.

    For each training size the median over replicas in ten spans of time, and a band between the quartiles.
    """
    sizes = sizes_of(runs)
    end_ps = runs["simulated_ps"].max() or 1.0
    edges = np.linspace(0, end_ps, N_TIME_BINS + 1)
    for place, (size, shade) in enumerate(zip(sizes, shades(colour, len(sizes)), strict=True)):
        part, own = rows_of(frames, train_size=size).dropna(subset=[ERROR]), rows_of(runs, train_size=size)
        # Frames stand at the ends of spans, so a span holds its right edge.
        span = np.clip(np.searchsorted(edges, part["time_ps"] - 1e-9, side="right") - 1, 0, N_TIME_BINS - 1)
        binned = part.groupby(span)
        time_ps, errors = binned["time_ps"].median(), binned[ERROR].quantile([0.25, 0.5, 0.75]).unstack()
        label = f"N = {size}: {failed(own).sum()} of {len(own)} failed"
        axes.plot(
            time_ps, errors.get(0.5, time_ps), color=shade, marker=MARKERS[place % len(MARKERS)], ms=4, label=label
        )
        if len(part):
            axes.fill_between(time_ps, errors[0.25], errors[0.75], color=shade, alpha=0.2, lw=0)
        height = 0.97 - 0.05 * place
        times = own.loc[failed(own), "failure_time_ps"]
        axes.plot(
            times, np.full(len(times), height), "x", color=shade, ms=6, mew=1.8, transform=axes.get_xaxis_transform()
        )
    axes.set(yscale="log", xlabel="time (ps)", ylabel="force MAE (meV/Å)", xlim=(0, 1.02 * end_ps))
    low, high = np.log(axes.get_ylim())
    axes.set_ylim(np.exp(low), np.exp(high + (high - low) * 0.07 * (len(sizes) + 1)))
    label_decade(axes)
    axes.legend(title="line: median over replicas, band: quartiles, crosses: failures", **BELOW)


def draw_survival(axes: Axes, runs: pd.DataFrame, control: pd.DataFrame, colour: str) -> None:
    """Kaplan-Meier estimates of one model with 95 % bands, a line for each training size, and the control's."""
    sizes = sizes_of(runs)
    groups = [(f"N = {size}", rows_of(runs, train_size=size)) for size in sizes]
    colours: list[Any] = shades(colour, len(sizes))
    if len(control):
        groups, colours = [*groups, ("control", control)], [*colours, NEUTRAL]
    end_ps = max(own["simulated_ps"].max() for _, own in groups) or 1.0
    for place, ((name, own), shade) in enumerate(zip(groups, colours, strict=True)):
        curve = kaplan_meier(own["simulated_ps"].to_numpy(), failed(own).to_numpy())
        label = f"{name}: {failed(own).sum()} of {len(own)} failed"
        dashes = DASHES[place % len(DASHES)]  # lines on top of one another stay visible
        line: dict[str, Any] = {
            "color": shade,
            "ls": dashes,
            "lw": 1.8,
            "marker": MARKERS[place % len(MARKERS)],
            "ms": 5,
        }
        axes.step(curve["time_ps"], curve["survival"], where="post", label=label, markevery=[-1], **line)
        band = curve["time_ps"], curve["ci_low"], curve["ci_high"]
        axes.fill_between(*band, step="post", color=shade, alpha=0.12, lw=0)
        for edge in band[1:]:
            axes.step(band[0], edge, where="post", color=shade, lw=0.8, alpha=0.8, ls=dashes)
        cut = own.loc[own["outcome"] == "timeout", "simulated_ps"]
        index = np.searchsorted(curve["time_ps"], cut, side="right") - 1
        axes.plot(cut, curve["survival"].to_numpy()[index], "|", color=shade, ms=8)
    axes.set(xlabel="time (ps)", ylabel="share that has not failed", ylim=(-0.03, 1.05), xlim=(0, 1.02 * end_ps))
    axes.legend(title="bands: 95 % intervals, bars across a line: stopped by the time limit", handlelength=4, **BELOW)


def draw(
    robustness_path: str | Path,
    recheck_path: str | Path,
    stability_path: str | Path,
    *,
    robustness: Sequence[str | Path],
    survival: Sequence[str | Path],
) -> None:
    """Draw both figures from the tables.

    Args:
        robustness_path: robustness.csv.
        recheck_path: recheck.csv.
        stability_path: stability.csv.
        robustness: paths of the figure of the errors; the ending tells the format.
        survival: paths of the figure of the survival.
    """
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    errors, runs = read(robustness_path), read(stability_path)
    even = rows_of(read(recheck_path), choice="even")
    places, styles = places_of(runs), {model: style for style, model in enumerate(models_of(runs))}
    run = [(place, model) for place in places for model in models_of(rows_of(runs, **place))]
    with plt.rc_context(RC):
        figure, (top, bottom) = panel_blocks([len(places), len(run)])
        for axes, place in zip(top, places, strict=True):
            draw_errors(axes, rows_of(errors, **place), rows_of(even, **place), styles)
            axes.set_title(f"{title(place)}: test set and own MD", fontsize=10)
        for axes, (place, model) in zip(bottom, run, strict=True):
            colour = COLOURS[styles[model] % len(COLOURS)]
            draw_course(axes, rows_of(even, model=model, **place), rows_of(runs, model=model, **place), colour)
            axes.set_title(f"{title(place)}: {model} along its MD", fontsize=10)
        save(figure, robustness)
        plt.close(figure)

        figure, (panels,) = panel_blocks([len(run)])
        for axes, (place, model) in zip(panels, run, strict=True):
            control = rows_of(runs, model=REFERENCE_MODEL, **place)
            draw_survival(axes, rows_of(runs, model=model, **place), control, COLOURS[styles[model] % len(COLOURS)])
            axes.set_title(f"{title(place)}: {model}", fontsize=10)
        save(figure, survival)
        plt.close(figure)
