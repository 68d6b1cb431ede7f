"""What becomes of a file on a bad disk, drawn from a seed."""

from __future__ import annotations

import random

SEED = 7


def damaged(content: bytes, count: int) -> list[bytes]:
    """Copies with one bit flipped, and copies cut short."""
    chance = random.Random(SEED)
    copies = [content[: chance.randrange(len(content))] for _ in range(count // 4)]
    for _ in range(count):
        copy = bytearray(content)
        copy[chance.randrange(len(copy))] ^= 1 << chance.randrange(8)
        copies.append(bytes(copy))
    return copies
