"""What every dataset source must leave behind. A new plugin needs an example here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from ase import units
from ase.build import molecule

import longhot.datasets
from longhot import datasets, files, frames, references
from longhot.block import Block, plugin_names
from longhot.datasets import _md

XTB, MW = references.parse({"method": "xtb"}), references.parse({"method": "lammps"})
KCAL = units.kcal / units.mol


def water_frames(n: int, seed: int) -> list[Any]:
    """Labelled water molecules near the minimum, by GFN2-xTB."""
    generator = np.random.default_rng(seed)
    made = []
    for _ in range(n):
        atoms = molecule("H2O")
        atoms.positions += generator.normal(0.0, 0.05, (3, 3))
        one = references.label([atoms], XTB)[0]
        made.append(frames.labelled(atoms, one.energy_eV, one.forces_eV_per_A))
    return made


def generate(folder: Path) -> dict[str, Any]:
    return {
        "source": "generate",
        "reference": "xtb",
        "molecule": "H2O",
        "temperatures_K": [300, 500],
        "n_train_pool": 24,
        "n_valid": 6,
        "n_test": 6,
        "n_test_hot": 6,
        "n_normal_modes": 4,
        "sample_interval_fs": 5,
        "equilibration_fs": 20,
    }


def extxyz(folder: Path) -> dict[str, Any]:
    for name, n, seed in (("pool", 30, 0), ("test", 6, 1), ("hot", 6, 2)):
        frames.write(folder / f"{name}.xyz", water_frames(n, seed))
    return {
        "source": "extxyz",
        "train_pool": str(folder / "pool.xyz"),
        "n_valid": 6,
        "test_sets": {"test": str(folder / "test.xyz"), "hot": str(folder / "hot.xyz")},
        "energy_key": "REF_energy",
        "forces_key": "REF_forces",
        "isolated_atoms": {"origin": "values", "values_eV": {"H": -10.7, "O": -102.5}},
    }


def rmd17(folder: Path) -> dict[str, Any]:
    made = water_frames(40, 0)
    np.savez(
        folder / "rmd17_water.npz",
        nuclear_charges=made[0].numbers.astype("u1"),
        coords=np.stack([frame.positions for frame in made]),
        energies=frames.energies(made) / KCAL,
        forces=np.stack(frames.forces(made)) / KCAL,
        old_indices=np.arange(40),
    )
    return {
        "source": "rmd17",
        "path": str(folder / "rmd17_water.npz"),
        "n_train_pool": 24,
        "n_valid": 6,
        "n_test": 10,
    }


def qm7x(folder: Path) -> dict[str, Any]:
    with h5py.File(folder / "1000.hdf5", "w") as file:
        for number in range(1, 11):
            for index, frame in enumerate(water_frames(4, number)):
                group = file.create_group(f"{number}/Geom-m{number}-i1-c1-{index or 'opt'}")
                group["atNUM"] = frame.numbers
                group["atXYZ"] = frame.positions
                group["ePBE0+MBD"] = [frame.info["REF_energy"]]
                group["totFOR"] = frame.arrays["REF_forces"]
    return {"source": "qm7x", "files": [{"path": str(folder / "1000.hdf5")}]}


def ice(folder: Path) -> dict[str, Any]:
    return {
        "source": "ice",
        "reference": "mw",
        "repeats": [1, 2, 1],
        "volume_strains": [-0.03, 0.03],
        "solid_temperatures_K": [250],
        "liquid_temperatures_K": [300],
        "melt_fs": 500,
        "n_train_pool": 24,
        "n_valid": 4,
        "n_test": 8,
        "sample_interval_fs": 50,
        "equilibration_fs": 100,
    }


EXAMPLES: dict[str, Callable[[Path], dict[str, Any]]] = {
    "extxyz": extxyz,
    "generate": generate,
    "ice": ice,
    "qm7x": qm7x,
    "rmd17": rmd17,
}


PERIODIC = ("ice",)
"""Sources whose example is mW water in a cell; those of the others are water molecules by GFN2-xTB."""


def reference_of(example: datasets.DatasetBlock) -> Block:
    return MW if example.source in PERIODIC else XTB


@pytest.fixture(params=plugin_names(longhot.datasets))
def example(request, tmp_path) -> datasets.DatasetBlock:
    assert request.param in EXAMPLES, f"add an example of the source {request.param}"
    source = tmp_path / "source"
    source.mkdir()
    return datasets.parse(EXAMPLES[request.param](source))


def test_leaves_its_files(example, tmp_path):
    out = tmp_path / "out"
    datasets.build(example, reference_of(example), out, 20)
    assert sorted(path.name for path in out.iterdir()) == [
        "atomic_energies.json",
        "card.json",
        "test.extxyz",
        "train_pool.extxyz",
        "valid.extxyz",
    ]
    read = {name: frames.read(out / f"{name}.extxyz") for name in ("train_pool", "valid", "test")}
    for name, split in read.items():
        assert split, name
        for frame in split:
            assert np.isfinite(frame.info["REF_energy"])
            assert frame.arrays["REF_forces"].shape == (len(frame), 3)
            assert (frame.pbc == (example.source in PERIODIC)).all()
    card = files.read_json(out / "card.json")
    assert card["sets"]["train_pool"]["n_frames"] == len(read["train_pool"])
    assert sum(card["sets"][name]["n_frames"] for name in card["test_sets"]) == len(read["test"])
    assert {frame.info["test_set"] for frame in read["test"]} == set(card["test_sets"])
    assert card["files_sha256"]["train_pool.extxyz"] == files.sha256(out / "train_pool.extxyz")
    for key in ("level_of_theory", "licence", "units", "warnings", "isolated_atoms", "facts"):
        assert key in card
    known = {"O"} if example.source in PERIODIC else {"H", "O"}
    assert set(files.read_json(out / "atomic_energies.json")) == known


def test_labels_are_those_of_the_frames_in_eV(example, tmp_path):
    """Whatever the units of its files."""
    out = tmp_path / "out"
    datasets.build(example, reference_of(example), out, 1)
    for frame in frames.read(out / "train_pool.extxyz")[:5] + frames.read(out / "test.extxyz")[-3:]:
        one = references.label([frame], reference_of(example))[0]
        assert frame.info["REF_energy"] == pytest.approx(one.energy_eV, abs=1e-5)
        np.testing.assert_allclose(frame.arrays["REF_forces"], one.forces_eV_per_A, atol=1e-4)


def test_same_config_same_bytes(example, tmp_path):
    for name in ("a", "b"):
        datasets.build(example, reference_of(example), tmp_path / name, 1)
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes(), path.name


def test_block_round_trip(example):
    assert datasets.parse(example.model_dump(mode="json")) == example
    assert all(field.description for field in type(example).model_fields.values())


def test_generate_resumes_to_the_same_frames(tmp_path, monkeypatch):
    """A build that is killed between trajectories goes on, and ends as an unbroken one."""
    config = datasets.parse(generate(tmp_path))
    datasets.build(config, XTB, tmp_path / "unbroken", 1)
    from longhot.datasets import generate as source

    record = tmp_path / "calls"  # a file, since the sampling runs in other processes

    def calls() -> list[str]:
        return record.read_text(encoding="utf-8").splitlines()

    def dies_at_fourth(*arguments):
        with record.open("a", encoding="utf-8") as handle:
            handle.write(f"{arguments[-1]}\n")
        if len(calls()) == 4:
            raise KeyboardInterrupt
        return _md.sample(*arguments)

    monkeypatch.setattr(source, "sample", dies_at_fourth)
    with pytest.raises(KeyboardInterrupt):
        datasets.build(config, XTB, tmp_path / "broken", 1)
    assert not (tmp_path / "broken" / "train_pool.extxyz").exists()
    datasets.build(config, XTB, tmp_path / "broken", 1)
    # Two temperatures for each of three sets and one for the hot set; the first three were whole.
    assert len(set(calls())) == 7
    assert all(calls().count(name) == 1 for name in calls()[:3])
    for path in (tmp_path / "unbroken").iterdir():
        assert path.read_bytes() == (tmp_path / "broken" / path.name).read_bytes(), path.name
