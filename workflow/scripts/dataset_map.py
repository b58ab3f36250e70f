"""Rule dataset_map: place all frames on a map of their data set, and measure how far MD went."""

from typing import TYPE_CHECKING

from longhot.job import job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job(snakemake):
    from longhot.learning.dataset_map import sources_of, write_tables

    write_tables(sources_of(snakemake.params.sources), snakemake.output.dataset_map, snakemake.output.reach)
