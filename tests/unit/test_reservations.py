"""Reservations are complete: whatever a table marks, or gives a reason for, stands among them."""

from __future__ import annotations

import melting_point_example
import pandas as pd
import pytest
from report_example import all_tables

from longhot.report.flags import flags
from longhot.report.unsaid_flags import BY_DESIGN, kind

ACTIVE = pd.DataFrame(
    {
        "dataset": "methanol",
        "model": "mace",
        "strategy": ["random", "diverse"],
        "metric": "md_force_mae_meV_per_A",
        "effect": [0.5, 0.6],
        "n_seeds": 3,
        "reason": None,
    }
)
ONLINE = pd.DataFrame(
    {"dataset": "methanol", "model": "mace", "kind": "call", "outcome": ["completed", "completed"], "cause": ""}
)
TABLES = {
    **all_tables(),
    **melting_point_example.tables(),
    "active_learning_comparison": ACTIVE,
    "active_learning_online": ONLINE,
}


def text(tables: dict[str, pd.DataFrame]) -> str:
    return kind(" ".join(f"{flag.what} {flag.count} {flag.why}" for flag in flags(tables)))


def broken(name: str, row: int, **cells: object) -> dict[str, pd.DataFrame]:
    """One table with some cells of one row replaced."""
    table = TABLES[name].copy().astype(dict.fromkeys(cells, object))
    for column, value in cells.items():
        table.iloc[row, table.columns.get_loc(column)] = value
    return {name: table}


def rows_of(name: str) -> list[int]:
    """First and last row of a table."""
    return sorted({0, len(TABLES[name]) - 1})


WITH_REASONS = [name for name, table in TABLES.items() if "reason" in table]
WITH_VALID = [name for name, table in TABLES.items() if "valid" in table]


def test_examples_hold_every_table_that_marks_rows() -> None:
    assert {"learning_curves", "survival", "rank_agreement", "robustness"} <= set(WITH_REASONS)
    assert {"phases", "interfaces", "delta_mu", "melting_point", "observables"} <= set(WITH_VALID)


@pytest.mark.parametrize("name", WITH_REASONS)
def test_every_reason_is_told(name: str) -> None:
    for row in rows_of(name):
        found = broken(name, row, reason="a zebra crossed the cell")
        if "converged" in found[name]:
            # Fits that had not converged are told as such.
            found[name]["converged"] = True
        assert "a zebra crossed the cell" in text(found), row


@pytest.mark.parametrize("name", WITH_VALID)
def test_every_invalid_row_is_told_even_without_a_reason(name: str) -> None:
    for row in rows_of(name):
        for reason in ("", "a zebra crossed the cell"):
            with_flag = flags(broken(name, row, valid=False, reason=reason))
            assert len(with_flag) > len(flags(broken(name, row, valid=True, reason=""))), (row, reason)


def test_every_fit_that_had_not_converged_is_told() -> None:
    curves = TABLES["learning_curves"].assign(converged=True)
    assert "had not converged" not in text({"learning_curves": curves})
    fit = ["model", "train_size", "seed"]
    for _, ids in curves.loc[curves["family"] != "nonml", fit].iloc[[0, -1]].iterrows():
        assert "had not converged" in text(
            {"learning_curves": curves.assign(converged=(curves[fit] != ids).any(axis=1))}
        )


def test_a_run_on_the_fly_that_ended_early_is_told() -> None:
    assert "ended early: all calls are spent" in text(
        broken("active_learning_online", 1, outcome="engine_error", cause="all calls are spent")
    )


def test_a_sound_table_adds_nothing() -> None:
    clean = {"phases": TABLES["phases"].assign(valid=True, reason="")}
    assert flags(clean) == []


def test_what_is_empty_by_design_is_no_reservation() -> None:
    for reason in BY_DESIGN:
        assert kind(reason) not in text(broken("rank_agreement", 3, reason=reason))
