"""What the coded data of a HEIC or AVIF declare: the sizes in the headers of HEVC and AV1, and how many frames and slices follow.

Only as much is parsed as bounds the decoder's memory and time.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from fruitvision.data.read.formats.picture_file import MAX_PARTS, too_many_parts, unsupported

MAX_FRAMES = 4
"""The limit on frames of an AV1 picture, which may have several layers."""
MAX_HEADERS = 32
"""Limit on units in a decoder configuration, which is read again for each tile, and on headers in coded data that declare a size."""


class CodedPicture(NamedTuple):
    """The sizes declared by coded data."""

    sizes: list[tuple[int, int]]
    """In its headers."""
    frames: int = 1
    slices: int = 0
    most: int = 0
    """The pixels that a frame could have which names a size of its own."""
    units: int = 0


def parse_hevc(config: bytes, content: bytes, name: str) -> CodedPicture:
    """HEVC (H.265, 7.3): one picture in the NAL units of the configuration and of the item."""
    sizes, frames, slices = [], 0, 0
    if config[21] & 3 != 3:
        raise ValueError("lengths of another size than decoders read")
    units = (*_configured(config, name), *_prefixed(content, name))
    for unit in units:
        if len(unit) < 3:
            continue
        kind, layer = unit[0] >> 1 & 63, (unit[0] & 1) << 5 | unit[1] >> 3
        if kind < 32:
            frames += unit[2] >> 7
            slices += 1
        elif kind == 33 and not layer:
            if len(sizes) == MAX_HEADERS:
                raise too_many_parts(name, "headers", MAX_HEADERS)
            sizes.append(_sps_size(unit))
    if frames > 1:
        raise unsupported(name, "HEIF, several frames in one picture")
    return CodedPicture(sizes, slices=slices, units=len(units))


def _configured(config: bytes, name: str) -> Iterator[bytes]:
    """The first bytes of each NAL unit of a configuration."""
    at, units = 23, 0
    for _ in range(config[22]):
        (count,) = struct.unpack_from(">H", config, at + 1)
        at, units = at + 3, units + count
        if units > MAX_HEADERS:
            raise too_many_parts(name, "units", MAX_HEADERS)
        for _ in range(count):
            (length,) = struct.unpack_from(">H", config, at)
            yield config[at + 2 : at + 2 + min(length, 1024)]
            at += 2 + length


def _prefixed(content: bytes, name: str) -> Iterator[bytes]:
    """The first bytes of each NAL unit, which its length in four bytes precedes."""
    at = 0
    for _ in range(MAX_PARTS):
        if at + 4 > len(content):
            return
        length = int.from_bytes(content[at : at + 4])
        yield content[at + 4 : at + 4 + min(length, 1024)]
        at += 4 + length
    raise too_many_parts(name, "slices")


def _sps_size(unit: bytes) -> tuple[int, int]:
    """(width, height) from a sequence parameter set (7.3.2.2)."""
    bits = _Bits(unit[2:].replace(b"\0\0\3", b"\0\0"))
    bits.take(4)
    layers = bits.take(3)
    bits.take(1 + 96)
    present = [(bits.take(1), bits.take(1)) for _ in range(layers)]
    bits.take(2 * (8 - layers) if layers else 0)
    for profile, level in present:
        bits.take(88 * profile + 8 * level)
    bits.golomb()
    if bits.golomb() == 3:
        bits.take(1)
    return bits.golomb(), bits.golomb()


def parse_av1(config: bytes, content: bytes, name: str) -> CodedPicture:
    """AV1 (bitstream specification, 5.3): the open bitstream units of the configuration and of the item."""
    sizes, frames, most, units = [], 0, 0, 0
    sequence: _Sequence | None = None
    for part, limit in ((config[4:], MAX_HEADERS), (content, MAX_PARTS)):
        at = 0
        for number in range(limit):
            if at >= len(part):
                units += number
                break
            head, at = part[at], at + 1 + (part[at] >> 2 & 1)
            length, at = _leb128(part, at) if head & 2 else (len(part) - at, at)
            kind, body, at = head >> 3 & 15, part[at : at + min(length, 1024)], at + length
            if kind == 1:
                if len(sizes) == MAX_HEADERS:
                    raise too_many_parts(name, "headers", MAX_HEADERS)
                sequence = _sequence(body)
                sizes.append(sequence.size)
            elif kind in (3, 6, 7):
                frames += 1
                if sequence is not None and _may_resize(body, sequence):
                    most = max(most, sequence.most)
        else:
            raise too_many_parts(name, "units", limit)
    if frames > MAX_FRAMES:
        raise too_many_parts(name, "frames", MAX_FRAMES)
    return CodedPicture(sizes, max(frames, 1), most=most, units=units)


def _leb128(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 56, 7):
        byte, at = data[at], at + 1
        value |= (byte & 127) << shift
        if byte < 128:
            break
    return value, at


class _Sequence(NamedTuple):
    """What a sequence header of AV1 says (5.5)."""

    size: tuple[int, int]
    most: int
    """The pixels of the largest frame that a frame header could name in as many bits."""
    reduced: bool
    """The header of a still picture alone, with which no frame names a size."""
    timing_bits: int
    """Of the time at which a shown frame is presented."""
    screen_content: int
    """Whether frames use tools for screen content: 0 no, 1 yes, 2 each frame says so."""
    integer_motion: int
    """The same of whole motion vectors."""
    id_bits: int
    """Of a frame's number; 0 without."""


