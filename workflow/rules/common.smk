# Shared by all rules: the validated config, file names, and the code that a stage depends on.
import hashlib
import json
import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

from snakemake.logging import logger
from snakemake_interface_executor_plugins.settings import ExecMode

from detector.core import dependencies, extras, locks, signals, undo
from detector.core.errors import DetectorError
from detector.core.files import canonical, clean_states, replacing, sha256
from detector.data import fingerprints, kinds, remote
from detector.experiment import (
    architectures,
    inits,
    left_out,
    methods,
    protocols,
    systems,
    teachers,
)
from detector.experiment import resources as growth
from detector.experiment.branches import (
    UNPRUNED,
    branches,
    deployed,
    explained,
    perturbations,
    perturbed,
    searches,
)
from detector.experiment.config import (
    SCHEMA,
    complete,
    looks,
    preprocessing,
    used_sources,
)
from detector.experiment.formats import EXPORTED, FILES, INT8, exported
from detector.experiment.recipes import degradations, pareto, recipe, space
from detector.experiment.variants import SHARED
from detector.figures import discovery
from detector.imaging import augmentation
from detector.imaging.perturbations import modules as step_modules
from detector.stats.metric_modules import modules as metric_modules

# `python` in the rules is the Python that runs Snakemake, also where no environment is activated.
# Its safe path keeps scripts from shadowing modules of the same name; names and texts are UTF-8 in any locale.
os.environ.update(
    PATH=os.pathsep.join([os.path.dirname(sys.executable), os.environ.get("PATH", "")]),
    PYTHONSAFEPATH="1",
    PYTHONUTF8="1",
)

ROOT = Path(workflow.basedir)
try:
    CONFIG = complete(
        config,
        SCHEMA,
        texts=workflow.config_settings.config,
    )
except DetectorError as error:
    raise WorkflowError(str(error))

RESULTS = CONFIG["results"].rstrip("/")
SOURCES = used_sources(CONFIG)
# Roots in object storage. Stages see the copy that is made of them.
REMOTE = {
    name: options["root"].rstrip("/")
    for name, options in SOURCES.items()
    if remote.is_remote(options["root"])
}
SOURCES |= {
    name: {**SOURCES[name], "root": f"{RESULTS}/data/{name}/files"} for name in REMOTE
}
BRANCHES = branches(CONFIG)
# The searches of each run, with their folders below the run's: one of each branch, or a shared one.
SEARCHES = searches(CONFIG)
ARCHITECTURES = CONFIG["architectures"]
# Beside them, with a baseline alone; and the networks that these need beside the config's.
CLASSIFIERS, ENSEMBLES = systems.classifiers(CONFIG), systems.ensembles(CONFIG)
SYSTEMS = list(CONFIG["systems"])
MEASURED = [*ARCHITECTURES, *SYSTEMS]
NETWORKS = [*ARCHITECTURES, *systems.networks(CONFIG)]
# Steps of preprocessing that some of them have of their own.
STEPS = sorted(filter(None, {architectures.step(name) for name in NETWORKS}))
SEEDS = CONFIG["seeds"]
TESTSETS = ["valid", *SOURCES]
# Sources of which several frames of each video are images.
FRAMED = [name for name, how in SOURCES.items() if how.get("frames", 1) > 1]
# Of one source alone, all test images together would be the same figure again.
ROC_SETS = [*SOURCES, *(["combined"] if len(SOURCES) > 1 else [])]
RUNTIME = {
    key: CONFIG["runtime"][key] for key in ("device", "precision", "evaluation_batch")
}
# MB that stages with a network ask for. How many images a pass takes hangs on it, so it is the same at each attempt.
TRAINING_MB, PREDICTION_MB = 16000, 8000
# What a stage with a network asks for. Where no GPU may be used, none is asked for: a cluster would wait for one.
GPUS = 0 if RUNTIME["device"] == "cpu" else 1
# Of the machine that plans, if it runs the jobs too. A job on a cluster must not plan with the cores it sees there:
# it was given what the plan said.
CORES = None if workflow.remote_exec else workflow.resource_settings.cores

