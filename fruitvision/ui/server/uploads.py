"""The room for what visitors upload: bounded in all and for each, the oldest deleted first."""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from fruitvision.ui.server.access import Caller
from fruitvision.ui.server.places import Busy, Places, part_of, share

QUOTA, LEAST_QUOTA = 2**30, 16 * 2**20
"""For uploads in all: by default, and at least, one picture of the largest size with room beside it."""
SHARE = 8
"""One visitor may upload this part of the quota within ``SECONDS``."""
SECONDS = 600.0
MOST_FILES = 16
"""In one request."""
AT_ONCE, ALL_AT_ONCE = 4, 256
"""Uploads of one visitor, and of all, that may be on their way."""
MOST_KEPT = 2000
"""Files in all: with countless tiny ones, looking for room would take long."""
KEPT_SECONDS = 10.0
"""What came less than so long ago is not deleted to make room."""


class Uploads:
    """What lies in the folder of uploads, and who may add how much to it.

    Args:
        folder: gives the folder; it need not be there yet.
        quota: bytes that may lie in it.
    """

    def __init__(self, folder: Callable[[], str | os.PathLike[str]], quota: int = QUOTA) -> None:
        self._folder, self.quota = folder, quota
        self._coming = 0
        self._own: dict[str, deque[tuple[float, int]]] = {}
        self._turn, self._places = asyncio.Lock(), Places(AT_ONCE, ALL_AT_ONCE)

    @asynccontextmanager
    async def receiving(self, caller: Caller, size: int) -> AsyncIterator[_Incoming]:
        """Room for an upload of at most ``size`` bytes. Raises Busy where there is none."""
        async with self._places.answering(caller):
            if not caller.owner:
                self._count(caller, size)
            async with self._turn:
                if not await asyncio.to_thread(make_room, Path(self._folder()), self.quota - self._coming - size):
                    raise Busy("There is no room for uploads at the moment. Try again in a few minutes.", 507)
            incoming = _Incoming(self)
            try:
                yield incoming
            finally:
                self._coming -= incoming.came

    def _count(self, caller: Caller, size: int) -> None:
        now = time.monotonic()
        for name in [name for name, times in self._own.items() if times[-1][0] < now - SECONDS]:
            del self._own[name]
        counted = {caller.counted_as: self.quota // SHARE * min(share(caller), SHARE)}
        counted.setdefault(f"at {caller.address}", int(part_of(self.quota, caller)))  # whatever numbers its visitors have
        for name, allowed in counted.items():
            times = self._own.get(name, deque())
            while times and times[0][0] < now - SECONDS:
                times.popleft()
            if size + sum(one for _, one in times) > allowed:
                raise Busy("You have uploaded a great deal in the last minutes. Try again in a few minutes.", 507)
        for name in counted:
            self._own.setdefault(name, deque()).append((now, size))


class _Incoming:
    """What has come of one upload: what was only announced takes no room from others."""

    def __init__(self, uploads: Uploads) -> None:
        self._uploads, self.came = uploads, 0

    def hold(self, size: int) -> None:
        """``size`` bytes more have come, and go to the disk."""
        self.came += size
        self._uploads._coming += size


def make_room(folder: Path, room: int) -> bool:
    """Delete the oldest files below ``folder`` until at most ``MOST_KEPT`` hold at most ``room`` bytes; whether they do."""
    found, sizes = [], Counter[str]()
    for place, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):  # it was deleted meanwhile
                path = os.path.join(place, name)
                status = os.stat(path)
                found.append((status.st_mtime, path))
                sizes[path] = status.st_size
    total, count = sizes.total(), len(found)
    for changed, path in sorted(found):
        if total <= room and count <= MOST_KEPT:
            return True
        if changed > time.time() - KEPT_SECONDS:
            break
        with suppress(OSError):
            os.remove(path)
            total, count = total - sizes[path], count - 1
            if (own := os.path.dirname(path)) != str(folder):  # Gradio makes a folder for each
                os.rmdir(own)
    return total <= room and count <= MOST_KEPT
