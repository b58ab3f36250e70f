"""Types of fields that several blocks share, and the limits of what a study may ask for."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from longhot.block import LONGEST_NAME, Count, shown

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=LONGEST_NAME)]
"""An id that stands in paths."""


def _ascending(sizes: list[int]) -> list[int]:
    if sizes != sorted(set(sizes)):
        raise ValueError(f"must ascend without repeats, is {shown(sizes)}")
    return sizes


Sizes = Annotated[list[Count], Field(max_length=1000), AfterValidator(_ascending)]
"""Numbers of training frames."""
Repeats = Annotated[list[Annotated[int, Field(gt=0, le=100)]], Field(min_length=3, max_length=3)]
"""Cells of 8 molecules of ice along c, a and sqrt(3) a."""
ICE_CELL_A = (7.2, 4.4, 7.6)
"""Edges of such a cell at its smallest: ice at low temperature, less two percent."""
FrictionPerPs = Annotated[float, Field(gt=0, le=100_000)]
PressureBar = Annotated[float, Field(ge=-1e6, le=1e7)]
MOST_STEPS = 1e10
"""Of one MD run."""
MOST_FRAMES = 1e8
"""That all replicas of one MD job store."""
MOST_JOBS = 100_000
"""Of one kind; Snakemake plans 10,000 in half a minute."""
Question = Literal["learning_curves", "robustness", "melting_point", "active_learning", "structure_search"]
"""What a study may ask, each a block of its config."""
REFERENCE_MODEL = "reference"
"""The id of the control: the dataset's reference method, run as if it were a model."""


def check_run(
    key: str, time_ps: float, time_step_fs: float, frame_interval_fs: float | None = None, n_replicas: int = 1
) -> None:
    """Refuse an MD run without a step, and one that no machine could end or store.

    Raises:
        ValueError: with the key of its length.
    """
    rounding = 1 + 1e-9
    n_steps = rounding * 1e3 * time_ps / time_step_fs
    if not 1 <= n_steps <= MOST_STEPS:
        raise ValueError(
            f"{key}: {time_ps:g} ps are {n_steps:.3g} steps of {time_step_fs:g} fs, must be 1 to {MOST_STEPS:.0e}"
        )
    if frame_interval_fs is None:
        return
    n_frames = rounding * 1e3 * time_ps / frame_interval_fs
    if rounding * frame_interval_fs < time_step_fs or n_replicas * n_frames > MOST_FRAMES:
        raise ValueError(
            f"{key}: {time_ps:g} ps with a frame every {frame_interval_fs:g} fs are {n_frames:.3g} stored frames of "
            f"{n_replicas} replicas at steps of {time_step_fs:g} fs, must be at most {MOST_FRAMES:.0e} in all and none "
            "between two steps"
        )
