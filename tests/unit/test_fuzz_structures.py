"""Spoilt structure files: each is refused in one sentence, or what is read of it is whole and physical."""

from __future__ import annotations

import io
import re
import tarfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from ase.data import atomic_numbers
from fuzzing import cases, check_sentences
from hypothesis import given
from hypothesis import strategies as st

from longhot import datasets, frames
from longhot.block import InputError
from longhot.datasets import Splits, _card, _validate, extxyz, qm7x, rmd17
from longhot.datasets._molecule import from_file
from longhot.references import LARGEST_COORDINATE_A, SMALLEST_DISTANCE_A

N_FRAMES = 12


def waters(n: int, seed: int, symbols: str = "OH2") -> list[Atoms]:
    """Frames with labels of a made-up potential, of a plausible size."""
    generator = np.random.default_rng(seed)
    made = []
    for _ in range(n):
        atoms = molecule("H2O")
        atoms.symbols = symbols
        shift = generator.normal(0, 0.04, (3, 3))
        atoms.positions += shift
        made.append(frames.labelled(atoms, -76.0 + 10 * (shift**2).sum(), -20 * shift))
    return made


def text_of(split: list[Atoms], tmp: Path) -> str:
    frames.write(tmp, split)
    return tmp.read_text(encoding="utf-8")


def check_whole(splits: Splits, n_expected: int | None = None) -> None:
    """What must hold of data that are accepted."""
    pool = splits.train_pool + splits.valid
    if n_expected is not None:
        assert len(pool) == n_expected, "frames were dropped without a word"
    for frame in pool + splits.test:
        assert 1 <= frame.numbers.min() <= frame.numbers.max() <= 118
        assert np.abs(frame.positions).max() <= LARGEST_COORDINATE_A
        assert frame.get_all_distances(mic=bool(frame.pbc.any()))[~np.eye(len(frame), dtype=bool)].min() > (
            0.99 * SMALLEST_DISTANCE_A
        )
        assert abs(frame.info[frames.ENERGY]) < 1e8 * len(frame)
        assert frame.arrays[frames.FORCES].shape == (len(frame), 3)
        assert np.abs(frame.arrays[frames.FORCES]).max() < 1e6
    assert all(np.isfinite(energy) for energy in splits.atomic_energies_eV.values())


def judge(config: datasets.DatasetBlock, workdir: Path, n_expected: int | None = None) -> bool:
    """Whether the data are accepted; all that a build does but for writing the files."""
    module = {"extxyz": extxyz, "rmd17": rmd17, "qm7x": qm7x}[config.source]
    try:
        splits = module.splits(config, None, workdir)  # type: ignore[arg-type]
        _validate.check(splits)
    except InputError as error:
        check_sentences(error)
        return False
    check_whole(splits, n_expected)
    for warning in splits.warnings + _validate.suspicions(splits):
        assert warning.isprintable()
    assert _card.card(config, splits, [])["sets"]["train_pool"]["n_frames"] == len(splits.train_pool)
    return True


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("structures")
    frames.write(made / "test.xyz", waters(3, 1))
    for suffix, form in FORMATS.items():
        molecule("H2O", cell=[9, 9, 9]).write(made / f"molecule.{suffix}", format=form)
    (made / "pool.txt").write_text(text_of(waters(N_FRAMES, 0), made / "pool.xyz"), encoding="utf-8")
    return made


