"""Calibration of a committee on held-out frames, and on frames that the sampler visited."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from longhot import frames as fr
from longhot.dynamics.samples import Samples
from longhot.files import write_json
from longhot.observables.melting_point.json_rows import plain, plain_value
from longhot.observables.melting_point.members import frames_of
from longhot.uncertainty.calibration import CommitteePrediction, calibration_rows
from longhot.uncertainty.stress import VOIGT, stresses_GPa

if TYPE_CHECKING:
    from ase import Atoms

    from longhot.potential import Potential

logger = logging.getLogger(__name__)

STRESS_PAIRS = 10
"""Pairs of frames whose stress is computed by each member and the reference."""


def calibrate(
    members: Sequence[Potential],
    test: Sequence[Atoms],
    visited: Sequence[Atoms],
    reference: Potential | None,
    out: Path,
) -> None:
    """Write rows of calibration.csv and reliability.csv, and the members' force errors, as JSON.

    Args:
        members: the committee.
        test: labelled frames that no fit has seen, neither to learn from nor to pick its weights.
        visited: frames of the sampler, without labels.
        reference: what labels them and gives stresses; without one there is no scope md.
        out: JSON file.
    """
    labelled = _labelled(visited, reference)
    holdout = predict(members, test, reference)
    md = predict(members, labelled, reference) if labelled else None
    calibration, reliability = calibration_rows(holdout, md)
    maes = [1e3 * _force_mae(holdout, member) for member in range(len(members))]
    content = {
        "calibration": [plain(row) for row in calibration],
        "reliability": [plain(row) for row in reliability],
        "force_mae_meV_per_A": [plain_value(one) for one in maes],
    }
    write_json(out, content)
    logger.info("force MAE of the members on %d held-out frames: %s meV/A", len(test), np.round(maes, 1).tolist())


def visited_frames(runs: Sequence[Samples], n_frames: int) -> list[Atoms]:
    """Frames spread evenly over all runs and their lengths."""
    pool = [frame for run in runs for frame in frames_of(run)]
    return [pool[one] for one in fr.evenly_spread(len(pool), n_frames)]


def _labelled(frames: Sequence[Atoms], reference: Potential | None) -> list[Atoms]:
    if reference is None:
        return []
    return [
        fr.labelled(frame, label.energy_eV, label.forces_eV_per_A)
        for frame, label in zip(frames, reference.predict(frames), strict=True)
        if label.status == "ok"
    ]


def predict(
    members: Sequence[Potential], labelled: Sequence[Atoms], reference: Potential | None = None
) -> CommitteePrediction:
    """What the members say of labelled frames; with stresses of periodic ones where a reference is at hand."""
    labels = [member.predict(labelled) for member in members]
    return CommitteePrediction(
        energies_eV=np.array([[one.energy_eV for one in own] for own in labels]),
        reference_energies_eV=fr.energies(labelled),
        forces_eV_per_A=[np.array([one.forces_eV_per_A for one in frame]) for frame in zip(*labels, strict=True)],
        reference_forces_eV_per_A=fr.forces(labelled),
        **(_stresses(members, labelled, reference) if reference and all(one.pbc.all() for one in labelled) else {}),
    )


def _stresses(members: Sequence[Potential], frames: Sequence[Atoms], reference: Potential) -> dict[str, np.ndarray]:
    """Stresses by members and reference of some frames, NaN elsewhere: each is worth 12 energies."""
    some = stressed_frames(len(frames))
    every = np.full((len(members) + 1, len(frames), len(VOIGT)), np.nan)
    for own, potential in zip(every, [*members, reference], strict=True):
        own[some] = stresses_GPa(potential, [frames[one] for one in some])
    return {"stresses_GPa": every[:-1], "reference_stresses_GPa": every[-1]}


def stressed_frames(n_frames: int) -> np.ndarray:
    """Which frames have their stress computed: pairs of neighbours, spread evenly.

    Neighbours, since alpha is fitted on every other frame and tried on those in between.
    """
    first = 2 * np.unique(np.linspace(0, max(0, n_frames - 2) // 2, STRESS_PAIRS).astype(int))
    both = np.sort(np.concatenate([first, first + 1]))
    return both[both < n_frames]


def _force_mae(prediction: CommitteePrediction, member: int) -> float:
    pairs = zip(prediction.forces_eV_per_A, prediction.reference_forces_eV_per_A, strict=True)
    return float(np.mean(np.concatenate([np.abs(forces[member] - truth).ravel() for forces, truth in pairs])))
