"""Learning curves: body order, then equivariance, for each dataset and test set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from longhot.report.learning_curves_figure import BASELINE, MAE, body_order_models, equivariance_models
from longhot.report.plots.panels import (
    Panel,
    Trace,
    axis,
    bars,
    colour_of,
    level,
    line,
    marker_of,
    panel,
    points,
    size_axis,
)
from longhot.report.rows import rows_of, sizes_of
from longhot.report.statements import signed
from longhot.report.style import NEUTRAL

if TYPE_CHECKING:
    import pandas as pd


def curves(tables: Mapping[str, pd.DataFrame]) -> list[Panel]:
    """Two panels for each dataset and test set."""
    fits = tables["learning_curves"].astype({"max_L": "Int64", "correlation": "Int64"})
    panels = []
    for (dataset, test_set), part in fits.groupby(["dataset", "test_set"], sort=False):
        slopes = tables.get("learning_curve_slopes")
        own = slopes if slopes is None else rows_of(slopes, dataset=dataset, test_set=test_set)
        for what, models in (
            ("body order", body_order_models(part)),
            ("equivariance", equivariance_models(part)),
        ):
            traces = _traces(part, own, models)
            if traces:
                x, y = size_axis(sizes_of(part)), axis("force MAE (meV/Å)", log=True)
                panels.append(panel(f"{dataset}, {test_set}: {what}", traces, x, y))
    return panels


def _traces(part: pd.DataFrame, slopes: pd.DataFrame | None, models: Sequence[str]) -> list[Trace]:
    """The curve of each model with its fitted line, fits that had not converged, and the baseline."""
    traces: list[Trace] = []
    for style, model in enumerate(models):
        own = rows_of(part, model=model).dropna(subset=[MAE])
        if own.empty:
            continue
        colour, grouped = colour_of(style), own.groupby("train_size")[MAE]
        sizes, mean = np.array(sorted(grouped.groups)), grouped.mean()
        found = [] if slopes is None else list(rows_of(slopes, model=model).dropna(subset=["slope"]).itertuples())
        name = model
        if found:
            slope = found[0].slope
            name += f", slope {signed(slope)}"
            if np.isfinite(found[0].slope_ci_low):
                name += f" [{signed(found[0].slope_ci_low)}, {signed(found[0].slope_ci_high)}]"
            centre = np.mean(np.log10(own[MAE])) - slope * np.mean(np.log10(own["train_size"]))
            fitted, look = 10**centre * sizes**slope, {"dash": "dash", "width": 1}
            fit_name = f"{model}, fitted line"
            traces.append(line(sizes, fitted, fit_name, colour, line=look, showlegend=False, legendgroup=model))
        error_bars = bars(grouped.max() - mean, mean - grouped.min())
        said = f"{model}<br>N = %{{x}}: %{{y:.3g}} meV/Å, mean over seeds<extra></extra>"
        look = {"error_y": error_bars, "hovertemplate": said, "legendgroup": model}
        traces.append(points(sizes, mean, name, colour, marker_of(style), **look))
    open_fits = part[part["model"].isin(models) & ~part["converged"].astype(str).eq("True")].dropna(subset=[MAE])
    if len(open_fits):
        look = {"marker": {"size": 11, "opacity": 0.7}, "text": list(open_fits["model"])}
        said = "%{text}, N = %{x}: not converged<extra></extra>"
        x, y = open_fits["train_size"], open_fits[MAE]
        traces.append(points(x, y, "a fit that had not converged", NEUTRAL, "x-thin-open", hovertemplate=said, **look))
    ends = [part["train_size"].min(), part["train_size"].max()]
    for model, own in rows_of(part, family=BASELINE).dropna(subset=[MAE]).groupby("model"):
        traces.append(level(own[MAE].mean(), ends, f"{model} (no learning)", dash="dot"))
    return traces
