"""Labels in worker processes, each on one thread; what a worker dies of costs one frame and no more.

The workers are programs of their own, which import their libraries while the process that starts them goes on, so
whoever starts them early does not wait for them.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import tempfile
import time
from collections import deque
from collections.abc import Sequence
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import TYPE_CHECKING, Self

from longhot.block import Block, InputError
from longhot.potential import Label
from longhot.references import InProcessLabeller, failed
from longhot.references._frames import pack, unpack
from longhot.references._processes import Program, cause_of_death
from longhot.references._store import LabelStore, frame_key

if TYPE_CHECKING:
    from ase import Atoms

logger = logging.getLogger(__name__)

CHUNK_S = 0.5
"""Cheap frames go to a worker so many at a time that it is busy about as long."""
LOG_INTERVAL_S = 30.0


def serve(questions: Connection, answers: Connection) -> None:
    """What a worker runs: set up a reference method, then label what comes until nothing does."""
    try:
        labeller = InProcessLabeller(questions.recv())
    except InputError as error:
        answers.send(error)
        return
    answers.send(None)
    with contextlib.suppress(EOFError):
        while True:
            frames = questions.recv()
            before = sum(os.times()[:4])
            labels = [labeller(unpack(*frame)) for frame in frames]
            answers.send((labels, sum(os.times()[:4]) - before))


class _Worker:
    """One worker process, seen from outside."""

    def __init__(self, config: Block, temporary: str) -> None:
        self.task: list[int] | None = None
        """Indices of the frames that it labels now; None while it is set up."""
        self.program = Program(__name__, temporary)
        # One that is gone says so when it is asked for its answer.
        with contextlib.suppress(OSError):
            self.program.questions.send(config)

    def give(self, task: list[int], frames: Sequence[Atoms]) -> None:
        """Send the frames of a task, if any."""
        self.task = task
        if task:
            with contextlib.suppress(OSError):
                self.program.questions.send([pack(frames[index]) for index in task])


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
            worker.program.questions.close()  # first of all, so that they end side by side
        for worker in self._workers:
            worker.program.end(kill=worker.task != [])
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
            places = {worker.program.answers: place for place, worker in enumerate(self._workers) if worker.task != []}
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
            said = worker.program.answers.recv()
        except (EOFError, OSError):
            status, message = cause_of_death(worker.program.end())
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
