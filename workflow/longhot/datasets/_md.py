"""Langevin sampling with a reference method: one trajectory, its frames labelled as they come."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from longhot.block import InputError
from longhot.frames import labelled

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
    """One replica under Langevin dynamics, in ASE's units; splitting BAOAB (Leimkuhler and Matthews 2013)."""

    def __init__(self, potential: BatchPotential, atoms: Atoms, sampling: Sampling, generator: np.random.Generator):
        from ase import units

        self._potential = potential
        self._generator = generator
        self._masses = atoms.get_masses()[:, None]
        self._step = sampling.time_step_fs * units.fs
        self._damping = float(np.exp(-sampling.friction_per_ps * 1e-3 / units.fs * self._step))
        self._thermal_velocity = np.sqrt(units.kB * sampling.temperature_K / self._masses)
        self.place(atoms.positions)

    def place(self, positions_A: np.ndarray) -> None:
        """Stand at ``positions_A``, shape (n_atoms, 3), with velocities drawn at the temperature."""
        self.positions_A = positions_A.copy()
        self._velocities = self._thermal_velocity * self._generator.normal(size=positions_A.shape)
        self._evaluate()

    def _evaluate(self) -> None:
        found = self._potential.compute(self.positions_A[None])
        if found.errors:
            raise _Failed(found.errors[0])
        self.energy_eV = float(found.energy_eV[0])
        self.forces_eV_per_A = found.forces_eV_per_A[0]

    def run(self, n_steps: int) -> None:
        """Advance by ``n_steps``; each is kick, drift, friction and noise, drift, kick."""
        noise = np.sqrt(1.0 - self._damping**2) * self._thermal_velocity
        half_kick = 0.5 * self._step / self._masses
        half_step = 0.5 * self._step
        for _ in range(n_steps):
            self._velocities += half_kick * self.forces_eV_per_A
            self.positions_A += half_step * self._velocities
            self._velocities *= self._damping
            self._velocities += noise * self._generator.normal(size=self.positions_A.shape)
            self.positions_A += half_step * self._velocities
            self._evaluate()
            self._velocities += half_kick * self.forces_eV_per_A


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
    restarts = 0
    last_good_A = start.positions
    walker: Walker | None = None
    while len(taken) < n_frames:
        try:
            if walker is None:
                walker = Walker(potential, _at(start, last_good_A), sampling, generator)
                walker.run(sampling.steps_before_samples)
            walker.run(sampling.steps_between_samples)
        except _Failed as error:
            restarts += 1
            walker = None
            logger.warning("%s: the reference failed at frame %d (%s), restart %d", name, len(taken), error, restarts)
            if restarts > MAX_RESTARTS:
                raise InputError(
                    f"{name}: the reference failed {restarts} times in sampling, at last with {error}: "
                    "lower the temperature or the time step, or correct the reference"
                ) from None
            continue
        last_good_A = walker.positions_A.copy()
        frame = labelled(_at(start, last_good_A), walker.energy_eV, walker.forces_eV_per_A)
        frame.positions -= np.average(frame.positions, axis=0, weights=frame.get_masses())
        frame.info |= {"temperature_K": sampling.temperature_K, "trajectory": name}
        taken.append(frame)
    return taken, restarts


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
