"""Learning curves: predictions on held-out frames, errors against training size, slopes with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from longhot import frames as fr
from longhot.files import atomic_path, read_json

if TYPE_CHECKING:
    import pandas as pd

CONFIDENCE = 0.95
FEWEST_SEEDS = 3
"""Student's factor is 4.3 for the slopes of three seeds and 12.7 for those of two, which then say next to nothing."""


def predict(model_directory: Path, test_path: Path, out: Path, device: str) -> None:
    """Write a model's prediction for every test frame, beside the labels, as an npz file.

    Arrays: ``test_set`` and ``status`` (n_frames,), ``n_atoms`` (n_frames,), ``energy_eV`` and
    ``reference_energy_eV`` (n_frames,), ``forces_eV_per_A`` and ``reference_forces_eV_per_A`` (sum of n_atoms, 3).
    """
    from longhot.models import load, resolve_device

    frames = fr.read(test_path)
    labels = load(model_directory, resolve_device(device)).predict(frames)
    with atomic_path(out) as temporary:
        np.savez(
            temporary,
            test_set=np.array([frame.info[fr.TEST_SET] for frame in frames]),
            status=np.array([label.status for label in labels]),
            n_atoms=np.array([len(frame) for frame in frames]),
            energy_eV=np.array([label.energy_eV for label in labels]),
            reference_energy_eV=fr.energies(frames),
            forces_eV_per_A=np.concatenate([label.forces_eV_per_A for label in labels]),
            reference_forces_eV_per_A=np.concatenate(fr.forces(frames)),
        )


def errors(prediction: dict[str, np.ndarray], test_set: str) -> dict[str, float]:
    """Errors on one test set, over the frames for which the model gave numbers.

    Energies are per atom of each frame; force errors are means over all Cartesian components.
    """
    used = (prediction["test_set"] == test_set) & (prediction["status"] == "ok")
    atoms = np.repeat(used, prediction["n_atoms"])
    energy = (prediction["energy_eV"] - prediction["reference_energy_eV"])[used] / prediction["n_atoms"][used]
    force = (prediction["forces_eV_per_A"] - prediction["reference_forces_eV_per_A"])[atoms]
    none = not used.any()
    return {
        "energy_mae_meV_per_atom": np.nan if none else 1e3 * float(np.abs(energy).mean()),
        "force_mae_meV_per_A": np.nan if none else 1e3 * float(np.abs(force).mean()),
        "force_rmse_meV_per_A": np.nan if none else 1e3 * float(np.sqrt((force**2).mean())),
        "n_test_frames": int(used.sum()),
        "n_test_frames_failed": int((prediction["test_set"] == test_set).sum() - used.sum()),
    }


def curve_rows(
    ids: dict[str, Any], block: dict[str, Any], prediction_path: Path, fit_path: Path
) -> list[dict[str, Any]]:
    """Rows of learning_curves.csv for one fit, one for each test set."""
    fit = read_json(fit_path)
    with np.load(prediction_path, allow_pickle=False) as stored:
        prediction = dict(stored)
    rows = []
    for test_set in dict.fromkeys(prediction["test_set"].tolist()):
        scores = errors(prediction, test_set)
        reason = fit["reason"] or ("" if scores["n_test_frames"] else "the model gave no numbers for any test frame")
        rows.append(
            {
                "dataset": ids["dataset"],
                "model": ids["model"],
                "family": block["family"],
                "max_L": block.get("max_L"),
                "correlation": block.get("correlation"),
                "train_size": ids["size"],
                "seed": ids["seed"],
                "test_set": test_set,
                **scores,
                "train_wall_s": fit["train_wall_s"],
                "converged": fit["converged"],
                "reason": reason,
            }
        )
    return rows


def slope(sizes: np.ndarray, maes: np.ndarray) -> float:
    """Slope s of log10(MAE) = a + s log10(N), by least squares."""
    # Rounded, so that a constant error has the slope 0 and not the rounding error of the fit.
    return round(float(np.polyfit(np.log10(sizes), np.log10(maes), 1)[0]), 9) + 0.0


