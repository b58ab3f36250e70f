"""The user's own labelled frames, in extended XYZ files of any usual units."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from pydantic import Field, field_validator, model_validator

from longhot import files
from longhot.block import LONGEST_NAME, Block, Count, FilePath, InputError, Seed
from longhot.datasets import DatasetBlock, Splits
from longhot.datasets._checks import existing
from longhot.datasets._isolated import elements, resolve
from longhot.datasets._xyz import EnergyUnit, ForcesUnit, LengthUnit, Units, cut_short, read_labelled
from longhot.frames import TEST_SET

if TYPE_CHECKING:
    from ase import Atoms


RESERVED_NAMES = ("train", "train_pool", "valid", "md", "failure")
"""What tables and cards call other frames than those of a test set."""


class Config(DatasetBlock):
    """Frames from extended XYZ files."""

    source: Literal["extxyz"] = Field("extxyz", description="Names this plugin.")
    train_pool: FilePath = Field(description="File that training frames are drawn from.")
    valid: FilePath | None = Field(None, description="File of validation frames; else `n_valid` of the pool are taken.")
    n_valid: Count | None = Field(None, description="Frames that are taken from the pool for validation.")
    test_sets: dict[
        Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$", max_length=LONGEST_NAME)], FilePath
    ] = Field(description="Files of test frames by the name of the set, such as `test`.", min_length=1)
    energy_key: str = Field("energy", description="Key of the total energy.")
    forces_key: str = Field("forces", description="Key of the forces.")
    energy_unit: EnergyUnit = Field(
        "eV",
        description="Unit of the energies in all files, that of isolated atoms (origin `file`) among them; "
        "`values_eV` is in eV whatever this says.",
    )
    forces_unit: ForcesUnit = Field("eV/A", description="Unit of the forces in all files.")
    length_unit: LengthUnit = Field("A", description="Unit of the positions and cells in all files.")
    seed: Seed = Field(0, description="Which frames `n_valid` takes.")
    level_of_theory: str = Field("not stated", description="What computed the labels, such as `PBE/def2-SVP`.")
    licence: str = Field("not stated", description="Licence of the data.")

    @field_validator("test_sets")
    @classmethod
    def _names_of_their_own(cls, test_sets: dict[str, Path]) -> dict[str, Path]:
        for name in test_sets:
            if name in RESERVED_NAMES:
                raise ValueError(f"no test set may be called {name!r}, which names other frames, rename it")
        return test_sets

    @model_validator(mode="after")
    def _one_validation_set(self) -> Config:
        if (self.valid is None) == (self.n_valid is None):
            raise ValueError("valid: give either this file or n_valid, the number of frames to take from the pool")
        return self


def splits(config: Config, reference: Block | None, workdir: Path, workers: int = 1) -> Splits:
    """Read and split the files."""
    paths = [config.train_pool, *([config.valid] if config.valid else []), *config.test_sets.values()]
    for path in paths:
        existing(path)
    units = Units(config.energy_unit, config.forces_unit, config.length_unit)
    read = {path: read_labelled(path, config.energy_key, config.forces_key, units) for path in dict.fromkeys(paths)}
    pool = read[config.train_pool]
    if config.valid is not None:
        valid = read[config.valid]
    else:
        pool, valid = _split_off(pool, config.n_valid or 0, config.seed, config.train_pool)
    test = []
    for name, path in config.test_sets.items():
        for frame in read[path]:
            frame = frame.copy()
            frame.info[TEST_SET] = name
            test.append(frame)
    energies_eV, origin = resolve(config.isolated_atoms, elements(pool), reference, pool)
    if config.isolated_atoms.origin == "file":
        energies_eV = {symbol: energy * units.energy_eV for symbol, energy in energies_eV.items()}
    return Splits(
        pool,
        valid,
        test,
        energies_eV,
        origin,
        level_of_theory=config.level_of_theory,
        licence=config.licence,
        facts={
            "source_files": [{"path": str(path), "sha256": files.sha256(path)} for path in read],
            "source_units": str(units),
        },
        warnings=[
            f"{path} does not end with a line break: it may have been cut off inside its last number"
            for path in read
            if cut_short(path)
        ],
    )


def _split_off(pool: list[Atoms], n_valid: int, seed: int, path: Path) -> tuple[list[Atoms], list[Atoms]]:
    """What is left of the pool, and ``n_valid`` frames of it."""
    if n_valid >= len(pool):
        raise InputError(f"n_valid: {n_valid} frames leave nothing of the {len(pool)} in {path}, lower it")
    drawn = np.random.default_rng(seed).permutation(len(pool))
    chosen = set(drawn[:n_valid].tolist())
    rest = [frame for index, frame in enumerate(pool) if index not in chosen]
    return rest, [pool[index] for index in sorted(chosen)]
