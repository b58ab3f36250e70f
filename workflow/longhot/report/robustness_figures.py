"""Figures of hot MD: the error on frames that a model's own MD visited, and how long its trajectories survive.

Both have one column for each dataset and temperature, and shades of a model's colour for its training sizes.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from longhot.config import REFERENCE_MODEL
from longhot.dynamics.tables import failed, kaplan_meier, read
from longhot.report.style import COLOURS, MARKERS, NEUTRAL, RC, label_decade, save

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

MAE = "force_mae_meV_per_A"
STATIC, MD = "static_force_mae_meV_per_A", "md_force_mae_meV_per_A"
N_TIME_BINS = 10
PERCENTILES = (5, 95)
_BELOW = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.17), "fontsize": 7.5, "title_fontsize": 7.5, "ncols": 2}


def shades(colour: str, n_sizes: int) -> list[tuple[float, ...]]:
    """The colour for each training size, from pale for the smallest to full for the largest."""
    from matplotlib.colors import to_rgb

    full = np.array(to_rgb(colour))
    return [tuple(1 - weight * (1 - full)) for weight in np.linspace(1.0, 0.45, n_sizes)[::-1]]


def models_of(table: pd.DataFrame) -> list[str]:
    """The models of a table in its order, without the control."""
    return [model for model in table["model"].unique() if model != REFERENCE_MODEL]


def sizes_of(table: pd.DataFrame) -> list[int]:
    """The training sizes of a table, ascending."""
    return sorted(table["train_size"].unique())


def _columns(table: pd.DataFrame) -> list[tuple[str, float]]:
    """Dataset and temperature of each column of panels."""
    return list(table.groupby(["dataset", "temperature_K"], sort=False).groups)


def _of(table: pd.DataFrame, **wanted: Any) -> pd.DataFrame:
    for name, value in wanted.items():
        table = table[table[name] == value]
    return table


def draw_errors(axes: Axes, robustness: pd.DataFrame, frames: pd.DataFrame, styles: dict[str, int]) -> None:
    """Static error (open, dashed) and error in MD (filled) against training size, a colour for each model.

    Bars go from the 5th to the 95th percentile over the rechecked frames. A model that was run at one
    training size, because its forces do not depend on the data, becomes horizontal lines.
    """
    learned = [model for model in styles if len(_of(robustness, model=model)) > 1]
    for model, style in styles.items():
        rows = _of(robustness, model=model).sort_values("train_size")
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
    axes.legend(title="bars: 5th to 95th percentile over rechecked frames", **_BELOW)


def _bars(rows: pd.DataFrame, frames: pd.DataFrame) -> np.ndarray:
    """Distances from the mean in MD down and up to the percentiles over frames, shape (2, n_sizes)."""
    bars = []
    for row in rows.itertuples():
        errors = _of(frames, model=row.model, train_size=row.train_size)[MAE].dropna()
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
        part, own = _of(frames, train_size=size).dropna(subset=[MAE]), _of(runs, train_size=size)
        # Frames stand at the ends of spans, so a span holds its right edge.
        span = np.clip(np.searchsorted(edges, part["time_ps"] - 1e-9, side="right") - 1, 0, N_TIME_BINS - 1)
        binned = part.groupby(span)
        time_ps, errors = binned["time_ps"].median(), binned[MAE].quantile([0.25, 0.5, 0.75]).unstack()
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
    axes.legend(title="line: median over replicas, band: quartiles, crosses: failures", **_BELOW)


def draw_survival(axes: Axes, runs: pd.DataFrame, control: pd.DataFrame, colour: str) -> None:
    """Kaplan-Meier estimates of one model, a line for each training size, and the control's.

    A bar behind the end of each line is its 95 % interval there.
    """
    sizes = sizes_of(runs)
    groups = [(f"N = {size}", _of(runs, train_size=size)) for size in sizes]
    colours: list[Any] = shades(colour, len(sizes))
    if len(control):
        groups, colours = [*groups, ("control", control)], [*colours, NEUTRAL]
    end_ps = max(own["simulated_ps"].max() for _, own in groups) or 1.0
    for place, ((name, own), shade) in enumerate(zip(groups, colours, strict=True)):
        curve = kaplan_meier(own["simulated_ps"].to_numpy(), failed(own).to_numpy())
        label = f"{name}: {failed(own).sum()} of {len(own)} failed"
        # Lines on top of one another stay visible.
        dashes = (0, (5, 1 + 2 * place)) if place else "-"
        axes.step(curve["time_ps"], curve["survival"], where="post", color=shade, label=label, ls=dashes, lw=1.8)
        last = curve.iloc[-1]
        bar = np.array([[last["survival"] - last["ci_low"]], [last["ci_high"] - last["survival"]]])
        style: dict[str, Any] = {
            "color": shade,
            "marker": MARKERS[place % len(MARKERS)],
            "ms": 4,
            "elinewidth": 1.5,
            "capsize": 3,
        }
        axes.errorbar(end_ps * (1.04 + 0.035 * place), last["survival"], yerr=np.maximum(bar, 0), **style)
        cut = own.loc[own["outcome"] == "timeout", "simulated_ps"]
        index = np.searchsorted(curve["time_ps"], cut, side="right") - 1
        axes.plot(cut, curve["survival"].to_numpy()[index], "|", color=shade, ms=8)
    axes.set(xlabel="time (ps)", ylabel="share that has not failed", ylim=(-0.03, 1.05))
    axes.set_xlim(0, end_ps * (1.04 + 0.035 * len(groups)))
    axes.legend(title="bars: 95 % intervals at the end", **_BELOW)


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

    errors, rechecked, runs = read(robustness_path), read(recheck_path), read(stability_path)
    even = rechecked[~rechecked["before_failure"].astype(bool)]
    columns = _columns(runs)
    styles = {model: style for style, model in enumerate(models_of(runs))}
    size = (4.6 * max(2, len(columns)), 3.9)
    with plt.rc_context(RC):
        figure, panels = plt.subplots(
            1 + len(styles), len(columns), figsize=(size[0], size[1] * (1 + len(styles))), squeeze=False
        )
        for column, (dataset, temperature) in zip(panels.T, columns, strict=True):
            where = {"dataset": dataset, "temperature_K": temperature}
            draw_errors(column[0], _of(errors, **where), _of(even, **where), styles)
            column[0].set_title(f"{dataset}, {temperature:g} K: test set and own MD", fontsize=10)
            for axes, (model, style) in zip(column[1:], styles.items(), strict=True):
                own = _of(runs, model=model, **where)
                if own.empty:
                    axes.set_axis_off()
                    continue
                draw_course(axes, _of(even, model=model, **where), own, COLOURS[style % len(COLOURS)])
                axes.set_title(f"{dataset}, {temperature:g} K: {model} along its MD", fontsize=10)
        save(figure, robustness)
        plt.close(figure)

        figure, panels = plt.subplots(
            max(1, len(styles)), len(columns), figsize=(size[0], size[1] * max(1, len(styles))), squeeze=False
        )
        for column, (dataset, temperature) in zip(panels.T, columns, strict=True):
            where = {"dataset": dataset, "temperature_K": temperature}
            control = _of(runs, model=REFERENCE_MODEL, **where)
            for axes, (model, style) in zip(column, styles.items(), strict=True):
                own = _of(runs, model=model, **where)
                if own.empty:
                    axes.set_axis_off()
                    continue
                draw_survival(axes, own, control, COLOURS[style % len(COLOURS)])
                axes.set_title(f"{dataset}, {temperature:g} K: {model}", fontsize=10)
        save(figure, survival)
        plt.close(figure)
