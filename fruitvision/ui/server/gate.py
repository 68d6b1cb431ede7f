"""What a request must be before Gradio sees it: from the page itself, for a known route, bounded in size and time.

Gradio checks uploads on one route alone, runs a foreign page's POST before it withholds the answer, fetches addresses that
stand where a file belongs, and copies request headers into some responses. The gate stands before all of it, and lets no
response header out that the app has no use for.
"""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers

from fruitvision.ui.api.routes import INFO, Api
from fruitvision.ui.api.routes import PATH as CLASSIFY
from fruitvision.ui.gradio_internals import forget_upload, get_upload_folder
from fruitvision.ui.server.access import CALLER, Access, Caller, is_loopback
from fruitvision.ui.server.bodies import (
    MAX_MARKS,
    MAX_OWNER_MARKS,
    Body,
    BodyRefused,
    Files,
    Nesting,
    Receive,
    Response,
    Send,
    Unparsed,
    answer,
    bounded,
    own_cookies,
)
from fruitvision.ui.server.connections import asked_by, most_connections
from fruitvision.ui.server.guarded_blocks import is_below, log_once
from fruitvision.ui.server.page_cache import PATHS, PageCache
from fruitvision.ui.server.places import STREAM_PART, STREAMS, Busy, Places, is_id
from fruitvision.ui.server.uploads import MOST_FILES, VISITORS_FILES, Uploads
from fruitvision.web.served import PATH as DEVICE
from fruitvision.web.served import DevicePage, is_for_device, lead

MAX_HEADER_BYTES, MAX_COOKIE_BYTES, MAX_ADDRESS_BYTES = 16 * 2**10, 4 * 2**10, 4 * 2**10
MAX_BODY_BYTES = 10 * 2**20 * 4 // 3 + 2**17  # a picture of 10 MB as a data URL, and what a form adds to it
MAX_OWNER_BYTES = 256 * 2**20 * 4 // 3 + 2**17  # a file of taught pictures
PROGRESS_SECONDS = 60.0
METHODS = ("GET", "HEAD", "POST")
#: All that the page asks for. Gradio's other routes (deep links, recordings, monitoring, API pages, proxies) do not exist; nor
#: does ``cancel``, which frees a call's place in the queue while its thread works on, nor a path with a slash at its end, which
#: Starlette redirects to whatever the Host header names.
ROUTES = re.compile(
    r"/(?:|alive|config|theme\.css|favicon\.ico|robots\.txt|manifest\.json|(?:assets|static|svelte)/.+"
    r"|gradio_api/(?:startup-events|theme\.css|upload|upload_progress|component_server/?"
    r"|queue/(?:join|data|status)|heartbeat/[\w-]{1,64}|run/[\w-]{1,64}|file=.+))"
)
STAYING = re.compile(r"/gradio_api/(?:queue/data|upload_progress|heartbeat/[\w-]+|file=.+)/?")
ALIVE, BORN = "/alive", secrets.token_hex(8)
"""What a page asks all along (reconnect.js), and the answer: another one after a restart."""
AS_BODY = f"Send the picture as the request's whole body: curl --data-binary @banana.jpg .../{CLASSIFY.lstrip('/')}"
OWNERS_ROUTE, UPLOAD_ROUTE, FILE_ROUTE = "/gradio_api/component_server", "/gradio_api/upload", "/gradio_api/file="

#: What a proxy adds. Any script may send these too, so they prove nothing; two are handed on where they can do no harm.
FORWARDING = re.compile(
    rb"(?:x[-_])?forwarded(?:[-_].+)?|via|x-real-ip|x-original-.+|x-(?:azure-|cluster-)?client-?ip|x-scheme|x-gradio-server|cf-.+"
    rb"|true-client-ip|fly-.+|x-amzn-trace-id|x-envoy-.+|tailscale-.+"
)
WITHHELD = (b"range", b"if-range")  # Gradio's answer to a range copies the request's headers, cookies among them
ASSETS = ("/assets/", "/static/", "/svelte/", "/theme.css", "/favicon.ico", "/robots.txt")
#: Gradio's page holds inline scripts and styles, and makes functions of the app's own scripts: neither can be forbidden.
PAGE_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; media-src 'self' data: blob:; font-src 'self' data:; connect-src 'self' data: blob:; "
    "worker-src 'self' blob:; object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors {}"
)
FILE_POLICY = "default-src 'none'; sandbox; frame-ancestors {}"


