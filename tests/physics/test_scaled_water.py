"""Members whose melting points are known exactly: mW water with all energies times s melts at s times the temperature.

Positions at s V and T are distributed as those at V and T/s, at no pressure, and the kinetic energies of both phases
are alike: so mu_s - mu_l by s V at T is s times that by V at T/s.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from longhot import references
from longhot.config import Bulk, Conditions, MeltingPoint, Pinning, Staging
from longhot.dynamics import lammps
from longhot.dynamics.mixed import MixedPotential
from longhot.dynamics.samples import Settings, load
from longhot.observables.melting_point import members, phases, sampler, staged, thermodynamics
from longhot.observables.melting_point.members import Correction
from longhot.observables.melting_point.phases import Phase
from longhot.observables.melting_point.thermodynamics import Curve, EnthalpyDifference
from longhot.references import ReferencePotential
from longhot.uncertainty import reweighting

pytestmark = pytest.mark.physics

MELTING_K = 274.0
"""Of mW water, from the literature; any other would do, since it is only ever compared with itself."""
PRESSURE_BAR = 0.0
TEMPERATURES_K = (258.0, 275.0, 295.0)
EQUILIBRATION_PS = 20.0
BULK = Bulk(
    temperatures_K=list(TEMPERATURES_K), equilibration_ps=EQUILIBRATION_PS, duration_ps=230.0, frame_interval_ps=1.0
)
WITHIN = 3.0
"""Sound numbers lie within so many standard errors."""


def scaled(factor: float) -> references.Block:
    return references.parse({"method": "lammps", "energy_scale": factor})


def potential(factor: float) -> ReferencePotential:
    return ReferencePotential(scaled(factor))


@pytest.fixture(scope="module")
def bulk(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, float], Phase]:
    """Runs of mW water: 96 sites, 250 ps each."""
    folder = tmp_path_factory.mktemp("bulk")
    run = sampler.runner(scaled(1.0), [], "cpu", "")
    found = {}
    for temperature_K in TEMPERATURES_K:
        for phase in ("solid", "liquid"):
            path = folder / f"{members.state_name(phase, temperature_K)}.npz"
            sampler.bulk(run, Conditions(pressure_bar=PRESSURE_BAR), BULK, phase, temperature_K, path)
            one = phases.analyse(load(path), phase, temperature_K, EQUILIBRATION_PS, PRESSURE_BAR)
            assert one.valid, one.reason
            found[phase, temperature_K] = one
    return found


@pytest.fixture(scope="module")
def enthalpy(bulk: dict[tuple[str, float], Phase]) -> EnthalpyDifference:
    found = thermodynamics.enthalpy_difference(list(bulk.values()), PRESSURE_BAR)
    assert found is not None
    return found


def reweighted(bulk: dict[tuple[str, float], Phase], factor: float) -> list[Correction]:
    """Corrections of a member at all temperatures."""
    member, found = potential(factor), []
    for temperature_K in TEMPERATURES_K:
        both = [bulk[phase, temperature_K] for phase in ("solid", "liquid")]
        energies = [members.energies_eV(member, one.samples) for one in both]
        found.append(members.correction(0, *both, *energies, PRESSURE_BAR))
    return found


def exact_meV(enthalpy: EnthalpyDifference, factor: float, temperature_K: float) -> tuple[float, float]:
    """The correction s mu(T/s) - mu(T), which does not ask where mu is zero, and its error from the enthalpies."""
    curve = Curve(temperature_K / factor, 0.0, 0.0, enthalpy)
    return -curve(temperature_K), curve.error(temperature_K)


def test_melting_point_by_reweighting(bulk: dict[tuple[str, float], Phase], enthalpy: EnthalpyDifference) -> None:
    corrections = reweighted(bulk, 1.01)
    # Cold water moves slowly, and may not give enough independent frames.
    assert sum(one.valid for one in corrections) >= 2, [one.reason for one in corrections]
    for one in corrections:
        assert min(one.ess_solid, one.ess_liquid) > 0.9
        expected, error = exact_meV(enthalpy, 1.01, one.temperature_K)
        assert abs(one.value_meV - expected) < WITHIN * np.hypot(one.error_meV, error)
        assert one.value_meV < 0  # the solid, of the lower energy, gains more
    curve = Curve(MELTING_K, 0.0, 0.0, enthalpy)
    found, method = members.melting_point(curve, corrections)
    assert (found.valid, method) == (True, "reweighting")
    assert abs(found.temperature_K - 1.01 * MELTING_K) < WITHIN * found.error_K
    assert found.error_K < 0.1 * 0.01 * MELTING_K


def test_a_member_that_is_too_far_for_reweighting_is_refused(bulk: dict[tuple[str, float], Phase]) -> None:
    corrections = reweighted(bulk, 1.2)
    assert not any(one.valid for one in corrections)
    assert max(min(one.ess_solid, one.ess_liquid) for one in corrections) < reweighting.MIN_ESS


def window(one: Phase, factor: float, out: Path) -> None:
    """100 ps of mW water times ``factor``, from the last frame of the sampler's run, as stages would run it."""
    start = members.frames_of(one.samples)[-1]
    start.set_masses(one.samples.masses_amu)
    settings = Settings(
        temperature_K=one.temperature_K,
        duration_ps=110.0,
        time_step_fs=10.0,
        sample_interval_ps=0.5,
        frame_interval_ps=0.5,
        pressure_bar=PRESSURE_BAR,
        barostat="independent" if one.phase == "solid" else "isotropic",
        k_indices=(4, 0, 0),
        seed=1,
    )
    lammps.run(start, scaled(factor), settings, out)


