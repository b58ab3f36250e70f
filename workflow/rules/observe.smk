rule bulk:
    input:
        models=lambda wildcards: plan.melting_point.sampler_fits(STUDY, wildcards.sampler),
    output:
        "results/{study}/melting_point/{sampler}/bulk/{phase}-T{temperature}.npz",
    log:
        "results/{study}/logs/bulk/{sampler}/{phase}-T{temperature}.log",
    benchmark:
        "results/{study}/benchmarks/bulk/{sampler}/{phase}-T{temperature}.tsv"
    conda:
        "../../envs/mace.yaml"
    resources:
        mem_mb=growing(4000),
        runtime=growing(1440),
        gpu=lambda wildcards: gpus(
            STUDY,
            plan.melting_point.sampler_model(STUDY, wildcards.sampler),
            plan.melting_point.melting_point_reference(STUDY),
        ),
    params:
        conditions=plan.melting_point.conditions(STUDY),
        block=lambda wildcards: plan.melting_point.bulk_block(STUDY, wildcards),
        reference=plan.modules.reference_block(STUDY, plan.melting_point.melting_point_reference(STUDY)),
        device=STUDY.study.device,
        code=lambda wildcards: code_digest("bulk", *plan.melting_point.sampler_plugins(STUDY, wildcards.sampler)),
    script:
        "../scripts/bulk.py"


rule interface:
    input:
        models=lambda wildcards: plan.melting_point.sampler_fits(STUDY, wildcards.sampler),
    output:
        solid="results/{study}/melting_point/{sampler}/interfaces/{cell}-T{temperature}/solid.npz",
        liquid="results/{study}/melting_point/{sampler}/interfaces/{cell}-T{temperature}/liquid.npz",
        pinned="results/{study}/melting_point/{sampler}/interfaces/{cell}-T{temperature}/pinned.npz",
    log:
        "results/{study}/logs/interface/{sampler}/{cell}-T{temperature}.log",
    benchmark:
        "results/{study}/benchmarks/interface/{sampler}/{cell}-T{temperature}.tsv"
    # Among the longest jobs, so it starts early.
    priority: 5
    conda:
        "../../envs/mace.yaml"
    resources:
        mem_mb=growing(4000),
        runtime=growing(1440),
        gpu=lambda wildcards: gpus(
            STUDY,
            plan.melting_point.sampler_model(STUDY, wildcards.sampler),
            plan.melting_point.melting_point_reference(STUDY),
        ),
    params:
        conditions=plan.melting_point.conditions(STUDY),
        block=lambda wildcards: plan.melting_point.pinning_block(STUDY, wildcards),
        reference=plan.modules.reference_block(STUDY, plan.melting_point.melting_point_reference(STUDY)),
        device=STUDY.study.device,
        code=lambda wildcards: code_digest("interface", *plan.melting_point.sampler_plugins(STUDY, wildcards.sampler)),
    script:
        "../scripts/interface.py"


rule coexistence:
    input:
        pinned=lambda wildcards: plan.melting_point.pinned_paths(STUDY, wildcards.sampler)[0],
        models=lambda wildcards: plan.melting_point.sampler_fits(STUDY, wildcards.sampler),
    output:
        "results/{study}/melting_point/{sampler}/coexistence.npz",
    log:
        "results/{study}/logs/coexistence/{sampler}.log",
    benchmark:
        "results/{study}/benchmarks/coexistence/{sampler}.tsv"
    conda:
        "../../envs/mace.yaml"
    resources:
        mem_mb=growing(4000),
        runtime=growing(1440),
        gpu=lambda wildcards: gpus(
            STUDY,
            plan.melting_point.sampler_model(STUDY, wildcards.sampler),
            plan.melting_point.melting_point_reference(STUDY),
        ),
    params:
        conditions=plan.melting_point.conditions(STUDY),
        block=plan.melting_point.melting_point_block(STUDY, "coexistence"),
        repeats=lambda wildcards: plan.melting_point.first_interface(STUDY, wildcards.sampler)[0],
        temperature_K=lambda wildcards: plan.melting_point.first_interface(STUDY, wildcards.sampler)[1],
        reference=plan.modules.reference_block(STUDY, plan.melting_point.melting_point_reference(STUDY)),
        device=STUDY.study.device,
        code=lambda wildcards: code_digest("coexistence", *plan.melting_point.sampler_plugins(STUDY, wildcards.sampler)),
    script:
        "../scripts/coexistence.py"


rule member_energies:
    input:
        bulk=lambda wildcards: plan.melting_point.bulk_paths(STUDY, wildcards.sampler),
        models=lambda wildcards: plan.melting_point.member_fits(STUDY, wildcards.model, wildcards.size),
    output:
        "results/{study}/melting_point/{sampler}/committees/{model}/n{size}/energies.npz",
    log:
        "results/{study}/logs/member_energies/{sampler}/{model}/n{size}.log",
    benchmark:
        "results/{study}/benchmarks/member_energies/{sampler}/{model}/n{size}.tsv"
    conda:
        "../../envs/mace.yaml"
    resources:
        mem_mb=growing(4000),
        runtime=growing(720),
        gpu=lambda wildcards: gpus(STUDY, wildcards.model),
    params:
        states=lambda wildcards: plan.melting_point.sampler_files(STUDY, wildcards.sampler)["bulk"],
        equilibration_ps=STUDY.melting_point.bulk.equilibration_ps if STUDY.melting_point else 0,
        device=STUDY.study.device,
        code=code_digest("member_energies", *plan.melting_point.committee_plugins(STUDY)),
    script:
        "../scripts/member_energies.py"


