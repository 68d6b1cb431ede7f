"""Fewer pools of memory than the C library would have: it keeps what was freed in each of them.

Under Linux, glibc gives threads pools ("arenas") of their own, up to eight for each core, and each keeps tens of megabytes for
later once a network ran in it. The app's threads come and go with its visitors, so that its memory would grow for hours and
with the number of cores. They mostly wait for Python's lock or for the one thread that answers, and lose nothing by sharing.
"""

from __future__ import annotations

import ctypes
import sys

ARENAS = 2
_M_ARENA_MAX = -8  # of malloc.h


def share_arenas() -> bool:
    """Share ``ARENAS`` arenas from now on; whether the C library knows how. Those that there are stay."""
    if sys.platform != "linux":
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # not in musl
    return mallopt is not None and bool(mallopt(_M_ARENA_MAX, ARENAS))
