"""Model card: what a variant is, what it can do and what not, from the files of its run. No torch.

The text is in a template; here are the numbers and the words that depend on them. Undefined is "–", never 0.
"""

import importlib.metadata
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from detector.core.errors import DetectorError
from detector.core.labels import FAKE, REAL, SPLIT_NAMES
from detector.data import kinds
from detector.data.records import file_of
from detector.experiment.formats import FILES, INT8
from detector.export import making, markdown
from detector.stats import decisions
from detector.stats.classification import confusion, measure
from detector.stats.groups import bounds, known_groups
from detector.stats.predictions import right

FEW = 1000  # test images; with fewer, the interval of a share is up to 6 points wide and more
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
    ]  # "fp32" and, where there is such a file, "int8": by source, columns source, generator, group, label, logit
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
        "files": markdown.table(
            ["file", "precision", "MB", "holds"],
            [
                [f"`{FILES[name]}`", name.split("-")[1], f"{facts.sizes[name] / 1e6:.2f}", holds]
                for name, holds in HOLDS.items()
                if name in facts.sizes
            ],
        ),
        "device": markdown.joined(table["device"]),
        "flags": markdown.joined(table["cpu_flags"]),
        "threads": markdown.joined(table["threads"]),
        "n": markdown.count(table["n"].iloc[0]),
        "costs": _costs(table),
        "data": _data(facts),
        "licences": _licences(facts),
        **making.training(facts.meta, making.looks(facts.export)),
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
    blocks = map(markdown.wrapped, template.format_map(values).split("\n\n"))
    return "\n\n".join(filter(None, blocks)).rstrip() + "\n"


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
        called, kept, errors = (markdown.count(found[key]) for key in ("called", "kept", "errors"))
        line = (
            f"- **{side}:** sure {reach} a logit of {found['cut']:.4g}. Of {called} validation images called so "
            f"{kept} lie there, {errors} of them wrongly: with {100 * band['confidence']:.0f} % confidence at "
            f"most {markdown.percent(found['bound'])} are wrong"
        )
        asked = f", but {markdown.percent(band['wanted'])} was asked for, which these images cannot show"
        lines.append(f"{line}{'' if found['reached'] else asked}.")
    return "\n".join(lines)


def _costs(table: pd.DataFrame) -> str:
    rows = []
    for row, whole in zip(table.itertuples(), table.to_dict("records"), strict=True):
        changes = (row.accuracy_delta, *bounds(whole, "accuracy_delta", "accuracy_delta_grouped"))
        change, low, high = (markdown.shown(100 * value, "+.2f") for value in changes)
        rows.append(
            [
                f"`{FILES[f'{row.format}-{row.precision}']}`",
                *(row.runtime, markdown.count(row.batch)),
                f"{markdown.shown(row.latency_ms_median, '.3g')} ({markdown.shown(row.latency_ms_p90, '.3g')})",
                markdown.shown(row.speedup_vs_eager_fp32, ".2f"),
                markdown.shown(row.speedup_vs_same_runtime_fp32_dense, ".2f"),
                markdown.percent(row.accuracy),
                markdown.NONE if change == markdown.NONE else f"{change} ({low} to {high})",
            ]
        )
    return markdown.table(["file", "runtime", "batch", "ms", "× torch", "× dense", "accuracy", "difference"], rows)


def _data(facts: Facts) -> str:
    rows = []
    for name, source in facts.sources.items():
        images = facts.manifest[facts.manifest["source"] == name]
        labels = [images.loc[images["split"] == split, "label"] for split in SPLIT_NAMES]
        counts = [" / ".join(markdown.count((label == one).sum()) for one in (REAL, FAKE)) for label in labels]
        rows.append([markdown.code(name), source["type"], source["split"], *counts])
    return markdown.table(["source", "kind", "split", *(f"{split}, real / fake" for split in SPLIT_NAMES)], rows)


def _licences(facts: Facts) -> str:
    """The terms of each kind of source, once."""
    used = dict.fromkeys(source["type"] for source in facts.sources.values())
    return "\n".join(f"- {markdown.code(kind)}: {' '.join(kinds.module(kind).TERMS.split())}" for kind in used)


