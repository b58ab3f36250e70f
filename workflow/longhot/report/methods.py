"""Methods and settings in prose for a paper's supplementary information, from config, cards and manifest alone.

Only what the study used is described and cited. Also what it cost, and the command that makes each number again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from longhot.block import InputError
from longhot.config import Report, Study, load
from longhot.files import read_json, visible
from longhot.report import methods_fits as fits
from longhot.report import methods_use as use
from longhot.report.embed import packed_json
from longhot.report.manifest import duration_text
from longhot.report.methods_text import Entry, Topic, bibliography, cited, html, is_display, latex
from longhot.report.statements import listed, number

GPU_STAGES = (
    *("dataset", "compile_model", "fit", "predict", "simulate", "recheck", "active_round", "active_online"),
    *("bulk", "interface", "coexistence", "calibrate", "member_energies", "staged", "search_round", "reference_search"),
)
"""Rules whose jobs may hold a GPU where the study ran on one."""
PACKAGES = {
    "snakemake": "Snakemake {} [@molder2021]",
    "ase": "ASE {} [@larsen2017]",
    "numpy": "NumPy {} [@harris2020]",
    "scipy": "SciPy {} [@virtanen2020]",
    "pandas": "pandas {} [@mckinney2010]",
    "matplotlib": "Matplotlib {} [@hunter2007]",
}
"""Codes that every study uses, with what to cite for them."""
_S_PER_HOUR = 3600.0
MOST_OVERHEAD_PERCENT = 15


@dataclass(frozen=True)
class Methods:
    """The section as its partial shows it."""

    topics: list[tuple[str, list[tuple[str, bool]]]]
    """Title, and the HTML of each paragraph with whether it is a displayed formula."""
    references: list[Entry]
    commands: list[tuple[str, str]]
    """Each file of the study and the command that makes it."""
    bibtex: str
    latex: str

    @property
    def blobs(self) -> dict[str, str]:
        """What the page unpacks when it is asked for."""
        return {"data-methods": packed_json({"latex": self.latex, "bibtex": self.bibtex})}


def methods(study_folder: Path, config: dict[str, Any], manifest: dict[str, Any], config_file: str) -> Methods | None:
    """The whole section; None for a config that names no data.

    Args:
        study_folder: ``results/<study>`` with ``tables/``, ``figures/`` and ``datasets/*/card.json``.
        config: the resolved config.
        manifest: manifest.json.
        config_file: the file that the study was run with.
    """
    if "datasets" not in config:
        return None
    cards = {path.parent.name: read_json(path) for path in sorted(study_folder.glob("datasets/*/card.json"))}
    files = [
        path.relative_to(study_folder).as_posix()
        for folder, pattern in (("tables", "*.csv"), ("figures", "*.svg"))
        for path in visible(study_folder / folder, pattern)
    ]
    study = load(config)
    told = topics(study, cards, manifest)
    entries = bibliography()
    keys = cited(told)
    unknown = [key for key in keys if key not in entries]
    if unknown:
        raise InputError(f"references.bib has no entry {unknown[0]!r}, which the methods cite: add it")
    numbers = {key: place for place, key in enumerate(keys, start=1)}
    return Methods(
        topics=[(topic.title, [(html(one, numbers), is_display(one)) for one in topic.paragraphs]) for topic in told],
        references=[entries[key] for key in keys],
        commands=[
            (name, f"snakemake --cores 2 --configfile {config_file} results/{study.study.name}/{name}")
            for name in files
        ],
        bibtex="\n\n".join(entries[key].source for key in keys) + "\n",
        latex=latex(told),
    )


def topics(study: Study, cards: dict[str, Any], manifest: dict[str, Any]) -> list[Topic]:
    """What the study did, in the order of a methods section.

    Args:
        study: the config.
        cards: card.json of each dataset by name.
        manifest: manifest.json.
    """
    asked = [
        fits.data(study, cards),
        fits.references(study),
        fits.models(study),
        fits.learning_curves(study),
        *use.dynamics(study),
        use.committees(study),
        use.melting_point(study),
        use.active_learning(study),
        use.structure_search(study),
        fits.data_map(),
        software(manifest),
        cost(manifest, study.report),
    ]
    return [topic for topic in asked if topic is not None]


def software(manifest: dict[str, Any]) -> Topic:
    """Codes with versions, seeds and the machine."""
    versions = dict(manifest["versions"])
    named = [text.format(versions.pop(name)) for name, text in PACKAGES.items() if name in versions]
    rest = [f"{name} {version}" for name, version in versions.items() if name != "python"]
    machine = manifest["machine"]
    seeds = [f"{question.replace('_', ' ')}: {fits.in_list(one)}" for question, one in manifest["seeds"].items()]
    text = (
        f"The study was run by Longhot {manifest['longhot']} (code {manifest['code_sha256'][:12]}) on Python "
        f"{versions.get('python', 'of unknown version')} with {listed(named) if named else 'its dependencies'}."
    )
    if rest:
        text += f" Other packages: {', '.join(rest)}."
    text += (
        f" It ran on {machine['cores']} cores of {machine['processor']} ({machine['system']}); models ran on "
        f"{listed(list(manifest['devices']))}."
    )
    if seeds:
        text += f" Seeds of {'; '.join(seeds)}."
    return Topic("Software, seeds and hardware", [text])


def cost(manifest: dict[str, Any], report: Report) -> Topic:
    """Core-hours, and the energy that they are estimated to have taken."""
    total = manifest["total"]
    core_hours = total["core_s"] / _S_PER_HOUR
    gpu_hours = gpu_hours_of(manifest)
    energy_kWh = (core_hours * report.core_power_W + gpu_hours * report.gpu_power_W) / 1000
    text = (
        f"All {total['jobs']} jobs took {number(core_hours)} core-hours in {duration_text(total['elapsed_s'])}. At an "
        f"assumed {report.core_power_W:g} W for each busy core, with its share of memory, power supply and cooling,"
    )
    if gpu_hours:
        text += f" and {report.gpu_power_W:g} W for a GPU during {number(gpu_hours)} hours of jobs that may hold one,"
    text += f" that is about {number(energy_kWh, 2)} kWh. This is an estimate: nothing was measured."
    return Topic("Cost", [text, *filter(None, [overhead_text(total)])])


def overhead_text(total: Mapping[str, Any]) -> str:
    """What of the core time was no science; empty where that is not known."""
    if total.get("overhead_share") is None:
        return ""
    parts = [f"{duration_text(total['startup_core_s'])} to starts of Python and imports"]
    if total["engine_core_s"] is not None:
        parts.append(f"{duration_text(total['engine_core_s'])} to Snakemake itself")
    return (
        f"Of the core time {100 * total['overhead_share']:.1f} % was no science (at most {MOST_OVERHEAD_PERCENT} is "
        f"the aim): {listed(parts)}. Starts of processes that label for a job count as its science."
    )


def gpu_hours_of(manifest: dict[str, Any]) -> float:
    """Wall time of the jobs that may hold a GPU, in hours; 0 where the study ran on CPUs."""
    if not any(re.match(r"cuda|gpu", device) for device in manifest["devices"]):
        return 0.0
    return sum(stage["wall_s"] for stage in manifest["stages"] if stage["stage"] in GPU_STAGES) / _S_PER_HOUR
