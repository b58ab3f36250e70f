"""Rule subset: draw a nested training subset from the pool."""

from typing import TYPE_CHECKING

from longhot.job import job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job(snakemake):
    from longhot.learning import subsets

    subsets.write(
        snakemake.input.pool,
        snakemake.params.strategy,
        int(snakemake.wildcards.seed),
        int(snakemake.wildcards.size),
        snakemake.output[0],
    )