def slope_interval(sizes: np.ndarray, maes: np.ndarray, seeds: np.ndarray) -> tuple[float, float, str]:
    """95 % interval of ``slope``, by Student's t, and what its scatter was taken from.

    From three seeds on each seed's curve gives a slope of its own, and these are independent whatever holds within a
    seed (the summary measures of Matthews et al., Br. Med. J. 300, 230 (1990)). One or two seeds give too few slopes:
    there the scatter is that of the points about curves of one slope and a level for each seed. The subsets of a seed
    are nested, so its points are taken to scatter as running means of independent frames do, with the correlation
    sqrt(N1 / N2) (generalized least squares, Aitken 1936). That is too careful where every fit scatters by itself: the
    interval then covers the truth in some 98 % of cases. It knows nothing of seeds that differ in their slopes. Two
    points of one seed lie on their line: they give no interval, and NaN stands for it.

    Args:
        sizes: N of each point, shape (n_points,).
        maes: its error, in any unit.
        seeds: its seed.
    """
    curves = [seeds == seed for seed in np.unique(seeds)]
    own = np.array([slope(sizes[one], maes[one]) for one in curves if len(np.unique(sizes[one])) > 1])
    freedom = len(sizes) - len(curves) - 1
    if len(own) >= FEWEST_SEEDS:
        freedom = len(own) - 1
        error, origin = float(own.std(ddof=1)) / np.sqrt(len(own)), f"t over the slopes of {len(own)} seeds"
    elif freedom > 0:
        error = _nested_error(np.log10(sizes), np.log10(maes), curves, freedom)
        origin = f"t over the points of {len(curves)} seed{'s' if len(curves) > 1 else ''}, as nested subsets scatter"
    else:
        return np.nan, np.nan, "none: two points"
    from scipy.stats import t

    middle, width = slope(sizes, maes), float(t.ppf((1 + CONFIDENCE) / 2, freedom)) * error
    return middle - width, middle + width, origin


def _nested_error(x: np.ndarray, y: np.ndarray, curves: Sequence[np.ndarray], freedom: int) -> float:
    """Standard error of the slope of y over x = log10 N, whose scatter within a seed has the correlation sqrt(N1/N2).

    Args:
        x: shape (n_points,).
        y: shape (n_points,).
        curves: which points are of each seed, each of shape (n_points,).
        freedom: points less seeds less one.
    """
    correlation = np.zeros((len(x), len(x)))
    for own in curves:
        correlation[np.ix_(own, own)] = 10.0 ** (-np.abs(x[own][:, None] - x[own]) / 2)
    whiten = np.linalg.inv(np.linalg.cholesky(correlation + 1e-9 * np.eye(len(x))))
    design = whiten @ np.column_stack([*curves, x]).astype(float)
    fitted = design @ np.linalg.lstsq(design, whiten @ y, rcond=None)[0]
    variance = float(((whiten @ y - fitted) ** 2).sum()) / freedom
    weights = (x - x.mean()) / ((x - x.mean()) ** 2).sum()  # of each point in the slope
    # Rounded as the slope is: an error that never changes has a slope without any error.
    return round(float(np.sqrt(variance * (weights @ correlation @ weights))), 9)


def slopes(curves: pd.DataFrame) -> pd.DataFrame:
    """Table learning_curve_slopes from the force MAE of the learning curves."""
    import pandas as pd

    rows = []
    for (dataset, model, test_set), part in curves.groupby(["dataset", "model", "test_set"], sort=False):
        usable = part[np.isfinite(part.force_mae_meV_per_A) & (part.force_mae_meV_per_A > 0)]
        row: dict[str, Any] = {"dataset": dataset, "model": model, "test_set": test_set}
        if usable.train_size.nunique() < 2:
            row |= {"slope": np.nan, "slope_ci_low": np.nan, "slope_ci_high": np.nan, "reason": "fewer than two sizes"}
        else:
            sizes, maes = usable.train_size.to_numpy(), usable.force_mae_meV_per_A.to_numpy()
            low, high, origin = slope_interval(sizes, maes, usable.seed.to_numpy())
            open_fits = int((~usable.converged.astype(bool)).sum())
            row |= {"slope": slope(sizes, maes), "slope_ci_low": low, "slope_ci_high": high, "interval_from": origin}
            reasons = ["two points give no interval"] if np.isnan(low) else []
            reasons += [f"{open_fits} of {len(usable)} fits not converged"] if open_fits else []
            row["reason"] = "; ".join(reasons)
        rows.append({**row, "n_points": len(usable)})
    return pd.DataFrame(rows)


def write_tables(
    fits: Sequence[dict[str, Any]],
    blocks: dict[str, dict[str, Any]],
    predictions: Sequence[str],
    records: Sequence[str],
    curves_out: Path,
    slopes_out: Path,
) -> None:
    """Write learning_curves.csv and learning_curve_slopes.csv.

    Args:
        fits: ids of each fit (dataset, model, size, seed).
        blocks: resolved config of each model.
        predictions: npz file of each fit.
        records: fit.json of each fit.
        curves_out: path of the first table.
        slopes_out: path of the second table.
    """
    import pandas as pd

    rows = [
        row
        for ids, prediction, record in zip(fits, predictions, records, strict=True)
        for row in curve_rows(ids, blocks[ids["model"]], Path(prediction), Path(record))
    ]
    table = pd.DataFrame(rows).astype({"max_L": "Int64", "correlation": "Int64"})
    for frame, out in ((table, curves_out), (slopes(table), slopes_out)):
        with atomic_path(out) as temporary:
            frame.to_csv(temporary, index=False, float_format="%.6g")