# Priority of what others wait for: tables and figures take the cores that it leaves.
AHEAD = 1

RUN = f"{RESULTS}/runs/{{arch}}/seed{{seed}}"
VARIANT = f"{RUN}/{{branch}}"
SYSTEM = f"{RESULTS}/runs/{{system}}/seed{{seed}}"
MEMBER = f"{SYSTEM}/{{arch}}-{{part}}"
# What trains and predicts does so for the plain run, where {place} is empty, and for each network of a protocol.
ANY = f"{RESULTS}/{{place}}"
ANY_RUN = f"{ANY}runs/{{arch}}/seed{{seed}}"
ANY_VARIANT = f"{ANY_RUN}/{{branch}}"
ANY_MANIFEST = f"{ANY}data/manifest.parquet"
DATA = f"{RESULTS}/data/{{source}}"
# Images of a source as architectures with a step of preprocessing of their own see them.
STEP_DATA = f"{RESULTS}/data/{{step}}/{{source}}"
SPLITS = f"{RESULTS}/data/splits.parquet"
AUDIT = f"{RESULTS}/data/audit"
MANIFEST = f"{RESULTS}/data/manifest.parquet"
LOGS = f"{RESULTS}/logs"
BENCHMARKS = f"{RESULTS}/benchmarks"
STATE = f"{RESULTS}/state"
TABLE_DIR = f"{RESULTS}/tables"
FIGURE_DIR = f"{RESULTS}/figures"
RUN_NAME = "{arch}_seed{seed}"
PAPER = "workflow/resources/paper.yaml"

# A job of a Snakemake that was killed saves its state and ends, see detector.core.signals.
os.environ[signals.PARENT] = str(os.getpid())

if workflow.exec_mode == ExecMode.DEFAULT:
    PRESENCE = locks.Presence(".snakemake/detector.lock")
    if not PRESENCE.alone:
        logger.warning(
            f"Another snakemake ({PRESENCE.other}) is at work in this folder. If this one is to make the same files, "
            "it stops below: wait for the other one, or stop it. Do not use --unlock."
        )

# Linting reads the rules alone; all else needs the images.
LOCAL = {name: options for name, options in SOURCES.items() if name not in REMOTE}
if "--lint" not in sys.argv and (missing := kinds.missing_roots(LOCAL)):
    raise WorkflowError(
        f"data is missing; nothing was started.\n\n{missing}\n\n"
        "To see the pipeline work without any data: make demo"
    )

# Images that an earlier run packed stay where they are.
EARLIER = {
    name: Path(options["root"])
    for name, options in LOCAL.items()
    if kinds.files_of(options)
}
try:
    for name, root in EARLIER.items():
        how = {
            **preprocessing(CONFIG["images"]),
            "max_pixels": CONFIG["data"]["max_pixels"],
        }
        if "--lint" not in sys.argv:
            kinds.module(SOURCES[name]["type"]).check(name, root, how)
except DetectorError as error:
    raise WorkflowError(f"nothing was started: {error}")

# A teacher that is a file is there before anything starts, and counts by what it holds.
TEACHER, TEACHER_FILES, TEACHER_LIBRARY = None, [], []
try:
    name = teachers.teacher(CONFIG, "")
    if name is not None and name not in teachers.NAMED:
        taught_by = teachers.facts(name, CONFIG["images"]["size"], ARCHITECTURES)[
            "arch"
        ]
        TEACHER_LIBRARY = [architectures.module(taught_by)]
        TEACHER_FILES = [name, str(Path(name).with_name("meta.json"))]
        TEACHER = [sha256(file) for file in TEACHER_FILES]
except DetectorError as error:
    raise WorkflowError(f"nothing was started: {error}")

