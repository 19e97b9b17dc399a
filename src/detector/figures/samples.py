"""Sample grids: images of one source, a row of real ones and a row for each generator.

Equal data give equal bytes, so a figure under version control changes only where its numbers do. Every difference
that a colour shows is also shown by a marker, a line style or a number.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from detector.core.errors import DetectorError
from detector.figures import drawing

MOST_ROWS, MOST_COLUMNS = 12, 8  # of a sample grid


def sample_grid(path: Path | str, rows: Mapping[str, np.ndarray], title: str) -> None:
    """Draw images of a source: one row per kind (real, then each generator), images side by side.

    `rows`: uint8 (n, size, size, 3) by row title; n may differ. At most 12 rows of 8 images are shown, and the
    title says how many rows are not. Raises `DetectorError` where there is no image.
    """
    shown = list(rows.items())[:MOST_ROWS]
    if not any(len(images) for _, images in shown):
        raise DetectorError(f"{path}: no images to show")
    size = next(images.shape[1] for _, images in shown if len(images))
    columns = min(MOST_COLUMNS, max(len(images) for _, images in shown))
    cell = size + (gap := max(1, size // 24))
    mosaic = np.full((len(shown) * cell - gap, columns * cell - gap, 3), 255, np.uint8)
    for i, (_, images) in enumerate(shown):
        for j, image in enumerate(images[:columns]):
            mosaic[i * cell : i * cell + size, j * cell : j * cell + size] = image
    if len(rows) > len(shown):
        title += f" (first {len(shown)} of {len(rows)} rows)"
    with drawing.figure(path, title, 1.0 * columns + 1.8, 1.0 * len(shown) + 0.5) as figure:
        axes = figure.subplots()
        axes.imshow(mosaic)
        axes.set_xticks([])
        axes.set_yticks([i * cell + size / 2 for i in range(len(shown))], [name for name, _ in shown])
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        axes.grid(visible=False)
