"""Models that know how sure they are and can learn frames: a committee, or one model that knows its own error."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from longhot import frames as fr
from longhot.config import ActiveLearning
from longhot.files import read_json, sha256, write_json
from longhot.learning import fits
from longhot.models import FitTask, load
from longhot.uncertainty.committee import Committee, CommitteeBatch

if TYPE_CHECKING:
    from ase import Atoms

STEP = "step"
"""Key in ``atoms.info`` of a frame that was taken during the run: its step. Initial frames lack it."""


def frames_digest(frames: Sequence[Atoms]) -> str:
    """SHA-256 of all that a fit takes from labelled frames, in hexadecimal."""
    digest = hashlib.sha256()
    for frame in frames:
        known = (frame.numbers, frame.positions, frame.cell.array, frame.pbc)
        for values in (*known, frame.arrays[fr.FORCES], frame.info[fr.ENERGY]):
            digest.update(np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()


class Learner(Protocol):
    """A model that knows how sure it is, and can learn frames.

    All frames of one run hold the same atoms and repeat in the same directions; their cells may differ.
    """

    def predict(self, atoms: Atoms) -> tuple[float, np.ndarray, np.ndarray]:
        """Energy in eV, forces in eV/A, shape (n_atoms, 3), and the uncertainty of each atom's force in eV/A.

        The cell is that of ``atoms``, whatever cells the frames had. The uncertainty, shape (n_atoms,), is that of
        one component: the root of its variance averaged over the three components.
        """
        ...

    def learn(self, frames: list[Atoms]) -> None:
        """Know all labelled frames so far: the initial ones, then one more at each time.

        A run that was killed calls this again with the frames of its last call, in a new process. It must lead to
        the model that it led to before: what a fit begins with is kept on disk.
        """
        ...


class CommitteeLearner:
    """Fits that differ in their seeds, each of which begins where the one before it ended.

    Every refit trains on all frames and takes its validation error on the same frames, for a frame that is held out
    would not become certain, and frames near the start alone would prefer the weights that know no other. The
    honest errors are those at calls and audits, of frames that the model has not seen.
    """

    def __init__(
        self,
        refit: dict[str, Any],
        members: list[Path],
        atomic_energies_eV: dict[str, float],
        directory: Path,
        device: str,
        code: str = "",
    ) -> None:
        """Begin with a committee.

        Args:
            refit: block of the model for the fit after a call.
            members: folders of the fits to the initial frames, two or more.
            atomic_energies_eV: of isolated atoms, by element.
            directory: of all refits: ``n0012/member0`` holds one to 12 frames.
            device: ``cpu`` or ``cuda``.
            code: digest of the code.
        """
        self.refit, self.members, self.atomic_energies_eV = refit, members, atomic_energies_eV
        self.directory, self.device, self.code = directory, device, code
        self._batch: CommitteeBatch | None = None

    def learn(self, frames: list[Atoms]) -> None:
        """Fit every member to ``frames``, or load it where that is done."""
        for member in range(len(self.members)):
            if not self._is_fitted(frames, member):
                self._fit(frames, member)
        folders = [self._folder(frames, member) for member in range(len(self.members))]
        self._batch = Committee([load(folder, self.device) for folder in folders]).batch(frames[-1], 1)

    def _folder(self, frames: list[Atoms], member: int) -> Path:
        if STEP not in frames[-1].info:
            return self.members[member]
        return self.directory / f"n{len(frames):04d}" / f"member{member}"

    def _is_fitted(self, frames: list[Atoms], member: int) -> bool:
        stamp = self._folder(frames, member) / "learned.json"
        return STEP not in frames[-1].info or (stamp.exists() and read_json(stamp) == self._digest(frames))

    def _fit(self, frames: list[Atoms], member: int) -> None:
        """Fit one member to one frame more than the fit that it begins with."""
        task = FitTask(
            train=frames,
            valid=frames,
            atomic_energies_eV=self.atomic_energies_eV,
            seed=member,
            directory=self._folder(frames, member),
            device=self.device,
            code=self.code,
            warm_start=self._folder(frames[:-1], member),
        )
        fits.fit(self.refit, task)
        write_json(task.directory / "learned.json", self._digest(frames))

    def _digest(self, frames: list[Atoms]) -> str:
        """SHA-256 of all that the fits to ``frames`` are made from."""
        steps = [frame.info.get(STEP) for frame in frames]
        weights = [sha256(path) for folder in self.members for path in sorted(folder.glob("model.*"))]
        parts = [self.refit, weights, self.atomic_energies_eV, self.code, steps, frames_digest(frames)]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def predict(self, atoms: Atoms) -> tuple[float, np.ndarray, np.ndarray]:
        """Mean energy and forces of the members, and the spread of each atom's force; see ``Learner``."""
        assert self._batch is not None, "learn comes first"
        cells_A = atoms.cell.array[None] if atoms.pbc.any() else None
        result = self._batch.compute(atoms.positions[None], cells_A)
        spreads = np.sqrt((result.force_std_eV_per_A[0] ** 2).mean(axis=-1))
        return float(result.energy_eV[0]), result.forces_eV_per_A[0], spreads


class ModelLearner:
    """A model that knows its own error, fitted anew to all frames at each call."""

    def __init__(
        self, model: dict[str, Any], atomic_energies_eV: dict[str, float], directory: Path, device: str, code: str = ""
    ) -> None:
        """Take the folder of all fits; other arguments as in FitTask."""
        self.model, self.atomic_energies_eV, self.directory = model, atomic_energies_eV, directory
        self.device, self.code = device, code
        self._potential: Any = None

    def learn(self, frames: list[Atoms]) -> None:
        """Fit to ``frames``: deterministic, so that a restart needs no fit from before."""
        folder = self.directory / f"n{len(frames):04d}"
        fits.fit(self.model, FitTask(frames, frames, self.atomic_energies_eV, 0, folder, self.device, code=self.code))
        self._potential = load(folder, self.device)

    def predict(self, atoms: Atoms) -> tuple[float, np.ndarray, np.ndarray]:
        """Energy, forces, and the predictive standard deviation of each atom's force; see ``Learner``."""
        assert self._potential is not None, "learn comes first"
        (label,), (spreads,) = self._potential.predict([atoms]), self._potential.atom_spreads([atoms])
        return label.energy_eV, label.forces_eV_per_A, spreads


def new_learner(
    settings: ActiveLearning,
    model: dict[str, Any],
    members: list[Path],
    atomic_energies_eV: dict[str, float],
    directory: Path,
    device: str,
    code: str,
) -> Learner:
    """The committee that a study asks for, or the one model that knows its own error.

    Args:
        settings: the block ``active_learning``.
        model: the model's block.
        members: folders of the fits to the initial frames.
        atomic_energies_eV: of isolated atoms, by element.
        directory: for all fits.
        device: ``cpu`` or ``cuda``.
        code: digest of the code.
    """
    if settings.members == 1:
        return ModelLearner(model, atomic_energies_eV, directory, device, code)
    steps = (settings.online and settings.online.refit_steps) or settings.refit_steps
    refit = model if steps is None else model | {"gradient_steps": steps}
    # Each call adds a frame: to compile for each number of them would cost more than it saves.
    eager = refit | ({"compile": "never"} if "compile" in model else {})
    return CommitteeLearner(eager, members, atomic_energies_eV, directory, device, code)
