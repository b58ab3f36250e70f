"""The engine samples the ensembles that it names: kinetic energies, energies and volumes against theory.

The checks are those of physical_validation (Merz and Shirts, PLoS ONE 13, e0202764, 2018) and analytic
answers. Each is also shown to reject what it is there to reject: a check that cannot fail proves nothing.
All distances are in standard errors ("sigma"); seeds are fixed, so they never change.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk
from known_potentials import Einstein, EinsteinBox, Free, Toy, bonded_crystal, bonded_molecule
from physical_validation import data as pv
from physical_validation import ensemble, integrator, kinetic_energy
from pymbar.timeseries import statistical_inefficiency_multiple
from scipy import stats

from longhot.config import Protocol
from longhot.dynamics.barostat import Moves, move_volumes, scaled_axes
from longhot.dynamics.engine import simulate
from longhot.dynamics.trajectory import read_replica
from longhot.langevin import Integrator, State, Stream, draw_noise, draw_velocities
from longhot.potential import BatchResult

pytestmark = pytest.mark.physics

WITHIN = 3.0
"""Sound sampling lies within so many sigma ..."""
BEYOND = 5.0
"""... and what is wrong on purpose beyond so many."""
UNITS = pv.UnitData(
    kb=units.kB,
    energy_conversion=units.mol / units.kJ,
    length_conversion=0.1,
    volume_conversion=1e-3,
    temperature_conversion=1.0,
    pressure_conversion=1.0,
    time_conversion=1.0,
    energy_str="eV",
    volume_str="A^3",
    pressure_str="bar",
)


@dataclass
class Sampled:
    """Numbers of equilibrated frames, each of shape (n_replicas, n_frames)."""

    temperature_K: float
    """Of the thermostat."""
    pressure_bar: float
    n_atoms: int
    kinetic_eV: np.ndarray
    potential_eV: np.ndarray
    volume_A3: np.ndarray
    positions_A: np.ndarray
    """Shape (n_replicas, n_frames, n_atoms, 3)."""
    cell_A: np.ndarray
    """Shape (n_replicas, n_frames, 3, 3)."""

    def independent(self, *names: str) -> list[np.ndarray]:
        """Some of the numbers, thinned alike until their frames are independent, in one row each."""
        return thinned(*(getattr(self, name) for name in names))


def thinned(*series: np.ndarray) -> list[np.ndarray]:
    """Series of shape (n_replicas, n_frames), thinned alike until their frames are independent, in one row each."""
    slowest = max(statistical_inefficiency_multiple(list(one)) for one in series)
    stride = int(np.ceil(slowest - 0.1))
    return [one[:, ::stride].ravel() for one in series]


def sample(
    potential: Toy,
    starts: Sequence[Atoms],
    directory: Path,
    seed: int,
    *,
    equilibration_ps: float,
    **protocol: Any,
) -> list[Sampled]:
    """Frames of the engine after ``equilibration_ps``, one entry a temperature.

    Bonds are not watched, and the frames are the only checks for failure; none may fail.
    """
    # Looked at for failure at the end alone.
    at_the_end = 1e3 * protocol["duration_ps"]
    settings = Protocol(replicas=len(starts), check_interval_fs=at_the_end, bond_checks=False, **protocol)
    simulate(potential, starts, settings, seed, directory)
    n_atoms, found = len(starts[0]), []
    degrees_of_freedom = 3 * n_atoms - (3 if settings.ensemble == "nve" else 0)
    n_frames = 1 + int(1000 * settings.duration_ps / settings.frame_interval_fs)
    for temperature_K in settings.temperatures_K:
        frames = [read_replica(directory / "frames.h5", temperature_K, replica)[0] for replica in range(len(starts))]
        assert {len(one.time_ps) for one in frames} == {n_frames}, "a replica ended early, see outcomes.csv"
        first = int(np.searchsorted(frames[0].time_ps, equilibration_ps - 1e-9))
        numbers = {
            name: np.stack([getattr(one, name)[first:] for one in frames])
            for name in ("temperature_K", "energy_eV", "positions_A", "cell_A")
        }
        found.append(
            Sampled(
                temperature_K,
                settings.pressure_bar,
                n_atoms,
                0.5 * degrees_of_freedom * units.kB * numbers["temperature_K"],
                numbers["energy_eV"],
                np.abs(np.linalg.det(numbers["cell_A"])),
                numbers["positions_A"],
                numbers["cell_A"],
            )
        )
    return found


def start(atoms: Atoms, potential: Toy, streams: Sequence[Stream]) -> State:
    """One replica a stream, at the positions of ``atoms``, for the tests that drive the integrator themselves."""
    masses = atoms.get_masses()
    positions_A = np.repeat(atoms.positions[None], len(streams), axis=0)
    cell_A = np.repeat(np.asarray(atoms.cell)[None], len(streams), axis=0)
    velocities = np.stack([draw_velocities(stream, masses) for stream in streams])
    result = potential.compute(positions_A, cell_A)
    return State(positions_A, velocities, result.forces_eV_per_A, result.energy_eV, cell_A)


def step(engine: Integrator, potential: Toy, state: State, noise: np.ndarray | None) -> None:
    engine.before_forces(state, noise)
    result = potential.compute(state.positions_A, state.cell_A)
    state.forces_eV_per_A[...] = result.forces_eV_per_A
    state.energy_eV[...] = result.energy_eV
    engine.after_forces(state)


# What is checked


def kinetic_sigmas(sampled: Sampled, lost_degrees_of_freedom: int = 0) -> tuple[float, float]:
    """Distance of the mean and of the width of the kinetic energy from those of Maxwell and Boltzmann."""
    data = pv.SimulationData(
        units=UNITS,
        ensemble=pv.EnsembleData("NVT", sampled.n_atoms, volume=1.0, temperature=sampled.temperature_K),
        system=pv.SystemData(
            natoms=sampled.n_atoms, nconstraints=0, ndof_reduction_tra=lost_degrees_of_freedom, ndof_reduction_rot=0
        ),
        observables=pv.ObservableData(kinetic_energy=sampled.independent("kinetic_eV")[0]),
    )
    return kinetic_energy.distribution(data, verbosity=0, bootstrap_seed=1, data_is_uncorrelated=True)


def state_point(sampled: Sampled, kind: str) -> pv.SimulationData:
    """The independent energies and volumes of one run, for the checks of ensembles."""
    at = {"natoms": sampled.n_atoms, "temperature": sampled.temperature_K}
    if kind == "NVT":
        observables = dict(zip(("potential_energy",), sampled.independent("potential_eV"), strict=True))
        return pv.SimulationData(
            units=UNITS,
            ensemble=pv.EnsembleData("NVT", volume=1.0, **at),
            observables=pv.ObservableData(**observables),
        )
    energy, volume = sampled.independent("potential_eV", "volume_A3")
    return pv.SimulationData(
        units=UNITS,
        ensemble=pv.EnsembleData("NPT", pressure=sampled.pressure_bar, **at),
        observables=pv.ObservableData(potential_energy=energy, volume=volume),
    )


def ensemble_sigmas(one: Sampled, other: Sampled, kind: str) -> list[float]:
    """Distance of ln(P_2/P_1) from what two temperatures or pressures ask: its slopes in energy and volume."""
    return ensemble.check(state_point(one, kind), state_point(other, kind), verbosity=0, data_is_uncorrelated=True)


def mean_sigmas(values: np.ndarray, expected: float) -> float:
    """Distance of a mean over independent values."""
    return float(abs(values.mean() - expected) / (values.std(ddof=1) / np.sqrt(len(values))))


def distribution_sigmas(values: np.ndarray, law: Any) -> float:
    """How surprising the Kolmogorov-Smirnov distance of independent values is, as of a normal variable."""
    return float(stats.norm.isf(stats.kstest(values, law.cdf).pvalue / 2))


# Constant volume and temperature


def sample_molecule(directory: Path, temperature_K: float, seed: int) -> Sampled:
    atoms, potential = bonded_molecule()
    (sampled,) = sample(
        potential,
        [atoms] * 128,
        directory,
        seed,
        equilibration_ps=2.0,
        temperatures_K=[temperature_K],
        duration_ps=12.0,
        time_step_fs=1.0,
        friction_per_ps=20.0,
        frame_interval_fs=200.0,
    )
    return sampled


def sample_crystal(directory: Path, temperature_K: float, seed: int) -> Sampled:
    atoms, potential = bonded_crystal()
    (sampled,) = sample(
        potential,
        [atoms] * 64,
        directory,
        seed,
        equilibration_ps=2.0,
        temperatures_K=[temperature_K],
        duration_ps=32.0,
        time_step_fs=2.0,
        friction_per_ps=10.0,
        frame_interval_fs=300.0,
    )
    return sampled


@pytest.fixture(scope="module", params=["molecule", "crystal"])
def nvt(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Sampled, Sampled]:
    """One system at 300 K, and at the higher temperature that is best told from it."""
    runner = {"molecule": sample_molecule, "crystal": sample_crystal}[request.param]
    cold = runner(tmp_path_factory.mktemp("cold"), 300.0, 1)
    interval = ensemble.estimate_interval(state_point(cold, "NVT"), verbosity=0, data_is_uncorrelated=True)
    return cold, runner(tmp_path_factory.mktemp("hot"), round(300.0 + interval["dT"]), 2)


def test_kinetic_energy_is_maxwell_boltzmann(nvt: tuple[Sampled, Sampled]) -> None:
    for sampled in nvt:
        assert max(kinetic_sigmas(sampled)) < WITHIN


def test_kinetic_energy_with_wrong_degrees_of_freedom_is_rejected(nvt: tuple[Sampled, Sampled]) -> None:
    """A Langevin thermostat heats the centre of mass too; whoever leaves its three out is found out."""
    for sampled in nvt:
        assert kinetic_sigmas(sampled, lost_degrees_of_freedom=3)[0] > BEYOND


def test_wrong_temperature_is_rejected(nvt: tuple[Sampled, Sampled]) -> None:
    """Three in a hundred."""
    for sampled in nvt:
        claimed = Sampled(**{**vars(sampled), "temperature_K": 1.03 * sampled.temperature_K})
        assert kinetic_sigmas(claimed)[0] > BEYOND


def test_energies_are_canonical(nvt: tuple[Sampled, Sampled]) -> None:
    assert max(ensemble_sigmas(*nvt, "NVT")) < WITHIN


def test_configurational_temperature(nvt: tuple[Sampled, Sampled]) -> None:
    """<|grad U|^2> = kT <laplace U>, of the positions alone (Butler et al., J. Chem. Phys. 109, 6519, 1998)."""
    for sampled in nvt:
        atoms, potential = bonded_molecule() if sampled.n_atoms == 9 else bonded_crystal()
        potential.batch(atoms, 1)
        positions_A = sampled.positions_A.reshape(-1, sampled.n_atoms, 3)
        forces = potential.compute(positions_A).forces_eV_per_A
        cells = np.broadcast_to(np.asarray(atoms.cell), (len(positions_A), 3, 3))
        excess = (forces**2).sum(axis=(1, 2)) - units.kB * sampled.temperature_K * potential.laplacian_eV_per_A2(
            positions_A, cells
        )
        assert mean_sigmas(excess.reshape(sampled.kinetic_eV.shape).mean(axis=1), 0.0) < WITHIN


def berendsen(temperature_K: float, seed: int) -> Sampled:
    """The bonded crystal under velocity Verlet, all velocities scaled by sqrt(1 + h/tau (T/T_kinetic - 1))."""
    n_replicas, time_step_fs, relaxation_fs = 128, 4.0, 500.0
    atoms, potential = bonded_crystal()
    potential.batch(atoms, n_replicas)
    engine = Integrator(atoms.get_masses(), np.full(n_replicas, temperature_K), time_step_fs, 0.0)
    state = start(atoms, potential, [Stream(seed, temperature_K, replica) for replica in range(n_replicas)])
    state.velocities *= np.sqrt(2)
    kinetic_eV, potential_eV = [], []
    for index in range(4000):
        step(engine, potential, state, None)
        kinetic = engine.kinetic_energy_eV(state)
        ratio = temperature_K / engine.temperature_K(kinetic)
        state.velocities *= np.sqrt(1 + time_step_fs / relaxation_fs * (ratio - 1))[:, None, None]
        if index >= 1000 and index % 150 == 0:
            kinetic_eV.append(kinetic)
            potential_eV.append(state.energy_eV.copy())
    nothing = np.zeros(0)
    return Sampled(
        temperature_K, 0.0, len(atoms), np.transpose(kinetic_eV), np.transpose(potential_eV), nothing, nothing, nothing
    )


def test_velocity_rescaling_is_rejected() -> None:
    """A weak-coupling thermostat keeps the mean temperature, and neither its fluctuations nor those of the energy."""
    cold, hot = berendsen(300.0, 3), berendsen(450.0, 4)
    for sampled in (cold, hot):
        _, width = kinetic_sigmas(sampled, lost_degrees_of_freedom=3)
        assert width > BEYOND
    assert ensemble_sigmas(cold, hot, "NVT")[0] > BEYOND


def test_equipartition_between_masses_and_kinds_of_motion() -> None:
    """Each element, translation, rotation and internal motion have their share of the kinetic energy."""
    n_replicas, temperature_K, seed = 128, 300.0, 5
    atoms, potential = bonded_molecule()
    potential.batch(atoms, n_replicas)
    masses = atoms.get_masses()
    engine = Integrator(masses, np.full(n_replicas, temperature_K), 1.0, 20.0)
    streams = [Stream(seed, temperature_K, replica) for replica in range(n_replicas)]
    state = start(atoms, potential, streams)
    positions, velocities = [], []
    for block in range(50):
        for noise in draw_noise(streams, [block] * n_replicas, len(atoms)):
            step(engine, potential, state, noise)
        if block >= 20 and block % 2 == 0:
            positions.append(state.positions_A.copy())
            velocities.append(state.velocities.copy())
    moving = np.concatenate(velocities)
    for symbol in set(atoms.symbols):
        mine = atoms.symbols == symbol
        kinetic = 0.5 * (masses[mine, None] * moving[:, mine] ** 2).sum(axis=(1, 2))
        assert mean_sigmas(kinetic, 1.5 * mine.sum() * units.kB * temperature_K) < WITHIN
    data = pv.SimulationData(
        units=UNITS,
        ensemble=pv.EnsembleData("NVT", len(atoms), volume=1.0, temperature=temperature_K),
        system=pv.SystemData(
            natoms=len(atoms),
            nconstraints=0,
            ndof_reduction_tra=0,
            ndof_reduction_rot=0,
            mass=masses,
            molecule_idx=np.array([0]),
            nconstraints_per_molecule=np.array([0]),
        ),
        trajectory=pv.TrajectoryData(np.concatenate(positions), moving),
    )
    found = kinetic_energy.equipartition(data, verbosity=0, bootstrap_seed=1, data_is_uncorrelated=True)
    assert np.shape(found) == (5, 2)
    assert np.max(found) < WITHIN


def test_centre_of_mass_moves_as_a_free_brownian_particle(tmp_path: Path) -> None:
    """<|R(t) - R(0)|^2> from rest, of total mass M: 3kT/(M gamma^2) (2 gamma t - 3 + 4 e^-gamma t - e^-2 gamma t)."""
    atoms, potential = bonded_molecule()
    friction_per_ps, temperature_K = 10.0, 300.0
    (sampled,) = sample(
        potential,
        [atoms] * 128,
        tmp_path,
        6,
        equilibration_ps=0.0,
        temperatures_K=[temperature_K],
        duration_ps=0.8,
        time_step_fs=0.5,
        friction_per_ps=friction_per_ps,
        frame_interval_fs=50.0,
    )
    masses = atoms.get_masses()
    centre = np.einsum("n,rtnk->rtk", masses, sampled.positions_A) / masses.sum()
    moved = ((centre - centre[:, :1]) ** 2).sum(axis=2)
    per_ps = friction_per_ps / (1000 * units.fs)
    scale = 3 * units.kB * temperature_K / (masses.sum() * per_ps**2)
    for frame in (1, 4, 16):
        passed = friction_per_ps * 0.05 * frame
        expected = scale * (2 * passed - 3 + 4 * np.exp(-passed) - np.exp(-2 * passed))
        assert mean_sigmas(moved[:, frame], expected) < WITHIN


# Constant energy


def nve_totals(potential: Toy, atoms: Atoms, directory: Path, time_step_fs: float) -> tuple[np.ndarray, Sampled]:
    """Total energies (R, T) less each replica's mean."""
    (sampled,) = sample(
        potential,
        [atoms] * 8,
        directory,
        7,
        equilibration_ps=0.0,
        ensemble="nve",
        temperatures_K=[600.0],
        duration_ps=2.0,
        time_step_fs=time_step_fs,
        frame_interval_fs=8.0,
    )
    totals = sampled.kinetic_eV + sampled.potential_eV
    return totals - totals.mean(axis=1, keepdims=True), sampled


