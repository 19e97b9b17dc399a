"""Caller of a bundle, in a process of its own: a list of paths per line in, P(fake) of each per line out."""

import contextlib
import sys
from collections.abc import Iterator, Sequence

from detector.predict.model import Model
from detector.referee import caller


def main() -> None:
    """Answer with the bundle BUNDLE on THREADS threads: a line per image, one image per pass.

    So no answer depends on its neighbours, while the next images are decoded.
    """
    caller.serve(_bundle)


def _bundle() -> caller.Call:
    bundle, threads = sys.argv[1:]
    model = Model.open(bundle, threads=int(threads))

    def call(paths: Sequence[str]) -> Iterator[list[caller.Score]]:
        with contextlib.closing(model.judge_many(paths, batch=1, fast=True)) as answers:
            for answer in answers:
                yield [answer.error if answer.probability_fake is None else answer.probability_fake]

    return call


if __name__ == "__main__":
    main()
