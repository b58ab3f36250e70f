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
    digits: int = 3
    """Significant digits of its numbers."""


NO_ORDER = "The family has no such order."
NO_COMMITTEE = "There is one fit only, or the forces do not depend on data."
NOT_FOUND = "The search with the reference did not find it."
NO_LABEL = "The reference method gave no label for the frame."

BEYOND = "It lies beyond the time simulated."
AT_ONCE = "All failed at once: no time was simulated."
SEE_REASON = "See the reason in the same row."
NOT_REWEIGHTED = "The average was sampled, not reweighted."

AREA = "Between the observed and the expected share of errors, 0 at best, 0.5 at worst"
CRPS = "Continuous ranked probability score, in the unit of the quantity"

COMPONENTS = {
    "committee_calibrated": "calibrated spread",
    "committee_raw": "raw spread",
    "finite_committee": "mean of few members",
    "reweighting": "reweighting",
    "pinning": "pinned run",
    "protocol_coexistence": "coexistence check",
    "protocol_size": "cell size",
}
"""Parts of the error budget of a melting point, in reading order."""
METHODS = {
    "pinning": "interface pinning",
    "pinning+gibbs_helmholtz": "pinning and Gibbs-Helmholtz",
    "coexistence": "coexistence",
    "sampled": "sampling",
    "direct": "direct reweighting",
    "cumulant": "cumulant expansion",
    "reweighting": "reweighting",
    "staged": "staged integration",
}
"""Ways to a number in words."""

SCOPES = {"holdout": "hold-out", "md": "MD"}
"""Frames that a calibration is judged by, in words."""

STRATEGIES = {
    "random": "random choice",
    "diverse": "farthest points",
    "uncertain_frame": "committee spread by frame",
    "uncertain_atom": "committee spread by atom",
    "uncertain_diverse": "committee spread with diversity",
}
"""Ways to choose frames, in words."""

