# Deployment: export each variant to smaller and faster files; check, time and bundle them. CPU only.
#
# needs   runs/{arch}/seed{seed}/{branch}/{model.safetensors, meta.json, predictions/}, the manifest and the packed images
# gives   runs/{arch}/seed{seed}/{branch}/bundle/     what one ships: ONNX and sparse files, card, example, checksums
#         runs/{arch}/seed{seed}/{branch}/exported/   logits of each exported file
#         runs/{arch}/seed{seed}/deployment_latency.csv, tables/deployment.csv

CONTROLS = [
    name for name, how in BRANCHES.items() if how == {"method": "l1", "sparsity": 0}
]
BUNDLE = f"{VARIANT}/bundle"
WITH_INT8 = one_of(name for name in ARCHITECTURES if name not in WITHOUT_INT8)


rule export:
    input:
        script="workflow/scripts/export/export.py",
        code=lambda wc: code("workflow/scripts/export/export.py", LIBRARY_OF[wc.arch]),
        manifest=MANIFEST,
        packs=packed_for,
        model=f"{VARIANT}/model.safetensors",
        meta=f"{VARIANT}/meta.json",
        predictions=f"{VARIANT}/predictions/valid.parquet",
    output:
        files=files_of(EXPORTED),
        facts=f"{VARIANT}/export.json",
    log:
        f"{LOGS}/export-{{arch}}-seed{{seed}}-{{branch}}.log",
    benchmark:
        f"{BENCHMARKS}/export-{{arch}}-seed{{seed}}-{{branch}}.tsv"
    wildcard_constraints:
        arch=WITH_INT8,
        branch="|".join(DEPLOYED) or "-",
    priority: AHEAD
    threads: CONFIG["runtime"]["threads"]
    resources:
        mem_mb=grown(TRAINING_MB, MILLION_MB),
        runtime=grown(240, 60),
    params:
        packs=lambda wc, input: folders(input.packs),
        config=canonical(
            {
                **{
                    k: CONFIG["deploy"][k]
                    for k in ("calibration_images", "max_drop", "sure_error")
                },
                "looks": LOOKS_RECORD,
                "evaluation_batch": RUNTIME["evaluation_batch"],
                "memory": TRAINING_MB,
            }
        ),
        folder=BUNDLE,
        formats=lambda wc: formats(wc.arch),
    shell:
        "python {input.script:q}"
        " --arch {wildcards.arch}"
        " --branch {wildcards.branch}"
        " --model {input.model:q}"
        " --meta {input.meta:q}"
        " --predictions {input.predictions:q}"
        " --manifest {input.manifest:q}"
        " --packs {params.packs:q}"
        " --config {params.config:q}"
        " --threads {threads}"
        " --folder {params.folder:q}"
        " --formats {params.formats}"
        " --facts {output.facts:q}"
        " --log {log:q}"


use rule export as export_without_int8 with:
    output:
        files=files_of(ALL_BUT_INT8),
        facts=f"{VARIANT}/export.json",
    wildcard_constraints:
        arch=one_of(WITHOUT_INT8),
        branch="|".join(DEPLOYED) or "-",


rule predict_exported:
    input:
        script="workflow/scripts/export/predict_exported.py",
        code=lambda wc: code(
            "workflow/scripts/export/predict_exported.py", LIBRARY_OF[wc.arch]
        ),
        manifest=MANIFEST,
        packs=packed_for,
        files=own_files,
        predictions=expand(
            f"{VARIANT}/predictions/{{testset}}.parquet",
            testset=SOURCES,
            allow_missing=True,
        ),
    output:
        predictions=logits_of(EXPORTED),
        parity=f"{VARIANT}/exported/parity.json",
        provenance=f"{VARIANT}/exported/provenance.json",
    log:
        f"{LOGS}/predict_exported-{{arch}}-seed{{seed}}-{{branch}}.log",
    benchmark:
        f"{BENCHMARKS}/predict_exported-{{arch}}-seed{{seed}}-{{branch}}.tsv"
    wildcard_constraints:
        arch=WITH_INT8,
        branch="|".join(DEPLOYED) or "-",
    priority: AHEAD
    threads: CONFIG["runtime"]["threads"]
    resources:
        mem_mb=grown(PREDICTION_MB, MILLION_MB),
        runtime=grown(240, 240),
    params:
        packs=lambda wc, input: folders(input.packs),
        bundle=lambda wc, input: folders(input.files),
        predictions=lambda wc, input: folders(input.predictions),
        folder=lambda wc, output: Path(output.parity).parent,
        runtimes=CONFIG["deploy"]["runtimes"],
        formats=lambda wc: formats(wc.arch),
        runtime=canonical(inference(PREDICTION_MB, device="cpu")),
        looks=TOLD_LOOKS,
    shell:
        "python {input.script:q}"
        " --arch {wildcards.arch}"
        " --runtimes {params.runtimes}"
        " --formats {params.formats}"
        " --bundle {params.bundle:q}"
        " --predictions {params.predictions:q}"
        " --manifest {input.manifest:q}"
        " --packs {params.packs:q}"
        " --runtime {params.runtime:q}"
        " {params.looks:q}"
        " --threads {threads}"
        " --folder {params.folder:q}"
        " --parity {output.parity:q}"
        " --log {log:q}"


use rule predict_exported as predict_exported_without_int8 with:
    output:
        predictions=logits_of(ALL_BUT_INT8),
        parity=f"{VARIANT}/exported/parity.json",
        provenance=f"{VARIANT}/exported/provenance.json",
    wildcard_constraints:
        arch=one_of(WITHOUT_INT8),
        branch="|".join(DEPLOYED) or "-",


