"""The page that classifies in visitors' own browsers: exported by the app itself by default, and linked in the header."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import filelock

from fruitvision import __version__
from fruitvision.errors import CheckpointError, FruitVisionError, unexpected
from fruitvision.files import cache_folder, current_folder, named_write_errors, remove_leftovers, sha256_of
from fruitvision.models import EXPORT_PACKAGES, can_export
from fruitvision.models.checkpoint import CARD, CONFIG, WEIGHTS, checkpoint_name
from fruitvision.report.markup import tag
from fruitvision.runs.subprocess_call import call_in_subprocess
from fruitvision.ui.page.background import Task
from fruitvision.web.device_page import APP_QUERY, PATH, DevicePage
from fruitvision.web.export import DESCRIPTION, PAGE, export_web
from fruitvision.wording.text import say, say_error

AUTO, NONE = "auto", "none"
MAX_KEPT = 3
"""Maximum pages in the cache, 9 MB each; the least recently used are deleted."""


def device_page(wanted: str | Path | None, *, share: bool) -> DevicePage | None:
    """The page in a folder, a page that is still to be exported ("auto"), or None ("none"). The default is "auto" with ``share``.

    With ``public`` the default is None: servers, containers and Spaces are meant to answer visitors themselves.

    Raises UsageError "not-a-page".
    """
    wanted = wanted or (AUTO if share else NONE)
    if str(wanted) == NONE:
        return None
    return DevicePage(None if str(wanted) == AUTO else Path(wanted))


def device_html(language: str) -> str:
    """The header's link to the page. It is relative, since a proxy may prefix the path, and leaves a frame."""
    to = f"{PATH.strip('/')}/?{APP_QUERY}"
    return tag("a", say("header.device", language), href=to, target="_top", title=say("header.device_how", language))


def make_page(page: DevicePage, checkpoint: Callable[[], Path], language: str) -> Task[None]:
    """Export a checkpoint's page in the background, and print that it is served, or why not."""

    def work(progress: Any) -> None:
        try:
            load_page(page, checkpoint())
        except Exception as error:  # the app works without the page, whatever the reason
            known = error if isinstance(error, FruitVisionError) else unexpected(error)
            print(say("launch.no_device", language, why=say_error(known, language)), flush=True)
        else:
            print(say("launch.device", language), flush=True)

    return Task(work, "device-page")


def load_page(page: DevicePage, checkpoint: Path) -> None:
    """Load a checkpoint's page from the cache; if it is missing, export it first.

    Raises:
        CheckpointError: "onnx-missing", before anything is downloaded or loaded.
        FruitVisionError: as :func:`export_web`; RunError "work-ended".
    """
    pages = cache_folder() / "pages"
    with named_write_errors(pages):
        pages.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(pages / ".lock"):  # if two apps start at the same time, one exports it
            remove_leftovers(pages)
            folder = pages / _key(checkpoint)
            if not (folder / DESCRIPTION).is_file():
                if not can_export():
                    raise CheckpointError("onnx-missing", packages=" ".join(EXPORT_PACKAGES))
                call_in_subprocess(_export, checkpoint, folder)
            os.utime(folder)
            page.read(folder)
            for old in sorted(pages.glob("[!.]*"), key=lambda one: one.stat().st_mtime)[:-MAX_KEPT]:
                shutil.rmtree(old, ignore_errors=True)


def _key(checkpoint: Path) -> str:
    """A cache key: a hash of the checkpoint, its name, the version of FruitVision, and the page's own files."""
    folder = current_folder(checkpoint)
    digest = hashlib.sha256(f"{__version__}\0{checkpoint_name(checkpoint)}".encode())
    for path in (folder / CONFIG, folder / WEIGHTS, folder / CARD, *sorted(PAGE.rglob("*"))):
        if path.is_file():
            digest.update(f"\0{path.name}\0{sha256_of(path)}".encode())
    return digest.hexdigest()[:32]


def _export(checkpoint: Path, folder: Path, report: Callable[..., Any]) -> None:
    """Run in a separate process."""
    export_web(checkpoint, folder)
