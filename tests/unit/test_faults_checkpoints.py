"""Damaged checkpoints and frames, full disks, two processes at once: a run goes on from what is sound."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import re
import resource
import signal
from pathlib import Path

import h5py
import numpy as np
import pytest
from test_kills import Fragile, assert_same, run, system

from longhot import files, references
from longhot.block import InputError
from longhot.datasets.ice import ice_ih
from longhot.dynamics import lammps, trajectory
from longhot.dynamics.engine import WORK_FOLDER, simulate
from longhot.dynamics.samples import Settings, failed, load


def flip(path: Path, place: int) -> None:
    """Turn one bit of a file."""
    with path.open("r+b") as handle:
        handle.seek(place, os.SEEK_END if place < 0 else os.SEEK_SET)
        byte = handle.read(1)
        handle.seek(-1, os.SEEK_CUR)
        handle.write(bytes([byte[0] ^ 1]))


@pytest.mark.parametrize("place", [0, 40, 1000, -1], ids=["digest", "header", "content", "end"])
def test_any_flipped_bit_of_a_checkpoint_is_found(tmp_path: Path, place: int) -> None:
    path = tmp_path / "checkpoint.npz"
    for content in (b"older" * 1000, b"newer" * 1000):
        files.write_checkpoint(path, content)
    flip(path, place)
    assert list(files.sound_checkpoints(path)) == [b"older" * 1000]
    # The damaged one is gone, so that the next does not put it in the place of the sound one.
    files.write_checkpoint(path, b"next")
    assert list(files.sound_checkpoints(path)) == [b"next", b"older" * 1000]


def test_two_checkpoints_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.npz"
    assert list(files.sound_checkpoints(path)) == []
    for number in range(4):
        files.write_checkpoint(path, bytes([number]))
    assert list(files.sound_checkpoints(path)) == [b"\x03", b"\x02"]
    assert len(list(tmp_path.iterdir())) == 2


def test_cut_off_checkpoint_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.npz"
    files.write_checkpoint(path, b"content" * 100)
    for length in (400, 20, 0):
        os.truncate(path, length)
        assert list(files.sound_checkpoints(path)) == []
        files.write_checkpoint(path, b"content" * 100)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int]:
    """Folder and calls of a run that nothing disturbs."""
    directory = tmp_path_factory.mktemp("whole")
    return directory, run(directory, "nvt")


def spoil_the_newest(work: Path) -> None:
    flip(work / "checkpoint.npz", 5000)


def lose_the_newest(work: Path) -> None:
    (work / "checkpoint.npz").unlink()


def spoil_a_late_frame(work: Path) -> None:
    """One that only the newest checkpoint knows."""
    flip(work / "frames.bin", -1)


def lose_a_late_frame(work: Path) -> None:
    os.truncate(work / "frames.bin", (work / "frames.bin").stat().st_size - 1)


def spoil_an_early_frame(work: Path) -> None:
    flip(work / "frames.bin", 100)


def spoil_both(work: Path) -> None:
    for path in work.glob("checkpoint*"):
        flip(path, 5000)


@pytest.mark.parametrize(
    ("spoil", "share_kept"),
    [
        (spoil_the_newest, 0.3),
        (lose_the_newest, 0.3),
        (spoil_a_late_frame, 0.3),
        (lose_a_late_frame, 0.3),
        (spoil_an_early_frame, 0.0),
        (spoil_both, 0.0),
    ],
)
def test_run_goes_on_from_what_is_sound(spoil, share_kept, tmp_path: Path, whole: tuple[Path, int]) -> None:
    """From the checkpoint before where the newest is damaged, from the start where both are; the same bits follow."""
    directory, n_calls = whole
    run(tmp_path, "nvt", interrupt_at=n_calls // 2)
    spoil(tmp_path / WORK_FOLDER)
    assert run(tmp_path, "nvt") <= n_calls * (1 - share_kept)
    assert_same(directory, tmp_path)


def limited(directory: Path) -> None:
    """A run in a process whose files may not grow beyond some kilobytes, as on a full disk."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
    try:
        run(directory, "nvt")
    except OSError as error:
        os._exit(error.errno or 1)
    os._exit(0)


def test_full_disk_costs_nothing_but_the_time_until_there_is_room(tmp_path: Path, whole: tuple[Path, int]) -> None:
    child = multiprocessing.get_context("fork").Process(target=limited, args=[tmp_path])
    child.start()
    child.join(60)
    assert child.exitcode == 27, "EFBIG"
    assert not (tmp_path / "outcomes.csv").exists()
    run(tmp_path, "nvt")
    assert_same(whole[0], tmp_path)


def test_room_for_the_trajectory_is_made_before_it_is_written(tmp_path: Path, monkeypatch) -> None:
    """HDF5 itself drops what does not fit on a full disk, and says nothing."""
    reserved, reserve = [], trajectory.reserve
    monkeypatch.setattr(trajectory, "reserve", lambda path, n: (reserved.append(n), reserve(path, n)))
    run(tmp_path, "nvt")
    assert 0.5 * reserved[0] < (tmp_path / "frames.h5").stat().st_size <= reserved[0]


