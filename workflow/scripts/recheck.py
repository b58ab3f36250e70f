"""Rule recheck: compute frames of one simulation again with the reference method."""

from pathlib import Path
from typing import TYPE_CHECKING

from longhot.job import job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job(snakemake):
    from longhot import frames, models, references
    from longhot.config import Recheck
    from longhot.dynamics.engine import choose_starts
    from longhot.dynamics.recheck import recheck

    workers, store = snakemake.threads, snakemake.params.store
    # Started first, the workers are ready once the models are loaded.
    with references.new_workers(references.parse(snakemake.params.reference), workers, store).start() as pool:
        device = models.resolve_device(snakemake.params.device)
        model = models.load(Path(snakemake.input.model).parent, device)
        if isinstance(model, references.ReferencePotential):
            model = references.ReferencePotential(model.config, workers=workers, store=store)
        recheck(
            snakemake.input.frames,
            snakemake.input.outcomes,
            choose_starts(frames.read(snakemake.input.test), snakemake.params.start_set, 1)[0],
            snakemake.output.table,
            reference=snakemake.params.reference_name,
            label=pool.label,
            model=model,
            others=[models.load(Path(path).parent, device) for path in snakemake.input.get("committee", [])],
            settings=Recheck.model_validate(snakemake.params.recheck),
        )
