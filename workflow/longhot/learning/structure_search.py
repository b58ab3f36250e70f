"""Search for the lowest structures of a molecule by minima hopping, with any potential.

Minima hopping (Goedecker, J. Chem. Phys. 120, 9911 (2004)) by ASE: short MD over a barrier, relaxation, and a
temperature that falls with each new minimum and rises otherwise. Two structures are the same if their energies and
their sorted interatomic distances agree. Distances know no rotation, translation, permutation of like atoms, or
reflection: mirror images, whose energies are equal, count as one structure.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from ase.calculators.calculator import all_changes
from ase.data import covalent_radii
from ase.optimize import BFGS
from ase.optimize.minimahopping import MinimaHopping

from longhot import frames as fr
from longhot.block import InputError
from longhot.dynamics.detectors import bonds
from longhot.learning.acquisition import usable
from longhot.potential_calculator import PotentialCalculator, PotentialError

if TYPE_CHECKING:
    from ase import Atoms

    from longhot.config import StructureSearch
    from longhot.potential import Potential

HOP_FORCE_EV_PER_A = 0.02
"""Largest force on an atom of a minimum that a hop ends in."""
RELAXED_FORCE_EV_PER_A = 0.005
"""The same for minima that are compared: below it soft torsions move energies by less than 1 meV."""
TIME_STEP_FS = 1.0
MD_MINIMA = 10
"""Minima of the energy along the MD of a hop; ASE's default of 2 is over after a few vibrations of a hydrogen."""
MOST_CALLS = 1000
"""Calls of the potential that one MD or one relaxation may take; more of them end the hop."""
HOTTEST = 2.0
"""Highest temperature of a hop over that of the first: hotter ones break bonds more often than they cross barriers."""
BOND_CHANGED = "a bond broke or formed"


@dataclass(frozen=True)
class Found:
    """What a search found."""

    minima: list[Atoms]
    """Distinct minima of the potential, from the lowest up, with its energies and forces as labels."""
    along: list[Atoms]
    """The frame of highest energy of each hop, without labels."""
    failures: list[str]
    """Why hops failed, one sentence each."""
    n_calls: int


@dataclass(frozen=True)
class Relaxation:
    """A path downhill to a minimum of a potential."""

    path: list[Atoms]
    """From the start to the end, with the potential's energies and forces as labels."""
    n_calls: int
    failure: str
    """Why the path ends before a minimum; empty where it does not."""


def fingerprint(frame: Atoms) -> np.ndarray:
    """Interatomic distances in A, sorted within each pair of elements, shape (n_pairs,)."""
    first, second = np.triu_indices(len(frame), k=1)
    distances_A = np.linalg.norm(frame.positions[first] - frame.positions[second], axis=1)
    elements = np.sort(frame.numbers[np.stack([first, second])], axis=0)
    return distances_A[np.lexsort((distances_A, *elements))]


def alike(one: Atoms, other: Atoms, difference_eV: float, settings: StructureSearch) -> bool:
    """Whether two frames of the same atoms, so far apart in energy, are the same structure."""
    if abs(difference_eV) > 1e-3 * settings.energy_tolerance_meV:
        return False
    return bool(np.abs(fingerprint(one) - fingerprint(other)).max() < settings.distance_tolerance_A)


def distinct(
    frames: Sequence[Atoms], energies_eV: Sequence[float] | np.ndarray, settings: StructureSearch
) -> list[int]:
    """Indices of the distinct structures, from the lowest energy up; of several alike the lowest stands.

    Args:
        frames: of the same atoms.
        energies_eV: one for each frame.
        settings: for its tolerances.
    """
    kept: list[int] = []
    for index in map(int, np.argsort(energies_eV, kind="stable")):
        repeats = (alike(frames[index], frames[one], energies_eV[index] - energies_eV[one], settings) for one in kept)
        if not any(repeats):
            kept.append(index)
    return kept


def bonded_pairs(frame: Atoms) -> np.ndarray:
    """Whether each pair of atoms is bonded, shape (n_pairs,)."""
    first, second = np.triu_indices(len(frame), k=1)
    radii_A = covalent_radii[frame.numbers]
    distances_A = np.linalg.norm(frame.positions[first] - frame.positions[second], axis=1)
    return bonds(distances_A, radii_A[first] + radii_A[second])


class _CalculatorAtHome(PotentialCalculator):
    """Computes in the folder that it was made in, wherever ASE's files go.

    Paths in a config count from there, and a reference may read its files at any call: it is set up at the first
    one, and anew after each that failed.
    """

    def __init__(self, potential: Potential, atoms: Atoms) -> None:
        super().__init__(potential, atoms)
        self._home = Path.cwd()

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("energy", "forces"),
        system_changes: Sequence[str] = tuple(all_changes),
    ) -> None:
        with contextlib.chdir(self._home):
            super().calculate(atoms, properties, system_changes)


