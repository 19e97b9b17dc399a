# What a run leaves behind it: locks after a kill, and what it replaced, until it has succeeded.


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
