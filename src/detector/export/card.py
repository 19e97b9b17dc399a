"""Model card: what a variant is, what it can do and what not, from the files of its run. No torch.

The text is in a template; here are the numbers and the words that depend on them. Undefined is "–", never 0.
"""

import importlib.metadata
import math
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields

import pandas as pd

from detector.core.errors import DetectorError
from detector.core.labels import FAKE, REAL, SPLIT_NAMES
from detector.data import kinds
from detector.data.records import file_of
from detector.experiment import methods
from detector.experiment.formats import FILES, INT8
from detector.experiment.variants import BASELINE
from detector.imaging.looks import Looks
from detector.imaging.normalisation import Normalisation
from detector.stats import decisions
from detector.stats.classification import confusion, measure
from detector.stats.intervals import wilson
from detector.stats.predictions import right
from detector.training.recipe import Recipe, found

WIDTH = 115
FEW = 1000  # test images; with fewer, the interval of a share is up to 6 points wide and more
NONE = "–"
SELECTED = {
    **{"accuracy": "accuracy", "balanced_accuracy": "balanced accuracy"},
    **{"generators": "balanced accuracy, a mean over generators"},
    **{"auc": "area under the ROC curve", "loss": "loss"},
}  # by a recipe's `select`
HOLDS = {
    "onnx-fp32": "the network as it was trained",
    "onnx-fp16": "weights in fp16, computed with in fp32",
    INT8: "weights and activations in int8",
    "sparse-fp16": "weights without zeros, in fp16: to keep or send, not to run",
    "sparse-int8": "weights without zeros, in int8: to keep or send, not to run",
}
# From which release on ONNX Runtime reads ONNX files of this IR version and opset, its own table of versions
# (docs/Versioning.md in its repository); that 1.17 refuses IR 10 and 1.18 does not was tried.
READERS = (("1.14", 8, 18), ("1.16", 9, 19), ("1.17", 9, 20), ("1.18", 10, 21))


@dataclass(frozen=True)
class Facts:
    """Inputs of a model card."""

    export: Mapping  # export.json
    meta: Mapping  # meta.json
    manifest: pd.DataFrame
    sources: Mapping[str, Mapping]  # `type` and `split` by name, in the order of the tables
    deployment: pd.DataFrame  # the variant's rows of deployment.csv
    tests: Mapping[
        str, Mapping[str, pd.DataFrame]
    ]  # "fp32" and, where there is such a file, "int8": by source, columns generator, label, logit
    runtime: str  # that gave the logits of int8
    sizes: Mapping[str, int]  # bytes of the bundle's files, by format and precision
    onnx: tuple[int, int]  # IR version and opset of the ONNX files, of each the newest

    def images(self, split: str) -> pd.DataFrame:
        """Rows of the manifest for a split, in the manifest's order."""
        return self.manifest[self.manifest["split"] == split]


def text(facts: Facts, template: str) -> str:
    """Fill in the template, Markdown with names in braces, and wrap it to lines of readable length.

    Raises `DetectorError` where deployment.csv has no row of the variant, or a kind of source has no licence.
    """
    export, table = facts.export, facts.deployment
    if table.empty:
        raise DetectorError(
            f"deployment.csv: found no row of {export['arch']}, seed {export['seed']}, {export['branch']}, "
            f"expected one for each of its files; add {export['branch']} to deploy.branches"
        )
    values = {
        **{
            key: export[key] for key in ("arch", "branch", "seed", "threshold", "model_sha256", "data_fingerprint")
        },
        "size": export["image_size"],
        "temperature": f"{export['temperature']:.4g}",
        "files": _table(
            ["file", "precision", "MB", "holds"],
            [
                [f"`{FILES[name]}`", name.split("-")[1], f"{facts.sizes[name] / 1e6:.2f}", holds]
                for name, holds in HOLDS.items()
                if name in facts.sizes
            ],
        ),
        "device": _joined(table["device"]),
        "flags": _joined(table["cpu_flags"]),
        "threads": _joined(table["threads"]),
        "n": _count(table["n"].iloc[0]),
        "costs": _costs(table),
        "data": _data(facts),
        "licences": _licences(facts),
        **_training(facts.meta, _looks(facts.export)),
        **_int8(export, facts.runtime),
        "doubts": _doubts(facts),
        "sure": _sure(export["band"]),
        **{"ir": facts.onnx[0], "opset": facts.onnx[1], "least": least_runtime(*facts.onnx)},
        "results": _results(facts),
        "generators": _generators(facts),
        **_limits(facts),
        "trained_at": _commit(export["trained_at"], export["trained_dirty"]),
        "git_commit": _commit(export["git_commit"], export["dirty"]),
        "versions": ", ".join(
            f"{name} {version}"
            for name, version in {"python": facts.meta["python"], **facts.meta["libraries"]}.items()
        ),
    }
    return "\n\n".join(filter(None, map(_wrapped, template.format_map(values).split("\n\n")))).rstrip() + "\n"


