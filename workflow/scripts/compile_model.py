"""Rule compile_model: compile the steps that all fits and MD runs of one model share."""

from pathlib import Path
from typing import TYPE_CHECKING

from longhot.job import job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job(snakemake):
    from longhot.learning import fits

    fits.compile_step(
        snakemake.params.model,
        fits.task(
            *(Path(snakemake.input[name]) for name in ("pool", "subset", "valid", "atomic_energies")),
            directory=Path(snakemake.output[0]),
            device=snakemake.params.device,
            compile_cache=Path(snakemake.output[0]),
            code=snakemake.params.code,
        ),
        snakemake.params.md_replicas,
    )
