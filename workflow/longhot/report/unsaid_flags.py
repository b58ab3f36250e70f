"""The net below all other reservations: what a table marks or gives a reason for, and no other check has said."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from longhot.config import REFERENCE_MODEL
from longhot.dynamics.statistics import DEPENDENT_POINTS, NOTHING_FAILED
from longhot.report.statements import Flag, is_false, listed
from longhot.report.views import TABLES

if TYPE_CHECKING:
    import pandas as pd

BY_DESIGN = (DEPENDENT_POINTS, NOTHING_FAILED, "control: ")
"""Reasons, or their beginnings, of cells that are empty in the nature of the thing."""
UNSAID = "marked as not valid or not finished, and no reason is given"


def unsaid(tables: dict[str, pd.DataFrame], found: Sequence[Flag]) -> list[Flag]:
    """Reservations about rows with a reason that no flag gives, or that are marked without one.

    Args:
        tables: by name; columns ``reason``, ``valid``, ``converged`` and ``outcome`` count.
        found: the flags of all other checks.
    """
    said = kind(" ".join(f"{flag.what} {flag.why}" for flag in found))
    added = []
    for name, table in tables.items():
        reasons = _reasons(table)
        groups = {one: reasons[reasons.map(kind) == one] for one in dict.fromkeys(reasons.map(kind)) if one}
        for one, rows in groups.items():
            if one not in said:
                more = " (and the like)" if rows.nunique() > 1 else ""
                text = rows.iloc[0].rstrip(".")
                added.append(
                    Flag(
                        f"{TABLES.get(name, name.replace('_', ' '))}{_whose(table.loc[rows.index])}",
                        f"{len(rows)} of {len(table)} rows",
                        f"{text[0].upper()}{text[1:]}{more}.",
                    )
                )
    return added


def kind(reason: str) -> str:
    """A reason without its numbers, so that reasons of one sort are alike."""
    return re.sub(r"[-+−]?\d[\d.]*", "#", reason).strip(" .").lower()


def _reasons(table: pd.DataFrame) -> pd.Series:
    """What each marked row says for itself; empty for the others."""
    import pandas as pd

    reasons = pd.Series("", index=table.index)
    if "reason" in table:
        reasons = table["reason"].astype(object).fillna("").astype(str)
    if "converged" in table and "family" in table:
        # Fits that had not converged are told model by model.
        reasons = reasons.where(~table["converged"].map(is_false), "")
    if "valid" in table:
        reasons = reasons.where((reasons != "") | ~table["valid"].map(is_false), UNSAID)
    if {"kind", "outcome", "cause"} <= set(table):
        ended = ~table["outcome"].isin(["completed", ""]) & table["outcome"].notna()
        reasons = reasons.where(~ended, "the run ended early: " + table["cause"].astype(object).fillna("").astype(str))
    return reasons.where(~reasons.str.startswith(BY_DESIGN), "")


def _whose(rows: pd.DataFrame) -> str:
    """The models that the rows are of."""
    if "model" not in rows:
        return ""
    models = [str(one) for one in dict.fromkeys(rows["model"].dropna()) if one not in ("", REFERENCE_MODEL)]
    return f": {listed(models)}" if models else ""
