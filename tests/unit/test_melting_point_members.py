"""Melting points of members by reweighting and by stages, against energies whose free energies are known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms, units
from melting_point_runs import ICE, N_SITES, SAMPLE_PS, phase_of, run_of
from scipy.optimize import brentq

from longhot.config import Bulk, MeltingPoint, Pinning, Staging
from longhot.dynamics import engine_runs
from longhot.dynamics.mixed import MixedPotential
from longhot.dynamics.samples import Samples, Settings, failed
from longhot.observables.melting_point import averages, members, phases, staged
from longhot.observables.melting_point.members import Correction, correction, melting_point
from longhot.observables.melting_point.phases import Phase
from longhot.observables.melting_point.thermodynamics import Curve, EnthalpyDifference
from longhot.potential import Label
from longhot.uncertainty import reweighting

TEMPERATURE_K = 270.0
KT = units.kB * TEMPERATURE_K
ENTROPY, MELTING_K = 0.2, 273.0
CURVE = Curve(
    MELTING_K, 0.0, 0.5, EnthalpyDifference(MELTING_K, -ENTROPY * MELTING_K, 0.0, 0.0, 0.0, (250.0, 270.0, 310.0))
)
"""mu_s - mu_l = 0.2 meV/K (T - 273 K), with an error that is common to all members."""


def sampled(phase: str, n_frames: int, rng: np.random.Generator) -> Phase:
    """Independent frames, whose energies spread as those of ice do."""
    return phase_of(phase, TEMPERATURE_K, -500.0 + 3.0 * rng.normal(size=n_frames))


def moved(one: Phase, shift_meV: float, spread_kT: float, rng: np.random.Generator) -> np.ndarray:
    """V_k of the frames in eV: V_0, a shift per molecule, and Gaussian noise of the cell that knows nothing of V_0."""
    noise_eV = spread_kT * KT * rng.normal(size=len(one.samples.time_ps))
    return one.samples.energy_eV + 1e-3 * shift_meV * N_SITES + noise_eV


def gaussian_meV(shift_meV: float, spread_kT: float, temperature_K: float = TEMPERATURE_K) -> float:
    """(G_k - G_0) per molecule: the shift less s^2/2 kT."""
    return shift_meV - 1e3 * (spread_kT * KT) ** 2 / (2 * units.kB * temperature_K) / N_SITES


Moves = tuple[float, float]
"""A shift in meV and a spread in kT."""


def gaussian_correction(n_frames: int, rng: np.random.Generator, solid: Moves, liquid: Moves) -> Correction:
    both = [sampled(name, n_frames, rng) for name in ("solid", "liquid")]
    energies = [moved(one, *moves, rng) for one, moves in zip(both, (solid, liquid), strict=True)]
    return correction(7, *both, *energies, pressure_bar=1.0)


# Reweighting


@pytest.mark.parametrize(
    ("spreads", "n_frames", "method"),
    [((0.5, 0.8), 2000, "direct"), ((1.5, 1.6), 4000, "cumulant"), ((0.6, 1.6), 4000, "direct+cumulant")],
)
def test_correction_of_gaussian_energies(spreads: tuple[float, float], n_frames: int, method: str) -> None:
    solid, liquid = (-1.0, spreads[0]), (0.4, spreads[1])
    found = gaussian_correction(n_frames, np.random.default_rng(2), solid, liquid)
    assert (found.member, found.temperature_K, found.method) == (7, TEMPERATURE_K, method)
    assert (found.valid, found.reason) == (True, "")
    assert found.value_meV == pytest.approx(gaussian_meV(*solid) - gaussian_meV(*liquid), abs=3 * found.error_meV)
    assert found.error_meV < 0.05
    np.testing.assert_allclose([found.ess_solid, found.ess_liquid], np.exp(-np.square(spreads)), rtol=0.4)
    exact = [gaussian_meV(*solid, 271.0) - gaussian_meV(*liquid, 271.0) - gaussian_meV(*solid) + gaussian_meV(*liquid)]
    assert found.slope_meV_per_K == pytest.approx(exact[0], abs=3 * found.slope_error_meV_per_K)


def test_correction_of_harmonic_energies() -> None:
    """Springs r times as stiff in M coordinates: G_k - G_0 = (M/2) kT ln r, and the enthalpies stay as they were."""
    rng, n_coordinates = np.random.default_rng(1), 3 * N_SITES
    both, energies, exact_meV = [], [], 0.0
    for name, stiffer, sign in (("solid", 1.06, 1), ("liquid", 0.95, -1)):
        energy_eV = KT / 2 * rng.chisquare(n_coordinates, 4000)
        both.append(phase_of(name, TEMPERATURE_K, 1e3 * energy_eV / N_SITES))
        energies.append(stiffer * energy_eV)
        exact_meV += sign * 1e3 * n_coordinates / 2 * KT * np.log(stiffer) / N_SITES
    found = correction(0, *both, *energies, pressure_bar=0.0)
    assert found.valid
    assert found.value_meV == pytest.approx(exact_meV, abs=3 * found.error_meV)
    assert found.error_meV < 0.01 * exact_meV
    assert found.slope_meV_per_K == pytest.approx(exact_meV / TEMPERATURE_K, abs=3 * found.slope_error_meV_per_K)
    assert found.slope_error_meV_per_K < 0.2 * found.slope_meV_per_K


def test_correlated_frames_count_less() -> None:
    """Each frame ten times over: the same number, with an error sqrt(10) times that of as many independent ones."""
    rng = np.random.default_rng(0)
    both = [sampled(name, 1000, rng) for name in ("solid", "liquid")]
    energies = [moved(one, 0.3, 0.5, rng) for one in both]
    repeated = [phase_of(one.phase, TEMPERATURE_K, one.enthalpies_meV(0.0).repeat(10)) for one in both]
    few = correction(0, *both, *energies, pressure_bar=0.0)
    many = correction(0, *repeated, *(one.repeat(10) for one in energies), pressure_bar=0.0)
    assert many.value_meV == pytest.approx(few.value_meV)
    assert many.error_meV == pytest.approx(few.error_meV, rel=0.25)


def test_without_a_difference_there_is_no_correction() -> None:
    rng = np.random.default_rng(0)
    found = gaussian_correction(1000, rng, (-2.0, 0.5), (-2.0, 0.5))
    assert found.value_meV == pytest.approx(0.0, abs=3 * found.error_meV)


@pytest.mark.parametrize(
    ("spread", "n_frames", "why"),
    [(3.0, 2000, "the variance of beta (V_k - V_0) is"), (1.0, 30, "it takes 200 independent frames")],
    ids=["far", "few"],
)
def test_a_member_out_of_reach_is_refused(spread: float, n_frames: int, why: str) -> None:
    found = gaussian_correction(n_frames, np.random.default_rng(0), (-1.0, 0.3), (0.0, spread))
    assert not found.valid
    assert why in found.reason
    assert "liquid: " in found.reason
    assert found.reason.endswith("sample stages between the potentials")


def test_a_member_without_energies_is_refused() -> None:
    rng = np.random.default_rng(0)
    both = [sampled(name, 500, rng) for name in ("solid", "liquid")]
    energies = [moved(one, 0.0, 0.5, rng) for one in both]
    energies[0][[3, 8]] = np.nan
    found = correction(0, *both, *energies, pressure_bar=0.0)
    assert not found.valid
    assert found.reason == "solid: no free energy from these: 2 of 500 energy differences are not finite"
    assert np.isnan([found.value_meV, found.slope_meV_per_K]).all()


def test_frames_of_a_phase_that_became_the_other_are_refused() -> None:
    rng = np.random.default_rng(0)
    solid, liquid = (sampled(name, 1000, rng) for name in ("solid", "liquid"))
    liquid = replace(liquid, valid=False, reason="the liquid froze")
    energies = [moved(one, 0.0, 0.5, rng) for one in (solid, liquid)]
    found = correction(0, solid, liquid, *energies, pressure_bar=0.0)
    assert (found.valid, found.reason) == (False, "liquid: the liquid froze")


def test_a_phase_without_frames_is_refused() -> None:
    """As a run leaves it that failed at its start; the members give no energies then."""
    rng = np.random.default_rng(0)
    nothing = phases.analyse(failed(ICE, "lost atoms"), "solid", TEMPERATURE_K, 5.0, 0.0)
    liquid = sampled("liquid", 1000, rng)
    found = correction(0, nothing, liquid, np.zeros(0), moved(liquid, 0.0, 0.5, rng), pressure_bar=0.0)
    assert not found.valid
    assert found.reason.startswith("solid: lost atoms; solid: ")
    assert "liquid" not in found.reason


# Melting points


def known(temperature_K: float, value_meV: float, error_meV: float = 0.1, **others: object) -> Correction:
    settings: dict = {"method": "direct", "valid": True, "reason": "", **others}
    return Correction(0, temperature_K, value_meV, error_meV, ess_solid=0.5, ess_liquid=0.5, **settings)


def test_melting_point_with_a_correction_that_changes() -> None:
    """0.2 (T - 273) + c (T) = 0 with c = -1 + 0.05 (T - 270): T = 273 + (1 - 0.15) / 0.25."""
    found, method = melting_point(CURVE, [known(t, -1 + 0.05 * (t - 270)) for t in (260.0, 270.0, 300.0)])
    assert (found.valid, found.reason, method) == (True, "", "reweighting")
    assert found.temperature_K == pytest.approx(273 + 0.85 / 0.25)
    assert found.entropy_meV_per_K == pytest.approx(0.25)


def test_melting_point_from_one_correction_with_its_slope() -> None:
    one = known(270.0, -1.0, slope_meV_per_K=0.05, slope_error_meV_per_K=0.02)
    found, _ = melting_point(CURVE, [one])
    assert found.temperature_K == pytest.approx(273 + 0.85 / 0.25)
    assert found.error_K == pytest.approx(np.hypot(0.1, 0.02 * (found.temperature_K - 270)) / 0.25)
    plain, _ = melting_point(CURVE, [known(270.0, -1.0)])
    assert plain.temperature_K == pytest.approx(273 + 1 / 0.2)
    assert plain.error_K == pytest.approx(0.1 / 0.2)


def test_error_of_a_line_of_corrections() -> None:
    """By hand: two values 20 K apart, at their middle 0.1/sqrt(2), 0.01/sqrt(2) K^-1 on the way; not the sampler's."""
    found, _ = melting_point(CURVE, [known(260.0, -3.0), known(280.0, -3.0)])
    assert found.temperature_K == pytest.approx(288.0)
    assert found.error_K == pytest.approx(np.hypot(0.1, 0.01 * 18) / np.sqrt(2) / 0.2)


