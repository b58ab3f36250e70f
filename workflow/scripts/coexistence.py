"""Rule coexistence: let go of a pinned interface at constant enthalpy."""

from pathlib import Path
from typing import TYPE_CHECKING

from longhot.job import job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job(snakemake):
    from longhot import references
    from longhot.config import Coexistence, Conditions
    from longhot.dynamics.samples import load
    from longhot.observables.melting_point import sampler

    params = snakemake.params
    reference = None if params.reference is None else references.parse(params.reference)
    folders = [Path(path).parent for path in snakemake.input.get("models", [])]
    sampler.coexistence(
        sampler.runner(reference, folders, params.device, params.get("code", "")),
        Conditions.model_validate(params.conditions),
        Coexistence.model_validate(params.block),
        params.repeats,
        load(snakemake.input.pinned),
        params.temperature_K,
        Path(snakemake.output[0]),
    )
