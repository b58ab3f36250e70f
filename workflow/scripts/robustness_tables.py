"""Rule robustness_tables: gather outcomes and rechecks of all simulations in four tables."""

from typing import TYPE_CHECKING

from longhot.job import job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job(snakemake):
    from longhot.dynamics.tables import write_tables

    write_tables(
        snakemake.input.outcomes,
        snakemake.input.rechecks,
        snakemake.input.curves,
        snakemake.params.start_set,
        stability=snakemake.output.stability,
        survival=snakemake.output.survival,
        recheck=snakemake.output.recheck,
        robustness=snakemake.output.robustness,
    )
