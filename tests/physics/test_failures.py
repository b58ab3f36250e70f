"""Detectors on real trajectories: quiet on those of the reference, and on time for what is put into them."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import molecule
from ase.data import covalent_radii
from known_potentials import Bonds, bonded_molecule

from longhot import references
from longhot.config import Protocol
from longhot.dynamics.detectors import BONDED, BROKEN, DRIFT_KT_PER_ATOM, OVERLAP, Detectors, Failure
from longhot.dynamics.engine import simulate
from longhot.dynamics.trajectory import Snapshots, read_replica
from longhot.potential import BatchResult

pytestmark = pytest.mark.physics

MOLECULES = {"methanol": "CH3OH", "ethanol": "CH3CH2OH"}
TEMPERATURES_K = [300.0, 1000.0]
N_REPLICAS = 2
CHECK_FS = 5.0
XTB = {"method": "xtb"}


def outcomes(directory: Path) -> dict[tuple[float, int], dict[str, str]]:
    with (directory / "outcomes.csv").open(newline="", encoding="utf-8") as handle:
        return {(float(row["temperature_K"]), int(row["replica"])): row for row in csv.DictReader(handle)}


@pytest.fixture(scope="module", params=MOLECULES)
def reference_run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Atoms, Path]:
    """Two trajectories of the reference at each temperature, 0.75 ps each, with every check stored as a frame."""
    atoms, directory = molecule(MOLECULES[request.param]), tmp_path_factory.mktemp(request.param)
    protocol = Protocol(
        temperatures_K=TEMPERATURES_K,
        replicas=N_REPLICAS,
        duration_ps=0.75,
        frame_interval_fs=CHECK_FS,
        check_interval_fs=CHECK_FS,
    )
    potential = references.ReferencePotential(references.parse(XTB))
    simulate(potential, [atoms] * N_REPLICAS, protocol, 12, directory)
    return atoms, directory


def test_reference_gives_no_alarm(reference_run: tuple[Atoms, Path]) -> None:
    _, directory = reference_run
    rows = outcomes(directory)
    assert len(rows) == len(TEMPERATURES_K) * N_REPLICAS
    assert {(row["outcome"], row["cause"], row["atoms"]) for row in rows.values()} == {("completed", "", "")}
    assert (directory / "failures.extxyz").read_text(encoding="utf-8") == ""


def test_reference_at_constant_energy_gives_no_alarm(tmp_path: Path) -> None:
    protocol = Protocol(
        ensemble="nve", temperatures_K=[1000.0], replicas=2, duration_ps=0.5, check_interval_fs=CHECK_FS
    )
    potential = references.ReferencePotential(references.parse(XTB))
    simulate(potential, [molecule("CH3OH")] * 2, protocol, 12, tmp_path)
    assert {row["outcome"] for row in outcomes(tmp_path).values()} == {"completed"}


def test_thresholds_stand_off_from_what_the_reference_does(reference_run: tuple[Atoms, Path]) -> None:
    """Bonds stay a tenth short of breaking, and atoms a tenth apart from overlap, in radii sums."""
    atoms, directory = reference_run
    first, second = np.triu_indices(len(atoms), k=1)
    radii = covalent_radii[atoms.numbers]
    for temperature_K in TEMPERATURES_K:
        for replica in range(N_REPLICAS):
            positions_A = read_replica(directory / "frames.h5", temperature_K, replica)[0].positions_A
            lengths = np.linalg.norm(positions_A[:, first] - positions_A[:, second], axis=2)
            ratio = lengths / (radii[first] + radii[second])
            assert ratio[:, ratio[0] < BONDED].max() < BROKEN - 0.1
            assert ratio.min() > OVERLAP + 0.1


# What is put into a trajectory of the reference, by where it is put: atoms moved from one frame on.


def towards(atoms: Atoms, moved: int, fixed: int, ratio: float, positions_A: np.ndarray) -> np.ndarray:
    """``moved`` on its line to ``fixed``, at a distance in radii sums."""
    changed = positions_A.copy()
    line = changed[moved] - changed[fixed]
    distance = ratio * covalent_radii[atoms.numbers[[moved, fixed]]].sum()
    changed[moved] = changed[fixed] + distance * line / np.linalg.norm(line)
    return changed


def hydroxyl(atoms: Atoms) -> tuple[int, int, int]:
    """Indices of the oxygen, of its hydrogen and of its carbon."""
    symbols, oxygen = np.array(atoms.get_chemical_symbols()), atoms.symbols.indices()["O"][0]
    distance = np.linalg.norm(atoms.positions - atoms.positions[oxygen], axis=1)
    nearest = {symbol: min(np.flatnonzero(symbols == symbol), key=lambda atom: distance[atom]) for symbol in "HC"}
    return int(oxygen), int(nearest["H"]), int(nearest["C"])


def injected(kind: str, atoms: Atoms, positions_A: np.ndarray) -> tuple[np.ndarray, tuple[int, ...], str]:
    """Positions with the failure in them, the offending atoms and words of the cause."""
    oxygen, hydrogen, carbon = hydroxyl(atoms)
    names = {atom: f"{atoms.symbols[atom]}{atom}" for atom in range(len(atoms))}
    if kind == "nonfinite":
        changed = positions_A.copy()
        changed[hydrogen, 1] = np.nan
        return changed, (hydrogen,), f"position not finite: {names[hydrogen]}"
    if kind == "bond_formed":
        # The hydroxyl's hydrogen leans over until it touches the carbon too, still bonded to its oxygen.
        changed = positions_A.copy()
        axis = changed[carbon] - changed[oxygen]
        length, unit = np.linalg.norm(axis), axis / np.linalg.norm(axis)
        radius = 1.15 * covalent_radii[atoms.numbers[[oxygen, hydrogen]]].sum()
        reach = 0.95 * covalent_radii[atoms.numbers[[carbon, hydrogen]]].sum()
        along = (length**2 + radius**2 - reach**2) / (2 * length)
        away = np.cross(unit, changed[hydrogen] - changed[oxygen])
        away /= np.linalg.norm(away)
        changed[hydrogen] = changed[oxygen] + along * unit + np.sqrt(max(radius**2 - along**2, 0.0)) * away
        return changed, tuple(sorted((carbon, hydrogen))), f"hydrogen {names[hydrogen]} has "
    ratio = {"overlap": OVERLAP - 0.02, "bond_broken": BROKEN + 0.02}[kind]
    pair = tuple(sorted((oxygen, hydrogen)))
    return towards(atoms, hydrogen, oxygen, ratio, positions_A), pair, f"{names[pair[0]]}-{names[pair[1]]} at"


def first_alarm(
    detectors: Detectors, frames: Snapshots, temperature_K: np.ndarray, energy_eV: np.ndarray, change_eV: np.ndarray
) -> tuple[int, Failure] | None:
    for index, positions_A in enumerate(frames.positions_A):
        found = detectors.check(
            positions_A[None],
            np.zeros((1, 3, 3)),
            energy_eV[index : index + 1],
            temperature_K[index : index + 1],
            change_eV[index : index + 1],
            np.ones(1, dtype=bool),
        )
        if found:
            return index, found[0]
    return None


@pytest.mark.parametrize("struck", [1, 77, 150])
@pytest.mark.parametrize(
    "kind", ["nonfinite", "overlap", "bond_broken", "bond_formed", "temperature_runaway", "energy_drift"]
)
def test_what_is_put_in_is_found_at_its_frame(reference_run: tuple[Atoms, Path], kind: str, struck: int) -> None:
    """In every trajectory of the reference, at the first frame, in the middle and at the last."""
    atoms, directory = reference_run
    for temperature_K in TEMPERATURES_K:
        detectors = Detectors([atoms], [temperature_K], 3 * len(atoms))
        for replica in range(N_REPLICAS):
            sound, _ = read_replica(directory / "frames.h5", temperature_K, replica)
            kinetic_K, energy_eV, change_eV = sound.temperature_K.copy(), sound.energy_eV.copy(), np.zeros(len(sound))
            positions_A = sound.positions_A.copy()
            expected: tuple[tuple[int, ...], str] = ((), "")
            assert first_alarm(detectors, sound, kinetic_K, energy_eV, change_eV) is None
            if kind == "temperature_runaway":
                kinetic_K[struck:] = 1.01 * detectors.temperature_limit_K[0]
                expected = ((), "K above")
            elif kind == "energy_drift":
                change_eV[struck:] = -1.01 * DRIFT_KT_PER_ATOM * units.kB * temperature_K * len(atoms)
                expected = ((), "total energy changed")
            else:
                positions_A[struck], *expected = injected(kind, atoms, positions_A[struck])  # type: ignore[assignment]
            changed = Snapshots(**{**vars(sound), "positions_A": positions_A})
            found = first_alarm(detectors, changed, kinetic_K, energy_eV, change_eV)
            assert found is not None
            frame, failure = found
            assert (frame, failure.outcome) == (struck, kind)
            assert failure.atoms == tuple(expected[0])
            assert expected[1] in failure.cause


# Through the engine: who failed and when, whatever place it had


class Leaking(Bonds):
    """Bonds whose forces are a little too strong for their energies, so that no total energy is kept."""

    def energies(self, positions_A: np.ndarray, cell_A: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        energy, forces = super().energies(positions_A, cell_A)
        return 0.6 * energy, forces


def test_energy_that_is_not_kept_is_found_when_it_passes_the_limit(tmp_path: Path) -> None:
    atoms, sound = bonded_molecule()
    limit_eV = DRIFT_KT_PER_ATOM * units.kB * 300.0 * len(atoms)
    protocol = Protocol(
        ensemble="nve",
        temperatures_K=[300.0],
        replicas=4,
        duration_ps=1.0,
        frame_interval_fs=CHECK_FS,
        check_interval_fs=CHECK_FS,
        bond_checks=False,
    )
    simulate(Leaking(**vars_of(sound)), [atoms] * 4, protocol, 1, tmp_path / "leaking")
    simulate(sound, [atoms] * 4, protocol, 1, tmp_path / "sound")
    assert {row["outcome"] for row in outcomes(tmp_path / "sound").values()} == {"completed"}
    for (temperature_K, replica), row in outcomes(tmp_path / "leaking").items():
        assert row["outcome"] == "energy_drift"
        frames, last = read_replica(tmp_path / "leaking/frames.h5", temperature_K, replica)
        assert last is not None
        kinetic_eV = 0.5 * (3 * len(atoms) - 3) * units.kB * last.temperature_K
        kinetic_0_eV = 0.5 * (3 * len(atoms) - 3) * units.kB * frames.temperature_K[0]
        change_eV = np.abs(last.energy_eV + kinetic_eV - frames.energy_eV[0] - kinetic_0_eV)
        assert (change_eV[:-1] <= limit_eV).all()
        assert change_eV[-1] > limit_eV
        assert last.time_ps[-1] == float(row["failure_time_ps"])


def vars_of(bonds: Bonds) -> dict[str, Any]:
    """The fields of a dataclass, without what it derives from them."""
    return {name: getattr(bonds, name) for name in Bonds.__dataclass_fields__}


MARK_A = 500.0
"""Distance between the starts, by which the potential below knows them."""
STRUCK_STEP = 137
"""Step of its own, of whoever is struck."""


class Striking:
    """The bonded molecule, with a fault for some starts at a step of their own, wherever in the batch they stand."""

    def __init__(self, faults: dict[int, str]) -> None:
        self.faults = faults
        _, self.bonds = bonded_molecule()
        self.n_calls: dict[int, int] = {}

    def batch_sizes(self, n_replicas: int) -> list[int]:
        return list(range(n_replicas, 0, -1))

    def batch(self, atoms: Atoms, n_replicas: int) -> Striking:
        self.bonds.batch(atoms, n_replicas)
        return self

    def compute(self, positions_A: np.ndarray) -> BatchResult:
        result = self.bonds.compute(positions_A)
        errors = {}
        for place, start in enumerate(np.round(positions_A[:, 0, 0] / MARK_A).astype(int).tolist()):
            step = self.n_calls[start] = self.n_calls.get(start, -1) + 1
            kind = self.faults.get(start) if step >= STRUCK_STEP else None
            if kind == "nonfinite":
                result.forces_eV_per_A[place, 3] = np.nan
            elif kind == "engine_error":
                errors[place] = "crashed: out of memory"
            elif kind == "overlap":
                positions_A[place, 3] = positions_A[place, 2] + 0.2
            elif kind == "temperature_runaway" and step == STRUCK_STEP:
                result.forces_eV_per_A[place, 0] += 5000.0
        return BatchResult(result.energy_eV, result.forces_eV_per_A, errors)


FAULTS = {1: "nonfinite", 2: "engine_error", 4: "overlap", 6: "temperature_runaway"}


@pytest.mark.parametrize("places", [1, 3, None])
def test_faults_are_found_in_their_replica_at_their_time(tmp_path: Path, places: int | None) -> None:
    """Those of a calculation at the step, those that a check must find at the next check."""
    atoms, _ = bonded_molecule()
    starts = []
    for index in range(8):
        start = atoms.copy()
        start.positions[:, 0] += MARK_A * index
        starts.append(start)
    protocol = Protocol(
        temperatures_K=[300.0],
        replicas=8,
        batch_replicas=places,
        duration_ps=0.2,
        time_step_fs=1.0,
        check_interval_fs=CHECK_FS,
        bond_checks=False,
    )
    simulate(Striking(FAULTS), starts, protocol, 2, tmp_path)  # type: ignore[arg-type]
    at_once, at_check = STRUCK_STEP / 1000, np.ceil(STRUCK_STEP / CHECK_FS) * CHECK_FS / 1000
    for (_, replica), row in outcomes(tmp_path).items():
        kind = FAULTS.get(replica, "completed")
        assert row["outcome"] == kind
        if kind == "completed":
            assert (row["failure_time_ps"], float(row["simulated_ps"])) == ("", 0.2)
            continue
        expected = at_once if kind in ("nonfinite", "engine_error") else at_check
        assert float(row["failure_time_ps"]) == float(row["simulated_ps"]) == expected
        named = {"nonfinite": "3", "engine_error": "", "overlap": "2 3"}
        if kind in named:
            assert row["atoms"] == named[kind]
        else:
            assert "0" in row["atoms"].split()


def test_time_limit_censors_also_those_that_wait(tmp_path: Path) -> None:
    """A timeout is no failure, and a trajectory that never began has simulated nothing."""
    atoms, potential = bonded_molecule()
    protocol = Protocol(
        temperatures_K=[300.0],
        replicas=4,
        batch_replicas=2,
        duration_ps=1000.0,
        time_limit_s=0.3,
        bond_checks=False,
    )
    simulate(potential, [atoms] * 4, protocol, 2, tmp_path)
    rows = list(outcomes(tmp_path).values())
    assert {row["outcome"] for row in rows} == {"timeout"}
    assert {row["failure_time_ps"] for row in rows} == {""}
    assert all(float(row["simulated_ps"]) > 0 for row in rows[:2])
    assert all(float(row["simulated_ps"]) == 0 for row in rows[2:])
    assert (tmp_path / "failures.extxyz").read_text(encoding="utf-8") == ""
