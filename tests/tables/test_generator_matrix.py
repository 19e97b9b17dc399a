"""A generator that networks miss unless they learned it shows in the matrix as such; equal generators do not."""

import numpy as np
import pandas as pd
import pytest

from detector.core.errors import DetectorError
from detector.experiment.variants import Variant
from detector.stats.groups import groups
from detector.stats.ranking import delong
from detector.tables.generator_matrix import COLUMNS, generator_matrix
from detector.tables.per_generator import per_generator
from tests.support.tables import written

MAKERS = ("diffusion", "gan", "glide")
BASELINE = Variant("resnet18", 0, "baseline")


def predicted(missed: str = "", seed: int = 0, each: int = 300, prompts: int = 0) -> dict:
    """Predictions of one network for two test sets, one of fakes alone; the fakes of `missed` look real to it."""
    rng = np.random.default_rng([seed, len(missed)])
    label = np.repeat([1, 0, 0, 0], each)
    maker = np.repeat(["", *MAKERS], each)
    number = np.arange(each).repeat(4).reshape(each, 4).T.ravel()
    mean = np.where(label == 1, 1.5, np.where(maker == missed, 0.7, -1.5))
    # Prompts of two sources have nothing in common.
    prompt = number % max(prompts, 1) + prompts * (maker == "glide")
    luck = rng.normal(0, 1, 4 * each) if not prompts else rng.normal(0, 1, 2 * prompts)[prompt]
    table = pd.DataFrame(
        {
            "path": [f"{name or 'real'}/{i}.png" for name, i in zip(maker, number, strict=True)],
            "source": np.where(maker == "glide", "made", "faces"),
            "generator": maker,
            "group": [f"prompt{i % prompts}" if prompts else "" for i in number],
            "label": label,
            "logit": (mean + luck).astype(np.float32),
        }
    )
    return {name: table[table["source"] == name].reset_index(drop=True) for name in ("faces", "made")}


def matrix(folder, shifted: tuple = (), hold_out: tuple = (), **how) -> pd.DataFrame:
    networks = {"": {BASELINE: predicted(**how)}}
    for number, name in enumerate(MAKERS, 1):
        found = predicted(name if name in shifted else "", number, **how)
        networks[name] = {BASELINE: found}
    rows = generator_matrix(networks, hold_out)
    table = written(rows, COLUMNS, folder)
    return table.fillna({"held_out": "", "generator": ""}).set_index(["held_out", "generator"])


def test_a_planted_shift_shows_at_the_generator_that_was_left_out_and_nowhere_else(tmp_path):
    table = matrix(tmp_path, shifted=("gan", "glide"))
    cells = table.drop("").drop(index="", level="generator", errors="ignore")
    for name in ("drop", "auc_drop"):
        lost = cells[cells[f"{name}_low"] > 0.05]
        assert sorted(lost.index) == [("gan", "gan"), ("glide", "glide")], name
    means = table[table.index.get_level_values("generator") == ""].set_index("seen")
    assert means["generators"].tolist() == [3, 3]
    for name in ("drop", "auc_drop"):
        assert means.loc["no", f"{name}_low"] > 0.1, name
        assert means.loc["yes", f"{name}_low"] < 0 < means.loc["yes", f"{name}_high"], name
    assert means.loc["no", "accuracy_high"] < means.loc["yes", "accuracy_low"]


@pytest.mark.parametrize("prompts", [0, 20])
def test_equal_generators_show_nothing(prompts, tmp_path):
    """Of 19 independent seeds, most means, unseen and seen, are within their interval of no drop."""
    held = {(name, seen): 0 for name in ("drop", "auc_drop") for seen in ("no", "yes")}
    kind = "grouped_" if prompts else ""
    for start in range(0, 190, 10):
        networks = {
            name: {BASELINE: predicted("", start + number, 60, prompts)}
            for number, name in enumerate(["", *MAKERS])
        }
        means = {row["seen"]: row for row in generator_matrix(networks) if not row["generator"]}
        for name, seen in held:
            row = means[seen]
            held[name, seen] += row[f"{name}_{kind}low"] <= 0 <= row[f"{name}_{kind}high"]
    assert min(held.values()) >= 16, held


def test_what_per_generator_says_of_the_plain_run_stands_in_the_matrix(tmp_path):
    found = predicted(prompts=20)
    found["faces"] = found["faces"].assign(group="")
    networks = {name: {BASELINE: found} for name in ("", "gan")}
    table = written(generator_matrix(networks), COLUMNS, tmp_path).query("held_out.isna() and generator.notna()")
    there = pd.DataFrame(per_generator({BASELINE: {"valid": found["faces"], **found}}))
    both = table.merge(there, on="generator", suffixes=("", "_there"))
    assert both["generator"].tolist() == list(MAKERS)
    for name in ("n", "accuracy", "accuracy_low", "accuracy_high", "groups", "grouped_low", "grouped_high"):
        assert both[name].to_numpy() == pytest.approx(both[f"{name}_there"].to_numpy(), rel=1e-5, nan_ok=True)
    assert both["groups"].isna().tolist() == [True, True, False], "known of one source alone"


def test_areas_are_against_all_real_images_and_compared_as_delong_does(tmp_path):
    table = matrix(tmp_path, shifted=("glide",))
    whole, without = (pd.concat(predicted(*how).values()) for how in (("", 0), ("glide", 3)))
    chosen = whole["generator"].isin(["", "glide"]).to_numpy()
    label = whole["label"].to_numpy()[chosen]
    expected = delong(label, *(table["logit"].to_numpy()[chosen] for table in (without, whole)))
    cell = table.loc[("glide", "glide")]
    assert cell["reals"] == 300
    assert cell["auc_drop"] == pytest.approx(expected["difference"], rel=1e-5)
    assert cell[["auc_drop_low", "auc_drop_high"]].tolist() == pytest.approx(
        [expected["low"], expected["high"]], rel=5e-3
    )
    assert cell["auc_low"] < cell["auc"] < cell["auc_high"]
    assert cell["balanced_accuracy"] == pytest.approx((cell["accuracy"] + cell["specificity"]) / 2, rel=1e-5)


def test_a_generator_that_no_network_learned_is_unseen_everywhere_and_in_no_mean(tmp_path):
    networks = {
        name: {BASELINE: predicted("glide", number)} for number, name in enumerate(["", "gan", "diffusion"])
    }
    table = written(generator_matrix(networks, ["glide"]), COLUMNS, tmp_path)
    cells = table[table["generator"].notna()]
    assert set(cells.loc[cells["generator"] == "glide", "seen"]) == {"no"}
    means = table[table["generator"].isna()].set_index("seen")
    assert means["generators"].tolist() == [2, 2]
    assert means["n"].tolist() == [600, 600]


def test_groups_of_two_sources_have_nothing_in_common():
    images = pd.DataFrame({"source": list("aabb"), "group": ["p", "p", "p", ""]}, index=range(3, 7))
    assert groups(images).tolist() == [0, 0, 1, 2]
    assert groups(images.assign(group="")).tolist() == [0, 1, 2, 3]


def test_networks_that_saw_other_images_are_refused():
    networks = {"": {BASELINE: predicted()}, "gan": {BASELINE: predicted(each=299)}}
    with pytest.raises(
        DetectorError, match=r"seed 0, baseline, without gan, faces .* were not shown the same images"
    ):
        generator_matrix(networks)


def test_sets_without_images_have_no_row(nothing):
    assert generator_matrix({"": nothing, "gan": nothing}) == []
