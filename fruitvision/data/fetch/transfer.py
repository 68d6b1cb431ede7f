"""Download one file over HTTP: resumable, verified, and moved into place atomically.

Proxies are those of HTTPS_PROXY and the like, as httpx reads them.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import filelock
import httpx

from fruitvision.errors import DownloadError
from fruitvision.files import retry, sha256_of, write_error, write_text

Progress = Callable[[int, int | None], None]
Auth = httpx.Auth | Callable[[httpx.Request], httpx.Request] | None

PAUSES = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)  # seconds before each retry; reset after progress
MIN_PROGRESS_BYTES = 64 * 2**10  # bytes that count as progress
MAX_BYTES = 64 * 2**30
_NO_CONNECTION = (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError)
_BUSY_STATUS = {408, 425, 429, 500, 502, 503, 504}


def fetch(
    url: str,
    path: str | Path,
    *,
    sha256: str | None = None,
    size: int | None = None,
    progress: Progress | None = None,
    timeout: float = 30,
    auth: Auth = None,
) -> Path:
    """Download ``url`` to the file ``path``, which appears only when it is complete.

    What was received is kept in ``path.part``; a later call resumes from there if the server confirms that the file is unchanged, or
    if ``sha256`` will verify it. Failed attempts are repeated as long as they make progress, and otherwise at most ``len(PAUSES)``
    times with growing pauses.

    Args:
        sha256, size: the expected values; a file at ``path`` with that hash is not downloaded again. A prefix of the hash is enough,
        as in the names of torch's published weights.
        progress: called with (bytes, total); total is None while unknown.
        timeout: seconds to wait for a connection and for each chunk.

    Raises:
        DownloadError: "download-offline", "download-certificate", "download-bad-address", "download-refused",
            "download-not-found", "download-failed", "download-incomplete", "download-wrong-size",
            "download-wrong-checksum", "download-too-large", "download-busy", "proxy-unusable".
        DataError: "disk-full", "cannot-write".
    """
    path = Path(path).expanduser().absolute()
    if not _fetchable(url):
        raise _bad_address(url)
    if sha256 and path.is_file() and sha256_of(path).startswith(sha256.lower()):
        return path
    with download_lock(path):
        transfer = _Transfer(url, path, sha256 is not None, size or MAX_BYTES, progress)
        try:
            with _client(timeout, auth) as client:
                resumed = transfer.position() > 0
                _until_complete(transfer, client)
                fault = _verify(transfer.part, url, sha256, size)
                if fault is not None and resumed:  # the earlier part may belong to another file
                    transfer.forget()
                    _until_complete(transfer, client)
                    fault = _verify(transfer.part, url, sha256, size)
            if fault is not None:
                transfer.forget()
                raise fault
            retry(lambda: os.replace(transfer.part, path))
            transfer.note.unlink(missing_ok=True)
        except OSError as error:
            raise write_error(error, path) from error
    return path


def _fetchable(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and httpx.URL(url).host != ""
    except (ValueError, httpx.InvalidURL):
        return False


def _bad_address(url: str) -> DownloadError:
    return DownloadError("download-bad-address", url=shown_url(url))


def _client(timeout: float, auth: Auth) -> httpx.Client:
    try:
        limits = httpx.Timeout(timeout, connect=min(timeout, 10))
        return httpx.Client(follow_redirects=True, timeout=limits, auth=auth)
    except (ImportError, ValueError, httpx.InvalidURL) as error:  # this reads the proxy settings
        raise DownloadError("proxy-unusable", reason=str(error)) from error


def _until_complete(transfer: _Transfer, client: httpx.Client) -> None:
    """Repeat attempts until the file is complete or no more progress is made."""
    failures, best = 0, transfer.position()
    while True:
        try:
            transfer.attempt(client)
            return
        except (httpx.UnsupportedProtocol, httpx.TooManyRedirects, httpx.InvalidURL) as error:
            raise _bad_address(transfer.url) from error  # from a redirect
        except (httpx.RequestError, _ServerBusy) as error:
            if transfer.position() >= best + MIN_PROGRESS_BYTES:
                failures, best = 0, transfer.position()
            never_there = isinstance(error, _NO_CONNECTION) and not transfer.position()
            if failures >= (min(2, len(PAUSES)) if never_there else len(PAUSES)) or _certificate(error):
                raise _gave_up(transfer, error) from error
            time.sleep(max(PAUSES[failures], error.seconds if isinstance(error, _ServerBusy) else 0))
            failures += 1


def _certificate(error: Exception) -> bool:
    return "CERTIFICATE_VERIFY_FAILED" in str(error)


class _ServerBusy(Exception):
    """The server asks to come back later."""

    def __init__(self, status: int, seconds: float) -> None:
        super().__init__(f"the server answered {status}")
        self.status, self.seconds = status, seconds


class _Transfer:
    """A download: the received bytes are in ``part``; ``note`` records which file they belong to."""

    def __init__(self, url: str, path: Path, verified: bool, limit: int, progress: Progress | None) -> None:
        self.url, self.verified, self.limit, self.progress = url, verified, limit, progress
        self.part = path.with_name(path.name + ".part")
        self.note = path.with_name(path.name + ".part.json")
        self.total: int | None = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            noted = json.loads(self.note.read_text(encoding="utf-8")) if self.note.is_file() else {}
        except OSError as error:
            raise write_error(error, path) from error
        except ValueError:
            noted = {}
        # The URL may contain a secret, so only its hash is stored.
        self.address = hashlib.sha256(url.encode("utf-8", "replace")).hexdigest()
        self.validator = None
        if isinstance(noted, dict) and noted.get("address") == self.address:
            self.validator = noted.get("validator")
        else:
            self.forget()

    def position(self) -> int:
        return self.part.stat().st_size if self.part.is_file() else 0

    def forget(self) -> None:
        self.part.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)
        self.validator = None

    def attempt(self, client: httpx.Client) -> None:
        """Make one request; returns when the server has sent the whole file."""
        start = self.position()
        if start and not (self.validator or self.verified):
            start = 0  # the server does not confirm that the file is the same
        headers = {"Accept-Encoding": "identity"}
        if start:
            headers["Range"] = f"bytes={start}-"
            if self.validator:
                headers["If-Range"] = self.validator
        with client.stream("GET", self.url, headers=headers) as response:
            first, total = _content_range(response)
            if response.status_code == 416 and start and total == start:
                return
            if response.status_code not in (200, 206, 416):
                raise _status_error(response, self.url)
            if response.status_code == 200:
                return self._receive(response, 0)
            if response.status_code == 416 or first != start or not self._same(response):
                self.forget()
                raise httpx.RemoteProtocolError("the server has no such part of the file any more")
            self._receive(response, start)

    def _same(self, response: httpx.Response) -> bool:
        return not self.validator or _strong_validator(response) in (None, self.validator)

    def _receive(self, response: httpx.Response, start: int) -> None:
        encoded = response.headers.get("Content-Encoding", "identity") != "identity"
        length = response.headers.get("Content-Length", "")
        self.total = start + int(length) if length.isdecimal() and not encoded else None
        if response.status_code == 206:
            self.total = _content_range(response)[1] or self.total
        self.validator = None if encoded else _strong_validator(response)
        write_text(self.note, json.dumps({"address": self.address, "validator": self.validator}))
        room = shutil.disk_usage(self.part.parent).free
        if self.total is not None and room < min(self.total, self.limit) - start:
            raise OSError(errno.ENOSPC, "No space left on device")
        done, reported = start, 0.0
        with self.part.open("ab" if start else "wb") as file:
            for piece in response.iter_bytes() if encoded else response.iter_raw():
                file.write(piece)
                done += len(piece)
                if done > self.limit:
                    file.close()
                    self.forget()
                    raise DownloadError("download-too-large", url=shown_url(self.url), bytes=self.limit)
                if self.progress is not None and time.monotonic() - reported > 0.1:
                    reported = time.monotonic()
                    self.progress(done, self.total)
            file.flush()
            os.fsync(file.fileno())
        if self.total is not None and done != self.total:  # a server may send less than the requested range
            raise httpx.RemoteProtocolError(f"{done} bytes arrived of {self.total}")
        if self.progress is not None:
            self.progress(done, done)


def _content_range(response: httpx.Response) -> tuple[int | None, int | None]:
    """(first byte, total) of ``Content-Range: bytes 5-9/10`` or ``bytes */10``."""
    unit, _, rest = response.headers.get("Content-Range", "").partition(" ")
    span, _, total = rest.partition("/")
    first = span.partition("-")[0]
    if unit != "bytes":
        return None, None
    return int(first) if first.isdecimal() else None, int(total) if total.isdecimal() else None


def _strong_validator(response: httpx.Response) -> str | None:
    """A strong ETag or a date, for If-Range; a weak ETag does not guarantee identical bytes (RFC 9110, 13.1.5)."""
    validator = response.headers.get("ETag") or response.headers.get("Last-Modified")
    return validator if validator and validator.isascii() and not validator.startswith("W/") else None


def _status_error(response: httpx.Response, url: str) -> Exception:
    status, shown = response.status_code, shown_url(url)
    if status in _BUSY_STATUS:
        after = response.headers.get("Retry-After", "")
        return _ServerBusy(status, min(float(after), 60.0) if after.isdecimal() else 0.0)
    if status in (401, 403, 407):
        return DownloadError("download-refused", url=shown, status=status)
    if status in (404, 410):
        return DownloadError("download-not-found", url=shown, status=status)
    return DownloadError("download-failed", url=shown, status=status)


def _gave_up(transfer: _Transfer, error: Exception) -> DownloadError:
    """The error to raise after the last attempt."""
    url, file = shown_url(transfer.url), str(transfer.part).removesuffix(".part")
    if _certificate(error):
        return DownloadError("download-certificate", url=url, host=urlsplit(url).netloc, file=file)
    if isinstance(error, _ServerBusy):
        return DownloadError("download-failed", url=url, status=error.status)
    if transfer.position() or transfer.total is not None:
        got, total = transfer.position(), "?" if transfer.total is None else transfer.total
        return DownloadError("download-incomplete", url=url, host=urlsplit(url).netloc, got=got, total=total, file=file)
    return DownloadError("download-offline", url=url, host=urlsplit(url).netloc, reason=str(error) or type(error).__name__, file=file)


def _verify(part: Path, url: str, sha256: str | None, size: int | None) -> DownloadError | None:
    got = part.stat().st_size if part.is_file() else 0
    if size is not None and got != size:
        return DownloadError("download-wrong-size", url=shown_url(url), got=got, expected=size)
    if sha256 is not None and not (found := sha256_of(part)).startswith(sha256.lower()):
        return DownloadError("download-wrong-checksum", url=shown_url(url), got=found, expected=sha256.lower())
    return None


def recorded_sha256(note: Path) -> str:
    """The archive's SHA-256 recorded in a note file; empty if there is no such file or it is not one of ours."""
    try:
        with note.open("rb") as file:
            found = json.loads(file.read(2**16))["sha256"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return ""
    return found if isinstance(found, str) else ""


def shown_url(url: str) -> str:
    """A URL without the parts that may be secret: user name, password, query."""
    try:
        parts = urlsplit(url)
        return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
    except ValueError:
        return url


@contextmanager
def download_lock(path: Path) -> Iterator[None]:
    """Lock a file against downloads by other processes. Raises DownloadError "download-busy"."""
    lock = path.with_name(f".{path.name}.lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(lock, timeout=0):
            try:
                yield
            finally:
                if os.name != "nt":  # on Windows it is removed with the last handle
                    lock.unlink(missing_ok=True)
    except filelock.Timeout as error:
        raise DownloadError("download-busy", file=str(path)) from error
    except OSError as error:
        raise write_error(error, path) from error
