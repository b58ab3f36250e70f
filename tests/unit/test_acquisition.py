"""Acquisition: each strategy finds what it is for, and none repeats a frame or takes an exploded one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from toy_potentials import ethanol

from longhot.block import InputError
from longhot.learning.acquisition import STRATEGIES, Pool, Strategy, select, usable
from longhot.learning.subsets import farthest_points
from longhot.potential import BatchPotential, Label, every_size
from longhot.uncertainty.committee import Committee, atom_spreads, committee_force_std

LEFT_A, RIGHT_A = 1.5, 2.5
"""Minima of the double well."""


def dimer(distance_A: float) -> Atoms:
    return Atoms("N2", positions=[[0.0, 0.0, 0.0], [distance_A, 0.0, 0.0]])


def bond_A(frame: Atoms) -> float:
    return float(frame.get_distance(0, 1))


def well_force(distance_A: np.ndarray) -> np.ndarray:
    """Along the bond in eV/A, of V = 8 (d - LEFT)^2 (d - RIGHT)^2 eV."""
    left, right = distance_A - LEFT_A, distance_A - RIGHT_A
    return -16.0 * left * right * (left + right)


class Parabola:
    """The force along the bond of a dimer, a parabola through some points of the double well."""

    def __init__(self, distances_A: np.ndarray) -> None:
        self.coefficients = np.polyfit(distances_A, well_force(distances_A), 2)

    def predict(self, frames: Sequence[Atoms]) -> list[Label]:
        forces = [float(np.polyval(self.coefficients, bond_A(frame))) for frame in frames]
        return [Label(0.0, np.array([[-one, 0.0, 0.0], [one, 0.0, 0.0]])) for one in forces]

    def batch(self, atoms: Atoms, n_replicas: int) -> BatchPotential:
        raise NotImplementedError

    def batch_sizes(self, n_replicas: int) -> list[int]:
        return every_size(n_replicas)


def two_wells() -> Pool:
    """36 frames of the left well, which is known, and 4 of the right one, where no member has a point."""
    generator = np.random.default_rng(0)
    known = LEFT_A + np.linspace(-0.12, 0.12, 10)
    members = [Parabola(generator.choice(known, 6, replace=False)) for _ in range(5)]
    frames = [dimer(one) for one in [*(LEFT_A + generator.normal(0.0, 0.05, 36)), 2.41, 2.47, 2.53, 2.60]]
    frames = [frames[one] for one in generator.permutation(len(frames))]
    return Pool(frames, Committee(members).atom_spreads(frames), [dimer(one) for one in known])


def conformers(n: int = 12, seed: int = 0) -> list[Atoms]:
    generator = np.random.default_rng(seed)
    return [Atoms("C2OH6", ethanol().positions + generator.normal(0.0, 0.05, (9, 3))) for _ in range(n)]


def conformer_pool(frames: list[Atoms], known: list[Atoms] | None = None) -> Pool:
    spreads = np.random.default_rng(1).uniform(0.05, 0.2, (len(frames), 9))
    return Pool(frames, list(spreads), known or [])


def alkane(n_carbons: int) -> Atoms:
    """An all-trans chain without the last hydrogens: C_n H_2n."""
    carbons = np.array([[1.27 * index, 0.43 * (-1) ** index, 0.0] for index in range(n_carbons)])
    up = np.array([[0.0, 0.63 * (-1) ** index, 0.89] for index in range(n_carbons)])
    positions = np.concatenate([carbons, carbons + up, carbons + up * [1.0, 1.0, -1.0]])
    return Atoms(f"C{n_carbons}H{2 * n_carbons}", positions)


def test_registry_holds_every_strategy():
    assert set(STRATEGIES) == set(get_args(Strategy))


@pytest.mark.parametrize("strategy", ["uncertain_frame", "uncertain_atom", "uncertain_diverse", "diverse"])
def test_unseen_well_is_found(strategy):
    pool = two_wells()
    assert max(bond_A(pool.frames[one]) for one in select(strategy, pool, 2, 0)) > 2.4


def test_random_usually_misses_the_unseen_well():
    """A draw of 2 has one of the 4 among 40 with probability 1 - (36 * 35) / (40 * 39) = 0.19."""
    pool = two_wells()
    hits = [max(bond_A(pool.frames[one]) for one in select("random", pool, 2, seed)) > 2.4 for seed in range(200)]
    assert 0.1 < np.mean(hits) < 0.3


def test_odd_group_of_a_large_molecule_counts_by_atom():
    """60 atoms: one at 0.5 and 59 at 0.05 have a root mean square of 0.08, below that of 0.1 on every atom."""
    generator = np.random.default_rng(3)
    frames = []
    for _ in range(8):
        frame = alkane(20)
        frame.positions += generator.normal(0.0, 0.03, frame.positions.shape)
        frames.append(frame)
    spreads = [np.full(60, 0.1) for _ in frames]
    spreads[5] = np.full(60, 0.05)
    spreads[5][33] = 0.5
    pool = Pool(frames, spreads, [alkane(20)])
    assert usable(frames) == [True] * 8
    assert select("uncertain_atom", pool, 1, 0) == [5]
    assert select("uncertain_frame", pool, 8, 0) == [0, 1, 2, 3, 4, 6, 7, 5]


def test_uncertain_diverse_keeps_to_the_uncertain_and_spreads_over_them():
    """Ten uncertain frames, nine of them alike; the certain ones lie further out but are no candidates."""
    alike = [dimer(one) for one in 2.0 + 0.001 * np.arange(9)]
    frames = [*alike, dimer(2.4), dimer(1.1), dimer(3.5)]
    spreads = [np.full(2, 0.9)] * 9 + [np.full(2, 0.5)] + [np.full(2, 0.01)] * 2
    pool = Pool(frames, spreads, [dimer(1.5)])
    assert 9 in select("uncertain_diverse", pool, 2, 0)
    assert set(select("diverse", pool, 2, 0)) <= {9, 10, 11}
    assert set(select("uncertain_diverse", pool, 2, 0)) <= set(range(10))
    assert 9 not in select("uncertain_atom", pool, 2, 0)


def test_diverse_stays_away_from_what_is_known():
    frames = [dimer(1.31), dimer(2.11), dimer(1.32)]
    spreads = [np.ones(2)] * 3
    assert select("diverse", Pool(frames, spreads, [dimer(1.3)]), 1, 0) == [1]
    assert select("diverse", Pool(frames, spreads, [dimer(1.3), dimer(2.1), dimer(2.12)]), 1, 0) == [2]


def test_farthest_points_from_known_ones():
    """From 0: 10; then 4 and 6 are both 4 away from the nearest, and the earlier comes first."""
    points = np.array([[1.0], [10.0], [4.0], [6.0]])
    assert farthest_points(points, 0, 4, np.array([[0.0]])).tolist() == [1, 2, 3, 0]
    assert farthest_points(points, 0, 2, np.array([[0.0], [10.0]])).tolist() == [2, 3]
    assert farthest_points(points, 3, 2, np.empty((0, 1))).tolist() == [3, 0]
    assert farthest_points(np.zeros((3, 1)), 0, 3, np.zeros((1, 1))).tolist() == [0, 1, 2]


def test_without_known_frames_the_first_is_drawn_or_the_most_uncertain():
    pool = conformer_pool(conformers())
    assert len({select("diverse", pool, 1, seed)[0] for seed in range(10)}) > 1
    assert select("uncertain_diverse", pool, 3, 0)[0] == select("uncertain_atom", pool, 1, 0)[0]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_seed_decides_and_counts_are_equal(strategy):
    pool = conformer_pool(conformers(), conformers(2, seed=9))
    chosen = select(strategy, pool, 5, 3)
    assert chosen == select(strategy, pool, 5, 3)
    assert len(chosen) == len(set(chosen)) == 5
    differs = {tuple(select(strategy, pool, 5, seed)) for seed in range(5)}
    assert (len(differs) > 1) == (strategy == "random")


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_repeated_frames_are_never_chosen(strategy):
    """Frames 1 and 4 repeat frame 0, frame 3 repeats a known one: 4 of 7 are left, however many are asked for."""
    frames = conformers(7)
    frames[1], frames[4] = frames[0].copy(), frames[0].copy()
    frames[4].positions[2, 1] += 5e-5
    known = conformers(3, seed=9)
    frames[3] = known[1].copy()
    pool = conformer_pool(frames, known)
    for repeated in (1, 3, 4):
        pool.spreads_eV_per_A[repeated][:] = 9.0
    assert sorted(select(strategy, pool, 20, 0)) == [0, 2, 5, 6]
    assert set(select(strategy, pool, 2, 0)) <= {0, 2, 5, 6}
    assert select(strategy, Pool([known[0]], [np.ones(9)], known), 3, 0) == []


def test_same_positions_in_another_cell_or_of_other_atoms_are_no_repeat():
    frames = [bulk("Ar", a=5.3, cubic=True), bulk("Kr", a=5.3, cubic=True), bulk("Ar", a=5.3, cubic=True)]
    frames[2].cell[2, 2] = 5.4
    cluster = frames[0].copy()
    cluster.pbc = False
    pool = Pool([*frames, frames[0].copy(), cluster], [np.ones(4)] * 5, [])
    assert sorted(select("random", pool, 5, 0)) == [0, 1, 2, 4]


def test_equals_come_in_the_order_of_the_pool():
    pool = Pool(conformers(6), [np.full(9, 0.1)] * 6, [])
    assert select("uncertain_atom", pool, 3, 0) == select("uncertain_frame", pool, 3, 0) == [0, 1, 2]


def moved(atom: int, shift_A: Sequence[float]) -> Atoms:
    frame = ethanol()
    frame.positions[atom] += shift_A
    return frame


def test_exploded_frames_are_not_usable():
    overlap = ethanol()
    overlap.positions[4] = overlap.positions[5] + [0.0, 0.0, 0.3]
    assert usable([moved(3, [np.nan, 0, 0]), moved(3, [0, np.inf, 0]), overlap]) == [False] * 3
    assert usable([moved(3, [0, 0, 30.0]), moved(3, [0, 0, 1e200])]) == [False] * 2
    assert usable([ethanol(), dimer(1.1), Atoms("H")]) == [True] * 3


def test_stretched_broken_and_new_bonds_are_usable():
    stretched, broken, new = ethanol(), ethanol(), ethanol()
    direction = stretched.positions[3] - stretched.positions[2]
    stretched.positions[3] += 0.4 * direction
    broken.positions[3] += 1.0 * direction
    new.set_distance(4, 5, 0.8)
    assert usable([stretched, broken, new]) == [True] * 3


def test_overlap_and_pieces_across_a_boundary():
    cell = {"cell": [9.0, 9.0, 9.0], "pbc": True}
    close = Atoms("Ar2", positions=[[0.2, 0, 0], [8.9, 0, 0]], **cell)
    sound = Atoms("Ar2", positions=[[0.2, 0, 0], [6.0, 0, 0]], **cell)
    assert usable([close, sound]) == [False, True]
    close.pbc = sound.pbc = False
    assert usable([close, sound]) == [False, False]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_exploded_frames_are_left_out_though_the_most_uncertain_and_most_different(strategy):
    frames = [*conformers(5), moved(3, [0, 0, 40.0]), moved(3, [np.nan, 0, 0])]
    spreads = [np.full(9, 0.1)] * 5 + [np.full(9, 50.0)] * 2
    sound = [index for index, one in enumerate(usable(frames)) if one]
    pool = Pool([frames[one] for one in sound], [spreads[one] for one in sound], [])
    assert sorted(sound[one] for one in select(strategy, pool, 7, 0)) == [0, 1, 2, 3, 4]


def test_bad_input_is_refused():
    frames = conformers(3)
    spreads = [np.ones(9)] * 3
    with pytest.raises(InputError, match="unknown acquisition strategy 'best': use one of random, diverse"):
        select("best", Pool(frames, spreads, []), 2, 0)
    with pytest.raises(InputError, match="0 frames: ask for at least one"):
        select("random", Pool(frames, spreads, []), 0, 0)
    with pytest.raises(InputError, match="2 arrays of spreads do not belong to 3 frames"):
        select("random", Pool(frames, spreads[:2], []), 2, 0)
    with pytest.raises(InputError, match=r"shape \(9, 3\) do not belong to the 9 atoms of frame 1"):
        select("random", Pool(frames, [np.ones(9), np.ones((9, 3)), np.ones(9)], []), 2, 0)
    with pytest.raises(InputError, match="frame 2 is not finite"):
        select("random", Pool(frames, [np.ones(9), np.ones(9), np.full(9, np.nan)], []), 2, 0)
    with pytest.raises(InputError, match="frame 0 is not finite"):
        select("random", Pool([moved(0, [np.nan, 0, 0]), *frames[1:]], spreads, []), 2, 0)


def test_atom_spreads_by_hand():
    """Two members that differ by 2 in x of the first atom alone: variance 2, 0, 0, so the root of 2/3."""
    forces = np.array([[[1.0, 5.0, 5.0], [1.0, 1.0, 1.0]], [[3.0, 5.0, 5.0], [1.0, 1.0, 1.0]]])
    np.testing.assert_allclose(atom_spreads(forces), [np.sqrt(2 / 3), 0.0])


def test_root_mean_square_of_atom_spreads_is_the_spread_of_the_frame():
    forces = np.random.default_rng(2).normal(size=(4, 7, 3))
    assert np.sqrt(np.mean(atom_spreads(forces) ** 2)) == pytest.approx(committee_force_std(forces))


class Constant(Parabola):
    """The same force on every atom, in x."""

    def __init__(self, force_eV_per_A: float) -> None:
        self.force = force_eV_per_A

    def predict(self, frames: Sequence[Atoms]) -> list[Label]:
        return [Label(0.0, np.tile([self.force, 0.0, 0.0], (len(frame), 1))) for frame in frames]


def test_committee_gives_spreads_of_frames_of_any_size():
    """Forces 0, 1, 5: variance 7 in x alone."""
    small, large = Committee([Constant(one) for one in (0.0, 1.0, 5.0)]).atom_spreads([dimer(1.1), ethanol()])
    np.testing.assert_allclose(small, np.full(2, np.sqrt(7 / 3)))
    np.testing.assert_allclose(large, np.full(9, np.sqrt(7 / 3)))
    assert np.isnan(Committee([Constant(0.0), Constant(np.nan)]).atom_spreads([dimer(1.1)])[0]).all()
