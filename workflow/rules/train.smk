# Baselines: one network for each architecture and seed, from scratch or from weights.
#
# needs   data/manifest.parquet and the packed images
# gives   runs/{arch}/seed{seed}/baseline/{model.safetensors, meta.json, history.csv}
#         The same below protocols/{kept_out}/, with the manifest there, for each network of a protocol


rule baseline:
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
        model=f"{ANY_RUN}/baseline/model.safetensors",
        meta=f"{ANY_RUN}/baseline/meta.json",
        history=f"{ANY_RUN}/baseline/history.csv",
    log:
        f"{LOGS}/{{place}}baseline-{{arch}}-seed{{seed}}.log",
    benchmark:
        f"{BENCHMARKS}/{{place}}baseline-{{arch}}-seed{{seed}}.tsv"
    priority: AHEAD
    threads: CONFIG["runtime"]["threads"]
    resources:
        gpu=GPUS * CONFIG["train"]["gpus"],
        mem_mb=grown(TRAINING_MB, MILLION_MB),
        runtime=1440,  # goes on from its resume state
    params:
        packs=lambda wc, input: folders(input.packs),
        config=lambda wc: section(
            **first_training(wc.arch), runtime={**RUNTIME, "memory": TRAINING_MB}
        ),
        start=lambda wc, input: ["--start", *input.start] if input.start else [],
        state=f"{STATE}/{{place}}baseline-{{arch}}-seed{{seed}}",
    shell:
        "python {input.script:q}"
        " --arch {wildcards.arch}"
        " --seed {wildcards.seed}"
        " --config {params.config:q}"
        " --manifest {input.manifest:q}"
        " --packs {params.packs:q}"
        " {params.start:q}"
        " --threads {threads}"
        " --gpus {resources.gpu}"
        " --state {params.state:q}"
        " --model {output.model:q}"
        " --meta {output.meta:q}"
        " --history {output.history:q}"
        " --log {log:q}"
