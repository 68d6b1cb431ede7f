"""What comes in and what goes out: a request's body, bounded in size, in time, and in what a parser would make of it, followed
piece by piece; and a response with known headers alone."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from python_multipart.multipart import parse_options_header
from starlette.datastructures import Headers

from fruitvision.ui.server.places import Busy
from fruitvision.ui.server.uploads import MOST_FILES

MAX_DEPTH, MAX_MARKS = 100, 20_000  # of JSON: brackets within brackets; brackets, commas, quotes and escapes altogether
MAX_OWNER_MARKS = 1_000_000  # the owner announces 100,000 files at once, each with its name and size: seven marks
_MARKS = re.compile(rb'\\.|["\[\]{},]', re.DOTALL)
BODY_SECONDS, PAUSE_SECONDS = 120.0, 20.0  # for a whole body, and between two pieces of it

Send = Callable[[dict], Awaitable[None]]
Receive = Callable[[], Awaitable[dict]]


class BodyRefused(Exception):
    """A body that is too large, or comes too slowly."""


class Body:
    """The body of one request as an ASGI ``receive``: raises BodyRefused, and notes why, where it is too large or too slow.

    Args:
        receive: the server's.
        limit: bytes of the body.
        place: is told of each piece by ``hold``, which raises Busy where there is no room for it.
        watch: finds what must not be parsed.
    """

    def __init__(self, receive: Receive, limit: int, place: Any, watch: Nesting | Files | Unparsed) -> None:
        self._receive, self._limit, self._place, self._watch = receive, limit, place, watch
        self._end = asyncio.get_running_loop().time() + BODY_SECONDS
        self.came, self._whole = 0, False
        self.refused: tuple[int, str] | None = None
        """Status and sentence: 400, 408, 413, or what ``place`` says."""

    async def __call__(self) -> dict:
        """The next piece; once all have come, the end of the connection, however long the answer takes."""
        if self._whole:
            return await self._receive()
        left = self._end - asyncio.get_running_loop().time()
        try:
            message = await asyncio.wait_for(self._receive(), min(PAUSE_SECONDS, max(left, 0.001)))
        except TimeoutError as error:
            self.refused = 408, "That came too slowly."
            raise BodyRefused from error
        piece = message.get("body", b"")
        self.came += len(piece)
        self._whole = not message.get("more_body", False)
        self.refused = self._problem(piece)
        if self.refused:
            raise BodyRefused
        return message

    def _problem(self, piece: bytes) -> tuple[int, str] | None:
        if self.came > self._limit:
            return 413, "That is too large."
        try:
            self._place.hold(len(piece))
        except Busy as busy:
            return busy.status, str(busy)
        problem = self._watch.problem(piece)
        return (400, problem) if problem else None

    async def read(self) -> Receive:
        """Wait until all has come: a ``receive`` that gives it at once."""
        messages = [await self()]
        while not self._whole:
            messages.append(await self())
        messages.reverse()

        async def receive() -> dict:
            return messages.pop() if messages else await self._receive()

        return receive


async def bounded(app: Callable[..., Awaitable[None]], scope: dict, body: Body, response: Any) -> None:
    """Let ``app`` answer a request while its body comes; ``response`` sends, and knows whether the answer has ``started``."""

    async def watched(message: dict) -> None:
        if body.refused is None:
            await response(message)

    try:
        await app({**scope, "fruitvision.body": lambda: body.came}, body, watched)
    except BodyRefused:
        pass
    if body.refused and not response.started:
        await answer(response, *body.refused)


class Nesting:
    """How deep a JSON text is nested and how many values it has, followed piece by piece.

    Parsers that recurse end with the app where nesting has no end, and a list of seven million numbers, in one request of the
    allowed size, kept the event loop for half a minute.

    Args:
        most: marks; ``MAX_MARKS`` by default.
    """

    def __init__(self, most: int | None = None) -> None:
        self._most = most or MAX_MARKS
        self._depth = self._marks = 0
        self._in_text, self._rest = False, b""

    def problem(self, piece: bytes) -> str:
        """A sentence where the text, up to and with ``piece``, is not to be parsed."""
        return "That is nested too deep." if self.too_deep(piece) else ""

    def too_deep(self, piece: bytes) -> bool:
        """Whether the text, up to and with ``piece``, was nested deeper than ``MAX_DEPTH`` anywhere, or has too many marks."""
        piece, end = self._rest + piece, 0
        for mark in _MARKS.finditer(piece):
            kind, end = mark.group(), mark.end()
            self._marks += 1
            if kind == b'"':
                self._in_text = not self._in_text
            elif len(kind) == 1 and kind != b"," and not self._in_text:
                self._depth += 1 if kind in b"[{" else -1
            if self._depth > MAX_DEPTH or self._marks > self._most:
                return True
        self._rest = piece[-1:] if piece.endswith(b"\\") and end < len(piece) else b""  # what it escapes comes next
        return False


class Unparsed:
    """A body that no parser sees: a picture, which is taken apart before anything decodes it (``data/read/formats``)."""

    def problem(self, piece: bytes) -> str:
        """None."""
        return ""


class Files:
    """How many parts a form has, followed piece by piece.

    Args:
        scope: the request's.
        most: parts that it may have.
    """

    def __init__(self, scope: dict, most: int = MOST_FILES) -> None:
        _, options = parse_options_header(Headers(scope=scope).get("content-type", ""))  # as Gradio's parser reads it
        self._boundary = b"--" + options.get(b"boundary", b"")
        self._most, self._parts, self._rest = most, 0, b""

    def problem(self, piece: bytes) -> str:
        """A sentence where the form, up to and with ``piece``, has more parts than it may, or none can be told."""
        if len(self._boundary) < 3:
            return "That is no form."
        piece = self._rest + piece
        self._parts += piece.count(self._boundary)
        at = piece.rfind(self._boundary)
        left = piece if at < 0 else piece[at + len(self._boundary) :]
        self._rest = left[-(len(self._boundary) - 1) :]
        return f"There are more files in one request than may be: {self._most}." if self._parts > self._most + 1 else ""


async def answer(send: Send, status: int, sentence: str) -> None:
    """Send a refusal, and close the connection: whatever is still coming is not read."""
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": sentence.encode()})


#: The headers of a response that go out; nothing else does, whoever put it there.
ANSWERED = frozenset(
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
    """``send`` of one request: lets known response headers through alone, and says what browsers may do with the answer.

    Args:
        policy: the content security policy.
        asset: a part of the page that is the same for everybody, which caches may keep and which gives nobody a number.
    """

    def __init__(self, send: Send, policy: str, asset: bool) -> None:
        self._send, self._policy, self._asset = send, policy, asset
        self.started = False
        self.cookie = b""
        """Sent along where it is not empty."""

    async def __call__(self, message: dict) -> None:
        """Send a message of the app's."""
        if message["type"] == "http.response.start":
            self.started = True
            message = {**message, "headers": self._headers(message.get("headers", ()))}
        await self._send(message)

    def _headers(self, given: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        kept = [(name.lower(), value) for name, value in given if name.lower() in ANSWERED]
        kept = [(name, value) for name, value in kept if name != b"set-cookie" or value.startswith(COOKIES)]
        added = [
            (b"content-security-policy", self._policy.encode()),
            (b"x-content-type-options", b"nosniff"),
            (b"cross-origin-resource-policy", b"same-origin"),
        ]
        missing = [(b"referrer-policy", b"same-origin")]
        if not self._asset:
            missing.append((b"cache-control", b"private, no-cache"))
            added += [(b"set-cookie", self.cookie)] if self.cookie else []
        there = {name for name, _ in kept}
        return [*kept, *added, *(one for one in missing if one[0] not in there)]


def own_cookies(header: bytes) -> list[bytes]:
    return [one.strip() for one in header.split(b";") if one.strip().startswith(COOKIES)]
