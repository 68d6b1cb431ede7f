"""What a request must be before Gradio sees it: from the page itself, for a known route, bounded in size and time.

Gradio checks uploads on one route alone, runs a foreign page's POST before it withholds the answer, fetches addresses that
stand where a file belongs, and copies request headers into some responses. The gate stands before all of it, and lets no
response header out that the app has no use for.
"""

from __future__ import annotations

import asyncio
import logging
import re
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import gradio as gr
from gradio.route_utils import parse_options_header
from gradio.routes import file_upload_statuses
from gradio.utils import get_upload_folder
from starlette.datastructures import Headers

from fruitvision.errors import FruitVisionError, PictureError
from fruitvision.ui.access import Access, Caller, is_loopback
from fruitvision.ui.connections import most_connections
from fruitvision.ui.places import STREAM_PART, STREAMS, Busy, Places, is_id
from fruitvision.ui.text import LANGUAGES, say, say_error
from fruitvision.ui.uploads import MOST_FILES, Uploads

MAX_HEADER_BYTES, MAX_COOKIE_BYTES, MAX_ADDRESS_BYTES = 16 * 2**10, 4 * 2**10, 4 * 2**10
MAX_BODY_BYTES = 10 * 2**20 * 4 // 3 + 2**17  # a picture of 10 MB as a data URL, and what a form adds to it
MAX_DEPTH, MAX_MARKS = 100, 500_000  # of JSON: brackets within brackets; brackets, quotes and escapes altogether
_MARKS = re.compile(rb'\\.|["\[\]{}]', re.DOTALL)
MAX_OWNER_BYTES = 256 * 2**20 * 4 // 3 + 2**17  # a file of taught pictures
PROGRESS_SECONDS = 60.0
BODY_SECONDS, PAUSE_SECONDS = 120.0, 20.0  # for a whole body, and between two pieces of it
METHODS = ("GET", "HEAD", "POST")
#: All that the page asks for. Gradio's other routes (deep links, recordings, monitoring, API pages, proxies) do not exist.
ROUTES = re.compile(
    r"/(?:|config|theme\.css|favicon\.ico|robots\.txt|manifest\.json|(?:assets|static|svelte)/.+"
    r"|gradio_api/(?:startup-events|theme\.css|upload|upload_progress|component_server|reset|cancel"
    r"|queue/(?:join|data|status)|heartbeat/[\w-]{1,64}|run/[\w-]{1,64}|file=.+))/?"
)
STAYING = re.compile(r"/gradio_api/(?:queue/data|upload_progress|heartbeat/[\w-]+|file=.+)/?")
OWNERS_ROUTE, UPLOAD_ROUTE, FILE_ROUTE = "/gradio_api/component_server", "/gradio_api/upload", "/gradio_api/file="

#: What a proxy adds. Any script may send these too, so they prove nothing; two are handed on where they can do no harm.
FORWARDING = re.compile(
    rb"(?:x[-_])?forwarded(?:[-_].+)?|via|x-real-ip|x-original-.+|x-(?:azure-|cluster-)?client-?ip|x-scheme|x-gradio-server|cf-.+"
    rb"|true-client-ip|fly-.+|x-amzn-trace-id|x-envoy-.+|tailscale-.+"
)
WITHHELD = (b"range", b"if-range")  # Gradio's answer to a range copies the request's headers, cookies among them
#: The headers of a response that go out; nothing else does, whoever put it there.
ANSWERED = frozenset(
    (
        b"cache-control", b"connection", b"content-disposition", b"content-encoding", b"content-length", b"content-type", b"date",
        b"etag", b"last-modified", b"location", b"referrer-policy", b"retry-after", b"set-cookie", b"vary", b"x-accel-buffering",
    )
)  # fmt: skip
COOKIES, ASSETS = b"fruitvision-", ("/assets/", "/static/", "/svelte/", "/theme.css", "/favicon.ico", "/robots.txt")
#: Gradio's page holds inline scripts and styles, and makes functions of the app's own scripts: neither can be forbidden.
PAGE_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; media-src 'self' data: blob:; font-src 'self' data:; connect-src 'self' data: blob:; "
    "worker-src 'self' blob:; object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors {}"
)
FILE_POLICY = "default-src 'none'; sandbox; frame-ancestors {}"

