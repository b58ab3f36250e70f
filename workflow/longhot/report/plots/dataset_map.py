"""The map of each data set: where MD went, how far from its training frames, and what errors it met there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from longhot.dynamics.tables import ERROR
from longhot.learning.dataset_map import FAILURE, MD, PLACE, TEXT, TRAIN, visited
from longhot.report.dataset_map_figure import DISTANCE, TRAIN_COLOUR, drawn_models, name_of, relative, test_sets
from longhot.report.plots.panels import (
    Panel,
    Trace,
    axis,
    colour_of,
    dash_of,
    line,
    marker_of,
    panel,
    points,
    rule,
    tints,
)
from longhot.report.rows import rows_of, sizes_of
from longhot.report.structures import map_keys
from longhot.report.style import NEUTRAL

if TYPE_CHECKING:
    import pandas as pd

SYMBOLS = ("square-open", "triangle-up-open", "diamond-open", "triangle-down-open")
"""Of the test sets in their order."""


def dataset_map(tables: Mapping[str, pd.DataFrame]) -> list[Panel]:
    """For each data set a map for each model, the distances, and the errors where they are known."""
    table, panels = tables["dataset_map"].fillna(dict.fromkeys(TEXT, "")), []
    for dataset, own in table.groupby("dataset", sort=False):
        models = drawn_models(own)
        for place, model in enumerate(models):
            panels.append(_map(f"{dataset}: {model}", own, model, colour_of(place)))
        if models:
            panels.append(_distances(str(dataset), own, models))
        if (own[ERROR] > 0).any():
            panels.append(_errors(str(dataset), own, models))
    return panels


def _on_map(rows: pd.DataFrame, name: str, colour: str, symbol: str, **more: object) -> Trace:
    """Frames on the map, each a point that shows its structure."""
    said = [_said(row) for row in rows.to_dict("records")]
    x, y = rows[PLACE[0]], rows[PLACE[1]]
    return points(x, y, name, colour, symbol, customdata=map_keys(rows), text=said,
                  hovertemplate=f"{name}<br>%{{text}}<extra></extra>", **more)  # fmt: skip


def _said(row: Mapping[str, float]) -> str:
    """What the pointer says of a frame."""
    parts = [f"{row['time_ps']:.6g} ps" if row["time_ps"] >= 0 else f"frame {row['frame']:g}"]
    parts.append(f"distance {row['distance']:.3g}")
    if row[ERROR] >= 0:
        parts.append(f"error {row[ERROR]:.3g} meV/Å")
    return ", ".join(parts)


def _map(title: str, table: pd.DataFrame, model: str, colour: str) -> Panel:
    own, traces = rows_of(table, model=model), []
    shades = tints(colour, sizes_of(own))
    for size, tint in reversed(shades.items()):
        for phase, rows in rows_of(own, train_size=size, kind=MD).groupby("phase"):
            symbol = "cross" if phase == "liquid" else "circle"
            look = {"size": 6, "opacity": 0.85}
            traces.append(_on_map(rows, name_of(model, size, str(phase)), tint, symbol, marker=look))
    train = rows_of(table, kind=TRAIN)
    outline = {"size": 5, "line": {"color": NEUTRAL, "width": 0.4}}
    traces.append(_on_map(train, "training pool", TRAIN_COLOUR, "circle", marker=outline))
    for name, symbol in zip(test_sets(table), SYMBOLS, strict=False):
        traces.append(_on_map(rows_of(table, kind=name), f"test set {name}", NEUTRAL, symbol, marker={"size": 5}))
    for size, tint in shades.items():
        failed = rows_of(own, train_size=size, kind=FAILURE)
        if len(failed):
            cross = {"size": 10, "line": {"color": "#000000", "width": 1}}
            traces.append(_on_map(failed, f"failures, N = {size:g}", tint, "x", marker=cross))
    return panel(title, traces, axis("first kernel component"), axis("second kernel component"))


def _distances(dataset: str, table: pd.DataFrame, models: list[str]) -> Panel:
    """Share of the visited frames that lie farther out than a distance."""
    frames, traces = visited(table), []
    for place, model in enumerate(models):
        own = rows_of(frames, model=model)
        for size, tint in tints(colour_of(place), sizes_of(own)).items():
            for phase, rows in rows_of(own, train_size=size).groupby("phase"):
                values = np.sort(relative(rows))
                share = 1 - np.arange(len(values)) / len(values)
                dash = dash_of(1 if phase == "liquid" else place)
                name = f"{name_of(model, size, str(phase))} ({100 * np.mean(values > 1):.0f} %)"
                traces.append(line(values, share, name, tint, line={"shape": "vh", "dash": dash},
                                   hovertemplate=f"{name}: %{{y:.0%}} beyond %{{x:.3g}}<extra></extra>"))  # fmt: skip
    y = axis("share of visited frames farther out", range=[-0.02, 1.04], tickformat=".0%")
    return panel(f"{dataset}: how far MD went", traces, axis(DISTANCE, log=True), y, shapes=[rule(x=1)])


def _errors(dataset: str, table: pd.DataFrame, models: list[str]) -> Panel:
    """Force error against distance; each point shows its structure."""
    frames, traces = table[(table["kind"] == MD) & (table[ERROR] > 0)], []
    for place, model in enumerate(models):
        own = rows_of(frames, model=model)
        for size, tint in tints(colour_of(place), sizes_of(own)).items():
            rows, name = rows_of(own, train_size=size), name_of(model, size)
            said = f"{name}<br>distance %{{x:.3g}}, error %{{y:.3g}} meV/Å<extra></extra>"
            traces.append(points(relative(rows), rows[ERROR], name, tint, marker_of(place), hovertemplate=said,
                                 customdata=map_keys(rows), marker={"size": 6, "opacity": 0.8}))  # fmt: skip
    y = axis("force MAE (meV/Å)", log=True)
    return panel(f"{dataset}: and its errors there", traces, axis(DISTANCE, log=True), y, shapes=[rule(x=1)])
