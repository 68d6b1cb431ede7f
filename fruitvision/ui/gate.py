"""What a request must be before Gradio sees it: known route, own page, bounded body. And no file but an upload.

Gradio checks uploads on one route alone, runs a foreign page's POST before it withholds the answer, and serves routes that
this app has no use for. The gate stands before all of them.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import gradio as gr
from gradio.utils import get_upload_folder
from starlette.datastructures import Headers

from fruitvision.errors import PictureError
from fruitvision.ui.access import LOOPBACK, Access

MAX_BODY_BYTES = 10 * 2**20 * 4 // 3 + 2**17  # a picture of 10 MB as a data URL, and what a form adds to it
MAX_DEPTH, MAX_MARKS = 100, 500_000  # of JSON: brackets within brackets; brackets, quotes and escapes altogether
_MARKS = re.compile(rb'\\.|["\[\]{}]', re.DOTALL)
MAX_OWNER_BYTES = 256 * 2**20 * 4 // 3 + 2**17  # a file of taught pictures
BODY_SECONDS, PAUSE_SECONDS = 120.0, 20.0  # for a whole body, and between two pieces of it
#: All that the page asks for. Gradio's other routes (deep links, recordings, monitoring, API pages, proxies) do not exist.
ROUTES = re.compile(
    r"/(?:|config|theme\.css|favicon\.ico|robots\.txt|manifest\.json|(?:assets|static|svelte)/.+"
    r"|gradio_api/(?:startup-events|theme\.css|upload|upload_progress|component_server|reset|cancel"
    r"|queue/(?:join|data|status)|heartbeat/[\w-]+|run/[\w-]+|file=.+))/?"
)
OWNERS_ROUTE = "/gradio_api/component_server"

Send = Callable[[dict], Awaitable[None]]


class BodyRefused(Exception):
    """A body that is too large, or comes too slowly."""


class Gate:
    """ASGI middleware before everything else; refuses with 403, 404, 408, 413 or 421.

    Args:
        access: without a token, only requests that name this computer as their host are let in: a foreign page whose name
            is made to point here (DNS rebinding) would otherwise act as the owner.
        hosts: further hosts whose own pages may call, such as a tunnel's; may grow while the app runs.
    """

    def __init__(self, app: Callable[..., Awaitable[None]], access: Access, hosts: set[str]) -> None:
        self.app, self.access, self.hosts = app, access, hosts

    async def __call__(self, scope: dict, receive: Callable, send: Send) -> None:
        """Hand on what may pass."""
        if scope["type"] == "websocket":  # there is none in this app
            await send({"type": "websocket.close"})
            return
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        limit = self._limit(scope, headers)
        if refused := self._refusal(scope, headers, limit):
            await answer(send, *refused)
            return
        await self._bounded(scope, receive, send, limit)

    def _refusal(self, scope: dict, headers: Headers, limit: int) -> tuple[int, str] | None:
        host = headers.get("host", "")
        if self.access.token is None and _name(host) not in LOOPBACK:
            return 421, "This app answers on this computer alone. To let others in, start it with --public or --share."
        if not self._own_page(headers, host):
            return 403, "Another site's page may not call this app."
        if not ROUTES.fullmatch(route(scope)):
            return 404, "There is nothing here."
        length = headers.get("content-length", "0")
        if not length.isascii() or not length.isdigit() or int(length) > limit:
            return 413, "That is too large."
        return None

    def _own_page(self, headers: Headers, host: str) -> bool:
        origin = headers.get("origin")
        if origin is None:
            return True
        own = {host, *self.hosts, *([headers["x-forwarded-host"]] if "x-forwarded-host" in headers else [])}
        try:
            return urlsplit(origin).netloc.lower() in {one.lower() for one in own if one}
        except ValueError:
            return False

    def _limit(self, scope: dict, headers: Headers) -> int:
        owners = route(scope).rstrip("/") == OWNERS_ROUTE and self.access.is_owner(_Asking(headers))
        return MAX_OWNER_BYTES if owners else MAX_BODY_BYTES

    async def _bounded(self, scope: dict, receive: Callable, send: Send, limit: int) -> None:
        loop = asyncio.get_running_loop()
        came, whole, started, end = 0, False, False, loop.time() + BODY_SECONDS
        refused: tuple[int, str] | None = None
        nesting = None if Headers(scope=scope).get("content-type", "").startswith("multipart/") else Nesting()

        async def counted() -> dict:
            nonlocal came, whole, refused
            if whole:  # now it waits for the end of the connection, as long as the answer takes
                return await receive()
            try:
                message = await asyncio.wait_for(receive(), min(PAUSE_SECONDS, max(end - loop.time(), 0.001)))
            except TimeoutError as error:
                refused = 408, "That came too slowly."
                raise BodyRefused from error
            came += len(message.get("body", b""))
            whole = not message.get("more_body", False)
            if came > limit:
                refused = 413, "That is too large."
                raise BodyRefused
            if nesting is not None and nesting.too_deep(message.get("body", b"")):
                refused = 400, "That is nested too deep."
                raise BodyRefused
            return message

        async def watched(message: dict) -> None:
            nonlocal started
            if refused is None:
                started = True
                await send(message)

        try:
            await self.app(scope, counted, watched)
        except BodyRefused:
            pass
        if refused and not started:
            await answer(send, *refused)


class Nesting:
    """How deep a JSON text is nested, followed piece by piece: parsers that recurse end with the app where it has no end."""

    def __init__(self) -> None:
        self._depth = self._marks = 0
        self._in_text, self._rest = False, b""

    def too_deep(self, piece: bytes) -> bool:
        """Whether the text, up to and with ``piece``, was nested deeper than ``MAX_DEPTH`` anywhere, or has too many marks."""
        piece, end = self._rest + piece, 0
        for mark in _MARKS.finditer(piece):
            kind, end = mark.group(), mark.end()
            self._marks += 1
            if kind == b'"':
                self._in_text = not self._in_text
            elif len(kind) == 1 and not self._in_text:
                self._depth += 1 if kind in b"[{" else -1
            if self._depth > MAX_DEPTH or self._marks > MAX_MARKS:
                return True
        self._rest = piece[-1:] if piece.endswith(b"\\") and end < len(piece) else b""  # what it escapes comes next
        return False


async def answer(send: Send, status: int, sentence: str) -> None:
    """Send a refusal, and close the connection: whatever is still coming is not read."""
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": sentence.encode()})


def route(scope: dict) -> str:
    """The path below the root path, as the app's routes know it."""
    path, root = scope["path"], urlsplit(scope.get("root_path") or "").path.rstrip("/")
    return path.removeprefix(root) if root and path.startswith(f"{root}/") else path


