"""The text of the workflow's rules, by name."""

import re
from textwrap import dedent

from tests.support import ROOT

FILES = {path.name: path.read_text() for path in sorted((ROOT / "workflow/rules").glob("*.smk"))}
# A rule in a loop has a name that begins alike for all: `figure_NAME` for f"figure_{...}".
_NAMED = re.compile(
    r'^    rule:\n        name:\s+f"(\w+)\{[^"]*\}"\n(.*?)(?=^ {0,4}\S|\Z)', re.MULTILINE | re.DOTALL
)


def rules() -> dict[str, str]:
    """The sections of each rule; of rules that are made in a loop once, as PREFIX_NAME."""
    found = {}
    for text in FILES.values():
        plain = _NAMED.sub(lambda match: f"rule {match[1]}NAME:\n" + _shifted(match[2]), text)
        for match in re.finditer(r"^rule (\w+):\n(.*?)(?=^\S|\Z)", plain, re.MULTILINE | re.DOTALL):
            found[match[1]] = match[2]
    return found


def _shifted(sections: str) -> str:
    return "".join(f"    {line}" if line.strip() else line for line in dedent(sections).splitlines(keepends=True))
