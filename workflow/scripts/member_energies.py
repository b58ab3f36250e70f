"""Rule member_energies: energies of all bulk frames by each member of a committee."""

from pathlib import Path
from typing import TYPE_CHECKING

from longhot.job import job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job(snakemake):
    from longhot import models
    from longhot.dynamics.samples import load
    from longhot.observables.melting_point.members import state_name, write_energies

    device = models.resolve_device(snakemake.params.device)
    write_energies(
        [models.load(Path(path).parent, device) for path in snakemake.input.models],
        {
            state_name(phase, temperature_K): load(path).after(snakemake.params.equilibration_ps)
            for phase, temperature_K, path in snakemake.params.states
        },
        Path(snakemake.output[0]),
    )
