"""CIFAKE: CIFAR-10 and images of the same ten classes by Stable Diffusion 1.4, 32 × 32 pixels."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from detector.core.labels import FAKE, REAL
from detector.data import splits, walk
from detector.data.records import Record, by_path

TITLE = "CIFAKE: real and AI-generated synthetic images (Kaggle)"
LAYOUT = """\
{train,test}/{REAL,FAKE}/*.jpg
The root may also be a folder that holds these in DATASET/."""
OBTAIN = """\
Kaggle data set birdy654/cifake-real-and-ai-generated-synthetic-images (free account):
  kaggle datasets download --unzip birdy654/cifake-real-and-ai-generated-synthetic-images"""
TERMS = """\
CIFAKE (Bird & Lotfi 2023, arXiv:2303.14126) is given under an MIT licence and asks to be cited together with
CIFAR-10 (Krizhevsky & Hinton 2009), where its photographs are from
(https://www.kaggle.com/datasets/birdy654/cifake-real-and-ai-generated-synthetic-images)."""
LISTS = ()
SPLITS = ("official",)
SHARED: dict[str, str] = {}
OFFICIAL = {  # its own splits; validation is cut from its train split later
    ("train", REAL): 50_000,
    ("train", FAKE): 50_000,
    ("test", REAL): 10_000,
    ("test", FAKE): 10_000,
}
GENERATOR = "stable-diffusion-1-4"
OWN_SPLITS = ("train", "test")
CLASSES = {"REAL": REAL, "FAKE": FAKE}


def scan(root: Path, options: Mapping) -> list[Record]:
    """List all images below `root`, sorted by path. Raises `DetectorError` where a folder is missing or empty."""
    root = Path(root)
    base, prefix = walk.locate(root, ("DATASET",), OWN_SPLITS)
    walk.require_folders(root, base, OWN_SPLITS, LAYOUT)
    return by_path(
        Record(
            f"{prefix}{own}/{folder}/{name}",
            label,
            generator="" if label == REAL else GENERATOR,
            official=own,
        )
        for own in OWN_SPLITS
        for folder, label in CLASSES.items()
        for name in walk.media(root, base / own / folder, walk.JPEG, LAYOUT)
    )


def split(records: Sequence[Record], strategy: str, fractions: tuple[float, float, float], seed: int) -> list[str]:
    """Split name of each image: the official test split; valid is cut from each class of the train split.

    The share of valid is valid / (train + valid) of `fractions`.
    """
    rest = [record for record in records if record.official == "train"]
    names = splits.stratified(
        [record.label for record in rest],
        [record.path for record in rest],
        splits.without_test(fractions),
        seed,
    )
    return [names.get(record.path, "test") for record in records]
