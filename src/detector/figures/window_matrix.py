"""Time that training never saw.

Each row is a network, trained with images up to a day or, at the top, with all; each column is a window of time
that it is tested on. Left the share of the window's fakes that are called fake at probability one half, right the
area under the ROC curve against the window's real images, both in percent, with their 95 % interval (for groups of
images, where these are known). Framed cells are windows after the network's training: compare them with the rest
of their column, which is about the same images, and not with their row: what is newer may be harder for all.
"""

from pathlib import Path

import pandas as pd

from detector.figures.generator_matrix import matrices

FILE = "window_matrix_{arch}_seed{seed}.svg"
FROM = {"table": "tables/window_matrix.csv"}


def draw(path: Path, table: pd.DataFrame, arch: str, seed: int) -> None:
    """Draw a run: a row of panels for each branch; a note where no fake was tested."""
    rows = table[(table["arch"] == arch) & (table["seed"] == seed)]
    title = f"Time that training never saw: {arch}, seed {seed}"
    named = {"trained_until": "network", "window": "part", "windows": "parts"}
    matrices(path, rows.rename(columns=named), title, "until {}", "windows")
