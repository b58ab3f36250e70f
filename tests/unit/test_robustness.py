"""Survival and robustness tables against numbers worked out by hand."""

from __future__ import annotations

from pathlib import Path

import ase.io
import numpy as np
import pandas as pd
import pytest
from ase import Atoms

from longhot.dynamics.statistics import ALL_TIED, NO_TIME, TOO_FEW_POINTS, log_rank
from longhot.dynamics.tables import (
    GROUP,
    fits_table,
    rank_agreement_table,
    read,
    robustness_table,
    survival_table,
    survival_tests_table,
    write_tables,
)
from longhot.report.failure_figures import (
    FailedRun,
    around_failure,
    choose_failures,
    draw_failure,
    read_frames,
    surroundings,
    view,
)

IDS = {"dataset": "d", "model": "m", "train_size": 25, "temperature_K": 1000.0}


def stability(
    outcomes: list[str], simulated_ps: list[float], seeds: list[int] | None = None, **ids: object
) -> pd.DataFrame:
    """Outcomes of one group."""
    failures = [
        time if outcome not in ("completed", "timeout") else None
        for outcome, time in zip(outcomes, simulated_ps, strict=True)
    ]
    columns = {"seed": seeds or [0] * len(outcomes), "replica": range(len(outcomes)), "outcome": outcomes}
    numbers = {"failure_time_ps": failures, "simulated_ps": simulated_ps, "wall_s": 1.0, "cause": ""}
    return pd.DataFrame({**IDS, **ids, **columns, **numbers})


def test_survival_table_pools_seeds_and_counts_what_ended() -> None:
    table = survival_table(
        stability(["overlap", "completed", "timeout", "completed"], [2.0, 10.0, 4.0, 10.0], seeds=[0, 0, 1, 1])
    )
    (row,) = table.to_dict("records")
    assert (row["n_replicas"], row["n_failed"], row["n_timeout"]) == (4, 1, 1)
    assert row["survival_at_end"] == 0.75
    assert 0 < row["ci_low"] < 0.75 < row["ci_high"] < 1
    assert np.isnan(row["median_survival_ps"])
    assert row["median_lower_bound_ps"] == row["end_ps"] == 10.0


def test_survival_table_says_where_the_fits_of_a_group_differ() -> None:
    """The first seed breaks always, the second never: 2 of the 12,870 ways to part them."""
    runs = stability(["overlap"] * 8 + ["completed"] * 8, [1.0] * 8 + [10.0] * 8, seeds=[0] * 8 + [1] * 8)
    (row,) = survival_table(runs).to_dict("records")
    assert row["n_seeds"] == 2
    assert row["seeds_p_value"] == pytest.approx(2 / 12870)


def test_median_survival_where_it_is_reached() -> None:
    (row,) = survival_table(stability(["overlap"] * 3 + ["completed"], [1.0, 2.0, 3.0, 10.0])).to_dict("records")
    assert row["median_survival_ps"] == 2.0
    assert np.isnan(row["median_lower_bound_ps"])
    assert row["median_ci_low_ps"] <= 2.0
    assert row["simulated_ps"] == 16.0
    assert row["failure_rate_per_ns"] == pytest.approx(3 / 0.016)
    assert row["failure_rate_ci_low"] < 3 / 0.016 < row["failure_rate_ci_high"]
    assert row["reason"] == ""


def test_survival_of_what_failed_at_once_has_no_rate() -> None:
    (row,) = survival_table(stability(["nonfinite"] * 2, [0.0, 0.0])).to_dict("records")
    assert np.isnan(row["failure_rate_per_ns"])
    assert row["reason"] == NO_TIME


def groups(**outcomes: tuple[str, int, list[float]]) -> pd.DataFrame:
    """Groups of trajectories of 10 ps: model, size, and the lifetimes, of which those below 10 ps are failures."""
    parts = [
        stability(["overlap" if time < 10 else "completed" for time in times], times, model=model, train_size=size)
        for model, size, times in outcomes.values()
    ]
    return pd.concat(parts, ignore_index=True)


