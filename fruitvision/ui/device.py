"""The page by which visitors' own browsers answer: made by the app itself where nobody named one, and offered in the header."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import filelock

from fruitvision import __version__
from fruitvision.errors import CheckpointError, FruitVisionError, unexpected
from fruitvision.files import cache_folder, current_folder, named_write_errors, remove_leftovers, sha256_of
from fruitvision.models import EXPORT_PACKAGES
from fruitvision.models.checkpoint import CARD, CONFIG, WEIGHTS, checkpoint_name
from fruitvision.report.markup import tag
from fruitvision.runs.subprocess_call import call_in_subprocess
from fruitvision.ui.page.background import Task
from fruitvision.web.export import DESCRIPTION, PAGE, export_web
from fruitvision.web.served import PATH, WHOLE_APP, DevicePage
from fruitvision.wording.text import say, say_error

AUTO, NONE = "auto", "none"
MOST_KEPT = 3
"""Pages in the cache, 9 MB each; those used last."""


def device_page(wanted: str | Path | None, *, share: bool) -> DevicePage | None:
    """The page of a folder, one that is still to be made ("auto"), or None; by default one is made where the app is shared by a link.

    ``public`` makes none by itself: it is how servers, containers and Spaces are started, which answer visitors on purpose.

    Raises UsageError "not-a-page".
    """
    wanted = wanted or (AUTO if share else NONE)
    if str(wanted) == NONE:
        return None
    return DevicePage(None if str(wanted) == AUTO else Path(wanted))


def device_html(language: str) -> str:
    """The header's link to the page; relative, since a proxy may have put a path before the app's. In a frame it takes the window."""
    to = f"{PATH.strip('/')}/?{WHOLE_APP}"
    return tag("a", say("header.device", language), href=to, target="_top", title=say("header.device_how", language))


def make_page(page: DevicePage, checkpoint: Callable[[], Path], language: str) -> Task[None]:
    """Make a checkpoint's page in the background, and say in the terminal that it is served, or why there is none."""

    def work(progress: Any) -> None:
        try:
            read_made(page, checkpoint())
        except Exception as error:  # the app goes on without the page, whatever it is
            known = error if isinstance(error, FruitVisionError) else unexpected(error)
            print(say("launch.no_device", language, why=say_error(known, language)), flush=True)
        else:
            print(say("launch.device", language), flush=True)

    return Task(work, "device-page")


def read_made(page: DevicePage, checkpoint: Path) -> None:
    """Read a checkpoint's page from the cache, where it is made if it is not there.

    Raises:
        CheckpointError: "onnx-missing" before anything is fetched or loaded.
        FruitVisionError: as :func:`export_web`; RunError "work-ended".
    """
    pages = cache_folder() / "pages"
    with named_write_errors(pages):
        pages.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(pages / ".lock"):  # of two apps that are opened at a time one makes it
            remove_leftovers(pages)
            folder = pages / _key(checkpoint)
            if not (folder / DESCRIPTION).is_file():
                if not all(map(find_spec, EXPORT_PACKAGES)):
                    raise CheckpointError("onnx-missing", packages=" ".join(EXPORT_PACKAGES))
                call_in_subprocess(_make, checkpoint, folder)
            os.utime(folder)
            page.read(folder)
            for old in sorted(pages.glob("[!.]*"), key=lambda one: one.stat().st_mtime)[:-MOST_KEPT]:
                shutil.rmtree(old, ignore_errors=True)


def _key(checkpoint: Path) -> str:
    """A name that changes with the checkpoint, what it is called, and the version of FruitVision and of its page."""
    folder = current_folder(checkpoint)
    digest = hashlib.sha256(f"{__version__}\0{checkpoint_name(checkpoint)}".encode())
    for path in (folder / CONFIG, folder / WEIGHTS, folder / CARD, *sorted(PAGE.rglob("*"))):
        if path.is_file():
            digest.update(f"\0{path.name}\0{sha256_of(path)}".encode())
    return digest.hexdigest()[:32]


def _make(checkpoint: Path, folder: Path, report: Callable[..., Any]) -> None:
    """In a process of its own."""
    export_web(checkpoint, folder)
