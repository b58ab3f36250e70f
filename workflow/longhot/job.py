"""What every job of the pipeline does around its one library call: log, clock, thread count, digests, a clean end."""

from __future__ import annotations

import errno
import logging
import os
import resource
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn

from longhot import devices, files, integrity
from longhot.block import InputError
from longhot.clock import import_clock

logger = logging.getLogger("longhot")

LONGEST_END_S = 7.0
"""From a signal to the end of the process."""
KEPT = "what was done is kept, and the next run goes on from there"
FAULTS = {
    "disk_full": f"the disk is full, make room: {KEPT}",
    "read_only": "a file or folder cannot be written, allow it or move the study: " + KEPT,
    "input_output": f"the disk fails, look after it: {KEPT}",
    "out_of_memory": "the memory does not suffice, run fewer jobs at once (--cores) or raise mem_mb of its rule",
    "gpu_memory": "the memory of the GPU does not suffice, set robustness.protocol.batch_replicas or a smaller model",
    "gpu_lost": f"the GPU fails or is gone, see nvidia-smi, or set study.device to cpu: {KEPT}",
}
"""Types of what may happen to a job on a sound machine and a sound input, and what to do."""
_ERRNO = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), "disk_full"),
    **dict.fromkeys((errno.EROFS, errno.EACCES, errno.EPERM), "read_only"),
    errno.EIO: "input_output",
    errno.ENOMEM: "out_of_memory",
}
_WORDS = (
    ("No space left on device", "disk_full"),
    ("File too large", "disk_full"),
    ("failed writing file", "disk_full"),
    ("Read-only file system", "read_only"),
    ("Permission denied", "read_only"),
    ("CUDA out of memory", "gpu_memory"),
    ("can't allocate memory", "out_of_memory"),
    ("CUDA error", "gpu_lost"),
    ("CUDA driver", "gpu_lost"),
    ("NVIDIA driver", "gpu_lost"),
    ("No CUDA GPUs", "gpu_lost"),
    ("cuDNN error", "gpu_lost"),
    ("CUBLAS_STATUS", "gpu_lost"),
)
"""Of libraries that raise what they please."""


def fault(error: BaseException | None) -> str | None:
    """The key of ``FAULTS`` that an exception comes from, itself or by what it was raised in; None: of the code."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in _ERRNO:
            return _ERRNO[error.errno]
        if isinstance(error, MemoryError):
            return "out_of_memory"
        text = str(error)
        for words, name in _WORDS if isinstance(error, Exception) else ():
            if words in text:
                return name
        error = error.__cause__ or error.__context__
    return None


def pin_threads(threads: int) -> None:
    """Hold every numerical library, imported later, to ``threads``."""
    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS"):
        os.environ[variable] = str(threads)
    os.environ["OMP_MAX_ACTIVE_LEVELS"] = "1"


@contextmanager
def job(snakemake: Any) -> Iterator[None]:
    """Log to the rule's log file, pin its threads, check its inputs, and say at the end what it cost.

    An ``InputError``, a fault of the machine and a signal end the job with one sentence, in the log and on the
    terminal, and a code of its own; what else goes wrong is a fault of the code, and leaves a traceback.
    """
    pin_threads(snakemake.threads)
    _end_on_signals(snakemake.rule, Path(snakemake.log[0]))
    try:
        _begin_log(Path(snakemake.log[0]))
        start = time.perf_counter()
        study = Path(*Path(snakemake.log[0]).parts[:2])
        for made in snakemake.output:
            files.remove_leftovers(Path(made))
        for made in snakemake.input:
            integrity.verify(study, Path(made))
        if snakemake.resources.get("gpu"):
            devices.take_one()
        with import_clock() as clock:
            yield
        for made in snakemake.output:
            integrity.record(study, Path(made))
        _end_log(snakemake.rule, time.perf_counter() - start, clock.overhead_s)
    except InputError as error:
        _say(snakemake.rule, str(error))
        sys.exit(1)
    except SystemExit:
        _say(snakemake.rule, f"stopped: {KEPT}")
        raise
    except BaseException as error:
        name = fault(error)
        if name is None:
            logger.exception("%s failed", snakemake.rule)
            raise
        _say(snakemake.rule, f"{name}: {FAULTS[name]} ({' '.join(str(error).split())[:300]})")
        sys.exit(1)


def _end_on_signals(rule: str, log: Path) -> None:
    """Let SIGTERM and Ctrl-C close everything that is open, and see to it that this ends."""
    for number in (signal.SIGTERM, signal.SIGINT):
        # Whoever starts a run in the background may want it to ignore Ctrl-C.
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _stop)
    came, told = os.pipe()
    os.set_blocking(told, False)
    signal.set_wakeup_fd(told, warn_on_full_buffer=False)
    threading.Thread(target=_make_sure, args=[came, rule, log], daemon=True).start()


def _stop(number: int, _: object) -> NoReturn:
    """Close by an exception; once is enough, and a second signal must not break that off."""
    for one in (signal.SIGTERM, signal.SIGINT):
        signal.signal(one, signal.SIG_IGN)
    sys.exit(128 + number)


def _make_sure(came: int, rule: str, log: Path) -> None:
    """End the process some seconds after a signal: compiled code keeps handlers waiting, a callback loses exceptions.

    All files are written so that they are whole or absent, so this costs no more than the work since a checkpoint.
    """
    number = os.read(came, 1)[0]
    time.sleep(LONGEST_END_S)
    # By hand: a signal that came while the process forked may have left the locks of logging and of streams held.
    said = f"{rule}: stopped: {KEPT}\n"
    with suppress(OSError):
        os.write(2, f"\n{said}\n".encode())
        with log.open("ab", buffering=0) as handle:
            handle.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {said}".encode())
    os._exit(128 + number)


def _begin_log(path: Path) -> None:
    """Log to a file, which belongs to this process as long as it runs."""
    log = path.open("a", encoding="utf-8")
    files.lock(log, f"{path}: another process runs this job, wait until it has ended or stop it")
    log.truncate(0)
    handler = logging.StreamHandler(log)
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%Y-%m-%d %H:%M:%S"))
    logging.getLogger().addHandler(handler)
    logger.setLevel(logging.INFO)


def _end_log(rule: str, wall_s: float, overhead_s: float) -> None:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    logger.info(
        "%s took %.1f s of wall time, %.1f s of core time (%.2f s to start and to import) and %.0f MB",
        rule,
        wall_s,
        usage.ru_utime + usage.ru_stime + children.ru_utime + children.ru_stime,
        overhead_s,
        max(usage.ru_maxrss, children.ru_maxrss) / 1024,
    )


def _say(rule: str, sentence: str) -> None:
    """One sentence in the log, where there is one, and on the terminal."""
    logger.error("%s: %s", rule, sentence)
    print(f"\n{rule}: {sentence}\n", file=sys.stderr)
