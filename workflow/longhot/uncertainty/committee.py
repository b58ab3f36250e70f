"""A committee: fits that differ in their seeds, run as one potential, whose spread says how sure they are.

Members k = 1..M give V_k and F_k. The committee's own are the means over k; the spread of each number is
the standard deviation over k with M - 1 in the denominator (ddof 1).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from longhot.block import InputError
from longhot.potential import BatchPotential, BatchResult, Label

if TYPE_CHECKING:
    from ase import Atoms

    from longhot.potential import Potential


def committee_force_std(forces_eV_per_A: np.ndarray) -> float:
    """Spread of a committee's forces on one frame in eV/A.

    The variance over the members (ddof 1) of each force component, averaged over atoms and components,
    and its root taken.

    Args:
        forces_eV_per_A: shape (n_members, n_atoms, 3), at least 2 members.
    """
    return float(np.sqrt(np.var(forces_eV_per_A, axis=0, ddof=1).mean()))


def atom_spreads(forces_eV_per_A: np.ndarray) -> np.ndarray:
    """Spread of a committee's forces on each atom of one frame in eV/A, shape (n_atoms,).

    The variance over the members (ddof 1) of each force component, averaged over the three components, and
    its root taken; the root mean square over atoms is ``committee_force_std``.

    Args:
        forces_eV_per_A: shape (n_members, n_atoms, 3), at least 2 members.
    """
    return np.sqrt(np.var(forces_eV_per_A, axis=0, ddof=1).mean(axis=-1))


@dataclass(frozen=True, kw_only=True)
class CommitteeResult(BatchResult):
    """The mean over the members, and their spread."""

    energy_std_eV: np.ndarray
    """Shape (n_replicas,)."""
    force_std_eV_per_A: np.ndarray
    """Of each component, shape (n_replicas, n_atoms, 3)."""


class Committee:
    """Members as one potential; implements ``longhot.potential.Potential``."""

    def __init__(self, members: Sequence[Potential]) -> None:
        """Take at least two members.

        Raises:
            InputError: fewer.
        """
        if len(members) < 2:
            raise InputError(f"committee: {len(members)} member(s) have no spread, fit more seeds")
        self.members = list(members)

    def predict_members(self, frames: Sequence[Atoms]) -> list[list[Label]]:
        """Labels of each frame by each member: ``[member][frame]``."""
        return [member.predict(frames) for member in self.members]

    def predict(self, frames: Sequence[Atoms]) -> list[Label]:
        """Mean energy and forces of each frame; where a member has none, neither has the committee."""
        return [_mean(labels) for labels in zip(*self.predict_members(frames), strict=True)]

    def force_std(self, frames: Sequence[Atoms]) -> np.ndarray:
        """``committee_force_std`` of each frame in eV/A, shape (n_frames,); NaN where a member has no forces."""
        return np.array([committee_force_std(forces) for forces in self._member_forces(frames)])

    def atom_spreads(self, frames: Sequence[Atoms]) -> list[np.ndarray]:
        """``atom_spreads`` of each frame in eV/A, shape (n_atoms,) each; NaN where a member has no forces."""
        return [atom_spreads(forces) for forces in self._member_forces(frames)]

    def _member_forces(self, frames: Sequence[Atoms]) -> list[np.ndarray]:
        """Forces of each frame by all members in eV/A, shape (n_members, n_atoms, 3) each."""
        forces = [[one.forces_eV_per_A for one in labels] for labels in self.predict_members(frames)]
        return [np.array(one) for one in zip(*forces, strict=True)]

    def batch(self, atoms: Atoms, n_replicas: int) -> CommitteeBatch:
        """A committee for ``n_replicas`` copies of ``atoms``."""
        return CommitteeBatch([member.batch(atoms, n_replicas) for member in self.members])

    def batch_sizes(self, n_replicas: int) -> list[int]:
        """Sizes that suit every member."""
        sizes = set.intersection(*(set(member.batch_sizes(n_replicas)) for member in self.members))
        return sorted(sizes, reverse=True)


def _mean(labels: Sequence[Label]) -> Label:
    """Mean of the members' labels of one frame, or the first member's reason why there is none."""
    wall_s = sum(label.wall_s for label in labels)
    for number, label in enumerate(labels, start=1):
        if label.status != "ok":
            none = np.full_like(label.forces_eV_per_A, np.nan)
            return Label(np.nan, none, label.status, f"member {number}: {label.message}", wall_s)
    return Label(
        float(np.mean([label.energy_eV for label in labels])),
        np.mean([label.forces_eV_per_A for label in labels], axis=0),
        wall_s=wall_s,
    )


class CommitteeBatch:
    """Replicas of the same atoms, computed by one member after the other at the same positions."""

    def __init__(self, members: Sequence[BatchPotential]) -> None:
        self._members = members

    def reset(self) -> None:
        """Let the members forget everything of earlier calls."""
        for member in self._members:
            if hasattr(member, "reset"):
                member.reset()

    def compute(self, positions_A: np.ndarray, cell_A: np.ndarray | None = None) -> CommitteeResult:
        """Mean and spread; shapes as in ``longhot.potential.BatchPotential``.

        A replica of which one member gives no finite numbers has none at all.
        """
        results = [member.compute(positions_A, cell_A) for member in self._members]
        energies_eV = np.array([result.energy_eV for result in results])  # (n_members, n_replicas)
        forces_eV_per_A = np.array(
            [result.forces_eV_per_A for result in results]
        )  # (n_members, n_replicas, n_atoms, 3)
        # Infinite numbers have a NaN for a spread, but a mean that is not one.
        lost = ~(np.isfinite(energies_eV).all(axis=0) & np.isfinite(forces_eV_per_A).all(axis=(0, 2, 3)))
        energies_eV[:, lost], forces_eV_per_A[:, lost] = np.nan, np.nan
        errors: dict[int, str] = {}
        for number, result in enumerate(results, start=1):
            for replica, cause in result.errors.items():
                errors.setdefault(replica, f"member {number}: {cause}")
        return CommitteeResult(
            energy_eV=energies_eV.mean(axis=0),
            forces_eV_per_A=forces_eV_per_A.mean(axis=0),
            errors=errors,
            energy_std_eV=energies_eV.std(axis=0, ddof=1),
            force_std_eV_per_A=forces_eV_per_A.std(axis=0, ddof=1),
        )
