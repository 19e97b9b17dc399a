"""Adaptation of a bundle to a new generator: the overlay of a run that goes on from it with old and new images."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from detector.core import machine
from detector.core.errors import DetectorError
from detector.core.files import read_json, write_json, write_text
from detector.core.labels import FAKE, REAL
from detector.data import walk
from detector.experiment import architectures
from detector.experiment.branches import UNPRUNED
from detector.experiment.config import config_of
from detector.experiment.variants import BASELINE, DENSE_CONTROL, Branch, Variant
from detector.imaging.preprocessing import FIXED
from detector.predict.bundles import SUMS
from detector.starter import given, origin
from detector.starter.folders import Counts
from detector.starter.plan import CONFIG, place, results_of

PLAN = "plan.json"  # what stages are expected to take
RECORD = "adapt.json"  # what the folder was made for
COPIES = "given"  # copies of the new images
NEW = "new"  # their source
INIT = "before"  # the start: the network of the bundle
LIGHT_STAGES = 14  # that it runs beside those with a network
REPLAYED = 4000  # training images of each old source
BATCH = 16
TRIALS, TRIAL_EPOCHS, EPOCHS = 4, 2, 6
RATES = (1e-5, 1e-3)
TABLES = ("final_accuracy", "per_generator", "best_hyperparameters", "audit_verdict")  # of those a run makes
KEPT = ("flip", "weight_decay", "label_smoothing", "clip", "augment", "crop")  # knobs of the old run's recipe
MASKED = ("l1", "lamp", "random", "gradual")  # which drop the same weights of a network that lacks them again


@dataclass(frozen=True)
class Adaptation:
    """What is to be run. `text`: the overlay to write, None where one is there already."""

    file: str  # the overlay, from the project's folder or absolute
    text: str | None
    config: Mapping[str, Any]
    origin: origin.Origin
    given: given.Given
    source: str  # of the new images
    record: Mapping[str, Any]
    before: Variant  # in the new run: the bundle's network, not trained any further
    after: Variant

    @property
    def targets(self) -> list[str]:
        """The files that the run is to make: the new bundle, what the comparison reads, and some tables."""
        results = self.config["results"].rstrip("/")
        return [
            f"{results}/{self.folder(self.after)}/bundle/{SUMS}",
            *(f"{results}/{self.folder(one)}/predictions/provenance.json" for one in (self.before, self.after)),
            *(f"{results}/tables/{name}.csv" for name in TABLES),
        ]

    @staticmethod
    def folder(variant: Variant) -> str:
        """The folder of a variant below the results."""
        return f"runs/{variant.arch}/seed{variant.seed}/{variant.branch}"

    @property
    def counts(self) -> Counts:
        """All images of the new run: those that are replayed, and the given ones."""
        parts: Counter[tuple[str, int]] = Counter()
        for _, rows in self.origin.manifest.groupby("source"):
            fewer = min(1.0, REPLAYED / max(1, int((rows["split"] == "train").sum())))
            for (split, label), images in rows.groupby(["split", "label"]).size().items():
                parts[split, label] += round(images * (fewer if split == "train" else 1))
        parts.update((image.split, image.label) for image in self.given.images)
        return Counts(parts, self.given.generators)

    def write(self, out: Path) -> None:
        """Make the folder: copies of the images, the record, and at last the overlay, by which it is complete."""
        if self.text is not None:
            self.given.lay_out(out / COPIES)
            write_json(out / RECORD, self.record)
            write_text(out / CONFIG, self.text)


def make(root: Path, bundle: Path, results: Path, fake: Path, real: Path | None, out: Path) -> Adaptation:
    """Plan the adaptation of a bundle, in the project's folder `root`; nothing is written.

    `results`: the run that made the bundle; `fake`, `real`: folders of new images; `out`: the folder to make, or
    one that the same adaptation made, which is gone on with. Raises `DetectorError` for what is of no use.
    """
    found = origin.find(root, bundle, results)
    limit = min(int(how["max_pixels"]) for how in found.preprocessing.values())
    images = given.read(fake, real, limit)
    _check_apart(out, fake, real)
    record = {
        "bundle": found.sha256,
        "variant": asdict(found.variant),
        "images": {image.name: image.split for image in images.images},
    }
    file, there = out / CONFIG, _recorded(out)
    source = next(name for name in (NEW, *(f"{NEW}{i}" for i in range(2, 99))) if name not in found.packs)
    network = f"{architectures.network(found.variant.arch)}{architectures.AT}{INIT}"
    if step := architectures.step(found.variant.arch):
        network += f"{architectures.PLUS}{step}"
    before = Variant(network, found.variant.seed, BASELINE)
    after = Variant(network, found.variant.seed, str(_branch(found.variant)))
    text = None
    if there is None:
        text = _text(root, found, source, after, results_of(out, root), place(out / COPIES, root))
    elif there != record:
        raise DetectorError(
            f"--out: found {out}, which was made for another bundle or other images; name another folder"
        )
    config = config_of(root, [file if text is None else yaml.safe_load(text)])
    return Adaptation(place(file, root), text, config, found, images, source, record, before, after)


def _branch(variant: Variant) -> Branch:
    """The branch that an adapted network is: pruned as the bundle's is, or the dense control."""
    own = Branch.of(variant.branch)
    return own if own.method in MASKED and own.percent else Branch.of(DENSE_CONTROL)


