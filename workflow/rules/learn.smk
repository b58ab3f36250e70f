rule active_round:
    # All seeds in one job: loading MACE and its kernels takes as long as a small round.
    input:
        before=lambda wildcards: plan.round_before(STUDY, wildcards),
        pool=plan.dataset_file(STUDY, "train_pool.extxyz"),
        valid=plan.dataset_file(STUDY, "valid.extxyz"),
        test=plan.dataset_file(STUDY, "test.extxyz"),
        atomic_energies=plan.dataset_file(STUDY, "atomic_energies.json"),
        subsets=plan.initial_subsets(STUDY),
        compiled=plan.loop_compile_cache(STUDY),
    output:
        "results/{study}/active_learning/{strategy}/round{round}/records.json",
    log:
        "results/{study}/logs/active_round/{strategy}/round{round}.log",
    benchmark:
        "results/{study}/benchmarks/active_round/{strategy}/round{round}.tsv"
    # One round waits for the other, so the chain starts early.
    priority: 6
    conda:
        "../../envs/mace.yaml"
    resources:
        mem_mb=4000,
        runtime=1440,
    params:
        settings=plan.loop_block(STUDY),
        model=MODEL_BLOCKS.get(plan.loop_ids(STUDY)["model"]),
        reference=plan.loop_reference(STUDY),
        reference_name=plan.loop_reference_name(STUDY),
        # Shared by all studies: a frame is labelled once by each reference method.
        store="results/labels",
        device=STUDY.study.device,
        code=code_digest("active_round", *plan.loop_plugins(STUDY)),
    script:
        "../scripts/active_round.py"


rule active_learning_tables:
    input:
        plan.paths(plan.ROUND + "/records.json", plan.rounds(STUDY)),
    output:
        rounds="results/{study}/tables/active_learning.csv",
        comparison="results/{study}/tables/active_learning_comparison.csv",
    log:
        "results/{study}/logs/active_learning_tables.log",
    benchmark:
        "results/{study}/benchmarks/active_learning_tables.tsv"
    conda:
        "../../envs/base.yaml"
    params:
        ids=plan.loop_ids(STUDY),
        code=code_digest("active_learning_tables"),
    script:
        "../scripts/active_learning_tables.py"


rule active_learning_figure:
    input:
        rounds=rules.active_learning_tables.output.rounds,
    output:
        svg=report(
            "results/{study}/figures/active_learning.svg",
            caption="../report/active_learning.rst",
            category="Active learning",
            labels={"figure": "error against number of labels"},
        ),
        png="results/{study}/figures/active_learning.png",
    log:
        "results/{study}/logs/active_learning_figure.log",
    benchmark:
        "results/{study}/benchmarks/active_learning_figure.tsv"
    conda:
        "../../envs/report.yaml"
    params:
        code=code_digest("active_learning_figure"),
    script:
        "../scripts/active_learning_figure.py"


rule active_learning:
    input:
        plan.figure_paths(STUDY, "active_learning"),
