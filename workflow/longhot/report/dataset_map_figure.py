"""Figure of the map of each data set: where MD went, how far from its training frames, and what errors it met there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from longhot.learning.dataset_map import ERROR, FAILURE, MD, PLACE, TRAIN, VALID, read, visited
from longhot.report.rows import is_sampler, models_of, rows_of, sizes_of
from longhot.report.style import BELOW, COLOURS, DASHES, NEUTRAL, RC, label_decade, panel_blocks, save, shades

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

TRAIN_COLOUR = "#C8C8C8"
TEST_MARKERS = ("s", "^", "D", "v")
"""Of the test sets in their order, drawn as outlines."""
DISTANCE = "distance to training (1: farthest test frame)"
PHASE_MARKERS = {"solid": "o", "liquid": "P", "": "o"}


def test_sets(table: pd.DataFrame) -> list[str]:
    """Names of the test sets on a map."""
    return [kind for kind in table["kind"].unique() if kind not in (TRAIN, VALID, MD, FAILURE)]


def drawn_models(table: pd.DataFrame) -> list[str]:
    """The models that a map has a panel for: those with MD, or what sampled in their place."""
    return models_of(table[table["kind"] == MD]) or list(table.loc[table["kind"] == MD, "model"].unique())


def places(rows: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    """Where frames lie on the map."""
    return rows[PLACE[0]], rows[PLACE[1]]


def name_of(model: str, size: int, phase: str = "") -> str:
    """How a legend names MD."""
    who = f"MD of the {model}" if is_sampler(model) else f"{model}, N = {size:g}"
    return f"{who}: {phase}" if phase else who


def relative(rows: pd.DataFrame) -> pd.Series:
    """Distance over that of the farthest test frame: above 1 lies what no test frame told of."""
    return rows["distance"] / rows["farthest_test"]


def draw_map(axes: Axes, table: pd.DataFrame, model: str | None, colour: str) -> None:
    """The map of a data set with the frames that one model's MD visited, in a shade for each training size.

    Args:
        axes: where to draw.
        table: the rows of one data set.
        model: whose MD; None where there was none.
        colour: of the model.
    """
    train = rows_of(table, kind=TRAIN)
    small: dict[str, Any] = {"mec": NEUTRAL, "ms": 3.5, "zorder": 3}
    axes.plot(*places(train), "o", color=TRAIN_COLOUR, mew=0.3, label="training pool", **small)
    for name, marker in zip(test_sets(table), TEST_MARKERS, strict=False):
        own = rows_of(table, kind=name)
        axes.plot(*places(own), marker, mfc="none", mew=0.6, label=f"test set {name}", **small)
    own = rows_of(table, model=model)
    sizes = sizes_of(own)
    for size, shade in reversed(list(zip(sizes, shades(colour, len(sizes)), strict=True))):
        for phase, rows in rows_of(own, train_size=size, kind=MD).groupby("phase"):
            label = name_of(str(model), size, str(phase))
            axes.plot(*places(rows), PHASE_MARKERS[str(phase)], color=shade, ms=4, mew=0, alpha=0.9, label=label)
        failed = rows_of(own, train_size=size, kind=FAILURE)
        if len(failed):
            label = f"failures, N = {size:g}"
            axes.plot(*places(failed), "X", mfc=shade, mec="black", ms=7, mew=0.8, zorder=4, label=label)
    axes.set(xlabel="first kernel component", ylabel="second kernel component")
    axes.legend(**BELOW)


def draw_distances(axes: Axes, table: pd.DataFrame, colours: dict[str, str]) -> None:
    """Share of the visited frames that lie farther from the training frames than a distance, a line for each MD."""
    frames = visited(table)
    for number, model in enumerate(colours):
        own = rows_of(frames, model=model)
        sizes = sizes_of(own)
        for size, shade in zip(sizes, shades(colours[model], len(sizes)), strict=True):
            for phase, rows in rows_of(own, train_size=size).groupby("phase"):
                values = np.sort(relative(rows))
                share = 1 - np.arange(len(values)) / len(values)
                label = f"{name_of(model, size, str(phase))} ({100 * np.mean(values > 1):.0f} %)"
                dashes = DASHES[(number if not phase else list(PHASE_MARKERS).index(str(phase))) % len(DASHES)]
                axes.step(values, share, where="pre", color=shade, ls=dashes, lw=1.6, label=label)
    axes.axvline(1, color=NEUTRAL, ls="--", lw=1)
    axes.set(xscale="log", ylim=(0, 1.02), ylabel="share of visited frames farther out")
    axes.set_xlabel(DISTANCE)
    label_decade(axes, "x")
    axes.legend(title="in brackets the share beyond every test frame", **BELOW)


def draw_errors(axes: Axes, table: pd.DataFrame, colours: dict[str, str]) -> None:
    """Force error of the rechecked frames against how far they lie from the training frames."""
    frames = table[(table["kind"] == MD) & (table[ERROR] > 0)]
    for model, colour in colours.items():
        own = rows_of(frames, model=model)
        sizes = sizes_of(own)
        for size, shade in zip(sizes, shades(colour, len(sizes)), strict=True):
            rows = rows_of(own, train_size=size)
            marker = "os^Dv"[list(colours).index(model) % 5]
            label = name_of(model, size)
            axes.plot(relative(rows), rows[ERROR], marker, color=shade, ms=4, mec="white", mew=0.4, label=label)
    axes.axvline(1, color=NEUTRAL, ls="--", lw=1)
    axes.set(xscale="log", yscale="log", ylabel="force MAE (meV/Å)")
    axes.set_xlabel(DISTANCE)
    label_decade(axes, "x")
    label_decade(axes, "y")
    axes.legend(**BELOW)


def panels_of(dataset: str, table: pd.DataFrame) -> list[tuple[str, Callable[[Axes], None]]]:
    """Title and drawing of each panel of one data set: a map for each model, distances, and errors where known."""
    models = drawn_models(table)
    colours = {model: COLOURS[place % len(COLOURS)] for place, model in enumerate(models)}
    if not models:
        return [(dataset, lambda axes: draw_map(axes, table, None, NEUTRAL))]
    panels: list[tuple[str, Callable[[Axes], None]]] = [
        (f"{dataset}: {model}", partial(draw_map, table=table, model=model, colour=colour))
        for model, colour in colours.items()
    ]
    panels.append((f"{dataset}: how far MD went", partial(draw_distances, table=table, colours=colours)))
    if (table[ERROR] > 0).any():
        panels.append((f"{dataset}: and its errors there", partial(draw_errors, table=table, colours=colours)))
    return panels


def draw(dataset_map_path: str | Path, out: Sequence[str | Path]) -> None:
    """Draw the figure from its table.

    Args:
        dataset_map_path: dataset_map.csv.
        out: paths to write, the ending tells the format.
    """
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    table = read(dataset_map_path)
    with plt.rc_context(RC):
        blocks = [panels_of(str(dataset), own) for dataset, own in table.groupby("dataset", sort=False)]
        figure, drawn = panel_blocks([len(panels) for panels in blocks])
        for axes, (title, draw_panel) in zip(chain(*drawn), chain(*blocks), strict=True):
            draw_panel(axes)
            axes.set_title(title, fontsize=10)
        save(figure, out)
        plt.close(figure)