COLUMNS = {
    "strategy": Column("strategy"),
    "metric": Column("compared by"),
    "step": Column("step", whole=True),
    "estimated_meV_per_A": Column("estimated", "meV/Å", "Uncertainty of the force on the least sure atom"),
    "true_meV_per_A": Column("true", "meV/Å", "Largest force error on an atom", "The reference was not asked."),
    "threshold_meV_per_A": Column("threshold", "meV/Å"),
    "kind": Column("kind", meaning="call: the frame was learnt; audit: labelled for the record alone"),
    "n_initial": Column("initial frames", whole=True),
    "n_calls": Column("calls", whole=True),
    "share_saved": Column("saved", meaning="Share of the frames so far that the reference did not have to compute"),
    "effect": Column("effect", meaning="Errors: ratio to random choice; survival: difference", empty=SEE_REASON),
    "round": Column("round", whole=True),
    "n_labels": Column("labels", whole=True),
    "n_reference_calls": Column("reference calls", meaning="Of the loop, failed ones included", whole=True),
    "hot_force_mae_meV_per_A": Column("hot force MAE", "meV/Å", empty="There is no hot test set."),
    "n_md_frames": Column("MD frames", meaning="That the reference computed again to judge the round", whole=True),
    "chosen_force_mae_meV_per_A": Column("error on chosen", "meV/Å", "Before the refit", "Nothing was chosen."),
    "chosen_spread_meV_per_A": Column("spread on chosen", "meV/Å", "Before the refit", "Nothing was chosen."),
    "rank": Column("rank", meaning="Of the structures known, from the lowest energy up", whole=True),
    "energy_meV": Column("energy", "meV", "By the reference, above the lowest of all"),
    "model_energy_meV": Column("by the model", "meV", "Above the first of the round", "The reference searched."),
    "distance_A": Column("distance", "Å", "Root mean square difference of sorted distances", NOT_FOUND),
    "reference_rank": Column("reference's rank", empty=NOT_FOUND, whole=True),
    "found_by_reference": Column("found by the reference"),
    "n_hops": Column("hops", meaning="Of all rounds so far", whole=True),
    "n_chosen_failed": Column("failed labels", whole=True),
    "md_wall_s": Column("MD", "s"),
    "label_wall_s": Column("labels", "s"),
    "evaluation_wall_s": Column("judging", "s"),
    "choose_wall_s": Column("choosing", "s", "Part of the rest: predicting for the candidates, and choosing"),
    "overhead_wall_s": Column("rest", "s", "Beyond MD, labels, fits and judging"),
    "core_s": Column("core time", "s", "Of the whole round; each job runs on one core"),
    "error_over_spread": Column(
        "error over spread", meaning="Root mean square force error of the committee over its spread, on test; 1: honest"
    ),
    "hot_error_over_spread": Column(
        "hot error over spread", meaning="The same on the hot test set", empty="There is no hot test set."
    ),
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
    "statistic": Column("χ²", meaning="Log-rank statistic, chi-squared with one degree of freedom", empty=SEE_REASON),
    "p_value": Column(
        "p", meaning="Chance of so large a difference, or agreement, where there is none", empty=SEE_REASON
    ),
    "p_value_from": Column("p from", empty=SEE_REASON),
    "p_value_adjusted": Column(
        "p adjusted", meaning="For all tests of the same comparison on the dataset (Holm)", empty=SEE_REASON
    ),
    "against_n_failed": Column("failed", meaning="In the other group"),
    "against_n_replicas": Column("replicas", meaning="In the other group"),
    "over": Column("over", meaning="What is put in order"),
    "x": Column("order by"),
    "y": Column("and by"),
    "kendall_tau": Column(
        "τ", meaning="Kendall's rank correlation: 1 alike, 0 unrelated, −1 reversed", empty=SEE_REASON
    ),
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
    "sampler": Column("sampler", meaning="What ran the MD: the reference, or a fitted model"),
    "phase": Column("phase"),
    "method": Column("method"),
    "member": Column("member", meaning="Seed of the fit", whole=True),
    "valid": Column("valid", meaning="Whether the number may be used; if not, the reason says why"),
    "cell": Column("cell", meaning="Unit cells along each axis"),
    "n_sites": Column("sites"),
    "n_frames": Column("frames"),
    "equilibration_ps": Column("equilibration", "ps", "Left out at the start", SEE_REASON),
    "statistical_inefficiency": Column("inefficiency", "frames", "Frames for one independent number", SEE_REASON),
    "n_independent": Column("independent frames", empty=SEE_REASON),
    "density_g_per_cm3": Column("density", "g/cm³", empty=SEE_REASON, digits=4),
    "enthalpy_meV": Column("enthalpy", "meV", "For one molecule", SEE_REASON, digits=5),
    "enthalpy_error_meV": Column("its error", "meV", "One standard deviation", SEE_REASON),
    "enthalpy_of_melting_meV": Column("enthalpy of melting", "meV", "Liquid minus solid, for one molecule", SEE_REASON),
    "crystalline_share": Column(
        "crystalline", meaning="Share of the molecules that are ice (CHILL+)", empty=SEE_REASON
    ),
    "order_parameter": Column("Q", meaning="Order parameter of the interface run, its mean", empty=SEE_REASON),
    "order_parameter_error": Column("error of Q", meaning="One standard deviation", empty=SEE_REASON),
    "order_parameter_solid": Column("Q, solid", meaning="Order parameter of the bulk solid", empty=SEE_REASON),
    "order_parameter_liquid": Column("Q, liquid", meaning="Order parameter of the bulk liquid", empty=SEE_REASON),
    "anchor": Column("anchor", meaning="The order parameter that the bias pulls to", empty="The run has no bias."),
    "delta_mu_meV": Column("Δμ", "meV", "μ(solid) − μ(liquid), for one molecule: negative below melting", SEE_REASON),
    "sampling_error_meV": Column("sampling error", "meV", "One standard deviation", SEE_REASON),
    "ess_solid": Column("ESS, solid", meaning="Effective share of the decorrelated frames", empty=NOT_REWEIGHTED),
    "ess_liquid": Column("ESS, liquid", meaning="Effective share of the decorrelated frames", empty=NOT_REWEIGHTED),
    "ess": Column("ESS", meaning="Effective share of the decorrelated frames", empty=NOT_REWEIGHTED),
    "melting_point_K": Column("melting point", "K", empty=SEE_REASON, digits=4),
    "sampling_error_K": Column("sampling error", "K", "One standard deviation", SEE_REASON),
    "entropy_of_melting_meV_per_K": Column("entropy of melting", "meV/K", "For one molecule", SEE_REASON),
    "committee_std_K": Column("raw spread", "K", "Standard deviation over the members", SEE_REASON),
    "committee_std_calibrated_K": Column(
        "calibrated spread", "K", "The raw spread times the α of energies", SEE_REASON
    ),
    "reference_melting_point_K": Column(
        "reference", "K", "Its melting point by interface pinning", SEE_REASON, digits=4
    ),
    "reference_error_K": Column("its error", "K", "Common to the models, so that it cancels", SEE_REASON),
    "covered_2sigma": Column("within 2 σ", meaning="Of the calibrated spread and the sampling", empty=SEE_REASON),
    "n_members": Column("members"),
    "n_valid": Column("valid members"),
    "protocol_error_K": Column("protocol", "K", "What other cells and the coexistence check change", SEE_REASON),
    "component": Column("part of the error"),
    "error_K": Column("error", "K", "One standard deviation", SEE_REASON),
    "target_melting_point_error_K": Column("wanted", "K", "Error of the melting point", whole=True),
    "exponent": Column("exponent p", meaning="Error of the melting point ∝ (force MAE)^p", empty=SEE_REASON),
    "scope": Column("scope", meaning="Held-out frames, or frames of MD"),
    "quantity": Column("quantity"),
    "energy_meV_per_atom": Column("energies", "meV/atom"),
    "force_per_atom_meV_per_A": Column("forces (spread by atom)", "meV/Å"),
    "force_per_frame_meV_per_A": Column("forces (spread by frame)", "meV/Å"),
    "stress_GPa": Column("stresses", "GPa"),
    "alpha": Column("α", meaning="Factor for the spread, fitted on other hold-out frames", empty=SEE_REASON),
    "alpha_of_scope": Column("α asked for", meaning="What these frames themselves ask for", empty=SEE_REASON),
    "nll_raw": Column("NLL, raw", meaning="Negative log likelihood", empty=SEE_REASON),
    "nll_calibrated": Column("NLL, calibrated", meaning="Negative log likelihood", empty=SEE_REASON),
    "miscalibration_area_raw": Column("area, raw", meaning=AREA, empty=SEE_REASON),
    "miscalibration_area_calibrated": Column("area, calibrated", meaning=AREA, empty=SEE_REASON),
    "ence_raw": Column("ENCE, raw", meaning="Expected normalized calibration error", empty=SEE_REASON),
    "ence_calibrated": Column("ENCE, calibrated", meaning="Expected normalized calibration error", empty=SEE_REASON),
    "crps_raw": Column("CRPS, raw", meaning=CRPS, empty=SEE_REASON),
    "crps_calibrated": Column("CRPS, calibrated", meaning=CRPS, empty=SEE_REASON),
    "n_values": Column("values", meaning="Errors that the scores are over; those of one frame are correlated"),
    "spread": Column("spread", meaning="As the committee gives it, or calibrated"),
    "expected": Column("expected share", meaning="Of the errors within an interval of the spread"),
    "observed": Column("observed share", meaning="Of the errors within the same interval"),
    "observable": Column("observable"),
    "coordinate_A": Column("r", "Å", empty="The observable is one number."),
    "value": Column("value", empty=SEE_REASON, digits=4),
    "sampling_error": Column("sampling error", meaning="One standard deviation", empty=SEE_REASON),
    "rdf": Column("radial distribution"),
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


def method_in_words(method: str) -> str:
    """A way to a number in words; both ways where the two phases took different ones."""
    return METHODS.get(method, method.replace("+", " and "))
