"""Around the jobs of a run: it has its study for itself, ends cleanly, and names the jobs that were killed."""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from pathlib import Path
from typing import NoReturn

import psutil

from longhot.block import InputError
from longhot.files import lock

PATIENCE_S = 5.0
"""A run that only looks (snakemake -n) holds a study for a moment."""
_SHELLS = ("bash", "sh")
KILLED = (
    "killed: it was ended before it could say why, most often because memory ran out (use fewer --cores, or raise "
    "mem_mb of its rule) or its program crashed: run again, what was done is kept"
)
OUT_OF_MEMORY = (
    "out_of_memory: it was ended before it could say why, and meanwhile the kernel has killed processes for want of "
    "memory: use fewer --cores, or raise mem_mb of its rule, and run again, what was done is kept"
)
"""What ended a job that left no word, in its log and on the terminal."""


class Run:
    """A run of Snakemake in a folder, seen from its main process."""

    def __init__(self, state: Path, study: str) -> None:
        """Open a study, and remove what a run of it that was killed has left of its lock.

        Args:
            state: Snakemake's own folder.
            study: its name.

        Raises:
            InputError: the folder cannot be written.
        """
        self._state, self._study, self._began, self._kills = state, study, time.time(), kernel_kills()
        try:
            state.mkdir(exist_ok=True)
            self._handle = (state / f"{study}.run").open("a")
        except OSError as error:
            raise InputError(
                f"{state}: no run can begin here ({error.strerror}): make the folder writable, or make room on the disk"
            ) from None
        try:
            self._hold()
        except InputError:
            return
        # Nobody else runs this study, so whoever locked its files is gone.
        for left in state.glob("locks/*.lock"):
            if f"results/{study}/" in left.read_text(encoding="utf-8"):
                left.unlink(missing_ok=True)
        self._handle.close()
        self._handle = (state / f"{study}.run").open("a")

    def _hold(self) -> None:
        lock(
            self._handle,
            f"another run of the study {self._study} is going on in this folder, wait until it has ended or stop it",
        )

    def begin(self) -> None:
        """Hold the study until this process ends, and see to it that its jobs end with it.

        Raises:
            InputError: another run holds the study.
        """
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                self._hold()
                break
            except InputError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
        self._began = time.time()
        for number in (signal.SIGTERM, signal.SIGINT):
            # Whoever starts a run in the background may want it to ignore Ctrl-C.
            if signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, _stop)

    def killed(self) -> list[str]:
        """A sentence for each job of this run that ended without a word, which its log then holds too."""
        logs = Path("results", self._study, "logs")
        cause = OUT_OF_MEMORY if kernel_kills() > self._kills else KILLED
        found = [
            path
            for path in sorted(logs.rglob("*.log"))
            if path.stat().st_mtime >= self._began and not _has_ended(path, logs)
        ]
        for path in found:
            with path.open("a", encoding="utf-8") as log:
                log.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {_rule_of(path, logs)}: {cause}\n")
        return [f"{path}: {cause}" for path in found]


def _has_ended(log: Path, logs: Path) -> bool:
    """Whether a job said how it ended, see ``longhot.job``."""
    return bool(
        re.search(rf" {_rule_of(log, logs)}(: | took | failed\n)", log.read_text(encoding="utf-8", errors="replace"))
    )


def _rule_of(log: Path, logs: Path) -> str:
    return log.relative_to(logs).parts[0].removesuffix(".log")


def kernel_kills() -> int:
    """How many processes of this machine the kernel has killed since it started, because memory ran out."""
    counters = Path("/proc/vmstat")
    lines = counters.read_text(encoding="ascii").splitlines() if counters.exists() else []
    return sum(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))


def _stop(*_: object) -> NoReturn:
    """End the jobs of this process and then itself; Snakemake alone would wait until they have done their work."""
    threading.Thread(target=_stop_jobs, daemon=True).start()
    raise KeyboardInterrupt


def _stop_jobs() -> None:
    """Send SIGTERM to each job once, also to those that are just starting."""
    told: set[int] = set()
    while True:
        for process in psutil.Process().children(recursive=True):
            try:
                # A shell that dies at once would hide that its job is still at its checkpoint. What stands in a group
                # of its own belongs to a job, which ends it.
                if process.pid in told or process.name() in _SHELLS or os.getpgid(process.pid) != os.getpgrp():
                    continue
                process.terminate()
            except (psutil.Error, ProcessLookupError):
                continue
            told.add(process.pid)
        time.sleep(0.1)
