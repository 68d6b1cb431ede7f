"""ICC color profiles as cameras, screens and printing presses have them, made from their figures."""

from __future__ import annotations

import itertools
import struct

P3 = (0.51512, 0.24120, -0.00105, 0.29198, 0.69225, 0.04189, 0.15710, 0.06657, 0.78407)
ADOBE = (0.60974, 0.31111, 0.01947, 0.20528, 0.62567, 0.06087, 0.14919, 0.06322, 0.74457)
SRGB = (0.43607, 0.22249, 0.01392, 0.38515, 0.71687, 0.09708, 0.14307, 0.06061, 0.71410)


def profile(space: bytes, connection: bytes, tags: dict[bytes, bytes]) -> bytes:
    """A profile of version 2 with these tags."""
    table, body, at = b"", b"", 132 + 12 * len(tags)
    for kind, content in tags.items():
        content += bytes(-len(content) % 4)
        table += struct.pack(">4sII", kind, at + len(body), len(content))
        body += content
    head = struct.pack(">I4sI4s4s4s", at + len(body), b"test", 0x02100000, b"mntr", space, connection) + bytes(12) + b"acsp" + bytes(28)
    return head + struct.pack(">iii", 63190, 65536, 54061) + bytes(48) + struct.pack(">I", len(tags)) + table + body


def rgb_profile(colorants: tuple[float, ...], gamma: float = 2.2, **more: bytes) -> bytes:
    """Of a camera or screen: (X, Y, Z) of red, green and blue, and one curve."""
    numbers = [round(value * 65536) for value in colorants]
    xyz = {kind: b"XYZ " + bytes(4) + struct.pack(">iii", *numbers[n : n + 3]) for kind, n in ((b"rXYZ", 0), (b"gXYZ", 3), (b"bXYZ", 6))}
    curve = b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256))
    return profile(b"RGB ", b"XYZ ", {**xyz, b"rTRC": curve, b"gTRC": curve, b"bTRC": curve, **{k.encode(): v for k, v in more.items()}})


def cmyk_profile() -> bytes:
    """Of a press whose cyan ink is green, and whose others are as black as they are much."""
    even = bytes(range(256))
    colors = bytearray()
    for cyan, *others in itertools.product((0, 1), repeat=4):
        colors += bytes((0, 128, 128) if any(others) else (150, 60, 180) if cyan else (255, 128, 128))
    head = b"mft1" + bytes(4) + bytes((4, 3, 2, 0)) + struct.pack(">9i", 65536, 0, 0, 0, 65536, 0, 0, 0, 65536)
    return profile(b"CMYK", b"Lab ", {b"A2B0": head + even * 4 + bytes(colors) + even * 3})
