"""Staged integration between sampler and member, for members that reweighting cannot reach.

At one temperature both phases run under (1 - lambda) V_0 + lambda V_k for a few lambda; MBAR over these windows and the
sampler's own frames gives G_k - G_0. The window of the member itself gives its enthalpies too, and with them the slope
of the correction: d(c/T)/dT = -(delta h_k - delta h_0)/T^2.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from ase import units

from longhot.config import MeltingPoint, Staging
from longhot.dynamics import engine_runs
from longhot.dynamics.mixed import MixedPotential
from longhot.dynamics.samples import Samples, Settings, load
from longhot.files import read_json, sha256, write_json
from longhot.observables.melting_point.json_rows import filled, plain
from longhot.observables.melting_point.members import Correction, correction, energies_eV, frames_of, state_name
from longhot.observables.melting_point.phases import Phase, standard_error
from longhot.observables.melting_point.result import SamplerFiles, analyse
from longhot.observables.melting_point.sampler import potential_of
from longhot.uncertainty.reweighting import StagedFreeEnergy, decorrelate, staged_free_energy, student_factor

if TYPE_CHECKING:
    from ase import Atoms

    from longhot.block import Block
    from longhot.potential import Potential

logger = logging.getLogger(__name__)


def integrate(
    question: MeltingPoint,
    files: SamplerFiles,
    reference: Block | None,
    sampler_folders: Sequence[Path],
    member_folders: Sequence[Path],
    energies_path: Path,
    device: str,
    code: str,
    out: Path,
) -> None:
    """Find the members that reweighting cannot reach at the temperature nearest to the melting point, and stage them.

    Args:
        question: all settings.
        files: the sampler's runs.
        reference: block of the reference method.
        sampler_folders: fits whose mean samples; none where the reference does.
        member_folders: fits of the members, in the order of the seeds.
        energies_path: what ``longhot.observables.melting_point.members.write_energies`` wrote.
        device: ``auto``, ``cpu`` or ``cuda``.
        code: digest of the code that runs.
        out: JSON file of corrections, an empty list where reweighting reaches all.
    """
    result = analyse(question, files)
    with np.load(energies_path, allow_pickle=False) as stored:
        energies = dict(stored)
    solid, liquid = (result.phase(name, result.nearest_K()) for name in ("solid", "liquid"))
    wanted = {}
    for place, seed in enumerate(question.seeds):
        own, other = (energies[state_name(one.phase, one.temperature_K)][place] for one in (solid, liquid))
        if not correction(seed, solid, liquid, own, other, question.pressure_bar).valid:
            wanted[seed] = member_folders[place]
    logger.info("%d of %d members need stages at %g K", len(wanted), len(question.seeds), result.nearest_K())
    if not wanted or not (solid.valid and liquid.valid):
        write([], out)
        return
    weights = {
        seed: [sha256(path) for one in [folder, *sampler_folders] for path in sorted(one.glob("model.*"))]
        for seed, folder in wanted.items()
    }
    found = stages(
        question,
        potential_of(reference, sampler_folders, device),
        {seed: potential_of(None, [folder], device) for seed, folder in wanted.items()},
        solid,
        liquid,
        folder=out.parent / "stages",
        identities={seed: f"{digests} {reference} {code}" for seed, digests in weights.items()},
    )
    write(found, out)


def stages(
    question: MeltingPoint,
    sampler: Potential,
    members: dict[int, Potential],
    solid: Phase,
    liquid: Phase,
    folder: Path,
    identities: dict[int, str],
) -> list[Correction]:
    """Corrections of some members at the temperature of the given phases.

    Args:
        question: all settings.
        sampler: what sampled ``solid`` and ``liquid``.
        members: by seed.
        solid: the sampler's run.
        liquid: the sampler's run at the same temperature.
        folder: for the windows; those that are there and were made of the same are not run again.
        identities: digests of what sampler and member were made from and of the code, by seed.
    """
    found = []
    for number, (seed, member) in enumerate(members.items(), start=1):
        logger.info("member %d, %d of %d", seed, number, len(members))
        parts = [
            _phase(question, sampler, member, one, folder / f"seed{seed}", identities[seed]) for one in (solid, liquid)
        ]
        found.append(_correction(seed, solid.temperature_K, parts, solid.n_molecules))
    return found


@dataclass(frozen=True)
class Reached:
    """What the windows of one phase tell."""

    free_energy: StagedFreeEnergy
    """G_k - G_0 in kT."""
    enthalpy_eV: float = np.nan
    """h_k - h_0 of the cell."""
    enthalpy_error_eV: float = np.nan


def _phase(
    question: MeltingPoint, sampler: Potential, member: Potential, one: Phase, folder: Path, identity: str
) -> Reached:
    block = question.staging
    assert block is not None
    start, settings = frames_of(one.samples)[-1], _settings(question, block, one)
    start.set_masses(one.samples.masses_amu)
    runs = [one.samples]
    for weight in block.lambdas:
        path = folder / f"{one.phase}-lambda{weight:g}-{_digest(start, settings, weight, identity)}.npz"
        if not path.exists():
            potential = member if weight == 1 else MixedPotential([sampler, member], [1 - weight, weight])
            engine_runs.run(start, potential, settings, path, identity)
        runs.append(load(path).after(block.equilibration_ps))
    if any(run.failure or not len(run.frame_sample) for run in runs):
        reason = next((run.failure for run in runs if run.failure), "a window is shorter than its equilibration")
        return Reached(StagedFreeEnergy(np.nan, np.nan, np.nan, False, reason))
    return between(runs, [0.0, *block.lambdas], sampler, member, one.temperature_K, question.pressure_bar)


def _digest(start: Atoms, settings: Settings, weight: float, identity: str) -> str:
    """Of all that decides what a window holds: Snakemake does not know of its file, and leaves it where it is."""
    digest = hashlib.sha256(f"{settings} {weight} {identity}".encode())
    for values in (start.numbers, start.get_masses(), start.positions, start.cell.array):
        digest.update(np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()[:12]


def _settings(question: MeltingPoint, block: Staging, one: Phase) -> Settings:
    return Settings(
        temperature_K=one.temperature_K,
        duration_ps=block.equilibration_ps + block.duration_ps,
        time_step_fs=question.time_step_fs,
        sample_interval_ps=block.frame_interval_ps,
        frame_interval_ps=block.frame_interval_ps,
        pressure_bar=question.pressure_bar,
        barostat="independent" if one.phase == "solid" else "isotropic",
        k_indices=(2 * question.bulk.repeats[0], 0, 0),
        seed=question.seed,
    )


def between(
    runs: Sequence[Samples],
    lambdas: Sequence[float],
    sampler: Potential,
    member: Potential,
    temperature_K: float,
    pressure_bar: float,
) -> Reached:
    """What windows between sampler and member tell.

    Args:
        runs: equilibrated samples of each window, the sampler's first.
        lambdas: weights of the member, from 0 to 1.
        sampler: V_0.
        member: V_k.
        temperature_K: of all windows.
        pressure_bar: of all windows.
    """
    energies = [_both(run, sampler if number else None, member) for number, run in enumerate(runs)]
    lost = sum(int((~np.isfinite(one)).any(axis=0).sum()) for one in energies)
    if lost:
        reason = f"sampler or member gives no energy for {lost} frames"
        return Reached(StagedFreeEnergy(np.nan, np.nan, np.nan, False, reason))
    found = free_energy_of_windows(energies, lambdas, units.kB * temperature_K)
    ends = [_mean_enthalpy(runs[end], energies[end][end], pressure_bar) for end in (0, -1)]
    return Reached(found, ends[1][0] - ends[0][0], float(np.hypot(ends[0][1], ends[1][1])))


def free_energy_of_windows(
    energies_eV: Sequence[np.ndarray], lambdas: Sequence[float], kT_eV: float
) -> StagedFreeEnergy:
    """G_k - G_0 from the frames of all windows, thinned to independent ones.

    Args:
        energies_eV: V_0 and V_k of each window's frames, shape (2, n_frames) each.
        lambdas: weight of the member in each window.
        kT_eV: of all windows.
    """
    independent = [one[:, decorrelate(one[1] - one[0]).indices] for one in energies_eV]
    first, last = np.concatenate(independent, axis=1)  # V_0 and V_k of all frames
    # What all frames share is added at the end: MBAR does not find its way over hundreds of kT.
    common_eV = float((last - first).mean())
    # At one pressure PV of a frame is the same in all states, and cancels.
    states_eV = np.array([(1 - weight) * first + weight * (last - common_eV) for weight in lambdas])
    n_frames = np.array([one.shape[1] for one in independent])
    found = staged_free_energy(states_eV / kT_eV, n_frames)
    # How many frames are independent is known least well in the shortest window.
    error_kT = found.error_kT * student_factor(n_frames.min())
    return replace(found, difference_kT=found.difference_kT + common_eV / kT_eV, error_kT=error_kT)


def _mean_enthalpy(run: Samples, energies_eV: np.ndarray, pressure_bar: float) -> tuple[float, float]:
    """Mean potential energy and PV of the frames of a run, and its standard error, in eV of the cell."""
    enthalpies = energies_eV + pressure_bar * units.bar * run.volume_A3[run.frame_sample]
    return float(enthalpies.mean()), standard_error(enthalpies, decorrelate(enthalpies).statistical_inefficiency)


def _both(run: Samples, sampler: Potential | None, member: Potential) -> np.ndarray:
    """V_0 and V_k of each frame, shape (2, n_frames); the sampler's own run knows its V_0."""
    own = run.energy_eV[run.frame_sample] if sampler is None else energies_eV(sampler, run)
    return np.array([own, energies_eV(member, run)])