def test_survival_tests_pair_each_group_with_the_control_other_models_and_other_sizes() -> None:
    early, late, never = [1.0 + 0.1 * i for i in range(8)], [5.0 + 0.1 * i for i in range(8)], [10.0] * 8
    runs = groups(
        control=("reference", 0, never), a5=("a", 5, early), a9=("a", 9, never), b5=("b", 5, late), b7=("b", 7, never)
    )
    table = survival_tests_table(runs)
    pairs = [(row.model, row.train_size, row.against_model, row.against_train_size) for row in table.itertuples()]
    assert pairs == [
        ("a", 5, "reference", 0),
        ("a", 9, "reference", 0),
        ("b", 5, "reference", 0),
        ("b", 7, "reference", 0),
        ("a", 5, "b", 5),
        ("a", 5, "a", 9),
        ("b", 5, "b", 7),
    ]
    assert table["comparison"].tolist() == ["control"] * 4 + ["model"] + ["size"] * 2
    tested = table.dropna(subset=["p_value"])
    assert len(tested) == 5, "a9 and b7 against the control: nothing failed"
    assert table.loc[[1, 3], "reason"].str.len().gt(0).all()
    expected = log_rank(np.array(early), np.ones(8, dtype=bool), np.array(late), np.ones(8, dtype=bool))
    assert table.loc[4, "p_value"] == pytest.approx(expected.p_value)
    factors = tested["p_value_adjusted"] / tested["p_value"]
    assert factors.round(6).tolist() == [2, 2, 1, 2, 2], "by comparison, of those that could be tested"
    assert table.loc[4, ["n_failed", "n_replicas", "against_n_failed", "against_n_replicas"]].tolist() == [8, 8, 8, 8]


def test_p_values_are_adjusted_over_all_temperatures_of_a_dataset() -> None:
    runs = groups(control=("reference", 0, [10.0] * 8), a=("a", 5, [1.0 + 0.1 * i for i in range(8)]))
    both = pd.concat([runs, runs.assign(temperature_K=500.0), runs.assign(dataset="e")])
    table = survival_tests_table(both)
    factors = table["p_value_adjusted"] / table["p_value"]
    assert factors.round(6).tolist() == [2, 2, 1]


def rechecked(errors: list[float], choices: list[str] | None = None, **ids: object) -> pd.DataFrame:
    status = ["ok" if np.isfinite(error) else "not_converged" for error in errors]
    columns = {"seed": 0, "replica": 0, "choice": choices or ["even"] * len(errors), "reference_status": status}
    numbers = {"force_mae_meV_per_A": errors, "committee_force_std_meV_per_A": np.nan}
    return pd.DataFrame({**IDS, **columns, "model_status": "ok", **numbers, **ids})


def curves(**ids: object) -> pd.DataFrame:
    """Seeds 0, 1 and 2 with static errors of 10, 20 and 90 meV/A, and a hot set that does not count."""
    rows = [
        {**IDS, **ids, "seed": seed, "test_set": name, "force_mae_meV_per_A": error}
        for name, errors in (("test", (10.0, 20.0, 90.0)), ("test_hot", (500.0, 500.0, 500.0)))
        for seed, error in enumerate(errors)
    ]
    return pd.DataFrame(rows).drop(columns="temperature_K")


def robustness(runs: pd.DataFrame, frames: pd.DataFrame, run_by: str = "gfn2") -> list[dict[str, object]]:
    table = robustness_table(runs, frames, curves(), "test", {"d": run_by}, {"d": "gfn2"})
    rows: list[dict[str, object]] = table.to_dict("records")
    return rows


