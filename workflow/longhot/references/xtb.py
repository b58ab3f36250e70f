"""GFN2-xTB and GFN1-xTB by the xtb program's own library (xtb-python)."""

from __future__ import annotations

from functools import cache
from typing import Any, Literal

from pydantic import Field

from longhot.block import InputError
from longhot.references._tight_binding import TightBinding, one_thread


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

        with one_thread():
            from xtb.ase.calculator import XTB
    except ImportError as error:
        raise InputError(
            f"reference method xtb: the package xtb is missing ({error}), install it or use tblite"
        ) from None

    class FreshXTB(XTB):
        """xtb's calculator, with charge and spin as settings and every SCF begun afresh.

        The original takes the orbitals of the frame before as the first guess, which saves no time
        worth having and lets a force depend on history by up to 2e-4 eV/A.
        """

        atoms: Any

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

        def calculate(self, atoms: Any = None, properties: Any = None, system_changes: Any = all_changes) -> None:
            self._res = None
            try:
                super().calculate(atoms, properties, system_changes)
            except (CalculationFailed, CalculatorInputError) as error:
                self._xtb = None
                # The original hides what the library said behind one sentence for all causes.
                raise CalculationFailed(str(error.__context__ or error)) from None

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