def _name(host: str) -> str:
    """The name in a Host header, without port and brackets."""
    return (host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]).lower()


class _Asking:
    def __init__(self, headers: Headers) -> None:
        self.headers = headers


class GuardedBlocks(gr.Blocks):
    """Blocks that neither fetch an address nor open a file of this computer that somebody put where an upload belongs."""

    async def preprocess_data(self, block_fn: Any, inputs: list[Any], *given: Any, **named: Any) -> Any:
        """As Gradio's, once :func:`refuse_foreign_files` has seen the inputs."""
        refuse_foreign_files(inputs, Path(get_upload_folder()))
        return await super().preprocess_data(block_fn, inputs, *given, **named)


def refuse_foreign_files(value: Any, uploads: Path) -> None:
    """Raise PictureError where a "path" in ``value``, however deep, is no file below ``uploads``, such as an address.

    Gradio itself looks only at what calls itself a file ("meta"), and opens the path of any other.
    """
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            path = one.get("path")
            if isinstance(path, str) and not _is_below(path, uploads):
                raise PictureError(
                    "picture-not-an-image", "That is not a picture.", "Choose a JPEG, PNG, WebP, BMP, GIF or TIFF.", picture=""
                )
            waiting += one.values()
        elif isinstance(one, list):
            waiting += one


def _is_below(path: str, folder: Path) -> bool:
    if re.match(r"\s*([a-zA-Z][\w+.-]+:|[/\\]{2})", path):  # http:, file:, …; or a share, which Windows would ask for
        return False
    try:
        return folder.resolve() in Path(path).resolve().parents
    except (OSError, ValueError, RuntimeError):  # a null byte, a loop of links
        return False
