"""Rule active_learning_figures: draw errors against the number of labels, and the run that learns on the fly."""

from typing import TYPE_CHECKING

from longhot.job import job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job(snakemake):
    from longhot.report import active_learning_figures

    given, out = snakemake.input, snakemake.output
    active_learning_figures.draw(given.rounds, [out.svg, out.png])
    active_learning_figures.draw_online(given.online, [out.online, out.online_png])
