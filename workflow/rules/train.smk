rule compile_model:
    input:
        pool=rules.dataset.output.pool,
        valid=rules.dataset.output.valid,
        atomic_energies=rules.dataset.output.atomic_energies,
        subset=lambda wildcards: plan.training.first_subset(STUDY, wildcards),
    output:
        directory("results/{study}/compiled/{dataset}/{model}"),
    log:
        "results/{study}/logs/compile_model/{dataset}/{model}.log",
    benchmark:
        "results/{study}/benchmarks/compile_model/{dataset}/{model}.tsv"
    priority: 10
    conda:
        "../../envs/mace.yaml"
    resources:
        mem_mb=growing(4000),
        runtime=growing(60),
        gpu=lambda wildcards: gpus(STUDY, wildcards.model),
    params:
        model=lambda wildcards: MODEL_BLOCKS[wildcards.model],
        device=STUDY.study.device,
        md_replicas=lambda wildcards: plan.simulation.md_replicas_to_compile(STUDY, wildcards.dataset, wildcards.model),
        code=lambda wildcards: code_digest("compile_model", *plan.modules.model_plugins(STUDY, wildcards.model)),
    script:
        "../scripts/compile_model.py"


rule fit:
    input:
        pool=rules.dataset.output.pool,
        valid=rules.dataset.output.valid,
        atomic_energies=rules.dataset.output.atomic_energies,
        subset="results/{study}/subsets/{dataset}/seed{seed}/n{size}.json",
        compiled=lambda wildcards: plan.training.compile_cache(STUDY, wildcards),
    output:
        model="results/{study}/models/{dataset}/{model}/n{size}/seed{seed}/model.json",
        fit="results/{study}/models/{dataset}/{model}/n{size}/seed{seed}/fit.json",
        history="results/{study}/models/{dataset}/{model}/n{size}/seed{seed}/history.csv",
    log:
        "results/{study}/logs/fit/{dataset}/{model}/n{size}/seed{seed}.log",
    benchmark:
        "results/{study}/benchmarks/fit/{dataset}/{model}/n{size}/seed{seed}.tsv"
    wildcard_constraints:
        model="|".join(map(re.escape, MODELS)) or "none",
    conda:
        "../../envs/mace.yaml"
    resources:
        mem_mb=growing(4000),
        runtime=growing(720),
        gpu=lambda wildcards: gpus(STUDY, wildcards.model),
    params:
        model=lambda wildcards: MODEL_BLOCKS[wildcards.model],
        device=STUDY.study.device,
        code=lambda wildcards: code_digest("fit", *plan.modules.model_plugins(STUDY, wildcards.model)),
    script:
        "../scripts/fit.py"


rule export:
    input:
        model="results/{study}/models/{dataset}/{model}/n{size}/seed{seed}/model.json",
    output:
        "results/{study}/exports/{dataset}/{model}/n{size}/seed{seed}/mace.model",
    log:
        "results/{study}/logs/export/{dataset}/{model}/n{size}/seed{seed}.log",
    conda:
        "../../envs/mace.yaml"
    params:
        code=code_digest("export"),
    script:
        "../scripts/export.py"


rule predict:
    # One job for all fits of a model: loading MACE takes longer than a prediction. And one output: Snakemake
    # compares each file of the study with each of a rule's outputs.
    input:
        models=lambda wildcards: plan.training.fits_of(STUDY, wildcards),
        test=rules.dataset.output.test,
    output:
        directory(plan.files.PREDICTIONS),
    log:
        "results/{study}/logs/predict/{dataset}/{model}.log",
    benchmark:
        "results/{study}/benchmarks/predict/{dataset}/{model}.tsv"
    conda:
        "../../envs/mace.yaml"
    resources:
        mem_mb=growing(4000),
        runtime=growing(30),
        gpu=lambda wildcards: gpus(STUDY, wildcards.model),
    params:
        device=STUDY.study.device,
        code=lambda wildcards: code_digest("predict", *plan.modules.model_plugins(STUDY, wildcards.model)),
    script:
        "../scripts/predict.py"


rule learning_curves_tables:
    input:
        predictions=plan.files.paths(plan.files.PREDICTIONS, plan.training.fits(STUDY)),
        fits=plan.files.paths(plan.files.FIT_RECORD, plan.training.fits(STUDY)),
    output:
        curves=table("learning_curves", "Learning curves"),
        slopes=table("learning_curve_slopes", "Learning curves"),
    log:
        "results/{study}/logs/learning_curves_tables.log",
    benchmark:
        "results/{study}/benchmarks/learning_curves_tables.tsv"
    conda:
        "../../envs/base.yaml"
    params:
        fits=plan.training.fits(STUDY),
        predictions=plan.files.paths(plan.files.PREDICTION, plan.training.fits(STUDY)),
        models=MODEL_BLOCKS,
        code=code_digest("learning_curves_tables"),
    script:
        "../scripts/learning_curves_tables.py"


rule learning_curves_figure:
    input:
        curves=rules.learning_curves_tables.output.curves,
        slopes=rules.learning_curves_tables.output.slopes,
    output:
        svg=report(
            "results/{study}/figures/learning_curves.svg",
            caption="../report/learning_curves.rst",
            category="Learning curves",
            labels={"figure": "error against training size"},
        ),
        png="results/{study}/figures/learning_curves.png",
    log:
        "results/{study}/logs/learning_curves_figure.log",
    benchmark:
        "results/{study}/benchmarks/learning_curves_figure.tsv"
    conda:
        "../../envs/report.yaml"
    params:
        code=code_digest("learning_curves_figure"),
    script:
        "../scripts/learning_curves_figure.py"


rule learning_curves:
    input:
        plan.outputs.figure_paths(STUDY, "learning_curves"),
