"""Rule report: write the page that holds the study's verdict, figures and tables."""

from pathlib import Path
from typing import TYPE_CHECKING

from longhot.job import job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job(snakemake):
    from longhot.report import page

    out = Path(snakemake.output.page)
    page.build(out.parents[1], snakemake.params.config, out, snakemake.params.config_file)
