"""What the machine says of its processor."""

import re
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")


def cpu_flags() -> set[str]:
    """The processor's feature flags as Linux names them; empty where there is no /proc/cpuinfo."""
    found = re.search(r"^flags\s*: (.+)$", _read(), re.MULTILINE)
    return set(found[1].split()) if found else set()


def cpu_name() -> str:
    """The processor's name, "" where Linux gives none."""
    found = re.search(r"^model name\s*: (.+)$", _read(), re.MULTILINE)
    return found[1] if found else ""


def _read() -> str:
    try:
        return CPUINFO.read_text()
    except OSError:
        return ""
