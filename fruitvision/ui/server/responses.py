"""What goes out to whoever asked: known headers alone, and what browsers may do with the answer."""

from __future__ import annotations

from collections.abc import Iterable

from fruitvision.ui.server.bodies import Send

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