def first_order_totals(kind: str, time_step_fs: float) -> np.ndarray:
    """The same of two integrators of first order, by the crystal at the same velocities."""
    atoms, potential = bonded_crystal()
    potential.batch(atoms, 8)
    state = start(atoms, potential, [Stream(7, 600.0, replica) for replica in range(8)])
    mass, totals = atoms.get_masses()[:, None], []
    for _ in range(round(500 / time_step_fs)):
        before = state.velocities.copy()
        state.velocities += time_step_fs * units.fs * state.forces_eV_per_A / mass
        state.positions_A += time_step_fs * units.fs * (state.velocities if kind == "symplectic" else before)
        result = potential.compute(state.positions_A)
        state.forces_eV_per_A[...] = result.forces_eV_per_A
        totals.append(result.energy_eV + 0.5 * (mass * state.velocities**2).sum(axis=(1, 2)))
    series = np.transpose(totals)
    return series - series.mean(axis=1, keepdims=True)


def order_fault(totals: dict[float, np.ndarray]) -> float:
    """Largest relative distance of the fluctuations' ratios from those of the squared time steps."""
    data = [
        pv.SimulationData(dt=step, observables=pv.ObservableData(constant_of_motion=series.ravel()))
        for step, series in totals.items()
    ]
    return integrator.convergence(data, verbose=False)


