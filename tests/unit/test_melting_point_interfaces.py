"""Pinned interfaces, coexistence and bulk runs, against series of known means and correlations."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from melting_point_runs import N_SITES, SAMPLE_PS, WATER_AMU, autoregressive, run_of

from longhot.dynamics.samples import Samples
from longhot.observables.melting_point import interfaces, phases
from longhot.observables.melting_point.interfaces import Interface
from longhot.uncertainty.reweighting import student_factor

SOLID_ORDER, LIQUID_ORDER, ANCHOR = 12.0, 1.0, 6.5
KAPPA_EV = 0.17
N_SAMPLES = 4000


def whole(phase: str, *, looks: str = "", failure: str = "") -> Samples:
    """A run of a whole phase, whose frames may look like the other; the order parameter of its first fifth is wrong."""
    order = np.full(200, SOLID_ORDER if phase == "solid" else LIQUID_ORDER)
    order[:39] = 99.0
    return run_of(np.zeros(200), looks or phase, order=order, samples_per_frame=200, failure=failure)


def pinned(order: np.ndarray, *, equilibration_ps: float = 0.0, failure: str = "", **whole_runs: Samples) -> Interface:
    runs = {
        "solid": whole_runs.get("solid", whole("solid")),
        "liquid": whole_runs.get("liquid", whole("liquid")),
        "pinned": run_of(np.zeros(len(order)), order=order, samples_per_frame=max(1, len(order)), failure=failure),
    }
    return interfaces.pinning("2x2x2", 280.0, runs, KAPPA_EV, equilibration_ps)


def series(mean: float, seed: int = 0, n_samples: int = N_SAMPLES, phi: float = 0.9) -> np.ndarray:
    return autoregressive(mean, 0.3, phi, n_samples, np.random.default_rng(seed))


# Pinning


@pytest.mark.parametrize("away", [-0.4, 0.25])
def test_chemical_potentials_from_the_pull(away: float) -> None:
    """N (mu_s - mu_l) = -kappa (Q_s - Q_l) (<Q> - a): where the liquid is pulled over a, the solid is the worse."""
    order = series(ANCHOR + away)
    found = pinned(order)
    assert (found.valid, found.reason) == (True, "")
    assert (found.solid, found.liquid, found.anchor) == (SOLID_ORDER, LIQUID_ORDER, ANCHOR)
    exact_meV = -1000 * 0.17 * 11.0 * away / N_SITES
    assert np.sign(found.value) == -np.sign(away)
    assert found.value == pytest.approx(-1000 * 0.17 * 11.0 * (order.mean() - 6.5) / N_SITES)
    assert found.value == pytest.approx(exact_meV, abs=3 * found.error)
    assert found.error < 0.25 * abs(exact_meV)


def test_error_of_a_pinned_run() -> None:
    """Of phi = 0.9: an inefficiency of 19 samples, and Student's factor for so many independent ones."""
    exact_error_meV = 1000 * 0.17 * 11.0 / N_SITES * 0.3 * np.sqrt(19 / N_SAMPLES)
    found = [pinned(series(ANCHOR + 0.1, seed)) for seed in range(200)]
    expected_meV = exact_error_meV * student_factor(N_SAMPLES / 19)
    assert np.mean([one.error for one in found]) == pytest.approx(expected_meV, rel=0.1)
    off = np.array([one.value - 1000 * 0.17 * 11.0 * -0.1 / N_SITES for one in found])
    assert 0.9 < np.mean(np.abs(off) < 2 * np.array([one.error for one in found])) < 0.99
    # Were the samples independent, the error would be sqrt(19) times less.
    assert np.mean(np.abs(off) < 2 * exact_error_meV / np.sqrt(19)) < 0.5
    assert np.mean([one.valid for one in found]) > 0.98


def test_the_start_of_a_pinned_run_is_thrown_away() -> None:
    order = np.concatenate([np.full(500, 11.0), series(ANCHOR)])
    found = pinned(order, equilibration_ps=500 * SAMPLE_PS + SAMPLE_PS)
    assert found.valid
    assert found.order_parameter == pytest.approx(series(ANCHOR).mean())
    assert found.simulated_ps == pytest.approx((N_SAMPLES - 1) * SAMPLE_PS)


def ramp(start: float, end: float) -> np.ndarray:
    """From one value to another within the last fifth of a run."""
    return series(0.0) + np.interp(np.arange(N_SAMPLES), [0.8 * N_SAMPLES, 0.88 * N_SAMPLES], [start, end])


