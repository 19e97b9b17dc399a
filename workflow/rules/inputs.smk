# What rules read: functions that name the inputs of a stage, tell it its options and what memory it takes.

# Windows of packed images that trained networks see; None, and no argument, for the middle alone.
LOOKS = looks(CONFIG["images"])
LOOKS_RECORD = LOOKS and LOOKS.record()
# how many windows of an image
LOOKS_COUNT = LOOKS and len(LOOKS.windows(CONFIG["images"]["pack_size"]))
TOLD_LOOKS = ["--looks", canonical(LOOKS_RECORD)] if LOOKS else []


def inference(memory, **more):
    """How a stage runs a network that learns nothing."""
    chosen = {k: v for k, v in RUNTIME.items() if k != "precision"}
    return {**chosen, "memory": memory, **more}


@cache
def counted(source, scanned=True):
    """How many images this source has: the rows of its scan, before there is one the files in its folders."""
    rows = growth.rows(f"{RESULTS}/data/{source}/scan.parquet") if scanned else None
    roots = [SOURCES[source][key] for key in ("root", "pairs")]
    return growth.files_below(*filter(None, roots)) if rows is None else rows


def grown(base, million=0, **how):
    """A resource: `base` is enough for a million images, each further one takes `million` more.

    With each attempt half as much again. Snakemake reruns nothing for a resource, so it may look at what is there.
    """

    def amount(wildcards, attempt):
        sources = [wildcards.source] if "source" in wildcards.keys() else SOURCES
        images = sum(counted(source, **how) for source in sources)
        return growth.amount(base, million, images, attempt)

    return amount


# MB a million images: what the tables of one stage take at most (benchmarks/growth.py checks 1,000), and a half more.
MILLION_MB = 1500


@cache
def fingerprint(source):
    """Changes with the contents of the files of this source and of its pairs, less what no scan looks at."""
    if workflow.exec_mode != ExecMode.DEFAULT:
        return ""  # a job on a cluster runs because the plan said so; it need not look at the data
    if source in REMOTE:
        return ""  # the copy is made anew where it changes, and its listing is an input
    options = SOURCES[source]
    if source in EARLIER:
        noted = [sha256(EARLIER[source] / name) for name in kinds.files_of(options)]
        return hashlib.sha256("".join(noted).encode()).hexdigest()[:16]
    lists = kinds.lists_of(options)
    found = []
    for root, names in ((options["root"], lists), (options["pairs"], ())):
        if root:
            place = hashlib.sha256(os.path.abspath(root).encode()).hexdigest()
            found.append(
                fingerprints.fingerprint(
                    root, NOTED / f"{place}.files", names, logger.info
                )
            )
    return "-".join(found)


def packed(step=None):
    """The packed images of every source that takes part; `step`: with such a step of preprocessing."""
    return [
        f"{pack_of(source, step)}/{file}"
        for source in SOURCES
        for file in ("images.npy", "images.json")
    ]


def pack_of(source, step=None):
    """The folder of the packed images of a source; `step`: with such a step of preprocessing."""
    if source in EARLIER:
        root = EARLIER[source]
        return root if step is None else root.parent / step / root.name
    return (DATA if step is None else STEP_DATA).format(source=source, step=step)


def packed_for(wildcards):
    """An input function: the packed images as the rule's own architecture sees them."""
    return packed(architectures.step(wildcards.arch))


def packed_for_system(wildcards):
    """An input function: the packed images as the network that a system is of sees them."""
    name = systems.network(CONFIG["systems"][wildcards.system])
    return packed(None if name is None else architectures.step(name))


def variants(
    file,
    branch=("baseline", *BRANCHES),
    arch=ARCHITECTURES,
    seed=SEEDS,
    step=None,
    place="",
):
    """One file of each variant, in the order of the tables; by default of all variants of the plain run.

    `step`: as in `having`. `place`: of the plain run, or of a network of a protocol.
    """
    return [
        path
        for name in ([arch] if isinstance(arch, str) else arch)
        for path in expand(
            f"{ANY_VARIANT}/{file}",
            place=place,
            arch=name,
            seed=seed,
            branch=having(name, branch, step),
        )
    ]


def searched(file, arch=ARCHITECTURES, seed=SEEDS):
    """One file of each search of the plain run, in the order of the tables."""
    return [
        path
        for name in ([arch] if isinstance(arch, str) else arch)
        for path in expand(
            f"{RUN}/{{folder}}/{file}",
            arch=name,
            seed=seed,
            folder=[SEARCHES[one] for one in having(name, SEARCHES)],
        )
    ]