NVE_STEPS_FS = {"molecule": (1.0, 0.5, 0.25), "crystal": (8.0, 4.0, 2.0)}


@pytest.mark.parametrize("name", NVE_STEPS_FS)
def test_energy_error_is_of_second_order_without_drift(name: str, tmp_path: Path) -> None:
    atoms, potential = {"molecule": bonded_molecule, "crystal": bonded_crystal}[name]()
    totals = {}
    for time_step_fs in NVE_STEPS_FS[name]:
        totals[time_step_fs], sampled = nve_totals(potential, atoms, tmp_path / f"{time_step_fs}", time_step_fs)
        times = np.linspace(-0.5, 0.5, totals[time_step_fs].shape[1])
        drift = totals[time_step_fs] @ times / (times @ times)
        # Over the whole run the energy drifts by less than it fluctuates.
        assert np.abs(drift).max() < totals[time_step_fs].std()
        masses = atoms.get_masses()
        centre = np.einsum("n,rtnk->rtk", masses, sampled.positions_A) / masses.sum()
        np.testing.assert_allclose(centre, np.broadcast_to(centre[:1, :1], centre.shape), atol=1e-9)
    assert order_fault(totals) < 0.1


@pytest.mark.parametrize("kind", ["symplectic", "explicit"])
def test_first_order_integrator_is_rejected(kind: str) -> None:
    totals = {step: first_order_totals(kind, step) for step in (2.0, 1.0, 0.5)}
    assert order_fault(totals) > 0.3


