"""A network as the ONNX file that a browser downloads, with weight-only quantization: a quarter of the size, computed in float32.

Weights are stored in int8 (one scale per output channel, rounded to nearest), and dequantized once, when ONNX Runtime opens the file;
activations are float32. This needs no pictures for calibration, and is more accurate than computing in int8. Layers with few weights
per channel (depthwise convolutions) lose more by rounding, and are stored in float16.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np
import torch
from torch import nn

from fruitvision.data.augment.transforms import EvalTransform, normalize
from fruitvision.errors import CheckpointError
from fruitvision.models.checkpoint import CheckpointConfig
from fruitvision.models.onnx.export import BATCH, LARGEST_DIFFERENCE, OUTPUTS, exported_model, import_onnxruntime
from fruitvision.recognition.classifier import HEATMAP_ZOOM

Weights = Literal["int8", "float32"]

MIN_AGREEMENT = 0.9
"""Minimum share of the checked pictures for which the int8 file's top class must be the same as torch's."""
MIN_INT8_WEIGHTS = 64
"""Layers with fewer weights per output channel are stored in float16."""
HEAD = "head"
"""The name of an output with the last layer's weight, (C, F), which teaching and heatmaps need."""
EXPAND_ONCE = "session.disable_quant_qdq"
"""ONNX Runtime's setting to dequantize int8 weights when the file is opened, instead of for each picture."""


@dataclass(frozen=True)
class WebNetwork:
    """The file, and its comparison with torch."""

    content: bytes
    features: int
    zoom: int
    """The factor by which a picture may be enlarged for a heatmap; 1 if the network accepts only one size."""
    largest_difference: float
    """The largest difference of any logit on the checked pictures."""
    agreement: float
    """The share of the checked pictures for which the top class is the same as torch's."""
    reference: tuple[float, ...]
    """The logits of :func:`reference_picture`, with which a browser checks its own results."""


@torch.inference_mode()
def web_network(network: nn.Module, config: CheckpointConfig, pictures: Sequence[np.ndarray], weights: Weights) -> WebNetwork:
    """Export a network, and check it on ``pictures``, (H, W, 3) uint8.

    Raises CheckpointError "onnx-missing" if a package is not installed, "onnx-differs" or "web-differs" if the file's results differ
    from torch's.
    """
    import_onnxruntime()
    network = network.cpu().eval()
    model = exported_model(network, config.transform.crop, OUTPUTS)
    zoom = _allow_enlarged_input(model, network, config.transform)
    _add_head_output(model, network)
    if weights == "int8":
        _quantize(model)
    content = model.SerializeToString()
    session = open_session(content)
    differences, same = [], []
    for batch in _batches(config.transform, pictures):
        expected, actual = network(batch).logits.numpy(), session.run(["logits"], {"image": batch.numpy()})[0]
        differences.append(float(np.abs(actual - expected).max()))
        same.append(actual.argmax(1) == expected.argmax(1))
    difference, agreement = max(differences), float(np.concatenate(same).mean())
    if weights == "float32" and difference > LARGEST_DIFFERENCE:
        raise CheckpointError("onnx-differs", difference=difference, agreement=agreement)
    if agreement < MIN_AGREEMENT:
        raise CheckpointError("web-differs", difference=difference, agreement=agreement)
    reference = session.run(["logits"], {"image": reference_picture(config.transform)})[0][0]
    features = cast(nn.Linear, network.head).in_features
    return WebNetwork(content, features, zoom, difference, agreement, tuple(round(float(value), 5) for value in reference))


def open_session(content: bytes, threads: int = 0) -> Any:
    """Open the file in the local ONNX Runtime; with ``threads`` 0, it chooses their number."""
    onnxruntime = import_onnxruntime(exporting=False)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry(EXPAND_ONCE, "1")
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def reference_picture(transform: EvalTransform) -> np.ndarray:
    """(1, 3, crop, crop) float32: a test pattern, which ``network.js`` generates too."""
    rows, columns = np.mgrid[: transform.crop, : transform.crop]
    channels = [(columns * 3 + rows * 5 + channel * 80 + ((columns * rows) >> 5)) & 255 for channel in range(3)]
    return normalize(torch.from_numpy(np.stack(channels)[None]), transform.mean, transform.std).numpy().astype(np.float32)


