"""Metadata shortcuts: how well format, size and compression alone tell the classes apart. No torch.

A detector trained on such data may have learned the file format and nothing else, and a test set that has the same
accident calls it accurate (Grommelt et al. 2024, "Fake or JPEG? Revealing common biases in generated image
detection datasets"). Bytes a pixel also say something of the content (smooth images compress well), so an AUC a
little above one half need not be an accident of the data; one near 1 is.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from detector.core.labels import CLASSES, FAKE, REAL
from detector.data.records import file_of
from detector.experiment.variants import COMBINED
from detector.stats import decisions
from detector.stats.auc import auc
from detector.stats.ranking import auc_interval

FEATURES = (
    *("format", "mode", "width", "height", "aspect", "bytes_per_pixel"),
    *("quantisation", "subsampling", "exif"),
)
WORDS = {"bytes_per_pixel": "bytes a pixel", "quantisation": "JPEG quantisation", "exif": "EXIF"}
ALL = "all"
COLUMNS = ("testset", "against", "features", "n_train", "n_real", "n_fake", "auc", "auc_low", "auc_high")
SHARES = ("accuracy", "balanced_accuracy")  # more columns, of `crossed`
FEWEST = 10  # test images of each class, below which nothing is concluded
SEPARATES, TELLS = 0.9, 0.6  # lower ends of the interval from which on the words are used


def features(images: pd.DataFrame, scans: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """FEATURES of each image, float64, in order: the scan's row by `source` and `row`.

    Names (format, mode, subsampling) become numbers in alphabetical order. What a file does not have is NaN.
    """
    parts = []
    for source, chosen in images.groupby("source"):
        rows = scans[source].iloc[chosen["row"]].set_axis(chosen.index)
        pixels = rows["width"].astype(float) * rows["height"]
        parts.append(
            rows.assign(aspect=rows["width"] / rows["height"], bytes_per_pixel=rows["bytes"] / pixels)[[*FEATURES]]
        )
    table = pd.concat(parts).loc[images.index]
    for name in ("format", "mode", "subsampling"):
        codes = pd.Categorical(table[name]).codes.astype(float)
        table[name] = np.where(table[name] == "", np.nan, codes)
    return table.astype(float)


def shortcuts(images: pd.DataFrame, scans: Mapping[str, pd.DataFrame]) -> list[dict]:
    """Rows with COLUMNS: how well metadata, all of it and each kind by itself, rank the test images.

    `images`: columns source, path, split, label, row; of several frames of a video one counts, as their metadata
    are the file's. For each source, a classifier trained on its training images and
    tested on its test images, and `combined` one for all sources together; gradient-boosted trees, which need no
    scaling and take NaN. For a source of one class in training it is the classifier of all sources; where its test
    images have one class too, they are compared with those of the other class in other sources (`against`: `real
    of others`), as a detector trained on all sources can recognise them. AUC is that of fakes, NaN where there is
    one class only.
    """
    images = images[~images.assign(path=images["path"].map(file_of)).duplicated(["source", "path"])]
    seen = features(images, scans)
    label, split, source = (images[name].to_numpy() for name in ("label", "split", "source"))
    rows = []
    for testset in (*sorted(set(source)), COMBINED):
        own = (source == testset) | (testset == COMBINED)
        train, test, against = own & (split == "train"), own & (split == "test"), "own"
        if len(np.unique(label[train])) < 2:  # with `pairs`, test alone has photographs
            train = split == "train"
        if len(np.unique(label[own])) == 1:
            other = FAKE if label[own][0] == REAL else REAL
            against = f"{CLASSES[other]} of others"
            test |= (split == "test") & (label == other)
        for name in (ALL, *FEATURES):
            columns = [*FEATURES] if name == ALL else [name]
            score = _scores(seen.loc[train, columns].to_numpy(), label[train], seen.loc[test, columns].to_numpy())
            row = {"testset": testset, "against": against, "features": name, "n_train": int(train.sum())}
            row |= {f"n_{word}": int((label[test] == kind).sum()) for kind, word in CLASSES.items()}
            low, high = (np.nan, np.nan) if score is None else auc_interval(label[test], score)
            row["auc"] = np.nan if score is None else auc(label[test], score)
            rows.append({**row, "auc_low": low, "auc_high": high})
    return rows


def crossed(images: pd.DataFrame, scans: Mapping[str, pd.DataFrame], fold: np.ndarray, name: str) -> list[dict]:
    """Rows with COLUMNS and shares of right calls: how well metadata separate data without splits.

    `images` and `scans` as of `shortcuts`; `fold` int (n,): each fold is ranked by a classifier that was trained
    on all others. `name`: the data, as `testset`. `accuracy` and `balanced_accuracy` are of their calls.
    """
    seen, label = features(images, scans), images["label"].to_numpy()
    rows = []
    for kind in (ALL, *FEATURES):
        columns = seen[[*FEATURES] if kind == ALL else [kind]].to_numpy()
        score = np.full(len(label), np.nan)
        for number in np.unique(fold):
            test = fold == number
            found = _scores(columns[~test], label[~test], columns[test])
            if found is not None:
                score[test] = found
        row = {"testset": name, "against": "own", "features": kind, "n_train": len(label)}
        row |= {f"n_{word}": int((label == value).sum()) for value, word in CLASSES.items()}
        if np.isnan(score).any():
            rows.append(row | dict.fromkeys((*COLUMNS[-3:], *SHARES), np.nan))
            continue
        low, high = auc_interval(label, score)
        right = decisions.right(label, score)
        shares = (float(right.mean()), float(np.mean([right[label == value].mean() for value in (REAL, FAKE)])))
        rows.append(
            {**row, "auc": auc(label, score), "auc_low": low, "auc_high": high}
            | dict(zip(SHARES, shares, strict=True))
        )
    return rows


def _scores(train: np.ndarray, label: np.ndarray, test: np.ndarray) -> np.ndarray | None:
    """Score of each test image, the higher the more real; None where there is nothing to learn from."""
    if len(test) == 0 or len(np.unique(label)) < 2:
        return None
    varies = np.array([len(np.unique(column)) > 1 for column in train.T])  # NaN counts as one value
    if not varies.any():
        return np.zeros(len(test))
    # Here, as it takes three seconds: a run whose sources all have one class needs none of it.
    from sklearn.ensemble import HistGradientBoostingClassifier

    # Early stopping would hold out images at random. A leaf of 20, the default, is too large for a small class.
    leaf = min(20, max(1, int(np.unique(label, return_counts=True)[1].min()) // 3))
    trees = HistGradientBoostingClassifier(
        max_iter=50, min_samples_leaf=leaf, early_stopping=False, random_state=0
    )
    return trees.fit(train[:, varies], label).decision_function(test[:, varies])


def verdicts(rows: Sequence[Mapping]) -> list[dict[str, str]]:
    """Verdicts on the rows of `shortcuts`: `check`, `source`, `verdict` and `sentence`, one per test set.

    What is of the same images is said once: a single source is not repeated as `combined`, nor is that by each of
    two sources of one class, which are held against each other. `shortcut`: the interval lies above SEPARATES;
    `part`: above TELLS; `clean`: below; `unknown`: too few images.
    """
    found = []
    overall = [row for row in rows if row["features"] == ALL]
    one_source = len(overall) == 2
    total = {name: overall[-1][name] for name in ("n_train", "n_real", "n_fake")} if overall else {}
    for row in overall:
        if one_source and row["testset"] == COMBINED:
            continue
        if row["against"] != "own" and not one_source and total.items() <= row.items():
            continue
        name = "all sources together" if row["testset"] == COMBINED else row["testset"]
        if row["against"] != "own":
            name = f"{name} from the {row['against'].split()[0]} images of the other sources"
        classes = min(row["n_real"], row["n_fake"])
        if classes == 0 < row["n_real"] + row["n_fake"]:
            verdict, text = "unknown", f"{name}: one class only, so metadata has nothing to tell apart"
        elif classes < FEWEST:
            verdict, text = "unknown", f"{name}: too few test images to say whether metadata separates it"
        elif np.isnan(row["auc"]):
            text = (
                f"{name}: the images to learn from are of one class, so whether metadata separates it is not known"
            )
            verdict = "unknown"
        else:
            # Classes that do not overlap have no interval by resampling; then the area itself, 0 or 1, speaks.
            low = row["auc"] if np.isnan(row["auc_low"]) else row["auc_low"]
            verdict = "shortcut" if low > SEPARATES else "part" if low > TELLS else "clean"
            does = {"shortcut": "separates", "part": "tells a part of", "clean": "does not separate"}[verdict]
            text = f"metadata alone {does} {name} ({_area(row)}{'' if verdict == 'clean' else _best(row, rows)})"
            if 1 - (row["auc"] if np.isnan(row["auc_high"]) else row["auc_high"]) > TELLS:
                text += ": it tells the class of training images, and of test images the other way round"
        found.append({"check": "metadata", "source": row["testset"], "verdict": verdict, "sentence": text})
    return found


def _best(row: Mapping, rows: Sequence[Mapping]) -> str:
    """The kind of metadata that does best by itself, in words."""
    alone = [r for r in rows if r["testset"] == row["testset"] and r["features"] != ALL]
    best = max(alone, key=lambda r: r["auc"])
    return f"; {WORDS.get(best['features'], best['features'])} by itself {best['auc']:.2f}"


def _area(row: Mapping) -> str:
    interval = "" if np.isnan(row["auc_low"]) else f", 95 % {row['auc_low']:.2f} to {row['auc_high']:.2f}"
    return f"AUC {row['auc']:.2f}{interval}"
