"""Connections that are bounded in number and time: uvicorn itself waits for ever for the rest of a request's headers."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from fruitvision.ui.gradio_internals import uvicorn_configured_by
from fruitvision.ui.server.access import LOOPBACK, Caller, counted_address
from fruitvision.ui.server.places import share

HEADER_SECONDS = 15.0
"""For the headers of a request, and between two requests on one connection."""
STALLED_SECONDS = 60.0
"""For a client that takes nothing of an answer."""
LOOKED_AFTER = 5.0
SLOWEST_BYTES = 4096  # taken between two checks: a slow line, and not one that is kept busy on purpose
UNFINISHED_BYTES = 32 * 2**10  # of headers that have not come whole; the gate allows half
MOST, KEPT_FILES = 2000, 96
"""Connections in all, and handles that are kept for files where the system allows a process few."""
ADDRESS_SHARE = 2
"""One address may hold this part of them; not this computer's own, where a proxy's or a tunnel's visitors come from."""
SLOW_PART = 4
"""Answers that wait for a client to take more may hold this part of them: each may hold a handle for its file besides."""
LOG_SECONDS = 60.0

_WHOSE = "fruitvision.whose"


@dataclass
class Whose:
    """By whom the last request on a connection was sent, as far as it is known."""

    caller: Caller | None = None


def asked_by(scope: dict, caller: Caller) -> None:
    """Note by whom the request of an ASGI ``scope`` was sent, for the connection that it came on."""
    whose = scope.get("state", {}).get(_WHOSE)
    if whose is not None:
        whose.caller = caller


