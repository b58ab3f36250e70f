"""Datasets: known answers of the sampler, the readers and the card."""

from __future__ import annotations

import lzma
import tarfile
from contextlib import nullcontext
from pathlib import Path

import h5py
import numpy as np
import pytest
import requests
from ase import Atoms, units
from ase.build import molecule
from scipy.signal import lfilter

from longhot import datasets, files, frames, references
from longhot.block import InputError
from longhot.datasets import _fetch, _isolated, _md, _modes, _molecule, _xyz, extxyz, generate, qm7x, rmd17
from longhot.potential import BatchResult

XTB = references.parse({"method": "xtb"})
KCAL_PER_MOL_EV = 0.0433641


class Springs:
    """Each atom on its own spring to its origin."""

    def __init__(self, stiffness_eV_per_A2: float):
        self.k = stiffness_eV_per_A2

    def compute(self, positions_A: np.ndarray) -> BatchResult:
        return BatchResult(0.5 * self.k * (positions_A**2).sum((1, 2)), -self.k * positions_A)


class Failing(Springs):
    """Springs that break at the given calls."""

    def __init__(self, at: set[int]):
        super().__init__(5.0)
        self.calls, self.at = 0, at

    def compute(self, positions_A: np.ndarray) -> BatchResult:
        self.calls += 1
        if self.calls in self.at:
            return BatchResult(np.full(1, np.nan), np.full_like(positions_A, np.nan), {0: "crashed: test"})
        return super().compute(positions_A)


def sampling(**changes) -> _md.Sampling:
    return _md.Sampling(
        **{
            "temperature_K": 400.0,
            "time_step_fs": 1.0,
            "friction_per_ps": 50.0,
            "sample_interval_fs": 20.0,
            "equilibration_fs": 100.0,
        }
        | changes
    )


def test_langevin_gives_the_variance_of_a_harmonic_well():
    """<x^2> = kT / k, within 4 standard errors of independent samples; a stiff spring at a long step."""
    atoms = Atoms("C8", positions=np.zeros((8, 3)))
    k, temperature_K = 30.0, 400.0
    walker = _md.Walker(Springs(k), atoms, sampling(time_step_fs=3.0, friction_per_ps=100.0), np.random.default_rng(0))
    walker.run(200)
    squares = []
    for _ in range(800):
        walker.run(10)
        squares.append(np.mean(walker.positions_A**2))
    expected = units.kB * temperature_K / k
    error = expected * np.sqrt(2 / (24 * 800))
    assert np.mean(squares) == pytest.approx(expected, abs=4 * error * np.sqrt(_md.statistical_inefficiency(squares)))


def test_a_failed_reference_restarts_the_trajectory_from_its_last_good_frame():
    start = Atoms("C2", positions=[[0.1, 0, 0], [-0.1, 0, 0]])
    taken, restarts = _md.sample(Failing({150, 400}), start, sampling(), 12, np.random.default_rng(0), "pool")
    assert restarts == 2
    assert len(taken) == 12
    assert all(np.isfinite(frame.info["REF_energy"]) for frame in taken)


def test_a_reference_that_always_fails_ends_in_one_sentence():
    start = Atoms("C2", positions=[[0.1, 0, 0], [-0.1, 0, 0]])
    with pytest.raises(InputError, match="pool: the reference failed 11 times"):
        _md.sample(Failing(set(range(10_000))), start, sampling(), 3, np.random.default_rng(0), "pool")


def test_statistical_inefficiency_of_an_autoregressive_series():
    """x_t = a x_(t-1) + noise has g = (1 + a) / (1 - a)."""
    generator = np.random.default_rng(0)
    series = lfilter([1.0], [1.0, -0.8], generator.normal(size=1_000_000))
    assert _md.statistical_inefficiency(series) == pytest.approx(9.0, rel=0.1)
    assert _md.statistical_inefficiency(generator.normal(size=10_000)) == pytest.approx(1.0, abs=0.1)
    assert _md.statistical_inefficiency(np.ones(5)) == 1.0


