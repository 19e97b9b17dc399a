"""Resume states: a killed job continues from the newest one whose checksum holds."""

import hashlib
import io
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from detector.core.files import replacing

log = logging.getLogger(__name__)

_DIGEST_BYTES = 32


class ResumeState:
    """The newest valid state of a job, kept in `folder` as one file per save.

    A file is the SHA-256 of what follows, then a `torch.save` of tensors and plain values. The last two are kept,
    so that a damaged file costs the work between them, not the job.
    """

    def __init__(self, folder: Path | str):
        self.folder = Path(folder)

    def save(self, epoch: int, state: Mapping[str, Any], step: int = 0, keep: int = 2) -> None:
        """Save a state, and remove all but the newest `keep` files.

        `epoch`: number of finished epochs; `step`: steps finished of the next one.
        """
        buffer = io.BytesIO()
        torch.save(dict(state), buffer)
        payload = buffer.getbuffer()
        with replacing(self.folder / f"{epoch:06d}-{step:09d}.state") as temporary, open(temporary, "wb") as file:
            file.write(hashlib.sha256(payload).digest())
            file.write(payload)
        for old in self._files()[keep:]:
            old.unlink()

    def load(self) -> dict[str, Any] | None:
        """Load the newest state whose checksum holds, with tensors on the CPU; None if there is none."""
        for path in self._files():
            content = path.read_bytes()
            digest, payload = content[:_DIGEST_BYTES], content[_DIGEST_BYTES:]
            if hashlib.sha256(payload).digest() == digest:
                state: dict[str, Any] = torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True)
                return state
            log.warning("%s: damaged (its checksum does not hold); going back one step", path)
        return None

    def _files(self) -> list[Path]:
        return sorted(self.folder.glob("*.state"), reverse=True)
