"""What samples, and the runs it makes: bulk phases, pinned interfaces, coexistence.

A reference that is a pair style of LAMMPS runs there; whatever else (a committee, a member, another reference) runs
in the engine.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from longhot import files, models, references
from longhot.config import Bulk, Coexistence, Conditions, Pinning
from longhot.datasets.ice import ice_ih
from longhot.dynamics import engine_runs, lammps
from longhot.dynamics.samples import Pin, Samples, Settings, load
from longhot.observables.melting_point.interfaces import equilibrated, middle

if TYPE_CHECKING:
    from ase import Atoms

    from longhot.block import Block
    from longhot.potential import Potential

Run = Callable[["Atoms", Settings, Path], None]
"""Runs what the settings say from a start, and leaves the samples in a file."""

SAMPLES_PER_FRAME_PS = 0.1
"""Time between samples of energy, cell and order parameter."""


def runner(reference: Block | None, folders: Sequence[Path], device: str, identity: str) -> Run:
    """What runs: the reference, or where folders of models are given, the one model or the mean of all.

    Args:
        reference: block of the reference method.
        folders: of fitted models.
        device: ``auto``, ``cpu`` or ``cuda``.
        identity: digest of the code that runs.
    """
    if not folders and isinstance(reference, lammps.reference_method.Config):
        return partial(_in_lammps, config=reference, identity=identity)
    weights = [files.sha256(path) for folder in folders for path in sorted(folder.glob("model.*"))]
    potential = potential_of(reference, folders, device)
    return partial(_in_engine, potential=potential, identity=f"{weights} {reference} {identity}")


def potential_of(reference: Block | None, folders: Sequence[Path], device: str) -> Potential:
    """The reference, the one model, or the mean of all models."""
    from longhot.uncertainty.committee import Committee

    if not folders:
        assert reference is not None
        return references.ReferencePotential(reference)
    members = [models.load(folder, models.resolve_device(device)) for folder in folders]
    return members[0] if len(members) == 1 else Committee(members)


def _in_lammps(
    atoms: Atoms, settings: Settings, out: Path, *, config: lammps.reference_method.Config, identity: str
) -> None:
    lammps.run(atoms, config, settings, out, identity)


def _in_engine(atoms: Atoms, settings: Settings, out: Path, *, potential: Potential, identity: str) -> None:
    engine_runs.run(atoms, potential, settings, out, identity)


def _settings(
    conditions: Conditions, repeats: Sequence[int], temperature_K: float, duration_ps: float, frame_interval_ps: float
) -> Settings:
    """What all runs share; the order parameter is that of the double layers along c, (0002)."""
    return Settings(
        temperature_K=temperature_K,
        duration_ps=duration_ps,
        time_step_fs=conditions.time_step_fs,
        sample_interval_ps=min(SAMPLES_PER_FRAME_PS, frame_interval_ps),
        frame_interval_ps=frame_interval_ps,
        pressure_bar=conditions.pressure_bar,
        barostat="independent",
        k_indices=(2 * repeats[0], 0, 0),
        seed=conditions.seed,
        melt_temperature_K=conditions.melt_temperature_K,
        melt_ps=conditions.melt_ps,
    )


def _ice(conditions: Conditions, repeats: Sequence[int]) -> Atoms:
    return ice_ih(conditions.molecule, (repeats[0], repeats[1], repeats[2]), conditions.seed)


def bulk(run: Run, conditions: Conditions, block: Bulk, phase: str, temperature_K: float, out: Path) -> None:
    """Run one bulk phase at constant pressure; the liquid is ice that was melted."""
    settings = _settings(
        conditions,
        block.repeats,
        temperature_K,
        block.equilibration_ps + block.duration_ps,
        block.frame_interval_ps,
    )
    if phase == "liquid":
        settings = replace(settings, barostat="isotropic", melt="all")
    run(_ice(conditions, block.repeats), settings, out)


def interface(
    run: Run,
    conditions: Conditions,
    block: Pinning,
    repeats: Sequence[int],
    temperature_K: float,
    out: dict[str, Path],
) -> None:
    """Run each whole phase in a cell, then both side by side with the interface pinned.

    The cross-section is that of the solid at no stress, and stays; the length along the third axis moves.

    Args:
        run: what runs.
        conditions: what all runs share.
        block: settings of the runs.
        repeats: cells along c, a and the long axis.
        temperature_K: of all three runs.
        out: files for ``solid``, ``liquid`` and ``pinned``.
    """
    start = _ice(conditions, repeats)
    settings = _settings(conditions, repeats, temperature_K, block.phase_ps, block.phase_ps)
    if not out["solid"].exists():
        run(start, settings, out["solid"])
    solid = equilibrated(load(out["solid"]))
    if load(out["solid"]).failure:
        _skip(load(out["solid"]), "the whole solid", out["liquid"], out["pinned"])
        return
    start.set_cell(solid.cell_A.mean(axis=0), scale_atoms=True)
    if not out["liquid"].exists():
        run(start, replace(settings, barostat="z", melt="all"), out["liquid"])
    if load(out["liquid"]).failure:
        _skip(load(out["liquid"]), "the whole liquid", out["pinned"])
        return
    anchor = middle(solid, equilibrated(load(out["liquid"])))
    duration_ps = block.equilibration_ps + block.duration_ps
    pinned = _settings(conditions, repeats, temperature_K, duration_ps, duration_ps)
    run(start, replace(pinned, barostat="z", melt="half", pin=Pin(anchor, block.kappa_eV)), out["pinned"])


def _skip(ended: Samples, name: str, *paths: Path) -> None:
    """Leave empty samples, with the cause, for runs that a failed one before them makes impossible."""
    for path in paths:
        replace(ended.after(math.inf), failure=f"not run, for {name} ended early: {ended.failure}").save(path)


def coexistence(
    run: Run,
    conditions: Conditions,
    block: Coexistence,
    repeats: Sequence[int],
    pinned: Samples,
    temperature_K: float,
    out: Path,
) -> None:
    """Let go of a pinned interface at constant enthalpy: the temperature goes to the melting point by itself.

    Args:
        run: what runs.
        conditions: what all runs share.
        block: settings of the run.
        repeats: cells of the pinned run.
        pinned: its samples, whose last frame is the start.
        temperature_K: of the pinned run.
        out: file for the samples.
    """
    from ase import Atoms

    start = Atoms(
        numbers=pinned.numbers,
        positions=pinned.positions_A[-1],
        cell=pinned.cell_A[pinned.frame_sample[-1]],
        pbc=True,
    )
    start.set_masses(pinned.masses_amu)
    duration_ps = block.equilibration_ps + block.duration_ps
    settings = _settings(conditions, repeats, temperature_K, duration_ps, duration_ps)
    run(start, replace(settings, barostat="z", thermostat=False), out)
