"""What a study has to make: the jobs of each stage, as lists of paths for the rules."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

from longhot.block import InputError
from longhot.config import REFERENCE_MODEL, Conditions, MeltingPoint, Pinning, Protocol, Question, Study

FIT = "results/{study}/models/{dataset}/{model}/n{size}/seed{seed}"
PREDICTIONS = "results/{study}/predictions/{dataset}/{model}"
"""Of all fits of a model."""
PREDICTION = PREDICTIONS + "/n{size}/seed{seed}.npz"
SIMULATION = "results/{study}/simulations/{dataset}/{model}/n{size}/seed{seed}"
FIT_RECORD = FIT + "/fit.json"
OUTCOMES = SIMULATION + "/outcomes.csv"
FAILURES = SIMULATION + "/failures.extxyz"
RECHECK = "results/{study}/rechecks/{dataset}/{model}/n{size}/seed{seed}.csv"
SUBSET = "results/{study}/subsets/{dataset}/seed{seed}/n{size}.json"

SAMPLER = "results/{study}/melting_point/{sampler}"
BULK = SAMPLER + "/bulk/{phase}-T{temperature}.npz"
INTERFACE = SAMPLER + "/interfaces/{cell}-T{temperature}"
COEXISTENCE = SAMPLER + "/coexistence.npz"
ROUND = "results/{study}/active_learning/{strategy}/round{round}"
RECORDS = ROUND + "/records.json"
SEARCH = "results/{study}/structure_search/seed{seed}"
SEARCH_ROUND = SEARCH + "/round{round}/record.json"
REFERENCE_SEARCH = SEARCH + "/reference/record.json"
START = "start"
"""Stands for the strategy in round 0, with which all of them begin."""

COMMITTEE = SAMPLER + "/committees/{model}/n{size}"

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
    """All fits of one model to one dataset."""
    own = [job for job in fits(study) if (job["dataset"], job["model"]) == (wildcards.dataset, wildcards.model)]
    return paths(FIT + "/model.json", own)


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


def md_replicas_to_compile(study: Study, dataset: str, model: str) -> list[int]:
    """Numbers of replicas of the MD batches of a model for which compiling pays."""
    robustness, loop, found = study.robustness, study.active_learning, set()
    if (
        robustness is not None
        and dataset in study.picked("robustness", "datasets")
        and model in study.picked("robustness", "models")
        and md_steps(robustness.protocol) >= STEPS_THAT_PAY_FOR_COMPILING_MD
    ):
        found.add(batch_replicas(robustness.protocol))
    if loop is not None and (loop.dataset, loop.model) == (dataset, model):
        runs = len(loop.seeds) * (1 + loop.rounds * len(loop.strategies))
        if runs * md_steps(loop.protocol) >= STEPS_THAT_PAY_FOR_COMPILING_MD:
            found.add(batch_replicas(loop.protocol))
    return sorted(found)


def md_steps(protocol: Protocol) -> float:
    """Steps of each replica."""
    return 1e3 * protocol.duration_ps / protocol.time_step_fs


def batch_replicas(protocol: Protocol) -> int:
    """Replicas that run side by side."""
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


def largest_train_size(study: Study, dataset: str) -> int:
    """The largest training set of a dataset that any question asks for; 0 where none does."""
    return max((size for _, _, size, _ in all_fits(study, dataset)), default=0)


def all_fits(study: Study, dataset: str) -> list[tuple[str, str, int, int]]:
    """Dataset, model, size and seed of the fits that all questions ask for."""
    found = [(job["dataset"], job["model"], job["size"], job["seed"]) for job in fits(study)]
    question = study.melting_point
    if question is not None:
        members = itertools.product(study.picked("melting_point", "models"), question.train_sizes, question.seeds)
        found += [(question.dataset, *member) for member in members]
    loop = study.active_learning
    if loop is not None:
        found += [(loop.dataset, loop.model, loop.initial_frames, seed) for seed in loop.seeds]
    search = study.structure_search
    if search is not None:
        found += [(search.dataset, search.model, search.initial_frames, seed) for seed in search.seeds]
    return [one for one in found if one[0] == dataset]


TABLES = {
    "learning_curves": ("learning_curves", "learning_curve_slopes"),
    "robustness": ("stability", "survival", "survival_tests", "recheck", "robustness", "rank_agreement"),
    "melting_point": (
        "melting_point_summary",
        "melting_point_budget",
        "required_accuracy",
        "melting_point",
        "delta_mu",
        "interfaces",
        "phases",
        "observables",
        "calibration",
        "reliability",
    ),
    "active_learning": ("active_learning", "active_learning_comparison", "active_learning_online"),
    "structure_search": ("structure_search",),
}
MAP_TABLES = ("dataset_map", "training_reach")
MAP_FIGURE = "dataset_map"
FIGURES = {
    "learning_curves": ("learning_curves",),
    "robustness": ("robustness", "survival", "failure_causes", "failures", "committee_spread"),
    "melting_point": ("melting_point", "melting_point_by_size", "reliability", "rdf"),
    "active_learning": ("active_learning", "active_learning_online"),
    "structure_search": (),
}


def asked(study: Study) -> list[Question]:
    """The questions that the study asks."""
    return [question for question in get_args(Question) if getattr(study, question) is not None]


def table_paths(study: Study) -> list[str]:
    """The tables that the study ends in."""
    names = [name for question in asked(study) for name in TABLES[question]]
    return [f"results/{study.study.name}/tables/{name}.csv" for name in [*names, *(MAP_TABLES if names else ())]]


def figure_paths(study: Study, *questions: str) -> list[str]:
    """The figures of some questions; where none is named, of all that are asked, with the map of the data."""
    chosen = [question for question in asked(study) if question in questions or not questions]
    names = [name for question in chosen for name in FIGURES[question]]
    if chosen and not questions:
        names.append(MAP_FIGURE)
    return [f"results/{study.study.name}/figures/{name}.svg" for name in names]


def card_paths(study: Study) -> list[str]:
    """The cards of all datasets that a question uses."""
    return [f"results/{study.study.name}/datasets/{name}/card.json" for name in used_datasets(study)]


def model_folders(study: Study) -> list[str]:
    """Folders of all models that the study leaves: fits, controls, members of committees and of active learning."""
    controls = [job for job in simulations(study) if job["model"] == REFERENCE_MODEL]
    members = [fit for job in committees(study) for fit in member_fits(study, job["model"], job["size"])]
    seeds = study.active_learning.seeds if study.active_learning else []
    learned = [f"{ROUND.format(**job)}/seed{seed}/members" for job in rounds(study) for seed in seeds]
    fitted = [str(Path(fit).parent) for fit in members]
    return list(dict.fromkeys([*paths(FIT, [*fits(study), *controls]), *fitted, *learned]))


def caption_paths(root: str) -> list[str]:
    """The captions that the report reads."""
    return sorted(str(path.relative_to(root)) for path in Path(root, "workflow", "report").glob("*.rst"))


def page_parts(root: str) -> list[str]:
    """The templates, styles and scripts that the report is made of."""
    folder = Path(root, "workflow", "longhot", "report")
    parts = [path for kind in ("templates", "assets") for path in (folder / kind).iterdir() if path.is_file()]
    return sorted(str(path.relative_to(root)) for path in parts)


def config_file(paths: Sequence[str | Path], root: str) -> str:
    """The config file of a run as a command names it from the root; its name alone where it lies elsewhere."""
    if not paths:
        return "CONFIG"
    path = Path(paths[-1]).resolve()
    return str(path.relative_to(root)) if path.is_relative_to(root) else path.name


def used_datasets(study: Study) -> list[str]:
    """Names of the datasets that a question uses; all where no question is asked."""
    named = [name for question in asked(study) for name in study.picked(question, "datasets")]
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
    """Modules of a model's family, and of the method that it wraps; for the control of all that run one."""
    if model == REFERENCE_MODEL:
        names = {study.control_reference(dataset) for dataset in study.picked("robustness", "datasets")}
        return [
            "longhot.models.reference",
            *(m for name in sorted(filter(None, names)) for m in reference_plugins(study, name)),
        ]
    block = study.variants()[model]
    wrapped = getattr(block, "reference_method", None)
    return [f"longhot.models.{block.family}"] + ([f"longhot.references.{wrapped.method}"] if wrapped else [])


