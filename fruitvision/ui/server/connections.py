"""Connections with limits on their number and idle time; uvicorn alone waits forever for the rest of a request's headers."""

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

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from fruitvision.ui.gradio_internals import uvicorn_config_replaced
from fruitvision.ui.server.access import LOOPBACK, Caller, quota_address
from fruitvision.ui.server.limits import max_users
from fruitvision.ui.server.parsing.request_parser import READ_BYTES, RequestParser

HEADER_SECONDS = 15.0
"""Timeout for the headers of a request, and between two requests on a connection."""
STALLED_SECONDS = 60.0
"""Timeout for a client that reads nothing of a response."""
CHECK_SECONDS = 5.0
MIN_BYTES_PER_CHECK = 4096  # a client that reads less between two checks counts as stalled: slow lines read more
UNFINISHED_BYTES = 32 * 2**10  # maximum size of incomplete headers; the gate allows half of it
MAX_CONNECTIONS, RESERVED_FILES = 2000, 96
"""Maximum number of connections, and file descriptors reserved for files if the system allows a process few."""
ADDRESS_DIVISOR = 2
"""One address may have 1/2 of them; this computer's own, from which visitors behind a proxy or tunnel come, may have all."""
SLOW_DIVISOR = 4
"""Responses whose client reads slowly may have 1/4 of them: each may also keep a file open."""
LOG_SECONDS = 60.0

_STATE_KEY = "fruitvision.caller"


@dataclass
class ConnectionCaller:
    """The sender of the last request on a connection, if it is known."""

    caller: Caller | None = None


def set_connection_caller(scope: dict, caller: Caller) -> None:
    """Store the sender of the request of an ASGI ``scope`` in its connection."""
    sender = scope.get("state", {}).get(_STATE_KEY)
    if sender is not None:
        sender.caller = caller