def _correction(seed: int, temperature_K: float, parts: Sequence[Reached], n_molecules: int) -> Correction:
    solid, liquid = (part.free_energy for part in parts)
    to_meV = 1e3 * units.kB * temperature_K / n_molecules
    value = to_meV * (solid.difference_kT - liquid.difference_kT)
    enthalpy = 1e3 * (parts[0].enthalpy_eV - parts[1].enthalpy_eV) / n_molecules
    enthalpy_error = 1e3 * float(np.hypot(parts[0].enthalpy_error_eV, parts[1].enthalpy_error_eV)) / n_molecules
    reasons = [f"{name}: {one.reason}" for name, one in (("solid", solid), ("liquid", liquid)) if not one.valid]
    return Correction(
        seed,
        temperature_K,
        value,
        to_meV * float(np.hypot(solid.error_kT, liquid.error_kT)),
        "staged",
        np.nan,
        np.nan,
        not reasons,
        "; ".join(reasons),
        (value - enthalpy) / temperature_K,
        enthalpy_error / temperature_K,
    )


def write(corrections: Sequence[Correction], out: Path) -> None:
    """Write corrections as JSON; a number that is none becomes null."""
    write_json(out, [plain(asdict(one)) for one in corrections])


def read(path: Path) -> list[Correction]:
    """Read what ``write`` wrote."""
    return [Correction(**filled(row)) for row in read_json(path)]