def first_subset(study: Study, wildcards: Any) -> str:
    """A training subset of the shapes that all fits of a model share: the largest of the first seed."""
    own = [one for one in all_fits(study, wildcards.dataset) if one[1] == wildcards.model]
    _, _, size, seed = max(own, key=lambda one: (one[2], -one[3]))
    return f"results/{wildcards.study}/subsets/{wildcards.dataset}/seed{seed}/n{size}.json"


# Active learning


def rounds(study: Study) -> list[dict[str, Any]]:
    """Wildcards of every round."""
    loop = study.active_learning
    if loop is None:
        return []
    later = itertools.product(loop.strategies, range(1, loop.rounds + 1))
    return [
        {"study": study.study.name, "strategy": strategy, "round": number} for strategy, number in [(START, 0), *later]
    ]


def round_before(study: Study, wildcards: Any) -> list[str]:
    """Records of the round before; none for the first."""
    number = int(wildcards.round)
    if number == 0:
        return []
    strategy = wildcards.strategy if number > 1 else START
    return [RECORDS.format(study=wildcards.study, strategy=strategy, round=number - 1)]


def stored_study(against: str | None) -> list[str]:
    """The study to reproduce, no input: nothing of it is to be made anew.

    Raises:
        InputError: there is none.
    """
    if against is None:
        raise InputError("reproduce: name the stored study by --config against=PATH, a results folder or an archive")
    return []


