"""A list gives the records of its rows, as CSV and as Parquet alike, and names the row where one is wrong."""

import csv

import pandas as pd
import pytest

from detector.core.errors import DetectorError
from detector.core.labels import FAKE, REAL
from detector.data import lists
from detector.data.records import Record

ROWS = {
    "path": ["b/2.png", "a/1.png", "c.png"],
    "label": ["fake", "Real", "ai"],
    "generator": ["glide", "camera", ""],
    "group": ["p1", "p1|p2", ""],
    "split": ["val", "test", ""],
    "date": ["2026-01-31", "", ""],
}
RECORDS = [
    Record("a/1.png", REAL, "", "p1|p2", "test"),
    Record("b/2.png", FAKE, "glide", "p1", "valid", date="2026-01-31"),
    Record("c.png", FAKE, "unknown"),
]


def write(folder, rows, suffix=".csv"):
    path = folder / f"list{suffix}"
    table = pd.DataFrame(rows)
    table.to_csv(path, index=False) if suffix == ".csv" else table.to_parquet(path, index=False)
    return path


@pytest.mark.parametrize("suffix", sorted(lists.SUFFIXES))
def test_both_forms_give_the_same_records(tmp_path, suffix):
    assert lists.read(write(tmp_path, ROWS, suffix)) == RECORDS


@pytest.mark.parametrize("suffix", sorted(lists.SUFFIXES))
@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"label": ["fake", "1", "ai"]}, "3.*label '1', expected real or fake"),
        ({"label": ["fake", "", "ai"]}, "label ''"),
        ({"path": ["b/2.png", "../1.png", "c.png"]}, "leads out of the data set"),
        (
            {"path": ["b/2.png", "/etc/passwd", "c.png"]},
            "leads out of the data set, to .*: it is an absolute",
        ),
        ({"path": ["b/2.png", "b//2.png", "c.png"]}, "b/2.png is in the list twice"),
        ({"path": ["b/2.png", "", "c.png"]}, "the path is empty"),
        ({"split": ["val", "dev", ""]}, "split 'dev', expected train, valid, test"),
        ({"date": ["yesterday", "", ""]}, "date 'yesterday'"),
    ],
)
def test_a_wrong_row_is_named(tmp_path, suffix, change, words):
    with pytest.raises(DetectorError, match=words.replace("3.*", "")):
        lists.read(write(tmp_path, ROWS | change, suffix))


def test_an_absolute_path_to_an_image_below_the_list_is_told_what_to_write(tmp_path):
    path = tmp_path / "b/2.png"
    with pytest.raises(DetectorError, match=f"line 2: found the absolute path {path}, .*: write b/2.png$"):
        lists.read(write(tmp_path, {"path": [str(path)], "label": ["real"]}))


@pytest.mark.parametrize(("separator", "word"), [(";", "semicolons"), ("\t", "tabs"), ("|", "bars")])
@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
def test_columns_that_no_comma_separates_are_told_so(tmp_path, separator, word, quoting):
    pd.DataFrame(ROWS).to_csv(tmp_path / "list.csv", sep=separator, index=False, quoting=quoting)
    with pytest.raises(DetectorError, match=f"separated by {word}, expected commas"):
        lists.read(tmp_path / "list.csv")


def test_a_link_that_leads_out_is_refused(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "secret.png").touch()
    (tmp_path / "data/1.png").symlink_to(tmp_path / "secret.png")
    with pytest.raises(DetectorError, match="leads out of the data set"):
        lists.read(write(tmp_path / "data", {"path": ["1.png"], "label": ["real"]}))


def test_a_column_that_is_missing_is_named(tmp_path):
    with pytest.raises(
        DetectorError, match="found the columns path, y, expected path and label.*label is missing"
    ):
        lists.read(write(tmp_path, {"path": ["1.png"], "y": ["real"]}))


def test_what_is_no_table_is_one_error(tmp_path):
    (tmp_path / "list.parquet").write_bytes(b"no table")
    (tmp_path / "list.csv").write_bytes(b"path,label\n\xff.png,real\n")
    for name, words in (("list.parquet", "cannot be read as Parquet"), ("list.csv", "not UTF-8")):
        with pytest.raises(DetectorError, match=words):
            lists.read(tmp_path / name)
