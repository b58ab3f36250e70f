"""What a pinned interface says of the chemical potentials, and coexistence of the melting point.

Pedersen et al., Phys. Rev. B 88, 094101 (2013): a cell half solid and half liquid under the bias kappa/2 (Q - a)^2
feels the thermodynamic force that would move the interface against the bias alone, so

    N (mu_s - mu_l) = -kappa (Q_s - Q_l) (<Q> - a).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from longhot.dynamics.samples import OXYGEN, Pin, Samples
from longhot.observables.melting_point.phases import (
    correlated_error,
    mean_crystalline_share,
    standard_error,
    transformed,
)
from longhot.uncertainty.reweighting import decorrelate

PINNED_RANGE = (0.15, 0.85)
"""Share of the way from liquid to solid between which two phases are sure to be there."""
MIN_INDEPENDENT = 8.0
"""Independent values of a series below which it has not relaxed."""
MAX_DRIFT = 3.5
"""Between the means of the two halves of a run, in standard errors of their difference."""
WHOLE_EQUILIBRATION_SHARE = 0.2
"""Part of the runs of whole phases that is thrown away."""


@dataclass(frozen=True)
class Interface:
    """One run of an interface."""

    method: str
    """``pinning`` or ``coexistence``."""
    cell: str
    temperature_K: float
    n_molecules: int
    simulated_ps: float
    order_parameter: float
    order_parameter_error: float
    solid: float
    """Order parameter of the whole solid."""
    liquid: float
    """Order parameter of the whole liquid."""
    anchor: float
    value: float
    """mu_s - mu_l in meV per molecule by pinning; the melting point in K by coexistence."""
    error: float
    valid: bool
    reason: str


def delta_mu_meV(order: float, pin: Pin, solid: float, liquid: float, n_molecules: int) -> float:
    """The equation above: mu_s - mu_l in meV per molecule, from the mean order parameter."""
    return -1e3 * pin.kappa_eV * (solid - liquid) * (order - pin.anchor) / n_molecules


def equilibrated(whole: Samples) -> Samples:
    """A run of a whole phase in a cell for pinning, without its start."""
    return whole.after(WHOLE_EQUILIBRATION_SHARE * whole.time_ps[-1]) if len(whole.time_ps) else whole


def middle(solid: Samples, liquid: Samples) -> float:
    """The anchor: half the way between the order parameters of the whole phases."""
    return 0.5 * (_mean(solid.order_parameter) + _mean(liquid.order_parameter))


def _mean(values: np.ndarray) -> float:
    """NaN where there are none."""
    return float(values.mean()) if len(values) else np.nan


def pinning(
    cell: str, temperature_K: float, runs: dict[str, Samples], kappa_eV: float, equilibration_ps: float
) -> Interface:
    """A pinned run, judged.

    Args:
        cell: its name.
        temperature_K: of all runs.
        runs: ``solid``, ``liquid`` and ``pinned``.
        kappa_eV: of the bias.
        equilibration_ps: time at the start of the pinned run that is thrown away.
    """
    kept = {name: equilibrated(runs[name]) for name in ("solid", "liquid")}
    whole = {name: _mean(run.order_parameter) for name, run in kept.items()}
    pin = Pin(middle(kept["solid"], kept["liquid"]), kappa_eV)
    series = runs["pinned"].after(equilibration_ps)
    order = series.order_parameter
    found = _Series.of(order)
    n_molecules = int((series.numbers == OXYGEN).sum())
    slope = abs(delta_mu_meV(pin.anchor + 1, pin, whole["solid"], whole["liquid"], n_molecules))
    fault = _first(
        runs["pinned"].failure,
        *(_not_whole(name, run) for name, run in kept.items()),
        _left(order, whole["solid"], whole["liquid"]),
        found.fault("order parameter"),
    )
    return Interface(
        "pinning",
        cell,
        temperature_K,
        n_molecules,
        float(np.ptp(series.time_ps)) if len(order) else 0.0,
        found.mean,
        found.error,
        *(whole["solid"], whole["liquid"], pin.anchor),
        delta_mu_meV(found.mean, pin, whole["solid"], whole["liquid"], n_molecules),
        slope * found.error,
        not fault,
        fault or found.remark,
    )


def coexistence(cell: str, samples: Samples, beside: Interface, equilibration_ps: float) -> Interface:
    """A run at constant enthalpy, judged: its mean temperature is the melting point while both phases are there.

    Args:
        cell: its name.
        samples: of the run.
        beside: the pinned run that it began from.
        equilibration_ps: time at its start that is thrown away.
    """
    series = samples.after(equilibration_ps)
    temperature, order = _Series.of(series.temperature_K), _Series.of(series.order_parameter)
    fault = _first(
        samples.failure,
        _left(series.order_parameter, beside.solid, beside.liquid),
        temperature.fault("temperature"),
    )
    return Interface(
        "coexistence",
        cell,
        beside.temperature_K,
        beside.n_molecules,
        float(np.ptp(series.time_ps)) if len(series.time_ps) else 0.0,
        order.mean,
        order.error,
        beside.solid,
        beside.liquid,
        np.nan,
        temperature.mean,
        temperature.error,
        not fault,
        fault or temperature.remark,
    )


@dataclass(frozen=True)
class _Series:
    """Mean of a correlated series with its error, and how far its halves differ."""

    mean: float
    error: float
    n_independent: float
    drift: float
    """Between the means of the halves, in standard errors."""
    remark: str
    """What to bear in mind of its length."""

    @classmethod
    def of(cls, values: np.ndarray) -> _Series:
        if len(values) < 4:
            return cls(np.nan, np.nan, 0.0, 0.0, "")
        independent = decorrelate(values)
        g = independent.statistical_inefficiency
        first, second = (half.mean() for half in np.array_split(values, 2))
        # Block averages would count the drift itself among the errors.
        drift = float(abs(second - first) / (2 * correlated_error(values, g)))
        return cls(float(values.mean()), standard_error(values, g), len(values) / g, drift, independent.reason)

    def fault(self, name: str) -> str:
        """Why the mean is not to be trusted; empty where it is."""
        if not np.isfinite(self.mean):
            return f"the run is shorter than its equilibration, there is no {name}"
        if self.n_independent < MIN_INDEPENDENT:
            return f"the {name} never relaxed: the run is {self.n_independent:.1f} correlation times long, run longer"
        if self.drift > MAX_DRIFT:
            return f"the {name} drifts: its two halves differ by {self.drift:.1f} standard errors, run longer"
        return ""


def _not_whole(phase: str, run: Samples) -> str:
    """Why a run does not tell the order parameter of a whole phase; empty where it does."""
    if run.failure:
        return f"the run of the whole {phase} ended early: {run.failure}"
    fault = transformed(phase, mean_crystalline_share(run)) if len(run.frame_sample) else "it left no frame"
    return fault and f"the run of the whole {phase}: {fault}"


def _left(order: np.ndarray, solid: float, liquid: float) -> str:
    """Whether the cell froze or melted whole, at the end of the run or on average."""
    if not len(order):
        return ""
    if not np.isfinite([solid, liquid]).all():
        return "the order parameters of the whole phases are not known"
    share = (order - liquid) / (solid - liquid)
    for level in (share.mean(), share[-max(1, len(share) // 10) :].mean()):
        if level > PINNED_RANGE[1]:
            return "the cell froze whole: raise the temperature or kappa_eV"
        if level < PINNED_RANGE[0]:
            return "the cell melted whole: lower the temperature or raise kappa_eV"
    return ""


def _first(*faults: str) -> str:
    return next((fault for fault in faults if fault), "")


def row(one: Interface) -> dict[str, Any]:
    """Its row of interfaces.csv; a melting point by pinning needs enthalpies too, and stands in melting_point.csv."""
    by_pinning = one.method == "pinning"
    return {
        "method": one.method,
        "cell": one.cell,
        "temperature_K": one.temperature_K,
        "n_sites": one.n_molecules,
        "simulated_ps": one.simulated_ps,
        "order_parameter": one.order_parameter,
        "order_parameter_error": one.order_parameter_error,
        "order_parameter_solid": one.solid,
        "order_parameter_liquid": one.liquid,
        "anchor": one.anchor,
        "delta_mu_meV": one.value if by_pinning else np.nan,
        "sampling_error_meV": one.error if by_pinning else np.nan,
        "melting_point_K": np.nan if by_pinning else one.value,
        "sampling_error_K": np.nan if by_pinning else one.error,
        "valid": one.valid,
        "reason": one.reason,
    }
