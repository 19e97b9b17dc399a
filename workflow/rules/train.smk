# Baselines: one network from scratch for each architecture and seed.
#
# needs   data/manifest.parquet and the packed images
# gives   runs/{arch}/seed{seed}/baseline/{model.safetensors, meta.json, history.csv}


rule baseline:
    input:
        script="workflow/scripts/training/baseline.py",
        code=lambda wc: code(
            "workflow/scripts/training/baseline.py",
            LIBRARY_OF[wc.arch],
            *STEPS_OF["train"],
        ),
        manifest=MANIFEST,
        packs=packed(),
    output:
        model=f"{RUN}/baseline/model.safetensors",
        meta=f"{RUN}/baseline/meta.json",
        history=f"{RUN}/baseline/history.csv",
    log:
        f"{LOGS}/baseline-{{arch}}-seed{{seed}}.log",
    benchmark:
        f"{BENCHMARKS}/baseline-{{arch}}-seed{{seed}}.tsv"
    priority: AHEAD
    threads: CONFIG["runtime"]["threads"]
    resources:
        gpu=GPUS * CONFIG["train"]["gpus"],
        mem_mb=grown(TRAINING_MB, MILLION_MB),
        runtime=1440,  # goes on from its resume state
    params:
        packs=lambda wc, input: folders(input.packs),
        config=section(
            recipe=recipe(CONFIG, "train"), runtime={**RUNTIME, "memory": TRAINING_MB}
        ),
        state=f"{STATE}/baseline-{{arch}}-seed{{seed}}",
    shell:
        "python {input.script:q}"
        " --arch {wildcards.arch}"
        " --seed {wildcards.seed}"
        " --config {params.config:q}"
        " --manifest {input.manifest:q}"
        " --packs {params.packs:q}"
        " --threads {threads}"
        " --gpus {resources.gpu}"
        " --state {params.state:q}"
        " --model {output.model:q}"
        " --meta {output.meta:q}"
        " --history {output.history:q}"
        " --log {log:q}"