# Constant pressure and temperature


def sample_npt(
    potential: Toy,
    starts: Sequence[Atoms],
    directory: Path,
    seed: int,
    pressure_bar: float,
    temperatures_K: list[float],
) -> list[Sampled]:
    return sample(
        potential,
        starts,
        directory,
        seed,
        equilibration_ps=12.0,
        ensemble="npt",
        pressure_bar=pressure_bar,
        temperatures_K=temperatures_K,
        duration_ps=60.0,
        time_step_fs=4.0,
        friction_per_ps=10.0,
        frame_interval_fs=600.0,
    )


SCALED = {
    "isotropic": {(True, True, True)},
    "x": {(True, False, False)},
    "y": {(False, True, False)},
    "z": {(False, False, True)},
    "independent": {(True, False, False), (False, True, False), (False, False, True)},
}
"""Which of x, y and z the moves of each kind scale."""


@pytest.mark.parametrize("axes", SCALED)
def test_volume_moves_leave_a_whole_state(axes: str) -> None:
    """What is accepted has the energy and forces of its new positions and cell; what is refused has not changed.

    Nor has, in a single bit, any axis that a move leaves alone.
    """
    n_replicas = 64
    atoms, potential = bonded_crystal(swollen=1.01)
    potential.batch(atoms, n_replicas)
    state = start(atoms, potential, [Stream(1, 300.0, replica) for replica in range(n_replicas)])
    state.positions_A += np.random.default_rng(1).normal(0.0, 0.1, state.positions_A.shape)
    result = potential.compute(state.positions_A, state.cell_A)
    state.forces_eV_per_A[...], state.energy_eV[...] = result.forces_eV_per_A, result.energy_eV
    before = {name: values.copy() for name, values in vars(state).items()}
    moves, live = Moves.fresh(n_replicas), np.arange(n_replicas) % 4 != 0
    lost = np.arange(n_replicas) % 4 == 1

    def compute(positions_A: np.ndarray, cell_A: np.ndarray) -> BatchResult:
        found = potential.compute(positions_A, cell_A)
        found.forces_eV_per_A[lost, 0, 0] = np.nan
        return found

    moves.width[:] = 0.1
    uniform = np.random.default_rng(2).random((n_replicas, 3))
    move_volumes(
        state, moves, compute, uniform, np.full(n_replicas, 300.0), 1000.0, axes, np.zeros(n_replicas, dtype=bool), live
    )
    taken = (state.cell_A != before["cell_A"]).any(axis=(1, 2))
    assert 5 < taken.sum() < (live & ~lost).sum() - 5
    assert not taken[~live | lost].any()
    result = potential.compute(state.positions_A, state.cell_A)
    np.testing.assert_array_equal(state.energy_eV, result.energy_eV)
    np.testing.assert_array_equal(state.forces_eV_per_A, result.forces_eV_per_A)
    np.testing.assert_array_equal(state.velocities, before["velocities"])
    for name, values in before.items():
        np.testing.assert_array_equal(getattr(state, name)[~taken], values[~taken])
    fractional = [
        x @ np.linalg.inv(h) for x, h in ((state.positions_A, state.cell_A), (before["positions_A"], before["cell_A"]))
    ]
    np.testing.assert_allclose(*fractional, atol=1e-12)
    scaled = scaled_axes(axes, uniform[:, 2])
    assert {tuple(one) for one in scaled[taken].tolist()} == SCALED[axes]
    for name in ("positions_A", "cell_A"):
        left, were = (np.swapaxes(values, 1, 2)[~scaled] for values in (getattr(state, name), before[name]))
        assert left.tobytes() == were.tobytes()
    ratio = state.cell_A / np.where(before["cell_A"] == 0, np.nan, before["cell_A"])
    factors = np.where(scaled, np.nanmax(ratio, axis=1), 1.0)  # (n_replicas, 3)
    np.testing.assert_allclose(np.log(factors[taken]).sum(axis=1), 0.1 * (2 * uniform[taken, 0] - 1))


