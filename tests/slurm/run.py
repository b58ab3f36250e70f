"""A study through the profile on a real SLURM, with a job, the controller and Snakemake killed: the local tables.

    python tests/slurm/run.py [--small] [--keep]

It installs SLURM by apt where it can, and says why where it cannot. The plugin stands in an environment of its own
on top of this one, because its import asks the controller.
"""

from __future__ import annotations

import argparse
import atexit
import os
import signal
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "tests" / "workflow"))

import cluster  # noqa: E402
from studies import SMOKE, copy_of_repository, environment, write_config  # noqa: E402

WALL_CLOCK = {"wall_s", "train_wall_s"}
PROFILE = Path("workflow", "profiles", "slurm")
CORES = len(os.sched_getaffinity(0))
HERE = (
    *("--slurm-status-command", "squeue", "--slurm-no-account", "--cores", str(CORES), "--latency-wait", "10"),
    *("--slurm-init-seconds-before-status-checks", "3", "--max-status-checks-per-second", "1"),
    *("--slurm-partition-config", "partitions.yaml"),
)
"""What differs from a real cluster: no accounting, jobs of seconds, its own partitions."""
PARTITIONS = {"partitions": {"cpu": {"max_threads": CORES}, "gpu": {"max_gpu": len(cluster.FAKE_GPUS)}}}
SMALL: dict[str, Any] = {
    "models": {"mace": {"family": "mace", "channels": 4, "max_ell": 1, "gradient_steps": 40, "compile": "never"}},
    "learning_curves": {"datasets": ["methanol"], "train_sizes": [10, 20], "seeds": [0, 1]},
    "robustness__models": ["mace"],
    "melting_point": None,
    "active_learning": None,
}
"""What makes the smoke study a quarter as long."""
OUTAGE_S = 20.0
PATIENCE_S = 900.0
GPU_JOBS = """
rule all:
    input:
        expand("gpu{number}.txt", number=range(4)),

rule one:
    output:
        "gpu{number}.txt",
    resources:
        gpu=1,
    shell:
        'echo "$CUDA_VISIBLE_DEVICES" "$SLURM_JOB_PARTITION" > {output}; sleep 2'
"""


def python_with_plugin(folder: Path) -> Path:
    """Interpreter of an environment that holds the plugin and, by reference, all of this one."""
    venv.create(folder, with_pip=False)
    site = next(folder.glob("lib/python*/site-packages"))
    (site / "base.pth").write_text(next(path for path in sys.path if path.endswith("site-packages")) + "\n")
    lock = ROOT / "envs" / "slurm.lock"
    pip = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "-qq",
        "--no-deps",
        "--target",
        str(site),
        "--requirement",
        str(lock),
    ]
    subprocess.run(pip, check=True)
    return folder / "bin" / "python"


def start(python: Path, folder: Path, *arguments: str | Path) -> subprocess.Popen[bytes]:
    """Snakemake in ``folder``, in a session of its own; what it says goes to snakemake.txt there."""
    with (folder / "snakemake.txt").open("ab") as log:
        command = [str(python), "-m", "snakemake", "--nocolor", *map(str, arguments)]
        return subprocess.Popen(
            command, cwd=folder, env=environment(), stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )


def finish(process: subprocess.Popen[bytes], folder: Path) -> None:
    """Wait for a run that must succeed."""
    if process.wait(PATIENCE_S) != 0:
        raise SystemExit((folder / "snakemake.txt").read_text()[-5000:])