class _Hopping(MinimaHopping):
    """ASE's minima hopping for a molecule, which turns in the MD, and with a potential that may fail.

    A hop that fails, or ends in another molecule, falls back to the minimum before it.
    """

    _temperature: float

    def __init__(self, atoms: Atoms, settings: StructureSearch, seed: int) -> None:
        # ASE draws momenta from numpy's global state unless it is given a generator.
        super().__init__(
            atoms,
            T0=settings.temperature_K,
            fmax=HOP_FORCE_EV_PER_A,
            timestep=TIME_STEP_FS,
            mdmin=MD_MINIMA,
            optimizer=BFGS,
            rng=np.random.default_rng(seed),
        )
        self._settings = settings
        self._bonds = bonded_pairs(atoms)
        self.found: list[Atoms] = []
        self.along: list[Atoms] = []
        self.failures: list[str] = []

    def _molecular_dynamics(self, resume: int | None = None) -> None:
        self._temperature = min(self._temperature, HOTTEST * self._settings.temperature_K)
        self._atoms.calc.allow(MOST_CALLS)
        try:
            super()._molecular_dynamics(resume)
        except PotentialError as error:
            self._fall_back(f"MD: {error}")
        self._keep_highest()

    def _optimize(self) -> None:
        self._atoms.calc.allow(MOST_CALLS)
        try:
            super()._optimize()
            if (bonded_pairs(self._atoms) != self._bonds).any():
                raise PotentialError(BOND_CHANGED)
            self.found.append(_with_labels(self._atoms))
        except PotentialError as error:
            if self._previous_optimum is None:
                raise
            self._fall_back(f"relaxation: {error}")

    def _fall_back(self, failure: str) -> None:
        self.failures.append(failure)
        self._atoms.calc.allow(MOST_CALLS)
        self._atoms.positions = self._previous_optimum.positions
        # A hop that comes back raises the temperature, which a potential that fails does not call for.
        self._temperature /= self._beta1

    def _keep_highest(self) -> None:
        """Keep the frame of highest energy of the last MD that is worth a label."""
        import ase.io

        visited = ase.io.read(f"md{self._counter:05d}.traj", ":")
        sound = [frame for frame, is_usable in zip(visited, usable(visited), strict=True) if is_usable]
        if sound:
            highest = max(sound, key=lambda frame: frame.get_potential_energy()).copy()
            highest.set_momenta(None)
            self.along.append(highest)

    def _unique_minimum_position(self) -> tuple[bool, float]:
        """Whether the atoms are at a minimum that is not on record; ASE's own does not know rotations."""
        energy_eV = self._atoms.get_potential_energy()
        distances_A = [np.abs(fingerprint(one) - fingerprint(self._atoms)).max() for one in self._minima]
        repeats = (
            alike(one, self._atoms, energy_eV - one.get_potential_energy(), self._settings) for one in self._minima
        )
        return not any(repeats), float(min(distances_A, default=np.inf))


def _with_labels(atoms: Atoms) -> Atoms:
    """A copy that carries what its calculator says."""
    copy = fr.labelled(atoms, atoms.get_potential_energy(), atoms.get_forces())
    copy.set_momenta(None)
    return copy


def search(potential: Potential, start: Atoms, settings: StructureSearch, n_hops: int, seed: int) -> Found:
    """Hop from minimum to minimum, beginning with the one below the start.

    Equal arguments give equal structures. Hops that fail are listed, and stop nothing; where the start itself cannot
    be relaxed, that is the only failure and nothing is found.

    Raises:
        InputError: the start is periodic.
    """
    if start.pbc.any():
        raise InputError("structure_search: the dataset is periodic, give one of a molecule")
    atoms = start.copy()
    calculator = _CalculatorAtHome(potential, atoms)
    atoms.calc = calculator
    hopping = _Hopping(atoms, settings, seed)
    # ASE writes its files to the working directory.
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        try:
            hopping(totalsteps=n_hops + 1)
        except PotentialError as error:
            hopping.failures.append(f"start: {error}")
    order = distinct(hopping.found, fr.energies(hopping.found), settings)
    return Found([hopping.found[one] for one in order], hopping.along, hopping.failures, calculator.n_calls)


def relax(potential: Potential, start: Atoms) -> Relaxation:
    """Go downhill to the nearest minimum; a potential that fails ends the path and raises nothing."""
    atoms = start.copy()
    calculator = PotentialCalculator(potential, atoms)
    calculator.allow(MOST_CALLS)
    atoms.calc = calculator
    path: list[Atoms] = []
    downhill = BFGS(atoms, logfile=None)
    downhill.attach(lambda: path.append(_with_labels(atoms)))
    try:
        downhill.run(fmax=RELAXED_FORCE_EV_PER_A)
    except PotentialError as error:
        return Relaxation(path, calculator.n_calls, str(error))
    changed = (bonded_pairs(atoms) != bonded_pairs(start)).any()
    return Relaxation(path, calculator.n_calls, BOND_CHANGED if changed else "")
