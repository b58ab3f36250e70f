rule manifest:
    input:
        tables=plan.table_paths(STUDY),
        cards=plan.card_paths(STUDY),
    output:
        "results/{study}/manifest.json",
    log:
        "results/{study}/logs/manifest.log",
    conda:
        "../../envs/base.yaml"
    params:
        config=STUDY.model_dump(mode="json"),
        study_folder="results/{study}",
        code=code_digest("manifest"),
    script:
        "../scripts/manifest.py"


rule report:
    input:
        tables=plan.table_paths(STUDY),
        figures=plan.figure_paths(STUDY),
        cards=plan.card_paths(STUDY),
        manifest=f"results/{NAME}/manifest.json",
    output:
        f"results/{NAME}/report/index.html",
    log:
        f"results/{NAME}/logs/report.log",
    conda:
        "../../envs/report.yaml"
    params:
        config=STUDY.model_dump(mode="json"),
        study_folder=f"results/{NAME}",
        code=code_digest("report"),
    script:
        "../scripts/report.py"
