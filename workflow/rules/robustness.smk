# Robustness: logits on perturbed images, Grad-CAM sheets, mean spectra.
#
# needs   runs/{arch}/seed{seed}/{branch}/{model.safetensors, predictions/}, the manifest and the packed images; of a
#         system what its predictions need, and these
# gives   runs/{arch}/seed{seed}/{perturbed, gradcam}.parquet, runs/{system}/seed{seed}/perturbed.parquet
#         tables/robustness.csv, figures/{gradcam, spectrum}_*

PROBED = [
    name for name in ("baseline", *BRANCHES) if name in PERTURBED or name in EXPLAINED
]


STEP_MODULES = step_modules(perturbations(CONFIG))


# One job a run: an image is perturbed once for all branches, and torch starts once.
rule probe:
    input:
        script="workflow/scripts/inference/probe.py",
        code=lambda wc: code(
            "workflow/scripts/inference/probe.py", LIBRARY_OF[wc.arch], *STEP_MODULES
        ),
        manifest=MANIFEST,
        packs=packed_for,
        models=run_variants("model.safetensors", PROBED),
        metas=run_variants("meta.json", PROBED),
        predictions=lambda wc: [
            path
            for source in SOURCES
            for path in variants(
                f"predictions/{source}.parquet", PROBED, wc.arch, wc.seed
            )
        ],
    output:
        perturbed=f"{RUN}/perturbed.parquet",
        maps=f"{RUN}/gradcam.parquet",
    log:
        f"{LOGS}/probe-{{arch}}-seed{{seed}}.log",
    benchmark:
        f"{BENCHMARKS}/probe-{{arch}}-seed{{seed}}.tsv"
    threads: CONFIG["runtime"]["threads"]
    resources:
        gpu=GPUS,
        mem_mb=grown(TRAINING_MB, MILLION_MB),
        runtime=grown(360),
    params:
        packs=lambda wc, input: folders(input.packs),
        models=lambda wc, input: by_folder(input.models),
        predictions=lambda wc, input: [
            f"{Path(folder).parent.name}={folder}"
            for folder in folders(input.predictions)
        ],
        perturb=lambda wc: having(wc.arch, PERTURBED, left_out.PERTURBED),
        explain=lambda wc: having(wc.arch, EXPLAINED, left_out.HEAT_MAPS),
        config=canonical(
            {
                "perturbations": perturbations(CONFIG),
                "images": CONFIG["robustness"]["images"],
                "seed": CONFIG["data"]["seed"],
                "looks": LOOKS_RECORD,
                "runtime": inference(TRAINING_MB),
            }
        ),
    shell:
        "python {input.script:q}"
        " --arch {wildcards.arch}"
        " --manifest {input.manifest:q}"
        " --packs {params.packs:q}"
        " --models {params.models:q}"
        " --predictions {params.predictions:q}"
        " --perturb {params.perturb:q}"
        " --explain {params.explain:q}"
        " --config {params.config:q}"
        " --threads {threads}"
        " --perturbed {output.perturbed:q}"
        " --maps {output.maps:q}"
        " --log {log:q}"


rule probe_system:
    input:
        script="workflow/scripts/inference/probe_system.py",
        code=lambda wc: code(
            "workflow/scripts/inference/probe_system.py",
            *library_of_system(wc),
            *STEP_MODULES,
        ),
        manifest=MANIFEST,
        packs=packed_for_system,
        models=lambda wc: asked_of("model.safetensors", wc),
        metas=lambda wc: asked_of("meta.json", wc),
        network=features_of,
        predictions=expand(
            f"{SYSTEM}/baseline/predictions/{{source}}.parquet",
            source=SOURCES,
            allow_missing=True,
        ),
    output:
        perturbed=f"{SYSTEM}/perturbed.parquet",
    log:
        f"{LOGS}/probe_system-{{system}}-seed{{seed}}.log",
    benchmark:
        f"{BENCHMARKS}/probe_system-{{system}}-seed{{seed}}.tsv"
    wildcard_constraints:
        system=one_of(SYSTEMS),
    threads: CONFIG["runtime"]["threads"]
    resources:
        gpu=GPUS,
        mem_mb=grown(PREDICTION_MB, 2 * PREDICTION_MB),
        runtime=grown(360),
    params:
        packs=lambda wc, input: folders(input.packs),
        network=told_features,
        predictions=lambda wc, input: folders(input.predictions)[0],
        config=lambda wc: canonical(
            {
                "system": CONFIG["systems"][wc.system],
                "perturbations": perturbations(CONFIG),
                "images": CONFIG["robustness"]["images"],
                "seed": CONFIG["data"]["seed"],
                "looks": LOOKS_RECORD,
                # of predictions, so that a pass takes as many images
                "runtime": inference(PREDICTION_MB),
            }
        ),
    shell:
        "python {input.script:q}"
        " --manifest {input.manifest:q}"
        " --packs {params.packs:q}"
        " --models {input.models:q}"
        " {params.network:q}"
        " --predictions {params.predictions:q}"
        " --config {params.config:q}"
        " --threads {threads}"
        " --perturbed {output.perturbed:q}"
        " --log {log:q}"


