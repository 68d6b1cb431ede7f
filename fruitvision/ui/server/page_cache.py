"""Caches of the rendered page, and of its scripts and styles, compressed.

Gradio would render the page from copies of all components for every request. It would also compress every response anew, on the event
loop, and a visitor's uploads too: the gate therefore never tells it what encodings a client accepts.
"""

from __future__ import annotations

import asyncio
import gzip
import re
from collections.abc import Awaitable, Callable
from urllib.parse import parse_qs

from starlette.datastructures import Headers

from fruitvision.ui.server.access import Caller
from fruitvision.ui.server.guarded_blocks import RENDERED_LANGUAGE
from fruitvision.ui.server.limits import RequestLimiter
from fruitvision.wording.text import LANGUAGES, language_of

PATHS = ("/", "/config", "/gradio_api/info")
LANGUAGE_COOKIE = "fruitvision-language"
"""Set by navigation.js."""
MAX_ENTRIES = 16
"""Maximum cached responses: there is one for each URL and language."""
GZIP_LEVEL = 6
MAX_ASSET_BYTES = 32 * 2**20
"""Of compressed files; Gradio's take about a quarter of it. When it is full, further files are sent as they are."""
_GZIP = re.compile(r"(?:^|[,\s])gzip\s*(?:;\s*q=(?!0(?:\.0*)?\s*(?:,|$))[\d.]+\s*)?(?:,|$)", re.IGNORECASE)
"""An Accept-Encoding that has gzip, and not with ``q=0``, which refuses it."""
_COMPRESSIBLE = re.compile(r"/(?:assets|static|svelte)/(?:[\w-][\w.-]*/)*[\w-][\w.-]*\.(?:css|js|json|svg)|/theme\.css", re.ASCII)
"""Paths without "." and "..", which would give one file any number of names."""


class PageCache:
    """An ASGI app in front of Gradio's, for ``PATHS`` only.

    These responses depend on the URL's host and path and on the language only, since there is no login. The query is not passed on,
    except for an owner's link.

    Args:
        language: returns the language of a request's page, see :func:`wanted_language`; without it, there is one page.
    """

    def __init__(self, app: Callable[..., Awaitable[None]], language: Callable[[dict], str] | None = None) -> None:
        self.app, self.language = app, language
        self._limiter, self._one_at_a_time = RequestLimiter(per_visitor=2, total=8), asyncio.Lock()
        self._entries: dict[tuple, list[dict]] = {}

    async def __call__(self, scope: dict, receive: Callable, send: Callable, caller: Caller) -> None:
        """Answer a request. Raises Busy if too many pages are being rendered."""
        if "owner" in parse_qs(scope.get("query_string", b"").decode("latin-1")):
            await self.app(scope, receive, send)
            return
        language = self.language(scope) if self.language else None
        key = (*_key(scope), language)
        if key not in self._entries:
            async with self._limiter.slot(caller), self._one_at_a_time:
                if key not in self._entries:
                    messages: list[dict] = []
                    RENDERED_LANGUAGE.set(language)
                    await self.app({**scope, "query_string": b"", "method": "GET"}, receive, collector(messages))
                    if messages[0]["status"] != 200:
                        await replay(messages, scope, send)
                        return
                    self._entries[key] = messages
        messages = self._entries[key] = self._entries.pop(key)  # most recently used, last
        while len(self._entries) > MAX_ENTRIES:
            del self._entries[next(iter(self._entries))]
        await replay(messages, scope, send)


class AssetCache:
    """An ASGI app in front of Gradio's, for static files, which are the same for everybody."""

    def __init__(self, app: Callable[..., Awaitable[None]]) -> None:
        self.app, self._size, self._one_at_a_time = app, 0, asyncio.Lock()
        self._files: dict[str, list[dict]] = {}

    async def __call__(self, scope: dict, receive: Callable, send: Callable, accepted: str) -> None:
        """Answer a request. ``accepted``: its Accept-Encoding, which ``scope`` lacks."""
        path = scope["fruitvision.path"]
        if scope["method"] != "GET" or not _GZIP.search(accepted) or not _COMPRESSIBLE.fullmatch(path):
            await self.app(scope, receive, send)
            return
        if path not in self._files:
            async with self._one_at_a_time:
                if path not in self._files and (unknown := await self._compress(path, scope, receive)):
                    self._files[path] = unknown
        if path in self._files:
            await replay(self._files[path], scope, send)
        else:
            await self.app(scope, receive, send)

    async def _compress(self, path: str, scope: dict, receive: Callable) -> list[dict] | None:
        """The compressed response; None if there is no such file, or no more room."""
        if self._size >= MAX_ASSET_BYTES:
            return None
        messages: list[dict] = []
        await self.app(scope, receive, collector(messages))
        start, *rest = messages
        if start["status"] != 200:
            return None
        body = await asyncio.to_thread(gzip.compress, b"".join(one.get("body", b"") for one in rest), GZIP_LEVEL, mtime=0)
        self._size += len(body)
        kept = [(name, value) for name, value in start["headers"] if name.lower() not in (b"content-length", b"vary")]
        added = [(b"content-encoding", b"gzip"), (b"vary", b"accept-encoding"), (b"content-length", b"%d" % len(body))]
        return [{**start, "headers": [*kept, *added]}, {"type": "http.response.body", "body": body}]


def wanted_language(scope: dict, first: str, *, follow_browser: bool) -> str:
    """The language of a page: by its URL (``?lang=zh``), by the cookie, by the browser's preference, or ``first``."""
    headers = Headers(scope=scope)
    from_url = parse_qs(scope.get("query_string", b"").decode("latin-1")).get("lang", [""])[-1]
    from_cookies = [part.partition("=")[2] for part in headers.get("cookie", "").split("; ") if part.startswith(f"{LANGUAGE_COOKIE}=")]
    for language in (from_url, *from_cookies):
        if language in LANGUAGES:
            return language
    return language_of(headers.get("accept-language")) if follow_browser else first


def _key(scope: dict) -> tuple:
    headers = dict(scope["headers"])
    named = tuple(headers.get(name) for name in (b"host", b"x-forwarded-host", b"x-forwarded-proto"))
    return (scope["path"], scope.get("root_path"), scope.get("scheme"), *named)


def collector(messages: list[dict]) -> Callable[[dict], Awaitable[None]]:
    """A ``send`` that appends to ``messages``."""

    async def send(message: dict) -> None:
        messages.append(message)

    return send


async def replay(messages: list[dict], scope: dict, send: Callable) -> None:
    """Answer a request with collected messages."""
    for message in messages:
        if scope["method"] == "HEAD" and message["type"] == "http.response.body":
            message = {**message, "body": b""}
        await send(message)
