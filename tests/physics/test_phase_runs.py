"""Runs of phases and interfaces, in LAMMPS and in the engine: ensemble, pinning, melting, ends and kills."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms, units
from pymbar.timeseries import statistical_inefficiency
from test_ensembles import WITHIN

from longhot import references
from longhot.block import InputError
from longhot.datasets.ice import ice_ih
from longhot.dynamics import engine_runs, lammps
from longhot.dynamics.pinned import PinnedPotential, order_parameter
from longhot.dynamics.samples import Pin, Samples, Settings, load
from longhot.observables.crystallinity import crystalline_share, ice_like
from longhot.references import lammps as reference_method

pytestmark = pytest.mark.physics

MW = references.parse({"method": "lammps"})
K_INDICES = (4, 0, 0)
SETTINGS = Settings(
    temperature_K=250.0,
    duration_ps=0.5,
    time_step_fs=5.0,
    sample_interval_ps=0.1,
    frame_interval_ps=0.1,
    pressure_bar=1.0,
    barostat="isotropic",
    k_indices=K_INDICES,
    seed=1,
)


def in_lammps(atoms: Atoms, settings: Settings, out: Path) -> Samples:
    lammps.run(atoms, MW, settings, out)
    return load(out)


def in_engine(atoms: Atoms, settings: Settings, out: Path, potential: Any = None, identity: str = "mW") -> Samples:
    engine_runs.run(atoms, potential or references.ReferencePotential(MW), settings, out, identity)
    return load(out)


RUNNERS: dict[str, Callable[..., Samples]] = {"lammps": in_lammps, "engine": in_engine}


@pytest.fixture(params=RUNNERS)
def run(request: pytest.FixtureRequest) -> Callable[..., Samples]:
    return RUNNERS[request.param]


def ice(*repeats: int) -> Atoms:
    return ice_ih("site", repeats, 0)  # type: ignore[arg-type]


def frames_of(samples: Samples) -> list[Atoms]:
    made = [
        Atoms(numbers=samples.numbers, positions=positions_A, cell=cell_A, pbc=True)
        for positions_A, cell_A in zip(samples.positions_A, samples.cell_A[samples.frame_sample], strict=True)
    ]
    assert made
    return made


def sigmas(series: np.ndarray, expected: float) -> float:
    """Distance of a mean from what is expected, in standard errors."""
    return float(abs(series.mean() - expected) / error_of_mean(series))


def error_of_mean(series: np.ndarray) -> float:
    """Standard error of the mean of a correlated series."""
    return float(series.std() * np.sqrt(statistical_inefficiency(series) / len(series)))


# The ensemble


def stresses_bar(samples: Samples, temperature_K: float, axes: tuple[int, ...]) -> np.ndarray:
    """N kT/V - dU/dV by scaling ``axes`` of each frame, from energies alone."""
    calculator, h, found = references.new_calculator(MW), 1e-4, []
    for atoms in frames_of(samples):
        energies_eV = []
        for side in (h, -h):
            scale = np.ones(3)
            scale[list(axes)] = (1 + side) ** (1 / len(axes))
            scaled = atoms.copy()
            scaled.set_cell(atoms.cell.array * scale, scale_atoms=True)
            energies_eV.append(references.evaluate(calculator, scaled).energy_eV)
        slope_eV = (energies_eV[0] - energies_eV[1]) / (2 * h)
        found.append((len(atoms) * units.kB * temperature_K - slope_eV) / atoms.get_volume())
    return np.array(found) / units.bar


LIQUID = replace(SETTINGS, temperature_K=400.0, pressure_bar=2e4, melt="all", melt_ps=2.0, duration_ps=120.0)
ICE = replace(SETTINGS, temperature_K=250.0, pressure_bar=1e4, duration_ps=90.0)
STATES = {
    "lammps-liquid": (in_lammps, replace(LIQUID, barostat="z"), [(2,)]),
    "lammps-ice-axes": (in_lammps, replace(ICE, barostat="independent"), [(0,), (1,), (2,)]),
    "lammps-ice": (in_lammps, ICE, [(0, 1, 2)]),
    "engine-ice": (in_engine, replace(ICE, time_step_fs=10.0), [(0, 1, 2)]),
}
"""Runs, and the axes along which each shall have the pressure."""


@pytest.fixture(scope="module")
def states(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Samples]:
    """Equilibrated samples of 32 sites in each of ``STATES``, run when they are first asked for."""
    done: dict[str, Samples] = {}

    def get(name: str) -> Samples:
        if name not in done:
            runner, settings, _ = STATES[name]
            settings = replace(settings, frame_interval_ps=0.3)
            samples = runner(ice(2, 2, 1), settings, tmp_path_factory.mktemp("state") / "run.npz")
            assert not samples.failure
            done[name] = samples.after(10.0)
        return done[name]

    return get


@pytest.mark.parametrize("name", STATES)
def test_pressure_is_the_set_one(states, name):
    """Along every axis that the barostat moves, to a few percent."""
    _, settings, moved = STATES[name]
    samples = states(name)
    for axes in moved:
        stress = stresses_bar(samples, settings.temperature_K, axes)
        assert sigmas(stress, settings.pressure_bar) < WITHIN
        assert error_of_mean(stress) < 0.07 * settings.pressure_bar


@pytest.mark.parametrize("name", STATES)
def test_temperature_is_the_set_one(states, name):
    temperature_K, series = STATES[name][1].temperature_K, states(name).temperature_K
    assert sigmas(series, temperature_K) < WITHIN
    assert series.std() == pytest.approx(np.sqrt(2 / (3 * 32)) * temperature_K, rel=0.15)


def test_centre_of_mass_stands_and_is_not_counted_in_lammps(tmp_path):
    """Of 8 sites it would be an eighth of all degrees of freedom: four times the error of the mean temperature."""
    settings = replace(ICE, temperature_K=200.0, barostat="z", duration_ps=500.0)
    series = in_lammps(ice(1, 1, 1), settings, tmp_path / "run.npz").after(10.0).temperature_K
    assert error_of_mean(series) < 0.03 * 200
    assert sigmas(series, 200.0) < WITHIN


@pytest.mark.parametrize("name", STATES)
def test_phase_stays_and_only_the_axes_of_the_barostat_move(states, name):
    barostat, samples = STATES[name][1].barostat, states(name)
    lengths = samples.cell_A.diagonal(axis1=1, axis2=2)
    x, y, z = (lengths / lengths[0]).T
    assert z.std() > 1e-3
    if barostat == "isotropic":
        np.testing.assert_allclose([x, y], [z, z], rtol=1e-12)
    elif barostat == "z":
        np.testing.assert_allclose([x, y], 1.0, rtol=1e-12)
    else:
        assert np.abs(np.corrcoef([x, y, z])[np.triu_indices(3, k=1)]).max() < 0.9
    assert (samples.cell_A * (1 - np.eye(3)) == 0).all()
    share = np.mean([crystalline_share(one.positions, one.cell.array) for one in frames_of(samples)[::20]])
    assert share > 0.9 if "ice" in name else share < 0.1


def test_lammps_and_the_engine_sample_the_same_ice(states):
    """Mean energy and volume, and their spread, at a pressure that takes a tenth off the volume."""
    for series in ("energy_eV", "volume_A3"):
        one, other = (getattr(states(name), series) for name in ("lammps-ice", "engine-ice"))
        assert abs(one.mean() - other.mean()) < WITHIN * np.hypot(error_of_mean(one), error_of_mean(other))
        assert one.std() == pytest.approx(other.std(), rel=0.3)


# Constant enthalpy


def test_enthalpy_is_constant_without_thermostat(tmp_path):
    """Of a liquid, to 1 K a molecule in 100 ps; LAMMPS's own thermostat of its barostat leaks twenty times as much."""
    start = replace(SETTINGS, temperature_K=320.0, melt="all", pressure_bar=1000.0, duration_ps=10.0)
    warm = in_lammps(ice(2, 2, 1), start, tmp_path / "start.npz")
    settings = replace(start, temperature_K=450.0, melt="nothing", thermostat=False, duration_ps=100.0)
    samples = in_lammps(frames_of(warm)[-1], settings, tmp_path / "run.npz")
    kinetic_eV = 1.5 * 31 * units.kB * samples.temperature_K
    enthalpy_eV = kinetic_eV + samples.energy_eV + 1000 * units.bar * samples.volume_A3
    first, *_, last = np.array_split(enthalpy_eV / (32 * units.kB), 5)
    assert last.mean() == pytest.approx(first.mean(), abs=1.0)
    # The temperature is free: it falls as the liquid takes its share.
    assert samples.temperature_K.mean() < 430


