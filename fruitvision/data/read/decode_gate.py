"""A limit on the number of pixels that are decoded at the same time, in this process and for one visitor of the app.

A picture of 97 KB may have 50 megapixels, so a limit on threads would not bound memory.
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

_visitor: ContextVar[tuple[str | None, str | None]] = ContextVar("decoding_for", default=(None, None))


@contextmanager
def decoding_for(visitor: str | None, address: str | None = None) -> Iterator[None]:
    """Within this context, count what this thread decodes towards the limits of a visitor and an address; None counts towards no one's."""
    token = _visitor.set((visitor, address))
    try:
        yield
    finally:
        _visitor.reset(token)


@dataclass(eq=False)
class _Ticket:
    pixels: int
    visitor: str | None
    address: str | None = None
    admitted: bool = False
    turn: tuple[bool, int, int] = (False, 0, 0)


class DecodeGate:
    """A semaphore weighted by pixels, which is fair to visitors.

    Pictures without a visitor are admitted first, then those of visitors in turn, each in order of arrival. A visitor's second
    picture waits until everyone's first is admitted, without blocking those behind it; likewise an address's second visitor waits for
    the first of every other address. One address holds at most half of the total, however many visitors it has. Otherwise the order
    is kept, so that small pictures do not starve a large one. A picture larger than a limit is admitted alone. A thread must not
    acquire twice without releasing.
    """

    def __init__(self, total: int = MAX_PIXELS_AT_ONCE, for_one: int = MAX_PIXELS_OF_ONE_VISITOR) -> None:
        self.total, self.for_one = total, min(for_one, total)
        self._changed = threading.Condition()
        self._waiting: list[_Ticket] = []
        self._used = 0
        self._used_by: Counter[tuple[str, str]] = Counter()

    def has_room(self, pixels: int) -> bool:
        """Whether :meth:`acquire` would probably return without waiting."""
        ticket = _Ticket(min(pixels, self.total), *_visitor.get())
        return not self._waiting and not self._waits_for_own(ticket) and self._used + ticket.pixels <= self.total

    @contextmanager
    def acquire(self, pixels: int, visitor: str | None = None, address: str | None = None) -> Iterator[None]:
        """Context manager: acquire ``pixels``, waiting until they are available, and release them at the end.

        Args:
            visitor, address: who decodes; by default as set by :func:`decoding_for`.
        """
        visitor, address = _visitor.get() if visitor is None else (visitor, address)
        ticket = _Ticket(min(pixels, self.total), visitor, address)
        with self._changed:
            own = sum(other.visitor == visitor for other in self._waiting)
            near = sum(other.address == address for other in self._waiting) if address is not None else 0
            ticket.turn = (visitor is not None, own, near)
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
        """Admit waiting tickets in order, as far as they fit."""
        blocked: set[str | None] = set()  # visitors whose next picture waits for earlier ones of theirs or of their address
        for ticket in list(self._waiting):
            if ticket.visitor in blocked or self._waits_for_own(ticket):
                blocked.add(ticket.visitor)
                continue
            if self._used + ticket.pixels > self.total:
                break
            ticket.admitted = True
            self._waiting.remove(ticket)
            self._used += ticket.pixels
            for name in _counted(ticket):
                self._used_by[name] += ticket.pixels
        self._changed.notify_all()

    def _waits_for_own(self, ticket: _Ticket) -> bool:
        bounds = (self.for_one, self.total // 2)
        used = ((self._used_by[name], bound) for name, bound in zip(_counted(ticket), bounds, strict=False))
        return any(held > 0 and held + ticket.pixels > bound for held, bound in used)

    def _leave(self, ticket: _Ticket) -> None:
        if not ticket.admitted:
            self._waiting.remove(ticket)
        else:
            self._used -= ticket.pixels
            for name in _counted(ticket):
                self._used_by[name] -= ticket.pixels
                if not self._used_by[name]:
                    del self._used_by[name]
        self._admit()


def _counted(ticket: _Ticket) -> list[tuple[str, str]]:
    """The keys under which a ticket is counted: its visitor and its address, if known."""
    if ticket.visitor is None:
        return []
    return [("visitor", ticket.visitor), *([("address", ticket.address)] if ticket.address is not None else [])]


GATE = DecodeGate()
"""The gate of this process."""
