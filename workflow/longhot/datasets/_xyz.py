"""Extended XYZ files of users: read with an eye for what can be wrong with them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from longhot.block import InputError, shown
from longhot.datasets._checks import MOST_ATOMS, check_geometry, checked_array, checked_numbers, existing, reason
from longhot.frames import labelled

if TYPE_CHECKING:
    from ase import Atoms

EnergyUnit = Literal["eV", "Hartree", "kcal/mol", "kJ/mol"]
ForcesUnit = Literal["eV/A", "Hartree/Bohr", "Hartree/A", "kcal/mol/A", "kJ/mol/A"]
LengthUnit = Literal["A", "Bohr"]


@dataclass(frozen=True)
class Units:
    """Units of a user's file, and what one of each is in Longhot's."""

    energy: EnergyUnit = "eV"
    forces: ForcesUnit = "eV/A"
    length: LengthUnit = "A"

    def __str__(self) -> str:
        return f"{self.energy}, {self.forces}, {self.length}"

    @property
    def energy_eV(self) -> float:
        """One unit of energy."""
        return _energy_eV(self.energy)

    @property
    def forces_eV_per_A(self) -> float:
        """One unit of force: an energy over a length."""
        energy, _, length = self.forces.rpartition("/")
        return _energy_eV(energy) / _length_A(length)

    @property
    def length_A(self) -> float:
        """One unit of length."""
        return _length_A(self.length)


def _energy_eV(unit: str) -> float:
    from ase import units

    mole = units.mol
    return {"eV": 1.0, "Hartree": units.Hartree, "kcal/mol": units.kcal / mole, "kJ/mol": units.kJ / mole}[unit]


def _length_A(unit: str) -> float:
    from ase import units

    return {"A": 1.0, "Bohr": units.Bohr}[unit]


def read_all(path: Path) -> list[Atoms]:
    """All frames of an extended XYZ file.

    Raises:
        InputError: no such file, no frame in it, or a truncated or malformed one.
    """
    import ase.io

    check_lines(existing(Path(path)))
    try:
        found = ase.io.read(path, ":", format="extxyz", do_not_split_by_at_sign=True)
    except Exception as error:  # the parser lets through whatever a malformed line causes
        raise InputError(
            f"{path}: truncated or no valid extended XYZ ({reason(error)}), copy or write it again"
        ) from None
    if not found:
        raise InputError(f"{path}: holds no frame, give a file with frames")
    return found


def check_lines(path: Path) -> None:
    """Refuse a file whose counts and lines do not fit together: of such a one ASE reads a part, or without an end.

    Raises:
        InputError: with the line.
    """

    def refuse(what: str) -> InputError:
        return InputError(f"{path}: truncated or no valid extended XYZ (line {number}: {what}), copy or write it again")

    number = 0
    with path.open("rb") as file:
        while line := file.readline():
            number += 1
            if not line.strip():
                if any(further.strip() for further in file):
                    raise refuse("blank, and what follows it would not be read")
                return
            if not re.fullmatch(rb"\d{1,9}", line.strip()) or not 1 <= int(line) <= MOST_ATOMS:
                raise refuse(f"{shown(line[:40].strip().decode(errors='replace'))} is no number of atoms")
            comment = file.readline()
            if any(len(columns) > 3 for columns in re.findall(rb":[A-Za-z]:(\d+)", comment)):
                raise refuse("the next one tells of a thousand columns")
            for n_read in range(int(line)):
                if not file.readline().strip():
                    raise refuse(f"tells of {int(line)} atoms, {n_read} follow")
            number += 1 + int(line)


def cut_short(path: Path) -> bool:
    """Whether the last line has no end: a file cut inside its last number reads without an error."""
    with Path(path).open("rb") as handle:
        handle.seek(-1, 2)
        return handle.read() != b"\n"


def energy_of(atoms: Atoms, key: str, where: str) -> float:
    """The energy under ``key``: ASE moves `energy` from ``info`` to a calculator.

    Raises:
        InputError: missing, no number, NaN or infinite.
    """
    results = atoms.calc.results if atoms.calc is not None else {}
    raw = atoms.info.get(key, results.get(key))
    if raw is None:
        raise InputError(f"{where}: no energy under the key {key!r}, set `energy_key` or add it to the frame")
    return _number(raw, f"{where}: the energy under the key {key!r}")


def _number(raw: Any, what: str) -> float:
    try:
        if isinstance(raw, bool | np.bool_) or np.ndim(raw):
            raise TypeError
        value = float(raw)
    except (TypeError, ValueError):
        raise InputError(f"{what} is {shown(raw)}, no number, correct it") from None
    if not np.isfinite(value):
        raise InputError(f"{what} is {value}, remove the frame or compute it again")
    return value


def forces_of(atoms: Atoms, key: str, where: str) -> np.ndarray:
    """The forces under ``key``, shape (n_atoms, 3).

    Raises:
        InputError: missing, of another shape, NaN or infinite.
    """
    results = atoms.calc.results if atoms.calc is not None else {}
    raw = atoms.arrays.get(key, results.get(key))
    if raw is None:
        raise InputError(f"{where}: no forces under the key {key!r}, set `forces_key` or add them to the frame")
    return checked_array(raw, (len(atoms), 3), f"{where}: forces under the key {key!r}")


def clean(atoms: Atoms, energy: float, forces: np.ndarray, units: Units, index: int) -> Atoms:
    """A labelled frame in eV and A with nothing but elements, positions, labels and (if periodic) the cell.

    A cell around a molecule without periodicity is dropped: it means nothing, and would stand in
    the way of batching.

    Args:
        atoms: the frame, in ``units``.
        energy: in ``units``.
        forces: in ``units``, shape (n_atoms, 3).
        units: of the file.
        index: of the frame in its file.
    """
    from ase import Atoms as NewAtoms

    periodic = bool(atoms.pbc.any())
    frame = NewAtoms(
        numbers=atoms.numbers,
        positions=atoms.positions * units.length_A,
        cell=atoms.cell * units.length_A if periodic else None,
        pbc=atoms.pbc if periodic else False,
        info={"source_frame": index},
    )
    return labelled(frame, energy * units.energy_eV, forces * units.forces_eV_per_A)


def read_labelled(path: Path, energy_key: str, forces_key: str, units: Units) -> list[Atoms]:
    """All frames of a user's file, labelled under Longhot's keys in its units; frames of one atom are left out.

    Raises:
        InputError: as in ``read_all``, ``energy_of``, ``forces_of`` and ``check_geometry``, or no element's number.
    """
    found = []
    for index, atoms in enumerate(read_all(path)):
        if len(atoms) == 1:
            continue
        where = f"{path}, frame {index}"
        checked_numbers(atoms.numbers, f"{where}: its atomic numbers")
        energy = energy_of(atoms, energy_key, where)
        found.append(clean(atoms, energy, forces_of(atoms, forces_key, where), units, index))
        check_geometry(found[-1], where)
    if not found:
        raise InputError(f"{path}: holds no frame of more than one atom, give a file with labelled frames")
    return found
