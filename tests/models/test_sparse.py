"""Sparse files give back exactly the rounded weights, in few bytes, the same each time; no other file is accepted:
no damaged one, no other program's, no bomb."""

import re
import struct
import subprocess
import sys
from functools import partial

import numpy as np
import pytest
import torch
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from safetensors import torch as safetensors

from detector.core.errors import DetectorError
from detector.core.files import canonical
from detector.models import checkpoints, networks, sparse
from detector.pruning import masks
from tests.support import ROOT

FORMATS = (ROOT / "docs/formats.md").read_text()
FACTS = {"arch": "resnet18", "branch": "l1-40", "image_size": 224}


def rounded(weight: torch.Tensor, precision: str) -> torch.Tensor:
    """What a file of this precision is meant to hold, by torch's own arithmetic."""
    if not weight.is_floating_point() or weight.ndim < 2 or precision == "fp32":
        return weight
    if precision == "fp16":
        return weight.half().float()
    scale = weight.abs().amax(dim=tuple(range(1, weight.ndim)), keepdim=True) / 127
    return torch.where(scale == 0, 0, (weight / scale).round().clamp(-127, 127) * scale)


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(a[n].dtype == b[n].dtype and torch.equal(a[n], b[n]) for n in a)


def network() -> dict[str, torch.Tensor]:
    """A pruned convolution and what else a state dict holds, with names that a file's own could clash with."""
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(8, 3, 3, 3, generator=generator)
    weight[weight.abs() < 0.4] = 0
    weight[2] = 0
    return {
        "conv": weight.contiguous(memory_format=torch.channels_last),
        "conv.mask": torch.randn(5, generator=generator),
        "mask/conv": torch.randn(2, 3, generator=generator),
        "header": torch.zeros(4, 4),
        "batches": torch.tensor(7),
        "bool": torch.tensor([[True, False]]),
    }


@pytest.mark.parametrize("precision", sparse.PRECISIONS)
def test_a_state_dict_comes_back_rounded_and_no_more(precision, tmp_path):
    weights = network()
    sparse.save(tmp_path / "w.zst", weights, precision, FACTS)
    loaded, facts = sparse.load(tmp_path / "w.zst")
    assert same(loaded, {name: rounded(weight, precision) for name, weight in weights.items()})
    assert facts == FACTS


@settings(deadline=None, max_examples=150)
@given(
    weight=arrays.arrays(
        np.float32,
        arrays.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5),
        elements=st.floats(width=32, allow_nan=False, allow_infinity=False) | st.just(0.0),
    ),
    precision=st.sampled_from(sorted(sparse.PRECISIONS)),
)
def test_any_finite_tensor_comes_back_or_is_refused_by_name(tmp_path_factory, weight, precision):
    """No dimension, no element, all zeros, the smallest and the largest numbers."""
    path = tmp_path_factory.getbasetemp() / "any.zst"
    weights = {"a": torch.from_numpy(weight)}
    expected = {"a": rounded(weights["a"], precision)} if weight.size else weights
    if expected["a"].isfinite().all():
        sparse.save(path, weights, precision, {})
        assert same(sparse.load(path)[0], expected)
    else:
        with pytest.raises(DetectorError, match=f"tensor a holds .* too large for {precision}"):
            sparse.save(path, weights, precision, {})


def test_other_floating_types_are_taken_as_fp32_and_a_shared_tensor_is_no_obstacle(tmp_path):
    bias = torch.randn(3)
    weights = {"a": torch.randn(2, 2).bfloat16(), "b": torch.randn(3).half(), "c": bias, "d": bias}
    sparse.save(tmp_path / "w.zst", weights, "fp32", {})
    assert same(sparse.load(tmp_path / "w.zst")[0], {name: weight.float() for name, weight in weights.items()})


def pruned_resnet(draw) -> dict[str, torch.Tensor]:
    """A ResNet-50 with one logit, weights drawn by `draw(shape)` if given, 40 % pruned by global L1."""
    model = networks.build("resnet50")
    prunable = networks.prunable(model)
    with torch.no_grad():
        for weight in prunable if draw else ():
            weight.copy_(torch.from_numpy(draw(weight.shape)).float() * weight.std())
    masks.apply(prunable, masks.like(prunable, masks.global_l1(prunable, 0.4)))
    return {name: tensor.detach() for name, tensor in model.state_dict().items()}


