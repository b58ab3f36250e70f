"""Cheap vectorised potentials with cells, whose averages are known or whose checks are sharp."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.build import bulk, molecule

from longhot.potential import BatchResult, Label


class Toy:
    """A potential that is its own batch: the same function of each replica's positions and cell."""

    cell_A: np.ndarray

    def energies(self, positions_A: np.ndarray, cell_A: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Energies (R,) and forces (R, N, 3) at positions (R, N, 3) in cells (R, 3, 3)."""
        raise NotImplementedError

    def batch(self, atoms: Atoms, n_replicas: int) -> Toy:
        self.cell_A = np.asarray(atoms.cell)
        return self

    def batch_sizes(self, n_replicas: int) -> list[int]:
        return list(range(n_replicas, 0, -1))

    def compute(self, positions_A: np.ndarray, cell_A: np.ndarray | None = None) -> BatchResult:
        cells = np.broadcast_to(self.cell_A, (len(positions_A), 3, 3)) if cell_A is None else cell_A
        return BatchResult(*self.energies(positions_A, cells))

    def predict(self, frames: Sequence[Atoms]) -> list[Label]:
        labels = []
        for atoms in frames:
            energy, forces = self.energies(atoms.positions[None], np.asarray(atoms.cell)[None])
            labels.append(Label(float(energy[0]), forces[0]))
        return labels


class Free(Toy):
    """An ideal gas."""

    def energies(self, positions_A: np.ndarray, cell_A: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return np.zeros(len(positions_A)), np.zeros_like(positions_A)


@dataclass
class Einstein(Toy):
    """Each atom on a spring to its own site, sites that move with the cell, and an energy of the volume.

    U = k/2 sum_i |r_i - s_i h|^2 + B/(2 V0) (V - V0)^2 with fractional sites s_i and the cell h. Integrated
    over the positions, the springs give the same at any volume, so at pressure P the volume is normal, with
    mean V0 (1 - P/B) and variance kT V0 / B; and U + PV less its least value is kT/2 times chi-squared with
    3N + 1 degrees of freedom.
    """

    sites: np.ndarray
    """Shape (N, 3)."""
    stiffness_eV_per_A2: float
    modulus_eV_per_A3: float
    rest_volume_A3: float

    def energies(self, positions_A: np.ndarray, cell_A: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        away = positions_A - self.sites @ cell_A
        swollen = np.linalg.det(cell_A) - self.rest_volume_A3
        energy = 0.5 * self.stiffness_eV_per_A2 * (away**2).sum(axis=(1, 2))
        energy += 0.5 * self.modulus_eV_per_A3 / self.rest_volume_A3 * swollen**2
        return energy, -self.stiffness_eV_per_A2 * away


@dataclass
class EinsteinBox(Toy):
    """The same springs in a box whose sides are on springs too, for moves of one side alone.

    U = k/2 sum_i |r_i - s_i h|^2 + sum_a K_a/2 (L_a - L0_a)^2 with the sides L_a of the box h. Integrated over
    the positions, the density of the sides is exp(-(sum_a K_a/2 (L_a - L0_a)^2 + P L_x L_y L_z) / kT).
    """

    sites: np.ndarray
    """Shape (N, 3)."""
    stiffness_eV_per_A2: float
    side_stiffness_eV_per_A2: np.ndarray
    """Shape (3,)."""
    rest_A: np.ndarray
    """Sides at rest, shape (3,)."""

    def energies(self, positions_A: np.ndarray, cell_A: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        away = positions_A - self.sites @ cell_A
        longer = np.diagonal(cell_A, axis1=1, axis2=2) - self.rest_A
        energy = 0.5 * self.stiffness_eV_per_A2 * (away**2).sum(axis=(1, 2))
        energy += 0.5 * (self.side_stiffness_eV_per_A2 * longer**2).sum(axis=1)
        return energy, -self.stiffness_eV_per_A2 * away


@dataclass
class Bonds(Toy):
    """Morse bonds, D (1 - exp(-a (r - r0)))^2, between fixed pairs of atoms and fixed images of them."""

    first: np.ndarray
    second: np.ndarray
    image: np.ndarray
    """Shape (B, 3), in cell vectors: the bond goes from ``first`` to ``second`` moved by these."""
    length_A: np.ndarray
    """Length at rest, shape (B,)."""
    depth_eV: float
    range_per_A: float

    def __post_init__(self) -> None:
        n_atoms, n_bonds = 1 + max(self.first.max(), self.second.max()), len(self.first)
        self._ends = np.zeros((n_bonds, n_atoms))
        np.add.at(self._ends, (np.arange(n_bonds), self.second), 1)
        np.add.at(self._ends, (np.arange(n_bonds), self.first), -1)

    def _stretch(self, positions_A: np.ndarray, cell_A: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Vectors (R, B, 3), lengths (R, B) and exp(-a (r - r0)) (R, B)."""
        vectors = self._ends @ positions_A + self.image @ cell_A
        length = np.sqrt(np.einsum("rbk,rbk->rb", vectors, vectors))
        return vectors, length, np.exp(-self.range_per_A * (length - self.length_A))

    def energies(self, positions_A: np.ndarray, cell_A: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        vectors, length, decay = self._stretch(positions_A, cell_A)
        pull = 2 * self.depth_eV * self.range_per_A * (1 - decay) * decay / length
        vectors *= pull[..., None]
        return self.depth_eV * ((1 - decay) ** 2).sum(axis=1), -(self._ends.T @ vectors)

    def laplacian_eV_per_A2(self, positions_A: np.ndarray, cell_A: np.ndarray) -> np.ndarray:
        """Trace of the Hessian, shape (R,): phi'' + 2 phi'/r of each bond at each of its ends."""
        _, length, decay = self._stretch(positions_A, cell_A)
        slope = 2 * self.depth_eV * self.range_per_A * (1 - decay) * decay
        curvature = 2 * self.depth_eV * self.range_per_A**2 * (2 * decay - 1) * decay
        return 2 * (curvature + 2 * slope / length).sum(axis=1)


def bonded_molecule() -> tuple[Atoms, Bonds]:
    """Ethanol, half as large again, with a soft bond between each two atoms: three masses, periods above 40 fs.

    At its own size the soft bonds would let atoms overlap, which is a failure.
    """
    atoms = molecule("CH3CH2OH")
    atoms.positions *= 1.5
    first, second = np.triu_indices(len(atoms), k=1)
    length = np.linalg.norm(atoms.positions[first] - atoms.positions[second], axis=1)
    image = np.zeros((len(first), 3))
    return atoms, Bonds(first, second, image, length, depth_eV=1.0, range_per_A=0.35)


def bonded_crystal(swollen: float = 1.0) -> tuple[Atoms, Bonds]:
    """Eight atoms of a face-centred cubic metal in a skew cell, each bonded to its twelve neighbours.

    ``swollen`` scales the cell that the run starts from.
    """
    from ase.neighborlist import neighbor_list

    atoms = bulk("Ag", "fcc", a=4.09) * (2, 2, 2)
    first, second, image = neighbor_list("ijS", atoms, 3.3)
    once = first < second
    first, second, image = first[once], second[once], image[once].astype(float)
    assert len(first) == 6 * len(atoms)
    atoms.set_cell(swollen * atoms.cell, scale_atoms=True)
    return atoms, Bonds(first, second, image, np.full(len(first), 4.09 / np.sqrt(2)), depth_eV=0.25, range_per_A=1.4)
