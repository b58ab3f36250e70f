"""The blocks active_learning and structure_search."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, model_validator

from longhot.block import Block, Count, Distinct, Seed, TemperatureK, TimeStepFs
from longhot.config._fields import FrictionPerPs, Name, check_run
from longhot.config.questions import Protocol

Strategy = Literal["random", "diverse", "uncertain_frame", "uncertain_atom", "uncertain_diverse"]


class Online(Block):
    """One run that learns as it goes, from the first committee of the rounds on."""

    temperature_K: TemperatureK = Field(description="Temperature of the Langevin thermostat.")
    duration_ps: PositiveFloat = Field(10.0, description="Length of the run.")
    time_step_fs: TimeStepFs = Field(0.5, description="Integration step.")
    friction_per_ps: FrictionPerPs = Field(10.0, description="Friction of the Langevin thermostat.")
    threshold_meV_per_A: PositiveFloat = Field(
        100.0,
        description="Uncertainty of the force on any atom beyond which the reference is asked; with `adaptive`, the "
        "true error that is tolerated, from which the threshold of the uncertainty follows.",
    )
    adaptive: bool = Field(
        False, description="Whether the threshold follows the ratio of true to estimated errors at earlier calls."
    )
    max_calls: Count = Field(200, description="Calls of the reference after which a further one ends the run.")
    refit_steps: Count | None = Field(
        None,
        description="Gradient steps of the fit after each call, which begins with the last weights; absent: those "
        "of the rounds.",
    )
    audit_interval_steps: Count = Field(
        100, description="Steps between frames that the reference computes for the record alone; nothing learns them."
    )
    trace_interval_steps: Count = Field(
        10, description="Steps between rows of the trace; calls and audits always have one."
    )
    bond_checks: bool | None = Field(
        None, description="Whether a broken or a new bond is a failure; absent: for molecules, not for periodic cells."
    )

    @model_validator(mode="after")
    def _can_run(self) -> Online:
        check_run("duration_ps", self.duration_ps, self.time_step_fs)
        return self


class ActiveLearning(Block):
    """Whether it pays to choose frames from the potential's own MD: strategies at equal numbers of labels."""

    dataset: Name = Field(description="A dataset with a reference, whose pool gives the initial frames.")
    model: Name = Field(description="Id of a model.")
    strategies: Annotated[list[Strategy], Distinct] = Field(
        ["random", "diverse", "uncertain_diverse"],
        min_length=1,
        description="How frames are chosen; `random` is what the others are held against.",
    )
    seeds: Annotated[list[Seed], Distinct] = Field(
        [0, 1, 2], min_length=1, description="Repeats of the whole loop, each with its own initial frames and weights."
    )
    members: Annotated[int, Field(gt=0, le=100)] = Field(
        4, description="Fits of a committee, of which the first drives the MD; 1 for a family that knows its own error."
    )
    initial_frames: Count = Field(10, description="Frames of the training pool that every strategy begins with.")
    frames_per_round: Count = Field(5, description="Frames that a round labels and adds.")
    rounds: Annotated[int, Field(gt=0, le=1000)] = Field(3, description="Rounds after the first fit.")
    refit_steps: Count | None = Field(
        None, description="Gradient steps of a refit, which begins with the last weights; absent: those of the model."
    )
    tolerance_meV_per_A: PositiveFloat = Field(
        20.0, description="A round whose chosen frames show a smaller force MAE before the refit ends the loop."
    )
    start_set: Name = Field("test", description="The test set whose frames start the MD.")
    evaluation_frames: Count = Field(
        24, description="MD frames of each round that are labelled to judge it, beside the budget."
    )
    protocol: Protocol = Field(description="The MD of each round, which visits the candidates and judges the fit.")
    online: Online | None = Field(None, description="A run that learns on the fly, beside the rounds; absent: none.")


class StructureSearch(Block):
    """Whether minima hopping with a potential that learns finds what it finds with the reference itself."""

    dataset: Name = Field(description="A dataset of one molecule with a reference; its pool gives the initial frames.")
    model: Name = Field(description="Id of a model.")
    seeds: Annotated[list[Seed], Distinct] = Field(
        [0, 1], min_length=1, description="Repeats of the whole search, each with its own start, frames and weights."
    )
    initial_frames: Count = Field(10, description="Frames of the training pool that the first fit learns.")
    rounds: Annotated[int, Field(gt=0, le=1000)] = Field(
        4, description="Most rounds after the first; each refits, searches and labels."
    )
    n_hops: Count = Field(
        20, description="Hops of a round; the search with the reference has as many as all rounds together."
    )
    temperature_K: TemperatureK = Field(
        1000.0, description="Kinetic temperature of the first hop; it falls with each new minimum, else it rises."
    )
    energy_tolerance_meV: PositiveFloat = Field(
        5.0, description="Two structures whose energies differ by less are the same if their distances agree too."
    )
    distance_tolerance_A: PositiveFloat = Field(
        0.1, description="Largest difference of the sorted interatomic distances of two structures that are the same."
    )
    n_lowest: Count = Field(
        3, description="The search ends when a round leaves so many of the lowest structures as they were."
    )
    refit_steps: Count | None = Field(
        None, description="Gradient steps of a refit, which begins with the last weights; absent: those of the model."
    )
