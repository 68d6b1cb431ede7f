"""The exported page beside the app, under ``/device/``: a shared link's visitors are answered by their own browsers.

Its files are read once, when the app opens, and are the same for everybody; nothing that a visitor sends is looked into.
"""

from __future__ import annotations

import hashlib
import mimetypes
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from fruitvision.errors import UsageError
from fruitvision.web.export import DESCRIPTION

Send = Callable[[dict], Awaitable[None]]

PATH = "/device/"
WHOLE_APP = "app"
"""The query by which a visitor asks for the app itself; sent on to the page, it says that there is one."""
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
    """The files of ``fruitvision export --format web``. Raises UsageError "not-a-page" for any other folder."""

    def __init__(self, folder: Path) -> None:
        found = folder.rglob("*") if (folder / DESCRIPTION).is_file() else ()
        root = folder.resolve()  # an archive from somebody else may hold links, which would show any file to everybody
        paths = [path for path in found if path.is_file() and root in path.resolve().parents]
        if not paths or sum(path.stat().st_size for path in paths) > MAX_BYTES:
            raise UsageError("not-a-page", folder=str(folder))
        self._files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}
        self._tags = {name: f'"{hashlib.sha256(content).hexdigest()[:32]}"'.encode() for name, content in self._files.items()}

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
    """Whether a visitor opens the app by its link, and did not ask for the app itself."""
    return path == "/" and headers.get("sec-fetch-mode") == "navigate" and query.partition(b"=")[0] != WHOLE_APP.encode()


async def lead(send: Send) -> None:
    """Send a visitor to the page; relative, since a proxy may have put a path before it."""
    location = f"{PATH.strip('/')}/?{WHOLE_APP}".encode()
    await send({"type": "http.response.start", "status": 303, "headers": [(b"location", location), (b"cache-control", b"no-store")]})
    await send({"type": "http.response.body", "body": b""})
