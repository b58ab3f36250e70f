import os
import re
import sys

from snakemake.exceptions import WorkflowError
from snakemake.utils import min_version

min_version("9.24")

if "study" not in config:

    configfile: "config/config.yaml"


# The scripts import the library too, each in its own process.
LIBRARY = os.path.join(workflow.basedir, "workflow")
os.environ.update(PYTHONPATH=os.pathsep.join(filter(None, [LIBRARY, os.environ.get("PYTHONPATH")])))
sys.path.insert(0, LIBRARY)

from longhot import plan
from longhot.block import InputError
from longhot.config import load
from longhot.provenance import code_digest

try:
    STUDY = load(config)
except InputError as error:
    raise WorkflowError(f"config: {error}")

NAME = STUDY.study.name
MODELS = STUDY.variants()
MODEL_BLOCKS = {model: block.model_dump(mode="json") for model, block in MODELS.items()}


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


include: "workflow/rules/data.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/simulate.smk"
include: "workflow/rules/recheck.smk"
include: "workflow/rules/observe.smk"
include: "workflow/rules/learn.smk"
include: "workflow/rules/report.smk"


rule all:
    default_target: True
    input:
        f"results/{NAME}/report/index.html",
