# Protocols: networks trained without something that they are tested on all the same.
#
# needs   data/manifest.parquet and the predictions of the plain run
# gives   protocols/{kept_out}/data/manifest.parquet   that of the plain run, less what this network never sees
#         protocols/{kept_out}/runs/…                  made by the rules that make runs/… (train, compress, evaluate)
#         tables/generator_matrix.csv                  train against test; the plain run is the row with everything
#         tables/window_matrix.csv                     the same over time

# Scans, where dates are needed.
DATED = (
    expand(f"{DATA}/scan.parquet", source=SOURCES)
    if PROTOCOL and PROTOCOL.kind == protocols.TIME
    else []
)
# Predictions of test sets: first the plain run's, then those of each network.
TRANSFERRED = [
    path
    for place in ["", *PLACES]
    for path in expand(
        variants(
            "predictions/{{testset}}.parquet",
            PROTOCOL.branches if PROTOCOL else [],
            MEASURED,
            place=place,
        ),
        testset=SOURCES,
    )
]


rule protocol_manifest:
    input:
        script="workflow/scripts/data/protocol_manifest.py",
        code=code("workflow/scripts/data/protocol_manifest.py"),
        manifest=MANIFEST,
        scans=DATED,
    output:
        manifest=f"{RESULTS}/protocols/{{kept_out}}/data/manifest.parquet",
    log:
        f"{LOGS}/protocols/{{kept_out}}/manifest.log",
    priority: AHEAD
    resources:
        mem_mb=grown(4000, MILLION_MB),
        runtime=grown(20, 5),
    params:
        kept_out=lambda wc: [
            "--until" if DATED else "--generator",
            KEPT_OUT[wc.kept_out],
        ],
        scans=lambda wc, input: (
            ["--scans", *by_folder(input.scans)] if input.scans else []
        ),
    shell:
        "python {input.script:q}"
        " --plain {input.manifest:q}"
        " {params.kept_out:q}"
        " {params.scans:q}"
        " --manifest {output.manifest:q}"
        " --log {log:q}"


rule generator_matrix:
    input:
        script="workflow/scripts/tables/generator_matrix.py",
        code=code("workflow/scripts/tables/generator_matrix.py"),
        alike=ALIKE,
        predictions=TRANSFERRED,
    output:
        table("generator_matrix"),
    log:
        f"{LOGS}/generator_matrix.log",
    params:
        networks=networks,
        sets=list(SOURCES),
        hold_out=sorted(CONFIG["data"]["hold_out"]),
    shell:
        "python {input.script:q}"
        " --networks {params.networks:q}"
        " --sets {params.sets:q}"
        " --hold-out {params.hold_out:q}"
        " --output {output:q}"
        " --log {log:q}"


rule window_matrix:
    input:
        script="workflow/scripts/tables/window_matrix.py",
        code=code("workflow/scripts/tables/window_matrix.py"),
        alike=ALIKE,
        scans=DATED,
        predictions=TRANSFERRED,
    output:
        table("window_matrix"),
    log:
        f"{LOGS}/window_matrix.log",
    params:
        networks=networks,
        sets=list(SOURCES),
        scans=lambda wc, input: by_folder(input.scans),
        edges=list(KEPT_OUT.values()),
    shell:
        "python {input.script:q}"
        " --networks {params.networks:q}"
        " --sets {params.sets:q}"
        " --scans {params.scans:q}"
        " --edges {params.edges:q}"
        " --output {output:q}"
        " --log {log:q}"
