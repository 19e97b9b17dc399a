"""The documentation names what the project has: every key with its default, every rule, every package with its
modules. No relative link leads nowhere. The index of studies has each of them, with the figures of its page."""

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.support import ROOT
from tests.support.rules import rules

LIBRARY = ROOT / "src/detector"
ARCHITECTURE = (ROOT / "docs/architecture.md").read_text()
CONFIGURATION = (ROOT / "docs/configuration.md").read_text()
SCHEMA = yaml.safe_load((ROOT / "src/detector/experiment/config.schema.yaml").read_text())
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
NONE = "—"  # a key without a default


def keys(schema: dict, prefix: str = "") -> Iterator[tuple[str, object]]:
    """Each key that takes a value, with its default. A source's name is written NAME; a recipe is one value."""
    for name, part in schema.get("properties", {}).items():
        reached = SCHEMA["$defs"][part["$ref"].removeprefix("#/$defs/")] | part if "$ref" in part else part
        inner = reached.get("additionalProperties")
        if "properties" in reached and not part.get("$ref", "").endswith("/recipe"):
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


def test_the_graph_shows_every_rule_and_no_other():
    graph = re.search(r"```mermaid\n(.*?)```", ARCHITECTURE, re.DOTALL).group(1)
    assert set(re.findall(r"(\w+)\[\1\]", graph)) == set(rules())


def packages() -> dict[str, list[str]]:
    """The picture of packages in architecture.md, from above to below: package → its modules."""
    picture = ARCHITECTURE.split("## The packages of the library")[1].split("```mermaid")[1].split("```")[0]
    boxes = re.findall(r"(\w+)\[\"<b>(\w+)</b><br/>([^\"]*)\"\]", picture)
    arrows = re.findall(r"(\w+) --> (\w+)", picture)
    names = [name for name, shown, _ in boxes if name == shown]
    assert arrows == list(zip(names, names[1:], strict=False)), "one arrow from each package to the next"
    return {name: modules.split(", ") for name, _, modules in boxes}


def test_the_picture_of_the_library_is_the_tree():
    tree = {
        folder.name: sorted(
            {
                path.stem if path.parent == folder else f"{path.parent.name}/*"
                for path in folder.rglob("*.py")
                if path.name != "__init__.py" and path.parent.name != "templates"
            }
        )
        for folder in LIBRARY.iterdir()
        if (folder / "__init__.py").is_file()
    }
    assert packages() == tree


def test_the_picture_has_the_order_that_lint_holds():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    layers = settings["tool"]["importlinter"]["contracts"][0]["layers"]
    assert list(packages()) == layers


def absent_places(text: str) -> list[str]:
    """Paths in a text that exist neither in the library nor in the repository."""
    named = re.findall(r"`([\w./-]+(?:\.(?:py|yaml|smk)|/))`", text)
    assert named
    return [place for place in named if not (LIBRARY / place).exists() and not (ROOT / place).exists()]


def test_the_places_that_are_named_exist():
    section = ARCHITECTURE.split("## Where to find it")[1].split("\n## ")[0]
    assert absent_places(section) == []
    assert absent_places(section + "`stats/heat.py`, `wings/`") == ["stats/heat.py", "wings/"]


def defined(path: Path) -> set[str]:
    """The names that a module defines at its top level."""
    nodes = ast.parse(path.read_text()).body
    targets = [target for node in nodes if isinstance(node, ast.Assign) for target in node.targets]
    names = {item.id for target in targets for item in ast.walk(target) if isinstance(item, ast.Name)}
    return names | {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.ClassDef)}


def absent_names(text: str) -> list[str]:
    """Dotted names of the library in a text, those imported by commands too, that the library does not have."""
    named = re.findall(r"(?<![\w./-])detector((?:\.[a-z_0-9]+[A-Za-z_0-9]*)+)\b(?! import)", text)
    for module, names in re.findall(r"from detector((?:\.\w+)+) import ([\w, ]+)", text):
        named += [f"{module}.{name.strip()}" for name in names.split(",")]
    wrong = []
    for name in named:
        path = LIBRARY / name.lstrip(".").replace(".", "/")
        module = path.parent.with_suffix(".py")
        is_module = path.is_dir() or path.with_suffix(".py").is_file()
        if not is_module and not (module.is_file() and path.name in defined(module)):
            wrong.append(f"detector{name}")
    return wrong


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_the_names_of_the_library_exist(page):
    assert absent_names(page.read_text()) == []