def search_of(wildcards):
    """The branch of a search: that which it is of, or `all`."""
    return wildcards.get("branch", SHARED)


def tried(wildcards):
    """What the trials of a search prune; nothing where all branches share it."""
    return BRANCHES[wildcards.branch] if "branch" in wildcards.keys() else UNPRUNED


def found_by(wildcards):
    """The result of the search whose best a branch is fine-tuned with."""
    own = BRANCHES[wildcards.branch].get("hyperparameters_of", wildcards.branch)
    folder = SEARCHES.get(SHARED) or SEARCHES[own]
    return expand(
        f"{ANY_RUN}/{folder}/best.json",
        place=wildcards.place,
        arch=wildcards.arch,
        seed=wildcards.seed,
    )


def teacher_of(wildcards):
    """The weights that a branch learns from beside the labels, with their meta.json; none without distillation."""
    name = teachers.teacher(CONFIG, wildcards.branch)
    if name is None:
        return []
    if name in teachers.NAMED:
        return [
            path
            for file in ("model.safetensors", "meta.json")
            for path in variants(
                file, name, wildcards.arch, wildcards.seed, place=wildcards.place
            )
        ]
    # Contents count, not times: the parameters have their checksum.
    return [ancient(name), ancient(str(Path(name).with_name("meta.json")))]


def start_file(wildcards):
    """The weights that an architecture starts from, none from scratch: they count by what they hold."""
    start = STARTS.get(wildcards.arch)
    return [ancient(start["file"])] if start else []


def started_by(arch):
    """What an architecture starts from, as scripts take it: its file goes by its checksum; None from scratch."""
    start = STARTS.get(arch)
    return start and {key: value for key, value in start.items() if key != "file"}


def first_training(arch):
    """What the first training of an architecture is, as its script takes it."""
    start = started_by(arch)
    return {
        "recipe": recipe(CONFIG, "train", started=start is not None),
        **({"start": start} if start else {}),
    }


def features_of(wildcards):
    """The weights that a system's features are taken from; with meta.json, if they were trained; none of spectra."""
    how = CONFIG["systems"][wildcards.system]
    name = systems.network(how)
    if name is None or "mean_of" in how:
        return []
    if systems.frozen(how):
        return [ancient(STARTS[name]["file"])]
    return [
        path
        for file in ("model.safetensors", "meta.json")
        for path in variants(
            file,
            "baseline",
            name,
            wildcards.seed,
            place=getattr(wildcards, "place", ""),
        )
    ]


def told_features(wildcards, input):
    """The argument of a script that names them."""
    return ["--network", input.network[0]] if input.network else []


def members(file, system, seed=SEEDS, place=""):
    """One file of each network that a system is the mean of; `place`: as in `variants`."""
    how = CONFIG["systems"][system]
    parts = range(1, how["parts"] + 1)
    return expand(
        f"{MEMBER}/{file}",
        place=place,
        system=system,
        seed=seed,
        arch=how["mean_of"],
        part=parts,
    )


def asked_of(file, wildcards):
    """One file of what a system asks: of its classifier, or of each network that it is the mean of."""
    if wildcards.system in ENSEMBLES:
        return members(file, wildcards.system, wildcards.seed)
    return expand(
        f"{SYSTEM}/baseline/{file}", system=wildcards.system, seed=wildcards.seed
    )


def loaded_by_systems():
    """Each file that a system is loaded from to judge an image, its classifier's first, with the system's folder."""
    asking = [
        SimpleNamespace(system=system, seed=seed)
        for system in SYSTEMS
        for seed in SEEDS
    ]
    return [
        (f"{SYSTEM}/baseline".format(**vars(of)), file)
        for of in asking
        for file in [*asked_of("model.safetensors", of), *features_of(of)[:1]]
    ]


def told_systems(files):
    """The arguments of a script that name them."""
    named = [
        f"{folder}={file}" for (folder, _), file in zip(loaded_by_systems(), files)
    ]
    return ["--systems", *named] if named else []


def library_of_system(wildcards):
    """Modules of the library that a system's network is of."""
    name = systems.network(CONFIG["systems"][wildcards.system])
    return [] if name is None else [LIBRARY_OF[name]]


