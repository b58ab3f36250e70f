"""Simulations that leave little or nothing, from the engine through the recheck to the tables."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from toy_potentials import Springs, ethanol

from longhot.config import ActiveLearning, Protocol, Recheck
from longhot.dynamics import tables
from longhot.dynamics.engine import simulate
from longhot.dynamics.recheck import COLUMNS, RecheckedFrames, recheck
from longhot.dynamics.statistics import NO_TIME, NO_TURN
from longhot.frames import TEST_SET, labelled
from longhot.learning import rounds
from longhot.potential import BatchResult

FIT = {"dataset": "d", "model": "m", "train_size": 25}
CONTROL = {"dataset": "d", "model": "reference", "train_size": 0}
FAILED = "no rechecked frame, the replicas failed at once"
OUT_OF_TIME = "no rechecked frame, the time limit came before the first"
TABLES = ("stability", "survival", "survival_tests", "recheck", "robustness", "rank_agreement")


def lost(*places: int) -> Callable[[int, np.ndarray, BatchResult], BatchResult]:
    """A fault that gives no forces to the replicas in some places of the batch, from the first call on."""

    def fault(call: int, positions: np.ndarray, result: BatchResult) -> BatchResult:
        result.forces_eV_per_A[list(places)] = np.nan
        return result

    return fault


def protocol(**settings: Any) -> Protocol:
    given = {"temperatures_K": [300, 600], "replicas": 2, "duration_ps": 0.05, "frame_interval_fs": 10}
    return Protocol(**given | settings)


def run(folder: Path, potential: Springs, settings: Protocol, ids: dict[str, Any], seed: int = 0) -> Path:
    """A simulation and its recheck, in a folder of its own."""
    simulate(potential, [ethanol()] * settings.replicas, settings, seed, folder, ids=ids)
    rechecked(folder, others=[Springs(21.0)] if ids == FIT else [])
    return folder


def rechecked(folder: Path, others: list[Springs]) -> None:
    recheck(
        folder / "frames.h5",
        folder / "outcomes.csv",
        ethanol(),
        folder / "recheck.csv",
        reference="springs",
        label=Springs().predict,
        model=Springs(22.0),
        others=others,
        settings=Recheck(frames_per_replica=5, frames_before_failure=2, frames_highest_spread=1),
    )


def tables_of(folder: Path, *runs: Path) -> dict[str, pd.DataFrame]:
    """All tables of the MD of some simulations."""
    curves = [{**FIT, "seed": seed, "test_set": "test", tables.ERROR: 10.0} for seed in range(4)]
    pd.DataFrame(curves).to_csv(folder / "curves.csv", index=False)
    out = {name: folder / f"{name}.csv" for name in TABLES}
    outcomes, rechecks = ([one / f"{name}.csv" for one in runs] for name in ("outcomes", "recheck"))
    tables.write_tables(outcomes, rechecks, folder / "curves.csv", "test", {"d": "xtb"}, {"d": "xtb"}, out)
    return {name: tables.read(path) for name, path in out.items()}


def row_of(table: pd.DataFrame, model: str, temperature_K: float) -> dict[str, Any]:
    (row,) = table[(table["model"] == model) & (table["temperature_K"] == temperature_K)].to_dict("records")
    return row


def n_rows(folder: Path) -> int:
    """Rechecked frames, of which the table and the file beside it say the same."""
    table, stored = pd.read_csv(folder / "recheck.csv"), RecheckedFrames.load(folder / "recheck.npz")
    assert tuple(table.columns) == COLUMNS
    assert stored.positions_A.shape == stored.model_forces_eV_per_A.shape == (len(table), 9, 3)
    assert stored.reference_forces_eV_per_A.shape == stored.positions_A.shape
    assert stored.cell_A.shape == (len(table), 3, 3)
    np.testing.assert_array_equal(stored.numbers, ethanol().numbers)
    return len(table)


def test_every_replica_that_fails_at_once_leaves_empty_files_and_a_reason(tmp_path: Path) -> None:
    own = run(tmp_path / "own", Springs(fault=lost(0, 1, 2, 3)), protocol(), FIT)
    control = run(tmp_path / "control", Springs(), protocol(), CONTROL)
    assert (n_rows(own), n_rows(control)) == (0, 20)
    assert rounds.visited(own, ethanol()) == []
    found = tables_of(tmp_path, own, control)
    for temperature_K in (300.0, 600.0):
        robust = row_of(found["robustness"], "m", temperature_K)
        assert (robust["n_rechecked"], robust["n_failed"]) == (0, 2)
        assert np.isnan(robust[tables.MD])
        assert FAILED in robust["reason"]
        survival = row_of(found["survival"], "m", temperature_K)
        assert (survival["survival_at_end"], survival["simulated_ps"], survival["reason"]) == (0.0, 0.0, NO_TIME)
    assert found["survival_tests"]["p_value"].tolist() == pytest.approx([1 / 3] * 2), "2 of the 6 ways to part them"


def test_nothing_but_failures_at_once_in_the_whole_study(tmp_path: Path) -> None:
    runs = [
        run(tmp_path / f"{ids['model']}{seed}", Springs(fault=lost(0, 1, 2, 3)), protocol(), ids, seed)
        for ids, seeds in ((FIT, 4), (CONTROL, 1))
        for seed in range(seeds)
    ]
    assert [n_rows(one) for one in runs] == [0] * 5
    found = tables_of(tmp_path, *runs)
    assert found["recheck"].empty
    assert found["robustness"]["reason"].str.contains(FAILED).all()
    assert found["robustness"]["n_rechecked"].tolist() == [0] * 4
    assert found["survival"]["survival_at_end"].tolist() == [0.0] * 4
    assert found["survival"]["reason"].tolist() == [NO_TIME] * 4
    assert found["survival_tests"]["reason"].str.len().gt(0).eq(found["survival_tests"]["p_value"].isna()).all()
    assert found["rank_agreement"]["reason"].str.len().gt(0).all()


def test_replica_that_fails_at_once_leaves_the_frames_of_the_others(tmp_path: Path) -> None:
    """The places go to the hottest first: the second is of 600 K."""
    own = run(tmp_path / "own", Springs(fault=lost(1)), protocol(), FIT)
    control = run(tmp_path / "control", Springs(), protocol(), CONTROL)
    assert n_rows(own) == 15
    assert len(rounds.visited(own, ethanol())) == 15
    found = tables_of(tmp_path, own, control)
    robust = row_of(found["robustness"], "m", 600.0)
    assert (robust["n_rechecked"], robust["n_failed"], robust["n_replicas"]) == (5, 1, 2)
    assert "no rechecked frame" not in robust["reason"]


def test_replicas_that_wait_when_time_runs_out(tmp_path: Path) -> None:
    """One of 600 K takes a step; the others never have their turn."""
    settings = protocol(batch_replicas=1, time_limit_s=1e-9)
    own = run(tmp_path / "own", Springs(), settings, FIT)
    control = run(tmp_path / "control", Springs(), settings, CONTROL)
    assert (n_rows(own), n_rows(control)) == (0, 0)
    found = tables_of(tmp_path, own, control)
    assert set(found["stability"]["outcome"]) == {"timeout"}
    assert (found["stability"]["simulated_ps"] > 0).sum() == 2
    assert found["survival"]["survival_at_end"].tolist() == [1.0] * 4
    assert found["survival"].set_index("temperature_K")["reason"].to_dict() == {300.0: NO_TURN, 600.0: ""}
    assert found["robustness"]["reason"].str.contains(OUT_OF_TIME).all()


def test_one_replica_with_one_frame(tmp_path: Path) -> None:
    settings = protocol(replicas=1, temperatures_K=[300], duration_ps=0.01)
    own = run(tmp_path / "own", Springs(), settings, FIT)
    control = run(tmp_path / "control", Springs(), settings, CONTROL)
    assert (n_rows(own), n_rows(control)) == (1, 1)
    found = tables_of(tmp_path, own, control)
    robust = row_of(found["robustness"], "m", 300.0)
    assert robust["n_rechecked"] == 1
    assert robust[tables.MD] > 0
    assert np.isnan(robust["md_ci_low_meV_per_A"])
    assert found["survival_tests"]["reason"].str.len().gt(0).all()


def test_round_of_active_learning_whose_md_fails_at_once_is_judged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = protocol(temperatures_K=[600])
    simulate(Springs(fault=lost(0, 1)), [ethanol()] * 2, settings, 0, tmp_path / "md")
    monkeypatch.setattr(rounds.models, "load", lambda folder, device: Springs(20.0 + int(folder.name)))
    atoms = ethanol()
    atoms.rattle(0.05, seed=1)
    (truth,) = Springs(22.0).predict([atoms])
    frame = labelled(atoms, truth.energy_eV, truth.forces_eV_per_A)
    frame.info[TEST_SET] = "test"
    question = {"dataset": "d", "model": "m", "members": 2, "initial_frames": 1, "protocol": settings.model_dump()}
    inputs = rounds.Inputs(
        settings=ActiveLearning.model_validate(question),
        model={},
        reference_name="springs",
        initial={},
        valid=[frame],
        test=[frame],
        atomic_energies_eV={},
        device="cpu",
        compile_cache=None,
        identity="",
        label=Springs(22.0).predict,
    )
    scores = rounds._judge(inputs, atoms, tmp_path)
    assert (scores["md_force_mae_meV_per_A"], scores["n_md_frames"]) == (None, 0)
    assert (scores["survival_at_end"], scores["n_replicas"]) == (0.0, 2)
    assert scores["force_mae_meV_per_A"] == pytest.approx(1e3 * np.abs(truth.forces_eV_per_A).mean() / 11)
    assert n_rows(tmp_path) == 0