def test_normal_modes_of_springs():
    """Mass-weighted eigenvalues are k / m, and displacements have the variance kT / k whatever the mass."""
    atoms = Atoms("CH", positions=np.zeros((2, 3)))
    hessian = _modes.mass_weighted_hessian(atoms, Springs(5.0))
    np.testing.assert_allclose(np.sort(np.diag(hessian)), np.sort(np.repeat(5.0 / atoms.get_masses(), 3)), rtol=1e-8)
    moved = _modes.displaced(atoms, hessian, 300.0, 20_000, np.random.default_rng(0))
    expected = units.kB * 300.0 / 5.0
    np.testing.assert_allclose(moved.var(axis=0), expected, rtol=0.06)


def test_normal_modes_of_water_have_its_frequencies():
    """GFN2-xTB water: a bend near 1550 and stretches near 3650 cm-1; six modes do not vibrate."""
    atoms = _molecule.relaxed(molecule("H2O"), XTB)
    hessian = _modes.mass_weighted_hessian(atoms, references.ReferencePotential(XTB).batch(atoms, 1))
    eigenvalues = np.linalg.eigvalsh(hessian)
    assert (eigenvalues > _modes.SOFTEST_EV_PER_A2_U).sum() == 3
    wavenumbers = (
        np.sqrt(eigenvalues[-3:]) * units._hbar * 1e10 / units._e * np.sqrt(units._e / units._amu) / units.invcm
    )
    np.testing.assert_allclose(wavenumbers, [1550, 3650, 3650], rtol=0.05)


@pytest.mark.parametrize("smiles", ["CCO", "C[NH3+]"])
def test_smiles_is_reproducible(smiles):
    first, second = _molecule.from_smiles(smiles), _molecule.from_smiles(smiles)
    np.testing.assert_array_equal(first.positions, second.positions)
    assert "H" in first.symbols


def test_relaxed_molecule_has_no_forces_and_stands_at_the_origin():
    atoms = _molecule.relaxed(_molecule.from_smiles("CO"), XTB)
    assert np.abs(references.label([atoms], XTB)[0].forces_eV_per_A).max() < 0.02
    np.testing.assert_allclose(atoms.get_center_of_mass(), 0.0, atol=1e-8)


def test_structure_file(tmp_path):
    molecule("CH4").write(tmp_path / "methane.xyz")
    assert _molecule.from_file(tmp_path / "methane.xyz").get_chemical_formula() == "CH4"


def test_trajectories_share_no_seed_and_split_the_frames():
    config = generate.Config(reference="x", molecule="H2O", temperatures_K=[300, 500], n_train_pool=11, n_valid=1)
    tasks = list(generate._trajectories(config, XTB, molecule("H2O")))
    assert len({task.seed for task in tasks}) == len({task.digest for task in tasks}) == len(tasks)
    assert sum(task.n_frames for task in tasks if task.set_name == "train_pool") == 11
    assert [task.n_frames for task in tasks if task.set_name == "valid"] == [1]


def labelled_waters(n: int, seed: int = 0) -> list[Atoms]:
    generator = np.random.default_rng(seed)
    made = []
    for _ in range(n):
        atoms = molecule("H2O")
        atoms.positions += generator.normal(0, 0.05, (3, 3))
        made.append(frames.labelled(atoms, generator.normal(-14.0, 0.1), generator.normal(0, 1, (3, 3))))
    return made


def write_npz(path: Path, n: int = 20, **changes) -> None:
    """The published layout, in kcal/mol."""
    generator = np.random.default_rng(0)
    base = molecule("H2O")
    content = {
        "nuclear_charges": base.numbers.astype("u1"),
        "coords": base.positions + generator.normal(0, 0.05, (n, 3, 3)),
        "energies": np.full(n, -1000.0),
        "forces": np.full((n, 3, 3), 23.0605),
        "old_indices": np.arange(n),
    }
    np.savez(path, **{key: value for key, value in (content | changes).items() if value is not None})


