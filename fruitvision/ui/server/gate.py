"""The checks before Gradio: a request must come from the page itself, be for a known route, and stay within limits of size and time.

Gradio checks uploads on one route only, runs another site's POST before it withholds the response, fetches URLs in place of files,
and copies request headers into some responses. The gate comes before all of that, and drops response headers that the app does
not need.
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
from starlette.requests import ClientDisconnect

from fruitvision.ui.api.routes import INFO, Api
from fruitvision.ui.api.routes import PATH as CLASSIFY
from fruitvision.ui.gradio_internals import forget_upload, get_upload_folder
from fruitvision.ui.server.access import CALLER, Access, Caller, is_loopback
from fruitvision.ui.server.bodies import (
    MAX_OWNER_TOKENS,
    MAX_TOKENS,
    Body,
    BodyRejected,
    JsonCheck,
    NoCheck,
    Receive,
    Response,
    Send,
    own_cookies,
    run_with_body,
    send_text,
)
from fruitvision.ui.server.connections import max_connections, set_connection_caller
from fruitvision.ui.server.guarded_blocks import is_below, log_once
from fruitvision.ui.server.limits import MAX_STREAMS, STREAM_SHARE, Busy, RequestLimiter, is_valid_id
from fruitvision.ui.server.page_cache import PATHS, AssetCache, PageCache
from fruitvision.ui.server.parsing.form_check import FormCheck
from fruitvision.ui.server.uploads import MAX_FILES, MAX_VISITOR_FILES, Uploads
from fruitvision.web.device_page import PATH as DEVICE
from fruitvision.web.device_page import DevicePage, opens_app_link, redirect

MAX_HEADER_BYTES, MAX_COOKIE_BYTES, MAX_ADDRESS_BYTES = 16 * 2**10, 4 * 2**10, 4 * 2**10
MAX_BODY_BYTES = 10 * 2**20 * 4 // 3 + 2**17  # a picture of 10 MB as a data URL, with the overhead of a form
MAX_OWNER_BYTES = 256 * 2**20 * 4 // 3 + 2**17  # an export of taught pictures
PROGRESS_SECONDS = 60.0
METHODS = ("GET", "HEAD", "POST")
#: All routes that the page uses. Gradio's others (deep links, recordings, monitoring, API pages, proxies) answer 404; so do
#: ``cancel``, which frees a call's slot while its thread works on, and paths with a trailing slash, which Starlette redirects to
#: whatever the Host header names.
ROUTES = re.compile(
    r"/(?:|alive|config|theme\.css|favicon\.ico|robots\.txt|manifest\.json|(?:assets|static|svelte)(?:/[!-.0-~]{0,200}){1,16}"
    r"|gradio_api/(?:startup-events|theme\.css|upload|upload_progress|component_server/?"
    r"|queue/(?:join|data|status)|heartbeat/[\w-]{1,64}|run/[\w-]{1,64}|file=.+))"
)
STREAMING = re.compile(r"/gradio_api/(?:queue/data|upload_progress|heartbeat/[\w-]+|file=.+)/?")
_HOST = re.compile(rb"(?:[\w.-]{0,255}|\[[0-9a-f:.]{2,45}\])(?::\d{0,5})?", re.IGNORECASE)
HEALTH_PATH, INSTANCE_ID = "/alive", secrets.token_hex(8)
"""The route that every page polls (reconnect.js), and its response, which changes with a restart."""
RAW_BODY_HINT = f"Send the picture as the request's whole body: curl --data-binary @banana.jpg .../{CLASSIFY.lstrip('/')}"
SERVER_FUNCTION_ROUTE, UPLOAD_ROUTE, FILE_ROUTE = "/gradio_api/component_server", "/gradio_api/upload", "/gradio_api/file="

#: Headers that a proxy adds. Clients can send them too, so they prove nothing; two are passed on if they are harmless.
PROXY_HEADERS = re.compile(
    rb"(?:x[-_])?forwarded(?:[-_].+)?|via|x-real-ip|x-original-.+|x-(?:azure-|cluster-)?client-?ip|x-scheme|x-gradio-server|cf-.+"
    rb"|true-client-ip|fly-.+|x-amzn-trace-id|x-envoy-.+|tailscale-.+"
)
DROPPED_HEADERS = (b"range", b"if-range", b"accept-encoding")
"""Gradio copies a range request's headers, cookies included, into the response; and it compresses on the event loop, uploads too."""
ASSETS = ("/assets/", "/static/", "/svelte/", "/theme.css", "/favicon.ico", "/robots.txt")
#: Gradio's page has inline scripts and styles, and compiles the app's scripts with ``new Function``: both must be allowed.
PAGE_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; media-src 'self' data: blob:; font-src 'self' data:; connect-src 'self' data: blob:; "
    "worker-src 'self' blob:; object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors {}"
)
FILE_POLICY = "default-src 'none'; sandbox; frame-ancestors {}"