def test_corrections_are_weighted_by_their_errors() -> None:
    """Three on no line: the poor one hardly counts."""
    good = [known(260.0, -1.0, 0.01), known(280.0, -1.0, 0.01)]
    found, _ = melting_point(CURVE, [*good, known(270.0, 3.0, 10.0)])
    assert found.temperature_K == pytest.approx(278.0, abs=0.01)


def test_only_valid_corrections_count() -> None:
    wrong = known(280.0, 50.0, valid=False, reason="too far")
    alone, _ = melting_point(CURVE, [known(270.0, -1.0)])
    found, method = melting_point(CURVE, [known(270.0, -1.0), wrong])
    assert (found, method) == (alone, "reweighting")


def test_a_staged_correction_names_the_method() -> None:
    some = [known(260.0, -1.0), known(280.0, -1.0, method="staged")]
    assert melting_point(CURVE, some)[1] == "staged"
    assert melting_point(CURVE, [some[0], replace(some[1], valid=False)])[1] == "reweighting"


def test_a_member_without_valid_corrections_has_no_melting_point() -> None:
    some = [known(t, -1.0, valid=False, reason="too far") for t in (260.0, 280.0)]
    found, _ = melting_point(CURVE, some)
    assert not found.valid
    assert np.isnan(found.temperature_K)
    assert found.reason == "260 K, too far; 280 K, too far"
    assert melting_point(CURVE, [])[0].reason == "no frames"


