"""Rows of tables, picked by the values in their columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from longhot.config import REFERENCE_MODEL

if TYPE_CHECKING:
    import pandas as pd


SAMPLER = "sampler "
"""How the model of rows begins that a committee gave as its own sampler, such as ``sampler mace-L0-nu2-n100``."""


def is_sampler(model: str) -> bool:
    """Whether rows are of the control, or of a committee that stands in its place, and not of fits."""
    return model == REFERENCE_MODEL or model.startswith(SAMPLER)


def models_of(table: pd.DataFrame) -> list[str]:
    """The models of a table in its order, without the control."""
    return [model for model in table["model"].unique() if not is_sampler(model)]


def members_of(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of fits."""
    return table[table["model"].isin(models_of(table))]


def samplers_of(table: pd.DataFrame, model: str) -> pd.DataFrame:
    """The rows of what sampled for a model: of the reference, or of its committees themselves."""
    return table[(table["model"] == REFERENCE_MODEL) | table["model"].str.startswith(f"{SAMPLER}{model}-n")]


def sizes_of(table: pd.DataFrame) -> list[int]:
    """The training sizes of a table, ascending."""
    return sorted(table["train_size"].unique())


def rows_of(table: pd.DataFrame, **wanted: Any) -> pd.DataFrame:
    """The rows whose columns have the wanted values."""
    for name, value in wanted.items():
        table = table[table[name] == value]
    return table


def valid_of(table: pd.DataFrame, *, valid: bool = True) -> pd.DataFrame:
    """The rows that are marked valid, or all others."""
    # As text: a column with an empty cell, or of an empty table, does not hold truth values.
    return table[(table["valid"].astype(str) == "True") == valid]


def reason_of(table: pd.DataFrame) -> str:
    """The first reason that a table gives for what it lacks; empty where it gives none."""
    return next(filter(None, table["reason"].dropna().astype(str)), "")
