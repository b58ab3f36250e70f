"""The melting point of every member and committee, the calibration behind it, and the structure of the liquid."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from longhot.config import REFERENCE_MODEL
from longhot.report.columns import SCOPES, column, method_in_words
from longhot.report.melting_point_figures import ERROR, RAW, SAMPLING, SPREAD, with_deviation
from longhot.report.melting_point_verdict import relative_error_of_spread
from longhot.report.plots.panels import (
    BLACK,
    Panel,
    Trace,
    axis,
    band,
    bars,
    colour_of,
    dash_of,
    line,
    marker_of,
    panel,
    points,
    rule,
    see_through,
    size_axis,
    tints,
)
from longhot.report.rdf_figure import R, sampled_for
from longhot.report.reliability_figure import with_alpha
from longhot.report.rows import members_of, models_of, rows_of, samplers_of, sizes_of, valid_of
from longhot.report.style import NEUTRAL

if TYPE_CHECKING:
    import pandas as pd

SYMBOLS = {
    "direct": "circle",
    "reweighting": "circle",
    "cumulant": "square",
    "staged": "triangle-up",
    "pinning": "diamond",
    "coexistence": "square",
}
"""Of each way to a number."""
MIXED = "triangle-down"
"""Symbol where the two phases took different ways."""
T, MU, T_M = "temperature_K", "delta_mu_meV", "melting_point_K"


def melting_point(tables: Mapping[str, pd.DataFrame]) -> list[Panel]:
    """Chemical potential differences, and the melting points that follow, for each dataset and model."""
    summary, panels = tables["melting_point_summary"], []
    for dataset, model, own, colour in _committees(summary):
        sizes = tints(colour, sizes_of(own))
        curves, found = (
            _with_samplers(rows_of(tables[name], dataset=dataset), model) for name in ("delta_mu", "melting_point")
        )
        traces = _delta_mu(curves, sizes)
        if traces:
            x, y = axis("temperature (K)"), axis("Δμ, solid − liquid (meV/molecule)")
            panels.append(panel(f"{dataset}, {model}: solid against liquid", traces, x, y, shapes=[rule(y=0)]))
        traces = _melting_points(found, own, sizes)
        if traces:
            lanes = ["reference", *(f"N = {size}" for size in sizes)]
            ticks: dict[str, Any] = {
                "tickvals": list(range(len(lanes))),
                "ticktext": lanes,
                "range": [len(lanes) - 0.4, -0.6],
            }
            layout = {"shapes": _pinned_band(found)}
            title = f"{dataset}, {model}: melting points"
            panels.append(panel(title, traces, axis("melting point (K)"), axis("", **ticks), **layout))
    return panels


def _committees(summary: pd.DataFrame) -> list[tuple[str, str, pd.DataFrame, str]]:
    """Dataset, model, rows and colour of each committee."""
    models = models_of(summary)
    return [
        (dataset, model, own, colour_of(models.index(model)))
        for (dataset, model), own in summary.groupby(["dataset", "model"], sort=False)
    ]


def _with_samplers(table: pd.DataFrame, model: str) -> pd.DataFrame:
    """The rows of a model and of what sampled for it."""
    import pandas as pd

    return pd.concat([samplers_of(table, model), rows_of(table, model=model)])


def _delta_mu(delta_mu: pd.DataFrame, sizes: Mapping[int, str]) -> list[Trace]:
    """What sampled with its error as a band, then each member; hollow what is not valid."""
    members, traces = members_of(delta_mu), []
    for place, (name, rows) in enumerate(valid_of(delta_mu.drop(members.index)).groupby("model", sort=False)):
        curve = rows.sort_values(T)
        value, error = curve[MU], curve["sampling_error_meV"]
        traces += band(curve[T], value - error, value + error, name, BLACK, legendgroup=name)
        traces.append(line(curve[T], value, name, BLACK, line={"dash": dash_of(place)}, legendgroup=name))
    named: set[str] = set()
    for (size, member, method), rows in members.dropna(subset=[MU]).groupby(["train_size", "member", "method"]):
        for is_valid in (True, False):
            part = valid_of(rows, valid=is_valid).sort_values(T)
            if part.empty:
                continue
            name = f"N = {size}, {method_in_words(method)}{'' if is_valid else ', not valid'}"
            symbol = SYMBOLS.get(method, MIXED)
            look: dict[str, Any] = {"line": {"width": 1}} if is_valid else {"marker": {"symbol": f"{symbol}-open"}}
            said = f"{name}, member {member}<br>%{{x}} K: %{{y:.3g}} meV<extra></extra>"
            look |= {"legendgroup": name, "showlegend": name not in named, "hovertemplate": said}
            error = bars(part["sampling_error_meV"])
            traces.append(points(part[T], part[MU], name, sizes[size], symbol, error_y=error, **look))
            named.add(name)
    return traces


def _melting_points(found: pd.DataFrame, summary: pd.DataFrame, sizes: Mapping[int, str]) -> list[Trace]:
    """Sampled melting points, every valid member, and the committees, in a lane for each training size."""
    good = valid_of(found)
    traces = [
        _melting_point(row.melting_point_K, row.sampling_error_K, 0.15 * place,
                       f"{row.model}, {method_in_words(row.method)}", BLACK, SYMBOLS.get(row.method, MIXED))
        for place, row in enumerate(good.drop(members_of(good).index).itertuples())
    ]  # fmt: skip
    for lane, (size, tint) in enumerate(sizes.items(), start=1):
        members = rows_of(members_of(good), train_size=size)
        for place, row in enumerate(members.itertuples()):
            name = f"N = {size}, member {row.member}, {method_in_words(row.method)}"
            height = lane + 0.3 * (place + 0.5) / len(members)
            traces.append(_melting_point(row.melting_point_K, row.sampling_error_K, height, name, tint,
                                         SYMBOLS.get(row.method, MIXED), showlegend=False))  # fmt: skip
        for row in rows_of(summary, train_size=size).dropna(subset=[T_M]).itertuples():
            for spread, label, symbol, height in (
                (SPREAD, "calibrated", "diamond", lane - 0.25),
                (RAW, "raw", "diamond-open", lane - 0.12),
            ):
                error, name = getattr(row, spread), f"N = {size}, committee ± {label} spread"
                if np.isfinite(error):
                    traces.append(_melting_point(row.melting_point_K, error, height, name, tint, symbol))
    return traces


def _melting_point(
    value_K: float, error_K: float, height: float, name: str, colour: str, symbol: str, **more: Any
) -> Trace:
    said = f"{name}<br>{value_K:.2f} ± {error_K:.2g} K<extra></extra>"
    return points([value_K], [height], name, colour, symbol, error_x=bars([error_K]), hovertemplate=said, **more)


def _pinned_band(found: pd.DataFrame) -> list[dict[str, Any]]:
    """The reference's pinned run with its error, through all lanes."""
    return [
        {"type": "rect", "x0": row.melting_point_K - row.sampling_error_K,
         "x1": row.melting_point_K + row.sampling_error_K, "yref": "paper", "y0": 0, "y1": 1,
         "fillcolor": see_through(BLACK, 0.1), "line": {"width": 0}, "layer": "below"}
        for row in valid_of(rows_of(found, model=REFERENCE_MODEL, method="pinning")).itertuples()
    ]  # fmt: skip


