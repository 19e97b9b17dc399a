# Systems: classifiers on features of images. Each has a baseline alone, and passes through the tables of predictions.
#
# needs   the manifest and the packed images; of a network's features its trained baseline, or what it starts from
# gives   runs/{system}/seed{seed}/baseline/{model.safetensors, meta.json, predictions/}


rule classifier:
    input:
        script="workflow/scripts/training/classifier.py",
        code=lambda wc: code(
            "workflow/scripts/training/classifier.py", *library_of_system(wc)
        ),
        manifest=MANIFEST,
        packs=packed(),
        network=features_of,
    output:
        model=f"{SYSTEM}/baseline/model.safetensors",
        meta=f"{SYSTEM}/baseline/meta.json",
    log:
        f"{LOGS}/classifier-{{system}}-seed{{seed}}.log",
    benchmark:
        f"{BENCHMARKS}/classifier-{{system}}-seed{{seed}}.tsv"
    wildcard_constraints:
        system="|".join(CLASSIFIERS) or "-",
    priority: AHEAD
    threads: CONFIG["runtime"]["threads"]
    resources:
        gpu=GPUS,
        mem_mb=grown(TRAINING_MB, 2 * TRAINING_MB),
        runtime=1440,
    params:
        packs=lambda wc, input: folders(input.packs),
        config=lambda wc: canonical(
            {
                "system": CONFIG["systems"][wc.system],
                "start": started_by(systems.network(CONFIG["systems"][wc.system])),
                "runtime": inference(TRAINING_MB),
            }
        ),
        network=told_features,
    shell:
        "python {input.script:q}"
        " --system {wildcards.system}"
        " --seed {wildcards.seed}"
        " --config {params.config:q}"
        " --manifest {input.manifest:q}"
        " --packs {params.packs:q}"
        " {params.network:q}"
        " --threads {threads}"
        " --model {output.model:q}"
        " --meta {output.meta:q}"
        " --log {log:q}"


rule predict_classifier:
    input:
        script="workflow/scripts/inference/predict_classifier.py",
        code=lambda wc: code(
            "workflow/scripts/inference/predict_classifier.py", *library_of_system(wc)
        ),
        manifest=MANIFEST,
        packs=packed(),
        model=f"{SYSTEM}/baseline/model.safetensors",
        meta=f"{SYSTEM}/baseline/meta.json",
        network=features_of,
    output:
        predictions=expand(
            f"{SYSTEM}/baseline/predictions/{{testset}}.parquet",
            testset=TESTSETS,
            allow_missing=True,
        ),
        provenance=f"{SYSTEM}/baseline/predictions/provenance.json",
    log:
        f"{LOGS}/predict_classifier-{{system}}-seed{{seed}}.log",
    benchmark:
        f"{BENCHMARKS}/predict_classifier-{{system}}-seed{{seed}}.tsv"
    wildcard_constraints:
        system="|".join(CLASSIFIERS) or "-",
    priority: AHEAD
    threads: CONFIG["runtime"]["threads"]
    resources:
        gpu=GPUS,
        mem_mb=grown(PREDICTION_MB, 2 * PREDICTION_MB),
        runtime=grown(120, 60),
    params:
        packs=lambda wc, input: folders(input.packs),
        folder=lambda wc, output: folders(output.predictions)[0],
        runtime=canonical(inference(PREDICTION_MB)),
        network=told_features,
    shell:
        "python {input.script:q}"
        " --manifest {input.manifest:q}"
        " --packs {params.packs:q}"
        " --model {input.model:q}"
        " {params.network:q}"
        " --runtime {params.runtime:q}"
        " --threads {threads}"
        " --folder {params.folder:q}"
        " --log {log:q}"
