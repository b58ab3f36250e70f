"""Barostats along single axes: which axes they scale, and runs that go on with their cells to the last bit."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError
from test_kills import assert_same, contents, system

from longhot.config import Protocol
from longhot.dynamics.barostat import MOVES_IN_BLOCK, scaled_axes
from longhot.dynamics.engine import WORK_FOLDER, simulate
from longhot.files import sound_checkpoints
from longhot.langevin import BLOCK_STEPS, Stream, draw_volume_noise


def run(directory: Path, axes: str, interrupt_at: int | None = None) -> None:
    """Run to the end, or to an interrupt at some call of the potential."""
    potential, starts, protocol = system("npt")
    potential.interrupt_at = interrupt_at
    simulate(potential, starts, protocol.model_copy(update={"barostat_axes": axes}), 5, directory)  # type: ignore[arg-type]


def boxes(directory: Path) -> list[np.ndarray]:
    """Cells of each replica, shape (n_frames, 3, 3)."""
    return [values for name, values in contents(directory).items() if name.endswith("edges/value")]


@pytest.mark.parametrize("axes", ["z", "independent"])
def test_stopped_run_keeps_its_cells_and_ends_the_same(axes: str, tmp_path: Path) -> None:
    run(tmp_path / "whole", axes)
    start = system("npt")[1][0].cell.array
    n_stops, moved = 0, False
    while not (tmp_path / "stopped/outcomes.csv").exists():
        try:
            run(tmp_path / "stopped", axes, interrupt_at=BLOCK_STEPS + 20)
        except KeyboardInterrupt:
            n_stops += 1
            checkpoint = tmp_path / "stopped" / WORK_FOLDER / "checkpoint.npz"
            for content in sound_checkpoints(checkpoint):
                moved |= (np.load(io.BytesIO(content))["places_state_cell_A"] != start).any()
    assert n_stops > 5
    assert moved
    assert_same(tmp_path / "whole", tmp_path / "stopped")


@pytest.mark.parametrize("axes", ["isotropic", "x", "y", "z", "independent"])
def test_run_changes_the_axes_it_is_told_to_change(axes: str, tmp_path: Path) -> None:
    run(tmp_path, axes)
    cells = np.concatenate(boxes(tmp_path))
    changed = [bool((cells[..., axis] != cells[0, :, axis]).any()) for axis in range(3)]
    assert changed == [axes in ("isotropic", "independent", axis) for axis in "xyz"]


def test_independent_moves_draw_each_axis_as_often() -> None:
    n_moves = 3000
    noise = draw_volume_noise([Stream(1, 300.0, 0), Stream(1, 300.0, 1)], [0, 0], n_moves)
    assert noise.shape == (n_moves, 2, 3)
    for uniform in noise[..., 2].T:
        scaled = scaled_axes("independent", uniform)
        assert (scaled.sum(axis=1) == 1).all()
        np.testing.assert_allclose(scaled.mean(axis=0), 1 / 3, atol=0.03)
    ends = scaled_axes("independent", np.array([0.0, np.nextafter(1.0, 0.0)]))
    assert ends.tolist() == [[True, False, False], [False, False, True]]


def test_draws_are_one_replicas_own() -> None:
    streams = [Stream(1, 300.0, replica) for replica in range(3)]
    together = draw_volume_noise(streams, [4, 5, 6], MOVES_IN_BLOCK)
    np.testing.assert_array_equal(draw_volume_noise(streams[2:], [6], MOVES_IN_BLOCK)[:, 0], together[:, 2])
    assert len(np.unique(together)) == together.size


def test_unknown_axes_are_refused() -> None:
    with pytest.raises(ValidationError, match="barostat_axes"):
        Protocol(temperatures_K=[300.0], barostat_axes="xy")  # type: ignore[arg-type]
