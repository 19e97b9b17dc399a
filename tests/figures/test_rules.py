"""The graph of rules is Snakemake's own, whatever the ids of its nodes, without arrows that are implied."""

import os
import subprocess
from pathlib import Path

import pytest

from detector.core.errors import DetectorError
from detector.figures import rules
from tests.support import warm
from tests.support.figures import texts
from tests.support.samples import SCRIPTS

SNAKEFILE = """
rule all:
    input: "fig.svg", "three"
rule one:
    output: "one"
    shell: "touch {output}"
rule two:
    input: "one"
    output: "two"
    shell: "touch {output}"
rule three_with_a_long_name:
    input: "one", "two"
    output: "three"
    params: config["must_be_given"]
    shell: "touch {output}"
rule draw:
    output: "fig.svg"
    shell: "SCRIPT --snakefile Snakefile --config '{{\\"must_be_given\\": 1}}' --output {output}"
"""


def test_rules_are_drawn_from_a_second_snakemake_while_the_first_runs(tmp_path: Path) -> None:
    script = f"{warm.python()} {SCRIPTS / 'figures/rules.py'}"
    (tmp_path / "Snakefile").write_text(SNAKEFILE.replace("SCRIPT", script))
    command = [warm.python(), "-m", "snakemake", "fig.svg", "--cores", "1", "--config", "must_be_given=2"]
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert sorted(texts(tmp_path / "fig.svg")) == ["Workflow", "a_long_name", "draw", "one", "three_with_", "two"]
    dot = subprocess.run(
        [*command[:3], "--rulegraph", "dot", "--config", "must_be_given=2"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    nodes, edges = rules.parse_dot(dot.stdout)
    names = {(nodes[before], nodes[after]) for before, after in edges}
    assert sorted(nodes.values()) == ["all", "draw", "one", "three_with_a_long_name", "two"]
    assert names == {
        ("draw", "all"),
        ("three_with_a_long_name", "all"),
        ("one", "three_with_a_long_name"),
        ("one", "two"),
        ("two", "three_with_a_long_name"),
    }


def test_a_rule_graph_does_not_depend_on_ids_and_leaves_out_what_is_implied(tmp_path: Path) -> None:
    names = "abcd"
    edges = [("a", "b"), ("b", "c"), ("a", "c"), ("c", "d"), ("a", "d")]
    for file, ids in (("one.svg", "0123"), ("two.svg", "3102")):
        by_name = dict(zip(names, ids, strict=True))
        numbered = [(by_name[a], by_name[b]) for a, b in (edges if file == "one.svg" else reversed(edges))]
        rules.rule_graph(tmp_path / file, {by_name[name]: name for name in names}, numbered)
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()
    rules.rule_graph(tmp_path / "chain.svg", {n: n for n in names}, [("a", "b"), ("b", "c"), ("c", "d")])
    assert (tmp_path / "chain.svg").read_bytes() == (tmp_path / "one.svg").read_bytes()


def test_what_is_no_graph_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DetectorError, match="rulegraph dot"):
        rules.parse_dot("MissingInputException")
    with pytest.raises(DetectorError, match="circle"):
        rules.rule_graph(tmp_path / "x.svg", {"0": "a", "1": "b"}, [("0", "1"), ("1", "0")])
