# From folders of images to one manifest and packed pixels.
#
# needs   the roots of the sources in use
# gives   data/{source}/scan.parquet    what is there: labels, groups, headers, hashes
#         data/{source}/images.npy      decoded, resized, uint8 (n, size, size, 3), with its index .json
#         data/{source}/bad.csv         what could not be read
#         data/manifest.parquet         the one table that later stages read: scans, less bad images, split


rule scan:
    input:
        script="workflow/scripts/scan.py",
        code=lambda wc: code("workflow/scripts/scan.py", f"detector.sources.{kind(wc)}"),
    output:
        scan=f"{DATA}/scan.parquet",
    log:
        f"{LOGS}/scan-{{source}}.log",
    benchmark:
        f"{BENCHMARKS}/scan-{{source}}.tsv"
    threads: CONFIG["runtime"]["workers"]
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        options=lambda wc: canonical(scan_options(wc.source)),
        files=lambda wc: fingerprint(wc.source),
        max_pixels=CONFIG["data"]["max_pixels"],
        max_bad=CONFIG["data"]["max_bad_images"],
    shell:
        "python {input.script:q}"
        " --source {wildcards.source:q}"
        " --options {params.options:q}"
        " --max-pixels {params.max_pixels}"
        " --max-bad {params.max_bad}"
        " --workers {threads}"
        " --scan {output.scan:q}"
        " --log {log:q}"


rule pack:
    input:
        script="workflow/scripts/pack.py",
        code=code("workflow/scripts/pack.py"),
        scan=f"{DATA}/scan.parquet",
    output:
        images=f"{DATA}/images.npy",
        index=f"{DATA}/images.json",
        bad=f"{DATA}/bad.csv",
    log:
        f"{LOGS}/pack-{{source}}.log",
    benchmark:
        f"{BENCHMARKS}/pack-{{source}}.tsv"
    threads: CONFIG["runtime"]["workers"]
    resources:
        mem_mb=4000,
        runtime=240,
    params:
        root=lambda wc: SOURCES[wc.source]["root"],
        size=CONFIG["images"]["size"],
        face_crop=lambda wc: "--face-crop" if SOURCES[wc.source]["face_crop"] else "",
        max_pixels=CONFIG["data"]["max_pixels"],
        max_bad=CONFIG["data"]["max_bad_images"],
        state=f"{STATE}/pack-{{source}}",
    shell:
        "python {input.script:q}"
        " --scan {input.scan:q}"
        " --root {params.root:q}"
        " --size {params.size}"
        " {params.face_crop}"
        " --max-pixels {params.max_pixels}"
        " --max-bad {params.max_bad}"
        " --workers {threads}"
        " --state {params.state:q}"
        " --images {output.images:q}"
        " --index {output.index:q}"
        " --bad {output.bad:q}"
        " --log {log:q}"


rule manifest:
    input:
        script="workflow/scripts/manifest.py",
        code=code(
            "workflow/scripts/manifest.py",
            *sorted(
                {f"detector.sources.{options['type']}" for options in SOURCES.values()}
            ),
        ),
        scans=expand(f"{DATA}/scan.parquet", source=SOURCES),
        bad=expand(f"{DATA}/bad.csv", source=SOURCES),
    output:
        manifest=MANIFEST,
    log:
        f"{LOGS}/manifest.log",
    resources:
        mem_mb=4000,
        runtime=20,
    params:
        scans=lambda wc, input: by_folder(input.scans),
        bad=lambda wc, input: by_folder(input.bad),
        options=canonical(
            {
                name: {k: o[k] for k in ("type", "split", "limit") if k in o}
                for name, o in SOURCES.items()
            }
        ),
        fractions=CONFIG["data"]["fractions"],
        seed=CONFIG["data"]["seed"],
    shell:
        "python {input.script:q}"
        " --scans {params.scans:q}"
        " --bad {params.bad:q}"
        " --options {params.options:q}"
        " --fractions {params.fractions}"
        " --seed {params.seed}"
        " --manifest {output.manifest:q}"
        " --log {log:q}"
