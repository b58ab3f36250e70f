"""Nested training subsets: index files into a pool, never copies of it.

One order of the pool is made for each strategy and seed; the subset of size n is its first n frames,
so the smaller subsets lie in the larger.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from longhot import files, frames
from longhot.block import InputError
from longhot.soap import soap

if TYPE_CHECKING:
    from ase import Atoms

SOAP_CUTOFF_A = 5.0


def order(pool: Sequence[Atoms], strategy: str, seed: int, n: int) -> np.ndarray:
    """The first ``n`` indices of the pool's order, shape (n,).

    Raises:
        InputError: ``n`` exceeds the pool, or the strategy is unknown.
    """
    if n > len(pool):
        raise InputError(
            f"training size {n} is larger than the pool of {len(pool)} frames: lower it or enlarge the pool"
        )
    generator = np.random.default_rng(seed)
    if strategy == "random":
        return generator.permutation(len(pool))[:n]
    if strategy == "farthest_point":
        return farthest_points(descriptors(pool), int(generator.integers(len(pool))), n)
    raise InputError(f"unknown subset strategy {strategy!r}: use random or farthest_point")


def descriptors(pool: Sequence[Atoms]) -> np.ndarray:
    """One SOAP vector a frame, averaged over its atoms, shape (n_frames, n_features).

    Does not change when a frame is rotated, translated, or its atoms of one element are permuted.
    """
    descriptor = soap(
        species=sorted({symbol for frame in pool for symbol in frame.symbols}),
        r_cut=SOAP_CUTOFF_A,
        n_max=6,
        l_max=4,
        sigma=0.3,
        average="outer",
        periodic=any(frame.pbc.any() for frame in pool),
    )
    return np.atleast_2d(descriptor.create(list(pool)))


def farthest_points(points: np.ndarray, first: int, n: int, known: np.ndarray | None = None) -> np.ndarray:
    """Indices of ``n`` points, each the farthest from the known ones and from those before it.

    Args:
        points: shape (n_points, n_features).
        first: index of the point to begin with where nothing is known.
        n: how many.
        known: shape (n_known, n_features); may be empty or absent.
    """
    if known is not None and len(known):
        from scipy.spatial.distance import cdist

        chosen, distance = list[int](), cdist(points, known).min(axis=1)
    else:
        chosen, distance = [first], np.linalg.norm(points - points[first], axis=1)
        distance[first] = -1.0  # below every distance, so that duplicates do not bring a point back
    while len(chosen) < n:
        farthest = int(np.argmax(distance))
        chosen.append(farthest)
        distance = np.minimum(distance, np.linalg.norm(points - points[farthest], axis=1))
        distance[chosen] = -1.0
    return np.array(chosen[:n])


def write(pool_path: str | Path, strategy: str, seed: int, size: int, out: str | Path) -> None:
    """Write the subset of ``size`` frames as indices, with the hash of the pool that they index."""
    indices = order(frames.read(pool_path), strategy, seed, size)
    files.write_json(
        out,
        {
            "pool_sha256": files.sha256(pool_path),
            "strategy": strategy,
            "seed": seed,
            "size": size,
            "indices": indices.tolist(),
        },
    )


def load(subset_path: str | Path, pool_path: str | Path) -> list[Atoms]:
    """The frames of a subset.

    Raises:
        InputError: the pool is not the one that the subset was drawn from.
    """
    subset = files.read_json(subset_path)
    if files.sha256(pool_path) != subset["pool_sha256"]:
        raise InputError(f"{subset_path}: {pool_path} has changed since the subset was drawn from it, draw it again")
    pool = frames.read(pool_path)
    return [pool[index] for index in subset["indices"]]