# The packages that this run needs, before any stage starts.
try:
    for user, extra, needed in (
        ("a run", "pipeline", True),
        ("deploy.runtimes", "openvino", "openvino" in CONFIG["deploy"]["runtimes"]),
        ("search.sampler", "cmaes", CONFIG["search"]["sampler"] == "cmaes"),
        ("face_crop", "faces", any(s["face_crop"] for s in SOURCES.values())),
        ("data.sources, with a root in object storage,", "s3", bool(REMOTE)),
    ):
        if needed:
            extras.check(extra, user)
except DetectorError as error:
    raise WorkflowError(f"nothing was started: {error}")


# Snakemake's own folder: it can be written where it runs, and what lies there is about this folder.
NOTED = Path(".snakemake/detector")


def listing_of(root):
    """Where the names and sizes of what lies at a root in object storage are noted."""
    return NOTED / f"{hashlib.sha256(root.encode()).hexdigest()}.listing"


def listed(root):
    """Notes what lies at a root in object storage; returns what changes with it."""
    try:
        there = storage.s3(root).flags["storage_object"].get_subkeys()
        objects = [(found.key, found.size, found.e_tag) for found in there]
    except Exception as error:  # of any part of the client
        raise WorkflowError(
            f"nothing was started: {root} cannot be listed ({error}); SNAKEMAKE_STORAGE_S3_ENDPOINT_URL, "
            "…_ACCESS_KEY and …_SECRET_KEY say where the storage is and who asks"
        )
    try:
        found = remote.listed(root, objects)
    except DetectorError as error:
        raise WorkflowError(f"nothing was started: {error}")
    with replacing(listing_of(root)) as temporary:
        temporary.write_text(canonical(found))
    return remote.fingerprint(found)


# A job on a cluster runs because the plan said so; it need not look.
LISTED = {
    name: (
        listed(root)
        if workflow.exec_mode == ExecMode.DEFAULT and "--lint" not in sys.argv
        else ""
    )
    for name, root in REMOTE.items()
}


