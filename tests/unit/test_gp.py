"""The Gaussian process: its algebra against textbook formulas, its physics, its own uncertainty."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import model_examples
import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from ase.units import kB
from scipy.stats import multivariate_normal

from longhot import frames, models
from longhot.block import InputError
from longhot.config import Protocol
from longhot.dynamics.engine import simulate
from longhot.dynamics.trajectory import read_replica
from longhot.files import read_json
from longhot.models import FitTask, gp
from longhot.models._gp_potential import GPPotential
from longhot.models._gp_regression import (
    OFFSET,
    Basis,
    choose_basis,
    condition,
    features,
    kernel,
    prior_variances,
    triangle,
)
from longhot.models._gp_soap import Descriptor

SMALL = {"n_sparse": 600}
STEP_A = 1e-3


def fitted(train: list[Atoms], directory: Path, **keys) -> GPPotential:
    e0_eV = model_examples.atomic_energies(train)
    gp.fit(gp.Config(**(SMALL | keys)), FitTask(train, [], e0_eV, 0, directory, "cpu"))
    return models.load(directory)  # type: ignore[return-value]


@pytest.fixture(scope="module")
def pool() -> list[Atoms]:
    """Displacements that keep clear of the repulsive wall, where forces of 40 eV/A would outweigh all others."""
    return model_examples.methanol_frames(80, seed=3, noise_A=0.03)


@pytest.fixture(scope="module")
def fits(pool: list[Atoms], tmp_path_factory: pytest.TempPathFactory) -> dict[int, GPPotential]:
    """Fits to the first frames of the pool, by their number."""
    return {n: fitted(pool[:n], tmp_path_factory.mktemp(f"n{n}")) for n in (10, 40)}


@pytest.fixture(scope="module")
def unseen(pool: list[Atoms]) -> list[Atoms]:
    return pool[40:]


def moved(frame: Atoms, atom: int, axis: int, by_A: float) -> Atoms:
    copy = frame.copy()
    copy.positions[atom, axis] += by_A
    return copy


def central_difference(function: Callable[[Atoms], np.ndarray], frame: Atoms, atom: int, axis: int) -> np.ndarray:
    return (function(moved(frame, atom, axis, STEP_A)) - function(moved(frame, atom, axis, -STEP_A))) / (2 * STEP_A)


def errors(potential: GPPotential, labelled: list[Atoms]) -> tuple[np.ndarray, np.ndarray]:
    """Errors of the energies, shape (n_frames,), and of the forces, shape (n_frames, n_atoms, 3)."""
    found = potential.predict(labelled)
    return (
        np.array([one.energy_eV for one in found]) - frames.energies(labelled),
        np.array([one.forces_eV_per_A for one in found]) - np.array(frames.forces(labelled)),
    )


# Algebra


def random_rows(n: int = 30, n_weights: int = 8) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    generator = np.random.default_rng(2)
    return generator.normal(size=(n, n_weights)), generator.normal(size=n), generator.uniform(0.1, 0.5, n)


def whitened(phi: np.ndarray, labels: np.ndarray, noise: np.ndarray) -> np.ndarray:
    return np.column_stack([phi, labels]) / noise[:, None]


@pytest.mark.parametrize("n", [3, 8, 9, 30])
def test_posterior_is_that_of_bayesian_linear_regression(n: int) -> None:
    """Bishop, Pattern Recognition and Machine Learning (2006), equations 3.53 and 3.54."""
    phi, labels, noise = (array[:n] for array in random_rows())
    signal = 0.7
    found = condition(triangle([whitened(phi, labels, noise)]), signal)
    covariance = np.linalg.inv(np.eye(8) + signal**2 * phi.T @ (phi / noise[:, None] ** 2))
    np.testing.assert_allclose(found.root @ found.root.T, covariance, atol=1e-12)
    np.testing.assert_allclose(found.mean, covariance @ (signal * phi.T @ (labels / noise**2)), atol=1e-12)


def test_signal_maximises_the_marginal_likelihood() -> None:
    phi, _, noise = random_rows()
    labels = phi @ np.random.default_rng(4).normal(0.0, 3.0, phi.shape[1])
    found = condition(triangle([whitened(phi, labels, noise)]), None).signal_eV

    def log_likelihood(signal: float) -> float:
        return multivariate_normal.logpdf(labels, cov=signal**2 * phi @ phi.T + np.diag(noise**2))

    assert log_likelihood(found) > max(log_likelihood(0.99 * found), log_likelihood(1.01 * found))
    assert found == pytest.approx(3.0, rel=0.5)


def test_triangle_of_blocks_is_that_of_all_rows() -> None:
    rows = whitened(*random_rows(100))
    found = triangle(np.array_split(rows, 17))
    assert found.shape == (9, 9)
    np.testing.assert_allclose(found.T @ found, rows.T @ rows, rtol=1e-12)


def test_basis_is_the_cholesky_decomposition_of_its_kernel() -> None:
    generator = np.random.default_rng(5)
    vectors = generator.uniform(size=(40, 12))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    numbers = np.repeat([1, 8], 20)
    basis = choose_basis(numbers, vectors, 3, 15, first=7)
    assert len(basis.numbers) == 15
    np.testing.assert_array_equal(basis.vectors[0], vectors[7])
    expected = kernel(basis.numbers, basis.vectors, basis.numbers, basis.vectors, 3)
    np.testing.assert_allclose(basis.cholesky @ basis.cholesky.T, expected, atol=1e-12)
    assert not expected[np.ix_(basis.numbers == 1, basis.numbers == 8)].any()


def test_environments_that_repeat_are_chosen_once() -> None:
    basis = choose_basis(np.array([1, 1, 1]), np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]), 2, 10, first=0)
    np.testing.assert_array_equal(basis.vectors, [[1.0, 0.0], [0.0, 1.0]])


# Descriptors and rows


@pytest.fixture(scope="module")
def copper() -> list[Atoms]:
    return model_examples.copper_frames(6)


def environments_basis(frame: Atoms) -> tuple[Descriptor, Basis]:
    descriptor = Descriptor(gp.Config(**SMALL), set(frame.symbols))
    return descriptor, choose_basis(frame.numbers, descriptor.vectors(frame), 4, 100, 0)


@pytest.mark.parametrize("name", ["molecule", "crystal"])
def test_derivatives_of_the_vectors(name: str, pool: list[Atoms], copper: list[Atoms]) -> None:
    frame = {"molecule": pool[0], "crystal": copper[0]}[name]
    descriptor, _ = environments_basis(frame)
    found = descriptor.environments(frame)
    np.testing.assert_allclose(np.linalg.norm(found.vectors, axis=1), 1, rtol=1e-14)
    np.testing.assert_allclose(found.vectors, descriptor.vectors(frame), atol=1e-14)
    expected = central_difference(descriptor.vectors, frame, 2, 1)
    for centre, atoms in enumerate(found.moved_by):
        np.testing.assert_allclose(found.derivatives[centre][atoms == 2][0, 1], expected[centre], atol=1e-5)


@pytest.mark.parametrize("name", ["molecule", "crystal"])
def test_force_rows_are_minus_the_gradient_of_the_energy_row(name: str, pool: list[Atoms], copper: list[Atoms]) -> None:
    frame = {"molecule": pool[0], "crystal": copper[0]}[name]
    descriptor, basis = environments_basis(frame)
    assert basis.cholesky.shape == (len(frame), len(frame))
    found = features(descriptor.environments(frame), basis)
    expected = -central_difference(lambda one: features(descriptor.environments(one), basis)[0], frame, 3, 2)
    np.testing.assert_allclose(found[1 + 3 * 3 + 2], expected, atol=1e-4 * np.abs(expected).max())


def test_constant_shares_count_the_atoms(pool: list[Atoms]) -> None:
    descriptor, basis = environments_basis(pool[0])
    found = features(descriptor.environments(pool[0]), basis)[:, len(basis.numbers) :]
    np.testing.assert_array_equal(basis.elements, [1, 6, 8])
    np.testing.assert_array_equal(found[0], OFFSET * np.array([4, 1, 1]))
    assert not found[1:].any()


@pytest.mark.parametrize("zeta", [1, 4])
def test_prior_variances_are_differences_of_the_kernel(zeta: int, pool: list[Atoms]) -> None:
    """Var(-dE/dx) = [k(+, +) + k(-, -) - 2 k(+, -)] / (2 h)^2."""
    descriptor, _ = environments_basis(pool[0])
    frame = pool[0]
    found = prior_variances(descriptor.environments(frame), zeta)

    def covariance(first: Atoms, second: Atoms) -> float:
        p, q = descriptor.vectors(first), descriptor.vectors(second)
        return float(kernel(first.numbers, p, second.numbers, q, zeta).sum())

    assert found[0] == pytest.approx(covariance(frame, frame))
    for atom, axis in ((0, 0), (1, 2), (4, 1)):
        plus, minus = moved(frame, atom, axis, STEP_A), moved(frame, atom, axis, -STEP_A)
        numerator = covariance(plus, plus) + covariance(minus, minus) - 2 * covariance(plus, minus)
        assert found[1 + 3 * atom + axis] == pytest.approx(numerator / (2 * STEP_A) ** 2, rel=1e-4)


# Crystals


def test_a_crystal_has_no_special_images(copper: list[Atoms], tmp_path: Path) -> None:
    potential, frame = fitted(copper, tmp_path, n_sparse=60), copper[0]
    here = potential.predict([frame])[0]
    wrapped = frame.copy()
    wrapped.positions[2] += frame.cell[0] - 2 * frame.cell[1]
    twice = frame.repeat((2, 1, 1))
    away, doubled = potential.predict([wrapped, twice])
    np.testing.assert_allclose(away.forces_eV_per_A, here.forces_eV_per_A, atol=1e-8)
    assert doubled.energy_eV == pytest.approx(2 * here.energy_eV, abs=1e-8)
    np.testing.assert_allclose(doubled.forces_eV_per_A, np.tile(here.forces_eV_per_A, (2, 1)), atol=1e-8)
    spreads = potential.atom_spreads([frame, wrapped])
    np.testing.assert_allclose(spreads[0], spreads[1], rtol=1e-4)
    batch = potential.batch(frame, 2).compute(
        np.stack([frame.positions] * 2), np.stack([frame.cell, 1.02 * frame.cell])
    )
    assert batch.energy_eV[0] == pytest.approx(here.energy_eV, abs=1e-10)
    assert abs(batch.energy_eV[1] - here.energy_eV) > 1e-3


def test_a_large_cell_changes_nothing_for_a_molecule(fits: dict[int, GPPotential], unseen: list[Atoms]) -> None:
    boxed = unseen[0].copy()
    boxed.set_cell([40.0, 40.0, 40.0])
    boxed.pbc = True
    free, periodic = fits[10].predict([unseen[0], boxed])
    assert periodic.energy_eV == pytest.approx(free.energy_eV, abs=1e-9)
    np.testing.assert_allclose(periodic.forces_eV_per_A, free.forces_eV_per_A, atol=1e-9)


# Fits and their uncertainty


def test_without_noise_the_training_labels_come_back(pool: list[Atoms], tmp_path: Path) -> None:
    train = pool[:6]
    potential = fitted(train, tmp_path, energy_noise_meV_per_atom=1e-4, force_noise_meV_per_A=1e-3)
    energy_errors, force_errors = errors(potential, train)
    assert np.abs(energy_errors).max() < 1e-5
    assert np.abs(force_errors).max() < 1e-4


def test_error_falls_with_the_training_set(fits: dict[int, GPPotential], unseen: list[Atoms]) -> None:
    (few_energy, few_force), (many_energy, many_force) = (errors(fits[n], unseen) for n in (10, 40))
    assert np.abs(many_energy).mean() < np.abs(few_energy).mean() / 2
    assert np.abs(many_force).mean() < np.abs(few_force).mean() / 2
    assert np.abs(many_force).mean() < 0.03


@pytest.mark.parametrize("n", [10, 40])
def test_errors_are_as_large_as_the_spreads_say(n: int, fits: dict[int, GPPotential], unseen: list[Atoms]) -> None:
    energy_errors, force_errors = errors(fits[n], unseen)
    z_force = np.sqrt((force_errors**2).mean(axis=2)) / np.array(fits[n].atom_spreads(unseen))
    z_energy = energy_errors / fits[n].energy_spreads(unseen)
    assert 0.3 < np.sqrt((z_force**2).mean()) < 1.5
    assert 0.3 < np.sqrt((z_energy**2).mean()) < 1.5


def prior_spreads(potential: GPPotential, frame: Atoms) -> np.ndarray:
    """Uncertainty of each atom's force before any data, in eV/A, shape (n_atoms,)."""
    variances = prior_variances(potential.descriptor.environments(frame), potential.config.zeta)
    return potential.posterior.signal_eV * np.sqrt(variances[1:].reshape(-1, 3).mean(axis=1))


