"""Labelling with two workers against two independent processes that run the plain loop, on the same two cores."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np
from common import FOLDER, TRAIN_NOISE_A, Options, Row, environment, shaken

from longhot import references

if TYPE_CHECKING:
    from ase import Atoms

WORKERS = 2
XTB = {"method": "xtb"}
PBE = {"method": "pyscf", "xc": "pbe", "basis": "def2-svp"}
XTB_FRAMES, XTB_ROUNDS = 12000, 3
PBE_FRAMES = 12

PLAIN_LOOP = """
import json, sys
import numpy as np
from ase import Atoms
from longhot import references
numbers, positions = np.load(sys.argv[1]), np.load(sys.argv[2])
calculator = references.new_calculator(references.parse(json.loads(sys.argv[3])))
for one in positions:
    calculator.get_forces(Atoms(numbers, one))
"""


def raw_seconds(frames: Sequence[Atoms], block: dict[str, Any]) -> float:
    """Wall seconds until both processes have computed their half of the frames, start-up included."""
    import json

    folder = FOLDER / "labels"
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "numbers.npy", frames[0].numbers)
    commands = []
    for worker in range(WORKERS):
        path = folder / f"positions-{worker}.npy"
        np.save(path, np.stack([frame.positions for frame in frames[worker::WORKERS]]))
        commands.append([sys.executable, "-c", PLAIN_LOOP, folder / "numbers.npy", path, json.dumps(block)])
    start = time.perf_counter()
    # Linux may share its cores by session, and the workers have sessions of their own.
    processes = [subprocess.Popen(command, env=environment(), start_new_session=True) for command in commands]
    codes = [process.wait() for process in processes]
    if any(codes):
        raise RuntimeError("the plain loop failed, its message stands above")
    return time.perf_counter() - start


def own_seconds(frames: Sequence[Atoms], block: dict[str, Any]) -> float:
    """Wall seconds of references.label, start-up of its workers included.

    Raises:
        RuntimeError: a frame has no label.
    """
    start = time.perf_counter()
    labels = references.label(frames, references.parse(block), workers=WORKERS)
    seconds = time.perf_counter() - start
    if any(label.status != "ok" for label in labels):
        raise RuntimeError("a frame of the benchmark has no label")
    return seconds


def efficiency(name: str, block: dict[str, Any], n_frames: int, rounds: int) -> Row:
    """Throughput as a part of that of the plain loop."""
    frames = shaken("ethanol", n_frames, seed=3, noise_A=TRAIN_NOISE_A)
    pairs = [(own_seconds(frames, block), raw_seconds(frames, block)) for _ in range(rounds)]
    ours, raw = (n_frames / median(column) for column in zip(*pairs, strict=True))
    return Row(name, ours, "frames/s", f"plain loop in {WORKERS} processes", raw, ours / raw)


def rows(options: Options) -> list[Row]:
    """Rows for GFN2-xTB and, where asked for, PBE."""
    if len(os.sched_getaffinity(0)) < WORKERS:
        return []
    found = [efficiency("recheck_efficiency", XTB, XTB_FRAMES, XTB_ROUNDS)]
    return found + ([efficiency("recheck_efficiency_pyscf", PBE, PBE_FRAMES, 1)] if options.pyscf else [])
