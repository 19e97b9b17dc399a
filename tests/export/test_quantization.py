"""int8 takes a quarter of the bytes; where accuracy suffers, layers stay in fp32, and the file says which."""

import json
import logging

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from onnxruntime.quantization.calibrate import HistogramCollector
from torch import nn

from detector.export import onnx_model, quantization, runtimes
from tests.export.test_onnx_model import FACTS, SIZE, logits, pictures, trained


def small_net():
    """Seven convolutions and a logit: enough layers to leave some in fp32, and quick to quantise alone."""
    torch.manual_seed(0)
    widths = [3, *[8 * n for n in range(1, 8)]]
    layers = [
        layer for pair in zip(widths, widths[1:], strict=False) for layer in (nn.Conv2d(*pair, 3), nn.ReLU())
    ]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(widths[-1], 1)).eval()


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    path = tmp_path_factory.mktemp("source") / "model.onnx"
    onnx_model.save_onnx(path, small_net(), SIZE, FACTS)
    return path


def loss(path, model=None):
    """Minus the mean distance of the logits from those of fp32: an accuracy that every rounding lowers."""
    found = runtimes.load(path, "onnxruntime", 1)(pictures(16))
    return -float(np.abs(found - logits(model or small_net(), pictures(16))).mean())


def test_the_first_way_is_kept_where_it_will_do(tmp_path):
    source, measured = tmp_path / "source/model.onnx", []
    onnx_model.save_onnx(source, trained(), SIZE, FACTS)

    def accuracy(path):
        measured.append(loss(path, trained()))
        return measured[-1]

    done = quantization.save_int8(tmp_path / "int8.onnx", source, pictures(32), accuracy, -1.0)
    assert len(measured) == 1
    assert (done["method"], done["float_layers"], done["valid_accuracy"]) == ("minmax", [], measured[0])
    assert source.stat().st_size / (tmp_path / "int8.onnx").stat().st_size > 3.8
    told = runtimes.facts(tmp_path / "int8.onnx")
    assert told["arch"] == "resnet18"
    assert told["precision"] == "int8"
    assert json.loads(told["quantization"])["method"] == "minmax"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["int8.onnx", "source"]
    expected = logits(trained(), pictures(16))
    for runtime in runtimes.RUNTIMES:
        found = runtimes.load(tmp_path / "int8.onnx", runtime, 1)(pictures(16))
        assert np.abs(found - expected).mean() < expected.std()


def test_rounding_does_not_move_the_threshold(source, tmp_path, monkeypatch):
    """What all logits move by in common is taken off, by the images of the calibration; others have much of it."""
    path, told, correct = tmp_path / "int8.onnx", pictures(64), quantization._correct
    monkeypatch.setattr(quantization, "_correct", lambda *_: None)
    quantization.save_int8(path, source, told, lambda _: 1.0, 0.0)
    rounded = {name: runtimes.load(path, name, 1)(told) for name in runtimes.RUNTIMES}
    other = np.random.default_rng(1).integers(0, 256, told.shape, np.uint8)
    unseen = {"rounded": runtimes.load(path, "onnxruntime", 1)(other)}
    monkeypatch.setattr(quantization, "_correct", correct)
    done = quantization.save_int8(path, source, told, lambda _: 1.0, 0.0)
    unseen["corrected"] = runtimes.load(path, "onnxruntime", 1)(other)
    correction = done["correction"]
    exact = logits(small_net(), told)
    assert abs(correction) > 0.05 * exact.std(), "otherwise there would be nothing to see"
    for name, before in rounded.items():
        found = runtimes.load(path, name, 1)(told)
        np.testing.assert_allclose(found - before, correction, atol=abs(correction) / 100)
        if name == "onnxruntime":
            assert np.median(found - exact) == pytest.approx(0, abs=abs(correction) / 100)
    assert json.loads(runtimes.facts(path)["quantization"])["correction"] == correction
    left = {name: abs(np.median(found - logits(small_net(), other))) for name, found in unseen.items()}
    assert left["corrected"] < left["rounded"] / 2


def test_what_loses_accuracy_is_left_in_fp32(source, tmp_path):
    """An accuracy that only the third step of mixed precision reaches."""
    steps = iter([0.5, 0.6, 0.55, 0.61, 0.62, 0.9, 0.95])
    done = quantization.save_int8(tmp_path / "int8.onnx", source, pictures(32), lambda _: next(steps), 0.89)
    assert done["method"] == "percentile", "the best of the methods goes on"
    names = quantization.layers(source)
    assert len(done["float_layers"]) == 4
    assert set(done["float_layers"]) < set(names)
    assert [len(attempt["float_layers"]) for attempt in done["tried"]] == [0, 0, 0, 1, 2, 4]
    assert loss(tmp_path / "int8.onnx") > -1
    whole = source.stat().st_size / (tmp_path / "int8.onnx").stat().st_size
    assert 1 < whole < 4, "some layers are in fp32"