rule robustness:
    input:
        script="workflow/scripts/tables/robustness.py",
        code=code("workflow/scripts/tables/robustness.py"),
        alike=ALIKE,
        perturbed=expand(f"{RUN}/perturbed.parquet", arch=PERTURBING, seed=SEEDS),
        manifest=MANIFEST,
    output:
        table("robustness"),
    log:
        f"{LOGS}/robustness.log",
    params:
        # a list: rows come in the order of the config
        perturbations=canonical(list(perturbations(CONFIG).items())),
        margin=CONFIG["statistics"]["margin"],
        systems=lambda wc: ["--systems", *SYSTEMS] if SYSTEMS else [],
    shell:
        "python {input.script:q}"
        " --inputs {input.perturbed:q}"
        " {params.systems:q}"
        " --manifest {input.manifest:q}"
        " --perturbations {params.perturbations:q}"
        " --margin {params.margin}"
        " --output {output:q}"
        " --log {log:q}"


# All sheets of a run in one job: to start one takes longer than to draw a sheet.
rule figure_gradcam:
    input:
        script="workflow/scripts/figures/gradcam.py",
        code=code("workflow/scripts/figures/gradcam.py"),
        maps=f"{RUN}/gradcam.parquet",
        packs=packed_for,
    output:
        [
            figure(
                f"gradcam_{RUN_NAME}_{branch}_{source}.png",
                "gradcam",
                labels={
                    "figure": f"where {branch} looks",
                    "of": f"{{arch}} seed {{seed}} on {source}",
                },
            )
            for branch in EXPLAINED or ["none"]
            for source in SOURCES
        ],
    log:
        f"{LOGS}/figure_gradcam-{RUN_NAME}.log",
    params:
        packs=lambda wc, input: folders(input.packs),
        sheets=lambda wc, output: [
            f"{branch}:{source}={path}"
            for (branch, source), path in zip(
                [(branch, source) for branch in EXPLAINED for source in SOURCES],
                output,
            )
        ],
        left_out=lambda wc: list(LEFT_OUT[wc.arch]),
    shell:
        "python {input.script:q}"
        " --maps {input.maps:q}"
        " --packs {params.packs:q}"
        " --left-out {params.left_out:q}"
        " --title '{wildcards.arch}, seed {wildcards.seed}'"
        " --sheets {params.sheets:q}"
        " --log {log:q}"


# All sources in one job: to start one takes longer than to draw a figure.
rule figure_spectrum:
    input:
        script="workflow/scripts/figures/spectrum.py",
        code=code("workflow/scripts/figures/spectrum.py"),
        manifest=MANIFEST,
        packs=packed(),
    output:
        [
            figure(
                f"spectrum_{source}.svg",
                "spectrum",
                labels={"figure": "mean spectra", "of": source},
            )
            for source in SOURCES
        ],
    log:
        f"{LOGS}/figure_spectrum.log",
    params:
        packs=lambda wc, input: folders(input.packs),
        seed=CONFIG["data"]["seed"],
        figures=lambda wc, output: [
            f"{source}={path}" for source, path in zip(SOURCES, output)
        ],
    shell:
        "python {input.script:q}"
        " --manifest {input.manifest:q}"
        " --packs {params.packs:q}"
        " --seed {params.seed}"
        " --figures {params.figures:q}"
        " --log {log:q}"
