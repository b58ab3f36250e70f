"""Rule structures: gather the frames that the viewer of the report shows."""

from typing import TYPE_CHECKING

from longhot.job import job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job(snakemake):
    from longhot.learning.dataset_map import sources_of
    from longhot.report import structures

    structures.write(sources_of(snakemake.params.sources), snakemake.input.dataset_map, snakemake.output[0])