@pytest.mark.parametrize(
    "draw",
    [None, partial(np.random.default_rng(0).standard_t, 4)],
    ids=["as initialised", "long tails"],
)
def test_files_are_as_small_as_promised(draw, tmp_path):
    weights = pruned_resnet(draw)
    checkpoints.save_weights(tmp_path / "dense", weights)
    dense = (tmp_path / "dense").stat().st_size
    for precision, factor in (("fp32", 1.85), ("fp16", 3.65), ("int8", 6.0)):
        sparse.save(tmp_path / precision, weights, precision, FACTS)
        assert dense / (tmp_path / precision).stat().st_size > factor
    assert same(sparse.load(tmp_path / "int8")[0], {n: rounded(weight, "int8") for n, weight in weights.items()})
    networks.load("resnet50", sparse.load(tmp_path / "fp16")[0])


def test_equal_input_gives_equal_bytes_whatever_the_order_and_the_process(tmp_path):
    sparse.save(tmp_path / "here", network(), "fp16", FACTS)
    code = "import sys; sys.path.insert(0, sys.argv[1]); from tests.models import test_sparse as t; "
    code += "t.sparse.save(sys.argv[2], dict(reversed(t.network().items())), 'fp16', t.FACTS)"
    subprocess.run([sys.executable, "-c", code, ROOT, tmp_path / "there"], check=True)
    assert (tmp_path / "here").read_bytes() == (tmp_path / "there").read_bytes()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("shape", [(3,), (3, 3)])
def test_what_is_no_finite_number_is_refused_and_the_old_file_stays(value, shape, tmp_path):
    path = tmp_path / "w.zst"
    path.write_text("old")
    with pytest.raises(DetectorError, match=r"w\.zst: tensor layer\.weight holds NaN or infinity"):
        sparse.save(path, {"layer.weight": torch.full(shape, value)}, "fp32", {})
    assert path.read_text() == "old"
    assert [found.name for found in tmp_path.iterdir()] == [path.name]


def test_fp16_refuses_what_it_cannot_hold_and_says_what_can(tmp_path):
    weights = {"small": torch.full((1, 2), 1e-9), "large": torch.full((1, 2), -7e4)}
    with pytest.raises(DetectorError, match="tensor large holds a weight of magnitude 70000, .* use fp32"):
        sparse.save(tmp_path / "w.zst", weights, "fp16", {})


def test_an_unknown_precision_is_refused(tmp_path):
    with pytest.raises(DetectorError, match="'int4'; expected one of fp32, fp16, int8"):
        sparse.save(tmp_path / "w.zst", network(), "int4", {})


@pytest.mark.parametrize("precision", sparse.PRECISIONS)
def test_no_damaged_file_is_read(precision, tmp_path):
    """Every shorter length, a byte more, and a flipped bit in each byte. A few bits of zstd mean nothing: such a
    file may be read, to the same weights."""
    path = tmp_path / "w.zst"
    sparse.save(path, network(), precision, FACTS)
    whole, saved = path.read_bytes(), sparse.load(path)[0]
    for content in [whole[:length] for length in range(len(whole))] + [whole + b"\0"]:
        path.write_bytes(content)
        with pytest.raises(DetectorError, match=r"w\.zst: "):
            sparse.load(path)
    refused = 0
    for place in range(len(whole)):
        flipped = bytearray(whole)
        flipped[place] ^= 1 << place % 8
        path.write_bytes(flipped)
        try:
            weights = sparse.load(path)[0]
        except DetectorError:
            refused += 1
        else:
            assert same(weights, saved)
    assert refused > 0.99 * len(whole)


def frame(content: bytes, **options) -> bytes:
    return zstandard.ZstdCompressor(**options).compress(content)


def crafted(change) -> bytes:
    """A file with valid checksums whose tensors and header `change` has had its hands on."""
    header = {"version": 1, "precision": "fp16", "facts": {}, "shapes": {"a": [2, 5]}}
    tensors = {
        "mask/a": torch.tensor([255, 0], dtype=torch.uint8),
        "values/a": torch.ones(2, 8, dtype=torch.uint8),
    }
    change(header, tensors)
    tensors["header"] = torch.frombuffer(bytearray(canonical(header).encode()), dtype=torch.uint8)
    return frame(safetensors.save(tensors, {checkpoints.CHECKSUM: checkpoints.digest(tensors)}))


def test_a_crafted_file_that_nobody_changed_is_read(tmp_path):
    (tmp_path / "w.zst").write_bytes(crafted(lambda header, tensors: None))
    one = np.frombuffer(b"\1\1", ">f2").astype(np.float32)[0]
    assert sparse.load(tmp_path / "w.zst")[0]["a"].tolist() == [[one] * 5, [one] * 3 + [0, 0]]


