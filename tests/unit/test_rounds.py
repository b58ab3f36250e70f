"""Rounds of active learning: what they choose and count, and that a killed round ends as an unbroken one."""

from __future__ import annotations

import csv
import dataclasses
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import model_examples
import numpy as np
import pytest
from ase import Atoms

from longhot import frames as fr
from longhot import references
from longhot.block import InputError
from longhot.config import Protocol
from longhot.dynamics.engine import simulate
from longhot.files import read_json
from longhot.learning import learners, online, rounds
from longhot.learning.acquisition import usable
from longhot.learning.rounds import Inputs
from longhot.potential import Label

TESTS = Path(__file__).resolve().parents[1]
XTB = references.parse(model_examples.TIGHT_XTB)
TINY = {"family": "mace", "channels": 4, "max_L": 0, "max_ell": 1, "layers": 1, "correlation": 1, "dtype": "float64"}
TINY |= {"gradient_steps": 12, "compile": "never", "validations": 5}
SETTINGS: dict[str, Any] = {
    "dataset": "methanol",
    "model": "mace",
    "seeds": [0, 1],
    "members": 2,
    "initial_frames": 5,
    "frames_per_round": 3,
    "rounds": 2,
    "refit_steps": 6,
    "evaluation_frames": 4,
    "tolerance_meV_per_A": 0.1,
    "protocol": {"temperatures_K": [600], "replicas": 2, "duration_ps": 0.02, "frame_interval_fs": 2},
}
SECONDS = (
    "train_wall_s",
    "md_wall_s",
    "label_wall_s",
    "evaluation_wall_s",
    "choose_wall_s",
    "overhead_wall_s",
    "core_s",
)


def label(frames: list[Atoms]) -> list[Any]:
    return references.label(frames, XTB)


def new_inputs(**settings: Any) -> Inputs:
    """Of methanol, without files."""
    every = model_examples.methanol_frames(24)
    for frame in every:
        frame.info[fr.TEST_SET] = "test"
    initial = {0: every[:5], 1: every[5:10]}
    return Inputs(
        settings=rounds.ActiveLearning.model_validate(SETTINGS | settings),
        model=TINY,
        reference_name="gfn2",
        initial=initial,
        valid=every[10:14],
        test=every[14:],
        atomic_energies_eV=model_examples.atomic_energies(every),
        device="cpu",
        compile_cache=None,
        identity="test",
        label=label,
    )


def run_all(inputs: Inputs, folder: Path, strategy: str = "uncertain_diverse") -> list[list[dict[str, Any]]]:
    """All rounds of one strategy; the records of each."""
    paths = [folder / f"round{number}" / "records.json" for number in range(inputs.settings.rounds + 1)]
    for number, path in enumerate(paths):
        if not path.exists():
            before = paths[number - 1].parent if number else None
            rounds.run(inputs, strategy if number else "start", number, before, path)
    return [read_json(path) for path in paths]


