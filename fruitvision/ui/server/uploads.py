"""The room for what visitors upload, and for what is made of it: bounded in all, for each, and in time; the oldest goes first."""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from fruitvision.ui.gradio_internals import blocks_of, files_laid_in, files_of
from fruitvision.ui.server.access import Caller
from fruitvision.ui.server.guarded_blocks import log_once
from fruitvision.ui.server.places import Busy, Places, part_of, share

QUOTA, MIN_QUOTA = 2**30, 16 * 2**20
"""For uploads in all: by default, and at least, one picture of the largest size with room beside it."""
SHARE = 8
"""One visitor may upload this part of the quota within ``SECONDS``."""
SECONDS = 600.0
MOST_FILES, VISITORS_FILES = 16, 1
"""In one request of the owner's, and of a visitor's: the page sends one."""
AT_ONCE, ALL_AT_ONCE = 4, 256
"""Uploads of one visitor, and of all, that may be on their way."""
MOST_KEPT = 20_000
"""Files in all. Each counts as this part of the quota at least: 64 people who never pause send half of it in ten minutes."""
SLACK = 16
"""Where there is no room, this part more is made than is needed, so that the folder is not looked through for each upload."""
KEPT_SECONDS = 10.0
"""What came less than so long ago is not deleted to make room."""
OLD_SECONDS, SWEPT_SECONDS = 600.0, 60.0
"""What is older is deleted; looked for so often."""


