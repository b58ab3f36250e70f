"""The config of a study: typed, documented, with units in the names.

One file states the question. ``config/schema.json``, ``config/README.md`` and the defaults are
generated from these classes and from the ``Config`` class of each plugin file in ``datasets/``,
``references/`` and ``models/``.
"""

from __future__ import annotations

import re
import sys
from math import prod
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import yaml
from pydantic import (
    AfterValidator,
    Field,
    PositiveFloat,
    ValidationError,
    field_validator,
    model_validator,
)

import longhot.datasets
import longhot.models
import longhot.references
from longhot.block import (
    LONGEST_NAME,
    MOST_FAULTS,
    Block,
    Count,
    Distinct,
    InputError,
    Seed,
    TemperatureK,
    TimeStepFs,
    check_plain,
    one_line,
    plugin,
    shown,
)

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
RESERVED = ("labels", "bench")
"""Folders below results/ that belong to no study."""

Question = Literal["learning_curves", "robustness", "melting_point", "active_learning", "structure_search"]
"""What a study may ask, each a block of its config."""
REFERENCE_MODEL = "reference"
"""The id of the control: the dataset's reference method, run as if it were a model."""


class StudyBlock(Block):
    """What the study is called and what it asks."""

    name: Name = Field(description="Folder below results/ that holds everything the study leaves.")
    question: str = Field(description="The question in one sentence; it heads the report.")
    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="Where models are fitted and run: `auto` takes a GPU where there is one."
    )
    reference_time_limit_s: PositiveFloat = Field(
        3600.0, description="A single calculation of a reference that takes longer is given up. It changes no result."
    )

    @field_validator("name")
    @classmethod
    def _own_folder(cls, name: str) -> str:
        if name.lower() in RESERVED:
            raise ValueError(f"results/{name} is the place of what no single study owns, choose another name")
        return name


