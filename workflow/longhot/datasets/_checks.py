"""What must hold of every single frame, whatever file it comes from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from longhot import frames
from longhot.block import InputError, one_line
from longhot.references import LARGEST_COORDINATE_A, SMALLEST_DISTANCE_A

if TYPE_CHECKING:
    from ase import Atoms

MOST_ATOMS = 1_000_000
LAST_ELEMENT = 118
LARGEST_FORCE_EV_PER_A = 1e5
"""Hot or crushed matter stays below 1e3, whatever the unit that it was written in."""
LARGEST_ENERGY_EV_PER_ATOM = 1e8
"""Uranium has 8e5 with all its electrons, in kJ/mol 7e7."""
SMALLEST_HEIGHT_A = 0.5
"""Of a cell: no crystal is so thin, and its images would fill the memory."""


def existing(path: Path) -> Path:
    """``path``, which is a file that can be read.

    Raises:
        InputError: it is not.
    """
    try:
        if not path.is_file():
            raise InputError(f"{path}: no such file, correct the path in the config")
        with path.open("rb"):
            return path
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}), correct the path or its permissions") from None


def checked_array(raw: Any, shape: tuple[int, ...], what: str) -> np.ndarray:
    """``raw`` as an array of finite floats of a shape.

    Raises:
        InputError: it is none.
    """
    try:
        array = np.asarray(raw)
        if array.dtype.kind not in "fiu":
            raise TypeError
        array = array.astype(float)
    except (TypeError, ValueError):
        raise InputError(f"{what} hold something that is no number, correct them") from None
    if array.shape != shape:
        wanted = (
            f"{shape[0]} atoms need {shape}: they belong to other atoms" if len(shape) == 2 else f"needed is {shape}"
        )
        raise InputError(f"{what} have the shape {array.shape}, but {wanted}")
    if not np.isfinite(array).all():
        raise InputError(f"{what} hold NaN or infinity, remove the frame or compute it again")
    return array


def checked_numbers(raw: Any, what: str) -> np.ndarray:
    """``raw`` as atomic numbers, shape (n_atoms,).

    Raises:
        InputError: they are no such numbers.
    """
    numbers = np.asarray(raw)
    if numbers.ndim != 1 or numbers.dtype.kind not in "iu" or not 1 <= len(numbers) <= MOST_ATOMS:
        raise InputError(f"{what} must be one whole number an atom, correct them")
    if numbers.min() < 1 or numbers.max() > LAST_ELEMENT:
        wrong = int(numbers[(numbers < 1) | (numbers > LAST_ELEMENT)][0])
        raise InputError(f"{what} hold {wrong}, which is no element's (1 to {LAST_ELEMENT}), correct them")
    return numbers.astype(int)


def check_geometry(frame: Atoms, where: str) -> None:
    """Refuse positions and a cell that no simulation can begin with.

    Raises:
        InputError: a position is not finite or beyond all molecules, two nuclei have fused, or the cell is flat.
    """
    if not (np.isfinite(frame.positions).all() and np.isfinite(frame.cell.array).all()):
        raise InputError(f"{where}: a position or the cell is NaN or infinite, remove it")
    furthest_A = float(np.abs(frame.positions).max(initial=0.0))
    if furthest_A > LARGEST_COORDINATE_A:
        raise InputError(
            f"{where}: a coordinate of {furthest_A:.3g} A, more than {LARGEST_COORDINATE_A:g}, remove it or check "
            "its unit"
        )
    if frame.pbc.any():
        _check_cell(frame, where)
    if _has_fused(frame):
        raise InputError(
            f"{where}: two atoms are less than {SMALLEST_DISTANCE_A:g} A apart, remove it or check its unit"
        )


def _check_cell(frame: Atoms, where: str) -> None:
    cell_A = frame.cell.array
    if np.linalg.matrix_rank(cell_A[frame.pbc]) < frame.pbc.sum():
        raise InputError(f"{where}: is periodic along an axis without cell vector, correct its Lattice or pbc")
    heights_A = 1 / np.linalg.norm(np.linalg.pinv(cell_A[frame.pbc]), axis=0)
    if heights_A.min() < SMALLEST_HEIGHT_A or np.abs(cell_A).max() > LARGEST_COORDINATE_A:
        raise InputError(
            f"{where}: its cell is {heights_A.min():.3g} A high and has edges of up to {np.abs(cell_A).max():.3g} A, "
            f"must be at least {SMALLEST_HEIGHT_A:g} and at most {LARGEST_COORDINATE_A:g}, correct its Lattice"
        )


def _has_fused(frame: Atoms) -> bool:
    if frame.pbc.any():
        from ase.neighborlist import neighbor_list

        return len(neighbor_list("i", frame, SMALLEST_DISTANCE_A)) > 0
    from scipy.spatial import cKDTree

    return len(cKDTree(frame.positions).query_pairs(SMALLEST_DISTANCE_A)) > 0


def check_labels(frame: Atoms, where: str) -> None:
    """Refuse a frame whose labels are missing, of other atoms, not finite or beyond all matter.

    Raises:
        InputError: with the reason.
    """
    forces = frame.arrays.get(frames.FORCES)
    if frames.ENERGY not in frame.info or forces is None:
        raise InputError(f"{where}: has no {frames.ENERGY} or no {frames.FORCES}, label it")
    if forces.shape != (len(frame), 3):
        raise InputError(f"{where}: forces of shape {forces.shape} do not belong to its {len(frame)} atoms")
    energy_eV = frame.info[frames.ENERGY]
    if not (np.isfinite(energy_eV) and np.isfinite(forces).all()):
        raise InputError(f"{where}: its energy or a force is NaN or infinite, remove it or compute it again")
    for value, limit, unit in (
        (abs(energy_eV) / len(frame), LARGEST_ENERGY_EV_PER_ATOM, "eV an atom"),
        (np.abs(forces).max(), LARGEST_FORCE_EV_PER_A, "eV/A"),
    ):
        if value > limit:
            raise InputError(
                f"{where}: a label of {value:.3g} {unit}, more than {limit:g}, remove it or check its unit"
            )


def reason(error: BaseException) -> str:
    """What a reader says of a file that it cannot read, on one line and cut where it is long."""
    text = one_line(" ".join(str(error).split()))
    return f"{type(error).__name__}: {text[:200]}"
