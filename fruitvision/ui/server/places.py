"""How much of the app one visitor may hold at a time, so that none shuts out the others, or the owner."""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

from fruitvision.ui.server.access import Caller

REQUESTS, ALL_REQUESTS = 8, 56
"""Calls of one visitor, and of all visitors, that are answered at the same time beside the queue."""
PATIENCE_SECONDS = 3.0
"""A call waits so long for a place: 200 people who press a button at once are answered all the same."""
HELD_BYTES, ALL_HELD_BYTES = 32 * 2**20, 192 * 2**20
"""Of their bodies."""
STREAMS, STREAM_PART = 24, 0.75
"""Answers to one visitor that stay open (a page has two), and the part of all connections that visitors' may take."""
WITHOUT_NUMBER = 8
"""Who sends no cookie shares with others of the same address, and these may hold so many times as much…"""
BEHIND_A_PROXY = 32
"""…or so many times, where the address is a proxy's or a tunnel's on this computer."""


_ID = re.compile(r"[\w-]{1,64}", re.ASCII)


def is_id(name: Any) -> bool:
    """Whether it may be the name of a session or an upload: what is kept under names that strangers choose is bounded so."""
    return isinstance(name, str) and _ID.fullmatch(name) is not None


class Busy(Exception):
    """There is no room for a request at the moment."""

    def __init__(self, sentence: str, status: int = 503) -> None:
        super().__init__(sentence)
        self.status = status


def share(caller: Caller) -> int:
    """How many visitors may stand behind what a caller is counted as."""
    if caller.number:
        return 1
    return BEHIND_A_PROXY if caller.behind_proxy else WITHOUT_NUMBER


ADDRESS_PART = 0.5
"""One address, whatever numbers its visitors have, may hold this part of what all may; not a proxy's on this computer."""


def part_of(every: int, caller: Caller) -> float:
    """How many of ``every`` place the address of a caller may hold."""
    return every if caller.behind_proxy else every * ADDRESS_PART


def surplus(known: Iterable[tuple[str, Caller]], caller: Caller, one: int, every: int) -> str | None:
    """Which of the ``known`` (oldest first, with whose they are) goes when ``caller`` brings another one; None while there is room.

    A visitor's own go first, then those of the same address, then any visitor's; the owner's for the owner's alone.
    """
    all_known = [(name, whose) for name, whose in known if whose.owner == caller.owner]
    if caller.owner:
        return all_known[0][0] if len(all_known) >= every else None
    own = [name for name, whose in all_known if whose.counted_as == caller.counted_as]
    near = [name for name, whose in all_known if whose.address == caller.address]
    bounds = ((own, one * share(caller)), (near, part_of(every, caller)), ([name for name, _ in all_known], every))
    return next((names[0] for names, bound in bounds if names and len(names) >= bound), None)


class Places:
    """The calls that are being answered, with what they hold in memory: of one visitor, and of all visitors."""

    def __init__(self, one: int = REQUESTS, every: int = ALL_REQUESTS) -> None:
        self._one, self._every = one, every
        self._calls: Counter[str] = Counter()
        self._addresses: Counter[str] = Counter()
        self._bytes: Counter[str] = Counter()

    @asynccontextmanager
    async def holding(self, caller: Caller) -> AsyncIterator[_Held]:
        """An account of what comes of a body, until it is no longer needed."""
        held = _Held(self._bytes, caller)
        try:
            yield held
        finally:
            if held.size:
                _less(self._bytes, caller.counted_as, held.size)

    @asynccontextmanager
    async def answering(self, caller: Caller) -> AsyncIterator[None]:
        """A place for one call. Raises Busy where a visitor, an address, or all of them hold too many for some seconds."""
        if caller.owner:
            yield
            return
        name, end = caller.counted_as, time.monotonic() + PATIENCE_SECONDS
        while self._full(caller):
            if time.monotonic() > end:
                raise Busy("Too many calls at once. Try again in a moment.")
            await asyncio.sleep(0.02)
        self._calls[name] += 1
        self._addresses[caller.address] += 1
        try:
            yield
        finally:
            _less(self._calls, name, 1)
            _less(self._addresses, caller.address, 1)

    def _full(self, caller: Caller) -> bool:
        return (
            self._calls.total() >= self._every
            or self._calls[caller.counted_as] >= self._one * share(caller)
            or self._addresses[caller.address] >= part_of(self._every, caller)
        )


class _Held:
    def __init__(self, held_by: Counter[str], caller: Caller) -> None:
        self._held_by, self._caller, self.size = held_by, caller, 0

    def hold(self, size: int) -> None:
        """``size`` bytes more are in memory. Raises Busy where that is too much."""
        if self._caller.owner:
            return
        name = self._caller.counted_as
        self.size += size
        self._held_by[name] += size
        if self._held_by[name] > HELD_BYTES * share(self._caller) or self._held_by.total() > ALL_HELD_BYTES:
            raise Busy("Too much is being sent at once. Try again in a moment.")


def _less(counts: Counter[str], name: str, by: int) -> None:
    counts[name] -= by
    if counts[name] <= 0:
        del counts[name]
