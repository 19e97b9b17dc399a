# Report: the study's tables, and figures that need more than saved results. No network runs here.
#
# needs   the manifest, predictions, searches, histories, models and latencies of all variants
# gives   tables/*.csv, figures/*.{svg,png}; `snakemake --report report.html` binds them into one page


rule dataset_composition:
    input:
        script="workflow/scripts/tables/dataset_composition.py",
        code=code("workflow/scripts/tables/dataset_composition.py"),
        paper=PAPER,
        manifest=MANIFEST,
    output:
        table("dataset_composition"),
    log:
        f"{LOGS}/dataset_composition.log",
    params:
        strategies=[f"{name}={options['split']}" for name, options in SOURCES.items()],
    shell:
        "python {input.script:q}"
        " --manifest {input.manifest:q}"
        " --strategies {params.strategies:q}"
        " --paper {input.paper:q}"
        " --output {output:q}"
        " --log {log:q}"


rule baseline_performance:
    input:
        script="workflow/scripts/tables/baseline_performance.py",
        code=code("workflow/scripts/tables/baseline_performance.py"),
        paper=PAPER,
        predictions=expand(
            variants("predictions/{{testset}}.parquet", ["baseline"], MEASURED),
            testset=TESTSETS,
        ),
    output:
        table("baseline_performance"),
    log:
        f"{LOGS}/baseline_performance.log",
    params:
        variants=lambda wc, input: folders(folders(input.predictions)),
        sets=TESTSETS,
    shell:
        "python {input.script:q}"
        " --variants {params.variants:q}"
        " --sets {params.sets:q}"
        " --paper {input.paper:q}"
        " --output {output:q}"
        " --log {log:q}"


rule best_hyperparameters:
    input:
        script="workflow/scripts/tables/best_hyperparameters.py",
        code=code("workflow/scripts/tables/best_hyperparameters.py", *METHOD_MODULES),
        paper=PAPER,
        best=searched("best.json"),
    output:
        table("best_hyperparameters"),
    log:
        f"{LOGS}/best_hyperparameters.log",
    shell:
        "python {input.script:q}"
        " --best {input.best:q}"
        " --paper {input.paper:q}"
        " --output {output:q}"
        " --log {log:q}"


rule search_luck:
    input:
        script="workflow/scripts/tables/search_luck.py",
        code=code("workflow/scripts/tables/search_luck.py"),
        trials=searched("trials.csv"),
    output:
        table("search_luck"),
    log:
        f"{LOGS}/search_luck.log",
    params:
        margin=CONFIG["statistics"]["margin"],
        selected_by=recipe(CONFIG, "search")["select"],
    shell:
        "python {input.script:q}"
        " --trials {input.trials:q}"
        " --margin {params.margin}"
        " --selected-by {params.selected_by}"
        " --output {output:q}"
        " --log {log:q}"


rule pareto:
    input:
        script="workflow/scripts/tables/pareto.py",
        code=code("workflow/scripts/tables/pareto.py", *PARETO_METHODS),
        trials=expand(f"{RUN}/pareto/trials.csv", arch=SEARCHING, seed=SEEDS),
    output:
        table("pareto"),
    log:
        f"{LOGS}/pareto.log",
    params:
        goal=pareto(CONFIG)["goal"],
        methods=canonical(CONFIG["prune"]["methods"]),
    shell:
        "python {input.script:q}"
        " --trials {input.trials:q}"
        " --goal {params.goal}"
        " --methods {params.methods:q}"
        " --output {output:q}"
        " --log {log:q}"


rule final_accuracy:
    input:
        script="workflow/scripts/tables/final_accuracy.py",
        code=code("workflow/scripts/tables/final_accuracy.py"),
        alike=ALIKE,
        paper=PAPER,
        predictions=expand(
            variants("predictions/{{testset}}.parquet", arch=MEASURED),
            testset=TESTSETS,
        ),
    output:
        table("final_accuracy"),
    log:
        f"{LOGS}/final_accuracy.log",
    params:
        variants=lambda wc, input: folders(folders(input.predictions)),
        sets=TESTSETS,
    shell:
        "python {input.script:q}"
        " --variants {params.variants:q}"
        " --sets {params.sets:q}"
        " --paper {input.paper:q}"
        " --output {output:q}"
        " --log {log:q}"


rule significance:
    input:
        script="workflow/scripts/tables/significance.py",
        code=code("workflow/scripts/tables/significance.py"),
        alike=ALIKE,
        predictions=expand(
            variants("predictions/{{testset}}.parquet", arch=MEASURED),
            testset=TESTSETS,
        ),
    output:
        table("significance"),
    log:
        f"{LOGS}/significance.log",
    params:
        variants=lambda wc, input: folders(folders(input.predictions)),
        sets=TESTSETS,
        margin=CONFIG["statistics"]["margin"],
        systems=lambda wc: ["--systems", *SYSTEMS] if SYSTEMS else [],
    shell:
        "python {input.script:q}"
        " --variants {params.variants:q}"
        " {params.systems:q}"
        " --sets {params.sets:q}"
        " --margin {params.margin}"
        " --output {output:q}"
        " --log {log:q}"


