"""`detector doctor`: checks packages, machine, data and bundles, and names the next step.

It looks and never stops: what cannot be looked at is a line that says why. No torch.
"""

import importlib.metadata
import os
import platform
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import yaml

from detector.core import labels, machine
from detector.core.errors import DetectorError
from detector.core.files import read_json
from detector.data import kinds, remote
from detector.experiment.config import config_of, used_sources
from detector.predict import bundles, verdicts

PACKAGES = ("detector", "onnxruntime", "onnx", "numpy", "pillow", "av")
# as they are installed, and the extra that brings them
EXTRAS = {
    **dict.fromkeys(("torch", "pandas", "optuna", "snakemake"), "pipeline"),
    **{"starlette": "app", "openvino": "openvino", "opencv-python-headless": "faces", "pillow-heif": "heif"},
    "snakemake-executor-plugin-slurm": "slurm",
}
FEATURES = {
    "AVX2": {"avx2"},
    "AVX-512": {"avx512f"},
    "VNNI (fast int8)": {"avx512_vnni", "avx_vnni"},
    "AMX int8": {"amx_int8"},
    "bf16": {"amx_bf16", "avx512_bf16"},
}
SHOWN = 10  # bundles
OLD = "never unsure for a close call"


def text(overlays: Sequence[Path] = (), root: Path = Path()) -> str:
    """Report on the project's folder `root`, with these overlays on its config.yaml."""
    steps: list[str] = []
    parts, wrong = [("Versions", _versions), ("Machine", _machine)], ""
    try:
        config = config_of(root, overlays)
    except (DetectorError, OSError, ValueError, yaml.YAMLError) as error:
        wrong = str(error)
        parts.append(("Data", lambda: [wrong]))
        steps.append("go to the project's folder (that of config.yaml and Snakefile), or correct the config")
        if not _version("snakemake"):
            steps[:] = [
                "this installation judges images with a bundle that was made elsewhere: "
                "detector predict PICTURE --model BUNDLE",
                "to make one: pip install '.[pipeline]' in a copy of the project",
            ]
        results = root / "results"
    else:
        parts.append(("Data", lambda: _data(config, root, steps)))
        results = root / config["results"]
    # A run of a config that is wrong, or not there, would be another one than was asked for.
    parts.append((f"Bundles below {results}", lambda: _bundles(results, [] if wrong else steps)))
    lines = []
    for title, look in parts:
        lines += [title, *_indented(_safely(look)), ""]
    return "\n".join([*lines, "Next", *_indented(steps or ["nothing is missing"])])


def _safely(look: Callable[[], list[str]]) -> list[str]:
    try:
        return look()
    except Exception as error:  # a doctor that falls ill helps nobody
        return [f"could not look: {type(error).__name__}: {error}"]


def _versions() -> list[str]:
    lines = [f"Python {platform.python_version()} on {platform.platform()}"]
    lines += [f"{name} {_version(name) or 'is not installed'}" for name in PACKAGES]
    for name, extra in EXTRAS.items():
        missing = f"is not installed; it comes with the extra `{extra}`: pip install '.[{extra}]'"
        lines.append(f"{name} {_version(name) or missing}")
    return lines


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _machine() -> list[str]:
    flags = machine.cpu_flags()
    found = [f"{name}: {'yes' if any_ & flags else 'no'}" for name, any_ in FEATURES.items()]
    gpus = _gpus()
    lines = [f"{machine.cores()} of {os.cpu_count()} cores; {machine.cpu_name() or 'unknown CPU'}"]
    lines.append(", ".join(found) if flags else "its features are not known (no /proc/cpuinfo)")
    if gpus and "+cpu" in _version("torch"):
        gpus.append("but this torch is built for CPUs alone: install one for CUDA to use it")
    return lines + (gpus or ["no NVIDIA GPU: training runs on the CPU"])


def _gpus() -> list[str]:
    query = ["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return [f"GPU: {line}" for line in done.stdout.splitlines()]


def _data(config: Mapping, root: Path, steps: list[str]) -> list[str]:
    lines, missing = [], []
    for name, options in used_sources(config).items():
        if remote.is_remote(options["root"]):
            lines.append(f"{name}: {options['root']}, which the start of a run looks at")
            continue
        folder = root / options["root"]
        absent = [path for path in (folder, root / (options.get("pairs") or folder)) if not path.is_dir()]
        if absent:
            missing.append(name)
            lines.append(f"{name}: not there, looked in {absent[0]}")
            continue
        lines.append(f"{name}: {_source(name, options, folder)}")
    if missing:
        steps.append(f"get {', '.join(missing)} (docs/datasets.md says where), or set data.use to what you have")
        steps.append("without any data: make demo")
    return lines


def _source(name: str, options: Mapping, folder: Path) -> str:
    try:
        records = kinds.module(options["type"]).scan(folder, options)
        real = sum(record.label == labels.REAL for record in records)
        counts = f"{len(records):,} files ({real:,} real, {len(records) - real:,} fake) in {folder}"
        if options.get("expect") != "official":
            return f"{counts}; not compared with the official counts"
        kinds.check_official(name, options["type"], records)
    except DetectorError as error:
        return str(error)
    return f"complete, {counts}"


def _bundles(results: Path, steps: list[str]) -> list[str]:
    found = bundles.bundles(results)
    if not found:
        steps.append("make a bundle: snakemake --cores all --resources gpu=1 (with --configfile for your overlay)")
        return ["none"]
    steps.append(f"ask one about a picture: detector predict PICTURE --model {found[0]}")
    lines = [_bundle(folder) for folder in found[:SHOWN]]
    if old := sum(line.endswith(OLD) for line in lines):
        steps.append(f"{old} of them know no unsure verdicts; snakemake makes them again")
    return lines + ([f"… and {len(found) - SHOWN} more"] if len(found) > SHOWN else [])


def _bundle(folder: Path) -> str:
    line = f"{folder}: {_ago(time.time() - bundles.time_of(folder))}"
    try:
        export = read_json(folder.parent / "export.json")
    except (OSError, ValueError):
        return line
    line += f", validation accuracy {export['valid_accuracy']:.4f}"
    if "band" not in export:
        return f"{line}, {OLD}"
    band = verdicts.Band.of(export["band"])
    if not band.reached:
        return f"{line}, errors outside its unsure range not shown to be below {band.wanted:.1%}"
    return f"{line}, at most {band.error:.1%} errors outside its unsure range"


def _ago(seconds: float) -> str:
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= length:
            count = int(seconds // length)
            return f"{count} {unit}{'s' if count > 1 else ''} old"
    return "new"


def _indented(lines: Sequence[str]) -> list[str]:
    return ["  " + line.replace("\n", "\n  ") for line in lines]
