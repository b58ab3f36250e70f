"""Chemical potentials over temperature, against phases whose enthalpies are straight lines."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from melting_point_runs import exactly, phase_of

from longhot.observables.melting_point.members import Correction, melting_point
from longhot.observables.melting_point.phases import Phase
from longhot.observables.melting_point.thermodynamics import (
    Curve,
    EnthalpyDifference,
    combined,
    crossing,
    enthalpy_difference,
)

MELTING_K = 273.0
SOLID_MEV, LIQUID_MEV = (-540.0, 0.16), (-498.0, 0.20)
"""Enthalpy of each phase as a + b T, b in meV/K: ice and mW water, about."""
TEMPERATURES_K = (255.0, 270.0, 295.0)


def enthalpy_meV(phase: str, temperature_K: float) -> float:
    a, b = SOLID_MEV if phase == "solid" else LIQUID_MEV
    return a + b * temperature_K


def entropy_meV_per_K(phase: str, temperature_K: float) -> float:
    """From heat capacities, with both zero points such that the phases are in balance at ``MELTING_K``."""
    a, b = SOLID_MEV if phase == "solid" else LIQUID_MEV
    return (a + b * MELTING_K) / MELTING_K + b * np.log(temperature_K / MELTING_K)


def delta_mu_meV(temperature_K: float) -> float:
    """mu_s - mu_l, each as h - T s."""
    solid, liquid = (
        enthalpy_meV(name, temperature_K) - temperature_K * entropy_meV_per_K(name, temperature_K)
        for name in ("solid", "liquid")
    )
    return solid - liquid


def phases_at(*temperatures_K: float, error_meV: float = 0.1) -> list[Phase]:
    return [
        phase_of(name, temperature_K, exactly(enthalpy_meV(name, temperature_K), error_meV))
        for temperature_K in temperatures_K
        for name in ("solid", "liquid")
    ]


def line(*temperatures_K: float, **settings: float) -> EnthalpyDifference:
    found = enthalpy_difference(phases_at(*temperatures_K, **settings), pressure_bar=0.0)
    assert found is not None
    return found


def constant(value_meV: float, error_meV: float = 0.0) -> EnthalpyDifference:
    """h_s - h_l that does not change, so that mu_s - mu_l is a straight line."""
    return EnthalpyDifference(MELTING_K, value_meV, 0.0, error_meV, 0.0, (250.0, 300.0))


@pytest.mark.parametrize("known_K", [200.0, 255.0, 273.0, 300.0])
def test_one_known_chemical_potential_gives_all(known_K: float) -> None:
    curve = Curve(known_K, delta_mu_meV(known_K), 0.2, line(*TEMPERATURES_K))
    for temperature_K in (180.0, 260.0, MELTING_K, 290.0, 340.0):
        assert curve(temperature_K) == pytest.approx(delta_mu_meV(temperature_K), abs=1e-8)


def test_the_line_of_enthalpies() -> None:
    found = line(*TEMPERATURES_K)
    for temperature_K in (200.0, *TEMPERATURES_K):
        expected = enthalpy_meV("solid", temperature_K) - enthalpy_meV("liquid", temperature_K)
        assert found(temperature_K) == pytest.approx(expected, abs=1e-9)
    assert found.b_meV_per_K == pytest.approx(SOLID_MEV[1] - LIQUID_MEV[1])
    assert found.temperatures_K == TEMPERATURES_K


def test_errors_of_the_line_of_enthalpies() -> None:
    """Two temperatures 20 K apart, each difference known to sqrt(2) 0.1 meV."""
    found = line(260.0, 280.0)
    assert found.middle_K == pytest.approx(270.0)
    assert found.a_error_meV == pytest.approx(0.1)
    assert found.b_error_meV_per_K == pytest.approx(0.2 / 20)


def test_pressure_enters_the_enthalpies() -> None:
    """1 kbar A^3 is 0.624151 meV."""
    phase = phases_at(270.0)[0]
    volume_A3 = phase.samples.volume_A3[0] / phase.n_molecules
    grown_meV = phase.enthalpies_meV(1000.0) - phase.enthalpies_meV(0.0)
    np.testing.assert_allclose(grown_meV, 0.624151 * volume_A3, rtol=1e-6)


def test_enthalpies_at_one_temperature_are_taken_for_constant() -> None:
    found = line(270.0)
    assert found(250.0) == found(270.0) == pytest.approx(-42.0 - 0.04 * 270)
    assert (found.b_meV_per_K, found.b_error_meV_per_K) == (0.0, 0.0)


def test_only_valid_pairs_of_phases_count() -> None:
    phases = phases_at(*TEMPERATURES_K)
    wrong = [phase_of("liquid", 280.0, exactly(0.0, 0.1), fault="froze"), phase_of("solid", 280.0, exactly(7.0, 0.1))]
    found = enthalpy_difference([*phases, *wrong], 0.0)
    assert found == line(*TEMPERATURES_K)
    assert enthalpy_difference(wrong, 0.0) is None


@pytest.mark.parametrize("known_K", [255.0, 290.0])
def test_melting_point_and_the_sign_of_every_step(known_K: float) -> None:
    enthalpy = line(*TEMPERATURES_K)
    curve = Curve(known_K, delta_mu_meV(known_K), 0.2, enthalpy)
    found = crossing(curve, curve.error, known_K, enthalpy.temperatures_K)
    assert found.valid
    assert found.temperature_K == pytest.approx(MELTING_K, abs=1e-6)
    # Melting takes up heat, so the liquid has more entropy, and above the melting point the solid is the worse.
    assert enthalpy(MELTING_K) < 0
    assert found.entropy_meV_per_K == pytest.approx((42.0 + 0.04 * MELTING_K) / MELTING_K, rel=1e-4)
    assert curve(MELTING_K - 10) < 0 < curve(MELTING_K + 10)
    # The error of the chemical potential over the slope.
    assert found.error_K == pytest.approx(curve.error(MELTING_K) / found.entropy_meV_per_K)


@pytest.mark.parametrize("deeper_meV", [0.5, -1.0])
def test_a_member_with_a_deeper_solid_melts_higher(deeper_meV: float) -> None:
    """V_k - V_0 = -c per molecule in the solid alone: T_m,k - T_m,0 = c / delta s, exact for constant delta s."""
    entropy = 0.2
    curve = Curve(280.0, entropy * (280.0 - MELTING_K), 0.2, constant(-entropy * MELTING_K))
    corrections = [
        Correction(0, temperature_K, -deeper_meV, 0.01, "direct", 1.0, 1.0, True, "")
        for temperature_K in (260.0, 280.0)
    ]
    for some in (corrections[:1], corrections):
        found, _ = melting_point(curve, some)
        assert found.temperature_K - MELTING_K == pytest.approx(deeper_meV / entropy, abs=1e-9)


def test_points_are_weighted_by_their_errors() -> None:
    found, chi2 = combined([(280.0, 1.0, 0.2), (280.0, 1.3, 0.4)], constant(-50.0))
    assert found(280.0) == pytest.approx((4 * 1.0 + 1 * 1.3) / 5)
    assert chi2 == pytest.approx(0.3**2 / (0.2**2 + 0.4**2))
    assert found.error(280.0) == pytest.approx(0.2 * 0.4 / np.hypot(0.2, 0.4))


def test_points_that_scatter_enlarge_the_error() -> None:
    plain, _ = combined([(280.0, 1.0, 0.2), (280.0, 1.0, 0.4)], constant(-50.0))
    scattered, chi2 = combined([(280.0, 1.0, 0.2), (280.0, 2.5, 0.4)], constant(-50.0))
    assert chi2 == pytest.approx(1.5**2 / (0.2**2 + 0.4**2)) == pytest.approx(11.25)
    assert scattered.error_meV == pytest.approx(plain.error_meV * np.sqrt(11.25))


def test_points_of_one_curve_agree() -> None:
    """They are carried to the most precise one, along the curve."""
    enthalpy = line(*TEMPERATURES_K)
    points = [(temperature_K, delta_mu_meV(temperature_K), 0.5 - temperature_K / 1000) for temperature_K in (275, 290)]
    found, chi2 = combined(points, enthalpy)
    assert found.temperature_K == 290.0
    assert found(MELTING_K) == pytest.approx(0.0, abs=1e-8)
    assert chi2 == pytest.approx(0.0, abs=1e-9)
    assert combined(points[:1], enthalpy)[1] == 1.0


def test_the_error_grows_on_the_way() -> None:
    """By hand: of the point in proportion to T, of the enthalpy by 1 - T/T0 of its constant part."""
    curve = Curve(300.0, 3.0, 0.3, constant(-50.0, error_meV=2.0))
    assert curve.error(300.0) == pytest.approx(0.3)
    assert curve.error(240.0) == pytest.approx(np.hypot(0.3 * 240 / 300, 2.0 * (1 - 240 / 300)))


def test_error_bars_cover_the_melting_point() -> None:
    """300 studies: pinned runs far above the melting point, so that the enthalpies count, their slope too."""
    rng, n_repeats = np.random.default_rng(0), 300
    off = np.empty((n_repeats, 2))
    for repeat in range(n_repeats):
        phases = [
            phase_of(name, temperature_K, enthalpy_meV(name, temperature_K) + 15.0 * rng.normal(size=100))
            for temperature_K in (300.0, 310.0, 320.0)
            for name in ("solid", "liquid")
        ]
        enthalpy = enthalpy_difference(phases, 0.0)
        assert enthalpy is not None
        points = [(t, delta_mu_meV(t) + error * rng.normal(), error) for t, error in ((300.0, 0.1), (315.0, 0.2))]
        curve, _ = combined(points, enthalpy)
        found = crossing(curve, curve.error, 300.0, (200.0, 400.0))
        pinned_alone_K = curve.error_meV / found.entropy_meV_per_K
        off[repeat] = np.abs(found.temperature_K - MELTING_K) / [found.error_K, pinned_alone_K]
    covered, by_pinned_alone = np.mean(off < 2, axis=0)
    assert 0.92 < covered < 0.985
    assert by_pinned_alone < 0.8


def straight(melting_K: float, slope: float = 0.2) -> Callable[[float], float]:
    return lambda temperature_K: slope * (temperature_K - melting_K)


@pytest.mark.parametrize(
    ("melting_K", "side", "beyond"), [(272.0, "below", "add 265 K"), (301.0, "above", "add 310 K")]
)
def test_a_crossing_outside_the_samples_says_where_to_sample(melting_K: float, side: str, beyond: str) -> None:
    found = crossing(straight(melting_K), lambda _: 0.1, 285.0, (280.0, 290.0, 300.0))
    assert not found.valid
    assert found.temperature_K == pytest.approx(melting_K)
    assert f"lies {side} the sampled temperatures of 280 to 300 K" in found.reason
    assert beyond in found.reason


@pytest.mark.parametrize("at_K", [280.0, 290.0, 300.0])
def test_a_crossing_among_the_samples_is_valid(at_K: float) -> None:
    found = crossing(straight(at_K), lambda _: 0.1, 285.0, (280.0, 300.0))
    assert (found.valid, found.reason) == (True, "")
    assert found.error_K == pytest.approx(0.5)


@pytest.mark.parametrize("slope", [-0.2, 1e-9])
def test_no_crossing(slope: float) -> None:
    """Falling, as with a sign lost, and nowhere near zero."""
    curve = straight(280.0, slope) if slope < 0 else straight(-1e9, slope)
    found = crossing(curve, lambda _: 0.1, 280.0, (270.0, 290.0))
    assert not found.valid
    assert np.isnan(found.temperature_K)
    assert found.reason == "mu_s - mu_l does not rise through zero between 196 and 364 K"
