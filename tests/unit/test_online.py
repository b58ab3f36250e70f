"""Runs that learn as they go: when they call, what they learn, how they end, and restarts."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import model_examples
import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk, molecule
from toy_potentials import Springs, ethanol

from longhot import frames as fr
from longhot import references
from longhot.block import InputError
from longhot.files import read_json
from longhot.langevin import BLOCK_STEPS, Stream, draw_noise, draw_velocities
from longhot.learning import fits
from longhot.learning.learners import CommitteeLearner
from longhot.learning.online import WORK_FOLDER, Online, run, updated_ratio
from longhot.models import FitTask, load
from longhot.models import reference as reference_model
from longhot.potential import Label
from longhot.uncertainty.committee import Committee, atom_spreads

TESTS = Path(__file__).resolve().parents[1]
SPRINGS = Springs()
SPREAD_PER_A = 0.5
SEED = 3
SETTINGS = Online(
    temperature_K=300.0,
    duration_ps=0.2,
    time_step_fs=0.5,
    friction_per_ps=20.0,
    threshold_meV_per_A=60.0,
    audit_interval_steps=50,
    trace_interval_steps=1,
    bond_checks=False,
)


def reference(atoms: Atoms) -> Label:
    return SPRINGS.predict([atoms])[0]


def initial_frames(start: Atoms, n_frames: int, displacement_A: float, label: Any) -> list[Atoms]:
    """The start, and copies of it whose coordinates are displaced by normal numbers, all labelled."""
    generator = np.random.default_rng(SEED)
    frames = [start.copy() for _ in range(n_frames)]
    for frame in frames[1:]:
        frame.positions += generator.normal(0.0, displacement_A, frame.positions.shape)
    return [fr.labelled(frame, one.energy_eV, one.forces_eV_per_A) for frame in frames for one in [label(frame)]]


INITIAL = initial_frames(ethanol(), 4, 0.02, reference)


class Toy:
    """Springs, wrong by ``factor`` times an uncertainty that grows with the way to the nearest known frame.

    It is uncertain of the atoms in ``unsure`` only. ``deeds`` says what happens at some calls of ``predict``.
    """

    def __init__(self, factor: float = 1.0, unsure: tuple[int, ...] = tuple(range(9)), deeds: Any = None) -> None:
        self.factor, self.unsure, self.deeds = factor, list(unsure), deeds or {}
        self.n_calls, self.n_fits = 0, 0

    def learn(self, frames: list[Atoms]) -> None:
        self.n_fits += 1
        self.known = np.array([frame.positions for frame in frames])

    def predict(self, atoms: Atoms) -> tuple[float, np.ndarray, np.ndarray]:
        self.n_calls += 1
        self.deeds.get(self.n_calls, lambda: None)()
        truth, spreads = reference(atoms), np.zeros(len(atoms))
        way = np.linalg.norm(atoms.positions - self.known, axis=2).min(axis=0)
        spreads[self.unsure] = SPREAD_PER_A * way[self.unsure]
        return truth.energy_eV, truth.forces_eV_per_A + self.factor * spreads[:, None], spreads


def trace(directory: Path) -> list[dict[str, str]]:
    with (directory / "trace.csv").open(newline="", encoding="utf-8") as handle:
        return list(csv.DictReader(handle))


def column(rows: list[dict[str, str]], name: str) -> np.ndarray:
    return np.array([float(row[name] or "nan") for row in rows])


def steps(rows: list[dict[str, str]], kind: str) -> list[int]:
    return [int(row["step"]) for row in rows if row["kind"] == kind]


def outcome(directory: Path) -> dict[str, Any]:
    return read_json(directory / "outcome.json")


def assert_same(one: Path, other: Path) -> None:
    """The same files, but for times of the clock."""
    timeless = [[{k: v for k, v in row.items() if k != "wall_s"} for row in trace(folder)] for folder in (one, other)]
    assert timeless[0] == timeless[1]
    assert (one / "learned.extxyz").read_bytes() == (other / "learned.extxyz").read_bytes()
    timeless = [[{k: v for k, v in outcome(folder).items() if not k.endswith("_s")}] for folder in (one, other)]
    assert timeless[0] == timeless[1]
    assert sorted(path.name for path in other.iterdir()) == sorted(path.name for path in one.iterdir())


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("unbroken")
    run(Toy(), reference, INITIAL, ethanol(), SETTINGS, SEED, directory)
    return directory


# When it calls


def recomputed(learned: list[np.ndarray]) -> tuple[list[float], list[int]]:
    """Largest uncertainty in eV/A and the steps of calls, by a BAOAB loop of its own."""
    atoms, known, h = ethanol(), list(learned), SETTINGS.time_step_fs * units.fs
    mass, stream = atoms.get_masses()[:, None], Stream(SEED, SETTINGS.temperature_K, 0)
    decay = np.exp(-SETTINGS.friction_per_ps * 1e-3 * SETTINGS.time_step_fs)
    jitter = np.sqrt((1 - decay**2) * units.kB * SETTINGS.temperature_K / mass)
    x, v, force = atoms.positions.copy(), draw_velocities(stream, mass[:, 0]), np.zeros((9, 3))
    estimated, calls = [], []
    for step in range(401):
        if step:
            v = v + h / 2 * force / mass
            x = x + h / 2 * v
            block, index = divmod(step - 1, BLOCK_STEPS)
            v = decay * v + jitter * draw_noise([stream], [block], 9)[index, 0]
            x = x + h / 2 * v
        spreads = SPREAD_PER_A * np.min([np.linalg.norm(x - one, axis=1) for one in known], axis=0)
        atoms.positions = x
        truth = reference(atoms).forces_eV_per_A
        if spreads.max() > 0.06:
            known.append(x)
            calls.append(step)
        # Where the reference was called its forces are known; else the toy is wrong by its uncertainty.
        force = truth if step in calls else truth + spreads[:, None]
        if step:
            v = v + h / 2 * force / mass
        estimated.append(spreads.max())
    return estimated, calls


def test_the_reference_is_called_exactly_where_the_threshold_is_passed(unbroken: Path) -> None:
    rows, learned = trace(unbroken), fr.read(unbroken / "learned.extxyz")
    estimated, calls = recomputed([frame.positions for frame in learned[: len(INITIAL)]])
    assert len(calls) >= 5
    assert steps(rows, "call") == calls
    np.testing.assert_allclose(column(rows, "estimated_meV_per_A"), 1e3 * np.array(estimated), rtol=2e-5, atol=1e-6)
    assert [frame.info.get("step") for frame in learned] == [None] * len(INITIAL) + calls
    assert steps(rows, "audit") == [step for step in range(0, 401, 50) if step not in calls]


def test_what_the_trace_and_the_outcome_say(unbroken: Path) -> None:
    rows, found = trace(unbroken), outcome(unbroken)
    assert column(rows, "step").tolist() == list(range(401))
    np.testing.assert_allclose(column(rows, "time_ps"), np.arange(401) * 0.0005, atol=1e-9)
    assert set(column(rows, "threshold_meV_per_A")) == {60.0}
    known = [row for row in rows if row["kind"] != "step"]
    np.testing.assert_allclose(column(known, "true_meV_per_A"), column(known, "estimated_meV_per_A"), rtol=1e-5)
    assert all(row["true_meV_per_A"] == "" for row in rows if row["kind"] == "step")
    assert all((row["atoms"] != "") == (row["kind"] == "call") for row in rows)
    n_calls = len(steps(rows, "call"))
    assert (found["outcome"], found["cause"]) == ("completed", "")
    assert (found["n_steps"], found["simulated_ps"]) == (400, 0.2)
    assert found["n_reference_calls"] == len(INITIAL) + n_calls
    assert found["n_audits"] == len(steps(rows, "audit"))
    assert found["share_saved"] == pytest.approx(1 - (len(INITIAL) + n_calls) / 401)
    regular = column([row for row in known if int(row["step"]) % 50 == 0], "true_meV_per_A")
    assert found["mean_true_error_meV_per_A"] == pytest.approx(regular.mean())
    assert all(found[name] >= 0 for name in ("md_s", "fit_s", "reference_s", "audit_s"))


def test_learned_frames_carry_the_labels_of_the_reference(unbroken: Path) -> None:
    learned = fr.read(unbroken / "learned.extxyz")
    np.testing.assert_allclose(learned[0].positions, ethanol().positions, atol=1e-8)
    for frame in learned:
        label = reference(frame)
        assert frame.info[fr.ENERGY] == pytest.approx(label.energy_eV, abs=1e-5)
        np.testing.assert_allclose(frame.arrays[fr.FORCES], label.forces_eV_per_A, atol=1e-5)


def test_a_thinned_trace_keeps_calls_audits_and_the_end(unbroken: Path, tmp_path: Path) -> None:
    settings = SETTINGS.model_copy(update={"trace_interval_steps": 130})
    run(Toy(), reference, INITIAL, ethanol(), settings, SEED, tmp_path)
    rows, whole = trace(tmp_path), trace(unbroken)
    assert steps(rows, "call") == steps(whole, "call")
    assert steps(rows, "audit") == steps(whole, "audit")
    others = [step for step in (0, 130, 260, 390, 400) if step in steps(whole, "step")]
    assert steps(rows, "step") == others
    assert outcome(tmp_path)["mean_true_error_meV_per_A"] == outcome(unbroken)["mean_true_error_meV_per_A"]


def test_atoms_are_named_by_element_and_index(tmp_path: Path) -> None:
    run(Toy(unsure=(2, 5)), reference, INITIAL, ethanol(), SETTINGS, SEED, tmp_path)
    named = {row["atoms"] for row in trace(tmp_path) if row["kind"] == "call"}
    assert named <= {"O2", "H5", "O2 H5"}
    assert "H5" in named


# The adaptive threshold


@pytest.mark.parametrize("factor", [3.0, 0.5])
def test_the_adaptive_threshold_holds_the_true_error_at_the_tolerance(factor: float, tmp_path: Path) -> None:
    settings = SETTINGS.model_copy(update={"adaptive": True, "duration_ps": 1.0})
    run(Toy(factor), reference, INITIAL, ethanol(), settings, SEED, tmp_path)
    rows = trace(tmp_path)
    calls = [row for row in rows if row["kind"] == "call"]
    assert calls[0]["threshold_meV_per_A"] == "60", "without a call the estimate is trusted"
    assert outcome(tmp_path)["threshold_meV_per_A"] == pytest.approx(60.0 / factor, rel=0.01)
    settled = int(calls[20]["step"])
    audits = [row for row in rows if row["kind"] == "audit" and int(row["step"]) > settled]
    assert len(audits) > 3
    assert column(audits, "true_meV_per_A").max() < 61.0
    assert column(calls[20:], "true_meV_per_A").min() > 59.0
    # What a call exceeds the tolerance by, an atom has moved in one step.
    assert np.median(column(calls[20:], "true_meV_per_A")) < 60.0 * (1.3 if factor > 1 else 1.1)


def test_the_ratio_goes_to_that_of_the_calls() -> None:
    assert updated_ratio(1.0, 0.2, 0.2) == pytest.approx(1.0)
    ratio = 1.0
    for n_calls in range(1, 40):
        ratio = updated_ratio(ratio, 0.3, 0.1)
        assert ratio**2 == pytest.approx(9.0 + (1.0 - 9.0) * 0.8**n_calls)
    assert updated_ratio(1.0, 0.0, 0.1) == pytest.approx(np.sqrt(0.8)), "one good guess silences nothing"


# How it ends


def test_spent_calls_end_the_run(unbroken: Path, tmp_path: Path) -> None:
    run(Toy(), reference, INITIAL, ethanol(), SETTINGS.model_copy(update={"max_calls": 3}), SEED, tmp_path)
    found, rows = outcome(tmp_path), trace(tmp_path)
    assert found["outcome"] == "out_of_calls"
    assert found["n_reference_calls"] == len(INITIAL) + 3
    assert found["n_steps"] == steps(trace(unbroken), "call")[3]
    assert found["cause"] == f"{rows[-1]['atoms']} beyond 60 meV/A, and all 3 calls are spent"
    assert len(fr.read(tmp_path / "learned.extxyz")) == len(INITIAL) + 3


class Repelling(Toy):
    """Sure of forces that tear the molecule apart."""

    def predict(self, atoms: Atoms) -> tuple[float, np.ndarray, np.ndarray]:
        _, forces, _ = super().predict(atoms)
        return 0.0, -forces + 5 * (atoms.positions - atoms.positions.mean(axis=0)), np.zeros(len(atoms))


class Spoilt(Toy):
    """No number for the uncertainty of one atom."""

    def predict(self, atoms: Atoms) -> tuple[float, np.ndarray, np.ndarray]:
        energy_eV, forces, spreads = super().predict(atoms)
        spreads[4] = np.nan
        return energy_eV, forces, spreads


def test_an_explosion_is_an_outcome(tmp_path: Path) -> None:
    run(Repelling(), reference, INITIAL, ethanol(), SETTINGS.model_copy(update={"bond_checks": True}), SEED, tmp_path)
    found = outcome(tmp_path)
    assert found["outcome"] in ("bond_broken", "overlap", "bond_formed", "temperature_runaway")
    assert 0 < found["n_steps"] < 400
    assert int(trace(tmp_path)[-1]["step"]) == found["n_steps"]
    run(Spoilt(), reference, INITIAL, ethanol(), SETTINGS, SEED, tmp_path)
    found = outcome(tmp_path)
    assert (found["outcome"], found["n_steps"]) == ("nonfinite", 0)
    assert found["cause"] == "force or its uncertainty not finite: H4"
    assert found["mean_true_error_meV_per_A"] is None


def test_a_frame_that_the_last_step_leaves_is_learnt_too(unbroken: Path, tmp_path: Path) -> None:
    """The last model is a result: it knows all frames that the run leaves."""
    last_ps = steps(trace(unbroken), "call")[4] * 0.0005
    toy = Toy()
    run(toy, reference, INITIAL, ethanol(), SETTINGS.model_copy(update={"duration_ps": last_ps}), SEED, tmp_path)
    assert [row["kind"] for row in trace(tmp_path)][-1] == "call"
    assert outcome(tmp_path)["outcome"] == "completed"
    assert len(toy.known) == len(fr.read(tmp_path / "learned.extxyz")) == len(INITIAL) + 5


def failing_after(n_good: int) -> Any:
    """A reference that fails for good after so many labels."""
    left = iter(range(n_good))

    def label(atoms: Atoms) -> Label:
        good = reference(atoms)
        none = np.full_like(good.forces_eV_per_A, np.nan)
        return good if next(left, None) is not None else Label(np.nan, none, "not_converged", "no")

    return label


def test_a_reference_that_fails(tmp_path: Path) -> None:
    settings = SETTINGS.model_copy(update={"audit_interval_steps": 10**6})
    run(Toy(), failing_after(2), INITIAL, ethanol(), settings, SEED, tmp_path)
    found = outcome(tmp_path)
    assert (found["outcome"], found["cause"]) == ("engine_error", "reference not_converged: no")
    assert len(fr.read(tmp_path / "learned.extxyz")) == len(INITIAL) + 1, "step 0 was audited, one call was good"


def test_an_audit_that_fails_stops_nothing(tmp_path: Path) -> None:
    settings = SETTINGS.model_copy(update={"threshold_meV_per_A": 1e9})
    run(Toy(factor=0.0), failing_after(3), INITIAL, ethanol(), settings, SEED, tmp_path)
    audits = [row for row in trace(tmp_path) if row["kind"] == "audit"]
    assert [row["true_meV_per_A"] != "" for row in audits] == [True] * 3 + [False] * 6
    assert outcome(tmp_path)["outcome"] == "completed"


# Restarts

CHILD = f"""
import os, signal, sys
sys.path[:0] = [{str(TESTS / "unit")!r}, {str(TESTS)!r}, {str(TESTS.parent / "workflow")!r}]
from pathlib import Path
from test_online import INITIAL, SEED, SETTINGS, Toy, ethanol, reference, run