def first_round(study: Study) -> list[str]:
    """Records of the round that all strategies begin with."""
    loop = study.active_learning
    return [RECORDS.format(study=study.study.name, strategy=START, round=0)] if loop else []


def loop_block(study: Study) -> dict[str, Any]:
    """The question as plain data; empty where it is not asked."""
    return study.active_learning.model_dump(mode="json") if study.active_learning else {}


def loop_ids(study: Study) -> dict[str, str]:
    """Study, dataset and model of the loop; empty names where the question is not asked."""
    loop = study.active_learning
    return {
        "study": study.study.name,
        "dataset": loop.dataset if loop else "",
        "model": loop.model if loop else "",
    }


def initial_subsets(study: Study) -> list[str]:
    """Subsets that the loop begins with, in the order of the seeds."""
    loop = study.active_learning
    if loop is None:
        return []
    return [
        f"results/{study.study.name}/subsets/{loop.dataset}/seed{seed}/n{loop.initial_frames}.json"
        for seed in loop.seeds
    ]


def dataset_file(study: Study, name: str) -> list[str]:
    """A file of the loop's dataset."""
    loop = study.active_learning
    return [f"results/{study.study.name}/datasets/{loop.dataset}/{name}"] if loop else []


def loop_reference_name(study: Study) -> str:
    """Name of the reference that labels the chosen frames."""
    loop = study.active_learning
    return (study.datasets[loop.dataset].reference or "") if loop else ""


def loop_reference(study: Study) -> dict[str, Any] | None:
    """Its block as plain data."""
    return reference_block(study, loop_reference_name(study) or None)


def loop_plugins(study: Study) -> list[str]:
    """Modules of the loop's model and reference."""
    loop = study.active_learning
    if loop is None:
        return []
    return [*model_plugins(study, loop.model), *reference_plugins(study, loop_reference_name(study))]


def online_traces(study: Study) -> list[str]:
    """Trace of the run that learns on the fly, where it is asked for."""
    loop = study.active_learning
    return [f"results/{study.study.name}/active_learning/online/trace.csv"] if loop and loop.online else []


def loop_compile_cache(study: Study) -> list[str]:
    """The compiled kernels that the loop reads."""
    loop = study.active_learning
    if loop is None or not study.variants()[loop.model].compiles(loop.initial_frames):
        return []
    return [f"results/{study.study.name}/compiled/{loop.dataset}/{loop.model}"]


# Structure search


def search_records(study: Study) -> list[str]:
    """Records of all searches: of every round and seed, and those with the reference."""
    search = study.structure_search
    if search is None:
        return []
    rounds = [
        {"study": study.study.name, "seed": seed, "round": number}
        for seed in search.seeds
        for number in range(search.rounds + 1)
    ]
    return paths(SEARCH_ROUND, rounds) + paths(REFERENCE_SEARCH, rounds)