def test_robustness_by_hand() -> None:
    """Twenty even frames with errors 1 to 20, two before a failure, one of high spread, one not computed."""
    errors = [*map(float, range(1, 21)), 900.0, 1100.0, 70.0, np.nan]
    choices = ["even"] * 20 + ["before_failure"] * 2 + ["highest_spread", "even"]
    runs = stability(["overlap", "completed"], [2.0, 10.0], seeds=[0, 1])
    (row,) = robustness(runs, rechecked(errors, choices))
    assert row["static_force_mae_meV_per_A"] == 15.0, "the seeds that were simulated"
    assert row["md_force_mae_meV_per_A"] == 10.5
    assert row["md_force_mae_p95_meV_per_A"] == pytest.approx(19.05)
    assert row["error_ratio"] == 0.7
    assert row["md_force_mae_before_failure_meV_per_A"] == 1000.0
    assert row["md_force_mae_highest_spread_meV_per_A"] == 70.0
    assert (row["n_rechecked"], row["n_before_failure"], row["n_highest_spread"]) == (20, 2, 1)
    assert row["n_reference_failed"] == 1
    assert (row["n_replicas"], row["n_failed"]) == (2, 1)
    assert (row["run_by"], row["rechecked_by"]) == ("", "gfn2")
    assert "reference failed on 1 frames" in str(row["reason"])


def test_control_has_no_ratio_and_says_why() -> None:
    control = {"model": "reference", "train_size": 0}
    (row,) = robustness(stability(["completed"], [10.0], **control), rechecked([0.0, 0.0], **control))
    assert row["static_force_mae_meV_per_A"] == row["md_force_mae_meV_per_A"] == 0.0
    assert np.isnan(row["error_ratio"])
    assert (row["run_by"], row["rechecked_by"]) == ("gfn2", "gfn2")
    assert str(row["reason"]).startswith("control")


def test_control_by_a_cheaper_method_has_that_methods_error() -> None:
    control = {"model": "reference", "train_size": 0}
    (row,) = robustness(stability(["completed"], [10.0], **control), rechecked([80.0, 90.0], **control), run_by="gfn1")
    assert np.isnan(row["static_force_mae_meV_per_A"])
    assert np.isnan(row["error_ratio"])
    assert row["md_force_mae_meV_per_A"] == 85.0
    assert row["run_by"] == "gfn1"
    assert "run by the cheaper gfn1" in str(row["reason"])
    assert "gfn1 against gfn2" in str(row["reason"])


def test_group_without_rechecked_frames_or_static_error_says_so() -> None:
    (row,) = robustness(stability(["nonfinite"], [0.0], train_size=50), rechecked([5.0]))
    assert row["n_rechecked"] == 0
    assert np.isnan(row["md_force_mae_meV_per_A"])
    assert np.isnan(row["static_force_mae_meV_per_A"])
    assert "no rechecked frame" in str(row["reason"])
    assert "no static test error" in str(row["reason"])


SIZES = (5, 10, 20, 40, 80)
STATIC = (90.0, 60.0, 40.0, 30.0, 20.0)


