"""A molecule sampled by Langevin MD with a reference method: data made here, at a known level of theory."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import Field, PositiveFloat, model_validator

from longhot import frames, references
from longhot.block import Block, Count, Distinct, FilePath, InputError, Seed, TemperatureK, TimeStepFs
from longhot.datasets import DatasetBlock, IsolatedAtoms, Splits
from longhot.datasets._isolated import elements, resolve
from longhot.datasets._md import Sampling, sample, statistical_inefficiency
from longhot.datasets._molecule import from_file, from_name, from_smiles, relaxed
from longhot.datasets._pool import all_sampled, digest_of, warning

if TYPE_CHECKING:
    from ase import Atoms

logger = logging.getLogger(__name__)

SETS = ("train_pool", "valid", "test", "test_hot")


class Config(DatasetBlock):
    """Frames of one molecule; pool, validation and test sets are separate trajectories."""

    source: Literal["generate"] = Field("generate", description="Names this plugin.")
    reference: str = Field(description="The block of `references` that samples and labels.")
    molecule: str | None = Field(None, description="Name in ASE's g2 set, such as `CH3CH2OH`.")
    smiles: str | None = Field(None, max_length=500, description="Or a SMILES string.")
    structure_file: FilePath | None = Field(None, description="Or a structure file that ASE reads.")
    temperatures_K: Annotated[list[TemperatureK], Distinct] = Field(
        [300.0, 500.0], description="Pool, validation and test are sampled in equal parts at each.", min_length=1
    )
    hot_temperatures_K: Annotated[list[TemperatureK], Distinct] = Field(
        [1000.0], description="The test set `test_hot`, for extrapolation, is sampled in equal parts at each."
    )
    n_train_pool: Count = Field(800, description="Frames that training frames are drawn from.")
    n_valid: Count = Field(100, description="Frames for validation.")
    n_test: Count = Field(300, description="Frames of the test set `test`.")
    n_test_hot: Annotated[int, Field(ge=0)] = Field(300, description="Frames of the test set `test_hot`.")
    n_normal_modes: Annotated[int, Field(ge=0)] = Field(
        0, description="So many of the pool's frames are displacements along normal modes in place of MD."
    )
    normal_mode_temperature_K: TemperatureK = Field(500.0, description="Temperature of these displacements.")
    time_step_fs: TimeStepFs = Field(
        1.0, description="Integration step; the integrator's positions are exact for harmonic bonds at any stable step."
    )
    friction_per_ps: PositiveFloat = Field(10.0, description="Friction of the Langevin thermostat.")
    sample_interval_fs: PositiveFloat = Field(40.0, description="Time between frames of a trajectory.")
    equilibration_fs: PositiveFloat = Field(1000.0, description="Time at the start that is thrown away.")
    seed: Seed = Field(0, description="Seed of all random numbers.")
    isolated_atoms: IsolatedAtoms = Field(
        IsolatedAtoms(origin="reference"), description="Where the energies of isolated atoms come from."
    )

    @model_validator(mode="after")
    def _consistent(self) -> Config:
        given = [key for key in ("molecule", "smiles", "structure_file") if getattr(self, key) is not None]
        if len(given) != 1:
            raise ValueError(f"molecule: give one of molecule, smiles and structure_file, not {len(given)} of them")
        if self.n_test_hot and not self.hot_temperatures_K:
            raise ValueError("hot_temperatures_K: empty, give one or set n_test_hot to 0")
        if self.n_normal_modes > self.n_train_pool:
            raise ValueError("n_normal_modes: larger than n_train_pool, lower it")
        return self


@dataclass(frozen=True)
class Trajectory:
    """One trajectory to sample: what it is for, and everything that its frames depend on."""

    set_name: str
    sampling: Sampling
    n_frames: int
    seed: tuple[int, ...]
    start_A: list[list[float]]
    symbols: str
    reference: dict[str, Any]

    @property
    def name(self) -> str:
        """Readable and, for one dataset, unique."""
        return f"{self.set_name}-{self.sampling.temperature_K:g}K"

    @property
    def digest(self) -> str:
        """Identifies the frames: equal digests mean equal frames."""
        return digest_of(asdict(self))


def splits(config: Config, reference: Block | None, workdir: Path, workers: int = 1) -> Splits:
    """Sample all sets; a trajectory that is complete in ``workdir`` is not sampled again."""
    if reference is None:
        raise InputError("dataset: source `generate` needs the key `reference`, add it")
    atoms = _build(config)
    references.check_electrons(reference, atoms.numbers)
    # What is not fitted to the frames is looked up before hours of sampling.
    known = None
    if config.isolated_atoms.origin != "fit":
        known = resolve(config.isolated_atoms, elements([atoms]), reference)
    start = relaxed(atoms, reference)
    sets: dict[str, list[Atoms]] = {name: [] for name in SETS}
    sampled: list[dict[str, Any]] = []
    tasks = list(_trajectories(config, reference, start))
    one = partial(_sampled, start=start, reference=reference)
    for task, (taken, restarts) in zip(tasks, all_sampled(tasks, one, workdir, workers), strict=True):
        inefficiency = statistical_inefficiency(frames.energies(taken))
        sampled.append(
            {
                "trajectory": task.name,
                "n_frames": len(taken),
                "statistical_inefficiency_frames": round(inefficiency, 2),
                "n_independent_frames": round(len(taken) / inefficiency, 1),
                "n_restarts": restarts,
            }
        )
        sets[task.set_name] += taken
    if config.n_normal_modes:
        sets["train_pool"] += _normal_mode_frames(config, reference, start)
    energies_eV, origin = known or resolve(config.isolated_atoms, elements([atoms]), reference, sets["train_pool"])
    test = [frame for name in ("test", "test_hot") for frame in sets[name]]
    for frame in test:
        frame.info[frames.TEST_SET] = frame.info["trajectory"].rpartition("-")[0]
    return Splits(
        sets["train_pool"],
        sets["valid"],
        test,
        energies_eV,
        origin,
        level_of_theory=references.level_of_theory(reference),
        licence="made by this study",
        facts={
            "reference": reference.model_dump(mode="json"),
            "relaxed_positions_A": np.round(start.positions, 6).tolist(),
            "trajectories": sampled,
        },
        warnings=[warning(row["trajectory"], row["n_restarts"]) for row in sampled if row["n_restarts"]],
        sampled_here=True,
    )


def _build(config: Config) -> Atoms:
    if config.molecule is not None:
        built = from_name(config.molecule)
    elif config.smiles is not None:
        built = from_smiles(config.smiles)
    else:
        assert config.structure_file is not None
        built = from_file(config.structure_file)
    if len(built) < 2:
        raise InputError("dataset: the molecule has a single atom, which has no forces to learn: give a larger one")
    return built


def _trajectories(config: Config, reference: Block, start: Atoms) -> Iterator[Trajectory]:
    counts = dict(
        zip(
            SETS,
            (config.n_train_pool - config.n_normal_modes, config.n_valid, config.n_test, config.n_test_hot),
            strict=True,
        )
    )
    for set_number, (set_name, n_frames) in enumerate(counts.items()):
        temperatures_K = config.hot_temperatures_K if set_name == "test_hot" else config.temperatures_K
        shares = [len(part) for part in np.array_split(np.arange(n_frames), max(1, len(temperatures_K)))]
        for number, (temperature_K, share) in enumerate(zip(temperatures_K, shares, strict=False)):
            if share:
                yield Trajectory(
                    set_name,
                    Sampling(
                        temperature_K,
                        config.time_step_fs,
                        config.friction_per_ps,
                        config.sample_interval_fs,
                        config.equilibration_fs,
                    ),
                    share,
                    (config.seed, set_number, number),
                    np.round(start.positions, 8).tolist(),
                    str(start.symbols),
                    reference.model_dump(mode="json"),
                )


def _sampled(task: Trajectory, start: Atoms, reference: Block) -> tuple[list[Atoms], int]:
    """The frames of a trajectory, and its restarts."""
    potential = references.ReferencePotential(reference).batch(start, 1)
    return sample(potential, start, task.sampling, task.n_frames, np.random.default_rng(task.seed), task.name)


def _normal_mode_frames(config: Config, reference: Block, start: Atoms) -> list[Atoms]:
    from longhot.datasets._modes import displaced, mass_weighted_hessian

    generator = np.random.default_rng((config.seed, len(SETS)))
    hessian = mass_weighted_hessian(start, references.ReferencePotential(reference).batch(start, 1))
    labeller = references.Labeller(reference)
    made: list[Atoms] = []
    failures = 0
    while len(made) < config.n_normal_modes:
        positions_A = displaced(start, hessian, config.normal_mode_temperature_K, 1, generator)[0]
        atoms = start.copy()
        atoms.positions = positions_A
        one = labeller(atoms)
        if one.status == "ok":
            atoms.info |= {"temperature_K": config.normal_mode_temperature_K, "trajectory": "normal_modes"}
            made.append(frames.labelled(atoms, one.energy_eV, one.forces_eV_per_A))
            continue
        failures += 1
        if failures > config.n_normal_modes:
            raise InputError(
                f"normal modes: the reference failed on {failures} displaced frames, at last with {one.message}: "
                "lower `normal_mode_temperature_K`"
            )
    logger.info("normal modes: %d frames, %d failed", len(made), failures)
    return made
