"""Checks of a config that a schema cannot make: keys that must agree with other keys, or with what there is."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from detector.data import groups, kinds, labelling
from detector.experiment import architectures, inits, protocols, recipes, spaces, systems, teachers
from detector.experiment.branches import branches
from detector.experiment.variants import BASELINE, COMBINED, MAGNITUDE, MATCHED, SHARED, VALID
from detector.imaging import augmentation

RESERVED = (VALID, COMBINED)  # rows of the tables and names of prediction files
MISSING = ("nan", "null")  # what pandas, among others, reads in a table as nothing
# Columns of perturbed.parquet beside the perturbations'.
NO_PERTURBATION = ("branch", "source", "path", "generator", "group", "label", "clean")
SEARCHED_BATCH = "search.space.batch_size"
ONE_PIXEL = 32  # side up to which the last layers of every network here see an image as a single pixel


def problems(config: Mapping, schema: Mapping) -> list[str]:
    """What is wrong with a config that its schema finds right, a sentence for each key.

    Puts in `type` and `split` of sources, whose defaults hang on the source's name and kind.
    """
    found = []
    data = config["data"]
    for name in data["use"]:
        if name in RESERVED:
            found.append(f"data.use: a source cannot be called {name!r}, a name that the tables use; rename it")
        if name in MISSING:
            found.append(f"data.use: a source cannot be called {name!r}, an empty cell of a table; rename it")
        if name not in data["sources"]:
            known = ", ".join(data["sources"])
            found.append(f"data.use: {name!r} has no section in data.sources (there are: {known})")
    for name, options in data["sources"].items():
        options.setdefault("type", name)
        if options["type"] not in kinds.kinds():
            found.append(
                f"data.sources.{name}: no `type`, and {name!r} is no kind of source itself; "
                f"add one of {', '.join(kinds.kinds())}"
            )
            continue
        found += _option_checks(name, options, schema)
        known = kinds.module(options["type"]).SPLITS
        options.setdefault("split", known[0])
        if options["split"] not in known:
            found.append(
                f"data.sources.{name}.split: found {options['split']!r}, expected one of {', '.join(known)}"
            )
    found += [f"architectures: {why}" for why in map(architectures.problem, config["architectures"]) if why]
    found += inits.problems(config)
    of_systems = systems.problems(config)
    found += of_systems
    found += _step_checks(config, [] if of_systems else systems.networks(config))
    found += _image_checks(config["images"])
    found += _batch_checks(config)
    of_search = schema["properties"]["search"]["properties"]
    found += spaces.problems(config, {name: of_search[name]["default"] for name in spaces.REPLACED})
    found += recipes.problems(config)
    found += _augment_checks(config)
    found += _crop_checks(config)
    found += teachers.problems(config)
    found += protocols.problems(config)
    if not math.isclose(sum(data["fractions"]), 1, abs_tol=1e-9):
        found.append(f"data.fractions: {data['fractions']} add up to {sum(data['fractions']):g}, expected 1")
    shares = {f"prune.methods.{method}": values for method, values in config["prune"]["methods"].items()}
    shares["search.pareto.sparsity"] = config["search"]["pareto"]["sparsity"]
    for key, values in shares.items():
        if uneven := [v for v in values if not math.isclose(100 * v, round(100 * v), abs_tol=1e-9)]:
            found.append(f"{key}: {uneven}, expected whole percents such as 0.4 or 0.95")
    if config["prune"]["methods"].get(MATCHED) and config["search"]["share"] == SHARED:
        found.append(
            "prune.methods.matched: with search.share: all the dense control is trained as each branch is, and a "
            "matched control would be the same network again; set matched to [], with prune.dense_control: true"
        )
    if odd := set(config["prune"]["methods"].get(MATCHED, [])) - set(
        config["prune"]["methods"].get(MAGNITUDE, [])
    ):
        found.append(
            f"prune.methods.matched: {sorted(odd)}, expected shares that l1 has too, whose search it takes the "
            "optimizer and learning rate from; add them to l1"
        )
    names = [BASELINE, *branches(config)]
    if config["deploy"]["branches"] != "all" and (odd := set(config["deploy"]["branches"]) - set(names)):
        found.append(f"deploy.branches: no {', '.join(sorted(odd))}; there are {', '.join(names)}")
    for section, anything in (("robustness", "all"), ("gradcam", "auto")):
        chosen = config[section]["branches"]
        if chosen != anything and (odd := set(chosen) - set(names)):
            found.append(f"{section}.branches: no {', '.join(sorted(odd))}; there are {', '.join(names)}")
    table, use = config["robustness"]["perturbations"], config["robustness"]["use"]
    if use != "all" and (odd := set(use) - set(table)):
        found.append(f"robustness.use: no {', '.join(sorted(odd))}; there are {', '.join(table)}")
    if odd := set(table) & set(MISSING):
        found.append(
            f"robustness.perturbations: {', '.join(sorted(odd))}: an empty cell of a table; choose others"
        )
    if odd := set(table) & set(NO_PERTURBATION):
        found.append(f"robustness.perturbations: {', '.join(sorted(odd))}: names of columns; choose others")
    low, high = config["search"]["pareto"]["sparsity"]
    if low > high:
        found.append(f"search.pareto.sparsity: lowest {low:g} is above highest {high:g}; swap them")
    if config["prune"]["dense_control"] and 0 in config["prune"]["methods"].get("l1", []):
        found.append("prune.methods.l1: 0 is already there as the dense control; drop it or dense_control")
    return found


def _option_checks(name: str, options: Mapping, schema: Mapping) -> list[str]:
    """Check the keys that only some kinds of sources take, those without a default."""
    where, kind, known = f"data.sources.{name}", options["type"], kinds.options_of(options["type"])
    common = {"type", "split", "limit"}
    special = {
        key
        for key, part in schema["$defs"]["source"]["properties"].items()
        if "default" not in part and key not in {*schema["$defs"]["source"]["required"], *common}
    }
    problems = [
        f"{where}.{key}: the kind {kind} takes no such key; take it out"
        for key in sorted(special & set(options) - set(known))
    ]
    if "list" in known and "list" not in options:
        problems.append(f"{where}: missing list, the name of the file in the root that names the images")
    middle = schema["$defs"]["source"]["properties"]["frame"]["default"]
    if (count := options.get("frames", 1)) > 1 and options.get("frame", middle) != middle:
        problems.append(
            f"{where}.frames: found {count}, and frame: {options['frame']:g} beside it, expected one of them: "
            "several frames are spread evenly over a video; take one of the keys out"
        )
    if "groups" in options and (wrong := groups.problem(options["groups"])):
        problems.append(f"{where}.groups: {wrong}")
    if "labels" in options and (wrong := labelling.problem(options["labels"])):
        problems.append(f"{where}.labels: {wrong}")
    return problems


def _image_checks(images: Mapping) -> list[str]:
    problems = []
    size, larger, shorter, recompress = (images[key] for key in ("size", "pack_size", "resize_to", "recompress"))
    if larger is not None and larger < size:
        problems.append(
            f"images.pack_size: found {larger}, expected at least images.size, {size}, which is cut from it; "
            "raise it or set it to null"
        )
    name, packed = ("size", size) if larger is None else ("pack_size", larger)
    if (looks := images["looks"]) is not None:
        if packed == size:
            problems.append(
                f"images.looks: there is one look, as images are packed at images.size, {size}; set "
                "images.pack_size to a larger side, or this to null"
            )
        elif packed > size and (odd := [side for side in looks["sizes"] or () if not size <= side <= packed]):
            problems.append(
                f"images.looks.sizes: found {', '.join(map(str, odd))}, expected sides from images.size, {size}, "
                f"to images.pack_size, {packed}"
            )
    if shorter is not None and shorter < packed and packed >= size:
        problems.append(
            f"images.resize_to: {shorter} is below images.{name}, {packed}: images would be enlarged again; raise "
            "it or set it to null"
        )
    if recompress is not None:
        low, high = recompress["quality"]
        if low > high:
            problems.append(f"images.recompress.quality: lowest {low} is above highest {high}; swap them")
        if recompress["format"] == "WEBP" and recompress["subsampling"] != "4:2:0":
            problems.append(
                f"images.recompress.subsampling: found {recompress['subsampling']}, but WEBP knows 4:2:0 alone"
            )
    return problems


def _places(config: Mapping, knob: str) -> dict[str, Any]:
    """Values of a knob of the recipe by the place in the config that they stand at."""
    places = {f"train.{knob}": config["train"][knob]}
    places |= {
        f"{section}.recipe.{knob}": (config[section]["recipe"] or {}).get(knob)
        for section in ("search", "finetune")
    }
    if isinstance(tried := (config["search"]["space"] or {}).get(knob), list):
        places |= {f"search.space.{knob}.{number}": value for number, value in enumerate(tried)}
    return places


def _crop_checks(config: Mapping) -> list[str]:
    problems, images = [], config["images"]
    larger = images["pack_size"] not in (None, images["size"])
    for place, crop in _places(config, "crop").items():
        if crop is None:
            continue
        if not larger:
            problems.append(
                f"{place}: there is nothing to crop, as images are packed at images.size, {images['size']}; set "
                "images.pack_size to a larger side, or this to null"
            )
        elif (side := crop.get("side")) and side[0] > side[1]:
            problems.append(f"{place}.side: lowest {side[0]:g} is above highest {side[1]:g}; swap them")
    return problems


def _step_checks(config: Mapping, more: Sequence[str]) -> list[str]:
    """Check what cannot be where an architecture, or one of `more`, has a step of preprocessing of its own."""
    names = config["architectures"]
    problems = [f"architectures: found {name} twice" for name in dict.fromkeys(names) if names.count(name) > 1]
    for name in [name for name in (*names, *more) if architectures.step(name) is not None]:
        if config["images"]["recompress"] is not None:
            problems.append(
                f"architectures: {name}: error levels show how files were compressed, which images.recompress is "
                "to hide; set it to null, or take this architecture out"
            )
        for place, augment in _places(config, "augment").items():
            if augment:
                problems.append(
                    f"{place}: degrades packed pixels, which are error levels for {name}, not images; set it to "
                    "null, or take that architecture out"
                )
    return problems


def _augment_checks(config: Mapping) -> list[str]:
    problems = []
    for place, augment in _places(config, "augment").items():
        for number, step in enumerate((augment or {}).get("steps", ())):
            where, names = f"{place}.steps.{number}", [name for name in step if name != augmentation.CHANCE]
            if len(names) != 1:
                problems.append(
                    f"{where}: found {len(names)} steps ({', '.join(names) or 'none'}), expected one, such as "
                    "{jpeg: [40, 95], chance: 0.5}; write each as an item of its own"
                )
            elif (low := step[names[0]][0]) > (high := step[names[0]][1]):
                problems.append(f"{where}.{names[0]}: lowest {low:g} is above highest {high:g}; swap them")
    return problems


def _batch_checks(config: Mapping) -> list[str]:
    problems = []
    size, gpus = config["images"]["size"], config["train"]["gpus"]
    smallest = {f"{section}.batch_size": config[section]["batch_size"] for section in recipes.STAGES}
    if how := spaces.space(config).get("batch_size"):  # in place of that of trials and fine-tuning
        smallest = {"train.batch_size": smallest["train.batch_size"], SEARCHED_BATCH: min(spaces.extent(how))}
    for key, batch in smallest.items():
        if batch < 2 and size <= ONE_PIXEL:
            problems.append(
                f"{key}: found {batch}, expected at least 2 where images.size is {ONE_PIXEL} or "
                f"less (found {size}): the last layers see one pixel, which batch normalisation cannot train on"
            )
        trials_only = key == "search.batch_size"  # a trial has one GPU
        if batch < gpus and not trials_only and config["runtime"]["device"] != "cpu":
            problems.append(
                f"train.gpus: found {gpus}, expected no more than {key}, found {batch}, of which "
                "each takes its part"
            )
    return problems
