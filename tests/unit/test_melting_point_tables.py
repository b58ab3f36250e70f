"""Tables of the melting point: the error budget, what covers what, and whole studies made of files alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from ase import Atoms
from melting_point_runs import ICE, N_SITES, autoregressive, exactly, phase_of, run_of

from longhot import frames as fr
from longhot.config import Bulk, Coexistence, MeltingPoint, Pinning
from longhot.dynamics.samples import Samples, failed, load
from longhot.files import read_json, write_json
from longhot.observables.melting_point import calibrate, members, phases, staged
from longhot.observables.melting_point.budget import budget, required_accuracy, summary
from longhot.observables.melting_point.committees import Committee, CommitteeFiles
from longhot.observables.melting_point.interfaces import Interface
from longhot.observables.melting_point.members import Correction
from longhot.observables.melting_point.result import SamplerFiles, SamplerResult, curve_through, melting_point_of
from longhot.observables.melting_point.tables import TABLES, write_tables
from longhot.observables.melting_point.thermodynamics import EnthalpyDifference
from longhot.observables.melting_point.thermodynamics import MeltingPoint as Point
from longhot.potential import Label
from longhot.uncertainty.calibration import CommitteePrediction, calibration_factor, calibration_rows

TRUTH_K = 273.0
ENTROPY = 0.2
TRUTH = Point(TRUTH_K, 1.1, ENTROPY, True, "")
NO_POINT = Point(np.nan, np.nan, np.nan, False, "lost")


def sampler(**others: Any) -> SamplerResult:
    """Its melting point alone."""
    return replace(SamplerResult([], [], None, None, "", TRUTH, {"2x2x2": TRUTH}), **others)


def committee(
    points: list[Point], alpha: float | None = 0.5, maes: list[float] | None = None, by: SamplerResult | None = None
) -> Committee:
    """Members that differ in nothing but their melting points and force errors."""
    row = {"scope": "holdout", "quantity": "energy_meV_per_atom", "alpha": alpha, "reason": "" if alpha else "too few"}
    row |= {"alpha_ci_low": alpha, "alpha_ci_high": alpha}
    return Committee(
        "mace",
        5,
        by or sampler(),
        {},
        {seed: (point, "reweighting") for seed, point in enumerate(points)},
        {},
        {},
        {"calibration": [row], "reliability": [], "force_mae_meV_per_A": maes or [20.0] * len(points)},
    )


def points_at(*temperatures_K: float, error_K: float = 0.3) -> list[Point]:
    return [Point(temperature_K, error_K, ENTROPY, True, "") for temperature_K in temperatures_K]


# Budget and coverage

FOUR_K = (270.0, 272.0, 274.0, 276.0)
SPREAD_K = np.sqrt(20 / 3)
"""Standard deviation of the four."""


def test_budget_by_hand() -> None:
    points = [
        replace(point, error_K=error_K) for point, error_K in zip(points_at(*FOUR_K), (0, 0, 0.3, 0.4), strict=True)
    ]
    found = budget(committee(points))
    assert {name: error_K for name, (error_K, reason) in found.items() if not reason} == pytest.approx(
        {
            "committee_raw": SPREAD_K,
            "committee_calibrated": 0.5 * SPREAD_K,
            "finite_committee": SPREAD_K / 2,
            "reweighting": 0.25,
            "pinning": 1.1,
        }
    )
    assert list(found) == [
        "committee_raw",
        "committee_calibrated",
        "finite_committee",
        "reweighting",
        "pinning",
        "protocol_coexistence",
        "protocol_size",
    ]
    for name in ("protocol_coexistence", "protocol_size"):
        assert np.isnan(found[name][0])
    assert found["protocol_coexistence"][1] == "not run: no block melting_point.coexistence"
    assert found["protocol_size"][1] == "not estimated: melting_point.pinning.cells names one cell"


def test_invalid_members_stay_out() -> None:
    """Of the three others, 271, 272 and 276 K: their mean, spread and number."""
    points = [*points_at(271.0, 272.0), Point(400.0, 0.1, ENTROPY, False, "beyond"), *points_at(276.0)]
    one = committee(points)
    assert budget(one)["committee_raw"][0] == pytest.approx(np.sqrt(7))
    assert budget(one)["finite_committee"][0] == pytest.approx(np.sqrt(7 / 3))
    row = summary(one, TRUTH)
    assert (row["n_members"], row["n_valid"]) == (4, 3)
    assert row["melting_point_K"] == pytest.approx(273.0)
    assert row["reason"] == "no valid melting point of member 2"


def test_alpha_is_that_of_energies_on_the_hold_out() -> None:
    one = committee(points_at(*FOUR_K))
    rows = [
        {"scope": scope, "quantity": quantity, "alpha": alpha, "reason": ""}
        for scope, quantity, alpha in (
            ("md", "energy_meV_per_atom", 3.0),
            ("holdout", "force_per_atom_meV_per_A", 4.0),
            ("holdout", "energy_meV_per_atom", 0.7),
        )
    ]
    assert replace(one, calibration=one.calibration | {"calibration": rows}).alpha == 0.7
    assert np.isnan(replace(one, calibration=one.calibration | {"calibration": rows[:2]}).alpha)


@pytest.mark.parametrize("n_valid", [0, 1])
def test_too_few_members_for_a_spread(n_valid: int) -> None:
    one = committee([*points_at(*FOUR_K[:n_valid]), *[NO_POINT] * (4 - n_valid)])
    found, row = budget(one), summary(one, TRUTH)
    for name in ("committee_raw", "committee_calibrated", "finite_committee"):
        assert np.isnan(found[name][0])
        assert found[name][1] == f"{n_valid} of 4 members have a melting point, a spread takes two"
    assert row["covered_2sigma"] is None
    assert "a spread takes two" in row["reason"]


def test_without_a_calibration_there_is_no_coverage() -> None:
    one = committee(points_at(*FOUR_K), alpha=None)
    assert np.isnan(budget(one)["committee_calibrated"][0])
    assert budget(one)["committee_calibrated"][1] == "too few"
    assert budget(one)["finite_committee"][0] == pytest.approx(SPREAD_K / 2)
    row = summary(one, TRUTH)
    assert (row["committee_std_K"], row["covered_2sigma"]) == (pytest.approx(SPREAD_K), None)
    assert row["reason"] == "no calibrated spread: too few"


@pytest.mark.parametrize("truth", [None, replace(TRUTH, valid=False, reason="froze")])
def test_without_a_reference_there_is_no_coverage(truth: Point | None) -> None:
    row = summary(committee(points_at(*FOUR_K)), truth)
    assert row["covered_2sigma"] is None
    assert np.isnan([row["reference_melting_point_K"], row["reference_error_K"]]).all()
    assert row["reason"] == "no valid melting point of the reference to compare with"


WIDTH_K = 2 * np.sqrt((0.5 * SPREAD_K) ** 2 + (SPREAD_K / 2) ** 2 + 0.3**2)


@pytest.mark.parametrize(
    ("off_K", "covered"), [(0.99 * WIDTH_K, True), (-0.99 * WIDTH_K, True), (1.01 * WIDTH_K, False), (-9.0, False)]
)
def test_what_two_standard_deviations_cover(off_K: float, covered: bool) -> None:
    """The calibrated spread, the error of the mean of four, and the reweighting; not the pinned run of 1.1 K."""
    row = summary(committee(points_at(*FOUR_K)), replace(TRUTH, temperature_K=273.0 + off_K))
    assert row["covered_2sigma"] is covered
    assert row["reason"] == ""


def test_the_interval_of_a_committee_is_by_students_t() -> None:
    """Of three degrees of freedom where alpha is known for sure: 3.18 standard deviations, and more where it is not."""
    row = summary(committee(points_at(*FOUR_K)), TRUTH)
    half_K = 3.182446 * WIDTH_K / 2
    found = (row["melting_point_K"] - row["ci_low_K"], row["ci_high_K"] - row["melting_point_K"])
    assert found == pytest.approx((half_K, half_K), rel=1e-5)
    assert np.isnan(summary(committee(points_at(273.0)), TRUTH)["ci_low_K"])
    unsure = committee(points_at(*FOUR_K))
    unsure.calibration["calibration"][0] |= {"alpha_ci_low": 0.2, "alpha_ci_high": 0.9}
    assert summary(unsure, TRUTH)["ci_low_K"] < row["ci_low_K"]


def test_members_that_are_off_as_one_tell_little_of_the_accuracy() -> None:
    """Together they are one number, and not four."""
    alike = [committee(points_at(274.9, 275.0, 275.1, 275.0), maes=[20.0] * 4)]
    apart = [committee(points_at(271.0, 275.0, 275.0, 271.0), maes=[20.0] * 4)]
    wide, narrow = (required_accuracy(one, TRUTH, 2.0) for one in (alike, apart))
    assert wide["force_mae_meV_per_A"] == pytest.approx(narrow["force_mae_meV_per_A"], rel=0.01)
    assert "off to one side" in wide["reason"]
    assert narrow["reason"] == ""
    assert wide["ci_high"] / wide["ci_low"] > 10 > 7 > narrow["ci_high"] / narrow["ci_low"]


def test_a_committee_of_known_spread_covers_the_truth() -> None:
    """Members m + s x_k and a truth m + alpha s y, with x and y of a normal law; alpha from energies of the same law.

    The mean of M members is off m by s/sqrt(M). alpha^2 = -1/M + ... takes just that off, and covers little alone.
    """
    rng, n_members, alpha, spread_K = np.random.default_rng(0), 8, 0.25, 3.0
    energies = rng.normal(size=(n_members, 5000))
    errors = alpha * rng.normal(size=5000) - energies.mean(axis=0)
    fitted = calibration_factor(errors, energies.std(axis=0, ddof=1), n_members)
    assert fitted == pytest.approx(alpha, abs=0.05)
    covered, alone = [], []
    for _ in range(400):
        one = committee(points_at(*(TRUTH_K + spread_K * rng.normal(size=n_members)), error_K=0.0), fitted)
        truth = replace(TRUTH, temperature_K=TRUTH_K + alpha * spread_K * rng.normal())
        row = summary(one, truth)
        covered.append(row["covered_2sigma"])
        alone.append(abs(row["melting_point_K"] - truth.temperature_K) < 2 * row["committee_std_calibrated_K"])
    assert 0.88 < np.mean(covered) < 0.97
    assert np.mean(alone) < 0.8


COEXISTING = Interface("coexistence", "2x2x2", 275.0, 64, 100.0, 6.0, 0.1, 12.0, 1.0, np.nan, 271.0, 0.5, True, "")


def test_protocol_errors_by_hand() -> None:
    other = replace(TRUTH, temperature_K=274.5, error_K=0.6)
    by = sampler(coexistence=COEXISTING, by_cell={"small": TRUTH, "middle": NO_POINT, "large": other})
    one = committee(points_at(*FOUR_K), by=by)
    found = budget(one)
    error_K = np.hypot(1.1, 0.5)
    assert found["protocol_coexistence"] == (
        pytest.approx(2.0),
        f"a difference of -2.0 K with a statistical error of {error_K:.1f} K",
    )
    assert found["protocol_size"] == (pytest.approx(1.5), "a difference of +1.5 K with a statistical error of 1.3 K")
    assert summary(one, TRUTH)["protocol_error_K"] == pytest.approx(2.5)


def test_protocol_errors_that_are_not_known() -> None:
    frozen = replace(COEXISTING, valid=False, reason="froze whole")
    by = sampler(coexistence=frozen, by_cell={"small": TRUTH, "large": NO_POINT})
    found = budget(committee(points_at(*FOUR_K), by=by))
    assert found["protocol_coexistence"][1] == "coexistence: froze whole"
    assert found["protocol_size"][1] == "large: lost"
    by = replace(by, coexistence=COEXISTING, melting_point=NO_POINT, by_cell={"small": NO_POINT, "large": TRUTH})
    found = budget(committee(points_at(*FOUR_K), by=by))
    assert found["protocol_coexistence"][1] == "pinning: lost"
    assert found["protocol_size"][1] == "small: lost"
    assert found["pinning"][1] == "lost"
    assert np.isnan([found[name][0] for name in ("pinning", "protocol_coexistence", "protocol_size")]).all()


# Required accuracy

RATIO = 0.15
"""K of melting point by meV/A of force error."""


def proportional(rng: np.random.Generator, centre_K: float) -> list[Committee]:
    """Three sizes of four members, whose errors are normal with a width in proportion to their force errors."""
    found = []
    for mae in (40.0, 20.0, 10.0):
        maes = mae * rng.uniform(0.9, 1.1, size=4)
        found.append(committee(points_at(*(centre_K + RATIO * maes * rng.normal(size=4))), maes=maes.tolist()))
    return found


@pytest.mark.parametrize("truth", [TRUTH, None], ids=["reference", "mean"])
def test_required_accuracy_is_recovered(truth: Point | None) -> None:
    """For 2 K: 2 / 0.15 meV/A. Without a reference each committee has its own centre."""
    rng, exact = np.random.default_rng(0), 2.0 / RATIO
    centre_K = TRUTH_K if truth else 260.0
    found = [required_accuracy(proportional(rng, centre_K), truth, 2.0) for _ in range(300)]
    needed, low, high = (
        np.array([one[name] for one in found]) for name in ("force_mae_meV_per_A", "ci_low", "ci_high")
    )
    assert np.median(needed) == pytest.approx(exact, rel=0.1)
    assert 0.92 < np.mean((low < exact) & (exact < high)) < 0.98
    assert found[0]["n_points"] == 12
    assert (low < needed).all()


def test_a_committee_that_is_off_as_one_needs_more() -> None:
    """10 K off the reference, all of them: their own mean would not know."""
    some = [committee(points_at(282.9, 283.0, 283.1), maes=[20.0, 20.0, 20.0])]
    assert required_accuracy(some, TRUTH, 2.0)["force_mae_meV_per_A"] == pytest.approx(4.0, rel=1e-3)
    assert required_accuracy(some, None, 2.0)["force_mae_meV_per_A"] == pytest.approx(400.0)


def test_required_accuracy_without_members() -> None:
    some = [committee([NO_POINT, *points_at(272.0)])]
    found = required_accuracy(some, None, 2.0)
    assert np.isnan([found["force_mae_meV_per_A"], found["ci_low"], found["ci_high"]]).all()
    assert found["reason"] == "fewer than two members have a valid melting point to compare"
    assert found.keys() == required_accuracy([committee(points_at(*FOUR_K))], None, 2.0).keys()


def test_members_without_a_force_error_do_not_count() -> None:
    some = [committee(points_at(*FOUR_K), maes=[20.0, 20.0, 20.0, None])]  # type: ignore[list-item]
    assert required_accuracy(some, TRUTH, 2.0)["n_points"] == 3


# Calibration


class Shifted:
    """Labels that are off by a constant, in energy and in each force component; NaN where it fails."""

    def __init__(self, energy_eV: float, force_eV_per_A: float) -> None:
        self.energy_eV, self.force_eV_per_A = energy_eV, force_eV_per_A

    def predict(self, frames: Sequence[Atoms]) -> list[Label]:
        return [
            Label(
                frame.info[fr.ENERGY] + self.energy_eV * np.cos(number), frame.arrays[fr.FORCES] + self.force_eV_per_A
            )
            for number, frame in enumerate(frames)
        ]


def labelled_ice(n_frames: int) -> list[Atoms]:
    rng = np.random.default_rng(0)
    return [fr.labelled(ICE, rng.normal(), rng.normal(size=(N_SITES, 3))) for _ in range(n_frames)]


def test_force_errors_and_rows_of_a_committee(tmp_path: Path) -> None:
    somebody = [Shifted(0.1, 0.02), Shifted(-0.1, -0.03), Shifted(0.2, 0.05), Shifted(-0.1, 0.0)]
    calibrate.calibrate(somebody, labelled_ice(10), [], None, tmp_path / "calibration.json")
    found = read_json(tmp_path / "calibration.json")
    assert found["force_mae_meV_per_A"] == pytest.approx([20.0, 30.0, 50.0, 0.0], abs=1e-9)
    assert {row["scope"] for row in found["calibration"]} == {"holdout"}
    assert len(found["calibration"]) == 3


def test_a_member_without_forces_has_no_force_error(tmp_path: Path) -> None:
    calibrate.calibrate(
        [Shifted(0.1, 0.02), Shifted(-0.1, np.nan)], labelled_ice(10), [], None, tmp_path / "calibration.json"
    )
    found = read_json(tmp_path / "calibration.json")
    assert found["force_mae_meV_per_A"] == [pytest.approx(20.0), None]
    assert "not finite" in found["calibration"][-1]["reason"]


def test_visited_frames_are_spread_over_all_runs() -> None:
    runs = [run_of(np.zeros(n_frames), phase) for n_frames, phase in ((10, "solid"), (30, "liquid"))]
    found = calibrate.visited_frames(runs, 4)
    every = [frame for run in runs for frame in members.frames_of(run)]
    for frame, number in zip(found, (0, 13, 26, 39), strict=True):
        np.testing.assert_array_equal(frame.positions, every[number].positions)
    assert len(calibrate.visited_frames(runs, 400)) == 40
    assert calibrate.visited_frames([], 4) == []


# Whole studies

TEMPERATURES_K = (260.0, 275.0, 290.0)
PINNED_K, KAPPA_EV, SOLID_ORDER, LIQUID_ORDER = 280.0, 0.17, 12.0, 1.0
SHIFTS_MEV = (-0.6, -0.2, 0.2, 0.6)
"""What each member adds to mu_s - mu_l, per molecule."""
CENTRE_MEV = 0.3


def enthalpy_meV(phase: str, temperature_K: float) -> float:
    """h_s - h_l = -0.2 T_m: mu_s - mu_l = 0.2 (T - T_m)."""
    return 0.17 * temperature_K - (ENTROPY * TRUTH_K if phase == "solid" else 0.0)


def pinned_run(temperature_K: float, rng: np.random.Generator, off_meV: float = 0.0) -> Samples:
    """Q is where the pull balances N (mu_s - mu_l)."""
    delta_mu_meV = ENTROPY * (temperature_K - TRUTH_K) + off_meV
    pull = 1e3 * KAPPA_EV * (SOLID_ORDER - LIQUID_ORDER) / N_SITES
    middle = (SOLID_ORDER + LIQUID_ORDER) / 2
    order = autoregressive(middle - delta_mu_meV / pull, 0.1, 0.5, 2000, rng)
    return run_of(np.zeros(2000), order=order, samples_per_frame=2000)


class Study:
    """Files of a sampler and of two committees, made up."""

    def __init__(self, folder: Path, n_members: int = 4, name: str = "reference", **pinned_off_meV: float) -> None:
        self.folder, self.name, self.n_members = folder, name, n_members
        self.rng = np.random.default_rng(0)
        self.bulk = {(phase, t): self._bulk(phase, t) for t in TEMPERATURES_K for phase in ("solid", "liquid")}
        off_meV = pinned_off_meV or {"280": 0.0}
        self.pinned = {("2x2x2", float(t)): self._pinned(float(t), off) for t, off in off_meV.items()}
        self.coexistence: Path | None = folder / "coexistence.npz"
        temperature_K = autoregressive(TRUTH_K, 5.0, 0.5, 2000, self.rng)
        order = autoregressive(6.5, 0.1, 0.5, 2000, self.rng)
        run_of(np.zeros(2000), temperature_K=temperature_K, order=order).save(self.coexistence)
        self.committees = [self._committee(5, 2.0), self._committee(50, 1.0)]

    def _bulk(self, phase: str, temperature_K: float) -> Path:
        path = self.folder / f"{phase}-T{temperature_K:g}.npz"
        energies_meV = enthalpy_meV(phase, temperature_K) + 3.0 * self.rng.normal(size=300)
        run_of(1e-3 * N_SITES * energies_meV, phase).save(path)
        return path

    def _pinned(self, temperature_K: float, off_meV: float) -> Path:
        folder = self.folder / f"2x2x2-T{temperature_K:g}"
        for name, order in (("solid", SOLID_ORDER), ("liquid", LIQUID_ORDER)):
            run_of(np.zeros(50), name, order=order, samples_per_frame=50).save(folder / f"{name}.npz")
        pinned_run(temperature_K, self.rng, off_meV).save(folder / "pinned.npz")
        return folder

    def _committee(self, size: int, factor: float) -> CommitteeFiles:
        """Members that add their shift to the solid, with some noise in both phases."""
        folder = self.folder / f"n{size}"
        energies = {}
        for (phase, temperature_K), path in self.bulk.items():
            with np.load(path) as stored:
                own_eV = stored["energy_eV"]
            shifts_meV = factor * (CENTRE_MEV + np.array(SHIFTS_MEV[: self.n_members])) * (phase == "solid")
            noise_eV = 0.01 * self.rng.normal(size=(self.n_members, len(own_eV)))
            energies[members.state_name(phase, temperature_K)] = (
                own_eV + 1e-3 * N_SITES * shifts_meV[:, None] + noise_eV
            )
        folder.mkdir(parents=True)
        np.savez(folder / "energies.npz", **energies)
        staged.write([], folder / "staged.json")
        write_json(folder / "calibration.json", self._calibration(factor))
        return CommitteeFiles.of(
            {
                "model": "mace",
                "train_size": size,
                "sampler": self.name,
                "folder": str(folder),
                "staged": True,
                "own_pinning": [],
            }
        )

    def _calibration(self, factor: float) -> dict[str, Any]:
        """Forces and energies of members that are as sure as they say."""
        shape = (40, 6, 3)
        members_eV = factor * self.rng.normal(size=(self.n_members, 40))
        forces = factor * 0.02 * self.rng.normal(size=(self.n_members, *shape))
        prediction = CommitteePrediction(
            members_eV, factor * self.rng.normal(size=40), list(np.swapaxes(forces, 0, 1)), [np.zeros((6, 3))] * 40
        )
        tables = calibration_rows(prediction)
        plain = [[{k: None if v != v else v for k, v in row.items()} for row in table] for table in tables]
        maes = [20.0 * factor] * self.n_members
        return {"calibration": plain[0], "reliability": plain[1], "force_mae_meV_per_A": maes}

    def tables(self) -> dict[str, pd.DataFrame]:
        question = MeltingPoint(
            dataset="ice",
            models=["mace"],
            train_sizes=[5, 50],
            seeds=list(range(self.n_members)),
            bulk=Bulk(temperatures_K=list(TEMPERATURES_K), equilibration_ps=0.05),
            pinning=Pinning(temperatures_K=[PINNED_K], equilibration_ps=0.05, kappa_eV=KAPPA_EV),
            coexistence=Coexistence(equilibration_ps=0.05) if self.coexistence else None,
        )
        out = {name: str(self.folder / "tables" / f"{name}.csv") for name in TABLES}
        files = SamplerFiles(self.bulk, self.pinned, self.coexistence)
        write_tables(question, {self.name: files}, self.committees, out)
        found = {name: pd.read_csv(path, keep_default_na=False, na_values=[""]) for name, path in out.items()}
        for name, table in found.items():
            check(name, table)
        return found

    def change_energies(self, size: int, change: Any) -> None:
        path = self.folder / f"n{size}" / "energies.npz"
        with np.load(path) as stored:
            energies = {name: values.copy() for name, values in stored.items()}
        np.savez(path, **{name: change(name, values) for name, values in energies.items()})


PROMISED = {
    "calibration": "scope quantity alpha nll_raw nll_calibrated miscalibration_area_raw miscalibration_area_calibrated "
    "ence_calibrated crps_calibrated",
    "reliability": "scope quantity spread expected observed",
    "phases": "sampler phase temperature_K density_g_per_cm3 enthalpy_meV enthalpy_error_meV crystalline_share valid "
    "reason",
    "interfaces": "sampler method cell temperature_K delta_mu_meV sampling_error_meV melting_point_K sampling_error_K "
    "valid reason",
    "delta_mu": "member temperature_K delta_mu_meV sampling_error_meV method ess_solid ess_liquid valid reason",
    "melting_point": "member melting_point_K sampling_error_K method valid reason",
    "melting_point_summary": "melting_point_K committee_std_K committee_std_calibrated_K sampling_error_K "
    "reference_melting_point_K reference_error_K covered_2sigma n_members n_valid reason",
    "melting_point_budget": "component error_K valid reason",
    "required_accuracy": "model target_melting_point_error_K force_mae_meV_per_A ci_low ci_high exponent n_points "
    "reason",
    "observables": "member temperature_K phase observable value sampling_error method ess valid reason",
}
NOT_OF_EVERY_ROW = {
    "interfaces": ("delta_mu_meV", "sampling_error_meV", "melting_point_K", "sampling_error_K", "anchor"),
    "delta_mu": ("ess_solid", "ess_liquid"),
    "melting_point": ("entropy_of_melting_meV_per_K",),
    "melting_point_summary": ("protocol_error_K",),
    "observables": ("coordinate_A",),
}
"""Columns that are empty where the row's method, or the study, has none."""


