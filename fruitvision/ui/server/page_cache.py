"""The page and its configuration, rendered once: Gradio renders them anew, from copies of all components, for every request."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from urllib.parse import parse_qs

from starlette.datastructures import Headers

from fruitvision.ui.server.access import Caller
from fruitvision.ui.server.guarded_blocks import RENDERED_LANGUAGE
from fruitvision.ui.server.places import Places
from fruitvision.wording.text import LANGUAGES, language_of

PATHS = ("/", "/config", "/gradio_api/info")
LANGUAGE_COOKIE = "fruitvision-language"
"""Set by the page's own script, navigation.js."""
MOST = 16
"""Kept at a time: one for each address and encoding that was asked for."""


class PageCache:
    """ASGI app before Gradio's, for ``PATHS`` alone.

    What Gradio renders there depends on the address by which it is reached and on the language, and on nothing else of a request:
    there is no login. A query is not handed on, an owner's link aside.

    Args:
        language: gives the language of a request's page, see :func:`wanted_language`; without, there is one page.
    """

    def __init__(self, app: Callable[..., Awaitable[None]], language: Callable[[dict], str] | None = None) -> None:
        self.app, self.language = app, language
        self._places, self._one_at_a_time = Places(one=2, every=8), asyncio.Lock()
        self._kept: dict[tuple, list[dict]] = {}

    async def __call__(self, scope: dict, receive: Callable, send: Callable, caller: Caller) -> None:
        """Answer. Raises Busy where too many pages of other addresses are being rendered."""
        if "owner" in parse_qs(scope.get("query_string", b"").decode("latin-1")):
            await self.app(scope, receive, send)
            return
        language = self.language(scope) if self.language else None
        key = (*_key(scope), language)
        if key not in self._kept:
            async with self._places.answering(caller), self._one_at_a_time:
                if key not in self._kept:
                    messages: list[dict] = []
                    RENDERED_LANGUAGE.set(language)
                    await self.app({**scope, "query_string": b"", "method": "GET"}, receive, _collector(messages))
                    if messages[0]["status"] != 200:
                        await _replay(messages, scope, send)
                        return
                    self._kept[key] = messages
        messages = self._kept[key] = self._kept.pop(key)  # used last
        while len(self._kept) > MOST:
            del self._kept[next(iter(self._kept))]
        await _replay(messages, scope, send)


def wanted_language(scope: dict, first: str, *, follow_browser: bool) -> str:
    """The language of a page: of its address (``?lang=zh``), chosen before on this browser, of the browser's own, or ``first``."""
    headers = Headers(scope=scope)
    asked = parse_qs(scope.get("query_string", b"").decode("latin-1")).get("lang", [""])[-1]
    chosen = [part.partition("=")[2] for part in headers.get("cookie", "").split("; ") if part.startswith(f"{LANGUAGE_COOKIE}=")]
    for language in (asked, *chosen):
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
