"""Temporary files that are generated for one download."""

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
"""Age at which files are deleted. Gradio serves a copy of its own, so they are needed only briefly."""
_FOLDER = "fruitvision-downloads"


def downloads_folder() -> Path:
    """The folder of these files; it need not exist."""
    return Path(os.environ.get("GRADIO_TEMP_DIR") or tempfile.gettempdir()) / _FOLDER


def clear_downloads() -> None:
    """Delete all of them, when the app ends."""
    root = downloads_folder()
    if not root.is_symlink():
        shutil.rmtree(root, ignore_errors=True)


def download_path(name: str, suffix: str, *, fallback: str, what: str = "") -> Path:
    """The path of a new file, in a folder of its own. Deletes older files.

    Args:
        name: its name; characters that a file name should not have are replaced.
        suffix: without a dot, such as "csv".
        fallback: its name if none of ``name``'s characters are usable.
        what: what it holds, such as "checkpoint", which then follows the name.

    Raises DataError if the folder cannot be written.
    """
    stem = re.sub(r"[^\w-]+", "-", name).strip("-")[:60] or fallback
    stem += f"-{what}" if what else ""
    with named_write_errors(Path(_FOLDER)):  # the system may have no temporary folder at all
        root = downloads_folder()
    with named_write_errors(root):
        root.mkdir(parents=True, exist_ok=True)
        if root.is_symlink():  # another account may have put it into a shared temporary folder; below, old folders are deleted
            raise OSError(errno.ELOOP, "it is a link")
        for old in root.iterdir():
            with contextlib.suppress(FileNotFoundError):  # another process may be deleting it
                if time.time() - old.stat().st_mtime > OLD_SECONDS:
                    shutil.rmtree(old, ignore_errors=True)
        return Path(tempfile.mkdtemp(dir=root)) / f"{stem}.{suffix}"
