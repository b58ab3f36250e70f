"""Active learning: strategies against the number of labels, and a run that learns on the fly against time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from longhot.report.columns import STRATEGIES
from longhot.report.style import (
    BELOW,
    COLOURS,
    DASHES,
    MARKERS,
    NEUTRAL,
    RC,
    label_decade,
    notice,
    panel_blocks,
    panel_pairs,
    save,
)

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

PANELS = {
    "md_force_mae_meV_per_A": "force MAE on its own MD (meV/Å)",
    "survival_at_end": "replicas that survive",
    "hot_force_mae_meV_per_A": "force MAE, hot test set (meV/Å)",
    "force_mae_meV_per_A": "force MAE, test set (meV/Å)",
}
"""Columns of active_learning.csv that are drawn: those of the simulation first."""


def draw_strategies(axes: Axes, rounds: pd.DataFrame, column: str) -> None:
    """Mean over seeds with the range of the seeds against the number of labels.

    Seeds differ by more than strategies, which share them: the paired intervals stand in the table of comparisons.

    Args:
        axes: the panel.
        rounds: rows of active_learning.csv of one dataset and model.
        column: one of ``PANELS``.
    """
    is_error = column != "survival_at_end"
    for place, (strategy, own) in enumerate(rounds.dropna(subset=[column]).groupby("strategy", sort=False)):
        colour, points = COLOURS[place % len(COLOURS)], []
        for _, group in own.groupby("round"):
            values = group[column].to_numpy(float)
            mean = np.exp(np.log(values).mean()) if is_error else values.mean()
            points.append((group["n_labels"].mean(), mean, values.min(), values.max()))
        labels, means, lows, highs = np.array(points).T
        # Apart by a little, so that no bar hides another.
        shift = 0.15 * (place - (rounds["strategy"].nunique() - 1) / 2)
        axes.errorbar(
            labels + shift,
            means,
            [means - lows, highs - means],
            color=colour,
            marker=MARKERS[place % len(MARKERS)],
            linestyle=DASHES[place % len(DASHES)],
            markersize=5,
            capsize=2,
            elinewidth=0.9,
            label=STRATEGIES.get(str(strategy), str(strategy)),
        )
    axes.set_xlabel("number of labelled frames")
    axes.set_ylabel(PANELS[column])
    if is_error:
        axes.set_yscale("log")
        label_decade(axes)
    else:
        axes.set_ylim(-0.05, 1.05)


def draw(rounds_path: str | Path, out: Sequence[str | Path]) -> None:
    """Draw the figure from its table.

    Args:
        rounds_path: active_learning.csv.
        out: paths to write, the ending tells the format.
    """
    import matplotlib as mpl
    import pandas as pd

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    rounds = pd.read_csv(rounds_path)
    groups = list(rounds.groupby(["dataset", "model"], sort=False))
    columns = [one for one in PANELS if rounds[one].notna().any()]
    with plt.rc_context(RC):
        if not groups or not columns:
            figure = notice("No round of active learning gave a number.")
        else:
            figure, blocks = panel_blocks([len(columns)] * len(groups))
            for panels, ((dataset, model), own) in zip(blocks, groups, strict=True):
                for axes, column in zip(panels, columns, strict=True):
                    draw_strategies(axes, own, column)
                    axes.set_title(f"{dataset}, {model}", fontsize=10)
                panels[0].legend(**BELOW)
        save(figure, out)
        plt.close(figure)


def draw_trace(errors: Axes, calls: Axes, trace: pd.DataFrame) -> None:
    """Estimated and true error against time with the calls marked; and how many calls there were.

    Args:
        errors: panel of the errors.
        calls: panel of the calls.
        trace: rows of active_learning_online.csv of one run.
    """
    from matplotlib.ticker import MaxNLocator

    time_ps = trace["time_ps"]
    errors.plot(time_ps, trace["estimated_meV_per_A"], color=COLOURS[0], linewidth=0.8, label="estimated")
    errors.step(time_ps, trace["threshold_meV_per_A"], color=NEUTRAL, linestyle=DASHES[1], label="threshold")
    for kind, marker, colour, label in (
        ("audit", "o", COLOURS[2], "true, audited"),
        ("call", "^", COLOURS[1], "true, at a call of the reference"),
    ):
        own = trace[trace["kind"] == kind]
        errors.plot(own["time_ps"], own["true_meV_per_A"], marker, color=colour, markersize=4, label=label)
    errors.set_yscale("log")
    label_decade(errors)
    errors.set_ylabel("largest force error on an atom (meV/Å)")
    errors.set_xlabel("time (ps)")
    errors.legend(**BELOW)
    calls.step(time_ps, trace["n_calls"], where="post", color=COLOURS[1])
    calls.set_xlabel("time (ps)")
    calls.set_ylabel("calls of the reference in the run")
    calls.yaxis.set_major_locator(MaxNLocator(integer=True))
    calls.set_ylim(0, max(1, 1.1 * trace["n_calls"].max()))


def draw_online(trace_path: str | Path, out: Sequence[str | Path]) -> None:
    """Draw the run that learns on the fly.

    Args:
        trace_path: active_learning_online.csv.
        out: paths to write, the ending tells the format.
    """
    import matplotlib as mpl
    import pandas as pd

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    trace = pd.read_csv(trace_path)
    groups = list(trace.groupby(["dataset", "model"], sort=False))
    with plt.rc_context(RC):
        figure, pairs = panel_pairs(len(groups), "The study holds no run that learns on the fly.")
        for (errors, calls), ((dataset, model), own) in zip(pairs, groups, strict=True):
            draw_trace(errors, calls, own)
            errors.set_title(f"{dataset}, {model}: estimated and true error", fontsize=10)
            calls.set_title(f"{dataset}, {model}: calls", fontsize=10)
        save(figure, out)
        plt.close(figure)
