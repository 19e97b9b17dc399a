"""Celeb-DF v2: videos of celebrities and face swaps of them; one frame of each video, or several, are images."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from detector.core.errors import DetectorError, listing
from detector.core.labels import FAKE, REAL
from detector.data import splits, walk
from detector.data.records import Record, by_path

TITLE = "Celeb-DF v2"
LAYOUT = """\
Celeb-real/id0_0000.mp4 …            590 videos
Celeb-synthesis/id1_id0_0007.mp4 …   5,639 videos
YouTube-real/00000.mp4 …             300 videos, only for youtube_real: true
List_of_testing_videos.txt           only for split: official"""
OBTAIN = """\
Fill in the request form that is linked from https://github.com/yuezunli/celeb-deepfakeforensics;
the authors answer with a download link."""
TERMS = """\
Celeb-DF v2 (Li et al. 2020) has terms of use of its own: name the authors, no commercial use, what is built
upon it only under the same terms (https://github.com/yuezunli/celeb-deepfakeforensics). The videos show
people."""
SPLITS = ("paper", "official", "identity")
SHARED = {"paper": "people in training videos are in test videos too"}
OFFICIAL = {  # strategy "paper", YouTube-real left out
    ("train", REAL): 472,
    ("train", FAKE): 4511,
    ("valid", REAL): 59,
    ("valid", FAKE): 564,
    ("test", REAL): 59,
    ("test", FAKE): 564,
}
GENERATOR = "celeb-df"
TEST_LIST = "List_of_testing_videos.txt"
LISTS = (TEST_LIST,)
OPTIONS = ("frames",)  # taken by `scanning`
YOUTUBE = "YouTube-real"
# Folder → (label, the names in it; the groups of the pattern are the people to be seen).
FOLDERS = {
    "Celeb-real": (REAL, re.compile(r"(id\d+)_\d+\.mp4")),
    "Celeb-synthesis": (FAKE, re.compile(r"(id\d+)_(id\d+)_\d+\.mp4")),
    YOUTUBE: (REAL, re.compile(r"\d+\.mp4")),
}


def scan(root: Path, options: Mapping) -> list[Record]:
    """List all videos below `root`, sorted by path.

    `options`: `frame`, the position of the frame to take (0 = first, 1 = last; default 0.5); `youtube_real`,
    whether YouTube-real is used (default no, as in the study). `group` is the identity, or "target|donor" of a
    swap. `official` is "test" for listed videos and "" for the others: the data set itself has no validation
    split.

    Raises `DetectorError` where a folder is missing or a name is not of the data set.
    """
    root = Path(root)
    frame = float(options.get("frame", 0.5))
    if not 0 <= frame <= 1:
        raise DetectorError(f"{TITLE}: frame is {frame}; expected a position from 0 (first) to 1 (last)")
    used = [name for name in FOLDERS if name != YOUTUBE or options.get("youtube_real", False)]
    walk.require_folders(root, root, used, LAYOUT)
    videos = {}
    for folder in used:
        label, pattern = FOLDERS[folder]
        found = {
            name: pattern.fullmatch(name) for name in walk.media(root, root / folder, frozenset({".mp4"}), LAYOUT)
        }
        odd = [f"{folder}/{name}" for name, match in found.items() if not match]
        if odd:
            raise DetectorError(
                f"{root / folder}: {len(odd)} name(s) not of the form {pattern.pattern}; people in "
                f"a video are known by its name alone. Restore the names or move the files away:\n{listing(odd)}"
            )
        for name, match in found.items():
            if match:
                videos[f"{folder}/{name}"] = (label, "|".join(match.groups()))
    test = _test_videos(root, videos, used)
    return by_path(
        Record(
            path,
            label,
            generator="" if label == REAL else GENERATOR,
            group=group,
            official="test" if path in test else "",
            frame=frame,
        )
        for path, (label, group) in videos.items()
    )


def split(records: Sequence[Record], strategy: str, fractions: tuple[float, float, float], seed: int) -> list[str]:
    """Split name of each video.

    "paper": `fractions` of each folder, as in the study; a person can be in train and in test. "official": the
    listed videos are the test split, the others are cut into train and valid. "identity": people are divided, and
    a video is kept ("" otherwise) only where all people in it are in the same split. YouTube-real names no people:
    each of its videos stands for itself.

    Raises `DetectorError` where "official" is asked for and no video is listed.
    """
    if strategy == "identity":
        return _by_identity(records, fractions, seed)
    rest = records
    if strategy == "official":
        rest = [record for record in records if record.official != "test"]
        if len(rest) == len(records):
            raise DetectorError(
                f"{TITLE}: split is 'official' and no video is marked as a test video; put {TEST_LIST} into "
                "the root or choose another split"
            )
        fractions = splits.without_test(fractions)
    # By folder, not by label: adding YouTube-real leaves the split of Celeb-real as it was.
    names = _by_folder(rest, fractions, seed)
    return [names.get(record.path, "test") for record in records]


def _by_folder(records: Sequence[Record], fractions: tuple[float, float, float], seed: int) -> dict[str, str]:
    folders = [record.path.split("/")[0] for record in records]
    return splits.stratified(folders, [record.path for record in records], fractions, seed)


def _by_identity(records: Sequence[Record], fractions: tuple[float, float, float], seed: int) -> list[str]:
    people = splits.grouped((p for r in records for p in r.group.split("|") if p), fractions, seed)
    nameless = _by_folder([record for record in records if not record.group], fractions, seed)
    result = []
    for record in records:
        found = {people[p] for p in record.group.split("|") if p} or {nameless[record.path]}
        result.append(found.pop() if len(found) == 1 else "")
    return result


def _test_videos(root: Path, videos: Mapping[str, tuple[int, str]], used: Sequence[str]) -> set[str]:
    """The listed videos of the folders in use; none where there is no list."""
    path = root / TEST_LIST
    if not path.is_file():
        return set()
    walk.inside(root, path)
    found, faults = set(), []
    for number, line in enumerate(
        path.read_text(encoding="utf-8", errors="surrogateescape").splitlines(), start=1
    ):
        if not line.strip():
            continue
        label, _, name = line.strip().partition(" ")
        walk.inside_name(root, name, f"{path}, line {number}")
        folder = name.split("/")[0]
        if label not in ("0", "1") or folder not in FOLDERS:
            faults.append(f"line {number}: {line.strip()!r} is not '1 FOLDER/NAME' or '0 FOLDER/NAME'")
        elif folder in used:
            if name not in videos:
                faults.append(f"line {number}: {name} is not on disk")
            elif int(label) != videos[name][0]:
                faults.append(f"line {number}: {name} has label {label}, its folder says {videos[name][0]}")
            else:
                found.add(name)
    if faults:
        raise DetectorError(
            f"{path}: {len(faults)} line(s) do not fit the folders; restore the list or the videos, or "
            "move the list away (only the split 'official' needs it):\n" + listing(faults)
        )
    return found
