rule manifest:
    input:
        tables=plan.outputs.table_paths(STUDY),
        figures=plan.outputs.figure_paths(STUDY),
        cards=plan.outputs.card_paths(STUDY),
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
        tables=plan.outputs.table_paths(STUDY),
        figures=plan.outputs.figure_paths(STUDY),
        cards=plan.outputs.card_paths(STUDY),
        structures=plan.data_map.structure_paths(STUDY),
        manifest=f"results/{NAME}/manifest.json",
        parts=plan.outputs.page_parts(workflow.basedir),
        captions=plan.outputs.caption_paths(workflow.basedir),
    output:
        page=f"results/{NAME}/report/index.html",
        bibliography=f"results/{NAME}/report/references.bib",
    log:
        f"results/{NAME}/logs/report.log",
    conda:
        "../../envs/report.yaml"
    params:
        config=STUDY.model_dump(mode="json"),
        config_file=plan.outputs.config_file(workflow.configfiles, workflow.basedir),
        code=code_digest("report"),
    script:
        "../scripts/report.py"


rule archive:
    input:
        tables=plan.outputs.table_paths(STUDY),
        figures=plan.outputs.figure_paths(STUDY),
        images=[path.replace(".svg", ".png") for path in plan.outputs.figure_paths(STUDY)],
        cards=plan.outputs.card_paths(STUDY),
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
        models=plan.outputs.model_folders(STUDY),
        code=code_digest("archive"),
    script:
        "../scripts/archive.py"


rule reproduce:
    # Without output, so that it compares anew each time: what it writes beside the tables stays where it fails.
    input:
        lambda wildcards: plan.outputs.stored_study(AGAINST),
        tables=plan.outputs.table_paths(STUDY),
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
