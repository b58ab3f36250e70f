"""Peak memory of a process that runs 64 replicas, at two lengths: it must not grow with the length."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

from common import Options, Row, compiled, environment, shaken
from dynamics import TIME_STEP_FS, run

N_REPLICAS = 64
LENGTHS = (200, 1200)
"""Steps, of which each is stored here."""
FRAMES_OF_1_NS = 20000
"""At the default interval of 50 fs."""
LIMIT_GB = 2.0


def peak_GB(steps: int, device: str) -> float:
    """Peak resident memory of a process that runs so many steps."""
    command = [sys.executable, str(Path(__file__)), str(steps), device]
    done = subprocess.run(command, env=environment(), check=True, stdout=subprocess.PIPE, text=True)
    return float(done.stdout.splitlines()[-1])


def rows(options: Options) -> list[Row]:
    """Peak memory of 1 ns, from the growth between two lengths in stored frames."""
    potential = compiled("ethanol", N_REPLICAS, options.device)
    start = shaken("ethanol", 1)[0]
    potential.batch(start, N_REPLICAS).compute(start.positions[None].repeat(N_REPLICAS, axis=0))
    short, long = (peak_GB(steps, options.device) for steps in LENGTHS)
    growth_GB = max(0.0, long - short) / (LENGTHS[1] - LENGTHS[0])
    peak = long + growth_GB * (FRAMES_OF_1_NS - LENGTHS[1])
    return [
        Row("md_64_replicas_memory_GB", peak, "GB", "limit", LIMIT_GB, LIMIT_GB / peak),
        Row("md_64_replicas_memory_6x_length", long, "GB", "a sixth of the length", short, short / long),
    ]


def main() -> None:
    """The measured process: run, and print its peak memory."""
    steps, device = int(sys.argv[1]), sys.argv[2]
    starts = shaken("ethanol", N_REPLICAS, seed=4)
    run(compiled("ethanol", N_REPLICAS, device), starts, steps, frame_interval_fs=TIME_STEP_FS)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)


if __name__ == "__main__":
    main()
