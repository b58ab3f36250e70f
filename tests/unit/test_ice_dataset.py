"""The source `ice`: both phases, the densities asked for, and the same frames from the same seed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from ase import Atoms

from longhot import datasets, files, frames, references
from longhot.block import InputError
from longhot.datasets import Splits, _md, _validate, ice
from longhot.datasets._ice import ice_ih_sites
from longhot.observables.crystallinity import crystalline_share
from longhot.potential import BatchResult

MW = references.parse({"method": "lammps"})


def config(**changes: Any) -> ice.Config:
    raw = {
        "source": "ice",
        "reference": "mw",
        "repeats": [2, 2, 1],
        "volume_strains": [-0.05, 0.0, 0.05],
        "solid_temperatures_K": [150, 250],
        "liquid_temperatures_K": [280, 330],
        "melt_fs": 2000,
        "n_train_pool": 36,
        "n_valid": 12,
        "n_test": 12,
        "sample_interval_fs": 200,
        "equilibration_fs": 1000,
    }
    return datasets.parse(raw | changes)  # type: ignore[return-value]


@pytest.fixture(scope="module")
def sampled(tmp_path_factory: pytest.TempPathFactory) -> Splits:
    return ice.splits(config(), MW, tmp_path_factory.mktemp("work"))


def sets_of(splits: Splits) -> dict[str, list[Atoms]]:
    return {"train_pool": splits.train_pool, "valid": splits.valid, "test": splits.test}


def test_each_set_shares_its_frames_between_phases_temperatures_and_strains(sampled):
    for name, n_each in (("train_pool", 3), ("valid", 1), ("test", 1)):
        split = sets_of(sampled)[name]
        states = [frame.info["trajectory"] for frame in split]
        assert len(set(states)) == 12
        assert {states.count(state) for state in states} == {n_each}
        for phase, temperatures_K in (("solid", {150, 250}), ("liquid", {280, 330})):
            mine = [frame for frame in split if frame.info["phase"] == phase]
            assert len(mine) == len(split) // 2
            assert {frame.info["temperature_K"] for frame in mine} == temperatures_K
    assert all(frame.info[frames.TEST_SET] == "test" for frame in sampled.test)


def test_half_of_the_frames_are_ice_and_half_are_liquid(sampled):
    for split in sets_of(sampled).values():
        for frame in split:
            share = crystalline_share(frame.positions, frame.cell.array)
            assert share > 0.6 if frame.info["phase"] == "solid" else share < 0.35, frame.info["trajectory"]


def test_volumes_are_those_of_the_strains(sampled):
    start = ice_ih_sites((2, 2, 1))
    for split in sets_of(sampled).values():
        for frame in split:
            strain = float(frame.info["trajectory"].rpartition("K")[2].removeprefix("-").rstrip("%")) / 100
            assert strain in (-0.05, 0.0, 0.05)
            assert frame.get_volume() / start.get_volume() - 1 == pytest.approx(strain, abs=1e-9)
            np.testing.assert_allclose(frame.cell.array / np.cbrt(1 + strain), start.cell.array, atol=1e-9)


def test_the_temperature_is_in_the_displacements(sampled):
    """Warmer ice stands further from its lattice."""
    spread = {}
    for temperature_K in (150, 250):
        mine = [
            frame
            for frame in sampled.train_pool
            if frame.info["phase"] == "solid" and frame.info["temperature_K"] == temperature_K
        ]
        spread[temperature_K] = np.mean([np.square(frame.arrays["REF_forces"]).mean() for frame in mine])
    assert 1.2 < spread[250] / spread[150] < 2.4


def test_sites_have_the_mass_of_a_molecule(sampled):
    for split in sets_of(sampled).values():
        for frame in split:
            np.testing.assert_allclose(frame.get_masses(), 18.015, atol=1e-3)
            assert set(frame.symbols) == {"O"}


def test_no_frame_stands_twice(sampled):
    everything = [frame.positions for split in sets_of(sampled).values() for frame in split]
    for index, positions_A in enumerate(everything):
        assert all(np.abs(positions_A - other).max() > 1e-3 for other in everything[:index])


def test_labels_are_those_of_the_reference(sampled):
    """But for the digits of the file that each trajectory is kept in."""
    for frame in sampled.train_pool[::7]:
        (label,) = references.label([frame], MW)
        assert frame.info[frames.ENERGY] == pytest.approx(label.energy_eV, abs=1e-6)
        np.testing.assert_allclose(frame.arrays[frames.FORCES], label.forces_eV_per_A, atol=1e-6)


SHORT = {
    "repeats": [1, 2, 1],
    "volume_strains": [0.0],
    "melt_fs": 200,
    "n_train_pool": 8,
    "n_valid": 4,
    "n_test": 4,
    "sample_interval_fs": 50,
    "equilibration_fs": 100,
}


def positions_A(splits: Splits) -> np.ndarray:
    return np.array([frame.positions for split in sets_of(splits).values() for frame in split])


def test_workers_change_nothing_and_the_seed_everything(tmp_path):
    one, two, other = (
        ice.splits(config(**SHORT, seed=seed), MW, tmp_path, workers) for seed, workers in ((4, 1), (4, 2), (5, 1))
    )
    np.testing.assert_array_equal(positions_A(one), positions_A(two))
    for a, b in zip(one.train_pool, two.train_pool, strict=True):
        assert a.info == b.info
        np.testing.assert_array_equal(a.arrays[frames.FORCES], b.arrays[frames.FORCES])
    assert (np.abs(positions_A(one) - positions_A(other)).max(axis=(1, 2)) > 1e-3).all()


def test_water_molecules_are_proton_disordered_ice_by_any_reference(tmp_path):
    """Of a pair style of two elements; the isolated atoms are those of the reference."""
    model = {"method": "lammps", "pair_style": "lj/cut 5.0", "pair_coeff": ["* * 1e-9 0.1"], "elements": ["H", "O"]}
    short = SHORT | {"melt_fs": 2, "sample_interval_fs": 1, "equilibration_fs": 1, "time_step_fs": 0.5}
    splits = ice.splits(config(**short, molecule="H2O"), references.parse(model), tmp_path)
    (first, *_) = splits.train_pool
    assert str(first.symbols) == "OH2" * 16
    assert first.get_masses()[:3] == pytest.approx([15.999, 1.008, 1.008])
    assert splits.atomic_energies_eV == {"H": 0.0, "O": 0.0}


def test_card_suspects_no_unit_of_what_was_sampled_here(sampled, tmp_path, monkeypatch):
    """Two phases spread the energies further than vibrations do, which in a file tells of a wrong unit."""
    monkeypatch.setattr(ice, "splits", lambda *_: sampled)
    datasets.build(config(), MW, tmp_path, 20)
    assert files.read_json(tmp_path / "card.json")["warnings"] == []
    assert "the energies spread" in _validate.suspicions(replace(sampled, sampled_here=False))[0]


def test_what_is_no_matter_of_units_is_still_told(sampled):
    repeated = replace(sampled, train_pool=[*sampled.train_pool, sampled.train_pool[0]])
    assert _validate.suspicions(repeated) == ["1 frames of the train pool repeat another frame of it"]
    apart = replace(sampled, atomic_energies_eV={"O": -2041.0})
    assert "are both at one level of theory" in _validate.suspicions(apart)[0]


def test_without_a_reference(tmp_path):
    with pytest.raises(InputError, match="source `ice` needs the key `reference`"):
        ice.splits(config(), None, tmp_path)


def test_a_reference_that_does_not_know_water_ends_in_one_sentence(tmp_path):
    with pytest.raises(InputError, match="a frame holds H, which it does not describe: it knows O"):
        ice.splits(config(**SHORT, molecule="H2O"), MW, tmp_path)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"volume_strains": []}, "volume_strains"),
        ({"volume_strains": [0.3]}, "volume_strains"),
        ({"repeats": [1, 2]}, "repeats"),
        ({"molecule": "H2S"}, "molecule"),
        ({"melt_temperature_K": 0}, "melt_temperature_K"),
    ],
)
def test_bad_blocks(changes, sentence):
    with pytest.raises(InputError, match=sentence):
        config(**changes)


def test_interrupted_build_resumes_to_the_same_frames(tmp_path, monkeypatch):
    """Whole trajectories are not sampled again, and the dataset is that of an unbroken build."""
    datasets.build(config(**SHORT), MW, tmp_path / "unbroken", 1)
    calls, sample = tmp_path / "calls", _md.sample

    def dies_at_third(*arguments):
        with calls.open("a") as file:
            file.write(f"{arguments[-1]}\n")
        if len(calls.read_text().splitlines()) == 3:
            raise KeyboardInterrupt
        return sample(*arguments)

    monkeypatch.setattr(ice, "sample", dies_at_third)
    with pytest.raises(KeyboardInterrupt):
        datasets.build(config(**SHORT), MW, tmp_path / "broken", 1)
    datasets.build(config(**SHORT), MW, tmp_path / "broken", 1)
    done = calls.read_text().splitlines()
    # Four states for each of three sets; the first two were whole.
    assert 13 <= len(done) <= 15
    for path in (tmp_path / "unbroken").iterdir():
        assert path.read_bytes() == (tmp_path / "broken" / path.name).read_bytes(), path.name


def test_another_config_takes_no_trajectory_over():
    digests = [
        {task.digest for task in ice.trajectories(config(**changes), origin)}
        for changes, origin in (({}, "a"), ({}, "b"), ({"seed": 1}, "a"))
    ]
    assert len(set.union(*digests)) == sum(map(len, digests)) == 36 * 3


class Failing:
    """A batch that fails at some of its calls."""

    def __init__(self, failing):
        self.failing, self.n_calls = failing, 0

    def compute(self, positions_A, cell_A=None):
        self.n_calls += 1
        errors = {0: "timeout: it took longer than 1 s"} if self.failing(self.n_calls) else {}
        return BatchResult(np.zeros(1), np.zeros_like(positions_A), errors)


HOT = _md.Sampling(700, 5.0, 2.0, 50.0, 0.0)


def test_melting_begins_again_where_the_reference_fails():
    start, batch = ice.ice_ih("site", (1, 2, 1), 0), Failing(lambda call: call in (1, 4))
    melted, restarts = _md.held(batch, start, HOT, np.random.default_rng(0), "liquid")
    assert restarts == 2
    # At once, at the third of ten steps, and then all ten and the first forces.
    assert batch.n_calls == 1 + 3 + 11
    assert np.abs(melted.positions - start.positions).max() > 0.01


def test_reference_that_fails_at_the_melting_temperature_is_one_sentence():
    start = ice.ice_ih("site", (1, 2, 1), 0)
    sentence = (
        r"^liquid: the reference failed 11 times in sampling, at last with timeout: it took longer than 1 s: lower"
    )
    with pytest.raises(InputError, match=sentence):
        _md.held(Failing(lambda call: True), start, HOT, np.random.default_rng(0), "liquid")


def test_failures_while_melting_are_told_in_the_card(tmp_path, monkeypatch):
    monkeypatch.setattr(ice, "held", lambda potential, start, *_: (start, 2))
    splits = ice.splits(config(**SHORT | {"liquid_temperatures_K": [300]}), MW, tmp_path)
    assert splits.warnings[0].startswith("train_pool-liquid-300K-+0%: the reference failed 2 times in sampling")
    assert len(splits.warnings) == 3
