"""Download Fruits-360 from its public mirrors.

GitHub generates its archives on request, without a length or range requests, so an interrupted transfer starts over. Kaggle supports
both, but has all of Fruits-360 in one file of about 6 GB.

Both mirrors change over time, so no checksum can be hard-coded. That of the downloaded archive is stored beside the pictures, and can
be required on another machine, which then gets the same pictures or an error.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from fruitvision.data.fetch.archive import unpack
from fruitvision.data.fetch.transfer import Auth, Progress, download_lock, fetch, recorded_sha256, shown_url
from fruitvision.errors import DataError, DownloadError, UsageError
from fruitvision.files import sha256_of, write_text

MIRRORS = {
    # The authors' repository (about 250 classes, maintained), and its predecessor (131 classes).
    "github": (
        "https://github.com/fruits-360/fruits-360-100x100/archive/refs/heads/main.zip",
        "https://github.com/Horea94/Fruit-Images-Dataset/archive/refs/heads/master.zip",
    ),
    "kaggle": ("https://www.kaggle.com/api/v1/datasets/download/moltean/fruits",),
}
MARKER = "download.json"  # written into a completely downloaded folder, with the URL and the SHA-256 of the archive


def download_fruits360(
    folder: str | Path,
    *,
    source: str = "github",
    url: str | None = None,
    sha256: str | None = None,
    progress: Progress | None = None,
) -> Path:
    """Fetch Fruits-360 as ``folder`` with ``Training/`` and ``Test/`` in it.

    The archive is downloaded to ``FOLDER.zip`` beside the folder (``FOLDER.tar.gz`` for such a ``url``); an archive that is already
    there, downloaded by hand, is used and kept. A folder that was downloaded before is left unchanged.

    Args:
        source: "github", or "kaggle" (with the key of :func:`kaggle_auth`, if there is one).
        url: the address of another such archive, in place of the source's.
        sha256: what the archive must be, 64 hexadecimal digits; nothing of another one is unpacked, and it is
            removed unless it was fetched by hand. A folder that was downloaded before must be of that archive.
        progress: called with (bytes fetched, total or None), then with (bytes unpacked, total). What it
            raises ends the download, which a later call takes up again.

    Raises:
        UsageError: "unknown-source", "bad-checksum".
        DataError: "folder-not-empty", "disk-full", "cannot-write".
        DownloadError: "archive-other", "kaggle-key-damaged", and what :func:`fetch` and ``archive.unpack`` raise.
    """
    folder = Path(folder).expanduser().absolute()
    folder = folder.resolve() if folder.is_symlink() else folder  # for a link its target is filled, and the link kept
    if sha256 is not None and not re.fullmatch("[0-9a-fA-F]{64}", sha256):
        raise UsageError("bad-checksum", given=sha256[:80])
    if source not in MIRRORS:
        raise UsageError("unknown-source", source=source, sources=", ".join(MIRRORS))
    if (folder / MARKER).is_file():
        _verify(folder, archive_sha256(folder), sha256)
        return folder
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DataError("folder-not-empty", folder=str(folder))
    urls = MIRRORS[source] if url is None else (url,)
    auth = kaggle_auth() if source == "kaggle" and url is None else None
    is_tar = urlsplit(urls[0]).path.endswith((".tar.gz", ".tgz", ".tar"))
    archive = folder.with_name(folder.name + (".tar.gz" if is_tar else ".zip"))
    origin = archive.with_name(archive.name + ".from")  # marks a downloaded archive, as opposed to one that the user put there
    with download_lock(folder):
        if not archive.exists():
            write_text(origin, _fetch_first(urls, archive, auth=auth, progress=progress))
        source_url = origin.read_text(encoding="utf-8") if origin.is_file() else archive.name
        found = sha256_of(archive)
        note = json.dumps({"from": source_url, "bytes": archive.stat().st_size, "sha256": found}, indent=2)
        try:
            _verify(archive, found, sha256)
            unpack(archive, folder, also={MARKER: note}, progress=progress)
        except DownloadError:
            _remove_fetched(archive, origin)
            raise
        _remove_fetched(archive, origin)
    return folder


def archive_sha256(folder: Path) -> str:
    """The SHA-256 of the archive that a folder was unpacked from; empty if unknown."""
    return recorded_sha256(folder / MARKER)


def _verify(path: Path, found: str, wanted: str | None) -> None:
    if wanted is not None and found != wanted.lower():
        raise DownloadError("archive-other", path=str(path), got=found or "?", expected=wanted.lower())


def _remove_fetched(archive: Path, origin: Path) -> None:
    if origin.is_file():
        archive.unlink(missing_ok=True)
        origin.unlink(missing_ok=True)


def _fetch_first(urls: tuple[str, ...], path: Path, *, auth: Auth, progress: Progress | None) -> str:
    """Download from the first mirror that has the file; returns its URL."""
    for url in urls:
        try:
            fetch(url, path, auth=auth, progress=progress)
        except DownloadError as error:
            if error.code != "download-not-found" or url == urls[-1]:
                raise
        else:
            break
    return shown_url(url)


def kaggle_auth() -> Auth:
    """The user's Kaggle API key from KAGGLE_API_TOKEN, KAGGLE_USERNAME and KAGGLE_KEY, or kaggle.json; None if there is none.

    Without a key Kaggle may or may not serve a public data set.
    """
    token, name, key = (os.environ.get(f"KAGGLE_{part}", "") for part in ("API_TOKEN", "USERNAME", "KEY"))
    if not token and not (name and key):
        homes = [Path(os.environ["KAGGLE_CONFIG_DIR"])] if os.environ.get("KAGGLE_CONFIG_DIR") else []
        homes += [Path.home() / ".kaggle", Path.home() / ".config" / "kaggle"]
        path = next((home / "kaggle.json" for home in homes if (home / "kaggle.json").is_file()), None)
        if path is None:
            return None
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            name, key = str(content["username"]), str(content["key"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DownloadError("kaggle-key-damaged", file=str(path)) from error
    return _Bearer(token) if token else httpx.BasicAuth(name, key)


class _Bearer(httpx.Auth):
    def __init__(self, token: str) -> None:
        self.token = token

    def auth_flow(self, request: httpx.Request) -> Iterator[httpx.Request]:
        request.headers["Authorization"] = f"Bearer {self.token}"
        yield request
