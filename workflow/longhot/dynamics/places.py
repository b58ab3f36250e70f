"""The places of a batch: everything that is known, row by row, of the replicas that stand in it."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from longhot.dynamics.barostat import Moves
from longhot.dynamics.trajectory import Ring
from longhot.langevin import State

NOBODY = -1
"""Replica of a place that nobody has stood in yet."""


@dataclass
class Places:
    """One row a place in every array; all are changed in place."""

    state: State
    moves: Moves
    ring: Ring
    replica: np.ndarray
    """Index of the replica in each place, shape (n_places,)."""
    started: np.ndarray
    """Step of the run at which it took the place, shape (n_places,)."""
    live: np.ndarray
    """Whether it has not ended, shape (n_places,)."""
    start_energy_eV: np.ndarray
    """Total energy at its start, shape (n_places,)."""

    @classmethod
    def empty(cls, n_places: int, n_atoms: int) -> Places:
        """Places in which nobody stands."""
        vectors = (n_places, n_atoms, 3)
        state = State(
            np.zeros(vectors), np.zeros(vectors), np.zeros(vectors), np.zeros(n_places), np.zeros((n_places, 3, 3))
        )
        return cls(
            state,
            Moves.fresh(n_places),
            Ring(n_places, n_atoms),
            np.full(n_places, NOBODY),
            np.zeros(n_places, dtype=int),
            np.zeros(n_places, dtype=bool),
            np.zeros(n_places),
        )

    def __len__(self) -> int:
        return len(self.replica)

    def arrays(self) -> Iterator[tuple[str, np.ndarray]]:
        """Every array by name."""
        for name, part in vars(self).items():
            if isinstance(part, np.ndarray):
                yield name, part
            else:
                yield from ((f"{name}_{inner}", values) for inner, values in vars(part).items())

    def take(self, rows: np.ndarray) -> Places:
        """Copy of some rows."""
        return _rows(self, rows)

    def clear(self, place: int) -> None:
        """Make a place as if nobody had ever stood in it."""
        fresh = Places.empty(1, self.state.positions_A.shape[1])
        for (_, values), (_, blank) in zip(self.arrays(), fresh.arrays(), strict=True):
            values[place] = blank[0]


def _rows(part: Any, rows: np.ndarray) -> Any:
    """The object with the same rows taken from all its arrays, at any depth."""
    if isinstance(part, np.ndarray):
        return part[rows]
    taken = copy.copy(part)
    for name, values in vars(part).items():
        setattr(taken, name, _rows(values, rows))
    return taken