def stated(size: int) -> bytes:
    """A frame that claims to hold `size` bytes: magic, descriptor (8 bytes of size follow), then one byte."""
    return struct.pack("<IBQ", 0xFD2FB528, 0b11100000, size) + (3 | 1 << 3).to_bytes(3, "little") + b"\0"


CRAFTED = {
    "version": (lambda h, t: h.update(version=2, shapes=None), "version 2; this program reads version 1"),
    "long mask": (lambda h, t: h.update(shapes={"a": [1, 5]}), r"mask/a is uint8 \(2,\), expected uint8 \(1,\)"),
    "short mask": (lambda h, t: h.update(shapes={"a": [5, 5]}), r"mask/a is uint8 \(2,\), expected uint8 \(4,\)"),
    "one bit more": (lambda h, t: t["mask/a"][1].add_(64), r"values/a is uint8 \(2, 8\), expected uint8 \(2, 9\)"),
    "no mask": (lambda h, t: t.pop("mask/a"), r"values/a is uint8 \(2, 8\), expected uint8 \(2, 10\)"),
    "no values": (lambda h, t: t.pop("values/a"), "values/a"),
    "no scale": (lambda h, t: [h.update(precision="int8"), t.update({"values/a": t["values/a"][:1]})], "scale/a"),
    "precision": (lambda h, t: h.update(precision="fp8"), "fp8"),
    "unused": (lambda h, t: h.update(shapes={}), "mask/a"),
    "twice": (lambda h, t: t.update({"exact/a": torch.zeros(1)}), "exact/a"),
    "vast": (lambda h, t: h["shapes"].update(b=[1 << 20, 1 << 20]), "weights of 4,398,046,511,144 bytes"),
    "negative": (lambda h, t: h.update(shapes={"a": [1 << 40, 4], "b": [-1 << 40, 4]}), "the shape of b"),
    "fraction": (lambda h, t: h.update(shapes={"a": [2.0, 5]}), "the shape of a"),
    "one dimension": (lambda h, t: h.update(shapes={"a": [10]}), "the shape of a"),
    "no facts": (lambda h, t: h.pop("facts"), "facts"),
}


@pytest.mark.parametrize("name", CRAFTED)
def test_contradictions_are_refused_where_all_checksums_hold(name, tmp_path):
    change, message = CRAFTED[name]
    (tmp_path / "w.zst").write_bytes(crafted(change))
    with pytest.raises(DetectorError, match=rf"w\.zst: .*{message}"):
        sparse.load(tmp_path / "w.zst")


OTHERS = {
    "empty": (b"", "not a readable file of sparse weights"),
    "pickle": (b"\x80\x04N.", "not a readable file of sparse weights"),
    "safetensors": (safetensors.save({"a": torch.zeros(2, 2)}), "not a readable file of sparse weights"),
    "compressed text": (frame(b"text"), "not a readable file of sparse weights"),
    "compressed safetensors": (frame(safetensors.save({"a": torch.zeros(2, 2)})), "not a readable file"),
    "no size": (frame(b"text", write_content_size=False), "does not say how many bytes it holds"),
    "bomb": (stated(1 << 40), "claims to hold 1,099,511,627,776 bytes, expected 1,073,741,824 at most"),
    "wrong size": (stated(1 << 29), "not a readable file of sparse weights"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_files_are_refused(name, tmp_path):
    content, message = OTHERS[name]
    (tmp_path / "w.zst").write_bytes(content)
    with pytest.raises(DetectorError, match=rf"w\.zst: .*{message}.*; copy it again, or make it again"):
        sparse.load(tmp_path / "w.zst")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DetectorError, match=r"gone\.zst: .*No such file"):
        sparse.load(tmp_path / "gone.zst")


@pytest.mark.parametrize("precision", sparse.PRECISIONS)
def test_the_reader_on_the_page_reads_what_is_written(precision, tmp_path):
    code = re.search(r"```python\n(.*?)```", FORMATS, re.DOTALL).group(1)
    assert len([line for line in code.splitlines() if line]) == 15
    assert "detector" not in code
    sparse.save(tmp_path / "w.zst", network(), precision, FACTS)
    page = {}
    exec(code, page)
    weights, facts = page["read"](tmp_path / "w.zst")
    assert same(
        {name: torch.from_numpy(np.array(weight)) for name, weight in weights.items()},
        sparse.load(tmp_path / "w.zst")[0],
    )
    assert facts == FACTS


@pytest.mark.parametrize("precision", sparse.PRECISIONS)
def test_the_size_is_that_of_the_file_without_facts(tmp_path, precision):
    sparse.save(tmp_path / "x.sparse", network(), precision, {})
    assert sparse.size(network(), precision) == (tmp_path / "x.sparse").stat().st_size