def test_spreads_are_small_at_the_data_and_those_of_the_prior_far_away(
    fits: dict[int, GPPotential], pool: list[Atoms], unseen: list[Atoms]
) -> None:
    potential = fits[40]
    far = unseen[0].copy()
    far.positions = np.random.default_rng(0).normal(0.0, 1.0, far.positions.shape)
    at_data, near = (np.array(potential.atom_spreads(which)) for which in (pool[:40], unseen))
    away = potential.atom_spreads([far])[0]
    assert np.median(at_data) < 2e-3 * potential.config.force_noise_meV_per_A
    assert at_data.mean() < near.mean() < 0.1 * away.mean()
    assert (away / prior_spreads(potential, far)).mean() == pytest.approx(1, abs=0.3)
    energy_at_data, energy_away = potential.energy_spreads([pool[0], far])
    assert energy_at_data < 1e-3 * potential.config.energy_noise_meV_per_atom * 6
    assert energy_away > 100 * energy_at_data


def test_labels_without_information_leave_the_prior(pool: list[Atoms], tmp_path: Path) -> None:
    potential = fitted(pool[:4], tmp_path, force_noise_meV_per_A=1e9, energy_noise_meV_per_atom=1e9, signal_meV=500)
    assert potential.posterior.signal_eV == 0.5
    np.testing.assert_allclose(potential.atom_spreads(pool[5:6])[0], prior_spreads(potential, pool[5]), rtol=1e-3)


