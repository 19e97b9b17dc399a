"""generator_matrix.csv: networks trained without one generator, on the fakes of each. No torch."""

from collections.abc import Collection, Mapping

import numpy as np

from detector.core.labels import REAL
from detector.experiment.variants import COMBINED, names
from detector.stats import transfer
from detector.stats.groups import groups
from detector.stats.predictions import Predictions, check, with_combined

COLUMNS = (
    *("arch", "seed", "branch", "held_out", "generator"),
    *(name if name != "parts" else "generators" for name in transfer.COLUMNS),
)


def generator_matrix(networks: Mapping[str, Predictions], hold_out: Collection[str] = ()) -> list[dict]:
    """Rows of generator_matrix.csv: each network on each generator's fakes, and the means over generators.

    `networks`: predictions of the test sets by the generator that the network was trained without; "" is the plain
    run. `hold_out`: generators that no network was trained with. The real images of all test sets are those that
    each generator's fakes are told from. `held_out` is empty for the plain run. `generator` is empty in rows of
    means, of which `seen` says whether they are over the generators that each network was trained with, or over
    that which it was not. Raises `DetectorError` where a logit is no number or networks saw other images.
    """
    check({_who(name, variant): sets for name, found in networks.items() for variant, sets in found.items()})
    rows = []
    for variant in networks[transfer.EVERYTHING]:
        tables = {name: with_combined(found[variant])[COMBINED] for name, found in networks.items()}
        images = tables[transfer.EVERYTHING]
        real = (images["label"] == REAL).to_numpy()
        made_by = sorted(set(images.loc[~real, "generator"]))
        found = transfer.matrix(
            transfer.Images(images["label"].to_numpy(), groups(images), (images["group"] != "").to_numpy()),
            {name: table["logit"].to_numpy(dtype=np.float64) for name, table in tables.items()},
            {name: transfer.Part(~real & (images["generator"] == name).to_numpy(), real) for name in made_by},
            {(name, kept) for name in tables for kept in (name, *hold_out)},
            {name: name for name in tables if name != transfer.EVERYTHING},
            [name for name in tables if name != transfer.EVERYTHING],
        )
        for row in found:
            row |= {"held_out": row.pop("network"), "generator": row.pop("part"), "generators": row.pop("parts")}
            rows.append({**names(variant), **row})
    return rows


def _who(name: str, variant: object) -> str:
    return f"{variant}, without {name}" if name else str(variant)
