# Pruned branches: search optimizer and learning rate on the pruned baseline, then prune it again and fine-tune.
#
# needs   runs/{arch}/seed{seed}/baseline/model.safetensors, the manifest and the packed images
# gives   runs/{arch}/seed{seed}/{branch}/{model.safetensors, meta.json, history.csv, hpo/best.json, hpo/trials.csv}
#         runs/{arch}/seed{seed}/{branch}/hpo/journal.log   Optuna's journal: undeclared, so that it outlives a job.
#         Its study is named by all that a search depends on; a finished one is never searched again
#         A matched control has no hpo/: it is fine-tuned with what another branch's search found

# Nothing reads what a further worker leaves, so their number makes no stage stale. They are asked for where a
# search has no result yet.
WORKER = f"{VARIANT}/hpo/worker{{worker}}.done"
FURTHER_WORKERS = [
    marker
    for best in variants("hpo/best.json", SEARCHED)
    for marker in expand(
        Path(best).with_name("worker{worker}.done"),
        worker=range(1, CONFIG["search"]["workers"]),
    )
    if not Path(best).exists()
]


rule search:
    input:
        script="workflow/scripts/training/search.py",
        code=lambda wc: code(
            "workflow/scripts/training/search.py", *METHOD_OF[wc.branch]
        ),
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
        branch="|".join(SEARCHED),
    priority: AHEAD
    threads: CONFIG["runtime"]["threads"]
    resources:
        gpu=GPUS,
        mem_mb=grown(TRAINING_MB, MILLION_MB),
        runtime=1440,  # goes on from its resume state
    params:
        packs=lambda wc, input: folders(input.packs),
        branch=lambda wc: canonical(BRANCHES[wc.branch]),
        config=section(
            search=space(CONFIG),
            recipe=recipe(CONFIG, "search"),
            runtime={**RUNTIME, "memory": TRAINING_MB},
        ),
        state=f"{STATE}/search-{{arch}}-seed{{seed}}-{{branch}}",
        journal=f"{VARIANT}/hpo/journal.log",
        role=lambda wc, output: (
            ["--worker", wc.worker]
            if "worker" in wc.keys()
            else ["--best", output.best, "--trials", output.trials]
        ),
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
        " --journal {params.journal:q}"
        " {params.role:q}"
        " --log {log:q}"


# A further worker: adds trials to the journal for as long as there are any to take.
use rule search as search_worker with:
    output:
        temp(touch(WORKER)),
    log:
        f"{LOGS}/search-{{arch}}-seed{{seed}}-{{branch}}-worker{{worker}}.log",
    benchmark:
        f"{BENCHMARKS}/search-{{arch}}-seed{{seed}}-{{branch}}-worker{{worker}}.tsv"


rule finetune:
    input:
        script="workflow/scripts/training/finetune.py",
        code=lambda wc: code(
            "workflow/scripts/training/finetune.py", *METHOD_OF[wc.branch]
        ),
        manifest=MANIFEST,
        packs=packed(),
        baseline=f"{RUN}/baseline/model.safetensors",
        best=lambda wc: variants(
            "hpo/best.json",
            BRANCHES[wc.branch].get("hyperparameters_of", wc.branch),
            wc.arch,
            wc.seed,
        ),
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
    priority: AHEAD
    threads: CONFIG["runtime"]["threads"]
    resources:
        gpu=GPUS * CONFIG["train"]["gpus"],
        mem_mb=grown(TRAINING_MB, MILLION_MB),
        runtime=1440,  # goes on from its resume state
    params:
        packs=lambda wc, input: folders(input.packs),
        branch=lambda wc: canonical(BRANCHES[wc.branch]),
        config=section(
            recipe=recipe(CONFIG, "finetune"),
            runtime={**RUNTIME, "memory": TRAINING_MB},
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
        " --gpus {resources.gpu}"
        " --state {params.state:q}"
        " --model {output.model:q}"
        " --meta {output.meta:q}"
        " --history {output.history:q}"
        " --log {log:q}"
