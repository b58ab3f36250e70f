"""What a row of each table is about, and what its numbers may be off by."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from longhot.config import REFERENCE_MODEL
from longhot.reproduction import bars

if TYPE_CHECKING:
    import pandas as pd

Bar = str | tuple[str, str]
"""Column of a standard error, or the columns of both ends of a 95 % interval."""


def _as_it_is(table: pd.DataFrame) -> pd.DataFrame:
    return table


@dataclass(frozen=True)
class Contract:
    """How two tables of the same name are laid side by side."""

    keys: tuple[str, ...]
    """Columns that say what a row is about."""
    repeats: tuple[str, ...] = ()
    """Columns that number repeats of the same thing, the coarsest first. Their spread is an error bar."""
    bars: Mapping[str, Bar] = field(default_factory=dict)
    """Error bars that stand in the table itself, by the column of the number."""
    elsewhere: Mapping[str, str] = field(default_factory=dict)
    """Columns computed from the rows of another table, by whose name they are judged."""
    by_chance: str = ""
    """A key; chance decides which rows there are that have one: a failure has frames before it, survival has none."""
    prepare: Callable[[pd.DataFrame], pd.DataFrame] = _as_it_is
    """Adds the columns that the table does not hold as such."""


COMMON = "common_error"
"""A standard error that all rows of a group share, so that their number does not lessen it."""
MEAN_ERROR = "mean_error"
"""A standard error that does not stand in the table as one column."""
SHARE_CI = ("share_low", "share_high")
"""Ends of an interval that do not stand in the table."""


def _estimates(table: pd.DataFrame) -> pd.DataFrame:
    """melting_point: own runs apart from corrections to the sampler's, which share the error of its pinned run."""
    own = table["method"].isin(["pinning", "coexistence"])
    table = table.assign(estimate=table["method"].where(own, "correction"))
    return _with_sampler_error(table, "sampling_error_K", table["method"] == "pinning", ["dataset"], ~own)


def _corrections(table: pd.DataFrame) -> pd.DataFrame:
    """delta_mu: members are corrections to the sampler, whose error they share."""
    own = _of_sampler(table)
    return _with_sampler_error(table, "sampling_error_meV", own, ["dataset", "temperature_K"], ~own)


def _of_sampler(table: pd.DataFrame) -> pd.Series:
    return (table["model"] == REFERENCE_MODEL) | table["model"].str.startswith("sampler ")


def _with_sampler_error(
    table: pd.DataFrame, error: str, source: pd.Series, by: list[str], shared: pd.Series
) -> pd.DataFrame:
    """Give the rows of ``shared`` the largest error of those samplers' rows that are alike in the columns ``by``."""
    import pandas as pd

    samplers = table[source & _of_sampler(table)]
    largest = pd.to_numeric(samplers[error]).groupby([samplers[name] for name in by]).max().rename(COMMON)
    joined = table.join(largest, on=by)
    return joined.assign(**{COMMON: joined[COMMON].where(shared)})


def _summary_errors(table: pd.DataFrame) -> pd.DataFrame:
    """melting_point_summary: error of the mean over the members, its sampling and the reference's pinned run."""
    import numpy as np
    import pandas as pd

    names = ("sampling_error_K", "reference_error_K", "committee_std_K", "n_valid")
    sampling, pinned, spread, n = (pd.to_numeric(table[name]) for name in names)
    return table.assign(**{MEAN_ERROR: np.sqrt(sampling**2 + pinned.fillna(0) ** 2 + spread**2 / n.clip(lower=1))})


def _ice_like(table: pd.DataFrame) -> pd.DataFrame:
    """phases: Wilson's interval of the ice-like share, as if of one frame alone, since the sites of all are alike."""
    import pandas as pd

    shares, sites = (pd.to_numeric(table[name]) for name in ("crystalline_share", "n_sites"))
    filled = shares.fillna(0)
    widths = [bars.of_share(round(share * n), n, bars.LEVEL) for share, n in zip(filled, sites, strict=True)]
    lows, highs = (pd.Series(ends, table.index) for ends in zip(*widths, strict=True))
    return table.assign(**dict(zip(SHARE_CI, (shares - lows, shares + highs), strict=True)))


def _runs(table: pd.DataFrame) -> pd.DataFrame:
    """active_learning_online: one row a run, since its steps are no repeats: calls, audits, and their true error."""
    import pandas as pd

    rows = []
    for (dataset, model), steps in table.groupby(["dataset", "model"], sort=False):
        audits = pd.to_numeric(steps.loc[steps["kind"] == "audit", "true_meV_per_A"])
        rows.append(
            {
                "dataset": dataset,
                "model": model,
                "n_calls": (steps["kind"] == "call").sum(),
                "n_audits": len(audits),
                "true_meV_per_A": audits.mean(),
                MEAN_ERROR: audits.sem(),
                "outcome": steps["outcome"].iloc[-1],
            }
        )
    return pd.DataFrame(rows)


FIT = ("dataset", "model", "train_size")
GROUP = (*FIT, "temperature_K")
CI = ("ci_low", "ci_high")

