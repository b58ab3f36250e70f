"""Rule learning_curves_figure: draw the learning curves from their tables."""

from typing import TYPE_CHECKING

from longhot.job import job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job(snakemake):
    from longhot.report import learning_curves_figure

    learning_curves_figure.draw(snakemake.input.curves, snakemake.input.slopes, snakemake.output)
