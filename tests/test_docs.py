"""The documentation names what the project has: every key with its default, every rule, every module in its layer.
And no relative link leads nowhere."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
LIBRARY = ROOT / "src/detector"
ARCHITECTURE = (ROOT / "docs/architecture.md").read_text()
CONFIGURATION = (ROOT / "docs/configuration.md").read_text()
SCHEMA = yaml.safe_load((ROOT / "workflow/schemas/config.schema.yaml").read_text())
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
NONE = "—"  # a key without a default


def keys(schema: dict, prefix: str = "") -> Iterator[tuple[str, object]]:
    """Each key that takes a value, with its default. A source's name is written NAME."""
    for name, part in schema.get("properties", {}).items():
        reached = SCHEMA["$defs"][part["$ref"].removeprefix("#/$defs/")] | part if "$ref" in part else part
        inner = reached.get("additionalProperties")
        if "properties" in reached:
            yield from keys(reached, f"{prefix}{name}.")
        elif isinstance(inner, dict) and "$ref" in inner:
            source = SCHEMA["$defs"][inner["$ref"].removeprefix("#/$defs/")]
            yield from keys(source, f"{prefix}{name}.NAME.")
        else:
            yield prefix + name, part.get("default", NONE)


def documented() -> dict[str, object]:
    """The tables of keys in configuration.md: key → default."""
    found = {}
    for line in CONFIGURATION.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if line.startswith("| `") and len(cells) == 5:
            key, default = cells[0].strip("` "), cells[2]
            assert key not in found, f"{key} stands there twice"
            found[key] = NONE if default == NONE else yaml.safe_load(default.strip("`"))
    return found


def test_every_key_is_documented_with_its_default():
    assert documented() == dict(keys(SCHEMA))


def rules() -> set[str]:
    files = (ROOT / "workflow/rules").glob("*.smk")
    return {name for path in files for name in re.findall(r"^rule (\w+):", path.read_text(), re.MULTILINE)}


def test_the_graph_shows_every_rule_and_no_other():
    graph = re.search(r"```mermaid\n(.*?)```", ARCHITECTURE, re.DOTALL).group(1)
    assert set(re.findall(r"(\w+)\[\1\]", graph)) == rules()


def layers() -> dict[str, int]:
    """The table of layers in architecture.md: module file → number of its row."""
    table = ARCHITECTURE.split("## Layers of the library")[1].split("\n## ")[0]
    rows = [line.split("|")[2] for line in table.splitlines() if line.startswith("|")]
    return {module: number for number, cell in enumerate(rows) for module in re.findall(r"`([\w/]+\.py)`", cell)}


def test_the_table_of_layers_lists_every_module_and_no_other():
    assert set(layers()) == {path.relative_to(LIBRARY).as_posix() for path in LIBRARY.rglob("*.py")}


def imported(path: Path) -> set[str]:
    """The module files of the library that this file imports anywhere, also inside functions."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    parts = [name.split(".")[1:] for name in names if name.startswith("detector.")]
    files = [f"{'/'.join(part)}{end}" for part in parts for end in (".py", "/__init__.py")]
    return {file for file in files if (LIBRARY / file).is_file()}


@pytest.mark.parametrize("module", sorted(layers()))
def test_imports_reach_only_rows_above(module):
    rows = layers()
    assert {other for other in imported(LIBRARY / module) if rows[other] >= rows[module]} == set()


def test_the_layout_lists_every_rule_file_and_only_what_exists():
    table = ARCHITECTURE.split("## Layout of the repository")[1].split("\n## ")[0]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("|")]
    listed = {path for cell in rows for path in re.findall(r"`([^`]+)`", cell)}
    files = {path.relative_to(ROOT).as_posix() for path in (ROOT / "workflow/rules").glob("*.smk")}
    assert files <= listed
    made_by_users = {"data/", "results/"}
    assert [path for path in sorted(listed - made_by_users) if not (ROOT / path).exists()] == []


def links(page: Path) -> list[str]:
    """Relative links of a page, those in code left out."""
    text = re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text(), flags=re.DOTALL)
    found = re.findall(r"\]\(<?([^)\s>]+)[^)]*\)", text)  # [text](target) and ![text](target)
    found += re.findall(r"^\[[^\]]+\]:\s*(\S+)", text, re.MULTILINE)  # [name]: target
    found += re.findall(r"(?:src|href)=\"([^\"]+)\"", text)
    return [link for link in found if not re.match(r"[a-z][a-z0-9+.-]*:", link)]


def anchors(page: Path) -> set[str]:
    """The anchors that a forge makes of a page's headings."""
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    headings = re.findall(r"^#{1,6} +(.+?) *#*$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken(page: Path) -> list[str]:
    """The relative links of a page that lead nowhere, or out of the repository."""
    wrong = []
    for link in links(page):
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        inside = target.is_relative_to(ROOT) and target.exists()
        if not inside or (anchor and target.suffix == ".md" and anchor not in anchors(target)):
            wrong.append(link)
    return wrong


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_relative_link_resolves(page):
    assert broken(page) == []


def test_a_broken_link_is_found(tmp_path, monkeypatch):
    """The check itself: of six links it reports the three that lead nowhere."""
    monkeypatch.setattr("test_docs.ROOT", tmp_path)
    page = tmp_path / "page.md"
    page.write_text(
        "# A heading, here\n[a](page.md) [b](gone.md) ![c](<page.md>) [d](#a-heading-here) [e](#gone)\n"
        '<img src="gone.png"> [f](https://example.org) `[g](code.md)`\n'
    )
    assert broken(page) == ["gone.md", "#gone", "gone.png"]
