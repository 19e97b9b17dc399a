"""Caller of somebody's Python function, in a process of its own: a list of paths per line in, scores per line out.

The standard library alone: whatever a detector imports, it meets nothing of ours.
"""

import importlib
import json
import os
import sys
from collections.abc import Callable, Iterable, Sequence

Score = float | str  # or what is wrong with the image
Call = Callable[[Sequence[str]], Iterable[Sequence[Score]]]


def main() -> None:
    """Answer with PACKAGE.MODULE:FUNCTION[:batch]."""
    serve(_function)


def serve(load: Callable[[], Call]) -> None:
    """Load what answers, say so, and answer each line until there is none.

    What is loaded is given a list of paths and gives their scores, in parts: each part is a line, written at once.
    """
    answers = os.fdopen(os.dup(1), "w", encoding="ascii")
    os.dup2(2, 1)  # what a detector prints belongs into the log
    try:
        call = load()
    except BaseException as error:
        _say(answers, {"error": _reason(error)})
        raise
    _say(answers, {"ready": True})
    for line in sys.stdin:
        try:
            for scores in call(json.loads(line)):
                _say(answers, {"scores": scores})
        except Exception as error:
            _say(answers, {"error": _reason(error)})


def _function() -> Call:
    module, function, *batch = sys.argv[1].split(":")
    one = getattr(importlib.import_module(module), function)

    def call(paths: Sequence[str]) -> Iterable[Sequence[Score]]:
        scores = [float(score) for score in (one(paths) if batch else map(one, paths))]
        if len(scores) != len(paths):
            raise ValueError(f"{len(scores)} scores for {len(paths)} paths")
        return [scores]

    return call


def _reason(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:500]


def _say(answers, value: dict) -> None:
    answers.write(json.dumps(value) + "\n")
    answers.flush()


if __name__ == "__main__":
    main()
