"""A protocol names each network and what it is trained without, before anything starts, or says what is wrong."""

import datetime
import re

import pytest
import yaml

from detector.core.errors import DetectorError
from detector.experiment import config, protocols
from tests.support import ROOT

KNOWN = ["glide", "dalle3", "stylegan"]


def asked(how: object) -> protocols.Protocol | None:
    """The protocol of the study's config with this section."""
    study = yaml.safe_load((ROOT / "config.yaml").read_text())
    return protocols.protocol(config.complete({**study, "protocol": how}))


def test_there_is_none_unless_it_is_asked_for():
    assert asked(None) is None


def test_a_word_is_all_generators_but_those_held_out_anyway_and_the_baseline_alone():
    found = asked(protocols.GENERATORS)
    assert found == asked({"kind": protocols.GENERATORS})
    assert found.branches == ("baseline",)
    assert protocols.networks(found, KNOWN, []) == {name: name for name in sorted(KNOWN)}
    assert list(protocols.networks(found, KNOWN, ["glide"])) == ["dalle3", "stylegan"]


def test_generators_and_branches_can_be_named():
    found = asked({"kind": protocols.GENERATORS, "generators": ["stylegan"], "branches": ["l1-40", "l1-00"]})
    assert found.branches == ("baseline", "l1-00", "l1-40")
    assert protocols.networks(found, KNOWN, []) == {"stylegan": "stylegan"}


def test_an_unknown_generator_is_one_error_that_lists_those_there_are():
    found = asked({"kind": protocols.GENERATORS, "generators": ["stylegan", "glyde"]})
    with pytest.raises(DetectorError, match=r"generators: found glyde, expected .* have dalle3, glide, stylegan$"):
        protocols.networks(found, KNOWN, [])


@pytest.mark.parametrize(
    ("known", "hold_out", "said"),
    [
        ([], [], "the sources in use have none"),
        (["gan"], [], "the sources in use have gan"),
        (["gan", "glide"], ["glide"], "have gan, glide, of which data.hold_out has 1"),
    ],
)
def test_a_network_has_a_generator_to_learn_from(known, hold_out, said):
    with pytest.raises(DetectorError, match=rf"needs two generators or more .*{said}.*set protocol to null"):
        protocols.networks(asked(protocols.GENERATORS), known, hold_out)


def test_folders_of_generators_are_plain_and_differ_where_names_do():
    odd = [
        "Stable Diffusion",
        "stable-diffusion",
        "Stable-Diffusion",
        "a/b",
        "..",
        ".hidden",
        "a{b}",
        "ü",
        "a",
        "A",
    ]
    plain = ["stylegan", "Midjourney", "midjourney-v5", "sd_1.4"]
    found = protocols.networks(
        asked({"kind": protocols.GENERATORS, "generators": [*odd, *plain]}), odd + plain, []
    )
    assert list(found.values()) == odd + plain
    assert len({name.lower() for name in found}) == len(found), "on disks too that do not tell capitals apart"
    assert all(re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*", name) for name in found)
    assert list(found)[-4:] == plain


def test_time_is_cut_at_days_with_or_without_quotes():
    days = ["2024-01-01", "2025-06-30"]
    found = asked({"kind": protocols.TIME, "edges": days})
    assert found == asked({"kind": protocols.TIME, "edges": [datetime.date.fromisoformat(day) for day in days]})
    assert protocols.networks(found, [], []) == {f"until-{day}": day for day in days}
    assert found.table == "window_matrix"
