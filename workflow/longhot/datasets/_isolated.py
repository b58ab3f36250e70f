"""Energies of isolated atoms, from wherever the config says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from longhot import frames, references
from longhot.block import Block, InputError
from longhot.datasets import IsolatedAtoms

if TYPE_CHECKING:
    from ase import Atoms


def elements(pool: Sequence[Atoms]) -> list[str]:
    """Element symbols of the frames, by atomic number."""
    from ase.data import chemical_symbols

    return [chemical_symbols[number] for number in sorted({int(n) for frame in pool for n in frame.numbers})]


def resolve(
    block: IsolatedAtoms,
    wanted: Sequence[str],
    reference: Block | None,
    pool: Sequence[Atoms] = (),
    published_eV: dict[str, float] | None = None,
) -> tuple[dict[str, float], str]:
    """Energies in eV of the elements ``wanted``, and their origin in words.

    Raises:
        InputError: an element has none, or what the origin needs is not there.
    """
    if block.origin == "reference":
        if reference is None:
            raise InputError("isolated_atoms: origin `reference` needs the dataset's key `reference`, add it")
        found = {symbol: references.isolated_atom_energy_eV(symbol, reference) for symbol in wanted}
        origin = f"{references.level_of_theory(reference)}, each atom neutral and in its ground-state spin"
    elif block.origin == "file":
        found, origin = _from_file(block), f"file {block.path}"
    elif block.origin == "values":
        found, origin = dict(block.values_eV or {}), "stated in the config"
    elif block.origin == "published":
        if published_eV is None:
            raise InputError("isolated_atoms: this source publishes no atomic energies, choose another `origin`")
        found, origin = published_eV, "published with the dataset"
    else:
        found = fitted_eV(pool, wanted)
        origin = (
            "none known: least-squares energies per element over the train pool stand in for them, "
            "so the energy of a separated atom means nothing"
        )
    for symbol in wanted:
        if symbol not in found:
            raise InputError(
                f"isolated_atoms: no energy for the element {symbol} (origin `{block.origin}`), "
                "add it or choose another `origin`"
            )
        if not np.isfinite(found[symbol]):
            raise InputError(f"isolated_atoms: the energy of {symbol} is {found[symbol]}, correct it")
    return {symbol: float(found[symbol]) for symbol in wanted}, origin


def fitted_eV(pool: Sequence[Atoms], wanted: Sequence[str]) -> dict[str, float]:
    """Energy per element in eV that best explains the total energies; of minimum norm where many do."""
    counts = np.array([[frame.symbols.count(symbol) for symbol in wanted] for frame in pool], dtype=float)
    return dict(zip(wanted, np.linalg.lstsq(counts, frames.energies(pool), rcond=None)[0].tolist(), strict=True))


def _from_file(block: IsolatedAtoms) -> dict[str, float]:
    from longhot.datasets._checks import checked_numbers
    from longhot.datasets._xyz import energy_of, read_all

    assert block.path is not None
    found = {}
    for index, atoms in enumerate(read_all(block.path)):
        if len(atoms) == 1:
            checked_numbers(atoms.numbers, f"{block.path}, frame {index}: its atomic numbers")
            found[atoms[0].symbol] = energy_of(atoms, block.energy_key, f"{block.path}, frame {index}")
    return found
