"""Decoded pictures on disk: memory-mapped files of uint8 pixels, and an index of their positions.

A store is a folder of ``pixels-<n>.bin`` and an ``index.npz``, which is written last: a folder without it is incomplete. ``store.py``
finds, builds and removes stores.
"""

from __future__ import annotations

import contextlib
import json
import os
import weakref
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fruitvision.data.read.dataset import Problem
from fruitvision.data.read.decoding import NEEDS_PACKAGE, DecodedPicture, DecodeFailure, Outcome
from fruitvision.data.read.formats.heif import can_read
from fruitvision.data.read.layouts.found import PictureEntry, fault_of_json
from fruitvision.data.read.layouts.scan import long_path
from fruitvision.errors import DataError

if os.name == "nt":
    fcntl: Any = None
else:
    import fcntl

INDEX = "index.npz"


class ImageStore:
    """The decoded pictures of one folder, read from disk on access.

    Attributes:
        path: the store's own folder.
        paths: the path of each row's file, relative to the folder of pictures.
        shapes: (N, 2) int32, the height and width of each row.
        hashes: the SHA-256 of each row's file, in hexadecimal.

    It pickles as its path, so that a spawned process maps the same files. Returned arrays are read-only. Pixels are checked against
    their checksum when first read; if they differ, DataError "store-damaged" is raised and the store's index is removed, so that the
    store is rebuilt when the folder of pictures is opened again. While such an object exists in any process, the store is in use: see
    :func:`unused`.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._release: Callable[[], object] = lambda: None
        try:
            self._release = _mark_used(self, self.path / INDEX)
            with (self.path / INDEX).open("rb") as stream, np.load(stream, allow_pickle=False) as index:
                facts = json.loads(bytes(index["facts"]))
                self.shapes: np.ndarray = index["shapes"]
                self._parts: np.ndarray = index["parts"]
                self._offsets: np.ndarray = index["offsets"]
                self._stamps: np.ndarray = index["stamps"]
                self._sums: list[int] = index["sums"].tolist()
            self.paths: list[str] = facts["paths"]
            self.hashes: list[str] = facts["hashes"]
            self._undecoded: dict[str, list] = facts["undecoded"]
            self._pixels = [_map(self.path / f"pixels-{n}.bin", size) for n, size in enumerate(facts["sizes"])]
        except FileNotFoundError as error:
            self._release()
            raise DataError("store-missing", folder=str(self.path)) from error
        except Exception as error:  # numpy and zipfile raise a dozen unrelated exceptions on damage
            self._release()
            raise self._damaged() from error
        self._verified = bytearray(len(self.paths))

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, row: int) -> np.ndarray:
        """The pixels of one row: (H, W, 3) uint8, a read-only view of the file."""
        height, width = self.shapes[row].tolist()
        start = int(self._offsets[row])
        pixels = self._pixels[self._parts[row]][start : start + height * width * 3]
        if not self._verified[row]:
            if zlib.crc32(pixels) != self._sums[row]:
                self._release()  # Windows cannot delete an open file
                with contextlib.suppress(OSError):  # the cache is read-only, or another process on Windows is reading the file
                    (self.path / INDEX).unlink(missing_ok=True)
                raise self._damaged()
            self._verified[row] = 1
        return pixels.reshape(height, width, 3)

    def _damaged(self) -> DataError:
        return DataError("store-damaged", folder=str(self.path))

    def take(self, rows: Sequence[int] | np.ndarray) -> np.ndarray:
        """A copy of rows of equal size: (B, H, W, 3) uint8."""
        rows = np.asarray(rows, dtype=np.int64)
        shapes = self.shapes[rows]
        if len(rows) and (shapes != shapes[0]).any():
            raise ValueError("pictures of different sizes cannot be one array")
        batch = np.empty((len(rows), *(shapes[0] if len(rows) else (0, 0)), 3), dtype=np.uint8)
        for i, row in enumerate(rows):
            batch[i] = self[row]
        return batch

    def problems(self) -> list[Problem]:
        """The files that could not be decoded."""
        return [Problem(path, kind, fault_of_json(fault)) for path, (_, _, kind, fault) in self._undecoded.items()]

    def can_be_completed(self, root: Path) -> bool:
        """Whether a file that could not be read may be readable now: changed permissions or newly installed packages do not change
        its modification time."""
        if any(kind in NEEDS_PACKAGE and can_read(kind) for _, _, kind, _ in self._undecoded.values()):
            return True
        unreadable = [path for path, (_, _, kind, _) in self._undecoded.items() if kind == "unreadable"]
        return any(os.access(long_path(root / path), os.R_OK) for path in unreadable)

    def __reduce__(self):
        return ImageStore, (self.path,)

    def known(self) -> dict[tuple[str, int, int], int | DecodeFailure]:
        """(path, size, modification time) of every file → its row, or why it has none."""
        rows = {(p, *stamp): row for row, (p, stamp) in enumerate(zip(self.paths, self._stamps.tolist(), strict=True))}
        return rows | {
            (path, size, mtime): DecodeFailure(kind, fault_of_json(fault)) for path, (size, mtime, kind, fault) in self._undecoded.items()
        }


def write_index(folder: Path, files: Sequence[PictureEntry], outcomes: Sequence[Outcome], parts: Sequence[Path]) -> None:
    """Write the index of a store whose pixels are written; afterwards it can be opened.

    Args:
        outcomes: the result for each file; offsets refer to ``parts``, the store's pixel files in order.
    """
    good = [(file, outcome) for file, outcome in zip(files, outcomes, strict=True) if isinstance(outcome, DecodedPicture)]
    facts = {
        "paths": [file.path for file, _ in good],
        "hashes": [outcome.sha256 for _, outcome in good],
        "sizes": [part.stat().st_size for part in parts],
        "undecoded": {
            file.path: [file.size, file.mtime_ns, *outcome]
            for file, outcome in zip(files, outcomes, strict=True)
            if isinstance(outcome, DecodeFailure)
        },
    }
    beside = folder / "index.partial"
    with beside.open("wb") as stream:
        np.savez(
            stream,
            facts=np.frombuffer(json.dumps(facts).encode(), dtype=np.uint8),
            shapes=np.array([(o.height, o.width) for _, o in good], dtype=np.int32).reshape(-1, 2),
            parts=np.array([o.part for _, o in good], dtype=np.int16),
            sums=np.array([o.crc32 for _, o in good], dtype=np.uint32),
            offsets=np.array([o.offset for _, o in good], dtype=np.int64),
            stamps=np.array([(f.size, f.mtime_ns) for f, _ in good], dtype=np.int64).reshape(-1, 2),
        )
    os.replace(beside, folder / INDEX)


def _mark_used(store: ImageStore, index: Path) -> Callable[[], object]:
    """Mark a store as in use until the object is garbage collected or the returned function is called.

    This takes a shared lock on the index, which the system releases when the process dies and which forked processes keep; on Windows
    an open file is enough. Raises FileNotFoundError if the store is being removed.
    """
    handle = os.open(index, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    release = weakref.finalize(store, os.close, handle)
    if fcntl is not None:
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            release()
            raise FileNotFoundError(f"{index} is being removed") from None
        except OSError:
            return release  # a file system without locks
        if not os.fstat(handle).st_nlink:
            release()
            raise FileNotFoundError(f"{index} was removed")
    return release


@contextlib.contextmanager
def unused(folder: Path) -> Iterator[bool]:
    """Context manager: whether no :class:`ImageStore` of this folder exists in any process; none can be opened within it.

    On Windows this only shows when the index is deleted, which fails while the file is open.
    """
    try:
        handle = os.open(folder / INDEX, os.O_RDWR) if fcntl is not None else None
    except FileNotFoundError:
        handle = None  # the store is incomplete or damaged
    if handle is None:
        yield True
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        free = True
    except BlockingIOError:
        free = False
    except OSError:
        free = True  # a file system without locks
    try:
        yield free
    finally:
        os.close(handle)


def _map(path: Path, size: int) -> np.ndarray:
    """Memory-map a file. Raises ValueError if its size differs from ``size``, as after a crash."""
    if path.stat().st_size != size:
        raise ValueError(f"{path.name} has not the {size} bytes that were written")
    return np.memmap(path, dtype=np.uint8, mode="r").view(np.ndarray) if size else np.empty(0, dtype=np.uint8)
