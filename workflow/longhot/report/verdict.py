"""The verdict of a study: sentences made from its tables, and from nothing else.

Each function takes tables as DataFrames, with the columns of the contracts, and returns sentences.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from longhot.report.active_learning_verdict import active_learning
from longhot.report.agreement_verdict import committee_spread, static_order
from longhot.report.learning_curves_verdict import accuracy, baseline, extrapolation, ladder, mean_errors, scaling
from longhot.report.melting_point_verdict import melting_point
from longhot.report.reach_verdict import training_reach
from longhot.report.robustness_verdict import control, failure_kinds, own_dynamics, stability
from longhot.report.statements import Sentence, place
from longhot.report.structure_search_verdict import structure_search

if TYPE_CHECKING:
    import pandas as pd


def verdict(tables: dict[str, pd.DataFrame]) -> list[Sentence]:
    """All sentences that the tables at hand allow, in reading order.

    Args:
        tables: by name, such as ``learning_curves``; a question that was not asked has no table.
    """
    sentences: list[Sentence] = []
    curves = tables.get("learning_curves")
    if curves is not None and len(curves):
        slopes = tables.get("learning_curve_slopes")
        for dataset, of_dataset in curves.groupby("dataset", sort=False):
            errors = mean_errors(of_dataset)
            where = place(curves, dataset)
            sentences += accuracy(errors, where)
            sentences += scaling(slopes, errors, str(dataset), where)
            sentences += ladder(errors, where, "correlation", "max_L")
            sentences += ladder(errors, where, "max_L", "correlation")
            sentences += baseline(errors, where)
            sentences += extrapolation(errors, where)
    robustness = tables.get("robustness")
    if robustness is not None and len(robustness):
        survival, tests, agreement = (tables[name] for name in ("survival", "survival_tests", "rank_agreement"))
        for dataset, of_dataset in robustness.groupby("dataset", sort=False):
            where = place(robustness, dataset)
            sentences += control(of_dataset, where)
            sentences += stability(_of(survival, dataset), _of(tests, dataset), where)
            sentences += own_dynamics(of_dataset, where)
            sentences += static_order(_of(agreement, dataset), where)
            sentences += committee_spread(_of(agreement, dataset), where)
        sentences += failure_kinds(tables["stability"])
    sentences += training_reach(tables)
    return sentences + melting_point(tables) + active_learning(tables) + structure_search(tables)


def _of(table: pd.DataFrame, dataset: object) -> pd.DataFrame:
    return table[table["dataset"] == dataset]
