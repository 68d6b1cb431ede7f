"""What a person taught, as plain files: pictures by id, and one JSON that says which are of which name.

    taught.json                       {"version": 1, "names": {"Quince": ["0f3a…", …], …}}
    pictures/0f3a….jpg                upright RGB, short side at most 256 px; nothing of the file that was given is kept
    features/<network>/0f3a….npy      what a network saw in it: can be thrown away, and is made again

A name is data and never becomes a path. An id is the SHA-256 of a picture's pixels: the same picture taught twice is
one, and taught under another name it moves there. Two processes may write at once; whoever reads needs no lock.
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
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import filelock
import numpy as np
from PIL import Image
from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError

from fruitvision.data.read.picture import PictureSource, load_pixels
from fruitvision.errors import DataError
from fruitvision.files import retried, sweep, write_bytes, write_error, write_text

SHORT_SIDE = 256
QUALITY = 92
MOST_PICTURES = 20_000
LONGEST_NAME = 100
WAIT_SECONDS = 10.0
INDEX, PICTURES, FEATURES = "taught.json", "pictures", "features"

PictureId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]


class TaughtIndex(BaseModel):
    """What ``taught.json`` holds: the ids of each name's pictures, in the order in which they were taught."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    version: int = 1
    names: dict[str, tuple[PictureId, ...]] = {}

    @property
    def pictures(self) -> int:
        """How many there are, of all names."""
        return sum(map(len, self.names.values()))

    def without(self, ids: set[str]) -> TaughtIndex:
        """The same without some pictures, and without the names that then have none."""
        kept = {name: tuple(one for one in own if one not in ids) for name, own in self.names.items()}
        return TaughtIndex(names={name: own for name, own in kept.items() if own})

    def adding(self, taught: Mapping[str, Iterable[str]]) -> TaughtIndex:
        """The same with pictures added to names, and taken from any other that had them.

        A name that is there already is the same where it differs in capitals alone.
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


class TaughtStore:
    """The folder of taught pictures. It need not exist: the first picture makes it."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self._lock = filelock.FileLock(self.folder / ".lock", thread_local=False)
        self._threads = threading.RLock()
        self._seen: tuple[tuple[int, ...], TaughtIndex] | None = None

    def index(self) -> TaughtIndex:
        """The names and their pictures, read anew where the file has changed.

        Raises DataError "taught-damaged" where it cannot be read as what it should be.
        """
        path = self.folder / INDEX
        try:
            info = os.stat(path)
            stamp = (info.st_mtime_ns, info.st_size, info.st_ino)
            if self._seen is None or self._seen[0] != stamp:
                self._seen = stamp, TaughtIndex.model_validate_json(retried(path.read_bytes))
            return self._seen[1]
        except FileNotFoundError:
            return TaughtIndex()
        except (OSError, ValidationError) as error:
            raise DataError("taught-damaged", path=str(path)) from error

    def pixels(self, picture: str) -> np.ndarray:
        """(H, W, 3) uint8 of one picture. Raises PictureError where its file is gone or damaged."""
        return load_pixels(self.picture_file(picture), SHORT_SIDE)

    # Teaching and taking back -------------------------------------------------------------------------------------

    def add(self, name: str, *images: PictureSource) -> list[str]:
        """Teach pictures of a name; their ids. All of them, or none.

        Raises PictureError for one that cannot be read, DataError "taught-name-empty", "taught-full", "taught-damaged",
        "taught-busy", or where nothing can be written.
        """
        files = dict(as_kept(image) for image in images)
        self.add_all({clean_name(name): files})
        return list(files)

    def add_all(self, taught: Mapping[str, Mapping[str, bytes]]) -> None:
        """Add files as :func:`as_kept` makes them, by id, to names as :func:`clean_name` makes them: in one step."""
        with self._writing():
            index = self.index().adding(taught)
            if index.pictures > MOST_PICTURES:
                raise taught_full()
            for picture, content in (pair for files in taught.values() for pair in files.items()):
                if not self.picture_file(picture).is_file():
                    write_bytes(self.picture_file(picture), content)
            self._write(index)

    def remove_picture(self, picture: str) -> None:
        """Take one picture back, and its name where it was the last. One that is not there is gone already."""
        with self._writing():
            self._write(self.index().without({picture}))
            self._forget()

    def remove_name(self, name: str) -> None:
        """Take a name back with all its pictures."""
        with self._writing():
            index = self.index()
            self._write(TaughtIndex(names={other: own for other, own in index.names.items() if other != name}))
            self._forget()

    def clear(self) -> None:
        """Start over: nothing is taught any more, whatever state the folder is in. A damaged index is kept beside."""
        with self._writing():
            try:
                self.index()
            except DataError:
                beside = self.folder / f"taught-damaged-{time.strftime('%Y%m%d-%H%M%S')}.json"
                retried(lambda: os.replace(self.folder / INDEX, beside))
                self._write(TaughtIndex())
                return
            self._write(TaughtIndex())
            self._forget()

    # Files --------------------------------------------------------------------------------------------------------

    def features_file(self, picture: str, network: str) -> Path:
        """Where what a network saw in a picture is kept; ``network`` is its fingerprint, in hexadecimal."""
        return self.folder / FEATURES / network[:16] / f"{picture}.npy"

    def picture_file(self, picture: str) -> Path:
        """Where a picture is kept, whether it is there or not."""
        return self.folder / PICTURES / f"{picture}.jpg"

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """One writer at a time, of all threads and processes."""
        with self._threads:
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
                with self._lock.acquire(timeout=WAIT_SECONDS):
                    self._seen = None  # what another process wrote a moment ago may bear the same time and size
                    yield
            except filelock.Timeout:
                raise DataError("taught-busy", path=str(self.folder)) from None
            except OSError as error:
                raise write_error(error, self.folder) from error

    def _write(self, index: TaughtIndex) -> None:
        write_text(self.folder / INDEX, index.model_dump_json(indent=1) + "\n")

    def _forget(self) -> None:
        """Remove the files of pictures that no name has, and what killed processes left half written; nothing through a link."""
        kept = {one for own in self.index().names.values() for one in own}
        for path in [*self.folder.glob(f"{PICTURES}/*.jpg"), *self.folder.glob(f"{FEATURES}/*/*.npy")]:
            if path.stem not in kept and re.fullmatch("[0-9a-f]{32}", path.stem) and not _through_link(path, self.folder):
                path.unlink(missing_ok=True)
        if not (self.folder / PICTURES).is_symlink():
            sweep(self.folder / PICTURES)


