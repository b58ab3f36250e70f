"""What is wrong with a dataset (an error), and what looks wrong (a warning that names the suspicion)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from longhot import frames
from longhot.block import InputError
from longhot.datasets import Splits
from longhot.datasets._checks import check_geometry, check_labels
from longhot.datasets._isolated import elements, fitted_eV

if TYPE_CHECKING:
    from ase import Atoms

FORCE_RMS_RANGE_EV_PER_A = (0.1, 15.0)
"""Root mean square of force components: 0.5 to 3 for molecules at 300 to 2000 K. The factor to kcal/mol
is 23, to kJ/mol 96, to Hartree/Bohr 1/51, so that each of these units leaves this range."""
DISPLACEMENT_RANGE_A = (0.004, 0.3)
"""Spread of the energy over the norm of the forces, a length: for classical harmonic vibrations
sqrt(kT / 2k), 0.02 to 0.05 A. A wrong unit of one of the two moves it by a factor of 20 or more."""
BINDING_RANGE_EV_PER_ATOM = (-12.0, 1.0)
"""Energy relative to isolated atoms: -9 (metals, solids) to 0."""
NEIGHBOUR_RANGE = (0.7, 1.5)
"""Distance of an atom to its nearest neighbour, over the sum of their covalent radii: near 1 in molecules, salts
and metals. A length in Bohr makes it 1.9 times as large, one that is wrongly taken for Bohr half as large."""
NEIGHBOUR_FRAMES = 20
"""So many frames tell a unit."""
TORQUE_LIMIT = 0.05
"""Net force and torque relative to what they sum over: zero without an outer field."""


def check_pool_size(n_train_pool: int, largest_train_size: int) -> None:
    """Refuse a training size that the pool cannot serve."""
    if largest_train_size > n_train_pool:
        raise InputError(
            f"learning_curves.train_sizes: {largest_train_size} is larger than the train pool of {n_train_pool} "
            "frames, lower it or enlarge the pool"
        )


def _fingerprint(frame: Atoms) -> bytes:
    """Elements and positions, to 1e-5 A; adding zero turns -0.0 into 0.0."""
    return frame.numbers.tobytes() + (np.round(frame.positions, 5) + 0.0).tobytes()


def _named(frame: Atoms, split: str, index: int) -> str:
    source = f" (frame {frame.info['source_frame']} of its source)" if "source_frame" in frame.info else ""
    return f"frame {index} of {split}{source}"


def check(splits: Splits) -> None:
    """Refuse splits that no model can be judged by.

    Raises:
        InputError: an empty split, a frame as in ``check_labels`` and ``check_geometry``, an element that the
            pool lacks or that has no isolated-atom energy, a frame that stands in two splits.
    """
    for name, split in (("train_pool", splits.train_pool), ("valid", splits.valid), ("test", splits.test)):
        if not split:
            raise InputError(f"{name}: holds no frame, give it some")
        for index, frame in enumerate(split):
            where = _named(frame, name, index)
            check_labels(frame, where)
            check_geometry(frame, where)
    _check_elements(splits)
    _check_disjoint(splits)


def _check_elements(splits: Splits) -> None:
    known = set(elements(splits.train_pool))
    for name, split in (("valid", splits.valid), ("test", splits.test)):
        for index, frame in enumerate(split):
            unknown = sorted(set(frame.symbols) - known)
            if unknown:
                raise InputError(
                    f"{_named(frame, name, index)}: the element {unknown[0]} is in no frame of the train pool, "
                    "add such frames there or remove this one"
                )
    for symbol in sorted(known - set(splits.atomic_energies_eV)):
        raise InputError(f"isolated_atoms: no energy for the element {symbol}, add it")


def _check_disjoint(splits: Splits) -> None:
    seen = {_fingerprint(frame): _named(frame, "train_pool", index) for index, frame in enumerate(splits.train_pool)}
    for index, frame in enumerate(splits.valid):
        twin = seen.get(_fingerprint(frame))
        if twin:
            raise InputError(f"{_named(frame, 'valid', index)} is also {twin}: remove one of them")
    seen |= {_fingerprint(frame): _named(frame, "valid", index) for index, frame in enumerate(splits.valid)}
    for index, frame in enumerate(splits.test):
        twin = seen.get(_fingerprint(frame))
        if twin:
            raise InputError(f"{_named(frame, 'test', index)} is also {twin}: remove one of them")


def n_duplicates(split: Sequence[Atoms]) -> int:
    """Frames that repeat an earlier one of the same split."""
    return len(split) - len({_fingerprint(frame) for frame in split})


def suspicions(splits: Splits) -> list[str]:
    """Sentences on what is implausible; none of it is certain enough to stop a study."""
    pool = splits.train_pool
    found = [_outer_forces(pool)]
    if not splits.sampled_here:
        found += [_force_scale(pool), _energy_scale(pool), _length_scale(pool)]
    if not splits.atomic_energies_origin.startswith("none known"):
        found.append(_binding(pool, splits.atomic_energies_eV))
    repeated = n_duplicates(pool)
    if repeated:
        found.append(f"{repeated} frames of the train pool repeat another frame of it")
    return [sentence for sentence in found if sentence]


def force_rms_eV_per_A(split: Sequence[Atoms]) -> float:
    """Root mean square of all force components."""
    return float(np.sqrt(np.mean(np.concatenate([forces.ravel() for forces in frames.forces(split)]) ** 2)))


def _force_scale(pool: Sequence[Atoms]) -> str | None:
    low, high = FORCE_RMS_RANGE_EV_PER_A
    rms = force_rms_eV_per_A(pool)
    if low <= rms <= high:
        return None
    unit = "kcal/mol/A or kJ/mol/A" if rms > high else "Hartree/Bohr or Hartree/A"
    return (
        f"the forces have a root mean square of {rms:.3g}, implausible in eV/A (expected {low:g} to {high:g}): "
        f"are they in {unit} (source extxyz converts: set `forces_unit` and `energy_unit`)?"
    )


def _energy_scale(pool: Sequence[Atoms]) -> str | None:
    known = elements(pool)
    per_element = fitted_eV(pool, known)
    baseline = np.array([sum(per_element[symbol] for symbol in frame.symbols) for frame in pool])
    residual = frames.energies(pool) - baseline
    norm = np.sqrt(np.mean([np.sum(forces**2) for forces in frames.forces(pool)]))
    if len(pool) < 20 or norm == 0:
        return None
    low, high = DISPLACEMENT_RANGE_A
    length = float(residual.std() / norm)
    if low <= length <= high:
        return None
    per_atom = float(np.std(residual / np.array([len(frame) for frame in pool])))
    cause = (
        "energies in kcal/mol or kJ/mol beside forces in eV/A"
        if length > high
        else "energies in Hartree, or forces in kcal/mol/A"
    )
    return (
        f"the energies spread by {per_atom:.3g} per atom, which with these forces means displacements of {length:.2g} "
        f"A (expected {low:g} to {high:g}): are there {cause} (source extxyz converts: set `energy_unit` or "
        "`forces_unit`)?"
    )


def _length_scale(pool: Sequence[Atoms]) -> str | None:
    """Of compounds only: the sites of one element may be held together by other than chemical bonds (argon, mW)."""
    compounds = [frame for frame in pool if len(set(frame.numbers)) > 1][:NEIGHBOUR_FRAMES]
    if not compounds:
        return None
    low, high = NEIGHBOUR_RANGE
    ratio = float(np.median(np.concatenate([_nearest_over_covalent(frame) for frame in compounds])))
    if low <= ratio <= high:
        return None
    return (
        f"the nearest neighbours stand at {ratio:.2g} times the sum of their covalent radii (expected {low:g} to "
        f"{high:g}): are the positions in {'Bohr' if ratio > high else 'A, not in Bohr'} (source extxyz converts: set "
        "`length_unit`)?"
    )


def _nearest_over_covalent(frame: Atoms) -> np.ndarray:
    """Distance of each atom to its nearest neighbour, over the sum of their covalent radii, at most 2, (n_atoms,)."""
    from ase.data import covalent_radii
    from ase.neighborlist import neighbor_list

    radii = covalent_radii[frame.numbers]
    first, second, distances = neighbor_list("ijd", frame, 2.0 * radii)
    nearest = np.full(len(frame), 2.0)
    np.minimum.at(nearest, first, distances / (radii[first] + radii[second]))
    return nearest


def _outer_forces(pool: Sequence[Atoms]) -> str | None:
    """Without an outer field a molecule's forces have neither a sum nor a torque; permuted rows have the latter."""
    free = [frame for frame in pool if not frame.pbc.any()]
    if not free:
        return None
    ratios = []
    for frame in free:
        forces = frame.arrays[frames.FORCES]
        arms = frame.positions - frame.positions.mean(axis=0)
        torques = np.cross(arms, forces)
        scale = np.linalg.norm(arms, axis=1) @ np.linalg.norm(forces, axis=1)
        net = np.linalg.norm(forces.sum(axis=0)) / max(np.linalg.norm(forces, axis=1).sum(), 1e-12)
        ratios.append(max(net, np.linalg.norm(torques.sum(axis=0)) / max(scale, 1e-12)))
    ratio = float(np.median(ratios))
    if ratio <= TORQUE_LIMIT:
        return None
    return (
        f"the forces leave a net force or torque of {100 * ratio:.0f} % of their sum of norms: "
        "do they belong to other atoms or other frames, or is there an outer field?"
    )


def _binding(pool: Sequence[Atoms], atomic_energies_eV: dict[str, float]) -> str | None:
    low, high = BINDING_RANGE_EV_PER_ATOM
    binding = float(
        np.mean(
            [
                (frame.info[frames.ENERGY] - sum(atomic_energies_eV[symbol] for symbol in frame.symbols)) / len(frame)
                for frame in pool
            ]
        )
    )
    if low <= binding <= high:
        return None
    return (
        f"the frames lie {binding:.4g} eV per atom from their isolated atoms, implausible (expected {low:g} to "
        f"{high:g}): are both at one level of theory and in eV (source extxyz: `energy_unit`)?"
    )
