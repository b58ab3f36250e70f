"""Cheap potentials for tests of the engine, and an ASE molecule that they hold together."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np
from ase import Atoms
from ase.build import molecule

from longhot.potential import BatchResult, Label, halved_sizes

Fault = Callable[[int, np.ndarray, BatchResult], BatchResult]


class Springs:
    """A spring of ``stiffness_eV_per_A2`` between each two atoms, at rest in the equilibrium structure.

    ``fault(call, positions, result)`` may change what a batch answers; ``sleep_s`` slows it down.
    """

    def __init__(self, stiffness_eV_per_A2: float = 20.0, fault: Fault | None = None, sleep_s: float = 0.0) -> None:
        self.stiffness, self.fault, self.sleep_s = stiffness_eV_per_A2, fault, sleep_s

    def predict(self, frames: Sequence[Atoms]) -> list[Label]:
        results = [self.batch(frame, 1).compute(frame.positions[None]) for frame in frames]
        return [Label(float(result.energy_eV[0]), result.forces_eV_per_A[0]) for result in results]

    def batch(self, atoms: Atoms, n_replicas: int) -> SpringsBatch:
        return SpringsBatch(self)

    def batch_sizes(self, n_replicas: int) -> list[int]:
        # Faults name replicas by their place, which must not move.
        return [n_replicas] if self.fault else halved_sizes(n_replicas)


class SpringsBatch:
    def __init__(self, springs: Springs) -> None:
        self.springs, self.calls = springs, 0
        rest = ethanol().positions
        self.first, self.second = np.triu_indices(len(rest), k=1)
        self.rest = np.linalg.norm(rest[self.first] - rest[self.second], axis=1)

    def compute(self, positions_A: np.ndarray, cell_A: np.ndarray | None = None) -> BatchResult:
        time.sleep(self.springs.sleep_s)
        vectors = positions_A[:, self.first] - positions_A[:, self.second]
        lengths = np.linalg.norm(vectors, axis=2)
        stretch = lengths - self.rest
        pull = (-self.springs.stiffness * stretch / lengths)[..., None] * vectors
        forces = np.zeros_like(positions_A)
        for replica in range(len(forces)):
            np.add.at(forces[replica], self.first, pull[replica])
            np.add.at(forces[replica], self.second, -pull[replica])
        # Summed replica by replica, so that the rounding is that of a batch of one.
        energy = np.array([0.5 * self.springs.stiffness * np.sum(one**2) for one in stretch])
        result = BatchResult(energy, forces)
        if self.springs.fault:
            result = self.springs.fault(self.calls, positions_A, result)
        self.calls += 1
        return result


def ethanol() -> Atoms:
    """C0, C1, O2, H3 on the oxygen, H4 to H8 on the carbons."""
    return molecule("CH3CH2OH")
