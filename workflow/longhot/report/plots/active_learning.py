"""Active learning: strategies against the number of labels, and a run that learns on the fly against time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from longhot.report.active_learning_figures import PANELS
from longhot.report.columns import STRATEGIES
from longhot.report.plots.panels import (
    Panel,
    Trace,
    axis,
    bars,
    colour_of,
    dash_of,
    line,
    marker_of,
    panel,
    points,
)
from longhot.report.style import NEUTRAL

if TYPE_CHECKING:
    import pandas as pd

SURVIVAL = "survival_at_end"


def strategies(tables: Mapping[str, pd.DataFrame]) -> list[Panel]:
    """Errors and survival against the number of labels: mean over seeds with their range, a line for each strategy."""
    panels = []
    for (dataset, model), rounds in tables["active_learning"].groupby(["dataset", "model"], sort=False):
        for column in PANELS:
            if rounds[column].isna().all():
                continue
            traces = [
                _strategy(own.dropna(subset=[column]), column, str(strategy), place)
                for place, (strategy, own) in enumerate(rounds.groupby("strategy", sort=False))
            ]
            scale = {"range": [-0.05, 1.05]} if column == SURVIVAL else {"log": True}
            x, y = axis("number of labelled frames"), axis(PANELS[column], **scale)
            panels.append(panel(f"{dataset}, {model}: {PANELS[column].split(' (')[0]}", traces, x, y))
    return panels


def _strategy(rounds: pd.DataFrame, column: str, strategy: str, place: int) -> Trace:
    grouped = rounds.groupby("round")
    values, labels = grouped[column], grouped["n_labels"].mean()
    mean = values.mean() if column == SURVIVAL else np.exp(values.apply(lambda own: np.log(own).mean()))
    name = STRATEGIES.get(strategy, strategy)
    said = f"{name}<br>%{{x}} labels: %{{y:.3g}}, mean of {rounds['seed'].nunique()} seeds<extra></extra>"
    return points(
        labels,
        mean,
        name,
        colour_of(place),
        marker_of(place),
        line={"dash": dash_of(place)},
        error_y=bars(values.max() - mean, mean - values.min()),
        hovertemplate=said,
    )


def online(tables: Mapping[str, pd.DataFrame]) -> list[Panel]:
    """Estimated and true error against time, and how often the reference was called."""
    panels = []
    for (dataset, model), trace in tables["active_learning_online"].groupby(["dataset", "model"], sort=False):
        time_ps = trace["time_ps"]
        traces = [
            line(time_ps, trace["estimated_meV_per_A"], "estimated", colour_of(0), line={"width": 1}),
            line(time_ps, trace["threshold_meV_per_A"], "threshold", NEUTRAL, line={"dash": "dash", "shape": "hv"}),
        ]
        for kind, symbol, place, name in (
            ("audit", "circle", 2, "true, audited"),
            ("call", "triangle-up", 1, "true, at a call of the reference"),
        ):
            own = trace[trace["kind"] == kind]
            traces.append(points(own["time_ps"], own["true_meV_per_A"], name, colour_of(place), symbol))
        x, y = axis("time (ps)"), axis("largest force error on an atom (meV/Å)", log=True)
        panels.append(panel(f"{dataset}, {model}: estimated and true error", traces, x, y))
        calls = line(time_ps, trace["n_calls"], "calls of the reference", colour_of(1), line={"shape": "hv"})
        y = axis("calls of the reference in the run", rangemode="tozero")
        panels.append(panel(f"{dataset}, {model}: calls", [calls], x, y, showlegend=False))
    return panels
