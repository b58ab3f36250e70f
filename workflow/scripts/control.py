"""Rule control: write the reference method down as a model, so that it runs the models' protocol."""

from pathlib import Path
from typing import TYPE_CHECKING

from longhot.job import job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job(snakemake):
    from longhot.models import reference

    reference.write(snakemake.params.reference, Path(snakemake.output.model).parent)