class Gate:
    """ASGI middleware before everything else, Gradio's own middleware too; refuses with 400, 403, 404, 405, 408, 413, 421, 431, 503 or 507.

    Args:
        access: without a token, only requests that name this computer as their host are let in: a foreign page whose name
            is made to point here (DNS rebinding) would otherwise act as the owner.
        hosts: further hosts whose own pages may call: a tunnel's, and the public address behind a proxy; may grow while
            the app runs. No header of a request adds to them.
        uploads: the room for uploads; without, they are not counted.
        embed_in: origins whose pages may show the app in a frame.
        root_path: the path, or the whole address, under which a proxy serves the app.
        language: gives the language that a page is rendered in.
        device: the page that answers in visitors' own browsers, to which they are led first once it is there.
        api: what programs may ask; without, its routes and Gradio's own description of the endpoint do not exist.
    """

    def __init__(
        self,
        app: Callable[..., Awaitable[None]],
        access: Access,
        hosts: set[str],
        uploads: Uploads | None = None,
        embed_in: Sequence[str] = (),
        root_path: str = "",
        language: Callable[[dict], str] | None = None,
        device: DevicePage | None = None,
        api: Api | None = None,
    ) -> None:
        self.app, self.access, self.hosts, self.uploads, self.api = app, access, hosts, uploads, api
        self.page, self.device = PageCache(app, language), device
        self._root = urlsplit(root_path).path.rstrip("/")
        self.places, self._ancestors = Places(), " ".join(("'self'", *embed_in))
        self.streams = Places(STREAMS, max(int(STREAM_PART * most_connections()), 8))

    async def __call__(self, scope: dict, receive: Callable, send: Send) -> None:
        """Hand on what may pass."""
        if scope["type"] == "websocket":  # there is none in this app
            await send({"type": "websocket.close"})
            return
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        path = route(scope, self._root)
        policy = (FILE_POLICY if path.startswith(FILE_ROUTE) else PAGE_POLICY).format(self._ancestors)
        response = Response(send, policy, asset=path.startswith(ASSETS))
        if refused := _refused_headers(scope["headers"]) or _refused_query(scope):
            await answer(response, *refused)
            return
        headers = Headers(scope=scope)
        caller = self.access.caller(scope)
        asked_by(scope, caller)
        limit = MAX_OWNER_BYTES if caller.owner and path.rstrip("/") == OWNERS_ROUTE else MAX_BODY_BYTES
        if self.api is not None and path == CLASSIFY:
            limit = self.api.limit
        if refused := self._refusal(scope, path, headers, limit):
            await answer(response, *refused)
            return
        if path == ALIVE:
            await answer(response, 200, BORN)
            return
        if self.device is not None and scope["method"] != "POST":
            if self.device.holds(path):
                await self.device.answer(path, scope["method"], headers.get("if-none-match", ""), send)
                return
            if self.device.ready and not caller.owner and is_for_device(headers, path, scope.get("query_string", b"")):
                await lead(send)
                return
        if not (caller.owner or caller.number):
            response.cookie = self.access.new_number().encode()
        scope = {**scope, "headers": list(self._handed_on(scope["headers"])), "fruitvision.path": path}
        CALLER.set(caller)
        try:
            if scope["method"] == "POST":
                async with _forgotten(scope):
                    await self._posted(path, caller, headers, scope, receive, response, limit)
            elif STAYING.fullmatch(path):
                async with self.streams.answering(caller), _forgotten(scope):
                    await self.app(scope, receive, response)
            elif path in PATHS:
                await self.page(scope, receive, response, caller)
            elif self.api is not None and self.api.holds(path, scope["method"]):
                await self.api(scope, receive, response)
            else:
                await self.app(scope, receive, response)
        except Busy as busy:
            await answer(response, busy.status, str(busy))
        except Exception as error:  # Gradio's routes fail on much that no page sends, and uvicorn would log each trace
            log_once(error)
            if not response.started:
                await answer(response, 500, "That was not understood.")

    def _refusal(self, scope: dict, path: str, headers: Headers, limit: int) -> tuple[int, str] | None:
        if scope["method"] not in METHODS:  # nor is any preflight answered: the page itself sends none
            return 405, "That method is not used here."
        host = headers.get("host", "")
        if self.access.token is None:
            if not is_loopback(host):
                return 421, "This app answers on this computer alone. To let others in, start it with --public or --share."
            if scope.get("http_version") == "1.0" or any(FORWARDING.fullmatch(name) for name, _ in scope["headers"]):
                return 403, "This app stands behind a proxy, where everybody would be its owner. Start it with --public."
        if not self._own_page(scope, path, headers, host):
            return 403, "Another site's page may not call this app."
        if not self._exists(path, scope["method"]):
            known = self.api is not None and path == CLASSIFY
            return (405, AS_BODY) if known else (404, "There is nothing here.")
        if path.startswith(FILE_ROUTE) and not is_below(path.removeprefix(FILE_ROUTE), Path(get_upload_folder())):
            return 403, "There is no such file."
        if path != UPLOAD_ROUTE and headers.get("content-type", "").lower().startswith("multipart/"):
            return 415, AS_BODY if path == CLASSIFY else "Files are uploaded elsewhere."
        if "content-length" in headers and "transfer-encoding" in headers:
            return 400, "The request gives two lengths."
        length = headers.get("content-length", "0")
        if not length.isascii() or not length.isdigit() or len(length) > 12 or int(length) > limit:
            return 413, "That is too large."
        return None

    def _exists(self, path: str, method: str) -> bool:
        if ROUTES.fullmatch(path) or (self.device is not None and self.device.holds(path)):
            return True
        return self.api is not None and (self.api.holds(path, method) or (path == INFO and method != "POST"))

    def _own_page(self, scope: dict, path: str, headers: Headers, host: str) -> bool:
        """Whether the request comes from the app's own page, or is somebody's way to it."""
        site = headers.get("sec-fetch-site", "none")
        if site not in ("same-origin", "none") and not _leads_here(scope, path, headers):
            return False
        origin = headers.get("origin")
        if origin is None:
            return True
        try:
            parts = urlsplit(origin)
        except ValueError:
            return False
        return parts.scheme in ("http", "https") and parts.netloc.lower() in {one.lower() for one in (host, *self.hosts) if one}

    def _handed_on(self, headers: Iterable[tuple[bytes, bytes]]) -> Iterable[tuple[bytes, bytes]]:
        for name, value in headers:
            if name in WITHHELD:
                continue
            if name == b"cookie":
                yield name, b"; ".join(own_cookies(value))
            elif not FORWARDING.fullmatch(name) or self._harmless(name, value):
                yield name, value

    def _harmless(self, name: bytes, value: bytes) -> bool:
        if name == b"x-forwarded-proto":
            return value in (b"http", b"https")
        return name == b"x-forwarded-host" and value.decode("latin-1").lower() in {one.lower() for one in self.hosts}

    async def _posted(
        self, path: str, caller: Caller, headers: Headers, scope: dict, receive: Receive, response: Response, limit: int
    ) -> None:
        if path == UPLOAD_ROUTE and self.uploads is not None:  # goes to the disk as it comes
            async with self.uploads.receiving(caller, int(headers.get("content-length", MAX_BODY_BYTES))) as place:
                files = Files(scope, MOST_FILES if caller.owner else VISITORS_FILES)
                await bounded(self.app, scope, Body(receive, limit, place, files), response)
            return
        async with self.places.holding(caller) as held:
            body = Body(receive, limit, held, _watch(path, scope, limit))
            try:
                whole = await body.read()
            except BodyRefused:
                await answer(response, *(body.refused or (400, "That was not understood.")))
                return
            async with self.places.answering(caller):  # a place only once all has come: who drips holds none
                app = self.api if self.api is not None and path == CLASSIFY else self.app
                await app({**scope, "fruitvision.body": lambda: body.came}, whole, response)