def test_spreads_are_those_of_sampled_potentials(fits: dict[int, GPPotential], unseen: list[Atoms]) -> None:
    """Energies of weights drawn from the posterior, differentiated by finite differences, and what they leave out."""
    potential, frame, n_samples = fits[10], unseen[1], 4000
    posterior, basis, descriptor = potential.posterior, potential.basis, potential.descriptor
    noise = np.random.default_rng(6).normal(size=(len(posterior.mean), n_samples))
    weights = posterior.signal_eV * (posterior.mean[:, None] + posterior.root @ noise)

    def energies(one: Atoms) -> np.ndarray:
        return features(descriptor.environments(one), basis)[0] @ weights

    force = potential.predict([frame])[0].forces_eV_per_A[3]
    sampled = -np.array([central_difference(energies, frame, 3, axis) for axis in range(3)])
    np.testing.assert_allclose(sampled.mean(axis=1), force, atol=5 * sampled.std() / np.sqrt(n_samples))
    explained = features(descriptor.environments(frame), basis)[10:13, : len(basis.numbers)]
    left_out = prior_variances(descriptor.environments(frame), 4)[10:13] - (explained**2).sum(axis=1)
    assert (left_out > 0).all()
    expected = np.sqrt((sampled.var(axis=1) + posterior.signal_eV**2 * left_out).mean())
    assert potential.atom_spreads([frame])[0][3] == pytest.approx(expected, rel=0.03)