def least_runtime(ir: int, opset: int) -> str:
    """First release of ONNX Runtime that reads files of this IR version and opset.

    For files newer than `READERS` knows, the installed release.
    """
    for release, newest_ir, newest_opset in READERS:
        if ir <= newest_ir and opset <= newest_opset:
            return release
    return importlib.metadata.version("onnxruntime")


def _doubts(facts: Facts) -> str:
    """First warning about a network that never calls one class; "" where there is none."""
    valid, found = facts.images("valid")["label"], {}
    told_by = {FILES["onnx-fp32"]: facts.export, FILES[INT8]: facts.export["int8"]}
    for name, told in told_by.items():
        if told is None:
            continue
        called = told["band"]["real"]["called"]
        reals, fakes = (int((valid == label).sum()) for label in (REAL, FAKE))
        found[name] = [
            decisions.doubt(reals, fakes, called, round(told["valid_accuracy"] * len(valid)), "validation images")
        ]
    for name, tests in zip(found, facts.tests.values(), strict=True):
        table = pd.concat(tests.values())
        sums = confusion(table["label"], table["logit"])
        real, right_about = sums["tn"] + sums["fp"], sums["tp"] + sums["tn"]
        found[name].append(
            decisions.doubt(real, len(table) - real, sums["tn"] + sums["fn"], right_about, "test images")
        )
    lines = [f"- `{name}`: {said}." for name, several in found.items() for said in several if said]
    heading = f"**It has not learned to tell real from fake.** {decisions.REMEDY}"
    return "\n\n".join([heading, "\n".join(lines)]) if lines else ""


def _sure(band: Mapping) -> str:
    """Cuts beyond which a verdict is sure, and what they are worth."""
    lines = []
    for side, reach in (("fake", "up to"), ("real", "from")):
        found = band[side]
        if found["cut"] is None:
            why = "too few validation images were called so, or too many of them wrongly"
            lines.append(f"- **{side}:** never sure, since {why}.")
            continue
        line = (
            f"- **{side}:** sure {reach} a logit of {found['cut']:.4g}. Of {_count(found['called'])} validation "
            f"images called so {_count(found['kept'])} lie there, {_count(found['errors'])} of them wrongly: with "
            f"{100 * band['confidence']:.0f} % confidence at most {_percent(found['bound'])} are wrong"
        )
        asked = f", but {_percent(band['wanted'])} was asked for, which these images cannot show"
        lines.append(f"{line}{'' if found['reached'] else asked}.")
    return "\n".join(lines)


def _costs(table: pd.DataFrame) -> str:
    rows = []
    for row in table.itertuples():
        changes = (row.accuracy_delta, row.accuracy_delta_low, row.accuracy_delta_high)
        change, low, high = (_shown(100 * value, "+.2f") for value in changes)
        rows.append(
            [
                f"`{FILES[f'{row.format}-{row.precision}']}`",
                *(row.runtime, _count(row.batch)),
                f"{_shown(row.latency_ms_median, '.3g')} ({_shown(row.latency_ms_p90, '.3g')})",
                _shown(row.speedup_vs_eager_fp32, ".2f"),
                _shown(row.speedup_vs_same_runtime_fp32_dense, ".2f"),
                _percent(row.accuracy),
                NONE if change == NONE else f"{change} ({low} to {high})",
            ]
        )
    return _table(["file", "runtime", "batch", "ms", "× torch", "× dense", "accuracy", "difference"], rows)


def _data(facts: Facts) -> str:
    rows = []
    for name, source in facts.sources.items():
        images = facts.manifest[facts.manifest["source"] == name]
        labels = [images.loc[images["split"] == split, "label"] for split in SPLIT_NAMES]
        counts = [f"{_count((label == REAL).sum())} / {_count((label == FAKE).sum())}" for label in labels]
        rows.append([_code(name), source["type"], source["split"], *counts])
    return _table(["source", "kind", "split", *(f"{split}, real / fake" for split in SPLIT_NAMES)], rows)


