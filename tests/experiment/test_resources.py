"""Resource requests follow the number of images, grow with each attempt, and rerun nothing."""

import re

import pyarrow as pa
import pytest
import yaml
from pyarrow import parquet
from snakemake.settings.types import RerunTrigger

from detector.experiment import resources
from tests.support import ROOT
from tests.support.workspace import Workspace


@pytest.mark.parametrize(
    ("images", "attempt", "expected"),
    [
        (0, 1, 4000),
        (10**6, 1, 4000),
        (10**7, 1, 4000 + 9 * 1500),
        (10**6, 2, 6000),
        (10**7, 3, 2 * (4000 + 9 * 1500)),
    ],
)
def test_a_million_images_are_in_the_base_and_each_attempt_gets_half_as_much_again(images, attempt, expected):
    assert resources.amount(4000, 1500, images, attempt) == expected


def test_rows_and_files_are_counted_without_reading_them(tmp_path):
    parquet.write_table(pa.table({"path": pa.nulls(123)}), tmp_path / "scan.parquet")
    assert resources.rows(tmp_path / "scan.parquet") == 123
    assert resources.rows(tmp_path / "none.parquet") is None
    (tmp_path / "torn.parquet").write_bytes(b"PAR1")
    assert resources.rows(tmp_path / "torn.parquet") is None
    assert resources.files_below(tmp_path, tmp_path) == 4
    assert resources.files_below(tmp_path / "missing") == 0


def asked(plan: str) -> dict[str, dict[str, int]]:
    """By rule, what its first job asks for in the output of a dry-run."""
    found = {}
    for name, lines in re.findall(r"^(?:local)?rule (\w+):\n((?: +.*\n)+)", plan, re.MULTILINE):
        line = re.search(r"^ +resources: (.*)$", lines, re.MULTILINE)
        values = dict(part.split("=", 1) for part in line[1].split(", ")) if line else {}
        numbers = {key: int(value) for key, value in values.items() if value.isdecimal()}
        found.setdefault(name, numbers)
    return found


def test_ten_million_images_get_the_memory_and_the_time_that_they_take(tmp_path):
    """Measured at a million and more: split 632 and scan 414 MB a million images, audit 75 minutes for ten."""
    workspace = Workspace(tmp_path / "work")
    few = asked(workspace.snakemake("--dry-run").stdout)
    documented = (ROOT / "docs/cluster.md").read_text()
    for rule, minutes, memory in (
        ("scan", 60, 4000),
        ("split", 20, 4000),
        ("audit", 60, 4000),
        ("predict", 120, 8000),
    ):
        assert (few[rule]["runtime"], few[rule]["mem_mb"]) == (minutes, memory), rule
        assert f"| {minutes} | {memory}" in documented
    for source in ("faces140k", "synthbuster"):
        path = workspace.results / f"data/{source}/scan.parquet"
        path.parent.mkdir(parents=True)
        parquet.write_table(pa.table({"path": pa.nulls(5_000_000)}), path)
    many = asked(workspace.snakemake("--dry-run", "--rerun-triggers", "mtime").stdout)
    assert many["split"]["mem_mb"] >= 6300 + 250
    assert many["audit"]["runtime"] >= 75
    for rule in (
        "pack",
        "manifest",
        "audit",
        "audit_verdict",
        "baseline",
        "search",
        "finetune",
        "predict",
        "probe",
    ):
        assert many[rule]["mem_mb"] > few[rule]["mem_mb"], rule


def test_every_rule_that_asks_for_memory_lets_it_grow_but_those_that_read_no_images():
    rules = "".join(path.read_text() for path in sorted((ROOT / "workflow/rules").glob("*.smk")))
    fixed = set()
    for text in re.split(r"^rule ", rules, flags=re.MULTILINE)[1:]:
        if (memory := re.search(r"^\s+mem_mb=(.*)", text, re.MULTILINE)) and "grown(" not in memory[1]:
            fixed.add(text.split(":")[0])
    assert fixed == set()
    profile = yaml.safe_load((ROOT / "profiles/slurm/config.yaml").read_text())
    assert all("attempt" in profile["default-resources"][name] for name in ("mem_mb", "runtime"))


def test_snakemake_compares_no_resources():
    """What `grown` relies on: with the resources of today a stage would otherwise run again."""
    assert {trigger.name for trigger in RerunTrigger} == {"MTIME", "PARAMS", "INPUT", "SOFTWARE_ENV", "CODE"}
