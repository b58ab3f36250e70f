"""Figures of the melting point: of every member and committee, and by training size and force error.

Both have a row of two panels for each dataset and model, and shades of the model's colour for its training sizes.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from longhot.config import REFERENCE_MODEL
from longhot.report.columns import method_in_words
from longhot.report.melting_point_verdict import relative_error_of_spread
from longhot.report.rows import members_of, models_of, reason_of, rows_of, samplers_of, sizes_of, valid_of
from longhot.report.style import (
    BELOW,
    COLOURS,
    DASHES,
    NEUTRAL,
    NOTE_WIDTH,
    RC,
    label_decade,
    panel_pairs,
    save,
    say,
    shades,
)

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

MARKERS = {"direct": "o", "reweighting": "o", "cumulant": "s", "staged": "^", "pinning": "D", "coexistence": "s"}
"""Of each way to a number."""
MIXED = "v"
"""Marker where the two phases took different ways."""
ERROR, SPREAD, RAW, SAMPLING = "deviation", "committee_std_calibrated_K", "committee_std_K", "sampling_error_K"
NOTHING = "No model was asked for a melting point."
ASIDE = 0.015
"""Of the width of what is drawn, between the bars of one training size, so that they stand side by side."""
HEADROOM = 0.15
"""Of the height of the valid points, left free above and below them."""
NOTE: dict[str, Any] = {
    "fontsize": 7.5,
    "color": NEUTRAL,
    "bbox": {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1},
}
"""Look of a text over what is drawn."""


def draw_delta_mu(axes: Axes, delta_mu: pd.DataFrame, points: pd.DataFrame, colours: Mapping[int, Any]) -> None:
    """Chemical potential of the solid minus that of the liquid against temperature, and where it is zero.

    Args:
        axes: the panel.
        delta_mu: delta_mu.csv of one model and of what sampled for it.
        points: melting_point.csv of the same.
        colours: of the training sizes.
    """
    members = members_of(delta_mu)
    sampled, good = valid_of(delta_mu.drop(members.index)), valid_of(members)
    if sampled.empty and good.empty:
        say(axes, f"No valid difference of chemical potential: {reason_of(delta_mu) or 'none was computed'}.")
        return
    for place, (name, rows) in enumerate(sampled.groupby("model", sort=False)):
        curve = rows.set_index("temperature_K").sort_index()
        value, error = curve["delta_mu_meV"], curve["sampling_error_meV"]
        axes.plot(value.index, value, color="black", ls=DASHES[place % len(DASHES)], lw=1.8, label=name, zorder=3)
        axes.fill_between(value.index, value - error, value + error, color="black", alpha=0.15, ec="none")
    for size, shade in colours.items():
        for (_, method), rows in rows_of(good, train_size=size).groupby(["member", "method"]):
            line = rows.sort_values("temperature_K")
            bars = {"yerr": line["sampling_error_meV"], "elinewidth": 0.8, "capsize": 2}
            marker = MARKERS.get(str(method), MIXED)
            axes.errorbar(line["temperature_K"], line["delta_mu_meV"], color=shade, marker=marker, ms=3.5, lw=1, **bars)
        axes.plot([], [], "s", color=shade, label=f"N = {size}, each member")
        of_size = rows_of(members_of(points), train_size=size)
        _mark_crossings(axes, of_size[of_size["method"] != "pinning"], shade)
    _mark_crossings(axes, rows_of(points.drop(members_of(points).index), method="pinning"), "black")
    axes.axhline(0, color=NEUTRAL, lw=0.8)
    _label_methods(axes, good["method"])
    axes.plot([], [], "|", color=NEUTRAL, ms=10, mew=1.6, label="melting point")
    shown = np.array([*sampled["delta_mu_meV"], *good["delta_mu_meV"], 0.0])
    margin = HEADROOM * np.ptp(shown)
    axes.set_ylim(shown.min() - margin, shown.max() + margin)
    _draw_invalid(axes, valid_of(members, valid=False).dropna(subset=["delta_mu_meV"]), colours)
    axes.set(xlabel="temperature (K)", ylabel="Δμ, solid − liquid (meV/molecule)")
    axes.legend(title="black: what sampled, with its error as a band", **BELOW)


def _mark_crossings(axes: Axes, points: pd.DataFrame, colour: Any) -> None:
    temperatures = valid_of(points)["melting_point_K"]
    axes.plot(temperatures, np.zeros(len(temperatures)), "|", color=colour, ms=13, mew=1.6, zorder=4)


def _draw_invalid(axes: Axes, rows: pd.DataFrame, colours: Mapping[int, Any]) -> None:
    """Hollow symbols for what is not valid, as far as they fall into the panel, and a note on how many there are."""
    if rows.empty:
        return
    for (size, method), part in rows.groupby(["train_size", "method"]):
        look: dict[str, Any] = {"color": colours[size], "mfc": "none", "ms": 4}
        axes.plot(part["temperature_K"], part["delta_mu_meV"], MARKERS.get(str(method), MIXED), **look)
    beyond = int((~rows["delta_mu_meV"].between(*axes.get_ylim())).sum())
    outside = f", {beyond} of them outside the panel" if beyond else ""
    _corner(axes, f"hollow: {len(rows)} points that are not valid{outside}")


def _label_methods(axes: Axes, methods: pd.Series) -> None:
    """A legend entry for each marker that was drawn."""
    for method in methods.unique():
        axes.plot([], [], MARKERS.get(method, MIXED), color=NEUTRAL, mfc="none", label=method_in_words(method))


def draw_melting_points(axes: Axes, points: pd.DataFrame, summary: pd.DataFrame, colours: Mapping[int, Any]) -> None:
    """Melting points in a lane for the reference and for each training size: every member, and the committee.

    Args:
        axes: the panel.
        points: melting_point.csv of one model and of what sampled for it.
        summary: melting_point_summary.csv of the model.
        colours: of the training sizes.
    """
    good = valid_of(points)
    if good.empty:
        say(
            axes,
            f"No valid melting point, neither sampled nor of a member: {reason_of(points) or 'none was computed'}.",
        )
        return
    labels = ["reference"]
    _draw_reference(axes, rows_of(points, model=REFERENCE_MODEL))
    for lane, (size, shade) in enumerate(colours.items(), start=1):
        row = rows_of(summary, train_size=size).iloc[0]
        labels.append(f"N = {size}\n{row['n_valid']:g} of {row['n_members']:g} valid")
        own_sampler = points["model"].str.endswith(f"-n{size}") & ~points.index.isin(members_of(points).index)
        _draw_sampled(axes, points[own_sampler], lane - 0.4, gap=0.03)
        _draw_lane(axes, rows_of(members_of(points), train_size=size), row, lane, shade)
    _label_methods(axes, good["method"])
    axes.plot([], [], marker="d", ms=7, lw=5, color=NEUTRAL, alpha=0.5, label="committee ± calibrated spread")
    axes.plot([], [], marker="|", lw=1.2, color=NEUTRAL, label="committee ± raw spread")
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.grid(visible=False, axis="y")
    for edge in np.arange(len(colours)) + 0.5:
        axes.axhline(edge, color=NEUTRAL, lw=0.5, alpha=0.4)
    axes.set(xlabel="melting point (K)")
    axes.legend(title="black: sampled; thin bars: sampling error", **BELOW)


def _draw_reference(axes: Axes, points: pd.DataFrame) -> None:
    """The reference in its lane, with a note on what it lacks, and its pinned run as a band through all lanes."""
    if points.empty:
        _note(axes, 0, "not sampled: each committee sampled for itself")
        return
    _draw_sampled(axes, points, 0, gap=0.15)
    for method, height in (("pinning", -0.15), ("coexistence", 0.15)):
        rows = rows_of(points, method=method)
        if valid_of(rows).empty:
            _note(axes, height, f"no melting point by {method_in_words(method)}: {reason_of(rows) or 'not run'}")
    for row in valid_of(rows_of(points, method="pinning")).itertuples():
        low, high = row.melting_point_K - row.sampling_error_K, row.melting_point_K + row.sampling_error_K
        axes.axvline(row.melting_point_K, color="black", lw=0.8, zorder=0)
        axes.axvspan(low, high, color="black", alpha=0.12, lw=0, zorder=0)


def _draw_sampled(axes: Axes, points: pd.DataFrame, height: float, gap: float) -> None:
    """What was sampled, pinned a little above the height and coexistence below it."""
    for row in valid_of(points).itertuples():
        place = height + (gap if row.method == "coexistence" else -gap)
        bar = {"xerr": row.sampling_error_K, "elinewidth": 1.2, "capsize": 3}
        axes.errorbar(row.melting_point_K, place, color="black", marker=MARKERS[row.method], ms=5, mfc="white", **bar)


def _draw_lane(axes: Axes, points: pd.DataFrame, row: pd.Series, lane: int, shade: Any) -> None:
    """Committee and members of one training size, and which members are left out of it."""
    members = list(points["member"].unique())
    heights = lane + np.linspace(-0.05, 0.22, len(members))
    for one in valid_of(points).itertuples():
        bar = {"xerr": one.sampling_error_K, "elinewidth": 0.9, "capsize": 2}
        height = heights[members.index(one.member)]
        axes.errorbar(one.melting_point_K, height, color=shade, marker=MARKERS[one.method], ms=4, lw=0, **bar)
    if np.isfinite(row["melting_point_K"]):
        for spread, look in ((SPREAD, {"marker": "d", "ms": 7, "elinewidth": 5, "alpha": 0.6}),
                             (RAW, {"elinewidth": 1.2, "capsize": 4})):  # fmt: skip
            axes.errorbar(row["melting_point_K"], lane - 0.25, xerr=row[spread], color=shade, **look)
    of_committee = points[points["method"] != "pinning"]  # a member's own pinned run is a check, not its number
    good = valid_of(of_committee)
    left_out = [f"{member:g}" for member in members if member not in set(good["member"])]
    if good.empty:
        _note(axes, lane + 0.1, f"no valid member: {reason_of(of_committee) or 'none was computed'}")
    elif left_out:
        _note(axes, lane + 0.4, f"left out: member{'s' * (len(left_out) > 1)} {', '.join(left_out)}")


def _note(axes: Axes, height: float, text: str) -> None:
    """A text in a lane, of two lines at most."""
    lines = textwrap.wrap(text, NOTE_WIDTH, max_lines=2, placeholder=" …")
    axes.text(0.02, height, "\n".join(lines), transform=axes.get_yaxis_transform(), va="center", **NOTE)


def _corner(axes: Axes, text: str) -> None:
    """A text in the corner of a panel that rising curves leave free."""
    axes.text(0.03, 0.97, textwrap.fill(text, NOTE_WIDTH), transform=axes.transAxes, va="top", **NOTE)


def with_deviation(summary: pd.DataFrame) -> pd.DataFrame:
    """The rows that have a melting point, with its distance from that of the reference."""
    gap = (summary["melting_point_K"] - summary["reference_melting_point_K"]).abs()
    return summary.assign(**{ERROR: gap}).dropna(subset=["melting_point_K"]).sort_values("train_size")


def draw_by(axes: Axes, rows: pd.DataFrame, column: str, colour: str) -> None:
    """Distance from the reference, and calibrated and raw spread, against a column on logarithmic axes."""
    doubt = rows["n_valid"].map(relative_error_of_spread)
    series: tuple[tuple[str, pd.Series, dict[str, Any]], ...] = (
        (ERROR, rows[SAMPLING], {"marker": "o", "lw": 1.5, "label": "distance from the reference"}),
        (SPREAD, doubt * rows[SPREAD], {"marker": "s", "mfc": "white", "ls": "--", "label": "calibrated spread"}),
        (RAW, doubt * rows[RAW], {"marker": "^", "mfc": "white", "ls": ":", "label": "raw spread"}),
    )
    span = max(rows[column].max() / rows[column].min(), 2.0)
    for place, (name, bars, look) in enumerate(series):
        if rows[name].gt(0).any():
            x, value = rows[column] * span ** (ASIDE * place), rows[name].where(rows[name] > 0)
            axes.errorbar(x, value, yerr=bars, color=colour, ms=5, elinewidth=1, capsize=3, **look)
    axes.plot(rows[column], rows[SAMPLING], color=NEUTRAL, marker="x", ms=4, lw=0.8, label="sampling error")
    axes.set(xscale="log", yscale="log", ylabel="melting point: error or spread (K)")


def draw_by_size(axes: Axes, rows: pd.DataFrame, colour: str) -> None:
    """Error and spread of the melting point against training size."""
    draw_by(axes, rows, "train_size", colour)
    sizes = sizes_of(rows)
    axes.set_xticks(sizes, [str(size) for size in sizes])
    axes.set_xticks([], minor=True)
    if len(sizes) == 1:
        axes.set_xlim(sizes[0] / 2, sizes[0] * 2)
    axes.set(xlabel="training frames")
    label_decade(axes)
    axes.legend(title="bars: sampling error; error of a spread over so few members", **BELOW)


def draw_by_force_error(axes: Axes, rows: pd.DataFrame, required: pd.DataFrame, colour: str) -> None:
    """The same against force error, with the fitted line and the force error that each target asks for."""
    draw_by(axes, rows, "force_mae_meV_per_A", colour)
    known = required.dropna(subset=["force_mae_meV_per_A"])
    maes = np.array([*rows["force_mae_meV_per_A"], *known["force_mae_meV_per_A"]])
    star: dict[str, Any] = {"marker": "*", "ms": 12, "lw": 0, "color": "black", "elinewidth": 1, "capsize": 3}
    for row in known.itertuples():
        needed, target = row.force_mae_meV_per_A, row.target_melting_point_error_K
        bar = np.maximum([[needed - row.ci_low], [row.ci_high - needed]], 0)
        axes.errorbar(needed, target, xerr=bar, label=f"{target:g} K asks for {needed:.3g} meV/Å", zorder=4, **star)
        axes.axhline(target, color=NEUTRAL, lw=0.8, ls=":")
    if known.empty:
        _corner(axes, f"no required force error: {reason_of(required) or 'none was asked for'}")
    else:
        row = known.iloc[0]
        ends = np.array([0.8 * np.nanmin(maes), 1.25 * np.nanmax(maes)])
        line = row["target_melting_point_error_K"] * (ends / row["force_mae_meV_per_A"]) ** row["exponent"]
        axes.plot(ends, line, color="black", lw=1, label="typical error of a member")
    axes.set(xlabel="force MAE on held-out frames (meV/Å)")
    label_decade(axes, "x")
    label_decade(axes)
    axes.legend(title="bar of the star: 95 % interval", **BELOW)


def draw(
    delta_mu_path: str | Path,
    melting_point_path: str | Path,
    summary_path: str | Path,
    required_accuracy_path: str | Path,
    *,
    melting_point: Sequence[str | Path],
    by_size: Sequence[str | Path],
) -> None:
    """Draw both figures from the tables.

    Args:
        delta_mu_path: delta_mu.csv.
        melting_point_path: melting_point.csv.
        summary_path: melting_point_summary.csv.
        required_accuracy_path: required_accuracy.csv.
        melting_point: paths of the figure of the melting points; the ending tells the format.
        by_size: paths of the figure of error and spread.
    """
    import matplotlib as mpl
    import pandas as pd

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    paths = (delta_mu_path, melting_point_path, summary_path, required_accuracy_path)
    delta_mu, points, summary, required = (pd.read_csv(path) for path in paths)
    groups = list(summary.groupby(["dataset", "model"], sort=False))
    full = {model: COLOURS[place % len(COLOURS)] for place, model in enumerate(models_of(summary))}
    with plt.rc_context(RC):
        figure, pairs = panel_pairs(len(groups), NOTHING)
        for (left, right), ((dataset, model), own) in zip(pairs, groups, strict=True):
            sizes = sizes_of(own)
            colours = dict(zip(sizes, shades(full[model], len(sizes)), strict=True))
            curves, of_points = (
                pd.concat([samplers_of(table, model), rows_of(table, model=model)])
                for table in (rows_of(table, dataset=dataset) for table in (delta_mu, points))
            )
            draw_delta_mu(left, curves, of_points, colours)
            draw_melting_points(right, of_points, own, colours)
            left.set_title(f"{dataset}, {model}: solid against liquid", fontsize=10)
            right.set_title(f"{dataset}, {model}: melting points", fontsize=10)
        save(figure, melting_point)
        plt.close(figure)

        figure, pairs = panel_pairs(len(groups), NOTHING)
        for pair, ((dataset, model), own) in zip(pairs, groups, strict=True):
            rows = with_deviation(own)
            if rows.empty:
                for axes in pair:
                    say(axes, f"No committee has a valid melting point: {reason_of(own) or 'none was computed'}.")
            else:
                draw_by_size(pair[0], rows, full[model])
                draw_by_force_error(pair[1], rows, rows_of(required, dataset=dataset, model=model), full[model])
            for axes, what in zip(pair, ("training size", "force error"), strict=True):
                axes.set_title(f"{dataset}, {model}: by {what}", fontsize=10)
        save(figure, by_size)
        plt.close(figure)
