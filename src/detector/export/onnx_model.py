"""ONNX export: uint8 images in, one logit per image out, preprocessing and calibration in the metadata."""

import json
import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper
from torch import nn

from detector.core.files import replacing
from detector.imaging.normalisation import IMAGENET, Normalisation
from detector.models.batches import affine

INPUT, OUTPUT = "image", "logit"
OPSET = 20
SMALL = 1024  # values; smaller tensors are not worth a rounding
SCALING = ("scale", "shift")  # of pixels


class FromBytes(nn.Module):
    """The network with the last step of its preprocessing in front: uint8 (n, size, size, 3) to float32 (n,).

    Pixels are scaled by rows, each a vector of 3 · size values with a factor for each. Where the first convolution
    is in int8, ONNX Runtime moves the change of layout behind the scaling; with a factor for each of 3 channels,
    the innermost dimension then, that took a fifth of EfficientNet-Lite0's time at 224 px.
    """

    def __init__(self, network: nn.Module, image_size: int, normalisation: Normalisation = IMAGENET):
        super().__init__()
        self.network = network
        for name, values in zip(SCALING, affine(normalisation), strict=True):
            self.register_buffer(name, values.flatten().repeat(image_size))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits float32 (n,) of images uint8 (n, size, size, 3)."""
        rows = images.flatten(2).to(torch.float32) * self.scale + self.shift
        # Contiguous: of channels last, exported pooling ends in a dozen nodes that compute where its values lie.
        pixels = rows.unflatten(2, images.shape[2:]).permute(0, 3, 1, 2).contiguous()
        return self.network(pixels).squeeze(1)


def save_onnx(path: Path, network: nn.Module, image_size: int, facts: Mapping) -> None:
    """Write `network` as ONNX in fp32, for any number of images at a time.

    `image_size`: pixels a side. `facts` go into the file's metadata, text as it is, anything else as JSON; the
    normalisation that they name is what the file does (`imaging.normalisation`). Equal networks and facts give
    equal bytes.
    """
    example = torch.zeros(2, image_size, image_size, 3, dtype=torch.uint8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own, about its own code
        program = torch.onnx.export(
            *(FromBytes(network, image_size, Normalisation.of(facts)).eval(), (example,)),
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    model = program.model_proto
    _strip(model.graph)
    del model.metadata_props[:]
    helper.set_model_props(model, {key: _text(value) for key, value in facts.items()})
    write(path, model)


def save_half(path: Path, source: Path) -> None:
    """Write the model `source` with its weights in fp16, half the bytes.

    A weight beyond fp16's range stays in fp32, and so does what pixels are scaled by. A runtime casts the others
    back when it loads the file and computes in fp32, since CPUs have no kernels for fp16: as fast as `source`, and
    as accurate but for the rounding.
    """
    model = onnx.load(source)
    graph = model.graph
    casts = []
    for tensor in graph.initializer:
        values = numpy_helper.to_array(tensor)
        limit = np.finfo(np.float16).max
        if values.dtype != np.float32 or values.size < SMALL or np.abs(values).max() > limit:
            continue
        if tensor.name in SCALING:  # from 342 px on it has as many values
            continue
        name = tensor.name
        tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), f"{name}.fp16"))
        casts.append(helper.make_node("Cast", [tensor.name], [name], f"{name}.cast", to=onnx.TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    set_facts(model, {"precision": "fp16"})
    write(path, model)


def set_facts(model: onnx.ModelProto, facts: Mapping) -> None:
    """Set entries of a model's metadata."""
    known = {entry.key: entry.value for entry in model.metadata_props}
    helper.set_model_props(model, known | {key: _text(value) for key, value in facts.items()})


def write(path: Path, model: onnx.ModelProto) -> None:
    """Check a model and write it atomically."""
    onnx.checker.check_model(model)
    with replacing(path) as temporary:
        temporary.write_bytes(model.SerializeToString(deterministic=True))


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)


def _strip(graph: onnx.GraphProto) -> None:
    """Take out what the exporter notes for its own debugging: stack traces with the paths of this machine."""
    for part in (graph, *graph.node, *graph.input, *graph.output, *graph.initializer):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    graph.ClearField("value_info")
