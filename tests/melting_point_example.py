"""Tables of a melting point as a study leaves them, with made-up numbers of the right size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

DATASET, MODEL = "ice", "mace-L0-nu2"
SIZES, MEMBERS = (25, 100, 400), (0, 1, 2, 3)
TEMPERATURES_K = (265.0, 275.0, 285.0, 295.0)
MELTING_POINT_K, ENTROPY_meV_PER_K = 277.3, 0.205
OFFSET_K = {25: -6.0, 100: -2.4, 400: -0.9}
"""Of the committee from the reference."""
SPREAD_K = {25: 3.0, 100: 1.2, 400: 0.5}
"""Half of the distance between the outermost members."""
FORCE_MAE = {25: 27.0, 100: 14.0, 400: 8.1}
ALPHA = {25: 1.9, 100: 1.4, 400: 1.2}
LOW_ESS = "265 K, liquid: the weights rest on 9 of 250 independent frames (ESS 0.036); sample stages between"
FROZEN = "the cell froze whole: raise the temperature or kappa_eV"
IDS = {"dataset": DATASET}


def member_K(size: int, member: int) -> float:
    """Melting point of one member."""
    return MELTING_POINT_K + OFFSET_K[size] + SPREAD_K[size] * (-1.0, -0.3, 0.4, 0.9)[member]


def delta_mu() -> pd.DataFrame:
    rows = []
    for size, member, melting_K, error in [
        (0, 0, MELTING_POINT_K, 0.25),
        *((size, member, member_K(size, member), 0.1) for size in SIZES for member in MEMBERS),
    ]:
        for temperature_K in TEMPERATURES_K:
            is_reference = size == 0
            rows.append(
                {
                    **IDS,
                    "model": "reference" if is_reference else MODEL,
                    "train_size": size,
                    "member": member,
                    "temperature_K": temperature_K,
                    "delta_mu_meV": ENTROPY_meV_PER_K * (temperature_K - melting_K),
                    "sampling_error_meV": error,
                    "method": "pinning+gibbs_helmholtz" if is_reference else "cumulant" if size == 25 else "direct",
                    "ess_solid": np.nan if is_reference else 0.7,
                    "ess_liquid": np.nan if is_reference else 0.5,
                    "valid": True,
                    "reason": "",
                }
            )
    return pd.DataFrame(rows)


def melting_point() -> pd.DataFrame:
    rows = [
        ("reference", 0, 0, MELTING_POINT_K, 1.2, "pinning"),
        ("reference", 0, 0, 276.1, 0.9, "coexistence"),
        *(
            (MODEL, size, member, member_K(size, member), 0.5, "staged" if size == 25 else "reweighting")
            for size in SIZES
            for member in MEMBERS
        ),
    ]
    names = ["model", "train_size", "member", "melting_point_K", "sampling_error_K", "method"]
    table = pd.DataFrame(rows, columns=names).assign(dataset=DATASET, valid=True, reason="")
    return table.assign(entropy_of_melting_meV_per_K=ENTROPY_meV_PER_K)


def summary() -> pd.DataFrame:
    rows = []
    for size in SIZES:
        members = [member_K(size, member) for member in MEMBERS]
        raw = float(np.std(members, ddof=1))
        gap = np.mean(members) - MELTING_POINT_K
        rows.append(
            {
                **IDS,
                "model": MODEL,
                "train_size": size,
                "melting_point_K": np.mean(members),
                "committee_std_K": raw,
                "committee_std_calibrated_K": ALPHA[size] * raw,
                "sampling_error_K": 0.25,
                "reference_melting_point_K": MELTING_POINT_K,
                "reference_error_K": 1.2,
                "covered_2sigma": bool(abs(gap) <= 2 * np.hypot(ALPHA[size] * raw, 0.25)),
                "n_members": 4,
                "n_valid": 4,
                "force_mae_meV_per_A": FORCE_MAE[size],
                "protocol_error_K": 1.3,
                "reason": "",
            }
        )
    return pd.DataFrame(rows)


def budget() -> pd.DataFrame:
    rows = []
    for size in SIZES:
        errors = {
            "committee_raw": 0.85 * SPREAD_K[size],
            "committee_calibrated": 0.85 * SPREAD_K[size] * ALPHA[size],
            "finite_committee": 0.85 * SPREAD_K[size] / 2,
            "reweighting": 0.25,
            "pinning": 1.2,
            "protocol_coexistence": 1.1,
            "protocol_size": 0.7,
        }
        rows += [{**IDS, "model": MODEL, "train_size": size, "component": name, "error_K": error, "valid": True,
                  "reason": ""} for name, error in errors.items()]  # fmt: skip
    return pd.DataFrame(rows)


def calibration() -> pd.DataFrame:
    """In MD the fits of 25 frames are less sure than their calibration says."""
    rows = []
    for size in SIZES:
        for quantity in ("energy_meV_per_atom", "force_per_atom_meV_per_A"):
            for scope in ("holdout", "md"):
                asked = ALPHA[size] * (2.0 if (scope, size) == ("md", 25) else 1.1)
                rows.append(
                    {
                        **IDS,
                        "model": MODEL,
                        "train_size": size,
                        "scope": scope,
                        "quantity": quantity,
                        "alpha": ALPHA[size],
                        "alpha_of_scope": asked,
                        "nll_raw": 4.0,
                        "nll_calibrated": 3.1,
                        "miscalibration_area_raw": 0.21,
                        "miscalibration_area_calibrated": 0.03,
                        "ence_raw": 0.9,
                        "ence_calibrated": 0.2,
                        "crps_raw": 5.0,
                        "crps_calibrated": 4.0,
                        "n_members": 4,
                        "n_frames": 100,
                        "n_values": 100 if quantity.startswith("energy") else 28_800,
                        "reason": "",
                    }
                )
    return pd.DataFrame(rows)


def reliability() -> pd.DataFrame:
    from scipy.special import ndtr, ndtri

    rows, expected = [], np.linspace(0, 1, 21)
    for row in calibration().itertuples():
        for spread, scale in (("raw", 1.0), ("calibrated", row.alpha)):
            observed = 2 * ndtr(ndtri((1 + expected) / 2) * scale / row.alpha_of_scope) - 1
            ids = {name: getattr(row, name) for name in ("dataset", "model", "train_size", "scope", "quantity")}
            rows += [
                {**ids, "spread": spread, "expected": one, "observed": share}
                for one, share in zip(expected, observed, strict=True)
            ]
    return pd.DataFrame(rows)


def required() -> pd.DataFrame:
    row = {**IDS, "model": MODEL, "target_melting_point_error_K": 1.0, "force_mae_meV_per_A": 7.2, "ci_low": 5.1,
           "ci_high": 10.3, "n_points": 12, "exponent": 1.0, "reason": ""}  # fmt: skip
    return pd.DataFrame([row])


def phases() -> pd.DataFrame:
    rows = [
        {**IDS, "sampler": "reference", "phase": phase, "temperature_K": temperature_K, "n_sites": 384,
         "simulated_ps": 1000.0, "equilibration_ps": 40.0, "n_frames": 1920, "statistical_inefficiency": 6.0,
         "n_independent": 320, "density_g_per_cm3": 0.98 if phase == "solid" else 1.0, "enthalpy_meV": -440.0,
         "enthalpy_error_meV": 0.08, "crystalline_share": 0.97 if phase == "solid" else 0.01, "valid": True,
         "reason": ""}
        for phase in ("solid", "liquid")
        for temperature_K in TEMPERATURES_K
    ]  # fmt: skip
    return pd.DataFrame(rows)


def interfaces() -> pd.DataFrame:
    rows = [
        {**IDS, "sampler": "reference", "method": method, "cell": cell, "temperature_K": temperature_K,
         "n_sites": 384, "simulated_ps": 2500.0, "order_parameter": 4.1, "order_parameter_error": 0.1,
         "order_parameter_solid": 9.0, "order_parameter_liquid": 0.4, "anchor": 4.7, "delta_mu_meV": 0.6,
         "sampling_error_meV": 0.25, "melting_point_K": 277.3, "sampling_error_K": 1.2, "valid": True, "reason": ""}
        for method, cell, temperature_K in (
            ("pinning", "2x3x8", 280.0), ("pinning", "3x4x8", 280.0), ("coexistence", "2x3x8", 276.0),
        )
    ]  # fmt: skip
    return pd.DataFrame(rows)


def observables() -> pd.DataFrame:
    """Of the liquid: densities, and at 275 K a radial distribution that rises to a peak at 2.8 A."""
    r = np.arange(2.0, 8.0, 0.1)
    g = 1 / (1 + np.exp(-12 * (r - 2.6))) * (1 + 1.4 * np.exp(-((r - 2.8) ** 2) / 0.06) + 0.25 * np.cos(2.9 * r))
    rows = []
    for size, member in [(0, 0), *((size, member) for size in SIZES for member in MEMBERS)]:
        own = {**IDS, "model": MODEL if size else "reference", "train_size": size, "member": member}
        own |= {"phase": "liquid", "method": "direct" if size else "sampled", "ess": 0.5 if size else np.nan}
        shift = 0.01 * (MELTING_POINT_K - member_K(size, member)) if size else 0.0
        for temperature_K in (275.0, 295.0):
            at = own | {"temperature_K": temperature_K, "valid": True, "reason": ""}
            rows.append(at | {"observable": "density_g_per_cm3", "value": 1 + shift, "sampling_error": 0.002})
        rows += [
            own | {"temperature_K": 275.0, "valid": True, "reason": "", "observable": "rdf", "coordinate_A": x,
                   "value": y, "sampling_error": 0.01}
            for x, y in zip(r, g * (1 + shift * np.cos(3 * r)), strict=True)
        ]  # fmt: skip
    return pd.DataFrame(rows)


def tables() -> dict[str, pd.DataFrame]:
    """Every table, all of it valid."""
    return {
        "melting_point": melting_point(),
        "melting_point_summary": summary(),
        "melting_point_budget": budget(),
        "required_accuracy": required(),
        "calibration": calibration(),
        "reliability": reliability(),
        "delta_mu": delta_mu(),
        "phases": phases(),
        "interfaces": interfaces(),
        "observables": observables(),
    }


def partly_invalid() -> dict[str, pd.DataFrame]:
    """With 25 frames no member is valid, with 100 members 1 and 3 are not; no coexistence, no required accuracy."""
    found = tables()
    for name, columns in (("delta_mu", []), ("melting_point", ["melting_point_K", "sampling_error_K"])):
        table = found[name]
        bad = (table["train_size"] == 25) | ((table["train_size"] == 100) & table["member"].isin([1, 3]))
        table.loc[bad, ["valid", "reason"]] = [False, LOW_ESS]
        table.loc[bad, columns] = np.nan
    found["delta_mu"].loc[found["delta_mu"]["valid"] == False, "delta_mu_meV"] *= 3  # noqa: E712
    coexistence = found["melting_point"]["method"] == "coexistence"
    found["melting_point"].loc[coexistence, ["valid", "melting_point_K", "reason"]] = [False, np.nan, FROZEN]
    table = found["melting_point_summary"].astype({"covered_2sigma": object})
    numbers = ["melting_point_K", "committee_std_K", "committee_std_calibrated_K", "sampling_error_K"]
    table.loc[0, [*numbers, "covered_2sigma"]] = np.nan
    table.loc[0, ["n_valid", "reason"]] = [0, LOW_ESS]
    kept = [member_K(100, member) for member in (0, 2)]
    table.loc[1, ["n_valid", *numbers[:3]]] = [2, np.mean(kept), np.std(kept, ddof=1), 1.4 * np.std(kept, ddof=1)]
    found["melting_point_summary"] = table
    table = found["melting_point_budget"]
    unknown = table["component"] == "protocol_coexistence"
    table.loc[unknown, ["error_K", "valid", "reason"]] = [np.nan, False, FROZEN]
    found["required_accuracy"].loc[0, ["force_mae_meV_per_A", "ci_low", "ci_high", "exponent", "reason"]] = [
        *[np.nan] * 4,
        "2 points, of which a line needs 3",
    ]
    table = found["calibration"]
    table.loc[table["train_size"] == 25, ["alpha", "nll_calibrated", "reason"]] = [np.nan, np.nan, "a spread of zero"]
    table = found["reliability"]
    found["reliability"] = table[(table["scope"] == "holdout") & (table["train_size"] > 25)]
    found["calibration"] = found["calibration"][found["calibration"]["scope"] == "holdout"]
    return found


def own_samplers() -> dict[str, pd.DataFrame]:
    """No reference was sampled: the mean of each committee ran the MD for its own members."""
    found = tables()
    for name in ("delta_mu", "melting_point", "observables"):
        table = found[name]
        sampled = table[table["model"] == "reference"]
        own = [sampled.assign(model=f"sampler {MODEL}-n{size}") for size in SIZES]
        for rows, size in zip(own, SIZES, strict=True):
            if name == "delta_mu":
                rows["delta_mu_meV"] -= ENTROPY_meV_PER_K * OFFSET_K[size]
            elif name == "melting_point":
                rows["melting_point_K"] += OFFSET_K[size]
        found[name] = pd.concat([*own, table[table["model"] != "reference"]], ignore_index=True)
    empty = ["reference_melting_point_K", "reference_error_K", "covered_2sigma"]
    found["melting_point_summary"] = found["melting_point_summary"].drop(columns=empty)
    found["melting_point_summary"][empty] = np.nan
    found["melting_point_summary"]["reason"] = "no valid melting point of the reference to compare with"
    for name in ("phases", "interfaces"):
        found[name]["sampler"] = f"{MODEL}-n400"
    return found


def all_invalid() -> dict[str, pd.DataFrame]:
    """Nothing is valid, not even the pinned run."""
    found = tables()
    numbers = {"melting_point": ["melting_point_K", "sampling_error_K"], "delta_mu": ["delta_mu_meV"],
               "observables": ["value"], "phases": ["enthalpy_meV"], "interfaces": ["melting_point_K"],
               "melting_point_budget": ["error_K"]}  # fmt: skip
    for name, columns in numbers.items():
        found[name][columns] = np.nan
        found[name] = found[name].assign(valid=False, reason=FROZEN)
    empty = ["melting_point_K", "committee_std_K", "committee_std_calibrated_K", "sampling_error_K",
             "reference_melting_point_K", "reference_error_K", "covered_2sigma", "force_mae_meV_per_A",
             "protocol_error_K"]  # fmt: skip
    found["melting_point_summary"][empty] = np.nan
    found["melting_point_summary"] = found["melting_point_summary"].assign(n_valid=0, reason=FROZEN)
    found["required_accuracy"][["force_mae_meV_per_A", "ci_low", "ci_high", "exponent"]] = np.nan
    found["required_accuracy"] = found["required_accuracy"].assign(reason="no valid melting point")
    scores = [one for one in found["calibration"] if one.startswith(("alpha", "nll", "misc", "ence", "crps"))]
    found["calibration"][scores] = np.nan
    found["calibration"] = found["calibration"].assign(reason="a spread of zero")
    found["reliability"] = found["reliability"].iloc[:0]
    return found


def write(found: dict[str, pd.DataFrame], folder: Path) -> dict[str, Path]:
    """The tables as files."""
    paths = {name: folder / f"{name}.csv" for name in found}
    for name, table in found.items():
        table.to_csv(paths[name], index=False)
    return paths


def draw(found: dict[str, pd.DataFrame], folder: Path) -> list[Path]:
    """All figures from the tables, as SVG and PNG."""
    from longhot.report import melting_point_figures, rdf_figure, reliability_figure

    path = write(found, folder)
    names = ("melting_point", "melting_point_by_size", "reliability", "rdf")
    out = {name: [folder / f"{name}.svg", folder / f"{name}.png"] for name in names}
    melting_point_figures.draw(
        path["delta_mu"],
        path["melting_point"],
        path["melting_point_summary"],
        path["required_accuracy"],
        melting_point=out["melting_point"],
        by_size=out["melting_point_by_size"],
    )
    reliability_figure.draw(path["reliability"], path["calibration"], out["reliability"])
    rdf_figure.draw(path["observables"], out["rdf"])
    return [one for pair in out.values() for one in pair]
