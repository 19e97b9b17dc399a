# Systems: classifiers on features of images, and means of networks. Each has a baseline alone, which passes through the
# tables of predictions.
#
# needs   the manifest and the packed images; of a network's features its trained baseline, or what it starts from
# gives   runs/{system}/seed{seed}/baseline/{model.safetensors, meta.json, predictions/}
#         runs/{system}/seed{seed}/{arch}-{part}/{model.safetensors, meta.json, history.csv}   of a mean, which has no
#         model.safetensors of its own
#         The same below protocols/{kept_out}/, with the manifest and the networks there


rule classifier:
    input:
        script="workflow/scripts/training/classifier.py",
        code=lambda wc: code(
            "workflow/scripts/training/classifier.py", *library_of_system(wc)
        ),
        manifest=ANY_MANIFEST,
        packs=packed_for_system,
        network=features_of,
    output:
        model=f"{ANY_SYSTEM}/baseline/model.safetensors",
        meta=f"{ANY_SYSTEM}/baseline/meta.json",
    log:
        f"{LOGS}/{{place}}classifier-{{system}}-seed{{seed}}.log",
    benchmark:
        f"{BENCHMARKS}/{{place}}classifier-{{system}}-seed{{seed}}.tsv"
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
        looks=TOLD_LOOKS,
    shell:
        "python {input.script:q}"
        " --system {wildcards.system}"
        " --seed {wildcards.seed}"
        " --config {params.config:q}"
        " --manifest {input.manifest:q}"
        " --packs {params.packs:q}"
        " {params.network:q}"
        " {params.looks:q}"
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
        manifest=ANY_MANIFEST,
        packs=packed_for_system,
        model=f"{ANY_SYSTEM}/baseline/model.safetensors",
        meta=f"{ANY_SYSTEM}/baseline/meta.json",
        network=features_of,
    output:
        predictions=expand(
            f"{ANY_SYSTEM}/baseline/predictions/{{testset}}.parquet",
            testset=TESTSETS,
            allow_missing=True,
        ),
        provenance=f"{ANY_SYSTEM}/baseline/predictions/provenance.json",
    log:
        f"{LOGS}/{{place}}predict_classifier-{{system}}-seed{{seed}}.log",
    benchmark:
        f"{BENCHMARKS}/{{place}}predict_classifier-{{system}}-seed{{seed}}.tsv"
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
        looks=TOLD_LOOKS,
        network=told_features,
    shell:
        "python {input.script:q}"
        " --manifest {input.manifest:q}"
        " --packs {params.packs:q}"
        " --model {input.model:q}"
        " {params.network:q}"
        " --runtime {params.runtime:q}"
        " {params.looks:q}"
        " --threads {threads}"
        " --folder {params.folder:q}"
        " --log {log:q}"


# Each goes on from a state of its own.
use rule baseline as expert with:
    input:
        script="workflow/scripts/training/baseline.py",
        code=lambda wc: code(
            "workflow/scripts/training/baseline.py",
            *architectures.modules(wc.arch),
            *STEPS_OF["train"],
        ),
        manifest=ANY_MANIFEST,
        packs=packed_for,
        start=start_file,
    output:
        model=f"{MEMBER}/model.safetensors",
        meta=f"{MEMBER}/meta.json",
        history=f"{MEMBER}/history.csv",
    log:
        f"{LOGS}/{{place}}baseline-{{system}}-seed{{seed}}-{{arch}}-{{part}}.log",
    benchmark:
        f"{BENCHMARKS}/{{place}}baseline-{{system}}-seed{{seed}}-{{arch}}-{{part}}.tsv"
    wildcard_constraints:
        system="|".join(ENSEMBLES) or "-",
        arch="|".join(map(re.escape, NETWORKS)),
        part=r"\d+",
    params:
        packs=lambda wc, input: folders(input.packs),
        config=lambda wc: section(
            **first_training(wc.arch),
            part={
                "number": int(wc.part),
                "of": CONFIG["systems"][wc.system]["parts"],
            },
            runtime={**RUNTIME, "memory": TRAINING_MB},
        ),
        start=lambda wc, input: ["--start", *input.start] if input.start else [],
        state=f"{STATE}/{{place}}baseline-{{system}}-seed{{seed}}-{{arch}}-{{part}}",


rule predict_mean:
    input:
        script="workflow/scripts/inference/predict_mean.py",
        code=lambda wc: code(
            "workflow/scripts/inference/predict_mean.py", *library_of_system(wc)
        ),
        manifest=ANY_MANIFEST,
        packs=packed_for_system,
        models=lambda wc: members("model.safetensors", wc.system, wc.seed, wc.place),
        metas=lambda wc: members("meta.json", wc.system, wc.seed, wc.place),
    output:
        predictions=expand(
            f"{ANY_SYSTEM}/baseline/predictions/{{testset}}.parquet",
            testset=TESTSETS,
            allow_missing=True,
        ),
        provenance=f"{ANY_SYSTEM}/baseline/predictions/provenance.json",
        meta=f"{ANY_SYSTEM}/baseline/meta.json",
    log:
        f"{LOGS}/{{place}}predict_mean-{{system}}-seed{{seed}}.log",
    benchmark:
        f"{BENCHMARKS}/{{place}}predict_mean-{{system}}-seed{{seed}}.tsv"
    wildcard_constraints:
        system="|".join(ENSEMBLES) or "-",
    priority: AHEAD
    threads: CONFIG["runtime"]["threads"]
    resources:
        gpu=GPUS,
        mem_mb=grown(PREDICTION_MB, MILLION_MB),
        runtime=grown(240, 240),
    params:
        packs=lambda wc, input: folders(input.packs),
        system=lambda wc: canonical(CONFIG["systems"][wc.system]),
        folder=lambda wc, output: folders(output.predictions)[0],
        runtime=canonical(inference(PREDICTION_MB)),
        looks=TOLD_LOOKS,
    shell:
        "python {input.script:q}"
        " --name {wildcards.system}"
        " --seed {wildcards.seed}"
        " --system {params.system:q}"
        " --manifest {input.manifest:q}"
        " --packs {params.packs:q}"
        " --models {input.models:q}"
        " --runtime {params.runtime:q}"
        " {params.looks:q}"
        " --threads {threads}"
        " --folder {params.folder:q}"
        " --meta {output.meta:q}"
        " --log {log:q}"
