"""What was taught, going elsewhere: to another machine as one zip, or into a training run as folders of photos."""

from __future__ import annotations

import hashlib
import io
import os
import re
import shutil
import tempfile
import zipfile
from pathlib import Path

from fruitvision.data.fetch.archive import unpack
from fruitvision.data.load.targets import NOT_FRUIT
from fruitvision.data.read.dataset import held_out
from fruitvision.data.read.picture import picture_size
from fruitvision.errors import DataError
from fruitvision.files import named_write_errors, retried, temporary_folder, write_bytes, write_error
from fruitvision.recognition.taught.store import (
    INDEX,
    MOST_PICTURES,
    PICTURES,
    SHORT_SIDE,
    TaughtIndex,
    TaughtStore,
    as_kept,
    clean_name,
    taught_full,
)
from fruitvision.recognition.taught_classes import NOTHING

MOST_INDEX_BYTES = 16 * 2**20
MOST_UNPACKED_BYTES = 2**30
MOST_PIXELS = 4 * SHORT_SIDE**2
"""Of a picture as it is kept: see :func:`fruitvision.data.read.picture.cap_short_side`."""
LONGEST_FOLDER = 120
"""Bytes of a folder's name; file systems take 255."""
_FORBIDDEN = re.compile(r'[\x00-\x1f\x7f<>:"/\\|?*]')
_RESERVED = re.compile(r"(CON|PRN|AUX|NUL|CONIN\$|CONOUT\$|(COM|LPT)[0-9¹²³])[ ]*(\..*)?", re.IGNORECASE)


def export_taught(store: TaughtStore, file: Path) -> None:
    """Write all that is taught as one zip, laid out as the folder is. Pictures that are gone are left out."""
    index = store.index()
    found = {one: _content(store, one) for own in index.names.values() for one in own}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:  # JPEG does not compress
        archive.writestr(INDEX, index.without({one for one in found if found[one] is None}).model_dump_json(indent=1))
        for picture, content in found.items():
            if content is not None:
                archive.writestr(f"{PICTURES}/{picture}.jpg", content)
    write_bytes(file, buffer.getvalue())


def import_taught(store: TaughtStore, file: Path) -> int:
    """Add what another machine exported; how many pictures it held. All of it, or nothing.

    Every entry is checked before it is unpacked, the number of pictures and the size of each before the first is decoded;
    each is decoded once, however often it is named, and written anew. Raises DownloadError for an archive that is damaged
    or unsafe, DataError "taught-no-export" for one that is something else and "taught-full", PictureError.
    """
    with temporary_folder("fruitvision-taught-") as temporary:
        folder = unpack(Path(file), temporary / "taught", max_files=MOST_PICTURES + 10, max_bytes=MOST_UNPACKED_BYTES)
        there = TaughtStore(folder)
        index = _exported_index(there, file)
        kept = {one: as_kept(there.picture_file(one))[1] for one in dict.fromkeys(_named(index))}
        taught: dict[str, dict[str, bytes]] = {}
        for name, own in index.names.items():
            # Under the ids that they had: what is here already is not added again.
            taught.setdefault(clean_name(name), {}).update((one, kept[one]) for one in own)
        store.add_all(taught)
    return len(kept)


def _exported_index(there: TaughtStore, file: Path) -> TaughtIndex:
    """The index of an unpacked export, when all that it names is known to be bounded; nothing is decoded."""
    try:
        if os.stat(there.folder / INDEX).st_size > MOST_INDEX_BYTES:
            raise _no_export(file)
        index = there.index()
    except (OSError, DataError) as error:
        raise _no_export(file) from error
    if index.pictures > MOST_PICTURES:
        raise taught_full()
    if not index.pictures or not all(index.names.values()):
        raise _no_export(file)
    for picture in set(_named(index)):
        width, height = picture_size(there.picture_file(picture))
        if width * height > MOST_PIXELS:
            raise _no_export(file)
    return index


def _named(index: TaughtIndex) -> list[str]:
    return [one for own in index.names.values() for one in own]


def class_folders(store: TaughtStore, root: Path) -> Path:
    """A folder under ``root`` with one folder of pictures for each name, as training reads photos.

    It is a copy: what is taught or taken back later does not change a run. What was taught to hold no fruit lies in
    ``not-fruit``. No file falls into the ``heldout`` fifth of a photo folder: all of them are there to be learned.
    """
    index = store.index()
    copy = root / f".taught-{hashlib.sha256(index.model_dump_json().encode()).hexdigest()[:12]}"
    if copy.is_dir():
        return copy
    with named_write_errors(copy):
        root.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(prefix=f"{copy.name}-", dir=root))  # two apps may make it at once, each its own
    try:
        _copy_pictures(store, index, beside)
        retried(lambda: os.replace(beside, copy))
    except OSError as error:
        if not copy.is_dir():  # otherwise another one was first
            raise write_error(error, copy) from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return copy


def _copy_pictures(store: TaughtStore, index: TaughtIndex, folder: Path) -> None:
    called: dict[str, str] = {}
    for name, pictures in index.names.items():
        name = NOT_FRUIT if name in NOTHING else name
        if name not in called:
            called[name] = folder_name(name, set(called.values()))
        for picture in pictures:
            content = _content(store, picture)
            if content is not None:
                file = next(one for n in range(1000) if not held_out(one := f"{picture}-{n}.jpg"))
                write_bytes(folder / called[name] / file, content)


def _content(store: TaughtStore, picture: str) -> bytes | None:
    """A picture's file; None where it is gone, perhaps taken back by another process this moment."""
    try:
        return store.picture_file(picture).read_bytes()
    except FileNotFoundError:
        return None


def folder_name(name: str, taken: set[str]) -> str:
    """As near to a kind's name as every file system allows, and different from those taken where capitals do not count."""
    safe = _FORBIDDEN.sub("_", name).strip(" .")
    while len(safe.encode("utf-8")) > LONGEST_FOLDER:
        safe = safe[:-1]
    safe = safe.rstrip(" .") or "_"
    if _RESERVED.fullmatch(safe):
        safe = f"_{safe}"
    folded = {one.casefold() for one in taken}
    while safe.casefold() in folded:
        safe += "_"
    return safe


def _no_export(file: Path) -> DataError:
    return DataError("taught-no-export", file=Path(file).name)