rule deployment_latency:
    input:
        script="workflow/scripts/export/deployment_latency.py",
        code=lambda wc: code(
            "workflow/scripts/export/deployment_latency.py", LIBRARY_OF[wc.arch]
        ),
        models=run_variants("model.safetensors", DEPLOYED),
        exported=lambda wc: [
            path
            for name in formats(wc.arch)
            for path in variants(f"bundle/{FILES[name]}", DEPLOYED, wc.arch, wc.seed)
        ],
    output:
        latency=f"{RUN}/deployment_latency.csv",
    log:
        f"{LOGS}/deployment_latency-{{arch}}-seed{{seed}}.log",
    benchmark:
        f"{BENCHMARKS}/deployment_latency-{{arch}}-seed{{seed}}.tsv"
    # All cores of this machine, whatever it uses: another job beside it would be in the times.
    threads: CORES or max(CONFIG["runtime"]["threads"], CONFIG["deploy"]["threads"])
    resources:
        mem_mb=grown(16000),
        runtime=grown(120),
    params:
        models=lambda wc, input: by_folder(input.models),
        config=canonical(
            {
                "size": CONFIG["images"]["size"],
                "latency": {k: CONFIG["latency"][k] for k in ("warmup", "rounds")},
                **{k: CONFIG["deploy"][k] for k in ("runtimes", "batch_sizes")},
            }
        ),
        formats=lambda wc: formats(wc.arch),
        threads=CONFIG["deploy"]["threads"],
    shell:
        "python {input.script:q}"
        " --arch {wildcards.arch}"
        " --models {params.models:q}"
        " --formats {params.formats}"
        " --config {params.config:q}"
        " --threads {params.threads}"
        " --output {output.latency:q}"
        " --log {log:q}"


rule deployment:
    input:
        script="workflow/scripts/tables/deployment.py",
        code=code("workflow/scripts/tables/deployment.py"),
        alike=ALIKE,
        facts=variants("export.json", DEPLOYED, step=left_out.EXPORTS),
        models=variants("model.safetensors", DEPLOYED, step=left_out.EXPORTS),
        exported=[
            path
            for arch in EXPORTING
            for path in expand(
                logits_of(formats(arch)),
                arch=arch,
                seed=SEEDS,
                branch=having(arch, DEPLOYED),
            )
        ],
        predictions=[
            path
            for source in SOURCES
            for path in variants(
                f"predictions/{source}.parquet", DEPLOYED, step=left_out.EXPORTS
            )
        ],
        # compared with, exported or not
        controls=[
            path
            for source in SOURCES
            for path in variants(f"predictions/{source}.parquet", CONTROLS, EXPORTING)
        ],
        latencies=expand(f"{RUN}/deployment_latency.csv", arch=EXPORTING, seed=SEEDS),
    output:
        table("deployment"),
    log:
        f"{LOGS}/deployment.log",
    params:
        variants=lambda wc, input: folders(input.facts),
        controls=lambda wc, input: folders(folders(input.controls)),
        sets=list(SOURCES),
    shell:
        "python {input.script:q}"
        " --variants {params.variants:q}"
        " --controls {params.controls:q}"
        " --sets {params.sets:q}"
        " --latencies {input.latencies:q}"
        " --output {output:q}"
        " --log {log:q}"


rule bundle:
    input:
        script="workflow/scripts/export/bundle.py",
        code=lambda wc: code(
            "workflow/scripts/export/bundle.py", *SOURCE_MODULES, *METHOD_OF[wc.branch]
        ),
        template="src/detector/export/templates/card.md",
        example="src/detector/export/templates/example.py",
        manifest=MANIFEST,
        table=f"{TABLE_DIR}/deployment.csv",
        facts=f"{VARIANT}/export.json",
        meta=f"{VARIANT}/meta.json",
        files=own_files,
        predictions=expand(
            f"{VARIANT}/predictions/{{source}}.parquet",
            source=SOURCES,
            allow_missing=True,
        ),
        int8=lambda wc: expand(
            f"{VARIANT}/exported/{CONFIG['deploy']['runtimes'][0]}/{INT8}/{{source}}.parquet",
            source=SOURCES if INT8 in formats(wc.arch) else [],
            **dict(wc.items()),
        ),
    output:
        card=f"{BUNDLE}/card.md",
        example=f"{BUNDLE}/example.py",
        sums=f"{BUNDLE}/SHA256SUMS",
    log:
        f"{LOGS}/bundle-{{arch}}-seed{{seed}}-{{branch}}.log",
    wildcard_constraints:
        branch="|".join(DEPLOYED) or "-",
    params:
        predictions=lambda wc, input: folders(input.predictions),
        formats=lambda wc: formats(wc.arch),
        int8=lambda wc, input: [
            part for path in folders(input.int8) for part in ("--int8", path)
        ],
        runtime=CONFIG["deploy"]["runtimes"][0],
        sets=list(SOURCES),
        sources=canonical(
            {
                name: {key: options[key] for key in ("type", "split")}
                for name, options in SOURCES.items()
            }
        ),
        folder=lambda wc, output: Path(output.card).parent,
    shell:
        "python {input.script:q}"
        " --facts {input.facts:q}"
        " --meta {input.meta:q}"
        " --manifest {input.manifest:q}"
        " --table {input.table:q}"
        " --predictions {params.predictions:q}"
        " --formats {params.formats}"
        " {params.int8:q}"
        " --runtime {params.runtime}"
        " --sets {params.sets:q}"
        " --sources {params.sources:q}"
        " --template {input.template:q}"
        " --example {input.example:q}"
        " --folder {params.folder:q}"
        " --log {log:q}"
