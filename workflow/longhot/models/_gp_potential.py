"""A fitted Gaussian process as a potential, with the standard deviations of what it predicts."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import solve_triangular

from longhot.files import atomic_path, read_json, write_json
from longhot.models._gp_regression import OFFSET, Basis, Posterior, features, prior_variances
from longhot.models._gp_soap import Descriptor
from longhot.models.gp import Config
from longhot.potential import BatchResult, Label, every_size

if TYPE_CHECKING:
    from ase import Atoms


class GPPotential:
    """Implements ``longhot.potential.Potential``."""

    def __init__(self, config: Config, e0_eV: dict[str, float], basis: Basis, posterior: Posterior) -> None:
        self.config, self.e0_eV, self.basis, self.posterior = config, e0_eV, basis, posterior
        self.descriptor = Descriptor(config, e0_eV)

    @cached_property
    def _points(self) -> dict[int, tuple[np.ndarray, np.ndarray, float]]:
        """By atomic number: inducing vectors, their weights in eV, and the constant share in eV."""
        n_sparse, signal_eV = len(self.basis.numbers), self.posterior.signal_eV
        weights = signal_eV * solve_triangular(self.basis.cholesky, self.posterior.mean[:n_sparse], lower=True, trans=1)
        offsets = signal_eV * OFFSET * self.posterior.mean[n_sparse:]
        return {
            int(number): (self.basis.vectors[same], weights[same], float(offset))
            for number, offset in zip(self.basis.elements, offsets, strict=True)
            for same in [self.basis.numbers == number]
        }

    def _label(self, frame: Atoms) -> Label:
        self.descriptor.check(frame)
        if not is_finite(frame):
            return lost(frame, "a position or the cell is NaN or infinite")
        environments, zeta = self.descriptor.environments(frame), self.basis.zeta
        energy_eV, forces = sum(self.e0_eV[symbol] for symbol in frame.symbols), np.zeros((len(frame), 3))
        for number, p, atoms, derivative in zip(
            environments.numbers, environments.vectors, environments.moved_by, environments.derivatives, strict=True
        ):
            points, weights, offset_eV = self._points[number]
            overlap = points @ p
            energy_eV += offset_eV + weights @ overlap**zeta
            forces[atoms] -= derivative @ ((zeta * weights * overlap ** (zeta - 1)) @ points)
        if not (np.isfinite(energy_eV) and np.isfinite(forces).all()):
            return lost(frame, "an energy or a force is NaN or infinite")
        return Label(float(energy_eV), forces)

    def predict(self, frames: Sequence[Atoms]) -> list[Label]:
        """Energy and forces of each frame.

        Raises:
            InputError: an element that the model was not fitted to.
        """
        return [self._label(frame) for frame in frames]

    def batch(self, atoms: Atoms, n_replicas: int) -> GPBatch:
        """A potential for ``n_replicas`` copies of ``atoms``.

        Raises:
            InputError: an element that the model was not fitted to.
        """
        self.descriptor.check(atoms)
        return GPBatch(self, atoms)

    def batch_sizes(self, n_replicas: int) -> list[int]:
        """Every size, for replicas are computed one by one."""
        return every_size(n_replicas)

    def atom_spreads(self, frames: Sequence[Atoms]) -> list[np.ndarray]:
        """Uncertainty of each atom's force in eV/A, one (n_atoms,) array a frame.

        The root of the mean, over the three components, of the predictive variance without noise; NaN where a
        position is no number.

        Raises:
            InputError: an element that the model was not fitted to.
        """
        return [np.sqrt(self._variances(frame)[1:].reshape(-1, 3).mean(axis=1)) for frame in frames]

    def energy_spreads(self, frames: Sequence[Atoms]) -> np.ndarray:
        """Standard deviation of each frame's energy in eV, shape (n_frames,); as in ``atom_spreads``."""
        return np.array([np.sqrt(self._variances(frame)[0]) for frame in frames])

    def _variances(self, frame: Atoms) -> np.ndarray:
        """Predictive variances of the energy in eV^2 and of the force components in eV^2/A^2, (1 + 3 n_atoms,)."""
        self.descriptor.check(frame)
        if not is_finite(frame):
            return np.full(1 + 3 * len(frame), np.nan)
        environments = self.descriptor.environments(frame)
        phi = features(environments, self.basis)
        explained = phi[:, : len(self.basis.numbers)]
        unexplained = prior_variances(environments, self.basis.zeta) - (explained**2).sum(axis=1)
        return self.posterior.signal_eV**2 * (((phi @ self.posterior.root) ** 2).sum(axis=1) + unexplained.clip(min=0))


def is_finite(frame: Atoms) -> bool:
    """Whether positions and cell are numbers."""
    return bool(np.isfinite(frame.positions).all() and np.isfinite(frame.cell.array).all())


def lost(frame: Atoms, message: str) -> Label:
    """The label of a frame without numbers."""
    return Label(np.nan, np.full((len(frame), 3), np.nan), "nonfinite", message)


class GPBatch:
    """Replicas of the same atoms, computed one by one."""

    def __init__(self, potential: GPPotential, atoms: Atoms) -> None:
        self._potential, self._atoms = potential, atoms

    def compute(self, positions_A: np.ndarray, cell_A: np.ndarray | None = None) -> BatchResult:
        """Energies and forces; shapes as in ``longhot.potential.BatchPotential``."""
        frames = []
        for replica, positions in enumerate(positions_A):
            frame = self._atoms.copy()
            frame.positions = positions
            if cell_A is not None:
                frame.cell = cell_A[replica]
            frames.append(frame)
        labels = self._potential.predict(frames)
        return BatchResult(
            np.array([one.energy_eV for one in labels]), np.array([one.forces_eV_per_A for one in labels])
        )


def write(potential: GPPotential, directory: Path) -> None:
    """Write model.safetensors and, after it, model.json."""
    from safetensors.numpy import save_file

    basis, posterior = potential.basis, potential.posterior
    arrays = {
        "numbers": basis.numbers,
        "vectors": basis.vectors,
        "cholesky": basis.cholesky,
        "elements": basis.elements,
        "mean": posterior.mean,
        "root": posterior.root,
    }
    with atomic_path(directory / "model.safetensors") as temporary:
        save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, temporary)
    write_json(
        directory / "model.json",
        {
            "family": "gp",
            "config": potential.config.model_dump(mode="json"),
            "atomic_energies_eV": potential.e0_eV,
            "signal_eV": posterior.signal_eV,
        },
    )


def read(directory: Path) -> GPPotential:
    """Read what ``write`` wrote."""
    from safetensors.numpy import load_file

    description, arrays = read_json(directory / "model.json"), load_file(directory / "model.safetensors")
    config = Config.model_validate(description["config"])
    return GPPotential(
        config,
        description["atomic_energies_eV"],
        Basis(**{name: arrays[name] for name in ("numbers", "vectors", "cholesky", "elements")}, zeta=config.zeta),
        Posterior(description["signal_eV"], arrays["mean"], arrays["root"]),
    )
