"""One look for all figures: colours that a colour-blind reader can tell apart, and a marker with each."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from longhot.files import atomic_path

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito (2008), without the yellow, which is too light for lines on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
DASHES = ("-", (0, (5, 2)), (0, (1, 1.2)), (0, (6, 1.5, 1, 1.5)), (0, (3, 1, 1, 1, 1, 1)))
MARKERS = ("o", "s", "^", "D", "v", "P")
NEUTRAL = "#404040"
RC = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "legend.frameon": False,
    "svg.fonttype": "path",
    "svg.hashsalt": "longhot",
    "figure.constrained_layout.use": True,
}
N_COLUMNS = 2
"""Of panels: with more, the text becomes too small for the width of the report."""
PANEL_SIZE_INCHES = (4.6, 3.9)
NOTE_WIDTH = 60
"""Characters in a line of a text within a panel."""
MOST_MARKERS = 3000
"""Of a figure with more, markers are drawn as pixels: each is an element of the SVG, some 150 bytes of the page."""
BELOW = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.17), "fontsize": 7.5, "title_fontsize": 7.5, "ncols": 2}
"""Place and size of a legend: below its panel, where it covers no data."""


def shades(colour: str, n_sizes: int) -> list[tuple[float, ...]]:
    """The colour for each training size, from pale for the smallest to full for the largest."""
    from matplotlib.colors import to_rgb

    full = np.array(to_rgb(colour))
    return [tuple(1 - weight * (1 - full)) for weight in np.linspace(1.0, 0.45, n_sizes)[::-1]]


def panel_blocks(n_panels: Sequence[int]) -> tuple[Figure, list[list[Axes]]]:
    """A figure of blocks below one another, each of so many panels in rows of ``N_COLUMNS``.

    Returns:
        The figure, and the panels of each block.
    """
    import matplotlib.pyplot as plt

    n_rows = [-(-number // N_COLUMNS) for number in n_panels]
    size = (PANEL_SIZE_INCHES[0] * N_COLUMNS, PANEL_SIZE_INCHES[1] * sum(n_rows))
    figure, grid = plt.subplots(sum(n_rows), N_COLUMNS, figsize=size, squeeze=False)
    blocks: list[list[Any]] = [list(block.flat) for block in np.split(grid, np.cumsum(n_rows)[:-1])]
    for block, number in zip(blocks, n_panels, strict=True):
        for axes in block[number:]:
            axes.set_axis_off()
    return figure, [block[:number] for block, number in zip(blocks, n_panels, strict=True)]


def say(axes: Axes, text: str) -> None:
    """A panel that holds a sentence in place of what could not be drawn."""
    axes.set_axis_off()
    filled = textwrap.fill(text, NOTE_WIDTH)
    axes.text(0.5, 0.5, filled, transform=axes.transAxes, ha="center", va="center", color=NEUTRAL)


def notice(text: str) -> Figure:
    """A figure that holds nothing but a sentence."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(PANEL_SIZE_INCHES[0] * N_COLUMNS, 1.2))
    say(axes, text)
    return figure


def label_decade(axes: Axes, which: Literal["x", "y"] = "y") -> None:
    """Plain numbers on a logarithmic axis, ``x`` or ``y``, few enough not to touch."""
    from matplotlib.ticker import LogLocator

    axis = axes.yaxis if which == "y" else axes.xaxis
    axis.set_minor_locator(LogLocator(subs=(2, 3, 5) if which == "y" else (2, 5)))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter("{x:g}")
    axes.tick_params(axis=which, which="minor", labelsize=8)


def panel_pairs(n_pairs: int, otherwise: str) -> tuple[Figure, list[tuple[Axes, Axes]]]:
    """A figure of rows of two panels; one that says ``otherwise`` where there is no row."""
    if not n_pairs:
        return notice(otherwise), []
    figure, (panels,) = panel_blocks([2 * n_pairs])
    return figure, list(zip(panels[::2], panels[1::2], strict=True))


def rasterize_markers(figure: Figure, most_markers: int = MOST_MARKERS) -> None:
    """Let what has markers be drawn as pixels where the figure has more of them than ``most_markers``."""
    marked = [line for axes in figure.axes for line in axes.lines if line.get_marker() not in (None, "None", "", " ")]
    if sum(np.size(line.get_xdata()) for line in marked) > most_markers:
        for one in marked:
            one.set_rasterized(True)


def save(figure: Figure, paths: Sequence[str | Path]) -> None:
    """Save a figure under each path, the same bytes for the same figure."""
    rasterize_markers(figure)
    for path in map(Path, paths):
        metadata = {"Date": None} if path.suffix == ".svg" else None
        with atomic_path(path) as temporary:
            figure.savefig(temporary, dpi=150, metadata=metadata)
