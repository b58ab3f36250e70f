"""Bad datasets: each ends in one clear sentence, or in a warning that names the suspicion."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule

from longhot import datasets, files, frames, references
from longhot.block import InputError

XTB = references.parse({"method": "xtb"})
KCAL_PER_EV = 23.0605
KJ_PER_EV = 96.4853
A_PER_BOHR = 0.529177
HARTREE_PER_EV = 1 / 27.2114


def waters(n: int, seed: int) -> list[Atoms]:
    """Plausible frames of hot water molecules."""
    generator = np.random.default_rng(seed)
    made = []
    for _ in range(n):
        atoms = molecule("H2O")
        atoms.positions += generator.normal(0, 0.04, (3, 3))
        one = references.label([atoms], XTB)[0]
        made.append(frames.labelled(atoms, one.energy_eV, one.forces_eV_per_A))
    return made


class Files:
    """Files of a user, with a config that fits them; tests spoil one thing."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.sets = {"pool": waters(30, 0), "valid": waters(5, 1), "test": waters(5, 2)}
        self.changes: dict[str, Any] = {}

    def write(self) -> None:
        for name, split in self.sets.items():
            frames.write(self.folder / f"{name}.xyz", split)

    def build(self, largest_train_size: int = 10) -> dict[str, Any]:
        raw = {
            "source": "extxyz",
            "train_pool": str(self.folder / "pool.xyz"),
            "valid": str(self.folder / "valid.xyz"),
            "test_sets": {"test": str(self.folder / "test.xyz")},
            "energy_key": "REF_energy",
            "forces_key": "REF_forces",
        }
        out = self.folder / "out"
        datasets.build(datasets.parse(raw | self.changes), XTB, out, largest_train_size)
        return files.read_json(out / "card.json")

    def refused(self, sentence: str, write: bool = True, **arguments: Any) -> None:
        """The build ends in this sentence, and leaves nothing."""
        if write:
            self.write()
        with pytest.raises(InputError, match=sentence) as caught:
            self.build(**arguments)
        assert "\n" not in str(caught.value)
        assert not list(self.folder.glob("out/*.extxyz"))


@pytest.fixture
def data(tmp_path) -> Files:
    return Files(tmp_path)


def test_sound_data_raise_no_suspicion(data):
    data.write()
    assert data.build()["warnings"] == []


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_energy_not_finite(data, value):
    data.sets["pool"][7].info["REF_energy"] = value
    data.refused(r"pool.xyz, frame 7: the energy under the key 'REF_energy' is (nan|inf)")


def test_forces_not_finite(data):
    data.sets["test"][3].arrays["REF_forces"][1, 2] = np.nan
    data.refused(r"test.xyz, frame 3: forces under the key 'REF_forces' hold NaN")


def test_periodic_without_cell(data):
    data.write()
    path = data.folder / "pool.xyz"
    path.write_text(path.read_text().replace('pbc="F F F"', 'pbc="T T T"'))
    data.refused("pool.xyz, frame 0: is periodic along an axis without cell vector", write=False)


def test_missing_energy(data):
    del data.sets["pool"][2].info["REF_energy"]
    data.refused(r"pool.xyz, frame 2: no energy under the key 'REF_energy', set `energy_key`")


def test_missing_forces(data):
    del data.sets["valid"][1].arrays["REF_forces"]
    data.refused(r"valid.xyz, frame 1: no forces under the key 'REF_forces', set `forces_key`")


def test_wrong_key(data):
    data.changes["energy_key"] = "dft_energy"
    data.refused("no energy under the key 'dft_energy'")


def test_forces_of_wrong_shape(data):
    data.sets["pool"][4].arrays["REF_forces"] = np.zeros((3, 2))
    data.refused(r"pool.xyz, frame 4: .*shape \(3, 2\), but 3 atoms need \(3, 3\): they belong to other atoms")


def test_element_that_the_pool_lacks(data):
    data.sets["test"][0].symbols[0] = "N"
    data.refused(r"frame 0 of test .*: the element N is in no frame of the train pool")


@pytest.mark.parametrize(("pair", "names"), [(("test", "pool"), "train_pool"), (("valid", "pool"), "train_pool")])
def test_shared_frames(data, pair, names):
    data.sets[pair[0]][1] = data.sets[pair[1]][9].copy()
    data.refused(rf"frame 1 of {pair[0]} .* is also frame 9 of {names}")


