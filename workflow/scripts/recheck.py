"""Rule recheck: compute frames of one simulation again with the reference method."""

from pathlib import Path
from typing import TYPE_CHECKING

from longhot.job import job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job(snakemake):
    from functools import partial

    from longhot import frames, models, references
    from longhot.config import Recheck
    from longhot.dynamics.engine import choose_starts
    from longhot.dynamics.recheck import recheck

    device = models.resolve_device(snakemake.params.device)
    recheck(
        snakemake.input.frames,
        snakemake.input.outcomes,
        choose_starts(frames.read(snakemake.input.test), snakemake.params.start_set, 1)[0],
        snakemake.output[0],
        reference=snakemake.params.reference_name,
        label=partial(references.label, config=references.parse(snakemake.params.reference)),
        model=models.load(Path(snakemake.input.model).parent, device),
        committee=[models.load(Path(path).parent, device) for path in snakemake.input.get("committee", [])],
        settings=Recheck.model_validate(snakemake.params.recheck),
    )
