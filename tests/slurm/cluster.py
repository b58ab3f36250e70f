"""A SLURM of one node on this machine, over loopback, without accounting: Debian's slurm-wlm and munge."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

PACKAGES = ("slurm-wlm", "munge")
SETTINGS = Path("/etc/slurm")
"""The standard place: every SLURM command looks there."""
MARK = "# Written by Longhot's tests.\n"
STATE = Path("/var/spool/longhot-slurm")
"""What the controller knows of its jobs; it survives the controller."""
LOGS = Path("/var/log/longhot-slurm")
FAKE_GPUS = ("/dev/null", "/dev/zero")
"""Stand for GPUs: SLURM hands out any device files."""
PATIENCE_S = 60.0


def reason_to_skip() -> str | None:
    """Why no cluster can be started here; None where one can."""
    if os.geteuid() != 0:
        return "it takes root to start SLURM"
    if shutil.which("apt-get") is None:
        return "there is no apt-get to install SLURM with"
    if (SETTINGS / "slurm.conf").exists() and not (SETTINGS / "slurm.conf").read_text().startswith(MARK):
        return f"this machine has a SLURM already: {SETTINGS / 'slurm.conf'}"
    return None


def install() -> list[str]:
    """Install what is missing; returns the packages that were."""
    missing = [name for name, tool in zip(PACKAGES, ("slurmctld", "munged"), strict=True) if not shutil.which(tool)]
    if missing:
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for command in (["update"], ["install", "--yes", "--no-install-recommends", *missing]):
            subprocess.run(["apt-get", "-qq", *command], check=True, env=environment, stdout=subprocess.DEVNULL)
    return missing


def remove(packages: list[str]) -> None:
    """Remove packages: a SLURM client without a controller makes every start of the plugin wait."""
    if packages:
        command = ["apt-get", "-qq", "purge", "--yes", "--autoremove", *packages]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def settings() -> dict[str, str]:
    """The configuration files by name."""
    host, cores = socket.gethostname().partition(".")[0], len(os.sched_getaffinity(0))
    slurm = f"""{MARK}ClusterName=longhot
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
AuthType=auth/munge
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
StateSaveLocation={STATE}/controller
SlurmdSpoolDir={STATE}/node
SlurmctldPidFile={STATE}/slurmctld.pid
SlurmdPidFile={STATE}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
ReturnToService=2
MinJobAge=300
MessageTimeout=5
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
GresTypes=gpu
NodeName={host} NodeAddr=127.0.0.1 CPUs={cores} RealMemory=64000 Gres=gpu:{len(FAKE_GPUS)} State=UNKNOWN
PartitionName=cpu Nodes={host} Default=YES MaxTime=INFINITE State=UP
PartitionName=gpu Nodes={host} MaxTime=INFINITE State=UP
"""
    gres = MARK + "".join(f"Name=gpu File={file}\n" for file in FAKE_GPUS)
    return {"slurm.conf": slurm, "gres.conf": gres}


def ask(*command: str) -> str:
    """Output of a SLURM command; empty where it fails."""
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def running() -> dict[str, str]:
    """Ids of the running jobs, with Snakemake's comment: rule and wildcards."""
    lines = ask("squeue", "--noheader", "--states=running", "--format=%i|%k").splitlines()
    return dict(line.split("|", 1) for line in lines)


def show_sacct(shown: bool) -> None:
    """Let sacct be found or not.

    There is no accounting here. The plugin needs sacct all the same before its first submission; but where it finds
    the controller away it turns to sacct for as long as it waits, and then loses its jobs.
    """
    Path("/usr/bin/sacct").chmod(0o755 if shown else 0o644)


class Cluster:
    """The daemons, as children of this process: they end with the block."""

    def __enter__(self) -> Self:
        for folder in (STATE / "controller", STATE / "node", LOGS):
            folder.mkdir(parents=True, exist_ok=True)
        for name, text in settings().items():
            (SETTINGS / name).write_text(text, encoding="utf-8")
        munge = pwd.getpwnam("munge")
        for folder in (Path("/run/munge"), Path("/var/log/munge"), Path("/var/lib/munge")):
            folder.mkdir(exist_ok=True)
            os.chown(folder, munge.pw_uid, munge.pw_gid)
        Path("/run/munge").chmod(0o755)
        self.daemons: dict[str, subprocess.Popen[bytes]] = {}
        try:
            self._start("munged", "munged", "--foreground", "--force", user="munge")
            self._wait(lambda: ask("munge", "--no-input") != "", "munged answers")
            self.start_controller()
            self._start("slurmd", "slurmd", "-D")
            self._wait(
                lambda: ask("sinfo", "--noheader", "--format=%T", "--partition=cpu") == "idle", "the node is idle"
            )
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        if "slurmctld" in self.daemons:
            ask("scancel", "--user=root")
        for daemon in reversed(self.daemons.values()):
            daemon.terminate()
        for daemon in self.daemons.values():
            try:
                daemon.wait(10)
            except subprocess.TimeoutExpired:
                daemon.kill()
        show_sacct(True)
        for name in settings():
            (SETTINGS / name).unlink(missing_ok=True)
        shutil.rmtree(STATE, ignore_errors=True)

    def start_controller(self) -> None:
        """Start slurmctld and wait until it answers."""
        self._start("slurmctld", "slurmctld", "-D")
        self._wait(lambda: "UP" in ask("scontrol", "ping"), "slurmctld answers")

    def wait_until_saved(self) -> None:
        """Return once the controller has written down what it knows of its jobs by now."""
        now = time.time()
        self._wait(lambda: (STATE / "controller" / "job_state").stat().st_mtime > now, "slurmctld saves its state")

    def kill_controller(self) -> None:
        """SIGKILL, as a crash of its machine would."""
        self.daemons["slurmctld"].send_signal(signal.SIGKILL)
        self.daemons["slurmctld"].wait()

    def _start(self, name: str, *command: str, user: str | None = None) -> None:
        with (LOGS / f"{name}.log").open("ab") as log:
            self.daemons[name] = subprocess.Popen(command, stdout=log, stderr=log, user=user)

    def _wait(self, condition: Callable[[], bool], what: str) -> None:
        wait_for(condition, what, PATIENCE_S, lambda: all(one.poll() is None for one in self.daemons.values()))


def wait_for(
    condition: Callable[[], bool], what: str, seconds: float, alive: Callable[[], bool] = lambda: True
) -> None:
    """Return once ``condition`` holds.

    Raises:
        SystemExit: it does not in time, or what it waits for is dead.
    """
    end = time.monotonic() + seconds
    while not condition():
        if not alive():
            raise SystemExit(f"It ended before {what}; see {LOGS}")
        if time.monotonic() > end:
            raise SystemExit(f"Waited {seconds:.0f} s in vain until {what}; see {LOGS}")
        time.sleep(0.2)