def _licences(facts: Facts) -> str:
    """The terms of each kind of source, once."""
    used = dict.fromkeys(source["type"] for source in facts.sources.values())
    return "\n".join(f"- {_code(kind)}: {' '.join(kinds.module(kind).TERMS.split())}" for kind in used)


def _looks(export: Mapping) -> str:
    """Windows of the packed square that the trained network sees, in words: "" for the middle alone."""
    how = next(iter(export["preprocessing"].values()))
    if not how.get("looks"):
        return ""
    some = Looks.of(how["looks"])
    count = _count(len(some.windows(how["size"])))
    return (
        f"of that square the network sees {count} windows on a grid from edge to edge, of "
        f"{' and '.join(map(str, some.sizes))} pixels a side, and the logit is the mean of theirs: an image takes "
        f"as long as {count} do in the table of costs"
    )


def _training(meta: Mapping, looks: str) -> dict[str, object]:
    """Training of this branch, in words, as counted afterwards, not as asked for; `looks`: of `_looks`."""
    common = {
        "parameters": _count(meta["total_parameters"]),
        "weights": _count(meta["nonzero_weights"]),
        "macs": f"{meta['macs'] / 1e6:,.1f}",
        "epochs": meta["epochs"],
        "best_epoch": meta["best_epoch"],
        "cropped": _cropped(meta["preprocessing"]),
        "square": _square(next(iter(meta["preprocessing"].values())), looks),
        **{key: meta["recipe"][key] for key in ("optimizer", "batch_size", "flip")},
        "learning_rate": f"{meta['recipe']['learning_rate']:.3g}",
        "selected": SELECTED[meta["recipe"]["select"]],
        "knobs": _knobs(meta["recipe"]),
        "normalised": str(Normalisation.of(meta)),
        "start": _start(meta.get("start")),
    }
    if meta["branch"] == BASELINE:
        way = "from weights" if meta.get("start") else "from scratch"
        return common | {
            "origin": f"It is the baseline of its run: trained {way}, nothing pruned.",
            "removed": "nothing, this is the baseline",
            "stage": f"Training {way}",
            "found": "",
            "chosen": "Epoch",
        }
    best = meta["hyperparameters"]
    zeros = _percent(1 - meta["nonzero_weights"] / meta["prunable_weights"])
    parameters, channels = _percent(meta["parameters_removed"]), _percent(meta["channels_removed"])
    done = methods.facts(meta["method"]).CARD.format(zeros=zeros, channels=channels, parameters=parameters)
    if meta["sparsity"] == 0:
        done = "nothing pruned: the control that shows what this fine-tuning does to a dense network"
        if of := meta.get("hyperparameters_of"):
            done = f"nothing pruned and the settings of {of}, as the control of that branch"
    return common | {
        "origin": f"It is the run's baseline, fine-tuned with {done}{_taught(meta.get('teacher'))}.",
        "removed": f"{parameters} of the parameters, {channels} of the channels; of the conv and fc weights "
        f"that are left, {zeros} are zero",
        "stage": "Fine-tuning of the baseline",
        "chosen": ", ".join([*found(best), "epoch"]).replace("_", " ").capitalize(),
        "found": f" (the best of {best['trials']} trials on the validation images)",
    }


def _taught(teacher: Mapping | None) -> str:
    """Distillation in words. "" without, and for older results."""
    if teacher is None:
        return ""
    whose = {key: teacher[key] for key in ("arch", "seed", "branch")}
    return (
        ", and with the logits of a teacher beside the labels ({arch}, seed {seed}, {branch}; their share of the "
        "loss is {weight:g}, the temperature {temperature:g})"
    ).format(**whose, weight=teacher["weight"], temperature=teacher["temperature"])


def _start(start: Mapping | None) -> str:
    """What a run began with, in words: a line of its own; "" from scratch."""
    if not start:
        return ""
    licence = start["licence"] or "not known: look it up before you pass the model on"
    what = "it" if start.get("whole") else "all but the last layer"
    return (
        f"\n- **Start:** {what} began as {_code(start['name'])}, weights from "
        f"{_code(start['source'])} (SHA-256 {start['sha256']}). Their licence: {licence}."
    )