NUMBER_WORDS = [
    "nan",
    "inf",
    "-inf",
    "1e300",
    "-1e300",
    "1e20",
    "99999",
    "0",
    "-1",
    "1e-300",
    "0x1",
    "1e99999",
    "1e5 1e5 1e5",
]
WORDS = st.sampled_from(
    [*NUMBER_WORDS, "Xx", "X", "He", "1.0.0", "abc", "--", "True", "T", "", "水", "\x00", '"', "=", "_JSON{", '"[1,2']
)
COUNTS = st.sampled_from(
    [
        "0",
        "-3",
        "2",
        "4",
        "3.0",
        "1e3",
        "999999999999",
        "1" + 22 * "0",
        "003",
        "+3",
        "nan",
        "1_0",
        "1000000",
        "999999",
        "",
    ]
)
COMMENTS = [
    ("pos:R:3", "pos:R:300000000"),
    ("pos:R:3", "pos:S:3"),
    ("pos:R:3", "pos:R:2"),
    ("pos:R:3", "pos:I:3"),
    ("species:S:1", "Z:I:1"),
    ("species:S:1", "species:R:1"),
    ("REF_forces:R:3", "REF_forces:S:3"),
    ("REF_forces:R:3", "REF_forces:L:3"),
    ("REF_forces:R:3", "forces:R:3"),
    ("REF_energy=", "REF_energy=nan "),
    ("REF_energy=", "REF_energy "),
    ("REF_energy=", "energy="),
    ("REF_energy=", "REF_energy=T x="),
    ("REF_energy=", 'REF_energy="1 2 3" x='),
    ("REF_energy=", "REF_energy=_JSON[[1]] x="),
    ("REF_energy=", "REF_energy=1e300 x="),
    ('pbc="F F F"', 'pbc="T T T"'),
    ('pbc="F F F"', 'pbc="T T T" Lattice="5 0 0 0 5 0 0 0 5"'),
    ('pbc="F F F"', 'pbc="T T T" Lattice="1e-9 0 0 0 5 0 0 0 5"'),
    ('pbc="F F F"', 'pbc="T T T" Lattice="0.01 0 0 0 0.01 0 0 0 0.01"'),
    ('pbc="F F F"', 'pbc="T T T" Lattice="1e300 0 0 0 5 0 0 0 5"'),
    ('pbc="F F F"', 'pbc="T T T" Lattice="nan 0 0 0 5 0 0 0 5"'),
    ('pbc="F F F"', 'pbc="T T F" Lattice="5 0 0 5 1e-12 0 0 0 5"'),
    ('pbc="F F F"', 'pbc="T T T" Lattice="5 0 0"'),
    ('pbc="F F F"', 'pbc="maybe"'),
    ("Properties=", "Properties=a:R:0:"),
    ("Properties=", "Prop="),
    ("Properties=", 'stress="1 2" virial=x Properties='),
]


@st.composite
def spoilt_xyz(draw: st.DrawFn, text: str) -> str:
    """A file of twelve frames of three atoms, with up to three changes."""
    for _ in range(draw(st.integers(1, 3))):
        lines = text.splitlines(keepends=True) or ["\n"]
        at = draw(st.integers(0, len(lines) - 1))
        match draw(
            st.sampled_from(["word", "count", "comment", "cut", "drop", "twice", "blank", "swap", "garbage", "scale"])
        ):
            case "word":
                words = lines[at].split(" ")
                words[draw(st.integers(0, len(words) - 1))] = draw(WORDS)
                lines[at] = " ".join(words).rstrip("\n") + "\n"
            case "count":
                lines[at - at % 5] = draw(COUNTS) + "\n"
            case "comment":
                old, new = draw(st.sampled_from(COMMENTS))
                everywhere = draw(st.booleans())
                lines = [
                    one.replace(old, new) if everywhere or abs(index - at) < 5 else one
                    for index, one in enumerate(lines)
                ]
            case "cut":
                lines = ["".join(lines)[: draw(st.integers(0, len(text)))]]
            case "drop":
                del lines[at]
            case "twice":
                lines.insert(at, lines[at])
            case "blank":
                lines.insert(at, draw(st.sampled_from(["\n", "   \n", "\t\n", "\r\n"])))
            case "swap":
                other = draw(st.integers(0, len(lines) - 1))
                lines[at], lines[other] = lines[other], lines[at]
            case "garbage":
                lines.insert(at, draw(st.text(max_size=30)))
            case _:
                factor = draw(st.sampled_from([1e-3, 0.5, 1.9, 23.06, 627.5, 1e4, 1e9]))
                lines = [_scaled(one, factor) if index % 5 > 1 else one for index, one in enumerate(lines)]
        text = "".join(lines)
    return draw(st.sampled_from([text, text, text.replace("\n", "\r\n"), text.replace("\n", "\r"), "\ufeff" + text]))


def _scaled(line: str, factor: float) -> str:
    try:
        symbol, *values = line.split()
        return " ".join([symbol, *(str(factor * float(one)) for one in values)]) + "\n"
    except ValueError:
        return line


def frames_told(text: str) -> int:
    """Frames of more than one atom that a file has by its own counts."""
    # str.splitlines would break lines at form feeds and others too, which no reader of such files does.
    lines, at, n_frames = re.split("\r\n|\r|\n", text), 0, 0
    while at < len(lines) and lines[at].strip():
        n_frames += int(lines[at]) > 1
        at += int(lines[at]) + 2
    return n_frames


@cases(500)
@given(st.data())
def test_spoilt_extended_xyz(folder: Path, data: st.DataObject) -> None:
    text = data.draw(spoilt_xyz((folder / "pool.txt").read_text(encoding="utf-8")))
    (folder / "pool.xyz").write_bytes(text.encode("utf-8", errors="replace"))
    config = datasets.parse(
        {
            "source": "extxyz",
            "train_pool": str(folder / "pool.xyz"),
            "n_valid": 3,
            "test_sets": {"test": str(folder / "test.xyz")},
            "energy_key": "REF_energy",
            "forces_key": "REF_forces",
        }
    )
    if judge(config, folder):
        assert len(extxyz.splits(config, None, folder).train_pool) + 3 == frames_told(text)  # type: ignore[arg-type]


