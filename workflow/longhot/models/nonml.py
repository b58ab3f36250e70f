"""The baseline without learning: a cheaper physical method, with per-element energy shifts fitted.

E(frame) = E_method(frame) + sum over atoms of shift[element]; forces are the method's own.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field

from longhot import frames as labelled_frames
from longhot import references
from longhot.block import Block, InputError
from longhot.files import read_json
from longhot.models import FitTask
from longhot.models._reference_based import ReferenceBased, write_fit
from longhot.potential import BatchResult, Label, every_size
from longhot.references import ReferenceBatch, ReferencePotential

if TYPE_CHECKING:
    from ase import Atoms

logger = logging.getLogger(__name__)


class Config(ReferenceBased):
    """A cheaper physical method: a learned potential that does not beat it is of no use."""

    family: Literal["nonml"] = Field("nonml", description="Names this plugin.")


def composition(frames: Sequence[Atoms], elements: Sequence[str]) -> np.ndarray:
    """Number of atoms of each element, shape (n_frames, n_elements)."""
    return np.array([[frame.symbols.count(element) for element in elements] for frame in frames], dtype=float)


def fit(config: Config, task: FitTask) -> None:
    """Fit one energy shift an element to the training frames, by least squares of minimum norm.

    Raises:
        InputError: the method fails on every training frame.
    """
    started = time.perf_counter()
    labels = references.label(task.train, config.reference_method)
    good = [index for index, one in enumerate(labels) if one.status == "ok"]
    if not good:
        raise InputError(
            f"nonml: {references.level_of_theory(config.reference_method)} fails on all {len(labels)} training frames, "
            f"the first with {labels[0].status} ({labels[0].message}): use another `reference_method`"
        )
    if len(good) < len(labels):
        logger.warning("%d of %d training frames failed and are left out", len(labels) - len(good), len(labels))
    used = [task.train[index] for index in good]
    residual_eV = labelled_frames.energies(used) - np.array([labels[index].energy_eV for index in good])
    elements = sorted({symbol for frame in used for symbol in frame.symbols})
    shifts_eV = np.linalg.lstsq(composition(used, elements), residual_eV, rcond=None)[0]
    write_fit(
        task.directory,
        config.family,
        config.reference_method,
        dict(zip(elements, shifts_eV.tolist(), strict=True)),
        started,
    )


class ShiftedBatch:
    """Replicas of the same atoms with a constant added to each energy."""

    def __init__(self, batch: ReferenceBatch, shift_eV: float):
        self._batch = batch
        self._shift_eV = shift_eV

    def reset(self) -> None:
        """Forget everything of earlier calls."""
        self._batch.reset()

    def compute(self, positions_A: np.ndarray, cell_A: np.ndarray | None = None) -> BatchResult:
        """Energies and forces; shapes as in ``longhot.potential.BatchPotential``."""
        found = self._batch.compute(positions_A, cell_A)
        return replace(found, energy_eV=found.energy_eV + self._shift_eV)


class ShiftedPotential:
    """A reference method with per-element energy shifts; an element without a shift gets none."""

    def __init__(self, config: Block, shifts_eV: dict[str, float]):
        self._method = ReferencePotential(config)
        self._shifts_eV = shifts_eV

    def _shift_eV(self, atoms: Atoms) -> float:
        return sum(self._shifts_eV.get(symbol, 0.0) for symbol in atoms.symbols)

    def predict(self, frames: Sequence[Atoms]) -> list[Label]:
        """Energy and forces of each frame."""
        labels = self._method.predict(frames)
        return [
            replace(one, energy_eV=one.energy_eV + self._shift_eV(frame))
            for one, frame in zip(labels, frames, strict=True)
        ]

    def batch(self, atoms: Atoms, n_replicas: int) -> ShiftedBatch:
        """A potential for ``n_replicas`` copies of ``atoms``."""
        return ShiftedBatch(self._method.batch(atoms, n_replicas), self._shift_eV(atoms))

    def batch_sizes(self, n_replicas: int) -> list[int]:
        """Every size, for replicas are computed one by one."""
        return every_size(n_replicas)


def load(directory: Path, device: str = "cpu", compile_cache: Path | None = None) -> ShiftedPotential:
    """The fitted baseline; it runs on the CPU, whatever ``device`` is."""
    model = read_json(Path(directory) / "model.json")
    return ShiftedPotential(references.parse(model["reference_method"]), model["shifts_eV"])