def ranked(lifetimes_ps: list[float], md_errors: list[float]) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Five fits with falling static errors, one trajectory and one rechecked frame each, and a control."""
    fits = dict(
        zip(map(str, SIZES), [("m", size, [time]) for size, time in zip(SIZES, lifetimes_ps, strict=True)], strict=True)
    )
    runs = groups(control=("reference", 0, [10.0]), **fits)
    frames = pd.concat([rechecked([error], train_size=size) for size, error in zip(SIZES, md_errors, strict=True)])
    rows = {"dataset": "d", "model": "m", "train_size": SIZES, "seed": 0, "test_set": "test"}
    return runs, frames, pd.DataFrame({**rows, "force_mae_meV_per_A": STATIC})


def test_rank_agreement_of_fits() -> None:
    """The better the fit, the longer it lives; the errors in MD stand the other way round."""
    runs, frames, static = ranked([1.0, 2.0, 3.0, 4.0, 5.0], [1.0, 2.0, 3.0, 4.0, 5.0])
    fits = fits_table(runs, frames, static, "test")
    assert fits["model"].unique().tolist() == ["m"], "the control is no fit"
    assert fits.sort_values("train_size")["failure_rate_per_ns"].tolist() == pytest.approx(
        [1000, 500, 1000 / 3, 250, 200]
    )
    survival, error = rank_agreement_table(fits, frames).to_dict("records")
    assert (survival["over"], survival["x"], survival["y"]) == (
        "fits",
        "static_force_mae_meV_per_A",
        "failure_rate_per_ns",
    )
    assert survival["kendall_tau"] == pytest.approx(1.0)
    assert error["y"] == "md_force_mae_meV_per_A"
    assert error["kendall_tau"] == pytest.approx(-1.0)
    assert survival["n_points"] == error["n_points"] == 5


def test_rank_agreement_says_why_there_is_none() -> None:
    runs, frames, static = ranked([10.0] * 5, [1.0, 2.0, 3.0, np.nan, np.nan])
    survival, error = rank_agreement_table(fits_table(runs, frames, static, "test"), frames).to_dict("records")
    assert np.isnan(survival["kendall_tau"])
    assert survival["reason"] == ALL_TIED, "nothing failed: censoring ties all"
    assert np.isnan(error["kendall_tau"])
    assert error["n_points"] == 3
    assert error["reason"].startswith(TOO_FEW_POINTS)
    assert "2 fits without one of the errors" in error["reason"]


def test_rank_agreement_of_spread_and_error_is_over_even_frames() -> None:
    runs, frames, static = ranked([10.0] * 5, [1.0] * 5)
    errors = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 900.0]
    choices = ["even"] * 6 + ["before_failure"]
    spreads = [10.0, 20.0, 40.0, 30.0, 50.0, 60.0, 0.0]
    own = rechecked(errors, choices, committee_force_std_meV_per_A=spreads, replica=[0, 1, 2, 3, 4, 4, 4])
    table = rank_agreement_table(fits_table(runs, frames, static, "test"), own)
    row = table[table["over"] == "frames"].to_dict("records")[0]
    assert (row["model"], row["train_size"], row["n_points"]) == ("m", 25, 6)
    assert row["kendall_tau"] == pytest.approx(13 / 15)
    assert np.isnan(row["p_value"])


TABLES = ("stability", "survival", "survival_tests", "recheck", "robustness", "rank_agreement")


def test_tables_are_written_from_the_files_of_all_runs(tmp_path: Path) -> None:
    """Numbers pass unchanged, a file without rows does no harm, and empty stays empty."""
    runs = {
        "a": stability(["overlap", "completed"], [0.1 + 0.2, 10.0]),
        "b": stability(["completed"] * 2, [10.0, 10.0], train_size=50),
        "c": stability(["completed"], [10.0], model="reference", train_size=0),
    }
    frames = {"a": rechecked([7.0, np.nan]), "b": rechecked([3.0], train_size=50).iloc[:0]}
    frames["c"] = rechecked([0.0], model="reference", train_size=0)
    for name in runs:
        runs[name].to_csv(tmp_path / f"o{name}.csv", index=False)
        frames[name].to_csv(tmp_path / f"r{name}.csv", index=False)
    curves().to_csv(tmp_path / "curves.csv", index=False)
    paths = {name: tmp_path / f"{name}.csv" for name in TABLES}
    write_tables(
        [tmp_path / f"o{name}.csv" for name in runs],
        [tmp_path / f"r{name}.csv" for name in runs],
        tmp_path / "curves.csv",
        "test",
        {"d": "gfn2"},
        {"d": "gfn2"},
        paths,
    )
    assert "0.30000000000000004" in paths["stability"].read_text()
    assert len(read(paths["stability"])) == 5
    assert read(paths["stability"])["cause"].tolist() == [""] * 5
    assert read(paths["survival"])["n_failed"].tolist() == [1, 0, 0]
    written = read(paths["robustness"])
    assert written[GROUP].to_numpy().tolist() == [
        ["d", "m", 25, 1000.0],
        ["d", "m", 50, 1000.0],
        ["d", "reference", 0, 1000.0],
    ]
    assert written["n_rechecked"].tolist() == [1, 0, 1]
    assert len(read(paths["survival_tests"])) == 3
    assert read(paths["rank_agreement"])["reason"].str.startswith(TOO_FEW_POINTS).all()
    for path in paths.values():
        assert not {"nan", "inf"} & set(path.read_text().lower().replace("\n", ",").split(","))


def drawn(tmp_path: Path, runs: pd.DataFrame, frames: pd.DataFrame) -> list[Path]:
    """The figures of errors, survival, causes and committee spread, each in both formats."""
    from longhot.report import failure_figures, robustness_figures, spread_figure

    fits = fits_table(runs, frames, curves(), "test")
    tables = {"stability": runs, "recheck": frames, "rank_agreement": rank_agreement_table(fits, frames)}
    tables["robustness"] = robustness_table(runs, frames, curves(), "test", {"d": "gfn2"}, {"d": "gfn2"})
    for name, table in tables.items():
        table.to_csv(tmp_path / f"{name}.csv", index=False)
    path = {name: tmp_path / f"{name}.csv" for name in tables}
    out = [(tmp_path / f"{name}.svg", tmp_path / f"{name}.png") for name in ("errors", "survival", "causes", "spread")]
    robustness_figures.draw(path["robustness"], path["recheck"], path["stability"], robustness=out[0], survival=out[1])
    none = (tmp_path / "failures.svg", tmp_path / "failures.png")
    failure_figures.draw(path["stability"], NoSimulation(tmp_path), causes=out[2], failures=none)
    spread_figure.draw(path["recheck"], path["rank_agreement"], out[3])
    return [one for pair in (*out, none) for one in pair]


class NoSimulation(dict[FailedRun, Path]):
    """Every simulation left an empty file of failures."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "empty.extxyz"
        self.path.touch()

    def __missing__(self, key: FailedRun) -> Path:
        return self.path


