"""Rule dataset: read or sample a dataset, validate it, write its splits and its card."""

from pathlib import Path
from typing import TYPE_CHECKING

from longhot.job import job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job(snakemake):
    from longhot import datasets, references

    reference = snakemake.params.reference
    datasets.build(
        datasets.parse(snakemake.params.dataset),
        None if reference is None else references.parse(reference),
        Path(snakemake.output.card).parent,
        snakemake.params.largest_train_size,
        workers=snakemake.threads,
    )