def check(name: str, table: pd.DataFrame) -> None:
    """The promised columns stand there; a number that is not finite, and a row that is not valid, says why."""
    assert len(table), f"{name} is empty"
    assert set(PROMISED[name].split()) <= set(table.columns)
    assert set(table["dataset"]) == {"ice"}
    reasons = table["reason"] if "reason" in table else pd.Series("", index=table.index)
    numbers = table.drop(columns=["reason", *NOT_OF_EVERY_ROW.get(name, ())], errors="ignore")
    unexplained = numbers.isna().any(axis=1) & reasons.isna()
    if "valid" in table:
        unexplained |= ~table["valid"].astype(bool) & reasons.isna()
    assert not unexplained.any(), f"{name}: {table[unexplained].to_string()}"
    assert not np.isinf(table.select_dtypes("number").to_numpy()).any()


def test_check_finds_what_is_not_explained() -> None:
    row = {"dataset": "ice", **dict.fromkeys(PROMISED["melting_point"].split(), 1.0), "reason": None, "valid": True}
    check("melting_point", pd.DataFrame([row]))
    for fault in ({"melting_point_K": np.nan}, {"valid": False}, {"sampling_error_K": np.inf}):
        with pytest.raises(AssertionError):
            check("melting_point", pd.DataFrame([row | fault]))


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> dict[str, pd.DataFrame]:
    return Study(tmp_path_factory.mktemp("sound")).tables()


