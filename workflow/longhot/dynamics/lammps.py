"""Phases and interfaces in LAMMPS: constant pressure or enthalpy, pinned or free, in segments.

A run is cut into segments. Each begins with a fresh LAMMPS that reads what the one before left (positions, velocities,
cell and barostat), with random numbers of its own, whether or not the run was killed in between; so a killed run goes
on and leaves what an unbroken one leaves. The thermostat is Langevin's, which reaches every vibration of a crystal; a
global one leaves the slow ones as they happened to start. The barostat is Martyna, Tobias and Klein's. Pinning is
LAMMPS's `fix rhok` (Pedersen et al., Phys. Rev. B 88, 094101 (2013)), whose order parameter is that of
``longhot.dynamics.pinned``.
"""

from __future__ import annotations

import logging
import re
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from longhot.block import InputError
from longhot.dynamics.detectors import temperature_limit_K
from longhot.dynamics.pinned import order_parameter
from longhot.dynamics.samples import OXYGEN, Samples, Settings, claim, joined, load
from longhot.files import sha256, write_text
from longhot.references import lammps as reference_method

if TYPE_CHECKING:
    from ase import Atoms

logger = logging.getLogger(__name__)

SEGMENT_STEPS = 20_000
THERMOSTAT_PS, BAROSTAT_PS = 2.0, 2.0
"""Relaxation times: far longer than a vibration of neighbours (0.2 ps in mW), so that diffusion is hardly slowed, and
far shorter than a run."""
BAROSTATS = {"isotropic": "iso", "independent": "aniso", "z": "z"}
"""LAMMPS's words."""
WORK_SUFFIX = ".partial"
"""Ending of the folder that holds the segments of a run that is not done."""


