"""Hostile ONNX files, each with a digest that its maker computed: refused before ONNX Runtime sees them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from fruitvision.data.augment.transforms import EvalTransform
from fruitvision.errors import CheckpointError
from fruitvision.models.checkpoint import CheckpointConfig
from fruitvision.models.networks import build_network
from fruitvision.models.onnx import check, export
from fruitvision.models.onnx.check import OnnxFile
from fruitvision.models.onnx.export import CHECKSUM, METADATA, open_onnx

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from tests.sentences import is_worded  # noqa: E402

CLASSES, SIDE = ("Apple", "Banana", "Kiwi"), 8
FLOAT = TensorProto.FLOAT


def _constant(name: str, values: object, kind: type = np.float32) -> TensorProto:
    return numpy_helper.from_array(np.array(values, kind), name)


def _model(*nodes: onnx.NodeProto, constants: tuple[TensorProto, ...] = ()) -> onnx.ModelProto:
    """A network that takes the mean of each colour, and whatever else is asked for of a picture."""
    info = helper.make_tensor_value_info
    nodes = (
        helper.make_node("ReduceMean", ["image", "axes"], ["features"], keepdims=0),
        helper.make_node("Gemm", ["features", "weight"], ["logits"]),
        *nodes,
    )
    constants = (_constant("axes", [2, 3], np.int64), _constant("weight", np.eye(3)), *constants)
    graph = helper.make_graph(
        nodes,
        "network",
        [info("image", FLOAT, ["batch", 3, SIDE, SIDE])],
        [info("logits", FLOAT, ["batch", 3]), info("features", FLOAT, ["batch", 3])],
        constants,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def _signed(model: onnx.ModelProto, path: Path, more: bytes = b"") -> Path:
    """The file as one makes it who has read how the digest is computed."""
    config = CheckpointConfig(classes=CLASSES, fruit_types=CLASSES, transform=EvalTransform(resize=SIDE, crop=SIDE))
    model.metadata_props.add(key=METADATA, value=config.model_dump_json())
    model.metadata_props.add(key=CHECKSUM, value="0" * 64)
    content = model.SerializeToString() + more
    path.write_bytes(content.replace(b"0" * 64, hashlib.sha256(content).hexdigest().encode()))
    return path


def _graph() -> onnx.GraphProto:
    return helper.make_graph([], "inside", [], [])


def _endless() -> onnx.ModelProto:
    info = helper.make_tensor_value_info
    true = helper.make_node("Constant", [], ["on"], value=helper.make_tensor("t", TensorProto.BOOL, [], [True]))
    body = helper.make_graph(
        [helper.make_node("Identity", ["before"], ["after"]), helper.make_node("Identity", ["a"], ["b"])],
        "body",
        [info("turn", TensorProto.INT64, []), info("before", TensorProto.BOOL, []), info("a", FLOAT, None)],
        [info("after", TensorProto.BOOL, []), info("b", FLOAT, None)],
    )
    return _model(true, helper.make_node("Loop", ["", "on", "image"], ["x"], body=body))


def _nested() -> onnx.ModelProto:
    inside = _graph()
    for _ in range(20):
        inside = helper.make_graph([helper.make_node("If", ["on"], [], then_branch=inside, else_branch=_graph())], "deep", [], [])
    return _model(helper.make_node("If", ["on"], [], then_branch=inside, else_branch=_graph()))


def _elsewhere(location: str) -> onnx.ModelProto:
    model = _model()
    weight = model.graph.initializer[1]
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    weight.external_data.add(key="location", value=location)
    return model


def _changed(change: Callable[[onnx.ModelProto], object]) -> onnx.ModelProto:
    model = _model()
    change(model)
    return model


def _larger(model: onnx.ModelProto) -> None:
    model.graph.initializer[1].dims[:] = [3, 2**40]


def _window(kind: str, **attributes: list[int]) -> onnx.ModelProto:
    weight = _constant("kernel", np.zeros((1, 3, 3, 3)))
    return _model(helper.make_node(kind, ["image", "kernel"] if kind == "Conv" else ["image"], ["out"], **attributes), constants=(weight,))


def _outer_product() -> onnx.ModelProto:
    """A column and a row of 3,072 numbers, and what they make of each other, and that again: 10^13 of them."""
    nodes = [
        helper.make_node("Reshape", ["image", "column"], ["a0"]),
        helper.make_node("Reshape", ["image", "row"], ["b0"]),
        helper.make_node("Mul", ["a0", "b0"], ["m0"]),
        helper.make_node("Reshape", ["m0", "column"], ["a1"]),
        helper.make_node("Reshape", ["m0", "row"], ["b1"]),
        helper.make_node("Mul", ["a1", "b1"], ["m1"]),
    ]
    return _model(*nodes, constants=(_constant("column", [-1, 1], np.int64), _constant("row", [1, -1], np.int64)))


HOSTILE = {
    "a file of this computer": lambda: _elsewhere("/etc/passwd"),
    "a place in memory": lambda: _elsewhere("*/_ORT_MEM_ADDR_/*"),
    "a constant that declares terabytes": lambda: _changed(_larger),
    "a constant that holds less than it declares": lambda: _model(
        constants=(TensorProto(name="unused", data_type=FLOAT, dims=[2**20], raw_data=bytes(4)),)
    ),
    "a list of fewer numbers": lambda: _model(
        constants=(TensorProto(name="unused", data_type=TensorProto.INT32, dims=[2**20], int32_data=[1, 2**30]),)
    ),
    "a negative size": lambda: _changed(lambda m: m.graph.initializer[1].dims.__setitem__(0, -3)),
    "an endless loop": _endless,
    "a condition": lambda: _model(helper.make_node("If", ["on"], ["x"], then_branch=_graph(), else_branch=_graph())),
    "a scan": lambda: _model(helper.make_node("Scan", ["image"], ["x"], body=_graph(), num_scan_inputs=1)),
    "graphs in graphs": _nested,
    "a graph in a known operator": lambda: _model(helper.make_node("Relu", ["image"], ["x"], body=_graph())),
    "a tensor in a known operator": lambda: _model(helper.make_node("Relu", ["image"], ["x"], value=_constant("", [1]))),
    "much from a shape": lambda: _model(
        helper.make_node("ConstantOfShape", ["shape"], ["x"]), constants=(_constant("shape", [2**40], np.int64),)
    ),
    "expanding": lambda: _model(helper.make_node("Expand", ["image", "shape"], ["x"]), constants=(_constant("shape", [2**40], np.int64),)),
    "tiling": lambda: _model(helper.make_node("Tile", ["image", "times"], ["x"]), constants=(_constant("times", [9] * 4, np.int64),)),
    "products that grow": _outer_product,
    "wide margins": lambda: _window("Conv", pads=[2**20] * 4),
    "margins beyond counting": lambda: _window("Conv", pads=[2**62] * 4),
    "a step of none": lambda: _window("Conv", strides=[0, 0]),
    "another window than the weights": lambda: _window("Conv", kernel_shape=[1, 1]),
    "a pool that is counted against the work": lambda: _window("MaxPool", kernel_shape=[-3, 3]),
    "a wide pool": lambda: _window("MaxPool", kernel_shape=[2**20] * 2, pads=[2**19] * 4),
    "padding by a name": lambda: _window("Conv", auto_pad="SAME_UPPER"),
    "somebody's own operator": lambda: _model(helper.make_node("Relu", ["image"], ["x"], domain="somebody")),
    "a function": lambda: _changed(lambda m: m.functions.add(name="f", domain="g")),
    "a training": lambda: _changed(lambda m: m.training_info.add()),
    "a sparse constant": lambda: _changed(lambda m: m.graph.sparse_initializer.add()),
    "one name for two": lambda: _model(helper.make_node("Relu", ["image"], ["image"])),
    "a value from nowhere": lambda: _model(helper.make_node("Relu", ["nowhere"], ["x"])),
    "many operators": lambda: _model(*(helper.make_node("Relu", ["image"], [f"x{n}"]) for n in range(5_001))),
    "an older meaning": lambda: _changed(lambda m: m.opset_import[0].__setattr__("version", 11)),
    "more classes than names": lambda: _changed(lambda m: m.graph.initializer[1].CopyFrom(_constant("weight", np.ones((3, 4))))),
    "ONNX Runtime's other format": lambda: _changed(lambda m: m.__setattr__("producer_name", "ORTM")),
    "another input": lambda: _changed(lambda m: m.graph.input.add(name="weight")),
}


def test_the_network_that_all_are_made_of_is_opened_and_answers_many_at_once(tmp_path: Path) -> None:
    network, config = open_onnx(_signed(_model(), tmp_path / "model.onnx"))
    assert config.classes == CLASSES
    pictures = torch.rand(37, 3, SIDE, SIDE)
    seen, run = [], network._session.run
    network._session = SimpleNamespace(run=lambda names, given: (seen.append(len(given["image"])), run(names, given))[1])
    torch.testing.assert_close(network(pictures).features, pictures.mean(dim=(2, 3)))
    assert seen == [16, 16, 5]  # never more than it was checked for


@pytest.mark.parametrize("name", HOSTILE)
def test_what_no_network_of_ours_asks_for_is_refused_before_onnx_runtime_sees_it(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _signed(HOSTILE[name](), tmp_path / "model.onnx")
    monkeypatch.setattr(onnxruntime, "InferenceSession", lambda *_, **__: pytest.fail("ONNX Runtime was given the file"))
    with pytest.raises(CheckpointError, match="was not opened|was changed after it was exported") as caught:
        open_onnx(path)
    assert caught.value.code in ("onnx-refused", "onnx-damaged") and is_worded(caught.value)


def test_files_that_never_end_are_too_large_or_of_another_format_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _signed(_model(), tmp_path / "model.onnx")
    monkeypatch.setattr(onnxruntime, "InferenceSession", lambda *_, **__: pytest.fail("ONNX Runtime was given the file"))
    content = path.read_bytes()
    for changed in (content + b"\x08", content + b"\x0b", content + b"\xf2\x07\0", content * 2):
        path.write_bytes(changed)  # a cut number, a group, a field of none of ours, everything twice
        with pytest.raises(CheckpointError):
            open_onnx(path)
    for more in (b"\x3a\x00", b"\x72\x04\x0a\x00\x12\x00" * 2):  # a second graph, which some readers add to the first; a name twice
        _signed(_model(), path, more)
        with pytest.raises(CheckpointError):
            open_onnx(path)
    monkeypatch.setattr(export, "MAX_BYTES", 1000)
    path.write_bytes(bytes(1001))
    with pytest.raises(CheckpointError, match="larger than"):
        open_onnx(path)
    if os.name != "nt":
        os.mkfifo(tmp_path / "pipe.onnx")
        (tmp_path / "zero.onnx").symlink_to("/dev/zero")
        for name in ("pipe.onnx", "zero.onnx"):
            with pytest.raises(CheckpointError, match="not a file"):
                open_onnx(tmp_path / name)


NETWORKS = [("resnet18", norm) for norm in ("batch", "layer", "instance", "group", "group-ws", "none")]
NETWORKS += [("tf_efficientnet_lite0", "own")]


@pytest.mark.slow
@pytest.mark.parametrize(("architecture", "norm"), NETWORKS)
def test_what_is_exported_asks_for_these_operators_alone(architecture: str, norm: str) -> None:
    pytest.importorskip("onnxscript")
    network = build_network(architecture, num_classes=3, norm=norm, width=8, seed=0).eval()
    model = export.exported_model(network, 64, export.OUTPUTS[:2])
    made = [model]
    if norm in ("batch", "none", "instance") or architecture == "tf_efficientnet_lite0":  # ONNX Runtime quantizes no others
        made.append(export._quantized(model, iter([np.random.default_rng(0).random((2, 3, 64, 64), np.float32)])))
    for each in made:
        assert {node.op_type for node in each.graph.node} <= {*check._SAME_SIZE, *check._BROADCAST, *check._RULES}
        OnnxFile(each.SerializeToString()).check((16, 3, 64, 64), 3)
        OnnxFile(each.SerializeToString()).check((16, 3, 260, 260), 3)