def test_melting_points_of_a_study(sound: dict[str, pd.DataFrame]) -> None:
    """T_m,k = T_m - c_k / delta s: a member with a higher solid melts lower."""
    table = sound["melting_point"]
    reference = table[table["model"] == "reference"].set_index("method")
    assert list(reference.index) == ["pinning", "coexistence"]
    for method in reference.index:
        assert abs(reference["melting_point_K"][method] - TRUTH_K) < 3 * reference["sampling_error_K"][method]
    for size, factor in ((5, 2.0), (50, 1.0)):
        rows = table[table["train_size"] == size]
        assert list(rows["member"]) == [0, 1, 2, 3]
        assert rows["valid"].all()
        assert set(rows["method"]) == {"reweighting"}
        exact = reference["melting_point_K"]["pinning"] - factor * (CENTRE_MEV + np.array(SHIFTS_MEV)) / ENTROPY
        np.testing.assert_allclose(rows["melting_point_K"], exact, atol=0.15)
        assert rows["sampling_error_K"].max() < 0.1


def test_chemical_potentials_of_a_study(sound: dict[str, pd.DataFrame]) -> None:
    """The sampler's and each member's at each temperature."""
    table = sound["delta_mu"]
    assert len(table) == 3 + 2 * 4 * 3
    own = table[table["model"] == "reference"].set_index("temperature_K")
    np.testing.assert_allclose(own["delta_mu_meV"], ENTROPY * (np.array(TEMPERATURES_K) - TRUTH_K), atol=0.3)
    first = table[(table["train_size"] == 50) & (table["member"] == 0)].set_index("temperature_K")
    np.testing.assert_allclose(first["delta_mu_meV"] - own["delta_mu_meV"], CENTRE_MEV + SHIFTS_MEV[0], atol=0.03)
    assert set(first["method"]) == {"direct"}


