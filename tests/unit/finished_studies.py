"""Made-up results of finished studies, small enough to see through."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pandas as pd

from longhot.config import load_file
from longhot.files import write_json

ROOT = Path(__file__).resolve().parents[2]
CONFIG = load_file(ROOT / "config" / "smoke.yaml").model_dump(mode="json")
MANIFEST = {
    "study": "smoke",
    "longhot": "0.1.0",
    "code_sha256": "ab" * 32,
    "versions": {"python": "3.11.7", "torch": "2.13.0"},
    "machine": {"system": "Linux-6.1-x86_64-with-glibc2.36", "processor": "AMD EPYC", "cores": 2},
    "devices": ["cpu"],
    "seeds": {"robustness": [0]},
    "stages": [],
    "total": {"core_s": 12.0},
    "config": CONFIG,
}


def manifest(**changes: Any) -> dict[str, Any]:
    """The manifest of a study, some entries changed; ``machine__processor`` reaches into a block."""
    made = copy.deepcopy(MANIFEST)
    for key, value in changes.items():
        *way, last = key.split("__")
        block = made
        for part in way:
            block = block[part]
        block[last] = value
    return made


def stability(outcomes: str = "completed completed bond_broken completed") -> pd.DataFrame:
    """Trajectories of one fit, one for each outcome."""
    return pd.DataFrame(
        [
            {
                "dataset": "methanol",
                "model": "mace",
                "train_size": 10,
                "seed": 0,
                "temperature_K": 300.0,
                "replica": replica,
                "outcome": outcome,
                "simulated_ps": 0.1,
                "wall_s": 1.5 + replica,
            }
            for replica, outcome in enumerate(outcomes.split())
        ]
    )


def melting_points(shift_K: float = 0.0) -> pd.DataFrame:
    """Melting point of the reference by its two ways, to 2 K."""
    return pd.DataFrame(
        [
            {
                "dataset": "ice",
                "model": "reference",
                "train_size": 0,
                "member": 0,
                "method": method,
                "melting_point_K": 275.0 + shift_K,
                "sampling_error_K": 2.0,
                "valid": True,
                "reason": "",
            }
            for method in ("pinning", "coexistence")
        ]
    )


def write(folder: Path, tables: dict[str, pd.DataFrame] | None = None, **changes: Any) -> Path:
    """A results folder with a manifest, some entries changed, and tables."""
    chosen = {"stability": stability(), "melting_point": melting_points()} if tables is None else tables
    (folder / "tables").mkdir(parents=True)
    for name, table in chosen.items():
        table.to_csv(folder / "tables" / f"{name}.csv", index=False)
    write_json(folder / "manifest.json", manifest(**changes))
    return folder