def test_a_member_that_melts_beyond_the_samples_is_not_valid() -> None:
    found, _ = melting_point(CURVE, [known(270.0, -10.0)])
    assert not found.valid
    assert found.temperature_K == pytest.approx(323.0)
    assert "lies above the sampled temperatures of 250 to 310 K" in found.reason


def test_error_bars_cover_the_melting_point_of_a_member() -> None:
    """100 members reached from 270 K that melt at 283 K, so the slope counts too."""
    solid, liquid = (-2.0, 0.8), (0.0, 0.6)
    exact_K = brentq(lambda t: ENTROPY * (t - 273) + gaussian_meV(*solid, t) - gaussian_meV(*liquid, t), 250, 310)
    rng = np.random.default_rng(0)
    found = [melting_point(CURVE, [gaussian_correction(200, rng, solid, liquid)])[0] for _ in range(100)]
    off = np.array([(one.temperature_K - exact_K) / one.error_K for one in found])
    assert 0.88 <= np.mean(np.abs(off) < 2) < 1.0
    assert 0.8 < np.sqrt(np.mean(off**2)) < 1.25


# Energies and stages


class Springs:
    """Each site on a spring to its place in the lattice, whatever the cell; NaN where it fails."""

    def __init__(self, stiffness_eV_per_A2: float, fails: bool = False, offset_eV: float = 0.0) -> None:
        self.stiffness, self.fails, self.offset_eV = stiffness_eV_per_A2, fails, offset_eV

    def predict(self, frames: list[Atoms]) -> list[Label]:
        squares = [((frame.positions - ICE.positions) ** 2).sum() for frame in frames]
        return [
            Label(np.nan if self.fails else self.offset_eV + 0.5 * self.stiffness * one, np.zeros((N_SITES, 3)))
            for one in squares
        ]


