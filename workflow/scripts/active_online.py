"""Rule active_online: one run that asks the reference where the model is not sure, and learns the answer."""

from pathlib import Path
from typing import TYPE_CHECKING

from longhot.job import job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job(snakemake):
    from longhot import frames, models, references
    from longhot.config import ActiveLearning
    from longhot.dynamics.engine import choose_starts
    from longhot.files import read_json
    from longhot.learning import learners, online

    given, params = snakemake.input, snakemake.params
    settings = ActiveLearning.model_validate(params.settings)
    folder, known = Path(snakemake.output.trace).parent, Path(given.start[0]).parent / f"seed{settings.seeds[0]}"
    online.run(
        learners.new_learner(
            settings,
            params.model,
            sorted((known / "members").iterdir()),
            read_json(given.atomic_energies[0]),
            folder / "fits",
            models.resolve_device(params.device),
            params.code,
        ),
        references.Labeller(references.parse(params.reference)),
        frames.read(known / "train.extxyz"),
        choose_starts(frames.read(given.test[0]), settings.start_set, 1)[0],
        settings.online,
        settings.seeds[0],
        folder,
        identity=f"{params.model} {params.reference} {params.code}",
    )