def _knobs(recipe: Mapping) -> str:
    """What else a recipe has that the study's has not, in words."""
    unused = {"select", "stream"} | (set() if recipe["optimizer"] == "SGD" else {"momentum", "nesterov"})
    own = [f for f in fields(Recipe) if f.default is not MISSING and f.name not in unused]
    return "".join(f"; {f.name}: {recipe[f.name]}" for f in own if recipe.get(f.name, f.default) != f.default)


def _cropped(preprocessing: Mapping[str, Mapping]) -> str:
    names = _names(name for name, how in preprocessing.items() if how["face_crop"])
    said = []
    if names:
        said.append(
            f"Images of {names} were cropped to their largest face before they were resized. `example.py` does "
            "not do that: give it such crops."
        )
    if any(how.get("preprocess") == "texture_crop" for how in preprocessing.values()):
        said.append("`example.py` does not look for the richest texture: with this model it says so and stops.")
    return " ".join(said)


def _square(how: Mapping, looks: str) -> str:
    """Preprocessing to a square, in words: the same for all sources, except for faces."""
    size, steps = how["size"], []
    if levels := how.get("ela"):
        steps.append(
            "its error levels taken in its place: the absolute difference to the image compressed once more as "
            f"JPEG of quality {levels['quality']}, scaled so that the largest is 255"
        )
    if how.get("resize_to"):
        steps.append(f"the shorter side resized to {how['resize_to']}, bilinear with antialiasing")
    window = {
        "center_crop": "from the middle",
        "random_crop": "from a place that the file's SHA-256 decides",
        "texture_crop": "where the texture is richest",
    }.get(how.get("preprocess", ""))
    if window:
        steps.append(f"a window of {size} × {size} pixels cut out, {window}; a smaller image is enlarged")
    else:
        steps.append(f"resized to {size} × {size}, bilinear with antialiasing, the aspect ratio not kept")
    if again := how.get("recompress"):
        low, high = again["quality"]
        steps.append(
            f"compressed as {again['format']}, whatever the class, with a quality from {low} to {high} that the "
            f"file's SHA-256 decides, colour {again['subsampling']}"
        )
    if seen := how.get("centre"):
        middle = f"of that square the network sees the middle {seen} × {seen} pixels"
        steps.append(f"{looks or middle}; it was trained on windows of it, drawn anew in each epoch")
    return "; ".join(steps)


def _int8(export: Mapping, runtime: str) -> dict[str, str]:
    """What is said of the int8 file, in the places where something is; that there is none, in one of them."""
    int8, name = export["int8"], f"`{FILES[INT8]}`"
    if int8 is None:
        said = ("int8_temperature", "int8_band", "int8_results", "int8_checked")
        why = "no such file can be made of this network; tables/left_out.csv of the run says why"
        return {**dict.fromkeys(said, ""), "example": "PICTURE …", "int8": why}
    layers = _names(int8["float_layers"]) or "none"
    return {
        "example": f"{FILES[INT8]} PICTURE …     # without a model: {FILES['onnx-fp32']}",
        "int8_temperature": f" ({int8['temperature']:.4g} for {name})",
        "int8_band": " (of fp32; the int8 file's metadata has its own numbers)",
        "int8": f"ranges of activations by the method {int8['method']}, on training images; weights by channel; "
        f"layers left in fp32: {layers}; what all logits move by is taken off them. Accuracy on the validation "
        f"images {_percent(int8['valid_accuracy'])}, in fp32 {_percent(export['valid_accuracy'])}",
        "int8_results": f"; int8 is {name} in {runtime}",
        "int8_checked": ", and int8 was checked,",
    }


def _results(facts: Facts) -> str:
    rows = []
    for name in (*facts.sources, None):
        for precision, tests in facts.tests.items():
            table = pd.concat(tests.values()) if name is None else tests[name]
            found = measure(table["label"], table["logit"])
            real, fake = found["tn"] + found["fp"], found["tp"] + found["fn"]
            rows.append(
                [
                    *("all" if name is None else _code(name), precision, f"{_count(real)} / {_count(fake)}"),
                    _share(found["tp"] + found["tn"], found["n"]),
                    *(_share(found["tp"], fake), _share(found["tn"], real)),
                    *(_shown(found[key], ".3f") for key in ("auc", "precision", "f1")),
                ]
            )
    return _table(
        [
            *("test set", "model", "real / fake", "accuracy", "recall of fakes", "recall of reals"),
            *("AUC", "precision", "F1"),
        ],
        rows,
    )


