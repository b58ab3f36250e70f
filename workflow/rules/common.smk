import os
import re
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

# The scripts import the library too, each in its own process.
LIBRARY = os.path.join(workflow.basedir, "workflow")
os.environ.update(PYTHONPATH=os.pathsep.join(filter(None, [LIBRARY, os.environ.get("PYTHONPATH")])))
sys.path.insert(0, LIBRARY)

from longhot import plan
from longhot.block import InputError
from longhot.config import read_file
from longhot.provenance import code_digest
from longhot.reproduction.study import study_of
from longhot.references._time_limit import TIME_LIMIT_S
from longhot.resources import gpus, growing
from longhot.run import Run

try:
    for path in workflow.configfiles:
        read_file(path)  # again, since Snakemake keeps the last of two equal keys without a word
    STUDY, AGAINST = study_of(config, check=workflow.is_main_process)
except InputError as error:
    raise WorkflowError(f"config: {error}")

NAME = STUDY.study.name
# Shared by all studies, so that nothing is labelled twice; a study that is run again labels everything anew.
LABELS = f"results/{NAME}/labels" if AGAINST else "results/labels"
MODELS = STUDY.variants()
MODEL_BLOCKS = {model: block.model_dump(mode="json") for model, block in MODELS.items()}


def table(name, category):
    """A table as an output, with its place in the report of Snakemake."""
    return report(
        f"results/{{study}}/tables/{name}.csv",
        caption=f"../report/{name}_table.rst",
        category=category,
        labels={"table": name.replace("_", " ")},
    )
