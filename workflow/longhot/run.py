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
    "was killed before it could say why, most often because memory ran out (use fewer --cores, or raise mem_mb of its "
    "rule), its program crashed, or the reference took longer than study.reference_time_limit_s for one calculation: "
    "run again, what was done is kept"
)


class Run:
    """A run of Snakemake in a folder, seen from its main process."""

    def __init__(self, state: Path, study: str) -> None:
        """Open a study, and remove what a run of it that was killed has left of its lock.

        Args:
            state: Snakemake's own folder.
            study: its name.
        """
        self._state, self._study, self._began = state, study, time.time()
        state.mkdir(exist_ok=True)
        self._handle = (state / f"{study}.run").open("a")
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
        """A sentence for each job of this run that ended without a word."""
        logs = Path("results", self._study, "logs")
        return [
            f"{path}: its job {KILLED}"
            for path in sorted(logs.rglob("*.log"))
            if path.stat().st_mtime >= self._began and not _has_ended(path, logs)
        ]


def _has_ended(log: Path, logs: Path) -> bool:
    """Whether a job said how it ended, see ``longhot.job``."""
    rule = log.relative_to(logs).parts[0].removesuffix(".log")
    return bool(re.search(rf" {rule}(: | took | failed\n)", log.read_text(encoding="utf-8", errors="replace")))


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