def test_engine_refuses_constant_enthalpy(tmp_path):
    with pytest.raises(InputError, match="needs constant enthalpy, which only a LAMMPS reference can run"):
        in_engine(ice(1, 2, 1), replace(SETTINGS, thermostat=False), tmp_path / "run.npz")
    assert not list(tmp_path.iterdir())


# Pinning


@pytest.mark.parametrize("mixed", [False, True], ids=["sites", "mixture"])
def test_pinning_in_lammps_is_that_of_pinned_potential(mixed):
    """Forces to 1e-9 eV/A; among other atoms, oxygen alone counts."""
    atoms = ice(2, 2, 2)
    atoms.positions += np.random.default_rng(0).normal(0.0, 0.3, atoms.positions.shape)
    config = MW
    if mixed:
        atoms.symbols[::3] = "Ar"
        raw = {"method": "lammps", "pair_style": "lj/cut 5.0", "pair_coeff": ["* * 0.01 2.2"], "elements": ["Ar", "O"]}
        config = references.parse(raw)
    sites = np.flatnonzero(atoms.numbers == 8)
    order = order_parameter(atoms.positions[sites], atoms.cell.array, K_INDICES)
    settings = replace(SETTINGS, barostat="z", pin=Pin(order + 1.5, 0.3))
    pinned = PinnedPotential(references.ReferencePotential(config), order + 1.5, 0.3, K_INDICES, sites)
    expected, plain = pinned.predict([atoms])[0], references.label([atoms], config)[0]
    assert np.abs(expected.forces_eV_per_A - plain.forces_eV_per_A).max() > 0.01
    library = reference_method.new_library()
    reference_method.set_up(library, config, atoms)
    library.commands_list(lammps._pin(settings, reference_method.types_of(config, atoms.get_chemical_symbols())))
    library.command("run 0 post no")
    forces = np.ctypeslib.as_array(library.gather_atoms("f", 1, 3)).reshape(-1, 3)
    np.testing.assert_allclose(forces, expected.forces_eV_per_A, atol=1e-9)


