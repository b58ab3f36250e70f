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
        mem_mb=growing(4000),
        runtime=growing(1440),
        gpu=gpus(STUDY, plan.loop_ids(STUDY)["model"], plan.loop_reference_name(STUDY) or None),
    params:
        settings=plan.loop_block(STUDY),
        model=MODEL_BLOCKS.get(plan.loop_ids(STUDY)["model"]),
        reference=plan.loop_reference(STUDY),
        reference_name=plan.loop_reference_name(STUDY),
        store=LABELS,
        device=STUDY.study.device,
        code=code_digest("active_round", *plan.loop_plugins(STUDY)),
    script:
        "../scripts/active_round.py"


rule active_online:
    input:
        start=plan.first_round(STUDY),
        test=plan.dataset_file(STUDY, "test.extxyz"),
        atomic_energies=plan.dataset_file(STUDY, "atomic_energies.json"),
    output:
        trace="results/{study}/active_learning/online/trace.csv",
        learned="results/{study}/active_learning/online/learned.extxyz",
        outcome="results/{study}/active_learning/online/outcome.json",
    log:
        "results/{study}/logs/active_online.log",
    benchmark:
        "results/{study}/benchmarks/active_online.tsv"
    priority: 6
    conda:
        "../../envs/mace.yaml"
    resources:
        mem_mb=growing(4000),
        runtime=growing(1440),
        gpu=gpus(STUDY, plan.loop_ids(STUDY)["model"], plan.loop_reference_name(STUDY) or None),
    params:
        settings=plan.loop_block(STUDY),
        model=MODEL_BLOCKS.get(plan.loop_ids(STUDY)["model"]),
        reference=plan.loop_reference(STUDY),
        device=STUDY.study.device,
        code=code_digest("active_online", *plan.loop_plugins(STUDY)),
    script:
        "../scripts/active_online.py"


rule active_learning_tables:
    input:
        records=plan.paths(plan.RECORDS, plan.rounds(STUDY)),
        traces=plan.online_traces(STUDY),
    output:
        online=table("active_learning_online", "Active learning"),
        rounds=table("active_learning", "Active learning"),
        comparison=table("active_learning_comparison", "Active learning"),
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


rule active_learning_figures:
    input:
        rounds=rules.active_learning_tables.output.rounds,
        online=rules.active_learning_tables.output.online,
    output:
        online=report(
            "results/{study}/figures/active_learning_online.svg",
            caption="../report/active_learning_online.rst",
            category="Active learning",
            labels={"figure": "estimated and true error of a run that learns"},
        ),
        online_png="results/{study}/figures/active_learning_online.png",
        svg=report(
            "results/{study}/figures/active_learning.svg",
            caption="../report/active_learning.rst",
            category="Active learning",
            labels={"figure": "error against number of labels"},
        ),
        png="results/{study}/figures/active_learning.png",
    log:
        "results/{study}/logs/active_learning_figures.log",
    benchmark:
        "results/{study}/benchmarks/active_learning_figures.tsv"
    conda:
        "../../envs/report.yaml"
    params:
        code=code_digest("active_learning_figures"),
    script:
        "../scripts/active_learning_figures.py"


rule active_learning:
    input:
        plan.figure_paths(STUDY, "active_learning"),


rule reference_search:
    input:
        pool=plan.search_file(STUDY, "train_pool.extxyz"),
        subset=lambda wildcards: plan.search_subset(STUDY, wildcards),
    output:
        plan.REFERENCE_SEARCH,
    log:
        "results/{study}/logs/reference_search/seed{seed}.log",
    benchmark:
        "results/{study}/benchmarks/reference_search/seed{seed}.tsv"
    conda:
        "../../envs/mace.yaml"
    resources:
        mem_mb=growing(2000),
        runtime=growing(1440),
        gpu=gpus(STUDY, None, plan.search_reference(STUDY)),
    params:
        settings=plan.search_block(STUDY),
        reference=plan.reference_block(STUDY, plan.search_reference(STUDY)),
        code=code_digest("reference_search", *plan.reference_plugins(STUDY, plan.search_reference(STUDY))),
    script:
        "../scripts/reference_search.py"


rule search_round:
    input:
        before=lambda wildcards: plan.search_before(STUDY, wildcards),
        pool=plan.search_file(STUDY, "train_pool.extxyz"),
        valid=plan.search_file(STUDY, "valid.extxyz"),
        atomic_energies=plan.search_file(STUDY, "atomic_energies.json"),
        subset=lambda wildcards: plan.search_subset(STUDY, wildcards),
    output:
        plan.SEARCH_ROUND,
    log:
        "results/{study}/logs/search_round/seed{seed}/round{round}.log",
    benchmark:
        "results/{study}/benchmarks/search_round/seed{seed}/round{round}.tsv"
    # One round waits for the other, so the chain starts early.
    priority: 6
    conda:
        "../../envs/mace.yaml"
    resources:
        mem_mb=growing(4000),
        runtime=growing(1440),
        gpu=gpus(STUDY, plan.search_ids(STUDY)["model"], plan.search_reference(STUDY)),
    params:
        settings=plan.search_block(STUDY),
        model=MODEL_BLOCKS.get(plan.search_ids(STUDY)["model"]),
        reference=plan.reference_block(STUDY, plan.search_reference(STUDY)),
        device=STUDY.study.device,
        code=code_digest("search_round", *plan.search_plugins(STUDY)),
    script:
        "../scripts/search_round.py"


rule structure_search_table:
    input:
        plan.search_records(STUDY),
    output:
        table("structure_search", "Structure search"),
    log:
        "results/{study}/logs/structure_search_table.log",
    benchmark:
        "results/{study}/benchmarks/structure_search_table.tsv"
    conda:
        "../../envs/base.yaml"
    params:
        settings=plan.search_block(STUDY),
        code=code_digest("structure_search_table"),
    script:
        "../scripts/structure_search_table.py"


rule structure_search:
    input:
        f"results/{NAME}/tables/structure_search.csv",