def test_rmd17_converts_kcal_per_mol(tmp_path):
    write_npz(tmp_path / "rmd17_water.npz")
    config = rmd17.Config(path=tmp_path / "rmd17_water.npz", n_train_pool=10, n_valid=4, n_test=6)
    splits = rmd17.splits(config, None, tmp_path)
    frame = splits.train_pool[0]
    assert frame.info["REF_energy"] == pytest.approx(-1000.0 * KCAL_PER_MOL_EV, rel=1e-5)
    np.testing.assert_allclose(frame.arrays["REF_forces"], 1.0, rtol=1e-4)
    drawn = [f.info["source_frame"] for split in (splits.train_pool, splits.valid, splits.test) for f in split]
    assert sorted(drawn) == list(range(20))


def test_rmd17_from_the_published_archive(tmp_path):
    write_npz(tmp_path / "rmd17_water.npz")
    with tarfile.open(tmp_path / "rmd17.tar.bz2", "w:bz2") as archive:
        archive.add(tmp_path / "rmd17_water.npz", "rmd17/npz_data/rmd17_water.npz")
    sizes = {"n_train_pool": 10, "n_valid": 4, "n_test": 6}
    config = rmd17.Config(path=tmp_path / "rmd17.tar.bz2", molecule="water", **sizes)
    direct = rmd17.Config(path=tmp_path / "rmd17_water.npz", **sizes)
    work = tmp_path / "work"
    ours, expected = rmd17.splits(config, None, work).test, rmd17.splits(direct, None, work).test
    np.testing.assert_array_equal([f.positions for f in ours], [f.positions for f in expected])
    for molecule_name, sentence in (
        (None, "name one by the key `molecule`"),
        ("ethanol", "holds no rmd17_ethanol.npz"),
    ):
        with pytest.raises(InputError, match=sentence):
            rmd17.splits(config.model_copy(update={"molecule": molecule_name}), None, work)


def write_qm7x(path: Path, n_molecules: int = 10, n_configurations: int = 5, first: int = 1) -> None:
    """The published layout: molecule id -> configuration id -> properties."""
    with h5py.File(path, "w") as file:
        for number in range(first, first + n_molecules):
            for index, frame in enumerate(labelled_waters(n_configurations, seed=number)):
                group = file.create_group(f"{number}/Geom-m{number}-i1-c1-{index or 'opt'}")
                group["atNUM"] = frame.numbers
                group["atXYZ"] = frame.positions
                group["ePBE0+MBD"] = [frame.info["REF_energy"]]
                group["totFOR"] = frame.arrays["REF_forces"]


def qm7x_splits(tmp_path: Path, **changes):
    write_qm7x(tmp_path / "1000.hdf5")
    config = qm7x.Config(files=[{"path": tmp_path / "1000.hdf5"}], **changes)
    return qm7x.splits(config, None, tmp_path / "work")


def test_qm7x_splits_by_molecule(tmp_path):
    splits = qm7x_splits(tmp_path)
    ids = [{frame.info["molecule"] for frame in split} for split in (splits.train_pool, splits.valid, splits.test)]
    assert [len(one) for one in ids] == [7, 1, 2]
    assert len(set.union(*ids)) == 10
    assert len(splits.train_pool) == 35


def test_qm7x_splits_by_configuration(tmp_path):
    splits = qm7x_splits(tmp_path, split="configuration")
    sets = [
        {frame.info["configuration"] for frame in split} for split in (splits.train_pool, splits.valid, splits.test)
    ]
    assert [len(one) for one in sets] == [35, 5, 10]
    assert len(set.union(*sets)) == 50


def test_qm7x_subsets_and_published_atomic_energies(tmp_path):
    splits = qm7x_splits(tmp_path, n_molecules=6, max_configurations_per_molecule=2)
    everything = splits.train_pool + splits.valid + splits.test
    assert len({frame.info["molecule"] for frame in everything}) == 6
    assert len(everything) == 12
    assert splits.atomic_energies_eV == {"H": -13.641404161, "O": -2039.734879322}
    assert splits.atomic_energies_origin == "published with the dataset"


