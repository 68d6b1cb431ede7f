"""A network as the ONNX file that a browser downloads: a quarter of the size, computed in float32.

With weights in int8 (one scale for each output channel, rounded to nearest) ONNX Runtime expands them once, when it opens the
file; activations stay float32. So no pictures are needed for calibration, and answers differ less than those of a network that
computes in int8. What has few weights to a channel (depthwise convolutions) loses more by rounding and is stored as float16.
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
"""The share of the checked pictures for which the int8 file's best class must be torch's."""
FEW_WEIGHTS = 64
"""To an output channel: fewer are stored as float16."""
HEAD = "head"
"""The output that is the last layer's weight, (C, F): teaching and heatmaps need it, and it is in the file already."""
EXPAND_ONCE = "session.disable_quant_qdq"
"""ONNX Runtime's setting that lets it expand int8 weights when the file is opened, and not for each picture."""


@dataclass(frozen=True)
class WebNetwork:
    """The file, and how it compares with torch."""

    content: bytes
    features: int
    zoom: int
    """By which a picture may be enlarged for a heatmap: 1 where the network takes one size only."""
    largest_difference: float
    """Of any logit of the checked pictures."""
    agreement: float
    """The share of the checked pictures whose best class is torch's."""
    reference: tuple[float, ...]
    """The logits of :func:`reference_picture`, by which a browser checks that it computes the same."""


@torch.inference_mode()
def web_network(network: nn.Module, config: CheckpointConfig, pictures: Sequence[np.ndarray], weights: Weights) -> WebNetwork:
    """Export, check and return a network; ``pictures`` are (H, W, 3) uint8.

    Raises CheckpointError "onnx-missing" where a package is not installed, "onnx-differs" or "web-differs" where the file's
    answers are not those of torch.
    """
    import_onnxruntime()
    network = network.cpu().eval()
    model = exported_model(network, config.transform.crop, OUTPUTS)
    zoom = _any_size(model, network, config.transform)
    _add_head(model, network)
    if weights == "int8":
        _smaller(model)
    content = model.SerializeToString()
    session = open_session(content)
    differences, same = [], []
    for batch in _batches(config.transform, pictures):
        expected, found = network(batch).logits.numpy(), session.run(["logits"], {"image": batch.numpy()})[0]
        differences.append(float(np.abs(found - expected).max()))
        same.append(found.argmax(1) == expected.argmax(1))
    difference, agreement = max(differences), float(np.concatenate(same).mean())
    if weights == "float32" and difference > LARGEST_DIFFERENCE:
        raise CheckpointError("onnx-differs", difference=difference, agreement=agreement)
    if agreement < MIN_AGREEMENT:
        raise CheckpointError("web-differs", difference=difference, agreement=agreement)
    known = session.run(["logits"], {"image": reference_picture(config.transform)})[0][0]
    features = cast(nn.Linear, network.head).in_features
    return WebNetwork(content, features, zoom, difference, agreement, tuple(round(float(value), 5) for value in known))


def open_session(content: bytes, threads: int = 0) -> Any:
    """The file in this computer's own ONNX Runtime; ``threads`` 0 leaves their number to it."""
    onnxruntime = import_onnxruntime(exporting=False)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry(EXPAND_ONCE, "1")
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def reference_picture(transform: EvalTransform) -> np.ndarray:
    """(1, 3, crop, crop) float32: a pattern that ``network.js`` draws too."""
    rows, columns = np.mgrid[: transform.crop, : transform.crop]
    channels = [(columns * 3 + rows * 5 + channel * 80 + ((columns * rows) >> 5)) & 255 for channel in range(3)]
    return normalize(torch.from_numpy(np.stack(channels)[None]), transform.mean, transform.std).numpy().astype(np.float32)


def _batches(transform: EvalTransform, pictures: Sequence[np.ndarray]) -> Iterator[torch.Tensor]:
    for start in range(0, len(pictures), BATCH):
        yield transform.batch(pictures[start : start + BATCH]).contiguous()


def _any_size(model: Any, network: nn.Module, transform: EvalTransform) -> int:
    """Let the file take enlarged pictures, for heatmaps with smaller cells; returns the zoom that it computes as torch does.

    Convolutions and poolings do not depend on the size that they were exported at. A norm over positions does, and so may
    the padding of a size that does not halve evenly: such a network keeps its one size.
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
        (found,) = open_session(model.SerializeToString()).run(["maps"], {"image": picture.numpy()})
        fits = found.shape == expected.shape and bool(np.abs(found - expected).max() <= 1e-3 * max(float(np.abs(expected).max()), 1.0))
    except Exception:  # ONNX Runtime's own classes have no common one
        fits = False
    if fits:
        return HEATMAP_ZOOM
    for shape, sides in zip(sizes, before, strict=True):
        for dimension, (value, name) in zip(shape, sides, strict=True):
            if not name:
                dimension.dim_value = value
    return 1


def _add_head(model: Any, network: nn.Module) -> None:
    """Make the last layer's weight an output."""
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


def _smaller(model: Any) -> None:
    """Store the weights of convolutions and linear layers as int8 or float16, and expand them at the graph's beginning."""
    from onnx import TensorProto, helper, numpy_helper

    graph = model.graph
    held = {constant.name: constant for constant in graph.initializer}
    expanding = []
    for name in dict.fromkeys(node.input[1] for node in graph.node if node.op_type in ("Conv", "Gemm")):
        if name not in held:
            continue
        weight = numpy_helper.to_array(held[name])
        graph.initializer.remove(held[name])
        if weight[0].size < FEW_WEIGHTS:
            graph.initializer.append(numpy_helper.from_array(weight.astype(np.float16), f"{name}_float16"))
            expanding.append(helper.make_node("Cast", [f"{name}_float16"], [name], to=TensorProto.FLOAT, name=f"{name}_cast"))
            continue
        scale = np.abs(weight.reshape(len(weight), -1)).max(axis=1) / 127
        scale[scale == 0] = 1
        rounded = np.round(weight / scale.reshape(-1, *[1] * (weight.ndim - 1))).astype(np.int8)
        graph.initializer.append(numpy_helper.from_array(rounded, f"{name}_int8"))
        graph.initializer.append(numpy_helper.from_array(scale.astype(np.float32), f"{name}_scale"))
        expanding.append(helper.make_node("DequantizeLinear", [f"{name}_int8", f"{name}_scale"], [name], axis=0, name=f"{name}_expand"))
    others = list(graph.node)
    del graph.node[:]
    graph.node.extend(expanding + others)
