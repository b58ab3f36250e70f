"""Langevin dynamics of many replicas at once: BAOAB, with noise that is a function of where it is used.

Leimkuhler and Matthews, Appl. Math. Res. Express 2013, 34 (doi 10.1093/amrx/abs010). One step of
length h, with masses m, forces F, friction gamma and thermostat temperature T, is

    B  v += h/2 F/m
    A  x += h/2 v
    O  v  = exp(-gamma h) v + sqrt((1 - exp(-2 gamma h)) kT/m) xi,  xi standard normal
    A  x += h/2 v
    B  v += h/2 F/m  with the forces at the new x

Without friction this is velocity Verlet, in the microcanonical ensemble. Inside, everything is in ASE's
units: eV, A, amu, and A sqrt(eV/amu)/A for time.

The noise comes from Philox streams keyed by (seed, temperature, replica) and the block of steps. So no
state of a random generator needs to be saved, a restart repeats the noise bit by bit, and a replica feels
the same noise whatever the batch that it is in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from ase import units

BLOCK_STEPS = 100
"""Steps whose noise is drawn at once; restarts happen only between blocks."""

_VELOCITIES, _NOISE, _VOLUMES = 0, 1, 2


@dataclass
class State:
    """Phase-space points of all replicas, changed in place by each step."""

    positions_A: np.ndarray
    """Shape (n_replicas, n_atoms, 3)."""
    velocities: np.ndarray
    """Shape (n_replicas, n_atoms, 3), in A per ASE time unit."""
    forces_eV_per_A: np.ndarray
    """Shape (n_replicas, n_atoms, 3), at ``positions_A``."""
    energy_eV: np.ndarray
    """Shape (n_replicas,), at ``positions_A``."""
    cell_A: np.ndarray
    """Shape (n_replicas, 3, 3), rows are cell vectors; zeros where there is none."""


class Stream(NamedTuple):
    """Names the random numbers of one replica."""

    seed: int
    temperature_K: float
    replica: int

    def generator(self, purpose: int, block: int) -> np.random.Generator:
        """The random numbers of one purpose and one block of steps."""
        key = (round(self.temperature_K * 1000), self.replica, purpose, block)
        return np.random.Generator(np.random.Philox(np.random.SeedSequence(self.seed, spawn_key=key)))


def draw_noise(streams: Sequence[Stream], blocks: Sequence[int], n_atoms: int) -> np.ndarray:
    """Standard normal numbers for one block of steps.

    Args:
        streams: one a replica.
        blocks: number of the block that each replica is in, counted from its own start.
        n_atoms: of one replica.

    Returns:
        Array of shape (BLOCK_STEPS, n_replicas, n_atoms, 3).
    """
    noise = np.empty((BLOCK_STEPS, len(streams), n_atoms, 3))
    for place, (stream, block) in enumerate(zip(streams, blocks, strict=True)):
        noise[:, place] = stream.generator(_NOISE, block).standard_normal((BLOCK_STEPS, n_atoms, 3))
    return noise


def draw_volume_noise(streams: Sequence[Stream], blocks: Sequence[int], n_moves: int) -> np.ndarray:
    """Uniform numbers in [0, 1) for the volume moves of one block: size, acceptance and axis of each.

    Returns:
        Array of shape (n_moves, n_replicas, 3).
    """
    uniform = np.empty((n_moves, len(streams), 3))
    for place, (stream, block) in enumerate(zip(streams, blocks, strict=True)):
        generator = stream.generator(_VOLUMES, block)
        uniform[:, place, :2] = generator.random((n_moves, 2))
        uniform[:, place, 2] = generator.random(n_moves)
    return uniform


def draw_velocities(stream: Stream, masses_amu: np.ndarray) -> np.ndarray:
    """Maxwell-Boltzmann velocities without centre-of-mass momentum.

    The total angular momentum is left as drawn, and speeds are not rescaled: each replica starts at its
    own kinetic temperature, on average (3N - 3)/3N of the thermostat's, which gives the rest back.

    Returns:
        Array of shape (n_atoms, 3), in A per ASE time unit.
    """
    masses = masses_amu[:, None]
    normal = stream.generator(_VELOCITIES, 0).standard_normal((len(masses_amu), 3))
    drawn = normal * np.sqrt(units.kB * stream.temperature_K / masses)
    return drawn - (masses * drawn).sum(axis=0) / masses.sum()


class Integrator:
    """BAOAB for a fixed batch, with every factor and buffer made beforehand.

    Friction and noise act on each atom, so the centre of mass is thermal too: 3N degrees of freedom.
    Without friction it keeps the momentum it started with, none: 3N - 3.
    """

    def __init__(
        self,
        masses_amu: np.ndarray,
        temperatures_K: Sequence[float] | np.ndarray,
        time_step_fs: float,
        friction_per_ps: float,
    ) -> None:
        """``temperatures_K`` has one entry a replica; a friction of 0 gives the microcanonical ensemble."""
        shape = (len(temperatures_K), len(masses_amu), 3)
        step = time_step_fs * units.fs
        self.thermostatted = friction_per_ps > 0
        self.degrees_of_freedom = 3 * len(masses_amu) - (0 if self.thermostatted else 3)
        self._mass = np.broadcast_to(masses_amu[:, None], shape).copy()
        self._kick = step / 2 / self._mass
        self._half_step = step / 2
        self._decay = float(np.exp(-friction_per_ps * 1e-3 * time_step_fs))
        thermal = units.kB * np.asarray(temperatures_K, dtype=float)[:, None, None] / self._mass
        self._jitter = np.sqrt((1 - self._decay**2) * thermal)
        self._scratch = np.empty(shape)

    def before_forces(self, state: State, noise: np.ndarray | None) -> None:
        """B, A, O and A of one step; ``noise`` has shape (n_replicas, n_atoms, 3), None without friction."""
        scratch, velocities = self._scratch, state.velocities
        np.multiply(state.forces_eV_per_A, self._kick, out=scratch)
        velocities += scratch
        np.multiply(velocities, self._half_step, out=scratch)
        state.positions_A += scratch
        if noise is not None:
            velocities *= self._decay
            np.multiply(noise, self._jitter, out=scratch)
            velocities += scratch
            np.multiply(velocities, self._half_step, out=scratch)
        state.positions_A += scratch

    def after_forces(self, state: State) -> None:
        """The last B of one step, with the forces at the new positions."""
        np.multiply(state.forces_eV_per_A, self._kick, out=self._scratch)
        state.velocities += self._scratch

    def freeze(self, state: State, replica: int, positions_A: np.ndarray) -> None:
        """Put a replica at rest at ``positions_A`` for good: nothing pushes it any more."""
        self._kick[replica] = 0
        self._jitter[replica] = 0
        state.velocities[replica] = 0
        state.forces_eV_per_A[replica] = 0
        state.positions_A[replica] = positions_A

    def kinetic_energy_eV(self, state: State) -> np.ndarray:
        """Kinetic energy of each replica in eV, shape (n_replicas,)."""
        np.multiply(state.velocities, state.velocities, out=self._scratch)
        np.multiply(self._scratch, self._mass, out=self._scratch)
        return 0.5 * self._scratch.sum(axis=(1, 2))

    def temperature_K(self, kinetic_energy_eV: np.ndarray) -> np.ndarray:
        """Kinetic temperature in K of replicas with the given kinetic energies."""
        return 2 * kinetic_energy_eV / (self.degrees_of_freedom * units.kB)
