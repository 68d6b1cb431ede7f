"""A minimal reader of protocol buffers: one message at a time, with known fields only.

The format: https://protobuf.dev/programming-guides/encoding/.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

MAX_FIELDS = 500_000
Message = dict[str, list[Any]]


class ProtobufError(ValueError):
    """The bytes are not a valid message."""


LISTS = ("float_datas", "int32_datas", "int64_datas")
MAX_REPEATED = 64
"""Limit on repeated integers such as dimensions and pads."""


class Reader:
    """Reads one message at a time, as views into the bytes, and bounds the total number of fields."""

    def __init__(self) -> None:
        self._fields = 0

    def __call__(self, content: memoryview, names: dict[int, str]) -> Message:
        found: Message = {name: [] for name in names.values()}
        for number, value in _fields(content):
            self._fields += 1
            if number not in names or self._fields > MAX_FIELDS:
                raise ProtobufError(f"field {number}")
            found[names[number]].append(value)
        return found


def _fields(content: memoryview) -> Iterator[tuple[int, Any]]:
    """(field number, value): an integer for a varint, a view for length-delimited and fixed-size fields."""
    at, end = 0, len(content)
    while at < end:
        tag, at = _varint(content, at)
        number, kind = tag >> 3, tag & 7
        if kind == 0:
            value, at = _varint(content, at)
            yield number, value
            continue
        size = {1: 8, 5: 4}.get(kind)
        if kind == 2:
            size, at = _varint(content, at)
        if size is None or size > end - at or tag >= 2**32:
            raise ProtobufError("a broken field")
        yield number, content[at : at + size]
        at += size


def _varint(content: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for place in range(10):
        if at >= len(content):
            break
        byte = content[at]
        at += 1
        value |= (byte & 127) << 7 * place
        if byte < 128:
            return value, at
    raise ProtobufError("a broken number")


def optional_field(message: Message, name: str, default: Any = None) -> Any:
    """The value of a field that may occur at most once, since readers differ in which of several they use. Raises ProtobufError."""
    found = message.get(name, [])
    if len(found) > 1 or not found and default is None:
        raise ProtobufError(f"{name} {len(found)} times")
    return found[0] if found else default


def text_field(message: Message, name: str) -> str:
    """The value of a text field, which must occur exactly once. Raises ProtobufError."""
    return bytes(optional_field(message, name)).decode("utf-8")


def integers(values: list[Any]) -> list[int]:
    """Signed 64-bit integers of a repeated field, packed or not."""
    found: list[int] = []
    for value in values:
        if isinstance(value, int):
            found.append(value)
            continue
        at = 0
        while at < len(value) and len(found) <= MAX_REPEATED:
            number, at = _varint(value, at)
            found.append(number)
    if len(found) > MAX_REPEATED:
        raise ProtobufError("a list is too long")
    return [(number & (2**64 - 1)) - (2**64 if number >> 63 & 1 else 0) for number in found]


def count_numbers(values: list[Any], name: str) -> float:
    """The number of elements of a repeated field, packed or not; only the last byte of a varint is below 128."""
    if name == "float_datas":
        return sum(map(len, values)) / 4
    return sum(1 if isinstance(each, int) else int(np.count_nonzero(np.frombuffer(each, np.uint8) < 128)) for each in values)
