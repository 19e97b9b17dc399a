"""GPU allocation: locks that give each job on a machine GPUs of its own.

Snakemake counts GPUs (`--resources gpu=4`) and does not say which. A job takes free ones by locks that bear the
GPUs' own identity: numbers are no names where a cluster gives each job its own GPUs, all of them called 0 there.
"""

import logging
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from detector.core import locks
from detector.core.errors import DetectorError

log = logging.getLogger(__name__)

FOLDER = Path(tempfile.gettempdir()) / f"detector-gpus-{os.getuid()}"  # of this machine, for all folders and runs
PATIENCE = 60.0  # seconds for another job to have chosen, which takes it no time
VISIBLE = "CUDA_VISIBLE_DEVICES"
_taken: dict[int, int] = {}  # this process's devices, each with the open file of its lock


def take(count: int, alone: bool = False) -> list[int]:
    """Take `count` CUDA devices for this process until it ends; returns their indices.

    A second call returns the same. Waits while other jobs have too many of them. Where there is only one device,
    jobs share it, unless one wants to be `alone`. Raises `DetectorError` where there are fewer than `count`
    devices.
    """
    names = [str(torch.cuda.get_device_properties(index).uuid) for index in range(torch.cuda.device_count())]
    if count > len(names):
        raise DetectorError(
            f"train.gpus: found {count}, but torch sees {len(names)} CUDA devices here; "
            "lower it, or give the job more GPUs"
        )
    told = False
    while len(_taken) < count:
        _taken.update(_free(names, count, shared=len(names) == 1 and not alone))
        if len(_taken) < count:
            if not told:
                log.info("waiting for other jobs to let go of %d of the %d GPUs here", count, len(names))
            told = True
            time.sleep(0.2)
    return sorted(_taken)[:count]


def visible(indices: Sequence[int]) -> str:
    """Value of CUDA_VISIBLE_DEVICES with which a process sees these devices alone."""
    listed = os.environ.get(VISIBLE, "").split(",")
    return ",".join(listed[index].strip() if os.environ.get(VISIBLE) else str(index) for index in indices)


def _free(names: Sequence[str], count: int, shared: bool) -> dict[int, int]:
    """`count` devices with their locks, or none: who holds some and waits may wait for one like itself."""
    found: dict[int, int] = {}
    with locks.held(FOLDER / "choosing.lock", PATIENCE):
        for index, name in enumerate(names):
            if len(found) < count and (handle := locks.take(FOLDER / f"{name}.lock", shared)) is not None:
                found[index] = handle
    if len(found) == count:
        return found
    for handle in found.values():
        os.close(handle)
    return {}
