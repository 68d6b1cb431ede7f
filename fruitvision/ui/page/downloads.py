"""Where a file lies that was made for one download, until a browser has fetched it."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import tempfile
import time
from pathlib import Path

from fruitvision.files import named_write_errors

OLD_SECONDS = 600.0
"""Gradio hands out a copy of its own: a file is of no use here once the browser has asked for it."""
_FOLDER = "fruitvision-downloads"


def downloads_folder() -> Path:
    """The folder of all such files. It need not exist."""
    return Path(os.environ.get("GRADIO_TEMP_DIR") or tempfile.gettempdir()) / _FOLDER


def clear_downloads() -> None:
    """Delete them all; when the app ends."""
    root = downloads_folder()
    if not root.is_symlink():
        shutil.rmtree(root, ignore_errors=True)


def to_download(name: str, kind: str, *, otherwise: str) -> Path:
    """A new file's path, by this name as far as a file may bear it, and of this kind ("csv"). Older ones are cleared away.

    ``otherwise``: its name where nothing of the first is left.

    Raises DataError where it cannot be written.
    """
    stem = re.sub(r"[^\w-]+", "-", name).strip("-")[:60] or otherwise
    with named_write_errors(Path(_FOLDER)):  # there may be no folder at all for what is temporary
        root = downloads_folder()
    with named_write_errors(root):
        root.mkdir(parents=True, exist_ok=True)
        if root.is_symlink():  # in a folder that all accounts share, another one may have put it there: old folders are deleted
            raise OSError(errno.ELOOP, "it is a link")
        for old in root.iterdir():
            with contextlib.suppress(FileNotFoundError):  # another process clears away too
                if time.time() - old.stat().st_mtime > OLD_SECONDS:
                    shutil.rmtree(old, ignore_errors=True)
        return Path(tempfile.mkdtemp(dir=root)) / f"{stem}.{kind}"
