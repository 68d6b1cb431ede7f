"""The taught pictures as plain files: pictures by id, and a JSON file with the ids of each name.

    taught.json                       {"version": 1, "names": {"Quince": ["0f3a…", …], …}}
    pictures/0f3a….jpg                upright RGB, short side at most 256 px; nothing of the file that was given is kept
    features/<network>/0f3a….npy      its embedding by a network: a cache

A name is data and never becomes a path. An id is the SHA-256 of a picture's pixels: the same picture taught twice is stored
once, and taught under another name it moves there. Several processes may write; reading needs no lock.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import threading
import time
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, NamedTuple

import filelock
import numpy as np
from PIL import Image
from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError

from fruitvision.data.read.picture import PictureSource, load_pixels
from fruitvision.data.read.rgb import SHORT_SIDE
from fruitvision.errors import DataError
from fruitvision.files import nfc, remove_leftovers, retry, write_bytes, write_error, write_text

QUALITY = 92
MAX_PICTURES = 20_000
MAX_NAME_LENGTH = 100
MAX_TYPED = 100 * MAX_NAME_LENGTH
"""Letters of a given name that are looked at."""
WAIT_SECONDS = 10.0
INDEX, PICTURES, FEATURES = "taught.json", "pictures", "features"

PictureId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
Name = Annotated[str, StringConstraints(max_length=MAX_NAME_LENGTH)]


class TaughtIndex(BaseModel):
    """The content of ``taught.json``: the ids of each name's pictures, in the order in which they were taught."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    version: int = 1
    names: dict[Name, tuple[PictureId, ...]] = {}

    @property
    def pictures(self) -> int:
        """The number of pictures of all names."""
        return sum(map(len, self.names.values()))

    def new(self, name: str, ids: Iterable[str]) -> int:
        """The number of these pictures that a name, ignoring case, does not have yet."""
        known = {one for own, pictures in self.names.items() if own.casefold() == name.casefold() for one in pictures}
        return len({*ids} - known)

    def name_of(self, picture: str) -> str:
        """The name that has a picture; empty if none has."""
        return next((name for name, own in self.names.items() if picture in own), "")

    def without(self, ids: set[str]) -> TaughtIndex:
        """A copy without some pictures, and without the names that then have none."""
        kept = {name: tuple(one for one in own if one not in ids) for name, own in self.names.items()}
        return TaughtIndex(names={name: own for name, own in kept.items() if own})

    def adding(self, taught: Mapping[str, Iterable[str]]) -> TaughtIndex:
        """A copy with pictures added to names, and removed from any other name that had them.

        Names that differ only in case are the same.
        """
        names = {name: dict.fromkeys(own) for name, own in self.names.items()}
        known = {name.casefold(): name for name in reversed(names)}
        name_of = {one: name for name, own in names.items() for one in own}
        for name, ids in taught.items():
            name = known.setdefault(name.casefold(), name)
            for one in ids:
                if name_of.get(one, name) != name:
                    del names[name_of[one]][one]
                names.setdefault(name, {})[one] = None
                name_of[one] = name
        return TaughtIndex(names={name: tuple(own) for name, own in names.items() if own})


class Removed(NamedTuple):
    """What :meth:`TaughtStore.remove` removed."""

    pictures: tuple[str, ...]
    files: dict[str, bytes]
    """The content of the files by id, to undo the removal."""


