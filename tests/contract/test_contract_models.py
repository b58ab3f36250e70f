"""What every model family must give. A new family needs an example in model_examples.py."""

from __future__ import annotations

import csv
import hashlib
from pathlib import Path

import model_examples
import numpy as np
import pytest
from ase import Atoms

import longhot.models
from longhot import models
from longhot.block import plugin, plugin_names
from longhot.files import read_json
from longhot.learning import fits
from longhot.models import ModelBlock

FAMILIES = plugin_names(longhot.models)
FIT_KEYS = {"converged", "reason", "train_wall_s", "device", "peak_memory_MB", "n_parameters", "n_steps"}
FLOAT64_TOLERANCE = 1e-5
FLOAT32_TOLERANCE = 1e-3


def test_every_family_has_an_example() -> None:
    assert set(model_examples.EXAMPLES) == set(FAMILIES), "add the new family to tests/model_examples.py"


@pytest.fixture(params=FAMILIES)
def family(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="session")
def fitted(methanol: list[Atoms], mace_fit: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folders = {"mace": mace_fit}
    for name in set(FAMILIES) - set(folders):
        folders[name] = tmp_path_factory.mktemp(name)
        model_examples.fit(name, methanol, folders[name])
    return folders


def weights(directory: Path) -> str:
    """Digest of everything that a loaded model is made from."""
    digest = hashlib.sha256()
    for path in sorted(directory.glob("model.*")):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()


def test_config_block(family: str) -> None:
    config = fits.parse(model_examples.EXAMPLES[family])
    assert isinstance(config, ModelBlock)
    assert type(config) is plugin(longhot.models, family).Config
    assert fits.parse(config.model_dump(mode="json")) == config
    assert all(field.description for field in type(config).model_fields.values())
    assert all(isinstance(one, ModelBlock) for one in config.variants("m").values())


def test_files_of_a_fit(family: str, fitted: dict[str, Path]) -> None:
    description, record = (read_json(fitted[family] / name) for name in ("model.json", "fit.json"))
    assert description["family"] == family
    assert record.keys() >= FIT_KEYS
    assert isinstance(record["converged"], bool)
    assert record["converged"] == (record["reason"] == "")
    assert record["device"] == "cpu"
    assert record["train_wall_s"] > 0
    assert record["peak_memory_MB"] > 1
    assert record["n_parameters"] >= 0
    assert record["n_steps"] >= 0
    with (fitted[family] / "history.csv").open(encoding="utf-8") as handle:
        rows = list(csv.DictReader(handle))
        assert handle.seek(0) == 0
        assert handle.readline().startswith("step,")
    assert bool(rows) == (record["n_steps"] > 0)
    left = {path.name for path in fitted[family].iterdir()}
    assert not {name for name in left if name.startswith(".")}, "a finished fit leaves no checkpoint"


def test_predictions_are_typed_labels(family: str, fitted: dict[str, Path], methanol: list[Atoms]) -> None:
    labels = models.load(fitted[family]).predict(methanol[:3])
    assert len(labels) == 3
    for label, frame in zip(labels, methanol, strict=False):
        assert label.status == "ok"
        assert isinstance(label.energy_eV, float)
        assert label.forces_eV_per_A.shape == (len(frame), 3)
        assert label.forces_eV_per_A.dtype == np.float64
    assert models.load(fitted[family]).predict([]) == []


def test_a_frame_without_numbers_is_a_typed_label(family: str, fitted: dict[str, Path], methanol: list[Atoms]) -> None:
    spoilt = methanol[0].copy()
    spoilt.positions[3] = np.nan
    sound, lost, again = models.load(fitted[family]).predict([methanol[0], spoilt, methanol[0]])
    assert (sound.status, again.status) == ("ok", "ok")
    assert lost.status == "nonfinite"
    assert lost.message
    assert np.isnan(lost.energy_eV)
    assert lost.forces_eV_per_A.shape == (6, 3)
    assert np.isnan(lost.forces_eV_per_A).all()


def assert_batch_equals_predict(directory: Path, frames: list[Atoms], tolerance: float) -> None:
    potential = models.load(directory)
    labels = potential.predict(frames)
    batch = potential.batch(frames[0], len(frames))
    positions = np.stack([frame.positions for frame in frames])
    before = positions.copy()
    for found in (batch.compute(positions), batch.compute(positions)):
        assert found.errors == {}
        assert found.energy_eV.dtype == found.forces_eV_per_A.dtype == np.float64
        np.testing.assert_allclose(found.energy_eV, [one.energy_eV for one in labels], rtol=0, atol=tolerance)
        np.testing.assert_allclose(found.forces_eV_per_A, [one.forces_eV_per_A for one in labels], atol=tolerance)
    np.testing.assert_array_equal(positions, before)


def test_batch_equals_predict(family: str, fitted: dict[str, Path], methanol: list[Atoms]) -> None:
    assert_batch_equals_predict(fitted[family], methanol[:4], FLOAT64_TOLERANCE)


def test_batch_equals_predict_in_float32(methanol: list[Atoms], tmp_path: Path) -> None:
    model_examples.fit("mace", methanol, tmp_path, dtype="float32", gradient_steps=10)
    assert_batch_equals_predict(tmp_path, methanol[:4], FLOAT32_TOLERANCE)


def test_a_spoilt_replica_leaves_the_others_alone(family: str, fitted: dict[str, Path], methanol: list[Atoms]) -> None:
    potential = models.load(fitted[family])
    positions = np.stack([frame.positions for frame in methanol[:3]])
    sound = potential.batch(methanol[0], 3).compute(positions)
    positions[1, 2] = np.nan
    found = potential.batch(methanol[0], 3).compute(positions)
    assert not np.isfinite(found.energy_eV[1])
    for replica in (0, 2):
        assert found.energy_eV[replica] == pytest.approx(sound.energy_eV[replica], abs=1e-6)
        np.testing.assert_allclose(found.forces_eV_per_A[replica], sound.forces_eV_per_A[replica], atol=1e-6)


def test_same_seed_same_weights(family: str, fitted: dict[str, Path], methanol: list[Atoms], tmp_path: Path) -> None:
    model_examples.fit(family, methanol, tmp_path)
    assert weights(tmp_path) == weights(fitted[family])


def test_another_seed_gives_other_weights_where_anything_is_random(
    family: str, fitted: dict[str, Path], methanol: list[Atoms], tmp_path: Path
) -> None:
    model_examples.fit(family, methanol, tmp_path, seed=1)
    random = fits.parse(model_examples.EXAMPLES[family]).forces_depend_on_data  # type: ignore[attr-defined]
    assert (weights(tmp_path) != weights(fitted[family])) == random
