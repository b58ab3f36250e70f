"""Detectors of failure: what ends a trajectory, and which atoms did it.

The thresholds must be quiet on a sound trajectory at 1000 K and more, for millions of checks, and still
catch every real event. Bonds are found once, in the start frame of each replica. Distances are measured
in sums of the two covalent radii (Cordero 2008, as in ASE), where a stretched single bond at 1.6 holds
2 eV or more, which at 1000 K is 25 kT.
"""

from __future__ import annotations

from collections.abc import Sequence
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

    def __init__(self, starts: Sequence[Atoms], temperature_K: float, degrees_of_freedom: int) -> None:
        atoms = starts[0]
        self._symbols = atoms.get_chemical_symbols()
        self._first, self._second = np.triu_indices(len(atoms), k=1)
        self._radii_sum_A = covalent_radii[atoms.numbers][self._first] + covalent_radii[atoms.numbers][self._second]
        self._cell = np.asarray(atoms.cell) if atoms.pbc.any() else None
        self._pbc = atoms.pbc.copy()
        self.temperature_limit_K = temperature_limit_K(temperature_K, degrees_of_freedom)
        self.energy_limit_eV = DRIFT_KT_PER_ATOM * units.kB * temperature_K * len(atoms)
        distances = np.sqrt(self._squared_distances(np.array([start.positions for start in starts])))
        self._bonded = bonds(distances, self._radii_sum_A)
        self._lowest_squared_A2 = np.array([self._lowest(bonded) ** 2 for bonded in self._bonded])
        self._highest_squared_A2 = np.where(self._bonded, BROKEN * self._radii_sum_A, np.inf) ** 2

    def _lowest(self, bonded: np.ndarray) -> np.ndarray:
        """Shortest sound distance in A of each pair of one replica, shape (n_pairs,)."""
        n_atoms = len(self._symbols)
        adjacent = np.zeros((n_atoms, n_atoms), dtype=int)
        adjacent[self._first[bonded], self._second[bonded]] = 1
        adjacent += adjacent.T
        share_neighbour = (adjacent @ adjacent)[self._first, self._second] > 0
        formed = np.where(share_neighbour, FORMED_NEIGHBOURS, FORMED)
        return np.where(bonded, OVERLAP, formed) * self._radii_sum_A

    def _squared_distances(self, positions_A: np.ndarray) -> np.ndarray:
        """Squared distance in A^2 of each pair, shape (n_replicas, n_pairs); the nearest image where periodic."""
        vectors = positions_A[:, self._first] - positions_A[:, self._second]
        if self._cell is not None:
            fractional = vectors @ np.linalg.inv(self._cell)
            fractional -= np.where(self._pbc, np.round(fractional), 0)
            vectors = fractional @ self._cell
        return np.einsum("rpk,rpk->rp", vectors, vectors)

    def check(
        self,
        positions_A: np.ndarray,
        energy_eV: np.ndarray,
        temperature_K: np.ndarray,
        energy_change_eV: np.ndarray | None,
        live: np.ndarray,
    ) -> dict[int, tuple[Outcome, str]]:
        """Failures of live replicas: outcome and cause by replica, none where all are sound.

        Where several detectors fire at one check, the outcome is the first of nonfinite, overlap,
        bond_broken, bond_formed, temperature_runaway, energy_drift, and the cause tells of all.

        Args:
            positions_A: shape (n_replicas, n_atoms, 3).
            energy_eV: potential energies, shape (n_replicas,).
            temperature_K: kinetic temperatures, shape (n_replicas,).
            energy_change_eV: change of the total energy since the start, shape (n_replicas,); None where a
                thermostat changes it.
            live: replicas that have not ended, shape (n_replicas,).
        """
        with np.errstate(invalid="ignore", over="ignore"):
            squared = self._squared_distances(positions_A)
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
    ) -> tuple[Outcome, str]:
        energy_eV, temperature_K, change_eV = values
        cause = nonfinite_cause(self._symbols, positions_A, energy_eV)
        if cause:
            return "nonfinite", cause
        found: list[tuple[Outcome, str]] = []
        ratio = np.sqrt(squared_A2) / self._radii_sum_A
        bonded = self._bonded[replica]
        low = squared_A2 < self._lowest_squared_A2[replica]
        for outcome, pairs, what in (
            ("overlap", low & (bonded | (ratio < OVERLAP)), "overlap"),
            ("bond_broken", squared_A2 > self._highest_squared_A2[replica], "bond broken"),
            ("bond_formed", low & ~bonded & (ratio >= OVERLAP), "bond formed"),
        ):
            if pairs.any():
                found.append((outcome, self._name_pairs(what, pairs, ratio)))  # type: ignore[arg-type]
        if not temperature_K <= self.temperature_limit_K:
            found.append(("temperature_runaway", f"{temperature_K:.4g} K above {self.temperature_limit_K:.0f} K"))
        if not abs(change_eV) <= self.energy_limit_eV:
            found.append(
                ("energy_drift", f"total energy changed by {change_eV:.3g} eV, beyond {self.energy_limit_eV:.3g} eV")
            )
        return found[0][0], "; ".join(text for _, text in found)

    def _name_pairs(self, what: str, pairs: np.ndarray, ratio: np.ndarray) -> str:
        """Say which pairs did it, the furthest from a sound distance first, three at most."""
        order = np.flatnonzero(pairs)
        order = order[np.argsort(-np.abs(np.log(np.maximum(ratio[order], 1e-12))), kind="stable")]
        named = [
            f"{name_atom(self._symbols, self._first[pair])}-{name_atom(self._symbols, self._second[pair])}"
            f" at {ratio[pair] * self._radii_sum_A[pair]:.3g} A"
            for pair in order[:3]
        ]
        more = f" and {len(order) - 3} more" if len(order) > 3 else ""
        return f"{what}: {', '.join(named)}{more}"


def name_atom(symbols: Sequence[str], index: int) -> str:
    """Element and index of an atom, counted from 0 as in ASE: ``C1``."""
    return f"{symbols[index]}{index}"


def nonfinite_cause(symbols: Sequence[str], vectors: np.ndarray, energy_eV: float, what: str = "position") -> str:
    """Say which atoms have a vector that is not finite, or that the energy is not; empty where all is.

    Args:
        symbols: chemical symbols, n_atoms of them.
        vectors: positions or forces, shape (n_atoms, 3).
        energy_eV: of the same replica.
        what: the name of the vectors.
    """
    bad = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
    if bad.size:
        names = ", ".join(name_atom(symbols, index) for index in bad[:3])
        more = f" and {bad.size - 3} more" if bad.size > 3 else ""
        return f"{what} not finite: {names}{more}"
    return "" if np.isfinite(energy_eV) else f"energy is {energy_eV}"
