"""Figure of the structure of the liquid: its radial distribution function, and how that of the committees differs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from longhot.config import REFERENCE_MODEL
from longhot.report.rows import members_of, models_of, reason_of, rows_of, samplers_of, sizes_of, valid_of
from longhot.report.style import BELOW, COLOURS, DASHES, NEUTRAL, RC, panel_pairs, save, say, shades

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

R = "coordinate_A"


def draw_rdf(left: Axes, right: Axes, sampled: pd.DataFrame, members: pd.DataFrame, colour: str) -> None:
    """The curves on the left, the differences from what sampled on the right, both with bands of one deviation.

    Args:
        left: panel of the curves.
        right: panel of the differences.
        sampled: valid rows of the reference, or of the committees that sampled for themselves.
        members: rows of one model, valid or not.
        colour: of the model at its largest training size.
    """
    controls = list(sampled.groupby(["model", "temperature_K"], sort=False))
    for place, ((name, temperature_K), rows) in enumerate(controls):
        curve = rows.set_index(R).sort_index()
        look: dict[str, Any] = {"color": "black", "lw": 2, "ls": DASHES[place % len(DASHES)]}
        left.plot(curve.index, curve["value"], label=f"{name}, {temperature_K:g} K", **look)
        error, label = curve["sampling_error"], None if place else "sampling error of the black curve"
        right.fill_between(
            curve.index, -error, error, color="black", alpha=0.15 / len(controls), ec="none", label=label
        )
    left.axhline(1, color=NEUTRAL, lw=0.6)
    right.axhline(0, color="black", lw=1)
    sizes = sizes_of(members)
    shade = dict(zip(sizes, shades(colour, len(sizes)), strict=True))
    for place, ((size, temperature_K, method), rows) in enumerate(
        members.groupby(["train_size", "temperature_K", "method"])
    ):
        control = sampled_for(sampled, size, temperature_K)
        good = valid_of(rows)
        name = f"N = {size}, {method}: {good['member'].nunique()} of {rows['member'].nunique()}"
        mean, spread = good.groupby(R)["value"].mean(), good.groupby(R)["value"].std(ddof=1)
        for axes, curve in ((left, mean), (right, mean - control.reindex(mean.index))):
            look = {"color": shade[size], "ls": DASHES[place % len(DASHES)], "lw": 1.4}
            axes.plot(curve.index, curve, label=name, **look)
            axes.fill_between(curve.index, curve - spread, curve + spread, color=shade[size], alpha=0.25, ec="none")
    left.set(ylabel="g(r)", ylim=(0, None))
    right.set(ylabel="g(r): committee − sampled")
    for axes in (left, right):
        axes.set(xlabel="r (Å)")
        axes.legend(title="mean over valid members (so many of all) ± their spread", handlelength=3, **BELOW)


def sampled_for(sampled: pd.DataFrame, size: int, temperature_K: float) -> pd.Series:
    """The sampled curve that the members of a training size are held against, over r."""
    rows = rows_of(sampled, temperature_K=temperature_K)
    own = rows[(rows["model"] == REFERENCE_MODEL) | rows["model"].str.endswith(f"-n{size}")]
    return own.set_index(R)["value"]


def draw(observables_path: str | Path, out: Sequence[str | Path]) -> None:
    """Draw the figure from the table: a row of two panels for each dataset and model.

    Args:
        observables_path: observables.csv, with curves at the temperature nearest to the melting point.
        out: paths to write, the ending tells the format.
    """
    import matplotlib as mpl
    import pandas as pd

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    curves = rows_of(pd.read_csv(observables_path), observable="rdf", phase="liquid")
    models = models_of(curves)
    groups = list(members_of(curves).groupby(["dataset", "model"], sort=False))
    with plt.rc_context(RC):
        figure, pairs = panel_pairs(len(groups), "No model has a radial distribution function of the liquid.")
        for pair, ((dataset, model), members) in zip(pairs, groups, strict=True):
            control = samplers_of(rows_of(curves, dataset=dataset), model)
            sampled = valid_of(control)
            if sampled.empty:
                for axes in pair:
                    say(axes, f"No valid sampled curve: {reason_of(control) or 'none was computed'}.")
            else:
                draw_rdf(*pair, sampled, members, COLOURS[models.index(model) % len(COLOURS)])
            for axes, what in zip(pair, ("structure of the liquid", "difference"), strict=True):
                axes.set_title(f"{dataset}, {model}: {what}", fontsize=10)
        save(figure, out)
        plt.close(figure)
