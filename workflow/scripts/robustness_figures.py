"""Rule robustness_figures: draw errors in MD and survival from their tables."""

from typing import TYPE_CHECKING

from longhot.job import job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job(snakemake):
    from longhot.report import robustness_figures

    robustness_figures.draw(
        snakemake.input.robustness,
        snakemake.input.recheck,
        snakemake.input.stability,
        robustness=[snakemake.output.robustness, snakemake.output.robustness_png],
        survival=[snakemake.output.survival, snakemake.output.survival_png],
    )
