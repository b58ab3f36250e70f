"""The smallest study for real: what it leaves, and what a change of the code makes anew."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import pandas as pd
import pytest
from studies import SMOKE, copy_of_repository, planned, snakemake

from longhot.learning import dataset_map
from longhot.plan.outputs import FIGURES
from longhot.report import structures

pytestmark = pytest.mark.workflow

COLUMNS = {
    "learning_curves": "dataset model family max_L correlation train_size seed test_set energy_mae_meV_per_atom "
    "force_mae_meV_per_A force_rmse_meV_per_A n_test_frames train_wall_s converged",
    "learning_curve_slopes": "dataset model test_set slope slope_ci_low slope_ci_high n_points",
    "stability": "dataset model train_size seed temperature_K replica outcome failure_time_ps simulated_ps wall_s",
    "survival": "dataset model train_size temperature_K n_replicas n_failed survival_at_end ci_low ci_high "
    "median_survival_ps median_ci_low_ps median_ci_high_ps failure_rate_per_ns failure_rate_ci_low "
    "failure_rate_ci_high",
    "survival_tests": "dataset temperature_K comparison model train_size against_model against_train_size statistic "
    "p_value p_value_adjusted",
    "recheck": "dataset model train_size seed temperature_K replica time_ps choice reference reference_status attempts "
    "force_mae_meV_per_A energy_error_meV_per_atom committee_force_std_meV_per_A",
    "robustness": "dataset model train_size temperature_K static_force_mae_meV_per_A md_force_mae_meV_per_A "
    "md_force_mae_p95_meV_per_A error_ratio md_force_mae_before_failure_meV_per_A "
    "md_force_mae_highest_spread_meV_per_A n_rechecked n_reference_failed",
    "rank_agreement": "dataset temperature_K model train_size over x y n_points kendall_tau ci_low ci_high p_value",
    "calibration": "dataset model train_size scope quantity alpha nll_raw nll_calibrated miscalibration_area_raw "
    "miscalibration_area_calibrated ence_calibrated crps_calibrated",
    "reliability": "dataset model train_size scope quantity spread expected observed",
    "phases": "dataset sampler phase temperature_K n_sites density_g_per_cm3 enthalpy_meV valid reason",
    "interfaces": "dataset sampler method cell temperature_K order_parameter delta_mu_meV melting_point_K valid reason",
    "delta_mu": "dataset model train_size member temperature_K delta_mu_meV sampling_error_meV method ess_solid "
    "ess_liquid valid reason",
    "melting_point": "dataset model train_size member melting_point_K sampling_error_K method valid reason",
    "melting_point_summary": "dataset model train_size melting_point_K committee_std_K committee_std_calibrated_K "
    "sampling_error_K reference_melting_point_K reference_error_K covered_2sigma",
    "melting_point_budget": "dataset model train_size component error_K valid reason",
    "required_accuracy": "dataset model target_melting_point_error_K force_mae_meV_per_A n_points reason",
    "active_learning": "dataset model strategy round seed n_labels n_reference_calls force_mae_meV_per_A "
    "md_force_mae_meV_per_A survival_at_end train_wall_s",
    "active_learning_comparison": "dataset model strategy against metric n_labels effect ci_low ci_high p_value "
    "n_seeds",
    "active_learning_online": "dataset model step time_ps estimated_meV_per_A true_meV_per_A threshold_meV_per_A kind "
    "atoms n_calls share_saved outcome",
    "dataset_map": "dataset kind frame model train_size seed temperature_K replica phase time_ps choice component_1 "
    "component_2 distance farthest_test force_mae_meV_per_A",
    "training_reach": "dataset model train_size temperature_K phase n_frames n_beyond share_beyond median_distance "
    "farthest_test kendall_tau ci_low ci_high reason",
    "observables": "dataset model train_size member temperature_K phase observable coordinate_A value sampling_error "
    "method ess valid reason",
}
"""What other programs may rely on; more columns may follow."""
OUTCOMES = {
    "completed",
    "timeout",
    "nonfinite",
    "overlap",
    "bond_broken",
    "bond_formed",
    "temperature_runaway",
    "energy_drift",
    "engine_error",
}
MODELS = {"mace-L0-nu1", "mace-L0-nu2", "mace-L1-nu2", "gfn1"}


@pytest.fixture(scope="session")
def smoke(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the repository in which the smoke study has run."""
    repository = copy_of_repository(tmp_path_factory.mktemp("smoke"))
    done = snakemake(repository, "--cores", "2", "--configfile", SMOKE)
    assert done.returncode == 0, done.stdout[-5000:]
    return repository


