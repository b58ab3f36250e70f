"""The baseline without learning, and the control."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule

from longhot import frames, models, references
from longhot.block import InputError
from longhot.files import read_json
from longhot.models import nonml, reference

METHOD = {"method": "xtb", "hamiltonian": "GFN1-xTB"}
SHIFTS_EV = {"C": 1.5, "H": -0.25, "O": 40.0}


def molecules() -> list[Atoms]:
    """Molecules whose compositions determine all shifts."""
    return [molecule(name) for name in ("H2O", "CH4", "CH3OH", "CO2")]


def shifted_frames() -> list[Atoms]:
    """GFN1-xTB plus known shifts."""
    made = []
    for atoms in molecules():
        one = references.label([atoms], references.parse(METHOD))[0]
        shift = sum(SHIFTS_EV[symbol] for symbol in atoms.symbols)
        made.append(frames.labelled(atoms, one.energy_eV + shift, one.forces_eV_per_A))
    return made


def task(train, directory) -> models.FitTask:
    return models.FitTask(train, train, {}, 0, directory, "cpu")


def config(**more):
    return nonml.Config(family="nonml", reference_method=METHOD | more)


def test_finds_the_shifts(tmp_path):
    train = shifted_frames()
    nonml.fit(config(), task(train, tmp_path))
    assert read_json(tmp_path / "model.json")["shifts_eV"] == pytest.approx(SHIFTS_EV, abs=1e-6)
    loaded = models.load(tmp_path)
    for frame, one in zip(train, loaded.predict(train), strict=True):
        assert one.energy_eV == pytest.approx(frame.info["REF_energy"], abs=1e-6)
        np.testing.assert_allclose(one.forces_eV_per_A, frame.arrays["REF_forces"], atol=1e-10)
    fit = read_json(tmp_path / "fit.json")
    assert fit["converged"] is True
    assert (fit["n_parameters"], fit["n_steps"], fit["device"]) == (3, 0, "cpu")


def test_batch_equals_predict(tmp_path):
    train = shifted_frames()
    nonml.fit(config(), task(train, tmp_path))
    loaded = models.load(tmp_path)
    water = train[0]
    found = loaded.batch(water, 2).compute(np.stack([water.positions, water.positions + 0.1]))
    assert found.energy_eV[0] == pytest.approx(water.info["REF_energy"], abs=1e-6)
    assert found.energy_eV[1] == pytest.approx(found.energy_eV[0], abs=1e-5)
    assert not found.errors


def test_one_composition_gives_the_shift_of_least_norm(tmp_path):
    water = shifted_frames()[:1]
    nonml.fit(config(), task(water, tmp_path))
    shifts = read_json(tmp_path / "model.json")["shifts_eV"]
    total = 2 * SHIFTS_EV["H"] + SHIFTS_EV["O"]
    assert shifts == pytest.approx({"H": 2 * total / 5, "O": total / 5})


def test_a_method_that_fails_everywhere_is_bad_input(tmp_path):
    with pytest.raises(InputError, match="fails on all 1 training frames"):
        nonml.fit(config(max_iterations=1), task(shifted_frames()[2:3], tmp_path))


def test_failed_frames_are_left_out(tmp_path):
    train = shifted_frames()
    broken = train[0].copy()
    broken.positions[0] = broken.positions[1]
    nonml.fit(config(), task([*train, broken], tmp_path))
    assert read_json(tmp_path / "model.json")["shifts_eV"] == pytest.approx(SHIFTS_EV, abs=1e-6)


def test_control_is_the_reference_itself(tmp_path):
    reference.fit(reference.Config(family="reference", reference_method=METHOD), task([], tmp_path))
    loaded = models.load(tmp_path)
    one = loaded.predict(molecules())[2]
    expected = references.label(molecules(), references.parse(METHOD))[2]
    assert one.energy_eV == expected.energy_eV
    np.testing.assert_array_equal(one.forces_eV_per_A, expected.forces_eV_per_A)


def test_block_round_trip_and_bad_method():
    block = config()
    assert nonml.Config.model_validate(block.model_dump(mode="json")) == block
    assert not block.forces_depend_on_data
    with pytest.raises(ValueError, match="unknown name 'dft' in references"):
        nonml.Config(family="nonml", reference_method={"method": "dft"})
