# A pruned branch: search optimizer and learning rate on the pruned baseline, then prune it again and fine-tune.
#
# needs   runs/{arch}/seed{seed}/baseline/model.safetensors, the manifest and the packed images
# gives   runs/{arch}/seed{seed}/{branch}/{model.safetensors, meta.json, history.csv, hpo/best.json, hpo/trials.csv}


rule search:
    input:
        script="workflow/scripts/search.py",
        code=code("workflow/scripts/search.py"),
        manifest=MANIFEST,
        packs=packed(),
        baseline=f"{RUN}/baseline/model.safetensors",
    output:
        best=f"{VARIANT}/hpo/best.json",
        trials=f"{VARIANT}/hpo/trials.csv",
    log:
        f"{LOGS}/search-{{arch}}-seed{{seed}}-{{branch}}.log",
    benchmark:
        f"{BENCHMARKS}/search-{{arch}}-seed{{seed}}-{{branch}}.tsv"
    wildcard_constraints:
        branch="|".join(BRANCHES),
    threads: CONFIG["runtime"]["threads"]
    resources:
        gpu=GPUS,
        mem_mb=16000,
        runtime=1440,
    params:
        packs=lambda wc, input: folders(input.packs),
        branch=lambda wc: canonical(BRANCHES[wc.branch]),
        config=section("search", flip=CONFIG["train"]["flip"], runtime=RUNTIME),
        state=f"{STATE}/search-{{arch}}-seed{{seed}}-{{branch}}",
    shell:
        "python {input.script:q}"
        " --arch {wildcards.arch}"
        " --seed {wildcards.seed}"
        " --branch {wildcards.branch}"
        " --pruning {params.branch:q}"
        " --config {params.config:q}"
        " --manifest {input.manifest:q}"
        " --packs {params.packs:q}"
        " --baseline {input.baseline:q}"
        " --threads {threads}"
        " --state {params.state:q}"
        " --best {output.best:q}"
        " --trials {output.trials:q}"
        " --log {log:q}"


rule finetune:
    input:
        script="workflow/scripts/finetune.py",
        code=code("workflow/scripts/finetune.py"),
        manifest=MANIFEST,
        packs=packed(),
        baseline=f"{RUN}/baseline/model.safetensors",
        best=f"{VARIANT}/hpo/best.json",
    output:
        model=f"{VARIANT}/model.safetensors",
        meta=f"{VARIANT}/meta.json",
        history=f"{VARIANT}/history.csv",
    log:
        f"{LOGS}/finetune-{{arch}}-seed{{seed}}-{{branch}}.log",
    benchmark:
        f"{BENCHMARKS}/finetune-{{arch}}-seed{{seed}}-{{branch}}.tsv"
    wildcard_constraints:
        branch="|".join(BRANCHES),
    threads: CONFIG["runtime"]["threads"]
    resources:
        gpu=GPUS,
        mem_mb=16000,
        runtime=1440,
    params:
        packs=lambda wc, input: folders(input.packs),
        branch=lambda wc: canonical(BRANCHES[wc.branch]),
        config=section(
            "finetune",
            flip=CONFIG["train"]["flip"],
            momentum=CONFIG["search"]["momentum"],
            runtime=RUNTIME,
        ),
        state=f"{STATE}/finetune-{{arch}}-seed{{seed}}-{{branch}}",
    shell:
        "python {input.script:q}"
        " --arch {wildcards.arch}"
        " --seed {wildcards.seed}"
        " --branch {wildcards.branch}"
        " --pruning {params.branch:q}"
        " --config {params.config:q}"
        " --manifest {input.manifest:q}"
        " --packs {params.packs:q}"
        " --baseline {input.baseline:q}"
        " --best {input.best:q}"
        " --threads {threads}"
        " --state {params.state:q}"
        " --model {output.model:q}"
        " --meta {output.meta:q}"
        " --history {output.history:q}"
        " --log {log:q}"
