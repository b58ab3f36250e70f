"""A small example of every model family, and cheap labelled frames to fit it to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.build import bulk, molecule

from longhot import frames, references
from longhot.learning import fits
from longhot.models import FitTask

TIGHT_XTB = {"method": "xtb", "accuracy": 0.01}

EXAMPLES: dict[str, dict[str, Any]] = {
    "gp": {"family": "gp", "n_max": 4, "l_max": 3, "n_sparse": 150},
    # A cutoff well below the size of methanol, so that some pairs of a static batch lie beyond it.
    "mace": {
        "family": "mace",
        "dtype": "float64",
        "channels": 4,
        "max_L": 1,
        "max_ell": 2,
        "radial_mlp": [16, 16],
        "r_max_A": 2.2,
        "gradient_steps": 40,
        "validations": 5,
        "compile": "never",
    },
    "nonml": {"family": "nonml", "reference_method": TIGHT_XTB | {"hamiltonian": "GFN1-xTB"}},
    "reference": {"family": "reference", "reference_method": TIGHT_XTB},
}
"""One config block of each family; the contract and the physics tests run over all of them."""


def methanol_frames(n: int, seed: int = 0, noise_A: float = 0.05) -> list[Atoms]:
    """Methanol around its minimum, labelled by GFN2-xTB."""
    generator = np.random.default_rng(seed)
    made = []
    for _ in range(n):
        atoms = molecule("CH3OH")
        atoms.positions += generator.normal(0.0, noise_A, atoms.positions.shape)
        made.append(atoms)
    labels = references.label(made, references.parse(TIGHT_XTB))
    return [frames.labelled(a, one.energy_eV, one.forces_eV_per_A) for a, one in zip(made, labels, strict=True)]


def copper_frames(n: int) -> list[Atoms]:
    """Rattled copper by an effective-medium calculator, in a cell smaller than twice the cutoff."""
    generator, made = np.random.default_rng(1), []
    for _ in range(n):
        atoms = bulk("Cu", "fcc", a=3.6, cubic=True)
        atoms.positions += generator.normal(0.0, 0.08, (4, 3))
        made.append(atoms)
    method = references.parse(
        {"method": "ase", "calculator": "ase.calculators.emt.EMT", "level_of_theory": "effective medium"}
    )
    labels = references.label(made, method)
    assert {label.status for label in labels} == {"ok"}
    return [frames.labelled(a, label.energy_eV, label.forces_eV_per_A) for a, label in zip(made, labels, strict=True)]


def atomic_energies(labelled: list[Atoms]) -> dict[str, float]:
    """Least-squares energies by element: close enough to remove the large constant."""
    elements = sorted({symbol for frame in labelled for symbol in frame.symbols})
    counts = np.array([[frame.symbols.count(element) for element in elements] for frame in labelled], dtype=float)
    found = np.linalg.lstsq(counts, frames.energies(labelled), rcond=None)[0]
    return dict(zip(elements, found.tolist(), strict=True))


def task(labelled: list[Atoms], directory: Path, seed: int = 0) -> FitTask:
    """A fit to all but the last quarter of the frames, which validates."""
    n_train = 3 * len(labelled) // 4
    return FitTask(labelled[:n_train], labelled[n_train:], atomic_energies(labelled), seed, directory, "cpu")


def fit(family: str, labelled: list[Atoms], directory: Path, seed: int = 0, **changes: Any) -> None:
    """Fit the example of a family, with some keys of its block changed."""
    fits.fit(EXAMPLES[family] | changes, task(labelled, directory, seed))
