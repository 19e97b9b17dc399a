"""Caller of somebody's Python function, in a process of its own: a list of paths per line in, scores per line out.

The standard library alone: whatever a detector imports, it meets nothing of ours.
"""

import importlib
import json
import os
import sys


def main() -> None:
    """Import PACKAGE.MODULE:FUNCTION[:batch], say so, and answer each line until there is none."""
    answers = os.fdopen(os.dup(1), "w", encoding="ascii")
    os.dup2(2, 1)  # what a detector prints belongs into the log
    module, function, *batch = sys.argv[1].split(":")
    try:
        call = getattr(importlib.import_module(module), function)
    except BaseException as error:
        _say(answers, {"error": _reason(error)})
        raise
    _say(answers, {"ready": True})
    for line in sys.stdin:
        paths = json.loads(line)
        try:
            scores = list(call(paths)) if batch else [call(path) for path in paths]
            if len(scores) != len(paths):
                raise ValueError(f"{len(scores)} scores for {len(paths)} paths")
            _say(answers, {"scores": [float(score) for score in scores]})
        except Exception as error:
            _say(answers, {"error": _reason(error)})


def _reason(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:500]


def _say(answers, value: dict) -> None:
    answers.write(json.dumps(value) + "\n")
    answers.flush()


if __name__ == "__main__":
    main()
