"""`snakemake --lint` finds nothing but the one thing that is so on purpose."""

import os
import re
import subprocess

from tests.support import ROOT, warm

# Every rule runs in the one environment that Snakemake itself runs in (pyproject.toml), so none names its own.
ON_PURPOSE = "Specify a conda environment or container for each rule."


def test_snakemake_lint():
    done = subprocess.run(
        [warm.python(), "-m", "snakemake", "--lint"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    found, where = set(), "?"
    for line in done.stdout.splitlines():
        if heading := re.match(r"Lints for (.*):$", line):
            where = heading[1]
        elif lint := re.match(r"    \* (.*):$", line):
            found.add((where, lint[1]))
    assert any(title == ON_PURPOSE for _, title in found), f"no lint was read:\n{done.stdout}"
    assert [f"{where}: {title}" for where, title in sorted(found) if title != ON_PURPOSE] == []
