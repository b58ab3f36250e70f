"""Rule learning_curves_tables: errors of all fits, and how they fall with training size."""

from typing import TYPE_CHECKING

from longhot.job import job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job(snakemake):
    from longhot.learning import curves

    curves.write_tables(
        snakemake.params.fits,
        snakemake.params.models,
        snakemake.params.predictions,
        snakemake.input.fits,
        snakemake.output.curves,
        snakemake.output.slopes,
    )
