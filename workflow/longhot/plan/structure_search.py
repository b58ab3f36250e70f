"""The rounds of the structure search, and the search with the reference itself."""

from __future__ import annotations

from typing import Any

from longhot.config import Study
from longhot.plan.files import REFERENCE_SEARCH, SEARCH_ROUND, paths
from longhot.plan.modules import model_plugins, reference_plugins


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