def test_a_second_process_is_turned_away_and_does_no_damage(tmp_path: Path, whole: tuple[Path, int]) -> None:
    potential, starts, protocol = system("nvt")
    compute, tried = Fragile.batch, []

    def intruded(self, atoms, n_replicas):
        with pytest.raises(InputError, match=f"{re.escape(str(tmp_path))}.*another process runs this simulation"):
            run(tmp_path, "nvt")
        tried.append(n_replicas)
        return compute(self, atoms, n_replicas)

    potential.batch = intruded.__get__(potential)
    simulate(potential, starts, protocol, 5, tmp_path)
    assert tried
    assert_same(whole[0], tmp_path)


@pytest.mark.parametrize("spoil", ["cut", "empty", "text", "hole"])
def test_damaged_trajectory_is_one_sentence(spoil: str, tmp_path: Path, whole: tuple[Path, int]) -> None:
    path = tmp_path / "frames.h5"
    content = (whole[0] / "frames.h5").read_bytes()
    path.write_bytes({"cut": content[: len(content) // 2], "empty": b"", "text": b"frames"}.get(spoil, content))
    if spoil == "hole":
        with h5py.File(path, "r+") as h5:
            del h5["observables"]
    with pytest.raises(InputError, match=r"frames\.h5: is damaged or no trajectory of ours .* remove it") as caught:
        trajectory.read_replica(path, 300.0, 0)
    assert "\n" not in str(caught.value)


def test_absent_replica_is_one_sentence(whole: tuple[Path, int]) -> None:
    with pytest.raises(InputError, match="T300_replica0099"):
        trajectory.read_replica(whole[0] / "frames.h5", 300.0, 99)


def test_export_leaves_nothing_half_done(tmp_path: Path, whole: tuple[Path, int], monkeypatch) -> None:
    out, starts = tmp_path / "replica.extxyz", system("nvt")[1]
    with monkeypatch.context() as patched:
        patched.setattr("ase.io.write", lambda *_, **__: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        with pytest.raises(OSError, match="No space"):
            trajectory.export_extxyz(whole[0] / "frames.h5", starts[0], 300.0, 0, out)
    assert list(tmp_path.iterdir()) == []
    trajectory.export_extxyz(whole[0] / "frames.h5", starts[0], 300.0, 0, out)
    assert np.isfinite(np.loadtxt(out, skiprows=2, max_rows=1, usecols=1))


def sample_ice(out: Path, monkeypatch, stop_after: int | None = None) -> int:
    """Six segments of mW ice, or some of them; how many were run."""
    n_run, segment = 0, lammps._segment

    def counted(*arguments) -> None:
        nonlocal n_run
        if n_run == stop_after:
            raise KeyboardInterrupt
        n_run += 1
        segment(*arguments)

    settings = Settings(
        temperature_K=270.0,
        duration_ps=3.0,
        time_step_fs=5.0,
        sample_interval_ps=0.1,
        frame_interval_ps=0.5,
        pressure_bar=1.0,
        barostat="isotropic",
        k_indices=(2, 0, 0),
        seed=0,
    )
    with monkeypatch.context() as patched:
        patched.setattr(lammps, "SEGMENT_STEPS", 100)
        patched.setattr(lammps, "_segment", counted)
        with contextlib.suppress(KeyboardInterrupt):
            lammps.run(ice_ih("mW", (1, 2, 1), 0), references.parse({"method": "lammps"}), settings, out)
    return n_run


@pytest.mark.parametrize(
    ("spoilt", "n_again"),
    [([], 2), (["00001.npz"], 3), (["00001.restart"], 3), (["00003.restart", "00000.npz"], 4), (["00002.sha256"], 3)],
)
def test_samples_go_on_from_sound_segments(spoilt: list[str], n_again: int, tmp_path: Path, monkeypatch) -> None:
    assert sample_ice(tmp_path / "whole.npz", monkeypatch) == 6
    assert sample_ice(tmp_path / "stopped.npz", monkeypatch, stop_after=4) == 4
    for name in spoilt:
        flip(tmp_path / "stopped.partial" / name, 30)
    assert sample_ice(tmp_path / "stopped.npz", monkeypatch) == n_again
    with np.load(tmp_path / "whole.npz") as whole, np.load(tmp_path / "stopped.npz") as stopped:
        assert all(whole[name].tobytes() == stopped[name].tobytes() for name in whole)


@pytest.mark.parametrize("length", [0, 100, -30])
def test_damaged_samples_are_one_sentence(length: int, tmp_path: Path) -> None:
    path = tmp_path / "solid.npz"
    failed(ice_ih("mW", (1, 2, 1), 0), "none").save(path)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(InputError, match=r"solid\.npz: is damaged or no samples of ours .* remove it and run again"):
        load(path)
