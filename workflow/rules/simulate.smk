rule control:
    output:
        model="results/{study}/models/{dataset}/reference/n0/seed0/model.json",
    log:
        "results/{study}/logs/control/{dataset}.log",
    conda:
        "../../envs/xtb.yaml"
    params:
        reference=lambda wildcards: plan.modules.reference_block(STUDY, STUDY.control_reference(wildcards.dataset)),
        code=code_digest("control"),
    script:
        "../scripts/control.py"


rule simulate:
    input:
        model="results/{study}/models/{dataset}/{model}/n{size}/seed{seed}/model.json",
        test=rules.dataset.output.test,
        compiled=lambda wildcards: plan.simulation.md_compile_cache(STUDY, wildcards),
    output:
        outcomes="results/{study}/simulations/{dataset}/{model}/n{size}/seed{seed}/outcomes.csv",
        frames="results/{study}/simulations/{dataset}/{model}/n{size}/seed{seed}/frames.h5",
        failures="results/{study}/simulations/{dataset}/{model}/n{size}/seed{seed}/failures.extxyz",
    log:
        "results/{study}/logs/simulate/{dataset}/{model}/n{size}/seed{seed}.log",
    benchmark:
        "results/{study}/benchmarks/simulate/{dataset}/{model}/n{size}/seed{seed}.tsv"
    # The control takes longest, so it starts first.
    priority: 5
    conda:
        "../../envs/mace.yaml"
    resources:
        mem_mb=growing(4000),
        runtime=growing(1440),
        gpu=lambda wildcards: gpus(STUDY, wildcards.model, STUDY.control_reference(wildcards.dataset)),
    params:
        protocol=lambda wildcards: plan.simulation.protocol(STUDY, wildcards.model),
        start_set=plan.simulation.start_set(STUDY),
        device=STUDY.study.device,
        code=lambda wildcards: code_digest("simulate", *plan.modules.model_plugins(STUDY, wildcards.model)),
    script:
        "../scripts/simulate.py"


rule trajectory:
    input:
        frames=rules.simulate.output.frames,
        test=rules.dataset.output.test,
    output:
        "results/{study}/trajectories/{dataset}/{model}/n{size}/seed{seed}/T{temperature}/replica{replica}.extxyz",
    log:
        "results/{study}/logs/trajectory/{dataset}/{model}/n{size}/seed{seed}/T{temperature}/replica{replica}.log",
    conda:
        "../../envs/base.yaml"
    params:
        start_set=plan.simulation.start_set(STUDY),
        code=code_digest("trajectory"),
    script:
        "../scripts/trajectory.py"