def test_pinned_run(run, tmp_path):
    """The bias holds Q between ice and liquid; energies are without it, and the cross-section stays."""
    atoms = ice(2, 2, 2)
    settings = replace(
        SETTINGS, barostat="z", duration_ps=2.0, frame_interval_ps=0.2, melt="half", melt_ps=2.0, pin=Pin(3.0, 0.5)
    )
    samples = run(atoms, settings, tmp_path / "run.npz")
    assert not samples.failure
    np.testing.assert_allclose(samples.time_ps, 0.1 * np.arange(1, 21))
    np.testing.assert_array_equal(samples.frame_sample, np.arange(1, 20, 2))
    np.testing.assert_allclose(samples.masses_amu, 18.015, atol=1e-3)
    assert samples.order_parameter[10:].mean() == pytest.approx(3.0, abs=0.6)
    labels = references.label(frames_of(samples), MW)
    energies_eV = [label.energy_eV for label in labels]
    np.testing.assert_allclose(samples.energy_eV[samples.frame_sample], energies_eV, atol=1e-7)
    order = order_parameter(samples.oxygen_A, samples.cell_A[samples.frame_sample], K_INDICES)
    np.testing.assert_allclose(samples.order_parameter[samples.frame_sample], order, atol=1e-9)
    np.testing.assert_allclose(samples.cell_A[:, :2, :2], atoms.cell.array[None, :2, :2].repeat(20, 0), rtol=1e-12)


