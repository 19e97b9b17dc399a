"""Leak detection: images and groups that occur in several splits or under both labels. No torch.

A **leak** is a picture of a later split (test after valid after train) that is the same as, or nearly the same as,
one of an earlier split, whatever their labels and sources; and a picture that one split has under both labels.
Copies within one split and label are only counted: they make the split smaller than it looks, no result better.
So are near copies with different labels in one split: a photo beside its forgery is how such data are made. Frames
of one video are near one another as they should be, which is not even counted. Groups (a person, a prompt) in two
splits are told apart from leaks of pictures: dropping them could empty a split, so the cure is another way to
split.
"""

from itertools import combinations

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from detector.audit.hashes import Hashes, near_pairs
from detector.core.labels import CLASSES, SPLIT_NAMES
from detector.data.records import FRAME, file_of

STOPPED = "so many pictures are alike that the search for copies stopped early; so far none is in two splits"
ACROSS, BOTH_LABELS = "across splits", "both labels"
LEAK_COLUMNS = ("source", "path", "split", "label", "kind", "of_source", "of_path", "of_split", "of_label")
DUPLICATE_COLUMNS = (
    *("kind", "leak", "source", "split", "label", "with_source", "with_split", "with_label"),
    *("images", "pairs", "groups", "example", "with_example"),
)
GROUP_COLUMNS = ("source", "split", "with_split", "groups", "images", "of_images")