@cases(150)
@given(st.binary(max_size=300) | st.text(max_size=100).map(lambda text: text.encode("utf-8", errors="replace")))
def test_garbage_in_every_place(folder: Path, content: bytes) -> None:
    path = folder / "garbage"
    path.write_bytes(content)
    for raw in (
        {"source": "extxyz", "train_pool": str(path), "n_valid": 3, "test_sets": {"test": str(folder / "test.xyz")}},
        {"source": "rmd17", "path": str(path), "molecule": "water"},
        {"source": "qm7x", "files": [{"path": str(path)}]},
    ):
        assert not judge(datasets.parse(raw), folder)


SHAPES = st.sampled_from([(), (0,), (1,), (3,), (N_FRAMES,), (N_FRAMES, 3), (N_FRAMES, 3, 3), (N_FRAMES, 4, 3), (3, 3)])
TYPES = st.sampled_from(["f8", "f4", "f2", "i8", "u1", "i1", "?", "c16", "S4", "U4", "M8[s]"])
VALUES = st.sampled_from([0.0, -1.0, 1.0, 200.0, np.nan, np.inf, 1e30, -1e300])


def _array(draw: st.DrawFn) -> np.ndarray:
    generator = np.random.default_rng(draw(st.integers(0, 9)))
    return (100 * generator.normal(size=draw(SHAPES))).astype(draw(TYPES))


def _spoil_values(draw: st.DrawFn, array: np.ndarray) -> np.ndarray:
    """Some values replaced, or all."""
    spoilt = np.array(array, dtype=float)
    if draw(st.booleans()):
        spoilt.flat[draw(st.integers(0, spoilt.size - 1))] = draw(VALUES)
    else:
        spoilt[...] = draw(VALUES)
    with np.errstate(invalid="ignore"):
        return spoilt.astype(draw(st.sampled_from([array.dtype.str, "f8"])))


@st.composite
def spoilt_arrays(draw: st.DrawFn) -> dict[str, Any]:
    """Arrays as in a file of rMD17, with up to two changes."""
    made = waters(N_FRAMES, 0)
    arrays: dict[str, Any] = {
        "nuclear_charges": made[0].numbers.astype("u1"),
        "coords": np.stack([frame.positions for frame in made]),
        "energies": frames.energies(made),
        "forces": np.stack(frames.forces(made)),
    }
    for _ in range(draw(st.integers(1, 2))):
        key = draw(st.sampled_from(sorted(arrays)))
        match draw(st.sampled_from(["values", "array", "remove", "repeat"])):
            case "values" if arrays[key].size and arrays[key].dtype.kind in "fiu":
                arrays[key] = _spoil_values(draw, arrays[key])
            case "remove" if len(arrays) > 1:
                del arrays[key]
            case "repeat" if arrays[key].ndim:
                arrays[key] = np.concatenate([arrays[key]] * draw(st.integers(2, 3)))
            case _:
                arrays[key] = _array(draw)
    return arrays


RMD17 = {"source": "rmd17", "n_train_pool": 6, "n_valid": 3, "n_test": 3}


def _damaged(draw: st.DrawFn, content: bytes) -> bytes:
    """Bytes cut, flipped, or left as they are."""
    match draw(st.sampled_from(["cut", "flip", "as it is", "as it is"])):
        case "cut":
            return content[: draw(st.integers(0, len(content)))]
        case "flip":
            at = draw(st.integers(0, len(content) - 1))
            return content[:at] + bytes([content[at] ^ draw(st.integers(1, 255))]) + content[at + 1 :]
    return content


@cases(250)
@given(st.data(), spoilt_arrays())
def test_spoilt_npz(folder: Path, data: st.DataObject, arrays: dict[str, Any]) -> None:
    held = io.BytesIO()
    data.draw(st.sampled_from([np.savez, np.savez_compressed]))(held, **arrays)
    content = data.draw(st.composite(_damaged)(held.getvalue()))
    if data.draw(st.booleans()):
        content = tarred(data.draw(MEMBERS), content)
    (folder / "spoilt.npz").write_bytes(content)
    before = set(folder.parent.rglob("*"))
    judge(datasets.parse(RMD17 | {"path": str(folder / "spoilt.npz"), "molecule": "water"}), folder / "work")
    assert all(path.is_relative_to(folder) for path in set(folder.parent.rglob("*")) - before)


