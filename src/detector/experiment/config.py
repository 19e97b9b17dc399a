"""Config validation: config.yaml against its schema, defaults filled in, all errors in one message."""

import contextlib
import copy
import datetime
import difflib
import json
import math
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from detector.core.errors import DetectorError, listing
from detector.data import groups, kinds, labelling
from detector.experiment import architectures, inits, methods, protocols, recipes, spaces, systems, teachers
from detector.experiment.branches import branches
from detector.experiment.variants import BASELINE, COMBINED, MAGNITUDE, MATCHED, SHARED, VALID
from detector.imaging import augmentation, perturbations

SCHEMA = Path(__file__).with_name("config.schema.yaml")
RESERVED = (VALID, COMBINED)  # rows of the tables and names of prediction files
MISSING = ("nan", "null")  # what pandas, among others, reads in a table as nothing
# Columns of perturbed.parquet beside the perturbations'.
NO_PERTURBATION = ("branch", "source", "path", "generator", "group", "label", "clean")
SEARCHED_BATCH = "search.space.batch_size"
ONE_PIXEL = 32  # side up to which the last layers of every network here see an image as a single pixel


def _is_integer(_: object, value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(_: object, value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


# JSON Schema takes 16.0 for an integer, which no array can be as long as, and NaN for within any bounds.
_Validator = jsonschema.validators.extend(
    jsonschema.Draft202012Validator,
    type_checker=jsonschema.Draft202012Validator.TYPE_CHECKER.redefine_many(
        {"integer": _is_integer, "number": _is_number}
    ),
)


def complete(config: Mapping, schema_file: Path = SCHEMA, texts: Mapping | None = None) -> dict:
    """Validated copy of `config` with all defaults filled in and `~` in paths replaced by the user's home.

    `config` itself is not changed. `texts`: what of it came from Snakemake's `--config`, which turns all values
    inside lists and maps into text; such a text becomes what it would be in a file, where the schema asks for
    that.

    Raises `DetectorError` with one line for each key that is wrong: which key, what was found, what was expected.
    """
    schema = schema_of(schema_file)
    own = copy.deepcopy(dict(config))
    validator = _Validator(schema)
    _expand_home(own)
    _write_days(own)
    _read_texts(own, texts or {}, validator)
    lines = [line for error in validator.iter_errors(own) for line in _explain(error, schema)]
    problems = list(dict.fromkeys(lines))
    if not problems:
        _fill(own, schema, schema)
        own["architectures"] = [architectures.identity(entry) for entry in own["architectures"]]
        problems = _cross_checks(own, schema)
    if problems:
        raise DetectorError(
            f"the configuration has {len(problems)} error{'s' if len(problems) > 1 else ''}:\n"
            f"{listing(problems)}\n"
            "See docs/configuration.md for every key."
        )
    return own


def config_of(root: Path, overlays: Sequence[Path | Mapping]) -> dict:
    """Complete configuration of the folder `root`: its config.yaml with overlays on it, files or their contents.

    Raises `DetectorError` where it is wrong or missing.
    """
    config: dict = {}
    for overlay in (root / "config.yaml", *overlays):
        _merge(config, overlay if isinstance(overlay, Mapping) else _read(overlay))
    return complete(config)


def _read(file: Path) -> Mapping:
    if not file.is_file():
        raise DetectorError(f"{file}: found no such file, expected a configuration")
    try:
        found = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise DetectorError(f"{file}: it cannot be read as YAML: {error}") from None
    if not isinstance(found, Mapping):
        raise DetectorError(f"{file}: found {type(found).__name__} in it, expected keys and values")
    return found


def _merge(into: dict, more: Mapping) -> None:
    """Merge overlays as Snakemake does: sections by key, all else is replaced."""
    for key, value in more.items():
        if isinstance(value, Mapping) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = copy.deepcopy(value)


def schema_of(file: Path = SCHEMA) -> dict:
    """The schema in a file, with the sources, pruning methods and steps that there are, modules found by name.

    Raises `DetectorError` for a module of a step that lacks a part of its contract.
    """
    # libyaml's loader takes a tenth of the time; PyYAML can be built without it.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    schema = yaml.load(Path(file).read_text(encoding="utf-8"), loader)
    schema["$defs"]["source"]["properties"]["type"]["enum"] = list(kinds.kinds())
    schema["properties"]["prune"]["properties"]["methods"]["propertyNames"]["enum"] = [*methods.known(), MATCHED]
    pareto = schema["properties"]["search"]["properties"]["pareto"]["properties"]
    pareto["methods"]["items"]["enum"] = list(methods.known())
    one = schema["properties"]["robustness"]["properties"]["perturbations"]["additionalProperties"]["items"]
    one["properties"] = {name: perturbations.step(name).BOUNDS for name in perturbations.known()}
    one["additionalProperties"] = False
    step = schema["$defs"]["augment"]["properties"]["steps"]["items"]
    between = step["additionalProperties"]
    step["properties"] |= {name: {**between, "items": bounds} for name, bounds in one["properties"].items()}
    step["additionalProperties"] = False
    searched = schema["properties"]["search"]["properties"]["space"]
    train, knobs = schema["properties"]["train"]["properties"], schema["$defs"]["recipe"]["properties"]
    of_train, of_recipe = (
        {name: _resolved(part, schema) for name, part in parts.items()} for parts in (train, knobs)
    )
    searched |= {"properties": spaces.schema(of_train, of_recipe), "additionalProperties": False}
    return schema


def _resolved(part: Mapping, whole: Mapping) -> Mapping:
    """A part of a schema, or that which it refers to."""
    return whole["$defs"][part["$ref"].removeprefix("#/$defs/")] if "$ref" in part else part


def _expand_home(config: dict) -> None:
    """In place, before anything is checked: what is no path, or no text, is left to the schema."""
    data = config.get("data")
    found = data.get("sources") if isinstance(data, dict) else None
    of_sources = (
        [source for source in found.values() if isinstance(source, dict)] if isinstance(found, dict) else []
    )
    tuning = config.get("finetune")
    distill = tuning.get("distill") if isinstance(tuning, dict) else None
    of_teacher = [(distill, "teacher")] if isinstance(distill, dict) else []
    started = config.get("inits")
    of_starts: list[tuple[dict, str]] = []
    if isinstance(started, dict):
        of_starts += [(started, name) for name in started]
        of_starts += [(how, "file") for how in started.values() if isinstance(how, dict)]
    for section, key in [
        (config, "results"),
        *((source, k) for source in of_sources for k in ("root", "pairs")),
        *of_teacher,
        *of_starts,
    ]:
        if isinstance(section.get(key), str):
            section[key] = os.path.expanduser(section[key])


def _write_days(config: dict) -> None:
    """In place: days as text, which YAML makes dates of where they stand without quotes."""
    section = config.get("protocol")
    edges = section.get("edges") if isinstance(section, dict) else None
    if isinstance(edges, list):
        edges[:] = [edge.isoformat() if isinstance(edge, datetime.date) else edge for edge in edges]


def _read_texts(config: dict, texts: Mapping, validator: jsonschema.protocols.Validator) -> None:
    """In place: the values at places of `texts` that are text where the schema asks for something else."""
    for error in list(validator.iter_errors(config)):
        path = list(error.absolute_path)
        if error.validator != "type" or not isinstance(error.instance, str) or not _has(texts, path):
            continue
        for read in (yaml.safe_load, float):  # 1e-4 is a number in JSON, not in YAML
            with contextlib.suppress(ValueError, yaml.YAMLError):
                value = read(error.instance)
                if validator.evolve(schema={"type": error.validator_value}).is_valid(value):
                    _put(config, path, value)
                    break


def _has(tree: Any, path: Sequence[str | int]) -> bool:
    """Whether there is something at this place in maps and lists."""
    for part in path:
        try:
            tree = tree[part]
        except (LookupError, TypeError):
            return False
    return bool(path)


def _put(tree: dict, path: Sequence[str | int], value: object) -> None:
    for part in path[:-1]:
        tree = tree[part]
    tree[path[-1]] = value


def used_sources(config: Mapping) -> dict[str, dict]:
    """Settings of the sources in `data.use`, in that order."""
    return {name: config["data"]["sources"][name] for name in config["data"]["use"]}


def _cross_checks(config: Mapping, schema: Mapping) -> list[str]:
    """Check what a schema cannot: keys that must agree with each other or with the source modules."""
    problems = []
    data = config["data"]
    for name in data["use"]:
        if name in RESERVED:
            problems.append(f"data.use: a source cannot be called {name!r}, a name that the tables use; rename it")
        if name in MISSING:
            problems.append(f"data.use: a source cannot be called {name!r}, an empty cell of a table; rename it")
        if name not in data["sources"]:
            known = ", ".join(data["sources"])
            problems.append(f"data.use: {name!r} has no section in data.sources (there are: {known})")
    for name, options in data["sources"].items():
        options.setdefault("type", name)
        if options["type"] not in kinds.kinds():
            problems.append(
                f"data.sources.{name}: no `type`, and {name!r} is no kind of source itself; "
                f"add one of {', '.join(kinds.kinds())}"
            )
            continue
        problems += _option_checks(name, options, schema)
        known = kinds.module(options["type"]).SPLITS
        options.setdefault("split", known[0])
        if options["split"] not in known:
            problems.append(
                f"data.sources.{name}.split: found {options['split']!r}, expected one of {', '.join(known)}"
            )
    problems += [f"architectures: {why}" for why in map(architectures.problem, config["architectures"]) if why]
    problems += inits.problems(config)
    of_systems = systems.problems(config)
    problems += of_systems
    problems += _step_checks(config, [] if of_systems else systems.networks(config))
    problems += _image_checks(config["images"])
    problems += _batch_checks(config)
    of_search = schema["properties"]["search"]["properties"]
    problems += spaces.problems(config, {name: of_search[name]["default"] for name in spaces.REPLACED})
    problems += recipes.problems(config)
    problems += _augment_checks(config)
    problems += _crop_checks(config)
    problems += teachers.problems(config)
    problems += protocols.problems(config)
    if not math.isclose(sum(data["fractions"]), 1, abs_tol=1e-9):
        problems.append(f"data.fractions: {data['fractions']} add up to {sum(data['fractions']):g}, expected 1")
    shares = {f"prune.methods.{method}": values for method, values in config["prune"]["methods"].items()}
    shares["search.pareto.sparsity"] = config["search"]["pareto"]["sparsity"]
    for key, values in shares.items():
        if uneven := [v for v in values if not math.isclose(100 * v, round(100 * v), abs_tol=1e-9)]:
            problems.append(f"{key}: {uneven}, expected whole percents such as 0.4 or 0.95")
    if not any(config["prune"]["methods"].values()):
        problems.append("prune.methods: found no share at all, expected at least one, such as l1: [0.4]")
    if config["prune"]["methods"].get(MATCHED) and config["search"]["share"] == SHARED:
        problems.append(
            "prune.methods.matched: with search.share: all the dense control is trained as each branch is, and a "
            "matched control would be the same network again; set matched to [], with prune.dense_control: true"
        )
    if odd := set(config["prune"]["methods"].get(MATCHED, [])) - set(
        config["prune"]["methods"].get(MAGNITUDE, [])
    ):
        problems.append(
            f"prune.methods.matched: {sorted(odd)}, expected shares that l1 has too, whose search it takes the "
            "optimizer and learning rate from; add them to l1"
        )
    names = [BASELINE, *branches(config)]
    if config["deploy"]["branches"] != "all" and (odd := set(config["deploy"]["branches"]) - set(names)):
        problems.append(f"deploy.branches: no {', '.join(sorted(odd))}; there are {', '.join(names)}")
    for section, anything in (("robustness", "all"), ("gradcam", "auto")):
        chosen = config[section]["branches"]
        if chosen != anything and (odd := set(chosen) - set(names)):
            problems.append(f"{section}.branches: no {', '.join(sorted(odd))}; there are {', '.join(names)}")
    table, use = config["robustness"]["perturbations"], config["robustness"]["use"]
    if use != "all" and (odd := set(use) - set(table)):
        problems.append(f"robustness.use: no {', '.join(sorted(odd))}; there are {', '.join(table)}")
    if odd := set(table) & set(MISSING):
        problems.append(
            f"robustness.perturbations: {', '.join(sorted(odd))}: an empty cell of a table; choose others"
        )
    if odd := set(table) & set(NO_PERTURBATION):
        problems.append(f"robustness.perturbations: {', '.join(sorted(odd))}: names of columns; choose others")
    low, high = config["search"]["pareto"]["sparsity"]
    if low > high:
        problems.append(f"search.pareto.sparsity: lowest {low:g} is above highest {high:g}; swap them")
    if config["prune"]["dense_control"] and 0 in config["prune"]["methods"].get("l1", []):
        problems.append("prune.methods.l1: 0 is already there as the dense control; drop it or dense_control")
    return problems


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
    larger = preprocessing(images).get("centre") is not None
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


def preprocessing(images: Mapping, step: str | None = None) -> dict[str, Any]:
    """Settings of `imaging.preprocessing` that the section `images` asks for: the packed `size`, and `centre`.

    `step`: that an architecture has of its own.
    """
    own = architectures.STEPS[step] if step else {}
    how = {**{key: value for key, value in images.items() if key != "pack_size"}, **own}
    packed = images["pack_size"]
    return how if packed in (None, how["size"]) else {**how, "size": packed, "centre": how["size"]}


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


def _explain(error: jsonschema.ValidationError, schema: Mapping) -> list[str]:
    where = ".".join(str(part) for part in error.absolute_path) or "(top level)"
    found = json.dumps(error.instance, default=str)
    found = found if len(found) <= 60 else found[:57] + "…"
    rule, value = error.validator, error.validator_value
    if rule == "additionalProperties" and value is False:
        known = list(error.schema.get("properties", {}))
        prefix = "" if where == "(top level)" else where + "."
        lines = []
        for key in sorted(set(error.instance) - set(known), key=str):
            if (top := str(key).partition(".")[0]) in known and top != key:
                lines.append(f"{prefix}{key}: unknown key; write sections as maps, as in {_nested(str(key))}")
                continue
            close = difflib.get_close_matches(str(key), known, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"known keys: {', '.join(known)}"
            lines.append(f"{prefix}{key}: unknown key; {hint}")
        return lines
    if rule == "required":
        missing = [key for key in value if key not in error.instance]
        return [f"{where}: missing {', '.join(missing)}"]
    expected = {
        "type": lambda: f"expected {value if isinstance(value, str) else ' or '.join(value)}",
        "enum": lambda: f"expected one of {', '.join(map(str, value))}",
        "minItems": lambda: f"expected at least {value} item{'s' if value > 1 else ''}",
        "minProperties": lambda: f"expected at least {value} key{'s' if value > 1 else ''}",
        "maxItems": lambda: f"expected at most {value} items",
        "uniqueItems": lambda: "expected no item twice",
        "minimum": lambda: f"expected at least {value}",
        "maximum": lambda: f"expected at most {value}",
        "exclusiveMinimum": lambda: f"expected more than {value:g}",
        "exclusiveMaximum": lambda: f"expected less than {value:g}",
        "pattern": lambda: f"expected to match {value}",
        "oneOf": lambda: f"which is none of what it can be: {error.schema.get('description', value)}",
    }.get(rule, lambda: error.message)()
    if isinstance(error.instance, str) and rule == "type" and value in ("number", "integer"):
        expected += _number_hint(error.instance)
    if isinstance(error.instance, float) and rule == "type" and error.instance.is_integer():
        expected += f" (write {error.instance:.0f}, without a decimal point)"
    if isinstance(error.instance, int) and rule == "enum" and any(":" in str(one) for one in value):
        expected += " (in quotes: YAML reads 4:2:0 as a number, counted in sixties)"
    return [f"{where}: found {found}, {expected}"]


def _nested(key: str) -> str:
    """train.epochs → train: {epochs: …}"""
    *above, last = key.split(".")
    return "".join(f"{part}: {{" for part in above) + f"{last}: …" + "}" * len(above)


def _number_hint(text: str) -> str:
    """YAML 1.1 reads 1e-4 as text; people write it all the time."""
    try:
        float(text)
    except ValueError:
        return ""
    return " (YAML reads this as text: write a decimal point, as in 1.0e-4, and no quotes)"


def _fill(value: object, schema: Mapping, whole: Mapping) -> None:
    """Fill defaults into `value` in place, following `properties`, `additionalProperties`, `items` and `$ref`."""
    if "$ref" in schema:
        schema = _resolved(schema, whole)
    if isinstance(value, list):
        for item in value:
            _fill(item, schema.get("items", {}), whole)
    if not isinstance(value, dict):
        return
    properties = schema.get("properties", {})
    for key, part in properties.items():
        if key not in value and "default" in part:
            value[key] = copy.deepcopy(part["default"])
    for key, item in value.items():
        part = properties.get(key, schema.get("additionalProperties", {}))
        if isinstance(part, dict):
            _fill(item, part, whole)
