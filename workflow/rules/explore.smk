rule dataset_map:
    input:
        plan.data_map.map_paths(STUDY),
    output:
        dataset_map=table("dataset_map", "Data"),
        reach=table("training_reach", "Data"),
    log:
        "results/{study}/logs/dataset_map.log",
    benchmark:
        "results/{study}/benchmarks/dataset_map.tsv"
    conda:
        "../../envs/base.yaml"
    resources:
        mem_mb=growing(4000),
        runtime=growing(60),
    params:
        sources=plan.data_map.map_sources(STUDY),
        code=code_digest("dataset_map"),
    script:
        "../scripts/dataset_map.py"


rule dataset_map_figure:
    input:
        rules.dataset_map.output.dataset_map,
    output:
        svg=report(
            "results/{study}/figures/dataset_map.svg",
            caption="../report/dataset_map.rst",
            category="Data",
            labels={"figure": "map of the data"},
        ),
        png="results/{study}/figures/dataset_map.png",
    log:
        "results/{study}/logs/dataset_map_figure.log",
    benchmark:
        "results/{study}/benchmarks/dataset_map_figure.tsv"
    conda:
        "../../envs/report.yaml"
    params:
        code=code_digest("dataset_map_figure"),
    script:
        "../scripts/dataset_map_figure.py"


rule structures:
    input:
        plan.data_map.map_paths(STUDY),
        dataset_map=rules.dataset_map.output.dataset_map,
    output:
        "results/{study}/report/structures.json.gz",
    log:
        "results/{study}/logs/structures.log",
    benchmark:
        "results/{study}/benchmarks/structures.tsv"
    conda:
        "../../envs/base.yaml"
    params:
        sources=plan.data_map.map_sources(STUDY),
        code=code_digest("structures"),
    script:
        "../scripts/structures.py"
