"""The drop zone for an archive, a folder or files, which are uploaded in chunks, and resumed after a lost connection. Its script is
``drop.js``."""

from __future__ import annotations

import base64
import binascii
import threading
from pathlib import Path
from typing import Any

import gradio as gr

from fruitvision.data.fetch.archive import SUFFIXES
from fruitvision.data.fetch.uploads import LABELS, MAX_FILES, Uploads
from fruitvision.data.read.listing import list_pictures
from fruitvision.errors import DataError, Fault
from fruitvision.ui.page.background import Progress, Task
from fruitvision.ui.page.client.handlers import Payload, scripted_component, text
from fruitvision.ui.page.context import Context, Page
from fruitvision.wording.text import say_error

MAX_CHUNK_BYTES = 4 * 2**20
UNUSABLE = ("no-class-folders", "no-pictures", "splits-without-classes")
"""Faults of a folder that no setting mends."""
WORDS = (
    "title",
    "hint",
    "folder",
    "files_called",
    "no_folders",
    "nothing",
    "smaller",
    "sending",
    "again",
    "unpacking",
    "done",
    "done_not_yet",
    "stop",
    "stopped",
    "lost",
)


class DatasetUploads:
    """The uploads to the data folder, and the tasks that unpack them. Shared by all pages of an app."""

    def __init__(self, context: Context) -> None:
        self.incoming = Uploads(context.datasets.import_folder, context.dataset_limit, taken=(context.data.name,))
        self._finishing: dict[str, Task[tuple[Path, bool]]] = {}
        self._lock = threading.Lock()

    def drop_begin(self, context: Context, payload: Payload, language: str) -> dict[str, Any]:
        """Announce "files", as [path, bytes], for a folder called "called"; "came" is what was received in an earlier attempt."""
        files = payload.get("files")
        announced = [(one[0], one[1]) for one in files if _is_file(one)] if isinstance(files, list) else []
        if not announced or len(announced) != len(files or ()) or len(announced) > MAX_FILES:
            raise DataError("upload-mismatch")
        key, came = self.incoming.announce(text(payload, "called") or "_", announced)
        return {"key": key, "came": came}

    def drop_pieces(self, context: Context, payload: Payload, language: str) -> dict[str, Any]:
        """Write "pieces", as [index of the file, offset, base64], of the upload "key"."""
        pieces = payload.get("pieces")
        try:
            decoded = [(int(n), int(at), base64.b64decode(content, validate=True)) for n, at, content in pieces or ()]
        except (TypeError, ValueError, OverflowError, binascii.Error) as error:
            raise DataError("upload-mismatch") from error
        if sum(len(content) for _, _, content in decoded) > MAX_CHUNK_BYTES:
            raise DataError("upload-mismatch")
        self.incoming.add(text(payload, "key"), decoded)
        return {}

    def drop_finish(self, context: Context, payload: Payload, language: str) -> dict[str, Any]:
        """Turn the upload into a folder, in the background; repeated calls, also by other pages, start it only once.

        A folder in which no classes can be told apart is not kept: it would stay in the list, and could never be used.
        """
        key = text(payload, "key")
        with self._lock:
            task = self._finishing.get(key)
            if task is None or not task.busy and self.incoming.has(key):
                self._finishing[key] = Task(lambda progress: self._finish(key, progress), "drop")
        return {}

    def _finish(self, key: str, progress: Progress) -> tuple[Path, bool]:
        """The upload's folder, and whether it can be trained on as it is. Raises DataError "upload-unusable"."""
        ready = []

        def check(folder: Path, name: str) -> None:
            try:
                listing = list_pictures(folder)
                ready.append(len({file.folder for file in listing.files if file.split == "train"}) > 1)
            except DataError as error:
                if error.code in UNUSABLE:
                    raise DataError("upload-unusable", fault=Fault(error.code, **{**error.facts, "folder": f"“{name}”"})) from error
                ready.append(False)

        return self.incoming.finish(key, progress, check=check), all(ready)

    def drop_state(self, context: Context, payload: Payload, language: str) -> dict[str, Any]:
        """The progress of that; once it is finished, the dataset's id as "choice", and whether it is "ready" to be trained on."""
        task = self._finishing.get(text(payload, "key"))
        if task is None:
            raise DataError("upload-gone")
        if task.error:
            return {"error": say_error(task.error, language), "code": task.error["code"]}
        if task.busy or task.result is None:
            return {"done": task.done, "total": task.total}
        folder, ready = task.result
        context.datasets.latest = f"folder:{folder.name}"
        return {"choice": context.datasets.latest, "name": folder.name, "ready": ready}


def build_drop(page: Page) -> gr.HTML:
    """Build the drop zone. The script triggers a click event when a dataset is complete."""
    drops = DatasetUploads(page.context)
    handlers = (drops.drop_begin, drops.drop_pieces, drops.drop_finish, drops.drop_state)
    ends = {"archives": " ".join(SUFFIXES), "labels": " ".join(LABELS)}
    return scripted_component(page.context, "ui/train/pictures/drop.html", WORDS, handlers, elem_id="train-drop", prefix="drop", **ends)


def _is_file(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and isinstance(value[0], str) and len(value[0]) <= 4096 and isinstance(value[1], int)
