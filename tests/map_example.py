"""The files of a small data set with one simulation, made by hand: water that stretches until a bond breaks."""

from __future__ import annotations

from pathlib import Path

import ase.io
import numpy as np
import pandas as pd
from ase import Atoms
from ase.build import molecule

from longhot import frames
from longhot.dynamics.recheck import COLUMNS, RecheckedFrames
from longhot.dynamics.trajectory import OFFENDING
from longhot.files import write_json
from longhot.learning.dataset_map import Simulation, Sources

N_POOL, N_TEST = 12, 6
SUBSET = [3, 7]
STRETCHES = (1.0, 1.02, 1.6, 2.2)
"""Of the first OH bond in the rechecked frames: two near the training set, two far away."""
CHOICES = ("even", "even", "even", "before_failure")
ERRORS = (10.0, 20.0, 300.0, 900.0)


def water(stretch: float = 1.0, noise: float = 0.0, seed: int = 0) -> Atoms:
    """A molecule with one bond stretched and all atoms moved a little."""
    atoms = molecule("H2O")
    atoms.positions[1] = atoms.positions[0] + stretch * (atoms.positions[1] - atoms.positions[0])
    atoms.positions += np.random.default_rng(seed).normal(0.0, noise, (3, 3))
    return atoms


def labelled(seed: int, test_set: str = "") -> Atoms:
    """A frame of the data set."""
    frame = frames.labelled(water(noise=0.02, seed=seed), -1.0 * seed, np.full((3, 3), 0.001 * seed))
    if test_set:
        frame.info[frames.TEST_SET] = test_set
    return frame


def failed_frames(replica: int, n_frames: int = 4, exploded: bool = False) -> list[Atoms]:
    """The last checks of a trajectory, the bond stretching; times are those of the rechecked frames and later."""
    made = []
    for index in range(n_frames):
        frame = water(2.2 + 0.2 * index)
        frame.positions += 5.0 * replica
        frame.info |= {
            "time_ps": 0.4 + 0.01 * index,
            "potential_energy_eV": 0.0,
            "kinetic_temperature_K": 500.0 + index,
            "temperature_K": 300.0,
            "replica": replica,
            "outcome": "bond_broken",
            "cause": "bond broken: O0-H1 at 2.7 A",
            "offending_atoms": "0 1",
            "failed": index == n_frames - 1,
        }
        frame.arrays[OFFENDING] = np.array([True, True, False])
        made.append(frame)
    if exploded:
        made[-1].positions[2] = np.nan
    return made


def write_recheck(path: Path, atoms: list[Atoms]) -> None:
    """Table and frames of a recheck of one trajectory."""
    rows = [
        {
            "dataset": "water",
            "model": "m",
            "train_size": len(SUBSET),
            "seed": 0,
            "temperature_K": 300.0,
            "replica": 0,
            "time_ps": 0.1 * (index + 1),
            "choice": choice,
            "reference": "r",
            "reference_status": "ok",
            "model_status": "ok",
            "force_mae_meV_per_A": error,
            "energy_error_meV_per_atom": -1.0,
        }
        for index, (choice, error) in enumerate(zip(CHOICES, ERRORS, strict=True))
    ]
    path.parent.mkdir(parents=True)
    pd.DataFrame(rows).reindex(columns=list(COLUMNS)).to_csv(path, index=False)
    truth = np.zeros((len(atoms), 3, 3), dtype=np.float32)
    RecheckedFrames(
        numbers=atoms[0].numbers,
        pbc=atoms[0].pbc,
        positions_A=np.array([one.positions for one in atoms]),
        cell_A=np.array([one.cell.array for one in atoms]),
        model_forces_eV_per_A=truth + np.array(ERRORS, dtype=np.float32)[:, None, None] / 1000,
        reference_forces_eV_per_A=truth,
    ).save(path.with_suffix(".npz"))


def write_example(root: Path, *, exploded: bool = False) -> Sources:
    """Everything that the map and the viewer read; two trajectories failed."""
    folder, md = root / "data", root / "md"
    frames.write(folder / "train_pool.extxyz", [labelled(seed) for seed in range(N_POOL)])
    frames.write(folder / "valid.extxyz", [labelled(seed) for seed in (100, 101)])
    frames.write(folder / "test.extxyz", [labelled(200 + seed, "test") for seed in range(N_TEST)])
    write_json(root / "subset.json", {"indices": SUBSET})
    write_recheck(md / "recheck.csv", [water(stretch) for stretch in STRETCHES])
    ase.io.write(md / "failures.extxyz", [*failed_frames(0, exploded=exploded), *failed_frames(1)])
    simulation = Simulation("m", len(SUBSET), 0, md / "recheck.csv", md / "failures.extxyz", root / "subset.json")
    return Sources("water", folder, [simulation])
