"""What a folder of compiled kernels serves."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from longhot.files import read_json

KERNELS_FILE = "kernels.json"


@dataclass(frozen=True)
class Kernels:
    """Which steps were compiled; the others run eagerly."""

    training: bool
    md_replicas: int
    """Replicas of the MD batch; 0 where none was compiled."""


def kernels(compile_cache: Path | None) -> Kernels:
    """Read what ``compile_step`` wrote; without a record the training step may be compiled when it is first taken."""
    path = None if compile_cache is None else compile_cache / KERNELS_FILE
    return Kernels(**read_json(path)) if path and path.exists() else Kernels(training=True, md_replicas=0)
