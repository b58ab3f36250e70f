rule control:
    output:
        model="results/{study}/models/{dataset}/reference/n0/seed0/model.json",
    log:
        "results/{study}/logs/control/{dataset}.log",
    conda:
        "../../envs/xtb.yaml"
    params:
        reference=lambda wildcards: plan.reference_block(STUDY, STUDY.recheck_reference(wildcards.dataset)),
        code=code_digest("control"),
    script:
        "../scripts/control.py"


rule simulate:
    input:
        model="results/{study}/models/{dataset}/{model}/n{size}/seed{seed}/model.json",
        test=rules.dataset.output.test,
        compiled=lambda wildcards: plan.md_compile_cache(STUDY, wildcards),
    output:
        outcomes="results/{study}/simulations/{dataset}/{model}/n{size}/seed{seed}/T{temperature}/outcomes.csv",
        frames="results/{study}/simulations/{dataset}/{model}/n{size}/seed{seed}/T{temperature}/frames.h5",
    log:
        "results/{study}/logs/simulate/{dataset}/{model}/n{size}/seed{seed}/T{temperature}.log",
    benchmark:
        "results/{study}/benchmarks/simulate/{dataset}/{model}/n{size}/seed{seed}/T{temperature}.tsv"
    # The control takes longest, so it starts first.
    priority: 5
    conda:
        "../../envs/mace.yaml"
    resources:
        mem_mb=4000,
        runtime=1440,
    params:
        protocol=plan.protocol(STUDY),
        start_set=plan.start_set(STUDY),
        device=STUDY.study.device,
        code=lambda wildcards: code_digest("simulate", *plan.model_plugins(STUDY, wildcards.model)),
    script:
        "../scripts/simulate.py"
