"""rMD17: the published npz archives, in kcal/mol and A (Christensen and von Lilienfeld 2020)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal
from zipfile import ZipFile

import numpy as np
from pydantic import Field

from longhot import files
from longhot.block import Block, Count, InputError, Seed
from longhot.datasets import DatasetBlock, Splits
from longhot.datasets._checks import checked_numbers, reason
from longhot.datasets._fetch import SourceFile, is_archive, largest_unpacked, local, member
from longhot.datasets._isolated import elements, resolve
from longhot.frames import TEST_SET, labelled

if TYPE_CHECKING:
    from ase import Atoms

KEYS = ("nuclear_charges", "coords", "energies", "forces")
Arrays = dict[str, np.ndarray]


class Config(DatasetBlock, SourceFile):
    """A molecule of rMD17."""

    source: Literal["rmd17"] = Field("rmd17", description="Names this plugin.")
    molecule: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$",
        description="Which molecule to take, such as `aspirin`, where the file is the whole rmd17.tar.bz2.",
    )
    n_train_pool: Count = Field(1000, description="Frames that training frames are drawn from.")
    n_valid: Count = Field(100, description="Frames for validation.")
    n_test: Count = Field(1000, description="Frames for the test.")
    seed: Seed = Field(0, description="Which frames are drawn.")


def read_npz(path: Path) -> Arrays:
    """The arrays of an archive: z (n_atoms,), coords and forces (n, n_atoms, 3), energies (n,).

    Raises:
        InputError: no npz, a truncated one, one that unpacks to far more than it holds, a missing key, no numbers,
            or shapes that do not fit together.
    """
    try:
        with ZipFile(path) as archive:
            n_bytes = sum(one.file_size for one in archive.infolist())
        if n_bytes > largest_unpacked(path):
            raise InputError(f"{path}: would unpack to {n_bytes} bytes, no real data do, give another file")
        with np.load(path, allow_pickle=False) as archive:
            missing = [key for key in KEYS if key not in archive]
            if missing:
                raise InputError(f"{path}: no key {missing[0]!r}, give an archive of rMD17 as published")
            arrays = {key: archive[key] for key in KEYS}
    except InputError:
        raise
    except Exception as error:  # the reader lets through whatever a malformed file causes
        raise InputError(f"{path}: truncated or no valid npz archive ({reason(error)}), get it again") from None
    arrays["nuclear_charges"] = checked_numbers(arrays["nuclear_charges"], f"{path}: nuclear_charges")
    for key in KEYS:
        if arrays[key].dtype.kind not in "fiu" or arrays[key].ndim == 0:
            raise InputError(f"{path}: {key} holds something that is no list of numbers, use a sound archive")
    n_frames, n_atoms = len(arrays["coords"]), len(arrays["nuclear_charges"])
    if n_atoms < 2:
        raise InputError(f"{path}: its molecule has a single atom, which has no forces to learn: give a larger one")
    expected = {"coords": (n_frames, n_atoms, 3), "forces": (n_frames, n_atoms, 3), "energies": (n_frames,)}
    arrays["energies"] = arrays["energies"].reshape(-1)
    for key, shape in expected.items():
        if arrays[key].shape != shape:
            raise InputError(
                f"{path}: {key} has the shape {arrays[key].shape}, but {n_frames} frames of {n_atoms} atoms need "
                f"{shape}: they belong to other atoms"
            )
    return arrays


def frames_of(arrays: Arrays, indices: np.ndarray, path: Path) -> list[Atoms]:
    """The chosen frames, in eV and eV/A.

    Raises:
        InputError: NaN or infinity in one of them.
    """
    from ase import Atoms, units

    unit = units.kcal / units.mol
    chosen = []
    for index in indices:
        energy, forces, positions = (arrays[key][index] for key in ("energies", "forces", "coords"))
        for what, value in (("energy", energy), ("forces", forces), ("positions", positions)):
            if not np.isfinite(value).all():
                raise InputError(f"{path}, frame {index}: NaN or infinity in its {what}, use a sound archive")
        atoms = Atoms(numbers=arrays["nuclear_charges"], positions=positions, info={"source_frame": int(index)})
        chosen.append(labelled(atoms, energy * unit, forces * unit))
    return chosen


def splits(config: Config, reference: Block | None, workdir: Path, workers: int = 1) -> Splits:
    """Draw disjoint frames for pool, validation and test."""
    path = local(SourceFile(path=config.path, url=config.url, sha256=config.sha256))
    source = {"path": str(config.path or config.url), "sha256": files.sha256(path)}
    if is_archive(path):
        if config.molecule is None:
            raise InputError(f"{path}: an archive of several molecules, name one by the key `molecule`")
        path = member(path, f"rmd17_{config.molecule}.npz", workdir)
    arrays = read_npz(path)
    sizes = (config.n_train_pool, config.n_valid, config.n_test)
    n_frames = len(arrays["energies"])
    if sum(sizes) > n_frames:
        raise InputError(
            f"{path}: has {n_frames} frames, but n_train_pool + n_valid + n_test are {sum(sizes)}, lower them"
        )
    drawn = np.random.default_rng(config.seed).permutation(n_frames)
    pool, valid, test, _ = (
        frames_of(arrays, part, path) if number < 3 else []
        for number, part in enumerate(np.split(drawn, np.cumsum(sizes)))
    )
    for frame in test:
        frame.info[TEST_SET] = "test"
    energies_eV, origin = resolve(config.isolated_atoms, elements(pool), reference, pool)
    return Splits(
        pool,
        valid,
        test,
        energies_eV,
        origin,
        level_of_theory="PBE/def2-SVP",
        licence="CC0",
        facts={
            "source_files": [source],
            "source_units": "kcal/mol, kcal/mol/A, A",
            "citation": "Christensen and von Lilienfeld, Mach. Learn.: Sci. Technol. 1, 045018 (2020)",
            "n_frames_in_source": n_frames,
        },
    )
