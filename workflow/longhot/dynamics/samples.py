"""Runs of phases and interfaces: what is run, and what it leaves."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from zipfile import BadZipFile

import numpy as np

from longhot.block import InputError
from longhot.files import atomic_path, read_json, write_json

if TYPE_CHECKING:
    from ase import Atoms

logger = logging.getLogger(__name__)

OXYGEN = 8


@dataclass(frozen=True)
class Pin:
    """The bias kappa/2 (Q - anchor)^2 of ``longhot.dynamics.pinned``."""

    anchor: float
    kappa_eV: float


@dataclass(frozen=True)
class Settings:
    """One run."""

    temperature_K: float
    duration_ps: float
    time_step_fs: float
    sample_interval_ps: float
    frame_interval_ps: float
    pressure_bar: float
    barostat: Literal["isotropic", "independent", "z"]
    """What the barostat scales: all axes alike, each on its own, or the third alone."""
    k_indices: tuple[int, int, int]
    """Multiples of the reciprocal cell vectors whose plane wave is the order parameter Q."""
    seed: int
    thermostat: bool = True
    """Without it the run keeps its enthalpy, and begins at ``temperature_K``."""
    pin: Pin | None = None
    melt: Literal["nothing", "half", "all"] = "nothing"
    """What is molten before the run, at the volume of the start: with half, what lies beyond the middle of the third
    axis, while the rest is held."""
    melt_temperature_K: float = 700.0
    melt_ps: float = 10.0

    def steps(self, time_ps: float) -> int:
        """A time in steps, at least one."""
        return max(1, round(1000 * time_ps / self.time_step_fs))

    @property
    def n_samples(self) -> int:
        """Samples of a whole run, at least one."""
        return max(1, self.steps(self.duration_ps) // self.steps(self.sample_interval_ps))

    def samples_per_frame(self, asked: float) -> int:
        """Samples from one frame to the next, at least one; all of them where one frame is wanted, at the end.

        Where the sample interval is no multiple of the time step a run may hold fewer samples than that, or more.

        Args:
            asked: frame interval over sample interval.
        """
        if self.frame_interval_ps >= self.duration_ps:
            return self.n_samples
        return min(max(1, round(asked)), self.n_samples)


@dataclass(frozen=True)
class Samples:
    """Time series of one run, and its frames."""

    time_ps: np.ndarray
    """Shape (n_samples,), from 0 at the end of the preparation."""
    energy_eV: np.ndarray
    """Potential energy without any bias, shape (n_samples,)."""
    temperature_K: np.ndarray
    """Kinetic temperature, shape (n_samples,)."""
    cell_A: np.ndarray
    """Cell vectors as rows, shape (n_samples, 3, 3)."""
    order_parameter: np.ndarray
    """Shape (n_samples,); see ``longhot.dynamics.pinned.order_parameter``."""
    frame_sample: np.ndarray
    """Index of the sample that each frame belongs to, shape (n_frames,)."""
    positions_A: np.ndarray
    """Shape (n_frames, n_atoms, 3)."""
    numbers: np.ndarray
    """Atomic numbers, shape (n_atoms,)."""
    masses_amu: np.ndarray
    """Shape (n_atoms,)."""
    failure: str = ""
    """Why the run ended before its time; empty where it did not."""

    @property
    def volume_A3(self) -> np.ndarray:
        """Shape (n_samples,)."""
        return np.abs(np.linalg.det(self.cell_A))

    @property
    def oxygen_A(self) -> np.ndarray:
        """Positions of the oxygen sites of all frames, shape (n_frames, n_molecules, 3)."""
        return self.positions_A[:, self.numbers == OXYGEN]

    def after(self, time_ps: float) -> Samples:
        """The samples and frames from a time on."""
        first = int(np.searchsorted(self.time_ps, time_ps - 1e-9))
        kept = self.frame_sample >= first
        series = {name: getattr(self, name)[first:] for name in SERIES}
        return Samples(
            **series,
            frame_sample=self.frame_sample[kept] - first,
            positions_A=self.positions_A[kept],
            numbers=self.numbers,
            masses_amu=self.masses_amu,
            failure=self.failure,
        )

    def save(self, path: str | Path) -> None:
        """Write an npz file, atomically."""
        with atomic_path(path) as temporary:
            np.savez(
                temporary, allow_pickle=False, **{one.name: np.asarray(getattr(self, one.name)) for one in fields(self)}
            )


SERIES = ("time_ps", "energy_eV", "temperature_K", "cell_A", "order_parameter")


def load(path: str | Path) -> Samples:
    """Read what ``Samples.save`` wrote.

    Raises:
        InputError: the file is cut off, damaged or absent.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            values = dict(stored)
        return Samples(**{**values, "failure": str(values["failure"])})
    except (BadZipFile, OSError, ValueError, KeyError, TypeError, EOFError) as error:
        cause = " ".join(str(error).split())
        raise InputError(f"{path}: is damaged or no samples of ours ({cause}), remove it and run again") from error


def joined(parts: Sequence[Samples]) -> Samples:
    """Parts of one run, end to end."""
    starts = np.cumsum([0, *(len(part.time_ps) for part in parts[:-1])])
    return Samples(
        **{name: np.concatenate([getattr(part, name) for part in parts]) for name in SERIES},
        frame_sample=np.concatenate([part.frame_sample + start for part, start in zip(parts, starts, strict=True)]),
        positions_A=np.concatenate([part.positions_A for part in parts]),
        numbers=parts[0].numbers,
        masses_amu=parts[0].masses_amu,
        failure=parts[-1].failure,
    )


def failed(atoms: Atoms, cause: str) -> Samples:
    """A run that ended before its first sample."""
    none = np.zeros(0)
    return Samples(
        time_ps=none,
        energy_eV=none,
        temperature_K=none,
        cell_A=np.zeros((0, 3, 3)),
        order_parameter=none,
        frame_sample=np.zeros(0, dtype=int),
        positions_A=np.zeros((0, len(atoms), 3)),
        numbers=atoms.numbers,
        masses_amu=atoms.get_masses(),
        failure=cause,
    )


def claim(folder: Path, atoms: Atoms, settings: Settings, identity: str) -> None:
    """Make the folder of a run that is not done; what another run left there goes.

    Args:
        folder: of this run.
        atoms: its start.
        settings: what it runs.
        identity: of the potential and the code.
    """
    digest = hashlib.sha256(json.dumps([asdict(settings), identity], sort_keys=True).encode())
    for values in (atoms.numbers, atoms.get_masses(), atoms.positions, atoms.cell.array):
        digest.update(np.ascontiguousarray(values).tobytes())
    stamp = folder / "run.json"
    if stamp.exists() and read_json(stamp)["digest"] == digest.hexdigest():
        logger.info("going on with what is in %s", folder)
        return
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    write_json(stamp, {"digest": digest.hexdigest()})
