"""Runs of phases and interfaces: what is run, and what it leaves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal

import numpy as np

from longhot.files import atomic_path

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
    """Read what ``Samples.save`` wrote."""
    with np.load(path, allow_pickle=False) as stored:
        values = dict(stored)
    return Samples(**{**values, "failure": str(values["failure"])})


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
