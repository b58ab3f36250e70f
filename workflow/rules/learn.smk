rule active_round:
    # All seeds in one job: loading MACE and its kernels takes as long as a small round.
    input:
        before=lambda wildcards: plan.active_learning.round_before(STUDY, wildcards),
        pool=plan.active_learning.dataset_file(STUDY, "train_pool.extxyz"),
        valid=plan.active_learning.dataset_file(STUDY, "valid.extxyz"),
        test=plan.active_learning.dataset_file(STUDY, "test.extxyz"),
        atomic_energies=plan.active_learning.dataset_file(STUDY, "atomic_energies.json"),
        subsets=plan.active_learning.initial_subsets(STUDY),
        compiled=plan.active_learning.loop_compile_cache(STUDY),
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
        gpu=gpus(
            STUDY,
            plan.active_learning.loop_ids(STUDY)["model"],
            plan.active_learning.loop_reference_name(STUDY) or None,
        ),
    params:
        settings=plan.active_learning.loop_block(STUDY),
        model=MODEL_BLOCKS.get(plan.active_learning.loop_ids(STUDY)["model"]),
        reference=plan.active_learning.loop_reference(STUDY),
        reference_name=plan.active_learning.loop_reference_name(STUDY),
        store=LABELS,
        device=STUDY.study.device,
        code=code_digest("active_round", *plan.active_learning.loop_plugins(STUDY)),
    script:
        "../scripts/active_round.py"


rule active_online:
    input:
        start=plan.active_learning.first_round(STUDY),
        test=plan.active_learning.dataset_file(STUDY, "test.extxyz"),
        atomic_energies=plan.active_learning.dataset_file(STUDY, "atomic_energies.json"),
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
        gpu=gpus(
            STUDY,
            plan.active_learning.loop_ids(STUDY)["model"],
            plan.active_learning.loop_reference_name(STUDY) or None,
        ),
    params:
        settings=plan.active_learning.loop_block(STUDY),
        model=MODEL_BLOCKS.get(plan.active_learning.loop_ids(STUDY)["model"]),
        reference=plan.active_learning.loop_reference(STUDY),
        device=STUDY.study.device,
        code=code_digest("active_online", *plan.active_learning.loop_plugins(STUDY)),
    script:
        "../scripts/active_online.py"


rule active_learning_tables:
    input:
        records=plan.files.paths(plan.files.RECORDS, plan.active_learning.rounds(STUDY)),
        traces=plan.active_learning.online_traces(STUDY),
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
        ids=plan.active_learning.loop_ids(STUDY),
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
        plan.outputs.figure_paths(STUDY, "active_learning"),


rule reference_search:
    input:
        pool=plan.structure_search.search_file(STUDY, "train_pool.extxyz"),
        subset=lambda wildcards: plan.structure_search.search_subset(STUDY, wildcards),
    output:
        plan.files.REFERENCE_SEARCH,
    log:
        "results/{study}/logs/reference_search/seed{seed}.log",
    benchmark:
        "results/{study}/benchmarks/reference_search/seed{seed}.tsv"
    conda:
        "../../envs/mace.yaml"
    resources:
        mem_mb=growing(2000),
        runtime=growing(1440),
        gpu=gpus(STUDY, None, plan.structure_search.search_reference(STUDY)),
    params:
        settings=plan.structure_search.search_block(STUDY),
        reference=plan.modules.reference_block(STUDY, plan.structure_search.search_reference(STUDY)),
        code=code_digest(
            "reference_search", *plan.modules.reference_plugins(STUDY, plan.structure_search.search_reference(STUDY))
        ),
    script:
        "../scripts/reference_search.py"


rule search_round:
    input:
        before=lambda wildcards: plan.structure_search.search_before(STUDY, wildcards),
        pool=plan.structure_search.search_file(STUDY, "train_pool.extxyz"),
        valid=plan.structure_search.search_file(STUDY, "valid.extxyz"),
        atomic_energies=plan.structure_search.search_file(STUDY, "atomic_energies.json"),
        subset=lambda wildcards: plan.structure_search.search_subset(STUDY, wildcards),
    output:
        plan.files.SEARCH_ROUND,
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
        gpu=gpus(STUDY, plan.structure_search.search_ids(STUDY)["model"], plan.structure_search.search_reference(STUDY)),
    params:
        settings=plan.structure_search.search_block(STUDY),
        model=MODEL_BLOCKS.get(plan.structure_search.search_ids(STUDY)["model"]),
        reference=plan.modules.reference_block(STUDY, plan.structure_search.search_reference(STUDY)),
        device=STUDY.study.device,
        code=code_digest("search_round", *plan.structure_search.search_plugins(STUDY)),
    script:
        "../scripts/search_round.py"


rule structure_search_table:
    input:
        plan.structure_search.search_records(STUDY),
    output:
        table("structure_search", "Structure search"),
    log:
        "results/{study}/logs/structure_search_table.log",
    benchmark:
        "results/{study}/benchmarks/structure_search_table.tsv"
    conda:
        "../../envs/base.yaml"
    params:
        settings=plan.structure_search.search_block(STUDY),
        code=code_digest("structure_search_table"),
    script:
        "../scripts/structure_search_table.py"


rule structure_search:
    input:
        f"results/{NAME}/tables/structure_search.csv",
