"""Each detector: fires on its fault, at the right time, naming the atoms; and is quiet otherwise."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase.build import molecule
from toy_potentials import Fault, Springs, ethanol

from longhot.config import Protocol
from longhot.dynamics.detectors import Detectors, Failure, temperature_limit_K
from longhot.dynamics.engine import simulate
from longhot.potential import BatchResult

PROTOCOL = Protocol(temperatures_K=[300], replicas=2, duration_ps=0.1, frame_interval_fs=10)
FAULTY, CALL = 1, 83
"""Replica and step at which the faults below strike; the next check is at step 90, or 0.045 ps."""


def moved(atom: int, towards: int, distance_A: float) -> Fault:
    """A fault that puts an atom at a distance from another, on the line that joins them."""

    def fault(call: int, positions: np.ndarray, result: BatchResult) -> BatchResult:
        if call >= CALL:
            line = positions[FAULTY, atom] - positions[FAULTY, towards]
            positions[FAULTY, atom] = positions[FAULTY, towards] + distance_A * line / np.linalg.norm(line)
        return result

    return fault


def closed(call: int, positions: np.ndarray, result: BatchResult) -> BatchResult:
    """H3 on the oxygen and H4 on its carbon lean towards each other, both still bonded."""
    if call >= CALL:
        carbon, oxygen = positions[FAULTY, 1], positions[FAULTY, 2]
        along = (oxygen - carbon) / np.linalg.norm(oxygen - carbon)
        across = positions[FAULTY, 4] - carbon
        across -= (across @ along) * along
        across *= 1.2 / np.linalg.norm(across)
        half = (np.linalg.norm(oxygen - carbon) - 0.7) / 2
        positions[FAULTY, 4] = carbon + half * along + across
        positions[FAULTY, 3] = oxygen - half * along + across
    return result


def nan_force(call: int, positions: np.ndarray, result: BatchResult) -> BatchResult:
    if call >= CALL:
        result.forces_eV_per_A[FAULTY, 4, 1] = np.nan
    return result


def infinite_energy(call: int, positions: np.ndarray, result: BatchResult) -> BatchResult:
    if call >= CALL:
        result.energy_eV[FAULTY] = np.inf
    return result


def no_convergence(call: int, positions: np.ndarray, result: BatchResult) -> BatchResult:
    return replace(result, errors={FAULTY: "not_converged: 250 cycles"}) if call >= CALL else result


def hot(call: int, positions: np.ndarray, result: BatchResult) -> BatchResult:
    if call == 90:
        result.forces_eV_per_A[FAULTY, 2] += 3000.0
    return result


def shifted_energy(call: int, positions: np.ndarray, result: BatchResult) -> BatchResult:
    if call >= CALL:
        result.energy_eV[FAULTY] += 0.2
    return result


def run(directory: Path, potential: Springs, protocol: Protocol = PROTOCOL) -> list[dict[str, str]]:
    simulate(potential, [ethanol()] * protocol.replicas, protocol, 0, directory)
    with (directory / "outcomes.csv").open(newline="") as handle:
        return list(csv.DictReader(handle))


@pytest.mark.parametrize(
    ("fault", "outcome", "time_ps", "cause"),
    [
        (nan_force, "nonfinite", 0.0415, "force not finite: H4"),
        (infinite_energy, "nonfinite", 0.0415, "energy is inf"),
        (no_convergence, "engine_error", 0.0415, "not_converged: 250 cycles"),
        (moved(3, 2, 0.4), "overlap", 0.045, "O2-H3 at 0.4 A"),
        (moved(3, 2, 1.7), "bond_broken", 0.045, "O2-H3 at 1.7 A"),
        (closed, "bond_formed", 0.045, "H3-H4 at 0.7 A"),
        (hot, "temperature_runaway", 0.045, "K above"),
    ],
)
def test_fault_is_found_at_its_time(tmp_path: Path, fault: Fault, outcome: str, time_ps: float, cause: str) -> None:
    sound, faulty = run(tmp_path, Springs(fault=fault))
    assert sound["outcome"] == "completed"
    assert float(sound["simulated_ps"]) == 0.1
    assert faulty["outcome"] == outcome
    assert float(faulty["failure_time_ps"]) == float(faulty["simulated_ps"]) == time_ps
    assert cause in faulty["cause"]


def test_energy_drift_is_found_in_nve_only(tmp_path: Path) -> None:
    nve = PROTOCOL.model_copy(update={"ensemble": "nve"})
    sound, faulty = run(tmp_path / "nve", Springs(fault=shifted_energy), nve)
    assert (sound["outcome"], faulty["outcome"]) == ("completed", "energy_drift")
    assert float(faulty["failure_time_ps"]) == 0.045
    assert {row["outcome"] for row in run(tmp_path / "nvt", Springs(fault=shifted_energy))} == {"completed"}


def test_start_that_fails_is_an_outcome_at_time_zero(tmp_path: Path) -> None:
    def fault(call: int, positions: np.ndarray, result: BatchResult) -> BatchResult:
        result.forces_eV_per_A[FAULTY] = np.nan
        return result

    sound, faulty = run(tmp_path, Springs(fault=fault))
    assert sound["outcome"] == "completed"
    assert (faulty["outcome"], float(faulty["failure_time_ps"])) == ("nonfinite", 0.0)


def detectors(temperature_K: float = 1000.0) -> Detectors:
    return Detectors([ethanol()], [temperature_K], 27)


NO_CELL = np.zeros((1, 3, 3))


def check(positions: np.ndarray, temperature_K: float = 1000.0, energy_eV: float = -1.0) -> Failure:
    found = detectors().check(
        positions[None], NO_CELL, np.array([energy_eV]), np.array([temperature_K]), None, np.ones(1, dtype=bool)
    )
    return found[0]


def test_cause_tells_of_every_detector_that_fires() -> None:
    positions = ethanol().positions
    positions[3] += 5.0
    failure = check(positions, temperature_K=1e6)
    assert failure.outcome == "bond_broken"
    assert failure.atoms == (2, 3)
    assert "O2-H3" in failure.cause
    assert "1e+06 K above" in failure.cause


def test_position_that_is_not_finite_is_named() -> None:
    positions = ethanol().positions
    positions[7, 2] = np.inf
    assert check(positions) == Failure("nonfinite", "position not finite: H7", (7,))


def test_ended_replicas_are_not_looked_at() -> None:
    positions = np.full((1, 9, 3), np.nan)
    nothing = np.array([np.nan])
    assert detectors().check(positions, NO_CELL, nothing, nothing, None, np.zeros(1, dtype=bool)) == {}


@pytest.mark.parametrize("name", ["CH3CH2OH", "C2H2", "N2", "HCN", "C6H6", "C3H6_D3h", "H2O2", "F2", "P2", "CO2", "H2"])
def test_molecules_at_rest_are_sound(name: str) -> None:
    """Multiple bonds, small rings and weak bonds among them, each bond compressed or stretched by 10 %."""
    atoms = molecule(name)
    detector = Detectors([atoms], [300.0], 3 * len(atoms))
    for factor in (0.9, 1.0, 1.1):
        numbers = (NO_CELL, np.array([0.0]), np.array([300.0]), None, np.ones(1, dtype=bool))
        assert detector.check(factor * atoms.positions[None], *numbers) == {}


def test_periodic_bonds_reach_across_the_boundary() -> None:
    atoms = ethanol()
    atoms.set_cell([8.0, 8.0, 8.0])
    atoms.pbc = True
    detector = Detectors([atoms], [300.0], 27, bond_checks=True)
    numbers = (np.asarray(atoms.cell)[None], np.array([0.0]), np.array([300.0]), None, np.ones(1, dtype=bool))
    assert detector.check(np.mod(atoms.positions, 8.0)[None], *numbers) == {}
    broken = atoms.positions.copy()
    broken[3] += broken[3] - broken[2]
    assert detector.check(broken[None], *numbers)[0].outcome == "bond_broken"
    assert Detectors([atoms], [300.0], 27).check(broken[None], *numbers) == {}, "bonds of cells are watched on demand"


def test_bonds_are_measured_in_the_cell_of_each_replica() -> None:
    atoms = ethanol()
    atoms.set_cell([8.0, 8.0, 8.0])
    atoms.pbc = True
    detector = Detectors([atoms] * 2, [300.0] * 2, 27, bond_checks=True)
    cells = np.stack([np.asarray(atoms.cell), 1.5 * np.asarray(atoms.cell)])
    wrapped = np.stack([np.mod(atoms.positions, 8.0)] * 2)
    found = detector.check(wrapped, cells, np.zeros(2), np.full(2, 300.0), None, np.ones(2, dtype=bool))
    assert {replica: failure.outcome for replica, failure in found.items()} == {1: "bond_broken"}


def test_hydrogen_with_two_neighbours_is_named() -> None:
    """H3 of the hydroxyl group half way to the far carbon."""
    positions = ethanol().positions
    line = positions[0] - positions[2]
    positions[3] = positions[2] + line * 1.25 / np.linalg.norm(line)
    failure = check(positions)
    assert failure.outcome == "bond_formed"
    assert "hydrogen H3 has" in failure.cause
    assert "C0" in failure.cause.partition("hydrogen H3 has")[2]


def test_each_replica_has_the_limits_of_its_own_temperature() -> None:
    two = Detectors([ethanol()] * 2, [300.0, 1500.0], 27)
    hot = np.full(2, 2000.0)
    positions = np.stack([ethanol().positions] * 2)
    found = two.check(positions, np.zeros((2, 3, 3)), np.zeros(2), hot, None, np.ones(2, dtype=bool))
    assert {replica: failure.outcome for replica, failure in found.items()} == {0: "temperature_runaway"}


def test_temperature_limit_allows_for_the_fluctuations_of_few_atoms() -> None:
    """A million canonical samples of the kinetic temperature of 1, 9 and 100 atoms give no alarm."""
    generator = np.random.default_rng(0)
    for n_atoms in (1, 9, 100):
        sampled = 500.0 * generator.chisquare(3 * n_atoms, 1_000_000) / (3 * n_atoms)
        limit = temperature_limit_K(500.0, 3 * n_atoms)
        assert sampled.max() < limit
        assert limit >= 1500.0
    assert temperature_limit_K(500.0, 3000) == pytest.approx(1500.0)


def test_quiet_on_the_reference_at_1000_kelvin(tmp_path: Path) -> None:
    """GFN2-xTB ethanol, thermal from the first step, hits no threshold."""
    references = pytest.importorskip("longhot.references")
    potential = references.ReferencePotential(references.parse({"method": "xtb"}))
    protocol = Protocol(temperatures_K=[1000], replicas=2, duration_ps=0.5, frame_interval_fs=10)
    simulate(potential, [ethanol()] * 2, protocol, 3, tmp_path)
    with (tmp_path / "outcomes.csv").open(newline="") as handle:
        assert [row["outcome"] for row in csv.DictReader(handle)] == ["completed", "completed"]
