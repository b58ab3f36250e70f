"""Rule fit: fit one model to one training subset."""

from pathlib import Path
from typing import TYPE_CHECKING

from longhot.job import job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job(snakemake):
    from longhot.learning import fits

    fits.fit(
        snakemake.params.model,
        fits.task(
            *(Path(snakemake.input[name]) for name in ("pool", "subset", "valid", "atomic_energies")),
            directory=Path(snakemake.output.model).parent,
            device=snakemake.params.device,
            compile_cache=Path(snakemake.input.compiled[0]) if snakemake.input.get("compiled") else None,
            code=snakemake.params.code,
        ),
    )
