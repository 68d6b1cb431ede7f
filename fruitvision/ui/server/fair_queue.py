"""Gradio's queue with fair scheduling: visitors take turns, the owner comes first, and no visitor can stop it for the others.

``Queue`` is not public: ``tests/ui/test_gradio_internals.py`` fails if a part of it that is used here changes.
"""

from __future__ import annotations

from asyncio import Queue as AsyncQueue
from dataclasses import dataclass
from typing import Any, Literal, cast

import fastapi

from fruitvision.ui.gradio_internals import Event, EventMessage, PredictBodyInternal, ProcessCompletedMessage, Queue
from fruitvision.ui.server.access import CALLER, Access, Caller
from fruitvision.ui.server.guarded_blocks import log_once
from fruitvision.ui.server.limits import address_limit, is_valid_id, max_users, to_evict

WAITING, ALL_WAITING = 8, 512
"""Maximum calls that are queued or running, of one visitor and of all visitors."""
WAITING_BYTES, ALL_WAITING_BYTES = 16 * 2**20, 64 * 2**20
"""Maximum size of their bodies."""
QUEUE_WORKERS = 48
"""Maximum visitors' calls that run concurrently. With those outside the queue they are fewer than the 128 threads."""
SESSIONS, ALL_SESSIONS = 32, 1024
"""Maximum pages whose messages are kept until they are fetched, of one visitor and of all. The oldest idle page is dropped first."""
UNREAD, ALL_UNREAD, PAGE_UNREAD = 64, 512, 16
"""Maximum unread messages of one visitor, of all, and of one page; a page's limit does not apply to results."""


@dataclass(frozen=True)
class CallInfo:
    """What is known of a call in the queue: its caller, the size of its body in bytes, and its priority, lowest first."""

    caller: Caller
    size: int = 0
    priority: tuple[bool, int, int] = (False, 0, 0)


_ATTRIBUTE, _UNKNOWN = "fruitvision_call", CallInfo(Caller(True))


class PendingMessages(dict[str, "AsyncQueue[EventMessage]"]):
    """The unread messages of each page, by session. Deleting a missing one is no error.

    When a stream breaks off, Gradio's route deletes the page's messages before it cancels the stream's heartbeat task. If another
    stream, or an eviction, had deleted them already, the KeyError left that task running forever.
    """

    def __delitem__(self, session_hash: str) -> None:
        self.pop(session_hash, None)