def _sequence(body: bytes) -> _Sequence:
    bits = _Bits(body)
    bits.take(4)
    reduced = bool(bits.take(1))
    timing_bits = 0
    if reduced:
        bits.take(5)
    else:
        delay, equal = 0, 0
        if bits.take(1):
            bits.take(64)
            equal = bits.take(1)
            if equal:
                bits.golomb()
            if bits.take(1):
                delay = bits.take(5) + 1
                bits.take(32 + 5)
                timing_bits = 0 if equal else bits.take(5) + 1
                bits.take(5 if equal else 0)
        display = bits.take(1)
        for _ in range(bits.take(5) + 1):
            bits.take(12)
            if bits.take(5) > 7:
                bits.take(1)
            if delay and bits.take(1):
                bits.take(2 * delay + 1)
            if display and bits.take(1):
                bits.take(4)
    wide, high = bits.take(4) + 1, bits.take(4) + 1
    size = bits.take(wide) + 1, bits.take(high) + 1
    if reduced:
        return _Sequence(size, 0, True, 0, 2, 2, 0)
    id_bits = 0
    if bits.take(1):
        id_bits = bits.take(4) + 2
        id_bits += bits.take(3) + 1
    bits.take(3 + 4)
    if bits.take(1):  # order hints
        bits.take(2)
    screen_content = 2 if bits.take(1) else bits.take(1)
    integer_motion = 2 if not screen_content or bits.take(1) else bits.take(1)
    return _Sequence(size, 1 << wide + high, False, timing_bits, screen_content, integer_motion, id_bits)


def _may_resize(body: bytes, sequence: _Sequence) -> bool:
    """Whether a frame header (5.9.2) names a size of its own, or may take one from elsewhere."""
    if sequence.reduced:
        return False
    bits = _Bits(body)
    try:
        shows_another, kind, shown = bits.take(1), bits.take(2), bits.take(1)
        if shows_another or kind or not shown:  # all but a key frame that is shown
            return True
        bits.take(sequence.timing_bits)
        bits.take(1)
        screen_content = bits.take(1) if sequence.screen_content == 2 else sequence.screen_content
        if screen_content and sequence.integer_motion == 2:
            bits.take(1)
        bits.take(sequence.id_bits)
        return bool(bits.take(1))
    except ValueError:
        return True


class _Bits:
    """A reader of bits, most significant first. Raises ValueError at the end."""

    def __init__(self, data: bytes) -> None:
        self._value, self._left = int.from_bytes(data), 8 * len(data)

    def take(self, count: int) -> int:
        self._left -= count
        if self._left < 0:
            raise ValueError("a header is cut off")
        return self._value >> self._left & (1 << count) - 1

    def golomb(self) -> int:
        """An unsigned Exp-Golomb number of at most 32 bits."""
        zeros = 0
        while not self.take(1):
            zeros += 1
            if zeros > 32:
                raise ValueError("no number")
        return (1 << zeros | self.take(zeros)) - 1
