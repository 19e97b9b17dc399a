"""How a variant was made, in words of its model card: start, training, what becomes of an image. No torch."""

from collections.abc import Mapping
from dataclasses import MISSING, fields

from detector.experiment import methods
from detector.experiment.variants import BASELINE
from detector.export import markdown
from detector.imaging.looks import Looks
from detector.imaging.normalisation import Normalisation
from detector.training.recipe import Recipe, found

SELECTED = {
    **{"accuracy": "accuracy", "balanced_accuracy": "balanced accuracy"},
    **{"generators": "balanced accuracy, a mean over generators"},
    **{"auc": "area under the ROC curve", "loss": "loss"},
}  # by a recipe's `select`


def training(meta: Mapping, looks: str) -> dict[str, object]:
    """Training of this branch, in words, as counted afterwards, not as asked for; `looks` is what `looks` says."""
    common = {
        "parameters": markdown.count(meta["total_parameters"]),
        "weights": markdown.count(meta["nonzero_weights"]),
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
    zeros = markdown.percent(1 - meta["nonzero_weights"] / meta["prunable_weights"])
    parameters, channels = markdown.percent(meta["parameters_removed"]), markdown.percent(meta["channels_removed"])
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


def looks(export: Mapping) -> str:
    """Windows of the packed square that the trained network sees, in words: "" for the middle alone."""
    how = next(iter(export["preprocessing"].values()))
    if not how.get("looks"):
        return ""
    some = Looks.of(how["looks"])
    count = markdown.count(len(some.windows(how["size"])))
    return (
        f"of that square the network sees {count} windows on a grid from edge to edge, of "
        f"{' and '.join(map(str, some.sizes))} pixels a side, and the logit is the mean of theirs: an image takes "
        f"as long as {count} do in the table of costs"
    )


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
        f"\n- **Start:** {what} began as {markdown.code(start['name'])}, weights from "
        f"{markdown.code(start['source'])} (SHA-256 {start['sha256']}). Their licence: {licence}."
    )


def _knobs(recipe: Mapping) -> str:
    """What else a recipe has that the study's has not, in words."""
    unused = {"select", "stream"} | (set() if recipe["optimizer"] == "SGD" else {"momentum", "nesterov"})
    own = [f for f in fields(Recipe) if f.default is not MISSING and f.name not in unused]
    return "".join(f"; {f.name}: {recipe[f.name]}" for f in own if recipe.get(f.name, f.default) != f.default)


def _cropped(preprocessing: Mapping[str, Mapping]) -> str:
    names = markdown.names(name for name, how in preprocessing.items() if how["face_crop"])
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
