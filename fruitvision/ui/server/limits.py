"""Limits on what one visitor may use at a time, so that nobody blocks the other visitors or the owner."""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

from fruitvision.ui.server.access import Caller

MAX_REQUESTS, MAX_ALL_REQUESTS = 8, 56
"""Concurrent calls outside the queue, by one visitor and by all visitors."""
SLOT_TIMEOUT = 3.0
"""Seconds that a call waits for a free slot: 200 people who press a button at once are all answered."""
MAX_BUFFERED_BYTES, MAX_ALL_BUFFERED_BYTES = 32 * 2**20, 192 * 2**20
"""Of the bodies of these calls in memory, by one visitor and by all visitors."""
MAX_STREAMS, STREAM_SHARE = 24, 0.75
"""Streaming responses to one visitor (a page has two), and the share of all connections that visitors' streams may take."""
USERS_PER_ADDRESS = 8
"""Clients without a cookie are counted by their address, which several people may share: its limits are multiplied by this…"""
USERS_BEHIND_PROXY = 32
"""…or by this, if the address is that of a proxy or tunnel on this computer."""
ADDRESS_SHARE = 0.5
"""The share of a total that one address may take, whatever ids its visitors have; not that of a proxy on this computer."""


_ID = re.compile(r"[\w-]{1,64}", re.ASCII)


def is_valid_id(name: Any) -> bool:
    """Whether ``name`` may be the id of a session or an upload. Clients choose these ids, so their size is limited."""
    return isinstance(name, str) and _ID.fullmatch(name) is not None


class Busy(Exception):
    """A limit is reached at the moment."""

    def __init__(self, sentence: str, status: int = 503) -> None:
        super().__init__(sentence)
        self.status = status


def max_users(caller: Caller) -> int:
    """How many people may share the caller's quota key."""
    if caller.visitor_id:
        return 1
    return USERS_BEHIND_PROXY if caller.behind_proxy else USERS_PER_ADDRESS


def address_limit(total: int, caller: Caller) -> float:
    """How much of ``total`` the caller's address may take."""
    return total if caller.behind_proxy else total * ADDRESS_SHARE


def to_evict(known: Iterable[tuple[str, Caller]], caller: Caller, per_visitor: int, total: int) -> str | None:
    """Which of the ``known`` entries (id and caller, oldest first) to evict before ``caller`` adds one; None while there is room.

    A visitor's own entries are evicted first, then those of the same address, then any visitor's; the owner evicts only the owner's.
    """
    all_known = [(name, holder) for name, holder in known if holder.owner == caller.owner]
    if caller.owner:
        return all_known[0][0] if len(all_known) >= total else None
    own = [name for name, holder in all_known if holder.quota_key == caller.quota_key]
    same_address = [name for name, holder in all_known if holder.address == caller.address]
    limits = (
        (own, per_visitor * max_users(caller)),
        (same_address, address_limit(total, caller)),
        ([name for name, _ in all_known], total),
    )
    return next((names[0] for names, limit in limits if names and len(names) >= limit), None)


class RequestLimiter:
    """Limits concurrent calls, and the memory of their bodies, by visitor, by address and in total. The owner is not limited."""

    def __init__(self, per_visitor: int = MAX_REQUESTS, total: int = MAX_ALL_REQUESTS) -> None:
        self._per_visitor, self._total = per_visitor, total
        self._calls: Counter[str] = Counter()
        self._addresses: Counter[str] = Counter()
        self._bytes: Counter[str] = Counter()
        self._address_bytes: Counter[str] = Counter()

    @asynccontextmanager
    async def buffer(self, caller: Caller) -> AsyncIterator[_Buffer]:
        """An account of a body's bytes in memory, until the end of the block."""
        buffer = _Buffer(self._bytes, self._address_bytes, caller)
        try:
            yield buffer
        finally:
            if buffer.size:
                _subtract(self._bytes, caller.quota_key, buffer.size)
                _subtract(self._address_bytes, caller.address, buffer.size)

    @asynccontextmanager
    async def slot(self, caller: Caller) -> AsyncIterator[None]:
        """A slot for one call. Raises Busy if none becomes free within ``SLOT_TIMEOUT``."""
        if caller.owner:
            yield
            return
        key, deadline = caller.quota_key, time.monotonic() + SLOT_TIMEOUT
        while self._full(caller):
            if time.monotonic() > deadline:
                raise Busy("Too many calls at once. Try again in a moment.")
            await asyncio.sleep(0.02)
        self._calls[key] += 1
        self._addresses[caller.address] += 1
        try:
            yield
        finally:
            _subtract(self._calls, key, 1)
            _subtract(self._addresses, caller.address, 1)

    def _full(self, caller: Caller) -> bool:
        return (
            self._calls.total() >= self._total
            or self._calls[caller.quota_key] >= self._per_visitor * max_users(caller)
            or self._addresses[caller.address] >= address_limit(self._total, caller)
        )


class _Buffer:
    def __init__(self, bytes_by_key: Counter[str], bytes_by_address: Counter[str], caller: Caller) -> None:
        self._bytes, self._address_bytes, self._caller, self.size = bytes_by_key, bytes_by_address, caller, 0

    def add(self, size: int) -> None:
        """Count ``size`` more bytes. Raises Busy if that exceeds a limit."""
        if self._caller.owner:
            return
        key = self._caller.quota_key
        self.size += size
        self._bytes[key] += size
        self._address_bytes[self._caller.address] += size
        if (
            self._bytes[key] > MAX_BUFFERED_BYTES * max_users(self._caller)
            or self._address_bytes[self._caller.address] > address_limit(MAX_ALL_BUFFERED_BYTES, self._caller)
            or self._bytes.total() > MAX_ALL_BUFFERED_BYTES
        ):
            raise Busy("Too much is being sent at once. Try again in a moment.")


def _subtract(counts: Counter[str], key: str, amount: int) -> None:
    counts[key] -= amount
    if counts[key] <= 0:
        del counts[key]
