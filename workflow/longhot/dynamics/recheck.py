"""Recheck: what the reference method says of the frames that a simulation visited."""

from __future__ import annotations

import csv
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from longhot.block import InputError
from longhot.config import Recheck
from longhot.dynamics.trajectory import Snapshots, read_numbers, read_replica
from longhot.files import atomic_path

if TYPE_CHECKING:
    from ase import Atoms

    from longhot.potential import Label, Potential

logger = logging.getLogger(__name__)

_IDS = ("dataset", "model", "train_size", "seed", "temperature_K", "replica")
COLUMNS = (
    *_IDS,
    "time_ps",
    "before_failure",
    "reference",
    "reference_status",
    "model_status",
    "force_mae_meV_per_A",
    "energy_error_meV_per_atom",
    "committee_force_std_meV_per_A",
    "message",
)
_MEV = 1000.0


def choose_frames(
    frames: Snapshots, last: Snapshots | None, n_even: int, n_before_failure: int
) -> tuple[Snapshots, np.ndarray]:
    """Frames of one replica that the reference computes again, in the order of time.

    The first kind is spread evenly over the time that the replica lived. The start frame is left out: it
    is a test frame, not one that the model chose to visit. The second kind are the last checks before the
    failed frame, without the failed frame itself and those of the first kind. No frame is taken that is
    not finite, nor one twice.

    Args:
        frames: the valid frames of the replica.
        last: the checks before its failure, of which the last is the failed frame; None where it did not fail.
        n_even: wanted number of the first kind.
        n_before_failure: wanted number of the second kind.

    Returns:
        The frames, and whether each is of the second kind, shape (n_chosen,).
    """
    intervals = max(0, len(frames.time_ps) - 1)
    even = np.unique((np.arange(1, n_even + 1) * intervals / n_even).round().astype(int))
    chosen = _take(frames, even[(even > 0) & _finite(frames)[even]] if intervals else even[:0])
    if last is None:
        return chosen, np.zeros(len(chosen.time_ps), dtype=bool)
    wanted = _finite(last) & (last.time_ps > 0) & (last.time_ps < last.time_ps[-1])
    before = np.flatnonzero(wanted)[-n_before_failure:] if n_before_failure else np.flatnonzero(wanted)[:0]
    late = _take(last, before[~np.isin(last.time_ps[before], chosen.time_ps)])
    both = Snapshots(*(np.concatenate(pair) for pair in zip(vars(chosen).values(), vars(late).values(), strict=True)))
    order = np.argsort(both.time_ps, kind="stable")
    return _take(both, order), order >= len(chosen.time_ps)


def _take(frames: Snapshots, indices: np.ndarray) -> Snapshots:
    return Snapshots(*(values[indices] for values in vars(frames).values()))


def _finite(frames: Snapshots) -> np.ndarray:
    """Whether each frame is finite, shape (n_frames,)."""
    return np.isfinite(frames.positions_A).all(axis=(1, 2)) & np.isfinite(frames.energy_eV)


def committee_force_std(forces_eV_per_A: np.ndarray) -> float:
    """Spread of a committee's forces on one frame in eV/A.

    The variance over the members (ddof 1) of each force component, averaged over atoms and components,
    and its root taken.

    Args:
        forces_eV_per_A: shape (n_members, n_atoms, 3), at least 2 members.
    """
    return float(np.sqrt(np.var(forces_eV_per_A, axis=0, ddof=1).mean()))


def recheck(
    frames_path: str | Path,
    outcomes_path: str | Path,
    template: Atoms,
    output: str | Path,
    *,
    reference: str,
    label: Callable[[Sequence[Atoms]], Sequence[Label]],
    model: Potential,
    committee: Sequence[Potential],
    settings: Recheck,
) -> None:
    """Write one row for each rechecked frame, with the columns of ``COLUMNS``.

    Errors are the model's numbers minus the reference's: the mean absolute difference of the force
    components, and the signed difference of the energies. A frame for which the reference, the model or
    a further member gives no numbers keeps its row, with its status and the numbers that follow left empty.

    Args:
        frames_path: frames.h5 of a simulation.
        outcomes_path: outcomes.csv of the same.
        template: any frame of the simulated atoms; its cell and info go to the reference.
        output: CSV file to write.
        reference: name of the reference method.
        label: computes frames with the reference method.
        model: the potential that ran the simulation.
        committee: the same model with other seeds; empty where there is none.
        settings: how many frames.

    Raises:
        InputError: the template's atoms are not the simulated ones.
    """
    if not np.array_equal(template.numbers, read_numbers(frames_path)):
        raise InputError(f"{frames_path}: its atoms are not those of the test set, simulate again")
    rows, frames = [], []
    with Path(outcomes_path).open(newline="", encoding="utf-8") as handle:
        outcomes = list(csv.DictReader(handle))
    for outcome in outcomes:
        chosen, late = choose_frames(
            *read_replica(frames_path, int(outcome["replica"])),
            settings.frames_per_replica,
            settings.frames_before_failure,
        )
        for time_ps, positions_A, before_failure in zip(chosen.time_ps, chosen.positions_A, late, strict=True):
            ids = {name: outcome[name] for name in _IDS if name in outcome}
            rows.append({**ids, "time_ps": time_ps, "before_failure": bool(before_failure), "reference": reference})
            frames.append(_with_positions(template, positions_A))
    logger.info("rechecking %d frames of %d replicas with %s", len(frames), len(outcomes), reference)
    truths = label(frames) if frames else []
    members = [member.predict(frames) if frames else [] for member in (model, *committee)]
    for index, (row, truth) in enumerate(zip(rows, truths, strict=True)):
        row.update(_compare(truth, [labels[index] for labels in members]))
    with atomic_path(output) as temporary, temporary.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.DictWriter(handle, fieldnames=COLUMNS)
        writer.writeheader()
        writer.writerows(rows)


def _with_positions(template: Atoms, positions_A: np.ndarray) -> Atoms:
    frame = template.copy()
    frame.calc = None
    frame.positions = positions_A
    return frame


def _compare(truth: Label, members: Sequence[Label]) -> dict[str, Any]:
    """Columns that one frame adds; the first member is the model itself."""
    own = members[0]
    row: dict[str, Any] = {"reference_status": truth.status, "model_status": own.status}
    if truth.status == own.status == "ok":
        difference = own.forces_eV_per_A - truth.forces_eV_per_A
        row["force_mae_meV_per_A"] = float(np.abs(difference).mean()) * _MEV
        row["energy_error_meV_per_atom"] = (own.energy_eV - truth.energy_eV) / len(difference) * _MEV
    if len(members) > 1 and all(member.status == "ok" for member in members):
        spread = committee_force_std(np.array([member.forces_eV_per_A for member in members]))
        row["committee_force_std_meV_per_A"] = spread * _MEV
    row["message"] = "; ".join(one.message for one in (truth, own) if one.status != "ok" and one.message)
    return row
