"""Figures of failures: what ended the trajectories, and the atoms of some of them before and at the failure."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from longhot.config import REFERENCE_MODEL
from longhot.dynamics.detectors import BONDED
from longhot.dynamics.tables import failed, read
from longhot.frames import ase_io
from longhot.report.robustness_figures import places_of, title
from longhot.report.rows import models_of, rows_of, sizes_of
from longhot.report.style import NEUTRAL, RC, notice, panel_blocks, save, say

if TYPE_CHECKING:
    import pandas as pd
    from ase import Atoms
    from matplotlib.axes import Axes

OUTCOMES = {
    "completed": ("#E4E4E4", ""),
    "timeout": ("#FFFFFF", "////"),
    "bond_broken": ("#D55E00", ""),
    "bond_formed": ("#E69F00", "\\\\\\\\"),
    "overlap": ("#0072B2", ""),
    "nonfinite": ("#56B4E9", "xxxx"),
    "temperature_runaway": ("#CC79A7", ""),
    "energy_drift": ("#009E73", "...."),
    "engine_error": ("#202020", ""),
}
"""Colour and hatch of each outcome, in the order of the bars."""
RING = "#B34700"
MOST_FAILURES = 6
CHECKS_BEFORE = 5
"""The left frame of a pair is this many checks older than the failed one, or as many as there are."""
MOST_ATOMS = 40
"""Of larger systems only the surroundings of an offending atom are drawn."""
SURROUNDINGS_A = 3.5
MARGIN_A = 0.9
LABEL_OFFSET_A = 0.75
FLIGHT_A = 3.0
"""How far an atom may have left the window of the sound frame for the window to follow it."""

FailedRun = tuple[str, str, int, int]
"""Dataset, model, training size and seed of a simulation."""


def draw_causes(axes: Axes, runs: pd.DataFrame) -> None:
    """Share of the trajectories that ended in each way: a stacked bar for the control and for each model and size."""
    names = [REFERENCE_MODEL, *models_of(runs)]
    groups = [(model, size) for model in names for size in sizes_of(rows_of(runs, model=model))]
    seen = [outcome for outcome in OUTCOMES if outcome in set(runs["outcome"])]
    for height, (model, size) in enumerate(groups):
        own, left = rows_of(runs, model=model, train_size=size), 0.0
        for outcome in seen:
            colour, hatch = OUTCOMES[outcome]
            share = float((own["outcome"] == outcome).mean())
            name = outcome.replace("_", " ") if height == 0 else None
            axes.barh(height, share, left=left, color=colour, hatch=hatch, ec=NEUTRAL, lw=0.5, height=0.7, label=name)
            left += share
        axes.text(1.02, height, f"{failed(own).sum()} of {len(own)}", va="center", fontsize=8)
    labels = ["control" if model == REFERENCE_MODEL else f"{model}, N = {size}" for model, size in groups]
    axes.set_yticks(range(len(groups)), labels)
    axes.set(xlabel="share of trajectories; at the right, how many failed", xlim=(0, 1.2))
    axes.set_xticks(np.linspace(0, 1, 5))
    axes.invert_yaxis()
    axes.grid(axis="y", visible=False)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.17), fontsize=7.5, ncols=3)


def choose_failures(runs: pd.DataFrame) -> pd.DataFrame:
    """Failed trajectories to show, ``MOST_FAILURES`` at most.

    The earliest of each kind, model and size come first, the models before the control, then the second
    earliest, and so on.
    """
    own = runs[failed(runs)]
    own = own.assign(of_control=own["model"] == REFERENCE_MODEL).sort_values("failure_time_ps", kind="stable")
    own["turn"] = own.groupby(["dataset", "model", "train_size", "outcome"]).cumcount()
    return own.sort_values(["turn", "of_control"], kind="stable").head(MOST_FAILURES)


def around_failure(frames: Sequence[Atoms]) -> tuple[Atoms | None, Atoms]:
    """A sound frame some checks before a failure, None where there is none, and the failed frame."""
    *sound, last = sorted(frames, key=lambda frame: frame.info["time_ps"])
    return (sound[max(0, len(sound) - CHECKS_BEFORE)] if sound else None), last


def offending_atoms(frame: Atoms) -> list[int]:
    """Indices of the atoms that the cause names."""
    return np.flatnonzero(frame.arrays["offending"]).tolist()


def surroundings(frame: Atoms, centre: int) -> Atoms:
    """The atoms about one of them, each as its nearest image, with their indices as the array ``index``.

    Atoms whose positions are not finite are left out, and of large systems those that are far.
    """
    from ase.geometry import find_mic

    frame = frame.copy()
    frame.set_array("index", np.arange(len(frame)))
    kept = frame[np.isfinite(frame.positions).all(axis=1)]
    if centre not in kept.arrays["index"]:
        return kept
    vectors = kept.positions - frame.positions[centre]
    if kept.pbc.any():
        vectors = find_mic(vectors, kept.cell, kept.pbc)[0]
    kept.positions = frame.positions[centre] + vectors
    if len(frame) <= MOST_ATOMS:
        return kept
    return kept[np.linalg.norm(vectors, axis=1) <= SURROUNDINGS_A]


def view(positions_A: np.ndarray, axis_A: np.ndarray) -> np.ndarray:
    """A projection, shape (3, 3): rows are the directions right, up and to the viewer.

    The axis points right, and up is the direction in which the atoms spread most beside it.

    Args:
        positions_A: shape (n_atoms, 3).
        axis_A: a direction, such as that between two offending atoms; where it is zero, that of the widest spread.
    """
    scatter = np.cov(positions_A.T, bias=True) + 1e-6 * np.eye(3)  # a single atom has no spread of its own
    length = np.linalg.norm(axis_A)
    right = axis_A / length if length > 0 else np.linalg.eigh(scatter)[1][:, -1]
    beside = np.eye(3) - np.outer(right, right)
    up = np.linalg.eigh(beside @ scatter @ beside)[1][:, -1]
    return np.array([right, up, np.cross(right, up)])


def draw_atoms(axes: Axes, frame: Atoms, offending: Sequence[int], projection: np.ndarray) -> None:
    """Atoms as circles with their elements, bonds as lines; the offending atoms are ringed and named.

    Where there are two offending atoms, their distance stands between them.

    Args:
        axes: where to draw.
        frame: from ``surroundings``.
        offending: indices of atoms, counted from 0 as in ASE.
        projection: from ``view``.
    """
    from ase.data import covalent_radii
    from ase.data.colors import jmol_colors
    from matplotlib.patches import Circle

    flat, radii, indices = frame.positions @ projection.T, covalent_radii[frame.numbers], frame.arrays["index"]
    first, second = np.triu_indices(len(frame), k=1)
    distances = np.linalg.norm(flat[first] - flat[second], axis=1)
    for bond in np.flatnonzero(distances < BONDED * (radii[first] + radii[second])):
        ends = flat[[first[bond], second[bond]]]
        axes.plot(*ends[:, :2].T, color="#909090", lw=3, zorder=2)
    # From the farthest atom to the nearest, each over those behind it.
    for rank, place in enumerate(np.argsort(flat[:, 2])):
        at, size, symbol = flat[place, :2], 0.55 * radii[place], frame.symbols[place]
        zorder = 3 + rank / len(frame)
        colour = jmol_colors[frame.numbers[place]]
        axes.add_patch(Circle(at, size, fc=colour, ec=NEUTRAL, lw=0.7, zorder=zorder))
        named = indices[place] in offending
        if named:
            axes.add_patch(Circle(at, size + 0.1, fill=False, ec=RING, lw=1.8, zorder=zorder))
        text, weight = (f"{symbol}{indices[place]}", "bold") if named else (symbol, "normal")
        ink = "white" if colour @ (0.299, 0.587, 0.114) < 0.45 else "black"
        style: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": 7, "clip_on": True}
        axes.text(at[0], at[1], text, color=ink, weight=weight, zorder=zorder, **style)
    ends = flat[np.isin(indices, offending), :2]
    if len(offending) == len(ends) == 2:
        axes.plot(*ends.T, color=RING, lw=1.2, ls=":", zorder=2.5)
        label = f"{distances[np.isin(indices[first], offending) & np.isin(indices[second], offending)][0]:.2f} Å"
        box = {"fc": "white", "ec": "none", "pad": 0.8, "alpha": 0.85}
        x, y = _free_side(ends, flat[~np.isin(indices, offending), :2])
        axes.text(x, y, label, color=RING, fontsize=8, ha="center", va="center", zorder=5, bbox=box, clip_on=True)


def _free_side(ends_A: np.ndarray, others_A: np.ndarray) -> np.ndarray:
    """A place in A beside the middle of a line, on the side where the nearest other atom is farther; shape (2,).

    Args:
        ends_A: of the line, shape (2, 2).
        others_A: the other atoms, shape (n_others, 2).
    """
    across = np.array([ends_A[0, 1] - ends_A[1, 1], ends_A[1, 0] - ends_A[0, 0]])
    across *= LABEL_OFFSET_A / max(float(np.linalg.norm(across)), 1e-9)
    places = ends_A.mean(axis=0) + np.array([across, -across])
    nearest = np.linalg.norm(places[:, None] - others_A, axis=2).min(axis=1, initial=np.inf)
    return places[np.argmax(nearest)]


def draw_failure(axes: Sequence[Axes], frames: Sequence[Atoms]) -> None:
    """One failure: a sound frame some checks before it on the left, the failed frame on the right, seen alike."""
    before, last = around_failure(frames)
    offending = offending_atoms(last)
    centre = offending[0] if offending else 0
    shown = [None if frame is None else surroundings(frame, centre) for frame in (before, last)]
    seen = next((frame for frame in shown if frame is not None and len(frame)), None)
    if seen is None:
        say(axes[0], "no sound frame is stored")
        say(axes[1], "no atom has a finite position")
        return
    ends = seen.positions[np.isin(seen.arrays["index"], offending)]
    projection = view(seen.positions, ends[1] - ends[0] if len(ends) == 2 else np.zeros(3))
    low, high = _window([frame.positions @ projection.T[:, :2] for frame in shown if frame is not None])
    for panel, frame, name in zip(axes, shown, ("before", "failed"), strict=True):
        if frame is None or len(frame) == 0:
            say(panel, "no sound frame is stored" if frame is None else "no atom has a finite position")
            continue
        draw_atoms(panel, frame, offending, projection)
        panel.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), aspect="equal", xticks=[], yticks=[])
        for spine in panel.spines.values():
            spine.set_visible(False)
        flat = frame.positions @ projection.T[:, :2]
        outside = ((flat < low) | (flat > high)).any(axis=1).sum()
        early_fs = 1e3 * (last.info["time_ps"] - before.info["time_ps"]) if before is not None else 0
        text = f"{early_fs:.3g} fs before" if name == "before" else "the failed frame"
        panel.set_xlabel(text + (f" ({outside} atoms outside)" if outside else ""), fontsize=8)


def _window(views_A: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Lower left and upper right corner in A of what both frames show, each of shape (2,).

    All atoms of the first frame, and those of the second that have not flown far: of an explosion only the
    beginning fits in.

    Args:
        views_A: projected positions of the one or two frames, each of shape (n_atoms, 2).
    """
    low, high = views_A[0].min(axis=0) - MARGIN_A, views_A[0].max(axis=0) + MARGIN_A
    near = views_A[-1][((views_A[-1] > low - FLIGHT_A) & (views_A[-1] < high + FLIGHT_A)).all(axis=1)]
    both = np.concatenate([views_A[0], near])
    return both.min(axis=0) - MARGIN_A, both.max(axis=0) + MARGIN_A