def timeless(records: list[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Records without what depends on the clock or the folder."""
    return [{k: v for k, v in one.items() if k not in (*SECONDS, "folder")} for part in records for one in part]


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rounds")
    run_all(new_inputs(), folder)
    return folder


def test_every_strategy_has_as_many_labels(done: Path, tmp_path: Path) -> None:
    found = {"uncertain_diverse": run_all(new_inputs(), done), "random": run_all(new_inputs(), tmp_path, "random")}
    for records in found.values():
        assert [[one["n_labels"] for one in part] for part in records] == [[5, 5], [8, 8], [11, 11]]
        assert [[one["n_reference_calls"] for one in part] for part in records] == [[5, 5], [8, 8], [11, 11]]
    assert timeless(found["random"][:1]) == timeless(found["uncertain_diverse"][:1])
    chosen = [fr.read(folder / "round1/seed0/train.extxyz")[5:] for folder in (done, tmp_path)]
    assert not np.allclose(chosen[0][0].positions, chosen[1][0].positions)


def test_training_sets_grow_and_their_labels_are_the_reference_s(done: Path) -> None:
    before, after = (fr.read(done / f"round{number}" / "seed1" / "train.extxyz") for number in (1, 2))
    for first, second in zip(before, after, strict=False):
        np.testing.assert_array_equal(first.positions, second.positions)
    truths = label(after[8:])
    np.testing.assert_allclose(fr.energies(after[8:]), [one.energy_eV for one in truths], atol=1e-6)
    assert all(usable(after))
    points = np.array([frame.positions.ravel() for frame in after])
    distances = np.abs(points[:, None] - points).max(axis=-1) + 10 * np.eye(len(points))
    assert distances.min() > 1e-4


def test_errors_of_the_chosen_are_those_before_the_refit(done: Path) -> None:
    from longhot import models
    from longhot.uncertainty.committee import Committee

    (record, _), folder = read_json(done / "round1/records.json"), done / "round0/seed0/members"
    added = fr.read(done / "round1/seed0/train.extxyz")[5:]
    own = Committee([models.load(folder / str(member)) for member in (0, 1)]).predict(added)
    errors = [np.abs(a.forces_eV_per_A - b).mean() for a, b in zip(own, fr.forces(added), strict=True)]
    assert record["chosen_force_mae_meV_per_A"] == pytest.approx(1e3 * np.mean(errors), rel=1e-4)


def failing(frames: list[Atoms]) -> list[Label]:
    return [references.failed(len(frame), "not_converged", "no", 0.0) for frame in frames]


def known_before(frames: list[Atoms]) -> list[Label]:
    """Labels that took an hour each when another study made them."""
    return [dataclasses.replace(one, wall_s=3600.0) for one in label(frames)]


def test_calls_whose_labels_all_fail_are_counted(done: Path, tmp_path: Path) -> None:
    inputs = dataclasses.replace(new_inputs(), label=failing)
    rounds.run(inputs, "random", 1, done / "round0", tmp_path / "records.json")
    for record in read_json(tmp_path / "records.json"):
        assert (record["n_labels"], record["n_reference_calls"], record["n_chosen_failed"]) == (5, 8, 3)
        assert record["reason"].endswith("3 chosen, none labelled")
        assert not record["converged"]


def test_time_that_labels_took_before_is_not_that_of_the_round(done: Path, tmp_path: Path) -> None:
    inputs = dataclasses.replace(new_inputs(seeds=[0]), label=known_before)
    rounds.run(inputs, "random", 1, done / "round0", tmp_path / "records.json")
    (record,) = read_json(tmp_path / "records.json")
    assert 0 < record["label_wall_s"] < 60
    assert record["core_s"] < 600
    assert 0 < record["choose_wall_s"] <= record["overhead_wall_s"] < 60


def test_a_restart_keeps_the_time_that_choosing_took(done: Path, tmp_path: Path) -> None:
    def slow(frames: list[Atoms]) -> list[Label]:
        time.sleep(0.5)
        return label(frames)

    inputs = dataclasses.replace(new_inputs(seeds=[0]), label=slow)
    rounds.run(inputs, "random", 1, done / "round0", tmp_path / "records.json")
    (first,) = read_json(tmp_path / "records.json")
    (tmp_path / "seed0/record.json").unlink()
    rounds.run(inputs, "random", 1, done / "round0", tmp_path / "records.json")
    (again,) = read_json(tmp_path / "records.json")
    assert first["label_wall_s"] == again["label_wall_s"] >= 0.5
    assert 0 < first["choose_wall_s"] == again["choose_wall_s"] <= again["overhead_wall_s"]


def test_a_converged_round_ends_the_loop_and_costs_nothing(tmp_path: Path) -> None:
    records = run_all(new_inputs(tolerance_meV_per_A=1e6, seeds=[0]), tmp_path)
    assert [part[0]["converged"] for part in records] == [False, True, True]
    assert records[2][0] == records[1][0] | {"round": 2}
    assert not (tmp_path / "round2" / "seed0").exists()


def test_other_settings_begin_a_round_anew(done: Path, tmp_path: Path) -> None:
    inputs = new_inputs(seeds=[0])
    rounds.run(inputs, "start", 0, None, tmp_path / "records.json")
    first = (tmp_path / "seed0/members/0/model.safetensors").stat().st_mtime_ns
    rounds.run(inputs, "start", 0, None, tmp_path / "records.json")
    assert (tmp_path / "seed0/members/0/model.safetensors").stat().st_mtime_ns == first
    rounds.run(new_inputs(seeds=[0], members=3), "start", 0, None, tmp_path / "records.json")
    assert (tmp_path / "seed0/members/0/model.safetensors").stat().st_mtime_ns > first


def test_frames_before_a_failure_are_candidates_and_exploded_ones_are_not(tmp_path: Path) -> None:
    """A reference without repulsion: atoms fall into one another."""
    from longhot.potential import BatchResult

    class Falling:
        def batch(self, atoms: Atoms, n_replicas: int) -> Any:
            return self

        def batch_sizes(self, n_replicas: int) -> list[int]:
            return list(range(n_replicas, 0, -1))

        def compute(self, positions_A: np.ndarray, cell_A: np.ndarray | None = None) -> BatchResult:
            from_middle = positions_A - positions_A.mean(axis=1, keepdims=True)
            return BatchResult(np.zeros(len(positions_A)), -0.2 * from_middle)

    start = model_examples.methanol_frames(1)[0]
    protocol = Protocol(
        temperatures_K=[300], replicas=2, duration_ps=0.5, frame_interval_fs=40, check_interval_fs=1, bond_checks=False
    )
    simulate(Falling(), [start, start], protocol, 0, tmp_path)  # type: ignore[arg-type]
    found = rounds.visited(tmp_path, start)
    assert (tmp_path / "outcomes.csv").read_text().count(",overlap,") == 2
    assert found
    assert all(usable(found))
    # Checks stand 1 fs apart, stored frames 40: more than the stored ones are there.
    assert len(found) > 10
    assert not any(np.allclose(one.positions, start.positions) for one in found)


CHILD = f"""
import os, signal, sys
sys.path[:0] = [{str(TESTS)!r}, {str(TESTS / "unit")!r}, {str(TESTS.parent / "workflow")!r}]
from pathlib import Path
import test_rounds
from longhot.learning import rounds

moment, count = sys.argv[2], 0
def killing(function):
    def wrapped(*args, **kwargs):
        global count
        count += 1
        found = function(*args, **kwargs)
        if count == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        return found
    return wrapped

setattr(rounds, moment, killing(getattr(rounds, moment)))
test_rounds.run_all(test_rounds.new_inputs(), Path(sys.argv[1]))
"""


@pytest.mark.parametrize("moment", ["_claim", "_chosen", "_fit", "_simulate", "_judge"])
def test_a_killed_loop_ends_as_an_unbroken_one(moment: str, done: Path, tmp_path: Path) -> None:
    child = subprocess.run([sys.executable, "-W", "ignore", "-c", CHILD, str(tmp_path), moment], check=False)
    assert child.returncode == -signal.SIGKILL
    assert not (tmp_path / "round2" / "records.json").exists()
    assert timeless(run_all(new_inputs(), tmp_path)) == timeless(run_all(new_inputs(), done))


def test_no_validation_frame_is_refused(tmp_path: Path) -> None:
    for name in ("pool", "valid", "test"):
        fr.write(tmp_path / name, [])
    (tmp_path / "e0").write_text("{}")
    paths = {name: tmp_path / name for name in ("pool", "valid", "test")} | {"atomic_energies": tmp_path / "e0"}
    with pytest.raises(InputError, match="no validation frames"):
        rounds.read_inputs(SETTINGS, TINY, {}, "gfn2", paths, lambda _: [], "cpu", None, label, "")


GP = {"family": "gp", "n_sparse": 400}


def test_a_model_that_knows_its_error_needs_no_committee(tmp_path: Path) -> None:
    inputs = new_inputs(members=1, refit_steps=None, seeds=[0], rounds=1)
    inputs = dataclasses.replace(inputs, model=GP)
    records = run_all(inputs, tmp_path)
    assert [part[0]["n_labels"] for part in records] == [5, 8]
    assert records[1][0]["chosen_spread_meV_per_A"] > 0


def test_a_model_that_knows_its_error_learns_on_the_fly(tmp_path: Path) -> None:
    every = model_examples.methanol_frames(8)
    settings = rounds.ActiveLearning.model_validate(
        SETTINGS
        | {
            "members": 1,
            "refit_steps": None,
            "online": {"temperature_K": 600, "duration_ps": 0.05, "threshold_meV_per_A": 300},
        }
    )
    assert settings.online is not None
    e0_eV = model_examples.atomic_energies(every)
    learner = learners.new_learner(settings, GP, [], e0_eV, tmp_path / "fits", "cpu", "")
    online.run(learner, references.Labeller(XTB), every[:4], every[0], settings.online, 0, tmp_path)
    outcome = read_json(tmp_path / "outcome.json")
    assert outcome["outcome"] == "completed"
    assert 0 < outcome["n_reference_calls"] - 4 < 50
    assert len(fr.read(tmp_path / "learned.extxyz")) == outcome["n_reference_calls"]
    with (tmp_path / "trace.csv").open(encoding="utf-8") as handle:
        calls = [row for row in csv.DictReader(handle) if row["kind"] == "call"]
    assert all(float(row["estimated_meV_per_A"]) > 300 for row in calls)
