"""GFN2-xTB and GFN1-xTB by the xtb program's own library (xtb-python)."""

from __future__ import annotations

from functools import cache
from importlib import metadata
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from longhot.block import InputError
from longhot.references._threads import one_thread
from longhot.references._tight_binding import TightBinding

FORKS = True
GENERIC_TURN_RAD = (0.7, -0.4, 1.1)
"""Rotation vector to an orientation in which no two atoms of a symmetric molecule share a coordinate."""


class Config(TightBinding):
    """Extended tight binding by xtb-python; molecules only."""

    method: Literal["xtb"] = Field("xtb", description="Names this plugin.")


def level(config: Config) -> str:
    """The Hamiltonian and who computes it."""
    return f"{config.hamiltonian} (xtb)"


def safer(config: Config) -> Config:
    """Settings for a second attempt: the library lets nothing else be changed at the same level of theory."""
    return config.model_copy(update={"max_iterations": 4 * config.max_iterations})


def version(config: Config) -> str:
    """Version of the library behind it."""
    return f"xtb {metadata.version('xtb')}"


@cache
def _calculator_class() -> Any:
    try:
        from ase.calculators.calculator import CalculationFailed, Calculator, all_changes
        from ase.units import Bohr, Hartree
        from scipy.spatial.transform import Rotation

        with one_thread():
            from xtb.interface import Calculator as Interface
            from xtb.interface import XTBException
            from xtb.libxtb import VERBOSITY_MUTED
            from xtb.utils import get_method
    except ImportError as error:
        raise InputError(
            f"reference method xtb: the package xtb is missing ({error}), install it or use tblite"
        ) from None

    turn = Rotation.from_rotvec(GENERIC_TURN_RAD).as_matrix()

    class XTB(Calculator):
        """xtb with charge and spin as settings, every SCF begun afresh, and sound forces.

        The calculator that comes with xtb takes the orbitals of the frame before as the first guess, which
        lets a force depend on history by up to 2e-4 eV/A, and its copies of the frame cost as much as GFN1.
        Where two atoms share a coordinate exactly, as in symmetric molecules that stand along the axes,
        xtb's forces are wrong by up to 0.2 eV/A (grimme-lab/xtb, issue 986): it is shown turned molecules.
        """

        implemented_properties: ClassVar = ["energy", "forces"]

        def __init__(self, config: Config, spin: int | None):
            super().__init__()
            self._settings, self._spin = config, spin
            self._interface: Any = None

        def _new_interface(self, atoms: Any, positions_bohr: np.ndarray) -> Any:
            charge, unpaired = self._settings.charge_and_unpaired(self._spin)
            method = get_method(self._settings.hamiltonian)
            made = Interface(method, atoms.numbers, positions_bohr, charge=charge, uhf=unpaired)
            made.set_verbosity(VERBOSITY_MUTED)
            made.set_accuracy(self._settings.accuracy)
            made.set_electronic_temperature(self._settings.electronic_temperature_K)
            made.set_max_iterations(self._settings.max_iterations)
            return made

        def calculate(self, atoms: Any, properties: Any = None, system_changes: Any = all_changes) -> None:
            if atoms.pbc.any():
                raise CalculationFailed("periodic frames are not for this method, use tblite")
            super().calculate(atoms, properties, system_changes)
            positions_bohr = atoms.positions @ turn.T / Bohr
            try:
                if self._interface is None or "numbers" in system_changes:
                    self._interface = self._new_interface(atoms, positions_bohr)
                else:
                    self._interface.update(positions_bohr)
                found = self._interface.singlepoint()
                energy, gradient = found.get_energy(), found.get_gradient()
            except XTBException as error:
                self._interface = None
                raise CalculationFailed(str(error)) from None
            self.results = {
                "energy": energy * Hartree,
                "free_energy": energy * Hartree,
                "forces": -(gradient @ turn) * Hartree / Bohr,
            }

    return XTB


def calculator(config: Config, spin: int | None = None) -> Any:
    """A new ASE calculator; ``spin`` unpaired electrons on a neutral atom, where given."""
    return _calculator_class()(config, spin)