@dataclass
class Npt:
    """The bonded crystal at three state points: both of the others at the most telling distance from the first."""

    base: Sampled
    pressed: Sampled
    hot: Sampled
    pressed_and_hot: Sampled


@pytest.fixture(scope="module")
def npt(tmp_path_factory: pytest.TempPathFactory) -> Npt:
    atoms, potential = bonded_crystal(swollen=1.01)
    base_bar, base_K = 1000.0, 300.0
    (base,) = sample_npt(potential, [atoms] * 64, tmp_path_factory.mktemp("base"), 8, base_bar, [base_K])
    interval = ensemble.estimate_interval(state_point(base, "NPT"), verbosity=0, data_is_uncorrelated=True)
    hot_K, pressed_bar = round(base_K + interval["dT"]), base_bar + interval["dP"]
    (hot,) = sample_npt(potential, [atoms] * 64, tmp_path_factory.mktemp("hot"), 9, base_bar, [hot_K])
    pressed = sample_npt(potential, [atoms] * 64, tmp_path_factory.mktemp("pressed"), 10, pressed_bar, [base_K, hot_K])
    return Npt(base, pressed[0], hot, pressed[1])


def test_volumes_at_two_pressures(npt: Npt) -> None:
    assert ensemble_sigmas(npt.base, npt.pressed, "NPT")[0] < WITHIN
    assert ensemble_sigmas(npt.hot, npt.pressed_and_hot, "NPT")[0] < WITHIN


