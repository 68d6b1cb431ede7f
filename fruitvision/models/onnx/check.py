"""Check an untrusted ONNX file before ONNX Runtime reads it.

A file may refer to other files, declare sizes that it does not have, loop endlessly, or expand a few numbers to gigabytes; its
checksum proves nothing, since anyone can compute one. So only graphs as exported by FruitVision are accepted: with known operators,
all constants inside the file, and no nested graphs; and the size of every value is computed for a batch.

The file is a protocol buffer with the messages of https://github.com/onnx/onnx/blob/main/onnx/onnx.proto; unknown fields are rejected.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from fruitvision.errors import Fault
from fruitvision.models.onnx.protobuf import LISTS, Message, ProtobufError, Reader, count_numbers, integers, optional_field, text_field

MAX_NODES = 5_000
MAX_NUMBERS = 2**30
"""Limit on the elements of all values for one batch: 4 GB of float32. ResNet18 under group norm at 224 pixels has 2**28."""
MAX_MULTIPLICATIONS = 2**38
"""Limit on the multiplications for one batch. ResNet18 at 224 pixels takes 2**35."""

_ITEM = {1: 4, 2: 1, 3: 1, 6: 4, 7: 8}
"""The size of an element in bytes, by TensorProto.DataType: float, uint8, int8, int32, int64."""
_INT64 = 7
_SAME_SIZE = {
    "Clip",
    "DequantizeLinear",
    "Erf",
    "HardSigmoid",
    "HardSwish",
    "InstanceNormalization",
    "QuantizeLinear",
    "Reciprocal",
    "Relu",
    "Sigmoid",
    "Sqrt",
    "Tanh",
}
_BROADCAST = {"Add", "Div", "Mul", "Sub"}
_OPSET = 18
"""The first opset in which axes are inputs, as expected here."""

# The allowed fields of each message: number → name. A name in the plural is a repeated field.
_MODEL = {
    1: "ir_version",
    2: "producer_name",
    3: "producer_version",
    4: "domain",
    5: "model_version",
    6: "doc_string",
    7: "graph",
    8: "opsets",
    14: "properties",
}
_OPERATORS = {1: "domain", 2: "version"}
_PROPERTY = {1: "key", 2: "value"}
_GRAPH = {1: "nodes", 2: "name", 5: "constants", 10: "doc_string", 11: "inputs", 12: "outputs", 13: "infos", 16: "properties"}
_NODE = {1: "inputs", 2: "outputs", 3: "name", 4: "op_type", 5: "attributes", 6: "doc_string", 7: "domain", 9: "properties"}
_ATTRIBUTE = {1: "name", 2: "f", 3: "i", 4: "s", 7: "floats", 8: "ints", 13: "doc_string", 20: "type"}
_TENSOR = {
    1: "dims",
    2: "data_type",
    4: "float_datas",
    5: "int32_datas",
    7: "int64_datas",
    8: "name",
    9: "raw_data",
    12: "doc_string",
}
_VALUE = {1: "name", 2: "type", 3: "doc_string", 4: "properties"}

Shape = tuple[int, ...]


class UnsupportedOnnx(Fault):
    """The file has something that an exported network does not have; the sentence is in ``wording/sentences/faults.toml``."""


class _Value(NamedTuple):
    shape: Shape
    numbers: Shape | None = None
    """The value of a list of integers, if it is known."""


class OnnxFile:
    """The top-level message of a file. Raises ProtobufError."""

    def __init__(self, content: bytes) -> None:
        if content[4:8] == b"ORTM":  # ONNX Runtime would read it as its own ORT format
            raise ProtobufError("another format")
        self._read = Reader()
        self._model = self._read(memoryview(content), _MODEL)

    @property
    def properties(self) -> dict[str, str]:
        """The model's metadata. Raises ProtobufError."""
        found: dict[str, str] = {}
        for each in self._model["properties"]:
            entry = self._read(each, _PROPERTY)
            key, value = (bytes(optional_field(entry, name, b"")).decode("utf-8", "replace") for name in ("key", "value"))
            if key in found:
                raise ProtobufError("a property twice")
            found[key] = value
        return found

    def check(self, input_shape: Shape, classes: int) -> None:
        """Raise UnsupportedOnnx unless the graph computes logits (N, classes) and features (N, F) from "image", within the limits above."""
        try:
            self._check(input_shape, classes)
        except UnsupportedOnnx:
            raise
        except (ValueError, LookupError, TypeError, ArithmeticError) as error:
            raise UnsupportedOnnx("onnx-structure") from error

    def _check(self, input_shape: Shape, classes: int) -> None:
        for each in self._model["opsets"]:
            operators = self._read(each, _OPERATORS)
            if not bytes(optional_field(operators, "domain", b"")) and optional_field(operators, "version", 0) < _OPSET:
                raise UnsupportedOnnx("onnx-version")
        graph = self._read(optional_field(self._model, "graph"), _GRAPH)
        if len(graph["nodes"]) > MAX_NODES:
            raise UnsupportedOnnx("onnx-operators", most=MAX_NODES)
        if self._names(graph["inputs"]) != ["image"] or self._names(graph["outputs"]) != ["logits", "features"]:
            raise UnsupportedOnnx("onnx-inputs")
        values = {"image": _Value(input_shape)}
        for each in graph["constants"]:
            name, value = self._constant(self._read(each, _TENSOR))
            _add(values, name, value)
        numbers = work = 0
        for each in graph["nodes"]:
            name, value, more = self._node(self._read(each, _NODE), values)
            _add(values, name, value)
            numbers, work = numbers + math.prod(value.shape), work + more
            if numbers > MAX_NUMBERS or work > MAX_MULTIPLICATIONS:
                raise UnsupportedOnnx("onnx-cost")
        rows = input_shape[0]
        features = values["features"].shape
        if values["logits"].shape != (rows, classes) or len(features) != 2 or features[0] != rows:
            raise UnsupportedOnnx("onnx-outputs")

    def _names(self, infos: list[Any]) -> list[str]:
        return [text_field(self._read(each, _VALUE), "name") for each in infos]

    def _constant(self, tensor: Message) -> tuple[str, _Value]:
        """A constant's name and shape; checks that it has as many elements."""
        name, shape, kind = text_field(tensor, "name"), tuple(integers(tensor["dims"])), optional_field(tensor, "data_type")
        raw = tensor["raw_data"]
        held = [len(one) / _ITEM[kind] for one in raw] + [count_numbers(tensor[one], one) for one in LISTS if tensor[one]]
        if any(side < 0 for side in shape) or (held or [0]) != [math.prod(shape)]:
            raise UnsupportedOnnx("onnx-constant")
        if kind != _INT64 or math.prod(shape) > 16 or len(shape) != 1:
            return name, _Value(shape)
        found = np.frombuffer(raw[0], "<i8").tolist() if raw else integers(tensor["int64_datas"])
        return name, _Value(shape, tuple(found))

    def _node(self, node: Message, values: dict[str, _Value]) -> tuple[str, _Value, int]:
        """The name and shape of an operator's output, and the number of its multiplications."""
        kind, (output,) = text_field(node, "op_type"), node["outputs"]
        rule = _rule(kind)
        if rule is None or bytes(optional_field(node, "domain", b"")):
            raise UnsupportedOnnx("onnx-operator", name=kind[:40])
        attributes: dict[str, Any] = {}
        for each in node["attributes"]:
            attribute = self._read(each, _ATTRIBUTE)
            _add(attributes, text_field(attribute, "name"), attribute)
        given = [values[text] if (text := bytes(name).decode()) else None for name in node["inputs"]]
        value, work = rule(given, attributes)
        return bytes(output).decode(), value, work