def window(stiffness: float, n_frames: int, seed: int) -> Samples:
    """Independent frames of springs, with their energies by the same."""
    away = np.random.default_rng(seed).normal(size=(n_frames, N_SITES, 3)) * np.sqrt(KT / stiffness)
    run = run_of(0.5 * stiffness * (away**2).sum(axis=(1, 2)))
    return replace(run, positions_A=ICE.positions + away)


SOFT, HARD, SOFTER = 2.0, 2.6, 1.7
N_FRAMES = 400


def question(**staging: object) -> MeltingPoint:
    settings: dict = {"lambdas": [0.4, 1.0], "equilibration_ps": 50.5 * SAMPLE_PS, "duration_ps": 100.0, **staging}
    return MeltingPoint(
        dataset="ice",
        models=["m"],
        train_sizes=[5],
        bulk=Bulk(temperatures_K=[TEMPERATURE_K]),
        pinning=Pinning(temperatures_K=[TEMPERATURE_K]),
        staging=Staging(**settings),
    )


class FakeEngine:
    """Frames of the mixed springs that it is asked to run; the first 50 of each window are of no use."""

    def __init__(self) -> None:
        self.runs: list[Path] = []
        self.stiffness: list[float] = []
        self.failure = ""

    def __call__(self, start: Atoms, potential: object, settings: Settings, out: Path, identity: str) -> None:
        assert settings.temperature_K == TEMPERATURE_K
        np.testing.assert_allclose(start.get_masses(), 18.015)
        parts = (potential.parts, potential.weights) if isinstance(potential, MixedPotential) else ([potential], [1.0])
        stiffness = sum(weight * part.stiffness for part, weight in zip(*parts, strict=True))
        self.runs.append(out)
        self.stiffness.append(stiffness)
        run = window(stiffness, 50 + N_FRAMES, len(self.runs))
        run.positions_A[:50] = ICE.positions
        replace(run, failure=self.failure).save(out)


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> FakeEngine:
    fake = FakeEngine()
    monkeypatch.setattr(engine_runs, "run", fake)
    return fake


def integrated(
    folder: Path, *, hard: float = HARD, fails: bool = False, identity: str = "a", **staging: object
) -> list[Correction]:
    """Members 3 and 5 alike; the phases are alike, but for the frames."""
    both = [
        Phase(name, TEMPERATURE_K, window(SOFT, N_FRAMES, 100 + number), 1.0, 1.0, True, "")
        for number, name in enumerate(("solid", "liquid"))
    ]
    somebody = {3: Springs(hard, fails), 5: Springs(SOFTER, fails)}
    return staged.stages(question(**staging), Springs(SOFT), somebody, *both, folder, dict.fromkeys(somebody, identity))


