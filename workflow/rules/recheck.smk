rule recheck:
    input:
        frames=rules.simulate.output.frames,
        outcomes=rules.simulate.output.outcomes,
        model="results/{study}/models/{dataset}/{model}/n{size}/seed{seed}/model.json",
        committee=lambda wildcards: plan.simulation.committee(STUDY, wildcards),
        test=rules.dataset.output.test,
    output:
        table="results/{study}/rechecks/{dataset}/{model}/n{size}/seed{seed}.csv",
        frames="results/{study}/rechecks/{dataset}/{model}/n{size}/seed{seed}.npz",
    log:
        "results/{study}/logs/recheck/{dataset}/{model}/n{size}/seed{seed}.log",
    benchmark:
        "results/{study}/benchmarks/recheck/{dataset}/{model}/n{size}/seed{seed}.tsv"
    conda:
        "../../envs/mace.yaml"
    threads: plan.simulation.recheck_workers(STUDY)
    resources:
        mem_mb=lambda wildcards, threads, attempt: (2000 + 2000 * threads) * attempt,
        runtime=growing(240),
        gpu=lambda wildcards: gpus(STUDY, wildcards.model, STUDY.recheck_reference(wildcards.dataset)),
    params:
        recheck=plan.simulation.recheck(STUDY),
        store=LABELS,
        reference_name=lambda wildcards: STUDY.recheck_reference(wildcards.dataset),
        reference=lambda wildcards: plan.modules.reference_block(STUDY, STUDY.recheck_reference(wildcards.dataset)),
        start_set=plan.simulation.start_set(STUDY),
        device=STUDY.study.device,
        code=lambda wildcards: code_digest(
            "recheck",
            *plan.modules.model_plugins(STUDY, wildcards.model),
            *plan.modules.reference_plugins(STUDY, STUDY.recheck_reference(wildcards.dataset)),
        ),
    script:
        "../scripts/recheck.py"


rule robustness_tables:
    input:
        outcomes=plan.files.paths(plan.files.OUTCOMES, plan.simulation.simulations(STUDY)),
        rechecks=plan.files.paths(plan.files.RECHECK, plan.simulation.simulations(STUDY)),
        curves=rules.learning_curves_tables.output.curves,
    output:
        stability=table("stability", "Hot MD"),
        survival=table("survival", "Hot MD"),
        survival_tests=table("survival_tests", "Hot MD"),
        recheck=table("recheck", "Hot MD"),
        robustness=table("robustness", "Hot MD"),
        rank_agreement=table("rank_agreement", "Hot MD"),
    log:
        "results/{study}/logs/robustness_tables.log",
    benchmark:
        "results/{study}/benchmarks/robustness_tables.tsv"
    conda:
        "../../envs/report.yaml"
    params:
        start_set=plan.simulation.start_set(STUDY),
        controls={name: STUDY.control_reference(name) for name in STUDY.picked("robustness", "datasets")},
        references={name: STUDY.recheck_reference(name) for name in STUDY.picked("robustness", "datasets")},
        code=code_digest("robustness_tables"),
    script:
        "../scripts/robustness_tables.py"


rule robustness_figures:
    input:
        stability=rules.robustness_tables.output.stability,
        recheck=rules.robustness_tables.output.recheck,
        robustness=rules.robustness_tables.output.robustness,
        rank_agreement=rules.robustness_tables.output.rank_agreement,
        failures=plan.files.paths(plan.files.FAILURES, plan.simulation.simulations(STUDY)),
    output:
        robustness=report(
            "results/{study}/figures/robustness.svg",
            caption="../report/robustness.rst",
            category="Hot MD",
            labels={"figure": "error on the potential's own MD"},
        ),
        robustness_png="results/{study}/figures/robustness.png",
        survival=report(
            "results/{study}/figures/survival.svg",
            caption="../report/survival.rst",
            category="Hot MD",
            labels={"figure": "survival"},
        ),
        survival_png="results/{study}/figures/survival.png",
        causes=report(
            "results/{study}/figures/failure_causes.svg",
            caption="../report/failure_causes.rst",
            category="Hot MD",
            labels={"figure": "causes of failure"},
        ),
        causes_png="results/{study}/figures/failure_causes.png",
        failures=report(
            "results/{study}/figures/failures.svg",
            caption="../report/failures.rst",
            category="Hot MD",
            labels={"figure": "failed frames"},
        ),
        failures_png="results/{study}/figures/failures.png",
        spread=report(
            "results/{study}/figures/committee_spread.svg",
            caption="../report/committee_spread.rst",
            category="Hot MD",
            labels={"figure": "error against committee spread"},
        ),
        spread_png="results/{study}/figures/committee_spread.png",
    log:
        "results/{study}/logs/robustness_figures.log",
    benchmark:
        "results/{study}/benchmarks/robustness_figures.tsv"
    conda:
        "../../envs/report.yaml"
    params:
        simulations=plan.simulation.simulations(STUDY),
        code=code_digest("robustness_figures"),
    script:
        "../scripts/robustness_figures.py"


rule robustness:
    input:
        plan.outputs.figure_paths(STUDY, "robustness"),
