"""The config keys that all xTB codes share."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveFloat, PositiveInt

from longhot.block import Block


class TightBinding(Block):
    """Settings of an extended tight-binding method; the same keys for every code."""

    hamiltonian: Literal["GFN2-xTB", "GFN1-xTB"] = Field("GFN2-xTB", description="Parametrisation.")
    accuracy: PositiveFloat = Field(1.0, description="Scales every threshold of the code; smaller is tighter.")
    electronic_temperature_K: PositiveFloat = Field(300.0, description="Smears the occupation of the orbitals.")
    max_iterations: PositiveInt = Field(250, description="SCF cycles before a frame is given up as not converged.")
    charge: int = Field(0, description="Total charge in elementary charges.")
    multiplicity: PositiveInt = Field(1, description="Number of unpaired electrons plus one.")

    def charge_and_unpaired(self, spin: int | None) -> tuple[int, int]:
        """Charge and unpaired electrons: the molecule's, or (with ``spin``) a neutral atom's."""
        return (self.charge, self.multiplicity - 1) if spin is None else (0, spin)
