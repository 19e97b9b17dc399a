"""Face crops: a square around the largest face of an image."""

import threading
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from detector.core import extras

FACE_MARGIN = 0.3  # of the face's side, added on each side


def face_box(image: Image.Image) -> tuple[int, int, int, int]:
    """Square (left, top, right, bottom) in pixels around the largest face, with a margin of 0.3 of its side.

    Faces are found by the frontal Haar cascade that ships with OpenCV. The square is moved, and shrunk if need be,
    to lie inside the image. Where no face is found it is the largest centred square, so that no image is lost.

    Raises `DetectorError` where OpenCV is not installed.
    """
    cv2, cascade = _cascade()
    grey = cv2.cvtColor(np.asarray(image), cv2.COLOR_RGB2GRAY)
    faces = cascade.detectMultiScale(grey, scaleFactor=1.1, minNeighbors=5)
    if len(faces):
        # The largest; of equals the first from the top left, not the first in OpenCV's list.
        x, y, width, height = max(map(tuple, faces), key=lambda f: (f[2] * f[3], -f[1], -f[0]))
        side = round(max(width, height) * (1 + 2 * FACE_MARGIN))
        centre_x, centre_y = x + width / 2, y + height / 2
    else:
        side = min(image.size)
        centre_x, centre_y = image.width / 2, image.height / 2
    side = min(side, *image.size)
    left = min(max(round(centre_x - side / 2), 0), image.width - side)
    top = min(max(round(centre_y - side / 2), 0), image.height - side)
    return left, top, left + side, top + side


_own = threading.local()


def _cascade() -> tuple[Any, Any]:
    """(the module cv2, the loaded cascade), one a thread: one that several search with finds nonsense."""
    if not hasattr(_own, "cascade"):
        _own.cascade = _load_cascade()
    return _own.cascade


def _load_cascade() -> tuple[Any, Any]:
    try:
        import cv2
    except ImportError as error:
        raise extras.missing("cv2", "face_crop") from error
    cv2.setNumThreads(1)  # the worker processes share the cores already
    cascade = cv2.CascadeClassifier(str(Path(cv2.data.haarcascades) / "haarcascade_frontalface_default.xml"))
    return cv2, cascade
