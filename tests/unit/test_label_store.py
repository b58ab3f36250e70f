"""The store of labels: what a key depends on, exact numbers, and damage."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule

from longhot import references
from longhot.block import InputError
from longhot.files import read_json
from longhot.potential import Label
from longhot.references import xtb
from longhot.references._store import LabelStore, frame_key

XTB = references.parse({"method": "xtb"})
FORCES = np.random.default_rng(0).normal(size=(3, 3)) / 3


def same(a: Label | None, b: Label) -> bool:
    assert a is not None
    np.testing.assert_array_equal(a.forces_eV_per_A, b.forces_eV_per_A)
    others = [{**vars(one), "forces_eV_per_A": None, "energy_eV": repr(one.energy_eV)} for one in (a, b)]
    return others[0] == others[1]


GOOD = Label(-1 / 3, FORCES, wall_s=0.1, attempts=2)
FAILED = Label(np.nan, np.full((3, 3), np.nan), "not_converged", 'no "convergence"\u00e9')


def water(**change: Any) -> Atoms:
    atoms = molecule("H2O")
    for name, value in change.items():
        setattr(atoms, name, value)
    return atoms


def moved_by_one_ulp() -> Atoms:
    atoms = water()
    atoms.positions[2, 2] = np.nextafter(atoms.positions[2, 2], 1.0)
    return atoms


def magnetic() -> Atoms:
    atoms = water()
    atoms.set_initial_magnetic_moments([1.0, 0.0, 0.0])
    return atoms


def test_key_depends_on_all_that_a_label_depends_on_and_on_nothing_else() -> None:
    frames = [
        water(),
        water(numbers=[8, 1, 3]),
        moved_by_one_ulp(),
        water(cell=[5.0, 5.0, 5.0]),
        water(pbc=[True, False, False]),
        magnetic(),
    ]
    assert len({frame_key(frame) for frame in frames}) == len(frames)
    assert frame_key(water(info={"test_set": "hot"})) == frame_key(water())


def test_labels_come_back_bit_for_bit(tmp_path: Path) -> None:
    store = LabelStore(tmp_path, XTB)
    store.put("a" * 64, GOOD)
    store.put("b" * 64, FAILED)
    for reader in (store, LabelStore(tmp_path, XTB)):
        assert same(reader.get("a" * 64), GOOD)
        assert same(reader.get("b" * 64), FAILED)
        assert reader.get("c" * 64) is None


@pytest.mark.parametrize("status", ["crashed", "nonfinite"])
def test_crashes_are_not_kept(status: Any, tmp_path: Path) -> None:
    store = LabelStore(tmp_path, XTB)
    store.put("a" * 64, Label(np.nan, FORCES, status, "out of memory"))
    assert store.get("a" * 64) is None


def test_other_settings_another_library_or_method_share_nothing(tmp_path: Path, monkeypatch: Any) -> None:
    blocks = [{"method": "xtb"}, {"method": "xtb", "accuracy": 0.1}, {"method": "tblite"}]
    stores = [LabelStore(tmp_path, references.parse(block)) for block in blocks]
    monkeypatch.setattr(xtb, "version", lambda config: "xtb 99")
    stores.append(LabelStore(tmp_path, XTB))
    assert len({store.directory for store in stores}) == 4
    assert read_json(stores[3].directory / "reference.json")["version"] == "xtb 99"


def test_processes_read_what_others_wrote_and_never_write_to_their_files(tmp_path: Path) -> None:
    first, second = LabelStore(tmp_path, XTB), LabelStore(tmp_path, XTB)
    first.put("a" * 64, GOOD)
    second.put("a" * 64, GOOD)
    second.put("b" * 64, FAILED)
    assert len(list(first.directory.glob("*.labels"))) == 2
    third = LabelStore(tmp_path, XTB)
    assert same(third.get("a" * 64), GOOD)
    assert same(third.get("b" * 64), FAILED)


def spoil_a_byte(content: bytes) -> bytes:
    place = content.index(b"-0.33")
    return content[:place] + b"+" + content[place + 1 :]


@pytest.mark.parametrize(
    ("spoil", "readable"),
    [
        (spoil_a_byte, False),
        (lambda content: content[:-20], False),
        (lambda content: b"\x00" * len(content), False),
        (lambda content: content[:70], False),
        (lambda content: content.rstrip(b"\n"), True),
    ],
    ids=["changed", "cut off", "zeros", "key alone", "no line end"],
)
def test_damaged_entry_is_labelled_anew_and_spoils_no_other(
    spoil: Any, readable: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = LabelStore(tmp_path, XTB)
    store.put("a" * 64, GOOD)
    (path,) = store.directory.glob("*.labels")
    content = spoil(path.read_bytes())
    path.unlink()
    # The damaged file comes both before and after the good one in the order of the folder.
    for name in ("0.labels", "z.labels"):
        (store.directory / name).write_bytes(content)
    again = LabelStore(tmp_path, XTB)
    assert (again.get("a" * 64) is not None) == readable
    said = [
        f"{store.directory / name}: line 1 is damaged and is left out; its frame is labelled again"
        for name in ("0.labels", "z.labels")
    ]
    assert [record.message for record in caplog.records] == ([] if readable else said)
    again.put("a" * 64, GOOD)
    again.put("b" * 64, FAILED)
    last = LabelStore(tmp_path, XTB)
    assert same(last.get("a" * 64), GOOD)
    assert same(last.get("b" * 64), FAILED)


@pytest.mark.parametrize("place", [3, 70, 120], ids=["key", "digest", "numbers"])
def test_each_damaged_line_is_named_once(place: int, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Wherever one bit of it is wrong: the line is no label, and the others are."""
    store = LabelStore(tmp_path, XTB)
    for letter in "abc":
        store.put(letter * 64, GOOD)
    (path,) = store.directory.glob("*.labels")
    first, second, third = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(first + second[:place] + bytes([second[place] ^ 1]) + second[place + 1 :] + third)
    again = LabelStore(tmp_path, XTB)
    for letter in ("a", "c", "b", "b"):
        assert (again.get(letter * 64) is None) == (letter == "b")
    assert [record.message for record in caplog.records] == [
        f"{path}: line 2 is damaged and is left out; its frame is labelled again"
    ]


def test_label_that_is_damaged_while_the_store_is_open(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = LabelStore(tmp_path, XTB)
    store.put("a" * 64, GOOD)
    (path,) = store.directory.glob("*.labels")
    path.write_bytes(spoil_a_byte(path.read_bytes()))
    assert store.get("a" * 64) is None
    assert f"{path}: the label at byte 0 is damaged; its frame is labelled again" in caplog.text


def test_digest_is_of_sha256(tmp_path: Path) -> None:
    store = LabelStore(tmp_path, XTB)
    store.put("a" * 64, GOOD)
    (path,) = store.directory.glob("*.labels")
    key, digest, text = path.read_text().rstrip("\n").split(" ", 2)
    assert digest == hashlib.sha256(f"{key} {text}".encode()).hexdigest()[:16]


def test_missing_library_is_one_sentence(tmp_path: Path, monkeypatch: Any) -> None:
    from importlib.metadata import PackageNotFoundError

    def missing(config: Any) -> str:
        raise PackageNotFoundError("xtb")

    monkeypatch.setattr(xtb, "version", missing)
    with pytest.raises(InputError, match=r"method xtb: .*xtb.*, install it"):
        LabelStore(tmp_path, XTB)