def test_enthalpies_at_two_temperatures(npt: Npt) -> None:
    assert ensemble_sigmas(npt.base, npt.hot, "NPT")[0] < WITHIN
    assert ensemble_sigmas(npt.pressed, npt.pressed_and_hot, "NPT")[0] < WITHIN


def test_energies_and_volumes_at_two_temperatures_and_pressures(npt: Npt) -> None:
    assert max(ensemble_sigmas(npt.base, npt.pressed_and_hot, "NPT")) < WITHIN


def test_kinetic_energy_under_pressure(npt: Npt) -> None:
    for sampled in vars(npt).values():
        assert max(kinetic_sigmas(sampled)) < WITHIN


def weak_coupling_barostat(temperature_K: float, pressure_bar: float, seed: int) -> Sampled:
    """The bonded crystal under Langevin, its volume relaxing towards the pressure at every 25th step.

    ln V changes by (P_now - P) / (8 B), with the pressure of the moment from the kinetic energy and from
    -dU/dV, and B of the order of the bulk modulus.
    """
    n_replicas, modulus = 64, 0.15
    atoms, potential = bonded_crystal(swollen=1.01)
    potential.batch(atoms, n_replicas)
    engine = Integrator(atoms.get_masses(), np.full(n_replicas, temperature_K), 4.0, 10.0)
    streams = [Stream(seed, temperature_K, replica) for replica in range(n_replicas)]
    state = start(atoms, potential, streams)
    potential_eV, volume_A3 = [], []
    for block in range(80):
        for index, noise in enumerate(draw_noise(streams, [block] * n_replicas, len(atoms))):
            step(engine, potential, state, noise)
            if index % 25 == 24:
                volume = np.abs(np.linalg.det(state.cell_A))
                up, down = (
                    potential.compute(factor * state.positions_A, factor * state.cell_A).energy_eV
                    for factor in (1.0001, 0.9999)
                )
                pressure = 2 / 3 * engine.kinetic_energy_eV(state) / volume - (up - down) / (6e-4 * volume)
                factor = np.exp((pressure - pressure_bar * units.bar) / (24 * modulus))[:, None, None]
                state.positions_A *= factor
                state.cell_A *= factor
        if block >= 20:
            potential_eV.append(potential.compute(state.positions_A, state.cell_A).energy_eV)
            volume_A3.append(np.abs(np.linalg.det(state.cell_A)))
    nothing = np.zeros(0)
    return Sampled(
        temperature_K,
        pressure_bar,
        len(atoms),
        nothing,
        np.transpose(potential_eV),
        np.transpose(volume_A3),
        nothing,
        nothing,
    )