def test_frames_shared_by_validation_and_test(data):
    data.sets["test"][0] = data.sets["valid"][4].copy()
    data.refused(r"frame 0 of test .* is also frame 4 of valid")


def test_training_size_larger_than_the_pool(data):
    data.refused(r"learning_curves.train_sizes: 31 is larger than the train pool of 30 frames", largest_train_size=31)


def test_generate_checks_the_training_size_before_it_samples(tmp_path):
    config = datasets.parse({"source": "generate", "reference": "x", "molecule": "H2O", "n_train_pool": 50})
    with pytest.raises(InputError, match="51 is larger than the train pool of 50"):
        datasets.build(config, references.parse({"method": "xtb"}), tmp_path, 51)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("lines", [3, 7])
def test_truncated_extxyz(data, lines):
    data.write()
    path = data.folder / "test.xyz"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:lines]))
    data.refused("test.xyz: truncated or no valid extended XYZ", write=False)


def test_file_cut_inside_its_last_number_is_a_suspicion(data):
    data.write()
    path = data.folder / "test.xyz"
    path.write_text(path.read_text()[:-4])
    assert "may have been cut off" in data.build()["warnings"][0]


def test_missing_file(data):
    data.changes["valid"] = str(data.folder / "nothing.xyz")
    data.refused("nothing.xyz: no such file")


def test_empty_file(data):
    data.write()
    (data.folder / "test.xyz").write_text("")
    data.refused("test.xyz: ", write=False)


def test_no_isolated_atom_energy_for_an_element(data):
    data.changes["isolated_atoms"] = {"origin": "values", "values_eV": {"H": -13.6}}
    data.refused(r"isolated_atoms: no energy for the element O \(origin `values`\)")


def test_isolated_atoms_by_a_reference_that_is_not_there(data, tmp_path):
    data.changes["isolated_atoms"] = {"origin": "published"}
    data.refused("publishes no atomic energies")


def test_isolated_atom_not_finite(data):
    data.changes["isolated_atoms"] = {"origin": "values", "values_eV": {"H": float("nan"), "O": -75.0}}
    data.refused("isolated_atoms.values_eV.H: Input should be a finite number")


def test_existing_outputs_survive_bad_input(data):
    data.write()
    data.build()
    before = {path.name: path.read_bytes() for path in (data.folder / "out").iterdir()}
    data.sets["test"][3].info["REF_energy"] = np.nan
    data.write()
    with pytest.raises(InputError):
        data.build()
    assert before == {path.name: path.read_bytes() for path in (data.folder / "out").iterdir()}


def scaled(data: Files, energy: float, forces: float, length: float = 1.0) -> list[str]:
    for split in data.sets.values():
        for frame in split:
            frame.info["REF_energy"] *= energy
            frame.arrays["REF_forces"] *= forces
            frame.positions *= length
    data.write()
    return data.build()["warnings"]


@pytest.mark.parametrize(
    ("energy", "forces", "length", "suspicion", "key"),
    [
        (KCAL_PER_EV, KCAL_PER_EV, 1.0, "are they in kcal/mol/A", "forces_unit"),
        (KJ_PER_EV, KJ_PER_EV, 1.0, "or kJ/mol/A", "forces_unit"),
        (HARTREE_PER_EV, HARTREE_PER_EV * A_PER_BOHR, 1.0, "are they in Hartree/Bohr", "forces_unit"),
        (KCAL_PER_EV, 1.0, 1.0, "energies in kcal/mol or kJ/mol beside forces in eV/A", "energy_unit"),
        (1.0, KCAL_PER_EV, 1.0, "forces in kcal/mol/A", "forces_unit"),
        (HARTREE_PER_EV, 1.0, 1.0, "energies in Hartree", "energy_unit"),
        (1.0, 1.0, 1 / A_PER_BOHR, "are the positions in Bohr", "length_unit"),
        (1.0, 1.0, A_PER_BOHR, "are the positions in A, not in Bohr", "length_unit"),
    ],
    ids=[
        "kcal",
        "kJ",
        "atomic-units",
        "kcal-energies",
        "kcal-forces",
        "hartree-energies",
        "bohr-positions",
        "A-positions",
    ],
)
def test_suspicious_units(data, energy, forces, length, suspicion, key):
    warnings = scaled(data, energy, forces, length)
    assert any(suspicion in warning and f"`{key}`" in warning for warning in warnings)


