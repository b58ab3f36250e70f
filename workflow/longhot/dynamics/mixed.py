"""A potential between others, for thermodynamic integration from one to another.

    V_lambda = (1 - lambda) V_0 + lambda V_1

so dV/dlambda = V_1 - V_0, and F_1 - F_0 is the integral of <V_1 - V_0>_lambda over lambda from 0 to 1
(Frenkel and Smit, Understanding Molecular Simulation, 2nd edition, section 7.1). A window is one run of the
engine. V_0 and V_1 of its stored frames give, by the same line, their energies in every other window.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from longhot.block import InputError
from longhot.potential import BatchPotential, BatchResult, Label

if TYPE_CHECKING:
    from ase import Atoms

    from longhot.potential import Potential


class MixedPotential:
    """Potentials V_i as one, sum_i w_i V_i; implements ``longhot.potential.Potential``.

    Every part is computed at every step, whatever its weight: at an end of the line, run that part alone.
    """

    def __init__(self, parts: Sequence[Potential], weights: Sequence[float]) -> None:
        """Take the parts and their weights, as (1 - lambda, lambda), which may lie outside 0 and 1.

        Raises:
            InputError: the weights are not as many as the parts, or do not add up to 1.
        """
        if len(parts) != len(weights):
            raise InputError(f"mixed potential: {len(parts)} parts and {len(weights)} weights, give as many of both")
        if not math.isclose(sum(weights), 1.0, abs_tol=1e-9):
            raise InputError(f"mixed potential: its weights {list(weights)} must add up to 1")
        self.parts, self.weights = list(parts), list(weights)

    def predict(self, frames: Sequence[Atoms]) -> list[Label]:
        """Mixed energy and forces of each frame; where a part has none, neither has the mixture."""
        parts = [part.predict(frames) for part in self.parts]
        return [_mix_labels(labels, self.weights) for labels in zip(*parts, strict=True)]

    def batch(self, atoms: Atoms, n_replicas: int) -> MixedBatch:
        """A mixture for ``n_replicas`` copies of ``atoms``."""
        return MixedBatch([part.batch(atoms, n_replicas) for part in self.parts], self.weights)

    def batch_sizes(self, n_replicas: int) -> list[int]:
        """Sizes that suit every part."""
        sizes = set.intersection(*(set(part.batch_sizes(n_replicas)) for part in self.parts))
        return sorted(sizes, reverse=True)


def _weighted(weights: Sequence[float], values: Any) -> Any:
    """Their weighted sum, element by element, so that a replica's does not depend on the batch it is in."""
    return sum(weight * value for weight, value in zip(weights, values, strict=True))


def _mix_labels(labels: Sequence[Label], weights: Sequence[float]) -> Label:
    """The mixture of the parts' labels of one frame, or the first part's reason why there is none."""
    wall_s = sum(label.wall_s for label in labels)
    for number, label in enumerate(labels, start=1):
        if label.status != "ok":
            none = np.full_like(label.forces_eV_per_A, np.nan)
            return Label(np.nan, none, label.status, f"part {number}: {label.message}", wall_s)
    return Label(
        _weighted(weights, [label.energy_eV for label in labels]),
        _weighted(weights, [label.forces_eV_per_A for label in labels]),
        wall_s=wall_s,
    )


class MixedBatch:
    """Replicas of the same atoms, computed by one part after the other at the same positions."""

    def __init__(self, parts: Sequence[BatchPotential], weights: Sequence[float]) -> None:
        self._parts, self._weights = parts, weights

    def reset(self) -> None:
        """Let the parts forget everything of earlier calls."""
        for part in self._parts:
            if hasattr(part, "reset"):
                part.reset()

    def compute(self, positions_A: np.ndarray, cell_A: np.ndarray | None = None) -> BatchResult:
        """Mixed energies and forces; shapes as in ``longhot.potential.BatchPotential``.

        A replica of which one part gives no finite numbers has none at all.
        """
        results = [part.compute(positions_A, cell_A) for part in self._parts]
        energies_eV = np.array([result.energy_eV for result in results])  # (n_parts, n_replicas)
        forces_eV_per_A = np.array([result.forces_eV_per_A for result in results])  # (n_parts, n_replicas, n_atoms, 3)
        lost = ~(np.isfinite(energies_eV).all(axis=0) & np.isfinite(forces_eV_per_A).all(axis=(0, 2, 3)))
        energies_eV[:, lost], forces_eV_per_A[:, lost] = np.nan, np.nan
        errors: dict[int, str] = {}
        for number, result in enumerate(results, start=1):
            for replica, cause in result.errors.items():
                errors.setdefault(replica, f"part {number}: {cause}")
        return BatchResult(_weighted(self._weights, energies_eV), _weighted(self._weights, forces_eV_per_A), errors)
