"""Batches of graphs for MACE: static all-pairs batches of one molecule, or neighbour lists.

Where all frames are copies of one molecule, every pair of atoms is an edge: MACE's cutoff makes pairs
beyond r_max contribute exactly nothing, so shapes never change, no neighbour list is built, and the
step can be compiled once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from longhot.block import InputError
from longhot.frames import same_atoms

if TYPE_CHECKING:
    import torch
    from ase import Atoms

Batch = dict[str, "torch.Tensor"]

MAX_ATOMS_ALL_PAIRS = 32
"""Above this size most pairs lie beyond r_max, and a neighbour list is cheaper than static shapes."""
MAX_ATOMS_ALL_DISTANCES = 500
"""Up to this size a molecule's neighbours are found among all pairs."""


def is_static(frames: Sequence[Atoms]) -> bool:
    """Whether all frames fit static all-pairs batches."""
    return len(frames[0]) <= MAX_ATOMS_ALL_PAIRS and same_atoms(frames)


def all_pairs(n_atoms: int) -> np.ndarray:
    """Edges between all ordered pairs of different atoms, by receiver, shape (2, n_atoms * (n_atoms - 1))."""
    receivers, senders = np.nonzero(~np.eye(n_atoms, dtype=bool))
    return np.stack([senders, receivers])


def neighbour_list(atoms: Atoms, r_max_A: float) -> tuple[np.ndarray, np.ndarray]:
    """Edges (2, n_edges) and integer cell shifts (n_edges, 3) of pairs closer than ``r_max_A``."""
    if not atoms.pbc.any() and len(atoms) <= MAX_ATOMS_ALL_DISTANCES:
        # A cell list of a molecule that flew apart takes seconds: it bins the vacuum.
        vectors = atoms.positions[None] - atoms.positions[:, None]
        # Not "<": a NaN position must spoil the energy, not lose its edges and go unseen.
        near = ~(np.einsum("ijk,ijk->ij", vectors, vectors) >= r_max_A**2) & ~np.eye(len(atoms), dtype=bool)
        edges = np.stack(np.nonzero(near))
        return edges, np.zeros((edges.shape[1], 3))

    from matscipy.neighbours import neighbour_list as search

    cell_A = atoms.cell.array.copy()
    # Edges where nothing repeats, so long that no cell list meets itself.
    cell_A[~atoms.pbc] = (5 * r_max_A * (1 + np.abs(atoms.positions).max()) * np.eye(3))[~atoms.pbc]
    senders, receivers, shifts = search("ijS", pbc=atoms.pbc, cell=cell_A, positions=atoms.positions, cutoff=r_max_A)
    other = (senders != receivers) | shifts.any(axis=1)
    return np.stack([senders, receivers])[:, other], shifts[other]


def average_neighbours(frames: Sequence[Atoms], r_max_A: float) -> float:
    """Mean number of neighbours within ``r_max_A`` over atoms that have any."""
    counts = []
    for atoms in frames:
        edges, _ = neighbour_list(atoms, r_max_A)
        degree = np.bincount(edges[1], minlength=len(atoms))
        counts.append(degree[degree > 0])
    merged = np.concatenate(counts)
    return float(merged.mean()) if merged.size else 1.0


class GraphBuilder:
    """Turns frames into the dictionaries of tensors that MACE reads."""

    def __init__(self, numbers: Sequence[int], r_max_A: float, dtype: torch.dtype, device: str) -> None:
        self.index = {number: place for place, number in enumerate(numbers)}
        self.r_max_A = r_max_A
        self.dtype = dtype
        self.device = device

    def static(self, atoms: Atoms, n_graphs: int) -> Batch:
        """All-pairs batch of ``n_graphs`` copies of a molecule, without positions."""
        n_atoms = len(atoms)
        pairs = all_pairs(n_atoms)
        edges = np.concatenate([pairs + n_atoms * graph for graph in range(n_graphs)], axis=1)
        shifts = np.zeros((edges.shape[1], 3))
        return self._tensors(
            np.tile(atoms.numbers, n_graphs), [n_atoms] * n_graphs, edges, shifts, np.zeros((n_graphs, 3, 3))
        )

    def neighbours(self, frames: Sequence[Atoms]) -> Batch:
        """Neighbour-list batch of any frames, with positions."""
        edges, shifts, offset = [], [], 0
        for atoms in frames:
            pairs, cells = neighbour_list(atoms, self.r_max_A)
            edges.append(pairs + offset)
            shifts.append(cells)
            offset += len(atoms)
        batch = self._tensors(
            np.concatenate([atoms.numbers for atoms in frames]),
            [len(atoms) for atoms in frames],
            np.concatenate(edges, axis=1),
            np.concatenate(shifts),
            np.stack([atoms.cell.array if atoms.pbc.any() else np.zeros((3, 3)) for atoms in frames]),
        )
        batch["positions"] = self.floats(np.concatenate([atoms.positions for atoms in frames]))
        return batch

    def floats(self, array: np.ndarray) -> torch.Tensor:
        """Tensor of the model's dtype on its device."""
        import torch

        return torch.as_tensor(array, dtype=self.dtype, device=self.device)

    def _tensors(
        self, numbers: np.ndarray, sizes: list[int], edges: np.ndarray, unit_shifts: np.ndarray, cells: np.ndarray
    ) -> Batch:
        import torch
        from ase.data import chemical_symbols

        def integers(array: np.ndarray) -> torch.Tensor:
            return torch.as_tensor(array, dtype=torch.int64, device=self.device)

        graph_of_node = np.repeat(np.arange(len(sizes)), sizes)
        unknown = sorted(set(numbers.tolist()) - set(self.index))
        if unknown:
            raise InputError(
                f"mace: the model was not fitted to {', '.join(chemical_symbols[number] for number in unknown)}, "
                "which a frame holds: fit it to frames that hold every element"
            )
        one_hot = np.eye(len(self.index))[[self.index[number] for number in numbers]]
        shifts = np.einsum("ei,eij->ej", unit_shifts, cells[graph_of_node[edges[0]]])
        return {
            "node_attrs": self.floats(one_hot),  # (n_nodes, n_elements)
            "edge_index": integers(edges),  # (2, n_edges)
            "shifts": self.floats(shifts),  # (n_edges, 3)
            "unit_shifts": self.floats(unit_shifts),  # (n_edges, 3)
            "cell": self.floats(cells.reshape(-1, 3)),  # (3 n_graphs, 3)
            "batch": integers(graph_of_node),  # (n_nodes,)
            "ptr": integers(np.concatenate([[0], np.cumsum(sizes)])),  # (n_graphs + 1,)
            "head": integers(np.zeros(len(sizes))),  # (n_graphs,)
        }
