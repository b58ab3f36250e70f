"""Rule simulate: run one model, or the control, at all temperatures until its replicas fail or end."""

from pathlib import Path
from typing import TYPE_CHECKING

from longhot.job import job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job(snakemake):
    from longhot import files, frames, models
    from longhot.config import Protocol
    from longhot.dynamics.engine import choose_starts, simulate

    folder, wildcards = Path(snakemake.input.model).parent, snakemake.wildcards
    protocol = Protocol.model_validate(snakemake.params.protocol)
    cache = Path(snakemake.input.compiled[0]) if snakemake.input.get("compiled") else None
    weights = {path.name: files.sha256(path) for path in sorted(folder.glob("model.*"))}
    simulate(
        models.load(folder, models.resolve_device(snakemake.params.device), cache),
        choose_starts(frames.read(snakemake.input.test), snakemake.params.start_set, protocol.replicas),
        protocol,
        int(wildcards.seed),
        Path(snakemake.output.outcomes).parent,
        ids={"dataset": wildcards.dataset, "model": wildcards.model, "train_size": int(wildcards.size)},
        identity=f"{weights} {snakemake.params.get('code', '')}",
    )
