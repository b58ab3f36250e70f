"""Fits that begin with the weights of an earlier one."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import model_examples
import numpy as np
import pytest
from ase import Atoms

from longhot import models
from longhot.block import InputError
from longhot.files import read_json
from longhot.learning import fits

TESTS = Path(__file__).resolve().parents[1]
TINY = {"channels": 4, "max_L": 0, "max_ell": 1, "layers": 1, "correlation": 1}
LONG = TINY | {"gradient_steps": 200, "validations": 20}
SHORT = TINY | {"gradient_steps": 50, "validations": 20}
STANDING = TINY | {"gradient_steps": 1, "learning_rate": 1e-30}
"""One step that is too short to change a weight."""


def warm_fit(labelled: list[Atoms], directory: Path, earlier: Path, seed: int = 0, **changes: Any) -> None:
    """As ``model_examples.fit``, with the isolated atoms and the weights of an earlier fit."""
    task = replace(
        model_examples.task(labelled, directory, seed),
        warm_start=earlier,
        atomic_energies_eV=read_json(earlier / "model.json")["atomic_energies_eV"],
    )
    fits.fit(model_examples.EXAMPLES["mace"] | changes, task)


def validation_errors(directory: Path) -> dict[int, float]:
    """Validation force MAE in meV/A by step."""
    with (directory / "history.csv").open(encoding="utf-8") as handle:
        return {int(row["step"]): float(row["valid_force_mae_meV_per_A"]) for row in csv.DictReader(handle)}


@pytest.fixture(scope="module")
def earlier(methanol: list[Atoms], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fit to the first half of the frames."""
    directory = tmp_path_factory.mktemp("earlier")
    model_examples.fit("mace", methanol[:15], directory, **LONG)
    return directory


def test_without_learning_the_model_is_the_earlier_one(earlier: Path, methanol: list[Atoms], tmp_path: Path) -> None:
    """On other frames, and for another seed: nothing of the scaling or of fresh weights comes in."""
    warm_fit(methanol[10:], tmp_path, earlier, seed=5, **STANDING)
    for one, other in zip(models.load(tmp_path).predict(methanol), models.load(earlier).predict(methanol), strict=True):
        assert one.energy_eV == other.energy_eV
        np.testing.assert_array_equal(one.forces_eV_per_A, other.forces_eV_per_A)
    assert read_json(tmp_path / "model.json")["statistics"] == read_json(earlier / "model.json")["statistics"]


def test_a_warm_fit_to_more_frames_needs_fewer_steps(earlier: Path, methanol: list[Atoms], tmp_path: Path) -> None:
    """A quarter of the steps reaches the error of a fit from fresh weights."""
    model_examples.fit("mace", methanol, tmp_path / "cold", **LONG)
    model_examples.fit("mace", methanol, tmp_path / "cold_short", **SHORT)
    warm_fit(methanol, tmp_path / "warm", earlier, **SHORT)
    warm, cold, cold_short = (
        min(validation_errors(tmp_path / name).values()) for name in ("warm", "cold", "cold_short")
    )
    assert warm <= cold
    assert warm < 0.8 * cold_short, "the test needs steps too few for fresh weights"


KILLED_AFTER = 17
CHILD = f"""
import os, signal, sys
sys.path[:0] = [{str(TESTS / "unit")!r}, {str(TESTS)!r}, {str(TESTS.parent / "workflow")!r}]
from pathlib import Path
import model_examples
from longhot.models import _mace_train
from test_warm_start import SHORT, warm_fit

_mace_train.CHECKPOINT_INTERVAL_S = 0.0
step = _mace_train.Fit.gradient_step

def step_or_die(self):
    if self.progress.step == {KILLED_AFTER}:
        os.kill(os.getpid(), signal.SIGKILL)
    return step(self)

_mace_train.Fit.gradient_step = step_or_die
warm_fit(model_examples.methanol_frames(30), Path(sys.argv[1]), Path(sys.argv[2]), **SHORT)
"""


def test_a_killed_warm_fit_ends_like_an_unbroken_one(
    earlier: Path, methanol: list[Atoms], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    killed, unbroken, other = (tmp_path / name for name in ("killed", "unbroken", "other"))
    command = [sys.executable, "-W", "ignore", "-c", CHILD, str(killed), str(earlier)]
    assert subprocess.run(command, check=False, timeout=120).returncode == -signal.SIGKILL
    other.mkdir()
    (other / ".checkpoint.pt").write_bytes((killed / ".checkpoint.pt").read_bytes())
    with caplog.at_level("INFO"):
        warm_fit(methanol, killed, earlier, **SHORT)
    assert f"going on from step {KILLED_AFTER} of 50" in caplog.text
    warm_fit(methanol, unbroken, earlier, **SHORT)
    for name in ("model.safetensors", "model.json"):
        assert (killed / name).read_bytes() == (unbroken / name).read_bytes(), name
    assert validation_errors(killed) == validation_errors(unbroken)
    # What began with other weights is another fit.
    with caplog.at_level("INFO"):
        warm_fit(methanol, other, unbroken, **SHORT)
    assert "belongs to another fit" in caplog.text


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"channels": 8}, "channels 4 for 8"),
        ({"dtype": "float32", "r_max_A": 3.0}, "r_max_A 2.2 for 3.0, dtype float64 for float32"),
    ],
)
def test_another_architecture_is_refused(
    earlier: Path, methanol: list[Atoms], tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    with pytest.raises(InputError, match=f"has {said}, begin with one of the same architecture"):
        warm_fit(methanol, tmp_path, earlier, **STANDING | change)


def test_other_elements_or_another_family_are_refused(earlier: Path, methanol: list[Atoms], tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    description = read_json(earlier / "model.json")
    (other / "model.json").write_text(json.dumps(description | {"atomic_numbers": [1, 6]}))
    with pytest.raises(InputError, match=r"atomic_numbers \[1, 6\] for \[1, 6, 8\]"):
        warm_fit(methanol, tmp_path / "fit", other, **STANDING)
    (other / "model.json").write_text(json.dumps(description | {"family": "nonml"}))
    with pytest.raises(InputError, match="family nonml for mace"):
        warm_fit(methanol, tmp_path / "fit", other, **STANDING)


def test_a_family_without_weights_ignores_it(methanol: list[Atoms], tmp_path: Path) -> None:
    for name, warm_start in (("cold", None), ("warm", tmp_path / "nothing")):
        task = replace(model_examples.task(methanol[:8], tmp_path / name), warm_start=warm_start)
        fits.fit(model_examples.EXAMPLES["nonml"], task)
    assert (tmp_path / "cold/model.json").read_bytes() == (tmp_path / "warm/model.json").read_bytes()
