"""Rule predict: energies and forces for every test frame by all fits of a model."""

from pathlib import Path
from typing import TYPE_CHECKING

from longhot.job import job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job(snakemake):
    from longhot.learning import curves

    for folder in (Path(model).parent for model in snakemake.input.models):
        out = Path(snakemake.output[0], folder.parent.name, f"{folder.name}.npz")
        curves.predict(folder, snakemake.input.test, out, snakemake.params.device)
