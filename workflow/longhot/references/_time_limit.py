"""A time limit for each reference calculation."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

TIME_LIMIT_S = "LONGHOT_REFERENCE_TIME_LIMIT_S"
"""Environment variable: it reaches every job, and since it changes no result, no job depends on it."""


@contextmanager
def time_limit() -> Iterator[None]:
    """End this process where what follows takes too long: less does not stop compiled code that hangs.

    SIGALRM keeps its default action, so it is the kernel that ends the process: one that was started to be lost.
    """
    signal.setitimer(signal.ITIMER_REAL, float(os.environ.get(TIME_LIMIT_S, 0)))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