def test_each_layer_left_in_fp32_brings_the_logits_nearer(source, tmp_path):
    done = quantization.save_int8(tmp_path / "int8.onnx", source, pictures(32), loss, 0.0)
    tried = [attempt["valid_accuracy"] for attempt in done["tried"]]
    assert tried[-1] > max(tried[:3]), "with most layers in fp32 it is closer than with none"
    assert done["valid_accuracy"] == max(tried), "where nothing will do, the best is kept"


def scales(path):
    """The scales of weights and of activations in a quantised file: (n,) a layer, and one number a tensor."""
    found = {t.name: onnx.numpy_helper.to_array(t) for t in onnx.load(path).graph.initializer}
    nodes = [n for n in onnx.load(path).graph.node if n.op_type == "DequantizeLinear"]
    weights = [found[n.input[1]] for n in nodes if n.input[0] in found and found[n.input[0]].ndim == 4]
    return weights, sorted(float(a) for name, a in found.items() if name.endswith("_scale") and a.ndim == 0)


def test_no_sum_of_two_products_is_cut_off_on_a_processor_that_adds_in_16_bits(source, tmp_path):
    """AVX2's VPMADDUBSW: two activations, at most 255, times two weights. All have the same logit."""
    path = tmp_path / "int8.onnx"
    quantization.save_int8(path, source, pictures(32), lambda path: 1.0, 0.0)
    weights = [
        numpy_helper.to_array(tensor).astype(int)
        for tensor in onnx.load(path).graph.initializer
        if tensor.data_type == onnx.TensorProto.INT8 and len(tensor.dims) > 1
    ]
    assert len(weights) == len(quantization.layers(source))
    assert 2 * 255 * max(np.abs(array).max() for array in weights) <= np.iinfo(np.int16).max
    assert min(np.abs(array).max() for array in weights) > 32, "they use the bits that are left"


def test_the_logit_and_the_pixels_are_not_rounded(source, tmp_path):
    """Of 256 values, as a logit in int8 has, many images would share one, and no cut could come between them."""
    path = tmp_path / "int8.onnx"
    quantization.save_int8(path, source, pictures(32), lambda path: 1.0, 0.0)
    graph = onnx.load(path).graph
    from_ = {name: node for node in graph.node for name in node.output}
    node = from_["logit"]
    while node.op_type != "Gemm":
        node = from_[node.input[0]]
        assert node.op_type in {"Gemm", "Squeeze", "Add"}, "from the last layer on it is in fp32"
    assert node.input[1] in {tensor.name for tensor in graph.initializer if tensor.data_type == tensor.FLOAT}
    first = next(node for node in graph.node if node.op_type == "QuantizeLinear")
    before = set()
    while first is not None:
        before.add(first.op_type)
        first = from_.get(first.input[0])
    assert before == {"QuantizeLinear", "Transpose", "Reshape", "Add", "Mul", "Cast"}
    found = runtimes.load(path, "onnxruntime", 1)(pictures(1500))
    assert len(np.unique(found)) > 1000


class TwoHeads(nn.Module):
    """Features with two layers of one logit each, whose mean is the logit, as of distilled transformers."""

    def __init__(self):
        super().__init__()
        self.body, self.one, self.other = small_net()[:-1], nn.Linear(56, 1), nn.Linear(56, 1)

    def forward(self, images):
        features = self.body(images)
        return (self.one(features) + self.other(features)) / 2


class Products(nn.Module):
    """A logit by a product of matrices, and a product of as many outputs before it."""

    def __init__(self):
        super().__init__()
        self.body = small_net()[:-1]
        self.mixed, self.last = nn.Parameter(torch.randn(56, 56)), nn.Parameter(torch.randn(56, 1))

    def forward(self, images):
        return self.body(images) @ self.mixed @ self.last


@pytest.mark.parametrize(("network", "ends"), [(TwoHeads, 2), (Products, 1)])
def test_every_layer_of_the_logit_is_in_fp32_and_no_other(network, ends, tmp_path):
    torch.manual_seed(1)
    onnx_model.save_onnx(tmp_path / "model.onnx", network().eval(), SIZE, FACTS)
    quantization._prepare(tmp_path / "prepared.onnx", tmp_path / "model.onnx")
    nodes = {node.name: node.op_type for node in onnx.load(tmp_path / "prepared.onnx").graph.node}
    kept = [nodes[name] for name in quantization._ends(tmp_path / "prepared.onnx")]
    assert sum(kind in {"Gemm", "MatMul"} for kind in kept) == ends
    assert "Conv" not in kept
    assert sum(kind in {"Gemm", "MatMul"} for kind in nodes.values()) == 2


