"""One GPU a job: which there are, and which of them a process takes.

A scheduler hands each job a device of its own. On a plain machine with several GPUs nobody does: there the jobs
share them out among themselves by locks, which also hold between studies, and end with the process however it ends.
"""

from __future__ import annotations

import fcntl
import functools
import logging
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

logger = logging.getLogger(__name__)

VISIBLE = "CUDA_VISIBLE_DEVICES"
WAIT_S = 1.0
"""Between two looks for a free GPU."""
_held: list[int] = []
"""Descriptors of locked files: closed, and so unlocked, by the end of the process."""


@functools.cache
def installed() -> list[str]:
    """UUIDs of the machine's GPUs in the order of their bus ids; empty where there is no NVIDIA driver."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return []
    done = subprocess.run(
        [tool, "--query-gpu=uuid", "--format=csv,noheader"], capture_output=True, text=True, check=False
    )
    return done.stdout.split() if done.returncode == 0 else []


def usable() -> list[str]:
    """The GPUs that this process may use: those of ``CUDA_VISIBLE_DEVICES`` where that is set, else all."""
    named = os.environ.get(VISIBLE)
    if named is None:
        return installed()
    names = [name.strip() for name in named.split(",") if name.strip()]
    known = dict(enumerate(installed()))
    # By UUID, since number 0 of one job's allocation may be number 3 of the machine.
    return [known.get(int(name), name) if name.isdecimal() else name for name in names if name != "-1"]


def take_one() -> str | None:
    """Take a GPU for the rest of this process and hide the others from it; None where there is none.

    Call it before the first use of CUDA. Waits while other processes hold all GPUs.
    """
    names = usable()
    if not names:
        return None
    waited = False
    while True:
        for name in names:
            if _lock(name):
                os.environ[VISIBLE] = name
                logger.info("takes GPU %s", name)
                return name
        if not waited:
            logger.info("waits for one of %d GPUs", len(names))
            waited = True
        time.sleep(WAIT_S)


def _lock(name: str) -> bool:
    """Whether this process now holds the lock of a GPU."""
    path = Path(tempfile.gettempdir(), f"longhot-{os.getuid()}-{name.replace('/', '_')}.lock")
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return False
    _held.append(handle)
    return True