@pytest.fixture(scope="session")
def results(smoke: Path) -> Path:
    return smoke / "results" / "smoke"


@pytest.fixture(scope="session")
def tables(results: Path) -> dict[str, pd.DataFrame]:
    return {name: pd.read_csv(results / "tables" / f"{name}.csv") for name in COLUMNS}


@pytest.mark.parametrize("name", COLUMNS)
def test_tables_hold_the_promised_columns(name: str, tables: dict[str, pd.DataFrame]) -> None:
    assert set(COLUMNS[name].split()) <= set(tables[name])
    assert len(tables[name]) > 0


def test_learning_curves(tables: dict[str, pd.DataFrame]) -> None:
    table = tables["learning_curves"]
    assert len(table) == 4 * 2 * 2 * 2, "models, sizes, seeds, test sets"
    assert set(table.model) == MODELS
    assert set(table.test_set) == {"test", "test_hot"}
    assert (table.force_mae_meV_per_A > 0).all()
    assert (table.force_rmse_meV_per_A >= table.force_mae_meV_per_A).all()
    assert (table.train_wall_s > 0).all()
    baseline = table[table.family == "nonml"]
    assert len(baseline) == 8
    assert baseline.max_L.isna().all()
    per_set = baseline.groupby("test_set").force_mae_meV_per_A
    assert (per_set.max() == per_set.min()).all(), "training moves no force of the baseline"
    assert 10 < baseline.force_mae_meV_per_A.mean() < 300
    unconverged = table[~table.converged]
    assert unconverged.reason.str.len().gt(0).all()


def test_slopes(tables: dict[str, pd.DataFrame]) -> None:
    table = tables["learning_curve_slopes"]
    assert len(table) == 8
    assert (table.n_points == 4).all()
    fitted = table[table.model != "gfn1"]
    assert (fitted.slope_ci_low <= fitted.slope).all()
    assert (fitted.slope <= fitted.slope_ci_high).all()


def test_md_of_models_and_control(tables: dict[str, pd.DataFrame]) -> None:
    table = tables["stability"]
    # Two sizes and the control at two temperatures, the baseline at the higher one; no replica is lost that waited.
    assert len(table) == 7 * 4
    assert set(table.groupby(["model", "train_size", "temperature_K"]).replica.agg(tuple)) == {(0, 1, 2, 3)}
    assert set(table.model) == {"mace-L0-nu2", "gfn1", "reference"}
    assert set(table.outcome) <= OUTCOMES
    failed = ~table.outcome.isin(["completed", "timeout"])
    assert (table.failure_time_ps.notna() == failed).all()
    assert np.allclose(table[table.outcome == "completed"].simulated_ps, 0.1)
    assert (table[table.model == "reference"].outcome == "completed").all()
    survival = tables["survival"]
    assert survival.survival_at_end.between(0, 1).all()
    assert (survival.n_replicas == 4).all()
    assert (survival.failure_rate_per_ns.dropna() >= 0).all()
    counted = survival.set_index(["model", "train_size", "temperature_K"]).n_failed
    recounted = failed.groupby([table.model, table.train_size, table.temperature_K]).sum()
    pd.testing.assert_series_equal(counted.sort_index(), recounted.sort_index(), check_names=False)


