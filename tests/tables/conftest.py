"""What the tests of several tables build them of."""

import numpy as np
import pytest

from detector.experiment.variants import Variant
from tests.support.tables import images, scored


@pytest.fixture
def sets():
    """Three variants on a validation set, a set with both classes and one with fakes alone."""
    valid = scored([1, 0], [1.0, -1.0])
    fakes = scored([0, 0, 0, 0], [-1.0, -2.0, 1.0, -0.5])
    right, wrong = [1.0, 2.0, -1.0, -2.0], [1.0, -2.0, -1.0, 2.0]
    return {
        Variant("resnet50", 0, "baseline"): {
            "valid": valid,
            "faces140k": scored([1, 1, 0, 0], wrong),
            "synthbuster": fakes,
        },
        Variant("resnet50", 0, "l1-00"): {
            "valid": valid,
            "faces140k": scored([1, 1, 0, 0], right),
            "synthbuster": fakes,
        },
        Variant("resnet50", 0, "l1-40"): {
            "valid": valid,
            "faces140k": scored([1, 1, 0, 0], right),
            "synthbuster": fakes,
        },
    }


def turned(table, count):
    """The same predictions, those of the first `count` images turned around."""
    return table.assign(logit=table["logit"].where(np.arange(len(table)) >= count, -table["logit"]))


@pytest.fixture
def predictions():
    """A baseline, its dense control and two branches, on a set with both classes and one of fakes alone."""
    valid, faces, fakes = images("faces", 400, 1), images("faces", 600, 2), images("made", 90, 3, real=False)
    return {
        Variant("resnet18", 0, branch): {"valid": valid, "faces": turned(faces, count), "made": fakes}
        for branch, count in (("baseline", 0), ("l1-00", 3), ("l1-40", 9), ("l1-90", 300))
    }


@pytest.fixture
def nothing():
    """A baseline and a branch on sets without images."""
    none = images("faces", 0, 0)
    sets = {"valid": none, "faces": none}
    return {Variant("resnet18", 0, branch): sets for branch in ("baseline", "l1-40")}
