"""Dynamics against what is known: harmonic and Morse potentials, whose averages and errors are analytic."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from ase import units

from longhot.langevin import BLOCK_STEPS, Integrator, State, Stream, draw_noise, draw_velocities
from longhot.potential import BatchResult

pytestmark = pytest.mark.physics

TEMPERATURE_K = 400.0
KT_EV = units.kB * TEMPERATURE_K
STIFFNESS_EV_PER_A2 = 15.0
MASSES_AMU = np.array([1.008, 12.011, 15.999])
STANDARD_ERRORS = 4.0
"""A statistical comparison fails by chance once in 16,000 times; the seeds are fixed, so never twice."""


class Harmonic:
    """Each atom on its own spring to the origin."""

    def compute(self, positions_A: np.ndarray) -> BatchResult:
        energy = 0.5 * STIFFNESS_EV_PER_A2 * (positions_A**2).sum(axis=(1, 2))
        return BatchResult(energy, -STIFFNESS_EV_PER_A2 * positions_A)


class Morse:
    """A chain of bonds of depth 4.5 eV, range 1.9 per A and length 1.1 A."""

    def compute(self, positions_A: np.ndarray) -> BatchResult:
        bonds = positions_A[:, 1:] - positions_A[:, :-1]
        length = np.linalg.norm(bonds, axis=2, keepdims=True)
        decay = np.exp(-1.9 * (length - 1.1))
        pull = 2 * 4.5 * 1.9 * (1 - decay) * decay * bonds / length
        forces = np.zeros_like(positions_A)
        forces[:, :-1] += pull
        forces[:, 1:] -= pull
        return BatchResult((4.5 * (1 - decay) ** 2).sum(axis=(1, 2)), forces)


def streams(seed: int, replicas: Sequence[int]) -> list[Stream]:
    return [Stream(seed, TEMPERATURE_K, replica) for replica in replicas]


def integrator_of(n_replicas: int, time_step_fs: float, friction_per_ps: float) -> Integrator:
    return Integrator(MASSES_AMU, np.full(n_replicas, TEMPERATURE_K), time_step_fs, friction_per_ps)


def start(potential: Harmonic | Morse, positions_A: np.ndarray, seed: int = 0) -> State:
    velocities = [draw_velocities(stream, MASSES_AMU) for stream in streams(seed, range(len(positions_A)))]
    result = potential.compute(positions_A)
    no_cell = np.zeros((len(positions_A), 3, 3))
    return State(positions_A.copy(), np.stack(velocities), result.forces_eV_per_A, result.energy_eV, no_cell)


def step(integrator: Integrator, potential: Harmonic | Morse, state: State, noise: np.ndarray | None) -> None:
    integrator.before_forces(state, noise)
    result = potential.compute(state.positions_A)
    state.forces_eV_per_A[...] = result.forces_eV_per_A
    state.energy_eV[...] = result.energy_eV
    integrator.after_forces(state)


@pytest.fixture(scope="module", params=[0.5, 2.0], ids=["0.5fs", "2fs"])
def sampled(request: pytest.FixtureRequest) -> tuple[float, np.ndarray, np.ndarray]:
    """Time step in fs, and block means of x^2 and m v^2, each of shape (n_blocks, n_atoms).

    64 replicas, 5,400 steps after 600 of equilibration; a block is one replica's mean over time, so that
    blocks are independent.
    """
    time_step_fs, n_replicas = request.param, 64
    potential = Harmonic()
    integrator = integrator_of(n_replicas, time_step_fs, 50.0)
    state = start(potential, np.zeros((n_replicas, 3, 3)))
    squares, speeds, n_samples = np.zeros((n_replicas, 3)), np.zeros((n_replicas, 3)), 0
    n_blocks = 60
    for block in range(n_blocks):
        for noise in draw_noise(streams(1, range(n_replicas)), [block] * n_replicas, 3):
            step(integrator, potential, state, noise)
            if block >= n_blocks // 10:
                squares += (state.positions_A**2).mean(axis=2)
                speeds += (state.velocities**2).mean(axis=2) * MASSES_AMU
                n_samples += 1
    return time_step_fs, squares / n_samples, speeds / n_samples


def assert_mean(blocks: np.ndarray, expected: np.ndarray) -> None:
    """The mean over blocks, shape (n_blocks, n_atoms), is ``expected`` within its standard error."""
    error = blocks.std(axis=0, ddof=1) / np.sqrt(len(blocks))
    assert (error < 0.03 * expected).all(), "too noisy to tell"
    assert (np.abs(blocks.mean(axis=0) - expected) < STANDARD_ERRORS * error).all()


def test_harmonic_position_variance_is_exact_at_any_time_step(sampled: tuple[float, np.ndarray, np.ndarray]) -> None:
    """BAOAB samples <x^2> = kT/k of a harmonic oscillator without any error of the time step."""
    _, squares, _ = sampled
    assert_mean(squares, np.full(3, KT_EV / STIFFNESS_EV_PER_A2))


def test_harmonic_kinetic_temperature(sampled: tuple[float, np.ndarray, np.ndarray]) -> None:
    """<m v^2> = kT (1 - (omega h)^2 / 4): the known bias of BAOAB's velocities, each mass alike thermal."""
    time_step_fs, _, speeds = sampled
    omega_h = np.sqrt(STIFFNESS_EV_PER_A2 / MASSES_AMU) * time_step_fs * units.fs
    assert_mean(speeds, KT_EV * (1 - omega_h**2 / 4))