def by_size(tables: Mapping[str, pd.DataFrame]) -> list[Panel]:
    """Distance from the reference and spread against training size, then against force error."""
    panels = []
    for dataset, model, own, colour in _committees(tables["melting_point_summary"]):
        rows = with_deviation(own)
        if rows.empty:
            continue
        y = axis("melting point: error or spread (K)", log=True)
        sizes = size_axis(sizes_of(rows))
        panels.append(panel(f"{dataset}, {model}: by training size", _errors(rows, "train_size", colour), sizes, y))
        required = rows_of(tables["required_accuracy"], dataset=dataset, model=model)
        traces = _errors(rows, "force_mae_meV_per_A", colour) + _required(required)
        x = axis("force MAE on held-out frames (meV/Å)", log=True)
        panels.append(panel(f"{dataset}, {model}: by force error", traces, x, y))
    return panels


def _errors(rows: pd.DataFrame, by: str, colour: str) -> list[Trace]:
    doubt = rows["n_valid"].map(relative_error_of_spread)
    series: tuple[tuple[str, pd.Series, str, str, str], ...] = (
        (ERROR, rows[SAMPLING], "distance from the reference", "circle", "solid"),
        (SPREAD, doubt * rows[SPREAD], "calibrated spread", "square-open", "dash"),
        (RAW, doubt * rows[RAW], "raw spread", "triangle-up-open", "dot"),
    )
    traces = [
        points(rows[by], rows[name].where(rows[name] > 0), label, colour, symbol, line={"dash": dash},
               error_y=bars(error), hovertemplate=f"{label}: %{{y:.3g}} K<extra></extra>")
        for name, error, label, symbol, dash in series
        if rows[name].gt(0).any()
    ]  # fmt: skip
    traces.append(points(rows[by], rows[SAMPLING], "sampling error", NEUTRAL, "x-thin-open", line={"width": 1}))
    return traces