def die():
    os.kill(os.getpid(), signal.SIGKILL)

class Mortal(Toy):
    def learn(self, frames):
        if len(frames) == int(sys.argv[3]) and not Path(sys.argv[1] + ".died").exists():
            Path(sys.argv[1] + ".died").touch()
            die()
        super().learn(frames)

run(Mortal(deeds={{int(sys.argv[2]): die}}), reference, INITIAL, ethanol(), SETTINGS, SEED, Path(sys.argv[1]))
"""


@pytest.mark.parametrize(("fatal_call", "n_kills"), [(1, 3), (57, 3), (230, 2)])
def test_killed_again_and_again_it_ends_like_an_unbroken_run(
    fatal_call: int, n_kills: int, unbroken: Path, tmp_path: Path
) -> None:
    """SIGKILL at a step and in the middle of a refit; each time it goes on from its last checkpoint."""
    directory = tmp_path / "killed"
    command = [sys.executable, "-c", CHILD, str(directory), str(fatal_call), "8"]
    for _ in range(n_kills):
        assert subprocess.run(command, check=False, timeout=60).returncode == -signal.SIGKILL
    toy = Toy()
    run(toy, reference, INITIAL, ethanol(), SETTINGS, SEED, directory)
    assert toy.n_calls <= 401
    assert_same(unbroken, directory)


def test_sigterm_ends_the_step_and_leaves_a_checkpoint(unbroken: Path, tmp_path: Path) -> None:
    toy = Toy(deeds={150: lambda: os.kill(os.getpid(), signal.SIGTERM)})
    with pytest.raises(SystemExit, match="143"):
        run(toy, reference, INITIAL, ethanol(), SETTINGS, SEED, tmp_path)
    assert not (tmp_path / "outcome.json").exists()
    again = Toy()
    run(again, reference, INITIAL, ethanol(), SETTINGS, SEED, tmp_path)
    assert again.n_calls == 401 - 150
    assert_same(unbroken, tmp_path)


def flip(path: Path) -> None:
    """Turn one bit in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("spoilt", "n_again"),
    [(["checkpoint.npz"], 401 - 100), (["checkpoint.npz", "checkpoint.previous.npz"], 401), (["trace.csv"], 401)],
)
def test_damage_costs_work_and_nothing_else(spoilt: list[str], n_again: int, unbroken: Path, tmp_path: Path) -> None:
    """A flipped bit in the newest checkpoint, in both, or in the rows that both know."""
    toy = Toy(deeds={150: lambda: os.kill(os.getpid(), signal.SIGTERM)})
    with pytest.raises(SystemExit):
        run(toy, reference, INITIAL, ethanol(), SETTINGS, SEED, tmp_path)
    for name in spoilt:
        flip(tmp_path / WORK_FOLDER / name)
    again = Toy()
    run(again, reference, INITIAL, ethanol(), SETTINGS, SEED, tmp_path)
    assert again.n_calls <= n_again
    assert again.n_calls > n_again - 50
    assert_same(unbroken, tmp_path)


