"""Training subsets: nested, reproducible, bound to their pool."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from scipy.spatial.transform import Rotation

from longhot import frames
from longhot.block import InputError
from longhot.learning import subsets


def pool(n=30) -> list[Atoms]:
    generator = np.random.default_rng(5)
    made = []
    for index in range(n):
        atoms = molecule("CH3OH")
        atoms.positions += generator.normal(0.0, 0.05, atoms.positions.shape)
        made.append(frames.labelled(atoms, float(index), np.zeros_like(atoms.positions)))
    return made


@pytest.mark.parametrize("strategy", ["random", "farthest_point"])
def test_smaller_sets_lie_in_larger_ones(strategy):
    made = pool()
    large = subsets.order(made, strategy, 3, 20)
    assert len(set(large.tolist())) == 20
    for size in (1, 5, 12):
        np.testing.assert_array_equal(subsets.order(made, strategy, 3, size), large[:size])


@pytest.mark.parametrize("strategy", ["random", "farthest_point"])
def test_seed_decides(strategy):
    made = pool()
    assert subsets.order(made, strategy, 0, 5).tolist() != subsets.order(made, strategy, 1, 5).tolist()


def test_whole_pool_by_farthest_point_though_frames_repeat():
    made = pool(5)
    made = [*made, made[0].copy(), made[0].copy()]
    assert sorted(subsets.order(made, "farthest_point", 0, 7).tolist()) == list(range(7))


def test_farthest_points_known_answer():
    points = np.array([[0.0], [1.0], [10.0], [4.0]])
    assert subsets.farthest_points(points, 0, 4).tolist() == [0, 2, 3, 1]


def test_farthest_point_takes_the_outlier_and_is_more_spread_than_random():
    made = pool()
    made[17].positions[1] += 0.6
    chosen = subsets.order(made, "farthest_point", 0, 2)
    assert 17 in chosen


def test_descriptor_is_invariant():
    atoms = pool(1)[0]
    turned = atoms.copy()
    turned.positions = atoms.positions @ Rotation.from_rotvec([0.4, 1.0, -0.3]).as_matrix().T + [3.0, 0.0, -1.0]
    permuted = atoms[[0, 1, 5, 4, 3, 2]]
    first, second, third, other = subsets.descriptors([atoms, turned, permuted, pool(2)[1]])
    scale = np.abs(first).max()
    np.testing.assert_allclose(first / scale, second / scale, atol=1e-6)
    np.testing.assert_allclose(first / scale, third / scale, atol=1e-6)
    assert np.abs(first - other).max() / scale > 1e-3


def test_descriptors_of_different_molecules_and_of_crystals():
    from ase.build import bulk

    assert subsets.descriptors([molecule("H2O"), molecule("CH4")]).shape[0] == 2
    assert np.isfinite(subsets.descriptors([bulk("Cu"), bulk("Cu", a=3.7)])).all()


def test_file_holds_indices_and_loads_the_frames(tmp_path):
    frames.write(tmp_path / "pool.extxyz", pool())
    subsets.write(tmp_path / "pool.extxyz", "random", 2, 7, tmp_path / "n7.json")
    from longhot.files import read_json

    content = read_json(tmp_path / "n7.json")
    assert content["size"] == len(content["indices"]) == 7
    loaded = subsets.load(tmp_path / "n7.json", tmp_path / "pool.extxyz")
    assert [frame.info["REF_energy"] for frame in loaded] == content["indices"]


def test_changed_pool_is_refused(tmp_path):
    frames.write(tmp_path / "pool.extxyz", pool())
    subsets.write(tmp_path / "pool.extxyz", "random", 2, 7, tmp_path / "n7.json")
    frames.write(tmp_path / "pool.extxyz", pool()[::-1])
    with pytest.raises(InputError, match="has changed"):
        subsets.load(tmp_path / "n7.json", tmp_path / "pool.extxyz")


def test_too_large_and_unknown_strategy():
    with pytest.raises(InputError, match="31 is larger than the pool of 30"):
        subsets.order(pool(), "random", 0, 31)
    with pytest.raises(InputError, match="unknown subset strategy 'best'"):
        subsets.order(pool(), "best", 0, 3)
