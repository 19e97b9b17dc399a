"""Bundles: finds those below a results folder, the newest first, and verifies their checksums."""

import logging
from pathlib import Path

from detector.core.errors import DetectorError
from detector.core.files import sha256

SUMS = "SHA256SUMS"

log = logging.getLogger(__name__)


def bundles(results: Path | str) -> list[Path]:
    """Finished bundles below a results folder, the newest first."""
    # Not "**": that would walk through all else that lies there, and does not follow links to other disks.
    patterns = (f"{above}runs/*/seed*/*/bundle/{SUMS}" for above in ("", "*/", "*/*/"))
    found = [path.parent for pattern in patterns for path in Path(results).glob(pattern)]
    return sorted(found, key=lambda path: (-time_of(path), path))


def time_of(bundle: Path) -> float:
    """Time when the bundle was finished, in seconds since 1970."""
    return (bundle / SUMS).stat().st_mtime


def newest(results: Path | str) -> Path:
    """The newest bundle below a results folder. Raises `DetectorError` where there is none."""
    found = bundles(results)
    if not found:
        raise DetectorError(
            f"{results}: found no bundle below it, expected one that snakemake made; name one with --model, or "
            "see `detector doctor`"
        )
    return found[0]


def check(path: Path, whole: bool = False) -> None:
    """Raise `DetectorError` for a file of a bundle that does not have the checksum the bundle gives for it.

    A file beside which there are no checksums is taken as it is; where a `whole` bundle was asked for, a warning
    says so.
    """
    sums = path.with_name(SUMS)
    if not sums.is_file():
        if whole:
            log.warning(
                "%s: found no %s in it, which a finished bundle has: nothing says whether its files are whole",
                *(path.parent, SUMS),
            )
        return
    again = "copy the bundle again, or make it again: snakemake -R export"
    lines = sums.read_bytes().decode(errors="replace").splitlines()
    expected = {line[66:]: line[:64] for line in lines}.get(path.name)
    if expected is None:
        raise DetectorError(f"{sums}: found no checksum of {path.name} in it; {again}")
    if (found := sha256(path)) != expected:
        raise DetectorError(
            f"{path}: found SHA-256 {found[:12]}…, expected {expected[:12]}… ({SUMS}): it is damaged or was "
            f"changed; {again}"
        )
