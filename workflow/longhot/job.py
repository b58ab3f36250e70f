"""What every job of the pipeline does around its one library call: log, clock, thread count."""

from __future__ import annotations

import logging
import os
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from longhot.block import InputError

logger = logging.getLogger("longhot")


def pin_threads(threads: int) -> None:
    """Hold every numerical library, imported later, to ``threads``."""
    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS"):
        os.environ[variable] = str(threads)
    os.environ["OMP_MAX_ACTIVE_LEVELS"] = "1"


@contextmanager
def job(snakemake: Any) -> Iterator[None]:
    """Log to the rule's log file, pin its threads, say at the end what it cost.

    An ``InputError`` ends the job with its one sentence, in the log and on the terminal.
    """
    pin_threads(snakemake.threads)
    handler = logging.FileHandler(snakemake.log[0], mode="w", encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%Y-%m-%d %H:%M:%S"))
    logging.getLogger().addHandler(handler)
    logger.setLevel(logging.INFO)
    start = time.perf_counter()
    try:
        yield
    except InputError as error:
        logger.error("%s", error)
        print(f"\n{snakemake.rule}: {error}\n", file=sys.stderr)
        sys.exit(1)
    except BaseException:
        logger.exception("%s failed", snakemake.rule)
        raise
    usage = resource.getrusage(resource.RUSAGE_SELF)
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    logger.info(
        "%s took %.1f s of wall time, %.1f s of core time and %.0f MB",
        snakemake.rule,
        time.perf_counter() - start,
        usage.ru_utime + usage.ru_stime + children.ru_utime + children.ru_stime,
        max(usage.ru_maxrss, children.ru_maxrss) / 1024,
    )
