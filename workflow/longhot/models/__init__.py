"""Model families: one file a family.

Each file gives a class ``Config`` (derived from ``ModelBlock``) and two functions::

    fit(config, task: FitTask) -> None
    load(directory, device, compile_cache=None) -> Potential

A fit leaves in ``task.directory``: ``model.json`` with the ``family`` and what ``load`` needs (weights beside it as
``model.safetensors``); ``fit.json`` with ``converged``, ``reason`` (why not, else empty), ``train_wall_s``, ``device``,
``peak_memory_MB``, ``n_parameters`` and ``n_steps``; and ``history.csv``, whose first column is ``step``, with a row
for each validation, none where nothing is iterated. Every field of ``Config`` carries a description, for the docs.

A family that compiles its steps also gives ``compile_step(config, task, replicas)``, which fills
``task.compile_cache``.
"""

from __future__ import annotations

import resource
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self

import longhot.models
from longhot.block import Block, InputError, plugin
from longhot.files import read_json

if TYPE_CHECKING:
    from ase import Atoms

    from longhot.potential import Potential


class ModelBlock(Block):
    """What every family's config block shares."""

    forces_depend_on_data: ClassVar[bool] = True
    """False where the training set moves only energies: MD then runs for one training size."""

    knows_its_error: ClassVar[bool] = False
    """Whether one fit gives the uncertainty of its forces, as ``atom_spreads``, without a committee."""

    runs_on_gpu: ClassVar[bool] = False
    """Whether the device of the study matters to it."""

    def variants(self, name: str) -> dict[str, Self]:
        """The models of this block by id; a family with a sweep gives several."""
        return {name: self}

    def compiles(self, train_size: int) -> bool:
        """Whether a fit of this size may read and fill a cache of compiled kernels."""
        return False


@dataclass(frozen=True)
class FitTask:
    """One fit: the data, the seed, and where the result goes."""

    train: list[Atoms]
    valid: list[Atoms]
    atomic_energies_eV: dict[str, float]
    """Energy of each isolated atom, by element symbol."""
    seed: int
    directory: Path
    device: str
    """``cpu`` or ``cuda``."""
    compile_cache: Path | None = None
    """Folder of compiled kernels, shared by fits of the same shapes; None: run eagerly."""
    code: str = ""
    """Digest of the code that fits; a checkpoint of other code is not continued."""
    warm_start: Path | None = None
    """Folder of an earlier fit of the same family: the fit begins with its weights, and keeps its scaling, to which
    they belong. A family that has nothing to warm ignores it."""


def load(directory: str | Path, device: str = "cpu", compile_cache: Path | None = None) -> Potential:
    """Load a fitted model of any family from the folder that its fit left.

    With ``compile_cache`` a family that can compiles its MD batches, and keeps the kernels there.

    Raises:
        InputError: ``model.json`` names an unknown family.
    """
    family = read_json(Path(directory) / "model.json")["family"]
    return plugin(longhot.models, family).load(Path(directory), device, compile_cache)


def resolve_device(wanted: str) -> str:
    """``auto`` becomes ``cuda`` where torch finds a GPU, else ``cpu``.

    Raises:
        InputError: ``cuda`` is asked for where torch finds none.
    """
    if wanted == "cpu":
        return wanted
    import torch

    if torch.cuda.is_available():
        return "cuda"
    if wanted == "cuda":
        raise InputError(
            "study.device: cuda, but PyTorch finds no GPU here (see nvidia-smi, and whether the PyTorch that is "
            "installed is one for CUDA), mend that or set it to auto or cpu"
        )
    return "cpu"


def peak_memory_MB(device: str) -> float:
    """Peak memory of the process, or of its GPU."""
    if device == "cuda":
        import torch

        return torch.cuda.max_memory_allocated() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