def _int8(export: Mapping, runtime: str) -> dict[str, str]:
    """What is said of the int8 file, in the places where something is; that there is none, in one of them."""
    int8, name = export["int8"], f"`{FILES[INT8]}`"
    if int8 is None:
        said = ("int8_temperature", "int8_band", "int8_results", "int8_checked")
        why = "no such file can be made of this network; tables/left_out.csv of the run says why"
        return {**dict.fromkeys(said, ""), "example": "PICTURE …", "int8": why}
    layers = markdown.names(int8["float_layers"]) or "none"
    return {
        "example": f"{FILES[INT8]} PICTURE …     # without a model: {FILES['onnx-fp32']}",
        "int8_temperature": f" ({int8['temperature']:.4g} for {name})",
        "int8_band": " (of fp32; the int8 file's metadata has its own numbers)",
        "int8": f"ranges of activations by the method {int8['method']}, on training images; weights by channel; "
        f"layers left in fp32: {layers}; what all logits move by is taken off them. Accuracy on the validation "
        f"images {markdown.percent(int8['valid_accuracy'])}, in fp32 {markdown.percent(export['valid_accuracy'])}",
        "int8_results": f"; int8 is {name} in {runtime}",
        "int8_checked": ", and int8 was checked,",
    }


def _results(facts: Facts) -> str:
    rows = []
    for name in (*facts.sources, None):
        for precision, tests in facts.tests.items():
            table = pd.concat(tests.values()) if name is None else tests[name]
            found, correct = measure(table["label"], table["logit"]), right(table)
            label, group = table["label"].to_numpy(), known_groups(table)
            shares = [
                markdown.share(correct[kept], None if group is None else group[kept])
                for kept in (np.ones(len(label), bool), label == FAKE, label == REAL)
            ]
            rows.append(
                [
                    *("all" if name is None else markdown.code(name), precision),
                    f"{markdown.count((label == REAL).sum())} / {markdown.count((label == FAKE).sum())}",
                    *shares,
                    *(markdown.shown(found[key], ".3f") for key in ("auc", "precision", "f1")),
                ]
            )
    return markdown.table(
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
            tests[name].assign(right=right(tests[name])).groupby(["label", "generator"])
            for tests in facts.tests.values()
        )
        for (label, generator), part in exact:
            ours = part["right"].to_numpy()
            made = "nothing: real images" if label == REAL else markdown.code(generator)
            share = markdown.share(ours, known_groups(part))
            same = [markdown.percent(rounded["right"].mean()[label, generator]) for rounded in others]
            rows.append([markdown.code(name), made, markdown.count(len(ours)), share, *same])
    exact_name, *names = facts.tests
    return markdown.table(["test set", "made by", "n", f"called right, {exact_name}", *names], rows)


def _limits(facts: Facts) -> dict[str, str]:
    train, test = facts.images("train"), facts.images("test")
    learned, tested = (
        sorted(images.loc[images["label"] == FAKE, "generator"].unique()) for images in (train, test)
    )
    unseen = markdown.names(name for name in tested if name not in learned)
    held_out = markdown.names(name for name in facts.sources if name in set(test["source"]) - set(train["source"]))
    tests = facts.tests["fp32"]
    items = []
    for held, lacking, label in (("fakes", "real images", FAKE), ("real images", "fakes", REAL)):
        alone = (name for name, table in tests.items() if len(table) and (table["label"] == label).all())
        if names := markdown.names(alone):
            items.append(
                f"- {names}: the test images are {held} alone. Without {lacking} there is no AUC, and precision "
                "says nothing."
            )
    if few := markdown.names(name for name, table in tests.items() if len(table) < FEW):
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
        items.append(f"- {markdown.code(name)}: {how}. `example.py` reads no videos, give it frames.")
    for name, source in facts.sources.items():
        if shared := kinds.module(source["type"]).SHARED.get(source["split"]):
            items.append(f"- {markdown.code(name)}, split {source['split']}: {shared}. Its numbers may flatter.")
    return {
        "learned": markdown.names(learned) or markdown.NONE,
        "unseen": unseen and f"; {unseen} came only in the test",
        "held_out": held_out and f", but for {held_out}, of which none was trained on",
        "valid_n": markdown.count(len(facts.images("valid"))),
        "limits": "\n".join(items),
    }


def _commit(commit: str, dirty: bool | None) -> str:
    return f"{commit}, with uncommitted edits" if commit and dirty else commit or markdown.NONE
