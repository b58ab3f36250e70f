rule dataset:
    output:
        pool="results/{study}/datasets/{dataset}/train_pool.extxyz",
        valid="results/{study}/datasets/{dataset}/valid.extxyz",
        test="results/{study}/datasets/{dataset}/test.extxyz",
        atomic_energies="results/{study}/datasets/{dataset}/atomic_energies.json",
        card="results/{study}/datasets/{dataset}/card.json",
    log:
        "results/{study}/logs/dataset/{dataset}.log",
    benchmark:
        "results/{study}/benchmarks/dataset/{dataset}.tsv"
    conda:
        "../../envs/xtb.yaml"
    threads: 2
    resources:
        mem_mb=growing(2000),
        runtime=growing(240),
        gpu=lambda wildcards: gpus(STUDY, None, STUDY.datasets[wildcards.dataset].reference),
    params:
        dataset=lambda wildcards: STUDY.datasets[wildcards.dataset].model_dump(mode="json"),
        reference=lambda wildcards: plan.modules.reference_block(STUDY, STUDY.datasets[wildcards.dataset].reference),
        largest_train_size=lambda wildcards: plan.training.largest_train_size(STUDY, wildcards.dataset),
        code=lambda wildcards: code_digest("dataset", *plan.modules.dataset_plugins(STUDY, wildcards.dataset)),
    script:
        "../scripts/dataset.py"


rule subset:
    input:
        pool="results/{study}/datasets/{dataset}/train_pool.extxyz",
    output:
        "results/{study}/subsets/{dataset}/seed{seed}/n{size}.json",
    log:
        "results/{study}/logs/subset/{dataset}/seed{seed}/n{size}.log",
    benchmark:
        "results/{study}/benchmarks/subset/{dataset}/seed{seed}/n{size}.tsv"
    conda:
        "../../envs/base.yaml"
    params:
        strategy=STUDY.learning_curves.subset if STUDY.learning_curves else "random",
        code=code_digest("subset"),
    script:
        "../scripts/subset.py"
