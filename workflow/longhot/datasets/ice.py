"""Frames of ice Ih and of liquid water, sampled with a reference method at several temperatures and densities.

What a committee needs that is to tell ice from water: both phases, and the densities between which their volumes move
at constant pressure. The water is ice that was melted.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import partial
from itertools import product
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from pydantic import Field, PositiveFloat

from longhot import references
from longhot.block import Block, Count, Distinct, InputError, Seed, TemperatureK, TimeStepFs
from longhot.datasets import DatasetBlock, IsolatedAtoms, Splits
from longhot.datasets._ice import ice_ih_sites, ice_ih_water
from longhot.datasets._isolated import elements, resolve
from longhot.datasets._md import Sampling, held, sample
from longhot.datasets._pool import all_sampled, digest_of, warning
from longhot.frames import TEST_SET

if TYPE_CHECKING:
    from pathlib import Path

    from ase import Atoms

Strain = Annotated[float, Field(gt=-0.2, lt=0.2)]
Repeats = Annotated[list[Annotated[int, Field(gt=0, le=20)]], Field(min_length=3, max_length=3)]
SETS = ("train_pool", "valid", "test")
WATER_AMU = 18.01528


class Config(DatasetBlock):
    """Ice Ih and liquid water, sampled with the dataset's reference at constant volume."""

    source: Literal["ice"] = Field("ice", description="Names this plugin.")
    molecule: Literal["site", "H2O"] = Field(
        "site", description="`site`: one site O a molecule, as mW water has; `H2O`: proton-disordered ice."
    )
    repeats: Repeats = Field([2, 2, 2], description="Cells of 8 molecules along c, a and sqrt(3) a of the ice.")
    neighbour_distance_A: Annotated[float, Field(ge=1, le=10)] = Field(
        2.75, description="Distance of neighbouring molecules at no strain."
    )
    volume_strains: Annotated[list[Strain], Distinct] = Field(
        [-0.04, 0.0, 0.04], min_length=1, description="Relative changes of the volume, each its own trajectories."
    )
    solid_temperatures_K: Annotated[list[TemperatureK], Distinct] = Field(
        [200, 280], min_length=1, description="Of the ice."
    )
    liquid_temperatures_K: Annotated[list[TemperatureK], Distinct] = Field(
        [260, 320], min_length=1, description="Of the water."
    )
    melt_temperature_K: TemperatureK = Field(700.0, description="At which the ice of each trajectory of water melts.")
    melt_fs: PositiveFloat = Field(5000.0, description="How long it is held there.")
    n_train_pool: Count = Field(200, description="Frames that training sets are drawn from.")
    n_valid: Count = Field(20, description="Validation frames.")
    n_test: Count = Field(80, description="Test frames.")
    time_step_fs: TimeStepFs = Field(10.0, description="Integration step; molecules with hydrogen need 0.5.")
    friction_per_ps: PositiveFloat = Field(2.0, description="Friction of the Langevin thermostat.")
    sample_interval_fs: PositiveFloat = Field(500.0, description="Time between frames of a trajectory.")
    equilibration_fs: PositiveFloat = Field(3000.0, description="Time at the start that is thrown away.")
    seed: Seed = Field(0, description="Seed of all random numbers.")
    isolated_atoms: IsolatedAtoms = Field(
        IsolatedAtoms(origin="reference"), description="Where the energies of isolated atoms come from."
    )


def ice_ih(molecule: str, repeats: tuple[int, int, int], seed: int, neighbour_distance_A: float = 2.75) -> Atoms:
    """A crystal of ice Ih of sites, which carry the mass of a molecule, or of proton-disordered molecules."""
    if molecule == "H2O":
        return ice_ih_water(repeats, seed, neighbour_distance_A)
    atoms = ice_ih_sites(repeats, neighbour_distance_A)
    atoms.set_masses(np.full(len(atoms), WATER_AMU))
    return atoms