def test_map_of_the_data_and_structures(results: Path, tables: dict[str, pd.DataFrame]) -> None:
    table = tables["dataset_map"]
    assert {"train", "valid", "test", "test_hot", "md"} <= set(table[table.dataset == "methanol"].kind)
    assert {"train", "valid", "test", "md"} == set(table[table.dataset == "ice"].kind)
    assert table.distance.between(0, 2**0.5).all()
    assert set(tables["training_reach"].groupby("dataset").model.agg(tuple).ice) == {"reference"}
    content = structures.read(results / "report" / "structures.json.gz")
    stored = {frame["key"] for frame in content["frames"]}
    assert set(structures.map_keys(dataset_map.read(results / "tables" / "dataset_map.csv"))) <= stored
    failed = ~tables["stability"].outcome.isin(["completed", "timeout"])
    assert sum(film["kind"] == "failure" for film in content["films"]) == failed.sum()
    assert (results / "figures" / "dataset_map.svg").exists()


def test_recheck_and_robustness(tables: dict[str, pd.DataFrame]) -> None:
    recheck = tables["recheck"]
    assert set(recheck.reference) == {"gfn2"}
    control = recheck[recheck.model == "reference"]
    assert len(control) >= 8 * 3
    assert np.allclose(control.force_mae_meV_per_A, 0, atol=1e-6), "the reference errs from itself by nothing"
    sound = recheck[(recheck.reference_status == "ok") & (recheck.model != "reference")]
    assert (sound.force_mae_meV_per_A > 0).all()
    committee = recheck[recheck.model == "mace-L0-nu2"].committee_force_std_meV_per_A
    assert (committee.dropna() > 0).all()
    assert committee.notna().any()
    assert recheck[recheck.model == "gfn1"].committee_force_std_meV_per_A.isna().all()
    by_choice = recheck.groupby("choice").model.agg(set)
    assert by_choice["even"] == {"mace-L0-nu2", "gfn1", "reference"}
    assert by_choice["highest_spread"] == {"mace-L0-nu2"}, "only the fits have a committee"
    assert (recheck.attempts == 1).all()
    robustness = tables["robustness"]
    assert set(robustness.model) == {"mace-L0-nu2", "gfn1", "reference"}
    models = robustness[(robustness.model != "reference") & (robustness.n_rechecked > 0)]
    ratio = models.md_force_mae_meV_per_A / models.static_force_mae_meV_per_A
    np.testing.assert_allclose(models.error_ratio, ratio, rtol=1e-4)


def test_tests_of_survival_and_rank_agreement(tables: dict[str, pd.DataFrame]) -> None:
    tests = tables["survival_tests"]
    assert set(tests.comparison) == {"control", "model", "size"}
    assert (tests[tests.comparison == "control"].against_model == "reference").all()
    assert tests.p_value.dropna().between(0, 1).all()
    agreement = tables["rank_agreement"]
    assert set(agreement.over) == {"fits", "frames"}
    assert agreement.kendall_tau.dropna().between(-1, 1).all()
    hot = agreement[(agreement.over == "fits") & (agreement.temperature_K == 1000)]
    assert (hot.n_points == 3).all(), "two sizes of a model and the baseline"


def test_frames_about_each_failure_name_their_atoms(results: Path, tables: dict[str, pd.DataFrame]) -> None:
    stability = tables["stability"]
    failed = stability[~stability.outcome.isin(["completed", "timeout"])]
    shown = 0
    for path in results.glob("simulations/**/failures.extxyz"):
        frames = ase.io.read(path, ":") if path.stat().st_size else []
        for frame in frames:
            if frame.info["failed"]:
                shown += 1
                assert frame.info["outcome"] in OUTCOMES
                assert frame.arrays["offending"].sum() == np.size(frame.info["offending_atoms"])
    assert shown == len(failed)