def failure_title(row: Mapping[str, Any]) -> str:
    """What failed, when and why, in a few lines."""
    model = "control" if row["model"] == REFERENCE_MODEL else f"{row['model']}, N = {row['train_size']:g}"
    where = f"{row['dataset']}, {row['temperature_K']:g} K: {model}, seed {row['seed']}, replica {row['replica']}"
    cause = str(row["cause"]) or str(row["outcome"]).replace("_", " ")
    return "\n".join([where, *textwrap.wrap(f"after {row['failure_time_ps']:.4g} ps: {cause}", 62)[:3]])


def read_frames(path: Path, row: Mapping[str, Any]) -> list[Atoms]:
    """The stored frames around the failure of one replica; none where the file has none."""
    frames = ase_io().read(path, index=":") if path.stat().st_size else []
    ids = ("temperature_K", "replica")
    return [frame for frame in frames if all(float(frame.info[name]) == float(row[name]) for name in ids)]


def draw(
    stability_path: str | Path,
    simulations: Mapping[FailedRun, str | Path],
    *,
    causes: Sequence[str | Path],
    failures: Sequence[str | Path],
) -> None:
    """Draw both figures.

    Args:
        stability_path: stability.csv.
        simulations: failures.extxyz of each simulation.
        causes: paths of the figure of the causes; the ending tells the format.
        failures: paths of the figure of failed frames.
    """
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    runs = read(stability_path)
    places = places_of(runs)
    with plt.rc_context(RC):
        figure, (panels,) = panel_blocks([len(places)])
        for axes, place in zip(panels, places, strict=True):
            draw_causes(axes, rows_of(runs, **place))
            axes.set_title(title(place), fontsize=10)
        save(figure, causes)
        plt.close(figure)

        figure = _failed_frames(choose_failures(runs).to_dict("records"), simulations)
        save(figure, failures)
        plt.close(figure)


def _failed_frames(rows: Sequence[Mapping[str, Any]], simulations: Mapping[FailedRun, str | Path]) -> Any:
    """The figure of failed frames: two failures a row, each with its two panels."""
    import matplotlib.pyplot as plt

    if not rows:
        return notice("No trajectory failed, neither of a model nor of the control: there is no failed frame to show.")
    figure = plt.figure(figsize=(11, 3.1 * -(-len(rows) // 2)))
    parts = figure.subfigures(-(-len(rows) // 2), 2, squeeze=False, wspace=0.04, hspace=0.04)
    for part, row in zip(parts.flat, rows, strict=False):
        part.suptitle(failure_title(row), fontsize=8.5)
        axes = part.subplots(1, 2)
        run = (row["dataset"], row["model"], int(row["train_size"]), int(row["seed"]))
        frames = read_frames(Path(simulations[run]), row)
        if frames:
            draw_failure(axes, frames)
        else:
            say(axes[0], "no frame is stored")
            axes[1].set_axis_off()
    return figure
