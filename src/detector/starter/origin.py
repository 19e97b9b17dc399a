"""Origin of a bundle: the run that made it, known by checksums that the bundle holds, and what is left of it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from detector.core import parquet
from detector.core.errors import DetectorError
from detector.core.files import read_json, sha256
from detector.data import identity, kinds
from detector.experiment import architectures
from detector.experiment.config import config_of
from detector.experiment.formats import FILES, TRAINED
from detector.experiment.variants import Variant
from detector.predict.bundles import SUMS
from detector.predict.model import Model
from detector.starter.plan import CONFIG


@dataclass(frozen=True)
class Origin:
    """A variant of a run that its bundle is of."""

    variant: Variant
    folder: Path  # of the variant
    meta: Mapping[str, Any]
    sha256: str  # of its weights
    manifest: pd.DataFrame
    looks: Mapping[str, Any] | None  # of the bundle at an image
    packs: Mapping[str, Path]  # by source, in the order of the manifest
    preprocessing: Mapping[
        str, Mapping[str, Any]
    ]  # by source, of images as networks without steps of their own see

    @property
    def generators(self) -> set[str]:
        """Names of the generators that it was trained or tested with."""
        return set(self.manifest["generator"]) - {""}


def find(root: Path, bundle: Path, results: Path) -> Origin:
    """The variant below `results` that made a bundle. `root`: the project's folder, where paths of overlays begin.

    Raises `DetectorError` where `bundle` is none, `results` is another run, its data are others by now, or its
    weights or packed images were deleted.
    """
    if not (bundle / SUMS).is_file():
        found = "a file" if bundle.is_file() else f"a folder without {SUMS}" if bundle.is_dir() else "nothing"
        raise DetectorError(
            f"BUNDLE: found {found} at {bundle}, expected the folder of a bundle, such as "
            "results/mine/runs/resnet18/seed0/l1-40/bundle; `detector doctor` lists those there are"
        )
    facts = Model.open(bundle, threads=1).facts
    if lacking := [key for key in ("model_sha256", "data_fingerprint") if key not in facts]:
        raise DetectorError(
            f"{bundle}: its metadata say no {' and no '.join(lacking)}, by which its run is known; export it again"
        )
    if not results.is_dir():
        raise DetectorError(
            f"--run: found {'a file' if results.exists() else 'nothing'} at {results}, expected the results "
            "folder of the run that made the bundle"
        )
    variant = Variant(facts["arch"], int(facts["seed"]), facts["branch"])
    folder = results / f"runs/{variant.arch}/seed{variant.seed}/{variant.branch}"
    weights = folder / FILES[TRAINED]
    if not weights.is_file():
        raise DetectorError(
            f"--run: found no {weights}, expected the weights that {bundle} was made of ({variant}): {results} is "
            "another run, or they were deleted; name the run that made the bundle, or make it again with snakemake"
        )
    digest = sha256(weights)
    if digest != facts["model_sha256"]:
        raise DetectorError(
            f"--run: found SHA-256 {digest[:12]}… of {weights}, expected {facts['model_sha256'][:12]}…, which "
            f"{bundle} was made of: it is the bundle of another run, or the run was made anew since; name the run "
            "that made it, or a bundle of this one"
        )
    manifest_file = results / "data/manifest.parquet"
    if not manifest_file.is_file():
        raise DetectorError(
            f"--run: found no {manifest_file}, expected the images of the run that made the bundle"
        )
    manifest = parquet.read(manifest_file)
    packs = {name: _pack(root, results, name) for name in dict.fromkeys(manifest["source"])}
    run = kinds.module("run")
    plain = {name: _packed(pack, (*run.FILES, run.PACKED)) for name, pack in packs.items()}
    step = architectures.step(variant.arch)
    seen = (
        plain
        if step is None
        else {name: _packed(pack.parent / step / name, (run.PACKED,)) for name, pack in packs.items()}
    )
    if identity.fingerprint(manifest, seen) != facts["data_fingerprint"]:
        raise DetectorError(
            f"--run: {manifest_file} and what is packed are not the images that {bundle} was trained with "
            "(another fingerprint): the run's data were made anew since; name a bundle that was made with them"
        )
    meta = read_json(folder / "meta.json")
    looks = next((how.get("looks") for how in json.loads(facts.get("preprocessing", "{}")).values()), None)
    return Origin(variant, folder, meta, digest, manifest, looks, packs, plain)


def _pack(root: Path, results: Path, name: str) -> Path:
    """Folder of the packed images of a source: the run's own, or of that which it took them from."""
    own, overlay = results / "data" / name, results / CONFIG
    if not (own / "images.json").is_file() and overlay.is_file():
        how = config_of(root, [overlay])["data"]["sources"].get(name, {})
        if how.get("type") == "run":
            return root / how["root"]
    return own


def _packed(folder: Path, names: Sequence[str]) -> Mapping[str, Any]:
    """Preprocessing of a source's packed images. Raises `DetectorError` where a file of them is missing."""
    if missing := [name for name in names if not (folder / name).is_file()]:
        raise DetectorError(
            f"--run: found no {missing[0]} in {folder}, expected the packed images of the run: they were deleted "
            "(detector clean --pixels); make them again with snakemake, whose new bundle is then the one to adapt"
        )
    found: Mapping[str, Any] = read_json(folder / "images.json")["preprocessing"]
    return found
