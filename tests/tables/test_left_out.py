"""left_out.csv has a row for each part of a run that a network does without, with the reason."""

from detector.tables import left_out
from tests.support.tables import written


def test_each_part_has_a_row(tmp_path):
    found = {"resnet18": {}, "vit": {"channels-60": "heads stay", "heat maps": "no map"}}
    table = written(left_out.left_out(found), left_out.COLUMNS, tmp_path)
    assert table.to_numpy().tolist() == [["vit", "channels-60", "heads stay"], ["vit", "heat maps", "no map"]]
