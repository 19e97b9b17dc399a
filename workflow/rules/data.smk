# Data: from folders of images to packed pixels, audited splits and one manifest.
#
# needs   the roots of the sources in use
# gives   data/{source}/fetched.json    of a root in object storage: what was copied to data/{source}/files
#         data/{source}/scan.parquet    what is there: labels, groups, headers, hashes
#         data/{source}/images.npy      decoded, resized, uint8 (n, size, size, 3), with its index .json
#         data/{source}/bad.csv         what could not be read
#         data/{step}/{source}/         the same with a step of preprocessing that some architectures have of their own
#         data/splits.parquet           all usable images with their splits: scans, less bad images
#         data/audit/leaks.parquet      images of which a copy is in an earlier split; verdicts.json says it in words
#         tables/audit_*.csv            copies and groups in several splits; what metadata alone reach; the verdicts
#         data/manifest.parquet         the one table that later stages read: the splits, leaks left out on request


rule fetch:
    input:
        script="workflow/scripts/data/fetch.py",
        code=code("workflow/scripts/data/fetch.py"),
        mirror=lambda wc: storage.s3(REMOTE[wc.source]),
    output:
        fetched=f"{DATA}/fetched.json",
    log:
        f"{LOGS}/fetch-{{source}}.log",
    priority: AHEAD
    params:
        objects=lambda wc: LISTED[wc.source],
        listing=lambda wc: listing_of(REMOTE[wc.source]),
        files=f"{DATA}/files",
    shell:
        "python {input.script:q}"
        " --copy {input.mirror:q}"
        " --listing {params.listing:q}"
        " --files {params.files:q}"
        " --done {output.fetched:q}"
        " --log {log:q}"


rule scan:
    input:
        fetched=lambda wc: (
            f"{RESULTS}/data/{wc.source}/fetched.json" if wc.source in REMOTE else []
        ),
        script="workflow/scripts/data/scan.py",
        code=lambda wc: code(
            "workflow/scripts/data/scan.py", f"{kinds.PACKAGE}.{kind(wc)}"
        ),
    output:
        scan=f"{DATA}/scan.parquet",
    log:
        f"{LOGS}/scan-{{source}}.log",
    benchmark:
        f"{BENCHMARKS}/scan-{{source}}.tsv"
    priority: AHEAD
    threads: CONFIG["runtime"]["workers"]
    resources:
        mem_mb=grown(4000, MILLION_MB, scanned=False),
        runtime=grown(60, 60, scanned=False),
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
        script="workflow/scripts/data/pack.py",
        code=code("workflow/scripts/data/pack.py"),
        scan=f"{DATA}/scan.parquet",
        accepted=[],
    output:
        images=f"{DATA}/images.npy",
        index=f"{DATA}/images.json",
        bad=f"{DATA}/bad.csv",
    log:
        f"{LOGS}/pack-{{source}}.log",
    benchmark:
        f"{BENCHMARKS}/pack-{{source}}.tsv"
    priority: AHEAD
    threads: CONFIG["runtime"]["workers"]
    resources:
        mem_mb=grown(4000, MILLION_MB),
        runtime=grown(240, 120),
    params:
        root=lambda wc: SOURCES[wc.source]["root"],
        pairs=lambda wc: SOURCES[wc.source]["pairs"] or "",
        how=lambda wc: canonical(
            {
                **preprocessing(CONFIG["images"], wc.get("step")),
                "face_crop": SOURCES[wc.source]["face_crop"],
                "max_pixels": CONFIG["data"]["max_pixels"],
            }
        ),
        max_bad=CONFIG["data"]["max_bad_images"],
        state=lambda wc: "-".join(
            [f"{STATE}/pack", *filter(None, [wc.get("step")]), wc.source]
        ),
    shell:
        "python {input.script:q}"
        " --scan {input.scan:q}"
        " --root {params.root:q}"
        " --pairs {params.pairs:q}"
        " --how {params.how:q}"
        " --max-bad {params.max_bad}"
        " --workers {threads}"
        " --state {params.state:q}"
        " --images {output.images:q}"
        " --index {output.index:q}"
        " --bad {output.bad:q}"
        " --accepted {input.accepted:q}"
        " --log {log:q}"


