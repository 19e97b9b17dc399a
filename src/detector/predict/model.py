"""Bundle inference: image files to verdicts, from the pixels that training would have seen. No torch.

Pictures are decoded by threads (Pillow lets go of Python's lock while it decodes and resizes) while the model
computes.
"""

import dataclasses
import hashlib
import io
import itertools
import json
import math
import os
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from PIL import Image

from detector.core.errors import DetectorError
from detector.core.files import sha256
from detector.core.machine import cores
from detector.experiment.formats import FILES
from detector.export import runtimes
from detector.imaging import decoding, looks
from detector.imaging.preprocessing import Preprocessing, decoded
from detector.imaging.suffixes import VIDEO_SUFFIXES
from detector.imaging.video import video_frames
from detector.predict import verdicts
from detector.predict.bundles import check
from detector.predict.verdicts import Answer, Band, Verdict

BATCH = 16  # pictures a pass: no slower than larger ones on a CPU, and a ResNet-50 at 224 px then needs 200 MB
AHEAD = 4  # images a thread that are decoded, or about to be, while the model computes; of several looks fewer
FRAME = 0.5  # of a video, where training saw none

Item = str | os.PathLike[str] | tuple[str, bytes]


@dataclass(frozen=True)
class Model:
    """Model file of a bundle, open for inference. Safe to share among threads."""

    file: Path
    name: str  # "resnet18 l1-40 seed 0, fp32"
    size: int  # side of what the network sees, in pixels
    temperature: float
    band: Band | None  # of a bundle from before there was one
    preprocessing: Preprocessing
    frame: float  # which frame of a video, where it is one: 0 = first, 1 = last
    frames: int  # of a video, spread evenly over it; its logit is their mean
    shortest: int  # side in pixels of all that training saw; 0 in a bundle from before that was noted
    threads: int
    facts: Mapping[str, str]  # all that the file says of itself
    session: onnxruntime.InferenceSession

    @classmethod
    def open(
        cls,
        bundle: Path | str,
        *,
        threads: int = 0,
        file: str | None = None,
        source: str | None = None,
        frames: int | None = None,
    ) -> "Model":
        """Open a bundle: its folder, or one ONNX file in it.

        `threads`: 0 for all cores. `file`: a name in the folder. `source`: the source whose preprocessing to use,
        where sources of the training set were preprocessed differently. `frames`: by how many frames to judge a
        video, None for as many as the pipeline took.

        Raises `DetectorError` for a file that is no such model, or that does not have its checksum.
        """
        path = Path(bundle)
        if whole := path.is_dir():
            path = path / (file or FILES["onnx-fp32"])
        if not path.is_file():
            below = Path(bundle) / "bundle"
            hint = f"did you mean {below}?" if below.is_dir() else "see what there is with `detector doctor`"
            raise DetectorError(f"{path}: found no such file, expected a bundle or an ONNX file in one; {hint}")
        if path.suffix != ".onnx":
            raise DetectorError(
                f"{path}: found a file that is not .onnx, expected a bundle or an ONNX file in one; the other "
                "files of a bundle are to keep or send, not to judge by"
            )
        check(path, whole)
        threads = threads or cores()
        session = runtimes.open_session(path, threads)
        facts = dict(session.get_modelmeta().custom_metadata_map)
        try:
            return cls(
                file=path,
                name=f"{facts['arch']} {facts['branch']} seed {facts['seed']}, {facts['precision']}",
                size=int(facts["image_size"]),
                temperature=float(facts["temperature"]),
                band=Band.of(json.loads(facts["band"])) if "band" in facts else None,
                preprocessing=_way(path, json.loads(facts["preprocessing"]), source),
                frame=float(facts.get("frame", FRAME)),
                frames=frames or int(facts.get("frames", 1)),
                shortest=int(facts.get("shortest_side", 0)),
                threads=threads,
                facts=facts,
                session=session,
            )
        except (KeyError, ValueError, TypeError) as error:
            raise DetectorError(
                f"{path}: found no usable {error} in its metadata, expected what the rule `export` writes; "
                "export it again"
            ) from error

    @property
    def looks(self) -> int:
        """Windows of an image that the network sees; its logit is their mean."""
        some = self.preprocessing.looks
        return 1 if some is None else len(some.windows(self.preprocessing.size))

    @property
    def card(self) -> str:
        """Model card, Markdown; "" where the bundle has none."""
        path = self.file.with_name("card.md")
        return path.read_text(encoding="utf-8") if path.is_file() else ""

    @property
    def caveats(self) -> list[str]:
        """Caveats that every reader of a verdict must know, one sentence each."""
        fitted = int(self.facts.get("frames", 1))
        if fitted != self.frames:
            return [
                f"videos are judged by {self.frames} frame{'s' * (self.frames > 1)}, while probabilities and the "
                f"range of unsure verdicts were fitted to {fitted}",
                *dataclasses.replace(self, frames=fitted).caveats,
            ]
        if self.band is None:
            return [
                "this bundle says nothing about when it is sure, so no verdict is unsure for being a close call; "
                "snakemake makes it again with that"
            ]
        if math.isnan(self.band.error):
            return ["there were too few validation images to be sure of anything: every verdict is unsure"]
        never = [
            f"it is never sure that an image is {name}: too few validation images called so, or too many wrongly"
            for name, cut in ((Verdict.FAKE, self.band.fake), (Verdict.REAL, self.band.real))
            if math.isinf(cut)
        ]
        if not self.band.reached:
            return never + [
                f"of the images outside its unsure range up to {self.band.error:.1%} can be called wrongly; "
                f"{self.band.wanted:.1%} was asked for, which its validation images cannot show"
            ]
        return never

    def judge(
        self,
        image: str | os.PathLike[str] | bytes,
        *,
        name: str = "image",
        fast: bool = False,
        explain: bool = False,
    ) -> Answer:
        """Judge one image: a path, or the bytes of a file. Never raises for what is wrong with the image.

        `fast`: do not check whether saving the image again changes the verdict. `explain`: also show where the
        verdict comes from, of several looks or frames by the middle; raises what `explanation.overlay` raises.
        """
        item = (name, image) if isinstance(image, bytes) else image
        return self._answers([(_name(item), self._try_views(item, fast, explain))], BATCH)[0]

    def judge_many(
        self, items: Iterable[Item], *, batch: int = BATCH, fast: bool = False, explain: bool = False
    ) -> Generator[Answer]:
        """Judge many images; yields answers in the order of `items`: paths, or names and bytes.

        `batch`: images in one pass of the network. `fast` and `explain`: as of `judge`. Only a few images are held
        in memory.
        """
        items = iter(items)
        waiting: deque[tuple[str, Future[_Seen | str]]] = deque()
        seen = self.looks * (1 if fast else 1 + len(verdicts.CHANGES))
        together, ahead = max(1, batch // seen), max(1, AHEAD // self.looks) * self.threads
        pool = ThreadPoolExecutor(self.threads, thread_name_prefix="decode")

        def fill() -> None:
            for item in itertools.islice(items, together + ahead - len(waiting)):
                waiting.append((_name(item), pool.submit(self._try_views, item, fast, explain)))

        try:
            fill()
            while waiting:
                ready = [waiting.popleft() for _ in range(min(together, len(waiting)))]
                group = [(name, future.result()) for name, future in ready]
                fill()
                yield from self._answers(group, batch)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def pixels(self, item: Item) -> np.ndarray:
        """Preprocess an image to what the network sees: uint8 (size, size, 3).

        Of several looks the middle, of several frames that in the middle of those. Raises
        `decoding.BadImageError`, or whatever Pillow or FFmpeg raise.
        """
        digest = self._hash(item)
        found = [self.preprocessing.apply(image, digest) for image in self._images(item)]
        return found[len(found) // 2]

    def logits(self, pictures: np.ndarray, batch: int = BATCH) -> np.ndarray:
        """Logits, float32 (n,), of `pictures`, uint8 (n, size, size, 3); above 0 = real."""
        parts = [
            self.session.run(None, {"image": pictures[start : start + batch]})[0]
            for start in range(0, len(pictures), batch)
        ]
        return np.concatenate(parts) if parts else np.empty(0, np.float32)

    def probability_fake(self, logit: float) -> float:
        """Calibrated probability, from 0 to 1, that an image with this logit is fake."""
        # The same as 1 / (1 + exp(logit / temperature)), whose exp can be too large.
        return (1 - math.tanh(logit / self.temperature / 2)) / 2

    def _images(self, item: Item) -> Iterator[Image.Image]:
        """The image, or the frames of a video, one after the other."""
        limit = self.preprocessing.max_pixels
        if isinstance(item, tuple):
            yield decoded(io.BytesIO(item[1]), limit)
            return
        video = Path(item).suffix.lower() in VIDEO_SUFFIXES
        if video and self.frames > 1:
            yield from video_frames(item, self.frames, max_pixels=limit)
        else:
            yield decoded(item, limit, self.frame if video else None)

    def _hash(self, item: Item) -> str:
        """SHA-256 of the file, where pixels depend on it."""
        if not self.preprocessing.draws:
            return ""
        return hashlib.sha256(item[1]).hexdigest() if isinstance(item, tuple) else sha256(item)

    def _views(self, item: Item, fast: bool, explain: bool) -> "_Seen":
        """What is seen of an item, which is decoded once."""
        how, digest = self.preprocessing, self._hash(item)
        parts, middles, small = [], [], ""
        for image in self._images(item):
            small = self._small(image)
            copies = [image] if fast else [image, *(change(image) for change in verdicts.CHANGES.values())]
            parts.append(np.stack([how.views(copy, digest) for copy in copies]))
            if explain:
                middles.append(parts[-1][0, 0] if how.looks is None else how.apply(image, digest))
        return _Seen(np.concatenate(parts, axis=1), middles[len(middles) // 2] if explain else None, small)

    def _small(self, image: Image.Image) -> str:
        """Why an image has too few pixels: it is enlarged as no training image was. "" where it has enough."""
        if min(image.size) >= min(self.preprocessing.size, self.shortest):
            return ""
        return (
            f"its {' × '.join(map(str, image.size))} pixels are enlarged to {self.preprocessing.size}, and the "
            f"smallest image that it learned from has {self.shortest} on its shorter side"
        )

    def _try_views(self, item: Item, fast: bool, explain: bool) -> "_Seen | str":
        """As `_views`; or what is wrong with the item."""
        try:
            return self._views(item, fast, explain)
        except DetectorError:  # not the file's fault
            raise
        except Exception as error:  # decoders raise almost anything on broken files
            return decoding.reason(error, Path(_name(item)))

    def _answers(self, group: list[tuple[str, "_Seen | str"]], batch: int) -> list[Answer]:
        good = [seen.pictures for _, seen in group if not isinstance(seen, str)]
        found = self.logits(np.concatenate(good), batch) if good else np.empty(0, np.float32)
        answers: list[Answer] = []
        at = 0
        for name, seen in group:
            if isinstance(seen, str):
                answers.append(Answer(name, None, None, None, error=seen))
                continue
            views = seen.views.shape[1]
            own = looks.mean(found[at : at + len(seen.pictures)], views).tolist()
            answers.append(self._answer(name, own, views // self.looks, seen))
            at += len(seen.pictures)
        return answers

    def _answer(self, name: str, logits: list[float], frames: int, seen: "_Seen") -> Answer:
        """`logits`: of the item, and of its changed copies if any; `frames`: that they are means of."""
        logit, *changed = logits
        if not all(map(math.isfinite, logits)):
            return Answer(name, None, None, None, error="the model gives no number for it")
        verdict, why = verdicts.decide(logit, changed, self.band, seen.small)
        map_ = None
        if seen.middle is not None:
            from detector.predict import explanation  # imported here: it needs onnx, which takes a while

            map_ = explanation.overlay(self, seen.middle, logit)
        return Answer(
            *(name, verdict, self.probability_fake(logit), logit, why),
            frames=frames if frames > 1 else None,
            map=map_,
        )


@dataclass(frozen=True)
class _Seen:
    """What a model sees of an item."""

    views: np.ndarray  # uint8 (copies, n, size, size, 3), itself first: n looks at each copy
    middle: np.ndarray | None  # uint8 (size, size, 3), where it is to be explained: of frames and looks the middle
    small: str  # why it has too few pixels; "" where it has enough

    @property
    def pictures(self) -> np.ndarray:
        """The views in a row, copy by copy: uint8 (copies * n, size, size, 3)."""
        return self.views.reshape(-1, *self.views.shape[2:])


def _way(path: Path, ways: Mapping[str, Mapping[str, Any]], source: str | None) -> Preprocessing:
    """How pixels are made: as of `source`, or as of all where they are alike."""
    if source is not None and source not in ways:
        raise DetectorError(
            f"--source: found {source}, expected one of {', '.join(ways)}, which {path} learned from"
        )
    chosen = [ways[source]] if source is not None else list(ways.values())
    if any(way != chosen[0] for way in chosen):
        raise DetectorError(
            f"{path}: its training images were made into pixels in different ways, by source; "
            f"say which an image is like: --source {' or '.join(ways)}"
        )
    return Preprocessing.of(chosen[0])


def _name(item: Item) -> str:
    return item[0] if isinstance(item, tuple) else os.fspath(item)