def test_stages_between_springs() -> None:
    """F_k - F_0 = (3N/2) kT ln(k/k0), whatever lies between."""
    runs = [window(stiffness, 1000, seed) for seed, stiffness in enumerate((2.0, 2.3, 2.6))]
    found = staged.between(runs, [0.0, 0.5, 1.0], Springs(2.0), Springs(2.6), TEMPERATURE_K, 0.0)
    free_energy = found.free_energy
    assert free_energy.valid
    exact_kT = 1.5 * N_SITES * np.log(1.3)
    assert free_energy.difference_kT == pytest.approx(exact_kT, abs=3 * free_energy.error_kT)
    assert free_energy.error_kT < 0.01 * exact_kT
    assert found.enthalpy_eV == pytest.approx(0.0, abs=3 * found.enthalpy_error_eV)
    assert found.enthalpy_error_eV == pytest.approx(KT * np.sqrt(1.5 * N_SITES) * np.sqrt(2 / 1000), rel=0.2)


@pytest.mark.parametrize("offset_eV", [-8.0, 50.0])
def test_stages_bridge_a_difference_of_hundreds_of_kT(offset_eV: float) -> None:
    """As between potentials whose bonds differ in strength: a number that all frames share changes nothing else."""
    runs = [window(stiffness, 300, seed) for seed, stiffness in enumerate((2.0, 2.3, 2.6))]
    member = Springs(2.6, offset_eV=offset_eV)
    plain, found = (
        staged.between(runs, [0.0, 0.5, 1.0], Springs(2.0), one, TEMPERATURE_K, 0.0) for one in (Springs(2.6), member)
    )
    assert found.free_energy.valid
    assert found.free_energy.difference_kT == pytest.approx(plain.free_energy.difference_kT + offset_eV / KT)
    assert found.free_energy.error_kT == pytest.approx(plain.free_energy.error_kT)
    assert found.enthalpy_eV == pytest.approx(plain.enthalpy_eV + offset_eV)


def test_the_work_of_the_volume_is_part_of_the_enthalpy() -> None:
    runs = [window(stiffness, 1000, seed) for seed, stiffness in enumerate((2.0, 2.2))]
    grown = replace(runs[1], cell_A=1.1 * runs[1].cell_A)
    plain, larger = (
        staged.between([runs[0], last], [0.0, 1.0], Springs(2.0), Springs(2.2), TEMPERATURE_K, 1000.0)
        for last in (runs[1], grown)
    )
    work_eV = 6.24151e-4 * (1.1**3 - 1) * ICE.get_volume()
    assert larger.enthalpy_eV - plain.enthalpy_eV == pytest.approx(work_eV, rel=1e-5)
    assert larger.free_energy == plain.free_energy


def test_staged_corrections_of_two_members(engine: FakeEngine, tmp_path: Path) -> None:
    """Both phases change alike, so that nothing is left but noise; a wrong sign of either would leave much."""
    for found in integrated(tmp_path):
        assert (found.method, found.valid, found.temperature_K) == ("staged", True, TEMPERATURE_K)
        assert found.value_meV == pytest.approx(0.0, abs=3 * found.error_meV)
        one_phase_meV = 1.5e3 * KT * np.log({3: HARD, 5: SOFTER}[found.member] / SOFT)
        assert found.error_meV < 0.03 * abs(one_phase_meV)
        assert found.slope_meV_per_K == pytest.approx(0.0, abs=3 * found.slope_error_meV_per_K)
    # The phases of one member after those of the other, two windows each.
    assert [path.name[: -len("-123456789abc.npz")] for path in engine.runs[:4]] == [
        "solid-lambda0.4",
        "solid-lambda1",
        "liquid-lambda0.4",
        "liquid-lambda1",
    ]
    per_member = [[0.6 * SOFT + 0.4 * end, end] for end in (HARD, SOFTER)]
    assert engine.stiffness == pytest.approx([*per_member[0] * 2, *per_member[1] * 2])


def test_staged_correction_by_hand() -> None:
    """Of 64 molecules: mu in meV per molecule, and d(c/T)/dT = -h/T^2."""
    parts = [
        staged.Reached(staged.StagedFreeEnergy(difference, 0.3, 0.2, True, ""), *enthalpy)
        for difference, enthalpy in ((-20.0, (-0.5, 0.03)), (10.0, (0.2, 0.04)))
    ]
    found = staged._correction(1, TEMPERATURE_K, parts, N_SITES)
    assert found.value_meV == pytest.approx(-30 * 1e3 * KT / 64)
    assert found.error_meV == pytest.approx(0.3 * np.sqrt(2) * 1e3 * KT / 64)
    assert found.slope_meV_per_K == pytest.approx((found.value_meV + 700 / 64) / TEMPERATURE_K)
    assert found.slope_error_meV_per_K == pytest.approx(50 / 64 / TEMPERATURE_K)


