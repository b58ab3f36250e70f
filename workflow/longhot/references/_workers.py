"""Labels in worker processes, each on one thread; what a worker dies of costs one frame and no more.

The workers are programs of their own, not forks: they inherit no threads, no memory and no GPU of the
process that starts them, and do not run its main file again. They import their libraries while that
process goes on, so whoever starts them early does not wait for them.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Sequence
from multiprocessing.connection import Connection, Pipe, wait
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np

from longhot.block import Block, InputError
from longhot.potential import Label, LabelStatus
from longhot.references import Labeller, failed
from longhot.references._store import FRAME_ARRAYS, LabelStore, frame_key
from longhot.references._threads import one_thread
from longhot.references._time_limit import TIME_LIMIT_S

if TYPE_CHECKING:
    from ase import Atoms

logger = logging.getLogger(__name__)

CHUNK_S = 0.5
"""Cheap frames go to a worker so many at a time that it is busy about as long."""
LOG_INTERVAL_S = 30.0
LONGEST_END_S = 10.0
"""An idle worker that takes longer to end is killed."""


def pack(atoms: Atoms) -> tuple[bytes, bytes, bytes, bytes, dict[str, np.ndarray]]:
    """What a calculator may read of a frame, and the key of its label covers; bytes, which pickle fast."""
    extra = {name: atoms.arrays[name] for name in FRAME_ARRAYS if name in atoms.arrays}
    return atoms.numbers.tobytes(), atoms.positions.tobytes(), atoms.cell.array.tobytes(), atoms.pbc.tobytes(), extra


def unpack(numbers: bytes, positions: bytes, cell: bytes, pbc: bytes, extra: dict[str, np.ndarray]) -> Atoms:
    """The frame again, without what else it carried."""
    from ase import Atoms

    frame = Atoms(
        np.frombuffer(numbers, dtype=int),
        np.frombuffer(positions).reshape(-1, 3),
        cell=np.frombuffer(cell).reshape(3, 3),
        pbc=np.frombuffer(pbc, dtype=bool),
    )
    for name, values in extra.items():
        frame.set_array(name, values)
    return frame


def serve(descriptor: int, temporary: str) -> None:
    """The main program of a worker: set up a reference method, then label what comes until nothing does.

    Args:
        descriptor: of its end of the connection to the process that started it.
        temporary: folder that the workers of that process share for what they need while they run.
    """
    threading.Thread(target=_end_with_parent, args=[temporary], daemon=True).start()
    connection = Connection(descriptor)
    try:
        labeller = Labeller(connection.recv())
    except InputError as error:
        connection.send(error)
        return
    connection.send(None)
    with contextlib.suppress(EOFError):
        while True:
            frames = connection.recv()
            before = sum(os.times()[:4])
            labels = [labeller(unpack(*frame)) for frame in frames]
            connection.send((labels, sum(os.times()[:4]) - before))


def _end_with_parent(temporary: str) -> None:
    """Standard input ends when the process that started this one is gone: then so is all that this one runs."""
    os.read(sys.stdin.fileno(), 1)
    shutil.rmtree(temporary, ignore_errors=True)
    os.killpg(0, signal.SIGKILL)


class _Worker:
    """One worker process, seen from outside."""

    def __init__(self, config: Block, temporary: str) -> None:
        self.task: list[int] | None = None
        """Indices of the frames that it labels now; None while it is set up."""
        self.connection, theirs = Pipe()
        program = (
            f"import sys; sys.path[:] = {sys.path!r}\n"
            f"from longhot.references._workers import serve; serve({theirs.fileno()}, {temporary!r})"
        )
        with one_thread():
            environment = {**os.environ, "TMPDIR": temporary}
        self._process = subprocess.Popen(
            [sys.executable, "-c", program],
            stdin=subprocess.PIPE,
            pass_fds=[theirs.fileno()],
            env=environment,
            # A group of its own, which holds the programs that it runs too: one signal ends them all.
            start_new_session=True,
        )
        theirs.close()
        self.connection.send(config)

    def give(self, task: list[int], frames: Sequence[Atoms]) -> None:
        """Send the frames of a task, if any."""
        self.task = task
        if task:
            # A process that is gone says so when it is asked for its answer.
            with contextlib.suppress(OSError):
                self.connection.send([pack(frames[index]) for index in task])

    def end(self, kill: bool) -> int:
        """End the process, at once with all that it runs or when it sees that nothing more comes; its exit code."""
        self.connection.close()
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


def _cause_of_death(code: int) -> tuple[LabelStatus, str]:
    """Why a worker ended with an exit code, which is that of a signal where it is negative."""
    if code == -signal.SIGALRM:
        limit_s = float(os.environ.get(TIME_LIMIT_S, 0))
        return "timeout", f"it took longer than {limit_s:g} s, see study.reference_time_limit_s"
    how = f"signal {-code} ({signal.Signals(-code).name})" if code < 0 else f"exit code {code}"
    return "crashed", f"its worker process ended with {how}"


class Queue:
    """Which frames go to a worker next: as many as keep it busy for a moment, and few near the end."""

    def __init__(self, n_frames: int, n_workers: int) -> None:
        self._waiting = deque(range(n_frames))
        self._alone: deque[int] = deque()
        self._n_workers, self._frame_s = n_workers, math.inf

    def next(self) -> list[int]:
        """Indices of the next frames; empty where none waits."""
        if self._alone:
            return [self._alone.popleft()]
        share = math.ceil(len(self._waiting) / (2 * self._n_workers))
        size = min(share, max(1, int(CHUNK_S / self._frame_s)))
        return [self._waiting.popleft() for _ in range(size)]

    def learn(self, labels: Sequence[Label]) -> None:
        """Take the cost of a frame from the last answer; a frame that failed at once says nothing of it."""
        costs_s = [label.wall_s for label in labels if label.status == "ok"]
        if costs_s:
            self._frame_s = max(1e-6, sum(costs_s) / len(costs_s))

    def died(self, task: list[int]) -> int | None:
        """A worker died of one of these frames: each waits to be tried alone, and one that was is returned."""
        if len(task) == 1:
            return task[0]
        self._alone.extend(task)
        return None


class Progress:
    """The course of a labelling, for the log."""

    def __init__(self, n_frames: int) -> None:
        self._n_frames, self._n_done, self._n_failed, self._core_s = n_frames, 0, 0, 0.0
        self._started = self._logged = time.monotonic()

    def add(self, labels: Sequence[Label], core_s: float) -> None:
        """Count some labels, and say how it goes where that was not said for a while."""
        if not labels:
            return
        self._n_done += len(labels)
        self._n_failed += sum(label.status != "ok" for label in labels)
        self._core_s += core_s
        now = time.monotonic()
        if now - self._logged >= LOG_INTERVAL_S:
            self._logged = now
            per_min = 60 * self._n_done / (now - self._started)
            left_min = (self._n_frames - self._n_done) / per_min
            logger.info(
                "labelled %d of %d frames, %.3g a minute, %.1f minutes left",
                self._n_done,
                self._n_frames,
                per_min,
                left_min,
            )

    def end(self) -> None:
        """Say what it cost."""
        wall_s = time.monotonic() - self._started
        logger.info(
            "labelled %d frames, %d of them without success, in %.1f s and %.1f core seconds",
            self._n_done,
            self._n_failed,
            wall_s,
            self._core_s,
        )


class Workers:
    """Processes that label with one reference method; a context manager."""

    def __init__(self, config: Block, n_workers: int, store: str | Path | None = None) -> None:
        """Start no process yet.

        Args:
            config: the reference method.
            n_workers: largest number of processes.
            store: folder of the label stores of all methods; None: nothing is kept.

        Raises:
            InputError: the library behind the method is missing.
        """
        self._config, self._n_workers = config, n_workers
        self._store = None if store is None else LabelStore(store, config)
        # Whatever a killed worker leaves behind goes with this folder.
        self._temporary = tempfile.TemporaryDirectory(prefix="longhot-", ignore_cleanup_errors=True)
        self._workers: list[_Worker] = []

    def start(self, n_wanted: int | None = None) -> Self:
        """Start processes up to a number that is of use; they are set up while the caller goes on."""
        wanted = self._n_workers if n_wanted is None else min(n_wanted, self._n_workers)
        while len(self._workers) < wanted:
            self._workers.append(_Worker(self._config, self._temporary.name))
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            worker.connection.close()  # first of all, so that they end side by side
        for worker in self._workers:
            worker.end(kill=worker.task != [])
        if self._store is not None:
            self._store.close()
        self._temporary.cleanup()

    def label(self, frames: Sequence[Atoms]) -> list[Label]:
        """Energy and forces of each frame, in their order; a failed frame is a typed label and stops nothing.

        Raises:
            InputError: the method itself cannot be set up.
        """
        if self._store is None:
            return self._compute(frames)
        keys = [frame_key(atoms) for atoms in frames]
        labels = {key: label for key in dict.fromkeys(keys) if (label := self._store.get(key)) is not None}
        missing = {key: atoms for key, atoms in zip(keys, frames, strict=True) if key not in labels}
        logger.info("%d of %d labels are in the store %s", len(labels), len(set(keys)), self._store.directory)
        labels |= dict(zip(missing, self._compute(list(missing.values()), list(missing)), strict=True))
        return [labels[key] for key in keys]

    def _compute(self, frames: Sequence[Atoms], keys: Sequence[str] | None = None) -> list[Label]:
        """Labels by the workers; each goes to the store, under its key, as soon as it is there."""
        if not frames:
            return []
        self.start(len(frames))
        queue, progress = Queue(len(frames), len(self._workers)), Progress(len(frames))
        done: dict[int, Label] = {}
        for worker in self._workers:
            if worker.task is not None:
                worker.give(queue.next(), frames)
        while len(done) < len(frames):
            places = {worker.connection: place for place, worker in enumerate(self._workers) if worker.task != []}
            for connection in wait(list(places)):
                place = places[connection]  # type: ignore[index]
                labels, core_s = self._answer(place, queue, frames)
                if self._workers[place].task is not None:
                    self._workers[place].give(queue.next(), frames)
                done |= labels
                progress.add(list(labels.values()), core_s)
                if self._store is not None and keys is not None:
                    for index, label in labels.items():
                        self._store.put(keys[index], label)
        progress.end()
        return [done[index] for index in range(len(frames))]

    def _answer(self, place: int, queue: Queue, frames: Sequence[Atoms]) -> tuple[dict[int, Label], float]:
        """Labels by index of frame that a worker has ready, if any, and what they cost in core seconds.

        A worker that died is replaced.

        Raises:
            InputError: the method cannot be set up.
        """
        worker = self._workers[place]
        task, worker.task = worker.task, []
        try:
            said = worker.connection.recv()
        except (EOFError, OSError):
            status, message = _cause_of_death(worker.end(kill=True))
            if task is None:
                raise InputError(f"reference: {message} while it was set up") from None
            self._workers[place] = _Worker(self._config, self._temporary.name)
            lost = queue.died(task)
            if lost is None:
                return {}, 0.0
            return {lost: failed(len(frames[lost]), status, message, 0.0)}, 0.0
        if isinstance(said, InputError):
            raise said
        if task is None:
            return {}, 0.0
        labels, core_s = said
        queue.learn(labels)
        return dict(zip(task, labels, strict=True)), core_s
