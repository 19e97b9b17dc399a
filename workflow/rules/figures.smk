# Figures from saved results: one rule for each module of detector.figures that defines FILE and FROM.
#
# needs   what FROM names
# gives   figures/*; detector.figures.discovery says how one is added


def modules(figure):
    """The module of a figure; with those of the steps that are tried, if it asks these what their axes are."""
    own = f"detector.figures.{figure.name}"
    asks = "src/detector/imaging/perturbations.py" in code(
        "workflow/scripts/figures/draw.py", own
    )
    return [own, *STEP_MODULES] if asks else [own]


def among(figure, wildcards):
    """What stands for open names in the paths of a figure's files."""
    return left_open(wildcards.arch) if figure.per_run else OPEN


def sources(figure):
    """An input function: the files that a figure is drawn from."""
    return lambda wc: [
        f"{RESULTS}/{path}" for path in figure.sources(among(figure, wc))
    ]


def nested(figure):
    """A parameter: the rule's files as JSON, by parameter of `draw` and by the values of their wildcards."""
    return lambda wc, input: json.dumps(figure.nested(input.files, among(figure, wc)))


def described(figure):
    """A parameter: of what each of the rule's figures is, as JSON."""

    def outputs(wildcards, output):
        run = (
            {"arch": wildcards.arch, "seed": int(wildcards.seed)}
            if figure.per_run
            else {}
        )
        return json.dumps(
            {
                str(path): {**run, **of}
                for path, of in zip(output, figure.files(OPEN).values(), strict=True)
            }
        )

    return outputs


for FIGURE in DRAWN.values():

    rule:
        name:
            f"figure_{FIGURE.name}"
        input:
            script="workflow/scripts/figures/draw.py",
            code=code("workflow/scripts/figures/draw.py", *modules(FIGURE)),
            files=sources(FIGURE),
        output:
            [
                figure(
                    file,
                    "figure",
                    labels={
                        "figure": FIGURE.title,
                        "of": " on ".join(
                            [
                                "{arch} seed {seed}" if FIGURE.per_run else "all",
                                *of.values(),
                            ]
                        ),
                    },
                )
                for file, of in FIGURE.files(OPEN).items()
            ],
        log:
            f"{LOGS}/figure_{FIGURE.name}{f'-{RUN_NAME}' if FIGURE.per_run else ''}.log",
        wildcard_constraints:
            arch="|".join(map(re.escape, runs_of(FIGURE))) or "-",
        params:
            figure=FIGURE.name,
            # a function: braces in it are no wildcards
            caption=lambda wc, text=FIGURE.caption: text,
            inputs=nested(FIGURE),
            outputs=described(FIGURE),
        shell:
            "python {input.script:q}"
            " --figure {params.figure}"
            " --inputs {params.inputs:q}"
            " --outputs {params.outputs:q}"
            " --log {log:q}"