def test_figures_are_the_same_bytes_again(tmp_path: Path) -> None:
    control = {"model": "reference", "train_size": 0}
    runs = pd.concat(
        [
            stability(["overlap", "completed", "timeout"], [2.0, 10.0, 7.0]),
            stability(["completed"] * 2, [10.0, 10.0], train_size=50),
            stability(["completed"], [10.0], model="cheap", train_size=50),
            stability(["completed"], [10.0], **control),
        ],
        ignore_index=True,
    )
    frames = pd.concat(
        [
            rechecked([7.0, 9.0, np.nan], committee_force_std_meV_per_A=[3.0, 4.0, 5.0]),
            rechecked([3.0, 4.0], ["even", "before_failure"], train_size=50, committee_force_std_meV_per_A=2.0),
            rechecked([30.0], model="cheap", train_size=50),
            rechecked([0.0], **control),
        ],
        ignore_index=True,
    )
    frames["time_ps"] = np.arange(1.0, 1.0 + len(frames))
    first = [path.read_bytes() for path in drawn(tmp_path, runs, frames)]
    assert first == [path.read_bytes() for path in drawn(tmp_path, runs, frames)]
    assert all(len(content) > 5_000 for content in first)


@pytest.mark.parametrize("case", ["all_failed_at_once", "no_reference"])
def test_figures_of_poor_tables_are_drawn(tmp_path: Path, case: str) -> None:
    frames = rechecked([np.nan, np.nan])
    runs = stability(["completed"] * 2, [10.0, 10.0])
    if case == "all_failed_at_once":
        runs, frames = stability(["nonfinite"] * 2, [0.0, 0.0]), frames.iloc[:0]
    frames["time_ps"] = np.arange(1.0, 1.0 + len(frames))
    assert all(path.stat().st_size > 1000 for path in drawn(tmp_path, runs, frames))


# Failed frames


