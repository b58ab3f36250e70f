"""Rule bulk: run one bulk phase at constant pressure."""

from pathlib import Path
from typing import TYPE_CHECKING

from longhot.job import job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job(snakemake):
    from longhot import references
    from longhot.config import Bulk, Conditions
    from longhot.observables.melting_point import sampler

    params, wildcards = snakemake.params, snakemake.wildcards
    reference = None if params.reference is None else references.parse(params.reference)
    folders = [Path(path).parent for path in snakemake.input.get("models", [])]
    sampler.bulk(
        sampler.runner(reference, folders, params.device, params.get("code", "")),
        Conditions.model_validate(params.conditions),
        Bulk.model_validate(params.block),
        wildcards.phase,
        float(wildcards.temperature),
        Path(snakemake.output[0]),
    )
