"""`detector networks` lists each network that a pattern names with its cost, or why it takes no such images."""

import re
import shutil
import sys

import pytest

from detector.cli import main
from detector.cli.networks import lines, matching
from detector.core.errors import DetectorError
from detector.experiment import architectures
from detector.models import networks
from tests.support import ROOT


def test_a_pattern_is_a_part_of_a_name_or_has_wildcards():
    assert matching("") == list(architectures.known())
    assert set(matching("ConvNeXt_at")) >= {"convnext_atto", "convnext_atto_ols"}
    assert matching("convnext_atto*")[0] == "convnext_atto"
    assert all(name.startswith("resnet1") for name in matching("resnet1?"))
    with pytest.raises(DetectorError, match="did you mean .*convnext_atto"):
        matching("convnext_attto")


def test_numbers_are_those_of_the_network_that_is_built():
    names = ("resnet18", "convnext_atto", "vit_tiny_patch16_224")
    found = [re.split(r"\s{1,}", line) for line in lines(names, 32)][1:]
    for (name, library, parameters, macs), wanted in zip(found, names, strict=True):
        network = networks.build(wanted, 0, 32)
        assert (name, library) == (wanted, architectures.library(wanted))
        assert int(parameters.replace(",", "")) == networks.parameter_count(network)
        assert int(macs.replace(",", "")) == networks.macs(network, 32)


def test_a_network_that_takes_no_such_images_says_so_and_the_next_one_follows():
    _, small, line, last = lines(("resnet10", "vit_tiny_patch16_224", "resnet18"), 8)
    assert small.startswith("resnet10 ")
    assert "8 px" in line
    assert last.startswith("resnet18 ")


def test_the_size_is_the_config_s_or_the_one_given(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / "config.yaml", tmp_path)
    (tmp_path / "small.yaml").write_text("images: {size: 48}\n")
    heads = []
    for more in (["--config", "small.yaml"], ["--size", "64"]):
        monkeypatch.setattr(sys, "argv", ["detector", "networks", "resnet10", *more])
        main.main()
        heads.append(capsys.readouterr().out.splitlines()[0])
    assert "MACs at 48 px" in heads[0]
    assert "MACs at 64 px" in heads[1]
