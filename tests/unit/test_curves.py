"""Errors, slopes and tables of the learning curves, against numbers worked out by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from longhot import files
from longhot.learning import curves

SIZES = np.array([25, 50, 100, 200, 400])


def power_law(exponent: float, seeds: list[int], noise: float = 0.0, seed: int = 0) -> tuple[np.ndarray, ...]:
    """Sizes, MAE = 300 N^exponent with log-normal noise, and seeds, each of shape (n_points,)."""
    sizes, names = np.tile(SIZES, len(seeds)), np.repeat(seeds, len(SIZES))
    scatter = np.random.default_rng(seed).normal(0.0, noise, sizes.shape)
    return sizes, 300.0 * sizes**exponent * np.exp(scatter), names


@pytest.mark.parametrize("exponent", [-0.5, -1.0, 0.0])
def test_an_exact_power_law_gives_its_exponent(exponent: float) -> None:
    sizes, maes, seeds = power_law(exponent, [0, 1])
    assert curves.slope(sizes, maes) == pytest.approx(exponent, abs=1e-12)
    low, high, _ = curves.slope_interval(sizes, maes, seeds)
    assert low == pytest.approx(exponent, abs=1e-12)
    assert high == pytest.approx(exponent, abs=1e-12)


def test_the_interval_over_seeds_is_that_of_a_t_test_of_their_slopes() -> None:
    from scipy import stats

    sizes, maes, seeds = power_law(-0.4, [0, 1, 2, 3], noise=0.1)
    own = [np.polyfit(np.log10(SIZES), np.log10(maes[seeds == seed]), 1)[0] for seed in range(4)]
    exact = stats.ttest_1samp(own, 0.0).confidence_interval(0.95)
    low, high, origin = curves.slope_interval(sizes, maes, seeds)
    assert (low, high) == pytest.approx((exact.low, exact.high), abs=1e-8)
    assert origin == "t over the slopes of 4 seeds"


def test_one_seed_has_the_scatter_of_nested_subsets() -> None:
    """Three sizes at equal distances: the noise of their ends alone moves the slope, by sqrt(2 (1 - rho)) over x."""
    from scipy import stats

    sizes = np.array([10, 20, 40])
    x, rho = np.log10(sizes), 0.5
    y = np.array([2.0, 1.9, 1.7])
    correlation = np.sqrt(np.minimum.outer(sizes, sizes) / np.maximum.outer(sizes, sizes))
    design = np.column_stack([np.ones(3), x])
    precision = np.linalg.inv(correlation)
    fit = np.linalg.solve(design.T @ precision @ design, design.T @ precision @ y)
    variance = float((y - design @ fit) @ precision @ (y - design @ fit))  # of one degree of freedom
    error = np.sqrt(variance * 2 * (1 - rho)) / np.ptp(x)
    low, high, origin = curves.slope_interval(sizes, 10**y, np.zeros(3))
    assert (high - low) / 2 == pytest.approx(stats.t.ppf(0.975, 1) * error, rel=1e-5)
    assert (high + low) / 2 == pytest.approx(curves.slope(sizes, 10**y))
    assert origin == "t over the points of 1 seed, as nested subsets scatter"


def test_the_interval_is_the_same_at_every_call() -> None:
    data = power_law(-0.4, [0, 1], noise=0.1)
    assert curves.slope_interval(*data) == curves.slope_interval(*data)


def prediction() -> dict[str, np.ndarray]:
    """Two frames of "test" with 1 and 3 atoms, one of them failed in "hot", one sound in "hot" with 2."""
    forces = np.zeros((8, 3))
    forces[0] = [0.003, 0.0, -0.006]
    forces[1:4, 0] = [0.012, -0.012, 0.0]
    forces[4:6] = np.nan
    forces[6:8, 1] = 0.006
    return {
        "test_set": np.array(["test", "test", "hot", "hot"]),
        "status": np.array(["ok", "ok", "not_converged", "ok"]),
        "n_atoms": np.array([1, 3, 2, 2]),
        "energy_eV": np.array([-10.002, -30.009, np.nan, -20.0]),
        "reference_energy_eV": np.array([-10.0, -30.0, -20.0, -20.004]),
        "forces_eV_per_A": forces,
        "reference_forces_eV_per_A": np.zeros((8, 3)),
    }


def test_errors_by_hand() -> None:
    """Energies per atom of each frame, so 2/1 and 9/3 meV; forces over 4 atoms, 12 components."""
    found = curves.errors(prediction(), "test")
    assert found["energy_mae_meV_per_atom"] == pytest.approx((2.0 + 3.0) / 2)
    assert found["force_mae_meV_per_A"] == pytest.approx((3 + 6 + 12 + 12) / 12)
    assert found["force_rmse_meV_per_A"] == pytest.approx(np.sqrt((9 + 36 + 144 + 144) / 12))
    assert (found["n_test_frames"], found["n_test_frames_failed"]) == (2, 0)


def test_failed_frames_are_counted_and_left_out() -> None:
    found = curves.errors(prediction(), "hot")
    assert found["energy_mae_meV_per_atom"] == pytest.approx(2.0)
    assert found["force_mae_meV_per_A"] == pytest.approx(2.0)
    assert (found["n_test_frames"], found["n_test_frames_failed"]) == (1, 1)


def test_no_sound_frame_gives_no_number() -> None:
    everything_failed = prediction() | {"status": np.array(["crashed"] * 4)}
    found = curves.errors(everything_failed, "test")
    assert np.isnan([found[key] for key in found if "mae" in key or "rmse" in key]).all()
    assert (found["n_test_frames"], found["n_test_frames_failed"]) == (0, 2)


def table(maes: dict[tuple[int, int], float], converged: bool = True) -> pd.DataFrame:
    """Rows of learning_curves.csv by (size, seed)."""
    rows = [
        {"dataset": "d", "model": "m", "test_set": "test", "train_size": size, "seed": seed}
        | {"force_mae_meV_per_A": mae, "converged": converged}
        for (size, seed), mae in maes.items()
    ]
    return pd.DataFrame(rows)


def test_slopes_of_a_table() -> None:
    row = curves.slopes(table({(10, 0): 100.0, (100, 0): 1000**0.5, (1000, 0): 10.0})).iloc[0]
    assert row.slope == pytest.approx(-0.5)
    assert (row.n_points, row.reason) == (3, "")
    assert row.interval_from == "t over the points of 1 seed, as nested subsets scatter"


def test_slopes_say_what_they_lack() -> None:
    single = curves.slopes(table({(10, 0): 100.0, (10, 1): 90.0})).iloc[0]
    assert np.isnan([single.slope, single.slope_ci_low, single.slope_ci_high]).all()
    assert single.reason == "fewer than two sizes"
    failed = curves.slopes(table({(10, 0): 100.0, (20, 0): np.nan})).iloc[0]
    assert (failed.n_points, failed.reason) == (1, "fewer than two sizes")
    unconverged = curves.slopes(table({(10, 0): 100.0, (20, 0): 90.0}, converged=False)).iloc[0]
    assert unconverged.reason == "two points give no interval; 2 of 2 fits not converged"


def test_tables_from_files(tmp_path: Path) -> None:
    """From npz and fit.json to both tables, with a model that has no max_L and one that failed everywhere."""
    blocks = {"net": {"family": "mace", "max_L": 1, "correlation": 2}, "cheap": {"family": "nonml"}}
    fits, predictions, records = [], [], []
    for model in blocks:
        for size in (10, 40):
            stored = prediction()
            if model == "cheap":
                stored["status"] = np.array(["crashed"] * 4)
            stored["forces_eV_per_A"] = stored["forces_eV_per_A"] * (40 / size)
            name = f"{model}-{size}"
            np.savez(tmp_path / f"{name}.npz", **stored)
            converged = size == 10
            files.write_json(
                tmp_path / f"{name}.json",
                {"converged": converged, "reason": "" if converged else "still falling", "train_wall_s": 2.5},
            )
            fits.append({"study": "s", "dataset": "d", "model": model, "size": size, "seed": 0})
            predictions.append(str(tmp_path / f"{name}.npz"))
            records.append(str(tmp_path / f"{name}.json"))
    curves.write_tables(fits, blocks, predictions, records, tmp_path / "curves.csv", tmp_path / "slopes.csv")

    rows = pd.read_csv(tmp_path / "curves.csv").set_index(["model", "train_size", "test_set"])
    assert len(rows) == 8
    assert rows.loc[("net", 10, "test"), "force_mae_meV_per_A"] == pytest.approx(4 * 33 / 12)
    assert rows.loc[("net", 10, "test"), ["max_L", "correlation"]].tolist() == [1, 2]
    assert np.isnan(rows.loc[("cheap", 10, "test"), "max_L"])
    assert bool(rows.loc[("net", 10, "hot"), "converged"]) is True
    assert rows.loc[("net", 40, "hot"), "reason"] == "still falling"
    assert rows.loc[("cheap", 10, "hot"), "reason"] == "the model gave no numbers for any test frame"
    assert "L" not in (tmp_path / "curves.csv").read_text(encoding="utf-8").splitlines()[1].split(",")[3]

    slopes = pd.read_csv(tmp_path / "slopes.csv").set_index(["model", "test_set"])
    assert len(slopes) == 4
    assert slopes.loc[("net", "test"), "slope"] == pytest.approx(-1.0)
    assert slopes.loc[("net", "test"), "reason"] == "two points give no interval; 1 of 2 fits not converged"
    assert np.isnan(slopes.loc[("cheap", "test"), "slope"])


def test_a_missing_record_is_no_silent_shift(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="shorter"):
        curves.write_tables([{"model": "m"}], {}, ["a.npz"], [], tmp_path / "a.csv", tmp_path / "b.csv")


def test_two_points_of_one_seed_give_no_interval() -> None:
    low, high, origin = curves.slope_interval(np.array([50, 200]), np.array([90.0, 80.0]), np.array([0, 0]))
    assert np.isnan([low, high]).all()
    assert origin == "none: two points"
