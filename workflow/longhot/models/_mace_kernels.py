"""What a folder of compiled kernels serves."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from longhot.files import read_json

KERNELS_FILE = "kernels.json"
SHRINK = 4
"""Ratio of neighbouring sizes of MD batches: a compile is dear, and so are places without a live replica."""
SMALLEST_TO_SHRINK = 32


@dataclass(frozen=True)
class Kernels:
    """Which steps were compiled; the others run eagerly."""

    training: bool
    md_sizes: list[int]
    """Replicas of the MD batches, descending."""


def md_sizes(replicas: list[int]) -> list[int]:
    """Sizes of MD batches to compile for runs of so many ``replicas``, descending."""
    sizes = set(replicas)
    for size in replicas:
        while size >= SMALLEST_TO_SHRINK:
            size = -(-size // SHRINK)
            sizes.add(size)
    return sorted(sizes, reverse=True)


def kernels(compile_cache: Path | None) -> Kernels:
    """Read what ``compile_step`` wrote; without a record the training step may be compiled when it is first taken."""
    path = None if compile_cache is None else compile_cache / KERNELS_FILE
    return Kernels(**read_json(path)) if path and path.exists() else Kernels(training=True, md_sizes=[])
