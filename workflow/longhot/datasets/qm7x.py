"""QM7-X: the published HDF5 files (Hoja et al. 2021); molecules, each in many configurations.

A file maps molecule id -> configuration id (`Geom-m1-i1-c1-opt`, `Geom-m1-i1-c1-1`, ...) -> properties,
of which the atomic numbers, positions (A), the total PBE0+MBD energy (eV) and forces (eV/A) are read.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import Field, PositiveFloat, model_validator

from longhot import files
from longhot.block import Block, Count, Distinct, InputError, Seed
from longhot.datasets import DatasetBlock, IsolatedAtoms, Splits
from longhot.datasets._checks import checked_array, checked_numbers, reason
from longhot.datasets._fetch import SourceFile, local, unpacked_xz
from longhot.datasets._isolated import elements, resolve
from longhot.frames import TEST_SET, labelled

if TYPE_CHECKING:
    from ase import Atoms

NUMBERS, POSITIONS, ENERGY, FORCES = "atNUM", "atXYZ", "ePBE0+MBD", "totFOR"
LARGEST_SIZE = 30_000
"""Values of one property of a molecule; those of QM7-X have up to 23 atoms."""
ATOMIC_ENERGIES_EV = {
    "H": -13.641404161,
    "C": -1027.592489146,
    "N": -1484.274819088,
    "O": -2039.734879322,
    "S": -10828.707468187,
    "Cl": -12516.444619523,
}
"""PBE0 energies of the isolated atoms, as published with the files."""


class Config(DatasetBlock):
    """A subset of QM7-X by molecule and by configuration."""

    source: Literal["qm7x"] = Field("qm7x", description="Names this plugin.")
    files: Annotated[list[SourceFile], Distinct] = Field(
        description="The published files, such as 1000.hdf5 or 1000.xz: each a `path`, or a `url` and its `sha256`.",
        min_length=1,
    )
    n_molecules: Count | None = Field(
        None, description="Molecules that are drawn for pool, validation and test; absent: all."
    )
    max_configurations_per_molecule: Count | None = Field(
        None, description="Configurations that are drawn of each molecule; absent: all."
    )
    split: Literal["molecule", "configuration"] = Field(
        "molecule",
        description="`molecule`: no molecule is in two of pool, validation and test; "
        "`configuration`: they share molecules, but no configuration.",
    )
    valid_fraction: PositiveFloat = Field(0.1, description="Share of the molecules (or configurations) for validation.")
    test_fraction: PositiveFloat = Field(0.2, description="Share of the molecules (or configurations) for the test.")
    molecule_test_sets: Annotated[list[Annotated[str, Field(pattern=r"^\d{1,9}$")]], Distinct] = Field(
        [],
        description="Molecules, by their number in the files, that are only tested on, each as a further test set "
        "`molecule-<number>`: MD, which needs starts of one molecule, can name it as its `start_set`.",
    )
    seed: Seed = Field(0, description="Which molecules and configurations are drawn.")
    isolated_atoms: IsolatedAtoms = Field(
        IsolatedAtoms(origin="published"), description="Where the energies of isolated atoms come from."
    )

    @model_validator(mode="after")
    def _something_is_left(self) -> Config:
        if self.valid_fraction + self.test_fraction >= 1:
            raise ValueError("valid_fraction: with test_fraction it leaves nothing to train on, lower them")
        return self


def splits(config: Config, reference: Block | None, workdir: Path, workers: int = 1) -> Splits:
    """Draw molecules and configurations, and split them."""
    fetched = [local(source) for source in config.files]
    hashes = [
        {"path": str(source.path or source.url), "sha256": files.sha256(path)}
        for source, path in zip(config.files, fetched, strict=True)
    ]
    generator = np.random.default_rng(config.seed)
    molecules = _draw([unpacked_xz(path, workdir) for path in fetched], config, generator)
    units: list[list[Atoms]] = [frames for name, frames in molecules.items() if name not in config.molecule_test_sets]
    if config.split == "configuration":
        units = [[frame] for frames in units for frame in frames]
    pool, valid, test = _split(units, config, generator)
    for frame in test:
        frame.info[TEST_SET] = "test"
    for name in config.molecule_test_sets:
        for frame in molecules[name]:
            frame.info[TEST_SET] = f"molecule-{name}"
        test += molecules[name]
    energies_eV, origin = resolve(config.isolated_atoms, elements(pool), reference, pool, ATOMIC_ENERGIES_EV)
    return Splits(
        pool,
        valid,
        test,
        energies_eV,
        origin,
        level_of_theory="PBE0+MBD",
        licence="CC-BY-4.0",
        facts={
            "source_files": hashes,
            "source_units": "eV, eV/A, A",
            "citation": "Hoja et al., Sci. Data 8, 43 (2021)",
            "n_molecules": len(molecules),
            "split_by": config.split,
        },
    )


def _split(units: list[list[Atoms]], config: Config, generator: np.random.Generator) -> tuple[list[Atoms], ...]:
    """Pool, validation and test from groups of frames that stay together."""
    n_valid = max(1, round(config.valid_fraction * len(units)))
    n_test = max(1, round(config.test_fraction * len(units)))
    if n_valid + n_test >= len(units):
        raise InputError(
            f"qm7x: {len(units)} {config.split}s are too few for pool, validation and test, draw more of them"
        )
    order = generator.permutation(len(units))
    parts = np.split(order, [n_test, n_test + n_valid])
    test, valid, pool = ([frame for unit in sorted(part.tolist()) for frame in units[unit]] for part in parts)
    return pool, valid, test


def _draw(paths: list[Path], config: Config, generator: np.random.Generator) -> dict[str, list[Atoms]]:
    """Frames of the drawn molecules, by molecule id; only those are read."""
    import h5py

    opened: list[Any] = []
    try:
        for path in paths:
            try:
                opened.append(h5py.File(path, "r"))
            except OSError as error:
                raise InputError(f"{path}: truncated or no valid HDF5 file ({reason(error)}), get it again") from None
        try:
            groups = {
                molecule: (path, _held(file, molecule))
                for path, file in zip(paths, opened, strict=True)
                for molecule in file
            }
        except Exception as error:  # the library lets through whatever a malformed file causes
            raise InputError(f"{path}: cannot be read ({reason(error)}), give a file of QM7-X as published") from None
        alone = config.molecule_test_sets
        missing = [name for name in alone if name not in groups]
        if missing:
            raise InputError(f"molecule_test_sets: no molecule {missing[0]!r} in the files, name one that they hold")
        names = sorted(set(groups) - set(alone), key=lambda name: (len(name), name))
        wanted = config.n_molecules or len(names)
        if wanted > len(names):
            raise InputError(f"n_molecules: {wanted} are more than the {len(names)} of the files, lower it")
        chosen = [names[index] for index in sorted(generator.permutation(len(names))[:wanted].tolist())]
        return {name: _configurations(name, *groups[name], config, generator) for name in [*chosen, *alone]}
    finally:
        for file in opened:
            file.close()


def _configurations(
    molecule: str, path: Path, group: Any, config: Config, generator: np.random.Generator
) -> list[Atoms]:
    try:
        names = sorted(group)
        held = {name: _held(group, name) for name in names}
    except Exception as error:  # the library lets through whatever a malformed file causes
        raise InputError(
            f"{path}, {molecule}: cannot be read ({reason(error)}), give a file of QM7-X as published"
        ) from None
    limit = config.max_configurations_per_molecule or len(names)
    chosen = sorted(generator.permutation(len(names))[:limit].tolist())
    return [_frame(held[names[index]], names[index], molecule, path) for index in chosen]


def _frame(group: Any, name: str, molecule: str, path: Path) -> Atoms:
    from ase import Atoms

    where = f"{path}, {molecule}/{name}"
    try:
        raw = {key: _read(group, key) for key in (NUMBERS, POSITIONS, ENERGY, FORCES)}
    except Exception as error:  # the library lets through whatever a malformed file causes
        raise InputError(f"{where}: cannot be read ({reason(error)}), give a file of QM7-X as published") from None
    numbers = checked_numbers(raw[NUMBERS], f"{where}: {NUMBERS}")
    shape = (len(numbers), 3)
    positions_A, forces = (checked_array(raw[key], shape, f"{where}: {key}") for key in (POSITIONS, FORCES))
    energy_eV = float(checked_array(raw[ENERGY].ravel(), (1,), f"{where}: {ENERGY}")[0])
    atoms = Atoms(numbers=numbers, positions=positions_A, info={"molecule": molecule, "configuration": name})
    return labelled(atoms, energy_eV, forces)


def _read(group: Any, name: str) -> np.ndarray:
    """A dataset of a group; neither one that is larger than any molecule, nor what the file only points at.

    Raises:
        ValueError: it is one of these.
    """
    held = _held(group, name)
    if held.external or held.is_virtual:
        raise ValueError(f"{name} points at another file")
    if held.size > LARGEST_SIZE:
        raise ValueError(f"{name} has {held.size} values")
    return np.array(held)


def _held(group: Any, name: str) -> Any:
    """What a group holds itself under a name: a link may lead to any file of this machine.

    Raises:
        ValueError: a link.
    """
    import h5py

    if not isinstance(group.get(name, getlink=True), h5py.HardLink):
        raise ValueError(f"{name} is missing or only a link")
    return group[name]