def test_summary_of_a_study(sound: dict[str, pd.DataFrame]) -> None:
    table = sound["melting_point_summary"].set_index("train_size")
    spread_K = np.std(SHIFTS_MEV, ddof=1) / ENTROPY
    np.testing.assert_allclose(table["committee_std_K"], [2 * spread_K, spread_K], rtol=0.05)
    off_K = table["melting_point_K"] - table["reference_melting_point_K"]
    np.testing.assert_allclose(off_K, [-2 * CENTRE_MEV / ENTROPY, -CENTRE_MEV / ENTROPY], atol=0.1)
    assert table["covered_2sigma"].all()
    assert table["reason"].isna().all()
    parts = sound["melting_point_budget"].set_index(["train_size", "component"])["error_K"].unstack()
    np.testing.assert_allclose(parts["finite_committee"], table["committee_std_K"] / 2, rtol=1e-5)
    needed = sound["required_accuracy"].iloc[0]
    squares = np.mean(((CENTRE_MEV + np.array(SHIFTS_MEV)) / ENTROPY / 20.0) ** 2)
    assert needed["force_mae_meV_per_A"] == pytest.approx(2.0 / np.sqrt(squares), rel=0.05)
    assert needed["n_points"] == 8


def test_three_members_have_rows_but_no_calibration(tmp_path: Path) -> None:
    tables = Study(tmp_path, n_members=3).tables()
    row = tables["melting_point_summary"].iloc[0]
    assert row["n_valid"] == 3
    assert np.isfinite([row["melting_point_K"], row["committee_std_K"]]).all()
    assert pd.isna(row["committee_std_calibrated_K"])
    assert pd.isna(row["covered_2sigma"])
    assert row["reason"].startswith("no calibrated spread: calibration: 3 members")
    parts = tables["melting_point_budget"].set_index(["train_size", "component"])
    assert not parts["valid"][5, "committee_calibrated"]
    assert parts["reason"][5, "committee_calibrated"].startswith("calibration: 3 members")
    assert parts["valid"][5, "finite_committee"]
    calibrated = [name for name in tables["calibration"] if name.endswith("_calibrated")]
    assert tables["calibration"][["alpha", *calibrated]].isna().all(axis=None)
    assert tables["calibration"]["nll_raw"].notna().all()
    assert set(tables["reliability"]["spread"]) == {"raw"}


