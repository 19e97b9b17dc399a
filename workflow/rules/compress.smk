# Pruned branches: search optimizer and learning rate on the pruned baseline, then prune it again and fine-tune.
#
# needs   runs/{arch}/seed{seed}/baseline/model.safetensors, the manifest and the packed images
# gives   runs/{arch}/seed{seed}/{branch}/{model.safetensors, meta.json, history.csv, hpo/best.json, hpo/trials.csv}
#         runs/{arch}/seed{seed}/{branch}/hpo/journal.log   Optuna's journal: undeclared, so that it outlives a job.
#         Its study is named by all that a search depends on; a finished one is never searched again
#         A matched control has no hpo/: it is fine-tuned with what another branch's search found
#         With `search.share: all` there is one search for all branches of a run, of the dense control, in the run's hpo/
#         The same below protocols/{kept_out}/, where a protocol asks for branches
#         runs/{arch}/seed{seed}/pareto/{trials.csv, journal.log}   of `search.goals`, where there are any

# Nothing reads what a further worker leaves, so their number makes no stage stale. They are asked for where a
# search has no result yet.
SHARED_SEARCH = SHARED in SEARCHES
HPO = f"{ANY_RUN}/hpo" if SHARED_SEARCH else f"{ANY_VARIANT}/hpo"
SEARCH = "search-{arch}-seed{seed}" + ("" if SHARED_SEARCH else "-{branch}")
FURTHER_WORKERS = [
    marker
    for best in searched("best.json")
    for marker in expand(
        Path(best).with_name("worker{worker}.done"),
        worker=range(1, CONFIG["search"]["workers"]),
    )
    if not Path(best).exists()
]

if CONFIG["search"]["goals"]:
    FURTHER_WORKERS += [
        str(Path(trials).with_name(f"worker{worker}.done"))
        for trials in expand(f"{RUN}/pareto/trials.csv", arch=SEARCHING, seed=SEEDS)
        for worker in range(1, CONFIG["search"]["workers"])
        if not Path(trials).exists()
    ]
PARETO_METHODS = [methods.module(method) for method in pareto(CONFIG)["methods"]]


rule search:
    input:
        script="workflow/scripts/training/search.py",
        code=lambda wc: code(
            "workflow/scripts/training/search.py",
            LIBRARY_OF[wc.arch],
            methods.module(tried(wc)["method"]),
            *STEPS_OF["search"],
        ),
        manifest=ANY_MANIFEST,
        packs=packed_for,
        baseline=f"{ANY_RUN}/baseline/model.safetensors",
        meta=f"{ANY_RUN}/baseline/meta.json",
    output:
        best=f"{HPO}/best.json",
        trials=f"{HPO}/trials.csv",
    log:
        f"{LOGS}/{{place}}{SEARCH}.log",
    benchmark:
        f"{BENCHMARKS}/{{place}}{SEARCH}.tsv"
    wildcard_constraints:
        branch="|".join(SEARCHES) or "-",
    priority: AHEAD
    threads: CONFIG["runtime"]["threads"]
    resources:
        gpu=GPUS,
        mem_mb=grown(TRAINING_MB, MILLION_MB),
        runtime=1440,  # goes on from its resume state
    params:
        packs=lambda wc, input: folders(input.packs),
        branch=search_of,
        pruning=lambda wc: canonical(tried(wc)),
        config=section(
            search=space(CONFIG),
            recipe=recipe(CONFIG, "search"),
            runtime={**RUNTIME, "memory": TRAINING_MB},
        ),
        state=f"{STATE}/{{place}}{SEARCH}",
        journal=f"{HPO}/journal.log",
        role=lambda wc, output: (
            ["--worker", wc.worker]
            if "worker" in wc.keys()
            else ["--best", output.best, "--trials", output.trials]
        ),
    shell:
        "python {input.script:q}"
        " --arch {wildcards.arch}"
        " --seed {wildcards.seed}"
        " --branch {params.branch}"
        " --pruning {params.pruning:q}"
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
        temp(touch(f"{HPO}/worker{{worker}}.done")),
    log:
        f"{LOGS}/{{place}}{SEARCH}-worker{{worker}}.log",
    benchmark:
        f"{BENCHMARKS}/{{place}}{SEARCH}-worker{{worker}}.tsv"


