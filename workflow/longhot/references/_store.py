"""Labels kept by the hash of what they depend on, so that nothing is ever labelled twice.

A folder for each reference method with its settings and the version of the library behind it; in it, files
of one line a label. Each process that labels appends to a file of its own and only reads those of others,
so any number of them may share the folder, on network file systems too: the worst that they can do is to
compute one frame both. Every line carries a digest: one that a kill cut off, or a disk damaged, is named in
the log, and its frame is labelled anew. (A file for each label would cost more than a fast method does.)
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import uuid
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from longhot.block import Block, InputError, plugin
from longhot.files import write_json
from longhot.potential import Label
from longhot.references._frames import FRAME_ARRAYS

if TYPE_CHECKING:
    from ase import Atoms

logger = logging.getLogger(__name__)

FORMAT = 2
"""Raise it when a plugin comes to give other numbers for the same settings and library, or lines are written in another
way: all is labelled anew."""
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
    """``key digest json``; the numbers come back from it bit for bit."""
    text = json.dumps({**vars(label), "forces_eV_per_A": label.forces_eV_per_A.tolist()})
    return f"{key} {_digest(key, text)} {text}\n".encode()


def _digest(key: str, text: str) -> str:
    """SHA-256, as far as no damage escapes it: 64 bits."""
    return hashlib.sha256(f"{key} {text}".encode()).hexdigest()[:16]


def _sound(line: bytes) -> tuple[str, str] | None:
    """Key and JSON of a line; None where the line is damaged."""
    try:
        key, digest, text = line.decode().rstrip("\n").split(" ", 2)
    except ValueError:
        return None
    return (key, text) if digest == _digest(key, text) else None


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
        self._places: dict[str, tuple[Path, int]] = {}
        for path in sorted(self.directory.glob("*.labels")):
            self._look_through(path)
        self._own: BinaryIO | None = None

    def _look_through(self, path: Path) -> None:
        """Note where the labels of a file are, and say which lines are damaged."""
        offset = 0
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                sound = _sound(line)
                if sound is None:
                    logger.warning("%s: line %d is damaged and is left out; its frame is labelled again", path, number)
                else:
                    self._places[sound[0]] = (path, offset)
                offset += len(line)

    def get(self, key: str) -> Label | None:
        """The label of a frame; None where there is none, or it was damaged since the store was opened."""
        if key not in self._places:
            return None
        path, offset = self._places[key]
        with path.open("rb") as file:
            file.seek(offset)
            sound = _sound(file.readline())
        if sound is None or sound[0] != key:
            logger.warning("%s: the label at byte %d is damaged; its frame is labelled again", path, offset)
            return None
        values = json.loads(sound[1])
        return Label(**{**values, "forces_eV_per_A": np.array(values["forces_eV_per_A"])})

    def put(self, key: str, label: Label) -> None:
        """Keep a label, where the same frame and settings would give it again."""
        if label.status not in STORED_STATUSES:
            return
        if self._own is None:
            self._own = (self.directory / f"{uuid.uuid4().hex}.labels").open("ab", buffering=0)
        self._places[key] = (Path(self._own.name), self._own.tell())
        self._own.write(_line(key, label))

    def close(self) -> None:
        """Write the labels of this process to disk for good."""
        if self._own is not None:
            os.fsync(self._own.fileno())
            self._own.close()
            self._own = None
