"""Fitting MACE: restarts, convergence, bad input, compiled steps, and the export."""

from __future__ import annotations

import csv
import signal
import subprocess
import sys
from pathlib import Path

import model_examples
import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule

from longhot import models
from longhot.block import InputError
from longhot.files import read_json, write_json
from longhot.learning import fits
from longhot.models import FitTask, _mace_train
from longhot.models._mace_potential import MacePotential, export
from longhot.models.mace import Config

TESTS = Path(__file__).resolve().parents[1]
N_STEPS, KILLED_AFTER = 24, 17
TINY = {"channels": 4, "max_L": 0, "max_ell": 1, "layers": 1, "correlation": 1, "gradient_steps": N_STEPS}
MODEL_FILES = ("model.safetensors", "model.json")

CHECKPOINTS = {".checkpoint.pt", ".checkpoint.previous.pt"}
CHILD = f"""
import os, signal, sys
sys.path[:0] = [{str(TESTS)!r}, {str(TESTS.parent / "workflow")!r}]
from pathlib import Path
import model_examples
from longhot.models import _mace_train

_mace_train.CHECKPOINT_INTERVAL_S = 0.0
save, step = _mace_train.Fit.save_checkpoint, _mace_train.Fit.gradient_step

def save_every_seventh(self):
    if self.progress.step % 7 == 0:
        save(self)

def step_or_die(self):
    if self.progress.step == {KILLED_AFTER}:
        os.kill(os.getpid(), signal.SIGKILL)
    return step(self)

_mace_train.Fit.save_checkpoint, _mace_train.Fit.gradient_step = save_every_seventh, step_or_die
model_examples.fit("mace", model_examples.methanol_frames(30), Path(sys.argv[1]), **{TINY!r})
"""


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a fit leaves that was killed after some steps, of which not all stand in its checkpoint."""
    directory = tmp_path_factory.mktemp("killed")
    child = subprocess.run([sys.executable, "-W", "ignore", "-c", CHILD, str(directory)], check=False, timeout=120)
    assert child.returncode == -signal.SIGKILL
    assert {path.name for path in directory.iterdir()} == CHECKPOINTS
    return directory


@pytest.fixture(scope="module")
def unbroken(methanol: list[Atoms], tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("unbroken")
    model_examples.fit("mace", methanol, directory, **TINY)
    return directory


def copy_of_killed(killed: Path, directory: Path) -> Path:
    directory.mkdir(exist_ok=True)
    for name in CHECKPOINTS:
        (directory / name).write_bytes((killed / name).read_bytes())
    return directory


def history(directory: Path) -> list[dict[str, str]]:
    """Rows of history.csv without the wall time."""
    with (directory / "history.csv").open(encoding="utf-8") as handle:
        return [{key: value for key, value in row.items() if key != "wall_s"} for row in csv.DictReader(handle)]


def assert_same_fit(first: Path, second: Path) -> None:
    for name in MODEL_FILES:
        assert (first / name).read_bytes() == (second / name).read_bytes(), name
    assert history(first) == history(second)
    timeless = [
        {k: v for k, v in read_json(d / "fit.json").items() if "_s" not in k[-2:] and k != "peak_memory_MB"}
        for d in (first, second)
    ]
    assert timeless[0] == timeless[1]


def test_a_killed_fit_ends_bit_for_bit_like_an_unbroken_one(
    killed: Path, unbroken: Path, methanol: list[Atoms], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    directory = copy_of_killed(killed, tmp_path)
    with caplog.at_level("INFO"):
        model_examples.fit("mace", methanol, directory, **TINY)
    assert "going on from step 14 of 24" in caplog.text
    assert_same_fit(directory, unbroken)
    assert not CHECKPOINTS & {path.name for path in directory.iterdir()}


@pytest.mark.parametrize(("n_damaged", "said"), [(1, "going on from step 7 of 24"), (2, "")])
def test_a_damaged_checkpoint_is_passed_over(
    n_damaged: int,
    said: str,
    killed: Path,
    unbroken: Path,
    methanol: list[Atoms],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """One flipped bit in the newest, or in both: the same weights from the one before it, or from the start."""
    directory = copy_of_killed(killed, tmp_path)
    for name in sorted(CHECKPOINTS, key=len)[:n_damaged]:
        content = bytearray((directory / name).read_bytes())
        content[len(content) // 2] ^= 1
        (directory / name).write_bytes(content)
    with caplog.at_level("INFO"):
        model_examples.fit("mace", methanol, directory, **TINY)
    assert caplog.text.count("is damaged and goes") == n_damaged
    assert said in caplog.text
    assert ("going on" in caplog.text) == bool(said)
    assert_same_fit(directory, unbroken)


def relabelled(frames: list[Atoms]) -> list[Atoms]:
    """The same frames and energies with other forces."""
    copies = [frame.copy() for frame in frames]
    copies[0].arrays["REF_forces"][0, 0] += 0.01
    return copies


@pytest.mark.parametrize("change", ["seed", "learning rate", "forces"])
def test_a_checkpoint_of_another_fit_is_not_continued(
    change: str, killed: Path, methanol: list[Atoms], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def fit(directory: Path) -> None:
        data = relabelled(methanol) if change == "forces" else methanol
        keys = TINY | ({"learning_rate": 0.02} if change == "learning rate" else {})
        model_examples.fit("mace", data, directory, seed=int(change == "seed"), **keys)

    with caplog.at_level("INFO"):
        fit(copy_of_killed(killed, tmp_path / "stale"))
    assert "belongs to another fit" in caplog.text
    fit(tmp_path / "fresh")
    assert_same_fit(tmp_path / "stale", tmp_path / "fresh")


# The order of frames


@pytest.mark.parametrize(("n_frames", "batch_size"), [(20, 5), (23, 5), (3, 5)])
def test_each_epoch_is_a_permutation_without_its_incomplete_last_batch(n_frames: int, batch_size: int) -> None:
    size = min(batch_size, n_frames)
    per_epoch = n_frames // size
    epochs = []
    for epoch in range(3):
        steps = range(epoch * per_epoch, (epoch + 1) * per_epoch)
        batches = [_mace_train.batch_indices(n_frames, batch_size, 4, step) for step in steps]
        assert all(len(batch) == size for batch in batches)
        epochs.append(np.concatenate(batches))
        assert len(set(epochs[-1].tolist())) == per_epoch * size
        assert set(epochs[-1].tolist()) <= set(range(n_frames))
    assert epochs[0].tolist() != epochs[1].tolist()


def test_every_frame_is_seen_though_the_last_batch_is_dropped() -> None:
    seen = {int(index) for step in range(40) for index in _mace_train.batch_indices(23, 5, 0, step)}
    assert seen == set(range(23))


def test_the_order_depends_on_seed_and_step_alone() -> None:
    first, again, other = (_mace_train.batch_indices(100, 5, seed, 33) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert first.tolist() != other.tolist()


# How long, and whether that was enough


def test_learning_rate_falls_by_its_schedule() -> None:
    config = Config(family="mace", gradient_steps=100)
    assert _mace_train.learning_rate(config, 0, 100) == config.learning_rate
    assert _mace_train.learning_rate(config, 50, 100) == pytest.approx(config.learning_rate / 2)
    assert 0 < _mace_train.learning_rate(config, 99, 100) < 1e-3 * config.learning_rate
    exponential = Config(family="mace", gradient_steps=100, schedule="exponential")
    rates = [_mace_train.learning_rate(exponential, step, 100) for step in (0, 50, 100)]
    assert rates == pytest.approx([config.learning_rate * factor for factor in (1, 0.1, 0.01)])
    constant = Config(family="mace", gradient_steps=100, schedule="constant")
    assert _mace_train.learning_rate(constant, 99, 100) == constant.learning_rate


def rows(maes: list[float]) -> list[list[float]]:
    """A history with a validation each 10 steps."""
    return [[10.0 * (index + 1), 1.0, mae, 1.0, 0.0] for index, mae in enumerate(maes)]


@pytest.mark.parametrize(
    ("maes", "expected"),
    [
        ([100, 60, 50, 50, 50, 50, 50, 50, 50, 50], True),
        ([100, 60, 50, 50, 50, 50, 50, 50, 49.5, 49], True),
        ([100, 90, 80, 70, 60, 50, 45, 40, 35, 30], False),
        ([100, 60, 50, 50, 50, 50, 50, 50, 49, 48], False),
        ([30, 30, 30, 30, 30, 30, 30, 30, 31, 33], True),
    ],
    ids=["flat", "falls by 2 %", "falls", "falls by 4 %", "rises"],
)
def test_convergence_is_judged_over_the_last_fifth(maes: list[float], expected: bool) -> None:
    converged, reason = _mace_train.is_converged(rows(maes), 100)
    assert converged is expected
    assert (reason == "") is expected


def test_the_reason_says_how_much_the_error_fell() -> None:
    _, reason = _mace_train.is_converged(rows([100] * 8 + [90, 80]), 100)
    assert reason == "validation force MAE still fell by 20.0 % over the last fifth of the steps"


@pytest.mark.parametrize("maes", [[100, 50, np.nan], [np.nan] * 5, [100, np.inf, 50, 40, 40]])
def test_a_fit_that_diverged_is_not_converged(maes: list[float]) -> None:
    converged, reason = _mace_train.is_converged(rows(maes), 10 * len(maes))
    assert converged is False
    assert "diverged" in reason


def test_a_fit_that_diverges_ends_and_is_recorded(methanol: list[Atoms], tmp_path: Path) -> None:
    model_examples.fit("mace", methanol, tmp_path, **TINY | {"learning_rate": 1e30, "schedule": "constant"})
    record = read_json(tmp_path / "fit.json")
    assert record["converged"] is False
    assert "diverged" in record["reason"]
    assert models.load(tmp_path).predict(methanol[:1])[0].status in ("ok", "nonfinite")


def test_early_stopping(methanol: list[Atoms], tmp_path: Path) -> None:
    """A learning rate of nearly nothing under a decay: no new minimum after the first validations."""
    keys = TINY | {"learning_rate": 1e-30, "gradient_steps": 50, "validations": 25, "early_stopping_patience": 3}
    model_examples.fit("mace", methanol, tmp_path, **keys)
    record = read_json(tmp_path / "fit.json")
    assert record["n_steps"] == 8, "one validation sets the minimum, three find no other"
    assert len(history(tmp_path)) == 4
    assert record["converged"] is True


def test_the_weights_of_the_lowest_error_are_kept(methanol: list[Atoms], tmp_path: Path) -> None:
    keys = TINY | {"learning_rate": 0.3, "schedule": "constant", "validations": 24, "ema_decay": 0.0}
    model_examples.fit("mace", methanol, tmp_path, **keys)
    maes = [float(row["valid_force_mae_meV_per_A"]) for row in history(tmp_path)]
    assert maes[-1] > 1.01 * min(maes), "the test needs a last step that is not the best"
    valid = model_examples.task(methanol, tmp_path).valid
    labels = models.load(tmp_path).predict(valid)
    errors = [one.forces_eV_per_A - frame.arrays["REF_forces"] for one, frame in zip(labels, valid, strict=True)]
    assert 1e3 * np.abs(errors).mean() == pytest.approx(min(maes), rel=1e-9)


# Data


def test_interaction_energies(methanol: list[Atoms]) -> None:
    e0_eV = {"C": -50.0, "O": -100.0, "H": -10.0}
    found = _mace_train.interaction_energies(methanol[:2], e0_eV)
    assert found[0] == methanol[0].info["REF_energy"] + 190.0
    with pytest.raises(InputError, match="no isolated-atom energy for C, H: add it"):
        _mace_train.interaction_energies(methanol, {"O": -100.0})


def test_an_element_only_in_the_validation_set(methanol: list[Atoms], tmp_path: Path) -> None:
    """A small training set of many molecules may lack an element."""
    water = molecule("H2O")
    water.info["REF_energy"], water.arrays["REF_forces"] = -10.0, np.zeros((3, 3))
    e0_eV = model_examples.atomic_energies(methanol)
    block = model_examples.EXAMPLES["mace"] | TINY | {"gradient_steps": 5}
    fits.fit(block, FitTask([water] * 5, methanol[:2], e0_eV, 0, tmp_path, "cpu"))
    assert models.load(tmp_path).predict(methanol[:1])[0].status == "ok"


def test_an_element_that_the_model_does_not_know(mace_fit: Path) -> None:
    with pytest.raises(InputError, match="not fitted to N, which a frame holds"):
        models.load(mace_fit).predict([molecule("NH3")])


def test_always_compiled_needs_one_small_molecule(methanol: list[Atoms], tmp_path: Path) -> None:
    mixed = [*methanol[:4], molecule("H2O")]
    mixed[-1].info["REF_energy"], mixed[-1].arrays["REF_forces"] = -10.0, np.zeros((3, 3))
    with pytest.raises(InputError, match="compile: always needs frames of one small molecule"):
        model_examples.fit("mace", mixed, tmp_path, compile="always")
    config = Config(family="mace", gradient_steps=10**6)
    assert _mace_train.uses_compiled_steps(config, static=True, train_size=10)
    assert not _mace_train.uses_compiled_steps(config, static=False, train_size=10)


def test_different_molecules_are_fitted_in_one_batch(methanol: list[Atoms], tmp_path: Path) -> None:
    waters = [frame[[0, 1, 2, 3]] for frame in methanol]
    model_examples.fit("mace", [*methanol[:8], *waters[:8]], tmp_path, **TINY)
    labels = models.load(tmp_path).predict([waters[0], methanol[0]])
    assert [one.forces_eV_per_A.shape for one in labels] == [(4, 3), (6, 3)]


# Export


def test_the_exported_file_runs_in_mace(mace_fit: Path, methanol: list[Atoms], tmp_path: Path) -> None:
    from mace.calculators import MACECalculator

    export(mace_fit, tmp_path / "mace.model")
    calculator = MACECalculator(model_paths=str(tmp_path / "mace.model"), device="cpu", default_dtype="float64")
    expected = models.load(mace_fit).predict(methanol[:2])
    for frame, one in zip(methanol, expected, strict=False):
        atoms = frame.copy()
        atoms.calc = calculator
        assert atoms.get_potential_energy() == pytest.approx(one.energy_eV, abs=1e-8)
        np.testing.assert_allclose(atoms.get_forces(), one.forces_eV_per_A, atol=1e-8)
    potential = MacePotential(mace_fit, "cpu")
    network = potential.network(with_atomic_energies=True)
    e0_eV = [potential.e0_eV[symbol] for symbol in ("H", "C", "O")]
    np.testing.assert_allclose(network.atomic_energies_fn.atomic_energies.numpy().ravel(), e0_eV)


def test_only_mace_has_a_file_of_its_own(tmp_path: Path) -> None:
    write_json(tmp_path / "model.json", {"family": "nonml"})
    with pytest.raises(InputError, match="family nonml, only mace"):
        export(tmp_path, tmp_path / "out.model")