def search_before(study: Study, wildcards: Any) -> list[str]:
    """Record of the round before; none for the first."""
    number = int(wildcards.round)
    ids = {"study": study.study.name, "seed": wildcards.seed, "round": number - 1}
    return [SEARCH_ROUND.format(**ids)] if number else []


def search_block(study: Study) -> dict[str, Any]:
    """The question as plain data; empty where it is not asked."""
    return study.structure_search.model_dump(mode="json") if study.structure_search else {}


def search_ids(study: Study) -> dict[str, str]:
    """Dataset and model of the search; empty names where the question is not asked."""
    search = study.structure_search
    return {"dataset": search.dataset if search else "", "model": search.model if search else ""}


def search_subset(study: Study, wildcards: Any) -> list[str]:
    """Initial frames of a seed."""
    search = study.structure_search
    if search is None:
        return []
    folder = f"results/{wildcards.study}/subsets/{search.dataset}/seed{wildcards.seed}"
    return [f"{folder}/n{search.initial_frames}.json"]


def search_file(study: Study, name: str) -> list[str]:
    """A file of the searched dataset."""
    search = study.structure_search
    return [f"results/{study.study.name}/datasets/{search.dataset}/{name}"] if search else []


def search_reference(study: Study) -> str | None:
    """Name of the reference that labels and relaxes."""
    return study.datasets[study.structure_search.dataset].reference if study.structure_search else None


def search_plugins(study: Study) -> list[str]:
    """Modules of the searching model and of its reference."""
    search = study.structure_search
    if search is None:
        return []
    return [*model_plugins(study, search.model), *reference_plugins(study, search_reference(study))]


# The melting point


def committees(study: Study) -> list[dict[str, Any]]:
    """Wildcards of every committee, with its sampler."""
    question = study.melting_point
    if question is None:
        return []
    return [
        {"study": study.study.name, "sampler": sampler_of(question, model, size), "model": model, "size": size}
        for model in study.picked("melting_point", "models")
        for size in question.train_sizes
    ]


def sampler_of(question: MeltingPoint, model: str, size: int) -> str:
    """Name of the sampler of a committee."""
    return REFERENCE_MODEL if question.sampler == "reference" else f"{model}-n{size}"


def sampler_fits(study: Study, sampler: str) -> list[str]:
    """The fits whose mean samples, or the one member that does; none where the reference samples."""
    question = study.melting_point
    assert question is not None
    found: dict[str, list[str]] = {REFERENCE_MODEL: []} | {
        f"{job['model']}-n{job['size']}": member_fits(study, job["model"], job["size"]) for job in committees(study)
    }
    for job in committees(study):
        for seed, fit in zip(question.seeds, member_fits(study, job["model"], job["size"]), strict=True):
            found[member_sampler(job, seed)] = [fit]
    return found[sampler]


def sampler_model(study: Study, sampler: str) -> str | None:
    """Model of the committee or of the member that samples; None where the reference does."""
    names = {f"{job['model']}-n{job['size']}": job["model"] for job in committees(study)}
    return next((model for name, model in names.items() if sampler.startswith(name)), None)


def member_sampler(committee: dict[str, Any], seed: int) -> str:
    """Name of the sampler that one member is."""
    return f"{committee['model']}-n{committee['size']}-seed{seed}"


def member_fits(study: Study, model: str, size: int) -> list[str]:
    """Fits of all members of a committee, in the order of the seeds."""
    question = study.melting_point
    assert question is not None
    ids = {"study": study.study.name, "dataset": question.dataset, "model": model, "size": size}
    return [FIT.format(**ids, seed=seed) + "/model.json" for seed in question.seeds]


def melting_point_block(study: Study, name: str | None = None) -> dict[str, Any]:
    """A block of the question as plain data; the whole question where none is named; empty where it is not asked."""
    question = (
        study.melting_point if name is None or study.melting_point is None else getattr(study.melting_point, name)
    )
    return question.model_dump(mode="json") if question is not None else {}


def conditions(study: Study) -> dict[str, Any]:
    """What all runs of the question share, as plain data."""
    return {key: melting_point_block(study).get(key) for key in Conditions.model_fields}


def melting_point_reference(study: Study) -> str | None:
    """Name of the reference of the committees' dataset."""
    return study.datasets[study.melting_point.dataset].reference if study.melting_point else None


