"""An exported model gives the trained one's logits, takes images as bytes, and holds all that its user must
know."""

import json

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from detector.core.errors import DetectorError
from detector.export import onnx_model, runtimes
from detector.imaging.normalisation import IMAGENET, KEY, Normalisation
from detector.models import networks
from detector.models.batches import Batches
from detector.pruning import channels

SIZE = 32
FACTS = {"arch": "resnet18", "labels": {"0": "fake", "1": "real"}, "temperature": 1.5, "precision": "fp32"}


def trained(arch="resnet18", seed=0):
    """A network whose batch normalisation is not the identity, as after training."""
    model = networks.build(arch, seed)
    generator = torch.Generator().manual_seed(seed)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.copy_(torch.randn(module.num_features, generator=generator) / 5)
            module.running_var.copy_(1 + torch.rand(module.num_features, generator=generator))
    return model.eval()


def pictures(count=9, size=SIZE):
    return np.random.default_rng(0).integers(0, 256, (count, size, size, 3), dtype=np.uint8)


def logits(model, images, normalisation=IMAGENET):
    """What the pipeline's own batches and the network make of packed images."""
    rows, none = np.arange(len(images)), np.zeros(len(images), int)
    batches = Batches([images], none, rows, none, torch.device("cpu"), normalisation=normalisation)
    with torch.inference_mode():
        return model(batches.images(rows)).squeeze(1).numpy()


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    path = tmp_path_factory.mktemp("exported") / "model.onnx"
    onnx_model.save_onnx(path, trained(), SIZE, FACTS)
    return path


@pytest.mark.parametrize("runtime", runtimes.RUNTIMES)
def test_the_logits_are_torch_s_for_any_number_of_images(exported, runtime):
    model = runtimes.load(exported, runtime, 1)
    for count in (1, 2, 9):
        images = pictures(count)
        found = model(images)
        assert found.dtype == np.float32
        assert found.shape == (count,)
        np.testing.assert_allclose(found, logits(trained(), images), atol=1e-5, rtol=0)


def test_the_file_computes_what_the_network_does_and_nothing_about_indices(exported):
    """Of images in channels last, torch's exporter ends pooling in a dozen nodes that say where its values lie."""
    nodes = [node.op_type for node in onnx.load(exported).graph.node]
    first = nodes.index("Conv")
    assert nodes[:first] == ["Reshape", "Cast", "Mul", "Add", "Reshape", "Transpose"]
    assert set(nodes[first:]) <= {"Conv", "Relu", "MaxPool", "Add", "ReduceMean", "Reshape", "Gemm", "Squeeze"}


def test_pixels_are_scaled_by_whole_rows(exported):
    """A factor a channel, as the innermost dimension, is slow where a runtime keeps channels last (int8)."""
    factors = {t.name: t.dims for t in onnx.load(exported).graph.initializer if t.name in ("scale", "shift")}
    assert factors == {"scale": [3 * SIZE], "shift": [3 * SIZE]}


def test_another_normalisation_is_part_of_the_file(tmp_path):
    """The same pixels and weights give other logits, those that torch has with batches normalised so."""
    other = Normalisation((0.5, 0.4, 0.3), (0.5, 0.25, 0.2), "bicubic")
    onnx_model.save_onnx(tmp_path / "m.onnx", trained(), SIZE, {**FACTS, **other.facts()})
    found = runtimes.load(tmp_path / "m.onnx", "onnxruntime", 1)(pictures())
    np.testing.assert_allclose(found, logits(trained(), pictures(), other), atol=1e-5, rtol=0)
    assert np.abs(found - logits(trained(), pictures())).max() > 0.01
    assert Normalisation.of({KEY: json.loads(runtimes.facts(tmp_path / "m.onnx")[KEY])}) == other


@pytest.mark.long
def test_a_resnet50_too(tmp_path):
    model = trained("resnet50")
    onnx_model.save_onnx(tmp_path / "m.onnx", model, SIZE, FACTS)
    found = runtimes.load(tmp_path / "m.onnx", "onnxruntime", 1)(pictures())
    np.testing.assert_allclose(found, logits(model, pictures()), atol=1e-4, rtol=0)


def test_a_network_with_fewer_heads_is_exported_as_it_is(tmp_path):
    """As the rule has it: from weights alone, which say how many heads there are."""
    name = "small_cnn_attention"
    weights = channels.smallest(networks.build(name, 0, SIZE)).state_dict()
    smaller, path = networks.load(name, weights, SIZE), tmp_path / "model.onnx"
    assert [attention.num_heads for attention in networks.attentions(smaller)] == [1]
    onnx_model.save_onnx(path, smaller, SIZE, FACTS)
    found = runtimes.load(path, "onnxruntime", 1)(pictures(4))
    runtimes.parity(logits(smaller, pictures(4)), found, path, "pictures")


def test_the_facts_are_in_the_file(exported):
    told = runtimes.facts(exported)
    assert told["arch"] == "resnet18"
    assert json.loads(told["labels"]) == FACTS["labels"]
    assert json.loads(told["temperature"]) == 1.5


def test_equal_input_gives_equal_bytes_that_name_no_path(exported, tmp_path):
    onnx_model.save_onnx(tmp_path / "again.onnx", trained(), SIZE, FACTS)
    content = exported.read_bytes()
    assert (tmp_path / "again.onnx").read_bytes() == content
    model = onnx.load(exported)
    del model.graph.initializer[:]  # whose numbers can be any bytes
    assert b".py" not in model.SerializeToString()