Send = Callable[[dict], Awaitable[None]]


class BodyRefused(Exception):
    """A body that is too large, or comes too slowly."""


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
    """

    def __init__(
        self, app: Callable[..., Awaitable[None]], access: Access, hosts: set[str], uploads: Uploads | None = None,
        embed_in: Sequence[str] = (), root_path: str = "",
    ) -> None:  # fmt: skip
        self.app, self.access, self.hosts, self.uploads = app, access, hosts, uploads
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
        send = self._guarded(send, policy, asset=path.startswith(ASSETS))
        if refused := _refused_headers(scope["headers"]) or _refused_query(scope):
            await answer(send, *refused)
            return
        headers = Headers(scope=scope)
        caller = self.access.caller(scope)
        limit = MAX_OWNER_BYTES if caller.owner and path.rstrip("/") == OWNERS_ROUTE else MAX_BODY_BYTES
        if refused := self._refusal(scope, path, headers, limit):
            await answer(send, *refused)
            return
        scope = {**scope, "headers": list(self._handed_on(scope["headers"]))}
        try:
            if scope["method"] != "POST" and STAYING.fullmatch(path):
                async with self.streams.answering(caller), _forgotten(scope):
                    await self.app(scope, receive, self._welcoming(send, caller))
                return
            if scope["method"] != "POST":
                await self.app(scope, receive, self._welcoming(send, caller, asset=path.startswith(ASSETS)))
                return
            async with self._room(path, caller, headers) as place, _forgotten(scope):
                await self._bounded(scope, receive, self._welcoming(send, caller), limit, place)
        except Busy as busy:
            await answer(send, busy.status, str(busy))
        except Exception as error:  # Gradio's routes fail on much that no page sends, and uvicorn would log each trace
            _log_once(error)
            if not getattr(send, "started", lambda: False)():
                await answer(send, 500, "That was not understood.")

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
        if not ROUTES.fullmatch(path):
            return 404, "There is nothing here."
        if path.startswith(FILE_ROUTE) and not is_below(path.removeprefix(FILE_ROUTE), Path(get_upload_folder())):
            return 403, "There is no such file."
        if path.rstrip("/") != UPLOAD_ROUTE and headers.get("content-type", "").lower().startswith("multipart/"):
            return 415, "Files are uploaded elsewhere."
        if "content-length" in headers and "transfer-encoding" in headers:
            return 400, "The request gives two lengths."
        length = headers.get("content-length", "0")
        if not length.isascii() or not length.isdigit() or len(length) > 12 or int(length) > limit:
            return 413, "That is too large."
        return None

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
                own = [one.strip() for one in value.split(b";") if one.strip().startswith(COOKIES)]
                yield name, b"; ".join(own)
            elif not FORWARDING.fullmatch(name) or self._harmless(name, value):
                yield name, value

    def _harmless(self, name: bytes, value: bytes) -> bool:
        if name == b"x-forwarded-proto":
            return value in (b"http", b"https")
        return name == b"x-forwarded-host" and value.decode("latin-1").lower() in {one.lower() for one in self.hosts}

    def _room(self, path: str, caller: Caller, headers: Headers) -> Any:
        if path.rstrip("/") == UPLOAD_ROUTE and self.uploads is not None:
            return self.uploads.receiving(caller, int(headers.get("content-length", MAX_BODY_BYTES)))
        return self.places.answering(caller)

    def _guarded(self, send: Send, policy: str, asset: bool) -> Send:
        """``send`` that lets known response headers through alone, and says what browsers may do with the answer."""
        added = [
            (b"content-security-policy", policy.encode()), (b"x-content-type-options", b"nosniff"),
            (b"cross-origin-resource-policy", b"same-origin"),
        ]

        started = False

        async def guarded(message: dict) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                kept = [(name.lower(), value) for name, value in message.get("headers", ()) if name.lower() in ANSWERED]
                kept = [(name, value) for name, value in kept if name != b"set-cookie" or value.startswith(COOKIES)]
                there = {name for name, _ in kept}
                missing = [(b"referrer-policy", b"same-origin"), *([] if asset else [(b"cache-control", b"private, no-cache")])]
                message = {**message, "headers": [*kept, *added, *(one for one in missing if one[0] not in there)]}
            await send(message)

        guarded.started = lambda: started
        return guarded

    def _welcoming(self, send: Send, caller: Caller, asset: bool = False) -> Send:
        """``send`` that gives a visitor without a number one."""
        if caller.owner or caller.number or asset:
            return send
        cookie = self.access.new_number().encode()

        async def welcoming(message: dict) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), (b"set-cookie", cookie)]}
            await send(message)

        return welcoming

    async def _bounded(self, scope: dict, receive: Callable, send: Send, limit: int, place: Any) -> None:
        loop = asyncio.get_running_loop()
        came, whole, started, end = 0, False, False, loop.time() + BODY_SECONDS
        refused: tuple[int, str] | None = None
        form = Headers(scope=scope).get("content-type", "").startswith("multipart/")
        watch: Nesting | Files = Files(scope) if form else Nesting()

        async def counted() -> dict:
            nonlocal came, whole, refused
            if whole:  # now it waits for the end of the connection, as long as the answer takes
                return await receive()
            try:
                message = await asyncio.wait_for(receive(), min(PAUSE_SECONDS, max(end - loop.time(), 0.001)))
            except TimeoutError as error:
                refused = 408, "That came too slowly."
                raise BodyRefused from error
            piece = message.get("body", b"")
            came += len(piece)
            whole = not message.get("more_body", False)
            if came > limit:
                refused = 413, "That is too large."
            else:
                try:
                    place.hold(len(piece))
                except Busy as busy:
                    refused = busy.status, str(busy)
                if problem := watch.problem(piece):
                    refused = 400, problem
            if refused:
                raise BodyRefused
            return message

        async def watched(message: dict) -> None:
            nonlocal started
            if refused is None:
                started = True
                await send(message)

        try:
            await self.app({**scope, "fruitvision.body": lambda: came}, counted, watched)
        except BodyRefused:
            pass
        if refused and not started:
            await answer(send, *refused)


def _refused_headers(headers: Sequence[tuple[bytes, bytes]]) -> tuple[int, str] | None:
    """Python's parser of cookies takes quadratic time over backslashes before 3.11.10 and 3.12.6."""
    if sum(len(name) + len(value) for name, value in headers) > MAX_HEADER_BYTES:
        return 431, "The request's headers are too large."
    names = [name for name, _ in headers]
    if any(names.count(name) > 1 for name in (b"host", b"origin", b"sec-fetch-site", b"sec-fetch-mode", b"content-type")):
        return 400, "A header came twice."
    cookies = [value for name, value in headers if name == b"cookie"]
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
            asyncio.get_running_loop().call_later(PROGRESS_SECONDS, _forget_progress, name)