def _check_run(
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
        _check_run("duration_ps", self.duration_ps, self.time_step_fs, self.frame_interval_fs, n_replicas)
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
    """Members that run a pinned interface of their own, as a check of the reweighting; in cells of ``pinning``."""

    train_sizes: Sizes = Field(min_length=1, description="A part of melting_point's.")
    seeds: Annotated[list[Seed], Distinct] = Field([0], min_length=1, description="A part of melting_point's.")


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
    coexistence: Coexistence | None = Field(None, description="An independent check; absent: none.")
    staging: Staging | None = Field(Staging(), description="Where reweighting fails; null: such members get no number.")
    n_md_calibration: Count = Field(40, description="Frames of the bulk runs on which the calibration is checked.")
    member_pinning: MemberPinning | None = Field(None, description="A check of the reweighting; absent: none.")

    @model_validator(mode="after")
    def _can_run(self) -> MeltingPoint:
        for name, block in (("bulk", self.bulk), ("staging", self.staging)):
            if block is not None:
                interval_fs = 1e3 * block.frame_interval_ps
                _check_run(f"{name}.duration_ps", block.duration_ps, self.time_step_fs, interval_fs)
        _check_run("melt_ps", self.melt_ps, self.time_step_fs)
        for name in ("bulk", "staging", "pinning", "member_pinning", "coexistence"):
            for key in ("equilibration_ps", "duration_ps", "phase_ps"):
                time_ps = getattr(getattr(self, name), key, None)
                if time_ps is not None:
                    _check_run(f"{name}.{key}", time_ps, self.time_step_fs)
        return self


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
        _check_run("duration_ps", self.duration_ps, self.time_step_fs)
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


class Study(Block):
    """A whole config file."""

    study: StudyBlock = Field(description="Name and question.")
    references: dict[Name, Any] = Field(
        default_factory=dict, description="Reference methods by name; the key `method` names the plugin."
    )
    datasets: dict[Name, Any] = Field(min_length=1, description="Datasets by name; the key `source` names the plugin.")
    models: dict[Name, Any] = Field(
        default_factory=dict, description="Blocks of models by name; the key `family` names the plugin."
    )
    learning_curves: LearningCurves | None = Field(None, description="Asked where present.")
    robustness: Robustness | None = Field(None, description="Asked where present; needs learning_curves.")
    melting_point: MeltingPoint | None = Field(None, description="Asked where present.")
    active_learning: ActiveLearning | None = Field(None, description="Asked where present.")
    structure_search: StructureSearch | None = Field(None, description="Asked where present.")
    report: Report = Field(default_factory=Report, description="Needed for no question.")

    @field_validator("references", mode="before")
    @classmethod
    def _references(cls, blocks: dict[str, Any]) -> dict[str, Block]:
        return _plugin_blocks(longhot.references, "references", "method", blocks)

    @field_validator("datasets", mode="before")
    @classmethod
    def _datasets(cls, blocks: dict[str, Any]) -> dict[str, Block]:
        return _plugin_blocks(longhot.datasets, "datasets", "source", blocks)

    @field_validator("models", mode="before")
    @classmethod
    def _models(cls, blocks: dict[str, Any]) -> dict[str, Block]:
        return _plugin_blocks(longhot.models, "models", "family", blocks)

    @model_validator(mode="after")
    def _names_exist(self) -> Study:
        for name, dataset in self.datasets.items():
            self._known("references", dataset.reference, f"datasets.{name}.reference")
        variants = self.variants()
        if REFERENCE_MODEL in variants:
            raise ValueError(f"models: {REFERENCE_MODEL!r} is the id of the control, use another")
        self._check_number_of_jobs()
        for name, question in (("robustness", self.robustness), ("active_learning", self.active_learning)):
            if question and question.protocol.frame_interval_fs > 1e3 * question.protocol.duration_ps * (1 + 1e-9):
                raise ValueError(
                    f"{name}.protocol.frame_interval_fs: longer than the run, no frame but the start would be kept"
                )
        for variant, block in variants.items():
            self._known("references", getattr(block, "reference", None), f"models.{variant}.reference")
        if self.learning_curves:
            self._pick("datasets", self.learning_curves.datasets, "learning_curves.datasets")
            self._pick("models", self.learning_curves.models, "learning_curves.models")
        if self.robustness:
            self._check_robustness(self.robustness)
        if self.melting_point:
            self._check_melting_point(self.melting_point)
        if self.active_learning:
            self._check_active_learning(self.active_learning)
        if self.structure_search:
            self._check_loop("structure_search", self.structure_search)
        self._check_report(self.report)
        return self

    def _check_number_of_jobs(self) -> None:
        for name, question in [(name, getattr(self, name)) for name in get_args(Question)]:
            parts = ("train_sizes", "seeds", "strategies", "rounds")
            lengths = [getattr(question, part, ()) for part in parts]
            n_jobs = prod(one if isinstance(one, int) else max(1, len(one)) for one in lengths)
            if isinstance(question, LearningCurves | Robustness | MeltingPoint):
                n_jobs *= len(self._pick("models", question.models, f"{name}.models"))
                n_jobs *= len(self.datasets)
            if n_jobs > MOST_JOBS:
                raise ValueError(
                    f"{name}: asks for up to {n_jobs} jobs, at most {MOST_JOBS} are allowed, split the study"
                )

    def _check_report(self, report: Report) -> None:
        for name in report.dataset_tolerances:
            self._known("datasets", name, "report.dataset_tolerances")
        if self.robustness is None:
            return
        protocol = self.robustness.protocol
        if report.temperature_K not in (None, *protocol.temperatures_K):
            raise ValueError(
                f"report.temperature_K: {report.temperature_K:g} not in robustness.protocol.temperatures_K, "
                f"which are {', '.join(f'{one:g}' for one in protocol.temperatures_K)}"
            )
        if report.survival_time_ps is not None and report.survival_time_ps > protocol.duration_ps:
            raise ValueError(
                f"report.survival_time_ps: {report.survival_time_ps:g} is beyond robustness.protocol.duration_ps "
                f"({protocol.duration_ps:g})"
            )

    def _check_active_learning(self, question: ActiveLearning) -> None:
        self._check_loop("active_learning", question)
        if question.members == 1 and not self.variants()[question.model].knows_its_error:
            raise ValueError(f"active_learning.members: one fit of {question.model} has no spread, ask for at least 2")

    def _check_loop(self, name: str, question: ActiveLearning | StructureSearch) -> None:
        self._pick("datasets", [question.dataset], f"{name}.dataset")
        self._pick("models", [question.model], f"{name}.model")
        if question.model not in self.variants():
            raise ValueError(f"{name}.model: {question.model} is a sweep, name one of its models")
        block = self.variants()[question.model]
        if question.refit_steps is not None and not hasattr(block, "gradient_steps"):
            raise ValueError(f"{name}.refit_steps: {question.model} is not fitted by gradient steps, remove it")
        if not block.forces_depend_on_data:
            raise ValueError(f"{name}.model: the forces of {question.model} learn nothing from data, use another")
        if self.datasets[question.dataset].reference is None:
            raise ValueError(f"{name}.dataset: datasets.{question.dataset} names no reference that could label, add it")

    def _check_melting_point(self, question: MeltingPoint) -> None:
        self._pick("datasets", [question.dataset], "melting_point.dataset")
        if question.sampler == "reference" and self.datasets[question.dataset].reference is None:
            raise ValueError(
                f"melting_point.sampler: datasets.{question.dataset} names no reference that could sample, "
                "add it or set sampler to committee"
            )
        own = question.member_pinning
        for key in ("train_sizes", "seeds"):
            unknown = set(getattr(own, key, [])) - set(getattr(question, key))
            if unknown:
                raise ValueError(f"melting_point.member_pinning.{key}: {sorted(unknown)} not in melting_point.{key}")
        for cell in own.cells if own else []:
            if cell not in question.pinning.cells:
                raise ValueError(
                    f"melting_point.member_pinning.cells: {list(cell)} not in melting_point.pinning.cells: the size "
                    "effect is unknown where the sampler does not run that cell too"
                )
        for model in self._pick("models", question.models, "melting_point.models"):
            r_max_A = getattr(self.variants()[model], "r_max_A", 0.0)
            for where, repeats in [("bulk.repeats", question.bulk.repeats)] + [
                (f"{name}.cells", cell)
                for name, block in (("pinning", question.pinning), ("member_pinning", own))
                for cell in (block.cells if block else [])
            ]:
                shortest_A = min(n * edge for n, edge in zip(repeats, ICE_CELL_A, strict=True))
                if shortest_A < 2 * r_max_A:
                    raise ValueError(
                        f"melting_point.{where}: {repeats} has an edge of {shortest_A:.1f} A, less than twice the "
                        f"r_max_A of {model} ({r_max_A:g}): a molecule would meet two images of another, enlarge it"
                    )

    def _check_robustness(self, robustness: Robustness) -> None:
        curves = self.learning_curves
        if curves is None:
            raise ValueError("robustness: needs the block learning_curves, whose models it runs")
        for key in ("train_sizes", "seeds"):
            extra = set(getattr(robustness, key)) - set(getattr(curves, key))
            if extra:
                raise ValueError(f"robustness.{key}: {sorted(extra)} not in learning_curves.{key}")
        asked = self._pick("models", robustness.models, "robustness.models")
        extra_models = set(asked) - set(self._pick("models", curves.models, "learning_curves.models"))
        if extra_models:
            raise ValueError(f"robustness.models: {sorted(extra_models)} not in learning_curves.models")
        self._known("references", robustness.recheck.reference, "robustness.recheck.reference")
        self._known("references", robustness.control, "robustness.control")
        for name in self._pick("datasets", robustness.datasets, "robustness.datasets"):
            if self.recheck_reference(name) is None:
                raise ValueError(
                    f"robustness.recheck.reference: missing, and datasets.{name} names no reference of its own"
                )

    def _known(self, kind: str, name: str | None, where: str) -> None:
        if name is not None and name not in getattr(self, kind):
            raise ValueError(f"{where}: no {name!r} in {kind}, which has {', '.join(getattr(self, kind)) or 'none'}")

    def _pick(self, kind: str, names: list[str] | str, where: str) -> list[str]:
        """Resolve "all", names of blocks, and (for models) ids of variants to a list of ids."""
        ids: dict[str, list[str]] = {name: [name] for name in self.datasets}
        if kind == "models":
            ids = {variant: [variant] for variant in self.variants()}
            ids |= {name: list(block.variants(name)) for name, block in self.models.items()}
        if names == "all":
            names = list(getattr(self, kind))
        unknown = [name for name in names if name not in ids]
        if unknown:
            raise ValueError(f"{where}: no {unknown[0]!r}, use one of {', '.join(ids)}")
        return list(dict.fromkeys(one for name in names for one in ids[name]))

    def variants(self) -> dict[str, Any]:
        """Every model of the study by id, sweeps unfolded."""
        found: dict[str, Any] = {}
        for name, block in self.models.items():
            for variant, config in block.variants(name).items():
                if variant in found:
                    raise ValueError(f"models.{name}: the id {variant!r} stands twice, rename one block")
                found[variant] = config
        return found

    def picked(self, question: Question, kind: Literal["datasets", "models"]) -> list[str]:
        """Ids of the datasets or models that a question names; empty where it is not asked."""
        block = getattr(self, question)
        if block is None:
            return []
        if kind == "datasets" and isinstance(block, MeltingPoint | ActiveLearning | StructureSearch):
            return [block.dataset]
        if isinstance(block, ActiveLearning | StructureSearch):
            return [block.model]
        return self._pick(kind, getattr(block, kind), f"{question}.{kind}")

    def recheck_reference(self, dataset: str) -> str | None:
        """Name of the reference that rechecks the MD of a dataset."""
        named = self.robustness.recheck.reference if self.robustness else None
        return named or self.datasets[dataset].reference

    def control_reference(self, dataset: str) -> str | None:
        """Name of the reference that runs the control of a dataset."""
        named = self.robustness.control if self.robustness else None
        return named or self.recheck_reference(dataset)


def _plugin_blocks(package: Any, field: str, selector: str, blocks: dict[str, Any]) -> dict[str, Block]:
    """Validate each block with the ``Config`` class of the plugin that its selector names."""
    if not isinstance(blocks, dict):
        raise ValueError(f"must be a mapping from names to blocks, is {shown(blocks)}")
    done = {}
    for name, raw in blocks.items():
        if not isinstance(raw, dict) or not isinstance(raw.get(selector), str):
            raise ValueError(f"{field}.{one_line(name)}.{selector}: missing, it names the plugin")
        try:
            done[name] = plugin(package, raw[selector]).Config.model_validate(raw)
        except InputError as error:
            raise ValueError(f"{field}.{one_line(name)}.{selector}: {error}") from None
        except ValidationError as error:
            raise ValueError(_sentences(error, f"{field}.{one_line(name)}")) from None
    return done


_PLAIN_WORDS = {
    "extra_forbidden": "unknown key, remove it or correct its spelling (config/README.md lists all keys)",
    "missing": "missing, add it",
    "model_type": "must be a block of keys",
    "dict_type": "must be a mapping",
    "too_short": "must not be empty",
    "list_type": "must be a list",
    "string_type": "must be text",
    "string_pattern_mismatch": "may hold only letters, digits, dots, dashes and underscores",
}


_UNION_MEMBER = re.compile(r"(int|float|str|bool|constrained-\w+|(list|dict|literal|tuple|function-\w+)\[.*\])")


def _sentences(error: ValidationError, prefix: str = "") -> str:
    """One line for each fault: where it is, and what is wrong."""
    faults: dict[str, list[str]] = {}
    for fault in error.errors():
        # Pydantic puts the members of a union among the keys: one key, several ways to be wrong.
        loc = [one_line(str(part)) for part in fault["loc"] if not _UNION_MEMBER.fullmatch(str(part))]
        where = ".".join([*([prefix] if prefix else []), *loc])
        message = fault["msg"].removeprefix("Value error, ")
        if fault["type"] != "value_error":
            message = _PLAIN_WORDS.get(fault["type"], message.replace("Input should", "must", 1))
            where = where or "config"
            if fault["type"] not in ("extra_forbidden", "missing"):
                message += f", is {shown(fault['input'])}"
        elif not where or message.startswith((f"{where}.", f"{where}:")):
            where = ""  # the message names its key itself
        faults.setdefault(where, []).append(message)
    own = faults.pop("", [])
    lines = own + [f"{where}: {' or '.join(dict.fromkeys(messages))}" for where, messages in faults.items()]
    if len(lines) > MOST_FAULTS:
        lines[MOST_FAULTS:] = [f"and {len(lines) - MOST_FAULTS} more faults, mend these first"]
    return "\n".join(lines)


def load(raw: dict[str, Any]) -> Study:
    """Validate a config.

    Raises:
        InputError: one line for each fault, with the key where it stands.
    """
    check_plain(raw)
    try:
        return Study.model_validate(raw)
    except ValidationError as error:
        raise InputError(_sentences(error)) from None


LARGEST_FILE_BYTES = 1_000_000


class _StrictLoader(yaml.SafeLoader):
    """Refuses a key that stands twice, of which YAML readers keep the last without a word."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen: set[tuple[str, Any]] = set()
        for key, _ in node.value:
            name = (key.tag, key.value if isinstance(key, yaml.ScalarNode) else id(key))
            if name in seen:
                raise yaml.composer.ComposerError(
                    None, None, f"the key {shown(key.value)} stands twice", key.start_mark
                )
            seen.add(name)
        return node


def read_file(path: str | Path) -> dict[str, Any]:
    """Read a YAML config file as plain data.

    Raises:
        InputError: no such file, no text, too large, no YAML, a key that stands twice, or no mapping.
    """
    try:
        text = Path(path).read_bytes()
        if len(text) > LARGEST_FILE_BYTES:
            raise InputError(f"{path}: larger than {LARGEST_FILE_BYTES // 1000} kB, give a config file")
        raw = yaml.load(text.decode("utf-8"), Loader=_StrictLoader)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}), correct the path") from None
    except RecursionError:
        raise InputError(f"{path}: nested too deep, flatten it") from None
    except (yaml.YAMLError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: no valid YAML ({_yaml_fault(error)}), correct it") from None
    if not isinstance(raw, dict):
        raise InputError(f"{path}: must hold a mapping of blocks")
    return raw


def _yaml_fault(error: Exception) -> str:
    """What is wrong with a YAML text, and in which line."""
    text = str(error)
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        text = f"line {error.problem_mark.line + 1}: {error.problem}"
    return one_line(" ".join(text.split()))[:200]


def load_file(path: str | Path) -> Study:
    """Read and validate a YAML config file.

    Raises:
        InputError: as in ``read_file`` and ``load``.
    """
    return load(read_file(path))


if __name__ == "__main__":
    # Snakemake's own reader ends with a traceback on a file that is no YAML at all.
    try:
        load_file(sys.argv[1])
    except InputError as error:
        sys.exit(f"config: {error}")
