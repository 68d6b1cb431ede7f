"""How much of the app one visitor may hold at a time, so that none shuts out the others, or the owner."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Literal

import fastapi
from gradio.data_classes import PredictBodyInternal
from gradio.queueing import Event, Queue

from fruitvision.ui.server.access import LOOPBACK, Access, Caller

REQUESTS, ALL_REQUESTS = 8, 56
"""Calls of one visitor, and of all visitors, that are answered at the same time beside the queue."""
HELD_BYTES, ALL_HELD_BYTES = 32 * 2**20, 192 * 2**20
"""Of their bodies."""
WAITING, ALL_WAITING = 8, 512
"""Calls of one visitor, and of all, that wait in the queue or are answered from it."""
WAITING_BYTES, ALL_WAITING_BYTES = 16 * 2**20, 64 * 2**20
"""Of the bodies of those that wait."""
STREAMS, STREAM_PART = 24, 0.75
"""Answers to one visitor that stay open (a page has two), and the part of all connections that visitors' may take."""
QUEUE_WORKERS = 48
"""Visitors' calls from the queue that are answered at the same time: with those beside it fewer than the 128 threads there are."""
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
    return BEHIND_A_PROXY if caller.address in ("", *LOOPBACK) else WITHOUT_NUMBER


ADDRESS_PART = 0.5
"""One address, whatever numbers its visitors have, may hold this part of what all may; not a proxy's on this computer."""


def part_of(every: int, caller: Caller) -> float:
    """How many of ``every`` place the address of a caller may hold."""
    return every if caller.address in ("", *LOOPBACK) else every * ADDRESS_PART


class Places:
    """The calls that are being answered, with what they hold in memory: of one visitor, and of all visitors."""

    def __init__(self, one: int = REQUESTS, every: int = ALL_REQUESTS) -> None:
        self._one, self._every = one, every
        self._calls: Counter[str] = Counter()
        self._addresses: Counter[str] = Counter()
        self._bytes: Counter[str] = Counter()

    @asynccontextmanager
    async def answering(self, caller: Caller) -> AsyncIterator[_Place]:
        """A place for one call. Raises Busy where a visitor, or all of them, hold too many."""
        place = _Place(self._bytes, caller)
        if caller.owner:
            yield place
            return
        name = caller.counted_as
        if (
            self._calls[name] >= self._one * share(caller)
            or self._calls.total() >= self._every
            or self._addresses[caller.address] >= part_of(self._every, caller)
        ):
            raise Busy("Too many calls at once. Try again in a moment.")
        self._calls[name] += 1
        self._addresses[caller.address] += 1
        try:
            yield place
        finally:
            _less(self._calls, name, 1)
            _less(self._addresses, caller.address, 1)
            _less(self._bytes, name, place.held)


class _Place:
    def __init__(self, held_by: Counter[str], caller: Caller) -> None:
        self._held_by, self._caller, self.held = held_by, caller, 0

    def hold(self, size: int) -> None:
        """``size`` bytes more are in memory. Raises Busy where that is too much."""
        if self._caller.owner:
            return
        name = self._caller.counted_as
        self.held += size
        self._held_by[name] += size
        if self._held_by[name] > HELD_BYTES * share(self._caller) or self._held_by.total() > ALL_HELD_BYTES:
            raise Busy("Too much is being sent at once. Try again in a moment.")


class FairQueue(Queue):
    """Gradio's queue, in which visitors take turns and the owner comes first.

    What a visitor asks for waits behind the first call of every other visitor, and so on with the second. The owner's
    calls never find it full.
    """

    @classmethod
    def of(cls, queue: Queue, access: Access) -> FairQueue:
        """Take the place of a queue that nothing waits in."""
        queue.__class__ = cls
        queue.access, queue.max_size = access, None
        return queue

    async def push(
        self, body: PredictBodyInternal, request: fastapi.Request, username: str | None
    ) -> tuple[bool, str | list[dict[str, Any]], Literal["success", "error", "queue_full", "validator_error"]]:
        """As Gradio's, in turn."""
        if not is_id(body.session_hash):
            return False, "The session has no such name.", "error"
        caller = self.access.caller(request.scope)
        size = request.scope.get("fruitvision.body", lambda: 0)()
        if not caller.owner and (full := self._full(caller, size)):
            return False, full, "queue_full"
        result = await super().push(body, request, username)
        if result[0] and (event := self.event_ids_to_events.get(str(result[1]))):
            self._in_turn(event, caller, size)
        return result

    def get_events(self) -> tuple[list[Event], bool, str] | None:
        """As Gradio's; some workers are the owner's alone."""
        running = sum(not caller_of(event).owner for job in self.active_jobs for event in job or ())
        if running < QUEUE_WORKERS:
            return super().get_events()
        queues = self.event_queue_per_concurrency_id
        self.event_queue_per_concurrency_id = {
            name: queue for name, queue in queues.items() if queue.queue and caller_of(queue.queue[0]).owner
        }
        try:
            return super().get_events()
        finally:
            self.event_queue_per_concurrency_id = queues

    def _full(self, caller: Caller, size: int) -> str:
        held = [event for event in self.event_ids_to_events.values() if not caller_of(event).owner]
        own = [event for event in held if caller_of(event).counted_as == caller.counted_as]
        times = share(caller)
        near = sum(caller_of(event).address == caller.address for event in held)
        if len(own) >= WAITING * times or len(held) >= ALL_WAITING or near >= part_of(ALL_WAITING, caller):
            return "Too many calls are waiting. Try again in a moment."
        if size + sum(map(_size, own)) > WAITING_BYTES * times or size + sum(map(_size, held)) > ALL_WAITING_BYTES:
            return "Too much is waiting. Try again in a moment."
        return ""

    def _in_turn(self, event: Event, caller: Caller, size: int) -> None:
        ahead = [one for one in self.event_ids_to_events.values() if one is not event and not caller_of(one).owner]
        numbered = sum(caller_of(one).counted_as == caller.counted_as for one in ahead)
        together = sum(caller_of(one).address == caller.address for one in ahead)
        event.caller, event.size, event.turn = caller, size, (not caller.owner, numbered, together)
        waiting = self.event_queue_per_concurrency_id[event.concurrency_id].queue
        if event in waiting:
            waiting.remove(event)
            later = (n for n, one in enumerate(waiting) if getattr(one, "turn", (False, 0, 0)) > event.turn)
            waiting.insert(next(later, len(waiting)), event)


def caller_of(event: Event) -> Caller:
    """Who asked; the owner where nobody knows."""
    return getattr(event, "caller", Caller(True))


def _size(event: Event) -> int:
    return getattr(event, "size", 0)


def _less(counts: Counter[str], name: str, by: int) -> None:
    counts[name] -= by
    if counts[name] <= 0:
        del counts[name]
