"""Frames displaced along the normal modes of a molecule, as classical harmonic vibrations would be."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from longhot.block import InputError

if TYPE_CHECKING:
    from ase import Atoms

    from longhot.potential import BatchPotential

DISPLACEMENT_A = 0.005
"""Step of the finite difference of the forces."""
SOFTEST_EV_PER_A2_U = 1e-2
"""Eigenvalues of the mass-weighted Hessian below this (about 50 cm-1) are rotations, translations or too
soft for the harmonic picture."""


def mass_weighted_hessian(atoms: Atoms, potential: BatchPotential) -> np.ndarray:
    """H_ij / sqrt(m_i m_j) in eV/A^2/u by central differences, shape (3 n_atoms, 3 n_atoms).

    Raises:
        InputError: the reference fails on a displaced structure.
    """
    n = 3 * len(atoms)
    hessian = np.empty((n, n))
    for coordinate in range(n):
        sides = []
        for sign in (1.0, -1.0):
            positions_A = atoms.positions.copy()
            positions_A.flat[coordinate] += sign * DISPLACEMENT_A
            found = potential.compute(positions_A[None])
            if found.errors:
                raise InputError(f"normal modes: the reference fails on a displaced structure ({found.errors[0]})")
            sides.append(found.forces_eV_per_A[0].ravel())
        hessian[coordinate] = -(sides[0] - sides[1]) / (2.0 * DISPLACEMENT_A)
    weights = np.repeat(atoms.get_masses() ** -0.5, 3)
    return 0.5 * (hessian + hessian.T) * np.outer(weights, weights)


def displaced(
    atoms: Atoms, hessian: np.ndarray, temperature_K: float, n_frames: int, generator: np.random.Generator
) -> np.ndarray:
    """Positions in A, shape (n_frames, n_atoms, 3): each mode has the variance kT / lambda of its eigenvalue."""
    from ase import units

    eigenvalues, modes = np.linalg.eigh(hessian)
    stiff = eigenvalues > SOFTEST_EV_PER_A2_U
    amplitudes = np.sqrt(units.kB * temperature_K / eigenvalues[stiff])
    along = generator.normal(size=(n_frames, int(stiff.sum()))) * amplitudes
    weights = np.repeat(atoms.get_masses() ** -0.5, 3)
    return atoms.positions + (along @ modes[:, stiff].T * weights).reshape(n_frames, len(atoms), 3)