@pytest.mark.parametrize(
    ("order", "reason"),
    [
        (series(11.5), "the cell froze whole: raise the temperature or kappa_eV"),
        (ramp(ANCHOR, SOLID_ORDER), "the cell froze whole: raise the temperature or kappa_eV"),
        (series(1.5), "the cell melted whole: lower the temperature or raise kappa_eV"),
        (ramp(ANCHOR, LIQUID_ORDER), "the cell melted whole: lower the temperature or raise kappa_eV"),
        (series(ANCHOR, n_samples=100, phi=0.97), "the order parameter never relaxed: the run is"),
        (series(ANCHOR) + np.repeat([0.0, 1.0], N_SAMPLES // 2), "the order parameter"),
        (series(ANCHOR, n_samples=3), "the run is shorter than its equilibration, there is no order parameter"),
        (np.zeros(0), "the run is shorter than its equilibration, there is no order parameter"),
    ],
    ids=["frozen", "freezes", "molten", "melts", "slow", "step", "short", "empty"],
)
def test_a_pinned_run_that_says_nothing(order: np.ndarray, reason: str) -> None:
    found = pinned(order)
    assert not found.valid
    assert found.reason.startswith(reason)


def test_a_drift_within_a_relaxed_run() -> None:
    """Fast noise on a slow slope: many independent values, as it seems, whose halves contradict each other."""
    noise = np.random.default_rng(0).normal(size=N_SAMPLES)
    found = interfaces._Series.of(noise + np.linspace(0, 0.4, N_SAMPLES))
    assert found.n_independent > interfaces.MIN_INDEPENDENT
    assert "drifts: its two halves differ by" in found.fault("order parameter")
    assert interfaces._Series.of(noise).fault("order parameter") == ""


def test_few_sound_runs_are_said_to_drift() -> None:
    """Drifts of stationary runs have unit variance, about: 3.5 of them are rare."""
    drifts = np.array([interfaces._Series.of(series(0.0, seed)).drift for seed in range(200)])
    assert np.sqrt(np.mean(drifts**2)) == pytest.approx(1.0, abs=0.2)
    assert np.mean(drifts > interfaces.MAX_DRIFT) < 0.02


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"failure": "lost atoms"}, "lost atoms"),
        ({"solid": whole("solid", failure="too hot")}, "the run of the whole solid ended early: too hot"),
        ({"liquid": whole("liquid", failure="too hot")}, "the run of the whole liquid ended early: too hot"),
        ({"solid": whole("solid", looks="liquid")}, "the run of the whole solid: the solid melted during sampling"),
        ({"liquid": whole("liquid", looks="solid")}, "the run of the whole liquid: the liquid froze during sampling"),
    ],
)
def test_a_run_beside_that_spoils_a_pinned_one(settings: dict, reason: str) -> None:
    found = pinned(series(ANCHOR), **settings)
    assert not found.valid
    assert found.reason.startswith(reason)


def test_a_whole_phase_that_never_ran() -> None:
    nothing = run_of(np.zeros(0), failure="no start")
    found = pinned(np.zeros(0), solid=nothing, failure="no anchor")
    assert (found.valid, found.reason) == (False, "no anchor")
    assert np.isnan([found.solid, found.anchor, found.value]).all()


# Coexistence


def coexisting(temperature_K: np.ndarray, order: np.ndarray | None = None, failure: str = "") -> Interface:
    n_samples = len(temperature_K)
    order = series(ANCHOR, n_samples=n_samples) if order is None else order
    run = run_of(np.zeros(n_samples), temperature_K=temperature_K, order=order, failure=failure)
    return interfaces.coexistence("2x2x2", run, pinned(series(ANCHOR)), 10.0)


def test_the_mean_temperature_of_coexistence() -> None:
    """The first 10 ps are another temperature; the inefficiency of phi = 0.95 is 39."""
    rng = np.random.default_rng(1)
    relaxed = autoregressive(273.0, 6.0, 0.95, N_SAMPLES, rng)
    found = coexisting(np.concatenate([np.full(99, 900.0), relaxed]))
    assert (found.method, found.valid, found.reason) == ("coexistence", True, "")
    assert found.value == pytest.approx(relaxed.mean())
    assert found.error == pytest.approx(6.0 * np.sqrt(39 / N_SAMPLES), rel=0.3)
    assert abs(found.value - 273.0) < 3 * found.error
    assert (found.solid, found.liquid) == (SOLID_ORDER, LIQUID_ORDER)


@pytest.mark.parametrize(
    ("temperature_K", "settings", "reason"),
    [
        (series(273.0), {"order": series(11.8)}, "the cell froze whole"),
        (series(273.0), {"order": ramp(ANCHOR, LIQUID_ORDER)}, "the cell melted whole"),
        (series(273.0, n_samples=300, phi=0.99), {}, "the temperature never relaxed"),
        (series(273.0), {"failure": "lost atoms"}, "lost atoms"),
        (series(273.0, n_samples=50), {}, "the run is shorter than its equilibration, there is no temperature"),
    ],
    ids=["frozen", "melts", "slow", "failed", "short"],
)
def test_coexistence_that_says_nothing(temperature_K: np.ndarray, settings: dict, reason: str) -> None:
    found = coexisting(temperature_K, **settings)
    assert not found.valid
    assert found.reason.startswith(reason)


