"""The exported page beside the app, under ``/device/``: a shared link's visitors are answered by their own browsers.

Its files are read once and are the same for everybody; nothing that a visitor sends is looked into.
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
WHOLE_APP = "app"
"""The query by which a visitor asks for the app itself; sent on to the page, it says that there is one."""
STAYING = {WHOLE_APP, "tab", "owner"}
"""Queries that the app itself answers: what was asked for, a panel of it, and the owner's link."""
MAX_BYTES = 256 * 2**20
PIECE = 2**16
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
    """The files of ``fruitvision export --format web``; none before they are read, where the page is still being made."""

    def __init__(self, folder: Path | None = None) -> None:
        self._files: dict[str, bytes] = {}
        self._tags: dict[str, bytes] = {}
        if folder is not None:
            self.read(folder)

    @property
    def ready(self) -> bool:
        """Whether there is a page."""
        return bool(self._files)

    def read(self, folder: Path) -> None:
        """Take the files of a folder. Raises UsageError "not-a-page" for one that is no exported page."""
        found = folder.rglob("*") if (folder / DESCRIPTION).is_file() else ()
        root = folder.resolve()  # an archive from somebody else may hold links, which would show any file to everybody
        paths = [path for path in found if path.is_file() and root in path.resolve().parents]
        if not paths or sum(path.stat().st_size for path in paths) > MAX_BYTES:
            raise UsageError("not-a-page", folder=str(folder))
        files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}
        self._tags = {name: f'"{hashlib.sha256(content).hexdigest()[:32]}"'.encode() for name, content in files.items()}
        self._files = files  # last: requests are answered meanwhile

    def holds(self, path: str) -> bool:
        """Whether a file of it lies at a path below the app's."""
        return path.startswith(PATH) and self._name(path) in self._files

    async def answer(self, path: str, method: str, known: str, send: Send) -> None:
        """Send the file; nothing but a word where the browser has it (``known``, its If-None-Match)."""
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
        for start in range(0, len(body), PIECE):  # a slow visitor holds one piece
            await send({"type": "http.response.body", "body": body[start : start + PIECE], "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    @staticmethod
    def _name(path: str) -> str:
        return path.removeprefix(PATH) or "index.html"


def is_for_device(headers: Mapping[str, str], path: str, query: bytes) -> bool:
    """Whether a visitor opens the app by its link, in a window and not in a frame, and did not ask for the app itself."""
    opened = headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest", "document") == "document"
    return path == "/" and opened and not STAYING & parse_qs(query.decode("latin-1"), keep_blank_values=True).keys()


async def lead(send: Send) -> None:
    """Send a visitor to the page; relative, since a proxy may have put a path before it."""
    location = f"{PATH.strip('/')}/?{WHOLE_APP}".encode()
    await send({"type": "http.response.start", "status": 303, "headers": [(b"location", location), (b"cache-control", b"no-store")]})
    await send({"type": "http.response.body", "body": b""})
