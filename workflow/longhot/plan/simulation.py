"""The MD jobs of a study, their settings, and the frames that are rechecked."""

from __future__ import annotations

import itertools
from typing import Any

from longhot.config import REFERENCE_MODEL, Protocol, Study
from longhot.plan.files import FIT
from longhot.plan.training import compile_cache

STEPS_THAT_PAY_FOR_COMPILING_MD = 5000
"""MD shorter than this runs eagerly: a compile would cost more than it saves."""


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