def _through_link(path: Path, folder: Path) -> bool:
    """Whether a folder on the way from ``folder``, which may be one, is a link."""
    return any(one.is_symlink() for one in path.parents if one != folder and folder in one.parents)


def clean_name(name: str) -> str:
    """A name as it is kept: composed letters, no control characters, single spaces, at most 100 characters.

    Raises DataError "taught-name-empty" where nothing is left.
    """
    printable = "".join(" " if unicodedata.category(c) in ("Cc", "Zl", "Zp", "Cs") else c for c in str(name))
    name = " ".join(unicodedata.normalize("NFC", printable).split())[:LONGEST_NAME].rstrip()
    if not name:
        raise DataError("taught-name-empty")
    return name


def taught_full() -> DataError:
    """More pictures than can be taught."""
    return DataError("taught-full", limit=MOST_PICTURES)


def as_kept(image: PictureSource) -> tuple[str, bytes]:
    """A picture's id, and the file in which it is kept. Raises PictureError where it cannot be read."""
    pixels = load_pixels(image, SHORT_SIDE)
    digest = hashlib.sha256(repr(pixels.shape).encode() + np.ascontiguousarray(pixels).tobytes())
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=QUALITY, subsampling=0)
    return digest.hexdigest()[:32], buffer.getvalue()
