"""What the sections of the benchmark share: rows, and short fits whose speed is that of long ones."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from longhot import frames as fr
from longhot import references
from longhot.datasets import _isolated, _molecule
from longhot.models import FitTask, load, mace
from longhot.models._mace_kernels import Kernels, seal
from longhot.references import xtb

if TYPE_CHECKING:
    from ase import Atoms

    from longhot.potential import Potential

logger = logging.getLogger(__name__)

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "results" / "bench"
SMILES = {"ethanol": "CCO", "aspirin": "CC(=O)Oc1ccccc1C(=O)O"}
CHANNELS = {"ethanol": 16, "aspirin": 32}
TRAIN_NOISE_A = 0.05
START_NOISE_A = 0.01
"""More would heat a molecule beyond what its MD allows."""
N_FRAMES = 60
FIT_STEPS = 300
NETWORK: dict[str, Any] = {"family": "mace", "max_L": 0, "correlation": 2}
"""Two layers, r_max 5 A, float32: the defaults."""


@dataclass(frozen=True)
class Row:
    """One figure; ``ratio`` says how many times better than the peer it is, or is an efficiency or overhead itself."""

    name: str
    value: float
    unit: str
    peer: str
    peer_value: float
    ratio: float


@dataclass(frozen=True)
class Options:
    """What the command line asks for."""

    device: str
    dataset: Path | None
    """A dataset folder of the pipeline, for the comparison of test errors."""
    pyscf: bool


def shaken(molecule: str, n_frames: int, seed: int = 0, noise_A: float = START_NOISE_A) -> list[Atoms]:
    """Copies of a molecule at its GFN2-xTB minimum, every coordinate moved by normal noise."""
    from ase import Atoms

    path = FOLDER / "molecules" / f"{molecule}.extxyz"
    if not path.exists():
        fr.write(path, [_molecule.relaxed(_molecule.from_smiles(SMILES[molecule]), xtb.Config())])
    (rest,) = fr.read(path)
    moved_A = np.random.default_rng(seed).normal(0.0, noise_A, (n_frames, len(rest), 3))
    return [Atoms(rest.numbers, rest.positions + one) for one in moved_A]


def short_fit(molecule: str, seed: int = 0) -> Path:
    """Folder of a MACE fitted for a moment to GFN2-xTB: sound enough for short MD, and as fast as any."""
    directory = FOLDER / "models" / f"{molecule}-{seed}"
    if (directory / "model.json").exists():
        return directory
    config = mace.Config.model_validate(
        NETWORK | {"channels": CHANNELS[molecule], "gradient_steps": FIT_STEPS, "validations": 5, "compile": "never"}
    )
    made, method = shaken(molecule, N_FRAMES, noise_A=TRAIN_NOISE_A), xtb.Config()
    labels = references.label(made, method)
    frames = [fr.labelled(a, one.energy_eV, one.forces_eV_per_A) for a, one in zip(made, labels, strict=True)]
    energies_eV = _isolated.fitted_eV(frames, _isolated.elements(frames))
    logger.info("fitting %s", directory.name)
    mace.fit(config, FitTask(frames[:50], frames[50:], energies_eV, seed, directory, "cpu"))
    return directory


def compiled(molecule: str, n_replicas: int, device: str, seed: int = 0) -> Potential:
    """The short fit as a potential whose MD batch of ``n_replicas`` is compiled."""
    cache = FOLDER / "compiled" / f"{molecule}-{n_replicas}-{device}"
    cache.mkdir(parents=True, exist_ok=True)
    seal(cache, Kernels(training=False, md_sizes=[n_replicas]))
    return load(short_fit(molecule, seed), device, cache)


def exported(directory: Path) -> Path:
    """A fit as MACE's own file, for MACECalculator and torch-sim."""
    from longhot.models._mace_potential import export

    out = FOLDER / "exported" / f"{directory.name}.model"
    out.parent.mkdir(parents=True, exist_ok=True)
    export(directory, out)
    return out


def environment() -> dict[str, str]:
    """For a process of its own: the library's path, one thread."""
    return {**os.environ, "PYTHONPATH": str(ROOT / "workflow"), "OMP_NUM_THREADS": "1"}