class TaughtStore:
    """The folder of taught pictures. It need not exist: the first picture creates it."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self._lock = filelock.FileLock(self.folder / ".lock", thread_local=False)
        self._threads = threading.RLock()
        self._cached: tuple[tuple[int, ...], TaughtIndex] | None = None

    def index(self) -> TaughtIndex:
        """The names and their pictures; read again when the file has changed.

        Raises DataError "taught-damaged" if it cannot be read.
        """
        path = self.folder / INDEX
        try:
            info = os.stat(path)
            stamp = (info.st_mtime_ns, info.st_size, info.st_ino)
            cached = self._cached  # another thread may drop it at any moment
            if cached is None or cached[0] != stamp:
                cached = self._cached = stamp, TaughtIndex.model_validate_json(retry(path.read_bytes))
            return cached[1]
        except FileNotFoundError:
            return TaughtIndex()
        except (OSError, ValidationError) as error:
            raise DataError("taught-damaged", path=str(path)) from error

    def pixels(self, picture: str) -> np.ndarray:
        """The pixels (H, W, 3) uint8 of one picture. Raises PictureError if its file is missing or damaged."""
        return load_pixels(self.picture_file(picture), SHORT_SIDE)

    # Adding and removing ------------------------------------------------------------------------------------------

    def add(self, name: str, *images: PictureSource) -> list[str]:
        """Teach pictures of a name, all of them or none; returns their ids.

        Raises PictureError for one that cannot be read, DataError "taught-name-empty", "taught-full", "taught-damaged",
        "taught-busy", or if the disk is full or not writable.
        """
        files = dict(encoded(image) for image in images)
        self.add_all({clean_name(name): files})
        return list(files)

    def add_all(self, taught: Mapping[str, Mapping[str, bytes | Path]]) -> None:
        """Add files by id, as :func:`encoded` returns them, to names as :func:`clean_name` returns them: all or none.

        Many pictures are given as paths, which are read one by one; a missing file is left out.
        """
        with self._writing():
            self._add(taught)

    def put_back(self, removed: Mapping[str, Mapping[str, bytes]]) -> int:
        """Undo :meth:`remove`, except for pictures that a name has again by now; returns the number of pictures added."""
        with self._writing():
            known = {one for own in self.index().names.values() for one in own}
            gone = {name: {one: file for one, file in files.items() if one not in known} for name, files in removed.items()}
            self._add({name: files for name, files in gone.items() if files})
            return sum(map(len, gone.values()))

    def remove(self, name: str, pictures: Iterable[str], max_bytes: int) -> Removed:
        """Remove pictures of a name, and the name with its last one; returns what was removed.

        The result includes the readable files, unless they have more than ``max_bytes`` in total.
        """
        with self._writing():
            wanted = set(pictures)
            gone = tuple(one for one in self.index().names.get(name, ()) if one in wanted)
            if not gone:
                return Removed((), {})
            files = self._files(gone, max_bytes)
            self._write(self.index().without({*gone}))
            self._clean_up()
            return Removed(gone, files)

    def undo_add(self, name: str, pictures: Mapping[str, str]) -> int:
        """Undo :meth:`add`: remove pictures of a name, or move them back to the former name given for them; returns their number.

        ``pictures``: the former name by id, empty for a picture that had none. Those that ``name`` no longer has are ignored.
        """
        with self._writing():
            index, back = self.index(), dict[str, list[str]]()
            own = {one: former for one, former in pictures.items() if one in index.names.get(name, ())}
            for one, former in own.items():
                if former:
                    back.setdefault(clean_name(former), []).append(one)
            if own:
                self._write(index.adding(back).without({one for one, former in own.items() if not former}))
                self._clean_up()
            return len(own)

    def remove_picture(self, picture: str) -> None:
        """Remove a picture, and its name if it was the last one. A picture that does not exist is ignored."""
        with self._writing():
            self._write(self.index().without({picture}))
            self._clean_up()

    def remove_name(self, name: str) -> None:
        """Remove a name with all its pictures."""
        with self._writing():
            index = self.index()
            self._write(TaughtIndex(names={other: own for other, own in index.names.items() if other != name}))
            self._clean_up()

    def rename(self, name: str, to: str) -> str:
        """Rename a name in place, or merge it into an existing one; returns the new name.

        Raises DataError "taught-name-empty".
        """
        to = clean_name(to)
        with self._writing():
            names = self.index().names
            if name in names and to != name:
                if any(other.casefold() == to.casefold() for other in names if other != name):
                    self._write(self.index().adding({to: names[name]}))
                else:
                    self._write(TaughtIndex(names={to if other == name else other: own for other, own in names.items()}))
        return to

    def clear(self) -> None:
        """Remove everything, even if the folder is damaged. A damaged index is renamed and kept."""
        with self._writing():
            try:
                self.index()
            except DataError:
                beside = self.folder / f"taught-damaged-{time.strftime('%Y%m%d-%H%M%S')}.json"
                retry(lambda: os.replace(self.folder / INDEX, beside))
                self._write(TaughtIndex())
                return
            self._write(TaughtIndex())
            self._clean_up()

    # Files --------------------------------------------------------------------------------------------------------

    def features_file(self, picture: str, network: str) -> Path:
        """The path of a picture's embedding; ``network`` is the network's fingerprint, in hexadecimal."""
        return self.folder / FEATURES / network[:16] / f"{picture}.npy"

    def picture_file(self, picture: str) -> Path:
        """The path of a picture, whether it exists or not."""
        return self.folder / PICTURES / f"{picture}.jpg"

    def _add(self, taught: Mapping[str, Mapping[str, bytes | Path]]) -> None:
        index, gone = self.index().adding(taught), set[str]()
        if index.pictures > MAX_PICTURES:
            raise DataError("taught-full", limit=MAX_PICTURES)
        for picture, content in (pair for files in taught.values() for pair in files.items()):
            if not self.picture_file(picture).is_file():
                try:
                    read = content.read_bytes() if isinstance(content, Path) else content
                except FileNotFoundError:
                    gone.add(picture)
                else:
                    write_bytes(self.picture_file(picture), read)
        self._write(index.without(gone) if gone else index)

    def _files(self, pictures: Iterable[str], max_bytes: int) -> dict[str, bytes]:
        files, left = dict[str, bytes](), max_bytes
        for picture in pictures:
            with suppress(OSError):
                files[picture] = self.picture_file(picture).read_bytes()
                left -= len(files[picture])
            if left < 0:
                return {}
        return files

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """A lock for writing, among all threads and processes."""
        with self._threads:
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
                with self._lock.acquire(timeout=WAIT_SECONDS):
                    self._cached = None  # a change by another process may have the same time and size
                    yield
            except filelock.Timeout:
                raise DataError("taught-busy", path=str(self.folder)) from None
            except OSError as error:
                raise write_error(error, self.folder) from error

    def _write(self, index: TaughtIndex) -> None:
        write_text(self.folder / INDEX, index.model_dump_json(indent=1) + "\n")

    def _clean_up(self) -> None:
        """Remove files of pictures without a name, and partial files of killed processes; never follows links."""
        kept = {one for own in self.index().names.values() for one in own}
        for path in [*self.folder.glob(f"{PICTURES}/*.jpg"), *self.folder.glob(f"{FEATURES}/*/*.npy")]:
            if path.stem not in kept and re.fullmatch("[0-9a-f]{32}", path.stem) and not _through_link(path, self.folder):
                path.unlink(missing_ok=True)
        if not (self.folder / PICTURES).is_symlink():
            remove_leftovers(self.folder / PICTURES)


def _through_link(path: Path, folder: Path) -> bool:
    """Whether a folder below ``folder`` on the way to ``path`` is a link; ``folder`` itself may be one."""
    return any(one.is_symlink() for one in path.parents if one != folder and folder in one.parents)


def clean_name(name: str) -> str:
    """A name as it is stored: NFC, no control characters, single spaces, at most 100 characters.

    Raises DataError "taught-name-empty" if nothing is left.
    """
    printable = "".join(" " if unicodedata.category(c) in ("Cc", "Zl", "Zp", "Cs") else c for c in str(name)[:MAX_TYPED])
    name = " ".join(nfc(printable).split())[:MAX_NAME_LENGTH].rstrip()
    if not name:
        raise DataError("taught-name-empty")
    return name


def encoded(image: PictureSource) -> tuple[str, bytes]:
    """A picture's id, and the content of its file. Raises PictureError if it cannot be read."""
    pixels = load_pixels(image, SHORT_SIDE)
    digest = hashlib.sha256(repr(pixels.shape).encode() + np.ascontiguousarray(pixels).tobytes())
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=QUALITY, subsampling=0)
    return digest.hexdigest()[:32], buffer.getvalue()
