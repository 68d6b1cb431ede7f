"""Quotas of the upload folder, in total, by visitor and by age. The oldest files are deleted first."""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from fruitvision.ui.gradio_internals import blocks_of, files_of, gradio_files_in
from fruitvision.ui.server.access import Caller
from fruitvision.ui.server.guarded_blocks import log_once
from fruitvision.ui.server.limits import Busy, RequestLimiter, address_limit, max_users

QUOTA, MIN_QUOTA = 2**30, 16 * 2**20
"""Total size of the folder in bytes: the default, and the minimum, which leaves room beside a picture of the largest size."""
VISITOR_DIVISOR = 8
"""One visitor may upload 1/8 of the quota within ``WINDOW_SECONDS``."""
WINDOW_SECONDS = 600.0
MAX_FILES, MAX_VISITOR_FILES = 16, 1
"""Files in one request of the owner, and of a visitor; the page sends one at a time."""
MAX_CONCURRENT, MAX_ALL_CONCURRENT = 4, 256
"""Concurrent uploads of one visitor, and of all visitors."""
MAX_KEPT = 20_000
"""Files in the folder. Each counts as at least quota / 20,000: 64 people who never pause use half of them in ten minutes."""
HEADROOM_DIVISOR = 16
"""When files are deleted, 1/16 more is freed than needed, so that the folder is not scanned for every upload."""
MIN_AGE_SECONDS = 10.0
"""Younger files are not deleted to make room."""
MAX_AGE_SECONDS, SWEEP_SECONDS = 600.0, 60.0
"""Age at which files are deleted, and the interval of the check."""