def _watch(path: str, scope: dict, limit: int) -> Nesting | Files | Unparsed:
    if path == CLASSIFY:
        return Unparsed()
    return Files(scope) if path == UPLOAD_ROUTE else Nesting(MAX_OWNER_MARKS if limit == MAX_OWNER_BYTES else MAX_MARKS)


def _refused_headers(headers: Sequence[tuple[bytes, bytes]]) -> tuple[int, str] | None:
    """Those of other programs' cookies are not counted: a browser sends them along for every port of a host.

    Python's parser of cookies takes quadratic time over backslashes before 3.11.10 and 3.12.6.
    """
    if sum(len(name) + len(value) for name, value in headers if name != b"cookie") > MAX_HEADER_BYTES:
        return 431, "The request's headers are too large."
    names = [name for name, _ in headers]
    if any(names.count(name) > 1 for name in (b"host", b"origin", b"sec-fetch-site", b"sec-fetch-mode", b"content-type")):
        return 400, "A header came twice."
    cookies = [one for name, value in headers if name == b"cookie" for one in own_cookies(value)]
    if sum(map(len, cookies)) > MAX_COOKIE_BYTES or any(b"\\" in value for value in cookies):
        return 431, "The request's cookies are too large, or hold a backslash. Clear this site's cookies, and try again."
    return None


def _refused_query(scope: dict) -> tuple[int, str] | None:
    """Gradio keeps what it is told under the names of sessions and uploads, which the sender chooses."""
    query = scope.get("query_string", b"")
    if len(scope["path"]) + len(query) > MAX_ADDRESS_BYTES:
        return 414, "The address is too long."
    for name, values in parse_qs(query.decode("latin-1")).items():
        if name in ("session_hash", "upload_id", "event_id") and not all(map(is_id, values)):
            return 400, "There is no such name."
    return None


@asynccontextmanager
async def _forgotten(scope: dict) -> AsyncIterator[None]:
    """Forget an upload's progress a while after the request that told of it, or asked for it: Gradio keeps it for ever."""
    try:
        yield
    finally:
        for name in parse_qs(scope.get("query_string", b"").decode("latin-1")).get("upload_id", ()):
            asyncio.get_running_loop().call_later(PROGRESS_SECONDS, forget_upload, name)


def _leads_here(scope: dict, path: str, headers: Headers) -> bool:
    """Whether somebody follows a link to the page, from wherever; nothing is changed by it."""
    return path in ("/", DEVICE) and scope["method"] == "GET" and headers.get("sec-fetch-mode") == "navigate"


def route(scope: dict, root: str) -> str:
    """The path below the root path, whether a proxy has taken that away or not."""
    path = scope["path"]
    return path.removeprefix(root) if root and path.startswith(f"{root}/") else path
