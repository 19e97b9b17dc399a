"""A table has one name: its CSV, rule, script, module with its `COLUMNS` and function, caption and test are called
alike."""

import ast
import re

import pytest

from tests.support import ROOT

RULES = "\n".join(path.read_text() for path in sorted((ROOT / "workflow/rules").glob("*.smk")))


def names(folder: str, suffix: str = ".py") -> set[str]:
    """Names of the files in a folder of the project, without `suffix`."""
    return {path.stem for path in (ROOT / folder).glob(f"*{suffix}")} - {"__init__"}


TABLES = names("src/detector/tables")


def test_tables_and_their_scripts_and_tests_are_called_alike():
    assert len(TABLES) >= 14
    assert names("workflow/scripts/tables") == TABLES
    assert {name.removeprefix("test_") for name in names("tests/tables")} - {"conftest"} == TABLES


@pytest.mark.parametrize("name", sorted(TABLES))
def test_a_table_s_rule_caption_module_and_function_have_its_name(name):
    rule = re.search(rf"^rule {name}:\n(.*?)(?=^rule |\Z)", RULES, re.MULTILINE | re.DOTALL)
    assert f'script="workflow/scripts/tables/{name}.py"' in rule[1]
    assert re.search(rf'table\("{name}"', rule[1])
    assert (ROOT / f"workflow/report/{name}.rst").is_file()
    body = ast.parse((ROOT / f"src/detector/tables/{name}.py").read_text()).body
    assert name in {node.name for node in body if isinstance(node, ast.FunctionDef)}
    assert "COLUMNS" in {getattr(node.targets[0], "id", "") for node in body if isinstance(node, ast.Assign)}


def test_every_table_has_a_module_or_is_made_by_the_audit():
    """The manifest must not hang on the code of tables: the audit writes its own."""
    made = set(re.findall(r'table\("(\w+)"', RULES))
    assert made - TABLES == {"audit_verdict", "audit_duplicates", "audit_groups"}