def test_failures_to_show_are_the_earliest_of_each_kind_models_first() -> None:
    many = stability(["overlap"] * 9, [9.0 - i for i in range(9)])
    other = stability(["bond_broken", "completed"], [8.5, 10.0])
    control = stability(["bond_formed"], [0.5], model="reference", train_size=0)
    chosen = choose_failures(pd.concat([many, other, control], ignore_index=True))
    assert chosen["outcome"].tolist() == ["overlap", "bond_broken", "bond_formed", "overlap", "overlap", "overlap"]
    assert chosen["failure_time_ps"].tolist() == [1.0, 8.5, 0.5, 2.0, 3.0, 4.0]


def water(stretch_A: float, time_ps: float) -> Atoms:
    atoms = Atoms("OH2", [[0, 0, 0], [0.96 + stretch_A, 0, 0], [-0.24, 0.93, 0]])
    atoms.info = {"time_ps": time_ps, "temperature_K": 1000.0, "replica": 3}
    atoms.set_array("offending", np.array([True, True, False]))
    return atoms


def test_frames_around_a_failure() -> None:
    frames = [water(0.1 * i, 0.005 * i) for i in range(10)]
    before, last = around_failure(frames)
    assert before is not None
    assert (before.info["time_ps"], last.info["time_ps"]) == pytest.approx((0.02, 0.045))
    assert around_failure(frames[-1:])[0] is None


def test_stored_frames_of_one_replica_are_found(tmp_path: Path) -> None:
    frames = [water(0.0, 0.1), water(0.5, 0.2)]
    frames[1].info["replica"] = 4
    ase.io.write(tmp_path / "failures.extxyz", frames)
    (found,) = read_frames(tmp_path / "failures.extxyz", {"temperature_K": 1000.0, "replica": 4})
    assert found.info["time_ps"] == 0.2
    assert found.arrays["offending"].tolist() == [True, True, False]


def test_view_lays_the_axis_to_the_right_and_the_widest_spread_up() -> None:
    positions = np.array([[0.0, 0, 0], [0, 0, 2], [0, 5, 1], [0.1, -5, 1]])
    projection = view(positions, np.array([0.0, 0, 2]))
    np.testing.assert_allclose(projection @ projection.T, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(projection[0], [0, 0, 1], atol=1e-12)
    assert abs(projection[1] @ [0, 1, 0]) > 0.99
    for poor in (np.zeros((1, 3)), np.array([[0.0, 0, 0], [0, 0, 1]])):
        np.testing.assert_allclose(np.linalg.norm(view(poor, np.zeros(3)), axis=1), 1)


def test_surroundings_are_the_nearest_images_that_are_somewhere() -> None:
    atoms = Atoms("H50", np.zeros((50, 3)), cell=[20, 20, 20], pbc=True)
    atoms.positions[1] = [19, 0, 0]
    atoms.positions[2] = [10, 0, 0]
    atoms.positions[3] = np.nan
    near = surroundings(atoms, 0)
    assert near.arrays["index"].tolist() == [0, 1, *range(4, 50)]
    np.testing.assert_allclose(near.positions[1], [-1, 0, 0], atol=1e-12)


@pytest.mark.parametrize("case", ["broken", "exploded", "nowhere", "only_the_failed_frame", "no_atom_named"])
def test_failures_of_any_kind_are_drawn(case: str) -> None:
    import matplotlib.pyplot as plt

    frames = [water(0.1 * i, 0.005 * i) for i in range(10)]
    if case == "exploded":
        frames[-1].positions *= 1e6
    if case == "nowhere":
        frames[-1].positions[:] = np.nan
    if case == "no_atom_named":
        for frame in frames:
            frame.arrays["offending"][:] = False
    figure, axes = plt.subplots(1, 2)
    draw_failure(axes, frames[-1:] if case == "only_the_failed_frame" else frames)
    texts = [text.get_text() for text in axes[1].texts]
    assert ("1.86 Å" in texts) == (case in ("broken", "only_the_failed_frame"))
    assert ("O0" in texts) == (case not in ("nowhere", "no_atom_named"))
    outside = {"exploded": 2}.get(case, 0)
    assert (f"({outside} atoms outside)" in axes[1].get_xlabel()) == bool(outside)
    plt.close(figure)