def test_windows_are_run_again_only_where_what_made_them_changed(engine: FakeEngine, tmp_path: Path) -> None:
    first = integrated(tmp_path)
    assert integrated(tmp_path) == first
    assert len(engine.runs) == 8
    integrated(tmp_path, lambdas=[0.2, 0.4, 1.0])
    assert len(engine.runs) == 8 + 4
    for number, change in enumerate(({"identity": "refitted"}, {"duration_ps": 101.0}), start=1):
        integrated(tmp_path, **change)
        assert len(engine.runs) == 12 + 8 * number


def test_a_window_that_fails_is_told(engine: FakeEngine, tmp_path: Path) -> None:
    engine.failure = "overlap: O1 and O2"
    found = integrated(tmp_path)
    assert len(found) == 2
    for one in found:
        assert (one.valid, one.reason) == (False, "solid: overlap: O1 and O2; liquid: overlap: O1 and O2")
        assert np.isnan([one.value_meV, one.slope_meV_per_K]).all()


def test_a_window_shorter_than_its_equilibration_is_told(engine: FakeEngine, tmp_path: Path) -> None:
    found = integrated(tmp_path, equilibration_ps=1e4)[0]
    assert found.reason.startswith("solid: a window is shorter than its equilibration")


def test_windows_too_far_apart_are_told(engine: FakeEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reweighting, "MIN_OVERLAP", 0.9)
    found = integrated(tmp_path)[0]
    assert not found.valid
    assert found.reason.startswith("solid: states 1 and 2 overlap by 0.")
    assert found.reason.endswith("put a stage between")
    assert np.isfinite(found.value_meV)


def test_stages_of_a_member_without_energies_are_told(engine: FakeEngine, tmp_path: Path) -> None:
    found = integrated(tmp_path, fails=True)[0]
    assert not found.valid
    assert found.reason.startswith("solid: sampler or member gives no energy for 1200 frames")


def test_corrections_survive_their_file(tmp_path: Path) -> None:
    some = [
        known(270.0, -1.0, slope_meV_per_K=0.05, slope_error_meV_per_K=0.02),
        known(270.0, np.nan, np.nan, valid=False, reason="lost"),
    ]
    staged.write(some, tmp_path / "staged.json")
    found = staged.read(tmp_path / "staged.json")
    assert found[0] == some[0]
    np.testing.assert_equal(vars(found[1]), vars(some[1]))


def test_energies_of_members(tmp_path: Path) -> None:
    """Each member's of each frame, under the names of the states; a run without frames has none."""
    runs = {members.state_name("solid", 270.0): window(SOFT, 7, 0), "liquid-T290.5": failed(ICE, "lost atoms")}
    members.write_energies([Springs(SOFT), Springs(2 * SOFT)], runs, tmp_path / "energies.npz")
    with np.load(tmp_path / "energies.npz") as stored:
        assert stored["liquid-T290.5"].shape == (2, 0)
        own = runs["solid-T270"].energy_eV
        np.testing.assert_allclose(stored["solid-T270"], [own, 2 * own], rtol=1e-12)
    assert members.state_name("liquid", 290.5) == "liquid-T290.5"


# Averages


def properties(one: Phase, energies_eV: np.ndarray | None = None) -> dict[str, list[dict]]:
    rows = averages.rows_of(one, energies_eV, pressure_bar=0.0, with_spatial=True)
    return {name: [row for row in rows if row["observable"] == name] for name in {row["observable"] for row in rows}}


