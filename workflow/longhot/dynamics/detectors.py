"""Detectors of failure: what ends a trajectory, and which atoms did it.

The thresholds must be quiet on a sound trajectory at 1000 K and more, for millions of checks, and still
catch every real event. Bonds are found once, in the start frame of each replica. Distances are measured
in sums of the two covalent radii (Cordero 2008, as in ASE), where a stretched single bond at 1.6 holds
2 eV or more, which at 1000 K is 25 kT.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
from ase import units
from ase.data import covalent_radii

if TYPE_CHECKING:
    from ase import Atoms

Outcome = Literal[
    "completed",
    "timeout",
    "nonfinite",
    "overlap",
    "bond_broken",
    "bond_formed",
    "temperature_runaway",
    "energy_drift",
    "engine_error",
]

CENSORED = ("completed", "timeout")
"""Outcomes that are no failure: the trajectory was still sound when it ended."""

BONDED = 1.3
"""Two atoms of a start frame closer than this many radii sums are bonded."""
BROKEN = 1.6
"""A bond longer than this is broken."""
FORMED = 1.2
"""Two atoms closer than this that were not bonded now are."""
FORMED_NEIGHBOURS = 1.0
"""The same for two atoms that share a neighbour: bending alone can bring these near 1.2 at high T."""
OVERLAP = 0.6
"""Two atoms closer than this, bonded or not, overlap; a triple bond at rest stands at 0.77."""
HOT_PROBABILITY = 1e-12
"""A kinetic temperature that a canonical ensemble exceeds with this probability has run away ..."""
HOT_FACTOR = 3.0
"""... provided that it is also this many times the thermostat's."""
DRIFT_KT_PER_ATOM = 0.1
"""A change of the total energy in NVE, in kT an atom; velocity Verlet's own ripple stays below 0.02."""


MAX_NAMED = 3
"""Atoms or pairs that a cause names."""


@dataclass(frozen=True)
class Failure:
    """What ended a trajectory."""

    outcome: Outcome
    cause: str
    """For people: names the atoms, their distances, the limits."""
    atoms: tuple[int, ...] = ()
    """Indices of the offending atoms, ascending."""


def temperature_limit_K(temperature_K: float, degrees_of_freedom: int) -> float:
    """Kinetic temperature above which a replica has run away.

    The kinetic energy over kT/2 is chi-squared with ``degrees_of_freedom``, so a small molecule is
    allowed wide swings (9 atoms: 4.4 times the mean), a large system narrow ones.
    """
    from scipy.stats import chi2

    swing = chi2.isf(HOT_PROBABILITY, degrees_of_freedom) / degrees_of_freedom
    return temperature_K * max(HOT_FACTOR, float(swing))


def bonds(distances_A: np.ndarray, radii_sum_A: np.ndarray) -> np.ndarray:
    """Whether each pair is bonded, by the distances of a start frame."""
    return distances_A < BONDED * radii_sum_A


