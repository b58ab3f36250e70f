"""What a calculator may read of a frame, and its way to another process."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ase import Atoms

FRAME_ARRAYS = ("initial_magmoms", "initial_charges")
"""Arrays of a frame, besides its elements and positions, that a calculator may read."""
Packed = tuple[bytes, bytes, bytes, bytes, dict[str, np.ndarray]]


def pack(atoms: Atoms) -> Packed:
    """What a calculator may read of a frame, and the key of its label covers; bytes, which pickle fast."""
    extra = {name: atoms.arrays[name] for name in FRAME_ARRAYS if name in atoms.arrays}
    return atoms.numbers.tobytes(), atoms.positions.tobytes(), atoms.cell.array.tobytes(), atoms.pbc.tobytes(), extra


def unpack(numbers: bytes, positions: bytes, cell: bytes, pbc: bytes, extra: dict[str, np.ndarray]) -> Atoms:
    """The frame again, without what else it carried."""
    from ase import Atoms

    frame = Atoms(
        np.frombuffer(numbers, dtype=int),
        np.frombuffer(positions).reshape(-1, 3),
        cell=np.frombuffer(cell).reshape(3, 3),
        pbc=np.frombuffer(pbc, dtype=bool),
    )
    for name, values in extra.items():
        frame.set_array(name, values)
    return frame
