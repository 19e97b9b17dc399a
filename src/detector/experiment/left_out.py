"""What a run leaves out where a step does not work with a network, and which steps a network is tried for."""

from collections.abc import Mapping

from detector.experiment import architectures, methods
from detector.experiment.branches import branches, deployed, explained, perturbed
from detector.experiment.recipes import pareto
from detector.experiment.variants import Branch

IMAGES, TRAINING = "images", "training"  # without these there is nothing of a network
NEEDED = (IMAGES, TRAINING)
HEAT_MAPS, EXPORTS = "heat maps", "exported files"
INT8 = "int8 file"  # one of the exported files, without which the others are worth having
PERTURBED = "perturbed images"


def steps(config: Mapping) -> list[str]:
    """Steps beyond training that a config asks of a network, in the order in which they are tried.

    A pruning method that sets weights to zero is one step, whatever its share; how much can be removed depends on
    the network, so each share of such a method is one, by the name of its branch.
    """
    wanted = dict.fromkeys(filter(None, map(_step, branches(config).values())))
    wanted |= dict.fromkeys(_searched(config).values())
    named = {HEAT_MAPS: explained(config), EXPORTS: deployed(config), INT8: deployed(config)}
    return [*wanted, *(name for name, asked in named.items() if asked)]


def left_out(config: Mapping, failing: Mapping[str, str]) -> dict[str, str]:
    """What is left out for a network, with the reason.

    `failing`: the steps of `steps` and `of_step` that do not work with it, with the reason. Named are branches,
    `HEAT_MAPS`, `EXPORTS` (all of them) or `INT8` (it alone), `PERTURBED`, and pruning methods that the search for
    two goals goes without (`in_pareto`).
    """
    known = branches(config)
    found = {name: failing[step] for name, how in known.items() if (step := _step(how)) in failing}
    for name, how in known.items():
        if (other := how.get("hyperparameters_of")) in found:
            found[name] = f"{other}, whose optimizer and learning rate it takes, is left out"
    found |= {in_pareto(name): failing[step] for name, step in _searched(config).items() if step in failing}
    files = EXPORTS if EXPORTS in failing else INT8
    return found | {name: failing[name] for name in (HEAT_MAPS, files, PERTURBED) if name in failing}


def of_step(config: Mapping, architecture: str | None) -> dict[str, str]:
    """What does not work with an architecture (None: with none) for its own preprocessing, with the reason."""
    if architecture is None or architectures.step(architecture) is None or not perturbed(config):
        return {}
    return {PERTURBED: "perturbations act on packed pixels, which are error levels here and no images"}


def in_pareto(method: str) -> str:
    """What the part that a pruning method has in the search for two goals is called."""
    return f"{method} in search.pareto"


def _step(pruning: Mapping) -> str:
    """The step that a branch hangs on; "" where nothing is pruned."""
    if not pruning["sparsity"]:
        return ""
    method: str = pruning["method"]
    zeros = methods.facts(method).PERCENT_OF == "weights"
    return method if zeros else str(Branch.at(method, pruning["sparsity"]))


def _searched(config: Mapping) -> dict[str, str]:
    """Methods of the search for two goals with the step that each hangs on: at its largest share."""
    asked = pareto(config)
    if asked["goal"] is None:
        return {}
    most = asked["percent"][1] / 100
    return {name: _step({"method": name, "sparsity": most}) for name in asked["methods"]}
