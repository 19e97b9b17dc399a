"""pareto.csv: the trials of searches for two goals, which no other beats, and how each becomes a branch."""

from collections.abc import Mapping, Sequence

import pandas as pd
import yaml

from detector.experiment.variants import Branch
from detector.stats.pareto import front

COLUMNS = (
    *("arch", "seed", "trial", "state", "method", "percent", "percent_of", "knobs", "valid_accuracy"),
    *("goal", "value", "front", "branch", "config"),
)
# Of trials.csv, what is no knob; beside these it has a column with the name of the goal.
_SAID = ("trial", "state", "method", "percent", "valid_accuracy", "epochs", "seconds", "device", "precision")


def pareto(
    searches: Mapping[tuple[str, int], pd.DataFrame], goal: str, methods: Mapping[str, Sequence[float]]
) -> list[dict]:
    """Rows of pareto.csv: one for each trial of the search of each run.

    `searches`: the content of pareto/trials.csv by architecture and seed; `goal`: the name of the goal beside
    accuracy; `methods`: `prune.methods` of the config, which the lines that are to be written keep.
    """
    rows = []
    for (arch, seed), trials in searches.items():
        best = front(trials[goal], trials["valid_accuracy"])
        knobs = [name for name in trials.columns if name not in (*_SAID, goal)]
        for (_, trial), at_front in zip(trials.iterrows(), best, strict=True):
            branch = Branch(trial["method"], int(trial["percent"]))
            rows.append(
                {
                    "arch": arch,
                    "seed": seed,
                    **{name: trial[name] for name in ("trial", "state", "method", "percent")},
                    "percent_of": branch.percent_of,
                    "knobs": ", ".join(f"{name} {_short(trial[name])}" for name in knobs if pd.notna(trial[name])),
                    "valid_accuracy": trial["valid_accuracy"],
                    "goal": goal,
                    "value": trial[goal] if goal == "latency" or pd.isna(trial[goal]) else int(trial[goal]),
                    "front": "yes" if at_front else "no",
                    "branch": str(branch),
                    "config": line(methods, branch),
                }
            )
    return rows


def line(methods: Mapping[str, Sequence[float]], branch: Branch) -> str:
    """Line of an overlay that adds this branch to those of `prune.methods`; "" where it is one of them.

    An overlay replaces a list as a whole, so the line repeats the method's other shares.
    """
    percents = {round(100 * share) for share in methods.get(branch.method, [])}
    if branch.percent in percents:
        return ""
    shares = [percent / 100 for percent in sorted(percents | {branch.percent})]
    written = {"prune": {"methods": {branch.method: shares}}}
    return yaml.safe_dump(written, default_flow_style=True, width=10_000).strip()[1:-1]


def _short(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
