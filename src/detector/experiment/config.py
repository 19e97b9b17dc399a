"""Config validation: config.yaml against its schema, defaults filled in, all errors in one message."""

import contextlib
import copy
import datetime
import difflib
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from detector.core.errors import DetectorError, listing
from detector.data import kinds
from detector.experiment import architectures, cross_checks, methods, spaces
from detector.experiment.variants import MATCHED
from detector.imaging import perturbations
from detector.imaging.looks import Looks

SCHEMA = Path(__file__).with_name("config.schema.yaml")


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
        problems = cross_checks.problems(own, schema)
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
        _merge(config, overlay if isinstance(overlay, Mapping) else read(overlay))
    return complete(config)


class _Loader(yaml.SafeLoader):
    """YAML in which no key stands twice in a map: of two values, others take the last without a word."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        first: dict[str, int] = {}
        for key, _ in node.value:
            name, line = str(key.value), key.start_mark.line + 1
            if name in first and key.tag != "tag:yaml.org,2002:merge":
                raise DetectorError(f"found {name} twice, in lines {first[name]} and {line}; write it once")
            first[name] = line
        return super().construct_mapping(node, deep)


def read(file: Path) -> Mapping:
    """Contents of a file of the configuration.

    Raises `DetectorError` where it is missing, is no YAML, holds no map, or a key twice.
    """
    if not file.is_file():
        raise DetectorError(f"{file}: found no such file, expected a configuration")
    try:
        found = yaml.load(file.read_text(encoding="utf-8"), _Loader)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise DetectorError(f"{file}: it cannot be read as YAML: {error}") from None
    except DetectorError as error:
        raise DetectorError(f"{file}: {error}") from None
    if not isinstance(found, Mapping):
        what = "nothing" if found is None else type(found).__name__
        raise DetectorError(f"{file}: found {what} in it, expected keys and values")
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


def preprocessing(images: Mapping, step: str | None = None) -> dict[str, Any]:
    """Settings of `imaging.preprocessing` that the section `images` asks for: the packed `size`, and `centre`.

    `step`: that an architecture has of its own.
    """
    own = architectures.STEPS[step] if step else {}
    how = {**{key: value for key, value in images.items() if key not in ("pack_size", "looks")}, **own}
    packed = images["pack_size"]
    return how if packed in (None, how["size"]) else {**how, "size": packed, "centre": how["size"]}


def looks(images: Mapping) -> Looks | None:
    """Windows of a packed image that the section `images` has a trained network see; None for the middle alone."""
    asked = images["looks"]
    return asked and Looks(asked["crops"], tuple(asked["sizes"] or [images["size"]]))


def _explain(error: jsonschema.ValidationError, schema: Mapping) -> list[str]:
    where = ".".join(str(part) for part in error.absolute_path) or "(top level)"
    found = json.dumps(error.instance, default=str)
    found = found if len(found) <= 60 else found[:57] + "…"
    rule, value = error.validator, error.validator_value
    if rule == "oneOf" and (meant := _meant(error)):
        return [line for wrong in meant for line in _explain(wrong, schema)]
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
        "pattern": lambda: f"expected {error.schema['$comment']}",  # the pattern in words
        "oneOf": lambda: f"which is none of what it can be: {error.schema.get('description', value)}",
    }.get(rule, lambda: error.message)()
    if isinstance(error.instance, str) and rule == "type" and value in ("number", "integer"):
        expected += _number_hint(error.instance)
    if isinstance(error.instance, float) and rule == "type" and error.instance.is_integer():
        expected += f" (write {error.instance:.0f}, without a decimal point)"
    if isinstance(error.instance, int) and rule == "enum" and any(":" in str(one) for one in value):
        expected += " (in quotes: YAML reads 4:2:0 as a number, counted in sixties)"
    return [f"{where}: found {found}, {expected}"]


def _meant(error: jsonschema.ValidationError) -> list[jsonschema.ValidationError]:
    """What is wrong by the one of several alternatives that what was found is of the type of; [] where none is."""
    of: dict[int, list[jsonschema.ValidationError]] = {}
    for wrong in error.context or ():
        of.setdefault(wrong.schema_path[0], []).append(wrong)
    typed = [
        found
        for found in of.values()
        if not any(wrong.validator in ("type", "enum", "const") and not wrong.relative_path for wrong in found)
    ]
    return typed[0] if len(typed) == 1 else []


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
