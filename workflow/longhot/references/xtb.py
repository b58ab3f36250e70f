"""GFN2-xTB and GFN1-xTB by the xtb program's own library (xtb-python)."""

from __future__ import annotations

from functools import cache
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from longhot.block import InputError
from longhot.references._tight_binding import TightBinding, one_thread

GENERIC_TURN_RAD = (0.7, -0.4, 1.1)
"""Rotation vector to an orientation in which no two atoms of a symmetric molecule share a coordinate."""


class Config(TightBinding):
    """Extended tight binding by xtb-python; molecules only."""

    method: Literal["xtb"] = Field("xtb", description="Names this plugin.")


def level(config: Config) -> str:
    """The Hamiltonian and who computes it."""
    return f"{config.hamiltonian} (xtb)"


@cache
def _calculator_class() -> Any:
    try:
        from ase.calculators.calculator import CalculationFailed, all_changes
        from ase.calculators.calculator import InputError as CalculatorInputError
        from scipy.spatial.transform import Rotation

        with one_thread():
            from xtb.ase.calculator import XTB
    except ImportError as error:
        raise InputError(
            f"reference method xtb: the package xtb is missing ({error}), install it or use tblite"
        ) from None

    turn = Rotation.from_rotvec(GENERIC_TURN_RAD).as_matrix()

    class FreshXTB(XTB):
        """xtb's calculator, with charge and spin as settings, every SCF begun afresh, and sound forces.

        The original takes the orbitals of the frame before as the first guess, which saves no time
        worth having and lets a force depend on history by up to 2e-4 eV/A.
        Where two atoms share a coordinate exactly, as in symmetric molecules that stand along the axes,
        xtb's forces are wrong by up to 0.2 eV/A (grimme-lab/xtb, issue 986): it is shown turned molecules.
        """

        atoms: Any
        results: dict[str, Any]
        implemented_properties: ClassVar = ["energy", "forces"]

        def __init__(self, charge: int, unpaired: int, **settings: Any):
            self._charge, self._unpaired = charge, unpaired
            super().__init__(**settings)

        def _create_api_calculator(self) -> Any:
            plain = self.atoms
            self.atoms = plain.copy()
            self.atoms.set_initial_charges([self._charge] + [0] * (len(plain) - 1))
            self.atoms.set_initial_magnetic_moments([self._unpaired] + [0] * (len(plain) - 1))
            try:
                return super()._create_api_calculator()
            finally:
                self.atoms = plain

        def calculate(self, atoms: Any, properties: Any = None, system_changes: Any = all_changes) -> None:
            self._res = None
            turned = atoms.copy()
            turned.positions = atoms.positions @ turn.T
            try:
                super().calculate(turned, properties, system_changes)
            except (CalculationFailed, CalculatorInputError) as error:
                self._xtb = None
                # The original hides what the library said behind one sentence for all causes.
                raise CalculationFailed(str(error.__context__ or error)) from None
            finally:
                self.atoms = atoms.copy()
            self.results = {
                "energy": self.results["energy"],
                "free_energy": self.results["energy"],
                "forces": np.asarray(self.results["forces"]) @ turn,
            }

    return FreshXTB


def calculator(config: Config, spin: int | None = None) -> Any:
    """A new ASE calculator; ``spin`` unpaired electrons on a neutral atom, where given."""
    charge, unpaired = config.charge_and_unpaired(spin)
    return _calculator_class()(
        charge=charge,
        unpaired=unpaired,
        method=config.hamiltonian,
        accuracy=config.accuracy,
        electronic_temperature=config.electronic_temperature_K,
        max_iterations=config.max_iterations,
    )
