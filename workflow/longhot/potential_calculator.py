"""A potential as an ASE calculator, for ASE's optimizers and dynamics."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from ase.calculators.calculator import Calculator, all_changes

if TYPE_CHECKING:
    from ase import Atoms

    from longhot.potential import Potential


class PotentialError(RuntimeError):
    """A potential gave no numbers, or was asked more often than allowed; the message says which."""


class PotentialCalculator(Calculator):
    """Energy in eV and forces in eV/A of one structure, by a potential for just these atoms."""

    implemented_properties: ClassVar[list[str]] = ["energy", "forces"]

    def __init__(self, potential: Potential, atoms: Atoms) -> None:
        """Take a potential and the atoms (elements, cell and pbc count) that it will be asked for."""
        super().__init__()
        self._batch = potential.batch(atoms, 1)
        self.n_calls = 0
        self._last_call = 0

    def allow(self, n_calls: int) -> None:
        """Let the potential be asked so many times from now on."""
        self._last_call = self.n_calls + n_calls

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("energy", "forces"),
        system_changes: Sequence[str] = tuple(all_changes),
    ) -> None:
        """As ASE asks for it.

        Raises:
            PotentialError: a number is missing or not finite, or no call is left.
        """
        super().calculate(atoms, properties, system_changes)
        positions_A: Any = self.atoms.positions
        if not np.isfinite(positions_A).all():
            raise PotentialError("a position is NaN or infinite")
        if self.n_calls >= self._last_call:
            raise PotentialError("no end within the calls allowed")
        self.n_calls += 1
        found = self._batch.compute(positions_A[None])
        if found.errors:
            raise PotentialError(found.errors[0])
        if not (np.isfinite(found.energy_eV).all() and np.isfinite(found.forces_eV_per_A).all()):
            raise PotentialError("the energy or a force is NaN or infinite")
        self.results = {"energy": float(found.energy_eV[0]), "forces": found.forces_eV_per_A[0]}