def _batches(transform: EvalTransform, pictures: Sequence[np.ndarray]) -> Iterator[torch.Tensor]:
    for start in range(0, len(pictures), BATCH):
        yield transform.batch(pictures[start : start + BATCH]).contiguous()


def _allow_enlarged_input(model: Any, network: nn.Module, transform: EvalTransform) -> int:
    """Let the file accept enlarged pictures, for finer heatmaps. Returns the zoom for which its results are the same as torch's.

    Convolutions and poolings do not depend on the size at which they were exported. A norm over positions does, and so may the padding
    of a size that is not divisible by two: such a network keeps its one size, and the zoom is 1.
    """
    graph = model.graph
    sizes = [graph.input[0].type.tensor_type.shape.dim, graph.output[OUTPUTS.index("maps")].type.tensor_type.shape.dim]
    before = [[(side.dim_value, side.dim_param) for side in shape] for shape in sizes]
    del graph.value_info[:]
    for shape, names in zip(sizes, (("height", "width"), ("rows", "columns")), strict=True):
        shape[2].dim_param, shape[3].dim_param = names
    generator = torch.Generator().manual_seed(0)
    side = HEATMAP_ZOOM * transform.crop
    picture = torch.randn(1, 3, side, side, generator=generator)
    expected = network(picture).maps.numpy()
    try:
        (actual,) = open_session(model.SerializeToString()).run(["maps"], {"image": picture.numpy()})
        fits = actual.shape == expected.shape and bool(np.abs(actual - expected).max() <= 1e-3 * max(float(np.abs(expected).max()), 1.0))
    except Exception:  # ONNX Runtime's exceptions have no common base class
        fits = False
    if fits:
        return HEATMAP_ZOOM
    for shape, sides in zip(sizes, before, strict=True):
        for dimension, (value, name) in zip(shape, sides, strict=True):
            if not name:
                dimension.dim_value = value
    return 1


def _add_head_output(model: Any, network: nn.Module) -> None:
    """Add the last layer's weight as an output."""
    from onnx import TensorProto, helper, numpy_helper

    weight = cast(nn.Linear, network.head).weight.detach().numpy()
    last = next(node for node in model.graph.node if "logits" in node.output)
    transposed = any(attribute.name == "transB" and attribute.i == 1 for attribute in last.attribute)
    name = last.input[1]
    if last.op_type != "Gemm" or not transposed:
        name = "head_weight"
        model.graph.initializer.append(numpy_helper.from_array(weight, name))
    model.graph.node.append(helper.make_node("Identity", [name], [HEAD], name="head_output"))
    model.graph.output.append(helper.make_tensor_value_info(HEAD, TensorProto.FLOAT, weight.shape))


def _quantize(model: Any) -> None:
    """Store the weights of convolutions and linear layers in int8 or float16, and dequantize them at the beginning of the graph."""
    from onnx import TensorProto, helper, numpy_helper

    graph = model.graph
    initializers = {initializer.name: initializer for initializer in graph.initializer}
    dequantizing = []
    for name in dict.fromkeys(node.input[1] for node in graph.node if node.op_type in ("Conv", "Gemm")):
        if name not in initializers:
            continue
        weight = numpy_helper.to_array(initializers[name])
        graph.initializer.remove(initializers[name])
        if weight[0].size < MIN_INT8_WEIGHTS:
            graph.initializer.append(numpy_helper.from_array(weight.astype(np.float16), f"{name}_float16"))
            dequantizing.append(helper.make_node("Cast", [f"{name}_float16"], [name], to=TensorProto.FLOAT, name=f"{name}_cast"))
            continue
        scale = np.abs(weight.reshape(len(weight), -1)).max(axis=1) / 127
        scale[scale == 0] = 1
        rounded = np.round(weight / scale.reshape(-1, *[1] * (weight.ndim - 1))).astype(np.int8)
        graph.initializer.append(numpy_helper.from_array(rounded, f"{name}_int8"))
        graph.initializer.append(numpy_helper.from_array(scale.astype(np.float32), f"{name}_scale"))
        dequantizing.append(helper.make_node("DequantizeLinear", [f"{name}_int8", f"{name}_scale"], [name], axis=0, name=f"{name}_expand"))
    others = list(graph.node)
    del graph.node[:]
    graph.node.extend(dequantizing + others)
