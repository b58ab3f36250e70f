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
        structures=plan.structure_paths(STUDY),
        manifest=f"results/{NAME}/manifest.json",
        parts=plan.page_parts(workflow.basedir),
        captions=plan.caption_paths(workflow.basedir),
    output:
        page=f"results/{NAME}/report/index.html",
        bibliography=f"results/{NAME}/report/references.bib",
    log:
        f"results/{NAME}/logs/report.log",
    conda:
        "../../envs/report.yaml"
    params:
        config=STUDY.model_dump(mode="json"),
        config_file=plan.config_file(workflow.configfiles, workflow.basedir),
        code=code_digest("report"),
    script:
        "../scripts/report.py"


rule archive:
    input:
        tables=plan.table_paths(STUDY),
        figures=plan.figure_paths(STUDY),
        images=[path.replace(".svg", ".png") for path in plan.figure_paths(STUDY)],
        cards=plan.card_paths(STUDY),
        report=rules.report.output,
        manifest=f"results/{NAME}/manifest.json",
        citation="CITATION.cff",
    output:
        f"results/{NAME}/{NAME}.zip",
    log:
        f"results/{NAME}/logs/archive.log",
    conda:
        "../../envs/base.yaml"
    params:
        config=STUDY.model_dump(mode="json"),
        models=plan.model_folders(STUDY),
        code=code_digest("archive"),
    script:
        "../scripts/archive.py"


rule reproduce:
    # Without output, so that it compares anew each time: what it writes beside the tables stays where it fails.
    input:
        lambda wildcards: plan.stored_study(AGAINST),
        tables=plan.table_paths(STUDY),
        page=rules.report.output[0],
        manifest=f"results/{NAME}/manifest.json",
    log:
        f"results/{NAME}/logs/reproduce.log",
    conda:
        "../../envs/base.yaml"
    params:
        against=AGAINST,
        code=code_digest("reproduce"),
    script:
        "../scripts/reproduce.py"