def duplicates(splits: pd.DataFrame, hashes: Hashes, distance: int) -> tuple[pd.DataFrame, pd.DataFrame, bool]:
    """(rows of audit_duplicates.csv, the leaks, whether these are all pairs) of images with these hashes.

    `splits`: columns source, path, split, label; `hashes`: of the same images in the same order; `distance`: bits.

    The first has a row for each kind (`exact`, `near`) and pair of cells (source, split, label), the later split
    first: how many of its images have a twin in the other cell, how many pairs and groups there are (a group holds
    all that pairs join, a and c too where a is near b and b near c), and one example. Equal pictures of one cell
    count once in near pairs. The leaks have LEAK_COLUMNS, a row per image, with its twin in the earliest split.
    """
    splits = splits.reset_index(drop=True)
    rank = splits["split"].map({name: number for number, name in enumerate(SPLIT_NAMES)}).to_numpy()
    cell = splits.assign(rank=rank).groupby(["rank", "source", "label"]).ngroup().to_numpy()
    # Equal pictures of one cell are one node. Nodes are numbered by cell, so a later split has a higher number.
    node = pd.DataFrame({"cell": cell, "pixels": hashes.pixels}).groupby(["cell", "pixels"]).ngroup().to_numpy()
    order = np.argsort(node, kind="stable")
    start = np.flatnonzero(np.diff(node[order], prepend=-1))
    first, copies = order[start], np.diff(start, append=len(order))
    pairs = _equal(hashes.pixels[first], copies)
    close, whole = near_pairs(
        Hashes(hashes.pixels[first], hashes.phash[first], hashes.thumbnails[first]),
        distance,
        _videos(splits.iloc[first]),
    )
    pairs = pd.concat([pairs, pd.DataFrame({"a": close[:, 1], "b": close[:, 0], "kind": "near"})])
    pairs = pairs.reset_index(drop=True)
    a, b = pairs["a"].to_numpy(), pairs["b"].to_numpy()
    edges = coo_array((np.ones(len(pairs), np.int8), (a, b)), shape=(len(first), len(first)))
    pairs["group"] = connected_components(edges, directed=False)[1][a]
    pairs["image"] = first[a]
    pairs["twin"] = np.where(a == b, order[np.minimum(start[b] + 1, len(order) - 1)], first[b])
    pairs["images"] = copies[a]
    pairs["pairs"] = np.where(a == b, copies[a] * (copies[a] - 1) // 2, 1)
    exact = (pairs["kind"] == "exact") & (a != b)
    pairs.loc[exact, "pairs"] = (copies[a] * copies[b])[exact]
    pairs["cell"], pairs["twin_cell"], pairs["rank"] = cell[first[a]], cell[first[b]], rank[first[b]]
    label = splits["label"].to_numpy()
    later = rank[first[a]] > rank[first[b]]
    both = (rank[first[a]] == rank[first[b]]) & (label[first[a]] != label[first[b]]) & exact
    pairs["leak"] = np.where(later, ACROSS, np.where(both, BOTH_LABELS, ""))
    return _cells(splits, pairs), _leaks(splits, node, pairs), whole


def _videos(splits: pd.DataFrame) -> np.ndarray | None:
    """The number of each image's video, int (n,), where several frames of one are images; else None."""
    if not any(FRAME in path for path in splits["path"]):
        return None
    return splits.groupby(["source", splits["path"].map(file_of)]).ngroup().to_numpy()


def _equal(pixels: np.ndarray, copies: np.ndarray) -> pd.DataFrame:
    """Pairs of nodes a > b with equal pixels, and a = b for nodes of several images."""
    nodes = pd.DataFrame({"a": np.arange(len(pixels)), "pixels": pixels})
    nodes = nodes[nodes.duplicated("pixels", keep=False)]
    both = nodes.merge(nodes.rename(columns={"a": "b"}), on="pixels")
    own = np.flatnonzero(copies > 1)
    pairs = pd.concat([both.loc[both["a"] > both["b"], ["a", "b"]], pd.DataFrame({"a": own, "b": own})])
    return pairs.assign(kind="exact")


def _cells(splits: pd.DataFrame, pairs: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for (kind, cell, twin_cell), part in pairs.groupby(["kind", "cell", "twin_cell"]):
        one, other = splits.iloc[part["image"].iloc[0]], splits.iloc[part["twin"].iloc[0]]
        involved = part.drop_duplicates("a")["images"].sum()
        if cell == twin_cell:  # both ends are in it; a near pair stands for one image at each
            ends = np.unique(part[["a", "b"]]) if kind == "near" else part["a"].unique()
            involved = len(ends) if kind == "near" else involved
        rows.append(
            {
                **{"kind": kind, "leak": part["leak"].iloc[0]},
                **{"source": one["source"], "split": one["split"], "label": CLASSES[one["label"]]},
                **{"with_source": other["source"], "with_split": other["split"]},
                **{"with_label": CLASSES[other["label"]], "images": int(involved)},
                **{"pairs": int(part["pairs"].sum()), "groups": int(part["group"].nunique())},
                **{"example": one["path"], "with_example": other["path"]},
            }
        )
    table = pd.DataFrame(rows, columns=DUPLICATE_COLUMNS)
    return table.sort_values("leak", ascending=False, kind="stable", ignore_index=True)


def _leaks(splits: pd.DataFrame, node: np.ndarray, pairs: pd.DataFrame) -> pd.DataFrame:
    """The images of every node with a leak, each with one twin."""
    found = pairs.loc[pairs["leak"] != "", ["a", "leak", "kind", "rank", "twin"]]
    # A picture under both labels in one split is a leak at both ends.
    back = pairs.loc[pairs["leak"] == BOTH_LABELS, ["b", "leak", "kind", "rank", "image"]]
    found = pd.concat([found, back.set_axis(found.columns, axis=1)])
    # The earliest twin; "exact" sorts before "near", "across splits" before "both labels".
    found = found.sort_values(["a", "leak", "rank", "kind", "twin"]).drop_duplicates("a").set_index("a")
    images = np.flatnonzero(np.isin(node, found.index))
    found = found.loc[node[images]]
    here, twin = splits.iloc[images], splits.iloc[found["twin"]]
    leaks = here[["source", "path", "split"]].reset_index(drop=True)
    leaks["label"] = here["label"].map(CLASSES).to_numpy()
    leaks["kind"] = found["kind"].to_numpy()
    for name in ("source", "path", "split"):
        leaks[f"of_{name}"] = twin[name].to_numpy()
    return leaks.assign(of_label=twin["label"].map(CLASSES).to_numpy())[list(LEAK_COLUMNS)]


def groups(splits: pd.DataFrame) -> pd.DataFrame:
    """Rows of audit_groups.csv: the groups that are in two splits of a source, and how many images they have.

    A row for each source and two splits: the groups in both, and how many images of the later split (of how many)
    belong to one of them. `splits`: columns source, split, group; an image with several groups (`a|b`) belongs to
    each. Groups of different sources are unrelated. For a source without groups, the counts are empty.
    """
    rows = []
    for source, table in splits.groupby("source"):
        known = table.loc[table["group"] != "", ["split", "group"]]
        single = known.assign(group=known["group"].str.split("|")).explode("group")
        names = {split: set(part["group"]) for split, part in single.groupby("split")}
        for earlier, later in combinations(SPLIT_NAMES, 2):
            shared = names.get(later, set()) & names.get(earlier, set())
            chosen = single[(single["split"] == later) & single["group"].isin(shared)]
            row = {"source": source, "split": later, "with_split": earlier}
            if len(known):
                row |= {"groups": len(shared), "images": chosen.index.nunique()}
            rows.append(row | {"of_images": int((table["split"] == later).sum())})
    table = pd.DataFrame(rows, columns=GROUP_COLUMNS)
    return table.astype({"groups": "Int64", "images": "Int64"})


def verdicts(splits: pd.DataFrame, leaks: pd.DataFrame, shared: pd.DataFrame, whole: bool) -> list[dict[str, str]]:
    """Verdicts of the audit: `check`, `source`, `verdict` (leak, clean, unknown) and `sentence`."""
    found = []
    for source in sorted(splits["source"].unique()):
        own = leaks[leaks["source"] == source]
        across, both = own[own["split"] != own["of_split"]], own[own["split"] == own["of_split"]]
        parts = [
            _copies(source, split, of_split, part)
            for (split, of_split), part in across.groupby(["split", "of_split"])
        ]
        parts += [
            f"{_count(len(part), f'{split} image')} of {source} {_is(len(part))} there under the other label too"
            for split, part in both.groupby("split")
        ]
        text = "; ".join(parts) or f"no picture of {source} is in two splits"
        if not whole:
            text = f"{text} (at least: the search stopped)" if parts else f"{source}: {STOPPED}"
        verdict = "leak" if parts else "clean" if whole else "unknown"
        found.append({"check": "duplicates", "source": source, "verdict": verdict, "sentence": text})
    for source, table in shared.groupby("source"):
        if table["groups"].isna().any():
            verdict, text = "unknown", f"{source} knows no groups (people, prompts)"
        elif (worst := table[table["images"] > 0]).size:
            parts = [
                f"{row.images} of {row.of_images} {row.split} images share a group (a person, a prompt) with "
                f"{row.with_split}"
                for row in worst.itertuples()
            ]
            verdict, text = "leak", f"{source}: {'; '.join(parts)}"
        else:
            verdict, text = "clean", f"no group of {source} is in two splits"
        found.append({"check": "groups", "source": source, "verdict": verdict, "sentence": text})
    return found


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _is(number: int) -> str:
    return "is" if number == 1 else "are"


def _copies(source: str, later: str, earlier: str, part: pd.DataFrame) -> str:
    """Number of images of the later split that are in the earlier one, from their leaks."""
    near = int((part["kind"] == "near").sum())
    who = f"{_count(len(part), f'{later} image')} of {source} {_is(len(part))}"
    if near == len(part):
        return f"{who} nearly the same as {'one' if near == 1 else 'some'} in {earlier}"
    return f"{who} also in {earlier}{f' ({near} of them nearly the same)' if near else ''}"
