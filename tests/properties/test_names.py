"""Tables and figures have one name: file, rule, script, module, function, caption and test are called alike."""

import ast
import re

import docutils.core
import pytest

from detector.figures import discovery
from tests.support import ROOT
from tests.support.rules import FILES, rules

RULES = rules()


def names(folder: str, suffix: str = ".py") -> set[str]:
    """Names of the files in a folder of the project, without `suffix`."""
    return {path.stem for path in (ROOT / folder).glob(f"*{suffix}")} - {"__init__", "conftest"}


def subjects(folder: str) -> set[str]:
    return {name.removeprefix("test_") for name in names(folder)}


TABLES = names("src/detector/tables")
DECLARED = discovery.figures()
# These need more than saved results, and have a rule and a script of their own.
FIGURES = {"samples", "rules", "gradcam", "spectrum"}
SHARED = {"drawing", "placement", "scores", "discovery"}


def test_tables_and_their_scripts_and_tests_are_called_alike():
    assert len(TABLES) >= 14
    assert names("workflow/scripts/tables") == TABLES
    assert subjects("tests/tables") == TABLES


@pytest.mark.parametrize("name", sorted(TABLES))
def test_a_table_s_rule_caption_module_and_function_have_its_name(name):
    assert f'script="workflow/scripts/tables/{name}.py"' in RULES[name]
    assert re.search(rf'table\("{name}"', RULES[name])
    assert (ROOT / f"workflow/report/{name}.rst").is_file()
    body = ast.parse((ROOT / f"src/detector/tables/{name}.py").read_text()).body
    assert name in {node.name for node in body if isinstance(node, ast.FunctionDef)}
    assert "COLUMNS" in {getattr(node.targets[0], "id", "") for node in body if isinstance(node, ast.Assign)}


def test_every_table_has_a_module_or_is_made_by_the_audit():
    """The manifest must not hang on the code of tables: the audit writes its own."""
    made = {name for text in FILES.values() for name in re.findall(r'table\("(\w+)"', text)}
    assert made - TABLES == {"audit_verdict", "audit_duplicates", "audit_groups"}


def test_every_module_of_figures_is_a_figure_or_shared_by_them():
    assert names("src/detector/figures") == {*DECLARED, *FIGURES, *SHARED}
    assert {*DECLARED, *FIGURES} <= subjects("tests/figures")
    assert names("workflow/scripts/figures") == {"draw", *FIGURES}
    assert {name for name in RULES if name.startswith("figure_")} == {f"figure_{name}" for name in FIGURES} | {
        "figure_NAME"
    }


@pytest.mark.parametrize("name", sorted(FIGURES))
def test_a_figure_s_rule_script_and_caption_have_its_name(name):
    assert f'script="workflow/scripts/figures/{name}.py"' in RULES[f"figure_{name}"]
    assert re.search(rf'"{name}(_\{{source\}})?[_.]', RULES[f"figure_{name}"]), "the file"
    assert (ROOT / f"workflow/report/{name}.rst").is_file()


CAPTIONS = {name: figure.caption for name, figure in DECLARED.items()} | {
    path.stem: path.read_text() for path in (ROOT / "workflow/report").glob("*.rst")
}


@pytest.mark.parametrize("name", sorted(CAPTIONS))
def test_captions_are_valid_and_short(name):
    docutils.core.publish_string(CAPTIONS[name], settings_overrides={"halt_level": 2, "report_level": 5})
    assert len(CAPTIONS[name].split()) < 150


def test_every_caption_is_one_of_a_result():
    assert names("workflow/report", ".rst") == {
        *(TABLES | FIGURES),
        *("audit_verdict", "audit_duplicates", "audit_groups", "figure", "workflow"),
    }
