"""Grad-CAM sheets: examples of images with maps of what supports a network's call."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from detector.core.errors import DetectorError
from detector.figures import drawing


def heat_maps(
    path: Path | str, rows: Mapping[str, Sequence[tuple[np.ndarray, np.ndarray, str]]], title: str
) -> None:
    """Draw images beside maps of what supports the network's call, one row per kind of example.

    `rows`: by row title, for each example the image, uint8 (size, size, 3), its map, float (h, w), and a caption.
    Beside each image it is shown again, dark where the map is low; a line goes around what is above half of the
    map's highest value. Each map is scaled to its own highest value. A row without examples says so. Raises
    `DetectorError` where no row has any.
    """
    columns = max((len(examples) for examples in rows.values()), default=0)
    if not columns:
        raise DetectorError(f"{path}: no examples to show; there are no test images of this source")
    size = next(len(image) for examples in rows.values() for image, _, _ in examples)
    near, far, above = max(1, size // 24), size // 4, size // 5  # gaps; above: room for the caption
    width, height = 2 * size + near + far, size + above + near
    mosaic = np.full((height * len(rows), width * columns - far, 3), 255, np.uint8)
    # One pair of axes for all: a pair for each image takes seconds.
    with drawing.figure(path, title, 1.85 * columns + 1.2, 1.08 * len(rows) + 0.4) as figure:
        axes = figure.subplots()
        axes.set_axis_off()
        for i, (name, examples) in enumerate(rows.items()):
            top = i * height + above
            heading = name if examples else f"{name}\n(no image)"
            axes.text(-far / 4, top + size / 2, heading, ha="right", va="center")
            for j, (image, found, caption) in enumerate(examples):
                left, share = j * width, _enlarged(found, size)
                beside = left + size + near
                mosaic[top : top + size, left : left + size] = image
                mosaic[top : top + size, beside : beside + size] = image * (0.2 + 0.8 * share[..., None])
                axes.text(left, top - 1, caption, fontsize=7, va="bottom")
                if share.any():
                    places = beside + np.arange(size), top + np.arange(size)
                    axes.contour(*places, share, levels=[0.5], colors="white", linewidths=1.2)
                    axes.contour(*places, share, levels=[0.5], colors="black", linewidths=0.5)
        axes.imshow(mosaic)


def _enlarged(found: np.ndarray, size: int) -> np.ndarray:
    """A map of (h, w) as shares of its highest value, float (size, size), bilinear."""
    large = Image.fromarray(np.asarray(found, np.float32)).resize((size, size), Image.Resampling.BILINEAR)
    shares = np.asarray(large)
    highest = np.max(shares)
    return np.clip(shares / highest, 0, 1) if highest > 0 else np.zeros((size, size), np.float32)