class Uploads:
    """The upload folder, and the quotas for adding to it.

    Args:
        folder: returns the folder; it need not exist.
        quota: maximum total size in bytes.
    """

    def __init__(self, folder: Callable[[], str | os.PathLike[str]], quota: int = QUOTA) -> None:
        self._folder, self.quota = folder, quota
        self._in_flight_bytes, self._created = 0, set[str]()
        self._stored: tuple[int, int] | None = None
        self._new_bytes = self._new_files = 0
        self._recent: dict[str, _Recent] = {}
        self._lock, self._limiter = asyncio.Lock(), RequestLimiter(MAX_CONCURRENT, MAX_ALL_CONCURRENT)

    @asynccontextmanager
    async def lifespan(self, app: Any) -> AsyncIterator[None]:
        """During the lifespan of Gradio's ``app``, delete files that are old or exceed the quota; at its end, all that it created."""
        self._created = files_of(blocks_of(app))
        task = asyncio.create_task(self._sweep())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            self.clear()

    def clear(self) -> None:
        """Delete the files that this app created; other apps may share its folder."""
        for path in self._created.copy():
            _delete(path)

    async def _sweep(self) -> None:
        """Regularly delete old files: also generated heatmaps, which no upload makes room for, and the rest of aborted uploads."""
        while True:
            try:
                self._forget_old()
                async with self._lock:
                    await self._scan(sweep, self.quota, MAX_AGE_SECONDS, self._created)
            except Exception as error:  # the next scan may succeed
                log_once(error)
            await asyncio.sleep(SWEEP_SECONDS)

    @asynccontextmanager
    async def receiving(self, caller: Caller, size: int) -> AsyncIterator[_Incoming]:
        """Reserve room for an upload of at most ``size`` bytes. Raises Busy if a quota does not allow it."""
        async with self._limiter.slot(caller):
            incoming = _Incoming(self, {} if caller.owner else self._shares(caller))
            self._check_shares(incoming, incoming.charge_of(size))
            async with self._lock:
                if not (self._fits(size) or await self._scan(make_room, self.quota - self._in_flight_bytes - size)):
                    raise Busy("There is no room for uploads at the moment. Try again in a few minutes.", 507)
            self._new_files += MAX_FILES if caller.owner else MAX_VISITOR_FILES
            for name in incoming.shares:
                self._recent.setdefault(name, _Recent()).append(incoming)
            try:
                yield incoming
            finally:
                self._in_flight_bytes -= incoming.received
                if not incoming.received:
                    self._forget(incoming)

    def _fits(self, size: int) -> bool:
        """Whether there is room, by the last scan and what was received since."""
        if self._stored is None:
            return False
        stored, files = self._stored
        return stored + self._new_bytes + size <= self.quota and files + self._new_files + MAX_FILES <= MAX_KEPT

    async def _scan(self, scan: Callable[..., tuple[int, int] | None], limit: int, *args: Any) -> bool:
        """Run ``sweep`` or ``make_room``; whether the folder's size is below ``limit`` then."""
        self._new_bytes, self._new_files = self._in_flight_bytes, 0  # the scan may or may not see the uploads in flight
        self._stored = await asyncio.to_thread(scan, Path(self._folder()), limit, *args)
        return self._stored is not None

    def _shares(self, caller: Caller) -> dict[str, int]:
        """The bytes that may be uploaded within ``WINDOW_SECONDS``, by the visitor's quota key and by address."""
        shares = {caller.quota_key: self.quota // VISITOR_DIVISOR * min(max_users(caller), VISITOR_DIVISOR)}
        of_address = f"at {caller.address}"  # whatever ids its visitors have; it is the quota key of those without one
        shares[of_address] = min(shares.get(of_address, self.quota), int(address_limit(self.quota, caller)))
        return shares

    def _check_shares(self, incoming: _Incoming, more: int = 0) -> None:
        """Raise Busy if the received bytes and ``more`` exceed a share. Announced bytes do not count."""
        for key, allowed in incoming.shares.items():
            recent = self._recent.get(key) or _Recent()
            recent.drop_old()
            if more + recent.charge > allowed:
                raise Busy("You have uploaded a great deal in the last minutes. Try again in a few minutes.", 507)

    def _forget_old(self) -> None:
        for key, recent in list(self._recent.items()):
            recent.drop_old()
            if not recent:
                del self._recent[key]

    def _forget(self, incoming: _Incoming) -> None:
        for key in incoming.shares:
            with suppress(KeyError, ValueError):  # it was older than the window
                self._recent[key].remove(incoming)
                self._recent[key].charge -= incoming.charge
                if not self._recent[key]:
                    del self._recent[key]


class _Recent(deque["_Incoming"]):
    """The uploads under one key within ``WINDOW_SECONDS``, oldest first, and what they count as together.

    There may be ``MAX_KEPT`` of them, and they are asked for with each piece of an upload that comes.
    """

    charge = 0

    def drop_old(self) -> None:
        """Remove those before the window. None of them still comes: a body may take less time."""
        since = time.monotonic() - WINDOW_SECONDS
        while self and self[0].began < since:
            self.charge -= self.popleft().charge
        if not self:
            self.charge = 0


class _Incoming:
    """The received bytes of one upload; only these count, not the announced size."""

    def __init__(self, uploads: Uploads, shares: dict[str, int]) -> None:
        self._uploads, self.shares = uploads, shares
        self.received, self.charge, self.began = 0, 0, time.monotonic()

    def add(self, size: int) -> None:
        """Count ``size`` more bytes, which go to the disk. Raises Busy if they exceed a share."""
        self.received += size
        self._uploads._in_flight_bytes += size
        self._uploads._new_bytes += size
        if self.received:
            more = self.charge_of(self.received) - self.charge
            self.charge += more
            for recent in filter(None, map(self._uploads._recent.get, self.shares)):
                recent.charge += more
            self._uploads._check_shares(self)

    def charge_of(self, size: int) -> int:
        """What a file of ``size`` bytes counts as: a small one counts as its part of ``MAX_KEPT`` files."""
        return max(size, MAX_VISITOR_FILES * self._uploads.quota // MAX_KEPT)


def sweep(folder: Path, limit: int, seconds: float, created: set[str]) -> tuple[int, int] | None:
    """Delete Gradio's files in ``folder`` that were not changed for ``seconds``, then make room.

    Old files among ``created`` are deleted wherever they are, and deleted ones are removed from it; other threads may add to it.
    Returns the result of :func:`make_room`.
    """
    oldest = time.time() - seconds
    for path in {*gradio_files_in(folder), *created.copy()}:
        with suppress(OSError):
            status = os.stat(path)
            if max(status.st_mtime, status.st_ctime) < oldest:  # a copy has the mtime of its original
                _delete(path, folder)
    created.difference_update([path for path in created.copy() if not os.path.exists(path)])
    return make_room(folder, limit)


def make_room(folder: Path, limit: int) -> tuple[int, int] | None:
    """Delete the oldest of Gradio's files in ``folder`` while they exceed ``limit`` bytes, or ``MAX_KEPT`` files.

    Returns the size and number of the remaining files; None if they still exceed a limit.
    """
    found, sizes = [], Counter[str]()
    for path in gradio_files_in(folder):
        with suppress(OSError):  # deleted meanwhile
            status = os.stat(path)
            found.append((status.st_mtime, path))
            sizes[path] = status.st_size
    total, count = sizes.total(), len(found)
    if total > limit or count > MAX_KEPT:
        for changed, path in sorted(found):
            enough = total <= limit - limit // HEADROOM_DIVISOR and count <= MAX_KEPT - MAX_KEPT // HEADROOM_DIVISOR
            if enough or changed > time.time() - MIN_AGE_SECONDS:
                break
            if _delete(path, folder):
                total, count = total - sizes[path], count - 1
    return (total, count) if total <= limit and count <= MAX_KEPT else None


def _delete(path: str, root: Path | None = None) -> bool:
    """Delete a file, and its folder if that is empty then; whether the file was deleted.

    ``root``, the upload folder itself, stays: Gradio would make another one, which other accounts of the computer could read.
    """
    try:
        os.remove(path)
    except OSError:
        return False
    if root is None or Path(path).parent != root:
        with suppress(OSError):
            os.rmdir(os.path.dirname(path))
    return True