@dataclass(frozen=True)
class Trajectory:
    """One trajectory to sample."""

    set_name: str
    phase: str
    temperature_K: float
    strain: float
    n_frames: int
    seed: tuple[int, ...]
    origin: str
    """Digest of what is common to all: config, reference and crystal."""

    @property
    def state(self) -> str:
        """Readable, and unique in its set."""
        return f"{self.phase}-{self.temperature_K:g}K-{100 * self.strain:+g}%"

    @property
    def name(self) -> str:
        """Readable, and unique in its dataset."""
        return f"{self.set_name}-{self.state}"

    @property
    def digest(self) -> str:
        """Identifies the frames: equal digests mean equal frames."""
        return digest_of(asdict(self))


def splits(config: Config, reference: Block | None, workdir: Path, workers: int = 1) -> Splits:
    """Sample all sets; a trajectory that is complete in ``workdir`` is not sampled again."""
    if reference is None:
        raise InputError("dataset: source `ice` needs the key `reference`, add it")
    repeats = config.repeats
    start = ice_ih(config.molecule, (repeats[0], repeats[1], repeats[2]), config.seed, config.neighbour_distance_A)
    energies_eV, origin = resolve(config.isolated_atoms, elements([start]), reference)
    sets: dict[str, list[Atoms]] = {name: [] for name in SETS}
    made_of = {"config": config.model_dump(mode="json"), "reference": reference.model_dump(mode="json")}
    tasks = list(trajectories(config, digest_of(made_of | {"crystal_A": start.positions.tolist()})))
    one = partial(_sampled, config=config, reference=reference, start=start)
    warnings = []
    for task, (taken, restarts) in zip(tasks, all_sampled(tasks, one, workdir, workers), strict=True):
        sets[task.set_name] += taken
        warnings += [warning(task.name, restarts)] if restarts else []
    for frame in sets["test"]:
        frame.info[TEST_SET] = "test"
    return Splits(
        sets["train_pool"],
        sets["valid"],
        sets["test"],
        energies_eV,
        origin,
        level_of_theory=references.level_of_theory(reference),
        licence="made by this study",
        facts={"reference": reference.model_dump(mode="json"), "n_trajectories": len(tasks)},
        warnings=warnings,
        sampled_here=True,
    )


def trajectories(config: Config, origin: str) -> Iterator[Trajectory]:
    """The trajectories of each set: all phases, temperatures and strains share its frames evenly."""
    states = [
        (phase, temperature_K, strain)
        for phase, temperatures_K in (("solid", config.solid_temperatures_K), ("liquid", config.liquid_temperatures_K))
        for temperature_K, strain in product(temperatures_K, config.volume_strains)
    ]
    for set_number, set_name in enumerate(SETS):
        n_frames = getattr(config, f"n_{set_name}")
        for number, (state, part) in enumerate(
            zip(states, np.array_split(np.arange(n_frames), len(states)), strict=True)
        ):
            if len(part):
                yield Trajectory(set_name, *state, len(part), (config.seed, set_number, number), origin)


def _sampled(task: Trajectory, config: Config, reference: Block, start: Atoms) -> tuple[list[Atoms], int]:
    """The frames of a trajectory, and its restarts."""
    atoms = start.copy()
    atoms.set_cell(atoms.cell * (1 + task.strain) ** (1 / 3), scale_atoms=True)
    potential = references.ReferencePotential(reference).batch(atoms, 1)
    generator = np.random.default_rng(task.seed)
    sampling = Sampling(
        task.temperature_K,
        config.time_step_fs,
        config.friction_per_ps,
        config.sample_interval_fs,
        config.equilibration_fs,
    )
    melt_restarts = 0
    if task.phase == "liquid":
        hot = Sampling(config.melt_temperature_K, config.time_step_fs, config.friction_per_ps, config.melt_fs, 0)
        atoms, melt_restarts = held(potential, atoms, hot, generator, task.name)
    taken, restarts = sample(potential, atoms, sampling, task.n_frames, generator, task.state)
    for frame in taken:
        frame.info["phase"] = task.phase
    return taken, melt_restarts + restarts
