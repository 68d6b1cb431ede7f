"""A cache of the rendered page and its configuration: Gradio would render them from copies of all components for every request."""

from __future__ import annotations

import asyncio
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
"""Maximum cached responses: there is one for each URL, language and encoding."""


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
                    await self.app({**scope, "query_string": b"", "method": "GET"}, receive, _collector(messages))
                    if messages[0]["status"] != 200:
                        await _replay(messages, scope, send)
                        return
                    self._entries[key] = messages
        messages = self._entries[key] = self._entries.pop(key)  # most recently used, last
        while len(self._entries) > MAX_ENTRIES:
            del self._entries[next(iter(self._entries))]
        await _replay(messages, scope, send)


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
    packed = tuple(kind in headers.get(b"accept-encoding", b"").lower() for kind in (b"br", b"gzip"))
    return (scope["path"], scope.get("root_path"), scope.get("scheme"), *named, *packed)


def _collector(messages: list[dict]) -> Callable[[dict], Awaitable[None]]:
    async def send(message: dict) -> None:
        messages.append(message)

    return send


async def _replay(messages: list[dict], scope: dict, send: Callable) -> None:
    for message in messages:
        if scope["method"] == "HEAD" and message["type"] == "http.response.body":
            message = {**message, "body": b""}
        await send(message)
