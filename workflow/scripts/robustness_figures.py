"""Rule robustness_figures: draw errors in MD, survival, failures and committee spread from their tables."""

from typing import TYPE_CHECKING

from longhot.job import job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job(snakemake):
    from longhot.report import failure_figures, robustness_figures, spread_figure

    tables, out = snakemake.input, snakemake.output
    runs = [(run["dataset"], run["model"], run["size"], run["seed"]) for run in snakemake.params.simulations]
    robustness_figures.draw(
        tables.robustness,
        tables.recheck,
        tables.stability,
        robustness=[out.robustness, out.robustness_png],
        survival=[out.survival, out.survival_png],
    )
    failure_figures.draw(
        tables.stability,
        dict(zip(runs, tables.failures, strict=True)),
        causes=[out.causes, out.causes_png],
        failures=[out.failures, out.failures_png],
    )
    spread_figure.draw(tables.recheck, tables.rank_agreement, [out.spread, out.spread_png])