def test_weak_coupling_barostat_is_rejected() -> None:
    """It keeps the mean pressure, and not the fluctuations of the volume."""
    low, high = (weak_coupling_barostat(300.0, pressure_bar, 13) for pressure_bar in (1000.0, 4000.0))
    assert ensemble_sigmas(low, high, "NPT")[0] > BEYOND


def test_volume_and_enthalpy_of_a_crystal_with_known_answers(tmp_path: Path) -> None:
    """Volumes are normal, enthalpies chi-squared, as ``Einstein`` says; and not as one factor V more would have it."""
    atoms = bulk("Cu", "fcc", a=5.0, cubic=True)
    rest_A3, modulus, pressure_bar = atoms.get_volume(), 0.02, 5e3
    potential = Einstein(atoms.get_scaled_positions(), 6.0, modulus, rest_A3)
    pressure = pressure_bar * units.bar
    for sampled in sample(
        potential,
        [atoms] * 128,
        tmp_path,
        11,
        equilibration_ps=10.0,
        ensemble="npt",
        pressure_bar=pressure_bar,
        temperatures_K=[300.0, 900.0],
        duration_ps=60.0,
        time_step_fs=4.0,
        friction_per_ps=5.0,
        frame_interval_fs=1000.0,
    ):
        kT = units.kB * sampled.temperature_K
        volume, energy = sampled.independent("volume_A3", "potential_eV")
        mean_A3, variance = rest_A3 * (1 - pressure / modulus), kT * rest_A3 / modulus
        assert mean_sigmas(volume, mean_A3) < WITHIN
        assert mean_sigmas((volume - mean_A3) ** 2, variance) < WITHIN
        assert distribution_sigmas(volume, stats.norm(mean_A3, np.sqrt(variance))) < WITHIN
        least = pressure * mean_A3 + 0.5 * modulus / rest_A3 * (mean_A3 - rest_A3) ** 2
        enthalpy = energy + pressure * volume - least
        assert distribution_sigmas(enthalpy, stats.chi2(3 * len(atoms) + 1, scale=kT / 2)) < WITHIN
        assert mean_sigmas(volume, mean_A3 + variance / mean_A3) > BEYOND


@dataclass
class Density:
    """A law of one variable, from unnormalised weights at evenly spaced points."""

    points: np.ndarray
    weights: np.ndarray

    def cdf(self, values: np.ndarray) -> np.ndarray:
        summed = np.cumsum(self.weights) - self.weights / 2
        return np.interp(values, self.points, summed / self.weights.sum())

    def mean(self) -> float:
        return float(np.average(self.points, weights=self.weights))

    def variance(self) -> float:
        return float(np.average((self.points - self.mean()) ** 2, weights=self.weights))


