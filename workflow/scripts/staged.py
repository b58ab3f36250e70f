"""Rule staged: integrate between sampler and those members that reweighting cannot reach."""

from pathlib import Path
from typing import TYPE_CHECKING

from longhot.job import job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job(snakemake):
    from longhot import references
    from longhot.config import MeltingPoint
    from longhot.observables.melting_point import staged
    from longhot.observables.melting_point.result import SamplerFiles

    params, inputs = snakemake.params, snakemake.input
    staged.integrate(
        MeltingPoint.model_validate(params.question),
        SamplerFiles.of(**params.files),
        None if params.reference is None else references.parse(params.reference),
        [Path(path).parent for path in inputs.get("sampler", [])],
        [Path(path).parent for path in inputs.models],
        Path(inputs.energies),
        params.device,
        params.get("code", ""),
        Path(snakemake.output[0]),
    )