def test_average_enthalpy_of_a_member() -> None:
    """<V_k>_k - <V_0>_0 = the shift less s^2 kT, which is twice what the free energy loses."""
    rng = np.random.default_rng(2)
    for spread_kT, n_frames, method in ((0.7, 2000, "direct"), (1.5, 4000, "cumulant")):
        one = sampled("solid", n_frames, rng)
        (row,) = properties(one, moved(one, -1.0, spread_kT, rng))["enthalpy_meV"]
        (own,) = properties(one)["enthalpy_meV"]
        assert (row["method"], row["valid"], own["method"], own["ess"]) == (method, True, "sampled", 1.0)
        assert own["value"] == pytest.approx(one.enthalpies_meV(0.0).mean())
        assert own["sampling_error"] == pytest.approx(3.0 / np.sqrt(n_frames), rel=0.1)
        exact_meV = own["value"] + 2 * gaussian_meV(-1.0, spread_kT) + 1.0
        assert row["value"] == pytest.approx(exact_meV, abs=3 * row["sampling_error"])
        # Directly, n frames are worth n e^(-s^2).
        worth = n_frames * (np.exp(-(spread_kT**2)) if method == "direct" else 1.0)
        assert row["sampling_error"] == pytest.approx(3.0 / np.sqrt(worth), rel=0.12 if method == "direct" else 1.0)


def test_density_of_a_member_that_favours_large_cells() -> None:
    """V_k - V_0 = P_k (V - V0) on a Gaussian volume: the mean volume falls by P_k var(V) / kT."""
    rng = np.random.default_rng(0)
    one = sampled("liquid", 4000, rng)
    stretched = 1 + 0.01 * rng.normal(size=4000)
    volume_A3 = stretched * ICE.get_volume()
    cell_A = ICE.cell.array * np.cbrt(stretched)[:, None, None]
    one = replace(one, samples=replace(one.samples, cell_A=cell_A))
    pull = 0.9 * KT / volume_A3.std()
    (row,) = properties(one, one.samples.energy_eV + pull * (volume_A3 - volume_A3.mean()))["density_g_per_cm3"]
    mean_A3 = volume_A3.mean() - 0.9 * volume_A3.std()
    exact = N_SITES * 18.015 * 1.66053907 * (1 / mean_A3 + volume_A3.var() / mean_A3**3)
    assert row["value"] == pytest.approx(exact, abs=3 * row["sampling_error"])
    assert row["sampling_error"] < 0.1 * 0.009 * exact


def test_error_of_a_sampled_distribution() -> None:
    """The first bins hold nothing at all; the frames are independent all the same."""
    rng = np.random.default_rng(0)
    one = sampled("liquid", 200, rng)
    frames = rng.random((200, N_SITES, 3)) @ ICE.cell.array
    rows = properties(replace(one, samples=replace(one.samples, positions_A=frames)))["rdf"]
    far = [row for row in rows if row["coordinate_A"] > 4.0]
    values, errors = (np.array([row[name] for row in far]) for name in ("value", "sampling_error"))
    # An ideal gas: 1 but for the site itself, with the noise of the counted pairs.
    off = (values - (1 - 1 / N_SITES)) / errors
    assert 0.6 < np.sqrt(np.mean(off**2)) < 1.4


def test_enthalpy_of_melting() -> None:
    rng = np.random.default_rng(0)
    rows = []
    for name, enthalpy_meV in (("solid", -500.0), ("liquid", -445.0)):
        phase = phase_of(name, TEMPERATURE_K, enthalpy_meV + 3.0 * rng.normal(size=900))
        rows += averages.rows_of(phase, None, 0.0, with_spatial=False)
    (found,) = averages.enthalpy_of_melting_rows(rows)
    assert (found["phase"], found["observable"], found["valid"]) == ("both", "enthalpy_of_melting_meV", True)
    assert found["value"] == pytest.approx(55.0, abs=3 * found["sampling_error"])
    assert found["sampling_error"] == pytest.approx(0.1 * np.sqrt(2), rel=0.1)
    assert averages.enthalpy_of_melting_rows(rows[:2]) == []


def test_averages_of_frames_that_do_not_count() -> None:
    rng = np.random.default_rng(0)
    one = replace(sampled("liquid", 500, rng), valid=False, reason="the liquid froze")
    (row,) = properties(one)["density_g_per_cm3"]
    assert (row["valid"], row["reason"]) == (False, "the liquid froze")
    lost = np.full(500, np.nan)
    (row,) = properties(replace(one, valid=True), lost)["density_g_per_cm3"]
    assert (row["valid"], row["reason"]) == (False, "the member gives no energy for some frames")
    assert np.isnan(row["value"])