class Uploads:
    """What lies in the folder of uploads, and who may add how much to it.

    Args:
        folder: gives the folder; it need not be there yet.
        quota: bytes that may lie in it.
    """

    def __init__(self, folder: Callable[[], str | os.PathLike[str]], quota: int = QUOTA) -> None:
        self._folder, self.quota = folder, quota
        self._coming, self._made = 0, set[str]()
        self._lying: tuple[int, int] | None = None
        self._come = self._files_come = 0
        self._sent: dict[str, deque[_Incoming]] = {}
        self._turn, self._places = asyncio.Lock(), Places(AT_ONCE, ALL_AT_ONCE)

    @asynccontextmanager
    async def looked_after(self, app: Any) -> AsyncIterator[None]:
        """While Gradio's ``app`` lives, delete what is old, or beyond the quota; in the end all that it made."""
        self._made = files_of(blocks_of(app))
        task = asyncio.create_task(self._sweep())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            self.clear()

    def clear(self) -> None:
        """Delete what this app made: others may share its folder."""
        for path in self._made.copy():
            _delete(path)

    async def _sweep(self) -> None:
        """Heatmaps come without any upload that would look for room, and an upload that broke off is nobody's: both are found here."""
        while True:
            try:
                async with self._turn:
                    await self._look(sweep, self.quota, OLD_SECONDS, self._made)
            except Exception as error:  # the next time may go well
                log_once(error)
            await asyncio.sleep(SWEPT_SECONDS)

    @asynccontextmanager
    async def receiving(self, caller: Caller, size: int) -> AsyncIterator[_Incoming]:
        """Room for an upload of at most ``size`` bytes. Raises Busy where there is none."""
        async with self._places.answering(caller):
            incoming = _Incoming(self, {} if caller.owner else self._shares(caller))
            self._check(incoming, incoming.charge_of(size))
            async with self._turn:
                if not (self._fits(size) or await self._look(make_room, self.quota - self._coming - size)):
                    raise Busy("There is no room for uploads at the moment. Try again in a few minutes.", 507)
            self._files_come += MOST_FILES if caller.owner else VISITORS_FILES
            for name in incoming.shares:
                self._sent.setdefault(name, deque()).append(incoming)
            try:
                yield incoming
            finally:
                self._coming -= incoming.came
                if not incoming.came:
                    self._forget(incoming)

    def _fits(self, size: int) -> bool:
        """Whether there is room beside what lay there when it was last looked for, and what has come since."""
        if self._lying is None:
            return False
        lying, files = self._lying
        return lying + self._come + size <= self.quota and files + self._files_come + MOST_FILES <= MOST_KEPT

    async def _look(self, look: Callable[..., tuple[int, int] | None], room: int, *given: Any) -> bool:
        """Look through the folder; whether there is that much room then."""
        self._come, self._files_come = self._coming, 0  # what is on its way may be seen or not
        self._lying = await asyncio.to_thread(look, Path(self._folder()), room, *given)
        return self._lying is not None

    def _shares(self, caller: Caller) -> dict[str, int]:
        """What may be uploaded within ``SECONDS``, in bytes, by whoever a visitor is counted as."""
        shares = {caller.counted_as: self.quota // SHARE * min(share(caller), SHARE)}
        shares.setdefault(f"at {caller.address}", int(part_of(self.quota, caller)))  # whatever numbers its visitors have
        return shares

    def _check(self, incoming: _Incoming, more: int = 0) -> None:
        """Raise Busy where what has come, and ``more``, is beyond a share. What was only announced counts for nothing."""
        since = time.monotonic() - SECONDS
        for name in [name for name, sent in self._sent.items() if sent[-1].began < since]:
            del self._sent[name]
        for name, allowed in incoming.shares.items():
            sent = self._sent.get(name, deque())
            while sent and sent[0].began < since:
                sent.popleft()
            if more + sum(one.charge for one in sent) > allowed:
                raise Busy("You have uploaded a great deal in the last minutes. Try again in a few minutes.", 507)

    def _forget(self, incoming: _Incoming) -> None:
        for name in incoming.shares:
            with suppress(KeyError, ValueError):  # its time was over
                self._sent[name].remove(incoming)
                if not self._sent[name]:
                    del self._sent[name]


class _Incoming:
    """What has come of one upload: what was only announced takes no room from others, and of no share."""

    def __init__(self, uploads: Uploads, shares: dict[str, int]) -> None:
        self._uploads, self.shares = uploads, shares
        self.came, self.charge, self.began = 0, 0, time.monotonic()

    def hold(self, size: int) -> None:
        """``size`` bytes more have come, and go to the disk. Raises Busy where all that came at once is beyond a share."""
        self.came += size
        self._uploads._coming += size
        self._uploads._come += size
        if self.came:
            self.charge = self.charge_of(self.came)
            self._uploads._check(self)

    def charge_of(self, size: int) -> int:
        """What a file of ``size`` bytes counts as: tiny ones take their part of all files that may be kept."""
        return max(size, VISITORS_FILES * self._uploads.quota // MOST_KEPT)


def sweep(folder: Path, quota: int, seconds: float, made: set[str]) -> tuple[int, int] | None:
    """Delete what Gradio laid into ``folder`` and nobody has changed for so long, and the oldest of what is beyond the quota.

    Of ``made``, which others add to meanwhile, what is there stays listed, and what is old goes too, wherever it lies.
    What it returns is :func:`make_room`'s.
    """
    end = time.time() - seconds
    for path in {*files_laid_in(folder), *made.copy()}:
        with suppress(OSError):
            status = os.stat(path)
            if max(status.st_mtime, status.st_ctime) < end:  # a copy has the time of what it was copied from
                _delete(path)
    made.difference_update([path for path in made.copy() if not os.path.exists(path)])
    return make_room(folder, quota)


def make_room(folder: Path, room: int) -> tuple[int, int] | None:
    """Where more than ``MOST_KEPT`` of the files that Gradio laid into ``folder``, or of ``room`` bytes, are there, delete the oldest.

    The bytes and the number of those that lie there in the end; None where that is still too much.
    """
    found, sizes = [], Counter[str]()
    for path in files_laid_in(folder):
        with suppress(OSError):  # it was deleted meanwhile
            status = os.stat(path)
            found.append((status.st_mtime, path))
            sizes[path] = status.st_size
    total, count = sizes.total(), len(found)
    if total > room or count > MOST_KEPT:
        for changed, path in sorted(found):
            enough = total <= room - room // SLACK and count <= MOST_KEPT - MOST_KEPT // SLACK
            if enough or changed > time.time() - KEPT_SECONDS:
                break
            if _delete(path):
                total, count = total - sizes[path], count - 1
    return (total, count) if total <= room and count <= MOST_KEPT else None


def _delete(path: str) -> bool:
    """Delete a file, and its folder where nothing else is in it; whether the file is gone."""
    try:
        os.remove(path)
    except OSError:
        return False
    with suppress(OSError):
        os.rmdir(os.path.dirname(path))
    return True
