"""Phases and interfaces by the engine, for whatever LAMMPS does not run: a committee, a member, another reference."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from longhot.block import InputError
from longhot.config import Protocol
from longhot.dynamics import engine
from longhot.dynamics.pinned import PinnedPotential, order_parameter
from longhot.dynamics.samples import OXYGEN, Samples, Settings, claim, failed
from longhot.dynamics.trajectory import read_replica

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ase import Atoms

    from longhot.potential import BatchPotential, BatchResult, Label, Potential

FRICTION_PER_PS = 2.0
TETHER_EV_PER_A2 = 2.0
"""Springs that hold the solid half while the other melts: at 700 K its atoms move by 0.3 A."""
WORK_SUFFIX = ".engine"
"""Ending of the folder of a run that is not done."""


@dataclass(frozen=True)
class TetheredPotential:
    """A potential with some atoms on springs; implements ``longhot.potential.Potential``."""

    base: Potential
    positions_A: np.ndarray
    """Where the springs end, shape (n_atoms, 3)."""
    stiffness_eV_per_A2: np.ndarray
    """Of the spring on each atom, shape (n_atoms,); 0 for none."""

    def predict(self, frames: Sequence[Atoms]) -> list[Label]:
        """Energy and forces of each frame, springs included."""
        held = [self._held(frame.positions) for frame in frames]
        return [
            replace(label, energy_eV=label.energy_eV + energy, forces_eV_per_A=label.forces_eV_per_A + forces)
            for label, (energy, forces) in zip(self.base.predict(frames), held, strict=True)
        ]

    def batch(self, atoms: Atoms, n_replicas: int) -> TetheredBatch:
        """A batch of ``n_replicas`` copies of ``atoms``."""
        return TetheredBatch(self, self.base.batch(atoms, n_replicas))

    def batch_sizes(self, n_replicas: int) -> list[int]:
        """Sizes that suit the base."""
        return self.base.batch_sizes(n_replicas)

    def _held(self, positions_A: np.ndarray) -> tuple[Any, np.ndarray]:
        """Energy and forces of the springs; positions (..., n_atoms, 3)."""
        away = positions_A - self.positions_A
        forces = -self.stiffness_eV_per_A2[:, None] * away
        return -0.5 * (forces * away).sum(axis=(-2, -1)), forces


class TetheredBatch:
    """Replicas of the same atoms, some on springs."""

    def __init__(self, tethered: TetheredPotential, base: BatchPotential) -> None:
        self._tethered, self._base = tethered, base

    def reset(self) -> None:
        """Let the base forget everything of earlier calls."""
        if hasattr(self._base, "reset"):
            self._base.reset()

    def compute(self, positions_A: np.ndarray, cell_A: np.ndarray | None = None) -> BatchResult:
        """Energies and forces; shapes as in ``longhot.potential.BatchPotential``."""
        result = self._base.compute(positions_A, cell_A)
        energy_eV, forces_eV_per_A = self._tethered._held(positions_A)
        return replace(
            result,
            energy_eV=result.energy_eV + energy_eV,
            forces_eV_per_A=result.forces_eV_per_A + forces_eV_per_A,
        )


def run(atoms: Atoms, potential: Potential, settings: Settings, out: Path, identity: str) -> None:
    """Run, or go on with a run that was killed; leave the samples in ``out``.

    A replica that fails ends the run; the samples before it are kept, with the cause.

    Args:
        atoms: the start; oxygen atoms are the sites of the order parameter.
        potential: what to run.
        settings: what to run.
        out: npz file of ``Samples``.
        identity: digest of what the potential was made from.

    Raises:
        InputError: constant enthalpy is asked for, which the engine does not have.
    """
    if not settings.thermostat:
        raise InputError(
            "coexistence: needs constant enthalpy, which only a LAMMPS reference can run, remove its block"
        )
    # The engine knows neither of the bias nor of the springs, which are part of its potential.
    identity = f"{identity} {settings}"
    work = out.with_suffix(WORK_SUFFIX)
    claim(work, atoms, settings, identity)
    sites = np.flatnonzero(atoms.numbers == OXYGEN)
    if settings.melt != "nothing":
        failure = _melt(atoms, potential, settings, work / "melt", identity)
        if failure:
            failed(atoms, f"melting: {failure}").save(out)
            shutil.rmtree(work)
            return
        atoms = _molten(atoms, settings, work / "melt")
    biased = potential
    if settings.pin is not None:
        biased = PinnedPotential(potential, settings.pin.anchor, settings.pin.kappa_eV, settings.k_indices, sites)
    protocol = Protocol(
        ensemble="npt",
        barostat_axes=settings.barostat,
        pressure_bar=settings.pressure_bar,
        frame_interval_fs=1000 * settings.sample_interval_ps,
        **_shared(settings, settings.temperature_K, settings.duration_ps),
    )
    engine.simulate(biased, [atoms], protocol, settings.seed, work / "run", identity=identity)
    _samples(work / "run", atoms, settings, sites).save(out)
    shutil.rmtree(work)


def _shared(settings: Settings, temperature_K: float, duration_ps: float) -> dict[str, Any]:
    return {
        "temperatures_K": [temperature_K],
        "replicas": 1,
        "duration_ps": duration_ps,
        "time_step_fs": settings.time_step_fs,
        "friction_per_ps": FRICTION_PER_PS,
        "check_interval_fs": 10 * settings.time_step_fs,
    }


def _melt(atoms: Atoms, potential: Potential, settings: Settings, folder: Path, identity: str) -> str:
    """Melt what shall be molten, at constant volume; why that failed, empty where it did not."""
    hot = potential
    if settings.melt == "half":
        solid = atoms.get_scaled_positions()[:, 2] < 0.5
        hot = TetheredPotential(potential, atoms.positions.copy(), TETHER_EV_PER_A2 * solid)
    if not (folder / "outcomes.csv").exists():
        shared = _shared(settings, settings.melt_temperature_K, settings.melt_ps)
        protocol = Protocol(frame_interval_fs=1000 * settings.melt_ps, **shared)
        engine.simulate(hot, [atoms], protocol, settings.seed, folder, identity=identity)
    return _failure(folder)


def _molten(atoms: Atoms, settings: Settings, folder: Path) -> Atoms:
    """The start as the melting left it."""
    frames, _ = read_replica(folder / "frames.h5", settings.melt_temperature_K, 0)
    molten = atoms.copy()
    molten.positions = frames.positions_A[-1]
    return molten


def _failure(folder: Path) -> str:
    """Why the one replica of a run failed; empty where it did not."""
    import pandas as pd

    outcome = pd.read_csv(folder / "outcomes.csv", keep_default_na=False).iloc[0]
    return "" if outcome["outcome"] == "completed" else f"{outcome['outcome']}: {outcome['cause']}"


def _samples(folder: Path, atoms: Atoms, settings: Settings, sites: np.ndarray) -> Samples:
    """The samples of a run of the engine, which stores a frame for each."""
    frames, _ = read_replica(folder / "frames.h5", settings.temperature_K, 0)
    order = order_parameter(frames.positions_A[1:, sites], frames.cell_A[1:], settings.k_indices)
    energy_eV = frames.energy_eV[1:]
    if settings.pin is not None:
        energy_eV = energy_eV - 0.5 * settings.pin.kappa_eV * (order - settings.pin.anchor) ** 2
    every = settings.samples_per_frame(settings.frame_interval_ps / settings.sample_interval_ps)
    kept = np.arange(every - 1, len(order), every)
    return Samples(
        time_ps=frames.time_ps[1:],
        energy_eV=energy_eV,
        temperature_K=frames.temperature_K[1:],
        cell_A=frames.cell_A[1:],
        order_parameter=order,
        frame_sample=kept,
        positions_A=frames.positions_A[1:][kept],
        numbers=atoms.numbers,
        masses_amu=atoms.get_masses(),
        failure=_failure(folder),
    )
