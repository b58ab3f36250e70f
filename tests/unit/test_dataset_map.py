"""The map of a data set: what is far lies far, nothing depends on how a frame is turned, and costs are bounded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from ase import Atoms
from ase.build import bulk
from map_example import N_POOL, N_TEST, SUBSET, water, write_example
from scipy.spatial.transform import Rotation

from longhot import datasets, frames
from longhot.block import InputError
from longhot.dynamics.samples import Samples
from longhot.learning import dataset_map as maps
from longhot.learning.dataset_map import PhaseRun, Sources


@pytest.fixture
def sources(tmp_path: Path) -> Sources:
    return write_example(tmp_path)


@pytest.fixture
def table(sources: Sources) -> pd.DataFrame:
    return maps.dataset_map(sources)


def test_a_row_for_each_frame(table: pd.DataFrame) -> None:
    assert tuple(table) == maps.COLUMNS
    assert table["kind"].value_counts().to_dict() == {
        "train": N_POOL,
        "valid": 2,
        "test": N_TEST,
        "md": 4,
        "failure": 2,
    }
    assert table.loc[table["kind"] == "md", maps.ERROR].tolist() == [10, 20, 300, 900]
    assert np.isfinite(table[["component_1", "component_2", "distance", "farthest_test"]]).all(axis=None)


def test_a_cluster_that_is_displaced_lies_beyond_every_test_frame(table: pd.DataFrame) -> None:
    near, far = table[table["kind"] == "md"][:2], table[table["kind"] == "md"][2:]
    assert (near["distance"] <= near["farthest_test"]).all()
    assert (far["distance"] > 2 * far["farthest_test"]).all()
    assert far["distance"].is_monotonic_increasing
    assert (table.loc[table["kind"] == "failure", "distance"] > far["distance"].iloc[0]).all()
    train = table.loc[table["kind"] == "train", maps.PLACE].to_numpy()
    apart = np.linalg.norm(train[:, None] - train, axis=2) + 9 * np.eye(len(train))
    off = np.linalg.norm(far[maps.PLACE].to_numpy()[:, None] - train, axis=2).min(axis=1)
    assert off.min() > 2 * apart.min(axis=1).max(), "on the map too"


def test_distance_is_to_the_frames_that_the_model_saw(sources: Sources, table: pd.DataFrame) -> None:
    pool = frames.read(sources.folder / "train_pool.extxyz")
    visited = [water(stretch) for stretch in (1.0, 1.02)]
    points = maps.vectors([*pool, *visited])
    expected = maps.distances(points[N_POOL:], points[SUBSET])
    np.testing.assert_allclose(table[table["kind"] == "md"]["distance"][:2], expected, atol=1e-6)
    assert (expected > maps.distances(points[N_POOL:], points[:N_POOL])).any()
    own = table.loc[table["kind"] == "train", "distance"]
    assert (own > 0).all(), "to the nearest other frame, not to itself"


def test_distances_known_answers() -> None:
    axes = np.eye(3)
    aslant = np.array([[0.6, 0.8, 0.0]])
    np.testing.assert_allclose(maps.distances(axes, axes[:1]), [0, np.sqrt(2), np.sqrt(2)])
    np.testing.assert_allclose(maps.distances(aslant, axes), np.sqrt(2 - 2 * 0.8**4))
    np.testing.assert_allclose(maps.distances_to_others(axes), np.sqrt(2))
    assert np.isnan(maps.distances_to_others(axes[:1])).all()


def test_turning_moving_and_renumbering_change_nothing() -> None:
    frame = water(1.1, noise=0.05)
    turned, moved = frame.copy(), frame.copy()
    turned.positions = turned.positions @ Rotation.from_euler("xyz", [0.3, 1.1, -0.7]).as_matrix().T
    moved.positions += [3.0, -8.0, 1.0]
    first, *others = maps.vectors([frame, turned, moved, frame[[2, 0, 1]]])
    for other in others:
        np.testing.assert_allclose(other, first, atol=1e-7)
    assert maps.distances(first[None], maps.vectors([water(1.4)]))[0] > 0.05


def test_periodic_frames_are_known_by_their_surroundings_not_by_their_cells() -> None:
    copper = bulk("Cu", cubic=True)
    shifted = copper.repeat((2, 1, 1))
    shifted.positions += [0.7, 0.2, 0.1]
    shifted.wrap()
    first, same, strained = maps.vectors([copper, shifted, bulk("Cu", a=3.9, cubic=True)])
    np.testing.assert_allclose(same, first, atol=1e-7)
    assert maps.distances(strained[None], first[None])[0] > 0.01


def test_the_same_files_for_the_same_frames(sources: Sources, tmp_path: Path) -> None:
    written = []
    for name in ("first", "second"):
        maps.write_tables([sources], tmp_path / f"{name}.csv", tmp_path / f"{name}-reach.csv")
        written.append([(tmp_path / f"{name}{end}.csv").read_bytes() for end in ("", "-reach")])
    assert written[0] == written[1]
    back = maps.read(tmp_path / "first.csv")
    assert set(back.loc[back["kind"] == "train", "choice"]) == {""}
    assert back["frame"].dropna().astype(int).tolist() == [*range(N_POOL), 0, 1, *range(N_TEST)]


def test_axes_point_to_the_farthest_training_frame_and_few_frames_still_have_a_place() -> None:
    points = maps.vectors([water(stretch) for stretch in (1.0, 1.05, 1.1, 1.4)])
    places = maps.coordinates(points, points)
    assert places.shape == (4, 2)
    assert places[3, 0] == np.abs(places[:, 0]).max(), "the one that stands out, on the positive side"
    np.testing.assert_allclose(maps.coordinates(points, points[:1])[0], 0, atol=1e-9)


def test_a_failed_frame_that_is_not_finite_gives_way_to_the_one_before(tmp_path: Path) -> None:
    failures = maps.dataset_map(write_example(tmp_path, exploded=True)).query("kind == 'failure'")
    assert failures["time_ps"].round(6).tolist() == [0.42, 0.43]


def test_reach_counts_frames_beyond_every_test_frame(table: pd.DataFrame) -> None:
    (row,) = maps.reach_table(table).to_dict("records")
    assert (row["model"], row["train_size"], row["temperature_K"]) == ("m", 2, 300)
    assert (row["n_frames"], row["n_beyond"]) == (3, 1), "of the frames even in time the third"
    assert row["share_beyond"] == pytest.approx(1 / 3)
    assert row["reason"], "three frames say nothing of a correlation"


def test_phases_of_a_periodic_system(tmp_path: Path) -> None:
    """One element in a cell; the sampled liquid is denser than anything in the training set."""

    def crystal(a: float, seed: int) -> Atoms:
        atoms = bulk("O", "fcc", a=a, cubic=True)
        atoms.positions += np.random.default_rng(seed).normal(0, 0.05, atoms.positions.shape)
        return atoms

    def frame(a: float, seed: int) -> Atoms:
        made = frames.labelled(crystal(a, seed), 0.0, np.zeros((4, 3)))
        made.info[frames.TEST_SET] = "test"
        return made

    for name, seeds in {"train_pool": range(8), "valid": range(10, 12), "test": range(20, 24)}.items():
        frames.write(tmp_path / f"{name}.extxyz", [frame(4.4, seed) for seed in seeds])
    runs = []
    for phase, a in (("solid", 4.4), ("liquid", 4.0)):
        visited = [crystal(a, 30 + seed) for seed in range(60)]
        each = np.arange(60.0)
        Samples(
            time_ps=each,
            energy_eV=each,
            temperature_K=each,
            cell_A=np.array([one.cell.array for one in visited]),
            order_parameter=each,
            frame_sample=np.arange(60),
            positions_A=np.array([one.positions for one in visited]),
            numbers=visited[0].numbers,
            masses_amu=visited[0].get_masses(),
        ).save(tmp_path / f"{phase}.npz")
        runs.append(PhaseRun("reference", phase, 280.0, tmp_path / f"{phase}.npz"))
    table = maps.dataset_map(Sources("o", tmp_path, phases=runs))
    shares = maps.reach_table(table).set_index("phase")
    assert shares["n_frames"].to_dict() == {"solid": maps.PHASE_FRAMES, "liquid": maps.PHASE_FRAMES}
    assert shares.loc["liquid", "share_beyond"] == 1
    assert shares.loc["solid", "share_beyond"] < 0.5


@pytest.mark.parametrize("name", [maps.TRAIN, maps.VALID, maps.MD, maps.FAILURE, "train_pool"])
def test_a_test_set_may_not_have_the_name_of_other_frames(name: str) -> None:
    dataset = {"source": "extxyz", "train_pool": "a.xyz", "n_valid": 5, "test_sets": {"near": "b.xyz", name: "c.xyz"}}
    with pytest.raises(InputError, match=f"no test set may be called '{name}', which names other frames, rename it"):
        datasets.parse(dataset)
    datasets.parse(dataset | {"test_sets": {f"{name}_2": "c.xyz"}})


def test_costs_are_bounded(sources: Sources, monkeypatch: pytest.MonkeyPatch) -> None:
    assert frames.evenly_spread(5, 10).tolist() == [0, 1, 2, 3, 4]
    assert frames.evenly_spread(101, 3).tolist() == [0, 50, 100]
    assert maps.most_of([Atoms("Cu1000")]) == maps.MOST_ATOMS // 1000
    monkeypatch.setattr(maps, "MOST_FRAMES", 2)
    counts = maps.dataset_map(sources)["kind"].value_counts()
    assert counts["test"] == counts["md"] == 2
    assert counts["train"] == 4, "the ends of the pool, and the frames that the model was trained on"
