"""A step that does not work with a network takes away what hangs on it, and nothing else."""

import pytest
import yaml

from detector.experiment import config, left_out
from tests.support import ROOT

SCHEMA = ROOT / "src/detector/experiment/config.schema.yaml"
METHODS = {"l1": [0.2, 0.4], "matched": [0.4], "gradual": [0.4], "channels": [0.2, 0.6]}


def study(**changed):
    """The config of the study with all methods, and these sections changed."""
    own = yaml.safe_load((ROOT / "config.yaml").read_text())
    own["prune"]["methods"] = METHODS
    for section, keys in changed.items():
        own[section] |= keys
    return config.complete(own, SCHEMA)


def test_zeros_are_one_step_and_what_is_removed_one_for_each_share():
    steps = ["l1", "gradual", "channels-20", "channels-60", "heat maps", "exported files", "int8 file"]
    assert left_out.steps(study()) == steps
    assert left_out.steps(study(gradcam={"branches": []}, deploy={"branches": []})) == steps[:4]


def test_the_search_for_two_goals_is_tried_at_its_largest_share():
    own = study(
        search={
            "goals": ["accuracy", "parameters"],
            "pareto": {"methods": ["random", "channels"], "sparsity": [0.3, 0.9]},
        }
    )
    steps = left_out.steps(own)
    assert {"random", "channels-90"} <= set(steps)
    assert left_out.left_out(own, {"channels-90": "why"}) == {"channels in search.pareto": "why"}


@pytest.mark.parametrize(
    ("failing", "gone"),
    [
        ([], []),
        (["l1"], ["l1-20", "l1-40", "matched-40"]),
        (["channels-60"], ["channels-60"]),
        (["heat maps", "gradual"], ["gradual-40", "heat maps"]),
        (["exported files"], ["exported files"]),
        (["int8 file"], ["int8 file"]),
        (["exported files", "int8 file"], ["exported files"]),
    ],
)
def test_what_hangs_on_a_step_is_left_out_and_controls_stay(failing, gone):
    found = left_out.left_out(study(), dict.fromkeys(failing, "why"))
    assert set(found) == set(gone)
    if "matched-40" in gone:
        assert found["matched-40"] == "l1-40, whose optimizer and learning rate it takes, is left out"


def test_error_levels_are_not_perturbed():
    own = study()
    assert left_out.of_step(own, "resnet50") == {}
    found = left_out.of_step(own, "resnet50+ela")
    assert set(found) == {left_out.PERTURBED}
    assert left_out.left_out(own, found) == found
    assert left_out.of_step(study(robustness={"use": []}), "resnet50+ela") == {}, "none is asked for"
