"""On a confounded set (scenes of one kind, real ones stored as JPEG, fakes as PNG) the packed pixels give the
class away; after equal resizing and recompression they do not. Where that is too weak, the test shows it as well.

`pytest tests/properties/test_confounding.py -s` prints the numbers of docs/datasets.md."""

import numpy as np
import pytest
import yaml
from PIL import Image

from detector.data import packing, scanning, store
from detector.imaging.preprocessing import Preprocessing
from detector.stats.classification import measure
from tests.support import ROOT

EACH, SIDE, QUALITY = 200, 96, 75
LIMIT = 1_000_000


def scene(seed: int) -> np.ndarray:
    """uint8 (SIDE, SIDE, 3): a texture with the spectrum of natural images, one exposure, a noisy sensor."""
    rng = np.random.default_rng(seed)
    power = np.fft.rfftfreq(SIDE)[None] ** 2 + np.fft.fftfreq(SIDE)[:, None] ** 2
    power[0, 0] = 1
    texture = np.fft.irfft2(np.fft.rfft2(rng.normal(size=(SIDE, SIDE))) / power**0.55, (SIDE, SIDE))
    texture *= rng.uniform(20, 50) / texture.std()
    colours = texture[..., None] + rng.uniform(90, 160) + 15 * rng.normal(size=3)
    noisy = colours + rng.uniform(1, 4) * rng.normal(size=colours.shape)
    return np.clip(np.round(noisy), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def confounded(tmp_path_factory):
    """(root, scan) of real JPEG and fake PNG files that show scenes of one distribution."""
    root = tmp_path_factory.mktemp("confounded")
    for folder in ("real", "fake/gan"):
        (root / folder).mkdir(parents=True)
    for number in range(EACH):
        Image.fromarray(scene(2 * number)).save(root / f"real/{number}.jpg", quality=QUALITY)
        Image.fromarray(scene(2 * number + 1)).save(root / f"fake/gan/{number}.png")
    return root, scanning.scan_source("made", "folder", root, {}, max_pixels=LIMIT)


def blockiness(grey: np.ndarray) -> np.ndarray:
    """float (n, h, w) → (n,): steps between the 8 x 8 blocks of JPEG over steps inside them."""
    found = np.zeros(len(grey))
    for axis in (1, 2):
        steps = np.abs(np.diff(grey, axis=axis)).mean(axis=3 - axis)
        edges = np.arange(steps.shape[1]) % 8 == 7
        found += steps[:, edges].mean(axis=1) / steps[:, ~edges].mean(axis=1)
    return found


def coefficients(grey: np.ndarray) -> np.ndarray:
    """float (n, h, w) → (n, 384): of the cosine terms of 8 x 8 blocks, on two grids, size and shares near zero."""
    k = np.arange(8)
    basis = np.cos(np.pi * (2 * k[None] + 1) * k[:, None] / 16) * np.where(k[:, None], 0.5, 0.125**0.5)
    columns = []
    for start in (0, 4):
        stop = start + (grey.shape[1] - start) // 8 * 8
        part = grey[:, start:stop, start:stop]
        blocks = part.reshape(len(grey), (stop - start) // 8, 8, -1, 8).transpose(0, 1, 3, 2, 4)
        terms = np.abs(basis @ blocks @ basis.T).reshape(len(grey), -1, 64)
        columns += [np.log(terms.mean(axis=1) + 0.1), (terms < 0.5).mean(axis=1), (terms < 2).mean(axis=1)]
    return np.concatenate(columns, axis=1)


def ridge(features: np.ndarray, label: np.ndarray) -> np.ndarray:
    """(n, k) → (n,): the score of each image by a ridge regression on the four fifths it is not in."""
    features = (features - features.mean(axis=0)) / (features.std(axis=0) + 1e-9)
    fold = np.random.default_rng(0).permutation(len(label)) % 5
    score = np.zeros(len(label))
    for number in range(5):
        x, y = features[fold != number], 2.0 * label[fold != number] - 1
        weights = np.linalg.solve(x.T @ x + 30 * np.eye(x.shape[1]), x.T @ y)
        score[fold == number] = features[fold == number] @ weights
    return score


@pytest.fixture(scope="module")
def give_away(confounded, tmp_path_factory):
    """A function: AUC of blockiness and of the regression on what packing with these settings leaves."""
    root, scan = confounded

    def measured(**settings):
        out = tmp_path_factory.mktemp("packed")
        files = [out / name for name in ("images.npy", "images.json", "bad.csv")]
        how = Preprocessing.of({"size": SIDE, "max_pixels": LIMIT, **settings})
        packing.pack(scan, root, how, *files, out / "state", workers=1, max_bad=0, meta={})
        grey = store.open_store(*files[:2]).astype(float) @ (0.299, 0.587, 0.114)
        label = scan.label.to_numpy()
        scores = blockiness(grey), ridge(coefficients(grey), label)
        found = tuple(measure(label, score)["auc"] for score in scores)
        print(f"\n{settings}: blockiness {found[0]:.2f}, regression {found[1]:.2f}")
        return found

    return measured


def jpeg(low, high):
    return {"recompress": {"format": "JPEG", "quality": [low, high]}}


def test_without_a_cure_the_format_is_the_class(give_away):
    blocks, regression = give_away()
    assert blocks > 0.9
    assert regression > 0.99


def test_recompression_far_below_the_files_own_quality_hides_it(give_away):
    blocks, regression = give_away(**jpeg(20, 40))
    assert abs(blocks - 0.5) < 0.1
    assert regression < 0.7


def test_equal_resizing_and_recompression_hide_it(give_away):
    blocks, regression = give_away(size=64, resize_to=72, preprocess="center_crop", **jpeg(30, 60))
    assert abs(blocks - 0.5) < 0.1
    assert regression < 0.65


@pytest.mark.parametrize("size", [64, SIDE])
def test_what_the_safe_choices_do_hides_it(give_away, size):
    overlay = yaml.safe_load((ROOT / "configs/audited.yaml").read_text())
    blocks, regression = give_away(size=size, **overlay["images"])
    assert abs(blocks - 0.5) < 0.1
    assert regression < 0.7


def test_recompression_near_the_files_own_quality_does_not(give_away):
    """Twice compressed is another trace than once compressed: the order of the classes merely turns round."""
    blocks, regression = give_away(**jpeg(50, 75))
    assert blocks < 0.2
    assert regression > 0.9


@pytest.mark.parametrize("way", ["random_crop", "resize"])
def test_a_crop_or_resizing_alone_hides_it_from_a_simple_look_only(way, give_away):
    blocks, regression = give_away(size=64, preprocess=way)
    assert abs(blocks - 0.5) < 0.1
    assert regression > 0.9
