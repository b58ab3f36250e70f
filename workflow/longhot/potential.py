"""What everything that gives energies and forces has in common: models and references alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np

if TYPE_CHECKING:
    from ase import Atoms

LabelStatus = Literal["ok", "not_converged", "nonfinite", "crashed"]


@dataclass(frozen=True)
class Label:
    """Energy and forces of one frame, or the typed reason why there are none."""

    energy_eV: float
    forces_eV_per_A: np.ndarray
    """Shape (n_atoms, 3); NaN where ``status`` is not ``ok``."""
    status: LabelStatus = "ok"
    message: str = ""
    wall_s: float = 0.0


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
    """A potential for a fixed number of replicas of the same atoms."""

    def compute(self, positions_A: np.ndarray) -> BatchResult:
        """Energies and forces at ``positions_A``, float64, shape (n_replicas, n_atoms, 3)."""
        ...


class Potential(Protocol):
    """A fitted model or a reference method."""

    def predict(self, frames: Sequence[Atoms]) -> list[Label]:
        """Energy and forces of each frame; frames may differ in their atoms."""
        ...

    def batch(self, atoms: Atoms, n_replicas: int) -> BatchPotential:
        """A potential for ``n_replicas`` copies of ``atoms`` (elements, cell and pbc count)."""
        ...
