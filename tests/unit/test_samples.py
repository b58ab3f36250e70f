"""Samples of a run: what is left after a time, parts end to end, and the file."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest

from longhot.dynamics.samples import Samples, Settings, failed, joined, load


def samples(n: int, every: int, first: int = 1) -> Samples:
    """Sample number i at i/10 ps has the energy -i; each ``every``-th has a frame, whose first coordinate is i."""
    numbers = np.arange(first, first + n)
    kept = np.flatnonzero(numbers % every == 0)
    positions_A = np.zeros((len(kept), 4, 3))
    positions_A[:, 0, 0] = numbers[kept]
    return Samples(
        time_ps=numbers / 10,
        energy_eV=-1.0 * numbers,
        temperature_K=300.0 + numbers,
        cell_A=numbers[:, None, None] * np.diag([1.0, 2.0, 3.0]),
        order_parameter=numbers / 7,
        frame_sample=kept,
        positions_A=positions_A,
        numbers=np.array([8, 1, 1, 8]),
        masses_amu=np.array([16.0, 1.0, 1.0, 16.0]),
    )


def assert_equal(one: Samples, other: Samples) -> None:
    for field in fields(Samples):
        np.testing.assert_array_equal(getattr(one, field.name), getattr(other, field.name), err_msg=field.name)


def belong(one: Samples) -> bool:
    """Whether each frame stands at its own sample."""
    return np.array_equal(-one.energy_eV[one.frame_sample], one.positions_A[:, 0, 0])


@pytest.mark.parametrize(
    ("time_ps", "n_samples", "n_frames"),
    [(0.0, 12, 4), (0.1, 12, 4), (0.1 + 0.2, 10, 4), (0.5, 8, 3), (0.6, 7, 3), (0.61, 6, 2), (1.2, 1, 1), (9.0, 0, 0)],
)
def test_after(time_ps, n_samples, n_frames):
    """Times that are written to the picosecond and its tenths are met, whatever their rounding."""
    left = replace(samples(12, 3), failure="overlap: x").after(time_ps)
    assert (len(left.time_ps), len(left.positions_A)) == (n_samples, n_frames)
    assert (left.time_ps >= time_ps - 1e-9).all()
    assert belong(left)
    assert left.failure == "overlap: x"
    np.testing.assert_allclose(left.volume_A3, 6.0 * np.round(10 * left.time_ps) ** 3)


def test_after_in_steps_is_after_at_once():
    whole = samples(12, 3)
    assert_equal(whole.after(0.4).after(0.8), whole.after(0.8))


@pytest.mark.parametrize("cut", [1, 4, 6, 11])
def test_joined_parts_are_the_whole(cut):
    whole = joined([samples(cut, 3), samples(12 - cut, 3, first=cut + 1)])
    assert_equal(whole, samples(12, 3))
    assert belong(whole)


def test_joined_with_a_part_that_failed_at_once():
    part = samples(5, 2)
    nothing = replace(samples(0, 2), failure="engine_error: lost atoms")
    whole = joined([part, nothing])
    assert whole.failure == "engine_error: lost atoms"
    assert_equal(replace(whole, failure=""), part)


@pytest.mark.parametrize("failure", ["", "nonfinite: O3"])
def test_file(tmp_path, failure):
    one = replace(samples(5, 2), failure=failure)
    one.save(tmp_path / "run.npz")
    read = load(tmp_path / "run.npz")
    assert_equal(read, one)
    assert type(read.failure) is str
    assert [path.name for path in tmp_path.iterdir()] == ["run.npz"]


def test_file_of_a_run_without_samples(tmp_path):
    from ase import Atoms

    atoms = Atoms("OH2")
    failed(atoms, "melting: overlap").save(tmp_path / "run.npz")
    read = load(tmp_path / "run.npz")
    assert read.failure == "melting: overlap"
    assert read.positions_A.shape == (0, 3, 3)
    assert read.volume_A3.shape == (0,)
    assert read.after(1.0).oxygen_A.shape == (0, 1, 3)


def test_oxygen_sites_and_volumes():
    one = samples(4, 2)
    assert one.oxygen_A.shape == (2, 2, 3)
    np.testing.assert_array_equal(one.oxygen_A, one.positions_A[:, [0, 3]])
    np.testing.assert_allclose(one.volume_A3, [6.0, 48.0, 162.0, 384.0])
    left_handed = replace(one, cell_A=one.cell_A[:, [1, 0, 2]])
    np.testing.assert_allclose(left_handed.volume_A3, one.volume_A3)


@pytest.mark.parametrize(
    ("time_step_fs", "duration_ps"),
    [(6.0, 200), (6.0, 500), (3.0, 500), (3.0, 1600), (8.0, 50), (8.0, 100), (0.6, 200), (0.6, 0.5), (10.0, 0.15)],
)
def test_one_frame_is_that_of_the_last_sample(time_step_fs, duration_ps):
    """Of 0.1 ps, which these steps do not divide: runs of LAMMPS ask by steps, those of the engine by times."""
    settings = Settings(300.0, duration_ps, time_step_fs, 0.1, duration_ps, 1.0, "z", (2, 0, 0), 0)
    by_steps = settings.steps(duration_ps) / settings.steps(0.1)
    for asked in (by_steps, duration_ps / 0.1):
        assert settings.samples_per_frame(asked) == settings.n_samples
    nearly = replace(settings, frame_interval_ps=duration_ps - 1e-9)
    assert nearly.samples_per_frame(by_steps) <= nearly.n_samples, "the sum of two lengths may miss the third"


@pytest.mark.parametrize(("frame_interval_ps", "n_per_frame"), [(0.1, 1), (0.2, 2), (2.0, 20), (9.9, 99), (10.0, 100)])
def test_frames_of_steps_that_divide_the_sample_interval(frame_interval_ps, n_per_frame):
    settings = Settings(300.0, 10.0, 5.0, 0.1, frame_interval_ps, 1.0, "z", (2, 0, 0), 0)
    assert settings.n_samples == 100
    assert settings.samples_per_frame(frame_interval_ps / 0.1) == n_per_frame


@pytest.mark.parametrize(("time_ps", "steps"), [(1.0, 400), (0.0249, 10), (1e-6, 1)])
def test_times_in_steps(time_ps, steps):
    settings = Settings(300.0, 1.0, 2.5, 0.1, 0.1, 1.0, "z", (2, 0, 0), 0)
    assert settings.steps(time_ps) == steps
