"""What the columns of the tables mean: headings with units, and why a cell may be empty."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Column:
    """Heading of one column."""

    label: str
    unit: str = ""
    meaning: str = ""
    empty: str = ""
    """Why a cell of this column may be empty."""
    whole: bool = False
    """Whether its numbers are counts or settings, shown without decimals where they have none."""


NO_ORDER = "The family has no such order."
NO_COMMITTEE = "There is one fit only, or the forces do not depend on data."
NO_LABEL = "The reference method gave no label for the frame."

BEYOND = "It lies beyond the time simulated."
AT_ONCE = "All failed at once: no time was simulated."
UNTESTED = "See the reason in the same row."

COLUMNS = {
    "max_L": Column("max L", meaning="Highest order of the equivariant messages", empty=NO_ORDER, whole=True),
    "correlation": Column(
        "ν", meaning="Correlation order; the body order of one layer is ν + 1", empty=NO_ORDER, whole=True
    ),
    "train_size": Column("N", "frames", "Training frames", whole=True),
    "energy_mae_meV_per_atom": Column("energy MAE", "meV/atom", "Mean absolute energy error"),
    "force_mae_meV_per_A": Column("force MAE", "meV/Å", "Mean absolute error of force components", NO_LABEL),
    "force_rmse_meV_per_A": Column("force RMSE", "meV/Å", "Root mean square error of force components"),
    "n_test_frames": Column("test frames"),
    "train_wall_s": Column("fit", "s", "Wall time of the fit"),
    "converged": Column("converged", meaning="No: the validation error still fell over the last fifth of the steps"),
    "slope": Column("slope s", meaning="Error ∝ N^s", empty="Too few points for a slope."),
    "slope_ci_low": Column("s, 2.5 %", empty="Too few points for an interval."),
    "slope_ci_high": Column("s, 97.5 %", empty="Too few points for an interval."),
    "n_points": Column("points", meaning="Fits that the slope goes through"),
    "temperature_K": Column("T", "K", "Thermostat temperature", whole=True),
    "failure_time_ps": Column("failed at", "ps", empty="The trajectory did not fail."),
    "simulated_ps": Column("simulated", "ps"),
    "wall_s": Column("wall time", "s"),
    "n_replicas": Column("replicas"),
    "n_failed": Column("failed"),
    "survival_at_end": Column("survival", meaning="Kaplan-Meier estimate at the end of the protocol"),
    "ci_low": Column("low", meaning="Lower end of the 95 % interval", empty="No interval can be given."),
    "ci_high": Column("high", meaning="Upper end of the 95 % interval", empty="No interval can be given."),
    "median_survival_ps": Column("median survival", "ps", empty="More than half of the replicas survived."),
    "median_ci_low_ps": Column("median, low", "ps", "Lower end of the 95 % interval", "The interval has no lower end."),
    "median_ci_high_ps": Column("median, high", "ps", "Upper end of the 95 % interval", BEYOND),
    "failure_rate_per_ns": Column("failure rate", "1/ns", "Failures over the time simulated", AT_ONCE),
    "failure_rate_ci_low": Column("rate, low", "1/ns", "Lower end of the 95 % interval (Garwood)", AT_ONCE),
    "failure_rate_ci_high": Column("rate, high", "1/ns", "Upper end of the 95 % interval (Garwood)", AT_ONCE),
    "seeds_p_value": Column(
        "p of seeds",
        meaning="Log-rank test of whether the fits of all seeds live alike",
        empty="One fit, or no failure.",
    ),
    "comparison": Column("compares", meaning="With the control, between models, or between training sizes"),
    "n_seeds": Column("seeds", meaning="Fits whose trajectories stand together"),
    "against_model": Column("against", meaning="The other group: its model, or reference for the control"),
    "against_train_size": Column("against N", "frames", "Training frames of the other group", whole=True),
    "statistic": Column("χ²", meaning="Log-rank statistic, chi-squared with one degree of freedom", empty=UNTESTED),
    "p_value": Column(
        "p", meaning="Chance of so large a difference, or agreement, where there is none", empty=UNTESTED
    ),
    "p_value_from": Column("p from", empty=UNTESTED),
    "p_value_adjusted": Column(
        "p adjusted", meaning="For all tests of the same comparison on the dataset (Holm)", empty=UNTESTED
    ),
    "against_n_failed": Column("failed", meaning="In the other group"),
    "against_n_replicas": Column("replicas", meaning="In the other group"),
    "over": Column("over", meaning="What is put in order"),
    "x": Column("order by"),
    "y": Column("and by"),
    "kendall_tau": Column("τ", meaning="Kendall's rank correlation: 1 alike, 0 unrelated, −1 reversed", empty=UNTESTED),
    "time_ps": Column("time", "ps", "Time of the frame in its trajectory"),
    "reference_status": Column("label", meaning="ok, or why the reference method gave none"),
    "energy_error_meV_per_atom": Column("energy error", "meV/atom", "Model minus reference", NO_LABEL),
    "committee_force_std_meV_per_A": Column("committee σ", "meV/Å", empty=NO_COMMITTEE),
    "static_force_mae_meV_per_A": Column("static force MAE", "meV/Å", "On the test set", "The control has no error."),
    "md_force_mae_meV_per_A": Column("MD force MAE", "meV/Å", "On frames of its own MD", "No frame has a label."),
    "md_force_mae_p95_meV_per_A": Column("95th percentile", "meV/Å", "Over frames of MD", "No frame has a label."),
    "error_ratio": Column("MD / static", meaning="Ratio of the two errors", empty="One of the errors is missing or 0."),
    "n_rechecked": Column("rechecked", "frames"),
    "md_force_mae_before_failure_meV_per_A": Column("before failures", "meV/Å", empty="Nothing failed."),
    "n_before_failure": Column("before failures", "frames"),
    "md_force_mae_highest_spread_meV_per_A": Column(
        "at highest spread", "meV/Å", "On frames picked for their committee spread", NO_COMMITTEE
    ),
    "n_highest_spread": Column("at highest spread", "frames"),
    "run_by": Column("run by", meaning="The method that ran the control", empty="The model ran it itself."),
    "rechecked_by": Column("rechecked by", meaning="The method that computed the visited frames again"),
    "choice": Column("chosen", meaning="Why the frame was computed again"),
    "attempts": Column("attempts", meaning="Attempts that the reference method took"),
    "atoms": Column("atoms", meaning="Indices of the atoms that did it, from 0", empty="No atom is named."),
    "n_model_failed": Column("no prediction", "frames", "Frames for which the model gave no numbers"),
    "n_test_frames_failed": Column("no prediction", "frames", "Test frames for which the model gave no numbers"),
    "n_timeout": Column("timeouts", meaning="Stopped by the wall-time limit, counted as censored"),
    "end_ps": Column("until", "ps", "Time at which the survival is taken"),
    "median_lower_bound_ps": Column("median at least", "ps", empty="The median itself is known."),
    "interval_from": Column("interval from"),
    "reason": Column("reason", empty="Nothing to say."),
    "cause": Column("cause", empty="The trajectory did not fail."),
    "message": Column("message", empty="Nothing failed."),
    "n_reference_failed": Column("no label", "frames", "Frames that the reference method could not compute"),
}

UNITS = {
    "_meV_per_atom": "meV/atom",
    "_meV_per_A": "meV/Å",
    "_eV_per_atom": "eV/atom",
    "_eV_per_A": "eV/Å",
    "_meV": "meV",
    "_eV": "eV",
    "_ps": "ps",
    "_fs": "fs",
    "_MB": "MB",
    "_A": "Å",
    "_K": "K",
    "_s": "s",
}


def column(name: str) -> Column:
    """Heading of any column: a known one, or made from the name and the unit at its end."""
    if name in COLUMNS:
        return COLUMNS[name]
    for suffix, unit in UNITS.items():
        if name.endswith(suffix):
            return Column(name.removesuffix(suffix).replace("_", " "), unit)
    return Column(name.removeprefix("n_").replace("_", " "), whole=name.startswith("n_"))
