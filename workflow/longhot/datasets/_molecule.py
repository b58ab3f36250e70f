"""The molecule that is sampled: by name, SMILES or structure file, relaxed with the reference."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from longhot import references
from longhot.block import Block, InputError
from longhot.datasets._checks import check_geometry, checked_numbers, existing, reason
from longhot.datasets._xyz import check_lines

if TYPE_CHECKING:
    from ase import Atoms

logger = logging.getLogger(__name__)

EMBEDDING_SEED = 1
RELAXED_FORCE_EV_PER_A = 0.01
RELAXATION_STEPS = 500


def from_name(name: str) -> Atoms:
    """A molecule of ASE's g2 set."""
    from ase.build import molecule
    from ase.collections import g2

    if name not in g2.names:
        raise InputError(
            f"molecule: no {name!r} in ASE's g2 set, use a name such as CH3CH2OH, or give `smiles` or `structure_file`"
        )
    return molecule(name)


def from_smiles(smiles: str) -> Atoms:
    """A molecule by RDKit: hydrogens added, embedded with a fixed seed, relaxed with MMFF where it can be."""
    from ase import Atoms
    from rdkit import Chem, rdBase
    from rdkit.Chem import rdDistGeom, rdForceFieldHelpers

    rdBase.DisableLog("rdApp.*")
    parsed = Chem.MolFromSmiles(smiles)
    if parsed is None:
        raise InputError(f"smiles: {smiles!r} is no valid SMILES, correct it")
    molecule = Chem.AddHs(parsed)
    if rdDistGeom.EmbedMolecule(molecule, randomSeed=EMBEDDING_SEED) != 0:
        raise InputError(f"smiles: RDKit finds no three-dimensional structure of {smiles!r}, give `structure_file`")
    rdForceFieldHelpers.MMFFOptimizeMolecule(molecule)
    numbers = checked_numbers([atom.GetAtomicNum() for atom in molecule.GetAtoms()], f"smiles: elements of {smiles!r}")
    return Atoms(numbers=numbers, positions=molecule.GetConformer().GetPositions())


def from_file(path: Path) -> Atoms:
    """The last structure of a file in any format that ASE knows."""
    import ase.io
    from ase import Atoms

    existing(path)
    if path.suffix in (".xyz", ".extxyz"):
        check_lines(path)
    try:
        read = ase.io.read(path, do_not_split_by_at_sign=True)
    except (Exception, SystemExit) as error:  # as many readers as formats
        raise InputError(f"structure_file: {path} cannot be read ({reason(error)}), give another file") from None
    if read.pbc.any():
        raise InputError(f"structure_file: {path} is periodic, give a molecule")
    checked_numbers(read.numbers, f"structure_file: atomic numbers in {path}")
    check_geometry(read, f"structure_file: {path}")
    return Atoms(numbers=read.numbers, positions=read.positions)


def relaxed(atoms: Atoms, reference: Block) -> Atoms:
    """``atoms`` at the nearest minimum of the reference, centred on its centre of mass.

    Raises:
        InputError: the reference fails on the way.
    """
    from ase.optimize import BFGS

    from longhot.potential_calculator import PotentialCalculator

    first = references.label([atoms], reference)[0]
    if first.status != "ok":
        raise InputError(
            f"reference {references.level_of_theory(reference)} fails on the starting structure "
            f"({first.status}: {first.message}), correct the molecule, its charge or the reference"
        )
    moved = atoms.copy()
    calculator = PotentialCalculator(references.ReferencePotential(reference), moved)
    calculator.allow(RELAXATION_STEPS + 1)
    moved.calc = calculator
    try:
        converged = BFGS(moved, logfile=None).run(fmax=RELAXED_FORCE_EV_PER_A, steps=RELAXATION_STEPS)
    except Exception as error:  # any code may stand behind the calculator
        raise InputError(f"the reference fails while it relaxes the molecule ({error}), give a better start") from None
    if not converged:
        logger.warning("the molecule is not relaxed after %d steps; sampling starts there", RELAXATION_STEPS)
    moved.calc = None
    moved.positions -= np.average(moved.positions, axis=0, weights=moved.get_masses())
    return moved
