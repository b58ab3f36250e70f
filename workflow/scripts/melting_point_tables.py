"""Rule melting_point_tables: melting points of sampler and members, and what follows from them."""

from typing import TYPE_CHECKING

from longhot.job import job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job(snakemake):
    from longhot.config import MeltingPoint
    from longhot.observables.melting_point.result import SamplerFiles
    from longhot.observables.melting_point.tables import CommitteeFiles, write_tables

    write_tables(
        MeltingPoint.model_validate(snakemake.params.question),
        {name: SamplerFiles.of(**files) for name, files in snakemake.params.samplers.items()},
        [CommitteeFiles.of(files) for files in snakemake.params.committees],
        dict(snakemake.output.items()),
    )