def learned(module, name, arguments, why, holds=lambda found: True):
    """What a module of the library prints about a network; noted, because to find out takes a while.

    `why`: for the log; `holds`: whether what was noted is still so.
    """
    path = ROOT / f"src/{module.replace('.', '/')}.py"
    code = dependencies.key(path, modules=architectures.modules(name))
    of = canonical([module, name, *arguments, code]).encode()
    note = NOTED / f"{hashlib.sha256(of).hexdigest()}.{module.rpartition('.')[2]}"
    if note.exists() and holds(found := json.loads(note.read_text())):
        return found
    logger.info(why)
    command = [sys.executable, "-m", module, name, *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise WorkflowError(f"{name} could not be tried:\n{done.stderr[-2000:]}")
    found = json.loads(done.stdout)
    if "problem" in found:
        raise WorkflowError(f"nothing was started: {found['problem']}")
    with replacing(note) as temporary:
        temporary.write_text(done.stdout)
    return found


def failing_with(name, steps):
    """What fails for a network that is not the study's, by step, images and training among them."""
    return learned(
        "detector.export.trial",
        name,
        [str(CONFIG["images"]["size"]), *steps],
        f"Trying every step with {name}, once, before anything is trained",
    )


def start_of(name):
    """What an architecture starts from: a file, its checksum, what it holds; None from scratch."""
    if architectures.start(name) is None:
        return None
    return learned(
        architectures.STARTS,
        name,
        [str(CONFIG["images"]["size"]), canonical(inits.entry(CONFIG, name))],
        f"Trying what {name} starts from",
        lambda found: Path(found["file"]).is_file()
        and sha256(found["file"]) == found["sha256"],
    )


FAILING = {
    name: failing_with(
        architectures.network(name),
        left_out.steps(CONFIG) if name in ARCHITECTURES else [],
    )
    for name in NETWORKS
    if architectures.network(name) not in architectures.STUDY
    and "--lint" not in sys.argv
}
if useless := [
    f"{'architectures' if name in ARCHITECTURES else 'systems'}: {name}: {step}: {found[step]}"
    for name, found in FAILING.items()
    for step in left_out.NEEDED
    if step in found
]:
    raise WorkflowError("nothing was started: " + "\n".join(useless))

# What a network does without, with the reason: the names of branches, and what else `left_out` names.
LEFT_OUT = {
    name: left_out.left_out(
        CONFIG, {**FAILING.get(name, {}), **left_out.of_step(CONFIG, name)}
    )
    for name in ARCHITECTURES
}
LEFT_OUT |= {
    name: left_out.of_step(CONFIG, systems.network(how))
    for name, how in CONFIG["systems"].items()
}
if any(LEFT_OUT.values()) and workflow.exec_mode == ExecMode.DEFAULT:
    logger.warning(
        f"Left out, because it does not work with the network ({TABLE_DIR}/left_out.csv):\n"
        + "\n".join(
            f"  {name}: {what}: {reason}"
            for name, parts in LEFT_OUT.items()
            for what, reason in parts.items()
        )
    )


def having(arch, branch, step=None):
    """Those of these branches that an architecture or a system has, and that take `step` where that works with it."""
    asked = [branch] if isinstance(branch, str) else branch
    if arch in SYSTEMS:
        works = step in (None, left_out.PERTURBED)
        asked = [name for name in asked if name == "baseline" and works]
    without = LEFT_OUT[arch]
    return [name for name in asked if name not in without and step not in without]


STARTS = {} if "--lint" in sys.argv else {name: start_of(name) for name in NETWORKS}


wildcard_constraints:
    source="|".join(SOURCES),
    arch="|".join(map(re.escape, ARCHITECTURES)),
    seed=r"\d+",
    step="|".join(STEPS) or "-",
    branch="|".join(["baseline", *BRANCHES]),


def section(*keys, **more):
    """These sections of the config as one JSON string: a stage sees, and depends on, these and no others."""
    return canonical({**{key: CONFIG[key] for key in keys}, **more})


@cache
def code(script, *modules):
    """The library files that a script reaches through its imports, and through `modules` imported by name.

    Snakemake watches a rule's text and inputs, not what a script imports.
    """
    files = dependencies.library_files(
        ROOT / script, *modules, library=ROOT / "src/detector"
    )
    return [str(path.relative_to(ROOT)) for path in files]


# Modules of the kinds of sources and of the pruning methods in use, which stages import by name.
SOURCE_MODULES = sorted(
    {f"{kinds.PACKAGE}.{options['type']}" for options in SOURCES.values()}
)
METHOD_OF = {
    "baseline": [],
    **{name: [methods.module(pruning["method"])] for name, pruning in BRANCHES.items()},
}
# Modules of the steps that degrade training images, by stage.
STEPS_OF = {
    stage: augmentation.modules(*degradations(CONFIG, stage))
    for stage in ("train", "search", "finetune")
}
LIBRARY_OF = {name: architectures.module(name) for name in NETWORKS}
METHOD_MODULES = sorted({module for found in METHOD_OF.values() for module in found})


# Windows of packed images that trained networks see; None, and no argument, for the middle alone.
LOOKS = looks(CONFIG["images"])
LOOKS_RECORD = LOOKS and LOOKS.record()
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


def bad_files():
    """Lists of the files of each source that cannot be packed, in whatever way an architecture sees them."""
    return [
        f"{pack_of(source, step)}/bad.csv"
        for step in (None, *STEPS)
        for source in SOURCES
    ]


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
        for path in variants(file, "baseline", name, wildcards.seed)
    ]


def told_features(wildcards, input):
    """The argument of a script that names them."""
    return ["--network", input.network[0]] if input.network else []


def members(file, system, seed=SEEDS):
    """One file of each network that a system is the mean of."""
    how = CONFIG["systems"][system]
    parts = range(1, how["parts"] + 1)
    return expand(
        f"{MEMBER}/{file}", system=system, seed=seed, arch=how["mean_of"], part=parts
    )


