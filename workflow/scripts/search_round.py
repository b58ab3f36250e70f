"""Rule search_round: one round of a structure search that learns, for one seed."""

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
    settings, seed = StructureSearch.model_validate(params.settings), int(snakemake.wildcards.seed)
    initial = subsets.load(given.subset[0], given.pool[0])
    fit = search_rounds.new_fit(
        params.model, settings.refit_steps, given.valid[0], given.atomic_energies[0], seed, params.device, params.code
    )
    search_rounds.run_round(
        settings,
        initial,
        fit,
        ReferencePotential(parse(params.reference)),
        seed,
        int(snakemake.wildcards.round),
        Path(given.before[0]) if given.before else None,
        Path(snakemake.output[0]),
    )