def _forget_progress(upload_id: str) -> None:
    file_upload_statuses.stop_tracking(upload_id)
    file_upload_statuses._signals.pop(upload_id, None)


def _leads_here(scope: dict, path: str, headers: Headers) -> bool:
    """Whether somebody follows a link to the page, from wherever; nothing is changed by it."""
    return path == "/" and scope["method"] == "GET" and headers.get("sec-fetch-mode") == "navigate"


class Nesting:
    """How deep a JSON text is nested, followed piece by piece: parsers that recurse end with the app where it has no end."""

    def __init__(self) -> None:
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
            elif len(kind) == 1 and not self._in_text:
                self._depth += 1 if kind in b"[{" else -1
            if self._depth > MAX_DEPTH or self._marks > MAX_MARKS:
                return True
        self._rest = piece[-1:] if piece.endswith(b"\\") and end < len(piece) else b""  # what it escapes comes next
        return False


class Files:
    """How many parts a form has, followed piece by piece."""

    def __init__(self, scope: dict) -> None:
        _, options = parse_options_header(Headers(scope=scope).get("content-type", ""))  # as Gradio's parser reads it
        self._boundary = b"--" + options.get(b"boundary", b"")
        self._parts, self._rest = 0, b""

    def problem(self, piece: bytes) -> str:
        """A sentence where the form, up to and with ``piece``, has more parts than ``MOST_FILES``, or none can be told."""
        if len(self._boundary) < 3:
            return "That is no form."
        piece = self._rest + piece
        self._parts += piece.count(self._boundary)
        at = piece.rfind(self._boundary)
        left = piece if at < 0 else piece[at + len(self._boundary) :]
        self._rest = left[-(len(self._boundary) - 1) :]
        return f"That is more than {MOST_FILES} files at once." if self._parts > MOST_FILES + 1 else ""


