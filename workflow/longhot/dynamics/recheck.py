"""Recheck: what the reference method says of the frames that a simulation visited."""

from __future__ import annotations

import csv
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from longhot.block import InputError
from longhot.config import Recheck
from longhot.dynamics.trajectory import Snapshots, read_numbers, read_replica
from longhot.files import atomic_path
from longhot.frames import evenly_spread
from longhot.uncertainty.committee import Committee, committee_force_std

if TYPE_CHECKING:
    from ase import Atoms

    from longhot.potential import Label, Potential

logger = logging.getLogger(__name__)

Choice = Literal["even", "before_failure", "highest_spread"]
"""Why a frame was taken; one that two of them would take is of the first."""

_IDS = ("dataset", "model", "train_size", "seed", "temperature_K", "replica")
COLUMNS = (
    *_IDS,
    "time_ps",
    "choice",
    "reference",
    "reference_status",
    "attempts",
    "model_status",
    "force_mae_meV_per_A",
    "energy_error_meV_per_atom",
    "committee_force_std_meV_per_A",
    "message",
)
_MEV = 1000.0
NUMBER = np.float32
"""Of stored forces: their seventh digit is beyond any model."""
MAX_CANDIDATES = 200
"""Stored frames of a replica on which the committee's spread is looked at: it costs a prediction by each member."""


@dataclass(frozen=True)
class RecheckedFrames:
    """The frames of a recheck in the order of the rows of its table, and what was computed for them."""

    numbers: np.ndarray
    """Atomic numbers, shape (n_atoms,)."""
    pbc: np.ndarray
    """Shape (3,)."""
    positions_A: np.ndarray
    """Shape (n_frames, n_atoms, 3)."""
    cell_A: np.ndarray
    """Cell vectors as rows, shape (n_frames, 3, 3)."""
    model_forces_eV_per_A: np.ndarray
    """Shape (n_frames, n_atoms, 3); NaN where the model has none."""
    reference_forces_eV_per_A: np.ndarray
    """The same of the reference method."""

    @classmethod
    def load(cls, path: str | Path) -> RecheckedFrames:
        """Read what ``save`` wrote."""
        with np.load(path, allow_pickle=False) as stored:
            return cls(**stored)

    def save(self, path: str | Path) -> None:
        """Write an npz file, atomically."""
        with atomic_path(path) as temporary:
            np.savez_compressed(
                temporary, allow_pickle=False, **{one.name: getattr(self, one.name) for one in fields(self)}
            )


def choose_frames(
    frames: Snapshots, last: Snapshots | None, spread_eV_per_A: np.ndarray | None, settings: Recheck
) -> tuple[Snapshots, list[Choice]]:
    """Frames of one replica that the reference computes again, in the order of time.

    The first kind is spread evenly over the time that the replica lived. The start frame is left out: it
    is a test frame, not one that the model chose to visit. The second kind are the last checks before the
    failed frame, without the failed frame itself, and the third the stored frames of the highest committee
    spread, without the start. No frame is taken that is not finite, nor one twice: what an earlier kind has
    taken is not replaced.

    Args:
        frames: the stored frames of the replica, its start first; there may be none.
        last: the checks before its failure, of which the last is the failed frame; None where it did not fail.
        spread_eV_per_A: of each stored frame, shape (n_frames,), NaN where there is none; None: no third kind.
        settings: how many frames of each kind.

    Returns:
        The frames, and the kind of each.
    """
    intervals, n_even = max(0, len(frames) - 1), settings.frames_per_replica
    even = np.unique((np.arange(1, n_even + 1) * intervals / n_even).round().astype(int))
    # A replica that failed at once, or never had its turn, has not even a start frame.
    parts: list[tuple[Choice, Snapshots, np.ndarray]] = [("even", frames, _usable(frames, even[even > 0]))]
    if last is not None:
        before = _usable(last, np.flatnonzero(last.time_ps < last.time_ps[-1]))
        parts.append(("before_failure", last, _last(before, settings.frames_before_failure)))
    if spread_eV_per_A is not None:
        ranked = np.argsort(spread_eV_per_A, kind="stable")
        known = ranked[np.isfinite(spread_eV_per_A[ranked])]
        parts.append(("highest_spread", frames, _last(_usable(frames, known), settings.frames_highest_spread)))
    chosen, choices = _take(frames, np.array([], dtype=int)), list[Choice]()
    for choice, source, indices in parts:
        new = indices[~np.isin(source.time_ps[indices], chosen.time_ps)]
        chosen = _joined(chosen, _take(source, new))
        choices += [choice] * len(new)
    order = np.argsort(chosen.time_ps, kind="stable")
    return _take(chosen, order), [choices[index] for index in order]


def _take(frames: Snapshots, indices: np.ndarray) -> Snapshots:
    return Snapshots(**{name: values[indices] for name, values in vars(frames).items()})


def _joined(first: Snapshots, second: Snapshots) -> Snapshots:
    return Snapshots(**{name: np.concatenate([values, vars(second)[name]]) for name, values in vars(first).items()})


def _usable(frames: Snapshots, indices: np.ndarray) -> np.ndarray:
    """Those of some frames that are finite and not the start, in the order given."""
    finite = np.isfinite(frames.positions_A).all(axis=(1, 2)) & np.isfinite(frames.energy_eV)
    return indices[(finite & (frames.time_ps > 0))[indices]]


def _last(indices: np.ndarray, count: int) -> np.ndarray:
    return indices[max(0, len(indices) - count) :]


