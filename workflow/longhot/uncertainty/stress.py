"""Stresses of any potential, by strain: it needs no stress of its own, so committees of every family have one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from ase import units

if TYPE_CHECKING:
    from ase import Atoms

    from longhot.potential import Potential

STRAIN = 2e-3
"""Half the width of the difference: its error, of third order in the strain, is some 1e-5 of an elastic modulus; the
rounding of an energy of 1e-5 eV in 1000 A^3 is 0.4 MPa."""
VOIGT = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))


def strained(atoms: Atoms, component: int, strain: float) -> Atoms:
    """The frame with its cell and positions under one symmetric strain.

    Args:
        atoms: a frame with a cell.
        component: in Voigt order xx, yy, zz, yz, xz, xy.
        strain: of the tensor, so half of the engineering shear.
    """
    deformation = np.eye(3)
    first, second = VOIGT[component]
    deformation[first, second] += strain
    if first != second:
        deformation[second, first] += strain
    copy = atoms.copy()
    copy.set_cell(atoms.cell.array @ deformation, scale_atoms=True)
    return copy


def stresses_GPa(potential: Potential, frames: Sequence[Atoms]) -> np.ndarray:
    """Stress of each frame by central differences of the energy under strain, tension positive.

    Args:
        potential: a model or a reference.
        frames: periodic in all directions.

    Returns:
        Shape (n_frames, 6) in Voigt order xx, yy, zz, yz, xz, xy; NaN where the potential gives no energy.
    """
    moved = [
        strained(atoms, component, strain)
        for atoms in frames
        for component in range(len(VOIGT))
        for strain in (STRAIN, -STRAIN)
    ]
    energies_eV = np.array([label.energy_eV for label in potential.predict(moved)], dtype=float)
    plus, minus = np.moveaxis(energies_eV.reshape(len(frames), len(VOIGT), 2), 2, 0)
    # A shear strain changes two components of the tensor at once.
    weights = np.array([1.0, 1.0, 1.0, 2.0, 2.0, 2.0])
    volumes_A3 = np.array([atoms.get_volume() for atoms in frames])
    return (plus - minus) / (2 * STRAIN * weights) / volumes_A3[:, None] / units.GPa