def test_weights_have_a_scale_a_channel_and_methods_differ(source, tmp_path):
    ranges = []
    for method in quantization.METHODS:
        quantization._quantize(tmp_path / "int8.onnx", source, pictures(32), method, [])
        weights, activations = scales(tmp_path / "int8.onnx")
        assert sorted(scale.size for scale in weights) == [8 * n for n in range(1, 8)]
        ranges.append(activations)
    assert ranges[0] != ranges[1] != ranges[2] != ranges[0]


def test_weights_without_channels_are_quantised_without_a_word(tmp_path, caplog):
    """A LayerNorm's: the library logs a warning for each and attempt, of which nobody can make anything."""
    layers = [nn.Conv2d(3, 8, 8, 8), nn.Flatten(2), nn.LayerNorm(16), nn.Flatten(), nn.Linear(128, 1)]
    onnx_model.save_onnx(tmp_path / "model.onnx", nn.Sequential(*layers).eval(), SIZE, FACTS)
    quantization.save_int8(tmp_path / "int8.onnx", tmp_path / "model.onnx", pictures(16), lambda path: 1.0, 0.0)
    assert "LayerNormalization" in {node.op_type for node in onnx.load(tmp_path / "int8.onnx").graph.node}
    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == []
    assert not logging.getLogger().filters, "what else is logged there is heard again"


def test_the_layers_left_in_fp32_are_those_that_move_the_logits_most(source, tmp_path):
    alone = {}
    for name in quantization.layers(source):
        quantization._quantize(tmp_path / "alone.onnx", source, pictures(32), "minmax", [], [name])
        alone[name] = loss(tmp_path / "alone.onnx")
    ranked = quantization._by_loss(tmp_path, source, pictures(32))
    assert sorted(ranked) == sorted(alone)
    assert alone[ranked[0]] < alone[ranked[-1]], "the first one moves them further"
    assert ranked[0] in sorted(alone, key=alone.get)[:2]


@pytest.mark.parametrize(("count", "batches"), [(100, 12), (256, 32), (9, 1), (24, 2), (5, 1)])
def test_calibration_takes_batches_of_one_size_few_at_a_time(source, tmp_path, monkeypatch, count, batches):
    reader = quantization._Images(pictures(count))
    assert len(reader) == batches
    assert len(reader) % reader.stride == 0
    held = []
    collect = HistogramCollector.collect

    def spy(self, data):
        held.append(len(next(iter(data.values()))))
        collect(self, data)

    monkeypatch.setattr(HistogramCollector, "collect", spy)
    quantization._quantize(tmp_path / "int8.onnx", source, pictures(count), "percentile", [])
    assert len(held) == batches / reader.stride
    assert max(held) <= quantization.STRIDE


def test_a_graph_whose_shapes_the_library_does_not_find_is_quantised_all_the_same(source, tmp_path, monkeypatch):
    """Those of ONNX are enough."""
    theirs, plain = quantization.quant_pre_process, tmp_path / "plain.onnx"
    quantization.save_int8(plain, source, pictures(16), lambda _: 1.0, 0.0)

    def stumbles(*paths, skip_symbolic_shape=False):
        if not skip_symbolic_shape:
            raise TypeError("object of type 'NoneType' has no len()")
        theirs(*paths, skip_symbolic_shape=True)

    monkeypatch.setattr(quantization, "quant_pre_process", stumbles)
    quantization.save_int8(tmp_path / "int8.onnx", source, pictures(16), lambda _: 1.0, 0.0)
    assert loss(tmp_path / "int8.onnx") == pytest.approx(loss(plain), rel=0.1)


def test_what_a_killed_attempt_left_goes(source, tmp_path):
    (tmp_path / ".int8.onnx.attempts.1").mkdir()
    (tmp_path / ".int8.onnx.attempts.1/0.onnx").write_bytes(b"half")
    quantization.save_int8(tmp_path / "int8.onnx", source, pictures(32), loss, -1.0)
    assert [p.name for p in tmp_path.iterdir()] == ["int8.onnx"]


def test_it_repeats(source, tmp_path):
    for name in ("a", "b"):
        quantization.save_int8(tmp_path / name, source, pictures(32), loss, -1.0)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
