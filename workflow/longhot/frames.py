"""Labelled frames: ASE Atoms with the reference's energy and forces under two fixed keys.

The keys are those that mace_run_train reads by default, so every file that Longhot writes can be
used there as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from longhot.files import atomic_path
from longhot.stand_ins import stand_ins

if TYPE_CHECKING:
    from ase import Atoms

ENERGY = "REF_energy"
"""Key in ``atoms.info``: total energy in eV."""
FORCES = "REF_forces"
"""Key in ``atoms.arrays``: forces in eV/A, shape (n_atoms, 3)."""
TEST_SET = "test_set"
"""Key in ``atoms.info`` of a test frame: the name of the test set that it belongs to."""


def ase_io() -> Any:
    """The module ase.io, without the integrals that ASE takes of densities of states: they bring scipy.stats, 0.3 s."""
    with stand_ins("scipy.integrate"):
        import ase.dft
        import ase.io

    return ase.io


def evenly_spread(n_frames: int, at_most: int) -> np.ndarray:
    """Indices of at most so many of ``n_frames`` frames, ascending, the first and the last of them included."""
    return np.unique(np.linspace(0, n_frames - 1, min(n_frames, at_most)).round().astype(int))


def labelled(atoms: Atoms, energy_eV: float, forces_eV_per_A: np.ndarray) -> Atoms:
    """Copy of ``atoms`` without calculator that carries the two labels."""
    frame = atoms.copy()
    frame.calc = None
    frame.info[ENERGY] = float(energy_eV)
    frame.arrays[FORCES] = np.array(forces_eV_per_A, dtype=float)
    return frame


def energies(frames: Sequence[Atoms]) -> np.ndarray:
    """Reference energies in eV, shape (n_frames,)."""
    return np.array([frame.info[ENERGY] for frame in frames], dtype=float)


def forces(frames: Sequence[Atoms]) -> list[np.ndarray]:
    """Reference forces in eV/A, one (n_atoms, 3) array a frame."""
    return [frame.arrays[FORCES] for frame in frames]


def write(path: str | Path, frames: Sequence[Atoms]) -> None:
    """Write frames as extended XYZ, atomically, to 1e-8 A and 1e-8 eV/A."""
    with atomic_path(path) as temporary:
        ase_io().write(temporary, list(frames), format="extxyz", write_results=False)


def read(path: str | Path) -> list[Atoms]:
    """Read all frames of an extended XYZ file that Longhot wrote."""
    return ase_io().read(path, ":", format="extxyz")


def same_atoms(frames: Sequence[Atoms]) -> bool:
    """Whether all frames are non-periodic and hold the same elements in the same order."""
    first = frames[0].numbers
    return all(
        not frame.pbc.any() and len(frame) == len(first) and bool((frame.numbers == first).all()) for frame in frames
    )