class FairQueue(Queue):
    """Gradio's queue, in which visitors take turns and the owner comes first.

    The first calls of all visitors come before anybody's second call, and so on. The owner's calls are never refused.
    """

    access: Access
    session_callers: dict[str, Caller]
    """The callers of the pages whose messages are kept, by session, the oldest first."""
    pending_messages_per_session: dict[str, AsyncQueue[EventMessage]]  # pyright: ignore[reportIncompatibleVariableOverride]

    @classmethod
    def of(cls, queue: Queue, access: Access) -> FairQueue:
        """Turn an empty queue of Gradio's into a fair one, in place."""
        queue.__class__ = cls
        fair = cast(FairQueue, queue)
        fair.access, fair.max_size = access, None
        fair.session_callers = {}
        # Gradio's own dictionary drops the oldest of 2,000 sessions, even one that waits for an answer, and then raises for it.
        fair.pending_messages_per_session = PendingMessages()
        return fair

    async def push(
        self, body: PredictBodyInternal, request: fastapi.Request, username: str | None
    ) -> tuple[bool, str | list[dict[str, Any]], Literal["success", "error", "queue_full", "validator_error"]]:
        """As Gradio's, sorted by priority."""
        page = body.session_hash
        if page is None or not is_valid_id(page):
            return False, "The session has no such name.", "error"
        caller = self.access.caller(dict(request.scope))
        size = request.scope.get("fruitvision.body", lambda: 0)()
        if not caller.owner and (full := self._full(caller, size)):
            return False, full, "queue_full"
        if page not in self.session_callers:
            self._make_room(caller)
            self.session_callers[page] = caller
        result = await super().push(body, request, username)
        if result[0] and (event := self.event_ids_to_events.get(str(result[1]))):
            self._prioritize(event, caller, size)
        return result

    def get_events(self) -> tuple[list[Event], bool, str] | None:
        """As Gradio's; some workers are reserved for the owner."""
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
        """As Gradio's. A page that was dropped gets no messages, and a page that never reads any is dropped eventually."""
        messages = self.pending_messages_per_session.get(event.session_hash)
        if messages is None:
            return
        is_answer = isinstance(event_message, ProcessCompletedMessage)
        if is_answer or messages.qsize() < PAGE_UNREAD:
            super().send_message(event, event_message)
        if is_answer and not (caller := caller_of(event)).owner:
            self._limit_unread(caller)

    def compute_analytics_summary(self, records: Any) -> dict[str, Any]:
        """Empty: nobody reads it here, and Gradio computes it from its last 10,000 calls after each call."""
        return {}

    async def start_processing(self) -> None:
        """As Gradio's, but continues after an error instead of ending for good."""
        while not self.stopped:
            try:
                await super().start_processing()
            except Exception as error:
                log_once(error)
                self.stopped = False  # no other task has run since it was set, because nothing was awaited

    async def process_events(self, events: list[Event], *given: Any, **named: Any) -> None:
        """As Gradio's; the events are released even if this task is cancelled during its cleanup."""
        CALLER.set(caller_of(events[0]))
        try:
            await super().process_events(events, *given, **named)
        finally:
            for event in events:
                self.event_ids_to_events.pop(event._id, None)

    def _make_room(self, caller: Caller) -> None:
        """Drop an idle page if ``caller`` opens one too many."""
        busy = {event.session_hash for event in self.event_ids_to_events.values()}
        idle = ((session, holder) for session, holder in self.session_callers.items() if session not in busy)
        if evicted := to_evict(idle, caller, SESSIONS, ALL_SESSIONS):
            self._drop(evicted)

    def _limit_unread(self, caller: Caller) -> None:
        """Drop the page with the most unread messages if a visitor, or all visitors, have too many."""
        unread = [
            (self.pending_messages_per_session[session].qsize(), session, holder)
            for session, holder in self.session_callers.items()
            if not holder.owner and session in self.pending_messages_per_session
        ]
        own = [one for one in unread if one[2].quota_key == caller.quota_key]
        for pages, limit in ((own, UNREAD * max_users(caller)), (unread, ALL_UNREAD)):
            if sum(count for count, *_ in pages) > limit:
                self._drop(max(pages, key=lambda one: one[0])[1])

    def _drop(self, session_hash: str) -> None:
        for by_session in (self.session_callers, self.pending_messages_per_session, self.pending_event_ids_session):
            by_session.pop(session_hash, None)

    def _full(self, caller: Caller, size: int) -> str:
        """An error message if a call with a body of ``size`` bytes exceeds a limit; otherwise empty."""
        events = [event for event in self.event_ids_to_events.values() if not caller_of(event).owner]
        own = [event for event in events if caller_of(event).quota_key == caller.quota_key]
        users = max_users(caller)
        same_address = [event for event in events if caller_of(event).address == caller.address]
        if len(own) >= WAITING * users or len(events) >= ALL_WAITING or len(same_address) >= address_limit(ALL_WAITING, caller):
            return "Too many calls are waiting. Try again in a moment."
        limits = ((own, WAITING_BYTES * users), (same_address, address_limit(ALL_WAITING_BYTES, caller)), (events, ALL_WAITING_BYTES))
        if any(size + sum(map(_size, counted)) > limit for counted, limit in limits):
            return "Too much is waiting. Try again in a moment."
        return ""

    def _prioritize(self, event: Event, caller: Caller, size: int) -> None:
        """Move a new event to its place in the queue."""
        others = [one for one in self.event_ids_to_events.values() if one is not event and not caller_of(one).owner]
        own = sum(caller_of(one).quota_key == caller.quota_key for one in others)
        same_address = sum(caller_of(one).address == caller.address for one in others)
        info = CallInfo(caller, size, (not caller.owner, own, same_address))
        setattr(event, _ATTRIBUTE, info)
        waiting = self.event_queue_per_concurrency_id[event.concurrency_id].queue
        if event in waiting:
            waiting.remove(event)
            later = (n for n, one in enumerate(waiting) if call_info(one).priority > info.priority)
            waiting.insert(next(later, len(waiting)), event)


def call_info(event: Event) -> CallInfo:
    """What is known of an event; an unknown one counts as the owner's."""
    return getattr(event, _ATTRIBUTE, _UNKNOWN)


def caller_of(event: Event) -> Caller:
    """The caller of an event."""
    return call_info(event).caller


def _size(event: Event) -> int:
    return call_info(event).size