CONTRACTS = {
    "learning_curves": Contract((*FIT, "test_set"), ("seed",)),
    "learning_curve_slopes": Contract(
        ("dataset", "model", "test_set"), bars={"slope": ("slope_ci_low", "slope_ci_high")}
    ),
    "stability": Contract(GROUP, ("seed", "replica"), elsewhere={"failure_time_ps": "survival"}),
    "survival": Contract(
        GROUP,
        bars={
            "survival_at_end": CI,
            "failure_rate_per_ns": ("failure_rate_ci_low", "failure_rate_ci_high"),
        },
        # Whether there is a median hangs on one trajectory more or less; the rate and the survival tell the same.
        elsewhere=dict.fromkeys(
            (
                *("end_ps", "simulated_ps", "seeds_p_value", "median_survival_ps", "median_lower_bound_ps"),
                *("median_ci_low_ps", "median_ci_high_ps"),
            ),
            "stability",
        ),
    ),
    "survival_tests": Contract(
        ("dataset", "temperature_K", "comparison", "model", "train_size", "against_model", "against_train_size"),
        elsewhere=dict.fromkeys(("statistic", "p_value", "p_value_adjusted"), "survival"),
    ),
    "recheck": Contract(
        (*GROUP, "choice", "reference"),
        ("seed", "replica"),
        elsewhere={"time_ps": "stability"},
        by_chance="choice",
    ),
    "robustness": Contract(
        GROUP,
        elsewhere={
            "static_force_mae_meV_per_A": "learning_curves",
            **dict.fromkeys(
                (
                    *("md_force_mae_meV_per_A", "md_force_mae_p95_meV_per_A", "error_ratio"),
                    *("md_force_mae_before_failure_meV_per_A", "md_force_mae_highest_spread_meV_per_A"),
                ),
                "recheck",
            ),
        },
    ),
    "rank_agreement": Contract(
        ("dataset", "temperature_K", "model", "train_size", "over", "x", "y"),
        bars={"kendall_tau": CI},
        elsewhere={"p_value": "survival"},
    ),
    "melting_point": Contract(
        (*FIT, "estimate"), ("member",), bars={"melting_point_K": "sampling_error_K"}, prepare=_estimates
    ),
    "melting_point_summary": Contract(
        FIT,
        bars={"melting_point_K": MEAN_ERROR, "reference_melting_point_K": "reference_error_K"},
        elsewhere={"force_mae_meV_per_A": "calibration", "protocol_error_K": "melting_point"},
        prepare=_summary_errors,
    ),
    "melting_point_budget": Contract((*FIT, "component"), elsewhere={"error_K": "melting_point"}),
    "required_accuracy": Contract(
        ("dataset", "model", "target_melting_point_error_K"), bars={"force_mae_meV_per_A": CI}
    ),
    "delta_mu": Contract(GROUP, ("member",), bars={"delta_mu_meV": "sampling_error_meV"}, prepare=_corrections),
    "interfaces": Contract(
        ("dataset", "sampler", "method", "cell", "temperature_K"),
        bars={
            "order_parameter": "order_parameter_error",
            "delta_mu_meV": "sampling_error_meV",
            "melting_point_K": "sampling_error_K",
        },
    ),
    "phases": Contract(
        ("dataset", "sampler", "phase", "temperature_K"),
        bars={"enthalpy_meV": "enthalpy_error_meV", "crystalline_share": SHARE_CI},
        elsewhere={"density_g_per_cm3": "observables"},
        prepare=_ice_like,
    ),
    # Functions of a distance stand at the temperature nearest to the melting point alone, which chance decides.
    "observables": Contract(
        (*GROUP, "phase", "observable", "coordinate_A"),
        ("member",),
        bars={"value": "sampling_error"},
        by_chance="coordinate_A",
    ),
    "calibration": Contract((*FIT, "scope", "quantity")),
    "reliability": Contract((*FIT, "scope", "quantity", "spread", "expected"), elsewhere={"observed": "calibration"}),
    "active_learning": Contract(("dataset", "model", "strategy", "round"), ("seed",)),
    "active_learning_comparison": Contract(
        ("dataset", "model", "strategy", "against", "metric", "n_labels"),
        bars={"effect": CI},
        elsewhere={"p_value": "active_learning", "p_value_adjusted": "active_learning"},
    ),
    "active_learning_online": Contract(("dataset", "model"), bars={"true_meV_per_A": MEAN_ERROR}, prepare=_runs),
    "dataset_map": Contract(
        ("dataset", "kind", "model", "train_size", "temperature_K", "phase"),
        ("seed", "replica"),
        elsewhere=dict.fromkeys(("frame", "time_ps", "component_1", "component_2"), "training_reach"),
        by_chance="kind",
    ),
    "training_reach": Contract(
        (*GROUP, "phase"), bars={"kendall_tau": CI}, elsewhere={"share_beyond": "training_reach"}, by_chance="model"
    ),
    "structure_search": Contract(
        ("dataset", "model", "round", "reference_rank"),
        ("seed",),
        elsewhere={"rank": "structure_search"},
        by_chance="model",
    ),
}

COSTS = re.compile(r"(^|_)(wall|core)_s$")
"""Columns of times, which no two runs share."""
NOISE = re.compile(
    r"(.*_)?error(_K|_meV)?|committee_std\w*|ess(_solid|_liquid)?|statistical_inefficiency|n_independent"
    r"|alpha(_of_scope)?|(nll|crps|ence|miscalibration_area)_(raw|calibrated)"
)
"""Columns of error bars, and of how well a spread or a sample serves: numbers about noise, and noisy themselves."""
SCORES = re.compile(r"(ence|miscalibration_area)_(raw|calibrated)")
"""Those of them that are 0 at best."""
OUTCOMES = frozenset(
    {
        *("outcome", "valid", "converged", "covered_2sigma", "reference_status", "model_status"),
        *("found_by_reference", "run_by", "rechecked_by"),
    }
)
"""Columns of words that are results: a change of one is named. Other words are remarks."""
