"""What the columns of the tables mean: headings with units, and why a cell may be empty."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Missing:
    """Why a cell is empty: the type that stands in it, and a sentence."""

    kind: str
    why: str


UNSUPPORTED, NOT_CONVERGED, EXPLODED = "unsupported element", "not converged", "exploded"
NOT_RUN, NOT_VALID = "not run", "not valid"
"""Types of the reasons for which a number is missing."""

NOT_STATED = Missing("not stated", "The file holds nothing here.")
"""Of a column that is filled wherever it has a meaning."""


@dataclass(frozen=True)
class Column:
    """Heading of one column."""

    label: str
    unit: str = ""
    meaning: str = ""
    empty: Missing = NOT_STATED
    """Why a cell of this column may be empty."""
    whole: bool = False
    """Whether its numbers are counts or settings, shown without decimals where they have none."""
    digits: int = 3
    """Significant digits of its numbers."""
    better: Literal["", "lower", "higher"] = ""
    """Which way is good, where one is."""
    over: tuple[str, ...] = ()
    """Columns that count the frames, replicas or fits behind the number: the first that a table has."""


NO_ORDER = Missing("n/a", "The family has no such order.")
NOT_RECHECKED = Missing("n/a", "The frame was not computed again.")
NO_COMMITTEE = Missing("n/a", "There is one fit only, or the forces do not depend on data.")
NOT_FOUND = Missing("n/a", "The search with the reference did not find it.")
NO_MD = Missing("n/a", "A frame of the data set, which no MD visited.")
NO_MODEL = Missing("n/a", "A frame of the data set, or a comparison over the fits of all models.")
NO_FIT = Missing("n/a", "There was no fit, or it came to no end.")
NO_LABEL = Missing("no label", "There is no label, or no prediction, to take an error from.")

BEYOND = Missing("n/a", "It lies beyond the time simulated.")
AT_ONCE = Missing("n/a", "All failed at once: no time was simulated.")
SEE_REASON = Missing("no number", "The reason in the row says why, where it is known.")
NO_INTERVAL = Missing("n/a", "No interval can be given.")
NO_WIDTH = Missing("n/a", "Too few, or too alike, to tell an interval from.")
NOT_REWEIGHTED = Missing("n/a", "The average was sampled, not reweighted.")

EXACT = "exact: 95 % or more"
"""How far an exact interval of counts covers the truth."""
EXACT_SCORES = f"of a survival {EXACT}, as of a τ over few fits"

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
    "dataset": Column("dataset", meaning="Name of the dataset in the config; its card stands under Data"),
    "model": Column(
        "model",
        meaning="Name of the model in the config; reference is the control, the reference method itself",
        empty=NO_MODEL,
    ),
    "family": Column("family", meaning="Kind of model; nonml learns nothing"),
    "test_set": Column(
        "test set", meaning="Frames that no fit has seen; their number and conditions stand in the dataset's card"
    ),
    "seed": Column(
        "seed",
        meaning="Seed of the fit: of its training frames, first weights and order of batches",
        empty=NO_MD,
        whole=True,
    ),
    "replica": Column(
        "replica",
        meaning="Number of the trajectory, from 0; each starts from another frame or other velocities",
        empty=NO_MD,
        whole=True,
    ),
    "outcome": Column(
        "outcome",
        meaning="What ended the trajectory: its protocol (completed), the time limit (timeout, censored), or a failure",
        empty=Missing("n/a", "The run went on."),
    ),
    "reference": Column("reference", meaning="The method that computed the frame again, as named in the config"),
    "model_status": Column("model", meaning="ok, or why the model gave no numbers for the frame"),
    "start_index": Column(
        "start frame", meaning="Which frame of the starting set the trajectory began from, from 0", whole=True
    ),
    "against": Column("against", meaning="The strategy that it is compared with"),
    "strategy": Column("strategy", meaning="How the frames to label are chosen"),
    "metric": Column("compared by", meaning="The column that is compared"),
    "step": Column("step", meaning="MD step", whole=True),
    "estimated_meV_per_A": Column("estimated", "meV/Å", "Uncertainty of the force on the least sure atom"),
    "true_meV_per_A": Column(
        "true",
        "meV/Å",
        "Largest force error on an atom",
        Missing("not run", "The reference was not asked."),
        better="lower",
    ),
    "threshold_meV_per_A": Column("threshold", "meV/Å", "Uncertainty beyond which the reference is called"),
    "kind": Column("kind", meaning="call: the frame was learnt; audit: labelled for the record alone"),
    "n_initial": Column("initial frames", meaning="Frames that the run began with", whole=True),
    "n_calls": Column("calls", meaning="Calls of the reference so far", whole=True),
    "share_saved": Column(
        "saved", meaning="Share of the frames so far that the reference did not have to compute", better="higher"
    ),
    "effect": Column(
        "effect", meaning="Errors: ratio to random choice; survival: difference", empty=SEE_REASON, over=("n_seeds",)
    ),
    "round": Column("round", meaning="0 is the fit to the initial frames", whole=True),
    "n_labels": Column(
        "labels", meaning="Labelled frames that the round was fitted to, the initial ones included", whole=True
    ),
    "n_reference_calls": Column(
        "reference calls", meaning="Of the loop, failed ones included", whole=True, better="lower"
    ),
    "hot_force_mae_meV_per_A": Column(
        "hot force MAE",
        "meV/Å",
        "Mean absolute error of force components on the hotter test set",
        Missing("not run", "There is no hot test set."),
        better="lower",
    ),
    "n_md_frames": Column("MD frames", meaning="That the reference computed again to judge the round", whole=True),
    "chosen_force_mae_meV_per_A": Column(
        "error on chosen", "meV/Å", "Before the refit", Missing("n/a", "Nothing was chosen."), better="lower"
    ),
    "chosen_spread_meV_per_A": Column(
        "spread on chosen", "meV/Å", "Before the refit", Missing("n/a", "Nothing was chosen.")
    ),
    "rank": Column("rank", meaning="Of the structures known, from the lowest energy up", whole=True),
    "energy_meV": Column("energy", "meV", "By the reference, above the lowest of all"),
    "model_energy_meV": Column(
        "by the model", "meV", "Above the first of the round", Missing("n/a", "The reference searched.")
    ),
    "distance_A": Column("distance", "Å", "Root mean square difference of sorted distances", NOT_FOUND),
    "reference_rank": Column(
        "reference's rank",
        meaning="Rank of the same structure in the search with the reference",
        empty=NOT_FOUND,
        whole=True,
    ),
    "found_by_reference": Column(
        "found by the reference", meaning="Whether minima hopping with the reference itself found the structure"
    ),
    "n_hops": Column("hops", meaning="Of all rounds so far", whole=True),
    "n_chosen_failed": Column(
        "failed labels", meaning="Chosen frames that the reference method could not label", whole=True
    ),
    "md_wall_s": Column("MD", "s", "Wall time of the MD that frames are chosen from"),
    "label_wall_s": Column("labels", "s", "Wall time of the labels"),
    "evaluation_wall_s": Column("judging", "s", "Wall time of judging the round"),
    "choose_wall_s": Column("choosing", "s", "Part of the rest: predicting for the candidates, and choosing"),
    "overhead_wall_s": Column("rest", "s", "Beyond MD, labels, fits and judging"),
    "core_s": Column("core time", "s", "Of the whole round; each job runs on one core"),
    "error_over_spread": Column(
        "error over spread", meaning="Root mean square force error of the committee over its spread, on test; 1: honest"
    ),
    "hot_error_over_spread": Column(
        "hot error over spread",
        meaning="The same on the hot test set",
        empty=Missing("not run", "There is no hot test set."),
    ),
    "max_L": Column("max L", meaning="Highest order of the equivariant messages", empty=NO_ORDER, whole=True),
    "correlation": Column(
        "ν", meaning="Correlation order; the body order of one layer is ν + 1", empty=NO_ORDER, whole=True
    ),
    "train_size": Column("N", "frames", "Training frames", NO_MODEL, whole=True),
    "energy_mae_meV_per_atom": Column(
        "energy MAE", "meV/atom", "Mean absolute energy error", NO_LABEL, better="lower", over=("n_test_frames",)
    ),
    "force_mae_meV_per_A": Column(
        "force MAE",
        "meV/Å",
        "Mean absolute error of force components",
        NO_LABEL,
        better="lower",
        over=("n_test_frames",),
    ),
    "force_rmse_meV_per_A": Column(
        "force RMSE",
        "meV/Å",
        "Root mean square error of force components",
        NO_LABEL,
        better="lower",
        over=("n_test_frames",),
    ),
    "n_test_frames": Column("test frames", meaning="Test frames that the errors are over"),
    "train_wall_s": Column("fit", "s", "Wall time of the fit", NO_FIT, better="lower"),
    "converged": Column(
        "converged", meaning="No: the validation error still fell over the last fifth of the steps", empty=NO_FIT
    ),
    "slope": Column(
        "slope s",
        meaning="Error ∝ N^s",
        empty=Missing("n/a", "Too few points for a slope."),
        better="lower",
        over=("n_points",),
    ),
    "slope_ci_low": Column(
        "s, 2.5 %",
        meaning="Lower end of the 95 % interval of the slope",
        empty=Missing("n/a", "Too few points for an interval."),
    ),
    "slope_ci_high": Column(
        "s, 97.5 %",
        meaning="Upper end of the 95 % interval of the slope",
        empty=Missing("n/a", "Too few points for an interval."),
    ),
    "md_ci_low_meV_per_A": Column("MD, low", "meV/Å", "Lower end of the 95 % interval, over trajectories", NO_WIDTH),
    "md_ci_high_meV_per_A": Column("MD, high", "meV/Å", "Upper end of the 95 % interval, over trajectories", NO_WIDTH),
    "md_trajectory_spread": Column(
        "spread over trajectories", meaning="Standard deviation of ln of their MD errors", empty=NO_WIDTH
    ),
    "alpha_ci_low": Column("α, low", meaning="Lower end of the 95 % interval of α", empty=NO_WIDTH),
    "alpha_ci_high": Column("α, high", meaning="Upper end of the 95 % interval of α", empty=NO_WIDTH),
    "ci_low_K": Column("low", "K", "Lower end of the 95 % interval, Student's t over members", SEE_REASON, digits=4),
    "ci_high_K": Column("high", "K", "Upper end of the 95 % interval, Student's t over members", SEE_REASON, digits=4),
    "n_points": Column("points", meaning="Fits that the slope goes through"),
    "temperature_K": Column("T", "K", "Thermostat temperature", NO_MD, whole=True),
    "failure_time_ps": Column(
        "failed at", "ps", "Time of the first failure of any kind", Missing("n/a", "The trajectory did not fail.")
    ),
    "simulated_ps": Column("simulated", "ps", "Time simulated, of all replicas where the row holds several"),
    "wall_s": Column("wall time", "s", "Wall time of the whole batch that the trajectory ran in"),
    "n_replicas": Column("replicas", meaning="Trajectories, over all seeds of the group"),
    "n_failed": Column(
        "failed",
        meaning="Trajectories that ended in a failure; those stopped by the time limit are censored and do not count",
        better="lower",
    ),
    "survival_at_end": Column(
        "survival",
        meaning="Kaplan-Meier estimate at the end of the protocol",
        empty=Missing(NOT_RUN, "No MD judged it."),
        better="higher",
        over=("n_replicas",),
    ),
    "ci_low": Column("low", meaning=f"Lower end of the 95 % interval; {EXACT_SCORES}", empty=NO_INTERVAL),
    "ci_high": Column("high", meaning=f"Upper end of the 95 % interval; {EXACT_SCORES}", empty=NO_INTERVAL),
    "median_survival_ps": Column(
        "median survival",
        "ps",
        "Time by which half of the trajectories have failed (Kaplan-Meier)",
        Missing("n/a", "More than half of the replicas survived."),
        better="higher",
        over=("n_replicas",),
    ),
    "median_ci_low_ps": Column(
        "median, low", "ps", f"Lower end of the interval, {EXACT}", Missing("n/a", "The interval has no lower end.")
    ),
    "median_ci_high_ps": Column("median, high", "ps", f"Upper end of the interval, {EXACT}", BEYOND),
    "failure_rate_per_ns": Column(
        "failure rate", "1/ns", "Failures over the time simulated", AT_ONCE, better="lower", over=("n_replicas",)
    ),
    "failure_rate_ci_low": Column(
        "rate, low", "1/ns", f"Lower end of the interval (Garwood) for a constant rate, {EXACT}", AT_ONCE
    ),
    "failure_rate_ci_high": Column(
        "rate, high", "1/ns", f"Upper end of the interval (Garwood) for a constant rate, {EXACT}", AT_ONCE
    ),
    "seeds_p_value": Column(
        "p of seeds",
        meaning="Log-rank test of whether the fits of all seeds live alike",
        empty=Missing("n/a", "One fit, or no failure."),
    ),
    "comparison": Column("compares", meaning="With the control, between models, or between training sizes"),
    "n_seeds": Column("seeds", meaning="Fits whose trajectories stand together"),
    "against_model": Column("against", meaning="The other group: its model, or reference for the control"),
    "against_train_size": Column("against N", "frames", "Training frames of the other group", whole=True),
    "statistic": Column("χ²", meaning="Log-rank statistic, chi-squared with one degree of freedom", empty=SEE_REASON),
    "p_value": Column(
        "p",
        meaning="Chance of so large a difference, or agreement, where there is none",
        empty=SEE_REASON,
        over=("n_replicas", "n_points", "n_seeds"),
    ),
    "p_value_from": Column(
        "p from", meaning="Exact over all splits of the trajectories, or the chi-squared law", empty=SEE_REASON
    ),
    "p_value_adjusted": Column(
        "p adjusted",
        meaning="For all tests of the same comparison on the dataset (Holm)",
        empty=SEE_REASON,
        over=("n_replicas",),
    ),
    "against_n_failed": Column("failed", meaning="In the other group"),
    "against_n_replicas": Column("replicas", meaning="In the other group"),
    "over": Column("over", meaning="What is put in order"),
    "x": Column("order by", meaning="The first order"),
    "y": Column("and by", meaning="The order it is held against"),
    "kendall_tau": Column(
        "τ",
        meaning="Kendall's rank correlation: 1 alike, 0 unrelated, −1 reversed",
        empty=SEE_REASON,
        better="higher",
        over=("n_points",),
    ),
    "time_ps": Column("time", "ps", "Time of the frame in its trajectory", NO_MD),
    "reference_status": Column("label", meaning="ok, or why the reference method gave none"),
    "energy_error_meV_per_atom": Column("energy error", "meV/atom", "Model minus reference", NO_LABEL),
    "committee_force_std_meV_per_A": Column(
        "committee σ",
        "meV/Å",
        "Standard deviation of the force components over the fits of all seeds, root mean square over the frame",
        NO_COMMITTEE,
    ),
    "static_force_mae_meV_per_A": Column(
        "static force MAE", "meV/Å", "On the test set", Missing("n/a", "The control has no error."), better="lower"
    ),
    "md_force_mae_meV_per_A": Column(
        "MD force MAE",
        "meV/Å",
        "On frames of its own MD",
        Missing("no label", "No frame has a label."),
        better="lower",
        over=("n_rechecked", "n_md_frames"),
    ),
    "md_force_mae_p95_meV_per_A": Column(
        "95th percentile",
        "meV/Å",
        "Over frames of MD",
        Missing("no label", "No frame has a label."),
        better="lower",
        over=("n_rechecked",),
    ),
    "error_ratio": Column(
        "MD / static",
        meaning="Ratio of the two errors",
        empty=Missing("n/a", "One of the errors is missing or 0."),
        better="lower",
        over=("n_rechecked",),
    ),
    "n_rechecked": Column(
        "rechecked", "frames", "Frames of MD that the reference method computed again, spread evenly in time"
    ),
    "md_force_mae_before_failure_meV_per_A": Column(
        "before failures",
        "meV/Å",
        "Force error on the frames just before failures",
        Missing("n/a", "Nothing failed."),
        better="lower",
        over=("n_before_failure",),
    ),
    "n_before_failure": Column("before failures", "frames", "Frames just before failures that were computed again"),
    "md_force_mae_highest_spread_meV_per_A": Column(
        "at highest spread",
        "meV/Å",
        "On frames picked for their committee spread",
        NO_COMMITTEE,
        better="lower",
        over=("n_highest_spread",),
    ),
    "n_highest_spread": Column(
        "at highest spread", "frames", "Frames of the highest committee spread that were computed again"
    ),
    "run_by": Column(
        "run by", meaning="The method that ran the control", empty=Missing("n/a", "The model ran it itself.")
    ),
    "rechecked_by": Column("rechecked by", meaning="The method that computed the visited frames again"),
    "choice": Column("chosen", meaning="Why the frame was computed again", empty=NOT_RECHECKED),
    "attempts": Column("attempts", meaning="Attempts that the reference method took"),
    "atoms": Column(
        "atoms", meaning="Indices of the atoms that did it, from 0", empty=Missing("n/a", "No atom is named.")
    ),
    "n_model_failed": Column("no prediction", "frames", "Frames for which the model gave no numbers"),
    "n_test_frames_failed": Column("no prediction", "frames", "Test frames for which the model gave no numbers"),
    "n_timeout": Column("timeouts", meaning="Stopped by the wall-time limit, counted as censored"),
    "end_ps": Column("until", "ps", "Time at which the survival is taken"),
    "median_lower_bound_ps": Column(
        "median at least",
        "ps",
        "Where more than half live on: the longest time simulated",
        Missing("n/a", "The median itself is known."),
        better="higher",
    ),
    "interval_from": Column("interval from", meaning="What the interval was drawn from", empty=NO_INTERVAL),
    "sampler": Column("sampler", meaning="What ran the MD: the reference, or a fitted model"),
    "phase": Column("phase", meaning="Solid or liquid", empty=Missing("n/a", "The frame is of no run of a phase.")),
    "frame": Column(
        "frame",
        meaning="Place in its file, from 0",
        empty=Missing("n/a", "A frame of MD is known by its time."),
        whole=True,
    ),
    "component_1": Column("component 1", meaning="First kernel component: the place on the map"),
    "component_2": Column("component 2", meaning="Second kernel component: the place on the map"),
    "distance": Column("distance", meaning="Between mean SOAP vectors, to the nearest training frame: 0 to √2"),
    "farthest_test": Column(
        "farthest test frame", meaning="Distance of the farthest test frame to the same training frames"
    ),
    "n_beyond": Column("beyond", "frames", "Farther from the training frames than any test frame"),
    "share_beyond": Column("share beyond", meaning="Of the visited frames", over=("n_frames",)),
    "median_distance": Column("median distance", meaning="Of the visited frames to the nearest training frame"),
    "method": Column("method", meaning="How the number was come by"),
    "member": Column("member", meaning="Seed of the fit", whole=True),
    "valid": Column("valid", meaning="Whether the number may be used; if not, the reason says why"),
    "cell": Column("cell", meaning="Unit cells along each axis"),
    "n_sites": Column("sites", meaning="Molecules of the cell"),
    "n_frames": Column("frames", meaning="Frames behind the number"),
    "equilibration_ps": Column("equilibration", "ps", "Left out at the start", SEE_REASON),
    "statistical_inefficiency": Column("inefficiency", "frames", "Frames for one independent number", SEE_REASON),
    "n_independent": Column(
        "independent frames", meaning="Frames over the statistical inefficiency", empty=SEE_REASON, better="higher"
    ),
    "density_g_per_cm3": Column(
        "density", "g/cm³", "Mean density of the phase", SEE_REASON, digits=4, over=("n_frames",)
    ),
    "enthalpy_meV": Column("enthalpy", "meV", "For one molecule", SEE_REASON, digits=5, over=("n_frames",)),
    "enthalpy_error_meV": Column("its error", "meV", "One standard deviation", SEE_REASON),
    "enthalpy_of_melting_meV": Column("enthalpy of melting", "meV", "Liquid minus solid, for one molecule", SEE_REASON),
    "crystalline_share": Column(
        "crystalline", meaning="Share of the molecules that are ice (CHILL+)", empty=SEE_REASON
    ),
    "order_parameter": Column("Q", meaning="Order parameter of the interface run, its mean", empty=SEE_REASON),
    "order_parameter_error": Column("error of Q", meaning="One standard deviation", empty=SEE_REASON),
    "order_parameter_solid": Column("Q, solid", meaning="Order parameter of the bulk solid", empty=SEE_REASON),
    "order_parameter_liquid": Column("Q, liquid", meaning="Order parameter of the bulk liquid", empty=SEE_REASON),
    "anchor": Column(
        "anchor", meaning="The order parameter that the bias pulls to", empty=Missing("n/a", "The run has no bias.")
    ),
    "delta_mu_meV": Column("Δμ", "meV", "μ(solid) − μ(liquid), for one molecule: negative below melting", SEE_REASON),
    "sampling_error_meV": Column("sampling error", "meV", "One standard deviation", SEE_REASON, better="lower"),
    "ess_solid": Column(
        "ESS, solid", meaning="Effective share of the decorrelated frames", empty=NOT_REWEIGHTED, better="higher"
    ),
    "ess_liquid": Column(
        "ESS, liquid", meaning="Effective share of the decorrelated frames", empty=NOT_REWEIGHTED, better="higher"
    ),
    "ess": Column("ESS", meaning="Effective share of the decorrelated frames", empty=NOT_REWEIGHTED, better="higher"),
    "melting_point_K": Column(
        "melting point",
        "K",
        "Temperature at which solid and liquid have the same chemical potential",
        SEE_REASON,
        digits=4,
        over=("n_valid",),
    ),
    "sampling_error_K": Column("sampling error", "K", "One standard deviation", SEE_REASON, better="lower"),
    "entropy_of_melting_meV_per_K": Column("entropy of melting", "meV/K", "For one molecule", SEE_REASON),
    "committee_std_K": Column(
        "raw spread", "K", "Standard deviation over the members", SEE_REASON, better="lower", over=("n_valid",)
    ),
    "committee_std_calibrated_K": Column(
        "calibrated spread",
        "K",
        "The raw spread times the α of energies",
        SEE_REASON,
        better="lower",
        over=("n_valid",),
    ),
    "reference_melting_point_K": Column(
        "reference", "K", "Its melting point by interface pinning", SEE_REASON, digits=4
    ),
    "reference_error_K": Column("its error", "K", "Common to the models, so that it cancels", SEE_REASON),
    "covered_2sigma": Column(
        "within 2 σ",
        meaning="Of the calibrated spread and the sampling; with 4 members that holds the truth in some 83 % of cases, "
        "not 95 %: the interval beside it does",
        empty=SEE_REASON,
    ),
    "n_members": Column("members", meaning="Fits of the committee"),
    "n_valid": Column("valid members", meaning="Members whose melting point may be used"),
    "protocol_error_K": Column(
        "protocol", "K", "What other cells and the coexistence check change", SEE_REASON, better="lower"
    ),
    "component": Column("part of the error", meaning="What the error comes from"),
    "error_K": Column("error", "K", "One standard deviation", SEE_REASON, better="lower"),
    "target_melting_point_error_K": Column("wanted", "K", "Error of the melting point", whole=True),
    "exponent": Column(
        "exponent p", meaning="Error of the melting point ∝ (force MAE)^p", empty=SEE_REASON, over=("n_points",)
    ),
    "scope": Column("scope", meaning="Held-out frames, or frames of MD"),
    "quantity": Column("quantity", meaning="Whose errors are held against the spread"),
    "energy_meV_per_atom": Column("energies", "meV/atom", "Energies of whole frames, for one atom"),
    "force_per_atom_meV_per_A": Column(
        "forces (spread by atom)", "meV/Å", "Force components, with a spread for each atom"
    ),
    "force_per_frame_meV_per_A": Column(
        "forces (spread by frame)", "meV/Å", "Force components, with one spread for each frame"
    ),
    "stress_GPa": Column("stresses", "GPa", "Components of the stress"),
    "alpha": Column(
        "α", meaning="Factor for the spread, fitted on other hold-out frames", empty=SEE_REASON, over=("n_values",)
    ),
    "alpha_of_scope": Column(
        "α asked for", meaning="What these frames themselves ask for", empty=SEE_REASON, over=("n_values",)
    ),
    "nll_raw": Column(
        "NLL, raw", meaning="Negative log likelihood", empty=SEE_REASON, better="lower", over=("n_values",)
    ),
    "nll_calibrated": Column(
        "NLL, calibrated", meaning="Negative log likelihood", empty=SEE_REASON, better="lower", over=("n_values",)
    ),
    "miscalibration_area_raw": Column("area, raw", meaning=AREA, empty=SEE_REASON, better="lower", over=("n_values",)),
    "miscalibration_area_calibrated": Column(
        "area, calibrated", meaning=AREA, empty=SEE_REASON, better="lower", over=("n_values",)
    ),
    "ence_raw": Column(
        "ENCE, raw",
        meaning="Expected normalized calibration error",
        empty=SEE_REASON,
        better="lower",
        over=("n_values",),
    ),
    "ence_calibrated": Column(
        "ENCE, calibrated",
        meaning="Expected normalized calibration error",
        empty=SEE_REASON,
        better="lower",
        over=("n_values",),
    ),
    "crps_raw": Column("CRPS, raw", meaning=CRPS, empty=SEE_REASON, better="lower", over=("n_values",)),
    "crps_calibrated": Column("CRPS, calibrated", meaning=CRPS, empty=SEE_REASON, better="lower", over=("n_values",)),
    "n_values": Column("values", meaning="Errors that the scores are over; those of one frame are correlated"),
    "spread": Column("spread", meaning="As the committee gives it, or calibrated"),
    "expected": Column("expected share", meaning="Of the errors within an interval of the spread"),
    "observed": Column("observed share", meaning="Of the errors within the same interval"),
    "observable": Column("observable", meaning="What is averaged over the frames"),
    "coordinate_A": Column(
        "r",
        "Å",
        "Distance between two molecules, the middle of its bin",
        Missing("n/a", "The observable is one number."),
    ),
    "value": Column("value", meaning="The average, in the unit of the observable", empty=SEE_REASON, digits=4),
    "sampling_error": Column("sampling error", meaning="One standard deviation", empty=SEE_REASON),
    "rdf": Column("radial distribution", meaning="g(r), the density of neighbours at a distance over the mean density"),
    "reason": Column(
        "reason",
        meaning="Why the number is missing, flagged or to be read with care",
        empty=Missing("none", "Nothing to say."),
    ),
    "cause": Column(
        "cause", meaning="What the detector saw, with the atoms", empty=Missing("n/a", "The trajectory did not fail.")
    ),
    "message": Column(
        "message",
        meaning="What the reference method or the model said as it failed",
        empty=Missing("n/a", "Nothing failed."),
    ),
    "n_reference_failed": Column("no label", "frames", "Frames that the reference method could not compute"),
}

KINDS = {
    UNSUPPORTED: ("unsupported element", "does not support", "unknown element", "not know the element"),
    NOT_CONVERGED: ("not converged", "not_converged", "no convergence", "did not converge"),
    EXPLODED: ("exploded", "non-finite", "nonfinite", "not finite", "no time was simulated", "at once"),
    NOT_RUN: ("not run", "was not asked", "none was computed", "no rechecked frame", "fewer than two"),
}
"""What a reason says that holds one of these words; any other reason makes a number ``not valid``."""
BY_ROW = ("reason", "reference_status", "message", "model_status")
"""Columns that say why a number of their row is missing."""

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


def missing(heading: Column, row: Mapping[str, object]) -> Missing:
    """Why a cell is empty: as its column says, or as its row says where the column leaves it open."""
    if heading.empty.kind in ("n/a", "none", "not run"):
        return heading.empty
    said = [str(row[name]) for name in BY_ROW if row.get(name) and row[name] == row[name] and row[name] != "ok"]
    if not said:
        return heading.empty
    return Missing(kind_of(" ".join(said)), said[0].replace("_", " "))


def kind_of(reason: str) -> str:
    """The type of a reason."""
    return next((kind for kind, words in KINDS.items() if any(word in reason for word in words)), NOT_VALID)