async def answer(send: Send, status: int, sentence: str) -> None:
    """Send a refusal, and close the connection: whatever is still coming is not read."""
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": sentence.encode()})


def route(scope: dict, root: str) -> str:
    """The path below the root path, as the app's routes know it, also where a proxy has not taken the root path away."""
    path = scope["path"]
    return path.removeprefix(root) if root and path.startswith(f"{root}/") else path


class GuardedBlocks(gr.Blocks):
    """Blocks that neither fetch an address nor open a file of this computer that somebody put where an upload belongs.

    A value that a component cannot take is a sentence for whoever sent it, and for the console no more than one trace a place.
    """

    async def preprocess_data(self, block_fn: Any, inputs: list[Any], *given: Any, **named: Any) -> Any:
        """As Gradio's, once :func:`refuse_foreign_files` has seen the inputs."""
        refuse_foreign_files(inputs, Path(get_upload_folder()))
        return await super().preprocess_data(block_fn, _in_a_language(block_fn, inputs), *given, **named)

    async def process_api(self, *given: Any, **named: Any) -> dict[str, Any]:
        """As Gradio's; whatever goes wrong is a gr.Error that Gradio does not print."""
        try:
            return await super().process_api(*given, **named)
        except gr.Error as error:
            error.print_exception = False
            raise
        except FruitVisionError as error:
            words = " ".join(say_error(error, language) for language in LANGUAGES)
        except Exception as error:  # a mistake of ours, or a value that no page sends: components and handlers fail as they like
            _log_once(error)
            words = " ".join(say("classify.not_understood", language) for language in LANGUAGES)
        raise gr.Error(words, print_exception=False)


def _log_once(error: Exception) -> None:
    """Log where an unexpected error came from, the first time: whoever sends the same again does not fill the disk."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    place = (type(error).__name__, last.filename, last.lineno)
    if place not in _logged:
        _logged.add(place)
        logging.getLogger(__name__).error("an unexpected error, logged once", exc_info=error)


_logged: set[tuple[str, str, int | None]] = set()


def _in_a_language(block_fn: Any, inputs: Any) -> Any:
    """The inputs with a language that there is, whatever was sent in its place."""
    if not isinstance(inputs, list):
        return inputs
    asked = [getattr(component, "elem_id", None) == "language" for component in block_fn.inputs]
    unknown = [not isinstance(value, str) or value not in LANGUAGES for value in inputs]
    return ["en" if n < len(asked) and asked[n] and unknown[n] else value for n, value in enumerate(inputs)]


def refuse_foreign_files(value: Any, uploads: Path) -> None:
    """Raise PictureError where a "path" in ``value``, however deep, is no file below ``uploads``, such as an address.

    Gradio itself looks only at what calls itself a file ("meta"), and opens the path of any other.
    """
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            path = one.get("path")
            if isinstance(path, str) and not is_below(path, uploads):
                raise PictureError(
                    "picture-not-an-image", "That is not a picture.", "Choose a JPEG, PNG, WebP, BMP, GIF or TIFF.", picture=""
                )
            waiting += one.values()
        elif isinstance(one, list):
            waiting += one


def is_below(path: str, folder: Path) -> bool:
    """Whether ``path``, which a stranger may have written, is no address and lies below ``folder``, links followed."""
    if re.match(r"\s*([a-zA-Z][\w+.-]+:|[/\\]{2})", path):  # http:, file:, …; or a share, which Windows would ask for
        return False
    try:
        return folder.resolve() in Path(path).resolve().parents
    except (OSError, ValueError, RuntimeError):  # a null byte, a loop of links
        return False
