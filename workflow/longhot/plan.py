"""What a study has to make: the jobs of each stage, as lists of paths for the rules."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

from longhot.config import REFERENCE_MODEL, Study

FIT = "results/{study}/models/{dataset}/{model}/n{size}/seed{seed}"
PREDICTION = "results/{study}/predictions/{dataset}/{model}/n{size}/seed{seed}.npz"
SIMULATION = "results/{study}/simulations/{dataset}/{model}/n{size}/seed{seed}"
FIT_RECORD = FIT + "/fit.json"
OUTCOMES = SIMULATION + "/outcomes.csv"
FAILURES = SIMULATION + "/failures.extxyz"
RECHECK = "results/{study}/rechecks/{dataset}/{model}/n{size}/seed{seed}.csv"

STEPS_THAT_PAY_FOR_COMPILING_MD = 5000
"""MD shorter than this runs eagerly: a compile would cost more than it saves."""


def fits(study: Study) -> list[dict[str, Any]]:
    """Wildcards of every fit."""
    curves = study.learning_curves
    if curves is None:
        return []
    return [
        {"study": study.study.name, "dataset": dataset, "model": model, "size": size, "seed": seed}
        for dataset in study.picked("learning_curves", "datasets")
        for model in study.picked("learning_curves", "models")
        for size in curves.train_sizes
        for seed in curves.seeds
    ]


def fits_of(study: Study, wildcards: Any) -> list[str]:
    """All fits of one model to one dataset, in the order of ``predictions_of_model``."""
    own = [job for job in fits(study) if (job["dataset"], job["model"]) == (wildcards.dataset, wildcards.model)]
    return paths(FIT + "/model.json", own)


def predictions_of_model(study: Study) -> list[str]:
    """Patterns of the prediction files of one model, over all sizes and seeds."""
    curves = study.learning_curves
    if curves is None:
        return [PREDICTION.replace("{size}", "0").replace("{seed}", "0")]
    return [
        PREDICTION.replace("{size}", str(size)).replace("{seed}", str(seed))
        for size in curves.train_sizes
        for seed in curves.seeds
    ]


def simulations(study: Study) -> list[dict[str, Any]]:
    """Wildcards of every MD job, each at all its temperatures: the models' own, and the control by the reference.

    A model whose forces do not depend on data runs for one training size.
    """
    robustness = study.robustness
    if robustness is None:
        return []
    variants, jobs = study.variants(), []
    for dataset in study.picked("robustness", "datasets"):
        runs = [(REFERENCE_MODEL, 0, 0)]
        for model in study.picked("robustness", "models"):
            if variants[model].forces_depend_on_data:
                runs += list(itertools.product([model], robustness.train_sizes, robustness.seeds))
            else:
                runs.append((model, robustness.train_sizes[-1], robustness.seeds[0]))
        jobs += [
            {"study": study.study.name, "dataset": dataset, "model": model, "size": size, "seed": seed}
            for model, size, seed in runs
        ]
    return jobs


def paths(pattern: str, jobs: list[dict[str, Any]]) -> list[str]:
    """One path for each job, without repeats."""
    return list(dict.fromkeys(pattern.format(**job) for job in jobs))


def committee(study: Study, wildcards: Any) -> list[str]:
    """The fits of the other seeds, whose spread the recheck records; none for the control."""
    variants = study.variants()
    if wildcards.model not in variants or not variants[wildcards.model].forces_depend_on_data:
        return []
    assert study.learning_curves is not None
    others = [seed for seed in study.learning_curves.seeds if seed != int(wildcards.seed)]
    return [FIT.format(**{**vars_of(wildcards), "seed": seed}) + "/model.json" for seed in others]


def vars_of(wildcards: Any) -> dict[str, str]:
    """Wildcards of a job as a dict."""
    return {name: getattr(wildcards, name) for name in ("study", "dataset", "model", "size")}


def compile_cache(study: Study, wildcards: Any) -> list[str]:
    """The compiled kernels that a fit reads, where it compiles its steps."""
    block = study.variants()[wildcards.model]
    if not block.compiles(int(wildcards.size)):
        return []
    return [f"results/{wildcards.study}/compiled/{wildcards.dataset}/{wildcards.model}"]


def md_replicas_to_compile(study: Study, dataset: str, model: str) -> int:
    """Number of replicas of the MD batches of a model where compiling them pays, else 0."""
    robustness = study.robustness
    if robustness is None or dataset not in study.picked("robustness", "datasets"):
        return 0
    protocol = robustness.protocol
    steps = 1e3 * protocol.duration_ps / protocol.time_step_fs
    if model not in study.picked("robustness", "models") or steps < STEPS_THAT_PAY_FOR_COMPILING_MD:
        return 0
    n_replicas = protocol.replicas * len(protocol.temperatures_K)
    return min(protocol.batch_replicas or n_replicas, n_replicas)


def md_compile_cache(study: Study, wildcards: Any) -> list[str]:
    """The compiled kernels that an MD job reads."""
    if wildcards.model == REFERENCE_MODEL or not md_replicas_to_compile(study, wildcards.dataset, wildcards.model):
        return []
    return compile_cache(study, wildcards)


def reference_block(study: Study, name: str | None) -> dict[str, Any] | None:
    """A references block as plain data."""
    return None if name is None else study.references[name].model_dump(mode="json")


def largest_train_size(study: Study) -> int:
    """The largest training set that any question asks for; 0 where none does."""
    return max(study.learning_curves.train_sizes) if study.learning_curves else 0


TABLES = {
    "learning_curves": ("learning_curves", "learning_curve_slopes"),
    "robustness": ("stability", "survival", "survival_tests", "recheck", "robustness", "rank_agreement"),
}
FIGURES = {
    "learning_curves": ("learning_curves",),
    "robustness": ("robustness", "survival", "failure_causes", "failures", "committee_spread"),
}


def asked(study: Study) -> list[str]:
    """The questions that the study asks."""
    return [question for question in TABLES if getattr(study, question) is not None]


def table_paths(study: Study) -> list[str]:
    """The tables that the study ends in."""
    return [f"results/{study.study.name}/tables/{name}.csv" for question in asked(study) for name in TABLES[question]]


def figure_paths(study: Study, *questions: str) -> list[str]:
    """The figures of some questions, of all that are asked where none is named."""
    chosen = [question for question in asked(study) if question in questions or not questions]
    return [f"results/{study.study.name}/figures/{name}.svg" for question in chosen for name in FIGURES[question]]


def card_paths(study: Study) -> list[str]:
    """The cards of all datasets that a question uses."""
    return [f"results/{study.study.name}/datasets/{name}/card.json" for name in used_datasets(study)]


def caption_paths(root: str) -> list[str]:
    """The captions that the report reads."""
    return sorted(str(path.relative_to(root)) for path in Path(root, "workflow", "report").glob("*.rst"))


def used_datasets(study: Study) -> list[str]:
    """Names of the datasets that a question uses; all where no question is asked."""
    named = study.picked("learning_curves", "datasets") + study.picked("robustness", "datasets")
    return list(dict.fromkeys(named)) or list(study.datasets)


def protocol(study: Study, model: str) -> dict[str, Any]:
    """The MD protocol of a model as plain data; empty where no MD is asked for.

    A model whose forces do not depend on data runs at the highest temperature only.
    """
    if study.robustness is None:
        return {}
    protocol = study.robustness.protocol.model_dump(mode="json")
    if model != REFERENCE_MODEL and not study.variants()[model].forces_depend_on_data:
        protocol["temperatures_K"] = [max(protocol["temperatures_K"])]
    return protocol


def recheck(study: Study) -> dict[str, Any]:
    """The choice of rechecked frames as plain data; empty where no MD is asked for."""
    return study.robustness.recheck.model_dump(mode="json", exclude={"workers"}) if study.robustness else {}


def recheck_workers(study: Study) -> int:
    """Processes that label at once in a recheck; their number changes no result."""
    return study.robustness.recheck.workers if study.robustness else 1


def start_set(study: Study) -> str:
    """The test set whose frames start the MD."""
    return study.robustness.start_set if study.robustness else ""


def reference_plugins(study: Study, name: str | None) -> list[str]:
    """Module of a reference, for the digest of the code that a rule runs."""
    return [] if name is None else [f"longhot.references.{study.references[name].method}"]


def dataset_plugins(study: Study, dataset: str) -> list[str]:
    """Modules that sample or read a dataset."""
    block = study.datasets[dataset]
    return [f"longhot.datasets.{block.source}", *reference_plugins(study, block.reference)]


def model_plugins(study: Study, model: str) -> list[str]:
    """Modules of a model's family, and of the method that it wraps; all references for the control."""
    if model == REFERENCE_MODEL:
        return ["longhot.models.reference", *(m for name in study.references for m in reference_plugins(study, name))]
    block = study.variants()[model]
    wrapped = getattr(block, "reference_method", None)
    return [f"longhot.models.{block.family}"] + ([f"longhot.references.{wrapped.method}"] if wrapped else [])


def first_subset(study: Study, wildcards: Any) -> str:
    """A training subset of the shapes that all fits of a model share."""
    assert study.learning_curves is not None
    curves = study.learning_curves
    return f"results/{wildcards.study}/subsets/{wildcards.dataset}/seed{curves.seeds[0]}/n{curves.train_sizes[-1]}.json"
