"""Rule calibrate: compare the spread of a committee with its errors, held out and visited."""

from pathlib import Path
from typing import TYPE_CHECKING

from longhot.job import job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job(snakemake):
    from longhot import frames, models, references
    from longhot.dynamics.samples import load
    from longhot.observables.melting_point.calibrate import calibrate, visited_frames

    params = snakemake.params
    reference = None
    if params.reference is not None:
        # By a process of its own, with a store: a crash costs one frame, and other committees ask for the same ones.
        reference = references.ReferencePotential(references.parse(params.reference), store=params.store)
    device = models.resolve_device(params.device)
    runs = [load(path).after(params.equilibration_ps) for path in snakemake.input.bulk]
    calibrate(
        [models.load(Path(path).parent, device) for path in snakemake.input.models],
        frames.read(snakemake.input.test),
        visited_frames(runs, params.n_frames),
        reference,
        Path(snakemake.output[0]),
    )
