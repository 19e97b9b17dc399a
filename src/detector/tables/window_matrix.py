"""window_matrix.csv: networks trained up to a day, on the images of each window of time. No torch."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from detector.core.labels import REAL
from detector.data import periods
from detector.experiment.variants import COMBINED, names
from detector.stats import transfer
from detector.stats.groups import groups
from detector.stats.predictions import Predictions, check, with_combined

COLUMNS = (
    *("arch", "seed", "branch", "trained_until", "window"),
    *(name if name != "parts" else "windows" for name in transfer.COLUMNS),
)


def window_matrix(
    networks: Mapping[str, Predictions], scans: Mapping[str, pd.DataFrame], edges: Sequence[str]
) -> list[dict]:
    """Rows of window_matrix.csv: each network on the fakes of each window, and the means over windows.

    `networks`: predictions of the test sets by the day that the network was trained up to; "" is the plain run.
    `scans`: of the sources, with `date`. `edges`: the days that time is cut at. A window's fakes are told from its
    real images and from those without a date; fakes without one are in no window. `trained_until` is empty for the
    plain run. `window` is empty in rows of means: with `seen` = no over the windows that begin where each network
    ended, else over those before. Raises `DetectorError` where a logit is no number or networks saw other images.
    """
    check({_who(name, variant): sets for name, found in networks.items() for variant, sets in found.items()})
    windows = periods.names(edges)
    ends = {name: edges.index(name) for name in networks if name != transfer.EVERYTHING}
    rows = []
    for variant in networks[transfer.EVERYTHING]:
        tables = {name: with_combined(found[variant])[COMBINED] for name, found in networks.items()}
        images = tables[transfer.EVERYTHING]
        real = (images["label"] == REAL).to_numpy()
        number = periods.number(periods.of_images(images, scans), edges)
        parts = {
            window: transfer.Part(~real & (number == at), real & ((number == at) | (number < 0)))
            for at, window in enumerate(windows)
        }
        found = transfer.matrix(
            transfer.Images(images["label"].to_numpy(), groups(images), (images["group"] != "").to_numpy()),
            {name: table["logit"].to_numpy(dtype=np.float64) for name, table in tables.items()},
            parts,
            {(name, window) for name, end in ends.items() for window in windows[end + 1 :]},
            {name: windows[end + 1] for name, end in ends.items()},
            windows,
        )
        for row in found:
            row |= {
                "trained_until": row.pop("network"),
                "window": row.pop("part"),
                "windows": row.pop("parts"),
            }
            rows.append({**names(variant), **row})
    return rows


def _who(name: str, variant: object) -> str:
    return f"{variant}, trained up to {name}" if name else str(variant)