class Run:
    """A study on the cluster."""

    def __init__(self, python: Path, folder: Path, config: Path) -> None:
        self.python, self.folder = python, folder
        self.arguments = ("--profile", PROFILE, *HERE, "--configfile", config)
        (folder / "partitions.yaml").write_text(yaml.safe_dump(PARTITIONS))

    def start(self) -> None:
        self.process = start(self.python, self.folder, *self.arguments)
        atexit.register(self.process.kill)

    def wait_until(self, condition: Callable[[], bool], what: str) -> None:
        cluster.wait_for(condition, what, PATIENCE_S, lambda: self.process.poll() is None)

    def wait_for_job(self, *rules: str) -> str:
        """Id of a running job of one of these rules, once there is one."""

        def found() -> list[str]:
            names = tuple(f"rule_{rule}" for rule in rules)
            return [job for job, comment in cluster.running().items() if comment.startswith(names)]

        self.wait_until(lambda: bool(found()), f"a job of {' or '.join(rules)} runs")
        return found()[0]

    def jobs_done(self) -> int:
        return (self.folder / "snakemake.txt").read_text().count("Finished jobid")

    def kill_snakemake(self) -> None:
        """SIGKILL; its jobs run on, so they are cancelled as the README says."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        cluster.ask("scancel", "--me")
        cluster.wait_for(lambda: not cluster.running(), "the cancelled jobs have ended", 60, lambda: True)


def gpus_given(python: Path, folder: Path) -> list[str]:
    """Devices and partitions that GPU jobs saw which went through the profile."""
    folder.mkdir()
    (folder / "Snakefile").write_text(GPU_JOBS)
    (folder / "partitions.yaml").write_text(yaml.safe_dump(PARTITIONS))
    finish(start(python, folder, "--profile", ROOT / PROFILE, *HERE), folder)
    return sorted(path.read_text().strip() for path in folder.glob("gpu*.txt"))


def tables(folder: Path) -> dict[str, pd.DataFrame]:
    """Every table as text, without what tells of the clock."""
    read = {path.stem: pd.read_csv(path, dtype=str) for path in sorted(folder.glob("results/*/tables/*.csv"))}
    return {name: table.drop(columns=WALL_CLOCK & set(table)) for name, table in read.items()}


def say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


def on_slurm(python: Path, work: Path, config: Path) -> None:
    """Run the study in ``work/slurm`` and kill what can be killed on the way."""
    with cluster.Cluster() as slurm:
        say("GPU jobs")
        given = gpus_given(python, work / "gpus")
        assert all(one in ("0 gpu", "1 gpu") for one in given), f"each GPU job must see one device: {given}"
        folder = work / "slurm"
        run = Run(python, folder, config)
        begin = time.monotonic()
        run.start()
        job = run.wait_for_job("fit")
        cluster.show_sacct(False)
        say(f"scancel of job {job}")
        cluster.ask("scancel", job)
        # The controller forgets what it has not saved yet, and Snakemake would wait for such jobs for ever.
        slurm.wait_until_saved()
        run.wait_for_job("fit", "simulate")
        say(f"SIGKILL of slurmctld, which stays away for {OUTAGE_S:.0f} s")
        slurm.kill_controller()
        time.sleep(OUTAGE_S)
        slurm.start_controller()
        done = run.jobs_done()
        run.wait_until(lambda: run.jobs_done() > done, "Snakemake hears of a job's end after the outage")
        run.wait_for_job("simulate")
        say("SIGKILL of Snakemake")
        run.kill_snakemake()
        cluster.show_sacct(True)
        run.start()
        finish(run.process, folder)
        say(f"the study is done after {time.monotonic() - begin:.0f} s on SLURM")


def compare(work: Path, small: bool) -> None:
    """Run the study here and on the cluster.

    Raises:
        AssertionError: the tables differ, or a GPU job saw another number of devices than one.
    """
    folders = [work / "local", work / "slurm"]
    for folder in folders:
        copy_of_repository(folder)
        config = write_config(folder, "slurm.yaml", **SMALL) if small else SMOKE
    local, remote = folders
    python = python_with_plugin(work / "environment")
    say("the local run")
    finish(start(Path(sys.executable), local, "--cores", str(CORES), "--configfile", config), local)
    on_slurm(python, work, config)
    expected, found = tables(local), tables(remote)
    assert expected.keys() == found.keys(), f"tables {sorted(expected.keys() ^ found.keys())} are missing on one side"
    for name, table in expected.items():
        pd.testing.assert_frame_equal(found[name], table, obj=f"{name}.csv")
    say(f"{len(expected)} tables are the same")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="one model, without melting point and active learning")
    parser.add_argument("--keep", action="store_true", help="leave the packages installed, and the folder")
    options = parser.parse_args()
    reason = cluster.reason_to_skip()
    if reason:
        print(f"Skipped: {reason}.")
        return
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))
    installed = cluster.install()
    work = Path(tempfile.mkdtemp(prefix="longhot-slurm-"))
    try:
        compare(work, options.small)
    finally:
        if not options.keep:
            cluster.remove(installed)
    say(f"its files are in {work}")


if __name__ == "__main__":
    main()