def test_qm7x_molecules_that_are_test_sets_of_their_own(tmp_path):
    splits = qm7x_splits(tmp_path, molecule_test_sets=["3", "10"], n_molecules=6)
    seen = {frame.info["molecule"] for frame in splits.train_pool + splits.valid}
    by_set: dict[str, list[str]] = {}
    for frame in splits.test:
        by_set.setdefault(frame.info["test_set"], []).append(frame.info["molecule"])
    assert by_set["molecule-3"] == ["3"] * 5
    assert by_set["molecule-10"] == ["10"] * 5
    assert set(by_set) == {"test", "molecule-3", "molecule-10"}
    assert len(seen | set(by_set["test"])) == 6
    assert not (seen | set(by_set["test"])) & {"3", "10"}
    with pytest.raises(InputError, match="molecule_test_sets: no molecule '99' in the files"):
        qm7x_splits(tmp_path, molecule_test_sets=["99"])


def test_qm7x_reads_compressed_and_several_files(tmp_path):
    write_qm7x(tmp_path / "1000.hdf5")
    write_qm7x(tmp_path / "2000.hdf5", first=11)
    (tmp_path / "2000.xz").write_bytes(lzma.compress((tmp_path / "2000.hdf5").read_bytes()))
    config = qm7x.Config(files=[{"path": tmp_path / "1000.hdf5"}, {"path": tmp_path / "2000.xz"}])
    splits = qm7x.splits(config, None, tmp_path / "work")
    everything = splits.train_pool + splits.valid + splits.test
    assert {frame.info["molecule"] for frame in everything} == {str(number) for number in range(1, 21)}