def test_an_absent_name_is_found():
    text = "`detector.stats.heat`, `detector.core.files.sha256`; from detector.stats.ranking import wilson, roc"
    assert absent_names(text) == ["detector.stats.heat", "detector.stats.ranking.wilson"]


def test_packages_below_the_first_hold_a_docstring_and_nothing_else():
    """No file that every stage depends on, and one place from which a name can be imported."""
    for path in LIBRARY.glob("*/**/__init__.py"):
        body = ast.parse(path.read_text()).body
        assert [type(node) for node in body] == [ast.Expr], path


def test_every_rule_file_is_included():
    included = re.findall(r'^include: "(.+)"$', (ROOT / "Snakefile").read_text(), re.MULTILINE)
    assert sorted(included) == sorted(
        path.relative_to(ROOT).as_posix() for path in (ROOT / "workflow/rules").glob("*.smk")
    )


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
    monkeypatch.setitem(broken.__globals__, "ROOT", tmp_path)
    page = tmp_path / "page.md"
    page.write_text(
        "# A heading, here\n[a](page.md) [b](gone.md) ![c](<page.md>) [d](#a-heading-here) [e](#gone)\n"
        '<img src="gone.png"> [f](https://example.org) `[g](code.md)`\n'
    )
    assert broken(page) == ["gone.md", "#gone", "gone.png"]


COLUMNS = ["Study", "Data", "Size", "Seeds", "CPU hours", "Finding", "Caveat"]
PICTURE = r"!\[[^\]]*\]\(([^)]+)\)"


def numbers(text: str) -> set[str]:
    """The numbers of a text as they are written; signs and what links lead to left out."""
    return set(re.findall(r"\d+(?:[.,]\d+)*", re.sub(r"\]\([^)]*\)", "]", text)))


def wrong_in_index(folder: Path) -> list[str]:
    """What the table of `folder`/index.md lacks or says that the pages beside it do not."""
    rows = [
        [cell.strip() for cell in line.strip("|").split(" | ")]
        for line in (folder / "index.md").read_text().splitlines()
        if line.startswith("|")
    ]
    wrong = [] if rows[0] == COLUMNS else [f"columns: {rows[0]}"]
    named = []
    for cells in rows[2:]:
        page = re.search(r"\]\(([^)/]+\.md)\)", cells[0])[1]
        named.append(page)
        if len(cells) != len(COLUMNS) or not all(cells):
            wrong.append(f"{page}: cells")
        elif (folder / page).is_file():
            wrong += [f"{page}: {n}" for n in numbers(" ".join(cells)) - numbers((folder / page).read_text())]
    pages = sorted(path.name for path in folder.glob("*.md") if path.name != "index.md")
    return wrong + ([] if sorted(named) == pages else [f"pages: {sorted(named)}"])


def test_the_index_has_every_study_with_figures_of_its_page():
    """Seeds and hours too: a number that no page has is not in the table."""
    assert wrong_in_index(ROOT / "docs/results") == []


def test_what_an_index_lacks_or_adds_is_found(tmp_path):
    row = "| [A](a.md) | 32 px | 10,000 | 3 | not recorded | 0.55 points | few |\n"
    head = f"| {' | '.join(COLUMNS)} |\n| --- |\n"
    (tmp_path / "a.md").write_text("0.55 points of 10,000 images of 32 px, seeds 0 / 1 / 2: 3 seeds")
    (tmp_path / "index.md").write_text(head + row)
    assert wrong_in_index(tmp_path) == []
    for text, said in (
        (row.replace("0.55", "0.56"), "a.md: 0.56"),
        (row.replace("few", ""), "a.md: cells"),
        ("", "pages: []"),
        (row + row, "pages: ['a.md', 'a.md']"),
        (row.replace("a.md", "b.md"), "pages: ['b.md']"),
    ):
        (tmp_path / "index.md").write_text(head + text)
        assert wrong_in_index(tmp_path) == [said]


def test_pictures_of_the_readme_are_shown_by_a_study():
    shown = {
        (page.parent / name).resolve()
        for page in (ROOT / "docs/results").glob("*.md")
        for name in re.findall(PICTURE, page.read_text())
    }
    pictures = {(ROOT / name).resolve() for name in re.findall(PICTURE, (ROOT / "README.md").read_text())}
    assert pictures, "the README shows something"
    assert pictures <= shown
