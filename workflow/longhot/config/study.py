"""A whole config: its blocks, those of its plugins, and what must hold between them."""

from __future__ import annotations

from math import prod
from typing import Any, Literal, get_args

from pydantic import Field, ValidationError, field_validator, model_validator

import longhot.datasets
import longhot.models
import longhot.references
from longhot.block import Block, InputError, check_plain, one_line, plugin, shown
from longhot.config._faults import sentences
from longhot.config._fields import ICE_CELL_A, MOST_JOBS, REFERENCE_MODEL, Name, Question
from longhot.config.learning import ActiveLearning, StructureSearch
from longhot.config.melting_point import MeltingPoint
from longhot.config.questions import LearningCurves, Robustness, StudyBlock
from longhot.config.report import Report


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
        if question.coexistence is not None:
            self._check_coexistence(question)
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

    def _check_coexistence(self, question: MeltingPoint) -> None:
        """A run at constant enthalpy, which the MD of ``longhot.dynamics.engine`` does not have."""
        reference = self.datasets[question.dataset].reference
        if question.sampler == "committee":
            sampler = "a committee"
        elif self.references[reference].method != "lammps":
            sampler = f"references.{reference} of method {self.references[reference].method}"
        else:
            return
        raise ValueError(
            f"melting_point.coexistence: needs constant enthalpy, which a reference of method lammps alone can run, "
            f"and {sampler} samples here: remove the block"
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
            raise ValueError(sentences(error, f"{field}.{one_line(name)}")) from None
    return done


def load(raw: dict[str, Any]) -> Study:
    """Validate a config.

    Raises:
        InputError: one line for each fault, with the key where it stands.
    """
    check_plain(raw)
    try:
        return Study.model_validate(raw)
    except ValidationError as error:
        raise InputError(sentences(error)) from None