# Melting


@pytest.mark.parametrize("melt", ["half", "all", "nothing"])
def test_melting(run, melt, tmp_path):
    """Which half of the cell is ice as the run begins."""
    settings = replace(SETTINGS, barostat="z", melt=melt, melt_ps=4.0, duration_ps=0.1)
    (atoms,) = frames_of(run(ice(2, 2, 4), settings, tmp_path / "run.npz"))
    frozen, heights = ice_like(atoms.positions, atoms.cell.array), atoms.get_scaled_positions()[:, 2]
    lower, upper = frozen[(heights > 0.1) & (heights < 0.4)].mean(), frozen[heights > 0.5].mean()
    if melt == "all":
        assert max(lower, upper) < 0.1
    else:
        assert lower > 0.8
        assert upper < 0.1 if melt == "half" else upper > 0.8


# Ends


def test_explosion_ends_a_run_and_keeps_what_was_sound(run, tmp_path):
    settings = replace(
        SETTINGS,
        time_step_fs=40.0,
        sample_interval_ps=0.04,
        frame_interval_ps=0.08,
        duration_ps=40.0,
        temperature_K=300.0,
    )
    samples = run(ice(2, 2, 2), settings, tmp_path / "run.npz")
    assert samples.failure.partition(":")[0] in ("temperature_runaway", "overlap", "engine_error")
    assert 2 <= len(samples.time_ps) < 1000
    assert len(samples.positions_A) == len(samples.time_ps) // 2
    assert samples.temperature_K.max() < 900
    assert np.isfinite(samples.energy_eV).all()


@pytest.mark.parametrize("melt", ["nothing", "all"])
@pytest.mark.parametrize("pressure_bar", [1.0, 2e4])
def test_nonsense_from_the_first_step_leaves_no_sample(run, melt, pressure_bar, tmp_path):
    """At such steps LAMMPS would end the whole process, were it not stopped."""
    for time_step_fs in (50.0, 100.0):
        settings = replace(
            SETTINGS, time_step_fs=time_step_fs, duration_ps=10.0, melt=melt, melt_ps=2.0, pressure_bar=pressure_bar
        )
        out = tmp_path / f"{time_step_fs}.npz"
        samples = run(ice(2, 2, 2), settings, out)
        assert samples.failure
        assert len(samples.time_ps) <= 2
        assert samples.positions_A.shape == (len(samples.time_ps), 64, 3)
        assert [path.name for path in tmp_path.iterdir() if path.suffix != ".npz"] == []


def test_failed_melting_is_the_end(run, tmp_path):
    """Of which the run that follows would know nothing: it begins with new velocities."""
    settings = replace(SETTINGS, melt="all", melt_temperature_K=1e5, melt_ps=1.0)
    samples = run(ice(1, 2, 1), settings, tmp_path / "run.npz")
    assert samples.failure
    assert len(samples.time_ps) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["run.npz"]


def test_lammps_does_not_take_an_unknown_element_for_an_explosion(tmp_path):
    with pytest.raises(InputError, match="a frame holds H"):
        in_lammps(ice_ih("H2O", (1, 2, 1), 0), SETTINGS, tmp_path / "run.npz")


