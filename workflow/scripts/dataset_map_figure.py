"""Rule dataset_map_figure: draw the map of the data from its table."""

from typing import TYPE_CHECKING

from longhot.job import job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job(snakemake):
    from longhot.report.dataset_map_figure import draw

    draw(snakemake.input[0], [snakemake.output.svg, snakemake.output.png])