def test_download_is_checked_kept_and_tried_again(tmp_path, monkeypatch):
    """Two failures of the network are survived; the second study takes the file from the cache."""
    monkeypatch.setenv("LONGHOT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("pooch.core.time.sleep", lambda seconds: None)
    write_npz(tmp_path / "source.npz")
    calls = []

    def flaky(url, output_file, pooch):
        calls.append(url)
        if len(calls) < 3:
            raise ValueError("the line is down")
        Path(output_file).write_bytes((tmp_path / "source.npz").read_bytes())

    monkeypatch.setattr(_fetch, "_downloader", lambda: flaky)
    source = _fetch.SourceFile(url="https://example.org/rmd17_water.npz", sha256=files.sha256(tmp_path / "source.npz"))
    for _ in range(2):
        assert files.sha256(_fetch.local(source)) == source.sha256
    assert len(calls) == 3


@pytest.mark.parametrize(
    ("location", "refused"),
    [("http://example.org/b.npz", True), ("//other.org/b.npz", False), ("/b.npz", False), ("ftp://x/b", True)],
)
def test_no_download_leaves_https(location, refused):
    response = requests.Response()
    response.status_code, response.url, response.headers["location"] = 302, "https://example.org/a.npz", location
    with pytest.raises(RuntimeError, match="which is not https") if refused else nullcontext():
        _fetch.stay_encrypted(response)


def test_download_of_another_file_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("LONGHOT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("pooch.core.time.sleep", lambda seconds: None)
    monkeypatch.setattr(
        _fetch, "_downloader", lambda: lambda url, output_file, pooch: Path(output_file).write_text("x")
    )
    with pytest.raises(InputError, match=r"example.org.*no download after 3 retries"):
        _fetch.local(_fetch.SourceFile(url="https://example.org/a.npz", sha256="0" * 64))


@pytest.mark.parametrize(
    "fields",
    [
        {"url": "http://example.org/a.npz", "sha256": "0" * 64},
        {"url": "https://example.org/a.npz"},
        {"url": "https://example.org/a.npz", "sha256": "short"},
        {"url": "https://example.org/a.npz", "sha256": "0" * 64, "path": "a.npz"},
        {},
    ],
)
def test_bad_source_files(fields):
    with pytest.raises(ValueError, match=r"url|sha256|path"):
        _fetch.SourceFile(**fields)


def test_extxyz_reads_what_ase_keeps_apart(tmp_path):
    """`energy` and `forces` become a calculator's, other keys do not; a cell without periodicity goes."""
    frame = labelled_waters(1)[0]
    frame.set_cell([50, 50, 50])
    for energy_key, forces_key in (("energy", "forces"), ("dft_energy", "dft_forces")):
        other = frame.copy()
        other.info = {energy_key: frame.info["REF_energy"]}
        other.arrays[forces_key] = other.arrays.pop("REF_forces")
        other.write(tmp_path / "a.xyz", format="extxyz")
        read = _xyz.read_labelled(tmp_path / "a.xyz", energy_key, forces_key, _xyz.Units())[0]
        assert read.info["REF_energy"] == pytest.approx(frame.info["REF_energy"])
        np.testing.assert_allclose(read.arrays["REF_forces"], frame.arrays["REF_forces"], atol=1e-7)
        assert not read.cell.any()
        assert not read.pbc.any()


def test_extxyz_keeps_a_periodic_cell(tmp_path):
    frame = labelled_waters(1)[0]
    frame.set_cell([5, 6, 7])
    frame.pbc = True
    frames.write(tmp_path / "a.xyz", [frame])
    read = _xyz.read_labelled(tmp_path / "a.xyz", "REF_energy", "REF_forces", _xyz.Units())[0]
    np.testing.assert_allclose(read.cell.lengths(), [5, 6, 7])
    assert read.pbc.all()


def test_extxyz_validation_from_the_pool_and_named_test_sets(tmp_path):
    frames.write(tmp_path / "pool.xyz", labelled_waters(20))
    frames.write(tmp_path / "test.xyz", labelled_waters(5, seed=1))
    config = extxyz.Config(
        train_pool=tmp_path / "pool.xyz",
        n_valid=5,
        test_sets={"near": tmp_path / "test.xyz", "far": tmp_path / "test.xyz"},
        energy_key="REF_energy",
        forces_key="REF_forces",
    )
    splits = extxyz.splits(config, None, tmp_path)
    pool, valid = ({frame.info["source_frame"] for frame in part} for part in (splits.train_pool, splits.valid))
    assert (len(pool), len(valid), pool & valid) == (15, 5, set())
    assert [frame.info["test_set"] for frame in splits.test] == ["near"] * 5 + ["far"] * 5
    assert "least-squares" in splits.atomic_energies_origin


def test_fitted_atomic_energies_are_exact_where_compositions_determine_them():
    truth = {"H": -13.5, "C": -1025.0, "O": -2035.0}
    made = []
    for name in ("H2O", "CH4", "CO2", "CH3OH"):
        atoms = molecule(name)
        made.append(frames.labelled(atoms, sum(truth[s] for s in atoms.symbols), np.zeros((len(atoms), 3))))
    assert _isolated.fitted_eV(made, ["H", "C", "O"]) == pytest.approx(truth)


def test_isolated_atoms_from_a_file(tmp_path):
    made = [Atoms(symbol, info={"energy": value}) for symbol, value in (("H", -13.5), ("O", -2035.0))]
    import ase.io

    ase.io.write(tmp_path / "atoms.xyz", made, format="extxyz")
    block = datasets.IsolatedAtoms(origin="file", path=tmp_path / "atoms.xyz")
    assert _isolated.resolve(block, ["H", "O"], None)[0] == {"H": -13.5, "O": -2035.0}


def test_isolated_atoms_from_the_reference():
    energies, origin = _isolated.resolve(datasets.IsolatedAtoms(origin="reference"), ["H"], XTB)
    assert energies["H"] == pytest.approx(-10.7072, abs=1e-3)
    assert "ground-state spin" in origin