@pytest.mark.parametrize(
    ("energy", "forces", "length", "units"),
    [
        (KCAL_PER_EV, KCAL_PER_EV, 1.0, ("kcal/mol", "kcal/mol/A", "A")),
        (HARTREE_PER_EV, HARTREE_PER_EV * A_PER_BOHR, 1 / A_PER_BOHR, ("Hartree", "Hartree/Bohr", "Bohr")),
    ],
    ids=["kcal", "atomic-units"],
)
def test_stated_units_are_no_suspicion(data, energy, forces, length, units):
    data.changes |= dict(zip(("energy_unit", "forces_unit", "length_unit"), units, strict=True))
    assert scaled(data, energy, forces, length) == []


def test_units_stated_wrongly_are_a_suspicion(data):
    data.changes |= {"energy_unit": "Hartree", "forces_unit": "Hartree/Bohr", "length_unit": "Bohr"}
    warnings = " ".join(scaled(data, 1.0, 1.0))
    assert "`forces_unit`" in warnings
    assert "`length_unit`" in warnings


def test_distances_of_one_element_are_no_suspicion(data):
    """Argon stands at 1.8 times its covalent bond length, mW water at 2.1 times."""
    for frame in (frame for split in data.sets.values() for frame in split):
        frame.symbols = "O3"
    assert not any("length_unit" in warning for warning in scaled(data, 1.0, 1.0, 3.0))


def test_forces_of_other_atoms_are_a_suspicion(data):
    for frame in data.sets["pool"]:
        frame.arrays["REF_forces"] = frame.arrays["REF_forces"][[1, 2, 0]]
    data.write()
    assert "do they belong to other atoms" in " ".join(data.build()["warnings"])


def test_isolated_atoms_at_another_level_are_a_suspicion(data):
    data.changes["isolated_atoms"] = {"origin": "values", "values_eV": {"H": -13.6, "O": -2041.0}}
    data.write()
    assert "are both at one level of theory" in " ".join(data.build()["warnings"])


def test_repeated_frames_of_the_pool_are_told(data):
    data.sets["pool"][3] = data.sets["pool"][2].copy()
    data.write()
    assert "1 frames of the train pool repeat" in " ".join(data.build()["warnings"])


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"n_valid": 3}, "give either this file or n_valid"),
        ({"trian_pool": "a.xyz"}, "trian_pool"),
        ({"test_sets": {}}, "test_sets"),
        ({"source": "sql"}, "unknown name 'sql' in datasets: use one of extxyz, generate, "),
        ({"source": None}, "`source` is missing"),
        ({"energy_unit": "Ha"}, "energy_unit: Input should be 'eV', 'Hartree', 'kcal/mol' or 'kJ/mol'"),
        ({"forces_unit": "Hartree"}, "forces_unit: Input should be 'eV/A'"),
        ({"length_unit": "nm"}, "length_unit: Input should be 'A' or 'Bohr'"),
        ({"isolated_atoms": {"origin": "file"}}, "isolated_atoms.path"),
        ({"isolated_atoms": {"origin": "guess"}}, "isolated_atoms.origin"),
    ],
)
def test_bad_blocks(data, change, sentence):
    data.changes |= change
    data.refused(sentence)


def test_validation_takes_the_whole_pool(data):
    data.changes |= {"valid": None, "n_valid": 30}
    data.refused("n_valid: 30 frames leave nothing of the 30")


def npz(path: Path, **changes: Any) -> None:
    content = {
        "nuclear_charges": np.array([8, 1, 1]),
        "coords": np.random.default_rng(0).normal(size=(20, 3, 3)),
        "energies": np.zeros(20),
        "forces": np.zeros((20, 3, 3)),
    }
    np.savez(path, **{key: value for key, value in (content | changes).items() if value is not None})