@dataclass
class Connections:
    """The connections of one server, in the order in which they were opened."""

    maximum: int
    by_address: Counter[str] = field(default_factory=Counter)
    open: dict[Connection, None] = field(default_factory=dict)
    slow: dict[Connection, None] = field(default_factory=dict)
    """Those whose client reads slowly, the longest first."""

    def admit(self, new: Connection) -> bool:
        """Whether ``new`` may stay. At the maximum, the oldest idle connection, or a slow one, is closed for it."""
        if new.address not in LOOPBACK and self.by_address[new.address] >= max(self.maximum // ADDRESS_DIVISOR, 1):
            return False
        if len(self.open) >= self.maximum:
            expendable = next((connection for connection in self.open if not connection.answering), None) or self._slowest()
            if expendable is None:
                return False
            expendable.end()
        self.open[new] = None
        self.by_address[new.address] += 1
        return True

    def mark_slow(self, connection: Connection) -> None:
        """Note that the client reads slowly. Of too many slow connections, one is closed."""
        self.slow[connection] = None
        if len(self.slow) > max(self.maximum // SLOW_DIVISOR, 1) and (slowest := self._slowest()):
            slowest.end()

    def _slowest(self) -> Connection | None:
        """The slow connection to close first: of the caller with the most slow ones per possible user; the owner's last."""
        counts = Counter(connection.quota_key for connection in self.slow)
        return max(self.slow, key=lambda one: (not one.by_owner, counts[one.quota_key] / one.max_users), default=None)

    def forget(self, closed: Connection) -> None:
        """Remove a connection that is closed, or closing."""
        self.slow.pop(closed, None)
        if closed in self.open:
            del self.open[closed]
            self.by_address[closed.address] -= 1
            if not self.by_address[closed.address]:
                del self.by_address[closed.address]


class Connection(H11Protocol):
    """One connection, which is closed if the client keeps the server waiting. Raises nothing."""

    def __init__(self, *given: Any, connections: Connections, **named: Any) -> None:
        super().__init__(*given, **named)
        self.conn = RequestParser(UNFINISHED_BYTES)
        self._all, self._last_active, self._timer = connections, time.monotonic(), None
        self._unsent_bytes = 0
        self._sender = ConnectionCaller()
        self.app_state = {**self.app_state, _STATE_KEY: self._sender}  # uvicorn copies it into the scope of each request
        self.address = ""

    @property
    def quota_key(self) -> str:
        """The key under which it is counted."""
        return self._sender.caller.quota_key if self._sender.caller else f"at {self.address}"

    @property
    def by_owner(self) -> bool:
        """Whether it is the owner's."""
        return self._sender.caller is not None and self._sender.caller.owner

    @property
    def max_users(self) -> int:
        """How many people may share its quota key."""
        return max_users(self._sender.caller or Caller(False, self.address))

    @property
    def answering(self) -> bool:
        """Whether a complete request has arrived whose response is not complete."""
        return self.cycle is not None and not self.cycle.response_complete

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """As uvicorn's, if the limits allow it."""
        super().connection_made(transport)
        self.address = quota_address(self.client[0]) if self.client else ""
        if self._all.admit(self):
            self._timer = self.loop.call_later(CHECK_SECONDS, self._check)
        else:
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """As uvicorn's."""
        self._all.forget(self)
        if self._timer is not None:
            self._timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """As uvicorn's, some of it at a time."""
        for start in range(0, len(data), READ_BYTES):
            if self.transport.is_closing():
                return
            super().data_received(data[start : start + READ_BYTES])

    def send_400_response(self, msg: str) -> None:
        """As uvicorn's, unless a response has begun. The app answers no more: uvicorn would log a traceback if both did."""
        if self.answering:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            super().send_400_response(msg)
        else:
            self.end()

    def end(self) -> None:
        """Close it now."""
        self._all.forget(self)
        self.transport.abort()

    def on_response_complete(self) -> None:
        """As uvicorn's; the timeout for the next request starts."""
        self._last_active = time.monotonic()
        super().on_response_complete()

    def resume_writing(self) -> None:
        """As uvicorn's: the client has read most of the write buffer."""
        self._last_active = time.monotonic()
        super().resume_writing()

    def _check(self) -> None:
        now, unsent = time.monotonic(), self.transport.get_write_buffer_size()
        if (self.answering and not unsent) or self._unsent_bytes - unsent >= MIN_BYTES_PER_CHECK:
            self._last_active = now
        if not unsent:
            self._all.slow.pop(self, None)
        elif self._unsent_bytes:  # at the last check too
            self._all.mark_slow(self)
        self._unsent_bytes = unsent
        if now - self._last_active > (STALLED_SECONDS if unsent else HEADER_SECONDS):
            self.end()
        else:
            self._timer = self.loop.call_later(CHECK_SECONDS, self._check)


class OncePerMinute(logging.Filter):
    """Logs each message that clients can cause at will only once a minute: otherwise the log would grow with every request."""

    SENTENCES = {
        # asyncio: no further connection can be opened (many times a second, with a traceback); a client is gone (for each chunk)
        "asyncio": ("out of system resource", "socket.send() raised exception"),
        "uvicorn.error": (
            "Invalid HTTP request received",
            "Unsupported upgrade request",
            "No supported WebSocket library",
            "ASGI callable returned without",
        ),
    }
    """By logger: parts of these messages."""

    def __init__(self) -> None:
        super().__init__()
        self._next: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is logged."""
        message = record.getMessage()
        known = next((one for sentences in self.SENTENCES.values() for one in sentences if one in message), None)
        if known is None:
            return True
        if time.monotonic() < self._next.get(known, 0.0):
            return False
        self._next[known] = time.monotonic() + LOG_SECONDS
        record.exc_info = record.exc_text = None
        return True


_LOG_FILTER = OncePerMinute()


def max_connections() -> int:
    """How many connections this process may have, with file descriptors left for its files."""
    try:
        import resource
    except ImportError:  # Windows
        return MAX_CONNECTIONS
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MAX_CONNECTIONS if soft == resource.RLIM_INFINITY else max(min(MAX_CONNECTIONS, soft - max(RESERVED_FILES, soft // 4)), 8)


def server_settings(maximum: int | None = None) -> dict[str, Any]:
    """Arguments for ``uvicorn.Config``. ``maximum``: number of connections, by default :func:`max_connections`."""
    connections = Connections(maximum or max_connections())
    return {
        "http": partial(Connection, connections=connections),
        "timeout_keep_alive": 5,
    }


@contextmanager
def serve_through(gate: Callable[[Any], Any]) -> Iterator[None]:
    """Servers that Gradio starts inside the block have limited connections, and serve ``gate(app)`` instead of Gradio's ASGI app.

    Gradio's ``launch`` accepts no settings for uvicorn, and puts its own middleware, which answers every site's CORS preflight, before
    the middleware that it is given.
    """

    def settings(app: Any, **given: Any) -> uvicorn.Config:
        return uvicorn.Config(app=gate(app), **given, **server_settings())

    for logger in OncePerMinute.SENTENCES:
        logging.getLogger(logger).addFilter(_LOG_FILTER)
    with uvicorn_config_replaced(settings):
        yield
