"""Ice Ih: the lattice of oxygen (or mW) sites, and water molecules in a random proton order on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from longhot.block import InputError

if TYPE_CHECKING:
    from ase import Atoms

OO_DISTANCE_A = 2.75
OH_DISTANCE_A = 0.9572
HOH_ANGLE_DEG = 104.52
"""The molecule of the gas phase, which rigid models such as TIP4P take over."""
SITE_FRACTIONS = np.array(
    [
        [x, y, z]
        for y, z_outer, z_inner in ((1 / 4, 5 / 6, 1 / 6), (3 / 4, 1 / 3, 2 / 3))
        for x, z in ((3 / 16, z_outer), (5 / 16, z_inner), (11 / 16, z_inner), (13 / 16, z_outer))
    ]
)
"""Wurtzite with u = 3/8 in its orthorhombic cell, shape (8, 3), placed so that the faces across x and z pass
through the middle of bonds that stand upright on them: no other such face cuts fewer."""
PARITY_DRAWS = 1000
"""How many directions of the chains of hydrogen bonds are tried against the dipole of one proton order."""
MAX_ORDERS = 100
"""How many proton orders are drawn until one has no dipole; but for the smallest cells the first will do."""


def ice_ih_sites(
    repeats: tuple[int, int, int], neighbour_distance_A: float = OO_DISTANCE_A, symbol: str = "O"
) -> Atoms:
    """Sites of ideal ice Ih, periodic: each has four neighbours at one distance, in a perfect tetrahedron.

    The orthorhombic cell of 8 sites has its axes along c (x), a (y) and sqrt(3) a (z), with c/a = sqrt(8/3): the
    face across z, the long axis of an interface, is the primary prism face, the one across x the basal face.

    Args:
        repeats: cells along x, y and z.
        neighbour_distance_A: distance of neighbouring sites; 2.75 gives 0.934 g/cm3.
        symbol: element of the sites.

    Raises:
        InputError: no cell along an axis, or a distance that is not positive.
    """
    from ase import Atoms

    if min(repeats) < 1 or not neighbour_distance_A > 0:
        raise InputError(
            f"ice Ih: {tuple(repeats)} cells with neighbours at {neighbour_distance_A} A, give at least one cell along "
            "each axis and a positive distance"
        )
    a = neighbour_distance_A * np.sqrt(8 / 3)
    cell = [a * np.sqrt(8 / 3), a, a * np.sqrt(3)]
    return Atoms([symbol] * 8, scaled_positions=SITE_FRACTIONS, cell=cell, pbc=True).repeat(repeats)


def ice_ih_water(repeats: tuple[int, int, int], seed: int, neighbour_distance_A: float = OO_DISTANCE_A) -> Atoms:
    """Proton-disordered ice Ih without net dipole: rigid molecules, O, H, H each, none torn apart by the cell.

    In the plane of the two hydrogen bonds that a molecule donates, each of its O-H points 2.5 degrees inside the
    line to the neighbour, since its angle is 104.52 degrees and that of the lattice 109.47.

    Args:
        repeats: cells of 8 molecules along x, y and z, as in ``ice_ih_sites``.
        seed: of the proton order.
        neighbour_distance_A: distance of neighbouring oxygen atoms.

    Raises:
        InputError: as in ``ice_ih_sites`` and ``donated_bonds``.
    """
    from ase import Atoms

    sites = ice_ih_sites(repeats, neighbour_distance_A)
    first, second = np.swapaxes(donated_bonds(sites, neighbour_distance_A, seed), 0, 1)
    half = np.radians(HOH_ANGLE_DEG / 2)
    along = OH_DISTANCE_A * np.cos(half) * _unit(first + second)
    across = OH_DISTANCE_A * np.sin(half) * _unit(first - second)
    oxygen = sites.positions
    positions = np.stack([oxygen, oxygen + along + across, oxygen + along - across], axis=1).reshape(-1, 3)
    return Atoms(["O", "H", "H"] * len(sites), positions=positions, cell=sites.cell, pbc=True)


def donated_bonds(sites: Atoms, neighbour_distance_A: float, seed: int) -> np.ndarray:
    """Vectors in A from each site to the two sites that it donates a hydrogen bond to, shape (n, 2, 3).

    A random orientation of the bonds that obeys the ice rules (each site donates two and accepts two), by the
    package genice-core (Matsumoto, Yagasaki and Tanaka, J. Chem. Inf. Model. 61, 2542 (2021)). The vectors sum
    to zero, and so do the dipoles of molecules along them.

    Args:
        sites: as from ``ice_ih_sites``.
        neighbour_distance_A: distance of neighbouring sites.
        seed: of the orientation.

    Raises:
        InputError: the cell is so small that two sites are neighbours twice, or no order without dipole is found.
    """
    import genice_core
    from ase.neighborlist import neighbor_list

    donors, acceptors = neighbor_list("ij", sites, 1.3 * neighbour_distance_A)
    pairs = sorted({(int(i), int(j)) for i, j in zip(donors, acceptors, strict=True) if i < j})
    if len(pairs) < 2 * len(sites):
        raise InputError(
            f"ice Ih: in a cell of {len(sites)} molecules two of them are neighbours through several images, "
            "the smallest repeats that work are (1, 2, 1): give at least 2 along y"
        )
    fractions = sites.get_scaled_positions()
    for draw in np.random.SeedSequence(seed).generate_state(MAX_ORDERS):
        directed = genice_core.ice_graph(
            pairs,
            vertex_positions=fractions,
            is_periodic_boundary=True,
            dipole_optimization_cycles=PARITY_DRAWS,
            return_edges=True,
            seed=int(draw),
        )
        accepting = np.array(sorted(directed)).reshape(-1, 2, 2)[..., 1]  # (n, 2)
        bonds = fractions[accepting] - fractions[:, None]
        bonds -= np.round(bonds)
        if np.abs(bonds.sum(axis=(0, 1))).max() < 1e-6:
            return bonds * sites.cell.lengths()
    raise InputError(f"ice Ih: none of {MAX_ORDERS} proton orders is without dipole, take another seed or fewer cells")


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
