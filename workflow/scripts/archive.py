"""Rule archive: pack a finished study into one file with checksums."""

from pathlib import Path
from typing import TYPE_CHECKING

from longhot.job import job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job(snakemake):
    from longhot.reproduction import archive

    given, params = snakemake.input, snakemake.params
    # Where a seed of active learning has converged, its later rounds make no models.
    models = [folder for folder in params.models if Path(folder).is_dir()]
    archive.build(
        Path(given.manifest).parent,
        params.config,
        [given.manifest, *given.report, *given.tables, *given.figures, *given.images, *given.cards, *models],
        [Path(card).parent for card in given.cards],
        Path(given.citation),
        Path(snakemake.output[0]),
    )
