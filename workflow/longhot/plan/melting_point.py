"""The runs behind a melting point: bulk phases, pinned interfaces, committees."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from longhot.config import REFERENCE_MODEL, Conditions, MeltingPoint, Pinning, Study
from longhot.plan.files import BULK, COEXISTENCE, COMMITTEE, FIT, INTERFACE, paths
from longhot.plan.modules import model_plugins, reference_plugins


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
