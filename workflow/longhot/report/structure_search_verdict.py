"""What a structure search with a potential that learns brought, in sentences made from its table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from longhot.config import REFERENCE_MODEL
from longhot.report.rows import models_of, rows_of
from longhot.report.statements import Sentence, is_false, number

if TYPE_CHECKING:
    import pandas as pd

TOPIC = "Structure search"


def structure_search(tables: dict[str, pd.DataFrame]) -> list[Sentence]:
    """All sentences that the tables allow.

    Args:
        tables: by name; ``structure_search`` counts.
    """
    table = tables.get("structure_search")
    if table is None or table.empty:
        return []
    truth = rows_of(table, model=REFERENCE_MODEL)
    sentences = []
    for model in models_of(table):
        own = rows_of(table, model=model)
        last = own[own["round"] == own["round"].max()]
        sentences += [lowest(last, truth), own_energies(last), cost(last, truth)]
    return sentences


def lowest(last: pd.DataFrame, truth: pd.DataFrame) -> Sentence:
    """Whether each seed found the lowest structure of all, and how many of the reference's structures."""
    seeds = last.groupby("seed")
    n_lowest = int((seeds["reference_rank"].min() == 1).sum())
    known = int(truth["reference_rank"].nunique())
    found = seeds["reference_rank"].nunique()
    n_new = last["found_by_reference"].map(is_false).groupby(last["seed"]).sum().mean()
    text = (
        f"{last['model'].iloc[0]} on {last['dataset'].iloc[0]}: {n_lowest} of {len(found)} searches found the lowest "
        f"structure of the searches with the reference, and on average {number(found.mean())} of its {known} "
        f"structures and {number(n_new)} that it had not found."
    )
    return Sentence(TOPIC, text, "finding" if n_lowest == len(found) else "warning")


def own_energies(last: pd.DataFrame) -> Sentence:
    """How far the model's relative energies of the structures are from the reference's."""
    above_first = last["energy_meV"] - last.groupby("seed")["energy_meV"].transform("first")
    others = last[last["rank"] > 1]
    error_meV = (others["model_energy_meV"] - above_first[others.index]).abs().mean()
    text = (
        f"The model's own energies of the {len(others)} higher structures, relative to the lowest, are off by "
        f"{number(error_meV)} meV on average: structures are ordered by the reference."
    )
    return Sentence(TOPIC, text)


def cost(last: pd.DataFrame, truth: pd.DataFrame) -> Sentence:
    """Calls of the reference beside those of the search with the reference, and whether the search converged."""
    own, others = (table.groupby("seed")[["n_reference_calls", "n_hops"]].first().mean() for table in (last, truth))
    converged = last.groupby("seed")["converged"].first()
    n_converged = len(converged) - int(converged.map(is_false).sum())
    text = (
        f"It took {own['n_reference_calls']:.0f} calls of the reference for {own['n_hops']:.0f} hops on average, the "
        f"search with the reference itself {others['n_reference_calls']:.0f} for {others['n_hops']:.0f}; "
        f"{n_converged} of {len(converged)} searches ended since their lowest structures no longer changed."
    )
    return Sentence(TOPIC, text, "finding" if n_converged == len(converged) else "warning")
