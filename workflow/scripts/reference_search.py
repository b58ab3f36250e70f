"""Rule reference_search: search for the lowest structures with the reference itself, for one seed."""

from pathlib import Path
from typing import TYPE_CHECKING

from longhot.job import job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job(snakemake):
    from longhot.config import StructureSearch
    from longhot.learning import search_rounds, subsets
    from longhot.references import ReferencePotential, parse

    given, params = snakemake.input, snakemake.params
    search_rounds.reference_search(
        ReferencePotential(parse(params.reference)),
        subsets.load(given.subset[0], given.pool[0])[0],
        StructureSearch.model_validate(params.settings),
        int(snakemake.wildcards.seed),
        Path(snakemake.output[0]),
    )