NAN_FORCES = np.zeros((20, 3, 3))
NAN_FORCES[:, 0, 0] = np.nan


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"forces": None}, "no key 'forces'"),
        ({"forces": np.zeros((20, 4, 3))}, r"forces has the shape \(20, 4, 3\).*other atoms"),
        ({"energies": np.zeros(19)}, "energies has the shape"),
        ({"forces": NAN_FORCES}, r"a.npz, frame \d+: NaN or infinity in its forces"),
        ({"nuclear_charges": np.array([8, 1, 1], dtype=object)}, "no valid npz archive"),
    ],
    ids=["missing-key", "other-atoms", "too-few-energies", "nan", "pickle"],
)
def test_bad_npz(tmp_path, changes, sentence):
    npz(tmp_path / "a.npz", **changes)
    raw = {"source": "rmd17", "path": str(tmp_path / "a.npz"), "n_train_pool": 10, "n_valid": 4, "n_test": 6}
    with pytest.raises(InputError, match=sentence):
        datasets.build(datasets.parse(raw), None, tmp_path / "out", 5)


def test_npz_truncated_with_wrong_checksum_or_too_short(tmp_path):
    path = tmp_path / "a.npz"
    npz(path)
    raw = {"source": "rmd17", "path": str(path), "n_train_pool": 10, "n_valid": 4, "n_test": 6}
    with pytest.raises(InputError, match="its SHA-256 is"):
        datasets.build(datasets.parse(raw | {"sha256": "0" * 64}), None, tmp_path / "out", 5)
    with pytest.raises(InputError, match="has 20 frames, but n_train_pool"):
        datasets.build(datasets.parse(raw | {"n_test": 7}), None, tmp_path / "out", 5)
    path.write_bytes(path.read_bytes()[:700])
    with pytest.raises(InputError, match=r"a.npz: truncated or no valid npz"):
        datasets.build(datasets.parse(raw), None, tmp_path / "out", 5)


def test_bad_hdf5(tmp_path):
    import h5py

    path = tmp_path / "1000.hdf5"
    raw = {"source": "qm7x", "files": [{"path": str(path)}]}
    path.write_bytes(b"\x89HDF\r\n\x1a\n truncated")
    with pytest.raises(InputError, match=r"1000.hdf5: truncated or no valid HDF5"):
        datasets.build(datasets.parse(raw), None, tmp_path / "out", 1)
    with h5py.File(path, "w") as file:
        file["1/Geom-m1-i1-c1-opt/atNUM"] = [8, 1, 1]
    with pytest.raises(InputError, match=r"1/Geom-m1-i1-c1-opt: cannot be read"):
        datasets.build(datasets.parse(raw), None, tmp_path / "out", 1)
    with pytest.raises(InputError, match="n_molecules: 5 are more than the 1"):
        datasets.build(datasets.parse(raw | {"n_molecules": 5}), None, tmp_path / "out", 1)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"molecule": "unobtainium"}, "no 'unobtainium' in ASE's g2 set"),
        ({"molecule": None, "smiles": "C(C"}, r"'C\(C' is no valid SMILES"),
        ({"molecule": None, "structure_file": "nothing.xyz"}, "nothing.xyz: no such file"),
        ({"smiles": "CCO"}, "give one of molecule, smiles and structure_file, not 2"),
        ({"molecule": None}, "not 0 of them"),
        ({"molecule": "H"}, "single atom"),
        ({"molecule": "CH3"}, "9 electrons .* cannot have multiplicity 1"),
        ({"hot_temperatures_K": []}, "hot_temperatures_K: empty"),
        ({"n_normal_modes": 900}, "n_normal_modes: larger than n_train_pool"),
        ({"n_train_pool": "many"}, "n_train_pool"),
    ],
)
def test_bad_generate(tmp_path, change, sentence):
    raw = {"source": "generate", "reference": "x", "molecule": "H2O"} | change
    with pytest.raises(InputError, match=sentence):
        datasets.build(datasets.parse(raw), references.parse({"method": "xtb"}), tmp_path / "out", 5)


def test_generate_with_a_reference_that_does_not_converge(tmp_path):
    raw = {"source": "generate", "reference": "x", "molecule": "CH3CH2OH", "isolated_atoms": {"origin": "fit"}}
    with pytest.raises(InputError, match="fails on the starting structure"):
        datasets.build(datasets.parse(raw), references.parse({"method": "xtb", "max_iterations": 2}), tmp_path, 5)
