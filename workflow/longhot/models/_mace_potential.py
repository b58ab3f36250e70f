"""A fitted MACE as a potential: single frames, or a batch of replicas for MD."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from longhot.block import InputError
from longhot.files import read_json
from longhot.models._mace_graphs import GraphBuilder, is_static
from longhot.models._mace_kernels import kernels, work_on
from longhot.models._mace_net import build_network, evaluator, load_weights, network_with
from longhot.models.mace import Config
from longhot.potential import BatchPotential, BatchResult, Label, halved_sizes

if TYPE_CHECKING:
    import torch
    from ase import Atoms

PREDICTION_BATCH = 20


class MacePotential:
    """Implements ``longhot.potential.Potential``."""

    def __init__(self, directory: Path, device: str, compile_cache: Path | None = None) -> None:
        import torch
        from safetensors.torch import load_file

        torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
        description = read_json(directory / "model.json")
        self.config = Config.model_validate(description["config"])
        self.numbers: list[int] = description["atomic_numbers"]
        self.e0_eV: dict[str, float] = description["atomic_energies_eV"]
        self.statistics: dict[str, float] = description["statistics"]
        self.device, self.compile_cache = device, compile_cache
        self.builder = GraphBuilder(self.numbers, self.config.r_max_A, getattr(torch, self.config.dtype), device)
        self._weights = load_file(directory / "model.safetensors")

    def network(self, traceable: bool = False, with_atomic_energies: bool = False) -> torch.nn.Module:
        """The network with its weights, frozen."""
        from ase.data import chemical_symbols

        if traceable or with_atomic_energies:
            e0 = [self.e0_eV[chemical_symbols[number]] for number in self.numbers] if with_atomic_energies else None
            network = build_network(self.config, self.numbers, self.statistics, traceable, e0)
            load_weights(network, self._weights)
        else:
            network = network_with(self.config, self.numbers, self.statistics, self._weights)
        return network.to(self.device).requires_grad_(False)

    @cached_property
    def _eager(self) -> Callable[[dict[str, torch.Tensor]], Any]:
        return evaluator(self.network(), compiled=False, training=False)

    def isolated_energy_eV(self, atoms: Atoms) -> float:
        """Sum of the isolated atoms' energies."""
        return sum(self.e0_eV[symbol] for symbol in atoms.symbols)

    def predict(self, frames: Sequence[Atoms]) -> list[Label]:
        """Energy and forces of each frame, eagerly, in batches with neighbour lists."""
        labels = []
        for first in range(0, len(frames), PREDICTION_BATCH):
            part = frames[first : first + PREDICTION_BATCH]
            graphs = self.builder.neighbours(part)
            graphs["positions"].requires_grad_(True)
            energy, forces = (tensor.double().cpu().numpy() for tensor in self._eager(graphs))
            split = np.split(forces, np.cumsum([len(atoms) for atoms in part])[:-1])
            labels += [
                label_of(float(one) + self.isolated_energy_eV(atoms), force)
                for one, force, atoms in zip(energy, split, part, strict=True)
            ]
        return labels

    def batch(self, atoms: Atoms, n_replicas: int) -> BatchPotential:
        """A static all-pairs batch where the atoms allow it (compiled with a cache), else neighbour lists."""
        offset_eV = self.isolated_energy_eV(atoms)
        if not is_static([atoms]):
            return NeighbourMaceBatch(self.network(), self.builder, atoms, offset_eV)
        compiled = n_replicas in kernels(self.compile_cache).md_sizes
        if compiled and self.compile_cache is not None:
            work_on(self.compile_cache)
        return StaticMaceBatch(self.network(traceable=compiled), self.builder, atoms, n_replicas, compiled, offset_eV)

    def batch_sizes(self, n_replicas: int) -> list[int]:
        """Few sizes, for each has shapes of its own; a compiled batch shrinks to compiled ones only."""
        compiled = kernels(self.compile_cache).md_sizes
        if n_replicas in compiled:
            return [size for size in compiled if size <= n_replicas]
        return halved_sizes(n_replicas)


def label_of(energy_eV: float, forces_eV_per_A: np.ndarray) -> Label:
    """A label with its type: a fit that diverged, or a spoilt frame, gives no finite numbers."""
    if np.isfinite(energy_eV) and np.isfinite(forces_eV_per_A).all():
        return Label(energy_eV, forces_eV_per_A)
    none = np.full_like(forces_eV_per_A, np.nan)
    return Label(np.nan, none, "nonfinite", "the network gives an energy or a force that is NaN or infinite")


class StaticMaceBatch:
    """Replicas of one small molecule: constant shapes, no neighbour list."""

    def __init__(
        self,
        network: torch.nn.Module,
        builder: GraphBuilder,
        atoms: Atoms,
        n_replicas: int,
        compiled: bool,
        offset_eV: float = 0.0,
    ) -> None:
        self.builder, self.offset_eV = builder, offset_eV
        self.graphs = builder.static(atoms, n_replicas)
        self.evaluate = evaluator(network, compiled, training=False)

    def compute(self, positions_A: np.ndarray, cell_A: np.ndarray | None = None) -> BatchResult:
        """Energies and forces at ``positions_A``, shape (n_replicas, n_atoms, 3); a molecule has no cell."""
        self.graphs["positions"] = self.builder.floats(positions_A.reshape(-1, 3)).requires_grad_(True)
        energy, forces = self.evaluate(dict(self.graphs))
        return BatchResult(
            energy.double().cpu().numpy() + self.offset_eV, forces.double().cpu().numpy().reshape(positions_A.shape)
        )


class NeighbourMaceBatch:
    """Replicas of any atoms, periodic or not, with a neighbour list at every call."""

    def __init__(self, network: torch.nn.Module, builder: GraphBuilder, atoms: Atoms, offset_eV: float) -> None:
        self.builder, self.atoms, self.offset_eV = builder, atoms, offset_eV
        self.evaluate = evaluator(network, compiled=False, training=False)

    def compute(self, positions_A: np.ndarray, cell_A: np.ndarray | None = None) -> BatchResult:
        """Energies and forces; shapes as in ``longhot.potential.BatchPotential``."""
        # A neighbour list of NaN positions may hold anything, so no such replica goes into one.
        lost = ~np.isfinite(positions_A).all(axis=(1, 2))
        frames = []
        for replica, spoilt in enumerate(lost):
            frame = self.atoms.copy()
            if not spoilt:
                frame.positions = positions_A[replica]
                if cell_A is not None:
                    frame.cell = cell_A[replica]
            frames.append(frame)
        graphs = self.builder.neighbours(frames)
        graphs["positions"].requires_grad_(True)
        energy, forces = (tensor.double().cpu().numpy() for tensor in self.evaluate(graphs))
        return BatchResult(
            np.where(lost, np.nan, energy + self.offset_eV),
            np.where(lost[:, None, None], np.nan, forces.reshape(positions_A.shape)),
        )


def export(directory: Path, out: Path) -> None:
    """Write MACE's own ``.model`` file, for MACECalculator and for MACE's LAMMPS converters.

    The file is a pickle that PyTorch writes, as those programs expect; Longhot itself never reads it.

    Raises:
        InputError: the model is of another family.
    """
    import torch

    from longhot.files import atomic_path

    family = read_json(directory / "model.json")["family"]
    if family != "mace":
        raise InputError(f"export: {directory} holds a model of the family {family}, only mace has a file of its own")
    potential = MacePotential(directory, "cpu")
    with atomic_path(out) as temporary:
        torch.save(potential.network(with_atomic_energies=True), temporary)