def test_melting_points(tables: dict[str, pd.DataFrame]) -> None:
    points = tables["melting_point"]
    sampler = points[points.model == "reference"].set_index("method")
    assert set(sampler.index) == {"pinning", "coexistence"}
    assert sampler.loc["pinning", "valid"]
    assert 220 < sampler.loc["pinning", "melting_point_K"] < 330, "a cell of 64 sites for 30 ps is far from converged"
    members = points[points.model == "water"]
    assert sorted(zip(members.train_size, members.member, strict=True)) == [
        (size, seed) for size in (5, 10) for seed in range(4)
    ]
    assert members[~members.valid].reason.str.len().gt(0).all()
    summary = tables["melting_point_summary"]
    assert list(summary.n_members) == [4, 4]
    valid = members[members.valid].groupby("train_size").melting_point_K.mean()
    for row in summary.itertuples():
        assert row.n_valid == (members[members.train_size == row.train_size].valid).sum()
        if row.n_valid:
            assert np.isclose(row.melting_point_K, valid[row.train_size], rtol=1e-4)
    assert set(tables["melting_point_budget"].component) >= {"committee_raw", "reweighting", "pinning"}
    phases = tables["phases"]
    assert len(phases) == 4
    solid, liquid = (phases[phases.phase == name].enthalpy_meV.mean() for name in ("solid", "liquid"))
    assert 40 < liquid - solid < 65, "mW melts with 55 meV a molecule"
    density = tables["observables"].query("observable == 'density_g_per_cm3' and model == 'reference'")
    assert density.value.between(0.9, 1.1).all()


def test_active_learning(tables: dict[str, pd.DataFrame]) -> None:
    rounds = tables["active_learning"]
    assert list(rounds.groupby("round")["n_labels"].unique().map(list)) == [[10], [13], [16]]
    assert len(rounds) == 2 * 3 * 2
    assert np.isfinite(rounds[["force_mae_meV_per_A", "hot_force_mae_meV_per_A"]]).all(axis=None)
    assert (tables["active_learning_comparison"]["n_seeds"] <= 2).all()
    online = tables["active_learning_online"]
    assert online["n_calls"].max() == (online["kind"] == "call").sum() <= 3
    assert online["outcome"].notna().sum() == 1
    called = online[online["kind"] == "call"]
    assert (called["estimated_meV_per_A"] > called["threshold_meV_per_A"]).all()


def test_calibration_needs_no_more_than_four_members(tables: dict[str, pd.DataFrame]) -> None:
    table = tables["calibration"]
    assert set(table.scope) == {"holdout", "md"}
    assert (table.n_members == 4).all()
    assert (table.alpha.notna() | table.reason.notna()).all()
    raw = tables["reliability"].query("spread == 'raw'")
    assert raw.observed.between(0, 1).all()


