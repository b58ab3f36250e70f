"""The blocks that every study has or that ask for fits and MD: study, learning_curves, robustness."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, field_validator, model_validator

from longhot.block import Block, Count, Distinct, Seed, TemperatureK, TimeStepFs
from longhot.config._fields import FrictionPerPs, Name, PressureBar, Sizes, check_run

RESERVED = ("labels", "bench")
"""Folders below results/ that belong to no study."""


class StudyBlock(Block):
    """What the study is called and what it asks."""

    name: Name = Field(description="Folder below results/ that holds everything the study leaves.")
    question: str = Field(description="The question in one sentence; it heads the report.")
    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="Where models are fitted and run: `auto` takes a GPU where there is one."
    )
    reference_time_limit_s: PositiveFloat = Field(
        3600.0,
        description="A single calculation of a reference that takes longer is ended: the frame it was for gets "
        "the status `timeout`, and a job that cannot go on without it ends. To change this makes nothing anew.",
    )

    @field_validator("name")
    @classmethod
    def _own_folder(cls, name: str) -> str:
        if name.lower() in RESERVED:
            raise ValueError(f"results/{name} is the place of what no single study owns, choose another name")
        return name


class LearningCurves(Block):
    """How the test error falls with training data: asked for every dataset and model named."""

    datasets: Annotated[list[Name], Distinct] | Literal["all"] = Field("all", description="Names of datasets.")
    models: Annotated[list[Name], Distinct] | Literal["all"] = Field(
        "all", description="Ids of models, or names of models blocks."
    )
    train_sizes: Sizes = Field(min_length=1, description="Numbers of training frames, ascending.")
    seeds: Annotated[list[Seed], Distinct] = Field(
        [0, 1], min_length=1, description="Seeds: each draws its own nested subsets and its own initial weights."
    )
    subset: Literal["random", "farthest_point"] = Field(
        "random", description="How training frames are drawn from the pool; the smaller sets lie in the larger."
    )


class Protocol(Block):
    """One MD protocol, run alike by every model and by the reference."""

    temperatures_K: Annotated[list[TemperatureK], Distinct] = Field(
        min_length=1, description="Thermostat temperatures, each its own set of runs."
    )
    replicas: Annotated[int, Field(gt=0, le=100_000)] = Field(
        8, description="Trajectories at each temperature, each from its own start."
    )
    duration_ps: PositiveFloat = Field(10.0, description="Length of each trajectory.")
    time_step_fs: TimeStepFs = Field(0.5, description="Integration step.")
    ensemble: Literal["nvt", "nve", "npt"] = Field(
        "nvt",
        description="`nvt`: Langevin thermostat; `nve`: velocity Verlet; `npt`: Langevin with a Monte Carlo barostat, "
        "for cells that are periodic in all directions.",
    )
    friction_per_ps: FrictionPerPs = Field(10.0, description="Friction of the Langevin thermostat.")
    pressure_bar: PressureBar = Field(1.01325, description="Pressure of the barostat, for `npt`.")
    barostat_axes: Literal["isotropic", "x", "y", "z", "independent"] = Field(
        "isotropic",
        description="What a move of the barostat scales, for `npt`: `isotropic`: the whole cell, whose shape is kept; "
        "`x`, `y` or `z`: that Cartesian axis alone, with the cross-section kept; `independent`: one of the three "
        "axes, drawn anew for each move.",
    )
    batch_replicas: Count | None = Field(
        None,
        description="Replicas that are computed at once; the others wait for the place of one that ends. "
        "Absent: all replicas of all temperatures.",
    )
    bond_checks: bool | None = Field(
        None, description="Whether a broken or a new bond is a failure; absent: for molecules, not for periodic cells."
    )
    frame_interval_fs: PositiveFloat = Field(50.0, description="Time between stored frames.")
    check_interval_fs: PositiveFloat = Field(5.0, description="Time between checks for failure.")
    checkpoint_interval_s: PositiveFloat = Field(60.0, description="Wall time between checkpoints.")
    time_limit_s: PositiveFloat | None = Field(
        None,
        description="Wall time after which a run is stopped; its replicas are recorded as `timeout` (censored).",
    )

    @model_validator(mode="after")
    def _can_run(self) -> Protocol:
        n_replicas = self.replicas * len(self.temperatures_K)
        check_run("duration_ps", self.duration_ps, self.time_step_fs, self.frame_interval_fs, n_replicas)
        if not self.time_step_fs <= self.check_interval_fs <= 1e3 * self.duration_ps:
            raise ValueError(
                f"check_interval_fs: {self.check_interval_fs:g} must lie between time_step_fs ({self.time_step_fs:g}) "
                "and the length of the run"
            )
        return self


class Recheck(Block):
    """Which frames of each trajectory the reference method computes again."""

    reference: Name | None = Field(
        None, description="A reference of this config; absent: the dataset's own, which generated it."
    )
    frames_per_replica: Count = Field(10, description="Frames spread evenly over the trajectory.")
    frames_before_failure: Annotated[int, Field(ge=0)] = Field(
        5, description="Further frames: the last ones before a failure, one check interval apart."
    )
    frames_highest_spread: Annotated[int, Field(ge=0)] = Field(
        3,
        description="Further frames: the stored ones on which the fits of all seeds differ most; none where there is "
        "one seed.",
    )
    workers: Annotated[int, Field(gt=0, le=1024)] = Field(
        1, description="Processes that label at once, each on one thread and one core."
    )


class Robustness(Block):
    """Whether long and hot MD survives, and what the reference says of the frames it visited."""

    datasets: Annotated[list[Name], Distinct] | Literal["all"] = Field("all", description="Names of datasets.")
    models: Annotated[list[Name], Distinct] = Field(
        min_length=1, description="Ids of models, or names of models blocks."
    )
    train_sizes: Sizes = Field(min_length=1, description="Numbers of training frames, a part of learning_curves'.")
    seeds: Annotated[list[Seed], Distinct] = Field([0], min_length=1, description="Seeds, a part of learning_curves'.")
    start_set: Name = Field("test", description="The test set whose frames are the starts.")
    control: Name | None = Field(
        None,
        description="A cheaper reference of this config that runs the control's MD, where the one that rechecks is too "
        "slow for it; absent: the one that rechecks.",
    )
    protocol: Protocol = Field(description="The MD protocol.")
    recheck: Recheck = Field(default_factory=Recheck, description="Which frames are computed again.")