@pytest.mark.parametrize("change", ["identity", "settings"])
def test_a_checkpoint_of_another_run_is_not_continued(change: str, unbroken: Path, tmp_path: Path) -> None:
    toy = Toy(deeds={150: lambda: os.kill(os.getpid(), signal.SIGTERM)})
    settings = SETTINGS.model_copy(update={"max_calls": 150}) if change == "settings" else SETTINGS
    with pytest.raises(SystemExit):
        run(
            toy,
            reference,
            INITIAL,
            ethanol(),
            settings,
            SEED,
            tmp_path,
            identity="other" if change == "identity" else "",
        )
    again = Toy()
    run(again, reference, INITIAL, ethanol(), SETTINGS, SEED, tmp_path)
    assert again.n_calls == 401
    assert_same(unbroken, tmp_path)


# Cells


def boxed(frame: Atoms, edge_A: float, **info: Any) -> Atoms:
    """A copy in a periodic cube, wide enough that nothing meets its images."""
    copy = frame.copy()
    copy.set_cell([edge_A] * 3)
    copy.pbc = True
    copy.info.update(info)
    return copy


BOXED = [boxed(frame, 30.0 + index, strain=index) for index, frame in enumerate(INITIAL)]


class Witness(Toy):
    """Keeps what it was last given to learn."""

    def learn(self, frames: list[Atoms]) -> None:
        super().learn(frames)
        self.frames = [frame.copy() for frame in frames]


