"""Does a committee know its own error? The factor that its spread needs, and proper scores before and after.

Members k = 1..M give V_k, with the mean V and the spread sigma (ddof 1); y is the reference. With y - V the
error and z = (y - V) / sigma, every score here asks whether z is drawn from a standard normal distribution.

Errors of energies are one a frame. Those of the force components of one frame are correlated: a table that
counts 1e5 components of 100 frames holds 100 independent things, so judge its noise by ``n_frames``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from typing import Any

import numpy as np

from longhot.block import InputError
from longhot.stand_ins import stand_ins
from longhot.uncertainty.clusters import CONFIDENCE, mean_interval
from longhot.uncertainty.committee import atom_spreads, committee_force_std

MIN_MEMBERS = 4
N_DRAWS = 4000
ENCE_MAX_BINS = 10
ENCE_MIN_BIN = 20
"""Values in a bin: the root mean square of 20 errors is known to 16 %, and ENCE counts that noise as error."""


def calibration_factor(
    errors: np.ndarray, spreads: np.ndarray, n_members: int, n_components: np.ndarray | int = 1
) -> float:
    """Factor alpha by which the members must be spread about their mean, V + alpha (V_k - V), to match the errors.

    alpha^2 = -1/M + mean[(nu - 2) / nu z^2], with nu = M - 1 the degrees of freedom of sigma^2: that is
    -1/M + (M-3)/(M-1) mean[z^2] (Imbalzano et al., J. Chem. Phys. 154, 074102 (2021); for few members
    J. Chem. Theory Comput. 15, 906 (2019)). (nu - 2) / nu undoes that 1/sigma^2 from few members is too large on
    average, 1/M takes off the error of the mean itself. Where a spread pools the variances of several components
    (``n_components`` = n), nu = n (M - 1): for them the published form, which has n = 1, would give an alpha that
    is too small, by a factor of up to sqrt(3) at M = 4. Components count as independent and equally uncertain;
    where they are not, the truth lies between the two.

    alpha sigma is the spread of the calibrated members, about a mean that has an error of its own: as the standard
    deviation of y - V it is too small by sqrt(1 + 1/(M alpha^2)), which counts where alpha is small.

    At M = 4 and 5, and n = 1, z^2 has no finite variance and its mean converges slowly. At M = 4, alpha from 100
    values lies within some 25 % of the truth, more often below than above; at M = 8 within 10 %.

    Args:
        errors: y - V, shape (n_values,), in any unit.
        spreads: sigma, shape (n_values,), in the unit of the errors.
        n_members: M.
        n_components: how many components' variances each spread is the root mean of, one number or shape (n_values,).

    Raises:
        InputError: fewer than 4 members; no values; numbers that are not finite; a spread of zero; alpha^2 not
            positive, for which no factor exists.
    """
    if n_members < MIN_MEMBERS:
        raise InputError(
            f"calibration: {n_members} members, but the correction for a small committee needs at least "
            f"{MIN_MEMBERS}: fit more seeds"
        )
    _check(errors, spreads)
    freedom = n_components * (n_members - 1)
    scatter = float(np.mean((freedom - 2) / freedom * (errors / spreads) ** 2))
    squared = scatter - 1 / n_members
    if squared <= 0:
        raise InputError(
            f"calibration: no factor exists, since the errors are smaller than the spread of {n_members} members makes "
            f"that of their mean alone (mean square {scatter:.3g} of the spread's, below 1/{n_members}): give more "
            f"frames, or take the spread as an upper bound"
        )
    return float(np.sqrt(squared))


def calibration_interval(values: Values, n_members: int) -> tuple[float, float]:
    """95 % interval of alpha, as far down as 0; NaN where none can be given.

    With one value a frame, z / sqrt(alpha^2 + 1/M) has Student's t distribution of M - 1 degrees of freedom if members
    and errors are Gaussian, and so the mean of z^2 has a known distribution, whose quantiles are drawn: at M = 4 its
    tails are so heavy that any interval from the scatter of z^2 covers alpha in some 73 % of cases. With many values
    a frame, which depend on each other, it is Student's t over whole frames on the logarithm of their mean of z^2.
    Both take frames to be independent. Of few correlated values with a spread for each (stress) there is none.

    Args:
        values: errors, spreads and frames.
        n_members: M, at least 4.
    """
    if n_members < MIN_MEMBERS or _fault(values.errors, values.spreads):
        return np.nan, np.nan
    freedom = values.n_components * (n_members - 1)
    scatter = (freedom - 2) / freedom * (values.errors / values.spreads) ** 2
    n_frames = len(np.unique(values.frames))
    if n_frames == len(scatter):
        bounds = scatter.mean() / _quantiles_of_scatter(n_frames, n_members)
    elif values.n_components.min() > 1 and n_frames > 1:
        bounds = np.array(mean_interval(scatter, values.frames))
    else:
        return np.nan, np.nan
    low, high = np.sqrt(np.maximum(bounds - 1 / n_members, 0.0))
    return float(low), float(high)


@cache
def _quantiles_of_scatter(n_frames: int, n_members: int) -> np.ndarray:
    """Upper and lower quantile of mean[(nu - 2) / nu t^2] over frames, with t of Student's law and nu = M - 1."""
    draws = np.random.default_rng(0).standard_t(n_members - 1, (N_DRAWS, n_frames))
    means = (draws**2).mean(axis=1) * (n_members - 3) / (n_members - 1)
    return np.quantile(means, [(1 + CONFIDENCE) / 2, (1 - CONFIDENCE) / 2])