class Gate:
    """The outermost ASGI middleware, before Gradio's own. Rejects requests with 400, 403, 404, 405, 408, 413, 421, 431, 503 or 507.

    Args:
        access: without a token, only requests with this computer as their host are accepted: with DNS rebinding, another
            site's page could otherwise act as the owner.
        hosts: further host names of the app: a tunnel's, and the public one behind a proxy. More may be added while the app
            runs; no header of a request adds any.
        uploads: the quotas of uploads; without them, uploads are not limited.
        embed_in: origins whose pages may show the app in a frame.
        root_path: the path, or the whole URL, under which a proxy serves the app.
        language: returns the language in which a page is rendered.
        device: the page that classifies in the visitor's browser; visitors are redirected to it once it is ready.
        api: the API for programs; without it, its routes and Gradio's own description of the endpoint answer 404.
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
        self.page, self.assets, self.device = PageCache(app, language), AssetCache(app), device
        self._root = urlsplit(root_path).path.rstrip("/")
        self.limiter, self._ancestors = RequestLimiter(), " ".join(("'self'", *embed_in))
        self.streams = RequestLimiter(MAX_STREAMS, max(int(STREAM_SHARE * max_connections()), 8))

    async def __call__(self, scope: dict, receive: Callable, send: Send) -> None:
        """Check a request, and pass it on."""
        if scope["type"] == "websocket":  # the app has none
            await send({"type": "websocket.close"})
            return
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        path = route(scope, self._root)
        policy = (FILE_POLICY if path.startswith(FILE_ROUTE) else PAGE_POLICY).format(self._ancestors)
        response = Response(send, policy, asset=path.startswith(ASSETS))
        if refusal := _header_refusal(scope["headers"]) or _query_refusal(scope):
            await send_text(response, *refusal)
            return
        headers = Headers(scope=scope)
        caller = self.access.caller(scope)
        set_connection_caller(scope, caller)
        limit = MAX_OWNER_BYTES if caller.owner and path.rstrip("/") == SERVER_FUNCTION_ROUTE else MAX_BODY_BYTES
        if self.api is not None and path == CLASSIFY:
            limit = self.api.limit
        if refusal := self._refusal(scope, path, headers, limit):
            await send_text(response, *refusal)
            return
        if path == HEALTH_PATH:
            await send_text(response, 200, INSTANCE_ID)
            return
        if self.device is not None and scope["method"] != "POST":
            if self.device.has_file(path):
                await self.device.answer(path, scope["method"], headers.get("if-none-match", ""), send)
                return
            if self.device.ready and not caller.owner and opens_app_link(headers, path, scope.get("query_string", b"")):
                await redirect(send)
                return
        if not (caller.owner or caller.visitor_id):
            response.cookie = self.access.new_visitor_cookie().encode()
        scope = {**scope, "headers": list(self._forwarded_headers(scope["headers"])), "fruitvision.path": path}
        CALLER.set(caller)
        try:
            if scope["method"] == "POST":
                async with _upload_progress_forgotten(scope):
                    await self._handle_post(path, caller, headers, scope, receive, response, limit)
            elif STREAMING.fullmatch(path):
                async with self.streams.slot(caller), _upload_progress_forgotten(scope):
                    await self.app(scope, receive, response)
            elif path in PATHS:
                await self.page(scope, receive, response, caller)
            elif path.startswith(ASSETS):
                await self.assets(scope, receive, response, headers.get("accept-encoding", ""))
            elif self.api is not None and self.api.has_route(path, scope["method"]):
                await self.api(scope, receive, response)
            else:
                await self.app(scope, receive, response)
        except Busy as busy:
            await send_text(response, busy.status, str(busy))
        except ClientDisconnect:  # before its body was complete; nobody reads a response
            pass
        except Exception as error:  # Gradio's routes raise on many invalid requests, and uvicorn would log every traceback
            log_once(error)
            if not response.started:
                await send_text(response, 500, "That was not understood.")

    def _refusal(self, scope: dict, path: str, headers: Headers, limit: int) -> tuple[int, str] | None:
        if scope["method"] not in METHODS:  # CORS preflights (OPTIONS) are refused too: the page itself sends none
            return 405, "That method is not used here."
        host = headers.get("host", "")
        if self.access.token is None:
            if not is_loopback(host):
                return 421, "This app answers on this computer alone. To let others in, start it with --public or --share."
            if scope.get("http_version") == "1.0" or any(PROXY_HEADERS.fullmatch(name) for name, _ in scope["headers"]):
                return 403, "This app stands behind a proxy, where everybody would be its owner. Start it with --public."
        if not self._is_from_own_page(scope, path, headers, host):
            return 403, "Another site's page may not call this app."
        if not self._exists(path, scope["method"]):
            wrong_method = self.api is not None and path == CLASSIFY
            return (405, RAW_BODY_HINT) if wrong_method else (404, "There is nothing here.")
        if path.startswith(FILE_ROUTE) and not is_below(path.removeprefix(FILE_ROUTE), Path(get_upload_folder())):
            return 403, "There is no such file."
        if path != UPLOAD_ROUTE and headers.get("content-type", "").lower().startswith("multipart/"):
            return 415, RAW_BODY_HINT if path == CLASSIFY else "Files are uploaded elsewhere."
        if "content-length" in headers and "transfer-encoding" in headers:
            return 400, "The request gives two lengths."
        length = headers.get("content-length", "0")
        if not length.isascii() or not length.isdigit() or len(length) > 12 or int(length) > limit:
            return 413, "That is too large."
        return None

    def _exists(self, path: str, method: str) -> bool:
        if ROUTES.fullmatch(path) or (self.device is not None and self.device.has_file(path)):
            return True
        return self.api is not None and (self.api.has_route(path, method) or (path == INFO and method != "POST"))

    def _is_from_own_page(self, scope: dict, path: str, headers: Headers, host: str) -> bool:
        """Whether the request comes from the app's own page, or is a navigation to it."""
        site = headers.get("sec-fetch-site", "none")
        if site not in ("same-origin", "none") and not _is_link_to_page(scope, path, headers):
            return False
        origin = headers.get("origin")
        if origin is None:
            return True
        try:
            parts = urlsplit(origin)
        except ValueError:
            return False
        return parts.scheme in ("http", "https") and parts.netloc.lower() in {one.lower() for one in (host, *self.hosts) if one}

    def _forwarded_headers(self, headers: Iterable[tuple[bytes, bytes]]) -> Iterable[tuple[bytes, bytes]]:
        for name, value in headers:
            if name in DROPPED_HEADERS:
                continue
            if name == b"cookie":
                yield name, b"; ".join(own_cookies(value))
            elif not PROXY_HEADERS.fullmatch(name) or self._is_safe_header(name, value):
                yield name, value

    def _is_safe_header(self, name: bytes, value: bytes) -> bool:
        if name == b"x-forwarded-proto":
            return value in (b"http", b"https")
        return name == b"x-forwarded-host" and value.decode("latin-1").lower() in {one.lower() for one in self.hosts}

    async def _handle_post(
        self, path: str, caller: Caller, headers: Headers, scope: dict, receive: Receive, response: Response, limit: int
    ) -> None:
        if path == UPLOAD_ROUTE and self.uploads is not None:  # goes to the disk as it comes
            async with self.uploads.receiving(caller, int(headers.get("content-length", MAX_BODY_BYTES))) as quota:
                form = FormCheck(scope, MAX_FILES if caller.owner else MAX_VISITOR_FILES)
                await run_with_body(self.app, scope, Body(receive, limit, quota, form), response)
            return
        async with self.limiter.buffer(caller) as buffer:
            body = Body(receive, limit, buffer, _body_check(path, scope, limit))
            try:
                whole = await body.read()
            except BodyRejected:
                await send_text(response, *(body.rejection or (400, "That was not understood.")))
                return
            async with self.limiter.slot(caller):  # only once the body is complete: a slow client takes no slot
                app = self.api if self.api is not None and path == CLASSIFY else self.app
                await app({**scope, "fruitvision.body": lambda: body.received}, whole, response)


