"""Radial distribution function g(r) of the oxygen sites in the liquid."""

from __future__ import annotations

import numpy as np

from longhot.dynamics.samples import Samples

PHASES = ("liquid",)
N_BINS = 80


def coordinates(samples: Samples) -> np.ndarray:
    """Middles of the bins in A, up to half of the narrowest height that the cell has in any frame."""
    edges = _edges(samples)
    return 0.5 * (edges[1:] + edges[:-1])


def values(samples: Samples, enthalpies_meV: np.ndarray) -> np.ndarray:
    """Shape (n_frames, N_BINS)."""
    edges = _edges(samples)
    shells_A3 = 4 / 3 * np.pi * np.diff(edges**3)
    cells_A = samples.cell_A[samples.frame_sample]
    return np.array(
        [
            _histogram(positions_A, cell_A, edges) * abs(np.linalg.det(cell_A)) / (len(positions_A) ** 2 * shells_A3)
            for positions_A, cell_A in zip(samples.oxygen_A, cells_A, strict=True)
        ]
    )


def _edges(samples: Samples) -> np.ndarray:
    cells_A = samples.cell_A[samples.frame_sample]
    heights_A = 1 / np.linalg.norm(np.linalg.inv(cells_A), axis=1)
    return np.linspace(0, heights_A.min() / 2, N_BINS + 1)


def _histogram(positions_A: np.ndarray, cell_A: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Ordered pairs in each bin by the nearest image, which is the only one up to half a height."""
    fractions = positions_A @ np.linalg.inv(cell_A)
    first, second = np.triu_indices(len(fractions), k=1)
    between = fractions[first] - fractions[second]
    distances_A = np.linalg.norm((between - np.round(between)) @ cell_A, axis=1)
    return 2 * np.histogram(distances_A, edges)[0]
