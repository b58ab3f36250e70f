"""Interface pinning: a bias that keeps a cell half solid and half liquid.

    U = kappa/2 (Q - a)^2,  Q = |rho| / sqrt(N),  rho = sum_j exp(i k.r_j)

over N sites, with the anchor a and a reciprocal vector k of the cell (Pedersen et al., Phys. Rev. B 88, 094101,
2013; Pedersen, J. Chem. Phys. 139, 104102, 2013). With integers n_x, n_y and n_z, k.r is 2 pi n.s at the
fractional position s, so k follows the cell; in a box, n_z = 0 makes Q the same at any length along z. A perfect
crystal of structure factor S has Q = sqrt(N) |S|; in a liquid Q is of order 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from longhot.block import InputError
from longhot.potential import BatchPotential, BatchResult, Label

if TYPE_CHECKING:
    from ase import Atoms

    from longhot.potential import Potential


def wave_vector_per_A(cell_A: np.ndarray, k_indices: Sequence[int]) -> np.ndarray:
    """The wave vector k = 2 pi h^-1 n in 1/A of cells h, shape (..., 3).

    Args:
        cell_A: cell vectors as rows, shape (..., 3, 3).
        k_indices: integers n_x, n_y, n_z.
    """
    return 2 * np.pi * np.linalg.inv(cell_A) @ np.asarray(k_indices, dtype=float)


def order_parameter(positions_A: np.ndarray, cell_A: np.ndarray, k_indices: Sequence[int]) -> np.ndarray:
    """Q of each frame, shape (...).

    Args:
        positions_A: of the sites alone, in whatever image, shape (..., n_sites, 3).
        cell_A: cell vectors as rows, one cell or one a frame, shape (..., 3, 3).
        k_indices: integers n_x, n_y, n_z.
    """
    waves = _waves(positions_A, wave_vector_per_A(cell_A, k_indices))
    return np.abs(waves.sum(axis=-1)) / np.sqrt(waves.shape[-1])


def order_parameter_gradient(
    positions_A: np.ndarray, cell_A: np.ndarray, k_indices: Sequence[int]
) -> tuple[np.ndarray, np.ndarray]:
    """Q and dQ/dr_j = Im(rho exp(-i k.r_j)) k / (|rho| sqrt(N)), of the arguments of ``order_parameter``.

    Where rho is zero the gradient has no direction, and is given as zero.

    Returns:
        Q, shape (...), and its gradient in 1/A, shape (..., n_sites, 3).
    """
    k_per_A = wave_vector_per_A(cell_A, k_indices)
    waves = _waves(positions_A, k_per_A)
    rho, root = waves.sum(axis=-1), np.sqrt(waves.shape[-1])
    size = np.abs(rho)
    direction = rho / np.where(size == 0, 1.0, size)
    slope = (direction[..., None] * waves.conj()).imag / root  # (..., n_sites)
    return size / root, slope[..., None] * k_per_A[..., None, :]


def _waves(positions_A: np.ndarray, k_per_A: np.ndarray) -> np.ndarray:
    """exp(i k.r_j), shape (..., n_sites)."""
    # In C order, sums over sites add up in the same order in any batch.
    return np.exp(1j * np.einsum("...nx,...x->...n", positions_A, k_per_A, order="C"))


@dataclass(frozen=True)
class PinnedPotential:
    """A potential with the bias on top; implements ``longhot.potential.Potential``."""

    base: Potential
    anchor: float
    """a, between Q of the liquid and that of the solid."""
    kappa_eV: float
    k_indices: tuple[int, int, int]
    """Multiples of the reciprocal cell vectors, in the cross-section, where the solid has a Bragg peak."""
    sites: Sequence[int] | np.ndarray
    """Indices of the atoms that Q counts."""

    def predict(self, frames: Sequence[Atoms]) -> list[Label]:
        """Biased energy and forces of each frame; none where the base has none.

        Raises:
            InputError: a frame is not periodic in all directions.
        """
        return [
            self._biased_label(label, frame.positions, _cell_of(frame))
            for label, frame in zip(self.base.predict(frames), frames, strict=True)
        ]

    def _biased_label(self, label: Label, positions_A: np.ndarray, cell_A: np.ndarray) -> Label:
        alone = BatchResult(np.array([label.energy_eV]), label.forces_eV_per_A[None])
        biased = self.biased(alone, positions_A[None], cell_A)
        return replace(label, energy_eV=float(biased.energy_eV[0]), forces_eV_per_A=biased.forces_eV_per_A[0])

    def batch(self, atoms: Atoms, n_replicas: int) -> PinnedBatch:
        """A biased batch for ``n_replicas`` copies of ``atoms``.

        Raises:
            InputError: ``atoms`` are not periodic in all directions.
        """
        return PinnedBatch(self, self.base.batch(atoms, n_replicas), _cell_of(atoms))

    def batch_sizes(self, n_replicas: int) -> list[int]:
        """Sizes that suit the base."""
        return self.base.batch_sizes(n_replicas)

    def biased(self, result: BatchResult, positions_A: np.ndarray, cell_A: np.ndarray) -> BatchResult:
        """The result of the base with the bias added.

        Args:
            result: of n_replicas.
            positions_A: of all atoms, shape (n_replicas, n_atoms, 3).
            cell_A: cell vectors as rows, one cell or one a replica, shape (..., 3, 3).
        """
        order, gradient = order_parameter_gradient(positions_A[:, self.sites], cell_A, self.k_indices)
        away = order - self.anchor
        forces_eV_per_A = result.forces_eV_per_A.copy()
        forces_eV_per_A[:, self.sites] -= self.kappa_eV * away[:, None, None] * gradient
        energy_eV = result.energy_eV + 0.5 * self.kappa_eV * away**2
        return replace(result, energy_eV=energy_eV, forces_eV_per_A=forces_eV_per_A)


def _cell_of(atoms: Atoms) -> np.ndarray:
    """Cell vectors as rows, shape (3, 3)."""
    if not atoms.pbc.all():
        raise InputError("interface pinning: needs frames that are periodic in all directions")
    return atoms.cell.array


class PinnedBatch:
    """Replicas of the same atoms: a batch of the base, with the bias on top."""

    def __init__(self, pinned: PinnedPotential, base: BatchPotential, cell_A: np.ndarray) -> None:
        self._pinned, self._base, self._cell_A = pinned, base, cell_A

    def reset(self) -> None:
        """Let the base forget everything of earlier calls."""
        if hasattr(self._base, "reset"):
            self._base.reset()

    def compute(self, positions_A: np.ndarray, cell_A: np.ndarray | None = None) -> BatchResult:
        """Biased energies and forces; shapes as in ``longhot.potential.BatchPotential``."""
        result = self._base.compute(positions_A, cell_A)
        return self._pinned.biased(result, positions_A, self._cell_A if cell_A is None else cell_A)
