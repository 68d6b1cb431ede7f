"""The exported page, served by the app under ``/device/``, by which visitors of a shared link classify in their own browsers.

Its files are read once, and are the same for everybody; they do not depend on the request.
"""

from __future__ import annotations

import hashlib
import mimetypes
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from urllib.parse import parse_qs

from fruitvision.errors import UsageError
from fruitvision.web.export import DESCRIPTION

Send = Callable[[dict], Awaitable[None]]

PATH = "/device/"
APP_QUERY = "app"
"""The query parameter with which a visitor opens the app itself; sent to the page, it says that there is an app."""
APP_QUERIES = {APP_QUERY, "tab", "owner"}
"""Query parameters for which the app itself answers: the one above, a panel, and the owner's link."""
MAX_BYTES = 256 * 2**20
CHUNK = 2**16
_TYPES = {".js": "text/javascript", ".webmanifest": "application/manifest+json", ".gz": "application/octet-stream", "": "text/plain"}
_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-embedder-policy", b"require-corp"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"frame-ancestors 'self'"),  # the page has the rest of it in itself
    (b"cache-control", b"no-cache"),
)


class DevicePage:
    """The files of ``fruitvision export --format web``; none until they are read, while the page is still being exported."""

    def __init__(self, folder: Path | None = None) -> None:
        self._files: dict[str, bytes] = {}
        self._tags: dict[str, bytes] = {}
        if folder is not None:
            self.read(folder)

    @property
    def ready(self) -> bool:
        """Whether the files have been read."""
        return bool(self._files)

    def read(self, folder: Path) -> None:
        """Read the files of a folder. Raises UsageError "not-a-page" if it is not an exported page."""
        entries = folder.rglob("*") if (folder / DESCRIPTION).is_file() else ()
        root = folder.resolve()  # a page from somebody else may contain symbolic links, which would publish other files
        paths = [path for path in entries if path.is_file() and root in path.resolve().parents]
        if not paths or sum(path.stat().st_size for path in paths) > MAX_BYTES:
            raise UsageError("not-a-page", folder=str(folder))
        files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}
        self._tags = {name: f'"{hashlib.sha256(content).hexdigest()[:32]}"'.encode() for name, content in files.items()}
        self._files = files  # last, since requests are answered meanwhile

    def has_file(self, path: str) -> bool:
        """Whether ``path`` is that of one of its files."""
        return path.startswith(PATH) and self._name(path) in self._files

    async def answer(self, path: str, method: str, known: str, send: Send) -> None:
        """Send the file; or 304, if ``known``, the request's If-None-Match, is its ETag."""
        name = self._name(path)
        content, tag = self._files[name], self._tags[name]
        suffix = Path(name).suffix
        kind = _TYPES.get(suffix) or mimetypes.guess_type(name)[0] or "application/octet-stream"
        text = kind.startswith("text/") or kind.endswith("json")
        same = known.encode("latin-1", "replace") == tag
        headers = [*_HEADERS, (b"etag", tag), (b"content-type", f"{kind}; charset=utf-8".encode() if text else kind.encode())]
        if not same:
            headers.append((b"content-length", str(len(content)).encode()))
        await send({"type": "http.response.start", "status": 304 if same else 200, "headers": headers})
        body = b"" if same or method == "HEAD" else content
        await send_in_chunks(send, body)

    @staticmethod
    def _name(path: str) -> str:
        return path.removeprefix(PATH) or "index.html"


async def send_in_chunks(send: Send, body: bytes, *, more: bool = False) -> None:
    """Send a body, or with ``more`` a part of it, in chunks: for a slow client, only one or two of them are buffered."""
    for start in range(0, max(len(body), 1), CHUNK):
        chunk = body[start : start + CHUNK]
        await send({"type": "http.response.body", "body": chunk, "more_body": more or start + CHUNK < len(body)})


def opens_app_link(headers: Mapping[str, str], path: str, query: bytes) -> bool:
    """Whether the request opens the app's link in a window, not in a frame, and does not ask for the app itself."""
    opened = headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest", "document") == "document"
    return path == "/" and opened and not APP_QUERIES & parse_qs(query.decode("latin-1"), keep_blank_values=True).keys()


async def redirect(send: Send) -> None:
    """Redirect a visitor to the page; the location is relative, since a proxy may prefix the path."""
    location = f"{PATH.strip('/')}/?{APP_QUERY}".encode()
    await send({"type": "http.response.start", "status": 303, "headers": [(b"location", location), (b"cache-control", b"no-store")]})
    await send({"type": "http.response.body", "body": b""})