def test_coexistence_without_whole_phases() -> None:
    beside = replace(pinned(series(ANCHOR)), solid=np.nan)
    run = run_of(np.zeros(N_SAMPLES), temperature_K=series(273.0), order=series(ANCHOR))
    found = interfaces.coexistence("2x2x2", run, beside, 0.0)
    assert (found.valid, found.reason) == (False, "the order parameters of the whole phases are not known")


def test_rows_keep_the_two_methods_apart() -> None:
    by_pinning, by_coexistence = interfaces.row(pinned(series(ANCHOR))), interfaces.row(coexisting(series(273.0)))
    assert by_pinning.keys() == by_coexistence.keys()
    assert np.isfinite(by_pinning["delta_mu_meV"])
    assert np.isnan(by_pinning["melting_point_K"])
    assert by_coexistence["melting_point_K"] == pytest.approx(273.0, abs=0.1)
    assert np.isnan(by_coexistence["delta_mu_meV"])


# Bulk


def energies_eV(n_samples: int = 1000, seed: int = 0) -> np.ndarray:
    """Of the cell, 0.5 eV a molecule, with an inefficiency of 9 samples."""
    return autoregressive(-0.5 * N_SITES, 0.3, 0.8, n_samples, np.random.default_rng(seed))


@pytest.mark.parametrize("phase", ["solid", "liquid"])
def test_a_sound_run_of_a_phase(phase: str) -> None:
    found = phases.analyse(run_of(energies_eV(), phase, samples_per_frame=10), phase, 270.0, 5.0, 1000.0)
    assert (found.valid, found.reason) == (True, "")
    assert found.statistical_inefficiency == pytest.approx(9.0, rel=0.4)
    assert found.crystalline_share == pytest.approx(float(phase == "solid"), abs=0.15)
    row = phases.row(found, 0.0, 5.0)
    kept_meV = 1000 * energies_eV()[49:] / N_SITES
    assert row["enthalpy_meV"] == pytest.approx(kept_meV.mean())
    expected_error = kept_meV.std(ddof=1) * np.sqrt(found.statistical_inefficiency / 951)
    # Block averages may show more, but not much.
    assert expected_error * (1 - 1e-9) <= row["enthalpy_error_meV"] < 1.5 * expected_error
    assert row["n_independent"] == pytest.approx(951 / found.statistical_inefficiency)
    assert row["simulated_ps"] == pytest.approx(95.0)
    volume_cm3 = 1e-24 * found.samples.volume_A3[0]
    assert row["density_g_per_cm3"] == pytest.approx(N_SITES * WATER_AMU * 1.66053907e-24 / volume_cm3, rel=1e-6)


@pytest.mark.parametrize(
    ("phase", "looks", "reason"),
    [
        ("solid", "liquid", "the solid melted during sampling"),
        ("liquid", "solid", "the liquid froze during sampling (100 % of it is ice-like): raise the temperature"),
    ],
)
def test_a_phase_that_became_the_other(phase: str, looks: str, reason: str) -> None:
    found = phases.analyse(run_of(energies_eV(), looks, samples_per_frame=10), phase, 270.0, 5.0, 0.0)
    assert not found.valid
    assert found.reason.startswith(reason)


@pytest.mark.parametrize("n_samples", [0, 3, 49])
def test_a_run_shorter_than_its_equilibration(n_samples: int) -> None:
    run = run_of(energies_eV(n_samples), samples_per_frame=10)
    found = phases.analyse(run, "solid", 270.0, 5.0, 0.0)
    assert (found.valid, found.reason) == (False, "the run is shorter than its equilibration")
    row = phases.row(found, 0.0, 5.0)
    assert np.isnan([row["enthalpy_meV"], row["density_g_per_cm3"], row["n_independent"]]).all()
    failed = phases.analyse(replace(run, failure="lost atoms"), "solid", 270.0, 5.0, 0.0)
    assert (failed.valid, failed.reason) == (False, "lost atoms")


def test_a_run_that_ended_early_is_kept_with_its_cause() -> None:
    found = phases.analyse(run_of(energies_eV(), failure="lost atoms"), "solid", 270.0, 5.0, 0.0)
    assert (found.valid, found.reason) == (False, "lost atoms")
    assert np.isfinite(phases.row(found, 0.0, 5.0)["enthalpy_meV"])


def test_a_run_too_short_to_know_its_error_says_so() -> None:
    run = run_of(autoregressive(0.0, 1.0, 0.98, 1000, np.random.default_rng(0)), samples_per_frame=10)
    found = phases.analyse(run, "solid", 270.0, 0.0, 0.0)
    assert found.valid
    assert "errors may be too small, run longer" in found.reason