class Detectors:
    """The state of every check for a batch of replicas of the same atoms."""

    def __init__(
        self,
        starts: Sequence[Atoms],
        temperatures_K: Sequence[float] | np.ndarray,
        degrees_of_freedom: int,
        bond_checks: bool | None = None,
    ) -> None:
        """One start and one thermostat temperature a replica; ``bond_checks`` as in the protocol."""
        atoms = starts[0]
        periodic = bool(atoms.pbc.any())
        self._bond_checks = not periodic if bond_checks is None else bond_checks
        self._symbols = atoms.get_chemical_symbols()
        self._first, self._second = np.triu_indices(len(atoms), k=1)
        self._radii_sum_A = covalent_radii[atoms.numbers][self._first] + covalent_radii[atoms.numbers][self._second]
        self._pbc = atoms.pbc.copy() if periodic else None
        self.temperature_limit_K = np.array([temperature_limit_K(one, degrees_of_freedom) for one in temperatures_K])
        self.energy_limit_eV = DRIFT_KT_PER_ATOM * units.kB * np.asarray(temperatures_K, dtype=float) * len(atoms)
        self._bonded = np.stack([self._bonds_of(start) for start in starts])
        self._lowest_squared_A2 = np.array([self._lowest(bonded) ** 2 for bonded in self._bonded])
        self._highest_squared_A2 = np.where(self._bonded, BROKEN * self._radii_sum_A, np.inf) ** 2

    def _bonds_of(self, start: Atoms) -> np.ndarray:
        """Whether each pair of a start is bonded, shape (n_pairs,); none where bonds are not watched."""
        if not self._bond_checks:
            return np.zeros(len(self._first), dtype=bool)
        squared = self._squared_distances(start.positions[None], np.asarray(start.cell)[None])[0]
        return bonds(np.sqrt(squared), self._radii_sum_A)

    def _lowest(self, bonded: np.ndarray) -> np.ndarray:
        """Shortest sound distance in A of each pair of one replica, shape (n_pairs,)."""
        if not self._bond_checks:
            return OVERLAP * self._radii_sum_A
        n_atoms = len(self._symbols)
        adjacent = np.zeros((n_atoms, n_atoms), dtype=int)
        adjacent[self._first[bonded], self._second[bonded]] = 1
        adjacent += adjacent.T
        share_neighbour = (adjacent @ adjacent)[self._first, self._second] > 0
        formed = np.where(share_neighbour, FORMED_NEIGHBOURS, FORMED)
        return np.where(bonded, OVERLAP, formed) * self._radii_sum_A

    def _squared_distances(self, positions_A: np.ndarray, cell_A: np.ndarray) -> np.ndarray:
        """Squared distance in A^2 of each pair, shape (n_replicas, n_pairs); the nearest image where periodic."""
        vectors = positions_A[:, self._first] - positions_A[:, self._second]
        if self._pbc is not None:
            fractional = vectors @ np.linalg.pinv(cell_A)
            fractional -= np.where(self._pbc, np.round(fractional), 0)
            vectors = fractional @ cell_A
        return np.einsum("rpk,rpk->rp", vectors, vectors)

    def check(
        self,
        positions_A: np.ndarray,
        cell_A: np.ndarray,
        energy_eV: np.ndarray,
        temperature_K: np.ndarray,
        energy_change_eV: np.ndarray | None,
        live: np.ndarray,
    ) -> dict[int, Failure]:
        """Failures of live replicas, by replica; none where all are sound.

        Where several detectors fire at one check, the outcome is the first of nonfinite, overlap,
        bond_broken, bond_formed, temperature_runaway, energy_drift, and the cause tells of all.

        Args:
            positions_A: shape (n_replicas, n_atoms, 3).
            cell_A: shape (n_replicas, 3, 3); looked at where periodic.
            energy_eV: potential energies, shape (n_replicas,).
            temperature_K: kinetic temperatures, shape (n_replicas,).
            energy_change_eV: change of the total energy since the start, shape (n_replicas,); None where a
                thermostat changes it.
            live: replicas that have not ended, shape (n_replicas,).
        """
        with np.errstate(invalid="ignore", over="ignore"):
            squared = self._squared_distances(positions_A, cell_A)
        sound = ((squared >= self._lowest_squared_A2) & (squared <= self._highest_squared_A2)).all(axis=1)
        # Written so that a NaN counts as unsound.
        sound &= (temperature_K <= self.temperature_limit_K) & np.isfinite(energy_eV)
        if energy_change_eV is not None:
            sound &= np.abs(energy_change_eV) <= self.energy_limit_eV
        if (sound | ~live).all():
            return {}
        changes = np.zeros_like(energy_eV) if energy_change_eV is None else energy_change_eV
        return {
            replica: self._explain(replica, positions_A[replica], squared[replica], values)
            for replica in np.flatnonzero(live & ~sound).tolist()
            for values in [(energy_eV[replica], temperature_K[replica], changes[replica])]
        }

    def _explain(
        self, replica: int, positions_A: np.ndarray, squared_A2: np.ndarray, values: tuple[float, float, float]
    ) -> Failure:
        energy_eV, temperature_K, change_eV = values
        lost = nonfinite(self._symbols, positions_A, energy_eV)
        if lost:
            return lost
        found: list[Failure] = []
        ratio = np.sqrt(squared_A2) / self._radii_sum_A
        bonded = self._bonded[replica]
        low = squared_A2 < self._lowest_squared_A2[replica]
        if (overlap := low & (bonded | (ratio < OVERLAP))).any():
            found.append(self._pairs("overlap", overlap, ratio))
        if (broken := squared_A2 > self._highest_squared_A2[replica]).any():
            found.append(self._pairs("bond_broken", broken, ratio))
        if (formed := low & ~bonded & (ratio >= OVERLAP)).any():
            failure = self._pairs("bond_formed", formed, ratio)
            found.append(replace(failure, cause=failure.cause + self._shared_hydrogens(failure.atoms, ratio)))
        limit_K, limit_eV = self.temperature_limit_K[replica], self.energy_limit_eV[replica]
        if not temperature_K <= limit_K:
            found.append(Failure("temperature_runaway", f"{temperature_K:.4g} K above {limit_K:.0f} K"))
        if not abs(change_eV) <= limit_eV:
            cause = f"total energy changed by {change_eV:.3g} eV, beyond {limit_eV:.3g} eV"
            found.append(Failure("energy_drift", cause))
        return replace(found[0], cause="; ".join(one.cause for one in found))

    def _pairs(self, outcome: Outcome, pairs: np.ndarray, ratio: np.ndarray) -> Failure:
        """Say which pairs did it, the furthest from a sound distance first."""
        order = np.flatnonzero(pairs)
        order = order[np.argsort(-np.abs(np.log(np.maximum(ratio[order], 1e-12))), kind="stable")]
        shown = order[:MAX_NAMED]
        named = [
            f"{name_atom(self._symbols, self._first[pair])}-{name_atom(self._symbols, self._second[pair])}"
            f" at {ratio[pair] * self._radii_sum_A[pair]:.3g} A"
            for pair in shown
        ]
        atoms = tuple(sorted({int(ends[pair]) for pair in shown for ends in (self._first, self._second)}))
        return Failure(outcome, f"{outcome.replace('_', ' ')}: {', '.join(named)}{_more(order)}", atoms)

    def _shared_hydrogens(self, atoms: Sequence[int], ratio: np.ndarray) -> str:
        """Name each hydrogen among ``atoms`` that now has two or more neighbours."""
        near = ratio < BONDED
        said = ""
        for atom in atoms:
            if self._symbols[atom] != "H":
                continue
            pairs = np.flatnonzero(near & ((self._first == atom) | (self._second == atom)))
            others = sorted(int(self._first[pair] + self._second[pair] - atom) for pair in pairs)
            if len(others) > 1:
                names = ", ".join(name_atom(self._symbols, other) for other in others)
                count = "two" if len(others) == 2 else str(len(others))
                said += f"; hydrogen {name_atom(self._symbols, atom)} has {count} neighbours: {names}"
        return said


def _more(indices: np.ndarray) -> str:
    return f" and {len(indices) - MAX_NAMED} more" if len(indices) > MAX_NAMED else ""


def name_atom(symbols: Sequence[str], index: int) -> str:
    """Element and index of an atom, counted from 0 as in ASE: ``C1``."""
    return f"{symbols[index]}{index}"


def nonfinite(symbols: Sequence[str], vectors: np.ndarray, energy_eV: float, what: str = "position") -> Failure | None:
    """The failure of a replica that has a vector or an energy that is not finite; None where all is.

    Args:
        symbols: chemical symbols, n_atoms of them.
        vectors: positions or forces, shape (n_atoms, 3).
        energy_eV: of the same replica.
        what: the name of the vectors.
    """
    bad = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
    if bad.size:
        names = ", ".join(name_atom(symbols, index) for index in bad[:MAX_NAMED])
        return Failure("nonfinite", f"{what} not finite: {names}{_more(bad)}", tuple(bad[:MAX_NAMED].tolist()))
    return None if np.isfinite(energy_eV) else Failure("nonfinite", f"energy is {energy_eV}")
