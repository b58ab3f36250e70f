"""What everything that gives energies and forces has in common: models and references alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np

if TYPE_CHECKING:
    from ase import Atoms

LabelStatus = Literal["ok", "not_converged", "nonfinite", "crashed", "timeout"]


@dataclass(frozen=True)
class Label:
    """Energy and forces of one frame, or the typed reason why there are none."""

    energy_eV: float
    forces_eV_per_A: np.ndarray
    """Shape (n_atoms, 3); NaN where ``status`` is not ``ok``."""
    status: LabelStatus = "ok"
    message: str = ""
    wall_s: float = 0.0
    attempts: int = 1
    """Calculations that were tried: a second one with safer settings follows where the SCF did not converge."""


@dataclass(frozen=True)
class BatchResult:
    """Energies and forces of all replicas of one batch."""

    energy_eV: np.ndarray
    """Shape (n_replicas,)."""
    forces_eV_per_A: np.ndarray
    """Shape (n_replicas, n_atoms, 3)."""
    errors: dict[int, str] = field(default_factory=dict)
    """Cause, by replica, where the calculation itself failed; the numbers of such a replica are NaN."""


class BatchPotential(Protocol):
    """A potential for a fixed number of replicas of the same atoms.

    A potential that keeps anything from call to call also gives ``reset()``, which forgets it.
    """

    def compute(self, positions_A: np.ndarray, cell_A: np.ndarray | None = None) -> BatchResult:
        """Energies and forces of all replicas.

        Args:
            positions_A: float64, shape (n_replicas, n_atoms, 3).
            cell_A: cell vectors as rows, shape (n_replicas, 3, 3); absent: those of the atoms of the batch.
        """
        ...


class Potential(Protocol):
    """A fitted model or a reference method."""

    def predict(self, frames: Sequence[Atoms]) -> list[Label]:
        """Energy and forces of each frame; frames may differ in their atoms."""
        ...

    def batch(self, atoms: Atoms, n_replicas: int) -> BatchPotential:
        """A potential for ``n_replicas`` copies of ``atoms`` (elements, cell and pbc count)."""
        ...

    def batch_sizes(self, n_replicas: int) -> list[int]:
        """Sizes that a batch of ``n_replicas`` may shrink to as replicas end, itself first, descending."""
        ...


def every_size(n_replicas: int) -> list[int]:
    """Sizes of batches whose replicas are computed one by one: no place is ever wasted."""
    return list(range(n_replicas, 0, -1))


def halved_sizes(n_replicas: int) -> list[int]:
    """Sizes of batches with padded shapes: n, n/2, n/4 and so on to 1, so that few shapes occur."""
    sizes = [n_replicas]
    while sizes[-1] > 1:
        sizes.append((sizes[-1] + 1) // 2)
    return sizes
