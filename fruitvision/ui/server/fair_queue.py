"""Gradio's queue, in which visitors take turns, the owner comes first, and nothing that one visitor does ends it for others.

``Queue`` is no public class: ``tests/ui/test_gradio_internals.py`` fails where what is used of it changes.
"""

from __future__ import annotations

from asyncio import Queue as AsyncQueue
from dataclasses import dataclass
from typing import Any, Literal, cast

import fastapi

from fruitvision.ui.gradio_internals import Event, EventMessage, PredictBodyInternal, ProcessCompletedMessage, Queue
from fruitvision.ui.server.access import CALLER, Access, Caller
from fruitvision.ui.server.guarded_blocks import log_once
from fruitvision.ui.server.places import is_id, part_of, share, surplus

WAITING, ALL_WAITING = 8, 512
"""Calls of one visitor, and of all, that wait in the queue or are answered from it."""
WAITING_BYTES, ALL_WAITING_BYTES = 16 * 2**20, 64 * 2**20
"""Of the bodies of those that wait."""
QUEUE_WORKERS = 48
"""Visitors' calls from the queue that are answered at the same time: with those beside it fewer than the 128 threads there are."""
SESSIONS, ALL_SESSIONS = 32, 1024
"""Pages of one visitor, and of all, whose answers are kept until they are fetched; the oldest that waits for none is forgotten."""
UNREAD, ALL_UNREAD, PAGE_UNREAD = 64, 512, 16
"""Messages to one visitor, to all, and to one page that are kept until they are fetched; a page takes answers beyond its own."""


@dataclass(frozen=True)
class Asked:
    """What is noted of a call that waits: by whom, the bytes of its body, and its place among the others."""

    caller: Caller
    size: int = 0
    turn: tuple[bool, int, int] = (False, 0, 0)


_ASKED, _BY_NOBODY = "fruitvision_asked", Asked(Caller(True))


class Unfetched(dict[str, "AsyncQueue[EventMessage]"]):
    """What each page has not fetched, by its session.

    Gradio's route deletes a page's when a stream of it breaks off, before it ends the task that keeps that stream alive: where
    another stream of the page was first, or the page was forgotten, the error left that task running for ever.
    """

    def __delitem__(self, session_hash: str) -> None:
        self.pop(session_hash, None)