def _check(errors: np.ndarray, spreads: np.ndarray) -> None:
    """Refuse what would become NaN or infinity.

    Raises:
        InputError: no values, numbers that are not finite, or a spread of zero.
    """
    if fault := _fault(errors, spreads):
        raise InputError(f"calibration: {fault}")


def _fault(errors: np.ndarray, spreads: np.ndarray) -> str:
    """What is wrong with the values; empty where nothing is."""
    if errors.size == 0:
        return "no values to compare, give at least one frame that did not fail"
    if lost := int(np.sum(~(np.isfinite(errors) & np.isfinite(spreads)))):
        return f"{lost} of {errors.size} values are not finite, leave failed frames out"
    if equal := int(np.sum(spreads <= 0)):
        return (
            f"the members agree exactly on {equal} of {errors.size} values, so these have no spread to compare with: "
            f"check that the seeds differ"
        )
    return ""


@dataclass(frozen=True)
class Scores:
    """How well errors and spreads match; smaller is better in each."""

    nll: float
    """Negative log likelihood, mean[ln(2 pi sigma^2)/2 + z^2/2]; depends on the unit, as a density does."""
    crps: float
    """Continuous ranked probability score, in the unit of the errors."""
    miscalibration_area: float
    """Area between the observed and the expected share of errors in central intervals, 0 to 0.5."""
    ence: float
    """Expected normalized calibration error, see ``ence``."""


def scores(errors: np.ndarray, spreads: np.ndarray) -> Scores:
    """Scores of Gaussian predictions with standard deviations ``spreads``.

    NLL and CRPS in closed form (Gneiting & Raftery, J. Am. Stat. Assoc. 102, 359 (2007)); the miscalibration area
    by the package uncertainty-toolbox, which takes 0.01 s for 1e5 values.

    Args:
        errors: shape (n_values,).
        spreads: shape (n_values,), in the unit of the errors.

    Raises:
        InputError: no values, numbers that are not finite, or a spread of zero.
    """
    from scipy.special import ndtr

    with stand_ins("uncertainty_toolbox.viz", "sklearn", "sklearn.isotonic", "sklearn.metrics"):
        from uncertainty_toolbox.metrics_calibration import miscalibration_area

    _check(errors, spreads)
    z = errors / spreads
    density = np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)
    return Scores(
        nll=float(np.mean(np.log(2 * np.pi * spreads**2) / 2 + z**2 / 2)),
        crps=float(np.mean(spreads * (z * (2 * ndtr(z) - 1) + 2 * density - 1 / np.sqrt(np.pi)))),
        miscalibration_area=float(miscalibration_area(np.zeros_like(errors), spreads, errors)),
        ence=ence(errors, spreads),
    )


