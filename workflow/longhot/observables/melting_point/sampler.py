"""What samples, and the runs it makes: bulk phases, pinned interfaces, coexistence.

A reference that is a pair style of LAMMPS runs there; whatever else (a committee, a member, another reference) runs
in the engine.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from longhot import files, models, references
from longhot.config import Bulk, Coexistence, Conditions, Pinning
from longhot.datasets.ice import ice_ih
from longhot.dynamics import engine_runs, lammps
from longhot.dynamics.samples import Pin, Samples, Settings, claim, load
from longhot.observables.melting_point.interfaces import equilibrated, middle

if TYPE_CHECKING:
    from ase import Atoms

    from longhot.block import Block
    from longhot.potential import Potential

Run = Callable[["Atoms", Settings, Path], None]
"""Runs what the settings say from a start, and leaves the samples in a file."""

SAMPLE_INTERVAL_PS = 0.1
"""Time between samples of energy, cell and order parameter, at most."""
PARTS_FOLDER = ".parts"
"""Of the runs of an interface whose job is not done: Snakemake removes the outputs of such a job, and not this."""
NOT_RUN = "not run, for"
"""Begins the cause where a failed run made another impossible."""


@dataclass(frozen=True)
class Runner:
    """What samples, as a ``Run`` that knows what it was made from."""

    run: Run
    identity: str
    """Of the potential and the code."""

    def __call__(self, atoms: Atoms, settings: Settings, out: Path) -> None:
        """Run, or go on with a run that was killed."""
        self.run(atoms, settings, out)


def runner(reference: Block | None, folders: Sequence[Path], device: str, code: str) -> Runner:
    """What runs: the reference, or where folders of models are given, the one model or the mean of all.

    Args:
        reference: block of the reference method.
        folders: of fitted models.
        device: ``auto``, ``cpu`` or ``cuda``.
        code: digest of the code that runs.
    """
    weights = [files.sha256(path) for folder in folders for path in sorted(folder.glob("model.*"))]
    identity = f"{weights} {reference!r} {code}"
    if not folders and isinstance(reference, lammps.reference_method.Config):
        return Runner(partial(_in_lammps, config=reference, identity=identity), identity)
    potential = potential_of(reference, folders, device)
    return Runner(partial(_in_engine, potential=potential, identity=identity), identity)


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
        sample_interval_ps=min(SAMPLE_INTERVAL_PS, frame_interval_ps),
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
    run: Runner,
    conditions: Conditions,
    block: Pinning,
    repeats: Sequence[int],
    temperature_K: float,
    out: dict[str, Path],
) -> None:
    """Run each whole phase in a cell, then both side by side with the interface pinned.

    The cross-section is that of the solid at no stress, and stays; the length along the third axis moves. A call that
    was killed goes on: runs that are done are not repeated.

    Args:
        run: what runs.
        conditions: what all runs share.
        block: settings of the runs.
        repeats: cells along c, a and the long axis.
        temperature_K: of all three runs.
        out: files for ``solid``, ``liquid`` and ``pinned``.
    """
    start = _ice(conditions, repeats)
    whole, pinned = (
        _settings(conditions, repeats, temperature_K, time_ps, time_ps)
        for time_ps in (block.phase_ps, block.equilibration_ps + block.duration_ps)
    )
    folder = out["pinned"].with_name(PARTS_FOLDER)
    claim(folder, start, whole, f"{run.identity} {block!r}")
    parts = {name: folder / path.name for name, path in out.items()}
    _run_interface(partial(_once, run), start, whole, pinned, block.kappa_eV, parts)
    for name, path in parts.items():
        path.replace(out[name])
    shutil.rmtree(folder)


def _once(run: Run, atoms: Atoms, settings: Settings, out: Path) -> None:
    if not out.exists():
        run(atoms, settings, out)


def _run_interface(
    run: Run, start: Atoms, whole: Settings, pinned: Settings, kappa_eV: float, out: dict[str, Path]
) -> None:
    """The runs of each whole phase, then the pinned one; each rests on what those before it say."""
    run(start, whole, out["solid"])
    whole_solid = load(out["solid"])
    if whole_solid.failure:
        _skip(whole_solid, "the whole solid", out["liquid"], out["pinned"])
        return
    solid = equilibrated(whole_solid)
    start.set_cell(solid.cell_A.mean(axis=0), scale_atoms=True)
    run(start, replace(whole, barostat="z", melt="all"), out["liquid"])
    whole_liquid = load(out["liquid"])
    if whole_liquid.failure:
        _skip(whole_liquid, "the whole liquid", out["pinned"])
        return
    pin = Pin(middle(solid, equilibrated(whole_liquid)), kappa_eV)
    run(start, replace(pinned, barostat="z", melt="half", pin=pin), out["pinned"])


def _skip(ended: Samples, name: str, *paths: Path) -> None:
    """Leave empty samples, with the cause, for runs that one before them, failed or skipped, makes impossible."""
    skipped = ended.failure.startswith(NOT_RUN)
    failure = ended.failure if skipped else f"{NOT_RUN} {name} ended early: {ended.failure}"
    for path in paths:
        replace(ended.after(math.inf), failure=failure).save(path)


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

    Where the pinned run failed or was not run, empty samples with the cause are left.

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

    if pinned.failure:
        _skip(pinned, "the pinned run", out)
        return
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
