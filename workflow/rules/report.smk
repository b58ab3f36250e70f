rule manifest:
    input:
        tables=plan.table_paths(STUDY),
        figures=plan.figure_paths(STUDY),
        cards=plan.card_paths(STUDY),
    output:
        "results/{study}/manifest.json",
    log:
        "results/{study}/logs/manifest.log",
    conda:
        "../../envs/mace.yaml"
    params:
        config=STUDY.model_dump(mode="json"),
        code=code_digest("manifest"),
    script:
        "../scripts/manifest.py"


rule report:
    input:
        tables=plan.table_paths(STUDY),
        figures=plan.figure_paths(STUDY),
        cards=plan.card_paths(STUDY),
        manifest=f"results/{NAME}/manifest.json",
        template="workflow/longhot/report/page.html.j2",
        captions=plan.caption_paths(workflow.basedir),
    output:
        f"results/{NAME}/report/index.html",
    log:
        f"results/{NAME}/logs/report.log",
    conda:
        "../../envs/report.yaml"
    params:
        config=STUDY.model_dump(mode="json"),
        code=code_digest("report"),
    script:
        "../scripts/report.py"