MEMBERS = st.sampled_from(
    [
        "rmd17_water.npz",
        "npz_data/rmd17_water.npz",
        "../../rmd17_water.npz",
        "/tmp/rmd17_water.npz",
        "../rmd17_water.npz",
        "rmd17_other.npz",
        "a/" * 60 + "rmd17_water.npz",
    ]
)


def tarred(name: str, content: bytes, **changes: Any) -> bytes:
    """A compressed archive with one member."""
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w:bz2") as archive:
        entry = tarfile.TarInfo(name)
        entry.size = len(content)
        for key, value in changes.items():
            setattr(entry, key, value)
        archive.addfile(entry, io.BytesIO(content) if entry.isreg() else None)
    return held.getvalue()


@st.composite
def spoilt_molecules(draw: st.DrawFn) -> dict[str, dict[str, Any]]:
    """Properties by the path of each configuration, as in a file of QM7-X, with up to two changes."""
    found = {}
    for number in range(1, 7):
        for index, frame in enumerate(waters(2, number)):
            found[f"{number}/Geom-m{number}-i1-c1-{index or 'opt'}"] = {
                qm7x.NUMBERS: frame.numbers,
                qm7x.POSITIONS: frame.positions,
                qm7x.ENERGY: np.array([frame.info["REF_energy"]]),
                qm7x.FORCES: frame.arrays["REF_forces"],
            }
    for _ in range(draw(st.integers(1, 2))):
        place = draw(st.sampled_from(sorted(found)))
        key = draw(st.sampled_from(sorted(found[place])))
        match draw(st.sampled_from(["values", "array", "remove", "link", "huge", "group", "external"])):
            case "values" if isinstance(found[place][key], np.ndarray) and found[place][key].dtype.kind in "fiu":
                if found[place][key].size:
                    found[place][key] = _spoil_values(draw, found[place][key])
            case "remove" if len(found[place]) > 1:
                del found[place][key]
            case "array":
                array = _array(draw)
                found[place][key] = array.astype("S30") if array.dtype.kind in "UM" else array
            case name:
                found[place][key] = name
    return found


def write_hdf5(path: Path, found: dict[str, dict[str, Any]], folder: Path) -> None:
    with h5py.File(path, "w") as file:
        for place, values in found.items():
            group = file.require_group(place)
            for key, value in values.items():
                if isinstance(value, np.ndarray):
                    group[key] = value
                elif value == "link":
                    group[key] = h5py.ExternalLink(str(folder / "secret.h5"), "numbers")
                elif value == "huge":
                    group.create_dataset(key, shape=(10**12, 3), chunks=(1000, 3), dtype="f8")
                elif value == "external":
                    group.create_dataset(key, shape=(3, 3), dtype="f8", external=[("/etc/passwd", 0, 72)])
                else:
                    group.create_group(key)


@cases(200)
@given(st.data(), spoilt_molecules())
def test_spoilt_hdf5(folder: Path, data: st.DataObject, found: dict[str, dict[str, Any]]) -> None:
    path = folder / "spoilt.hdf5"
    write_hdf5(path, found, folder)
    path.write_bytes(data.draw(st.composite(_damaged)(path.read_bytes())))
    config = datasets.parse({"source": "qm7x", "files": [{"path": str(path)}]})
    if judge(config, folder):
        assert all(isinstance(value, np.ndarray) for values in found.values() for value in values.values())


FORMATS = {
    "xyz": "xyz",
    "extxyz": "extxyz",
    "pdb": "proteindatabank",
    "gen": "gen",
    "cif": "cif",
    "json": "json",
    "traj": "traj",
    "com": "gaussian-in",
    "cube": "cube",
    "vasp": "vasp",
    "in": "aims",
}


@cases(150)
@given(st.data(), st.sampled_from(sorted(FORMATS)))
def test_spoilt_structure_file(folder: Path, data: st.DataObject, suffix: str) -> None:
    path = folder / f"spoilt.{suffix}"
    content = (folder / f"molecule.{suffix}").read_bytes()
    for _ in range(data.draw(st.integers(0, 2))):
        content = data.draw(st.composite(_damaged)(content)) or b"0"
        words = content.split(b" ")
        words[data.draw(st.integers(0, len(words) - 1))] = data.draw(WORDS | COUNTS).encode()
        content = b" ".join(words)
    path.write_bytes(content)
    try:
        read = from_file(path)
    except InputError as error:
        check_sentences(error)
        return
    assert set(read.numbers) <= set(atomic_numbers.values()) - {0}
    assert np.abs(read.positions).max() <= LARGEST_COORDINATE_A
    assert not read.pbc.any()
