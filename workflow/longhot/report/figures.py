"""The figures of the page: the static drawing, its interactive form, and help on how to read them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from longhot.files import visible
from longhot.report.plots import PLOTS, interactive
from longhot.report.plots.panels import Panel
from longhot.report.views import caption

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Help:
    """What stands behind the question mark of a figure."""

    title: str
    alternative: str
    """Text that stands for the figure where it cannot be seen."""
    reading: str = ""
    definition: str = ""


FIGURES = {
    "learning_curves": Help(
        "Learning curves",
        "Test error against number of training frames on logarithmic axes, one line for each model.",
        "Lower is better, and steeper learns faster. A line that flattens has learnt what its form can hold. Compare a "
        "model with the dotted baseline first: above it, the potential is no use.",
        "Force MAE: mean of |F_model − F_reference| over all force components of the test frames. Slope: the s in "
        "error ∝ N^s, by least squares on logarithms; its interval by Student's t over seeds.",
    ),
    "robustness": Help(
        "Static error and error in MD",
        "Static and MD force error against training size, and force error along the simulation time.",
        "Filled symbols near the open ones: the test set tells how the model behaves in use. Filled far above open: it "
        "does not. Along the MD, a curve that rises shows trajectories that leave what the model has learnt.",
        "Error in MD: force MAE on frames of the model's own trajectories, spread evenly in time, against the "
        "reference method on the same frames. Bars: 5th to 95th percentile over these frames.",
    ),
    "survival": Help(
        "Survival in MD",
        "Share of trajectories that have not failed against simulation time, one line for each training size.",
        "Higher is better. Judge each line beside the control: what fails there too is physics, no fault of the model.",
        "Kaplan-Meier estimate S(t) = ∏ (1 − d_i / n_i) over the failure times up to t, with d_i failures among n_i "
        "trajectories still running, with its interval (beta product confidence procedure; exact: 95 % or more).",
    ),
    "failure_causes": Help(
        "What ended the trajectories",
        "Stacked bars: share of the trajectories of each model and size that ended in each way.",
        "Grey is good. The interactive form shows beside it when each trajectory failed.",
        "The first sign of failure counts: a number that is not finite, two atoms too close, a bond broken or formed, "
        "a runaway temperature, a drift of the energy. Trajectories stopped by the time limit are censored.",
    ),
    "failures": Help(
        "Atoms at the failure",
        "Atoms of failed trajectories, some checks before the failure and at it.",
        "Left of each pair the molecule before, right at the failure; rings mark the atoms that the cause names.",
        "Atoms are counted from 0. The distance between two ringed atoms stands between them.",
    ),
    "committee_spread": Help(
        "Committee spread as a warning",
        "Force error on rechecked frames against committee spread on logarithmic axes.",
        "Points that rise together with the spread: it warns of error. On the dashed line error and spread are equal; "
        "points above it are worse than the committee believes.",
        "Spread: standard deviation of the force components over the fits of all seeds, root mean square over the "
        "frame. τ: Kendall's rank correlation over the frames spread evenly in time.",
    ),
    "dataset_map": Help(
        "Map of the data",
        "Training, test and visited frames and failures on the plane in which the training frames spread most, and "
        "how far from the training frames the visited ones lie.",
        "Visited frames among the grey training frames: the model interpolates. Far outside: it guesses. Right of the "
        "line at 1 lie frames farther out than any test frame, of whose errors the test set says nothing.",
        "Frames are compared by k = (p·p′)⁴ with p the mean SOAP vector of the atoms at unit length; "
        "distance = √(2 − 2k), from 0 to √2. Map: kernel PCA fitted to the training pool.",
    ),
    "melting_point": Help(
        "Melting points",
        "Chemical potential difference against temperature, and melting points at each training size.",
        "Left: a line melts where it crosses zero. Right: members near the reference, with a spread that covers the "
        "distance, make a committee that can be trusted.",
        "Δμ = μ(solid) − μ(liquid) for one molecule; T_m solves Δμ(T_m) = 0. Sampled by interface pinning, "
        "N Δμ = −κ (Q_s − Q_l)(⟨Q⟩ − a), carried over temperature by d(Δμ/T)/dT = −Δh/T².",
    ),
    "melting_point_by_size": Help(
        "Melting point by training size and force error",
        "Error and spread of the melting point against training size and against force error.",
        "Lower is better. Where the distance lies above twice the calibrated spread the committee is too sure of "
        "itself; below the sampling error a distance is not resolved.",
        "Distance: |T_m of the committee − T_m of the reference|. Spread: standard deviation over the valid members, "
        "calibrated by α. Star: the force error at which a member typically errs by the wanted precision.",
    ),
    "reliability": Help(
        "Reliability of the spread",
        "Observed against expected share of errors within intervals of the spread, raw and calibrated.",
        "On the diagonal the spread is honest; below it, too small; above it, too large.",
        "For each share p: how many errors lie within the central interval of a normal distribution that holds p, with "
        "the committee's spread as σ; calibrated: α σ.",
    ),
    "rdf": Help(
        "Structure of the liquid",
        "Radial distribution function of the liquid, and how that of the committees differs.",
        "Left: curves that coincide. Right: a difference within the grey band is within the sampling error.",
        "g(r): density of neighbours at distance r over the mean density. Members by reweighting the same frames.",
    ),
    "active_learning": Help(
        "Strategies of active learning",
        "Errors and survival against the number of labels, one line for each strategy.",
        "Errors: lower is better; survival: higher. Bars span the seeds, which differ by more than strategies do: the "
        "table of comparisons, paired by seed, says what is real.",
        "All strategies begin with the same frames and get as many labels. Means over seeds are geometric for errors.",
    ),
    "active_learning_online": Help(
        "Learning on the fly",
        "Estimated and true error against time of a run that learns on the fly, calls marked.",
        "True errors below the threshold at audits: the estimate can be trusted. Above it: the committee is too sure.",
        "Estimated: uncertainty of the force on the least sure atom. True: largest force error on an atom, from the "
        "label of the same frame before the model learnt it.",
    ),
}
"""Figures in reading order."""


DRAWN_ONLY = {"failures": ("stability",)}
"""Tables with the numbers of the figures that have no interactive form."""


@dataclass(frozen=True)
class FigureView:
    """A figure as the page shows it."""

    name: str
    help: Help
    svg: str
    caption: str
    sources: tuple[str, ...]
    """Tables that hold its numbers."""
    panels: list[Panel] | None
    why_static: str
    """Why there is no interactive form; empty where there is one."""


def figures(folder: Path, tables: Mapping[str, pd.DataFrame]) -> list[FigureView]:
    """The figures of a folder in reading order, others behind the known ones by name."""
    paths = {path.stem: path for path in visible(folder, "*.svg")}
    order = [name for name in FIGURES if name in paths] + sorted(set(paths) - set(FIGURES))
    views = []
    for name in order:
        words = name.replace("_", " ")
        text = FIGURES.get(name) or Help(words.capitalize(), words)
        panels = interactive(name, tables)
        views.append(
            FigureView(
                name,
                text,
                inline_svg(paths[name].read_text(encoding="utf-8"), name, text.alternative),
                caption(name) or text.alternative,
                PLOTS[name][0] if name in PLOTS else DRAWN_ONLY.get(name, ()),
                panels if isinstance(panels, list) else None,
                panels if isinstance(panels, str) else "",
            )
        )
    return views


def inline_svg(text: str, prefix: str, alternative: str) -> str:
    """An SVG file as an element of a page: no prologue, ids of its own, a text alternative."""
    from markupsafe import escape

    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r"""\bid=(["'])""", rf"id=\1{prefix}-", text)
    text = re.sub(r"""(href=["']|url\()#""", rf"\1#{prefix}-", text)
    return text.replace("<svg", f'<svg role="img" aria-label="{escape(alternative)}"', 1)