def test_report_figures_and_manifest(results: Path) -> None:
    page = (results / "report" / "index.html").read_text(encoding="utf-8")
    assert "Does every stage of the pipeline run?" in page
    assert 'src="http' not in page, "the report opens offline"
    for name in (name for names in FIGURES.values() for name in names):
        assert (results / "figures" / f"{name}.svg").stat().st_size > 1000
        assert (results / "figures" / f"{name}.png").stat().st_size > 1000
    manifest = json.loads((results / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["config"]["study"]["name"] == "smoke"


def test_report_of_snakemake_holds_every_figure_and_table(smoke: Path, results: Path) -> None:
    done = snakemake(smoke, "--cores", "1", "--configfile", SMOKE, "--report", "report.zip")
    assert done.returncode == 0, done.stdout
    with zipfile.ZipFile(smoke / "report.zip") as packed:
        held = {Path(name).name for name in packed.namelist()}
        page = packed.read("report/report.html").decode()
    (smoke / "report.zip").unlink()
    assert {path.name for path in (*results.glob("tables/*.csv"), *results.glob("figures/*.svg"))} <= held
    shown = embedded(page, "results").values()
    assert all(one["labels"].keys() <= {"figure", "table"} and len(one["labels"]) == 1 for one in shown)
    assert all(len(one["caption"]) > 50 for one in shown)
    (survival,) = (one for one in shown if one["name"] == "survival.svg")
    assert "Kaplan-Meier" in survival["caption"]
    assert set(embedded(page, "categories")) == {
        *("Learning curves", "Hot MD", "Melting point", "Active learning", "Data"),
    }


def embedded(page: str, name: str) -> dict[str, Any]:
    """Data that a page of Snakemake holds."""
    start = page.index(f"var {name} = {{") + len(f"var {name} = ")
    return json.JSONDecoder().raw_decode(page, start)[0]


def test_every_job_left_a_log(results: Path) -> None:
    logs = sorted(results.glob("logs/**/*.log"))
    assert len(logs) >= 16 + 4 + 4
    for log in logs:
        assert "core time" in log.read_text(encoding="utf-8"), log


def test_nothing_is_left_unfinished(results: Path) -> None:
    left = [path for path in results.rglob(".*") if path.is_file() or path.name == ".partial"]
    assert [path for path in left if path.name != ".snakemake_timestamp"] == []


# What runs again


def dry_run(smoke: Path) -> set[str]:
    """Rules that would run."""
    done = snakemake(smoke, "-n", "--configfile", SMOKE)
    assert done.returncode == 0, done.stdout
    return set(planned(done.stdout))


@contextmanager
def changed(path: Path, old: str, new: str) -> Iterator[None]:
    """A file of the copy with other text, put back afterwards."""
    text = path.read_text(encoding="utf-8")
    assert old in text, f"{path} has changed: give this test another line of it"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    yield
    path.write_text(text, encoding="utf-8")


NEW_CODE = ("\n\n\ndef ", "\n\n\ndef another() -> None: ...\n\n\ndef ")
REPORT = {"all", "report", "manifest", "learning_curves_figure", "robustness_figures", "melting_point_figures"}


def test_a_second_run_does_nothing(smoke: Path) -> None:
    done = snakemake(smoke, "--cores", "2", "--configfile", SMOKE)
    assert done.returncode == 0
    assert "Nothing to be done" in done.stdout


def test_a_comment_reruns_nothing(smoke: Path) -> None:
    files_py = smoke / "workflow" / "longhot" / "files.py"
    with changed(files_py, '"""Files that', '# A comment.\n"""In other words: files that'):
        assert dry_run(smoke) == set()


def test_a_change_of_the_report_reruns_only_the_report(smoke: Path) -> None:
    with changed(smoke / "workflow" / "longhot" / "report" / "page.py", *NEW_CODE):
        rules = dry_run(smoke)
    assert "report" in rules
    assert rules <= REPORT


def test_a_change_of_a_detector_reruns_the_md_and_no_fit(smoke: Path) -> None:
    with changed(smoke / "workflow" / "longhot" / "dynamics" / "detectors.py", *NEW_CODE):
        rules = dry_run(smoke)
    assert {"simulate", "recheck", "robustness_tables", "report"} <= rules
    assert not rules & {"dataset", "subset", "fit", "predict", "learning_curves_tables"}


def test_a_change_of_an_observable_reruns_the_tables_and_no_md(smoke: Path) -> None:
    properties = smoke / "workflow" / "longhot" / "observables" / "properties"
    with changed(properties / "rdf.py", "N_BINS = 80", "N_BINS = 40"):
        rules = dry_run(smoke)
    assert {"melting_point_tables", "report"} <= rules
    assert not rules & {"fit", "bulk", "interface", "coexistence", "member_energies", "staged", "calibrate"}


def test_a_change_of_one_model_block_reruns_that_model(smoke: Path) -> None:
    with changed(smoke / SMOKE, "hamiltonian: GFN1-xTB", "hamiltonian: GFN1-xTB, accuracy: 0.5"):
        done = snakemake(smoke, "-n", "--configfile", SMOKE)
    jobs = planned(done.stdout)
    assert (jobs["fit"], jobs["predict"]) == (4, 1)
    assert "dataset" not in jobs
