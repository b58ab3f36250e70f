"""What the map of the data, and the structures that the report shows, are made from."""

from __future__ import annotations

from typing import Any

from longhot.config import REFERENCE_MODEL, Study
from longhot.plan.files import BULK, FAILURES, RECHECK, SUBSET
from longhot.plan.melting_point import bulk_jobs, samplers
from longhot.plan.outputs import asked, used_datasets
from longhot.plan.simulation import simulations


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
