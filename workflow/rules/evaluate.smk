# Evaluation: each variant's logits and latency.
#
# needs   runs/{arch}/seed{seed}/{branch}/model.safetensors, the manifest and the packed images
# gives   runs/{arch}/seed{seed}/{branch}/predictions/{valid, source …}.parquet   one logit per image
#         The same below protocols/{kept_out}/ for each network of a protocol
#         runs/{arch}/seed{seed}/latency.csv                                      all branches, interleaved
#         runs/{system}/seed{seed}/latency.csv                                    a system by itself


rule predict:
    input:
        script="workflow/scripts/inference/predict.py",
        code=lambda wc: code(
            "workflow/scripts/inference/predict.py", LIBRARY_OF[wc.arch]
        ),
        manifest=ANY_MANIFEST,
        packs=packed_for,
        model=f"{ANY_VARIANT}/model.safetensors",
        meta=f"{ANY_VARIANT}/meta.json",
    output:
        predictions=expand(
            f"{ANY_VARIANT}/predictions/{{testset}}.parquet",
            testset=TESTSETS,
            allow_missing=True,
        ),
        provenance=f"{ANY_VARIANT}/predictions/provenance.json",
    log:
        f"{LOGS}/{{place}}predict-{{arch}}-seed{{seed}}-{{branch}}.log",
    benchmark:
        f"{BENCHMARKS}/{{place}}predict-{{arch}}-seed{{seed}}-{{branch}}.tsv"
    priority: AHEAD
    threads: CONFIG["runtime"]["threads"]
    resources:
        gpu=GPUS,
        mem_mb=grown(PREDICTION_MB, MILLION_MB),
        runtime=grown(120, 60),
    params:
        packs=lambda wc, input: folders(input.packs),
        folder=lambda wc, output: folders(output.predictions)[0],
        runtime=canonical(inference(PREDICTION_MB)),
        looks=TOLD_LOOKS,
    shell:
        "python {input.script:q}"
        " --arch {wildcards.arch}"
        " --manifest {input.manifest:q}"
        " --packs {params.packs:q}"
        " --model {input.model:q}"
        " --runtime {params.runtime:q}"
        " {params.looks:q}"
        " --threads {threads}"
        " --folder {params.folder:q}"
        " --log {log:q}"


rule latency:
    input:
        script="workflow/scripts/inference/latency.py",
        code=lambda wc: code(
            "workflow/scripts/inference/latency.py", LIBRARY_OF[wc.arch]
        ),
        models=run_variants("model.safetensors"),
    output:
        latency=f"{RUN}/latency.csv",
    log:
        f"{LOGS}/latency-{{arch}}-seed{{seed}}.log",
    benchmark:
        f"{BENCHMARKS}/latency-{{arch}}-seed{{seed}}.tsv"
    # All cores of this machine, whatever it uses: another job beside it would be in the times.
    threads: CORES or CONFIG["runtime"]["threads"]
    resources:
        gpu=GPUS,
        mem_mb=grown(8000),
        runtime=grown(60),
    params:
        threads=CONFIG["runtime"]["threads"],
        models=lambda wc, input: by_folder(input.models),
        config=section(
            "latency",
            size=CONFIG["images"]["size"],
            device=RUNTIME["device"],
            looks=LOOKS_COUNT,
        ),
    shell:
        "python {input.script:q}"
        " --arch {wildcards.arch}"
        " --models {params.models:q}"
        " --config {params.config:q}"
        " --threads {params.threads}"
        " --latency {output.latency:q}"
        " --log {log:q}"


rule latency_system:
    input:
        script="workflow/scripts/inference/latency_system.py",
        code=lambda wc: code(
            "workflow/scripts/inference/latency_system.py", *library_of_system(wc)
        ),
        models=lambda wc: asked_of("model.safetensors", wc),
        metas=lambda wc: asked_of("meta.json", wc),
        network=features_of,
    output:
        latency=f"{SYSTEM}/latency.csv",
    log:
        f"{LOGS}/latency_system-{{system}}-seed{{seed}}.log",
    benchmark:
        f"{BENCHMARKS}/latency_system-{{system}}-seed{{seed}}.tsv"
    wildcard_constraints:
        system=one_of(SYSTEMS),
    # as above
    threads: CORES or CONFIG["runtime"]["threads"]
    resources:
        gpu=GPUS,
        mem_mb=grown(8000),
        runtime=grown(60),
    params:
        threads=CONFIG["runtime"]["threads"],
        network=told_features,
        config=lambda wc: section(
            "latency",
            system=CONFIG["systems"][wc.system],
            size=CONFIG["images"]["size"],
            device=RUNTIME["device"],
            looks=LOOKS_COUNT,
        ),
    shell:
        "python {input.script:q}"
        " --models {input.models:q}"
        " {params.network:q}"
        " --config {params.config:q}"
        " --threads {params.threads}"
        " --latency {output.latency:q}"
        " --log {log:q}"
