"""Langevin sampling with a reference method: one trajectory, its frames labelled as they come."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from ase import units

from longhot.block import InputError
from longhot.frames import labelled
from longhot.langevin import Integrator, State

if TYPE_CHECKING:
    from ase import Atoms

    from longhot.potential import BatchPotential

logger = logging.getLogger(__name__)

MAX_RESTARTS = 10


@dataclass(frozen=True)
class Sampling:
    """How one trajectory is sampled."""

    temperature_K: float
    time_step_fs: float
    friction_per_ps: float
    sample_interval_fs: float
    equilibration_fs: float

    @property
    def steps_between_samples(self) -> int:
        """Integration steps from one stored frame to the next."""
        return max(1, round(self.sample_interval_fs / self.time_step_fs))

    @property
    def steps_before_samples(self) -> int:
        """Integration steps that are thrown away."""
        return round(self.equilibration_fs / self.time_step_fs)


class _Failed(Exception):
    """The reference gave no forces."""


class Walker:
    """One replica of the sampled molecule."""

    def __init__(self, potential: BatchPotential, atoms: Atoms, sampling: Sampling, generator: np.random.Generator):
        self._potential = potential
        self._generator = generator
        self._masses = atoms.get_masses()
        self._temperature_K = sampling.temperature_K
        self._integrator = Integrator(
            self._masses, [sampling.temperature_K], sampling.time_step_fs, sampling.friction_per_ps
        )
        self.place(atoms.positions)

    def place(self, positions_A: np.ndarray) -> None:
        """Stand at ``positions_A``, shape (n_atoms, 3), with velocities drawn at the temperature."""
        normal = self._generator.normal(size=(1, *positions_A.shape))
        thermal = np.sqrt(units.kB * self._temperature_K / self._masses)[:, None]
        forces = np.zeros((1, *positions_A.shape))
        self._state = State(positions_A[None].copy(), thermal * normal, forces, np.zeros(1), np.zeros((1, 3, 3)))
        self._evaluate()

    @property
    def positions_A(self) -> np.ndarray:
        """Shape (n_atoms, 3)."""
        return self._state.positions_A[0]

    @property
    def energy_eV(self) -> float:
        """Potential energy at ``positions_A``."""
        return float(self._state.energy_eV[0])

    @property
    def forces_eV_per_A(self) -> np.ndarray:
        """Shape (n_atoms, 3), at ``positions_A``."""
        return self._state.forces_eV_per_A[0]

    def _evaluate(self) -> None:
        found = self._potential.compute(self._state.positions_A)
        if found.errors:
            raise _Failed(found.errors[0])
        self._state.energy_eV[:] = found.energy_eV
        self._state.forces_eV_per_A[:] = found.forces_eV_per_A

    def run(self, n_steps: int) -> None:
        """Advance by ``n_steps``."""
        for _ in range(n_steps):
            self._integrator.before_forces(self._state, self._generator.normal(size=self._state.positions_A.shape))
            self._evaluate()
            self._integrator.after_forces(self._state)


class _Restarts:
    """How often a trajectory had to begin again, because the reference gave no forces."""

    def __init__(self, name: str) -> None:
        self._name, self.n = name, 0

    def add(self, error: _Failed, where: str) -> None:
        """Count one more.

        Raises:
            InputError: they are more than ``MAX_RESTARTS``.
        """
        self.n += 1
        logger.warning("%s: the reference failed %s (%s), restart %d", self._name, where, error, self.n)
        if self.n > MAX_RESTARTS:
            raise InputError(
                f"{self._name}: the reference failed {self.n} times in sampling, at last with {error}: "
                "lower the temperature or the time step, or correct the reference"
            ) from None


def held(
    potential: BatchPotential, start: Atoms, sampling: Sampling, generator: np.random.Generator, name: str
) -> tuple[Atoms, int]:
    """``start`` after one interval between samples, and how often it had to begin again.

    Raises:
        InputError: the reference fails more than ``MAX_RESTARTS`` times.
    """
    restarts = _Restarts(name)
    while True:
        try:
            walker = Walker(potential, start, sampling, generator)
            walker.run(sampling.steps_between_samples)
        except _Failed as error:
            restarts.add(error, f"at {sampling.temperature_K:g} K")
            continue
        return _at(start, walker.positions_A), restarts.n


def sample(
    potential: BatchPotential,
    start: Atoms,
    sampling: Sampling,
    n_frames: int,
    generator: np.random.Generator,
    name: str,
) -> tuple[list[Atoms], int]:
    """``n_frames`` labelled frames of one trajectory, and how often it had to restart.

    Where the reference fails, the trajectory goes on from its last good frame with new velocities.

    Raises:
        InputError: the reference fails more than ``MAX_RESTARTS`` times.
    """
    taken: list[Atoms] = []
    restarts = _Restarts(name)
    last_good_A = start.positions
    walker: Walker | None = None
    while len(taken) < n_frames:
        try:
            if walker is None:
                walker = Walker(potential, _at(start, last_good_A), sampling, generator)
                walker.run(sampling.steps_before_samples)
            walker.run(sampling.steps_between_samples)
        except _Failed as error:
            walker = None
            restarts.add(error, f"at frame {len(taken)}")
            continue
        last_good_A = walker.positions_A.copy()
        frame = labelled(_at(start, last_good_A), walker.energy_eV, walker.forces_eV_per_A)
        frame.positions -= np.average(frame.positions, axis=0, weights=frame.get_masses())
        frame.info |= {"temperature_K": sampling.temperature_K, "trajectory": name}
        taken.append(frame)
    return taken, restarts.n


def _at(atoms: Atoms, positions_A: np.ndarray) -> Atoms:
    moved = atoms.copy()
    moved.positions = positions_A
    return moved


def statistical_inefficiency(series: np.ndarray) -> float:
    """Values of a series for each independent one: 1 where all are independent.

    g = 1 + 2 sum_t (1 - t/n) C(t), up to the first C(t) <= 0, where C is the normalised autocorrelation of
    ``series``, shape (n,).
    """
    n = len(series)
    centred = np.asarray(series, dtype=float) - np.mean(series)
    variance = centred @ centred / n
    if n < 3 or variance == 0.0:
        return 1.0
    g = 1.0
    for lag in range(1, n - 1):
        correlation = centred[:-lag] @ centred[lag:] / ((n - lag) * variance)
        if correlation <= 0.0:
            break
        g += 2.0 * (1.0 - lag / n) * correlation
    return g
