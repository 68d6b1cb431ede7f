"""A limit on the header of a safetensors file, which is checked before the library reads it."""

MAX_HEADER_BYTES = 4 * 2**20
"""A header may name a tensor without elements for each 60 bytes, of which each takes a kilobyte of memory."""


def check_header(start: bytes) -> None:
    """Raise ValueError if the header is longer; ``start``: the first eight bytes of the file or more."""
    if int.from_bytes(start[:8], "little") > MAX_HEADER_BYTES:
        raise ValueError("its header is too long")