def distill(branch):
    """How a branch is taught: as in the config, but a teacher that is a file goes by its checksum."""
    name = teachers.teacher(CONFIG, branch)
    if name is None:
        return None
    more = {} if name in teachers.NAMED else {"sha256": TEACHER}
    named = name if name in teachers.NAMED else teachers.FILE
    return {**CONFIG["finetune"]["distill"], "teacher": named, **more}


def run_variants(file, branch=("baseline", *BRANCHES), step=None):
    """An input function: one file of each variant of the rule's own architecture and seed.

    `file` may hold other wildcards of the rule. `step`: as in `having`.
    """
    return lambda wc: variants(
        file.format(**dict(wc.items())), branch, wc.arch, wc.seed, step
    )


def pareto_of(arch):
    """The search for two goals of the runs of an architecture, with the methods that work with it."""
    asked = pareto(CONFIG)
    works = {
        name: how
        for name, how in asked["methods"].items()
        if left_out.in_pareto(name) not in LEFT_OUT[arch]
    }
    return {**asked, "methods": works}


def folders(paths):
    """The folders of these files, each once."""
    return list(dict.fromkeys(str(Path(path).parent) for path in paths))


def by_folder(paths, above=1):
    """NAME=PATH for each file, the name being that of its folder, or of one further above."""
    return [f"{Path(path).parents[above - 1].name}={path}" for path in paths]


def kind(wildcards):
    return SOURCES[wildcards.source]["type"]


def scan_options(source):
    """What decides which files a source has; how they are split or limited comes later."""
    return {
        key: value
        for key, value in SOURCES[source].items()
        if key not in ("split", "limit", "face_crop")
    }


@cache
def generators_of(source):
    """The generators of a source, listed as a scan lists its images; noted, because that takes a while."""
    options = SOURCES[source]
    copy = Path(RESULTS, "data", source, "fetched.json")
    if source in REMOTE and not copy.exists():
        raise DetectorError(
            f"protocol: the generators of {source} are listed in the copy of {REMOTE[source]}, which is not made yet; "
            f"make it with protocol: null (snakemake --cores 1 {copy}), then run again"
        )
    lister = ROOT.joinpath("src", *kinds.PACKAGE.split("."), f"{options['type']}.py")
    asked = canonical([os.path.abspath(options["root"]), scan_options(source)])
    note = NOTED / f"{hashlib.sha256(asked.encode()).hexdigest()}.generators"
    files = sha256(copy) if source in REMOTE else fingerprint(source)
    of = [files, dependencies.key(lister)]
    # A job on a cluster runs because the plan said so, as in `fingerprint`.
    if note.exists() and (
        (found := json.loads(note.read_text()))["of"] == of
        or workflow.exec_mode != ExecMode.DEFAULT
    ):
        return found["generators"]
    found = kinds.generators(options)
    with replacing(note) as temporary:
        temporary.write_text(json.dumps({"of": of, "generators": found}))
    return found


# What the networks of a protocol are trained without, or up to, by the name of their folder below protocols/.
PROTOCOL = protocols.protocol(CONFIG)
try:
    KEPT_OUT = (
        {}
        if PROTOCOL is None or "--lint" in sys.argv
        else protocols.networks(
            PROTOCOL,
            {
                name
                for source in SOURCES
                if PROTOCOL.kind == protocols.GENERATORS
                for name in generators_of(source)
            },
            CONFIG["data"]["hold_out"],
        )
    )
except DetectorError as error:
    raise WorkflowError(f"nothing was started: {error}")
PLACES = [f"protocols/{name}/" for name in KEPT_OUT]


def of_protocols(file, arch=ARCHITECTURES):
    """One file of each variant of the networks of a protocol, or of its systems."""
    branches = PROTOCOL.branches if PROTOCOL else []
    return [p for place in PLACES for p in variants(file, branches, arch, place=place)]


def networks(wildcards, input):
    """A parameter: the folders of variants by what they were trained without, as JSON; "" is the plain run."""
    found = folders(folders(input.predictions))
    count = len(found) // (1 + len(PLACES))
    of = ["", *KEPT_OUT.values()]
    return canonical(
        {name: found[count * at : count * (at + 1)] for at, name in enumerate(of)}
    )


wildcard_constraints:
    # The empty place is that of the plain run; an empty constraint would be none.
    place="|".join(["(?:)", *map(re.escape, PLACES)]),
    kept_out="|".join(map(re.escape, KEPT_OUT)) or "(?!)",
