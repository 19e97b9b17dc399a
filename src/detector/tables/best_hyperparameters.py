"""best_hyperparameters.csv, Table 4: optimizer and learning rate that each search chose, beside the study's."""

from collections.abc import Mapping

from detector.experiment.variants import SHARED, Variant

COLUMNS = (
    *("arch", "seed", "branch", "sparsity_percent", "percent_of", "optimizer", "learning_rate"),
    *("valid_accuracy", "trials", "paper_optimizer", "paper_learning_rate"),
)


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
                **{name: best[name] for name in ("optimizer", "learning_rate", "valid_accuracy", "trials")},
                "paper_optimizer": theirs.get("optimizer"),
                "paper_learning_rate": theirs.get("learning_rate"),
            }
        )
    return rows