def bulk_jobs(study: Study, sampler: str) -> list[dict[str, Any]]:
    """Wildcards of the bulk runs of a sampler."""
    question = study.melting_point
    if question is None:
        return []
    return [
        {"study": study.study.name, "sampler": sampler, "phase": phase, "temperature": f"{temperature_K:g}"}
        for phase in ("solid", "liquid")
        for temperature_K in question.bulk.temperatures_K
    ]


def pinning(study: Study, sampler: str) -> Pinning:
    """Settings of the pinned runs of a sampler, or of a member that runs its own."""
    question = study.melting_point
    assert question is not None
    return question.pinning if sampler in samplers(study) else question.member_pinning or question.pinning


def pinning_block(study: Study, wildcards: Any) -> dict[str, Any]:
    """The same as plain data for one job: another's cell or temperature is none of its business."""
    block = pinning(study, wildcards.sampler).model_dump(mode="json", include=set(Pinning.model_fields))
    return block | {"cells": [cell_repeats(wildcards.cell)], "temperatures_K": [float(wildcards.temperature)]}


def bulk_block(study: Study, wildcards: Any) -> dict[str, Any]:
    """Settings of the bulk runs as plain data for one job."""
    return melting_point_block(study, "bulk") | {"temperatures_K": [float(wildcards.temperature)]}


def interface_jobs(study: Study, sampler: str) -> list[dict[str, Any]]:
    """Wildcards of the pinned runs of a sampler."""
    block = pinning(study, sampler)
    return [
        {"study": study.study.name, "sampler": sampler, "cell": cell_name(cell), "temperature": f"{temperature_K:g}"}
        for cell in block.cells
        for temperature_K in block.temperatures_K
    ]


def member_samplers(study: Study, committee: dict[str, Any]) -> dict[int, str]:
    """Names of the members of a committee that run a pinned interface of their own, by seed."""
    own = study.melting_point.member_pinning if study.melting_point else None
    if own is None or committee["size"] not in own.train_sizes:
        return {}
    return {seed: member_sampler(committee, seed) for seed in own.seeds}


def cell_name(repeats: Sequence[int]) -> str:
    """Name of a cell in paths, such as 2x3x8."""
    return "x".join(map(str, repeats))


def cell_repeats(name: str) -> list[int]:
    """The cell of a name."""
    return [int(n) for n in name.split("x")]


def bulk_paths(study: Study, sampler: str) -> list[str]:
    """Files of the bulk runs of a sampler."""
    return paths(BULK, bulk_jobs(study, sampler))


def pinned_paths(study: Study, sampler: str) -> list[str]:
    """Files of the pinned runs of a sampler."""
    return paths(INTERFACE + "/pinned.npz", interface_jobs(study, sampler))


def coexistence_paths(study: Study, sampler: str) -> list[str]:
    """File of the coexistence run of a sampler, where it is asked for."""
    if study.melting_point is None or study.melting_point.coexistence is None:
        return []
    return [COEXISTENCE.format(study=study.study.name, sampler=sampler)]


def samplers(study: Study) -> list[str]:
    """Names of all samplers whose melting point is wanted."""
    return list(dict.fromkeys(job["sampler"] for job in committees(study)))


def committee_paths(study: Study) -> list[str]:
    """Everything that is computed for the committees: energies, stages, calibration, own interfaces."""
    question = study.melting_point
    if question is None:
        return []
    names = ["energies.npz", "calibration.json", *(["staged.json"] if question.staging else [])]
    found = [COMMITTEE.format(**job) + f"/{name}" for job in committees(study) for name in names]
    for job in committees(study):
        found += [path for sampler in member_samplers(study, job).values() for path in pinned_paths(study, sampler)]
    return found


def sampler_paths(study: Study) -> list[str]:
    """All runs of all samplers."""
    return [
        path
        for sampler in samplers(study)
        for paths_of in (bulk_paths, pinned_paths, coexistence_paths)
        for path in paths_of(study, sampler)
    ]


def sampler_plugins(study: Study, sampler: str) -> list[str]:
    """Modules of what samples."""
    if not sampler_fits(study, sampler):
        return reference_plugins(study, melting_point_reference(study))
    return committee_plugins(study)


