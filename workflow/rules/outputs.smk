# What a run makes: its tables, figures and bundles, and which network and branch has which.


def table(name, category="Tables"):
    """A table as an output that the report shows."""
    return report(
        f"{TABLE_DIR}/{name}.csv", caption=f"../report/{name}.rst", category=category
    )


def figure(name, caption, **more):
    """A figure as an output that the report shows."""
    return report(
        f"{FIGURE_DIR}/{name}",
        caption=f"../report/{caption}.rst",
        category="Figures",
        **more,
    )


# What tables that compare variants wait for, where it is an error that not all were computed alike.
ALIKE = (
    [f"{TABLE_DIR}/environments.csv"]
    if CONFIG["statistics"]["on_mixed"] == "fail"
    else []
)
DEPLOYED = deployed(CONFIG)
PERTURBED = perturbed(CONFIG)
EXPLAINED = explained(CONFIG)
# Architectures with which these steps work.
EXPORTING = [name for name in ARCHITECTURES if having(name, DEPLOYED, left_out.EXPORTS)]
WITHOUT_INT8 = [name for name in EXPORTING if left_out.INT8 in LEFT_OUT[name]]
PERTURBING = [name for name in MEASURED if having(name, PERTURBED, left_out.PERTURBED)]
SEARCHING = [
    name
    for name in ARCHITECTURES
    if CONFIG["search"]["goals"] and pareto_of(name)["methods"]
]
TABLES = expand(
    f"{TABLE_DIR}/{{name}}.csv",
    name=[
        "dataset_composition",
        "audit_verdict",
        "audit_duplicates",
        "audit_groups",
        "audit_metadata",
        "baseline_performance",
        *(["best_hyperparameters", "search_luck"] if SEARCHES else []),
        "final_accuracy",
        "significance",
        "ablation",
        "metrics",
        "per_generator",
        "efficiency",
        "environments",
        "prior_work",
        *(["pareto"] if SEARCHING else []),
        *(["deployment"] if EXPORTING else []),
        *(["robustness"] if PERTURBING else []),
        *(["left_out"] if any(LEFT_OUT.values()) else []),
        *(["looks"] if LOOKS else []),
        *([PROTOCOL.table] if KEPT_OUT else []),
        *(["videos"] if FRAMED else []),
    ],
)


# Values of what names of files leave open in the figures that declare what they are drawn from (figures.smk).
def left_open(*archs):
    """Of figures of a run of an architecture, or of runs of several: branches are those that all of them have."""

    def common(branch):
        return all(having(arch, branch) for arch in archs)

    return {
        "arch": ARCHITECTURES,
        "seed": SEEDS,
        "branch": [name for name in ("baseline", *BRANCHES) if common(name)],
        "searched": {name: SEARCHES[name] for name in SEARCHES if common(name)},
        "set": TESTSETS,
        "source": list(SOURCES),
        "testset": ROC_SETS,
    }


OPEN = left_open(*ARCHITECTURES)


def runs_of(drawn):
    """The architectures and systems that a figure of a run is drawn for: those that all its files are of."""
    of = {
        "tables/deployment.csv": EXPORTING,
        "tables/pareto.csv": SEARCHING,
        "tables/robustness.csv": PERTURBING,
        **{f"tables/{name}.csv": MEASURED for name in protocols.TABLES.values()},
    }

    def known(file):
        return of.get(file, MEASURED if "/predictions/" in file else ARCHITECTURES)

    return [
        name
        for name in (MEASURED if drawn.per_run else ARCHITECTURES)
        if all(name in known(file) for file in drawn.inputs.values())
    ]


try:
    DRAWN = discovery.figures(ROOT / "src/detector/figures")
except DetectorError as error:
    raise WorkflowError(str(error))
FIGURES = [
    *expand(f"{FIGURE_DIR}/samples_{{source}}.png", source=SOURCES),
    f"{FIGURE_DIR}/rules.svg",
    *(
        path
        for drawn in DRAWN.values()
        # Where the config asks for no such table, or it has no such run, there is no figure of it.
        if all(
            f"{RESULTS}/{file}" in TABLES
            for file in drawn.inputs.values()
            if file.startswith("tables/")
        )
        # Nor of searches, where nothing is searched: baselines alone.
        and (
            SEARCHES or not any("{searched}" in file for file in drawn.inputs.values())
        )
        for file in drawn.files(OPEN)
        for path in expand(f"{FIGURE_DIR}/{file}", arch=runs_of(drawn), seed=SEEDS)
    ),
    *expand(
        f"{FIGURE_DIR}/gradcam_{RUN_NAME}_{{branch}}_{{source}}.png",
        arch=ARCHITECTURES,
        seed=SEEDS,
        branch=EXPLAINED,
        source=SOURCES,
    ),
    *expand(f"{FIGURE_DIR}/spectrum_{{source}}.svg", source=SOURCES),
]
BUNDLES = variants("bundle/SHA256SUMS", DEPLOYED, step=left_out.EXPORTS)


ALL_BUT_INT8 = [name for name in EXPORTED if name != INT8]


def formats(arch):
    """The exported files of an architecture, by format and precision."""
    return ALL_BUT_INT8 if arch in WITHOUT_INT8 else EXPORTED


def files_of(formats):
    return expand(
        f"{VARIANT}/bundle/{{file}}",
        file=[FILES[name] for name in formats],
        allow_missing=True,
    )


def logits_of(formats):
    return expand(
        f"{VARIANT}/exported/{{place}}/{{testset}}.parquet",
        place=exported(CONFIG["deploy"]["runtimes"], formats),
        testset=SOURCES,
        allow_missing=True,
    )


def own_files(wildcards):
    """An input function: the exported files of the rule's own variant."""
    return expand(files_of(formats(wildcards.arch)), **dict(wildcards.items()))


def one_of(names):
    """A wildcard's constraint."""
    return "|".join(map(re.escape, names)) or "(?!)"
