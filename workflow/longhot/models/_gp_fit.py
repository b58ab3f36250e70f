"""Fitting the Gaussian process: inducing environments, rows of the linear system, solution, files."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from longhot import frames as labelled_frames
from longhot.block import InputError
from longhot.files import write_json, write_text
from longhot.models import FitTask, peak_memory_MB
from longhot.models._gp_potential import GPPotential, write
from longhot.models._gp_regression import Basis, choose_basis, condition, features, triangle
from longhot.models._gp_soap import Descriptor

if TYPE_CHECKING:
    from ase import Atoms

    from longhot.models.gp import Config

logger = logging.getLogger(__name__)

MEV = 1e-3
CANDIDATES_PER_POINT = 5
"""Rattled copies are made until there are so many environments for each inducing one."""


def fit(config: Config, task: FitTask) -> None:
    """Fit to the training frames; the validation frames are only judged.

    Raises:
        InputError: an element of the training frames has no atomic energy, or the training frames lack one of
            the validation frames.
    """
    started = time.perf_counter()
    elements = sorted({symbol for frame in task.train for symbol in frame.symbols})
    missing = sorted(set(elements) - set(task.atomic_energies_eV))
    if missing:
        raise InputError(f"gp: the atomic energy of {', '.join(missing)} is missing: add it to the atomic energies")
    descriptor = Descriptor(config, elements)
    for frame in task.valid:
        descriptor.check(frame)
    e0_eV = {element: task.atomic_energies_eV[element] for element in elements}
    basis = inducing_environments(config, task.train, descriptor, task.seed)
    reduced = triangle(rows(config, frame, e0_eV, descriptor, basis) for frame in task.train)
    posterior = condition(reduced, None if config.signal_meV is None else config.signal_meV * MEV)
    logger.info("%d inducing environments, signal %.4g eV", len(basis.numbers), posterior.signal_eV)
    potential = GPPotential(config, e0_eV, basis, posterior)
    write_text(task.directory / "history.csv", "step,wall_s,valid_loss\n")
    write_json(
        task.directory / "fit.json",
        {
            "converged": True,
            "reason": "",
            "train_wall_s": time.perf_counter() - started,
            "device": "cpu",
            "peak_memory_MB": peak_memory_MB("cpu"),
            "n_parameters": len(posterior.mean),
            "n_steps": 0,
            "train_size": len(task.train),
            "seed": task.seed,
            "valid_force_mae_meV_per_A": force_error(potential, task.valid) / MEV if task.valid else None,
        },
    )
    write(potential, task.directory)


def inducing_environments(config: Config, train: Sequence[Atoms], descriptor: Descriptor, seed: int) -> Basis:
    """Choose among the environments of the training frames and of rattled copies of them.

    Forces are derivatives along every coordinate; the copies let the basis follow those that the few frames of
    a small training set do not explore. They need no labels.
    """
    generator = np.random.default_rng(seed)
    candidates = [frame.copy() for frame in train]
    if config.rattle_A > 0:
        n_atoms = sum(map(len, train))
        for _ in range(CANDIDATES_PER_POINT * config.n_sparse // n_atoms):
            for frame in train:
                copy = frame.copy()
                copy.positions += generator.normal(0.0, config.rattle_A, copy.positions.shape)
                candidates.append(copy)
    numbers = np.concatenate([frame.numbers for frame in candidates])
    vectors = np.concatenate([descriptor.vectors(frame) for frame in candidates])
    return choose_basis(numbers, vectors, config.zeta, config.n_sparse, int(generator.integers(len(numbers))))


def rows(config: Config, frame: Atoms, e0_eV: dict[str, float], descriptor: Descriptor, basis: Basis) -> np.ndarray:
    """Rows [phi, label] of one frame, its energy and its forces, each divided by the noise of the label.

    Shape (1 + 3 n_atoms, n_weights + 1).
    """
    interaction_eV = frame.info[labelled_frames.ENERGY] - sum(e0_eV[symbol] for symbol in frame.symbols)
    labels = np.append(interaction_eV, frame.arrays[labelled_frames.FORCES])
    noise = np.full(len(labels), config.force_noise_meV_per_A * MEV)
    noise[0] = config.energy_noise_meV_per_atom * MEV * len(frame)
    return np.column_stack([features(descriptor.environments(frame), basis), labels]) / noise[:, None]


def force_error(potential: GPPotential, frames: Sequence[Atoms]) -> float:
    """Mean absolute error of the force components in eV/A."""
    found = [one.forces_eV_per_A for one in potential.predict(frames)]
    return float(np.abs(np.concatenate(found) - np.concatenate(labelled_frames.forces(frames))).mean())