def test_a_member_without_energies(tmp_path: Path) -> None:
    study = Study(tmp_path)
    study.change_energies(5, lambda name, values: np.where(np.arange(4)[:, None] == 2, np.nan, values))
    tables = study.tables()
    rows = tables["melting_point"]
    (lost,) = rows[(rows["train_size"] == 5) & ~rows["valid"].astype(bool)].to_dict("records")
    assert lost["member"] == 2
    assert lost["reason"].count("no free energy from these: 300 of 300 energy differences are not finite") == 6
    summaries = tables["melting_point_summary"].set_index("train_size")
    assert list(summaries["n_valid"]) == [3, 4]
    assert summaries["reason"][5] == "no valid melting point of member 2"
    others = [shift for member, shift in enumerate(SHIFTS_MEV) if member != 2]
    assert summaries["committee_std_K"][5] == pytest.approx(2 * np.std(others, ddof=1) / ENTROPY, rel=0.05)
    table = tables["observables"]
    assert table[(table["train_size"] == 5) & (table["member"] == 2)]["value"].isna().all()


def test_a_staged_member(tmp_path: Path) -> None:
    """At 275 K stages replace what is there; at the others reweighting still counts where it is valid."""
    study = Study(tmp_path)
    state = members.state_name("solid", 275.0)
    study.change_energies(
        50, lambda name, values: np.where(name == state and np.arange(4)[:, None] == 1, np.nan, values)
    )
    by_stages = Correction(1, 275.0, 0.5, 0.001, "staged", np.nan, np.nan, True, "", 0.0, 0.0)
    staged.write([by_stages], study.folder / "n50" / "staged.json")
    tables = study.tables()
    rows = tables["melting_point"].set_index(["train_size", "member"])
    assert list(rows["method"][50]) == ["reweighting", "staged", "reweighting", "reweighting"]
    table = tables["delta_mu"]
    own = table[(table["train_size"] == 50) & (table["member"] == 1)].set_index("temperature_K")
    assert list(own["method"]) == ["direct", "staged", "direct"]
    reference = table[table["model"] == "reference"].set_index("temperature_K")["delta_mu_meV"]
    assert own["delta_mu_meV"][275.0] - reference[275.0] == pytest.approx(0.5, abs=1e-4)
    assert pd.isna(own["ess_solid"][275.0])


