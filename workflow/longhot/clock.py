"""How much of a job's core time is no science: the start of Python, and the imports."""

from __future__ import annotations

import gc
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Clock:
    """Core seconds before the clock was made, and in imports of the main thread since then."""

    def __init__(self) -> None:
        self.start_s = time.process_time()
        self.import_s = 0.0

    @property
    def overhead_s(self) -> float:
        """What the job would not need if its libraries were loaded."""
        return self.start_s + self.import_s


_LOADER: Any = sys.modules["_frozen_importlib"]


@contextmanager
def import_clock() -> Iterator[Clock]:
    """A clock that runs while modules are loaded, wherever in the code their imports stand.

    It stands in for the one function through which Python loads each new module; a module that is loaded
    already does not pass there, so an import in a loop costs nothing more. Meanwhile Python looks for no garbage:
    what a module makes stays, and to look it through again and again is a fifth of torch's import.
    """
    clock, load, depth = Clock(), _LOADER._find_and_load, 0

    def timed(name: str, import_: Any) -> Any:
        nonlocal depth
        if depth or threading.current_thread() is not threading.main_thread():
            return load(name, import_)
        depth, start_s, collects = 1, time.thread_time(), gc.isenabled()
        gc.disable()
        try:
            return load(name, import_)
        finally:
            depth = 0
            if collects:
                gc.enable()
            clock.import_s += time.thread_time() - start_s

    _LOADER._find_and_load = timed
    try:
        yield clock
    finally:
        _LOADER._find_and_load = load
