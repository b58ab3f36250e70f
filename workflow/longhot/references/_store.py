"""Labels kept by the hash of what they depend on, so that nothing is ever labelled twice.

A folder for each reference method with its settings and the version of the library behind it; in it, files
of one line a label. Each process that labels appends to a file of its own and only reads those of others,
so any number of them may share the folder, on network file systems too: the worst that they can do is to
compute one frame both. Every line carries a checksum: one that a kill cut off, or a disk damaged, counts as
absent, and its frame is labelled anew. (A file for each label would cost more than a fast method does.)
"""

from __future__ import annotations

import hashlib
import json
import os
import uuid
import zlib
from collections import defaultdict
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from longhot.block import Block, InputError, plugin
from longhot.files import write_json
from longhot.potential import Label

if TYPE_CHECKING:
    from ase import Atoms

FORMAT = 1
"""Raise it when a plugin comes to give other numbers for the same settings and library: all is labelled anew."""
FRAME_ARRAYS = ("initial_magmoms", "initial_charges")
"""Arrays of a frame, besides its elements and positions, that a calculator may read."""
STORED_STATUSES = ("ok", "not_converged")
"""What happens again with the same frame and settings; a crash may have come from the machine."""


def reference_identity(config: Block) -> dict[str, Any]:
    """All but the frame that a label depends on.

    Raises:
        InputError: the library is missing.
    """
    import longhot.references

    try:
        version = plugin(longhot.references, config.method).version(config)  # type: ignore[attr-defined]
    except PackageNotFoundError as error:
        raise InputError(f"reference method {config.method}: {error}, install it") from None  # type: ignore[attr-defined]
    return {"format": FORMAT, "settings": config.model_dump(mode="json"), "version": version}


def frame_key(atoms: Atoms) -> str:
    """SHA-256 of what a label depends on in a frame, in hexadecimal."""
    digest = hashlib.sha256()
    arrays = {"numbers": (atoms.numbers, "<i8"), "positions": (atoms.positions, "<f8")}
    arrays |= {"cell": (np.asarray(atoms.cell), "<f8"), "pbc": (atoms.pbc, "<i8")}
    arrays |= {name: (atoms.arrays[name], "<f8") for name in FRAME_ARRAYS if name in atoms.arrays}
    for name, (values, kind) in arrays.items():
        digest.update(f"{name} {values.shape}\n".encode() + np.ascontiguousarray(values, dtype=kind).tobytes())
    return digest.hexdigest()


def _line(key: str, label: Label) -> bytes:
    """``key checksum json``; the numbers come back from it bit for bit."""
    text = json.dumps({**vars(label), "forces_eV_per_A": label.forces_eV_per_A.tolist()})
    return f"{key} {_checksum(key, text)} {text}\n".encode()


def _checksum(key: str, text: str) -> str:
    return f"{zlib.crc32(f'{key} {text}'.encode()):08x}"


def _label(line: bytes) -> Label | None:
    """The label of a line; None where the line is damaged."""
    try:
        key, checksum, text = line.decode().rstrip("\n").split(" ", 2)
    except ValueError:
        return None
    if checksum != _checksum(key, text):
        return None
    values = json.loads(text)
    return Label(**{**values, "forces_eV_per_A": np.array(values["forces_eV_per_A"])})


class LabelStore:
    """The labels of one reference method."""

    def __init__(self, root: str | Path, config: Block) -> None:
        """Open the store below ``root``, a folder that all studies may share.

        Raises:
            InputError: the library behind the method is missing.
        """
        identity = reference_identity(config)
        canonical = json.dumps(identity, sort_keys=True, separators=(",", ":"))
        self.directory = Path(root) / hashlib.sha256(canonical.encode()).hexdigest()[:16]
        if not (self.directory / "reference.json").exists():
            write_json(self.directory / "reference.json", identity)
        self._places: defaultdict[str, list[tuple[Path, int]]] = defaultdict(list)
        for path in sorted(self.directory.glob("*.labels")):
            offset = 0
            with path.open("rb") as file:
                for line in file:
                    self._places[line[:64].decode(errors="replace")].append((path, offset))
                    offset += len(line)
        self._own: BinaryIO | None = None

    def get(self, key: str) -> Label | None:
        """The label of a frame; None where there is none, or a damaged one."""
        for path, offset in self._places.get(key, []):
            with path.open("rb") as file:
                file.seek(offset)
                found = _label(file.readline())
            if found is not None:
                return found
        return None

    def put(self, key: str, label: Label) -> None:
        """Keep a label, where the same frame and settings would give it again."""
        if label.status not in STORED_STATUSES:
            return
        if self._own is None:
            self._own = (self.directory / f"{uuid.uuid4().hex}.labels").open("ab", buffering=0)
        self._places[key].append((Path(self._own.name), self._own.tell()))
        self._own.write(_line(key, label))

    def close(self) -> None:
        """Write the labels of this process to disk for good."""
        if self._own is not None:
            os.fsync(self._own.fileno())
            self._own.close()
            self._own = None
