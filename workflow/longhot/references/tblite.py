"""GFN2-xTB and GFN1-xTB by the tblite library; periodic cells too."""

from __future__ import annotations

from functools import cache
from importlib import metadata
from typing import Annotated, Any, Literal

from pydantic import Field

from longhot.block import InputError
from longhot.references._threads import one_thread
from longhot.references._tight_binding import TightBinding

FORKS = True


class Config(TightBinding):
    """Extended tight binding by tblite."""

    method: Literal["tblite"] = Field("tblite", description="Names this plugin.")
    mixer_damping: Annotated[float, Field(gt=0, le=1)] = Field(
        0.4, description="Share of each step that the charges take towards self-consistency."
    )


def level(config: Config) -> str:
    """The Hamiltonian and who computes it."""
    return f"{config.hamiltonian} (tblite)"


def safer(config: Config) -> Config:
    """Settings for a second attempt: shorter steps of the charges, and more of them."""
    return config.model_copy(
        update={"mixer_damping": config.mixer_damping / 4, "max_iterations": 4 * config.max_iterations}
    )


def version(config: Config) -> str:
    """Version of the library behind it."""
    return f"tblite {metadata.version('tblite')}"


@cache
def _calculator_class() -> Any:
    try:
        from ase.calculators.calculator import all_changes

        with one_thread():
            from tblite.ase import TBLite
    except ImportError as error:
        raise InputError(f"reference method tblite: the package tblite is missing ({error}), install it") from None

    class FreshTBLite(TBLite):
        """tblite's calculator with every SCF begun afresh, so that no result depends on history."""

        def calculate(self, atoms: Any = None, properties: Any = None, system_changes: Any = all_changes) -> None:
            self._res = None
            super().calculate(atoms, properties, system_changes)

    return FreshTBLite


def calculator(config: Config, spin: int | None = None) -> Any:
    """A new ASE calculator; ``spin`` unpaired electrons on a neutral atom, where given."""
    charge, unpaired = config.charge_and_unpaired(spin)
    return _calculator_class()(
        method=config.hamiltonian,
        charge=charge,
        multiplicity=unpaired + 1,
        accuracy=config.accuracy,
        electronic_temperature=config.electronic_temperature_K,
        max_iterations=config.max_iterations,
        mixer_damping=config.mixer_damping,
        verbosity=0,
    )