# What cannot share the pixels of the others has its own, from the same scan. It may leave out no further image: an
# architecture that comes or goes would be other data, and all others would be trained anew.
use rule pack as pack_step with:
    input:
        script="workflow/scripts/data/pack.py",
        code=code("workflow/scripts/data/pack.py"),
        scan=f"{DATA}/scan.parquet",
        accepted=f"{DATA}/bad.csv",
    output:
        images=f"{STEP_DATA}/images.npy",
        index=f"{STEP_DATA}/images.json",
        bad=f"{STEP_DATA}/bad.csv",
    log:
        f"{LOGS}/pack-{{step}}-{{source}}.log",
    benchmark:
        f"{BENCHMARKS}/pack-{{step}}-{{source}}.tsv"


rule split:
    input:
        script="workflow/scripts/data/split.py",
        code=code("workflow/scripts/data/split.py", *SOURCE_MODULES),
        scans=expand(f"{DATA}/scan.parquet", source=SOURCES),
        bad=[f"{pack_of(source)}/bad.csv" for source in SOURCES],
    output:
        splits=SPLITS,
    log:
        f"{LOGS}/split.log",
    priority: AHEAD
    resources:
        mem_mb=grown(4000, MILLION_MB),
        runtime=grown(20, 5),
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
        hold_out=sorted(CONFIG["data"]["hold_out"]),
    shell:
        "python {input.script:q}"
        " --scans {params.scans:q}"
        " --bad {params.bad:q}"
        " --options {params.options:q}"
        " --fractions {params.fractions}"
        " --seed {params.seed}"
        " --hold-out {params.hold_out:q}"
        " --splits {output.splits:q}"
        " --log {log:q}"


# Apart from `audit_verdict`: training hangs on what leaks, and must not hang on the code of tables and metrics.
rule audit:
    input:
        script="workflow/scripts/audit/audit.py",
        code=code("workflow/scripts/audit/audit.py"),
        splits=SPLITS,
        packs=packed(),
    output:
        leaks=f"{AUDIT}/leaks.parquet",
        verdicts=f"{AUDIT}/verdicts.json",
        duplicates=table("audit_duplicates", "Audit"),
        groups=table("audit_groups", "Audit"),
    log:
        f"{LOGS}/audit.log",
    benchmark:
        f"{BENCHMARKS}/audit.tsv"
    priority: AHEAD
    threads: CONFIG["runtime"]["workers"]
    resources:
        mem_mb=grown(4000, MILLION_MB),
        runtime=grown(60, 20),
    params:
        packs=lambda wc, input: folders(input.packs),
        near=CONFIG["audit"]["near_duplicates"],
    shell:
        "python {input.script:q}"
        " --splits {input.splits:q}"
        " --packs {params.packs:q}"
        " --near-duplicates {params.near}"
        " --workers {threads}"
        " --leaks {output.leaks:q}"
        " --duplicates {output.duplicates:q}"
        " --groups {output.groups:q}"
        " --verdicts {output.verdicts:q}"
        " --log {log:q}"


rule manifest:
    input:
        script="workflow/scripts/data/manifest.py",
        code=code("workflow/scripts/data/manifest.py"),
        splits=SPLITS,
        leaks=f"{AUDIT}/leaks.parquet",
        verdicts=f"{AUDIT}/verdicts.json",
    output:
        manifest=MANIFEST,
    log:
        f"{LOGS}/manifest.log",
    priority: AHEAD
    resources:
        mem_mb=grown(4000, MILLION_MB),
        runtime=grown(20, 5),
    params:
        on_leak=CONFIG["audit"]["on_leak"],
    shell:
        "python {input.script:q}"
        " --splits {input.splits:q}"
        " --leaks {input.leaks:q}"
        " --verdicts {input.verdicts:q}"
        " --on-leak {params.on_leak}"
        " --manifest {output.manifest:q}"
        " --log {log:q}"


rule audit_verdict:
    input:
        script="workflow/scripts/audit/audit_verdict.py",
        code=code("workflow/scripts/audit/audit_verdict.py"),
        splits=SPLITS,
        scans=expand(f"{DATA}/scan.parquet", source=SOURCES),
        verdicts=f"{AUDIT}/verdicts.json",
    output:
        verdict=table("audit_verdict", "Audit"),
        shortcuts=f"{AUDIT}/metadata.parquet",
    log:
        f"{LOGS}/audit_verdict.log",
    priority: AHEAD + 1  # before training, so that who waits for hours knows for what
    resources:
        mem_mb=grown(4000, MILLION_MB),
        runtime=grown(20, 5),
    params:
        scans=lambda wc, input: by_folder(input.scans),
    shell:
        "python {input.script:q}"
        " --splits {input.splits:q}"
        " --scans {params.scans:q}"
        " --verdicts {input.verdicts:q}"
        " --shortcuts {output.shortcuts:q}"
        " --output {output.verdict:q}"
        " --log {log:q}"
