"""Processes that compute with a reference method, each on one thread, so that nothing that it does ends the job.

A program of its own inherits no threads, no memory and no GPU of the process that starts it, and does not run its
main file again: it serves every method, but imports all anew. A fork is there at once with all that was imported; it is
for the methods whose file says ``FORKS = True``. Both end with the process that started them, whatever ends that.

Questions and answers go through pipes: the kernel lets the reader of a pipe run at once, where it stands. Through a
socket, which is what ``multiprocessing.Pipe`` gives by default, a question and its answer cost 0.1 ms more.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.connection import Connection, Pipe
from pathlib import Path

from longhot.potential import LabelStatus
from longhot.references._threads import one_thread
from longhot.references._time_limit import TIME_LIMIT_S

LONGEST_END_S = 10.0
"""An idle program that takes longer to end is killed."""
PR_SET_PDEATHSIG = 1
"""Of Linux's prctl: the signal that a process gets when the one that started it is gone."""


Serve = Callable[[Connection, Connection], None]
"""What such a process runs, with the connection that questions come from and that which answers go to."""


class Program:
    """A Python program of its own, with connections to it."""

    def __init__(self, module: str, temporary: str) -> None:
        """Start it.

        Args:
            module: whose function ``serve`` it runs.
            temporary: folder for what it needs while it runs; it goes with the process that started it.
        """
        theirs, self.questions = Pipe(duplex=False)
        self.answers, its = Pipe(duplex=False)
        descriptors = [theirs.fileno(), its.fileno()]
        text = (
            f"import sys; sys.path[:] = {sys.path!r}\n"
            f"from longhot.references._processes import run; run({module!r}, {descriptors}, {temporary!r})"
        )
        with one_thread():
            environment = {**os.environ, "TMPDIR": temporary}
        self._process = subprocess.Popen(
            [sys.executable, "-c", text],
            stdin=subprocess.PIPE,
            pass_fds=descriptors,
            env=environment,
            # A group of its own, which holds the programs that it runs too: one signal ends them all.
            start_new_session=True,
        )
        theirs.close()
        its.close()

    def end(self, kill: bool = True) -> int:
        """End the process, at once with all that it runs or when it sees that nothing more comes; its exit code."""
        self.questions.close()
        self.answers.close()
        if not kill:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(LONGEST_END_S)
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
        code = self._process.wait()
        assert self._process.stdin is not None
        self._process.stdin.close()
        return code


def run(module: str, descriptors: tuple[int, int], temporary: str) -> None:
    """What a ``Program`` runs; ``descriptors`` are those of questions and answers."""
    threading.Thread(target=_end_with_parent, args=[temporary], daemon=True).start()
    questions, answers = Connection(descriptors[0], writable=False), Connection(descriptors[1], readable=False)
    importlib.import_module(module).serve(questions, answers)


def _end_with_parent(temporary: str) -> None:
    """Standard input ends when the process that started this one is gone: then so is all that this one runs."""
    os.read(sys.stdin.fileno(), 1)
    shutil.rmtree(temporary, ignore_errors=True)
    os.killpg(0, signal.SIGKILL)


class Fork:
    """A fork of this process, with connections to it."""

    def __init__(self, serve: Serve) -> None:
        """Start it."""
        theirs, self.questions = Pipe(duplex=False)
        self.answers, its = Pipe(duplex=False)
        self._process = get_context("fork").Process(
            target=_run_fork, args=[serve, theirs, its, os.getpid()], daemon=True
        )
        self._process.start()
        theirs.close()
        its.close()

    def end(self) -> int:
        """End the process at once; its exit code."""
        self.questions.close()
        self.answers.close()
        self._process.kill()
        self._process.join()
        assert self._process.exitcode is not None
        return self._process.exitcode


def end_with(parent: int) -> None:
    """Let this process end with the one that forked it, whatever ends that."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def _run_fork(serve: Serve, questions: Connection, answers: Connection, parent: int) -> None:
    end_with(parent)
    _let_go_of_files({questions.fileno(), answers.fileno()})
    # The handlers of the job that forked would write to its log; Ctrl-C comes to both, and the job answers it.
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    serve(questions, answers)


def _let_go_of_files(kept: set[int]) -> None:
    """Close what the process that forked has open, standard streams apart: its locks would last as long as this one.

    The descriptors stay taken, for objects of that process may close them here once more.
    """
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in [int(entry.name) for entry in Path("/proc/self/fd").iterdir()]:
        if descriptor > 2 and descriptor not in kept | {nowhere}:
            os.dup2(nowhere, descriptor, inheritable=False)


def cause_of_death(code: int) -> tuple[LabelStatus, str]:
    """Why a process ended with an exit code, which is that of a signal where it is negative."""
    if code == -signal.SIGALRM:
        limit_s = float(os.environ.get(TIME_LIMIT_S, 0))
        return "timeout", f"it took longer than {limit_s:g} s, see study.reference_time_limit_s"
    how = f"signal {-code} ({signal.Signals(-code).name})" if code < 0 else f"exit code {code}"
    return "crashed", f"its worker process ended with {how}"
