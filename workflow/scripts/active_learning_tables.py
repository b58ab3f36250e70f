"""Rule active_learning_tables: every round of every strategy, and the strategies held against random choice."""

from typing import TYPE_CHECKING

from longhot.job import job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job(snakemake):
    from longhot.learning import strategies

    strategies.write_tables(snakemake.input, snakemake.params.ids, snakemake.output.rounds, snakemake.output.comparison)