def _generators(facts: Facts) -> str:
    """Each generator of each test set, and its real images as a row of their own."""
    rows = []
    for name in facts.sources:
        exact, *others = (
            tests[name].assign(right=right(tests[name])).groupby(["label", "generator"])["right"]
            for tests in facts.tests.values()
        )
        for (label, generator), ours in exact:
            made = "nothing: real images" if label == REAL else _code(generator)
            share = _share(ours.sum(), len(ours))
            same = [_percent(rounded.mean()[label, generator]) for rounded in others]
            rows.append([_code(name), made, _count(len(ours)), share, *same])
    exact_name, *names = facts.tests
    return _table(["test set", "made by", "n", f"called right, {exact_name}", *names], rows)


def _limits(facts: Facts) -> dict[str, str]:
    train, test = facts.images("train"), facts.images("test")
    learned, tested = (
        sorted(images.loc[images["label"] == FAKE, "generator"].unique()) for images in (train, test)
    )
    unseen = _names(name for name in tested if name not in learned)
    held_out = _names(name for name in facts.sources if name in set(test["source"]) - set(train["source"]))
    tests = facts.tests["fp32"]
    items = []
    for held, lacking, label in (("fakes", "real images", FAKE), ("real images", "fakes", REAL)):
        if names := _names(n for n, table in tests.items() if len(table) and (table["label"] == label).all()):
            items.append(
                f"- {names}: the test images are {held} alone. Without {lacking} there is no AUC, and precision "
                "says nothing."
            )
    if few := _names(name for name, table in tests.items() if len(table) < FEW):
        items.append(f"- Few test images (less than {FEW:,}): {few}. Read the intervals, not the shares.")
    framed = facts.manifest[facts.manifest["frame"].notna()]
    counts = framed.assign(path=framed["path"].map(file_of)).groupby(["source", "path"]).size()
    for name in (name for name in facts.sources if name in set(framed["source"])):
        most = int(counts[name].max())
        how = (
            f"up to {most} frames of each video are images, and a video is judged by the mean of their logits, "
            "here and by `detector predict`"
            if most > 1
            else "of each video one frame is the image"
        )
        items.append(f"- {_code(name)}: {how}. `example.py` reads no videos, give it frames.")
    for name, source in facts.sources.items():
        if shared := kinds.module(source["type"]).SHARED.get(source["split"]):
            items.append(f"- {_code(name)}, split {source['split']}: {shared}. Its numbers may flatter.")
    return {
        "learned": _names(learned) or NONE,
        "unseen": unseen and f"; {unseen} came only in the test",
        "held_out": held_out and f", but for {held_out}, of which none was trained on",
        "valid_n": _count(len(facts.images("valid"))),
        "limits": "\n".join(items),
    }


def _share(part: float, whole: float) -> str:
    """A share with its interval, in percent."""
    if not whole:
        return NONE
    low, high = wilson(part / whole, whole)
    return f"{_percent(part / whole)} ({100 * low:.1f}–{100 * high:.1f})"


def _commit(commit: str, dirty: bool | None) -> str:
    return f"{commit}, with uncommitted edits" if commit and dirty else commit or NONE


def _percent(share: float) -> str:
    return NONE if math.isnan(share) else f"{100 * share:.1f} %"


def _shown(value: float, form: str) -> str:
    return NONE if math.isnan(value) else format(value, form).replace("-", "−")


def _count(value: float) -> str:
    return f"{int(value):,}"


def _joined(values: pd.Series) -> str:
    return ", ".join(dict.fromkeys(str(value) for value in values.dropna())) or NONE


def _names(names: Iterable[str]) -> str:
    return ", ".join(map(_code, names))


def _code(name: str) -> str:
    """A name that others chose, so that nothing in it is taken for Markdown."""
    return "`" + " ".join(name.replace("`", "'").split()) + "`"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def _wrapped(block: str) -> str:
    """A paragraph, or the items of a list, in lines of readable length; a table, a heading or code as it is."""
    block = block.strip("\n")
    if block.startswith(("|", "#", "```")):
        return block
    bullet = "- " if block.startswith("- ") else ""
    items = block.removeprefix(bullet).split("\n- ") if bullet else [block]
    return "\n".join(
        textwrap.fill(
            *(" ".join(item.split()), WIDTH),
            initial_indent=bullet,
            subsequent_indent=" " * len(bullet),
            break_long_words=False,
            break_on_hyphens=False,
        )
        for item in items
    )
