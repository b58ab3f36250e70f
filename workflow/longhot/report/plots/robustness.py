"""Hot MD: errors on visited frames, survival, what ended the trajectories, and the committee spread as a warning."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from longhot.config import REFERENCE_MODEL
from longhot.dynamics.statistics import kaplan_meier
from longhot.dynamics.tables import ERROR, MD, SPREAD, STATIC, failed
from longhot.report.failure_figures import OUTCOMES
from longhot.report.plots.panels import (
    Panel,
    Trace,
    axis,
    band,
    bars,
    colour_of,
    dash_of,
    level,
    line,
    marker_of,
    panel,
    points,
    size_axis,
    tints,
)
from longhot.report.robustness_figures import N_TIME_BINS, PERCENTILES, places_of, title
from longhot.report.rows import models_of, rows_of, sizes_of
from longhot.report.spread_figure import tau_text
from longhot.report.structures import key
from longhot.report.style import NEUTRAL

if TYPE_CHECKING:
    import pandas as pd

HATCHES = {"timeout": "/", "bond_formed": "\\", "nonfinite": "x", "energy_drift": "."}
"""Of the bars that colour alone would not tell apart."""
KINDS = {
    "even": ("circle", "even in time"),
    "before_failure": ("x-thin-open", "before a failure"),
    "highest_spread": ("triangle-up", "of the highest spread"),
}
"""Marker and name of each reason for which a frame was rechecked."""


def errors(tables: Mapping[str, pd.DataFrame]) -> list[Panel]:
    """Static and MD error against training size at each place, and the error along the MD of each model."""
    robustness, runs = tables["robustness"], tables["stability"]
    even = rows_of(tables["recheck"], choice="even")
    styles = {model: style for style, model in enumerate(models_of(runs))}
    panels = []
    for place in places_of(runs):
        traces = _errors_by_size(rows_of(robustness, **place), rows_of(even, **place), styles)
        sizes = sizes_of(rows_of(runs, **place)[lambda rows: rows["model"] != REFERENCE_MODEL])
        if traces and sizes:
            y = axis("force MAE (meV/Å)", log=True)
            panels.append(panel(f"{title(place)}: test set and own MD", traces, size_axis(sizes), y))
    for place in places_of(runs):
        for model in models_of(rows_of(runs, **place)):
            own = rows_of(even, model=model, **place), rows_of(runs, model=model, **place)
            x, y = axis("time (ps)", rangemode="tozero"), axis("force MAE (meV/Å)", log=True)
            traces = _course(*own, colour_of(styles[model]))
            panels.append(panel(f"{title(place)}: {model} along its MD", traces, x, y))
    return panels


def _errors_by_size(robustness: pd.DataFrame, frames: pd.DataFrame, styles: Mapping[str, int]) -> list[Trace]:
    learned = [model for model in styles if len(rows_of(robustness, model=model)) > 1]
    ends = [robustness["train_size"][robustness["train_size"] > 0].min(), robustness["train_size"].max()]
    traces: list[Trace] = []
    for model, style in styles.items():
        rows = rows_of(robustness, model=model).sort_values("train_size")
        if rows.empty:
            continue
        colour, symbol = colour_of(style), marker_of(style)
        if model not in learned and learned:
            traces += [
                level(rows[MD].iloc[0], ends, f"{model}, in MD", colour, "solid"),
                level(rows[STATIC].iloc[0], ends, f"{model}, test set", colour),
            ]
            continue
        said = f"{model}, N = %{{x}}: %{{y:.3g}} meV/Å<extra></extra>"
        look: dict[str, Any] = {"line": {"dash": "dash"}, "marker": {"symbol": f"{symbol}-open"}}
        traces.append(points(rows["train_size"], rows[STATIC], f"{model}, test set", colour, symbol,
                             hovertemplate=said, **look))  # fmt: skip
        up, down = [], []
        for row in rows.itertuples():
            own = rows_of(frames, model=model, train_size=row.train_size)[ERROR].dropna()
            mean = getattr(row, MD)
            low, high = np.percentile(own, PERCENTILES) if len(own) else (mean, mean)
            up.append(max(high - mean, 0.0))
            down.append(max(mean - low, 0.0))
        traces.append(points(rows["train_size"], rows[MD], f"{model}, in MD", colour, symbol, line={},
                             error_y=bars(up, down), hovertemplate=said))  # fmt: skip
    return traces


def _course(frames: pd.DataFrame, runs: pd.DataFrame, colour: str) -> list[Trace]:
    """Every rechecked frame as a point that shows its structure, and the median over spans of time."""
    edges = np.linspace(0, runs["simulated_ps"].max() or 1.0, N_TIME_BINS + 1)
    traces: list[Trace] = []
    for place, (size, tint) in enumerate(tints(colour, sizes_of(runs)).items()):
        part, own = rows_of(frames, train_size=size).dropna(subset=[ERROR]), rows_of(runs, train_size=size)
        group = f"N = {size}"
        name = f"{group}: {int(failed(own).sum())} of {len(own)} failed"
        span = np.clip(np.searchsorted(edges, part["time_ps"] - 1e-9, side="right") - 1, 0, N_TIME_BINS - 1)
        binned = part.groupby(span)
        traces.append(line(binned["time_ps"].median(), binned[ERROR].median(), name, tint, legendgroup=group,
                           line={"dash": dash_of(place)}, hoverinfo="skip"))  # fmt: skip
        said = f"{group}, %{{x}} ps: %{{y:.3g}} meV/Å<extra></extra>"
        traces.append(points(part["time_ps"], part[ERROR], f"{group}, single frames", tint, marker_of(place),
                             customdata=_keys(part), hovertemplate=said, legendgroup=group, showlegend=False,
                             marker={"size": 6, "opacity": 0.75}))  # fmt: skip
    return traces


def _keys(rows: pd.DataFrame, time: str = "time_ps") -> list[str]:
    """The structure of each row."""
    return [
        key(row.dataset, row.model, row.train_size, row.seed, row.temperature_K, row.replica, getattr(row, time))
        for row in rows.itertuples()
    ]


def survival(tables: Mapping[str, pd.DataFrame]) -> list[Panel]:
    """Kaplan-Meier curves of each model at each place, beside the control."""
    runs = tables["stability"]
    styles = {model: style for style, model in enumerate(models_of(runs))}
    panels = []
    for place in places_of(runs):
        control = rows_of(runs, model=REFERENCE_MODEL, **place)
        for model in models_of(rows_of(runs, **place)):
            traces = _survival(rows_of(runs, model=model, **place), control, colour_of(styles[model]))
            x = axis("time (ps)", rangemode="tozero")
            y = axis("share that has not failed", range=[-0.03, 1.05])
            panels.append(panel(f"{title(place)}: {model}", traces, x, y))
    return panels


def _survival(runs: pd.DataFrame, control: pd.DataFrame, colour: str) -> list[Trace]:
    groups = [(f"N = {size}", rows_of(runs, train_size=size), tint)
              for size, tint in tints(colour, sizes_of(runs)).items()]  # fmt: skip
    if len(control):
        groups.append(("control", control, NEUTRAL))
    traces: list[Trace] = []
    for place, (name, own, tint) in enumerate(groups):
        curve = kaplan_meier(own["simulated_ps"].to_numpy(float), failed(own).to_numpy())
        look: dict[str, Any] = {"line": {"shape": "hv", "dash": dash_of(place)}, "legendgroup": name}
        said = f"{name}: %{{y:.0%}} live beyond %{{x:.4g}} ps<extra></extra>"
        label = f"{name}: {int(failed(own).sum())} of {len(own)} failed"
        traces += band(curve["time_ps"], curve["ci_low"], curve["ci_high"], name, tint, alpha=0.12,
                       legendgroup=name, line={"shape": "hv"})  # fmt: skip
        traces.append(line(curve["time_ps"], curve["survival"], label, tint, hovertemplate=said, **look))
        cut = own.loc[own["outcome"] == "timeout", "simulated_ps"]
        if len(cut):
            index = np.searchsorted(curve["time_ps"], cut, side="right") - 1
            traces.append(points(cut, curve["survival"].to_numpy()[index], f"{name}, stopped by the time limit", tint,
                                 "line-ns-open", marker={"size": 11}, legendgroup=name))  # fmt: skip
    return traces


def causes(tables: Mapping[str, pd.DataFrame]) -> list[Panel]:
    """Shares of the ways in which trajectories ended, and when each of them failed."""
    runs, panels = tables["stability"], []
    for place in places_of(runs):
        own = rows_of(runs, **place)
        groups = [(model, size) for model in [REFERENCE_MODEL, *models_of(own)]
                  for size in sizes_of(rows_of(own, model=model))]  # fmt: skip
        parts = [rows_of(own, model=model, train_size=size) for model, size in groups]
        names = ["control" if model == REFERENCE_MODEL else f"{model}, N = {size}" for model, size in groups]
        labels = [f"{name}<br>{int(failed(part).sum())} of {len(part)} failed"
                  for name, part in zip(names, parts, strict=True)]  # fmt: skip
        lanes = axis("", autorange="reversed", automargin=True, categoryorder="array", categoryarray=labels)
        layout = {"barmode": "stack", "bargap": 0.3}
        x = axis("share of trajectories", range=[0, 1.02], tickformat=".0%")
        panels.append(panel(f"{title(place)}: how they ended", _shares(parts, labels), x, lanes, **layout))
        times = _failure_times(parts, labels)
        if times:
            x = axis("time of failure (ps)", log=True)
            panels.append(panel(f"{title(place)}: when they failed", times, x, lanes))
    return panels


def _shares(parts: list[pd.DataFrame], labels: list[str]) -> list[Trace]:
    traces = []
    for outcome in _seen(parts):
        shares = [float((own["outcome"] == outcome).mean()) for own in parts]
        counts = [f"{int((own['outcome'] == outcome).sum())} of {len(own)}" for own in parts]
        look = {"color": OUTCOMES[outcome][0], "line": {"color": NEUTRAL, "width": 0.8},
                "pattern": {"shape": HATCHES.get(outcome, ""), "fgcolor": NEUTRAL, "size": 6}}  # fmt: skip
        name = outcome.replace("_", " ")
        traces.append({"type": "bar", "orientation": "h", "x": shares, "y": labels, "name": name, "marker": look,
                       "text": counts, "textposition": "none",
                       "hovertemplate": f"%{{y}}<br>{name}: %{{text}}<extra></extra>"})  # fmt: skip
    return traces


def _failure_times(parts: list[pd.DataFrame], labels: list[str]) -> list[Trace]:
    """Each failure as a point that shows its structure."""
    traces = []
    for place, outcome in enumerate(_seen(parts)):
        found = [own[failed(own) & (own["outcome"] == outcome)] for own in parts]
        lanes = [label for label, own in zip(labels, found, strict=True) for _ in range(len(own))]
        if not lanes:
            continue
        traces.append(
            points(
                [time for own in found for time in own["failure_time_ps"]],
                lanes,
                outcome.replace("_", " "),
                OUTCOMES[outcome][0],
                marker_of(place),
                marker={"line": {"color": NEUTRAL, "width": 0.8}, "size": 9},
                customdata=[one for own in found for one in _keys(own, "failure_time_ps")],
                text=[str(cause) for own in found for cause in own["cause"]],
                hovertemplate="%{y}, %{x:.4g} ps<br>%{text}<extra></extra>",
            )
        )
    return traces


def _seen(parts: list[pd.DataFrame]) -> list[str]:
    """The outcomes that occur, in the order of the bars."""
    found = {outcome for own in parts for outcome in own["outcome"]}
    return [outcome for outcome in OUTCOMES if outcome in found]


def spread(tables: Mapping[str, pd.DataFrame]) -> list[Panel]:
    """Force error against committee spread; each point shows its structure."""
    frames = tables["recheck"].dropna(subset=[SPREAD, ERROR])
    agreement = rows_of(tables["rank_agreement"], over="frames")
    models, panels = list(frames["model"].unique()), []
    for (dataset, temperature_K, model), own in frames.groupby(["dataset", "temperature_K", "model"]):
        place, traces = {"dataset": dataset, "temperature_K": temperature_K}, []
        for size, tint in tints(colour_of(models.index(model)), sizes_of(own)).items():
            tau = tau_text(rows_of(agreement, model=model, train_size=size, **place))
            for kind, (symbol, name) in KINDS.items():
                part, is_first = rows_of(own, train_size=size, choice=kind), kind == "even"
                if part.empty:
                    continue
                label = f"N = {size}: {tau}" if is_first else f"N = {size}, {name}"
                said = f"N = {size}, {name}<br>spread %{{x:.3g}}, error %{{y:.3g}} meV/Å<extra></extra>"
                traces.append(points(part[SPREAD], part[ERROR], label, tint, symbol, customdata=_keys(part),
                                     hovertemplate=said, legendgroup=f"N = {size}",
                                     marker={"size": 7, "opacity": 0.8}))  # fmt: skip
        positive = own[SPREAD][own[SPREAD] > 0]
        ends = [positive.min(), positive.max()]
        traces.append(line(ends, ends, "error = spread", NEUTRAL, line={"dash": "dash", "width": 1}))
        x, y = axis("committee spread of forces (meV/Å)", log=True), axis("force MAE (meV/Å)", log=True)
        panels.append(panel(f"{title(place)}: {model}", traces, x, y))
    return panels
