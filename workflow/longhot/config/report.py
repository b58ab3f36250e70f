"""The block report."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, PositiveFloat

from longhot.block import Block, TemperatureK
from longhot.config._fields import Name


class Tolerances(Block):
    """What is good enough; a criterion without a tolerance is shown, but not judged."""

    energy_mae_meV_per_atom: PositiveFloat | None = Field(
        None, description="Most mean absolute energy error on the main test set."
    )
    force_mae_meV_per_A: PositiveFloat | None = Field(
        None, description="Most mean absolute force error on the main test set."
    )
    hot_force_mae_meV_per_A: PositiveFloat | None = Field(None, description="The same on the test set `test_hot`.")
    md_force_mae_meV_per_A: PositiveFloat | None = Field(
        None, description="Most mean absolute force error on frames of the model's own MD."
    )
    failures_per_ns: PositiveFloat | None = Field(None, description="Most failures in a ns of MD.")
    survival_share: Annotated[float, Field(gt=0, le=1)] | None = Field(
        None, description="Least share of the trajectories that live until `survival_time_ps`."
    )
    melting_point_error_K: PositiveFloat | None = Field(
        None, description="Most distance of a committee's melting point from the reference's."
    )
    miscalibration_area: Annotated[float, Field(gt=0, le=0.5)] | None = Field(
        None, description="Most miscalibration area of a committee's forces on frames of MD, 0 at best, 0.5 at worst."
    )


class Report(Block):
    """What the report holds the models against, and what it takes energy to cost."""

    tolerances: Tolerances = Field(
        default_factory=Tolerances, description="One limit a criterion; they can be moved in the page."
    )
    dataset_tolerances: dict[Name, Tolerances] = Field(
        default_factory=dict, description="Limits for one dataset, by its name, in place of those for all."
    )
    temperature_K: TemperatureK | None = Field(
        None, description="Temperature at which MD is judged; absent: the highest of the protocol."
    )
    survival_time_ps: PositiveFloat | None = Field(
        None, description="Time until which trajectories have to live; absent: the length of the protocol."
    )
    ranking: bool = Field(False, description="Whether models are ranked by how many tolerances they meet.")
    core_power_W: PositiveFloat = Field(
        12.0,
        description="Power that a busy core takes, with its share of memory, power supply and cooling: an assumption, "
        "for the energy estimate.",
    )
    gpu_power_W: PositiveFloat = Field(400.0, description="The same of a GPU.")

    def limits(self, dataset: str) -> dict[str, float | None]:
        """The tolerance of each criterion on a dataset; None where there is none."""
        own = self.dataset_tolerances.get(dataset, Tolerances()).model_dump(exclude_none=True)
        return {**self.tolerances.model_dump(), **own}
