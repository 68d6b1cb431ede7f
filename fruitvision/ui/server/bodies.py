"""Request bodies with limits on size, time and structure, checked chunk by chunk; and responses with allowed headers only."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from fruitvision.ui.server.limits import Busy
from fruitvision.ui.server.parsing.form_check import FormCheck
from fruitvision.web.device_page import send_in_chunks

MAX_DEPTH, MAX_TOKENS = 100, 20_000  # of JSON: nesting depth; brackets, commas, quotes and escapes in total
MAX_OWNER_TOKENS = 1_000_000  # the owner announces up to 100,000 files at once, each with its name and size: seven tokens
_TOKENS = re.compile(rb'\\.|["\[\]{},]', re.DOTALL)
BODY_SECONDS, CHUNK_SECONDS = 120.0, 20.0  # time limits for a whole body, and between two chunks

Send = Callable[[dict], Awaitable[None]]
Receive = Callable[[], Awaitable[dict]]


class BodyRejected(Exception):
    """The body exceeds a limit."""


class Body:
    """The body of one request as an ASGI ``receive``, which raises BodyRejected, and sets ``rejection``, if a limit is exceeded.

    Args:
        receive: the server's.
        limit: maximum size in bytes.
        quota: counts each chunk in ``add``, which raises Busy if its limit is reached.
        check: checks what a parser must not see.
    """

    def __init__(self, receive: Receive, limit: int, quota: Any, check: JsonCheck | FormCheck | NoCheck) -> None:
        self._receive, self._limit, self._quota, self._check = receive, limit, quota, check
        self._deadline = asyncio.get_running_loop().time() + BODY_SECONDS
        self.received, self._complete = 0, False
        self.rejection: tuple[int, str] | None = None
        """Status and message: 400, 408, 413, or those of ``quota``."""

    async def __call__(self) -> dict:
        """The next chunk. After the last one, waits for the end of the connection without a time limit, as ``receive`` does."""
        if self._complete:
            return await self._receive()
        remaining = self._deadline - asyncio.get_running_loop().time()
        try:
            message = await asyncio.wait_for(self._receive(), min(CHUNK_SECONDS, max(remaining, 0.001)))
        except TimeoutError as error:
            self.rejection = 408, "That came too slowly."
            raise BodyRejected from error
        chunk = message.get("body", b"")
        self.received += len(chunk)
        self._complete = not message.get("more_body", False)
        self.rejection = self._reject(chunk)
        if self.rejection:
            raise BodyRejected
        return message

    def _reject(self, chunk: bytes) -> tuple[int, str] | None:
        if self.received > self._limit:
            return 413, "That is too large."
        try:
            self._quota.add(len(chunk))
        except Busy as busy:
            return busy.status, str(busy)
        problem = self._check.check(chunk)
        return (400, problem) if problem else None

    async def read(self) -> Receive:
        """Read the whole body; returns a ``receive`` that yields it without waiting."""
        content, message = bytearray(), await self()  # not the chunks: each would take more memory than the bytes that are counted
        content += message.get("body", b"")
        while not self._complete:
            message = await self()
            content += message.get("body", b"")
        messages = [{"type": "http.request", "body": bytes(content), "more_body": False}]
        if message["type"] != "http.request":  # the client has gone
            messages = [message, {**messages[0], "more_body": True}]

        async def receive() -> dict:
            return messages.pop() if messages else await self._receive()

        return receive


async def run_with_body(app: Callable[..., Awaitable[None]], scope: dict, body: Body, response: Any) -> None:
    """Run ``app`` while the body arrives. A rejection is sent unless ``response``, which sends messages, has ``started``."""

    async def send(message: dict) -> None:
        if body.rejection is None:
            await response(message)

    try:
        await app({**scope, "fruitvision.body": lambda: body.received}, body, send)
    except BodyRejected:
        pass
    if body.rejection and not response.started:
        await send_text(response, *body.rejection)


class JsonCheck:
    """Limits the nesting depth and the number of values of a JSON text, chunk by chunk.

    Without them, deep nesting would exhaust the parser's recursion, and a list of seven million numbers, in one request of the allowed
    size, blocked the event loop for half a minute.

    Args:
        max_tokens: ``MAX_TOKENS`` by default.
    """

    def __init__(self, max_tokens: int | None = None) -> None:
        self._max_tokens = max_tokens or MAX_TOKENS
        self._depth = self._tokens = 0
        self._in_string, self._rest = False, b""

    def check(self, chunk: bytes) -> str:
        """An error message if the text up to the end of ``chunk`` exceeds a limit; otherwise empty."""
        return "That is nested too deep." if self.too_deep(chunk) else ""

    def too_deep(self, chunk: bytes) -> bool:
        """Whether the text up to the end of ``chunk`` is nested deeper than ``MAX_DEPTH`` anywhere, or has too many tokens.

        So counts a text with a NUL, of UTF-16 or UTF-32: it would be parsed as other tokens than are found here.
        """
        if b"\0" in chunk:
            return True
        chunk, end = self._rest + chunk, 0
        for match in _TOKENS.finditer(chunk):
            token, end = match.group(), match.end()
            self._tokens += 1
            if token == b'"':
                self._in_string = not self._in_string
            elif len(token) == 1 and token != b"," and not self._in_string:
                self._depth += 1 if token in b"[{" else -1
            if self._depth > MAX_DEPTH or self._tokens > self._max_tokens:
                return True
        self._rest = chunk[-1:] if chunk.endswith(b"\\") and end < len(chunk) else b""  # the escaped character is in the next chunk
        return False


class NoCheck:
    """For a body that is not parsed: a picture, whose headers are checked before it is decoded (``data/read/formats``)."""

    def check(self, chunk: bytes) -> str:
        """Always empty."""
        return ""


async def send_text(send: Send, status: int, text: str) -> None:
    """Send a text response, and close the connection without reading the rest of the request."""
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": text.encode()})


#: The response headers that are sent; all others are dropped.
RESPONSE_HEADERS = frozenset(
    (
        b"cache-control",
        b"connection",
        b"content-disposition",
        b"content-encoding",
        b"content-length",
        b"content-type",
        b"date",
        b"etag",
        b"last-modified",
        b"location",
        b"referrer-policy",
        b"retry-after",
        b"set-cookie",
        b"vary",
        b"x-accel-buffering",
    )
)
COOKIES = b"fruitvision-"


class Response:
    """The ``send`` of one request: it drops all but ``RESPONSE_HEADERS``, and adds security headers.

    Args:
        policy: the content security policy.
        asset: whether it is a static file, the same for everybody, which may be cached and sets no visitor cookie.
    """

    def __init__(self, send: Send, policy: str, asset: bool) -> None:
        self._send, self._policy, self._asset = send, policy, asset
        self.started = False
        self.cookie = b""
        """A Set-Cookie header to add, unless it is empty."""

    async def __call__(self, message: dict) -> None:
        """Send a message of the app. A large body is sent in chunks: what a slow client does not read is not copied for it."""
        if message["type"] == "http.response.body":
            await send_in_chunks(self._send, message.get("body", b""), more=message.get("more_body", False))
            return
        if message["type"] == "http.response.start":
            self.started = True
            message = {**message, "headers": self._headers(message.get("headers", ()))}
        await self._send(message)

    def _headers(self, given: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        kept = [(name.lower(), value) for name, value in given if name.lower() in RESPONSE_HEADERS]
        kept = [(name, value) for name, value in kept if name != b"set-cookie" or value.startswith(COOKIES)]
        added = [
            (b"content-security-policy", self._policy.encode()),
            (b"x-content-type-options", b"nosniff"),
            (b"cross-origin-resource-policy", b"same-origin"),
        ]
        defaults = [(b"referrer-policy", b"same-origin")]
        if not self._asset:
            defaults.append((b"cache-control", b"private, no-cache"))
            added += [(b"set-cookie", self.cookie)] if self.cookie else []
        present = {name for name, _ in kept}
        return [*kept, *added, *(header for header in defaults if header[0] not in present)]


def own_cookies(header: bytes) -> list[bytes]:
    """The cookies of this app in a Cookie header, as ``name=value``."""
    return [cookie.strip() for cookie in header.split(b";") if cookie.strip().startswith(COOKIES)]
