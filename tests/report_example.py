"""A study folder as the pipeline leaves it, with made-up numbers of the right size and no run behind them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pandas as pd

from longhot.dynamics.statistics import NO_WIDTH
from longhot.dynamics.tables import survival_table, survival_tests_table
from longhot.learning.strategies import comparison_table
from longhot.report import manifest
from longhot.report.figures import FIGURES

CONFIG = {
    "study": {"name": "demo", "question": "Does <ethanol> survive?", "device": "cpu"},
    "learning_curves": {"train_sizes": [25, 100, 400], "seeds": [0, 1]},
    "robustness": {"seeds": [0]},
}
SIZES = (25, 100, 400)
# model: family, max_L, correlation, force error at N = 100 (meV/A), slope
MODELS = {
    "mace-L0-nu1": ("mace", 0, 1, 104.0, -0.20),
    "mace-L0-nu2": ("mace", 0, 2, 50.0, -0.40),
    "mace-L1-nu2": ("mace", 1, 2, 40.0, -0.45),
    "gfn1": ("nonml", None, None, 90.0, 0.0),
}


def curves_table() -> pd.DataFrame:
    rows = []
    for model, (family, max_L, correlation, error, slope) in MODELS.items():
        for size in SIZES:
            for seed in (0, 1):
                for test_set, factor in (("test", 1.0), ("test_hot", 1.7)):
                    force = error * (size / 100) ** slope * factor * (1 + 0.02 * seed * (family == "mace"))
                    rows.append(
                        {
                            "dataset": "ethanol",
                            "model": model,
                            "family": family,
                            "max_L": max_L,
                            "correlation": correlation,
                            "train_size": size,
                            "seed": seed,
                            "test_set": test_set,
                            "energy_mae_meV_per_atom": force / 30,
                            "force_mae_meV_per_A": force,
                            "force_rmse_meV_per_A": 1.5 * force,
                            "n_test_frames": 300,
                            "n_test_frames_failed": 0,
                            "train_wall_s": 21.5,
                            "converged": not (model == "mace-L0-nu1" and size == 400),
                            "reason": "",
                        }
                    )
    return pd.DataFrame(rows)


def slopes_table() -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "dataset": "ethanol",
                "model": model,
                "test_set": test_set,
                "slope": slope,
                "slope_ci_low": slope - 0.05,
                "slope_ci_high": slope + 0.05,
                "interval_from": "bootstrap over 2 seeds",
                "n_points": 6,
            }
            for model, (_, _, _, _, slope) in MODELS.items()
            for test_set in ("test", "test_hot")
        ]
    )


def md_tables() -> dict[str, pd.DataFrame]:
    """MD of one model and the control: with 25 frames 7 of 8 replicas break at 1000 K, with more none."""
    stability, recheck, robustness = [], [], []
    for model, size in (("reference", 0), *(("mace-L0-nu2", size) for size in SIZES)):
        for temperature in (300.0, 1000.0):
            broken = 7 if (size, temperature) == (25, 1000.0) else 0
            ids = {"dataset": "ethanol", "model": model, "train_size": size}
            for replica in range(8):
                fails = replica < broken
                stability.append(
                    {
                        **ids,
                        "seed": 0,
                        "temperature_K": temperature,
                        "replica": replica,
                        "outcome": "bond_broken" if fails else "completed",
                        "failure_time_ps": 1.25 * (replica + 1) if fails else np.nan,
                        "simulated_ps": 1.25 * (replica + 1) if fails else 10.0,
                        "wall_s": 12.0,
                        "cause": "bond broken: O2-H3 at 1.7 A" if fails else "",
                        "atoms": "2 3" if fails else "",
                    }
                )
                for frame in range(2):
                    status = "not_converged" if fails and frame else "ok"
                    recheck.append(
                        {
                            **ids,
                            "seed": 0,
                            "temperature_K": temperature,
                            "replica": replica,
                            "time_ps": frame * 0.5,
                            "choice": "before_failure" if fails and frame == 1 else "even",
                            "reference": "xtb",
                            "reference_status": status,
                            "model_status": "ok",
                            "force_mae_meV_per_A": 0.0 if model == "reference" else 80.0 if status == "ok" else np.nan,
                            "energy_error_meV_per_atom": -1.25,
                            "committee_force_std_meV_per_A": np.nan,
                        }
                    )
            ratio = {0: np.nan, 25: 2.9, 100: 1.6, 400: 1.2}[size]
            robustness.append(
                {
                    **ids,
                    "temperature_K": temperature,
                    "static_force_mae_meV_per_A": 0.0 if model == "reference" else 40.0,
                    "md_force_mae_meV_per_A": 0.0 if model == "reference" else 40.0 * ratio,
                    "md_force_mae_p95_meV_per_A": 0.0 if model == "reference" else 60.0 * ratio,
                    "error_ratio": ratio,
                    "md_force_mae_before_failure_meV_per_A": 300.0 if broken else np.nan,
                    "n_rechecked": 16,
                    "n_reference_failed": broken,
                    "run_by": "xtb" if model == "reference" else "",
                    "rechecked_by": "xtb",
                    "reason": "control" if model == "reference" else "",
                }
            )
    runs = pd.DataFrame(stability)
    return {
        "stability": runs,
        "survival": survival_table(runs),
        "survival_tests": survival_tests_table(runs),
        "recheck": pd.DataFrame(recheck),
        "robustness": pd.DataFrame(robustness),
        "rank_agreement": agreement_table(),
    }


STATIC_ERROR, FAILURES, MD_ERROR = "static_force_mae_meV_per_A", "failure_rate_per_ns", "md_force_mae_meV_per_A"
SPREAD_ERROR = ("committee_force_std_meV_per_A", "force_mae_meV_per_A")


def agreement_table() -> pd.DataFrame:
    """At 300 K nothing fails and the errors do not agree; at 1000 K they do, and the spread warns at N = 100 only."""
    nan = np.nan
    rows = [
        (300.0, "fits", "", nan, STATIC_ERROR, FAILURES, 6, nan, nan, nan, nan, "all values of one side are equal"),
        (300.0, "fits", "", nan, STATIC_ERROR, MD_ERROR, 6, 0.2, -0.5, 0.8, 0.7, ""),
        (1000.0, "fits", "", nan, STATIC_ERROR, FAILURES, 6, 1.0, nan, nan, 0.0028, NO_WIDTH),
        (1000.0, "fits", "", nan, STATIC_ERROR, MD_ERROR, 6, 0.8, 0.4, 1.0, 0.012, ""),
        (300.0, "frames", "mace-L0-nu2", 25, *SPREAD_ERROR, 60, 0.5, 0.4, 0.6, nan, ""),
        (1000.0, "frames", "mace-L0-nu2", 25, *SPREAD_ERROR, 60, 0.1, -0.1, 0.3, nan, ""),
        (1000.0, "frames", "mace-L0-nu2", 100, *SPREAD_ERROR, 60, 0.4, 0.25, 0.55, nan, ""),
    ]
    names = ["temperature_K", "over", "model", "train_size", "x", "y", "n_points"]
    names += ["kendall_tau", "ci_low", "ci_high", "p_value", "reason"]
    return pd.DataFrame(rows, columns=names).assign(dataset="ethanol")


def active_learning_tables() -> dict[str, pd.DataFrame]:
    """Two strategies over three rounds and two seeds, and a short run on the fly."""
    rounds = [
        {
            "dataset": "ethanol",
            "model": "mace-L0-nu2",
            "strategy": strategy,
            "round": turn,
            "seed": seed,
            "n_labels": 10 + 5 * turn,
            "force_mae_meV_per_A": (90.0 - 10 * turn) * factor * (1 + 0.1 * seed),
            "hot_force_mae_meV_per_A": (150.0 - 10 * turn) * factor,
            "md_force_mae_meV_per_A": (200.0 - 20 * turn) * factor,
            "survival_at_end": min(1.0, 0.25 * (turn + seed)),
            "n_reference_calls": 10 + 5 * turn,
            "n_md_frames": 4,
            "n_replicas": 4,
            "n_chosen_failed": 0,
            "train_wall_s": 2.0,
            "converged": True,
            "reason": "",
        }
        for strategy, factor in (("random", 1.0), ("diverse", 0.8))
        for turn in range(3)
        for seed in (0, 1)
    ]
    steps = [
        {
            "dataset": "ethanol",
            "model": "mace-L0-nu2",
            "step": step,
            "time_ps": 0.1 * step,
            "estimated_meV_per_A": 100.0 + step,
            "true_meV_per_A": 150.0,
            "threshold_meV_per_A": 110.0,
            "kind": "call" if step > 10 else "audit",
            "n_initial": 5,
            "n_calls": max(0, step - 10),
            "share_saved": 0.5,
            "outcome": "completed",
            "cause": "",
        }
        for step in range(20)
    ]
    table = pd.DataFrame(rounds)
    return {
        "active_learning": table,
        "active_learning_comparison": comparison_table(table),
        "active_learning_online": pd.DataFrame(steps),
    }


def all_tables() -> dict[str, pd.DataFrame]:
    return {"learning_curves": curves_table(), "learning_curve_slopes": slopes_table(), **md_tables()}


SVG = """<?xml version="1.0"?>
<!DOCTYPE svg PUBLIC "x" "y">
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 640 260" width="640pt" height="260pt">
<metadata>made somewhere</metadata>
<defs><clipPath id="p1"><rect width="640" height="260"/></clipPath><path id="g" d="M0 0"/></defs>
<g clip-path="url(#p1)"><line x1="40" y1="220" x2="600" y2="40" stroke="#0072B2" stroke-width="2"/></g><use href="#g"/>
</svg>"""

CARD = {
    "source": "generate",
    "level_of_theory": "GFN2-xTB",
    "licence": "made by this study",
    "units": {"energy": "eV", "forces": "eV/A"},
    "elements": ["C", "H", "O"],
    "sets": {"train_pool": {"n_frames": 800, "force_rms_eV_per_A": 1.25}, "test": {"n_frames": 300}},
    "isolated_atoms": {"origin": "computed", "energies_eV": {"C": -48.8, "H": -10.7, "O": -102.6}},
    "facts": {"relaxed_positions_A": [[0.0, 0.0, 0.0], [0.0, 0.0, 1.0]]},
    "warnings": ["the pool holds 3 duplicates"],
    "config": {"source": "generate"},
}


def write_study(folder: Path, tables: dict[str, pd.DataFrame]) -> Path:
    """A study folder as the pipeline leaves it, manifest included."""
    for part in ("tables", "figures", "datasets/ethanol", "benchmarks/fit/ethanol", "logs/fit", "models/a"):
        (folder / part).mkdir(parents=True)
    for name, table in tables.items():
        table.to_csv(folder / "tables" / f"{name}.csv", index=False)
        if name in FIGURES:
            (folder / "figures" / f"{name}.svg").write_text(SVG)
    (folder / "datasets/ethanol/card.json").write_text(json.dumps(CARD))
    (folder / "models/a/fit.json").write_text(json.dumps({"device": "cpu"}))
    header = "s\th:m:s\tmax_rss\tmax_vms\tmax_uss\tmax_pss\tio_in\tio_out\tmean_load\tcpu_time\n"
    for number_of_fit, seconds in enumerate((40.0, 30.0)):
        path = folder / f"benchmarks/fit/ethanol/{number_of_fit}.tsv"
        path.write_text(f"{header}{seconds}\t0:00:40\t900.5\t1\t1\t1\t1\t1\t98.0\t15.0\n")
        os.utime(path, (1000 + 20 * number_of_fit, 1000 + 20 * number_of_fit))
        log = "2026-01-01 00:00:00 fit took 40.0 s of wall time, 39.5 s of core time and 1200 MB\n"
        (folder / f"logs/fit/{number_of_fit}.log").write_text("2026-01-01 00:00:00 step 1\n" + log)
    short = folder / "benchmarks/report.tsv"
    short.write_text(f"{header}0.4\t0:00:00\tNA\tNA\tNA\tNA\tNA\tNA\tNA\tNA\n")
    os.utime(short, (2000, 2000))
    manifest.build(folder, CONFIG, folder / "manifest.json")
    return folder