# One more search for each architecture and seed, of pruning method and share too; what it finds becomes a branch
# when its method and share are written into `prune.methods`.
rule search_pareto:
    input:
        script="workflow/scripts/training/search_pareto.py",
        code=lambda wc: code(
            "workflow/scripts/training/search_pareto.py",
            LIBRARY_OF[wc.arch],
            *PARETO_METHODS,
            *STEPS_OF["search"],
        ),
        manifest=MANIFEST,
        packs=packed_for,
        baseline=f"{RUN}/baseline/model.safetensors",
        meta=f"{RUN}/baseline/meta.json",
    output:
        trials=f"{RUN}/pareto/trials.csv",
    log:
        f"{LOGS}/search-{{arch}}-seed{{seed}}-pareto.log",
    benchmark:
        f"{BENCHMARKS}/search-{{arch}}-seed{{seed}}-pareto.tsv"
    priority: AHEAD
    threads: CONFIG["runtime"]["threads"]
    resources:
        gpu=GPUS,
        mem_mb=grown(TRAINING_MB, MILLION_MB),
        runtime=1440,  # goes on from its resume state
    params:
        packs=lambda wc, input: folders(input.packs),
        config=lambda wc: section(
            pareto=pareto_of(wc.arch),
            recipe=recipe(CONFIG, "search"),
            latency=CONFIG["latency"] if pareto(CONFIG)["goal"] == "latency" else None,
            runtime={**RUNTIME, "memory": TRAINING_MB},
        ),
        state=f"{STATE}/search-{{arch}}-seed{{seed}}-pareto",
        journal=f"{RUN}/pareto/journal.log",
        role=lambda wc, output: (
            ["--worker", wc.worker]
            if "worker" in wc.keys()
            else ["--trials", output.trials]
        ),
    shell:
        "python {input.script:q}"
        " --arch {wildcards.arch}"
        " --seed {wildcards.seed}"
        " --config {params.config:q}"
        " --manifest {input.manifest:q}"
        " --packs {params.packs:q}"
        " --baseline {input.baseline:q}"
        " --threads {threads}"
        " --state {params.state:q}"
        " --journal {params.journal:q}"
        " {params.role:q}"
        " --log {log:q}"


use rule search_pareto as search_pareto_worker with:
    output:
        temp(touch(f"{RUN}/pareto/worker{{worker}}.done")),
    log:
        f"{LOGS}/search-{{arch}}-seed{{seed}}-pareto-worker{{worker}}.log",
    benchmark:
        f"{BENCHMARKS}/search-{{arch}}-seed{{seed}}-pareto-worker{{worker}}.tsv"


rule finetune:
    input:
        script="workflow/scripts/training/finetune.py",
        code=lambda wc: code(
            "workflow/scripts/training/finetune.py",
            LIBRARY_OF[wc.arch],
            *TEACHER_LIBRARY,
            *METHOD_OF[wc.branch],
            *STEPS_OF["finetune"],
        ),
        manifest=ANY_MANIFEST,
        packs=packed_for,
        baseline=f"{ANY_RUN}/baseline/model.safetensors",
        meta=f"{ANY_RUN}/baseline/meta.json",
        best=found_by,
        teacher=teacher_of,
    output:
        model=f"{ANY_VARIANT}/model.safetensors",
        meta=f"{ANY_VARIANT}/meta.json",
        history=f"{ANY_VARIANT}/history.csv",
    log:
        f"{LOGS}/{{place}}finetune-{{arch}}-seed{{seed}}-{{branch}}.log",
    benchmark:
        f"{BENCHMARKS}/{{place}}finetune-{{arch}}-seed{{seed}}-{{branch}}.tsv"
    wildcard_constraints:
        branch="|".join(BRANCHES) or "-",
    priority: AHEAD
    threads: CONFIG["runtime"]["threads"]
    resources:
        gpu=GPUS * CONFIG["train"]["gpus"],
        mem_mb=grown(TRAINING_MB, MILLION_MB),
        runtime=1440,  # goes on from its resume state
    params:
        packs=lambda wc, input: folders(input.packs),
        branch=lambda wc: canonical(BRANCHES[wc.branch]),
        config=lambda wc: section(
            recipe=recipe(CONFIG, "finetune"),
            distill=distill(wc.branch),
            runtime={**RUNTIME, "memory": TRAINING_MB},
        ),
        teacher=lambda wc, input: (
            ["--teacher", input.teacher[0]] if input.teacher else []
        ),
        state=f"{STATE}/{{place}}finetune-{{arch}}-seed{{seed}}-{{branch}}",
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
        " {params.teacher:q}"
        " --threads {threads}"
        " --gpus {resources.gpu}"
        " --state {params.state:q}"
        " --model {output.model:q}"
        " --meta {output.meta:q}"
        " --history {output.history:q}"
        " --log {log:q}"
