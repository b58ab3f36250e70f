"""Rule structure_search_table: what each round of a structure search found, beside what the reference finds."""

from typing import TYPE_CHECKING

from longhot.job import job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job(snakemake):
    from longhot.config import StructureSearch
    from longhot.learning import search_rounds

    settings = StructureSearch.model_validate(snakemake.params.settings)
    search_rounds.write_table(list(snakemake.input), settings, snakemake.output[0])
