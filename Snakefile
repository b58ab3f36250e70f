from snakemake.utils import min_version

min_version("9.24")

if not workflow.configfiles:

    configfile: "config/config.yaml"


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


include: "workflow/rules/common.smk"
include: "workflow/rules/run.smk"
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
