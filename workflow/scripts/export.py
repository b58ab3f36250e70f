"""Rule export: a model in its family's own format, for other programs."""

from pathlib import Path
from typing import TYPE_CHECKING

from longhot.job import job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job(snakemake):
    from longhot.models._mace_potential import export

    export(Path(snakemake.input.model).parent, Path(snakemake.output[0]))
