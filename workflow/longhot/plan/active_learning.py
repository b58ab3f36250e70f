"""The rounds of active learning, and the run on the fly."""

from __future__ import annotations

import itertools
from typing import Any

from longhot.config import Study
from longhot.plan.files import RECORDS, START
from longhot.plan.modules import model_plugins, reference_block, reference_plugins


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
