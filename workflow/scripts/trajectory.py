"""Rule trajectory: write the MD of one replica as extended XYZ, for ASE, OVITO, VMD and others."""

from pathlib import Path
from typing import TYPE_CHECKING

from longhot.job import job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job(snakemake):
    from longhot import frames
    from longhot.dynamics.engine import choose_starts
    from longhot.dynamics.trajectory import export_extxyz

    export_extxyz(
        snakemake.input.frames,
        choose_starts(frames.read(snakemake.input.test), snakemake.params.start_set, 1)[0],
        float(snakemake.wildcards.temperature),
        int(snakemake.wildcards.replica),
        Path(snakemake.output[0]),
    )
