"""Interface pinning in LAMMPS: milliseconds a step of 384 sites of mW, against the same run without the bias."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from common import Options, Row

from longhot.datasets.ice import ice_ih
from longhot.dynamics import lammps
from longhot.dynamics.samples import Pin, Settings
from longhot.references import lammps as mw

STEPS = 4000
ROUNDS = 5
TIME_STEP_FS = 10.0


def rows(options: Options) -> list[Row]:
    """Both runs in turn, with all that a run of the pipeline does: samples, order parameters, files."""
    atoms = ice_ih("site", (2, 3, 8), 0)
    free = Settings(
        temperature_K=275,
        duration_ps=STEPS * TIME_STEP_FS / 1000,
        time_step_fs=TIME_STEP_FS,
        sample_interval_ps=0.1,
        frame_interval_ps=STEPS * TIME_STEP_FS / 1000,
        pressure_bar=1.0,
        barostat="z",
        k_indices=(4, 0, 0),
        seed=0,
    )
    pinned = replace(free, pin=Pin(anchor=12.0, kappa_eV=0.17))
    times_ms: dict[Settings, list[float]] = {free: [], pinned: []}
    with TemporaryDirectory() as folder:
        for _ in range(ROUNDS):
            for settings, found in times_ms.items():
                start = time.perf_counter()
                lammps.run(atoms, mw.Config(), settings, Path(folder, "run.npz"))
                found.append(1e3 * (time.perf_counter() - start) / STEPS)
    own, other = (median(times_ms[settings]) for settings in (pinned, free))
    return [Row("pinning_step_ms", own, "ms/step", "LAMMPS without the bias", other, other / own)]