def test_after_a_restart_each_frame_has_its_own_cell(tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    run(Toy(), reference, BOXED, boxed(ethanol(), 40.0), SETTINGS, SEED, whole)
    witnesses = [Witness(deeds={150: lambda: os.kill(os.getpid(), signal.SIGTERM)}), Witness()]
    with pytest.raises(SystemExit):
        run(witnesses[0], reference, BOXED, boxed(ethanol(), 40.0), SETTINGS, SEED, broken)
    run(witnesses[1], reference, BOXED, boxed(ethanol(), 40.0), SETTINGS, SEED, broken)
    assert witnesses[1].n_calls < 401
    assert_same(whole, broken)
    n_own = len(fr.read(whole / "learned.extxyz")) - len(BOXED)
    assert n_own >= 5
    for witness in witnesses:
        edges_A = [frame.cell.lengths()[0] for frame in witness.frames]
        assert edges_A[: len(BOXED)] == [30.0, 31.0, 32.0, 33.0]
        assert set(edges_A[len(BOXED) :]) == {40.0}
        assert [frame.info.get("strain") for frame in witness.frames[: len(BOXED)]] == [0, 1, 2, 3]
        assert all(frame.pbc.all() for frame in witness.frames)


def test_a_checkpoint_of_other_cells_is_not_continued(tmp_path: Path) -> None:
    toy = Toy(deeds={150: lambda: os.kill(os.getpid(), signal.SIGTERM)})
    with pytest.raises(SystemExit):
        run(toy, reference, BOXED, boxed(ethanol(), 40.0), SETTINGS, SEED, tmp_path)
    others, again = [boxed(frame, 35.0) for frame in BOXED], Toy()
    run(again, reference, others, boxed(ethanol(), 40.0), SETTINGS, SEED, tmp_path)
    assert again.n_calls == 401


@pytest.mark.parametrize(
    "odd",
    [molecule("CH3OH"), ethanol()[[2, 1, 0, *range(3, 9)]], boxed(ethanol(), 30.0)],
    ids=["other atoms", "another order", "another periodicity"],
)
def test_frames_of_other_atoms_are_refused_before_the_run(odd: Atoms, tmp_path: Path) -> None:
    odd = fr.labelled(odd, 0.0, np.zeros((len(odd), 3)))
    with pytest.raises(InputError, match=r"online: initial frame 4 \(\w+\) differs in its atoms, their order or"):
        run(Toy(), reference, [*INITIAL, odd], ethanol(), SETTINGS, SEED, tmp_path)
    assert not list(tmp_path.iterdir())


EMT = {"method": "ase", "calculator": "ase.calculators.emt.EMT", "level_of_theory": "effective medium"}


def copper(edge_A: float) -> Atoms:
    """Four atoms, one of them displaced, with their labels."""
    atoms = bulk("Cu", a=edge_A, cubic=True)
    atoms.positions[0] += [0.1, 0.0, 0.05]
    (label,) = references.label([atoms], references.parse(EMT))
    return fr.labelled(atoms, label.energy_eV, label.forces_eV_per_A)


@pytest.fixture
def emt_members(tmp_path: Path) -> list[Path]:
    """Two members that are the reference itself."""
    folders = [tmp_path / "emt0", tmp_path / "emt1"]
    for folder in folders:
        reference_model.write(EMT, folder)
    return folders


def test_a_committee_predicts_in_the_cell_of_the_frame_not_in_that_of_the_last_one_learnt(
    emt_members: list[Path], tmp_path: Path
) -> None:
    model = CommitteeLearner({}, emt_members, {}, tmp_path, "cpu")
    model.learn([copper(3.6), copper(3.5)])
    for truth in (copper(3.7), copper(3.5)):
        energy_eV, forces, spreads = model.predict(truth)
        assert energy_eV == pytest.approx(truth.info[fr.ENERGY], abs=1e-9)
        np.testing.assert_allclose(forces, truth.arrays[fr.FORCES], atol=1e-9)
        np.testing.assert_allclose(spreads, 0.0, atol=1e-9)


@pytest.mark.parametrize("change", ["cell", "pbc"])
def test_a_refit_to_frames_in_other_cells_is_another(change: str, emt_members: list[Path], tmp_path: Path) -> None:
    model, other = CommitteeLearner({}, emt_members, {}, tmp_path, "cpu"), copper(3.6)
    if change == "cell":
        other.set_cell([3.7] * 3)
    else:
        other.pbc = (True, True, False)
    assert model._digest([copper(3.6)]) == model._digest([copper(3.6)]) != model._digest([other])


# A committee of MACE on methanol

MODEL = model_examples.EXAMPLES["mace"] | {
    "channels": 4,
    "max_L": 0,
    "max_ell": 1,
    "layers": 1,
    "correlation": 1,
    "r_max_A": 4.0,
    "gradient_steps": 200,
    "compile": "never",
}
REFIT = MODEL | {"gradient_steps": 20, "learning_rate": 0.003}
METHANOL = SETTINGS.model_copy(update={"duration_ps": 0.15, "threshold_meV_per_A": 300.0, "bond_checks": None})


class Interrupted(CommitteeLearner):
    """Stopped after the first of two members was fitted to so many frames."""

    fatal_frames = 0

    def _fit(self, frames: list[Atoms], member: int) -> None:
        if len(frames) == self.fatal_frames and member == 1:
            raise KeyboardInterrupt
        super()._fit(frames, member)


def xtb(atoms: Atoms) -> Label:
    return references.label([atoms], references.parse(model_examples.TIGHT_XTB))[0]


@pytest.fixture(scope="module")
def initial() -> list[Atoms]:
    return initial_frames(molecule("CH3OH"), 10, 0.05, xtb)


@pytest.fixture(scope="module")
def members(initial: list[Atoms], tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two fits to the initial frames."""
    folders = [tmp_path_factory.mktemp("members") / str(seed) for seed in (0, 1)]
    e0_eV = model_examples.atomic_energies(initial)
    for seed, folder in enumerate(folders):
        fits.fit(MODEL, FitTask(initial, initial, e0_eV, seed, folder, "cpu"))
    return folders


def learner(
    directory: Path, initial: list[Atoms], members: list[Path], kind: type[CommitteeLearner] = CommitteeLearner
) -> Any:
    return kind(REFIT, members, model_examples.atomic_energies(initial), directory, "cpu")


@pytest.fixture(scope="module")
def real(initial: list[Atoms], members: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("real")
    model = learner(directory / "fits", initial, members)
    run(model, xtb, initial, molecule("CH3OH"), METHANOL, SEED, directory)
    return directory


def test_a_committee_learns_as_it_goes(real: Path, members: list[Path]) -> None:
    found, rows = outcome(real), trace(real)
    n_calls = len(steps(rows, "call"))
    assert (found["outcome"], found["n_steps"]) == ("completed", 300)
    assert 2 <= n_calls <= 10
    folders = sorted(path.name for path in (real / "fits").iterdir())
    assert folders == [f"n{11 + number:04d}" for number in range(n_calls)]
    records = [read_json(real / "fits" / name / "member1/fit.json") for name in folders]
    assert [record["n_steps"] for record in records] == [20] * n_calls
    assert [record["train_size"] for record in records] == list(range(11, 11 + n_calls))
    first = read_json(members[1] / "model.json")["statistics"]
    kept = [read_json(real / "fits" / name / "member1/model.json")["statistics"] for name in folders]
    assert all(one == first for one in kept), "a warm start keeps the scaling"


def test_the_uncertainty_is_the_spread_of_the_members(
    real: Path, initial: list[Atoms], members: list[Path], methanol: list[Atoms]
) -> None:
    learned = fr.read(real / "learned.extxyz")
    folder = real / "fits" / f"n{len(learned):04d}"
    committee = Committee([load(folder / f"member{member}") for member in (0, 1)])
    model = learner(real / "fits", initial, members)
    model._batch = committee.batch(methanol[0], 1)
    energy_eV, forces, spreads = model.predict(methanol[0])
    label = committee.predict(methanol[:1])[0]
    assert energy_eV == pytest.approx(label.energy_eV, abs=1e-9)
    np.testing.assert_allclose(forces, label.forces_eV_per_A, atol=1e-9)
    every = np.array([one[0].forces_eV_per_A for one in committee.predict_members(methanol[:1])])
    np.testing.assert_allclose(spreads, atom_spreads(every), atol=1e-9)


def test_interrupted_between_two_members_it_ends_alike(
    real: Path, initial: list[Atoms], members: list[Path], tmp_path: Path
) -> None:
    """The warm start of the second member is that of the unbroken run, though another process goes on."""
    broken = learner(tmp_path / "fits", initial, members, Interrupted)
    broken.fatal_frames = 12
    with pytest.raises(KeyboardInterrupt):
        run(broken, xtb, initial, molecule("CH3OH"), METHANOL, SEED, tmp_path)
    model = learner(tmp_path / "fits", initial, members)
    run(model, xtb, initial, molecule("CH3OH"), METHANOL, SEED, tmp_path)
    assert_same(real, tmp_path)
    last = max((real / "fits").iterdir()).name
    for path in ("member0/model.safetensors", "member1/model.safetensors"):
        assert (real / "fits" / last / path).read_bytes() == (tmp_path / "fits" / last / path).read_bytes()


def test_a_run_from_other_initial_frames_uses_no_refit_of_an_earlier_one(
    initial: list[Atoms], members: list[Path], tmp_path: Path
) -> None:
    """The folder of as many frames may be there, but they are not the frames of this run."""
    model = CommitteeLearner(
        MODEL | {"gradient_steps": 6}, members, model_examples.atomic_energies(initial), tmp_path, "cpu"
    )
    for frames in (initial[:5], initial[1:6]):
        taken = [frame.copy() for frame in frames]
        taken[4].info["step"] = 7
        model.learn(taken)
        model.learn(taken)
        assert read_json(tmp_path / "n0005/member0/learned.json") == model._digest(taken)
