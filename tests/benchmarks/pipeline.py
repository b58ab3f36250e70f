"""What Snakemake costs: a run with nothing to do, plans of up to ten thousand jobs, and the start of a job."""

from __future__ import annotations

import csv
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean

import yaml
from common import FOLDER, ROOT, Options, Row

from longhot.report.manifest import logged_costs

NOOP_LIMIT_S = 10.0
PLAN_LIMITS_S = {100: 10.0, 1000: 15.0, 10000: 60.0}
PLANNED_NOOP_LIMITS_S = {100: 10.0, 1000: 12.0, 10000: 30.0}
START_LIMIT_S, START_WITH_TORCH_LIMIT_S = 1.5, 4.0
N_FITS_EACH = 4
"""Fits of a size and seed: one of each model."""


TOUCH = """
from snakemake import cli
from snakemake.executors import touch
touch.Executor.SLEEPING_TIME = 0.0
cli.main()
"""
"""Snakemake, whose --touch else waits 0.1 s a job: 17 minutes for 10,000."""


def snakemake(
    folder: Path, *arguments: str | Path, code: str = "from snakemake import cli; cli.main()"
) -> tuple[float, str]:
    """Wall seconds of a run, and what it said."""
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=folder,
        check=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return time.perf_counter() - start, done.stdout


def finished_studies() -> Iterator[tuple[str, str]]:
    """Names and configs of the studies that lie finished in results/."""
    for study, config in (("default", "config/config.yaml"), ("smoke", "config/smoke.yaml")):
        if (ROOT / "results" / study / "report" / "index.html").exists():
            yield study, config


def no_op() -> list[Row]:
    """Seconds of a second run of a finished study; no row where none is finished."""
    for _, config in finished_studies():
        if "Nothing to be done" in snakemake(ROOT, "--dry-run", "--configfile", config)[1]:
            seconds, _ = snakemake(ROOT, "--cores", "2", "--configfile", config)
            return [Row("noop_s", seconds, "s", "limit", NOOP_LIMIT_S, NOOP_LIMIT_S / seconds)]
    return []


def starts() -> list[Row]:
    """Core seconds that a job of a finished study took to start and to import: of its slowest rules, by the mean job.

    The rules that may ask for a GPU are those that load torch, though not in every job.
    """
    for study, _ in finished_studies():
        costs = logged_costs(ROOT / "results" / study / "logs")
        means = {
            rule: fmean(known)
            for rule, jobs in costs.items()
            if (known := [one.overhead_s for one in jobs if one.overhead_s is not None])
        }
        heavy = {rule: seconds for rule, seconds in means.items() if rule in rules_on_devices()}
        light = {rule: seconds for rule, seconds in means.items() if rule not in heavy}
        return [
            Row(f"{name}_s", max(group.values()), "core s", "limit", limit, limit / max(group.values()))
            for name, group, limit in (
                ("start", light, START_LIMIT_S),
                ("start_with_torch", heavy, START_WITH_TORCH_LIMIT_S),
            )
            if group
        ]
    return []


def rules_on_devices() -> set[str]:
    """Rules that name a number of GPUs."""
    text = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "workflow" / "rules").glob("*.smk"))
    return {part.partition(":")[0] for part in re.split(r"(?m)^rule ", text) if "        gpu=" in part}


def synthetic(n_jobs: int) -> Path:
    """Folder with the config of learning curves of so many jobs: for each size and seed a subset and four fits."""
    raw = yaml.safe_load((ROOT / "config" / "smoke.yaml").read_text(encoding="utf-8"))
    raw["study"]["name"] = f"plan-{n_jobs}"
    for question in ("robustness", "melting_point", "active_learning"):
        del raw[question]
    raw["datasets"]["methanol"]["n_train_pool"] = 1000
    n_sets = n_jobs // (1 + N_FITS_EACH)
    sizes = list(range(1, min(40, n_sets) + 1))
    raw["learning_curves"] |= {"train_sizes": sizes, "seeds": list(range(n_sets // len(sizes)))}
    folder = FOLDER / "plan"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(raw), encoding="utf-8")
    return folder


def pretend(folder: Path, arguments: tuple[str | Path, ...]) -> None:
    """Leave every file of a study as if its jobs had been run."""
    _, summary = snakemake(ROOT, *arguments, "--summary")
    table = summary[summary.index("output_file\t") :]
    for row in csv.DictReader(table.splitlines(), delimiter="\t"):
        path = folder / row["output_file"]
        if row["rule"] in ("predict", "compile_model"):
            path.mkdir(parents=True, exist_ok=True)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    # On as many cores as there are jobs, for each time that Snakemake looks for jobs it looks at all of them.
    snakemake(ROOT, *arguments, "--cores", "20000", "--touch", "--quiet", "all", code=TOUCH)


def plans() -> list[Row]:
    """Seconds to plan studies of 100, 1,000 and 10,000 jobs, and of a second run of them with nothing to do."""
    rows = []
    for n_jobs, limit_s in PLAN_LIMITS_S.items():
        folder = synthetic(n_jobs)
        shutil.rmtree(folder / "results", ignore_errors=True)
        shutil.rmtree(folder / ".snakemake", ignore_errors=True)
        config = folder / "config.yaml"
        arguments = ("learning_curves", "--directory", folder, "--configfile", config)
        seconds, _ = snakemake(ROOT, *arguments, "--dry-run", "--quiet", "rules")
        rows.append(Row(f"plan_{n_jobs}_jobs_s", seconds, "s", "limit", limit_s, limit_s / seconds))
        pretend(folder, arguments)
        seconds, said = snakemake(ROOT, *arguments, "--cores", "1")
        assert "Nothing to be done" in said, said[-2000:]
        limit_s = PLANNED_NOOP_LIMITS_S[n_jobs]
        rows.append(Row(f"noop_{n_jobs}_jobs_s", seconds, "s", "limit", limit_s, limit_s / seconds))
    return rows


def rows(options: Options) -> list[Row]:
    """All rows of this section."""
    return no_op() + starts() + plans()
