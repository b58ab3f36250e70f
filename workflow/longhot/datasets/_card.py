"""The card of a dataset: what it is, where it comes from, and how large its numbers are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from longhot import frames
from longhot.datasets import DatasetBlock, Splits
from longhot.datasets._isolated import elements
from longhot.datasets._validate import force_rms_eV_per_A, n_duplicates

if TYPE_CHECKING:
    from ase import Atoms


def statistics(split: Sequence[Atoms]) -> dict[str, Any]:
    """Counts, and the scale of energies and forces, of one set of frames."""
    per_atom = frames.energies(split) / np.array([len(frame) for frame in split])
    return {
        "n_frames": len(split),
        "n_duplicates": n_duplicates(split),
        "n_atoms_min": min(len(frame) for frame in split),
        "n_atoms_max": max(len(frame) for frame in split),
        "formulas": len({frame.get_chemical_formula() for frame in split}),
        "energy_mean_eV_per_atom": float(per_atom.mean()),
        "energy_std_meV_per_atom": float(1e3 * per_atom.std()),
        "energy_min_eV_per_atom": float(per_atom.min()),
        "energy_max_eV_per_atom": float(per_atom.max()),
        "force_rms_eV_per_A": force_rms_eV_per_A(split),
        "force_max_eV_per_A": float(max(np.linalg.norm(one, axis=1).max() for one in frames.forces(split))),
    }


def card(config: DatasetBlock, splits: Splits, warnings: list[str]) -> dict[str, Any]:
    """The card's content, but for the hashes of the files that are still to be written."""
    sets = {"train_pool": splits.train_pool, "valid": splits.valid}
    for name in dict.fromkeys(frame.info[frames.TEST_SET] for frame in splits.test):
        sets[name] = [frame for frame in splits.test if frame.info[frames.TEST_SET] == name]
    formulas = Counter(frame.get_chemical_formula() for frame in splits.train_pool)
    return {
        "source": config.source,
        "level_of_theory": splits.level_of_theory,
        "licence": splits.licence,
        "units": {"energy": "eV", "forces": "eV/A", "length": "A"},
        "elements": elements(splits.train_pool),
        "formula": next(iter(formulas)) if len(formulas) == 1 else f"{len(formulas)} formulas",
        "periodic": any(bool(frame.pbc.any()) for frame in splits.train_pool),
        "sets": {name: statistics(split) for name, split in sets.items()},
        "test_sets": [name for name in sets if name not in ("train_pool", "valid")],
        "isolated_atoms": {"origin": splits.atomic_energies_origin, "energies_eV": splits.atomic_energies_eV},
        "facts": splits.facts,
        "warnings": warnings,
        "config": config.model_dump(mode="json"),
        "files_sha256": {},
    }