def test_pinned_runs_that_contradict_each_other_spoil_all(tmp_path: Path) -> None:
    tables = Study(tmp_path, **{"280": 0.0, "285": 2.0}).tables()
    rows = tables["melting_point"]
    assert not rows[rows["method"] != "coexistence"]["valid"].any()
    why = "the pinned runs contradict each other"
    assert rows["reason"][0].startswith(why)
    assert all(reason.startswith(f"the sampler: {why}") for reason in rows[rows["train_size"] > 0]["reason"])
    assert tables["melting_point_summary"]["n_valid"].sum() == 0
    assert not tables["melting_point_budget"]["valid"].any()
    potentials = tables["delta_mu"]
    assert np.isfinite(potentials["delta_mu_meV"]).all()
    assert not potentials["valid"].any()
    sampled = potentials["train_size"] == 0
    assert potentials["reason"][sampled].str.startswith(why).all()
    assert potentials["reason"][~sampled].str.startswith(f"the sampler: {why}").all()


def test_total_energies_of_dft_keep_their_digits(tmp_path: Path, sound: dict[str, pd.DataFrame]) -> None:
    """-468 eV a molecule with pseudopotentials, whose errors of 0.1 meV stand in the seventh digit."""
    study, level_meV = Study(tmp_path), -468_123.4567
    for path in study.bulk.values():
        run = load(path)
        replace(run, energy_eV=run.energy_eV + 1e-3 * N_SITES * level_meV).save(path)
    for size in (5, 50):
        study.change_energies(size, lambda name, values: values + 1e-3 * N_SITES * level_meV)
    tables = study.tables()
    np.testing.assert_allclose(tables["phases"]["enthalpy_meV"] - level_meV, sound["phases"]["enthalpy_meV"], atol=1e-3)
    found, expected = (one["observables"].query("observable == 'enthalpy_meV'")["value"] for one in (tables, sound))
    np.testing.assert_allclose(found - level_meV, expected, atol=1e-3)


