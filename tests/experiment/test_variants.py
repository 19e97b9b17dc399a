"""A variant is named by its folder, and its branch says what is pruned."""

import pytest

from detector.experiment.variants import Branch, Variant


def test_variants_are_read_from_their_folder():
    assert Variant.of("results/runs/resnet18/seed3/random-40") == Variant("resnet18", 3, "random-40")
    assert Variant("resnet18", 3, "random-40").sparsity_percent == 40
    assert Variant("resnet18", 3, "matched-40").sparsity_percent == 0, (
        "the percent is of the branch it is matched with"
    )
    assert Variant("resnet18", 3, "baseline").sparsity_percent == 0
    assert Variant("resnet18", 3, "channels-40").percent_of == "parameters"
    assert Variant("resnet18", 3, "gradual-40").percent_of == "weights"


def test_a_search_is_of_the_branch_whose_folder_it_lies_in_or_of_all_of_its_run():
    assert Variant.searched("results/runs/resnet18/seed3/l1-40/hpo") == Variant("resnet18", 3, "l1-40")
    assert Variant.searched("results/runs/resnet18/seed13/hpo") == Variant("resnet18", 13, "all")


@pytest.mark.parametrize(
    ("name", "method", "percent", "control", "pruned"),
    [
        *(("baseline", "", 0, False, 0), ("l1-00", "l1", 0, True, 0), ("l1-05", "l1", 5, False, 5)),
        *(("matched-40", "matched", 40, True, 0), ("channels-95", "channels", 95, False, 95)),
    ],
)
def test_a_branch_is_read_from_its_name_and_written_as_it_was(name, method, percent, control, pruned):
    branch = Branch.of(name)
    assert (branch.method, branch.percent, branch.is_control, branch.sparsity_percent) == (
        *(method, percent, control, pruned),
    )
    assert str(branch) == name


@pytest.mark.parametrize("name", ["", "l1", "l1-", "-40", "l1-x"])
def test_what_names_no_branch_is_refused(name):
    with pytest.raises(ValueError):
        Branch.of(name)
