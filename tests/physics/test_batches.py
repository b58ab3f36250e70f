"""A batch gives each replica what it would get alone, whatever its neighbours do, at other temperatures or to NaN."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import model_examples
import numpy as np
import pytest
from ase import Atoms
from known_potentials import bonded_crystal, bonded_molecule

from longhot import models, references
from longhot.config import Protocol
from longhot.dynamics.engine import simulate
from longhot.dynamics.trajectory import Snapshots, read_replica
from longhot.potential import BatchPotential, BatchResult, Potential

pytestmark = pytest.mark.physics

SPOILT = (1, 2)
"""Indices, among the starts, of those whose positions become NaN in the potential: half of four."""
SPOILT_AFTER = 20
"""Calls with such a start in the batch that go well."""
MARK_A = 500.0
"""Starts are moved so far along x, times their index, that a batch can tell whose place is whose."""


class Spoiling:
    """A potential that is shown NaN positions for some of the starts, at every temperature, after some calls.

    The starts stand ``MARK_A`` apart, each in its own replica. No interaction reaches so far.
    """

    def __init__(self, potential: Potential) -> None:
        self.potential = potential

    def batch_sizes(self, n_replicas: int) -> list[int]:
        return self.potential.batch_sizes(n_replicas)

    def batch(self, atoms: Atoms, n_replicas: int) -> SpoilingBatch:
        return SpoilingBatch(self.potential.batch(atoms, n_replicas))


class SpoilingBatch:
    def __init__(self, batch: BatchPotential) -> None:
        self.inner, self.n_seen = batch, 0

    def reset(self) -> None:
        if hasattr(self.inner, "reset"):
            self.inner.reset()

    def compute(self, positions_A: np.ndarray, cell_A: np.ndarray | None = None) -> BatchResult:
        spoilt = np.isin(np.round(positions_A[:, 0, 0] / MARK_A), SPOILT)
        self.n_seen += spoilt.any()
        shown = positions_A.copy()
        if self.n_seen > SPOILT_AFTER:
            shown[spoilt] = np.nan
        with np.errstate(invalid="ignore"):
            return self.inner.compute(shown) if cell_A is None else self.inner.compute(shown, cell_A)


def marked(atoms: Sequence[Atoms]) -> list[Atoms]:
    """Copies, moved to where ``Spoiling`` knows them."""
    starts = []
    for index, one in enumerate(atoms):
        start = one.copy()
        start.positions[:, 0] += MARK_A * index
        starts.append(start)
    return starts


Trajectories = dict[tuple[float, int], tuple[str, Snapshots]]


def run(potential: Any, starts: list[Atoms], directory: Path, **settings: Any) -> Trajectories:
    """Outcome and frames by temperature and replica, of all that no one spoils."""
    protocol = Protocol.model_validate(
        {
            "temperatures_K": [200.0, 500.0],
            "replicas": len(starts),
            "duration_ps": 0.055,
            "time_step_fs": 0.5,
            "frame_interval_fs": 2.0,
            "bond_checks": False,
        }
        | settings
    )
    simulate(potential, starts, protocol, 3, directory)
    with (directory / "outcomes.csv").open(newline="", encoding="utf-8") as handle:
        rows = {(float(row["temperature_K"]), int(row["replica"])): row["outcome"] for row in csv.DictReader(handle)}
    assert len(rows) == len(protocol.temperatures_K) * len(starts)
    if isinstance(potential, Spoiling):
        assert {rows[temperature_K, start] for temperature_K in protocol.temperatures_K for start in SPOILT} <= {
            "nonfinite",
            "engine_error",
        }
    return {
        key: (outcome, read_replica(directory / "frames.h5", *key)[0])
        for key, outcome in rows.items()
        if key[1] not in SPOILT
    }


def largest_difference(one: Trajectories, other: Trajectories) -> dict[str, float]:
    """By kind of number, over all replicas, whose outcomes must be the same."""
    assert {key: outcome for key, (outcome, _) in one.items()} == {key: outcome for key, (outcome, _) in other.items()}
    return {
        name: max(np.abs(getattr(one[key][1], name) - getattr(other[key][1], name)).max() for key in one)
        for name in ("time_ps", "positions_A", "energy_eV", "temperature_K", "cell_A")
    }


@pytest.mark.parametrize("ensemble", ["nvt", "nve", "npt"])
def test_toy_is_bitwise_the_same(ensemble: str, tmp_path: Path) -> None:
    """One at a time, all at once, refilled, and beside replicas that go to NaN."""
    atoms, potential = bonded_crystal() if ensemble == "npt" else bonded_molecule()
    rattled = [atoms.copy() for _ in range(4)]
    for seed, one in enumerate(rattled):
        one.rattle(0.02, seed=seed)
    if ensemble != "npt":
        rattled = marked(rattled)
    alone = run(potential, rattled, tmp_path / "alone", ensemble=ensemble, batch_replicas=1)
    for name, places in (("all", None), ("three", 3)):
        found = run(potential, rattled, tmp_path / name, ensemble=ensemble, batch_replicas=places)
        assert set(largest_difference(alone, found).values()) == {0.0}
        if ensemble != "npt":
            found = run(
                Spoiling(potential), rattled, tmp_path / f"{name}_spoilt", batch_replicas=places, ensemble=ensemble
            )
            assert set(largest_difference(alone, found).values()) == {0.0}


def test_reference_is_bitwise_the_same(methanol: list[Atoms], tmp_path: Path) -> None:
    potential = references.ReferencePotential(references.parse({"method": "xtb"}))
    starts = marked(methanol[:4])
    alone = run(potential, starts, tmp_path / "alone", batch_replicas=1)
    for name, places in (("all", None), ("two", 2)):
        found = run(Spoiling(potential), starts, tmp_path / name, batch_replicas=places)
        assert set(largest_difference(alone, found).values()) == {0.0}


@pytest.fixture(scope="module", params=["float64", "float32"])
def mace(request: pytest.FixtureRequest, methanol: list[Atoms], tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Number type and model."""
    directory = tmp_path_factory.mktemp(request.param)
    model_examples.fit("mace", methanol, directory, dtype=request.param, max_L=0)
    return request.param, models.load(directory)