def test_spreads_turn_and_swap_with_the_atoms(fits: dict[int, GPPotential], unseen: list[Atoms]) -> None:
    frame, order = unseen[2], [5, 1, 4, 0, 2, 3]
    turned = frame.copy()
    turned.rotate(70, (1, 2, 3))
    before, after, swapped = fits[10].atom_spreads([frame, turned, frame[order]])
    np.testing.assert_allclose(after, before, rtol=1e-6)
    np.testing.assert_allclose(swapped, before[order], rtol=1e-6)


def test_molecular_dynamics_conserves_the_energy(fits: dict[int, GPPotential], tmp_path: Path) -> None:
    start = molecule("CH3OH")
    protocol = Protocol(
        temperatures_K=[100.0], replicas=1, duration_ps=0.02, time_step_fs=0.25, frame_interval_fs=1.0, ensemble="nve"
    )
    simulate(fits[40], [start], protocol, 7, tmp_path)
    found, _ = read_replica(tmp_path / "frames.h5", 100.0, 0)
    assert len(found) == 21
    total_eV = found.energy_eV + 0.5 * (3 * len(start) - 3) * kB * found.temperature_K
    assert np.ptp(total_eV) < 0.05 * np.ptp(found.energy_eV)


# Bad input


def test_a_frame_without_numbers_has_no_spread(fits: dict[int, GPPotential], pool: list[Atoms]) -> None:
    spoilt = moved(pool[0], 2, 0, np.inf)
    assert np.isnan(fits[10].atom_spreads([spoilt])[0]).all()
    assert np.isnan(fits[10].energy_spreads([spoilt])).all()


def test_an_unknown_element_is_bad_input(fits: dict[int, GPPotential], pool: list[Atoms], tmp_path: Path) -> None:
    strange = pool[0].copy()
    strange.symbols[0] = "N"
    potential = fits[10]
    calls = (potential.predict, potential.atom_spreads, potential.energy_spreads)
    for call in (*calls, lambda given: potential.batch(given[0], 2)):
        with pytest.raises(InputError, match=r"holds N, but the model was fitted to C, H, O only"):
            call([strange])
    e0_eV = model_examples.atomic_energies(pool)
    with pytest.raises(InputError, match="holds N"):
        gp.fit(gp.Config(**SMALL), FitTask(pool[:2], [strange], e0_eV, 0, tmp_path, "cpu"))
    assert not list(tmp_path.iterdir())


def test_a_missing_atomic_energy_is_bad_input(pool: list[Atoms], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="atomic energy of C, O is missing"):
        gp.fit(gp.Config(**SMALL), FitTask(pool[:2], [], {"H": -13.6}, 0, tmp_path, "cpu"))


def test_more_inducing_points_than_environments_are_clipped(pool: list[Atoms], tmp_path: Path) -> None:
    potential = fitted(pool[:3], tmp_path, n_sparse=10_000, rattle_A=0)
    assert len(potential.basis.numbers) == 3 * len(pool[0])
    assert read_json(tmp_path / "fit.json")["n_parameters"] == 3 * len(pool[0]) + 3
