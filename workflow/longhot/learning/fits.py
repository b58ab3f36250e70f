"""A fit of any family: from the files of a data set and a subset to a folder with a model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import longhot.models
from longhot import frames
from longhot.block import Block, InputError, plugin
from longhot.files import read_json
from longhot.learning import subsets
from longhot.models import FitTask, resolve_device


def parse(block: dict[str, Any]) -> Block:
    """The config block of a model of any family, from plain data."""
    return plugin(longhot.models, block["family"]).Config.model_validate(block)


def task(
    pool: Path,
    subset: Path,
    valid: Path,
    atomic_energies: Path,
    directory: Path,
    device: str,
    compile_cache: Path | None,
    code: str,
) -> FitTask:
    """Read the data of one fit.

    Raises:
        InputError: the pool is not the one that the subset was drawn from, or there is no validation frame.
    """
    held_out = frames.read(valid)
    if not held_out:
        raise InputError(f"{valid}: no validation frames, a fit needs them to pick its weights")
    return FitTask(
        train=subsets.load(subset, pool),
        valid=held_out,
        atomic_energies_eV=read_json(atomic_energies),
        seed=int(read_json(subset)["seed"]),
        directory=directory,
        device=resolve_device(device),
        compile_cache=compile_cache,
        code=code,
    )


def fit(block: dict[str, Any], fit_task: FitTask) -> None:
    """Fit a model and leave it in the task's folder."""
    plugin(longhot.models, block["family"]).fit(parse(block), fit_task)


def compile_step(block: dict[str, Any], fit_task: FitTask, replicas: list[int]) -> None:
    """Fill the task's compile cache, see ``longhot.models``."""
    plugin(longhot.models, block["family"]).compile_step(parse(block), fit_task, replicas)
