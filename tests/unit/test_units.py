"""Units of extended XYZ files: what was written in others than Longhot's reads as the same frames."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule

from longhot.datasets import IsolatedAtoms, Splits, extxyz
from longhot.datasets._xyz import Units, read_labelled
from longhot.frames import ENERGY, FORCES, labelled

HARTREE_EV, BOHR_A = 27.211386246, 0.529177210903
"""CODATA 2018; ASE's are those of 2014, which differ from them by less than 1e-8."""
KJ_PER_MOL_EV = 0.0103642697
KCAL_PER_MOL_EV = 4.184 * KJ_PER_MOL_EV
ATOMIC_UNITS = Units("Hartree", "Hartree/Bohr", "Bohr")


def labelled_frames(n: int, seed: int) -> list[Atoms]:
    """Molecules and periodic crystals, with random labels."""
    generator = np.random.default_rng(seed)
    made = []
    for index in range(n):
        atoms = bulk("MgO", "rocksalt", a=4.2) if index % 2 else molecule("H2O")
        atoms.positions += generator.normal(0, 0.05, atoms.positions.shape)
        made.append(labelled(atoms, generator.normal(-500, 1), generator.normal(0, 1, atoms.positions.shape)))
    return made


def isolated_atoms() -> list[Atoms]:
    energies_eV = {"H": -13.6, "O": -75.0, "Mg": -200.0}
    return [labelled(Atoms(symbol), energy_eV, np.zeros((1, 3))) for symbol, energy_eV in energies_eV.items()]


def write(path: Path, frames: list[Atoms], units: Units) -> None:
    """Extended XYZ to all digits, where ASE writes eight decimals."""
    lines = []
    for frame in frames:
        lattice = " ".join(repr(float(x)) for x in (frame.cell.array / units.length_A).ravel())
        periodic = " ".join("FT"[int(axis)] for axis in frame.pbc)
        lines += [
            str(len(frame)),
            f'Lattice="{lattice}" pbc="{periodic}" Properties=species:S:1:pos:R:3:{FORCES}:R:3 '
            f"{ENERGY}={frame.info[ENERGY] / units.energy_eV!r}",
        ]
        columns = np.hstack([frame.positions / units.length_A, frame.arrays[FORCES] / units.forces_eV_per_A])
        for symbol, row in zip(frame.symbols, columns.tolist(), strict=True):
            lines.append(" ".join([symbol, *map(repr, row)]))
    path.write_text("\n".join(lines) + "\n")


def splits(folder: Path, units: Units) -> Splits:
    """Splits of files in these units, read with these units; isolated atoms stand among the frames of the pool."""
    folder.mkdir()
    pool = folder / "pool.xyz"
    write(pool, isolated_atoms() + labelled_frames(12, 0), units)
    write(folder / "test.xyz", labelled_frames(4, 1), units)
    config = extxyz.Config(
        train_pool=pool,
        n_valid=3,
        test_sets={"test": folder / "test.xyz"},
        energy_key=ENERGY,
        forces_key=FORCES,
        energy_unit=units.energy,
        forces_unit=units.forces,
        length_unit=units.length,
        isolated_atoms=IsolatedAtoms(origin="file", path=pool, energy_key=ENERGY),
    )
    return extxyz.splits(config, None, folder)


@pytest.mark.parametrize(
    "units", [ATOMIC_UNITS, Units("kcal/mol", "kcal/mol/A", "A"), Units("kJ/mol", "Hartree/A", "Bohr")], ids=str
)
def test_splits_are_the_same_in_all_units(tmp_path, units):
    expected, found = splits(tmp_path / "eV", Units()), splits(tmp_path / "other", units)
    for name in ("train_pool", "valid", "test"):
        ours, theirs = getattr(found, name), getattr(expected, name)
        assert len(ours) == len(theirs)
        for one, other in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(one.numbers, other.numbers)
            np.testing.assert_array_equal(one.pbc, other.pbc)
            np.testing.assert_allclose(one.positions, other.positions, rtol=0, atol=1e-9)
            np.testing.assert_allclose(one.cell.array, other.cell.array, rtol=0, atol=1e-9)
            np.testing.assert_allclose(one.arrays[FORCES], other.arrays[FORCES], rtol=0, atol=1e-9)
            assert one.info[ENERGY] == pytest.approx(other.info[ENERGY], abs=1e-9)
    assert found.atomic_energies_eV == pytest.approx(expected.atomic_energies_eV, abs=1e-9)
    assert found.facts["source_units"] == f"{units.energy}, {units.forces}, {units.length}"


def test_isolated_atoms_by_value_are_in_eV_whatever_the_files(tmp_path):
    write(tmp_path / "pool.xyz", labelled_frames(4, 0), ATOMIC_UNITS)
    values = {"H": -13.6, "O": -75.0, "Mg": -200.0}
    config = extxyz.Config(
        train_pool=tmp_path / "pool.xyz",
        n_valid=1,
        test_sets={"test": tmp_path / "pool.xyz"},
        energy_key=ENERGY,
        forces_key=FORCES,
        energy_unit="Hartree",
        forces_unit="Hartree/Bohr",
        length_unit="Bohr",
        isolated_atoms=IsolatedAtoms(origin="values", values_eV=values),
    )
    assert extxyz.splits(config, None, tmp_path).atomic_energies_eV == values


@pytest.mark.parametrize(
    ("units", "energy_eV", "forces_eV_per_A", "length_A"),
    [
        (Units(), 1.0, 1.0, 1.0),
        (ATOMIC_UNITS, HARTREE_EV, HARTREE_EV / BOHR_A, BOHR_A),
        (Units("Hartree", "Hartree/A"), HARTREE_EV, HARTREE_EV, 1.0),
        (Units("kcal/mol", "kcal/mol/A"), KCAL_PER_MOL_EV, KCAL_PER_MOL_EV, 1.0),
        (Units("kJ/mol", "kJ/mol/A"), KJ_PER_MOL_EV, KJ_PER_MOL_EV, 1.0),
    ],
    ids=str,
)
def test_factors_are_those_of_the_literature(units, energy_eV, forces_eV_per_A, length_A):
    factors = (units.energy_eV, units.forces_eV_per_A, units.length_A)
    assert factors == pytest.approx((energy_eV, forces_eV_per_A, length_A), rel=1e-7)


def test_default_units_change_no_bit(tmp_path):
    frames = labelled_frames(6, 0)
    write(tmp_path / "a.xyz", frames, Units())
    for one, other in zip(read_labelled(tmp_path / "a.xyz", ENERGY, FORCES, Units()), frames, strict=True):
        assert one.info[ENERGY] == other.info[ENERGY]
        np.testing.assert_array_equal(one.arrays[FORCES], other.arrays[FORCES])
        np.testing.assert_array_equal(one.positions, other.positions)