rule staged:
    input:
        bulk=lambda wildcards: plan.melting_point.bulk_paths(STUDY, wildcards.sampler),
        pinned=lambda wildcards: plan.melting_point.pinned_paths(STUDY, wildcards.sampler),
        coexistence=lambda wildcards: plan.melting_point.coexistence_paths(STUDY, wildcards.sampler),
        energies=rules.member_energies.output[0],
        models=lambda wildcards: plan.melting_point.member_fits(STUDY, wildcards.model, wildcards.size),
        sampler=lambda wildcards: plan.melting_point.sampler_fits(STUDY, wildcards.sampler),
    output:
        "results/{study}/melting_point/{sampler}/committees/{model}/n{size}/staged.json",
    log:
        "results/{study}/logs/staged/{sampler}/{model}/n{size}.log",
    benchmark:
        "results/{study}/benchmarks/staged/{sampler}/{model}/n{size}.tsv"
    conda:
        "../../envs/mace.yaml"
    resources:
        mem_mb=growing(4000),
        runtime=growing(1440),
        gpu=lambda wildcards: gpus(STUDY, wildcards.model, plan.melting_point.melting_point_reference(STUDY)),
    params:
        question=plan.melting_point.melting_point_block(STUDY),
        reference=plan.modules.reference_block(STUDY, plan.melting_point.melting_point_reference(STUDY)),
        files=lambda wildcards: plan.melting_point.sampler_files(STUDY, wildcards.sampler),
        device=STUDY.study.device,
        code=code_digest("staged", *plan.melting_point.committee_plugins(STUDY)),
    script:
        "../scripts/staged.py"


rule calibrate:
    input:
        bulk=lambda wildcards: plan.melting_point.bulk_paths(STUDY, wildcards.sampler),
        models=lambda wildcards: plan.melting_point.member_fits(STUDY, wildcards.model, wildcards.size),
        test=lambda wildcards: plan.melting_point.melting_point_test(STUDY),
    output:
        "results/{study}/melting_point/{sampler}/committees/{model}/n{size}/calibration.json",
    log:
        "results/{study}/logs/calibrate/{sampler}/{model}/n{size}.log",
    benchmark:
        "results/{study}/benchmarks/calibrate/{sampler}/{model}/n{size}.tsv"
    conda:
        "../../envs/mace.yaml"
    resources:
        mem_mb=growing(4000),
        runtime=growing(240),
        gpu=lambda wildcards: gpus(STUDY, wildcards.model, plan.melting_point.melting_point_reference(STUDY)),
    params:
        reference=plan.modules.reference_block(STUDY, plan.melting_point.melting_point_reference(STUDY)),
        store=LABELS,
        n_frames=STUDY.melting_point.n_md_calibration if STUDY.melting_point else 0,
        equilibration_ps=STUDY.melting_point.bulk.equilibration_ps if STUDY.melting_point else 0,
        device=STUDY.study.device,
        code=code_digest("calibrate", *plan.melting_point.committee_plugins(STUDY)),
    script:
        "../scripts/calibrate.py"


rule melting_point_tables:
    input:
        plan.melting_point.sampler_paths(STUDY),
        plan.melting_point.committee_paths(STUDY),
    output:
        **{name: table(name, "Melting point") for name in plan.outputs.TABLES["melting_point"]},
    log:
        "results/{study}/logs/melting_point_tables.log",
    benchmark:
        "results/{study}/benchmarks/melting_point_tables.tsv"
    conda:
        "../../envs/mace.yaml"
    params:
        question=plan.melting_point.melting_point_block(STUDY),
        samplers={name: plan.melting_point.sampler_files(STUDY, name) for name in plan.melting_point.samplers(STUDY)},
        committees=plan.melting_point.committee_files(STUDY),
        code=code_digest("melting_point_tables", "longhot.observables.properties.*"),
    script:
        "../scripts/melting_point_tables.py"


rule melting_point_figures:
    input:
        delta_mu="results/{study}/tables/delta_mu.csv",
        melting_point="results/{study}/tables/melting_point.csv",
        melting_point_summary="results/{study}/tables/melting_point_summary.csv",
        required_accuracy="results/{study}/tables/required_accuracy.csv",
        reliability="results/{study}/tables/reliability.csv",
        calibration="results/{study}/tables/calibration.csv",
        observables="results/{study}/tables/observables.csv",
    output:
        melting_point=report(
            "results/{study}/figures/melting_point.svg",
            caption="../report/melting_point.rst",
            category="Melting point",
            labels={"figure": "chemical potentials and melting points"},
        ),
        melting_point_png="results/{study}/figures/melting_point.png",
        melting_point_by_size=report(
            "results/{study}/figures/melting_point_by_size.svg",
            caption="../report/melting_point_by_size.rst",
            category="Melting point",
            labels={"figure": "error against training size and force error"},
        ),
        melting_point_by_size_png="results/{study}/figures/melting_point_by_size.png",
        reliability=report(
            "results/{study}/figures/reliability.svg",
            caption="../report/reliability.rst",
            category="Melting point",
            labels={"figure": "calibration of the committee"},
        ),
        reliability_png="results/{study}/figures/reliability.png",
        rdf=report(
            "results/{study}/figures/rdf.svg",
            caption="../report/rdf.rst",
            category="Melting point",
            labels={"figure": "radial distribution of the liquid"},
        ),
        rdf_png="results/{study}/figures/rdf.png",
    log:
        "results/{study}/logs/melting_point_figures.log",
    benchmark:
        "results/{study}/benchmarks/melting_point_figures.tsv"
    conda:
        "../../envs/report.yaml"
    params:
        code=code_digest("melting_point_figures"),
    script:
        "../scripts/melting_point_figures.py"


rule melting_point:
    input:
        plan.outputs.figure_paths(STUDY, "melting_point"),
