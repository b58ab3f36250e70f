"""What Snakemake costs: a run with nothing to do, and a plan of ten thousand jobs."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import yaml
from common import FOLDER, ROOT, Options, Row

NOOP_LIMIT_S = 10.0
N_JOBS = 10000
TRIVIAL = f"""
rule all:
    input:
        expand("{{number}}.txt", number=range({N_JOBS})),

rule one:
    output:
        "{{number}}.txt",
    shell:
        "touch {{output}}"
"""


def snakemake(folder: Path, *arguments: str | Path) -> tuple[float, str]:
    """Wall seconds of a run, and what it said."""
    start = time.perf_counter()
    done = subprocess.run(
        [str(Path(sys.executable).with_name("snakemake")), *map(str, arguments)],
        cwd=folder,
        check=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return time.perf_counter() - start, done.stdout


def no_op() -> list[Row]:
    """Seconds of a second run of a finished study; no row where none is finished."""
    for study, config in (("default", "config/config.yaml"), ("smoke", "config/smoke.yaml")):
        if not (ROOT / "results" / study / "report" / "index.html").exists():
            continue
        if "Nothing to be done" not in snakemake(ROOT, "--dry-run", "--configfile", config)[1]:
            continue
        seconds, _ = snakemake(ROOT, "--cores", "2", "--configfile", config)
        return [Row("noop_s", seconds, "s", "limit", NOOP_LIMIT_S, NOOP_LIMIT_S / seconds)]
    return []


def large_plan() -> list[Row]:
    """Seconds to plan learning curves of 10,000 jobs, against as many jobs that do nothing."""
    raw = yaml.safe_load((ROOT / "config" / "smoke.yaml").read_text(encoding="utf-8"))
    raw["study"]["name"] = "bench-plan"
    del raw["robustness"]
    raw["datasets"]["methanol"]["n_train_pool"] = 1000
    # Five jobs for each size and seed: a subset, and a fit of each of four models.
    raw["learning_curves"] = {"train_sizes": list(range(1, 41)), "seeds": list(range(N_JOBS // 5 // 40))}
    folder = FOLDER / "plan"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(raw), encoding="utf-8")
    (folder / "Snakefile").write_text(TRIVIAL, encoding="utf-8")
    seconds, _ = snakemake(ROOT, "--dry-run", "--quiet", "rules", "--configfile", folder / "config.yaml")
    trivial, _ = snakemake(folder, "--dry-run", "--quiet", "rules")
    return [Row("plan_10000_jobs_s", seconds, "s", "as many trivial jobs", trivial, trivial / seconds)]


def rows(options: Options) -> list[Row]:
    """All rows of this section."""
    return no_op() + large_plan()
