"""Minima hopping on Lennard-Jones clusters of known lowest energy, and a search that learns with a toy for a model."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from ase import Atoms
from ase.build import bulk, molecule
from scipy.spatial.transform import Rotation

from longhot import frames as fr
from longhot import plan
from longhot.block import InputError
from longhot.config import StructureSearch, load, load_file
from longhot.files import read_json
from longhot.learning import search_rounds
from longhot.learning.structure_search import BOND_CHANGED, alike, distinct, fingerprint, relax, search
from longhot.plan import structure_search as searches
from longhot.potential import BatchResult, Label
from longhot.potential_calculator import PotentialCalculator, PotentialError
from longhot.references import ReferencePotential, parse
from longhot.references.lammps import MW_FILE
from longhot.report.structure_search_verdict import structure_search

CONFIG = Path(__file__).resolve().parents[2] / "config" / "structure-search.yaml"
EPSILON_EV, SIGMA_A = 0.1, 2.0
LOWEST = {4: -6.0, 5: -9.103852, 6: -12.712062, 7: -16.505384}
"""Energies over epsilon of the lowest structures of n atoms (Hoare and Pal, Adv. Phys. 20, 161 (1971))."""


class LennardJones:
    """Light and stiff, so that MD at the time step of a molecule is short; ``fault(call)`` may say why a call fails."""

    def __init__(self, fault: Callable[[int], str] = lambda call: "") -> None:
        self.fault, self.calls = fault, 0

    def batch(self, atoms: Atoms, n_replicas: int) -> LennardJones:
        return self

    def batch_sizes(self, n_replicas: int) -> list[int]:
        return [n_replicas]

    def compute(self, positions_A: np.ndarray, cell_A: np.ndarray | None = None) -> BatchResult:
        self.calls += 1
        if message := self.fault(self.calls):
            return BatchResult(np.full(1, np.nan), np.full_like(positions_A, np.nan), {0: message})
        first, second = np.triu_indices(positions_A.shape[1], k=1)
        vectors = positions_A[0, first] - positions_A[0, second]
        squares = np.sum(vectors**2, axis=1)
        sixth = (SIGMA_A**2 / squares) ** 3
        pull = (24 * EPSILON_EV * (2 * sixth**2 - sixth) / squares)[:, None] * vectors
        forces = np.zeros_like(positions_A[0])
        np.add.at(forces, first, pull)
        np.add.at(forces, second, -pull)
        return BatchResult(np.array([4 * EPSILON_EV * np.sum(sixth**2 - sixth)]), forces[None])

    def predict(self, frames: list[Atoms]) -> list[Label]:
        found = [self.compute(frame.positions[None]) for frame in frames]
        return [
            Label(float(one.energy_eV[0]), one.forces_eV_per_A[0], "crashed" if one.errors else "ok") for one in found
        ]


def settings(**changes: Any) -> StructureSearch:
    block = {"dataset": "cluster", "model": "toy", "temperature_K": 400, "energy_tolerance_meV": 1, "n_hops": 5}
    return StructureSearch.model_validate(block | {"rounds": 3, "n_lowest": 2, "seeds": [0]} | changes)


def cluster(n_atoms: int, seed: int = 0) -> Atoms:
    """Atoms anywhere in a box, none closer than 0.8 sigma to another."""
    generator = np.random.default_rng(seed)
    edge_A = 1.4 * SIGMA_A * n_atoms ** (1 / 3)
    positions: list[np.ndarray] = []
    while len(positions) < n_atoms:
        point = generator.uniform(0, edge_A, 3)
        if all(np.linalg.norm(point - one) > 0.8 * SIGMA_A for one in positions):
            positions.append(point)
    return Atoms(f"H{n_atoms}", positions=positions)


def turned(frame: Atoms, order: list[int]) -> Atoms:
    """Rotated, shifted, and with its atoms in another order."""
    rotation = Rotation.from_euler("xyz", (0.3, 1.1, -2.0)).as_matrix()
    return Atoms(frame.symbols[order], positions=(frame.positions @ rotation.T + (1, -2, 3))[order])


def glycol() -> Atoms:
    from longhot.datasets._molecule import from_smiles

    return from_smiles("OCCO")


def test_fingerprint_knows_no_rotation_translation_permutation_or_reflection() -> None:
    frame = glycol()
    order = np.random.default_rng(1).permutation(len(frame)).tolist()
    np.testing.assert_allclose(fingerprint(turned(frame, order)), fingerprint(frame), atol=1e-9)
    mirrored = frame.copy()
    mirrored.positions[:, 0] *= -1
    np.testing.assert_allclose(fingerprint(mirrored), fingerprint(frame), atol=1e-12)


def test_distances_are_sorted_within_pairs_of_elements() -> None:
    """Hydrogen in place of oxygen is another structure, though all distances together are the same."""
    line = [(0, 0, 0), (1, 0, 0), (2.5, 0, 0)]
    one, other = Atoms("HHO", positions=line), Atoms("HOH", positions=line)
    np.testing.assert_allclose(fingerprint(one), [1.0, 1.5, 2.5])
    np.testing.assert_allclose(fingerprint(other), [2.5, 1.0, 1.5])


def test_distinct_keeps_the_lowest_of_each_structure() -> None:
    frame = glycol()
    twisted = frame.copy()
    twisted.set_dihedral(0, 1, 2, 3, frame.get_dihedral(0, 1, 2, 3) + 120, indices=[3, 9])
    frames = [twisted, frame, turned(frame, list(range(len(frame)))[::-1])]
    asked = settings(energy_tolerance_meV=5)
    assert distinct(frames, [0.002, 0.001, 0.0], asked) == [2, 0]
    assert distinct(frames, [0.002, 0.006, 0.0], asked) == [2, 0, 1], "the same distances, energies too far apart"
    assert not alike(frame, twisted, 0.0, asked)
    assert distinct([], [], asked) == []


@pytest.mark.parametrize("n_atoms", LOWEST)
def test_lowest_energies_of_clusters(n_atoms: int) -> None:
    found = search(LennardJones(), cluster(n_atoms), settings(), 6, seed=3)
    lowest = relax(LennardJones(), found.minima[0])
    assert lowest.failure == ""
    assert fr.energies(lowest.path)[-1] / EPSILON_EV == pytest.approx(LOWEST[n_atoms], abs=2e-3)
    energies_eV = fr.energies(found.minima)
    assert (np.diff(energies_eV) > 0).all()
    assert found.failures == []


def test_search_is_the_same_for_the_same_seed_whatever_numpy_s_global_state_is() -> None:
    runs = []
    for state in (1, 2):
        np.random.seed(state)  # noqa: NPY002
        runs.append(search(LennardJones(), cluster(7), settings(), 3, seed=1))
    other = search(LennardJones(), cluster(7), settings(), 3, seed=2)
    for one, same in zip(*(run.along for run in runs), strict=True):
        np.testing.assert_array_equal(one.positions, same.positions)
    assert runs[0].n_calls == runs[1].n_calls != other.n_calls


def test_a_potential_that_explodes_costs_its_hop_only() -> None:
    bad = LennardJones(lambda call: "crashed: two nuclei fused" if 200 < call < 203 else "")
    found = search(bad, cluster(7), settings(), 6, seed=0)
    assert found.failures
    assert all("two nuclei fused" in one for one in found.failures)
    assert found.minima
    assert all(np.isfinite(frame.positions).all() for frame in found.minima + found.along)


def test_a_start_without_numbers_is_a_reason() -> None:
    found = search(LennardJones(lambda call: "nonfinite: NaN"), cluster(5), settings(), 3, seed=0)
    assert found.failures == ["start: nonfinite: NaN"]
    assert found.minima == found.along == []
    failed = relax(LennardJones(lambda call: "nonfinite: NaN" if call > 3 else ""), cluster(5))
    assert (failed.failure, len(failed.path)) == ("nonfinite: NaN", 3)


def test_a_molecule_that_falls_apart_is_a_reason() -> None:
    """Water whose atoms this potential does not hold together."""

    class Repulsion(LennardJones):
        def compute(self, positions_A: np.ndarray, cell_A: np.ndarray | None = None) -> BatchResult:
            from_middle = positions_A - positions_A.mean(axis=1, keepdims=True)
            lengths_A = np.linalg.norm(from_middle, axis=2, keepdims=True)
            return BatchResult(np.sum((lengths_A - 3) ** 2, axis=(1, 2)), 2 * from_middle * (3 / lengths_A - 1))

    water = molecule("H2O")
    assert relax(Repulsion(), water).failure == BOND_CHANGED
    found = search(Repulsion(), water, settings(), 2, seed=0)
    assert (found.minima, found.failures) == ([], [f"start: {BOND_CHANGED}"])


def test_paths_count_from_where_the_search_began_whenever_a_reference_reads_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """LAMMPS reads its file at the first call, and again where a call has failed."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data/water.sw").write_text(MW_FILE.read_text(encoding="utf-8"), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    method = {"method": "lammps", "pair_style": "sw", "pair_coeff": ["* * data/water.sw mW"]}
    waters = Atoms("O3", positions=[(0, 0, 0), (2.8, 0, 0), (1.3, 2.4, 0)])
    found = search(ReferencePotential(parse(method)), waters, settings(), 1, seed=0)
    assert found.failures == []
    assert found.minima
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data"], "the hopping's own files are elsewhere"


def test_the_folder_is_that_of_the_search_at_every_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folders = set()

    def fault(call: int) -> str:
        folders.add(Path.cwd())
        return "crashed: no" if call == 200 else ""

    found = search(LennardJones(fault), cluster(5), settings(), 2, seed=0)
    assert len(found.failures) == 1
    assert folders == {tmp_path}
    assert Path.cwd() == tmp_path


def test_a_periodic_start_is_refused() -> None:
    with pytest.raises(InputError, match="periodic"):
        search(LennardJones(), bulk("Ar"), settings(), 1, 0)


def test_calculator_counts_and_ends() -> None:
    atoms = cluster(4)
    calculator = PotentialCalculator(LennardJones(), atoms)
    atoms.calc = calculator
    with pytest.raises(PotentialError, match="no end"):
        atoms.get_potential_energy()
    calculator.allow(1)
    atoms.get_forces()
    atoms.get_potential_energy()
    assert calculator.n_calls == 1
    atoms.positions[0, 0] = np.nan
    with pytest.raises(PotentialError, match="position"):
        atoms.get_forces()


def exact_fit(train: list[Atoms], directory: Path, warm_start: Path | None) -> LennardJones:
    return LennardJones()


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three rounds with a model that is the reference, and the search with the reference; of 7 atoms."""
    folder, asked = tmp_path_factory.mktemp("search"), settings()
    initial = [fr.labelled(cluster(7), 0.0, np.zeros((7, 3)))]
    paths = [folder / f"round{number}" / "record.json" for number in range(4)]
    for number, path in enumerate(paths):
        before = paths[number - 1] if number else None
        search_rounds.run_round(asked, initial, exact_fit, LennardJones(), 0, number, before, path)
    truth = folder / "reference" / "record.json"
    search_rounds.reference_search(LennardJones(), initial[0], asked, 0, truth)
    return [*paths, truth]


def test_rounds_end_when_the_lowest_structures_stay(records: list[Path]) -> None:
    rounds = [read_json(path) for path in records[:-1]]
    assert not rounds[0]["converged"], "there is nothing before it"
    first = [one["converged"] for one in rounds].index(True)
    for number, one in enumerate(rounds[first:], start=first):
        assert one == rounds[first] | {"round": number}
    assert not (records[first + 1].parent / "train.extxyz").exists()
    assert rounds[1]["n_hops"] == 2 * rounds[0]["n_hops"] == 10
    lowest = fr.read(records[first].parent / "minima.extxyz")[0]
    assert lowest.info[fr.ENERGY] / EPSILON_EV == pytest.approx(LOWEST[7], abs=2e-3)


def test_what_a_round_labels_is_learnt_in_the_next(records: list[Path]) -> None:
    first, second = (read_json(path) for path in records[:2])
    added = fr.read(records[0].parent / "added.extxyz")
    train = fr.read(records[1].parent / "train.extxyz")
    assert (first["n_labels"], second["n_labels"]) == (1, 1 + len(added)) == (1, len(train))
    truths = LennardJones().predict(added)
    np.testing.assert_allclose(fr.energies(added), [one.energy_eV for one in truths], atol=1e-6)
    assert first["n_reference_calls"] > first["n_labels"] + len(added) // 2


def test_a_reference_that_fails_is_counted() -> None:
    found = search(LennardJones(), cluster(5), settings(), 1, seed=0)
    labelled = search_rounds.label(found, LennardJones(lambda call: "crashed: no"), settings())
    assert labelled.minima == labelled.added == []
    assert labelled.n_failed == labelled.n_calls == len(found.minima) + len(found.along)


def test_too_few_structures_never_converge() -> None:
    frame = fr.labelled(cluster(4), 0.0, np.zeros((4, 3)))
    assert not search_rounds.unchanged([frame], [frame], settings(n_lowest=2))
    assert search_rounds.unchanged([frame], [frame, frame], settings(n_lowest=1))


def test_a_model_that_fails_is_a_reason_in_the_record(tmp_path: Path) -> None:
    initial = [fr.labelled(cluster(5), 0.0, np.zeros((5, 3)))]
    out = tmp_path / "record.json"

    def failing(train: list[Atoms], directory: Path, warm_start: Path | None) -> LennardJones:
        return LennardJones(lambda call: "crashed: no")

    search_rounds.run_round(settings(), initial, failing, LennardJones(), 0, 0, None, out)
    record = read_json(out)
    assert record["reason"] == "1 times start: crashed: no; 0 structures known, 2 asked for"
    assert (record["n_failed"], record["converged"]) == (1, False)
    table = search_rounds.table([record], settings())
    assert len(table) == 1
    assert table["rank"].isna().all()


def test_table_and_words(records: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "structure_search.csv"
    search_rounds.write_table([str(path) for path in records], settings(), str(out))
    table = pd.read_csv(out)
    assert tuple(table) == search_rounds.COLUMNS
    own, truth = table[table["model"] == "toy"], table[table["model"] == "reference"]
    assert table["energy_meV"].min() == 0
    # The model is the reference, so it has the same energies.
    np.testing.assert_allclose(own["model_energy_meV"], own["energy_meV"], atol=1e-2)
    assert own.groupby("round")["reference_rank"].min().eq(1).all()
    assert truth["found_by_reference"].all()
    assert truth["reference_rank"].tolist() == list(range(1, len(truth) + 1))
    assert own.loc[own["found_by_reference"], "distance_A"].max() < 0.1
    first, energies, second = structure_search({"structure_search": table})
    assert "1 of 1 searches found the lowest structure" in first.text
    assert re.search(r"are off by 0(\.00\d*)? meV", energies.text)
    assert (first.level, second.level) == ("finding", "finding")
    assert f"itself {truth['n_reference_calls'].iloc[0]} for 20;" in second.text
    assert structure_search({}) == []
    lost = table[(table["model"] == "reference") | (table["rank"] > 1)]
    assert structure_search({"structure_search": lost})[0].level == "warning"


def test_jobs_of_the_question() -> None:
    study = load_file(CONFIG)
    rounds = [f"round{number}" for number in range(5)]
    folder = "results/structure-search/structure_search/seed{}/{}/record.json"
    expected = [folder.format(seed, name) for seed in (0, 1) for name in [*rounds, "reference"]]
    assert sorted(searches.search_records(study)) == sorted(expected)
    later = SimpleNamespace(study="structure-search", seed="1", round="2")
    assert searches.search_before(study, later) == [folder.format(1, "round1")]
    assert searches.search_before(study, SimpleNamespace(study="structure-search", seed="1", round="0")) == []
    assert searches.search_subset(study, later) == ["results/structure-search/subsets/glycol/seed1/n20.json"]
    assert plan.training.largest_train_size(study, "glycol") == 20
    assert plan.outputs.used_datasets(study) == ["glycol"]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"dataset": "ethanol"}, "structure_search.dataset: no 'ethanol', use one of glycol"),
        ({"model": "gap"}, "structure_search.model: no 'gap', use one of mace"),
        ({"n_lowest": 0}, "structure_search.n_lowest: must be greater than 0"),
        ({"hops": 3}, "structure_search.hops: unknown key"),
    ],
)
def test_a_bad_question_is_one_line(changes: dict[str, Any], sentence: str) -> None:
    raw = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))
    raw["structure_search"] |= changes
    with pytest.raises(InputError, match=f"^{re.escape(sentence)}"):
        load(raw)
