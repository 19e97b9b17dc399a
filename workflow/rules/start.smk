# What is looked up and refused before anything starts: data, packages, teachers, weights, steps that a network fails at.

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