def _text(root: Path, found: origin.Origin, source: str, after: Variant, results: str, copies: str) -> str:
    """The overlay as YAML."""
    branch = Branch.of(after.branch)
    share = branch.percent / 100 if branch.percent else UNPRUNED["sparsity"]
    methods = {**{name: [] for name in _default_methods(root)}, branch.method: [share]}
    threads = max(1, machine.cores() // 2)
    step = architectures.step(after.arch)
    name = after.arch.partition(architectures.PLUS)[0]
    network = f"{{name: {_quoted(name)}, preprocess: {step}}}" if step else _quoted(name)
    before = found.meta.get("recipe") or {}
    kept = {knob: before[knob] for knob in KEPT if before.get(knob) is not None}
    start = found.meta.get("start") or {}
    licence = f", licence: {_quoted(start['licence'])}" if start.get("licence") else ""
    sources = "\n".join(
        f"    {name}: {{type: run, split: kept, root: {_quoted(place(pack, root))}, pairs: null, expect: any, "
        f"limit: {{train: {REPLAYED}}}}}"
        for name, pack in found.packs.items()
    )
    knobs = "".join(f"  {knob}: {_quoted(value)}\n" for knob, value in kept.items())
    faces = all(how.get("face_crop") for how in found.preprocessing.values())
    return f"""\
# Written by `detector adapt`: what is not as config.yaml has it (docs/configuration.md says what each key means).
# Edit it and give the same command again: what a change concerns is done again, and all else stays.
results: {results}

data:
  use: [{", ".join([*found.packs, source])}]
  sources:                        # the old images as they were packed and split, the new ones as list.csv says
{sources}
    {source}: {{type: list, list: {given.LIST}, root: {_quoted(copies)}, face_crop: {str(faces).lower()}}}
  fractions: [1.0, 0.0, 0.0]      # nothing is cut any further
  max_pixels: {min(how["max_pixels"] for how in found.preprocessing.values())}

audit: {{on_leak: drop}}            # a copy of a training image is not tested on

images: {_quoted(_images(found))}
architectures: [{network}]
seeds: [{after.seed}]
inits:                            # the network of the bundle, with its head
  {INIT}: {{file: {_quoted(place(found.folder, root))}, whole: true{licence}}}

# The baseline is the bundle's network as it is. The one branch is that network trained further, with the settings
# that a search finds, on as many images of each generator as of any other.
train:
  epochs: 0
  optimizer: AdamW
  schedule: cosine
  balance: generators
  select: generators
{knobs}prune: {{methods: {_quoted(methods)}, dense_control: false}}
search:
  share: branch
  trials: {TRIALS}
  epochs: {TRIAL_EPOCHS}
  batch_size: {BATCH}
  optimizers: [AdamW]
  learning_rate: {_quoted(list(RATES))}
finetune: {{epochs: {EPOCHS}, patience: {EPOCHS}, batch_size: {BATCH}}}

latency: {{warmup: 3, rounds: 10}}
deploy: {{branches: [{after.branch}], calibration_images: 64, max_drop: 0.02}}
robustness: {{use: []}}
gradcam: {{branches: []}}
runtime: {{threads: {threads}, workers: {threads}}}
"""


def _default_methods(root: Path) -> list[str]:
    """Pruning methods that config.yaml asks for."""
    return list(config_of(root, [])["prune"]["methods"])


def _images(found: origin.Origin) -> dict[str, Any]:
    """The section `images` that packs as the old run did. Raises `DetectorError` where its sources differ."""
    ways = {json.dumps(_way(how), sort_keys=True): name for name, how in found.preprocessing.items()}
    if len(ways) > 1:
        raise DetectorError(
            f"--run: the sources {' and '.join(ways.values())} were packed in unlike ways, expected one in which "
            "new images can be packed too"
        )
    way: dict[str, Any] = json.loads(next(iter(ways)))
    return {**way, "looks": found.looks}


def _way(record: Mapping[str, Any]) -> dict[str, Any]:
    how = {key: value for key, value in record.items() if key not in (*FIXED, "face_crop", "max_pixels", "centre")}
    if "resize" in record and record["resize"] != FIXED["resize"]:
        raise DetectorError(
            f"--run: its images were resized by {record['resize']}, which this version does not know"
        )
    side = record["size"]
    seen = record.get("centre") or side
    return {"resize_to": None, "recompress": None, **how, "size": seen, "pack_size": side if seen < side else None}


def _check_apart(out: Path, fake: Path, real: Path | None) -> None:
    """Raise `DetectorError` where `out` is a file, holds something else, or lies among the images."""
    walk.check_output("--out", out, [("--fake", fake)] + ([] if real is None else [("--real", real)]))
    there = sorted(path.name for path in out.iterdir()) if out.is_dir() else []
    if there and RECORD not in there and there != [COPIES]:
        raise DetectorError(
            f"--out: found {', '.join(there[:3])}{' …' if len(there) > 3 else ''} in {out}, expected nothing, or "
            "what the same command made; name another folder"
        )


def _recorded(out: Path) -> Mapping[str, Any] | None:
    """What the overlay in `out` was made for; None where there is none."""
    if not (out / CONFIG).is_file():
        return None
    try:
        return read_json(out / RECORD)
    except (OSError, ValueError):
        return {}


def counts(images: given.Given) -> str:
    """What is given, in words."""
    parts = []
    makers = len(images.generators)
    fakes = "of a new generator" if makers == 1 else f"of {makers} new generators"
    for label, word in ((FAKE, fakes), (REAL, "real")):
        if total := images.of(label):
            train, valid, test = (images.of(label, split) for split in ("train", "valid", "test"))
            parts.append(f"{total} {word} ({train} to train, {valid} to choose by, {test} held out to test)")
    return ", ".join(parts)


def _quoted(value: object) -> str:
    """A value as YAML on one line."""
    text: str = yaml.safe_dump([value], default_flow_style=True, sort_keys=False, allow_unicode=True, width=10**9)
    return text.strip()[1:-1]
