"""What is said of frames beyond the training data, from tables with known numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from longhot.report.reach_verdict import TOPIC, training_reach


def row(model: str, size: int, n_beyond: int, phase: Any = np.nan, dataset: str = "d", **more: float) -> dict[str, Any]:
    ids = {"dataset": dataset, "model": model, "train_size": size, "temperature_K": 1000.0, "phase": phase}
    numbers = {"n_frames": 80, "n_beyond": n_beyond, "share_beyond": n_beyond / 80, "kendall_tau": np.nan}
    return {**ids, **numbers, "ci_low": np.nan, "ci_high": np.nan, **more}


def said(*rows: dict[str, Any]) -> list[tuple[str, str]]:
    found = training_reach({"training_reach": pd.DataFrame(rows)})
    assert {one.topic for one in found} <= {TOPIC}
    return [(one.level, one.text) for one in found]


def test_shares_by_model_and_size_beside_the_control() -> None:
    found = said(
        row("reference", 0, 4),
        row("a", 40, 8, kendall_tau=0.2, ci_low=-0.1),
        row("a", 5, 60, kendall_tau=0.6, ci_low=0.3),
        row("b", 5, 0, kendall_tau=0.4, ci_low=0.1),
    )
    assert found == [
        (
            "finding",
            "Of the frames that MD at 1000 K visited, 75 % and 10 % with a (N = 5 and 40); 0 % with b (N = 5) lie "
            "farther from the model's training frames than any test frame does. Of those of the control, 5 % lie so "
            "far from the pool.",
        ),
        (
            "finding",
            "Distance from the training frames and force error rise together, beyond chance, in 2 of 3 groups of "
            "visited frames (τ from 0.20 to 0.60).",
        ),
    ]


def test_a_phase_that_no_test_frame_tells_of_is_a_warning() -> None:
    found = said(
        row("reference", 0, 80, "liquid", "ice"), row("reference", 0, 0, "solid", "ice"), row("reference", 0, 0)
    )
    assert found == [
        (
            "warning",
            "On ice: 100 % of the frames of the liquid that the reference sampled lie farther from the training pool "
            "than any test frame does: errors on the test set say nothing of them.",
        )
    ]


def test_no_table_says_nothing() -> None:
    assert training_reach({}) == []
    assert training_reach({"training_reach": pd.DataFrame(columns=list(row("a", 1, 0)))}) == []