def test_free_centre_of_mass_is_thermal() -> None:
    """With 3N degrees of freedom the mean kinetic temperature of a bound chain is the thermostat's."""
    n_replicas, potential = 64, Morse()
    integrator = integrator_of(n_replicas, 0.25, 50.0)
    positions = np.zeros((n_replicas, 3, 3))
    positions[:, :, 0] = 1.1 * np.arange(3)
    state = start(potential, positions)
    temperatures = []
    for block in range(60):
        for noise in draw_noise(streams(2, range(n_replicas)), [block] * n_replicas, 3):
            step(integrator, potential, state, noise)
        temperatures.append(integrator.temperature_K(integrator.kinetic_energy_eV(state)))
    # 25 fs lie between samples and the velocities forget in 20 fs; replicas are independent for sure.
    assert_mean(np.mean(temperatures[10:], axis=0)[:, None], np.array([TEMPERATURE_K]))


def test_noise_is_standard_normal_and_uncorrelated() -> None:
    noise = np.concatenate([draw_noise(streams(3, range(4)), [block] * 4, 5) for block in range(50)]).reshape(
        50 * BLOCK_STEPS, -1
    )
    n_steps = len(noise)
    assert np.abs(noise.mean(axis=0)).max() < 5 / np.sqrt(n_steps)
    assert np.abs(noise.var(axis=0) - 1).max() < 5 * np.sqrt(2 / n_steps)
    correlation = np.corrcoef(noise.T) - np.eye(noise.shape[1])
    assert np.abs(correlation).max() < 5 / np.sqrt(n_steps)
    assert np.abs((noise[1:] * noise[:-1]).mean(axis=0)).max() < 5 / np.sqrt(n_steps)


def test_initial_velocities_are_maxwell_boltzmann_without_drift() -> None:
    velocities = np.stack([draw_velocities(stream, MASSES_AMU) for stream in streams(4, range(5000))])
    momentum = (velocities * MASSES_AMU[:, None]).sum(axis=1)
    assert np.abs(momentum).max() < 1e-14 * np.sqrt(KT_EV * MASSES_AMU.sum()) * 100
    kinetic = 0.5 * (velocities**2 * MASSES_AMU[:, None]).sum(axis=(1, 2))
    degrees_of_freedom = 3 * len(MASSES_AMU) - 3
    assert_mean(kinetic[:, None], np.array([degrees_of_freedom * KT_EV / 2]))


def nve_error_eV(time_step_fs: float) -> float:
    """Largest change of the total energy over 200 fs of a hot Morse chain, mean over replicas."""
    n_replicas, potential = 8, Morse()
    positions = np.zeros((n_replicas, 3, 3))
    positions[:, :, 0] = 1.1 * np.arange(3)
    integrator = integrator_of(n_replicas, time_step_fs, 0.0)
    state = start(potential, positions)
    before = state.energy_eV + integrator.kinetic_energy_eV(state)
    largest = np.zeros(n_replicas)
    for _ in range(round(200 / time_step_fs)):
        step(integrator, potential, state, None)
        largest = np.maximum(largest, np.abs(state.energy_eV + integrator.kinetic_energy_eV(state) - before))
    momentum = (state.velocities * MASSES_AMU[:, None]).sum(axis=1)
    assert np.abs(momentum).max() < 1e-10, "NVE keeps the momentum"
    return float(largest.mean())


def test_nve_energy_error_is_of_second_order() -> None:
    errors = [nve_error_eV(time_step_fs) for time_step_fs in (0.5, 0.25, 0.125)]
    orders = np.log2(np.array(errors[:-1]) / np.array(errors[1:]))
    np.testing.assert_allclose(orders, 2.0, atol=0.15)
    assert errors[0] < 0.02 * KT_EV * 9


def test_nve_is_reversible() -> None:
    """Back with the velocities turned, the start comes again but for rounding."""
    potential = Morse()
    integrator = integrator_of(1, 0.5, 0.0)
    positions = np.zeros((1, 3, 3))
    positions[:, :, 0] = 1.1 * np.arange(3)
    state = start(potential, positions)
    for _ in range(2):
        for _ in range(400):
            step(integrator, potential, state, None)
        state.velocities *= -1
    np.testing.assert_allclose(state.positions_A, positions, atol=1e-9)


def test_restart_and_batch_do_not_change_a_bit() -> None:
    """Replica 2 of 4, and replica 2 alone that is stopped and taken up again, are the same numbers."""
    potential = Morse()
    positions = np.zeros((4, 3, 3))
    positions[:, :, 0] = 1.1 * np.arange(3) * np.array([1.0, 1.02, 0.97, 1.05])[:, None]
    whole = start(potential, positions, seed=9)
    integrator = integrator_of(4, 0.5, 10.0)
    for block in range(4):
        for noise in draw_noise(streams(9, range(4)), [block] * 4, 3):
            step(integrator, potential, whole, noise)

    velocities = draw_velocities(streams(9, [2])[0], MASSES_AMU)[None]
    result = potential.compute(positions[2:3])
    alone = State(positions[2:3].copy(), velocities, result.forces_eV_per_A, result.energy_eV, np.zeros((1, 3, 3)))
    for block in range(4):
        alone = State(*(values.copy() for values in vars(alone).values()))
        again = integrator_of(1, 0.5, 10.0)
        for noise in draw_noise(streams(9, [2]), [block], 3):
            step(again, potential, alone, noise)
    for name, values in vars(whole).items():
        np.testing.assert_array_equal(vars(alone)[name][0], values[2], err_msg=name)
