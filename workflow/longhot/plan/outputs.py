"""What a study ends in: tables, figures, cards, models and the parts of its page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from longhot.block import InputError
from longhot.config import REFERENCE_MODEL, Question, Study
from longhot.plan.active_learning import rounds
from longhot.plan.files import FIT, ROUND, paths
from longhot.plan.melting_point import committees, member_fits
from longhot.plan.simulation import simulations
from longhot.plan.training import fits

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


def stored_study(against: str | None) -> list[str]:
    """The study to reproduce, no input: nothing of it is to be made anew.

    Raises:
        InputError: there is none.
    """
    if against is None:
        raise InputError("reproduce: name the stored study by --config against=PATH, a results folder or an archive")
    return []
