"""What every reference method must do with good and bad frames. A new plugin needs an example here."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule

import longhot.references
from longhot import references
from longhot.block import InputError, plugin, plugin_names

EXAMPLES = {
    "ase": {"method": "ase", "calculator": "ase.calculators.emt.EMT", "level_of_theory": "EMT"},
    "lammps": {"method": "lammps", "pair_style": "lj/cut 4.0", "pair_coeff": ["* * 0.01 1.5"]},
    "pyscf": {"method": "pyscf", "xc": "pbe", "basis": "sto-3g", "grid_level": 1},
    "tblite": {"method": "tblite"},
    "xtb": {"method": "xtb"},
}


@pytest.fixture(params=plugin_names(longhot.references))
def config(request):
    assert request.param in EXAMPLES, f"add an example of reference method {request.param}"
    return references.parse(EXAMPLES[request.param])


def frame(shift=0.0):
    atoms = molecule("H2O")
    atoms.positions += shift
    return atoms


def test_labels(config):
    labels = references.label([frame(), molecule("CH4")], config)
    assert [one.status for one in labels] == ["ok", "ok"]
    assert labels[1].forces_eV_per_A.shape == (5, 3)
    assert all(np.isfinite(one.energy_eV) and one.wall_s > 0 for one in labels)


@pytest.mark.parametrize(
    ("spoil", "status"),
    [
        (lambda p: p.__setitem__((0, 0), np.nan), "nonfinite"),
        (lambda p: p.__setitem__((0, 0), np.inf), "nonfinite"),
        (lambda p: p.__setitem__((0, 0), 1e9), "nonfinite"),
        (lambda p: p.__setitem__(0, p[1]), "crashed"),
    ],
    ids=["nan", "infinite", "exploded", "fused"],
)
def test_a_spoilt_frame_is_a_typed_label_and_stops_nothing(config, spoil, status):
    bad = frame()
    spoil(bad.positions)
    good, failed, again = references.label([frame(), bad, frame()], config)
    assert failed.status == status
    assert failed.message
    assert np.isnan(failed.energy_eV)
    assert failed.forces_eV_per_A.shape == (3, 3)
    assert np.isnan(failed.forces_eV_per_A).all()
    assert good.energy_eV == again.energy_eV
    np.testing.assert_array_equal(good.forces_eV_per_A, again.forces_eV_per_A)


def test_isolated_atoms(config):
    assert np.isfinite(references.isolated_atom_energy_eV("O", config))


def test_batch_equals_labels_and_isolates_a_failure(config):
    atoms = frame()
    positions = atoms.positions + np.random.default_rng(0).normal(0.0, 0.02, (3, 3, 3))
    positions[1, 0] = np.nan
    batch = references.ReferencePotential(config).batch(atoms, 3)
    found = batch.compute(positions)
    assert list(found.errors) == [1]
    assert np.isnan(found.energy_eV[1])
    for index in (0, 2):
        moved = atoms.copy()
        moved.positions = positions[index]
        alone = references.ReferencePotential(config).predict([moved])[0]
        assert found.energy_eV[index] == alone.energy_eV
        np.testing.assert_array_equal(found.forces_eV_per_A[index], alone.forces_eV_per_A)


def test_level_and_round_trip(config):
    assert references.level_of_theory(config)
    assert references.parse(config.model_dump(mode="json")) == config
    assert all(field.description for field in type(config).model_fields.values())
    assert "Config" in dir(plugin(longhot.references, config.method))


@pytest.mark.parametrize("method", ["xtb", "tblite"])
def test_scf_that_does_not_converge(method):
    config = references.parse({"method": method, "max_iterations": 2})
    found = references.label([molecule("CH3CH2OH")], config)[0]
    assert found.status == "not_converged"


@pytest.mark.parametrize(
    ("raw", "sentence"),
    [
        ({}, "`method` is missing"),
        ({"method": "dft"}, "unknown name 'dft' in references: use one of ase, lammps, pyscf, tblite, xtb"),
        ({"method": "xtb", "hamiltonian": "GFN9"}, "hamiltonian.*GFN2-xTB"),
        ({"method": "xtb", "acuracy": 1.0}, "acuracy"),
        ({"method": "ase", "calculator": "EMT", "level_of_theory": "EMT"}, "calculator"),
    ],
)
def test_bad_blocks(raw, sentence):
    with pytest.raises(InputError, match=sentence):
        references.parse(raw)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"calculator": "ase.calculators.emt.NoSuch"}, "cannot be imported"),
        ({"calculator": "no_such_package.Calculator"}, "cannot be imported"),
        ({"arguments": {"file": 1, "nonsense": 2}, "calculator": "ase.calculators.lj.Nothing"}, "cannot be imported"),
        ({"calculator": "ase.calculators.qmmm.SimpleQMMM", "arguments": {"nonsense": 1}}, "refuses its arguments"),
    ],
)
def test_bad_ase_calculators(change, sentence):
    config = references.parse(EXAMPLES["ase"] | change)
    with pytest.raises(InputError, match=sentence):
        references.label([frame()], config)


def test_element_without_isolated_atom():
    config = references.parse(EXAMPLES["ase"])
    with pytest.raises(InputError, match="no energy for an isolated U atom"):
        references.isolated_atom_energy_eV("U", config)


@pytest.mark.parametrize("shift_A", [0.0, 9e3])
def test_fused_nuclei_are_told_from_close_ones_wherever_they_are(shift_A):
    config = references.parse(EXAMPLES["ase"])
    for distance_A, status in ((0.049, "crashed"), (0.051, "ok")):
        atoms = Atoms("CuH2", positions=[(0, 0, 2), (0, 0, 0), (0, distance_A, 0)])
        atoms.positions += shift_A
        assert references.label([atoms], config)[0].status == status
