"""Export and import of the taught pictures: as a zip file for another machine, or as folders of photos for training."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import tempfile
import threading
import zipfile
from pathlib import Path

from fruitvision.data.fetch.archive import unpack
from fruitvision.data.fruits import NO_FRUIT_NAMES, NOT_FRUIT
from fruitvision.data.read.dataset import held_out
from fruitvision.data.read.layouts.names import split_of
from fruitvision.data.read.listing import list_pictures
from fruitvision.data.read.picture import MAX_PIXELS as MAX_DECODED_PIXELS
from fruitvision.data.read.picture import picture_size
from fruitvision.data.read.rgb import SHORT_SIDE
from fruitvision.errors import DataError, DownloadError, PictureError
from fruitvision.files import (
    free_folder,
    named_write_errors,
    replace_folder,
    retry,
    safe_name,
    temporary_folder,
    write_bytes,
    write_error,
)
from fruitvision.recognition.taught.store import (
    INDEX,
    MAX_PICTURES,
    PICTURES,
    TaughtIndex,
    TaughtStore,
    clean_name,
    encoded,
)

MAX_INDEX_BYTES = 16 * 2**20
MAX_UNPACKED_BYTES = 2**30
MAX_PIXELS = 4 * SHORT_SIDE**2
"""The limit for a stored picture, see :func:`fruitvision.data.read.picture.cap_short_side`."""
MAX_ALL_PIXELS = MAX_PICTURES * 2**20
"""The limit for all pictures of class folders, which may have any size; they take some minutes to decode."""


def export_taught(store: TaughtStore, file: Path) -> None:
    """Write everything that is taught to a zip file with the layout of the folder. Missing pictures are left out."""
    index = store.index()
    found = {one: _content(store, one) for own in index.names.values() for one in own}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:  # not compressed, since JPEG is
        archive.writestr(INDEX, index.without({one for one in found if found[one] is None}).model_dump_json(indent=1))
        for picture, content in found.items():
            if content is not None:
                archive.writestr(f"{PICTURES}/{picture}.jpg", content)
    write_bytes(file, buffer.getvalue())


def import_taught(store: TaughtStore, file: Path) -> int:
    """Add the pictures of an export, all or none; returns their number.

    An archive of class folders and a Teachable Machine project are supported as well: each class is taught with its pictures. Every
    entry is checked before it is unpacked, and the number of pictures and the size of each before the first is decoded;
    each is decoded once, however often it is listed, and encoded again. Raises DownloadError for an archive that is damaged
    or unsafe, or of more than ``MAX_UNPACKED_BYTES``, unpacked or encoded again; DataError "taught-no-export" for another file, and
    "taught-full", PictureError.
    """
    with temporary_folder("fruitvision-taught-") as temporary:
        folder = unpack(Path(file), temporary / "taught", max_files=MAX_PICTURES + 10, max_bytes=MAX_UNPACKED_BYTES)
        exported = TaughtStore(folder)
        if not (folder / INDEX).exists():
            return _import_classes(store, folder, file, _Encoded(temporary / "again", file))
        index = _exported_index(exported, file)
        again = _Encoded(temporary / "again", file)
        for one in dict.fromkeys(_named(index)):
            again.add(exported.picture_file(one), one)
        taught: dict[str, dict[str, Path]] = {}
        for name, own in index.names.items():
            # Under their exported ids, so that existing pictures are not added again.
            taught.setdefault(clean_name(name), {}).update((one, again.files[one]) for one in own)
        store.add_all(taught)
    return len(again.files)


class _Encoded:
    """Re-encodes pictures to files, within the size limit of an export."""

    def __init__(self, folder: Path, archive: Path) -> None:
        folder.mkdir()
        self._folder, self._archive = folder, archive
        self._bytes = 0
        self.files: dict[str, Path] = {}
        """By id."""

    def add(self, picture: Path, name: str = "") -> str:
        """Add a picture; returns its id, which is ``name`` if that is given. Raises PictureError, DownloadError."""
        found, content = encoded(picture)
        name = name or found
        if name not in self.files:
            self._bytes += len(content)
            if self._bytes > MAX_UNPACKED_BYTES:
                raise DownloadError("archive-too-large", file=Path(self._archive).name, files=len(self.files) + 1, bytes=self._bytes)
            self.files[name] = self._folder / f"{name}.jpg"
            self.files[name].write_bytes(content)
        return name


def _import_classes(store: TaughtStore, folder: Path, file: Path, again: _Encoded) -> int:
    """Add the pictures of class folders, or of what labels name, each class as a name."""
    try:
        listing = list_pictures(folder, need_training=False)
    except DataError as error:
        raise _no_export(file) from error
    found = [(listing.root / one.path, clean_name(one.folder)) for one in listing.files]
    if len(found) > MAX_PICTURES:
        raise DataError("taught-full", limit=MAX_PICTURES)
    pixels = 0
    for picture, _ in found:
        pixels += _decoded_pixels(picture)
        if pixels > MAX_ALL_PIXELS:
            raise DownloadError("archive-too-large", file=Path(file).name, files=len(found), bytes=3 * pixels)
    taught: dict[str, dict[str, Path]] = {}
    for picture, name in found:
        one = again.add(picture)
        taught.setdefault(name, {})[one] = again.files[one]
    store.add_all(taught)
    return sum(map(len, taught.values()))


def _decoded_pixels(picture: Path) -> int:
    try:
        width, height = picture_size(picture)
    except PictureError:  # decoded at an eighth of its size, or rejected later
        return MAX_DECODED_PIXELS
    return width * height


def _exported_index(exported: TaughtStore, file: Path) -> TaughtIndex:
    """The index of an unpacked export, after its size and those of its pictures are checked; nothing is decoded."""
    try:
        if os.stat(exported.folder / INDEX).st_size > MAX_INDEX_BYTES:
            raise _no_export(file)
        index = exported.index()
    except (OSError, DataError) as error:
        raise _no_export(file) from error
    if index.pictures > MAX_PICTURES:
        raise DataError("taught-full", limit=MAX_PICTURES)
    if not index.pictures or not all(index.names.values()):
        raise _no_export(file)
    for picture in set(_named(index)):
        width, height = picture_size(exported.picture_file(picture))
        if width * height > MAX_PIXELS:
            raise _no_export(file)
    return index


def _named(index: TaughtIndex) -> list[str]:
    return [one for own in index.names.values() for one in own]


def class_folders(store: TaughtStore, root: Path) -> Path:
    """Write the taught pictures to a new folder under ``root`` with one folder per name, in the layout of photos for training.

    It is a copy: later changes do not affect a run. Pictures taught as without fruit are in ``not-fruit``. The file names are chosen
    so that none is in the ``heldout`` fifth of a photo folder: all are for training.
    """
    index = store.index()
    copy = root / f".taught-{hashlib.sha256(index.model_dump_json().encode()).hexdigest()[:12]}"
    if copy.is_dir():
        return copy
    with named_write_errors(copy):
        root.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(prefix=f"{copy.name}-", dir=root))  # two apps may create it at once
    try:
        _copy_pictures(store, index, beside)
        retry(lambda: os.replace(beside, copy))
    except OSError as error:
        if not copy.is_dir():  # otherwise another process has created it
            raise write_error(error, copy) from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return copy


_COLLECTING = threading.Lock()
COLLECTED = ".collected"
"""The file that marks a folder written by :func:`write_collected`."""


def write_collected(store: TaughtStore, folder: Path) -> Path:
    """Write the pictures of ``store`` as a dataset: ``folder`` with one folder of pictures for each name, replaced whole.

    Returns the folder: one with a number beside it where something else has that name. Raises DataError.
    """
    folder = free_folder(folder, lambda one: not os.path.lexists(one) or (one / COLLECTED).is_file())
    with named_write_errors(folder), _COLLECTING:  # otherwise two pages would replace each other's folder
        folder.parent.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        try:
            _copy_pictures(store, store.index(), beside)
            write_bytes(beside / COLLECTED, b"")
            beside.chmod(0o755)  # mkdtemp makes it private
            replace_folder(beside, folder)
        finally:
            shutil.rmtree(beside, ignore_errors=True)
    return folder


def add_taught(store: TaughtStore, to: TaughtStore) -> int:
    """Add the pictures of one store to another; returns their number. Raises DataError."""
    index = store.index()
    to.add_all({name: {one: store.picture_file(one) for one in own} for name, own in index.names.items()})
    return index.pictures


def _copy_pictures(store: TaughtStore, index: TaughtIndex, folder: Path) -> None:
    called: dict[str, str] = {}
    for name, pictures in index.names.items():
        name = NOT_FRUIT if name in NO_FRUIT_NAMES else name
        if name not in called:
            called[name] = folder_name(name, set(called.values()))
        for picture in pictures:
            content = _content(store, picture)
            if content is not None:
                file = next(one for n in range(1000) if not held_out(one := f"{picture}-{n}.jpg"))
                write_bytes(folder / called[name] / file, content)


def _content(store: TaughtStore, picture: str) -> bytes | None:
    """The content of a picture's file; None if it does not exist, for example because another process removed it."""
    try:
        return store.picture_file(picture).read_bytes()
    except FileNotFoundError:
        return None


def folder_name(name: str, taken: set[str]) -> str:
    """A folder name valid on every file system, close to ``name``, not a split's, and different from those taken, ignoring case."""
    safe, folded = safe_name(name), {one.casefold() for one in taken}
    while safe.casefold() in folded or split_of(safe):
        safe += "_"
    return safe


def _no_export(file: Path) -> DataError:
    return DataError("taught-no-export", file=Path(file).name)
