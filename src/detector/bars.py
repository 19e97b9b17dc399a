"""Progress bars: on a terminal, and nothing at all where there is none."""

import sys

from tqdm import tqdm

# tqdm's monitor is a thread that wakes bars which count many steps at once, and it starts for hidden ones too.
# Ours look at each step instead: a thread that is left when Python ends can take the process down with it.
tqdm.monitor_interval = 0


def bar(
    total: int | None,
    title: str = "",
    *,
    unit: str = "image",
    initial: int = 0,
    shown: bool = True,
    leave: bool = False,
) -> tqdm:
    """A bar on stderr; where that is no terminal, or `shown` is false, one that shows nothing (`.disable`)."""
    return tqdm(
        total=total,
        desc=title,
        unit=unit,
        initial=initial,
        leave=leave,
        miniters=1,
        disable=not (shown and sys.stderr.isatty()),
    )