def _body_check(path: str, scope: dict, limit: int) -> JsonCheck | FormCheck | NoCheck:
    if path == CLASSIFY:
        return NoCheck()
    return FormCheck(scope, MAX_FILES) if path == UPLOAD_ROUTE else JsonCheck(MAX_OWNER_TOKENS if limit == MAX_OWNER_BYTES else MAX_TOKENS)


def _header_refusal(headers: Sequence[tuple[bytes, bytes]]) -> tuple[int, str] | None:
    """Status and message if the headers are too large, or repeated. Cookies of other apps do not count: browsers send them to all
    ports of a host. Backslashes are refused, since Python's cookie parser took quadratic time on them before 3.11.10 and 3.12.6.
    """
    if sum(len(name) + len(value) for name, value in headers if name != b"cookie") > MAX_HEADER_BYTES:
        return 431, "The request's headers are too large."
    names = [name for name, _ in headers]
    if any(names.count(name) > 1 for name in (b"host", b"origin", b"sec-fetch-site", b"sec-fetch-mode", b"content-type")):
        return 400, "A header came twice."
    if not all(_is_host(value) for name, value in headers if name == b"host"):
        return 421, "The Host header names no host."
    cookies = [one for name, value in headers if name == b"cookie" for one in own_cookies(value)]
    if sum(map(len, cookies)) > MAX_COOKIE_BYTES or any(b"\\" in value for value in cookies):
        return 431, "The request's cookies are too large, or hold a backslash. Clear this site's cookies, and try again."
    return None


