"""Rule active_learning_tables: every round, strategies against random choice, and the run that learns on the fly."""

from typing import TYPE_CHECKING

from longhot.job import job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job(snakemake):
    from longhot.learning import strategies

    given, out, ids = snakemake.input, snakemake.output, snakemake.params.ids
    strategies.write_tables(given.records, ids, out.rounds, out.comparison)
    strategies.write_online_table(given.traces, ids, out.online)
