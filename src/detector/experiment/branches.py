"""Branches of a config: which are pruned, deployed, perturbed and explained."""

from collections.abc import Mapping

from detector.experiment import methods
from detector.experiment.variants import BASELINE, DENSE_CONTROL, MAGNITUDE, MATCHED, SHARED, Branch

UNPRUNED = {"method": MAGNITUDE, "sparsity": 0.0}  # a branch of which nothing is pruned


def branches(config: Mapping) -> dict[str, dict]:
    """Pruned branches by name, each with its `method`, `sparsity` and the method's settings, such as `ramp`.

    The name is `{method}-{percent}`; the dense control `l1-00` comes first. `sparsity` is a share of the conv and
    fc weights or, where `channels` are removed, of all parameters. `matched-40` is a matched control: nothing is
    pruned, and `hyperparameters_of` names the branch whose search it takes its optimizer and learning rate from.
    """
    prune = config["prune"]
    pairs = [(MAGNITUDE, 0.0)] if prune["dense_control"] else []
    pairs += [(method, s) for method, values in prune["methods"].items() for s in sorted(values)]
    return {
        str(Branch.at(m, s)): _matched(s)
        if m == MATCHED
        else {"method": m, "sparsity": s, **{key: prune[key] for key in methods.facts(m).SETTINGS}}
        for m, s in pairs
    }


def _matched(share: float) -> dict:
    return {**UNPRUNED, "hyperparameters_of": str(Branch.at(MAGNITUDE, share))}


def searches(config: Mapping) -> dict[str, str]:
    """Folders of the searches below a run's own, by the branch that each is of: `{branch}/hpo`.

    With `search.share: all` one search is of all branches (`SHARED`), in `hpo`. Matched controls have none, nor
    has a config without branches.
    """
    if branches(config) and config["search"]["share"] == SHARED:
        return {SHARED: "hpo"}
    return {name: f"{name}/hpo" for name, how in branches(config).items() if "hyperparameters_of" not in how}


def deployed(config: Mapping) -> list[str]:
    """Names of the variants that are exported and measured; first the baseline, which all are compared with."""
    names = [BASELINE, *branches(config)]
    chosen = config["deploy"]["branches"]
    if chosen == "all":
        return names
    return [name for name in names if name in {BASELINE, *chosen}] if chosen else []


def perturbations(config: Mapping) -> dict[str, list]:
    """Steps of each perturbation that is tried, by name, in the order of the config."""
    table, use = config["robustness"]["perturbations"], config["robustness"]["use"]
    return {name: steps for name, steps in table.items() if use == "all" or name in use}


def perturbed(config: Mapping) -> list[str]:
    """Names of the variants tested on perturbed images, with baseline and dense control to compare them with."""
    chosen = config["robustness"]["branches"]
    always = BASELINE, DENSE_CONTROL
    names = [name for name in (BASELINE, *branches(config)) if chosen == "all" or name in (*always, *chosen)]
    return names if perturbations(config) else []


def explained(config: Mapping) -> list[str]:
    """Names of the variants for which Grad-CAM sheets are drawn."""
    known, chosen = branches(config), config["gradcam"]["branches"]
    if chosen == "auto":
        shares = {name: how["sparsity"] for name, how in known.items() if how["method"] == MAGNITUDE}
        hardest = max(shares, key=shares.__getitem__, default=DENSE_CONTROL)
        chosen = [BASELINE] if hardest == DENSE_CONTROL else [BASELINE, hardest]
    return [name for name in (BASELINE, *known) if name in chosen]
