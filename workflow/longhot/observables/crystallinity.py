"""How much of a box of water is ice: the CHILL classification of oxygen (or mW) sites.

Moore, de la Llave, Welke, Scherlis and Molinero, Phys. Chem. Chem. Phys. 12, 4124 (2010), with the wider
range of eclipsed bonds of CHILL+, which finds warm hexagonal ice too: Nguyen and Molinero, J. Phys. Chem. B
119, 9369 (2015).
"""

from __future__ import annotations

import itertools

import numpy as np

STAGGERED_MAX = -0.8
"""A bond is staggered where its correlation is at most this; -1 in a perfect lattice."""
ECLIPSED_RANGE = (-0.35, 0.25)
"""A bond is eclipsed where its correlation is in this range; -1/9 in a perfect lattice."""
REACH = 2.0
"""How far neighbours are sought, in cube roots of the volume a site has: in a uniform fluid the sphere of
this radius holds 34 sites, and the four nearest are wanted."""


def crystalline_share(positions_A: np.ndarray, cell_A: np.ndarray) -> float:
    """Share of the sites that are hexagonal or cubic ice, from 0 to 1; arguments as in ``ice_like``."""
    return float(ice_like(positions_A, cell_A).mean())


def ice_like(positions_A: np.ndarray, cell_A: np.ndarray) -> np.ndarray:
    """Which sites are ice: three staggered bonds and a fourth that is eclipsed (hexagonal) or staggered (cubic).

    Args:
        positions_A: oxygen sites, inside the cell or not, shape (n, 3).
        cell_A: cell vectors as rows, periodic along all three, shape (3, 3).

    Returns:
        One truth value a site, shape (n,).

    Raises:
        ValueError: a position is not finite.
    """
    c = bond_correlations(positions_A, cell_A)
    staggered = c <= STAGGERED_MAX
    eclipsed = (c >= ECLIPSED_RANGE[0]) & (c <= ECLIPSED_RANGE[1])
    return (staggered.sum(axis=1) >= 3) & (staggered | eclipsed).all(axis=1)


def bond_correlations(positions_A: np.ndarray, cell_A: np.ndarray) -> np.ndarray:
    """Correlation c of the orientations of each site and of each of its four nearest neighbours, shape (n, 4).

    c_ij = q_i . q_j / (|q_i| |q_j|), with q_i the seven numbers sum_a Y_3m(u_ia) over the directions u_ia to
    the four nearest neighbours of i. By the addition theorem q_i . q_j = 7/(4 pi) sum_ab P_3(u_ia . u_jb), so no
    spherical harmonics are needed, and c is the same for a turned or moved system by construction.
    """
    neighbours, u = four_nearest(positions_A, cell_A)
    overlap = _p3_sum(u[:, None], u[neighbours])  # (n, 4)
    norm = np.sqrt(_p3_sum(u, u))  # (n,)
    return overlap / (norm[:, None] * norm[neighbours])


def _p3_sum(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Sum over a and b of the Legendre polynomial P_3(u_a . v_b); shapes (..., 4, 3) to (...)."""
    x = u @ np.swapaxes(v, -1, -2)
    return (x * (2.5 * x * x - 1.5)).sum(axis=(-2, -1))


def four_nearest(positions_A: np.ndarray, cell_A: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the four nearest neighbours, shape (n, 4), and unit vectors to them, shape (n, 4, 3).

    Sites near the faces of the cell are repeated outside it, so any cell will do: skewed, or so small that a
    site is a neighbour through two of its images.
    """
    from scipy.spatial import cKDTree

    cell = np.asarray(cell_A, dtype=float)
    inverse = np.linalg.inv(cell)
    fractions = (np.asarray(positions_A, dtype=float) @ inverse) % 1.0
    spacing_A = (abs(np.linalg.det(cell)) / len(fractions)) ** (1 / 3)
    margin = REACH * spacing_A * np.linalg.norm(inverse, axis=0)  # over the heights of the cell
    shifts = itertools.product(*(range(-int(n), int(n) + 1) for n in np.ceil(margin)))
    images = fractions + np.array(list(shifts))[:, None]  # (n_shifts, n, 3)
    close = ((images > -margin) & (images < 1.0 + margin)).all(axis=-1)
    points_A, sites_A = images[close] @ cell, fractions @ cell
    _, found = cKDTree(points_A).query(sites_A, k=5)
    found = found[:, 1:]  # the nearest of all is the site itself
    bonds_A = points_A[found] - sites_A[:, None]
    return np.nonzero(close)[1][found], bonds_A / np.linalg.norm(bonds_A, axis=-1, keepdims=True)
