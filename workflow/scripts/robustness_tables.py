"""Rule robustness_tables: gather outcomes and rechecks of all simulations, and what follows from them."""

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
        snakemake.params.controls,
        snakemake.params.references,
        dict(snakemake.output.items()),
    )