def side_laws(potential: EinsteinBox, moving: Sequence[int], kT: float, pressure: float, power: int) -> list[Density]:
    """The laws of the moving sides, the others at rest, with V^power as a further weight; by summation over a grid."""
    width = 7 * np.sqrt(kT / potential.side_stiffness_eV_per_A2)
    sides = [
        np.linspace(rest - half, rest + half, 121) if axis in moving else np.array([rest])
        for axis, (rest, half) in enumerate(zip(potential.rest_A, width, strict=True))
    ]
    grid = np.meshgrid(*sides, indexing="ij")
    volume = np.prod(grid, axis=0)
    energy = pressure * volume + sum(
        0.5 * stiffness * (side - rest) ** 2
        for stiffness, side, rest in zip(potential.side_stiffness_eV_per_A2, grid, potential.rest_A, strict=True)
    )
    weights = volume**power * np.exp(-(energy - energy.min()) / kT)
    others = [tuple({0, 1, 2} - {axis}) for axis in range(3)]
    return [Density(sides[axis], weights.sum(axis=others[axis])) for axis in moving]


@pytest.mark.parametrize(("axes", "moving"), [("z", [2]), ("independent", [0, 1, 2])])
def test_sides_of_a_crystal_with_known_answers(axes: str, moving: list[int], tmp_path: Path) -> None:
    """Sides are distributed as ``EinsteinBox`` says, and not as one factor V less would have it; the others stand."""
    atoms = bulk("Cu", "fcc", a=5.0, cubic=True)
    potential = EinsteinBox(atoms.get_scaled_positions(), 6.0, np.array([0.12, 0.14, 0.16]), np.full(3, 5.0))
    (sampled,) = sample(
        potential,
        [atoms] * 128,
        tmp_path,
        14,
        equilibration_ps=10.0,
        ensemble="npt",
        barostat_axes=axes,
        pressure_bar=2e3,
        temperatures_K=[300.0],
        duration_ps=160.0,
        time_step_fs=4.0,
        friction_per_ps=5.0,
        frame_interval_fs=1000.0,
    )
    kT, pressure = units.kB * 300.0, 2e3 * units.bar
    still = np.ones((3, 3), dtype=bool)
    still[moving, moving] = False
    assert (sampled.cell_A[..., still] == np.asarray(atoms.cell)[still]).all()
    sides = thinned(*(sampled.cell_A[..., axis, axis] for axis in moving))
    laws = side_laws(potential, moving, kT, pressure, 0)
    for side, law in zip(sides, laws, strict=True):
        assert mean_sigmas(side, law.mean()) < WITHIN
        assert mean_sigmas((side - law.mean()) ** 2, law.variance()) < WITHIN
        assert distribution_sigmas(side, law) < WITHIN
    less = side_laws(potential, moving, kT, pressure, -1)
    assert mean_sigmas(sum(sides), sum(law.mean() for law in laws)) < WITHIN
    assert mean_sigmas(sum(sides), sum(law.mean() for law in less)) > BEYOND


@pytest.mark.parametrize("axes", ["isotropic", "z", "independent"])
def test_ideal_gas(axes: str, tmp_path: Path) -> None:
    """N free atoms fill volumes of the gamma distribution with N + 1: mean (N + 1) kT/P; and not with N."""
    n_atoms, temperature_K, pressure_bar = 16, 300.0, 1e-2
    scale_A3 = units.kB * temperature_K / (pressure_bar * units.bar)
    generator = np.random.default_rng(0)
    starts = []
    for volume in stats.gamma(n_atoms + 1, scale=scale_A3).ppf((np.arange(64) + 0.5) / 64):
        cell = np.cbrt(volume) * np.eye(3)
        starts.append(Atoms(f"He{n_atoms}", cell=cell, pbc=True, positions=generator.random((n_atoms, 3)) @ cell))
    (sampled,) = sample(
        Free(),
        starts,
        tmp_path,
        12,
        equilibration_ps=60.0,
        ensemble="npt",
        barostat_axes=axes,
        pressure_bar=pressure_bar,
        temperatures_K=[temperature_K],
        duration_ps=200.0,
        time_step_fs=10.0,
        frame_interval_fs=2500.0,
    )
    (volume,) = sampled.independent("volume_A3")
    assert mean_sigmas(volume, (n_atoms + 1) * scale_A3) < WITHIN
    assert distribution_sigmas(volume, stats.gamma(n_atoms + 1, scale=scale_A3)) < WITHIN
    assert distribution_sigmas(volume, stats.gamma(n_atoms, scale=scale_A3)) > BEYOND
