"""Rule active_round: one round of one strategy of active learning, for all seeds."""

from pathlib import Path
from typing import TYPE_CHECKING

from longhot.job import job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job(snakemake):
    from longhot import references
    from longhot.learning import rounds, subsets

    given, params = snakemake.input, snakemake.params
    paths = {name: Path(given[name][0]) for name in ("pool", "valid", "test", "atomic_energies")}
    by_seed = dict(zip(params.settings["seeds"], given.subsets, strict=True))
    # Started first and kept for all seeds: a process that labels takes seconds to start.
    with references.new_workers(references.parse(params.reference), 1, params.store).start() as pool:
        rounds.run(
            rounds.read_inputs(
                params.settings,
                params.model,
                params.reference,
                params.reference_name,
                paths,
                lambda seed: subsets.load(by_seed[seed], paths["pool"]),
                params.device,
                Path(given.compiled[0]) if given.compiled else None,
                pool.label,
                params.code,
            ),
            snakemake.wildcards.strategy,
            int(snakemake.wildcards.round),
            Path(given.before[0]).parent if given.before else None,
            Path(snakemake.output[0]),
        )
