"""What the viewer is given: the frames that matter most, within a budget, with the forces that are known."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from ase import Atoms
from ase.build import bulk
from map_example import ERRORS, N_POOL, N_TEST, water, write_example

from longhot.dynamics.tables import read as read_table
from longhot.learning import dataset_map as maps
from longhot.learning.dataset_map import Sources
from longhot.report import structures
from longhot.report.structures import Candidate, Film


@pytest.fixture
def sources(tmp_path: Path) -> Sources:
    return write_example(tmp_path)


@pytest.fixture
def films(sources: Sources) -> list[Film]:
    return structures.films(sources, maps.dataset_map(sources))


@pytest.fixture
def content(films: list[Film]) -> dict[str, Any]:
    return structures.collect(films)


def frames_of(content: dict[str, Any], kind: str, number: int = 0) -> list[dict[str, Any]]:
    film = [one for one in content["films"] if one["kind"] == kind][number]
    return [content["frames"][place] for place in film["frames"]]


def plain_film(name: str, kind: Any, n_frames: int, turn: int = 0) -> Film:
    return Film(name, name, kind, [Candidate(f"{name}/{place}", Atoms("H")) for place in range(n_frames)], turn=turn)


def places(content: dict[str, Any], label: str) -> list[int]:
    """Which of its frames a film kept."""
    kept = [film["frames"] for film in content["films"] if film["label"] == label]
    return [int(content["frames"][place]["key"].rpartition("/")[2]) for film in kept for place in film]


def test_films_of_everything_that_the_study_has(content: dict[str, Any]) -> None:
    assert Counter(film["kind"] for film in content["films"]) == {"worst": 1, "failure": 2, "rechecked": 1, "data": 3}
    assert {film["group"] for film in content["films"]} == {"water: m, N = 2, 300 K", "water: data"}
    assert content["systems"] == [{"symbols": ["O", "H", "H"], "periodic": False}]
    rechecked, checks, both = 4, 8, 1
    assert content["n_frames"] == len(content["frames"]) == N_POOL + 2 + N_TEST + rechecked + checks - both


def test_worst_frames_come_worst_first_with_both_forces(content: dict[str, Any]) -> None:
    worst = frames_of(content, "worst")
    assert [frame["force_mae"] for frame in worst] == sorted(ERRORS, reverse=True)
    assert worst[0]["model"] == [900] * 9
    assert worst[0]["reference"] == [0] * 9
    assert worst[0]["choice"] == "before_failure"
    assert [frame["time_ps"] for frame in frames_of(content, "rechecked")] == [0.1, 0.2, 0.3, 0.4]


def test_a_failure_plays_up_to_the_failed_frame_with_its_atoms_marked(content: dict[str, Any]) -> None:
    film = next(film for film in content["films"] if film["kind"] == "failure")
    frames = frames_of(content, "failure")
    assert film["offending"] == [0, 1]
    assert film["note"] == "bond broken: O0-H1 at 2.7 A"
    assert film["label"] == "bond broken after 0.43 ps, seed 0, replica 0"
    assert [bool(frame.get("failed")) for frame in frames] == [False, False, False, True]
    bond = [np.linalg.norm(np.subtract(frame["positions"][:3], frame["positions"][3:6])) for frame in frames]
    assert np.all(np.diff(bond) > 100), "in thousandths of an angstrom"


def test_a_check_that_was_rechecked_too_has_its_forces(content: dict[str, Any]) -> None:
    """The rechecked frame at 0.4 ps is the first check before the failure: one frame in two films."""
    first, *others = frames_of(content, "failure")
    assert first["key"] == frames_of(content, "rechecked")[3]["key"]
    assert first["model"] == [900] * 9
    assert first["kinetic_K"] == 500
    assert not any("model" in frame for frame in others)


def test_frames_that_exploded_are_left_out_and_said_so(tmp_path: Path) -> None:
    sources = write_example(tmp_path, exploded=True)
    content = structures.collect(structures.films(sources, maps.dataset_map(sources)))
    film = next(film for film in content["films"] if film["kind"] == "failure")
    assert len(film["frames"]) == 3
    assert film["note"].endswith("; the failed frame cannot be drawn")
    assert structures.drawable(np.zeros((2, 3)))
    assert not structures.drawable(np.array([[0.0, 0.0, 2 * structures.FARTHEST_A]]))


def test_positions_have_three_decimals_whichever_way_a_molecule_drifted() -> None:
    atoms = water(1.3)
    drifted = atoms.copy()
    drifted.positions += [0.0, 250.0, -9000.0]
    one, other = (structures.collect([Film("g", "l", "data", [Candidate("k", frame)])]) for frame in (atoms, drifted))
    np.testing.assert_allclose(one["frames"][0]["positions"], other["frames"][0]["positions"], atol=1)
    stored = np.reshape(one["frames"][0]["positions"], (3, 3)) / 1000
    np.testing.assert_allclose(np.diff(stored, axis=0), np.diff(atoms.positions, axis=0), atol=1.01e-3)


def test_crystals_stand_in_their_cell() -> None:
    atoms = bulk("Cu", cubic=True)
    atoms.positions += 100.0
    (frame,) = structures.collect([Film("g", "l", "data", [Candidate("k", atoms)])])["frames"]
    assert frame["cell"] == [3610, 0, 0, 0, 3610, 0, 0, 0, 3610]
    assert 0 <= min(frame["positions"]) <= max(frame["positions"]) <= 3610


def test_budget_keeps_first_failures_whole_then_the_worst_then_the_rest_evenly() -> None:
    films = [
        plain_film("rest", "rechecked", 100),
        plain_film("other", "rechecked", 100),
        plain_film("worst", "worst", 4),
        plain_film("second", "failure", 20, turn=1),
        plain_film("first", "failure", 20),
    ]

    def kept(n_frames: int) -> dict[str, int]:
        content = structures.collect(films, budget=3 * n_frames)
        assert len(content["frames"]) <= n_frames
        assert content["n_frames"] == 244
        return {film["label"]: len(film["frames"]) for film in content["films"]}

    assert kept(300) == {"rest": 100, "other": 100, "worst": 4, "second": 20, "first": 20}
    assert kept(64) == {"rest": 10, "other": 10, "worst": 4, "second": 20, "first": 20}
    assert kept(24) == {"worst": 4, "first": 20}
    assert kept(22) == {"worst": 2, "first": 20}
    assert kept(43) == {"worst": 4, "first": 20, "rest": 10, "other": 9}, "no half of the second failure"
    rest = places(structures.collect(films, budget=3 * 64), "rest")
    assert np.max(np.diff([-1, *rest, 100])) <= 20
    assert places(structures.collect(films, budget=3 * 22), "worst") == [0, 1]


def test_forces_that_do_not_fit_are_left_out_before_frames_are() -> None:
    candidate = Candidate("k", water(), forces_eV_per_A={"reference": np.ones((3, 3))})
    film = Film("g", "l", "data", [candidate])
    assert "reference" in structures.collect([film], budget=18)["frames"][0]
    assert structures.collect([film], budget=17)["frames"] == []
    store = structures.Store(17)
    store.add(replace(candidate, forces_eV_per_A={}))
    store.add(candidate)
    assert "reference" not in store.frames[0], "added to a frame that was there"


def test_every_point_of_the_plots_has_its_structure(sources: Sources, content: dict[str, Any]) -> None:
    stored = {frame["key"] for frame in content["frames"]}
    assert set(structures.map_keys(maps.dataset_map(sources))) <= stored
    ids = ("dataset", "model", "train_size", "seed", "temperature_K", "replica", "time_ps")
    table = read_table(sources.simulations[0].recheck)
    assert {structures.key(*(row[name] for name in ids)) for row in table.to_dict("records")} <= stored


def test_keys_are_alike_whatever_types_numbers_have() -> None:
    plain = structures.key("d", "m", 5, 0, 1000.0, 3, 0.3)
    assert plain == "d/m/n5/seed0/1000K/3/0.3ps"
    row = pd.Series({"n": 5.0, "t": 0.1 + 0.2})
    assert structures.key("d", "m", row["n"], np.int64(0), np.float64(1000), np.int64(3), row["t"]) == plain
    assert structures.key("d", "m", 5, 0, 300, 0, 1000.0005) != structures.key("d", "m", 5, 0, 300, 0, 1000.0)


def test_the_same_bytes_for_the_same_structures(sources: Sources, tmp_path: Path) -> None:
    maps.write_tables([sources], tmp_path / "map.csv", tmp_path / "reach.csv")
    for name in ("first.json.gz", "second.json.gz"):
        structures.write([sources], tmp_path / "map.csv", tmp_path / name)
    assert (tmp_path / "first.json.gz").read_bytes() == (tmp_path / "second.json.gz").read_bytes()
    back = structures.read(tmp_path / "first.json.gz")
    assert back == structures.collect(structures.films(sources, maps.read(tmp_path / "map.csv")))