FORCE_TOLERANCE = {"float64": 1e-10, "float32": 2e-5}
"""In eV/A, of batches of different sizes, which add in different orders."""
TRAJECTORY_TOLERANCE_A = {"float64": 1e-10, "float32": 1e-3}


def test_mace_forces_do_not_depend_on_the_neighbours(mace: Any, methanol: list[Atoms]) -> None:
    dtype, potential = mace
    positions_A = np.stack([frame.positions for frame in methanol[:5]])
    single, batch = potential.batch(methanol[0], 1), potential.batch(methanol[0], 5)
    alone = [single.compute(one[None]) for one in positions_A]
    for lost in (None, np.nan, np.inf, 1e30):
        shown = positions_A.copy()
        if lost is not None:
            shown[list(SPOILT)] = lost
        with np.errstate(invalid="ignore"):
            found = batch.compute(shown)
        for replica in range(5):
            if lost is not None and replica in SPOILT:
                assert lost == 1e30 or np.isnan(found.energy_eV[replica])
                continue
            difference = np.abs(found.forces_eV_per_A[replica] - alone[replica].forces_eV_per_A[0]).max()
            assert difference < FORCE_TOLERANCE[dtype]
            assert abs(found.energy_eV[replica] - alone[replica].energy_eV[0]) < 10 * FORCE_TOLERANCE[dtype]
    assert min(np.abs(one.forces_eV_per_A).max() for one in alone) > 0.1, "forces near zero would prove nothing"


def test_mace_trajectories_do_not_depend_on_the_neighbours(mace: Any, methanol: list[Atoms], tmp_path: Path) -> None:
    """All at once, shrunken as the spoilt ones leave, and refilled, at two temperatures."""
    dtype, potential = mace
    starts = marked(methanol[:4])
    alone = run(Spoiling(potential), starts, tmp_path / "alone", batch_replicas=1)
    assert "completed" in {outcome for outcome, _ in alone.values()}
    for name, places in (("all", None), ("three", 3)):
        difference = largest_difference(alone, run(Spoiling(potential), starts, tmp_path / name, batch_replicas=places))
        assert difference["time_ps"] == difference["cell_A"] == 0.0
        assert difference["positions_A"] < TRAJECTORY_TOLERANCE_A[dtype]
        assert difference["energy_eV"] < 10 * TRAJECTORY_TOLERANCE_A[dtype]
