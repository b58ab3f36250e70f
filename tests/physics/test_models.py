"""Physical laws that every model family must obey."""

from __future__ import annotations

from pathlib import Path

import model_examples
import numpy as np
import pytest
from ase import Atoms, units
from ase.build import molecule
from ase.neighborlist import neighbor_list as ase_neighbour_list
from scipy.spatial.transform import Rotation

import longhot.models
from longhot import models
from longhot.block import plugin_names
from longhot.config import Protocol
from longhot.dynamics.engine import simulate
from longhot.dynamics.trajectory import read_replica
from longhot.files import read_json
from longhot.models._mace_graphs import all_pairs, neighbour_list
from longhot.models._mace_potential import NeighbourMaceBatch
from longhot.potential import Label, Potential

pytestmark = pytest.mark.physics

TOLERANCE = {"mace": 1e-7}
"""In eV and eV/A. In float64 MACE is exact to rounding."""
SCF_TOLERANCE = 1e-4
"""Of families that solve a self-consistent field, to a finite accuracy."""
GRADIENT_STEP_A = {"mace": 1e-4}
SCF_GRADIENT_STEP_A = 5e-3


@pytest.fixture(scope="session")
def potentials(methanol: list[Atoms], mace_fit: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Potential]:
    loaded = {"mace": models.load(mace_fit)}
    for name in set(plugin_names(longhot.models)) - set(loaded):
        directory = tmp_path_factory.mktemp(name)
        model_examples.fit(name, methanol, directory)
        loaded[name] = models.load(directory)
    return loaded