# The output shape and the multiplications of each operator --------------------------------


def _rule(kind: str) -> Callable[[list[Any], dict[str, Message]], tuple[_Value, int]] | None:
    if kind in _SAME_SIZE:
        return lambda given, _: (_Value(given[0].shape), 0)
    if kind in _BROADCAST:
        return lambda given, _: (_Value(tuple(np.broadcast_shapes(given[0].shape, given[1].shape))), 0)
    return _RULES.get(kind)


def _conv(given: list[Any], attributes: dict[str, Message]) -> tuple[_Value, int]:
    (rows, channels, *sides), (outside, inside, *kernel) = given[0].shape, given[1].shape
    if channels != inside * _int(attributes, "group", 1) or kernel != _ints(attributes, "kernel_shape", kernel):
        raise UnsupportedOnnx("onnx-convolution")
    shape = (rows, outside, *_slid(sides, kernel, attributes))
    return _Value(shape), math.prod(shape) * inside * math.prod(kernel)


def _max_pool(given: list[Any], attributes: dict[str, Message]) -> tuple[_Value, int]:
    rows, channels, *sides = given[0].shape
    kernel = _ints(attributes, "kernel_shape", [])
    shape = (rows, channels, *_slid(sides, kernel, attributes, more=_int(attributes, "ceil_mode", 0)))
    return _Value(shape), math.prod(shape) * math.prod(kernel)


