"""The block melting_point."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, field_validator, model_validator

from longhot.block import Block, Count, Distinct, Seed, TemperatureK, TimeStepFs
from longhot.config._fields import Name, PressureBar, Repeats, Sizes, check_run


class Bulk(Block):
    """Runs of bulk ice and bulk liquid at constant pressure, whose frames are reweighted to the members."""

    repeats: Repeats = Field([2, 3, 2], description="Cells of 8 molecules along c, a and sqrt(3) a of the ice.")
    temperatures_K: Annotated[list[TemperatureK], Distinct] = Field(
        min_length=1, description="Temperatures of both phases; the melting points should lie between them."
    )
    equilibration_ps: PositiveFloat = Field(50.0, description="Time at the start of each run that is thrown away.")
    duration_ps: PositiveFloat = Field(500.0, description="Length of each run after that.")
    frame_interval_ps: PositiveFloat = Field(2.0, description="Time between stored frames.")


class Pinning(Block):
    """Interface pinning (Pedersen et al., Phys. Rev. B 88, 094101 (2013)): the chemical potentials' difference."""

    cells: Annotated[list[Repeats], Distinct] = Field(
        [[2, 3, 8]],
        min_length=1,
        description="Cells of 8 molecules along c, a and sqrt(3) a, the long axis; a second shows the effect of size.",
    )
    temperatures_K: Annotated[list[TemperatureK], Distinct] = Field(
        min_length=1, description="At or above the melting point: far below it the cell freezes whole."
    )
    kappa_eV: PositiveFloat = Field(0.17, description="Force constant of the bias kappa/2 (Q - a)^2.")
    equilibration_ps: PositiveFloat = Field(100.0, description="Time at the start that is thrown away.")
    duration_ps: PositiveFloat = Field(1500.0, description="Length of the run after that.")
    phase_ps: PositiveFloat = Field(100.0, description="Length of the runs of each whole phase in the same cell.")


class MemberPinning(Pinning):
    """Members that run a pinned interface of their own, as a check of the reweighting; in cells of `pinning`."""

    train_sizes: Sizes = Field(min_length=1, description="Some of `melting_point.train_sizes`.")
    seeds: Annotated[list[Seed], Distinct] = Field([0], min_length=1, description="Some of `melting_point.seeds`.")


class Coexistence(Block):
    """Ice and liquid side by side at constant enthalpy: the temperature goes to the melting point by itself."""

    equilibration_ps: PositiveFloat = Field(200.0, description="Time at the start that is thrown away.")
    duration_ps: PositiveFloat = Field(500.0, description="Length of the run after that.")


class Staging(Block):
    """Staged integration between sampler and member, where reweighting fails."""

    lambdas: list[Annotated[float, Field(gt=0, le=1)]] = Field(
        [0.5, 1.0], min_length=1, description="Weights of the member in the mixed potentials; the last must be 1."
    )
    equilibration_ps: PositiveFloat = Field(5.0, description="Time at the start of each window that is thrown away.")
    duration_ps: PositiveFloat = Field(20.0, description="Length of each window after that.")
    frame_interval_ps: PositiveFloat = Field(0.5, description="Time between stored frames.")

    @field_validator("lambdas")
    @classmethod
    def _to_the_member(cls, lambdas: list[float]) -> list[float]:
        if lambdas != sorted(set(lambdas)) or lambdas[-1] != 1.0:
            raise ValueError(f"must ascend without repeats to 1, is {lambdas}")
        return lambdas


class Conditions(Block):
    """What all runs for a melting point share."""

    molecule: Literal["site", "H2O"] = Field("site", description="`site`: one site O a molecule, as mW has; or `H2O`.")
    pressure_bar: PressureBar = Field(1.01325, description="Pressure.")
    time_step_fs: TimeStepFs = Field(10.0, description="Integration step; molecules with hydrogen need 0.5.")
    melt_temperature_K: TemperatureK = Field(700.0, description="At which ice is melted to begin a run of the liquid.")
    melt_ps: PositiveFloat = Field(10.0, description="How long it is held there.")
    seed: Seed = Field(0, description="Seed of velocities and noise.")


class MeltingPoint(Conditions):
    """The melting point of ice by the sampler and by each member of a committee, with its error budget."""

    dataset: Name = Field(description="The dataset that the committees are fitted to; it holds ice and liquid.")
    models: Annotated[list[Name], Distinct] = Field(
        min_length=1, description="Ids of models, or names of models blocks."
    )
    train_sizes: Sizes = Field(min_length=1, description="Numbers of training frames, ascending.")
    seeds: Annotated[list[Seed], Distinct] = Field(
        [0, 1, 2, 3],
        min_length=2,
        description="Members of a committee, each with its own subset and initial weights. Calibration needs four.",
    )
    sampler: Literal["reference", "committee"] = Field(
        "reference",
        description="What runs the MD: the dataset's reference, or the mean of each committee where that is too slow.",
    )
    target_melting_point_error_K: PositiveFloat = Field(
        2.0, description="Wanted precision: the report tells the force error that it asks for."
    )
    bulk: Bulk = Field(description="Runs of the bulk phases.")
    pinning: Pinning = Field(description="Runs with a pinned interface.")
    coexistence: Coexistence | None = Field(
        None, description="An independent check, where a LAMMPS reference samples; absent: none."
    )
    staging: Staging | None = Field(Staging(), description="Where reweighting fails; null: such members get no number.")
    n_md_calibration: Count = Field(40, description="Frames of the bulk runs on which the calibration is checked.")
    member_pinning: MemberPinning | None = Field(None, description="A check of the reweighting; absent: none.")

    @model_validator(mode="after")
    def _can_run(self) -> MeltingPoint:
        for name, block in (("bulk", self.bulk), ("staging", self.staging)):
            if block is not None:
                interval_fs = 1e3 * block.frame_interval_ps
                check_run(f"{name}.duration_ps", block.duration_ps, self.time_step_fs, interval_fs)
        check_run("melt_ps", self.melt_ps, self.time_step_fs)
        for name in ("bulk", "staging", "pinning", "member_pinning", "coexistence"):
            for key in ("equilibration_ps", "duration_ps", "phase_ps"):
                time_ps = getattr(getattr(self, name), key, None)
                if time_ps is not None:
                    check_run(f"{name}.{key}", time_ps, self.time_step_fs)
        return self
