"""SynthBuster: nine generators, 1,000 PNG images each, no real ones."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from detector.core.labels import FAKE
from detector.data import splits, walk
from detector.data.records import Record, by_path

GENERATORS = (
    "dalle2",
    "dalle3",
    "firefly",
    "glide",
    "midjourney-v5",
    "stable-diffusion-1-3",
    "stable-diffusion-1-4",
    "stable-diffusion-2",
    "stable-diffusion-xl",
)

TITLE = "SynthBuster"
LAYOUT = "\n".join(f"{name}/*.png" for name in GENERATORS) + (
    "\n1,000 images each. The root may also be a folder that holds these in synthbuster/."
)
OBTAIN = """\
Zenodo record 10066460 (https://zenodo.org/records/10066460), synthbuster.zip.
Compare the file's md5 with the one on the record's page before you unpack it."""
TERMS = """\
SynthBuster (Bammey 2023): see its page, https://zenodo.org/records/10066460. Others who use it name CC
BY-NC-SA 4.0."""
LISTS = ()
SPLITS = ("stem", "random")
SHARED = {"random": "prompts of training images are those of test images too"}
OFFICIAL = {("train", FAKE): 7200, ("valid", FAKE): 900, ("test", FAKE): 900}


def scan(root: Path, options: Mapping) -> list[Record]:
    """List all images below `root`, sorted by path; `group` is the file's stem.

    The nine folders share their stems, one for each prompt: images of one prompt look alike, so a split that
    ignores it leaks. Raises `DetectorError` where a generator's folder is missing or unknown.
    """
    root = Path(root)
    base, prefix = walk.locate(root, ("synthbuster",), GENERATORS)
    walk.require_folders(root, base, GENERATORS, LAYOUT, exact=True)
    return by_path(
        Record(f"{prefix}{generator}/{name}", FAKE, generator, group=Path(name).stem)
        for generator in GENERATORS
        for name in walk.media(root, base / generator, frozenset({".png"}), LAYOUT)
    )


def split(records: Sequence[Record], strategy: str, fractions: tuple[float, float, float], seed: int) -> list[str]:
    """Split name of each image. "stem": all images of a prompt together; "random": `fractions` of each generator.

    "random" leaks prompts: images of one prompt fall into several splits.
    """
    if strategy == "stem":
        names = splits.grouped((record.group for record in records), fractions, seed)
        return [names[record.group] for record in records]
    paths = [record.path for record in records]
    names = splits.stratified([record.generator for record in records], paths, fractions, seed)
    return [names[path] for path in paths]
