"""Rule predict: energies and forces for every test frame by all fits of a model."""

from pathlib import Path
from typing import TYPE_CHECKING

from longhot.job import job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job(snakemake):
    from longhot.learning import curves

    for model, out in zip(snakemake.input.models, snakemake.output, strict=True):
        curves.predict(Path(model).parent, snakemake.input.test, out, snakemake.params.device)
