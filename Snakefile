import os
import re
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.utils import min_version

min_version("9.24")

if not workflow.configfiles:

    configfile: "config/config.yaml"


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


# `apptainer build longhot.sif envs/apptainer.def` makes it, for `--sdm apptainer`.
container: "longhot.sif"


wildcard_constraints:
    study=r"[\w.-]+",
    dataset=r"[\w.-]+",
    model=r"[\w.-]+",
    size=r"\d+",
    seed=r"\d+",
    replica=r"\d+",
    temperature=r"\d+(\.\d+)?",
    sampler=r"[\w.-]+",
    phase=r"solid|liquid",
    cell=r"\d+x\d+x\d+",
    strategy=r"[a-z_]+",
    round=r"\d+",


include: "workflow/rules/run.smk"
include: "workflow/rules/tables.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/simulate.smk"
include: "workflow/rules/recheck.smk"
include: "workflow/rules/observe.smk"
include: "workflow/rules/learn.smk"
include: "workflow/rules/explore.smk"
include: "workflow/rules/report.smk"


rule all:
    default_target: True
    input:
        f"results/{NAME}/report/index.html",
