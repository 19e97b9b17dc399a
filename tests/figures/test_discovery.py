"""A figure is one file: its module says what it is drawn from, and that is checked before anything runs."""

import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from detector.core import parquet
from detector.core.errors import DetectorError
from detector.data.records import of_frame
from detector.figures import discovery
from tests.support.samples import load_script

MODULE = '''"""Found.

What is to be seen.
"""

FILE = "found_{arch}_seed{seed}_{testset}.svg"
FROM = {"table": "tables/some.csv", "logits": "runs/{arch}/seed{seed}/{branch}/{set}.parquet"}


def draw(path, table, logits, arch, seed, testset): ...
'''
OPEN = {"branch": ["baseline", "l1-40"], "set": ["valid", "faces"], "testset": ["faces", "combined"]}


def declared(folder: Path, text: str = MODULE) -> discovery.Figure:
    (folder / "found.py").write_text(text)
    (folder / "helper.py").write_text("import nothing_that_there_is\n")
    return discovery.figures(folder)["found"]


def test_a_module_is_read_and_not_imported(tmp_path):
    figure = declared(tmp_path, MODULE.replace("FILE", "import nothing_that_there_is\n\nFILE", 1))
    assert figure.per_run
    assert list(discovery.figures(tmp_path)) == ["found"], "a module that declares nothing is no figure"


def test_a_job_draws_the_figures_of_a_run_from_all_files_that_it_names(tmp_path):
    figure = declared(tmp_path)
    assert (figure.title, figure.caption) == ("Found", "What is to be seen.")
    assert figure.files(OPEN) == {
        "found_{arch}_seed{seed}_faces.svg": {"testset": "faces"},
        "found_{arch}_seed{seed}_combined.svg": {"testset": "combined"},
    }
    paths = figure.sources(OPEN)
    assert paths[:2] == ["tables/some.csv", "runs/{arch}/seed{seed}/baseline/valid.parquet"]
    assert len(paths) == 5
    assert figure.nested(list("abcde"), OPEN) == {
        "table": "a",
        "logits": {"baseline": {"valid": "b", "faces": "c"}, "l1-40": {"valid": "d", "faces": "e"}},
    }


def test_what_a_wildcard_is_called_need_not_be_what_stands_in_its_path(tmp_path):
    text = MODULE.replace("{branch}/{set}", "{searched}/trials")
    figure = declared(tmp_path, text)
    values = {**OPEN, "searched": {"all": "hpo"}}
    assert figure.sources(values)[1:] == ["runs/{arch}/seed{seed}/hpo/trials.parquet"]
    assert figure.nested(list("ab"), values) == {"table": "a", "logits": {"all": "b"}}


def test_a_figure_of_the_study_reads_all_runs(tmp_path):
    text = MODULE.replace("_{arch}_seed{seed}_{testset}", "").replace(", arch, seed, testset", "")
    figure = declared(tmp_path, text.replace("{branch}/{set}", "latency"))
    assert not figure.per_run
    assert figure.files({}) == {"found.svg": {}}
    files = figure.sources({"arch": ["resnet18"], "seed": [0, 1]})
    assert files[1:] == ["runs/resnet18/seed0/latency.parquet", "runs/resnet18/seed1/latency.parquet"]
    assert figure.nested(["a", "b", "c"], {"arch": ["resnet18"], "seed": [0, 1]})["logits"] == {
        "resnet18": {0: "b", 1: "c"}
    }


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"found_{arch}', '"other_{arch}', r"FILE is 'other_.*expected found….svg or found….png"),
        (".svg", ".pdf", r"expected found….svg"),
        ("some.csv", "some.txt", r"FROM has 'tables/some\.txt', expected a file of \.csv"),
        ("{set}", "{sets}", r"found \{sets\}, expected one of arch, seed, branch"),
        ("FROM = {", "FROM = {**MORE, ", "expected FILE = .* as literals"),
        ("FROM =", "INPUTS =", "expected FILE = .* as literals"),
        ("{branch}/{set}", "{branch/{set}", "expected FILE = .* as literals"),
        (
            "table, logits",
            "logits, table",
            r"expected one function draw\(path, table, logits, arch, seed, testset\)",
        ),
        ("def draw", "def paint", "expected one function draw"),
        (MODULE.split("FILE")[0], "", "expected a docstring"),
    ],
)
def test_a_declaration_that_does_not_fit_is_one_error_that_names_the_file(old, new, said, tmp_path):
    assert old in MODULE
    with pytest.raises(DetectorError, match=rf"found\.py: .*{said}"):
        declared(tmp_path, MODULE.replace(old, new, 1))


def test_planning_imports_no_drawing_library():
    code = "import sys\nfrom detector.figures import discovery\nprint(len(discovery.figures()))\n"
    code += "print({'matplotlib', 'scipy', 'pandas'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    count, imported = done.stdout.splitlines()
    assert int(count) >= 9
    assert imported == "set()"


def test_the_script_reads_files_by_suffix_and_hands_them_to_the_module(tmp_path, monkeypatch):
    script = load_script("figures/draw")
    table = pd.DataFrame({"a": [1, 2]})
    table.to_csv(tmp_path / "a.csv", index=False)
    paths = [of_frame("a.mp4", 1), of_frame("a.mp4", 2), "b.png"]  # a video counts as one
    parquet.write(pd.DataFrame({"path": paths, "logit": [1.0, 2.0, 3.0]}), tmp_path / "a.parquet")
    (tmp_path / "a.json").write_text(json.dumps({"b": 3}))
    drawn = []

    class Module:
        @staticmethod
        def draw(path, table, logits, metas, arch, seed, testset):
            drawn.append(
                (path, len(table), len(logits["baseline"]["valid"]), metas["baseline"], arch, seed, testset)
            )

    monkeypatch.setitem(sys.modules, "detector.figures.found", Module)
    inputs = {
        "table": str(tmp_path / "a.csv"),
        "logits": {"baseline": {"valid": str(tmp_path / "a.parquet")}},
        "metas": {"baseline": str(tmp_path / "a.json")},
    }
    run = {"arch": "resnet18", "seed": 0}
    outputs = {"x.svg": {**run, "testset": "faces"}, "y.svg": {**run, "testset": "combined"}}
    script.main(script.argparse.Namespace(figure="found", inputs=json.dumps(inputs), outputs=json.dumps(outputs)))
    assert drawn == [
        (Path("x.svg"), 2, 2, {"b": 3}, "resnet18", 0, "faces"),
        (Path("y.svg"), 2, 2, {"b": 3}, "resnet18", 0, "combined"),
    ]
