"""Rule melting_point_figures: draw melting points, calibration and radial distribution from their tables."""

from typing import TYPE_CHECKING

from longhot.job import job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job(snakemake):
    from longhot.report import melting_point_figures, rdf_figure, reliability_figure

    tables, out = snakemake.input, snakemake.output
    melting_point_figures.draw(
        tables.delta_mu,
        tables.melting_point,
        tables.melting_point_summary,
        tables.required_accuracy,
        melting_point=[out.melting_point, out.melting_point_png],
        by_size=[out.melting_point_by_size, out.melting_point_by_size_png],
    )
    reliability_figure.draw(tables.reliability, tables.calibration, [out.reliability, out.reliability_png])
    rdf_figure.draw(tables.observables, [out.rdf, out.rdf_png])
