"""ASE calculators for tests of the labelling: they spoil, count, sleep, die, or stand for a program with files."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from ase.calculators.calculator import Calculator, FileIOCalculator, SCFError, all_changes

DIES_AT_A = 50.0
"""A frame whose first atom has this x coordinate is the end of the process."""
HANGS_AT_A = 70.0
"""A frame whose first atom is there is never done."""
SWINGS_AT_A = 60.0
"""Of such a frame the SCF does not converge."""


class Springs(Calculator):
    """All atoms bound to the origin; each call adds a line to a file."""

    implemented_properties: ClassVar = ["energy", "forces"]

    def __init__(self, calls: str | None = None, signal: int = 9, sleep_s: float = 0.0, exit_code: int | None = None):
        super().__init__()
        if exit_code is not None:
            os._exit(exit_code)
        self.calls, self.signal, self.sleep_s = calls, signal, sleep_s

    def calculate(self, atoms: Any = None, properties: Any = None, system_changes: Any = all_changes) -> None:
        super().calculate(atoms, properties, system_changes)
        time.sleep(1e5 if atoms.positions[0, 0] == HANGS_AT_A else self.sleep_s)
        if atoms.positions[0, 0] == DIES_AT_A:
            os.kill(os.getpid(), self.signal)
        if self.calls is not None:
            with Path(self.calls).open("a") as file:
                file.write(f"{os.getpid()}\n")
        if atoms.positions[0, 0] == SWINGS_AT_A:
            raise SCFError("no convergence")
        self.results = {"energy": float((atoms.positions**2).sum()) / 2, "forces": -atoms.positions}


class Environment(Calculator):
    """Its energy is the number of threads that a library would take, its forces are the magnetic moments."""

    implemented_properties: ClassVar = ["energy", "forces"]

    def calculate(self, atoms: Any = None, properties: Any = None, system_changes: Any = all_changes) -> None:
        super().calculate(atoms, properties, system_changes)
        if atoms.info:
            raise RuntimeError(f"the frame carries {atoms.info}")
        moments = atoms.get_initial_magnetic_moments()
        self.results = {
            "energy": float(os.environ["OMP_NUM_THREADS"]),
            "forces": np.repeat(moments[:, None], 3, axis=1),
        }


class Profile:
    """Where a program is, as ASE's file-based calculators want it."""

    def __init__(self, program: str) -> None:
        self.program = program


PROGRAM = """
import os
import time
x = float(open("in.txt").read())
assert not os.path.exists("old.txt"), "the directory holds files of another calculation"
open("old.txt", "w").write("orbitals")
time.sleep(0.02)
open("out.txt", "w").write(str(2 * x))
"""


class Program(FileIOCalculator):
    """A program that is run in a directory, where it doubles a number."""

    implemented_properties: ClassVar = ["energy", "forces"]

    def __init__(self, *, profile: Profile, directory: str = ".", seen: str | None = None) -> None:
        script = Path(profile.program)
        super().__init__(command=f"{sys.executable} {script}", directory=directory)
        self.seen = seen

    def write_input(self, atoms: Any, properties: Any = None, system_changes: Any = None) -> None:
        super().write_input(atoms, properties, system_changes)
        Path(self.directory, "in.txt").write_text(str(atoms.positions[0, 0]))

    def read_results(self) -> None:
        energy = float(Path(self.directory, "out.txt").read_text())
        self.results = {"energy": energy, "forces": np.zeros((len(self.atoms), 3))}
        if self.seen is not None:
            with Path(self.seen).open("a") as file:
                file.write(f"{self.directory}\n")


class Traps(Calculator):
    """Each atom bound to a site of its own; where the first comes near the trap, it hangs or ends the process."""

    implemented_properties: ClassVar = ["energy", "forces"]
    SITES_A = np.array([(0.0, 0.0, 0.0), (0.0, 3.0, 0.0)])
    TRAP_A = 1.8

    def __init__(self, signal: int | None = None):
        super().__init__()
        self.signal = signal

    def calculate(self, atoms: Any = None, properties: Any = None, system_changes: Any = all_changes) -> None:
        super().calculate(atoms, properties, system_changes)
        if abs(atoms.positions[0, 0] - self.TRAP_A) < 0.1:
            if self.signal is None:
                time.sleep(1e5)
            else:
                os.kill(os.getpid(), self.signal)
        away = atoms.positions - self.SITES_A
        self.results = {"energy": float((away**2).sum()) / 2, "forces": -away}
