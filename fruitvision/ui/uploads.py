"""The room for what visitors upload: bounded in all and for each, the oldest deleted first."""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from fruitvision.ui.access import Caller
from fruitvision.ui.places import Busy, share

QUOTA = 2**30
SHARE = 8
"""One visitor may upload this part of the quota within ``SECONDS``."""
SECONDS = 600.0
MOST_FILES = 16
"""In one request."""
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
        self._turn = asyncio.Lock()

    @asynccontextmanager
    async def receiving(self, caller: Caller, size: int) -> AsyncIterator[_Incoming]:
        """Room for an upload of at most ``size`` bytes. Raises Busy where there is none."""
        incoming = _Incoming()
        if not caller.owner:
            self._count(caller, size)
        async with self._turn:
            if not await asyncio.to_thread(make_room, Path(self._folder()), self.quota - self._coming - size):
                raise Busy("There is no room for uploads at the moment. Try again in a few minutes.", 507)
            self._coming += size
        try:
            yield incoming
        finally:
            self._coming -= size

    def _count(self, caller: Caller, size: int) -> None:
        now, allowed = time.monotonic(), self.quota // SHARE * min(share(caller), SHARE)
        for name in [name for name, times in self._own.items() if times[-1][0] < now - SECONDS]:
            del self._own[name]
        times = self._own.setdefault(caller.counted_as, deque())
        while times and times[0][0] < now - SECONDS:
            times.popleft()
        if size + sum(one for _, one in times) > allowed:
            if not times:
                del self._own[caller.counted_as]
            raise Busy("You have uploaded a great deal in the last minutes. Try again in a few minutes.", 507)
        times.append((now, size))


class _Incoming:
    def hold(self, size: int) -> None:
        """It goes to the disk."""


def make_room(folder: Path, room: int) -> bool:
    """Delete the oldest files below ``folder`` until all hold at most ``room`` bytes; whether they do."""
    found, sizes = [], Counter[str]()
    for place, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):  # it was deleted meanwhile
                path = os.path.join(place, name)
                status = os.stat(path)
                found.append((status.st_mtime, path))
                sizes[path] = status.st_size
    total = sizes.total()
    for changed, path in sorted(found):
        if total <= room:
            return True
        if changed > time.time() - KEPT_SECONDS:
            break
        with suppress(OSError):
            os.remove(path)
            total -= sizes[path]
    return total <= room