def run(atoms: Atoms, config: reference_method.Config, settings: Settings, out: Path, identity: str = "") -> None:
    """Run, or go on with a run that was killed; leave the samples in ``out``.

    What LAMMPS cannot go on with (an atom that is lost, say) ends the run; the samples before it are kept, with the
    cause.

    Args:
        atoms: the start; its masses count, and its oxygen atoms are the sites of the order parameter.
        config: the potential.
        settings: what to run.
        out: npz file of ``Samples``.
        identity: digest of the code that runs; segments of another are not continued.

    Raises:
        InputError: LAMMPS or its MPI library is missing, or the potential does not know an element.
    """
    library = reference_method.new_library()
    work = out.with_suffix(WORK_SUFFIX)
    claim(work, atoms, settings, f"{config!r} {reference_method.version(config)} {identity}")
    n_done, n_samples = 0, settings.n_samples
    # Whole samples, so that none is cut at the end of a segment.
    per_segment = max(1, SEGMENT_STEPS // settings.steps(settings.sample_interval_ps))
    parts: list[Samples] = []
    started = time.perf_counter()
    while n_done < n_samples and not (parts and parts[-1].failure):
        n_new = min(per_segment, n_samples - n_done)
        path = work / f"{len(parts):05d}.npz"
        if not _is_sound(path):
            _segment(library, atoms, config, settings, n_new, n_done, path)
            write_text(path.with_suffix(".sha256"), _digests(path))
        parts.append(load(path))
        n_done += n_new
        _log(parts[-1], settings, n_done, time.perf_counter() - started)
    library.close()
    joined(parts).save(out)
    shutil.rmtree(work)


def _is_sound(path: Path) -> bool:
    """Whether a segment is there, its samples and the state that it left as they were written."""
    digests = path.with_suffix(".sha256")
    return path.exists() and digests.exists() and digests.read_text(encoding="utf-8") == _digests(path)


def _digests(path: Path) -> str:
    """SHA-256 of the files of a segment; one in which LAMMPS gave up left no state."""
    return " ".join(sha256(one) for one in (path, path.with_suffix(".restart")) if one.exists())


def _segment(
    library: Any,
    atoms: Atoms,
    config: reference_method.Config,
    settings: Settings,
    n_samples: int,
    n_before: int,
    path: Path,
) -> None:
    """One segment: its samples in ``path``, and beside it the state that the next begins with."""
    library.command("clear")
    number = int(path.stem)
    taken: list[tuple[float, float, np.ndarray, float]] = []
    frames: list[np.ndarray] = []
    per_sample, per_frame = settings.steps(settings.sample_interval_ps), settings.steps(settings.frame_interval_ps)
    samples_per_frame = settings.samples_per_frame(per_frame / per_sample)
    failure = ""
    try:
        if number == 0:
            reference_method.set_up(library, config, atoms)
            _prepare(library, settings)
        else:
            library.commands_list(
                [reference_method.HEADER[2], f"read_restart {path.with_name(f'{number - 1:05d}.restart')}"]
            )
            library.commands_list(reference_method.pair_commands(config))
        library.commands_list(_integrator(settings, number))
        library.commands_list(_pin(settings, reference_method.types_of(config, atoms.get_chemical_symbols())))
        library.commands_list(_watch(library, settings.temperature_K))
        for index in range(n_samples):
            library.command(f"run {per_sample} pre {'no' if index else 'yes'} post no")
            positions_A = _positions_A(library)
            taken.append(_sample(library, settings, positions_A[atoms.numbers == OXYGEN]))
            if (n_before + index + 1) % samples_per_frame == 0:
                frames.append(positions_A)
        library.command(f"write_restart {path.with_suffix('.restart')}")
    except InputError:
        raise
    except Exception as error:  # the library raises nothing narrower
        failure = _typed(" ".join(str(error).split()))
        logger.warning("LAMMPS ended the run: %s", failure)
    numbers = n_before + 1 + np.arange(len(taken))
    energy, temperature, cell, order = (
        (np.array(column) for column in zip(*taken, strict=True)) if taken else _nothing()
    )
    Samples(
        time_ps=numbers * per_sample * settings.time_step_fs / 1000,
        energy_eV=energy,
        temperature_K=temperature,
        cell_A=cell,
        order_parameter=order,
        frame_sample=np.flatnonzero(numbers % samples_per_frame == 0)[: len(frames)],
        positions_A=np.array(frames).reshape(-1, len(atoms), 3),
        numbers=atoms.numbers,
        masses_amu=atoms.get_masses(),
        failure=failure,
    ).save(path)


def _typed(message: str) -> str:
    """The outcome and the cause in what LAMMPS says as it ends a run."""
    hot = re.search(r"Fix halt condition .* with value ([\d.e+]+)", message)
    return f"temperature_runaway: {float(hot[1]):.4g} K" if hot else f"engine_error: {message}"


def _nothing() -> tuple[np.ndarray, ...]:
    return np.zeros(0), np.zeros(0), np.zeros((0, 3, 3)), np.zeros(0)


def _positions_A(library: Any) -> np.ndarray:
    """Present positions in the order of the start, shape (n_atoms, 3)."""
    return np.ctypeslib.as_array(library.gather_atoms("x", 1, 3)).reshape(-1, 3).copy()


def _sample(library: Any, settings: Settings, sites_A: np.ndarray) -> tuple[float, float, np.ndarray, float]:
    """Energy, temperature, cell and order parameter of the present step."""
    low, high, xy, yz, xz, *_ = library.extract_box()
    x, y, z = np.subtract(high, low)
    cell_A = np.array([[x, 0.0, 0.0], [xy, y, 0.0], [xz, yz, z]])
    order = float(order_parameter(sites_A, cell_A, settings.k_indices))
    return library.get_thermo("pe"), library.get_thermo("temp"), cell_A, order


def _prepare(library: Any, settings: Settings) -> None:
    """Velocities, and the melting of what shall be molten."""
    hot = settings.melt_temperature_K
    library.commands_list(_output(settings))
    if settings.melt != "nothing":
        low, high, *_ = library.extract_box()
        middle = 0.5 * (low[2] + high[2])
        region = f"block INF INF INF INF {middle if settings.melt == 'half' else 'INF'} INF"
        library.commands_list(
            [
                f"region molten {region}",
                "group molten region molten",
                f"velocity molten create {hot} {_seed(settings, 1)} mom yes",
                "fix molten molten nve",
                f"fix hot molten langevin {hot} {hot} 0.1 {_seed(settings, 1)}",
                *_watch(library, hot),
                f"run {settings.steps(settings.melt_ps)} post no",
                "unfix molten",
                "unfix hot",
                "unfix watch",
            ]
        )
    library.command(f"velocity all create {settings.temperature_K} {_seed(settings, 2)} mom yes rot no")


def _watch(library: Any, temperature_K: float) -> list[str]:
    """Commands that end a run which explodes at its first step beyond all sense: a few later, LAMMPS itself may die."""
    limit_K = temperature_limit_K(temperature_K, 3 * library.get_natoms() - 3)
    return ["variable kinetic equal c_thermo_temp", f"fix watch all halt 1 v_kinetic > {limit_K:.10g} error hard"]


def _seed(settings: Settings, use: int) -> int:
    """Of one use of random numbers; LAMMPS takes none beyond 9e8."""
    return (settings.seed * 100_003 + use) % 900_000_000 + 1


def _output(settings: Settings) -> list[str]:
    """Commands for the time step and for what is asked of each sample."""
    step = f"timestep {settings.time_step_fs / 1000:.10g}"
    return [step, "thermo_style custom step pe temp", "thermo_modify norm no"]


def _integrator(settings: Settings, segment: int) -> list[str]:
    """Commands for the ensemble; the barostat's name is that in the restart file, which holds its state.

    A barostat has a thermostat of its own by default, which in hundreds of ps would take the place of the other.
    """
    pressure = f"{settings.pressure_bar} {settings.pressure_bar} {BAROSTAT_PS}"
    commands = [
        *_output(settings),
        f"fix barostat all nph {BAROSTATS[settings.barostat]} {pressure}{'' if settings.thermostat else ' pchain 0'}",
    ]
    if settings.thermostat:
        temperature = f"{settings.temperature_K} {settings.temperature_K} {THERMOSTAT_PS}"
        commands.append(f"fix thermostat all langevin {temperature} {_seed(settings, 3 + segment)} zero yes")
    return commands


def _pin(settings: Settings, types: dict[str, int]) -> list[str]:
    """Commands for the bias, on the oxygen sites; none where there is no bias."""
    if settings.pin is None:
        return []
    bias = f"{settings.pin.kappa_eV:.17g} {settings.pin.anchor:.17g}"
    return [f"group sites type {types['O']}", f"fix pin sites rhok {' '.join(map(str, settings.k_indices))} {bias}"]


def _log(part: Samples, settings: Settings, n_done: int, wall_s: float) -> None:
    if not len(part.time_ps):
        return
    logger.info(
        "%.0f of %.0f ps: %.1f K, %.1f A^3, order parameter %.2f, %.0f s left",
        *(part.time_ps[-1], settings.duration_ps, part.temperature_K.mean(), part.volume_A3.mean()),
        *(part.order_parameter.mean(), wall_s / n_done * (settings.n_samples - n_done)),
    )
