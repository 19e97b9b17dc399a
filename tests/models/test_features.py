"""Features are what a network's head makes its logit of, of the pixels that the network sees; spectra are those
of the same pixels."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch.nn.functional import linear

from detector.imaging.normalisation import IMAGENET, Normalisation
from detector.models import checkpoints, devices, features, inference, networks
from detector.models.batches import Batches
from detector.stats.spectra import spectrum

SIZE, PACKED = 32, 40
RNG = np.random.default_rng(0)
STORES = {"a": RNG.integers(0, 256, (9, PACKED, PACKED, 3), np.uint8)}
ROWS = pd.DataFrame(
    {
        "source": "a",
        "path": list("abcdefg"),
        "row": [8, 1, 3, 0, 5, 2, 7],
        "label": [0, 1] * 3 + [1],
        "generator": "",
    }
)
OTHER = Normalisation((0.5, 0.4, 0.3), (0.5, 0.25, 0.2))


def batches(normalisation=IMAGENET):
    return Batches.of(ROWS, STORES, torch.device("cpu"), SIZE, normalisation)


@pytest.fixture(scope="module")
def where():
    return devices.plan("cpu", "fp32", 1, SIZE)


@pytest.mark.parametrize(
    "name", ["resnet10", "mobilenetv2_100", "convnext_atto", "small_cnn_attention", "resnet18_gram"]
)
def test_a_head_makes_the_logit_of_them(name, where):
    model = networks.build(name, 3, SIZE).eval()
    head = model.get_submodule(networks.head(model)[0])
    for normalisation in (IMAGENET, OTHER):
        found = features.features(features.Body(model), batches(normalisation), where)
        assert found.shape == (7, head.in_features)
        expected = inference.logits(model, batches(normalisation), where)
        made = linear(torch.from_numpy(found), head.weight, head.bias)[:, 0].detach().numpy()
        assert made == pytest.approx(expected, rel=1e-4, abs=1e-5)
    body = features.Body(model)
    assert body.parameters_used == networks.parameter_count(model) - head.in_features - 1


def test_maps_that_a_head_is_given_become_their_means(where):
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 5, 3), torch.nn.Flatten(2), torch.nn.Linear(900, 1))
    found = features.features(features.Body(model), batches(), where)
    with torch.inference_mode():
        images, _ = next(batches().evaluate(7))
        assert found == pytest.approx(model[0](images).mean((2, 3)).numpy(), abs=1e-5)


def test_start_weights_are_taken_as_they_are(tmp_path, where):
    """Of NETWORK@INIT the body that was read, of a trained variant all of it."""
    weights, file = networks.build("resnet10", 7, SIZE), tmp_path / "w.safetensors"
    checkpoints.save_weights(file, weights.state_dict())
    expected = features.features(features.Body(weights.eval()), batches(), where)
    for name in ("resnet10@mine", "resnet10"):
        body = features.body(name, file, SIZE)
        assert not body.model.training
        assert (features.features(body, batches(), where) == expected).all()


def test_spectra_are_those_of_what_a_network_sees(monkeypatch, where):
    middle = STORES["a"][:, 4:36, 4:36]
    expected = spectrum(middle, ROWS["row"]).profiles
    assert expected.shape == (7, SIZE // 2)
    for chunk in (features.CHUNK, 3):
        monkeypatch.setattr(features, "CHUNK", chunk)
        assert (features.features(None, batches(), where) == expected).all()
