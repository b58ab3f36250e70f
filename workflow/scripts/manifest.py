"""Rule manifest: write down what the study was run with and what it cost."""

from pathlib import Path
from typing import TYPE_CHECKING

from longhot.job import job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job(snakemake):
    from longhot.report import manifest

    manifest.build(Path(snakemake.output[0]).parent, snakemake.params.config, Path(snakemake.output[0]))