def test_half_the_bytes_and_almost_the_same_logits(exported, tmp_path):
    onnx_model.save_half(tmp_path / "half.onnx", exported)
    whole, half = exported.stat().st_size, (tmp_path / "half.onnx").stat().st_size
    assert whole / half > 1.95
    images = pictures()
    expected = logits(trained(), images)
    for runtime in runtimes.RUNTIMES:
        found = runtimes.load(tmp_path / "half.onnx", runtime, 1)(images)
        assert not np.array_equal(found, expected)
        np.testing.assert_allclose(found, expected, atol=0.02 * expected.std() + 1e-3)
    assert runtimes.facts(tmp_path / "half.onnx")["precision"] == "fp16"
    assert runtimes.facts(exported)["precision"] == "fp32"


def test_what_pixels_are_scaled_by_stays_in_fp32(tmp_path):
    """Of images of 342 px and more it has as many values as what is rounded."""
    network = nn.Sequential(nn.Conv2d(3, 8, 16, 16), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 1)).eval()
    onnx_model.save_onnx(tmp_path / "model.onnx", network, 352, FACTS)
    onnx_model.save_half(tmp_path / "half.onnx", tmp_path / "model.onnx")
    kinds = {tensor.name: tensor.data_type for tensor in onnx.load(tmp_path / "half.onnx").graph.initializer}
    assert {kinds[name] for name in onnx_model.SCALING} == {onnx.TensorProto.FLOAT}
    assert onnx.TensorProto.FLOAT16 in kinds.values(), "the weights are rounded"


def test_a_weight_beyond_fp16_stays_in_fp32(exported, tmp_path):
    model = onnx.load(exported)
    large = next(t for t in model.graph.initializer if len(t.dims) == 4)
    values = onnx.numpy_helper.to_array(large).copy()
    values.flat[0] = 1e6
    large.CopyFrom(onnx.numpy_helper.from_array(values, large.name))
    onnx_model.write(tmp_path / "large.onnx", model)
    onnx_model.save_half(tmp_path / "half.onnx", tmp_path / "large.onnx")
    kept = {t.name: t for t in onnx.load(tmp_path / "half.onnx").graph.initializer}
    assert kept[large.name].data_type == onnx.TensorProto.FLOAT
    found = runtimes.load(tmp_path / "half.onnx", "onnxruntime", 1)(pictures())
    assert np.isfinite(found).all()


@pytest.mark.parametrize("runtime", runtimes.RUNTIMES)
def test_a_file_that_is_no_model_is_refused(tmp_path, runtime):
    (tmp_path / "bad.onnx").write_bytes(b"no model")
    with pytest.raises(DetectorError, match=r"bad\.onnx: not a model that"):
        runtimes.load(tmp_path / "bad.onnx", runtime, 1)
    with pytest.raises(DetectorError, match=r"none\.onnx: not a model that"):
        runtimes.load(tmp_path / "none.onnx", runtime, 1)


def test_a_model_of_another_kind_is_refused(tmp_path):
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["y"])],
        "other",
        [helper.make_tensor_value_info("x", kind, [1])],
        [helper.make_tensor_value_info("y", kind, [1])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.save(model, tmp_path / "other.onnx")
    with pytest.raises(DetectorError, match=r"found the inputs \[\('x', 'tensor\(float\)'\)\]"):
        runtimes.load(tmp_path / "other.onnx", "onnxruntime", 1)


def test_a_failed_export_leaves_nothing(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", fail)
    with pytest.raises(OSError, match=r"m\.onnx"):
        onnx_model.save_onnx(tmp_path / "m.onnx", trained(), SIZE, FACTS)
    assert list(tmp_path.iterdir()) == []


def test_images_stream_through_in_order(exported):
    images = pictures(150)
    model = runtimes.load(exported, "onnxruntime", 1)
    found = runtimes.logits(model, len(images), lambda indices: images[indices])
    np.testing.assert_allclose(found, model(images), atol=1e-5)


def test_parity_finds_a_wrong_export():
    expected = np.array([0.5, -3.0], np.float32)
    assert runtimes.parity(expected, expected + np.float32(5e-5), "m.onnx", "valid") == pytest.approx(
        5e-5, rel=0.3
    )
    assert runtimes.parity(np.empty(0), np.empty(0), "m.onnx", "valid") == 0
    with pytest.raises(DetectorError, match=r"2 of 2 logits"):
        runtimes.parity(expected, np.full(2, np.nan), "m.onnx", "valid")
    with pytest.raises(DetectorError, match=r"m\.onnx: 1 of 2 logits on valid are not those of torch"):
        runtimes.parity(expected, np.array([0.501, -3.0002], np.float32), "m.onnx", "valid")


def test_a_network_with_large_logits_may_round_more_also_where_one_is_near_zero():
    expected = np.array([0.5, -47.0, 31.0, 12.0], np.float32)
    found = expected + np.float32([9e-4, 0, 0, 0])
    assert runtimes.parity(expected, found, "m.onnx", "valid") == pytest.approx(9e-4, rel=1e-3)
    with pytest.raises(DetectorError, match="1 of 4 logits"):
        runtimes.parity(expected, expected + np.float32([9e-3, 0, 0, 0]), "m.onnx", "valid")