def asked_of(file, wildcards):
    """One file of what a system asks: of its classifier, or of each network that it is the mean of."""
    if wildcards.system in ENSEMBLES:
        return members(file, wildcards.system, wildcards.seed)
    return expand(f"{SYSTEM}/baseline/{file}", **dict(wildcards.items()))


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


def of_protocols(file):
    """One file of each variant of the networks of a protocol."""
    branches = PROTOCOL.branches if PROTOCOL else []
    return [p for place in PLACES for p in variants(file, branches, place=place)]


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


def clear_stale_locks():
    """Remove locks of a killed snakemake that ran this workflow, and of no other.

    Call only where no snakemake of this workflow is at work here. Ours name files that nobody else makes or reads:
    the outputs lie below our results, and among the inputs are our scripts; other inputs are those of this config.
    """
    ours = f"{RESULTS}/"
    read = (
        *(ours, "workflow/", "src/", "Snakefile"),
        *(f"{root.parent}/" for root in EARLIER.values()),
        *(start["file"] for start in STARTS.values() if start),
        *TEACHER_FILES,
        f"{workflow.storage_settings.local_storage_prefix}/",
    )
    for lock in Path(".snakemake/locks").glob("*.lock"):
        names = lock.read_text().split("\n")[:-1]
        inputs = any(name.startswith("workflow/scripts/") for name in names)
        if lock.name.endswith(".input.lock"):
            stale = inputs and all(name.startswith(read) for name in names)
        else:
            stale = all(name.startswith(ours) for name in names)
        if names and stale:
            lock.unlink(missing_ok=True)


# What a run replaces is kept until it has succeeded, see detector.core.undo.
UNDO = undo.Undo(STATE, NOTED / f"{hashlib.sha256(RESULTS.encode()).hexdigest()}.key")
os.environ[locks.RUN] = str(UNDO.lock.absolute())


@cache
def results_key():
    """All that results depend on: config, data and code."""
    files = [ROOT / "Snakefile", *ROOT.glob("workflow/**/*"), *ROOT.glob("src/**/*")]
    facts = {
        "config": CONFIG,
        "data": {source: fingerprint(source) for source in SOURCES},
        "weights": [TEACHER, STARTS],
        "code": {
            str(f.relative_to(ROOT)): sha256(f)
            for f in files
            if f.is_file() and f.suffix != ".pyc"
        },
    }
    return hashlib.sha256(canonical(facts).encode()).hexdigest()


def _files_of(job):
    """The outputs of a job with Snakemake's files about each."""
    store = workflow.persistence
    return [
        undo.Output(
            str(file),
            store._record_path(store._metadata_path, str(file)),
            store._record_path(store._incomplete_path, str(file)),
        )
        for file in job.output
    ]


def begin_run():
    """Keep what this run is going to replace."""
    if not hasattr(workflow.persistence, "_metadata_path"):
        logger.warning(
            "Snakemake's notes are in a database: an error in this run loses what its jobs replace."
        )
        return
    jobs = [job for job in workflow.dag.needrun_jobs() if job.output]
    kept = [job for job in jobs if not any(file.is_storage for file in job.output)]
    try:
        UNDO.begin(map(_files_of, kept), results_key())
    except OSError as error:
        raise WorkflowError(
            f"{STATE}: what this run replaces cannot be kept: {error}; nothing was started"
        )


def end_run(succeeded):
    """Put back what jobs that failed have lost, and remove the states of those that are done."""
    UNDO.end(succeeded=succeeded)
    clean_states(STATE)


if (
    workflow.exec_mode == ExecMode.DEFAULT
    and "--lint" not in sys.argv
    and PRESENCE.alone
):
    # Snakemake's locks outlive a kill -9 of it; ours does not.
    clear_stale_locks()
    try:
        if UNDO.recover(results_key()):
            logger.info(
                f"{RESULTS}: data, settings and code are those of the last run that got through. Its results "
                "are back where the run after it, which failed, had replaced them."
            )
    except (DetectorError, OSError) as error:
        logger.warning(
            f"What the last run had begun to replace is not put back yet: {error}"
        )
