"""Trajectories sampled in parallel processes, one thread each; those that are whole are kept for a later run."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import active_children, get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from longhot import files, frames
from longhot.block import InputError
from longhot.references._processes import end_with

if TYPE_CHECKING:
    from ase import Atoms

logger = logging.getLogger(__name__)


class Task(Protocol):
    """One trajectory to sample."""

    @property
    def name(self) -> str:
        """Readable and, for one dataset, unique."""
        ...

    @property
    def digest(self) -> str:
        """Identifies the frames: equal digests mean equal frames."""
        ...


SomeTask = TypeVar("SomeTask", bound=Task)


def digest_of(settings: dict[str, Any]) -> str:
    """A digest of all that a trajectory depends on, JSON types."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]


def all_sampled(
    tasks: Sequence[SomeTask], sampled: Callable[[SomeTask], tuple[list[Atoms], int]], workdir: Path, workers: int
) -> Iterator[tuple[list[Atoms], int]]:
    """Each trajectory's frames and restarts, in order.

    Args:
        tasks: the trajectories.
        sampled: gives the frames and restarts of one.
        workdir: folder of whole trajectories, which are not sampled again.
        workers: number of processes.

    Raises:
        InputError: as ``sampled`` does, or a process was killed.
    """
    # Forked, since a spawned process would run the script of the Snakemake job again.
    with ProcessPoolExecutor(workers, get_context("fork"), _begin, (os.getpid(),)) as pool:
        try:
            # Its map would cancel what waits, on which the pool's own thread fails when the processes are ended.
            futures = [pool.submit(_kept, task, sampled, workdir) for task in tasks]
            for done, (task, future) in enumerate(zip(tasks, futures, strict=True), start=1):
                taken, restarts = future.result()
                logger.info("%s: %d frames, trajectory %d of %d", task.name, len(taken), done, len(tasks))
                yield taken, restarts
        except BrokenProcessPool:
            raise InputError(
                "a process that samples was killed: the memory did not suffice, or someone ended it; "
                "run again with fewer jobs at once (--cores), whole trajectories are kept"
            ) from None
        except BaseException:
            # Left to itself the pool would sample to the end what it has begun.
            for process in active_children():
                process.terminate()
            raise


def _begin(parent: int) -> None:
    """Take over no handler of the process that forked: its exception would be an answer, and the next task follow."""
    end_with(parent)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _kept(
    task: SomeTask, sampled: Callable[[SomeTask], tuple[list[Atoms], int]], workdir: Path
) -> tuple[list[Atoms], int]:
    """The frames of a trajectory and its restarts, from ``workdir`` where an earlier run completed it."""
    path = workdir / f"{task.name}-{task.digest}.extxyz"
    done = path.with_suffix(".json")
    if done.is_file():
        logger.info("%s: taken over from an interrupted run", task.name)
    else:
        taken, restarts = sampled(task)
        frames.write(path, taken)
        files.write_json(done, {"n_restarts": restarts})
    # Read back in either case, so that a resumed build gives the same digits as an unbroken one.
    return frames.read(path), files.read_json(done)["n_restarts"]


def warning(name: str, n_restarts: int) -> str:
    """What the card says of a trajectory that had to begin again."""
    return (
        f"{name}: the reference failed {n_restarts} times in sampling, "
        "each time it went on from the last good frame with new velocities"
    )