@pytest.fixture(params=plugin_names(longhot.models))
def family(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def potential(family: str, potentials: dict[str, Potential]) -> Potential:
    return potentials[family]


@pytest.fixture
def tolerance(family: str) -> float:
    return TOLERANCE.get(family, SCF_TOLERANCE)


@pytest.fixture
def atoms(methanol: list[Atoms]) -> Atoms:
    return methanol[-1].copy()


def one(potential: Potential, atoms: Atoms) -> Label:
    label = potential.predict([atoms])[0]
    assert label.status == "ok", label.message
    return label


def numeric_force(potential: Potential, atoms: Atoms, atom: int, axis: int, step_A: float) -> float:
    """Fourth-order central difference of the energy, in eV/A."""
    moved = [atoms.copy() for _ in range(4)]
    for frame, factor in zip(moved, (-2, -1, 1, 2), strict=True):
        frame.positions[atom, axis] += factor * step_A
    far_low, low, high, far_high = (label.energy_eV for label in potential.predict(moved))
    return -(far_low - 8 * low + 8 * high - far_high) / (12 * step_A)


def test_force_is_minus_the_gradient_of_the_energy(
    family: str, potential: Potential, atoms: Atoms, tolerance: float
) -> None:
    forces = one(potential, atoms).forces_eV_per_A
    step_A = GRADIENT_STEP_A.get(family, SCF_GRADIENT_STEP_A)
    for atom, axis in ((0, 0), (1, 1), (3, 2), (5, 0)):
        assert forces[atom, axis] == pytest.approx(numeric_force(potential, atoms, atom, axis, step_A), abs=tolerance)
    assert np.abs(forces).max() > 0.1, "forces near zero would prove nothing"


def test_rotation_and_inversion(potential: Potential, atoms: Atoms, tolerance: float) -> None:
    before, turn = one(potential, atoms), Rotation.from_rotvec([0.4, -1.1, 0.7]).as_matrix()
    for operation in (turn, -turn):
        moved = atoms.copy()
        moved.positions = atoms.positions @ operation.T
        after = one(potential, moved)
        assert after.energy_eV == pytest.approx(before.energy_eV, abs=tolerance)
        np.testing.assert_allclose(after.forces_eV_per_A, before.forces_eV_per_A @ operation.T, atol=tolerance)


def test_translation(potential: Potential, atoms: Atoms, tolerance: float) -> None:
    before, moved = one(potential, atoms), atoms.copy()
    moved.positions += [11.0, -7.0, 3.0]
    after = one(potential, moved)
    assert after.energy_eV == pytest.approx(before.energy_eV, abs=tolerance)
    np.testing.assert_allclose(after.forces_eV_per_A, before.forces_eV_per_A, atol=tolerance)


def test_permutation(potential: Potential, atoms: Atoms, tolerance: float) -> None:
    """Both of like atoms and of the whole order."""
    order = np.array([5, 1, 4, 0, 2, 3])
    before, after = one(potential, atoms), one(potential, atoms[order])
    assert after.energy_eV == pytest.approx(before.energy_eV, abs=tolerance)
    np.testing.assert_allclose(after.forces_eV_per_A, before.forces_eV_per_A[order], atol=tolerance)


def test_no_net_force_and_no_net_torque(potential: Potential, atoms: Atoms, tolerance: float) -> None:
    forces = one(potential, atoms).forces_eV_per_A
    np.testing.assert_allclose(forces.sum(axis=0), 0, atol=tolerance)
    np.testing.assert_allclose(np.cross(atoms.positions, forces).sum(axis=0), 0, atol=10 * tolerance)


def test_energy_is_extensive(potential: Potential, methanol: list[Atoms], tolerance: float) -> None:
    """Two molecules so far apart that even their dipoles do not feel each other."""
    first, second = methanol[0].copy(), methanol[1].copy()
    second.positions += [400.0, 0.0, 0.0]
    alone, both = [one(potential, first), one(potential, second)], one(potential, first + second)
    assert both.energy_eV == pytest.approx(sum(label.energy_eV for label in alone), abs=tolerance)
    np.testing.assert_allclose(
        both.forces_eV_per_A, np.concatenate([label.forces_eV_per_A for label in alone]), atol=tolerance
    )


@pytest.mark.parametrize("pbc", [(True, True, True), (True, True, False), (False, True, False), (False, False, False)])
@pytest.mark.parametrize("n_atoms", [2, 600])
def test_neighbours_are_those_that_ase_finds(pbc: tuple[bool, bool, bool], n_atoms: int) -> None:
    """A triclinic cell narrower than the cutoff, and one with many atoms; edges run from ASE's i to j with shifts S."""
    generator = np.random.default_rng(n_atoms)
    cell_A = (1.0 if n_atoms == 2 else 6.0) * np.array([[2.5, 0.0, 0.0], [0.7, 2.6, 0.0], [0.3, -0.4, 2.4]])
    frame = Atoms(f"H{n_atoms}", generator.random((n_atoms, 3)) @ cell_A, cell=cell_A, pbc=pbc)
    edges, shifts = neighbour_list(frame, 3.0)
    found = {(*map(int, edge), *map(int, shift)) for edge, shift in zip(edges.T, shifts, strict=True)}
    first, second, images = ase_neighbour_list("ijS", frame, 3.0)
    assert len(found) == edges.shape[1]
    assert found == {(int(i), int(j), *map(int, image)) for i, j, image in zip(first, second, images, strict=True)}


def test_pairs_beyond_the_cutoff_contribute_nothing(mace_fit: Path, methanol: list[Atoms]) -> None:
    """The static batch holds all pairs, predict only those within r_max."""
    config = model_examples.EXAMPLES["mace"]
    n_inside = neighbour_list(methanol[0], config["r_max_A"])[0].shape[1]
    assert n_inside < all_pairs(len(methanol[0])).shape[1] - 4, "the test needs pairs beyond the cutoff"
    potential = models.load(mace_fit)
    frames_ = methanol[:5]
    static = potential.batch(frames_[0], 5).compute(np.stack([frame.positions for frame in frames_]))
    labels = potential.predict(frames_)
    np.testing.assert_allclose(static.energy_eV, [label.energy_eV for label in labels], rtol=0, atol=1e-10)
    np.testing.assert_allclose(static.forces_eV_per_A, [label.forces_eV_per_A for label in labels], atol=1e-10)


def test_energy_and_forces_are_smooth_at_the_cutoff(mace_fit: Path) -> None:
    """An atom that enters the cutoff changes nothing at once."""
    potential, r_max_A = models.load(mace_fit), model_examples.EXAMPLES["mace"]["r_max_A"]
    inside, outside = (Atoms("OH", [(0, 0, 0), (r_max_A + shift, 0, 0)]) for shift in (-1e-3, 1e-3))
    before, after = potential.predict([inside, outside])
    assert before.energy_eV == pytest.approx(after.energy_eV, abs=1e-6)
    np.testing.assert_allclose(before.forces_eV_per_A, 0, atol=1e-3)
    np.testing.assert_array_equal(after.forces_eV_per_A, 0)


# Dynamics

TEMPERATURE_K = 100.0


def nve_energies_eV(potential: Potential, start: Atoms, time_step_fs: float, directory: Path) -> np.ndarray:
    """Total energy less its first value along 50 fs without a thermostat, shape (n_frames,)."""
    protocol = Protocol(
        temperatures_K=[TEMPERATURE_K],
        replicas=1,
        duration_ps=0.05,
        time_step_fs=time_step_fs,
        frame_interval_fs=1.0,
        ensemble="nve",
    )
    simulate(potential, [start], protocol, 7, directory)
    frames, _ = read_replica(directory / "frames.h5", TEMPERATURE_K, 0)
    assert len(frames) == 51, (directory / "outcomes.csv").read_text(encoding="utf-8")
    degrees_of_freedom = 3 * len(start) - 3
    total = frames.energy_eV + 0.5 * degrees_of_freedom * units.kB * frames.temperature_K
    return total - total[0]


@pytest.mark.parametrize("name", ["mace", "reference"])
def test_energy_is_conserved_to_second_order_in_the_time_step(
    name: str, potentials: dict[str, Potential], tmp_path: Path
) -> None:
    atoms = molecule("CH3OH")
    coarse, fine = (nve_energies_eV(potentials[name], atoms, step, tmp_path / f"{step}") for step in (0.5, 0.25))
    kinetic_eV = 1.5 * len(atoms) * units.kB * TEMPERATURE_K
    assert np.abs(fine).max() < 0.05 * kinetic_eV
    assert coarse.std() / fine.std() == pytest.approx(4, rel=0.15)
    # No drift: the mean of the last third lies within the fluctuation of the first.
    assert abs(fine[-20:].mean() - fine[:20].mean()) < 2 * fine.std()


# A periodic solid


@pytest.fixture(scope="module")
def copper() -> list[Atoms]:
    return model_examples.copper_frames(12)


@pytest.fixture(scope="module")
def copper_fit(copper: list[Atoms], tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("copper")
    model_examples.fit("mace", copper, directory, compile="auto", gradient_steps=10, r_max_A=3.0, max_L=0)
    return directory


def test_periodic_fit_runs_eagerly(copper_fit: Path) -> None:
    assert read_json(copper_fit / "fit.json")["compiled"] is False


def test_periodic_batch_equals_predict(copper_fit: Path, copper: list[Atoms]) -> None:
    potential = models.load(copper_fit)
    batch = potential.batch(copper[0], 3)
    assert isinstance(batch, NeighbourMaceBatch)
    found = batch.compute(np.stack([frame.positions for frame in copper[:3]]))
    labels = potential.predict(copper[:3])
    np.testing.assert_allclose(found.energy_eV, [label.energy_eV for label in labels], rtol=0, atol=1e-8)
    np.testing.assert_allclose(found.forces_eV_per_A, [label.forces_eV_per_A for label in labels], atol=1e-8)


def test_periodic_images_and_forces(copper_fit: Path, copper: list[Atoms]) -> None:
    potential, atoms = models.load(copper_fit), copper[-1]
    here = one(potential, atoms)
    wrapped = atoms.copy()
    wrapped.positions[2] += atoms.cell[0] - 2 * atoms.cell[1]
    np.testing.assert_allclose(one(potential, wrapped).forces_eV_per_A, here.forces_eV_per_A, atol=1e-8)
    assert one(potential, atoms.repeat((2, 1, 1))).energy_eV == pytest.approx(2 * here.energy_eV, abs=1e-8)
    assert here.forces_eV_per_A[1, 2] == pytest.approx(numeric_force(potential, atoms, 1, 2, 1e-4), abs=1e-7)


def test_a_lost_replica_of_neighbour_lists_is_nan(copper_fit: Path, copper: list[Atoms]) -> None:
    """Edges to a NaN position do not exist: without care the rest of the replica would look sound."""
    batch = models.load(copper_fit).batch(copper[0], 2)
    positions = np.stack([frame.positions for frame in copper[:2]])
    sound = batch.compute(positions)
    positions[1, 3] = np.nan
    found = batch.compute(positions)
    assert np.isnan(found.energy_eV[1])
    assert np.isnan(found.forces_eV_per_A[1]).all()
    assert found.energy_eV[0] == pytest.approx(sound.energy_eV[0], abs=1e-10)