def spread_of(frames: Snapshots, template: Atoms, committee: Committee) -> np.ndarray:
    """Committee spread of the forces on each frame in eV/A, shape (n_frames,); NaN where a member has none.

    Of a long trajectory ``MAX_CANDIDATES`` frames spread evenly are looked at, the others stay NaN.
    """
    found = np.full(len(frames), np.nan)
    looked_at = evenly_spread(len(frames), MAX_CANDIDATES)
    if looked_at.size:
        found[looked_at] = committee.force_std([frame_of(template, frames, index) for index in looked_at])
    return found


def recheck(
    frames_path: str | Path,
    outcomes_path: str | Path,
    template: Atoms,
    output: str | Path,
    *,
    reference: str,
    label: Callable[[Sequence[Atoms]], Sequence[Label]],
    model: Potential,
    others: Sequence[Potential],
    settings: Recheck,
) -> None:
    """Write one row for each rechecked frame of all replicas, with the columns of ``COLUMNS``.

    Beside the table, with the ending ``.npz``, go the frames themselves and both sets of forces. Where no replica
    left a frame both are empty.

    Errors are the model's numbers minus the reference's: the mean absolute difference of the force
    components, and the signed difference of the energies. A frame for which the reference, the model or
    a further member gives no numbers keeps its row, with its status and the numbers that follow left empty.

    Args:
        frames_path: frames.h5 of a simulation.
        outcomes_path: outcomes.csv of the same.
        template: any frame of the simulated atoms; its info and pbc go to the reference.
        output: CSV file to write.
        reference: name of the reference method.
        label: computes frames with the reference method.
        model: the potential that ran the simulation.
        others: the same model with other seeds, which make a committee with it; empty where there are none.
        settings: how many frames.

    Raises:
        InputError: the template's atoms are not the simulated ones.
    """
    if not np.array_equal(template.numbers, read_numbers(frames_path)):
        raise InputError(f"{frames_path}: its atoms are not those of the test set, simulate again")
    committee = Committee([model, *others]) if others and settings.frames_highest_spread else None
    rows, frames = _chosen(frames_path, outcomes_path, template, committee, settings)
    logger.info("rechecking %d frames with %s", len(frames), reference)
    truths = label(frames) if frames else []
    members = [member.predict(frames) if frames else [] for member in (model, *others)]
    for index, (row, truth) in enumerate(zip(rows, truths, strict=True)):
        row.update(reference=reference, **_compare(truth, [labels[index] for labels in members]))
    _gathered(template, frames, members[0], truths).save(Path(output).with_suffix(".npz"))
    with atomic_path(output) as temporary, temporary.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.DictWriter(handle, fieldnames=COLUMNS)
        writer.writeheader()
        writer.writerows(rows)


def _gathered(
    template: Atoms, frames: Sequence[Atoms], own: Sequence[Label], truths: Sequence[Label]
) -> RecheckedFrames:
    each_atom = (len(frames), len(template), 3)
    return RecheckedFrames(
        numbers=template.numbers,
        pbc=template.pbc,
        positions_A=np.reshape([frame.positions for frame in frames], each_atom),
        cell_A=np.reshape([frame.cell.array for frame in frames], (len(frames), 3, 3)),
        model_forces_eV_per_A=np.reshape([one.forces_eV_per_A for one in own], each_atom).astype(NUMBER),
        reference_forces_eV_per_A=np.reshape([one.forces_eV_per_A for one in truths], each_atom).astype(NUMBER),
    )


def _chosen(
    frames_path: str | Path,
    outcomes_path: str | Path,
    template: Atoms,
    committee: Committee | None,
    settings: Recheck,
) -> tuple[list[dict[str, Any]], list[Atoms]]:
    """The chosen frames of all replicas, and the first columns of their rows."""
    rows: list[dict[str, Any]] = []
    frames: list[Atoms] = []
    with Path(outcomes_path).open(newline="", encoding="utf-8") as handle:
        outcomes = list(csv.DictReader(handle))
    for outcome in outcomes:
        stored, last = read_replica(frames_path, float(outcome["temperature_K"]), int(outcome["replica"]))
        spread_eV_per_A = spread_of(stored, template, committee) if committee else None
        chosen, choices = choose_frames(stored, last, spread_eV_per_A, settings)
        ids = {name: outcome[name] for name in _IDS if name in outcome}
        for index, choice in enumerate(choices):
            rows.append({**ids, "time_ps": chosen.time_ps[index], "choice": choice})
            frames.append(frame_of(template, chosen, index))
    return rows, frames


def frame_of(template: Atoms, frames: Snapshots, index: int) -> Atoms:
    """A frame of a trajectory on the elements, cell and info of ``template``."""
    frame = template.copy()
    frame.calc = None
    frame.positions = frames.positions_A[index]
    if frame.pbc.any():
        frame.cell = frames.cell_A[index]
    return frame


def _compare(truth: Label, members: Sequence[Label]) -> dict[str, Any]:
    """Columns that one frame adds; the first member is the model itself."""
    own = members[0]
    row: dict[str, Any] = {"reference_status": truth.status, "attempts": truth.attempts, "model_status": own.status}
    if truth.status == own.status == "ok":
        difference = own.forces_eV_per_A - truth.forces_eV_per_A
        row["force_mae_meV_per_A"] = float(np.abs(difference).mean()) * _MEV
        row["energy_error_meV_per_atom"] = (own.energy_eV - truth.energy_eV) / len(difference) * _MEV
    if len(members) > 1 and all(member.status == "ok" for member in members):
        spread = committee_force_std(np.array([member.forces_eV_per_A for member in members]))
        row["committee_force_std_meV_per_A"] = spread * _MEV
    row["message"] = "; ".join(one.message for one in (truth, own) if one.status != "ok" and one.message)
    return row