def committee_plugins(study: Study) -> list[str]:
    """Modules of the committees' models and of the dataset's reference."""
    names = [name for model in study.picked("melting_point", "models") for name in model_plugins(study, model)]
    return sorted({*names, *reference_plugins(study, melting_point_reference(study))})


def sampler_files(study: Study, sampler: str) -> dict[str, Any]:
    """Files of one sampler, as ``longhot.observables.melting_point.result.SamplerFiles.of`` takes them."""
    bulk = [(job["phase"], float(job["temperature"]), BULK.format(**job)) for job in bulk_jobs(study, sampler)]
    return {
        "bulk": bulk,
        "pinned": interface_folders(study, sampler),
        "coexistence": next(iter(coexistence_paths(study, sampler)), None),
    }


def interface_folders(study: Study, sampler: str) -> list[tuple[str, float, str]]:
    """Cell, temperature in K and folder of the pinned runs of a sampler."""
    return [(job["cell"], float(job["temperature"]), INTERFACE.format(**job)) for job in interface_jobs(study, sampler)]


def first_interface(study: Study, sampler: str) -> tuple[list[int], float]:
    """Cell and temperature in K of the pinned run whose end is let go of."""
    cell, temperature_K, _ = interface_folders(study, sampler)[0]
    return cell_repeats(cell), temperature_K


def committee_files(study: Study) -> list[dict[str, Any]]:
    """Files of every committee, as ``longhot.observables.melting_point.tables.CommitteeFiles.of`` takes them."""
    question = study.melting_point
    if question is None:
        return []
    return [
        {
            "model": job["model"],
            "train_size": job["size"],
            "sampler": job["sampler"],
            "folder": COMMITTEE.format(**job),
            "staged": question.staging is not None,
            "own_pinning": [
                (seed, interface_folders(study, sampler)) for seed, sampler in member_samplers(study, job).items()
            ],
        }
        for job in committees(study)
    ]


def melting_point_test(study: Study) -> str:
    """File of the test frames of the committees' dataset."""
    assert study.melting_point is not None
    return f"results/{study.study.name}/datasets/{study.melting_point.dataset}/test.extxyz"


# Structures and the map of the data


def map_sources(study: Study) -> list[dict[str, Any]]:
    """Where the frames of each data set stand, as plain data for ``longhot.learning.dataset_map.sources_of``."""
    return [
        {
            "dataset": dataset,
            "folder": f"results/{study.study.name}/datasets/{dataset}",
            "simulations": [_map_simulation(study, job) for job in simulations(study) if job["dataset"] == dataset],
            "phases": _map_phases(study, dataset),
        }
        for dataset in used_datasets(study)
    ]


def _map_simulation(study: Study, job: dict[str, Any]) -> dict[str, Any]:
    learns = job["model"] != REFERENCE_MODEL and study.variants()[job["model"]].forces_depend_on_data
    return {
        "model": job["model"],
        "train_size": job["size"],
        "seed": job["seed"],
        "recheck": RECHECK.format(**job),
        "failures": FAILURES.format(**job),
        "subset": SUBSET.format(**job) if learns else None,
    }


def _map_phases(study: Study, dataset: str) -> list[dict[str, Any]]:
    question = study.melting_point
    if question is None or question.dataset != dataset:
        return []
    return [
        {
            "model": REFERENCE_MODEL if sampler == REFERENCE_MODEL else f"sampler {sampler}",
            "phase": job["phase"],
            "temperature_K": float(job["temperature"]),
            "path": BULK.format(**job),
        }
        for sampler in samplers(study)
        for job in bulk_jobs(study, sampler)
    ]


def structure_paths(study: Study) -> list[str]:
    """The structures that the report shows; none where no question is asked."""
    return [f"results/{study.study.name}/report/structures.json.gz"] if asked(study) else []


def map_paths(study: Study) -> list[str]:
    """All files that the map of the data and the structures of the report are made from."""
    found = []
    for sources in map_sources(study):
        found += [f"{sources['folder']}/{name}.extxyz" for name in ("train_pool", "valid", "test")]
        for simulation in sources["simulations"]:
            rechecked = simulation["recheck"]
            found += [rechecked, rechecked.removesuffix(".csv") + ".npz", simulation["failures"]]
            found += filter(None, [simulation["subset"]])
        found += [run["path"] for run in sources["phases"]]
    return list(dict.fromkeys(found))