rule ablation:
    input:
        script="workflow/scripts/tables/ablation.py",
        code=code("workflow/scripts/tables/ablation.py"),
        alike=ALIKE,
        predictions=expand(
            variants("predictions/{{testset}}.parquet"), testset=TESTSETS
        ),
        metas=variants("meta.json"),
    output:
        table("ablation"),
    log:
        f"{LOGS}/ablation.log",
    params:
        variants=lambda wc, input: folders(input.metas),
        sets=TESTSETS,
        margin=CONFIG["statistics"]["margin"],
    shell:
        "python {input.script:q}"
        " --variants {params.variants:q}"
        " --sets {params.sets:q}"
        " --margin {params.margin}"
        " --output {output:q}"
        " --log {log:q}"


rule metrics:
    input:
        script="workflow/scripts/tables/metrics.py",
        code=code("workflow/scripts/tables/metrics.py", *metric_modules()),
        alike=ALIKE,
        predictions=expand(
            variants("predictions/{{testset}}.parquet", arch=MEASURED),
            testset=TESTSETS,
        ),
    output:
        table("metrics"),
    log:
        f"{LOGS}/metrics.log",
    params:
        variants=lambda wc, input: folders(folders(input.predictions)),
        sets=TESTSETS,
    shell:
        "python {input.script:q}"
        " --variants {params.variants:q}"
        " --sets {params.sets:q}"
        " --output {output:q}"
        " --log {log:q}"


rule per_generator:
    input:
        script="workflow/scripts/tables/per_generator.py",
        code=code("workflow/scripts/tables/per_generator.py"),
        alike=ALIKE,
        predictions=expand(
            variants("predictions/{{testset}}.parquet", arch=MEASURED),
            testset=TESTSETS,
        ),
    output:
        table("per_generator"),
    log:
        f"{LOGS}/per_generator.log",
    params:
        variants=lambda wc, input: folders(folders(input.predictions)),
        sets=TESTSETS,
        hold_out=sorted(CONFIG["data"]["hold_out"]),
    shell:
        "python {input.script:q}"
        " --variants {params.variants:q}"
        " --sets {params.sets:q}"
        " --hold-out {params.hold_out:q}"
        " --output {output:q}"
        " --log {log:q}"


rule videos:
    input:
        script="workflow/scripts/tables/videos.py",
        code=code("workflow/scripts/tables/videos.py"),
        alike=ALIKE,
        predictions=expand(
            variants("predictions/{{testset}}.parquet", arch=MEASURED), testset=FRAMED
        ),
    output:
        table("videos"),
    log:
        f"{LOGS}/videos.log",
    params:
        variants=lambda wc, input: folders(folders(input.predictions)),
        sets=FRAMED,
    shell:
        "python {input.script:q}"
        " --variants {params.variants:q}"
        " --sets {params.sets:q}"
        " --output {output:q}"
        " --log {log:q}"


rule audit_metadata:
    input:
        script="workflow/scripts/tables/audit_metadata.py",
        code=code("workflow/scripts/tables/audit_metadata.py"),
        shortcuts=f"{AUDIT}/metadata.parquet",
        metrics=f"{TABLE_DIR}/metrics.csv",
    output:
        table("audit_metadata", "Audit"),
    log:
        f"{LOGS}/audit_metadata.log",
    shell:
        "python {input.script:q}"
        " --shortcuts {input.shortcuts:q}"
        " --metrics {input.metrics:q}"
        " --output {output:q}"
        " --log {log:q}"


rule efficiency:
    input:
        script="workflow/scripts/tables/efficiency.py",
        code=code("workflow/scripts/tables/efficiency.py", *METHOD_MODULES),
        alike=ALIKE,
        paper=PAPER,
        models=variants("model.safetensors"),
        metas=variants("meta.json", arch=MEASURED),
        systems=lambda wc: [file for _, file in loaded_by_systems()],
        latencies=expand(f"{RUN}/latency.csv", arch=MEASURED, seed=SEEDS),
    output:
        table("efficiency"),
    log:
        f"{LOGS}/efficiency.log",
    params:
        variants=lambda wc, input: folders(input.models),
        systems=lambda wc, input: told_systems(input.systems),
    shell:
        "python {input.script:q}"
        " --variants {params.variants:q}"
        " {params.systems:q}"
        " --latencies {input.latencies:q}"
        " --paper {input.paper:q}"
        " --output {output:q}"
        " --log {log:q}"


