"""Monte Carlo barostat: volume moves that give the isothermal-isobaric ensemble at any time step.

Every ``MOVE_STEPS`` steps the cell and all positions of a replica are scaled from volume V to V', with
ln V' uniform around ln V, and the move is taken with probability

    min(1, exp(-(U' - U + P (V' - V)) / kT + (N + 1) ln(V' / V)))

for N atoms, energies U and the pressure P (Frenkel and Smit, Understanding Molecular Simulation, 2nd
edition, section 5.4.2). It needs no stress, so it serves every model and every reference, and costs one
energy in ``MOVE_STEPS``.

A move scales the whole cell, or one Cartesian axis alone, by the same rule. At a fixed cross-section A the
ensemble is the integral of exp(-(U + P A L) / kT) over all positions and the length L. A move keeps the
fractional positions and draws ln L' evenly around ln L; in these variables the integrand has the factors
V^N, of the positions, and L, of dL = L d ln L, which change together by (V' / V)^(N + 1). Where three lengths
change, the factors are V^N L_x L_y L_z, which is the same, and to draw the axis whatever the state is keeps
the balance.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from ase import units

from longhot.langevin import BLOCK_STEPS, State
from longhot.potential import BatchResult

MOVE_STEPS = 25
"""Steps between two moves; divides the block of steps, so that moves stay in step with blocks."""
MOVES_IN_BLOCK = BLOCK_STEPS // MOVE_STEPS
FIRST_WIDTH = 0.01
"""First half-width of the moves of ln V."""
TRIES_BETWEEN_CHANGES = 10
LOW_ACCEPTANCE, HIGH_ACCEPTANCE = 0.25, 0.5
WIDTH_FACTOR = 1.5
ADAPTING_SHARE = 0.1
"""Part of a trajectory in which the width is adapted; afterwards it stands, as detailed balance asks."""


@dataclass
class Moves:
    """What the barostat knows of each replica, changed in place."""

    width: np.ndarray
    """Half-width of the moves of ln V, shape (n_replicas,)."""
    tried: np.ndarray
    """Moves since the width last changed, shape (n_replicas,)."""
    taken: np.ndarray
    """How many of them were accepted, shape (n_replicas,)."""

    @classmethod
    def fresh(cls, n_replicas: int) -> Moves:
        """Nothing tried yet."""
        return cls(np.full(n_replicas, FIRST_WIDTH), np.zeros(n_replicas, dtype=int), np.zeros(n_replicas, dtype=int))


def volumes_A3(cell_A: np.ndarray) -> np.ndarray:
    """Volume of each cell, shape (n_replicas,)."""
    return np.abs(np.linalg.det(cell_A))


def log_acceptance(
    energy_change_eV: np.ndarray,
    volume_A3: np.ndarray,
    new_volume_A3: np.ndarray,
    n_atoms: int,
    temperatures_K: np.ndarray,
    pressure_bar: float,
) -> np.ndarray:
    """Logarithm of the acceptance ratio above, shape (n_replicas,)."""
    work_eV = pressure_bar * units.bar * (new_volume_A3 - volume_A3)
    boltzmann = -(energy_change_eV + work_eV) / (units.kB * temperatures_K)
    return boltzmann + (n_atoms + 1) * np.log(new_volume_A3 / volume_A3)


def scaled_axes(axes: str, uniform: np.ndarray) -> np.ndarray:
    """Which of x, y and z the move of each replica scales, boolean, shape (n_replicas, 3).

    Args:
        axes: ``barostat_axes`` of the protocol.
        uniform: the random number in [0, 1) that draws one of ``independent`` axes, shape (n_replicas,).
    """
    if axes == "independent":
        return np.floor(3 * uniform)[:, None] == np.arange(3)
    return np.tile([axes in ("isotropic", axis) for axis in "xyz"], (len(uniform), 1))


def move_volumes(
    state: State,
    moves: Moves,
    compute: Callable[[np.ndarray, np.ndarray], BatchResult],
    uniform: np.ndarray,
    temperatures_K: np.ndarray,
    pressure_bar: float,
    axes: str,
    adapting: np.ndarray,
    live: np.ndarray,
) -> None:
    """Try one move of each live replica, and take what is accepted into ``state``.

    A move for which the potential gives no finite numbers is refused.

    Args:
        state: changed in place.
        moves: changed in place.
        compute: energies and forces from positions and cells.
        uniform: three random numbers a replica, for size, acceptance and axis, shape (n_replicas, 3).
        temperatures_K: shape (n_replicas,).
        pressure_bar: of the barostat.
        axes: ``barostat_axes`` of the protocol.
        adapting: replicas whose width may change, shape (n_replicas,).
        live: shape (n_replicas,).
    """
    n_atoms = state.positions_A.shape[1]
    change = np.where(live, moves.width * (2 * uniform[:, 0] - 1), 0.0)
    scaled = scaled_axes(axes, uniform[:, 2])
    # An axis that is not scaled keeps every bit: exp(0) is 1.
    scale = np.exp(change[:, None] * scaled / scaled.sum(axis=1, keepdims=True))[:, None, :]
    positions_A, cell_A = state.positions_A * scale, state.cell_A * scale
    found = compute(positions_A, cell_A)
    volume_A3 = volumes_A3(state.cell_A)
    ratio = log_acceptance(
        found.energy_eV - state.energy_eV, volume_A3, volumes_A3(cell_A), n_atoms, temperatures_K, pressure_bar
    )
    finite = np.isfinite(found.energy_eV) & np.isfinite(found.forces_eV_per_A).all(axis=(1, 2))
    accepted = live & finite & (np.log1p(-uniform[:, 1]) < ratio)
    state.positions_A[accepted] = positions_A[accepted]
    state.cell_A[accepted] = cell_A[accepted]
    state.forces_eV_per_A[accepted] = found.forces_eV_per_A[accepted]
    state.energy_eV[accepted] = found.energy_eV[accepted]
    moves.tried += live
    moves.taken += accepted
    _adapt(moves, adapting & (moves.tried >= TRIES_BETWEEN_CHANGES))


def _adapt(moves: Moves, due: np.ndarray) -> None:
    """Widen moves that are mostly accepted, narrow those that are mostly refused."""
    if not due.any():
        return
    share = moves.taken[due] / moves.tried[due]
    factor = np.where(share > HIGH_ACCEPTANCE, WIDTH_FACTOR, np.where(share < LOW_ACCEPTANCE, 1 / WIDTH_FACTOR, 1.0))
    moves.width[due] *= factor
    moves.tried[due] = 0
    moves.taken[due] = 0
