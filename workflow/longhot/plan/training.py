"""The fits of a study, and what they are made from."""

from __future__ import annotations

import itertools
from typing import Any

from longhot.config import Study
from longhot.plan.files import FIT, paths


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


def compile_cache(study: Study, wildcards: Any) -> list[str]:
    """The compiled kernels that a fit reads, where it compiles its steps."""
    block = study.variants()[wildcards.model]
    if not block.compiles(int(wildcards.size)):
        return []
    return [f"results/{wildcards.study}/compiled/{wildcards.dataset}/{wildcards.model}"]


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


def first_subset(study: Study, wildcards: Any) -> str:
    """A training subset of the shapes that all fits of a model share: the largest of the first seed."""
    own = [one for one in all_fits(study, wildcards.dataset) if one[1] == wildcards.model]
    _, _, size, seed = max(own, key=lambda one: (one[2], -one[3]))
    return f"results/{wildcards.study}/subsets/{wildcards.dataset}/seed{seed}/n{size}.json"