@dataclass
class Connections:
    """Those of one server, in the order in which they came."""

    most: int
    by_address: Counter[str] = field(default_factory=Counter)
    open: dict[Connection, None] = field(default_factory=dict)
    slow: dict[Connection, None] = field(default_factory=dict)
    """Those that have kept an answer waiting for a while, the longest first."""

    def admit(self, new: Connection) -> bool:
        """Whether ``new`` may stay; for it, the one that has waited longest without a request, or a slow one, goes where all are taken."""
        if new.address not in LOOPBACK and self.by_address[new.address] >= max(self.most // ADDRESS_SHARE, 1):
            return False
        if len(self.open) >= self.most:
            less_needed = next((one for one in self.open if not one.answering), None) or self._slowest()
            if less_needed is None:
                return False
            less_needed.end()
        self.open[new] = None
        self.by_address[new.address] += 1
        return True

    def keeps_waiting(self, one: Connection) -> None:
        """An answer waits for ``one`` to take more. Where that is so of too many, one of them is closed."""
        self.slow[one] = None
        if len(self.slow) > max(self.most // SLOW_PART, 1) and (most_waited_for := self._slowest()):
            most_waited_for.end()

    def _slowest(self) -> Connection | None:
        """The slow one that goes first: of whoever has the most, for as many people as they may be; the owner's last."""
        held = Counter(one.counted_as for one in self.slow)
        return max(self.slow, key=lambda one: (not one.by_owner, held[one.counted_as] / one.people), default=None)

    def forget(self, gone: Connection) -> None:
        """It is closed, or closing."""
        self.slow.pop(gone, None)
        if gone in self.open:
            del self.open[gone]
            self.by_address[gone.address] -= 1
            if not self.by_address[gone.address]:
                del self.by_address[gone.address]


class Connection(H11Protocol):
    """One connection, closed where it keeps the server waiting. Raises nothing; the client sees the connection end."""

    def __init__(self, *given: Any, connections: Connections, **named: Any) -> None:
        super().__init__(*given, **named)
        self._all, self._heard, self._care = connections, time.monotonic(), None
        self._waiting_bytes = 0
        self._whose = Whose()
        self.app_state = {**self.app_state, _WHOSE: self._whose}  # uvicorn gives it to each request
        self.address = ""

    @property
    def counted_as(self) -> str:
        """Who holds it."""
        return self._whose.caller.counted_as if self._whose.caller else f"at {self.address}"

    @property
    def by_owner(self) -> bool:
        """Whether it is the owner's."""
        return self._whose.caller is not None and self._whose.caller.owner

    @property
    def people(self) -> int:
        """How many may stand behind what it is counted as."""
        return share(self._whose.caller or Caller(False, self.address))

    @property
    def answering(self) -> bool:
        """Whether a whole request is here that has not been answered."""
        return self.cycle is not None and not self.cycle.response_complete

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """As uvicorn's, where there is room."""
        super().connection_made(transport)
        self.address = counted_address(self.client[0]) if self.client else ""
        if self._all.admit(self):
            self._care = self.loop.call_later(LOOKED_AFTER, self._look)
        else:
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """As uvicorn's."""
        self._all.forget(self)
        if self._care is not None:
            self._care.cancel()
        super().connection_lost(exc)

    def end(self) -> None:
        """Close it now."""
        self._all.forget(self)
        self.transport.abort()

    def on_response_complete(self) -> None:
        """As uvicorn's; the next request is waited for from now on."""
        self._heard = time.monotonic()
        super().on_response_complete()

    def resume_writing(self) -> None:
        """As uvicorn's: the client has taken most of what waited."""
        self._heard = time.monotonic()
        super().resume_writing()

    def _look(self) -> None:
        now, stuck = time.monotonic(), self.transport.get_write_buffer_size()
        if (self.answering and not stuck) or self._waiting_bytes - stuck >= SLOWEST_BYTES:
            self._heard = now
        if not stuck:
            self._all.slow.pop(self, None)
        elif self._waiting_bytes:  # as it was the last time
            self._all.keeps_waiting(self)
        self._waiting_bytes = stuck
        if now - self._heard > (STALLED_SECONDS if stuck else HEADER_SECONDS):
            self.end()
        else:
            self._care = self.loop.call_later(LOOKED_AFTER, self._look)


class OncePerMinute(logging.Filter):
    """Lets each sentence that a stranger can bring about at will be logged once a minute: else a log grows as fast as requests come."""

    SENTENCES = {
        # no further connection can be opened: said many times a second, with a trace; a client is gone: said for each piece of an answer
        "asyncio": ("out of system resource", "socket.send() raised exception"),
        "uvicorn.error": (
            "Invalid HTTP request received",
            "Unsupported upgrade request",
            "No supported WebSocket library",
            "ASGI callable returned without",
        ),
    }
    """Of each logger: how they begin, or what is in them."""

    def __init__(self) -> None:
        super().__init__()
        self._next: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is shown."""
        message = record.getMessage()
        said = next((one for sentences in self.SENTENCES.values() for one in sentences if one in message), None)
        if said is None:
            return True
        if time.monotonic() < self._next.get(said, 0.0):
            return False
        self._next[said] = time.monotonic() + LOG_SECONDS
        record.exc_info = record.exc_text = None
        return True


_SELDOM = OncePerMinute()


def most_connections() -> int:
    """How many connections the system lets this process hold, with handles left for its files."""
    try:
        import resource
    except ImportError:  # Windows
        return MOST
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST if soft == resource.RLIM_INFINITY else max(min(MOST, soft - max(KEPT_FILES, soft // 4)), 8)


def server_settings(most: int | None = None) -> dict[str, Any]:
    """What to give ``uvicorn.Config``."""
    connections = Connections(most or most_connections())
    return {
        "http": partial(Connection, connections=connections),
        "timeout_keep_alive": 5,
        "h11_max_incomplete_event_size": UNFINISHED_BYTES,
    }


@contextmanager
def served_through(gate: Callable[[Any], Any]) -> Iterator[None]:
    """What Gradio opens meanwhile has bounded connections, and ``gate(app)`` in the place of its ASGI app.

    Gradio's ``launch`` passes uvicorn no settings, and puts its own middleware, which answers any page's preflight, before
    whatever middleware it is given.
    """

    def settings(app: Any, **given: Any) -> uvicorn.Config:
        return uvicorn.Config(app=gate(app), **given, **server_settings())

    for logger in OncePerMinute.SENTENCES:
        logging.getLogger(logger).addFilter(_SELDOM)
    with uvicorn_configured_by(settings):
        yield
