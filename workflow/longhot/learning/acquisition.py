"""Acquisition: which frames of a pool are labelled next.

A pool may come from anywhere: simulations of the model itself, or a published data set. Every strategy sees
the same pool, in which nothing repeats, and gives the same number of frames, so that they differ in the
frames alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from ase.data import covalent_radii
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from longhot.block import InputError
from longhot.config import Strategy
from longhot.dynamics.detectors import OVERLAP
from longhot.learning.subsets import SOAP_CUTOFF_A, descriptors, farthest_points

if TYPE_CHECKING:
    from ase import Atoms

DUPLICATE_A = 1e-4
"""Frames of which no coordinate differs by more are one: above the rounding of files, below any thermal motion.
A frame that was shifted or turned is another."""
CANDIDATES_PER_CHOICE = 5
"""Most uncertain frames among which ``uncertain_diverse`` makes one choice."""


@dataclass(frozen=True)
class Pool:
    """Frames to choose from, and what is known of them."""

    frames: list[Atoms]
    """Candidates, of one molecule or many; exploded ones are left out beforehand, see ``usable``."""
    spreads_eV_per_A: list[np.ndarray]
    """Uncertainty of the force on each atom, by frame, shape (n_atoms,); see ``committee.atom_spreads``."""
    known: list[Atoms]
    """Frames that have been labelled already."""


def usable(frames: Sequence[Atoms]) -> list[bool]:
    """Whether each frame is worth a label: not so where it has exploded.

    It has where a position is not finite, where atoms overlap (as in ``longhot.dynamics.detectors``), or where
    it has come apart into pieces between which a local model sees nothing. Bonds that are stretched, broken or
    new are no reason: what they cost is what a model must learn.
    """
    return [not _exploded(frame) for frame in frames]


def _exploded(frame: Atoms) -> bool:
    if not (np.isfinite(frame.positions).all() and np.isfinite(frame.cell.array).all()):
        return True
    with np.errstate(over="ignore"):
        distances_A = frame.get_all_distances(mic=bool(frame.pbc.any()))
    radii_A = covalent_radii[frame.numbers]
    first, second = np.triu_indices(len(frame), k=1)
    overlap = distances_A[first, second] < OVERLAP * (radii_A[first] + radii_A[second])
    n_pieces, _ = connected_components(distances_A <= SOAP_CUTOFF_A, directed=False)
    return bool(overlap.any()) or n_pieces > 1


def select(strategy: Strategy, pool: Pool, n_frames: int, seed: int) -> list[int]:
    """Indices into ``pool.frames``, in the order of choice.

    A frame that repeats a known one, or an earlier one of the pool, is never chosen. Where fewer than
    ``n_frames`` are left, all of them are. Among equals the earlier in the pool comes first.

    Raises:
        InputError: an unknown strategy, no frames asked for, or a pool that is not whole and finite.
    """
    if strategy not in STRATEGIES:
        raise InputError(f"unknown acquisition strategy {strategy!r}: use one of {', '.join(STRATEGIES)}")
    if n_frames < 1:
        raise InputError(f"acquisition of {n_frames} frames: ask for at least one")
    _check(pool)
    fresh = _without_duplicates(pool)
    if not fresh:
        return []
    choices = Pool([pool.frames[one] for one in fresh], [pool.spreads_eV_per_A[one] for one in fresh], pool.known)
    chosen = STRATEGIES[strategy](choices, min(n_frames, len(fresh)), np.random.default_rng(seed))
    return [fresh[one] for one in chosen]


def _check(pool: Pool) -> None:
    if len(pool.frames) != len(pool.spreads_eV_per_A):
        raise InputError(
            f"acquisition: {len(pool.spreads_eV_per_A)} arrays of spreads do not belong to {len(pool.frames)} frames, "
            "give one a frame"
        )
    for index, (frame, spreads) in enumerate(zip(pool.frames, pool.spreads_eV_per_A, strict=True)):
        if spreads.shape != (len(frame),):
            raise InputError(
                f"acquisition: spreads of shape {spreads.shape} do not belong to the {len(frame)} atoms "
                f"of frame {index}, give one an atom"
            )
        if not (np.isfinite(frame.positions).all() and np.isfinite(spreads).all()):
            raise InputError(f"acquisition: a position or spread of frame {index} is not finite, leave the frame out")


def _without_duplicates(pool: Pool) -> list[int]:
    """Indices of frames that repeat neither a known frame nor an earlier one of the pool, ascending."""
    groups: dict[tuple[bytes, bytes], list[int]] = {}
    frames = [*pool.known, *pool.frames]
    for index, frame in enumerate(frames):
        groups.setdefault((frame.numbers.tobytes(), frame.pbc.tobytes()), []).append(index)
    fresh = []
    for group in groups.values():
        points_A = np.array([_coordinates(frames[index]) for index in group])
        near = cKDTree(points_A).query_ball_point(points_A, DUPLICATE_A, p=np.inf)
        repeated: set[int] = set()
        for place, index in enumerate(group):
            known = index < len(pool.known)
            if known or place not in repeated:
                repeated.update(near[place])
                if not known:
                    fresh.append(index - len(pool.known))
    return sorted(fresh)


def _coordinates(frame: Atoms) -> np.ndarray:
    """Positions and those cell vectors that are periodic, in A, as one vector."""
    return np.concatenate([frame.positions.ravel(), frame.cell.array[frame.pbc].ravel()])


def _most_diverse(frames: Sequence[Atoms], known: Sequence[Atoms], n: int, first: int) -> list[int]:
    points = descriptors([*known, *frames])
    return farthest_points(points[len(known) :], first, n, points[: len(known)]).tolist()


def _most_uncertain(scores: Sequence[float], n: int) -> list[int]:
    return np.argsort(-np.asarray(scores), kind="stable")[:n].tolist()


def _random(pool: Pool, n_frames: int, generator: np.random.Generator) -> list[int]:
    return generator.permutation(len(pool.frames))[:n_frames].tolist()


def _diverse(pool: Pool, n_frames: int, generator: np.random.Generator) -> list[int]:
    return _most_diverse(pool.frames, pool.known, n_frames, int(generator.integers(len(pool.frames))))


def _uncertain_frame(pool: Pool, n_frames: int, generator: np.random.Generator) -> list[int]:
    return _most_uncertain([float(np.sqrt(np.mean(one**2))) for one in pool.spreads_eV_per_A], n_frames)


def _uncertain_atom(pool: Pool, n_frames: int, generator: np.random.Generator) -> list[int]:
    return _most_uncertain([float(one.max()) for one in pool.spreads_eV_per_A], n_frames)


def _uncertain_diverse(pool: Pool, n_frames: int, generator: np.random.Generator) -> list[int]:
    candidates = _uncertain_atom(pool, CANDIDATES_PER_CHOICE * n_frames, generator)
    chosen = _most_diverse([pool.frames[one] for one in candidates], pool.known, n_frames, first=0)
    return [candidates[one] for one in chosen]


STRATEGIES: dict[Strategy, Callable[[Pool, int, np.random.Generator], list[int]]] = {
    "random": _random,
    "diverse": _diverse,
    "uncertain_frame": _uncertain_frame,
    "uncertain_atom": _uncertain_atom,
    "uncertain_diverse": _uncertain_diverse,
}
"""Each takes a pool without duplicates and at most as many frames as it holds.

- ``random``: drawn without replacement.
- ``diverse``: each the farthest, by averaged SOAP, from the known frames and from those chosen before it;
  the first is drawn where nothing is known.
- ``uncertain_frame``: the largest root mean square over atoms of the spread, which is the committee's spread
  of the whole frame; one odd group counts the less, the larger the molecule.
- ``uncertain_atom``: the largest spread of any atom.
- ``uncertain_diverse``: as ``diverse`` among the most uncertain by atom, ``CANDIDATES_PER_CHOICE`` of them for
  each frame asked for; a pool that holds no more than these is ``diverse`` as a whole.
"""