def _is_host(value: bytes) -> bool:
    """Whether a Host header is empty, or a name or an IP address, possibly with a port: Gradio fails on some others."""
    try:
        return _HOST.fullmatch(value) is not None and urlsplit(b"//" + value).port != 0
    except ValueError:  # an IP address that is none, or a port over 65,535
        return False


def _query_refusal(scope: dict) -> tuple[int, str] | None:
    """Status and message if the URL is too long, or has an invalid id: Gradio keeps state under these ids, which clients choose."""
    query = scope.get("query_string", b"")
    if len(scope["path"]) + len(query) > MAX_ADDRESS_BYTES:
        return 414, "The address is too long."
    for name, values in parse_qs(query.decode("latin-1")).items():
        if name in ("session_hash", "upload_id", "event_id") and not all(map(is_valid_id, values)):
            return 400, "There is no such name."
    return None


@asynccontextmanager
async def _upload_progress_forgotten(scope: dict) -> AsyncIterator[None]:
    """Delete an upload's progress some time after a request with its id: Gradio itself never does."""
    try:
        yield
    finally:
        for name in parse_qs(scope.get("query_string", b"").decode("latin-1")).get("upload_id", ()):
            asyncio.get_running_loop().call_later(PROGRESS_SECONDS, forget_upload, name)


def _is_link_to_page(scope: dict, path: str, headers: Headers) -> bool:
    """Whether the request follows a link to the page, possibly from another site; such a request changes nothing."""
    return path in ("/", DEVICE) and scope["method"] == "GET" and headers.get("sec-fetch-mode") == "navigate"


def route(scope: dict, root: str) -> str:
    """The path below the root path, whether the proxy has removed that or not."""
    path = scope["path"]
    return path.removeprefix(root) if root and path.startswith(f"{root}/") else path
