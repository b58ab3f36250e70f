"""Rule active_learning_figure: draw errors and survival against the number of labels."""

from typing import TYPE_CHECKING

from longhot.job import job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job(snakemake):
    from longhot.report import active_learning_figure

    active_learning_figure.draw(snakemake.input.rounds, snakemake.output)
