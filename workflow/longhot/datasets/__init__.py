"""Datasets: one file a source, named by the key ``source`` of its config block.

Each file gives a class ``Config`` (derived from ``DatasetBlock``) and one function::

    splits(config, reference, workdir: Path, workers: int = 1) -> Splits

``reference`` is the block of the dataset's reference method, or None; ``workdir`` is a folder that
survives an interruption, for a source whose work is worth resuming.
"""

from __future__ import annotations

import logging
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, model_validator

import longhot.datasets
from longhot import files, frames
from longhot.block import Block, FilePath, parse_block, plugin

if TYPE_CHECKING:
    from ase import Atoms

logger = logging.getLogger(__name__)


class IsolatedAtoms(Block):
    """Where the energies of isolated atoms come from: the zero that models add to."""

    origin: Literal["reference", "file", "values", "published", "fit"] = Field(
        description="`reference`: computed with the dataset's reference, each atom in its ground-state spin; "
        "`file`: frames of one atom each in `path`; `values`: stated in `values_eV`; `published`: by the authors of "
        "the dataset (qm7x); `fit`: none are known, least-squares energies per element over the pool stand in."
    )
    path: FilePath | None = Field(None, description="For `file`: an extended XYZ file.")
    energy_key: str = Field(
        "energy", description="For `file`: the key of the energy, in eV (extxyz: in its `energy_unit`)."
    )
    values_eV: dict[str, float] | None = Field(None, description="For `values`: energy by element symbol.")

    @model_validator(mode="after")
    def _complete(self) -> IsolatedAtoms:
        for origin, key in (("file", "path"), ("values", "values_eV")):
            if (self.origin == origin) != (getattr(self, key) is not None):
                raise ValueError(f"isolated_atoms.{key}: must stand with origin {origin}, and only with it")
        return self


class DatasetBlock(Block):
    """What every source's config block shares."""

    source: str = Field(description="Names the plugin.")
    reference: str | None = Field(
        None, description="A block of `references`: what generated the data, or is at their level of theory."
    )
    isolated_atoms: IsolatedAtoms = Field(
        IsolatedAtoms(origin="fit"), description="Where the energies of isolated atoms come from."
    )


@dataclass(frozen=True)
class Splits:
    """What a source gives: labelled frames, energies of isolated atoms, and where both come from."""

    train_pool: list[Atoms]
    valid: list[Atoms]
    test: list[Atoms]
    """All test sets; each frame names its own in ``info["test_set"]``."""
    atomic_energies_eV: dict[str, float]
    atomic_energies_origin: str
    """In words, for the card."""
    level_of_theory: str
    licence: str
    facts: dict[str, Any] = field(default_factory=dict)
    """What else the card shall tell of the source; JSON types."""
    warnings: list[str] = field(default_factory=list)
    sampled_here: bool = False
    """Whether this study sampled and labelled the frames itself, so that their units are no question."""


def parse(raw: dict[str, Any] | DatasetBlock) -> DatasetBlock:
    """The config block of any source, from plain data.

    Raises:
        InputError: no key ``source``, an unknown source, or a fault in its keys.
    """
    return parse_block(longhot.datasets, "source", "dataset", "source", raw)


def build(
    config: DatasetBlock, reference: Block | None, directory: Path, largest_train_size: int, workers: int = 1
) -> None:
    """Make a dataset: train_pool.extxyz, valid.extxyz, test.extxyz, atomic_energies.json and card.json.

    Nothing is written before everything has been validated; an interrupted build goes on from the
    folder ``directory/work``.

    Raises:
        InputError: anything wrong with the config or the data, named with file and frame.
    """
    from longhot.datasets import _card, _validate

    promised = getattr(config, "n_train_pool", None)
    if promised is not None:
        _validate.check_pool_size(promised, largest_train_size)
    workdir = Path(directory) / "work"
    splits = plugin(longhot.datasets, config.source).splits(config, reference, workdir, workers)
    _validate.check_pool_size(len(splits.train_pool), largest_train_size)
    _validate.check(splits)
    warnings = splits.warnings + _validate.suspicions(splits)
    for warning in warnings:
        logger.warning("%s", warning)
    card = _card.card(config, splits, warnings)
    targets = {"train_pool": splits.train_pool, "valid": splits.valid, "test": splits.test}
    for name, split in targets.items():
        path = Path(directory) / f"{name}.extxyz"
        frames.write(path, split)
        card["files_sha256"][path.name] = files.sha256(path)
    files.write_json(Path(directory) / "atomic_energies.json", splits.atomic_energies_eV)
    files.write_json(Path(directory) / "card.json", card)
    shutil.rmtree(workdir, ignore_errors=True)
    logger.info("wrote %s", ", ".join(f"{len(split)} frames of {name}" for name, split in targets.items()))