def test_each_cell_has_its_own_melting_point(tmp_path: Path) -> None:
    """The second is 1 meV off, that is 5 K: what the first says stays, and the difference is the effect of size."""
    study = Study(tmp_path)
    study.pinned["2x2x4", PINNED_K] = study._pinned(281.0, 1.0 - ENTROPY)
    tables = study.tables()
    reference = tables["melting_point"].iloc[0]
    assert abs(reference["melting_point_K"] - TRUTH_K) < 3 * reference["sampling_error_K"]
    parts = tables["melting_point_budget"].set_index(["train_size", "component"])
    assert parts["valid"][5, "protocol_size"]
    assert parts["error_K"][5, "protocol_size"] == pytest.approx(1.0 / ENTROPY, abs=2.0)
    assert "a difference of -" in parts["reason"][5, "protocol_size"]


def test_pinned_runs_that_agree(tmp_path: Path) -> None:
    tables = Study(tmp_path, **{"280": 0.0, "285": 0.0}).tables()
    assert tables["melting_point"]["valid"].all()
    assert len(tables["interfaces"]) == 3


def test_a_sampler_that_froze(tmp_path: Path) -> None:
    """Nothing is known, and every row says why."""
    study = Study(tmp_path)
    run_of(np.zeros(2000), order=autoregressive(12.0, 0.1, 0.5, 2000, study.rng), samples_per_frame=2000).save(
        next(iter(study.pinned.values())) / "pinned.npz"
    )
    tables = study.tables()
    rows = tables["melting_point"]
    assert not rows[rows["method"] != "coexistence"]["valid"].any()
    assert rows["reason"][0].startswith("280 K: the cell froze whole")
    assert rows["reason"].iloc[-1].startswith("the sampler has no melting point: 280 K: the cell froze whole")
    assert not tables["delta_mu"]["valid"].any()
    assert tables["melting_point_summary"]["reason"].str.contains("no valid melting point of the reference").all()
    assert tables["required_accuracy"]["reason"].notna().all()


