# Shared by all rules: the validated config, file names, sections of the config and the code that a stage depends on.
import hashlib
import json
import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from types import SimpleNamespace

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
from detector.experiment.config import read as read_config
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
    # Snakemake, which has read them, takes the last of two values of a key.
    for file in (ROOT / "config.yaml", *workflow.config_settings.configfiles):
        read_config(Path(file))
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
# What trains and predicts does so for the plain run, where {place} is empty, and for each network of a protocol.
ANY = f"{RESULTS}/{{place}}"
ANY_RUN = f"{ANY}runs/{{arch}}/seed{{seed}}"
ANY_VARIANT = f"{ANY_RUN}/{{branch}}"
ANY_SYSTEM = f"{ANY}runs/{{system}}/seed{{seed}}"
MEMBER = f"{ANY_SYSTEM}/{{arch}}-{{part}}"
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