def _slid(sides: list[int], kernel: list[int], attributes: dict[str, Message], more: int = 0) -> list[int]:
    """The output size of a sliding window."""
    if bytes(optional_field(attributes.get("auto_pad", {}), "s", b"NOTSET")) != b"NOTSET" or len(sides) != 2:
        raise UnsupportedOnnx("onnx-padding")
    pads, steps = _ints(attributes, "pads", [0] * 4), _ints(attributes, "strides", [1, 1])
    spread = _ints(attributes, "dilations", [1, 1])
    if min(pads) < 0 or min(*kernel, *steps, *spread) < 1 or more not in (0, 1):
        raise UnsupportedOnnx("onnx-window")
    made = [
        (side + pads[axis] + pads[axis + 2] - (kernel[axis] - 1) * spread[axis] - 1) // steps[axis] + 1 + more
        for axis, side in enumerate(sides)
    ]
    if min(made) < 1 or len(kernel) != 2 or len(pads) != 4:
        raise UnsupportedOnnx("onnx-window")
    return made


def _gemm(given: list[Any], attributes: dict[str, Message]) -> tuple[_Value, int]:
    rows, inside = given[0].shape[::-1] if _int(attributes, "transA", 0) else given[0].shape
    between, columns = given[1].shape[::-1] if _int(attributes, "transB", 0) else given[1].shape
    if inside != between:
        raise UnsupportedOnnx("onnx-layer")
    return _Value((rows, columns)), rows * inside * columns


def _reduce(given: list[Any], attributes: dict[str, Message]) -> tuple[_Value, int]:
    shape = given[0].shape
    axes = given[1].numbers if len(given) > 1 else ()
    if not axes or not all(-len(shape) <= axis < len(shape) for axis in axes):
        raise UnsupportedOnnx("onnx-mean")
    over = {axis % len(shape) for axis in axes}
    keep = _int(attributes, "keepdims", 1)
    return _Value(tuple(1 if axis in over else side for axis, side in enumerate(shape) if keep or axis not in over)), 0


def _reshape(given: list[Any], attributes: dict[str, Message]) -> tuple[_Value, int]:
    shape, wanted = given[0].shape, given[1].numbers
    if _int(attributes, "allowzero", 0) and 0 in wanted or min(wanted) < -1 or wanted.count(-1) > 1:
        raise UnsupportedOnnx("onnx-reshape")
    made = [shape[axis] if side == 0 else side for axis, side in enumerate(wanted)]
    if -1 in made:
        made[made.index(-1)] = math.prod(shape) // -math.prod(made)
    if math.prod(made) != math.prod(shape):
        raise UnsupportedOnnx("onnx-shape")
    return _Value(tuple(made)), 0


def _shape(given: list[Any], attributes: dict[str, Message]) -> tuple[_Value, int]:
    if _int(attributes, "start", 0) or "end" in attributes:
        raise UnsupportedOnnx("onnx-reshape")
    return _Value((len(given[0].shape),), given[0].shape), 0


_RULES = {
    "Conv": _conv,
    "Gemm": _gemm,
    "MaxPool": _max_pool,
    "ReduceMean": _reduce,
    "ReduceSum": _reduce,
    "Reshape": _reshape,
    "Shape": _shape,
}


def _int(attributes: dict[str, Message], name: str, default: int) -> int:
    return integers([optional_field(attributes.get(name, {}), "i", default)])[0]


def _ints(attributes: dict[str, Message], name: str, default: list[int]) -> list[int]:
    return integers(attributes[name]["ints"]) if name in attributes else default


def _add(known: dict[str, Any], name: str, value: Any) -> None:
    if name in known:
        raise UnsupportedOnnx("onnx-name-twice")
    known[name] = value
