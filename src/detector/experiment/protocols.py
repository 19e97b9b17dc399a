"""Protocols: further networks, each trained without something that it is tested on all the same.

With `protocol: leave_one_generator_out` there is one for each generator, with `temporal` one for each day that
time is cut at, trained up to it. All test images stay those of the plain run, which is the network trained with
everything.
"""

import datetime
import hashlib
import re
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from detector.core.errors import DetectorError
from detector.experiment.branches import branches
from detector.experiment.variants import BASELINE

GENERATORS, TIME = "leave_one_generator_out", "temporal"
TABLES = {GENERATORS: "generator_matrix", TIME: "window_matrix"}  # the table of a kind of protocol


@dataclass(frozen=True)
class Protocol:
    """What the config asks for: the kind, and the branches of each network.

    `generators`: those that are left out in turn (None: all there are); `edges`: the days that time is cut at.
    """

    kind: str
    generators: tuple[str, ...] | None
    edges: tuple[str, ...]
    branches: tuple[str, ...]

    @property
    def table(self) -> str:
        """Name of the table of train against test."""
        return TABLES[self.kind]


def protocol(config: Mapping) -> Protocol | None:
    """The protocol of a config; None where it asks for none."""
    asked = config["protocol"]
    if asked is None:
        return None
    how: Mapping = {"kind": asked} if isinstance(asked, str) else asked
    names = how.get("generators")
    further = [name for name in branches(config) if name in how.get("branches", ())]
    return Protocol(
        how["kind"], None if names is None else tuple(names), tuple(how.get("edges") or ()), (BASELINE, *further)
    )


def problems(config: Mapping) -> list[str]:
    """What is wrong with `protocol` beyond what a schema can say, without a look at the data."""
    asked = config["protocol"]
    if asked is None:
        return []
    if asked == TIME:
        return [_NO_EDGES]
    if isinstance(asked, str):
        return []
    lines = _edge_problems(asked)
    names = [BASELINE, *branches(config)]
    if odd := sorted(set(asked["branches"]) - set(names)):
        lines.append(f"protocol.branches: no {', '.join(odd)}; there are {', '.join(names)}")
    if twice := sorted(set(asked["generators"] or ()) & set(config["data"]["hold_out"])):
        lines.append(
            f"protocol.generators: found {', '.join(twice)}, which data.hold_out keeps from all training; take it "
            "out of one of the two"
        )
    return lines


_NO_EDGES = (
    f"protocol: {TIME} needs edges, the days that time is cut at, such as "
    f'{{kind: {TIME}, edges: ["2024-01-01", "2025-01-01"]}}'
)


def _edge_problems(asked: Mapping) -> list[str]:
    edges = asked["edges"]
    other = {GENERATORS: "edges", TIME: "generators"}[asked["kind"]]
    lines = []
    if asked[other] is not None:
        lines.append(f"protocol.{other}: {asked['kind']} takes no such key; take it out")
    elif asked["kind"] == TIME and edges is None:
        lines.append(_NO_EDGES)
    for edge in edges or ():
        try:
            datetime.date.fromisoformat(edge)
        except ValueError:
            lines.append(f"protocol.edges: found {edge!r}, expected a day such as 2025-01-31")
    if not lines and list(edges or ()) != sorted(edges or ()):
        lines.append(f"protocol.edges: found {', '.join(edges)}, expected them in ascending order; sort them")
    return lines


def networks(asked: Protocol, known: Collection[str], hold_out: Collection[str]) -> dict[str, str]:
    """What each network is trained without, by the name of its folder below `protocols/`; or up to which day.

    `known`: the generators of the sources in use; `hold_out`: those that no network is trained with. Raises
    `DetectorError` for a generator that is not known, and where a network would have no generator to learn from.
    """
    if asked.kind == TIME:
        return {f"until-{edge}": edge for edge in asked.edges}
    learned = sorted(set(known) - set(hold_out))
    there = f"the sources in use have {', '.join(sorted(known)) or 'none'}"
    if odd := sorted(set(asked.generators or ()) - set(known)):
        raise DetectorError(f"protocol.generators: found {', '.join(odd)}, expected generators; {there}")
    if len(learned) < 2:
        raise DetectorError(
            f"protocol: {asked.kind} needs two generators or more to train on, so that without one there is "
            f"another; {there}{f', of which data.hold_out has {len(set(hold_out))}' if hold_out else ''}. Add a "
            "source with others (data.use), or set protocol to null"
        )
    names = asked.generators or learned
    alike = Counter(name.lower() for name in names)  # on disks that do not tell capitals apart
    return {_folder(name, alike[name.lower()] == 1): name for name in names}


def _folder(name: str, only: bool) -> str:
    """Name of the folder of a generator: its own where that is plain and the `only` one, else with a checksum."""
    if only and re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*", name):
        return name
    plain = re.sub(r"[^A-Za-z0-9_.-]+", "-", name).strip(".")
    return f"{plain}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
