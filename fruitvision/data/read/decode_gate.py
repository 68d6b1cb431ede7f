"""Limits how many pixels are decoded at the same time, in this process and for one visitor of the app.

A picture of 97 KB may have 50 megapixels, so a limit on threads would not limit the memory that they take.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

MAX_PIXELS_AT_ONCE = 100_000_000
MAX_PIXELS_OF_ONE_VISITOR = 50_000_000

_visitor: ContextVar[str | None] = ContextVar("decoding_for", default=None)


@contextmanager
def decoding_for(visitor: str | None) -> Iterator[None]:
    """Count what this thread decodes inside towards this visitor's limit; None: towards no visitor's."""
    token = _visitor.set(visitor)
    try:
        yield
    finally:
        _visitor.reset(token)


@dataclass(eq=False)
class _Ticket:
    pixels: int
    visitor: str | None
    admitted: bool = False
    turn: tuple[bool, int] = (False, 0)


class DecodeGate:
    """A semaphore weighted by pixels. Pictures of no visitor come first, then visitors in turn, each in order of arrival.

    A visitor's second picture waits behind everybody's first, and does not block those behind it while it waits for the
    first; otherwise the order is kept, so a large picture is not starved by small ones. A picture of any size is admitted in
    the end: when its visitor has no other, and as the only one. A thread must not ask for a second place while it holds one.
    """

    def __init__(self, total: int = MAX_PIXELS_AT_ONCE, for_one: int = MAX_PIXELS_OF_ONE_VISITOR) -> None:
        self.total, self.for_one = total, min(for_one, total)
        self._changed = threading.Condition()
        self._waiting: list[_Ticket] = []
        self._used = 0
        self._used_by: Counter[str] = Counter()

    def has_room(self, pixels: int) -> bool:
        """Whether :meth:`place` would probably not wait."""
        ticket = _Ticket(min(pixels, self.total), _visitor.get())
        return not self._waiting and not self._waits_for_own(ticket) and self._used + ticket.pixels <= self.total

    @contextmanager
    def place(self, pixels: int, visitor: str | None = None) -> Iterator[None]:
        """Wait until so many more pixels may be decoded, and hold that place until the end of the block.

        Args:
            visitor: whose they are; by default the one of :func:`decoding_for`.
        """
        visitor = _visitor.get() if visitor is None else visitor
        ticket = _Ticket(min(pixels, self.total), visitor)
        with self._changed:
            ticket.turn = (visitor is not None, sum(other.visitor == visitor for other in self._waiting))
            later = (n for n, other in enumerate(self._waiting) if other.turn > ticket.turn)
            self._waiting.insert(next(later, len(self._waiting)), ticket)
            self._admit()
            try:
                self._changed.wait_for(lambda: ticket.admitted)
            except BaseException:  # Ctrl-C while it waits
                self._leave(ticket)
                raise
        try:
            yield
        finally:
            with self._changed:
                self._leave(ticket)

    def _admit(self) -> None:
        """Admit, in their order, all that fit."""
        blocked: set[str | None] = set()  # visitors whose next picture waits for their own earlier ones
        for ticket in list(self._waiting):
            if ticket.visitor in blocked or self._waits_for_own(ticket):
                blocked.add(ticket.visitor)
                continue
            if self._used + ticket.pixels > self.total:
                break
            ticket.admitted = True
            self._waiting.remove(ticket)
            self._used += ticket.pixels
            if ticket.visitor is not None:
                self._used_by[ticket.visitor] += ticket.pixels
        self._changed.notify_all()

    def _waits_for_own(self, ticket: _Ticket) -> bool:
        own = 0 if ticket.visitor is None else self._used_by[ticket.visitor]
        return own > 0 and own + ticket.pixels > self.for_one

    def _leave(self, ticket: _Ticket) -> None:
        if not ticket.admitted:
            self._waiting.remove(ticket)
        else:
            self._used -= ticket.pixels
            if ticket.visitor is not None:
                self._used_by[ticket.visitor] -= ticket.pixels
                if not self._used_by[ticket.visitor]:
                    del self._used_by[ticket.visitor]
        self._admit()


GATE = DecodeGate()
"""The one of this process."""