class FairQueue(Queue):
    """Gradio's queue, in which visitors take turns and the owner comes first.

    What a visitor asks for waits behind the first call of every other visitor, and so on with the second. The owner's
    calls never find it full.
    """

    access: Access
    session_callers: dict[str, Caller]
    """Whose the pages are whose answers are kept, the oldest first."""
    pending_messages_per_session: dict[str, AsyncQueue[EventMessage]]  # pyright: ignore[reportIncompatibleVariableOverride]

    @classmethod
    def of(cls, queue: Queue, access: Access) -> FairQueue:
        """Take the place of a queue that nothing waits in."""
        queue.__class__ = cls
        fair = cast(FairQueue, queue)
        fair.access, fair.max_size = access, None
        fair.session_callers = {}
        # Gradio's forgets the oldest of 2,000 sessions, those included that wait for an answer, and then fails on them.
        fair.pending_messages_per_session = Unfetched()
        return fair

    async def push(
        self, body: PredictBodyInternal, request: fastapi.Request, username: str | None
    ) -> tuple[bool, str | list[dict[str, Any]], Literal["success", "error", "queue_full", "validator_error"]]:
        """As Gradio's, in turn."""
        page = body.session_hash
        if page is None or not is_id(page):
            return False, "The session has no such name.", "error"
        caller = self.access.caller(dict(request.scope))
        size = request.scope.get("fruitvision.body", lambda: 0)()
        if not caller.owner and (full := self._full(caller, size)):
            return False, full, "queue_full"
        if page not in self.session_callers:
            self._forget_for(caller)
            self.session_callers[page] = caller
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

    def send_message(self, event: Event, event_message: EventMessage) -> None:
        """As Gradio's; a page that is no longer known gets none, and one that fetches nothing is forgotten in the end."""
        messages = self.pending_messages_per_session.get(event.session_hash)
        if messages is None:
            return
        is_answer = isinstance(event_message, ProcessCompletedMessage)
        if is_answer or messages.qsize() < PAGE_UNREAD:
            super().send_message(event, event_message)
        if is_answer and not (caller := caller_of(event)).owner:
            self._forget_unread(caller)

    def compute_analytics_summary(self, records: Any) -> dict[str, Any]:
        """Nothing: nobody reads it here, and Gradio makes a table of its last 10,000 calls after each one."""
        return {}

    async def start_processing(self) -> None:
        """As Gradio's, which ends for good with the first error."""
        while not self.stopped:
            try:
                await super().start_processing()
            except Exception as error:
                log_once(error)
                self.stopped = False  # before anybody else runs: nothing was awaited since it was set

    async def process_events(self, events: list[Event], *given: Any, **named: Any) -> None:
        """As Gradio's; the places are given back even where this task is cancelled while it tidies up."""
        CALLER.set(caller_of(events[0]))
        try:
            await super().process_events(events, *given, **named)
        finally:
            for event in events:
                self.event_ids_to_events.pop(event._id, None)

    def _forget_for(self, caller: Caller) -> None:
        busy = {event.session_hash for event in self.event_ids_to_events.values()}
        idle = ((name, whose) for name, whose in self.session_callers.items() if name not in busy)
        if gone := surplus(idle, caller, SESSIONS, ALL_SESSIONS):
            self._forget(gone)

    def _forget_unread(self, caller: Caller) -> None:
        """Forget the pages that fetch nothing where too many messages wait for a visitor, or for all."""
        unread = [
            (self.pending_messages_per_session[name].qsize(), name, whose)
            for name, whose in self.session_callers.items()
            if not whose.owner and name in self.pending_messages_per_session
        ]
        own = [one for one in unread if one[2].counted_as == caller.counted_as]
        for kept, bound in ((own, UNREAD * share(caller)), (unread, ALL_UNREAD)):
            if sum(count for count, *_ in kept) > bound:
                self._forget(max(kept, key=lambda one: one[0])[1])

    def _forget(self, session_hash: str) -> None:
        for kept in (self.session_callers, self.pending_messages_per_session, self.pending_event_ids_session):
            kept.pop(session_hash, None)

    def _full(self, caller: Caller, size: int) -> str:
        held = [event for event in self.event_ids_to_events.values() if not caller_of(event).owner]
        own = [event for event in held if caller_of(event).counted_as == caller.counted_as]
        times = share(caller)
        near = [event for event in held if caller_of(event).address == caller.address]
        if len(own) >= WAITING * times or len(held) >= ALL_WAITING or len(near) >= part_of(ALL_WAITING, caller):
            return "Too many calls are waiting. Try again in a moment."
        bounds = ((own, WAITING_BYTES * times), (near, part_of(ALL_WAITING_BYTES, caller)), (held, ALL_WAITING_BYTES))
        if any(size + sum(map(_size, events)) > bound for events, bound in bounds):
            return "Too much is waiting. Try again in a moment."
        return ""

    def _in_turn(self, event: Event, caller: Caller, size: int) -> None:
        ahead = [one for one in self.event_ids_to_events.values() if one is not event and not caller_of(one).owner]
        numbered = sum(caller_of(one).counted_as == caller.counted_as for one in ahead)
        together = sum(caller_of(one).address == caller.address for one in ahead)
        asked = Asked(caller, size, (not caller.owner, numbered, together))
        setattr(event, _ASKED, asked)
        waiting = self.event_queue_per_concurrency_id[event.concurrency_id].queue
        if event in waiting:
            waiting.remove(event)
            later = (n for n, one in enumerate(waiting) if asked_of(one).turn > asked.turn)
            waiting.insert(next(later, len(waiting)), event)


def asked_of(event: Event) -> Asked:
    """Who asked for it; the owner where nobody knows."""
    return getattr(event, _ASKED, _BY_NOBODY)


def caller_of(event: Event) -> Caller:
    """The same, the caller alone."""
    return asked_of(event).caller


def _size(event: Event) -> int:
    return asked_of(event).size