rule looks:
    input:
        script="workflow/scripts/tables/looks.py",
        code=code("workflow/scripts/tables/looks.py"),
        alike=ALIKE,
        predictions=[
            path
            for testset in TESTSETS
            for path in variants(f"predictions/{testset}.parquet", arch=MEASURED)
        ],
        latencies=expand(f"{RUN}/latency.csv", arch=MEASURED, seed=SEEDS),
    output:
        table("looks"),
    log:
        f"{LOGS}/looks.log",
    params:
        variants=lambda wc, input: folders(folders(input.predictions)),
        sets=TESTSETS,
    shell:
        "python {input.script:q}"
        " --variants {params.variants:q}"
        " --sets {params.sets:q}"
        " --latencies {input.latencies:q}"
        " --output {output:q}"
        " --log {log:q}"


rule environments:
    input:
        script="workflow/scripts/tables/environments.py",
        code=code("workflow/scripts/tables/environments.py"),
        trained=variants("meta.json"),
        members=[
            path
            for place in ["", *PLACES]
            for name in ENSEMBLES
            for path in members("meta.json", name, place=place)
        ],
        protocols=of_protocols("meta.json"),
        fitted=variants("meta.json", arch=CLASSIFIERS),
        protocols_fitted=of_protocols("meta.json", CLASSIFIERS),
        predicted=variants("predictions/provenance.json", arch=MEASURED),
        protocols_predicted=of_protocols("predictions/provenance.json", MEASURED),
        exported=variants("export.json", DEPLOYED, step=left_out.EXPORTS),
        predicted_exported=variants(
            "exported/provenance.json", DEPLOYED, step=left_out.EXPORTS
        ),
    output:
        table("environments"),
    log:
        f"{LOGS}/environments.log",
    params:
        trained=lambda wc, input: folders(
            [*input.trained, *input.members, *input.protocols]
        ),
        fitted=lambda wc, input: folders([*input.fitted, *input.protocols_fitted]),
        predicted=lambda wc, input: folders(
            folders([*input.predicted, *input.protocols_predicted])
        ),
        exported=lambda wc, input: folders(input.exported),
        on_mixed=CONFIG["statistics"]["on_mixed"],
    shell:
        "python {input.script:q}"
        " --trained {params.trained:q}"
        " --fitted {params.fitted:q}"
        " --predicted {params.predicted:q}"
        " --exported {params.exported:q}"
        " --on-mixed {params.on_mixed}"
        " --output {output:q}"
        " --log {log:q}"


rule left_out:
    input:
        script="workflow/scripts/tables/left_out.py",
        code=code("workflow/scripts/tables/left_out.py"),
    output:
        table("left_out"),
    log:
        f"{LOGS}/left_out.log",
    params:
        found=canonical(LEFT_OUT),
    shell:
        "python {input.script:q}"
        " --found {params.found:q}"
        " --output {output:q}"
        " --log {log:q}"


rule prior_work:
    input:
        script="workflow/scripts/tables/prior_work.py",
        code=code("workflow/scripts/tables/prior_work.py"),
        paper=PAPER,
        accuracy=f"{TABLE_DIR}/final_accuracy.csv",
        manifest=MANIFEST,
    output:
        table("prior_work"),
    log:
        f"{LOGS}/prior_work.log",
    shell:
        "python {input.script:q}"
        " --accuracy {input.accuracy:q}"
        " --manifest {input.manifest:q}"
        " --paper {input.paper:q}"
        " --output {output:q}"
        " --log {log:q}"


rule figure_samples:
    input:
        script="workflow/scripts/figures/samples.py",
        code=code("workflow/scripts/figures/samples.py"),
        manifest=MANIFEST,
        images=lambda wc: f"{pack_of(wc.source)}/images.npy",
        index=lambda wc: f"{pack_of(wc.source)}/images.json",
    output:
        figure(
            "samples_{source}.png",
            "samples",
            labels={"figure": "samples", "of": "{source}"},
        ),
    log:
        f"{LOGS}/figure_samples-{{source}}.log",
    params:
        pack=lambda wc, input: Path(input.images).parent,
    shell:
        "python {input.script:q}"
        " --manifest {input.manifest:q}"
        " --pack {params.pack:q}"
        " --source {wildcards.source:q}"
        " --output {output:q}"
        " --log {log:q}"


rule figure_rules:
    input:
        script="workflow/scripts/figures/rules.py",
        code=code("workflow/scripts/figures/rules.py"),
        snakefile="Snakefile",
        rules=sorted(
            str(path.relative_to(ROOT)) for path in ROOT.glob("workflow/rules/*.smk")
        ),
    output:
        figure("rules.svg", "rules", labels={"figure": "rules", "of": "the pipeline"}),
    log:
        f"{LOGS}/figure_rules.log",
    params:
        # Enough to find the images; no other key changes which rules there are.
        config=section("results", "data", *(["protocol"] if PROTOCOL else [])),
        # Each has a rule.
        figures=list(DRAWN),
        # Not the input: in object storage, that is a copy without the schema beside it.
        snakefile=lambda wc: "Snakefile",
    shell:
        "python {input.script:q}"
        " --snakefile {params.snakefile:q}"
        " --config {params.config:q}"
        " --output {output:q}"
        " --log {log:q}"
