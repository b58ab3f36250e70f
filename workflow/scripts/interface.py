"""Rule interface: run each whole phase in a cell, then both side by side with the interface pinned."""

from pathlib import Path
from typing import TYPE_CHECKING

from longhot.job import job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job(snakemake):
    from longhot import references
    from longhot.config import Conditions, Pinning
    from longhot.observables.melting_point import sampler

    params, wildcards = snakemake.params, snakemake.wildcards
    reference = None if params.reference is None else references.parse(params.reference)
    folders = [Path(path).parent for path in snakemake.input.get("models", [])]
    sampler.interface(
        sampler.runner(reference, folders, params.device, params.get("code", "")),
        Conditions.model_validate(params.conditions),
        Pinning.model_validate(params.block),
        params.block["cells"][0],
        float(wildcards.temperature),
        {name: Path(path) for name, path in snakemake.output.items()},
    )