def test_windows_between_a_potential_and_a_multiple_of_it(bulk: dict[tuple[str, float], Phase]) -> None:
    """The mixture is such a multiple itself, so that LAMMPS may run it."""
    frames = members.frames_of(bulk["liquid", 275.0].samples)[:3]
    mixed = MixedPotential([potential(1.0), potential(1.2)], [0.25, 0.75]).predict(frames)
    for one, other in zip(mixed, potential(1.15).predict(frames), strict=True):
        assert one.energy_eV == pytest.approx(other.energy_eV, rel=1e-12)
        np.testing.assert_allclose(one.forces_eV_per_A, other.forces_eV_per_A, atol=1e-10)


def test_melting_point_by_stages(
    bulk: dict[tuple[str, float], Phase], enthalpy: EnthalpyDifference, tmp_path: Path
) -> None:
    """A member that melts 55 K higher, reached at 295 K by windows at half the way and at its end."""
    factor, temperature_K, lambdas = 1.2, 295.0, (0.0, 0.5, 1.0)
    parts = []
    for phase in ("solid", "liquid"):
        one = bulk[phase, temperature_K]
        runs = [one.samples]
        for weight in lambdas[1:]:
            path = tmp_path / f"{phase}-{weight}.npz"
            window(one, 1 + weight * (factor - 1), path)
            runs.append(load(path).after(10.0))
        parts.append(staged.between(runs, lambdas, potential(1.0), potential(factor), temperature_K, PRESSURE_BAR))
    found = staged._correction(0, temperature_K, parts, 96)
    assert found.valid, found.reason
    expected, error = exact_meV(enthalpy, factor, temperature_K)
    assert abs(found.value_meV - expected) < WITHIN * np.hypot(found.error_meV, error)
    assert found.error_meV < 0.02 * abs(expected)
    slope = 0.5 * (
        exact_meV(enthalpy, factor, temperature_K + 1)[0] - exact_meV(enthalpy, factor, temperature_K - 1)[0]
    )
    assert abs(found.slope_meV_per_K - slope) < WITHIN * found.slope_error_meV_per_K
    curve = Curve(MELTING_K, 0.0, 0.0, enthalpy)
    point, method = members.melting_point(curve, [found])
    error_K = np.hypot(point.error_K, curve.error(point.temperature_K) / point.entropy_meV_per_K)
    assert method == "staged"
    assert abs(point.temperature_K - factor * MELTING_K) < WITHIN * error_K
    assert error_K < 0.05 * (factor - 1) * MELTING_K
    assert not point.valid
    assert "lies above the sampled temperatures of 258 to 295 K" in point.reason


def test_stages_by_the_engine(
    bulk: dict[tuple[str, float], Phase], enthalpy: EnthalpyDifference, tmp_path: Path
) -> None:
    """All of it, for a member that melts 14 K higher, in short windows."""
    temperature_K = 275.0
    question = MeltingPoint(
        dataset="ice",
        models=["mw"],
        train_sizes=[1],
        pressure_bar=PRESSURE_BAR,
        bulk=BULK,
        pinning=Pinning(temperatures_K=[temperature_K]),
        staging=Staging(lambdas=[0.5, 1.0], equilibration_ps=2.0, duration_ps=8.0, frame_interval_ps=0.1),
    )
    both = [bulk[phase, temperature_K] for phase in ("solid", "liquid")]
    (found,) = staged.stages(question, potential(1.0), {4: potential(1.05)}, *both, tmp_path, {4: "once"})
    assert (found.member, found.valid) == (4, True), found.reason
    expected, error = exact_meV(enthalpy, 1.05, temperature_K)
    assert abs(found.value_meV - expected) < WITHIN * np.hypot(found.error_meV, error)
    assert found.error_meV < 0.1 * abs(expected)
