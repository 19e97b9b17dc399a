"""The project's folder: that of Snakefile and workflow/, which are no part of the installed package."""

from pathlib import Path

import detector
from detector.core.errors import DetectorError

PARTS = ("Snakefile", "config.yaml", "workflow/rules/common.smk", "profiles/default/config.yaml")


def find() -> Path:
    """The project's folder: the current one, or else that which this package lies in.

    Raises `DetectorError` where neither is one.
    """
    here, own = Path.cwd(), Path(detector.__file__).resolve().parents[2]
    for folder in (here, own):
        if all((folder / part).is_file() for part in PARTS):
            return folder
    raise DetectorError(
        f"{here}: found no {PARTS[0]} of the project, which this command runs, expected its folder; go to your "
        "copy of the project (that of Snakefile and config.yaml), and name the folders of images from there"
    )
