"""A variant is named by its folder, and its branch says what is pruned."""

from detector.experiment.variants import Variant


def test_variants_are_read_from_their_folder():
    assert Variant.of("results/runs/resnet18/seed3/random-40") == Variant("resnet18", 3, "random-40")
    assert Variant("resnet18", 3, "random-40").sparsity_percent == 40
    assert Variant("resnet18", 3, "matched-40").sparsity_percent == 0, (
        "the percent is of the branch it is matched with"
    )
    assert Variant("resnet18", 3, "baseline").sparsity_percent == 0
    assert Variant("resnet18", 3, "channels-40").percent_of == "parameters"
    assert Variant("resnet18", 3, "gradual-40").percent_of == "weights"