def _required(required: pd.DataFrame) -> list[Trace]:
    """The force error that each wanted precision asks for."""
    return [
        points([row.force_mae_meV_per_A], [row.target_melting_point_error_K],
               f"{row.target_melting_point_error_K:g} K asks for {row.force_mae_meV_per_A:.3g} meV/Å", BLACK, "star",
               marker={"size": 13},
               error_x=bars([row.ci_high - row.force_mae_meV_per_A], [row.force_mae_meV_per_A - row.ci_low]))
        for row in required.dropna(subset=["force_mae_meV_per_A"]).itertuples()
    ]  # fmt: skip


def reliability(tables: Mapping[str, pd.DataFrame]) -> list[Panel]:
    """Observed against expected shares of errors, for each quantity on hold-out and MD frames."""
    curves, calibration, panels = tables["reliability"], tables["calibration"], []
    models = models_of(calibration)
    for (dataset, model, quantity, scope), own in curves.groupby(["dataset", "model", "quantity", "scope"], sort=False):
        factors = rows_of(calibration, dataset=dataset, model=model, quantity=quantity, scope=scope)
        traces = [line([0, 1], [0, 1], "honest", NEUTRAL, line={"width": 1}, hoverinfo="skip")]
        for place, (size, tint) in enumerate(tints(colour_of(models.index(model)), sizes_of(own)).items()):
            for spread, dash, ending in (("raw", "dash", "-open"), ("calibrated", "solid", "")):
                rows = rows_of(own, train_size=size, spread=spread).sort_values("expected")
                if rows.empty:
                    continue
                factor = with_alpha(size, rows_of(factors, train_size=size))
                name = f"N = {size}, raw spread" if spread == "raw" else f"{factor}, calibrated spread"
                said = f"{name}<br>%{{y:.0%}} of the errors where %{{x:.0%}} should be<extra></extra>"
                traces.append(points(rows["expected"], rows["observed"], name, tint, marker_of(place) + ending,
                                     line={"dash": dash}, marker={"size": 6}, hovertemplate=said))  # fmt: skip
        ends: dict[str, Any] = {"range": [0, 1], "tickformat": ".0%"}
        x, y = axis("expected share of errors", **ends), axis("observed share of errors", **ends)
        title = f"{dataset}, {model}: {column(quantity).label}, {SCOPES[scope]}"
        panels.append(panel(title, traces, x, y))
    return panels


def rdf(tables: Mapping[str, pd.DataFrame]) -> list[Panel]:
    """Radial distribution functions of the liquid, and how those of the committees differ."""
    curves = rows_of(tables["observables"], observable="rdf", phase="liquid")
    models, panels = models_of(curves), []
    for (dataset, model), members in members_of(curves).groupby(["dataset", "model"], sort=False):
        sampled = valid_of(samplers_of(rows_of(curves, dataset=dataset), model))
        if sampled.empty:
            continue
        left, right = [], []
        for place, ((name, temperature_K), rows) in enumerate(sampled.groupby(["model", T], sort=False)):
            curve, label = rows.sort_values(R), f"{name}, {temperature_K:g} K"
            left.append(line(curve[R], curve["value"], label, BLACK, line={"dash": dash_of(place)}))
            error = curve["sampling_error"]
            right += band(curve[R], -error, error, f"sampling error of {label}", BLACK, alpha=0.12)
        sizes = tints(colour_of(models.index(model)), sizes_of(members))
        groups = members.groupby(["train_size", T, "method"])
        for place, ((size, temperature_K, method), rows) in enumerate(groups):
            good = valid_of(rows)
            name = f"N = {size}, {method}: {good['member'].nunique()} of {rows['member'].nunique()} members"
            mean, spread = good.groupby(R)["value"].mean(), good.groupby(R)["value"].std(ddof=1)
            gap = mean - sampled_for(sampled, size, temperature_K).reindex(mean.index)
            for traces, curve in ((left, mean), (right, gap)):
                traces += band(curve.index, curve - spread, curve + spread, name, sizes[size], legendgroup=name)
                look = {"line": {"dash": dash_of(place)}, "legendgroup": name}
                traces.append(line(curve.index, curve, name, sizes[size], **look))
        x = axis("r (Å)")
        title = f"{dataset}, {model}: structure of the liquid"
        panels.append(panel(title, left, x, axis("g(r)", rangemode="tozero"), shapes=[rule(y=1)]))
        y = axis("g(r): committee − sampled")
        panels.append(panel(f"{dataset}, {model}: difference", right, x, y, shapes=[rule(y=0)]))
    return panels
