"""Plan of a training: its overlay, new or found, with the images, the measured step and the estimate."""

import json
import logging
import math
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from detector.core import machine
from detector.core.errors import DetectorError
from detector.core.files import read_json
from detector.core.labels import CLASSES, FAKE, REAL
from detector.experiment import architectures
from detector.experiment.branches import branches
from detector.experiment.config import config_of, schema_of, used_sources
from detector.starter import folders, overlay
from detector.starter.estimate import Estimate, estimate
from detector.starter.folders import Counts
from detector.starter.overlay import Choice, Effort

log = logging.getLogger(__name__)
CONFIG, RECORD = "config.yaml", "plan.json"  # in the folder that is made
USUAL = 3  # of the efforts to choose from, the one without `minutes`


@dataclass(frozen=True)
class Plan:
    """What is to be run: `text`, the overlay to write, is None where one is there already."""

    file: str  # the overlay, from the project's folder or absolute
    text: str | None
    config: Mapping[str, Any]
    counts: Counts
    minutes: float | None
    measuring: Sequence[str]  # arguments of the measured step
    measured: Mapping[str, Any]
    estimate: Estimate

    @property
    def work(self) -> str:
        """What is trained, in words."""
        train, search, tune = (self.config[name] for name in ("train", "search", "finetune"))
        return (
            f"{_times(train['epochs'], 'epoch')}, {_times(search['trials'], 'trial')} of "
            f"{_times(search['epochs'], 'epoch')} to search settings, "
            f"{_times(tune['epochs'], 'epoch')} of fine-tuning of {', '.join(branches(self.config))}"
        )

    @property
    def networks(self) -> int:
        """Stages with a network that run at a time: one on a GPU, on a CPU as many as have cores."""
        if self.measured["device"] != "cpu":
            return 1
        return max(1, machine.cores() // self.config["runtime"]["threads"])

    @property
    def record(self) -> dict[str, Any]:
        """What is kept beside the overlay: what it was made for, the measured step and what stages should take."""
        return {"minutes": self.minutes, **kept(self.measuring, self.measured, self.estimate)}


def make(root: Path, real: Path, fake: Path, out: Path, start: str | None, minutes: float | None) -> Plan:
    """Plan a training of images in `real` and `fake` to `out`, in the project's folder `root`.

    An overlay that is in `out` is used as it stands. `start`: of `overlay.started`, None for the usual one.
    `minutes`: that the whole may take. Raises `DetectorError` for folders that will not do, an `out` that holds
    something else, arguments that are not those of the overlay that is there, and too few minutes.
    """
    folders.check_apart(real, fake, out)
    _check_out(out)
    file = out / CONFIG
    if file.exists():
        config = config_of(root, [file])
        _check_same(config, root, real, fake, out, start, minutes)
        counts = folders.counted(config, root)
        measuring, measured = measured_step(config, out)
        made_for = _recorded(out).get("minutes")
        found = estimate(config, counts, measured, machine.cores())
        return Plan(place(file, root), None, config, counts, made_for, measuring, measured, found)
    return _new(root, real, fake, out, start, minutes)


def _new(root: Path, real: Path, fake: Path, out: Path, start: str | None, minutes: float | None) -> Plan:
    architecture, init = overlay.started(start or "pretrained")
    efforts = overlay.efforts(architecture)
    choice = Choice(
        results=results_of(out, root),
        real=place(real, root),
        fake=place(fake, root),
        bad=0,
        architecture=architecture,
        init=None if init is None else place(Path(init), root),
        size=folders.size_of(real, fake),
        threads=max(1, machine.cores() // 2),  # two stages at a time, and a busy machine is no disaster
        effort=efforts[USUAL],
    )
    config = config_of(root, [yaml.safe_load(overlay.text(choice))])
    counts = folders.counted(config, root)
    choice = replace(choice, bad=max(3, counts.total // 100))
    measuring, measured = measured_step(config, out)
    effort, found = _fitting(config, efforts, counts, measured, minutes)
    text = overlay.text(replace(choice, effort=effort))
    config = config_of(root, [yaml.safe_load(text)])
    return Plan(place(out / CONFIG, root), text, config, counts, minutes, measuring, measured, found)


def _fitting(
    config: Mapping[str, Any],
    efforts: Sequence[Effort],
    counts: Counts,
    measured: Mapping[str, Any],
    minutes: float | None,
) -> tuple[Effort, Estimate]:
    """The largest effort that fits; the usual one where nobody says how long it may take."""
    for effort in [efforts[USUAL]] if minutes is None else reversed(efforts):
        found = estimate(_asking(config, effort), counts, measured, machine.cores())
        if minutes is None or found.seconds <= 60 * minutes:
            return effort, found
    raise DetectorError(
        f"--minutes: found {minutes:g}, expected {math.ceil(found.seconds / 60)} or more for the least, "
        f"{efforts[0]}, by a step that was measured here; allow more, give fewer images, or take a smaller network"
    )


def _asking(config: Mapping[str, Any], effort: Effort) -> Mapping[str, Any]:
    """A configuration with as much training as `effort` says."""
    changed: dict[str, dict[str, Any]] = {
        **{"train": {"epochs": effort.epochs}, "search": {"trials": effort.trials}},
        **{"finetune": {"epochs": effort.tune}, "prune": {"dense_control": effort.control}},
    }
    return {**config, **{name: {**config[name], **part} for name, part in changed.items()}}


def _check_out(out: Path) -> None:
    there = sorted(path.name for path in out.iterdir()) if out.is_dir() else []
    if there and CONFIG not in there:
        raise DetectorError(
            f"--out: found {', '.join(there[:3])}{' …' if len(there) > 3 else ''} in {out}, expected nothing, or "
            f"the {CONFIG} of an earlier `detector train`; name another folder"
        )


def _check_same(
    config: Mapping, root: Path, real: Path, fake: Path, out: Path, start: str | None, minutes: float | None
) -> None:
    """Raise `DetectorError` where an argument is not what the overlay in `out` says."""
    file, problems = out / CONFIG, []
    if not _same(root / config["results"], out):
        problems.append(f"results: found {config['results']}, expected {out}, the folder that it lies in")
    used = used_sources(config)
    for name, folder, label in (("REAL_DIR", real, REAL), ("FAKE_DIR", fake, FAKE)):
        roots = [options["root"] for options in used.values() if options.get("label") == CLASSES[label]]
        if not any(_same(root / known, folder) for known in roots):
            there = ", ".join(roots) or "no such folder"
            problems.append(f"data.sources: found {there} of {CLASSES[label]} images, expected {folder} ({name})")
    if start is not None:
        architecture, init = overlay.started(start)
        named = config["inits"].get(architectures.start(architecture))
        there = named["file"] if isinstance(named, Mapping) else named
        if architecture not in config["architectures"] or (
            init and not (there and _same(root / there, Path(init)))
        ):
            problems.append(
                f"architectures: found {', '.join(config['architectures'])}, expected {start} (--start)"
            )
    if minutes is not None:
        asked = _recorded(out).get("minutes")
        if asked != minutes:
            made = "without --minutes" if asked is None else f"for --minutes {asked:g}"
            problems.append(f"it was made {made}, found --minutes {minutes:g}")
    if problems:
        raise DetectorError(
            f"{file}: it is used as it stands, and the command says otherwise:\n  "
            + "\n  ".join(problems)
            + "\nEdit it and leave the argument out, name another --out, or remove it to have it written anew."
        )


def _times(count: int, what: str) -> str:
    return f"{count} {what}{'s' if count > 1 else ''}"


def _same(one: Path, other: Path) -> bool:
    return os.path.realpath(one) == os.path.realpath(other)


def measured_step(config: Mapping[str, Any], out: Path) -> tuple[list[str], Mapping[str, Any]]:
    """Arguments and outcome of the measured step, of the first network; one on record is not measured again.

    Raises `DetectorError` where the network cannot be trained here.
    """
    runtime, name = config["runtime"], config["architectures"][0]
    threads = min(runtime["threads"], machine.cores())
    numbers = [config["images"]["size"], config["train"]["batch_size"], threads]
    arguments = [architectures.network(name), *map(str, numbers), runtime["device"], runtime["precision"]]
    if (kept := _recorded(out)).get("measuring") == arguments:
        return arguments, kept["measured"]
    log.info("measuring a training step of %s at %d px on this machine …", name, config["images"]["size"])
    return arguments, _step(arguments)


def kept(measuring: Sequence[str], measured: Mapping[str, Any], found: Estimate) -> dict[str, Any]:
    """What a record has of the measured step and of what stages should take."""
    return {
        **{"measuring": list(measuring), "measured": dict(measured)},
        **{"stages": dict(found.stages), "others": found.others},
    }


def took(measured: Mapping[str, Any], found: Estimate, batch: int) -> str:
    """The time of a run, in words. `batch`: images of the measured step."""
    return (
        f"about {duration(found.seconds)}, of which {duration(found.training)} are training: a step of {batch} "
        f"images took {measured['step']:.2f} s here, the start of a program {measured['start']:.1f} s"
    )


def duration(seconds: float) -> str:
    """A time in words: seconds are rounded to minutes from two minutes on."""
    if seconds < 120:
        return f"{seconds:.0f} seconds"
    minutes = round(seconds / 60)
    hours, rest = divmod(minutes, 60)
    return f"{hours} h {rest:02d} min" if hours else f"{minutes} minutes"


def _recorded(out: Path) -> Mapping[str, Any]:
    """The record that a plan left in `out`; empty where there is none that can be read."""
    try:
        return read_json(out / RECORD)
    except (OSError, ValueError):
        return {}


def _step(arguments: Sequence[str]) -> dict[str, Any]:
    """What `starter.step` says. Raises `DetectorError` where the network cannot be trained here."""
    command = [sys.executable, "-m", "detector.starter.step", *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise DetectorError(f"{arguments[0]}: no training step could be done here:\n{done.stderr[-2000:].strip()}")
    measured: dict[str, Any] = json.loads(done.stdout)
    return measured


def results_of(out: Path, root: Path) -> str:
    """What an overlay calls a folder of results. Raises `DetectorError` for a name that a config cannot have."""
    named = place(out, root)
    allowed = schema_of()["properties"]["results"]["pattern"]
    if not re.match(allowed, named):
        raise DetectorError(
            f"--out: found {named!r}, expected letters without accents, digits and _ . / - alone, no blanks; name "
            "another folder"
        )
    return named


def place(path: Path, root: Path) -> str:
    """A path as an overlay names it: from the project's folder if it lies below it, otherwise absolute."""
    whole, home = os.path.abspath(path), os.path.abspath(root)
    return os.path.relpath(whole, home) if Path(whole).is_relative_to(home) else whole