@pytest.mark.parametrize("seed", [0, 1, 2**31, 10**12 + 7])
def test_any_seed_will_do(seed, tmp_path):
    settings = replace(SETTINGS, seed=seed, melt="all", melt_ps=0.1)
    assert not in_lammps(ice(1, 2, 1), settings, tmp_path / "run.npz").failure


# Kills


def equal(one: Samples, other: Samples) -> bool:
    return all(
        np.array_equal(getattr(one, name), getattr(other, name))
        for name in ("time_ps", "energy_eV", "temperature_K", "cell_A", "frame_sample", "positions_A")
    )


ROUGH = replace(
    SETTINGS,
    duration_ps=1.0,
    sample_interval_ps=0.05,
    barostat="independent",
    melt="half",
    melt_ps=0.5,
)


@pytest.mark.parametrize("samples_before_the_kill", [3, 4, 11])
def test_killed_run_of_lammps_ends_as_an_unbroken_one(monkeypatch, tmp_path, samples_before_the_kill):
    """In the middle of its first segment, at the end of it, and in the middle of the third."""
    monkeypatch.setattr(lammps, "SEGMENT_STEPS", 40)
    whole = in_lammps(ice(1, 2, 1), ROUGH, tmp_path / "whole.npz")
    original, calls = lammps._sample, []

    def killed(*arguments: Any) -> Any:
        calls.append(1)
        if len(calls) == samples_before_the_kill:
            raise KeyboardInterrupt
        return original(*arguments)

    monkeypatch.setattr(lammps, "_sample", killed)
    with pytest.raises(KeyboardInterrupt):
        in_lammps(ice(1, 2, 1), ROUGH, tmp_path / "broken.npz")
    assert not (tmp_path / "broken.npz").exists()
    again = in_lammps(ice(1, 2, 1), ROUGH, tmp_path / "broken.npz")
    assert equal(again, whole)
    assert len(calls) == 20 + samples_before_the_kill - 4 * ((samples_before_the_kill - 1) // 4)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["broken.npz", "whole.npz"]


def test_segments_go_on_with_cell_velocities_and_barostat(monkeypatch, tmp_path):
    """Without random numbers, a run in segments is the run in one piece."""
    settings = replace(ROUGH, thermostat=False, pressure_bar=3000.0)
    whole = in_lammps(ice(1, 2, 1), settings, tmp_path / "whole.npz")
    monkeypatch.setattr(lammps, "SEGMENT_STEPS", 40)
    parts = in_lammps(ice(1, 2, 1), settings, tmp_path / "parts.npz")
    assert np.ptp(whole.cell_A[:, 2, 2]) > 0.05
    for name in ("time_ps", "energy_eV", "temperature_K", "cell_A", "order_parameter"):
        np.testing.assert_allclose(getattr(parts, name), getattr(whole, name), rtol=1e-7, err_msg=name)


def test_segments_are_whole_samples(monkeypatch, tmp_path):
    monkeypatch.setattr(lammps, "SEGMENT_STEPS", 50)
    samples = in_lammps(ice(1, 2, 1), replace(SETTINGS, frame_interval_ps=0.2), tmp_path / "run.npz")
    np.testing.assert_allclose(samples.time_ps, [0.1, 0.2, 0.3, 0.4, 0.5])
    np.testing.assert_array_equal(samples.frame_sample, [1, 3])


@pytest.mark.parametrize("segment_steps", [20_000, 34])
def test_one_frame_is_kept_where_the_step_does_not_divide_the_sample_interval(
    run, segment_steps, monkeypatch, tmp_path
):
    """83 steps of 6 fs hold four samples of 17 steps, not five of 16.7."""
    monkeypatch.setattr(lammps, "SEGMENT_STEPS", segment_steps)
    settings = replace(SETTINGS, time_step_fs=6.0, frame_interval_ps=0.5)
    samples = run(ice(1, 2, 1), settings, tmp_path / "run.npz")
    np.testing.assert_allclose(samples.time_ps, 0.102 * np.arange(1, 5))
    np.testing.assert_array_equal(samples.frame_sample, [3])
    (label,) = references.label(frames_of(samples), MW)
    assert samples.energy_eV[3] == pytest.approx(label.energy_eV, abs=1e-7)


class Mortal(references.ReferencePotential):
    """mW that is interrupted at one of its calls."""

    def __init__(self, last_call: int) -> None:
        super().__init__(MW)
        self.calls, self.last_call = 0, last_call

    def batch(self, atoms: Atoms, n_replicas: int) -> Any:
        base = super().batch(atoms, n_replicas)
        compute = base.compute

        def counted(*arguments: Any) -> Any:
            self.calls += 1
            if self.calls == self.last_call:
                raise KeyboardInterrupt
            return compute(*arguments)

        base.compute = counted  # type: ignore[method-assign]
        return base


@pytest.mark.parametrize("last_call", [50, 250], ids=["melting", "running"])
def test_killed_run_of_the_engine_ends_as_an_unbroken_one(tmp_path, last_call):
    whole = in_engine(ice(1, 2, 1), ROUGH, tmp_path / "whole.npz")
    with pytest.raises(KeyboardInterrupt):
        in_engine(ice(1, 2, 1), ROUGH, tmp_path / "broken.npz", Mortal(last_call))
    assert not (tmp_path / "broken.npz").exists()
    assert equal(in_engine(ice(1, 2, 1), ROUGH, tmp_path / "broken.npz"), whole)


CHANGES: dict[str, dict[str, Any]] = {
    "temperature": {"temperature_K": 310.0},
    "pressure": {"pressure_bar": 2e4},
    "melting": {"melt_temperature_K": 800.0},
    "seed": {"seed": 9},
}


@pytest.mark.parametrize("change", CHANGES)
def test_changed_settings_do_not_go_on_with_old_parts(run, change, monkeypatch, tmp_path):
    monkeypatch.setattr(lammps, "SEGMENT_STEPS", 40)
    changed = replace(ROUGH, **CHANGES[change])
    fresh = run(ice(1, 2, 1), changed, tmp_path / "fresh.npz")
    leave_all_parts(run, tmp_path / "run.npz", monkeypatch)
    again = run(ice(1, 2, 1), changed, tmp_path / "run.npz")
    assert equal(again, fresh)
    assert not equal(again, run(ice(1, 2, 1), ROUGH, tmp_path / "unchanged.npz"))


def leave_all_parts(run: Callable[..., Samples], out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that is killed when all is done but the last file."""

    def dies(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(lammps, "joined", dies)
        patch.setattr(engine_runs, "_samples", dies)
        with pytest.raises(KeyboardInterrupt):
            run(ice(1, 2, 1), ROUGH, out)


def test_unchanged_settings_do_go_on(monkeypatch, tmp_path):
    monkeypatch.setattr(lammps, "SEGMENT_STEPS", 40)
    leave_all_parts(in_lammps, tmp_path / "run.npz", monkeypatch)
    monkeypatch.setattr(lammps, "_segment", None)
    assert len(in_lammps(ice(1, 2, 1), ROUGH, tmp_path / "run.npz").time_ps) == 20


@pytest.mark.parametrize("change", ["start", "potential", "code"])
def test_another_start_or_potential_does_not_go_on_with_old_parts(change, monkeypatch, tmp_path):
    atoms = ice(1, 2, 1)
    atoms.positions[0] += 0.1 * (change == "start")
    config = references.parse({"method": "lammps", "energy_scale": 1.1 if change == "potential" else 1.0})
    leave_all_parts(in_lammps, tmp_path / "run.npz", monkeypatch)
    calls, original = [], lammps._segment
    monkeypatch.setattr(lammps, "_segment", lambda *arguments: calls.append(original(*arguments)))
    lammps.run(atoms, config, ROUGH, tmp_path / "run.npz", "new" if change == "code" else "")
    assert len(calls) == 1
