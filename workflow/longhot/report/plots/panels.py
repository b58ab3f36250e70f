"""Panels as plain data for plotly: traces with the colours, dashes and markers of the static figures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from longhot.report.style import COLOURS, NEUTRAL, shades

Panel = dict[str, Any]
"""``title``, ``data`` (plotly traces) and ``layout`` of one panel; the page adds fonts and sizes."""
Trace = dict[str, Any]

DASHES = ("solid", "dash", "dot", "dashdot", "longdash")
MARKERS = ("circle", "square", "triangle-up", "diamond", "triangle-down", "cross")
DIGITS = 6
"""Significant digits of what is plotted."""
BLACK = "#000000"


def colour_of(place: int) -> str:
    """The colour of a model or strategy."""
    return COLOURS[place % len(COLOURS)]


def marker_of(place: int) -> str:
    """The marker that goes with a place in an order."""
    return MARKERS[place % len(MARKERS)]


def dash_of(place: int) -> str:
    """The dashes that go with a place in an order."""
    return DASHES[place % len(DASHES)]


def tints(colour: str, sizes: Sequence[int]) -> dict[int, str]:
    """A tint of the colour for each training size, from pale to full."""
    return {
        size: "#" + "".join(f"{round(255 * part):02x}" for part in rgb)
        for size, rgb in zip(sizes, shades(colour, len(sizes)), strict=True)
    }


def see_through(colour: str, alpha: float) -> str:
    """A colour such as ``#0072B2`` with an opacity."""
    red, green, blue = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    return f"rgba({red},{green},{blue},{alpha})"


def plain(values: Iterable[Any]) -> list[Any]:
    """Numbers with ``DIGITS`` significant digits, None for what is not finite; texts as they are."""
    return [_plain(value) for value in values]


def _plain(value: Any) -> Any:
    if isinstance(value, str) or value is None:
        return value
    return float(f"{value:.{DIGITS}g}") if np.isfinite(value) else None


def axis(title: str, *, log: bool = False, **more: Any) -> dict[str, Any]:
    """An axis with its name and unit."""
    scale: dict[str, Any] = {"type": "log"} if log else {}
    return {"title": {"text": title}, **scale, **more}


def size_axis(sizes: Sequence[int]) -> dict[str, Any]:
    """The axis of training sizes, logarithmic, with a tick at each."""
    # A power of 10 on each side keeps a lone size in the middle.
    low, high = np.log10(min(sizes)), np.log10(max(sizes))
    margin = 0.06 * (high - low) or 0.3
    return axis(
        "training frames",
        log=True,
        tickmode="array",
        tickvals=[int(size) for size in sizes],
        ticktext=[str(size) for size in sizes],
        range=[low - margin, high + margin],
    )


def line(x: Iterable[Any], y: Iterable[Any], name: str, colour: str, **more: Any) -> Trace:
    """A line without markers."""
    return {"type": "scatter", "mode": "lines", "x": plain(x), "y": plain(y), "name": name,
            "line": {"color": colour, "width": 1.8, **more.pop("line", {})}, **more}  # fmt: skip


def points(x: Iterable[Any], y: Iterable[Any], name: str, colour: str, symbol: str, **more: Any) -> Trace:
    """Markers, with lines between them where ``line`` is given."""
    drawn_line = more.pop("line", None)
    trace = {"type": "scatter", "mode": "lines+markers" if drawn_line else "markers", "x": plain(x), "y": plain(y),
             "name": name, "marker": {"color": colour, "symbol": symbol, "size": 8, **more.pop("marker", {})},
             **more}  # fmt: skip
    if drawn_line is not None:
        trace["line"] = {"color": colour, "width": 1.5, **drawn_line}
    return trace


def bars(up: Iterable[float], down: Iterable[float] | None = None) -> dict[str, Any]:
    """Error bars: distances up and down, or the same both ways."""
    error: dict[str, Any] = {"type": "data", "array": plain(up), "thickness": 1, "width": 4}
    return error if down is None else {**error, "symmetric": False, "arrayminus": plain(down)}


def band(x: Iterable[Any], low: Iterable[Any], high: Iterable[Any], name: str, colour: str, **more: Any) -> list[Trace]:
    """A band between two lines, which comes and goes with the line of the same ``legendgroup``."""
    x, alpha = plain(x), more.pop("alpha", 0.18)
    edge = {"line": {"width": 0, "color": colour, **more.pop("line", {})}, "hoverinfo": "skip", "showlegend": False}
    filled = {"fill": "tonexty", "fillcolor": see_through(colour, alpha)}
    return [
        line(x, low, f"{name}, low end of the band", colour, **edge, **more),
        line(x, high, f"{name}, high end of the band", colour, **edge, **filled, **more),
    ]


def level(y: float, ends: Sequence[float], name: str, colour: str = NEUTRAL, dash: str = "dash", **more: Any) -> Trace:
    """A horizontal line between two places."""
    return line(ends, [y, y], name, colour, line={"dash": dash, "width": 1.5}, **more)


def rule(**ends: float) -> dict[str, Any]:
    """A thin line through the whole panel: ``y=0`` or ``x=0``."""
    ((name, at),) = ends.items()
    other = "x" if name == "y" else "y"
    place = {f"{name}0": at, f"{name}1": at, f"{name}ref": name}
    across = {f"{other}0": 0, f"{other}1": 1, f"{other}ref": "paper"}
    return {"type": "line", "line": {"color": NEUTRAL, "width": 0.8}, "layer": "below", **place, **across}


def panel(title: str, data: list[Trace], x: dict[str, Any], y: dict[str, Any], **layout: Any) -> Panel:
    """One panel."""
    return {"title": title, "data": data, "layout": {"xaxis": x, "yaxis": y, **layout}}


def n_points(panels: Sequence[Panel]) -> int:
    """How many points all traces of the panels hold."""
    return sum(len(trace["x"]) for panel in panels for trace in panel["data"])
