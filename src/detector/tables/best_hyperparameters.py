"""best_hyperparameters.csv, Table 4: what each search chose, beside the study's optimizer and learning rate."""

from collections.abc import Mapping

from detector.core.files import canonical
from detector.experiment.variants import SHARED, Variant
from detector.training.recipe import found

COLUMNS = (
    *("arch", "seed", "branch", "sparsity_percent", "percent_of", "optimizer", "learning_rate"),
    *("valid_accuracy", "trials", "paper_optimizer", "paper_learning_rate"),
)


def columns(searches: Mapping[Variant, Mapping]) -> tuple[str, ...]:
    """`COLUMNS`, with further knobs that were searched after the learning rate."""
    more = dict.fromkeys(name for best in searches.values() for name in found(best) if name not in COLUMNS)
    place = COLUMNS.index("learning_rate") + 1
    return (*COLUMNS[:place], *more, *COLUMNS[place:])


def best_hyperparameters(searches: Mapping[Variant, Mapping], paper: Mapping) -> list[dict]:
    """Rows of Table 4: the best trial of each search.

    `searches`: the content of best.json by what it is of, a variant or all branches of a run (`variants.SHARED`).
    """
    rows = []
    for variant, best in searches.items():
        shared = variant.branch == SHARED
        theirs = paper["hyperparameters"].get(variant.branch, {})
        rows.append(
            {
                "arch": variant.arch,
                "seed": variant.seed,
                "branch": variant.branch,
                "sparsity_percent": None if shared else variant.sparsity_percent,
                "percent_of": None if shared else variant.percent_of,
                **{name: _cell(value) for name, value in found(best).items()},
                **{name: best[name] for name in ("valid_accuracy", "trials")},
                "paper_optimizer": theirs.get("optimizer"),
                "paper_learning_rate": theirs.get("learning_rate"),
            }
        )
    return rows


def _cell(value: object) -> object:
    """A knob's value; lists and maps are JSON."""
    return canonical(value) if isinstance(value, list | Mapping) else value