def ence(errors: np.ndarray, spreads: np.ndarray) -> float:
    """Expected normalized calibration error: mean over bins of |RMS spread - RMS error| / RMS spread.

    The bins hold equally many values each, sorted by spread (Levi et al., Sensors 22, 5540 (2022)). Perfect
    predictions do not reach 0, since the RMS error of a bin has noise: 10 bins of n values have about 0.56/sqrt(n).
    There are at most 10 bins, fewer where they would hold under 20 values.

    Args:
        errors: shape (n_values,).
        spreads: shape (n_values,), positive, in the unit of the errors.
    """
    order = np.argsort(spreads, kind="stable")
    n_bins = max(1, min(ENCE_MAX_BINS, len(order) // ENCE_MIN_BIN))
    bins = np.array_split(order, n_bins)
    spread = np.array([np.sqrt(np.mean(spreads[one] ** 2)) for one in bins])
    error = np.array([np.sqrt(np.mean(errors[one] ** 2)) for one in bins])
    return float(np.mean(np.abs(spread - error) / spread))


def reliability(errors: np.ndarray, spreads: np.ndarray, n_levels: int = 21) -> tuple[np.ndarray, np.ndarray]:
    """Expected and observed share of the errors within central intervals of a Gaussian.

    Args:
        errors: shape (n_values,).
        spreads: shape (n_values,), positive, in the unit of the errors.
        n_levels: number of confidence levels from 0 to 1.

    Returns:
        Both of shape (n_levels,); the observed shares below the expected ones tell of over-confidence.
    """
    from scipy.special import ndtri

    expected = np.linspace(0.0, 1.0, n_levels)
    distances = np.sort(np.abs(errors / spreads))
    return expected, np.searchsorted(distances, ndtri((1 + expected) / 2), side="right") / len(distances)


@dataclass(frozen=True)
class CommitteePrediction:
    """What the members and the reference say of the same frames.

    Raises:
        InputError: fewer than 2 members, or numbers of members, frames or atoms that differ.
    """

    energies_eV: np.ndarray
    """Shape (n_members, n_frames)."""
    reference_energies_eV: np.ndarray
    """Shape (n_frames,)."""
    forces_eV_per_A: Sequence[np.ndarray]
    """Of each frame, shape (n_members, n_atoms, 3)."""
    reference_forces_eV_per_A: Sequence[np.ndarray]
    """Of each frame, shape (n_atoms, 3)."""
    stresses_GPa: np.ndarray | None = None
    """Of periodic frames, shape (n_members, n_frames, 6); NaN where it was not computed."""
    reference_stresses_GPa: np.ndarray | None = None
    """Shape (n_frames, 6)."""

    def __post_init__(self) -> None:
        if self.n_members < 2:
            raise InputError(f"calibration: {self.n_members} member(s) have no spread, fit more seeds")
        counts = {
            "energies": self.energies_eV.shape[1],
            "reference energies": len(self.reference_energies_eV),
            "forces": len(self.forces_eV_per_A),
            "reference forces": len(self.reference_forces_eV_per_A),
        }
        if len(set(counts.values())) > 1:
            found = ", ".join(f"{count} of {name}" for name, count in counts.items())
            raise InputError(f"calibration: the frames are {found}; give all of the same frames")
        for frame, (forces, reference) in enumerate(
            zip(self.forces_eV_per_A, self.reference_forces_eV_per_A, strict=True)
        ):
            if forces.shape != (self.n_members, *reference.shape):
                raise InputError(
                    f"calibration: forces of frame {frame} have the shape {forces.shape}, expected "
                    f"{(self.n_members, *reference.shape)}"
                )

    @property
    def n_members(self) -> int:
        """Number of members."""
        return len(self.energies_eV)

    @property
    def n_frames(self) -> int:
        """Number of frames."""
        return len(self.reference_energies_eV)

    def every_other(self, first: int) -> CommitteePrediction:
        """Frames ``first``, ``first`` + 2, and so on."""
        return CommitteePrediction(
            self.energies_eV[:, first::2],
            self.reference_energies_eV[first::2],
            self.forces_eV_per_A[first::2],
            self.reference_forces_eV_per_A[first::2],
            None if self.stresses_GPa is None else self.stresses_GPa[:, first::2],
            None if self.reference_stresses_GPa is None else self.reference_stresses_GPa[first::2],
        )


@dataclass(frozen=True)
class Values:
    """Errors and spreads of one quantity, each of shape (n_values,), in the quantity's unit."""

    errors: np.ndarray
    spreads: np.ndarray
    n_components: np.ndarray
    """How many components each spread pools."""
    frames: np.ndarray
    """Index of the frame of each value."""


def energy_values(prediction: CommitteePrediction) -> Values:
    """Energies in meV per atom, one a frame."""
    n_atoms = np.array([len(forces) for forces in prediction.reference_forces_eV_per_A])
    # Total energies of thousands of eV leave no digits for their spread in float32.
    energies = prediction.energies_eV.astype(np.float64)
    return Values(
        errors=1e3 * (prediction.reference_energies_eV - energies.mean(axis=0)) / n_atoms,
        spreads=1e3 * energies.std(axis=0, ddof=1) / n_atoms,
        n_components=np.ones(len(n_atoms)),
        frames=np.arange(len(n_atoms)),
    )


def _force_values(prediction: CommitteePrediction, spread: Callable[[np.ndarray], Any]) -> Values:
    """Force components in meV/A; ``spread`` makes one number an atom or one a frame of the members' forces."""
    errors, spreads, n_components = [], [], []
    for members, reference in zip(prediction.forces_eV_per_A, prediction.reference_forces_eV_per_A, strict=True):
        forces = members.astype(np.float64)
        sigma = np.asarray(spread(forces))
        errors.append((reference - forces.mean(axis=0)).ravel())
        spreads.append(np.repeat(sigma, reference.size // sigma.size))
        n_components.append(np.full(reference.size, reference.size // sigma.size))
    # The empty one: no frames give no values, rather than an error of NumPy's.
    joined = [np.concatenate([[], *parts]) for parts in (errors, spreads, n_components)]
    frames = np.repeat(np.arange(len(errors)), [one.size for one in errors])
    return Values(1e3 * joined[0], 1e3 * joined[1], joined[2], frames)


def atom_force_values(prediction: CommitteePrediction) -> Values:
    """Force components in meV/A, the three of an atom with its ``atom_spreads``."""
    return _force_values(prediction, atom_spreads)


def frame_force_values(prediction: CommitteePrediction) -> Values:
    """Force components in meV/A, all of a frame with its ``committee_force_std``."""
    return _force_values(prediction, committee_force_std)


def stress_values(prediction: CommitteePrediction) -> Values:
    """The six components of the stress in GPa, of the frames where it was computed."""
    assert prediction.stresses_GPa is not None
    assert prediction.reference_stresses_GPa is not None
    computed = ~np.isnan(prediction.reference_stresses_GPa).any(axis=1)
    members, reference = prediction.stresses_GPa[:, computed], prediction.reference_stresses_GPa[computed]
    errors = reference - members.mean(axis=0)
    frames = np.repeat(np.arange(len(errors)), errors.shape[1])
    return Values(errors.ravel(), members.std(axis=0, ddof=1).ravel(), np.ones(errors.size), frames)


Pooling = Callable[[CommitteePrediction], Values]
QUANTITIES: dict[str, Pooling] = {
    "energy_meV_per_atom": energy_values,
    "force_per_atom_meV_per_A": atom_force_values,
    "force_per_frame_meV_per_A": frame_force_values,
}
STRESS = {"stress_GPa": stress_values}

NO_SCORES = Scores(np.nan, np.nan, np.nan, np.nan)


def calibration_rows(
    holdout: CommitteePrediction, md: CommitteePrediction | None = None
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Rows of calibration.csv and of reliability.csv for one committee.

    alpha is fitted on every other frame of the hold-out; the scores of the scope "holdout" are those of the frames
    in between, so they are honest, and the same alpha is applied to all frames of the scope "md": whether it still
    holds there is what the rows show. ``alpha_of_scope`` is what the scored frames would themselves ask for: over the
    hold-out it tells of the noise of alpha, over the MD of a spread that no longer means the same. Order the frames
    of the hold-out so that neighbours are independent.

    Where there is no alpha, the calibrated numbers are NaN and ``reason`` tells why; the same holds for all scores
    where a spread is zero.

    Args:
        holdout: held-out frames, from the distribution of the training frames.
        md: frames from the committee's own dynamics, with reference labels.

    Returns:
        One row a scope and quantity with the scores in the quantity's unit; one row a scope, quantity, spread (raw or
        calibrated) and confidence level.
    """
    fitted, scored = holdout.every_other(0), {"holdout": holdout.every_other(1)}
    if md is not None:
        scored["md"] = md
    rows, levels = [], []
    has_stress = all(one.stresses_GPa is not None for one in (fitted, *scored.values()))
    for quantity, values_of in (QUANTITIES | STRESS if has_stress else QUANTITIES).items():
        alpha, fault = _factor(values_of(fitted), holdout.n_members)
        alpha_low, alpha_high = calibration_interval(values_of(fitted), holdout.n_members)
        for scope, prediction in scored.items():
            ids = {"scope": scope, "quantity": quantity}
            values = values_of(prediction)
            own_alpha, own_fault = _factor(values, prediction.n_members)
            calibrated = replace(values, spreads=alpha * values.spreads)
            (raw_scores, raw_fault), (calibrated_scores, _) = _scores(values), _scores(calibrated)
            rows.append(
                {
                    **ids,
                    "alpha": alpha,
                    "alpha_ci_low": alpha_low,
                    "alpha_ci_high": alpha_high,
                    **{f"{name}_raw": score for name, score in asdict(raw_scores).items()},
                    **{f"{name}_calibrated": score for name, score in asdict(calibrated_scores).items()},
                    "alpha_of_scope": own_alpha,
                    "n_members": prediction.n_members,
                    "n_frames": prediction.n_frames,
                    "n_values": len(values.errors),
                    "reason": "; ".join(dict.fromkeys(filter(None, (fault, own_fault, raw_fault)))),
                }
            )
            levels += [ids | {"spread": "raw"} | point for point in _points(values, raw_scores)]
            levels += [ids | {"spread": "calibrated"} | point for point in _points(calibrated, calibrated_scores)]
    return rows, levels


def _factor(values: Values, n_members: int) -> tuple[float, str]:
    """``calibration_factor``, or NaN and the reason why there is none."""
    try:
        return calibration_factor(values.errors, values.spreads, n_members, values.n_components), ""
    except InputError as error:
        return np.nan, str(error)


def _scores(values: Values) -> tuple[Scores, str]:
    """``scores``, or NaN and the reason why there are none."""
    try:
        return scores(values.errors, values.spreads), ""
    except InputError as error:
        return NO_SCORES, str(error)


def _points(values: Values, found: Scores) -> list[dict[str, float]]:
    """Points of the reliability curve of values that have scores, none of those that have not."""
    if found is NO_SCORES:
        return []
    points = zip(*reliability(values.errors, values.spreads), strict=True)
    return [{"expected": float(expected), "observed": float(observed)} for expected, observed in points]