def test_a_bulk_run_that_failed_at_its_start(tmp_path: Path) -> None:
    """Its temperature is lost, the others are not."""
    study = Study(tmp_path)
    failed(ICE, "lost atoms").save(study.bulk["solid", 290.0])
    state = members.state_name("solid", 290.0)
    for size in (5, 50):
        study.change_energies(size, lambda name, values: values[:, :0] if name == state else values)
    tables = study.tables()
    (lost,) = tables["phases"][~tables["phases"]["valid"].astype(bool)].to_dict("records")
    assert (lost["phase"], lost["temperature_K"], lost["reason"]) == ("solid", 290.0, "lost atoms")
    potentials = tables["delta_mu"]
    at_290 = potentials[(potentials["temperature_K"] == 290.0) & (potentials["model"] != "reference")]
    assert not at_290["valid"].any()
    assert at_290["reason"].str.startswith("solid: lost atoms").all()
    points = tables["melting_point"]
    inside = points[points["melting_point_K"].between(260.0, 275.0)]
    assert len(inside) > 5
    assert inside["valid"].all()


def test_a_committee_that_samples_for_itself(tmp_path: Path) -> None:
    study = Study(tmp_path, name="mace-n50")
    study.coexistence = None
    tables = study.tables()
    assert set(tables["melting_point"]["model"]) == {"sampler mace-n50", "mace"}
    row = tables["melting_point_summary"].iloc[1]
    assert pd.isna(row["reference_melting_point_K"])
    assert row["reason"] == "no valid melting point of the reference to compare with"
    spread = np.std(SHIFTS_MEV, ddof=1) / ENTROPY / 20.0
    needed = tables["required_accuracy"].iloc[0]
    assert needed["force_mae_meV_per_A"] == pytest.approx(2.0 / spread, rel=0.05)
    parts = tables["melting_point_budget"].set_index(["train_size", "component"])["reason"]
    assert parts[5, "protocol_coexistence"] == "not run: no block melting_point.coexistence"


def test_observables_of_a_study(sound: dict[str, pd.DataFrame]) -> None:
    table = sound["observables"]
    own = table[table["model"] == "reference"]
    melting = own[own["observable"] == "enthalpy_of_melting_meV"]
    assert list(melting["temperature_K"]) == list(TEMPERATURES_K)
    np.testing.assert_allclose(melting["value"], ENTROPY * TRUTH_K, atol=0.6)
    # Functions of a distance stand there once, nearest to the melting point.
    assert set(own[own["observable"] == "rdf"]["temperature_K"]) == {275.0}
    member = table[(table["train_size"] == 50) & (table["member"] == 3)]
    heats = member[member["observable"] == "enthalpy_of_melting_meV"].set_index("temperature_K")["value"]
    shift_meV = heats - melting.set_index("temperature_K")["value"]
    np.testing.assert_allclose(shift_meV, -(CENTRE_MEV + SHIFTS_MEV[3]), atol=0.3)


def test_own_pinned_interface_of_a_member(tmp_path: Path) -> None:
    """Of the first cell alone."""
    study = Study(tmp_path)
    own = {("2x2x2", 285.0): study._pinned(285.0, 1.0), ("3x3x3", 286.0): study._pinned(286.0, -9.0)}
    study.committees[0] = replace(study.committees[0], own_pinning={1: own})
    rows = study.tables()["melting_point"]
    (found,) = rows[(rows["model"] == "mace") & (rows["method"] == "pinning")].to_dict("records")
    assert (found["member"], found["valid"]) == (1, True)
    assert abs(found["melting_point_K"] - (TRUTH_K - 1.0 / ENTROPY)) < 3 * found["sampling_error_K"]


def test_size_effect_of_the_sampler_is_taken_off_a_member_in_a_smaller_cell(tmp_path: Path) -> None:
    effect_meV = -0.8
    study = Study(tmp_path)
    study.pinned["1x2x2", 281.0] = study._pinned(281.0, effect_meV)
    own = {("1x2x2", 285.0): study._pinned(285.0, effect_meV + 1.0)}
    study.committees[0] = replace(study.committees[0], own_pinning={1: own})
    rows = study.tables()["melting_point"]
    (found,) = rows[(rows["model"] == "mace") & (rows["method"] == "pinning")].to_dict("records")
    sampled = rows[(rows["model"] == "reference") & (rows["method"] == "pinning")]["sampling_error_K"].item()
    assert found["valid"]
    effect_K = float(found["reason"].removeprefix("found in 1x2x2: ").partition(" K of size effect")[0])
    assert effect_K == pytest.approx(-effect_meV / ENTROPY, abs=3 * sampled)
    assert found["sampling_error_K"] == pytest.approx(2**0.5 * sampled, rel=0.3)
    assert abs(found["melting_point_K"] - (TRUTH_K - 1.0 / ENTROPY)) < 3 * found["sampling_error_K"]


def test_chemical_potentials_need_enthalpies() -> None:
    """One pinned run and no pair of phases; then a pair."""
    one = replace(COEXISTING, method="pinning", temperature_K=280.0, value=1.4)
    curve, fault = curve_through([one], None)
    assert (curve, fault) == (None, "no temperature has valid runs of both bulk phases")
    assert melting_point_of(curve, fault).reason == fault
    line = EnthalpyDifference(275.0, -ENTROPY * TRUTH_K, 0.0, 0.1, 0.0, (260.0, 290.0))
    found = melting_point_of(*curve_through([one], line))
    assert found.temperature_K == pytest.approx(TRUTH_K)


def test_phases_of_exact_series_have_exact_rows() -> None:
    row = phases.row(phase_of("solid", 270.0, exactly(-500.0, 0.2)), 0.0, 5.0)
    assert (row["enthalpy_meV"], row["enthalpy_error_meV"]) == pytest.approx((-500.0, 0.2), rel=1e-2)
