"""SOAP vectors of atoms and their derivatives, for molecules and periodic cells, through dscribe.

The power spectrum of Bartok, Kondor and Csanyi, Phys. Rev. B 87, 184115 (2013), normalised to unit length.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from longhot.block import InputError
from longhot.soap import soap

if TYPE_CHECKING:
    from ase import Atoms

    from longhot.models.gp import Config


@dataclass(frozen=True)
class Environments:
    """The surroundings of every atom of one frame."""

    numbers: np.ndarray
    """Atomic numbers, shape (n_atoms,)."""
    vectors: np.ndarray
    """Unit SOAP vectors p, shape (n_atoms, n_features)."""
    moved_by: list[np.ndarray]
    """By centre: the atoms whose positions change its vector, itself among them, each shape (n_near,)."""
    derivatives: list[np.ndarray]
    """By centre: dp/dr in 1/A for the atoms of ``moved_by``, each shape (n_near, 3, n_features)."""


class Descriptor:
    """Turns frames into environments."""

    def __init__(self, config: Config, elements: Iterable[str]) -> None:
        self.elements = sorted(elements)
        self._soap = soap(
            species=self.elements,
            r_cut=config.r_max_A,
            n_max=config.n_max,
            l_max=config.l_max,
            sigma=config.smearing_A,
            rbf="gto",
        )
        # Beyond this distance dscribe sees no atom: a neighbour's Gaussian may reach into the cutoff from outside it.
        self.reach_A = config.r_max_A + self._soap.get_cutoff_padding()

    def check(self, frame: Atoms) -> None:
        """Refuse what the descriptor does not know.

        Raises:
            InputError: an element that the model was not trained on.
        """
        unknown = sorted(set(frame.symbols) - set(self.elements))
        if unknown:
            raise InputError(
                f"gp: a frame ({frame.symbols}) holds {', '.join(unknown)}, but the model was fitted to "
                f"{', '.join(self.elements)} only: add such frames to the training set"
            )

    def environments(self, frame: Atoms) -> Environments:
        """SOAP vectors with analytic derivatives.

        dscribe has those for clusters only, so each atom stands in a cluster of the images around it, and
        the derivatives of all images of one atom are summed.

        Raises:
            InputError: an element that the model was not trained on.
        """
        self.check(frame)
        vectors, moved_by, derivatives = [], [], []
        for centre, (homes, cluster) in enumerate(self._clusters(frame)):
            gradient, raw = self._soap.derivatives(cluster, centers=[0], attach=True, method="analytical")
            length = np.linalg.norm(raw[0])
            p = raw[0] / length
            atoms, place = np.unique(np.append(centre, homes), return_inverse=True)
            folded = np.zeros((len(atoms), *gradient.shape[2:]))
            np.add.at(folded, place, gradient[0])
            # d(q/|q|) = (1 - p p^T) dq / |q|
            derivatives.append((folded - (folded @ p)[..., None] * p) / length)
            vectors.append(p)
            moved_by.append(atoms)
        return Environments(frame.numbers, np.array(vectors), moved_by, derivatives)

    def vectors(self, frame: Atoms) -> np.ndarray:
        """Unit SOAP vectors alone, shape (n_atoms, n_features)."""
        raw = np.concatenate([self._soap.create(cluster, centers=[0]) for _, cluster in self._clusters(frame)])
        return raw / np.linalg.norm(raw, axis=1, keepdims=True)

    def _clusters(self, frame: Atoms) -> Iterable[tuple[np.ndarray, Atoms]]:
        """By atom: the atoms whose images surround it, shape (n_images,), and the cluster of it and them."""
        from ase import Atoms
        from ase.neighborlist import neighbor_list

        first, second, vectors_A = neighbor_list("ijD", frame, self.reach_A)
        ends = np.searchsorted(first, np.arange(1, len(frame)))
        for number, homes, around in zip(frame.numbers, np.split(second, ends), np.split(vectors_A, ends), strict=True):
            positions = np.concatenate([np.zeros((1, 3)), around])
            yield homes, Atoms(np.append(number, frame.numbers[homes]), positions)
