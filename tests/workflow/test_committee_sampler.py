"""The melting point of real water in miniature: a file in Hartree and Bohr, and the committee as the sampler."""

from __future__ import annotations

from pathlib import Path

import ase.io
import numpy as np
import pandas as pd
import pytest
import yaml
from ase import units
from ase.calculators.emt import EMT
from studies import copy_of_repository, snakemake

from longhot.datasets._ice import ice_ih_water

pytestmark = pytest.mark.workflow

SEEDS = [0, 1, 2, 3]


def write_water(path: Path, n_frames: int, seed: int) -> None:
    """Shaken ice, labelled by a model of no meaning, in the units of many programs."""
    rng = np.random.default_rng(seed)
    frames = []
    for _ in range(n_frames):
        atoms = ice_ih_water((1, 2, 1), seed=0)
        atoms.positions += rng.normal(0, 0.02, atoms.positions.shape)
        atoms.calc = EMT()
        energy, forces = atoms.get_potential_energy(), atoms.get_forces()
        atoms.calc = None
        atoms.info["energy"] = energy / units.Hartree
        atoms.arrays["forces"] = forces / (units.Hartree / units.Bohr)
        frames.append(atoms)
    path.parent.mkdir(parents=True, exist_ok=True)
    ase.io.write(path, frames, format="extxyz")


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> dict[str, pd.DataFrame]:
    repository = copy_of_repository(tmp_path_factory.mktemp("water"))
    raw = yaml.safe_load((repository / "config" / "ice-dft.yaml").read_text(encoding="utf-8"))
    write_water(repository / "data" / "water" / "train.xyz", 20, 0)
    write_water(repository / "data" / "water" / "test.xyz", 10, 1)
    raw["datasets"]["water"]["n_valid"] = 4
    raw["models"]["water"] |= {"channels": 4, "max_L": 0, "layers": 1, "r_max_A": 3.5, "max_ell": 1, "epochs": 20}
    raw["melting_point"] |= {
        "train_sizes": [10],
        "seeds": SEEDS,
        "melt_ps": 0.005,
        "melt_temperature_K": 200,
        "bulk": {
            "repeats": [1, 2, 1],
            "temperatures_K": [100],
            "equilibration_ps": 0.005,
            "duration_ps": 0.02,
            "frame_interval_ps": 0.001,
        },
        "pinning": {
            "cells": [[1, 2, 2]],
            "temperatures_K": [100],
            "equilibration_ps": 0.005,
            "duration_ps": 0.02,
            "phase_ps": 0.01,
        },
        "staging": {"lambdas": [1], "equilibration_ps": 0.002, "duration_ps": 0.01, "frame_interval_ps": 0.001},
    }
    (repository / "config" / "miniature.yaml").write_text(yaml.safe_dump(raw), encoding="utf-8")
    done = snakemake(repository, "--cores", "2", "--configfile", "config/miniature.yaml")
    assert done.returncode == 0, done.stdout[-5000:]
    folder = repository / "results" / "ice-dft" / "tables"
    return {path.stem: pd.read_csv(path) for path in folder.glob("*.csv")}


def test_the_committee_is_the_sampler(tables: dict[str, pd.DataFrame]) -> None:
    assert set(tables["phases"].sampler) == {"water-n10"}
    assert set(tables["interfaces"].sampler) == {"water-n10"}
    assert (tables["phases"].n_sites == 16).all()


def test_every_member_has_its_row(tables: dict[str, pd.DataFrame]) -> None:
    table = tables["delta_mu"]
    assert sorted(table[table.model == "water"].member) == SEEDS
    assert table.reason.str.len().gt(0).all()


def test_what_so_short_runs_cannot_tell_is_flagged(tables: dict[str, pd.DataFrame]) -> None:
    points = tables["melting_point"]
    assert not points.valid.any()
    assert points.reason.str.len().gt(0).all()
    summary = tables["melting_point_summary"]
    assert summary.n_valid.item() == 0
    assert "no valid melting point of the reference" in summary.reason.item()


def test_without_a_reference_there_is_no_calibration_on_md(tables: dict[str, pd.DataFrame]) -> None:
    table = tables["calibration"]
    held_out = table[table.scope == "holdout"]
    assert len(held_out) == 3
    assert table[table.scope == "md"].nll_raw.isna().all()
