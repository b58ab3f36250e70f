"""The figures in their interactive form: panels of plotly traces, drawn from the tables alone.

Each function takes the tables of a study by name and gives panels, none where it has nothing to draw.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from longhot.report.plots import active_learning, dataset_map, learning_curves, melting_point, robustness
from longhot.report.plots.panels import Panel, n_points

if TYPE_CHECKING:
    import pandas as pd

MOST_POINTS = 20_000
"""With more, a figure is static only: the browser would become slow."""

PLOTS: dict[str, tuple[tuple[str, ...], Callable[[Mapping[str, pd.DataFrame]], list[Panel]]]] = {
    "learning_curves": (("learning_curves", "learning_curve_slopes"), learning_curves.curves),
    "robustness": (("robustness", "recheck", "stability"), robustness.errors),
    "survival": (("stability",), robustness.survival),
    "failure_causes": (("stability",), robustness.causes),
    "committee_spread": (("recheck", "rank_agreement"), robustness.spread),
    "dataset_map": (("dataset_map",), dataset_map.dataset_map),
    "melting_point": (("delta_mu", "melting_point", "melting_point_summary"), melting_point.melting_point),
    "melting_point_by_size": (("melting_point_summary", "required_accuracy"), melting_point.by_size),
    "reliability": (("reliability", "calibration"), melting_point.reliability),
    "rdf": (("observables",), melting_point.rdf),
    "active_learning": (("active_learning",), active_learning.strategies),
    "active_learning_online": (("active_learning_online",), active_learning.online),
}
"""For each figure the tables that it is drawn from, and the function that draws it."""


def interactive(name: str, tables: Mapping[str, pd.DataFrame], most_points: int = MOST_POINTS) -> list[Panel] | str:
    """Panels of a figure, or a sentence that says why it is static only."""
    if name not in PLOTS:
        return "This figure is a drawing, without an interactive form."
    sources, draw = PLOTS[name]
    if any(source not in tables or tables[source].empty for source in sources[:1]):
        return "There is nothing to plot: the table of this figure is empty."
    panels = draw(tables)
    points = n_points(panels)
    if points > most_points:
        return f"Static only: {points} points are too many for an interactive form."
    return panels or "There is nothing to plot."
