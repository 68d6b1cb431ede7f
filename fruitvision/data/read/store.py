"""Image stores in the user's cache folder, so that each picture of a folder is decoded only once.

They are in ``stores/<format>-<root>/<listing>-<random>/``. ``<root>`` is a hash of the path of the folder of pictures, ``<listing>``
one of the relative path, size and modification time of every file. A store is reused if all of these agree; if only some do, their
pixels are copied and the other files decoded.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import secrets
import shutil
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from fruitvision.data.read.dataset import TEST_FRACTION, Dataset, Problem, Split, as_one_split, assemble
from fruitvision.data.read.decoding import NEEDS_PACKAGE, DecodedPicture, DecodeFailure, Outcome, decode_files, worker_count
from fruitvision.data.read.image_store import INDEX, ImageStore, unused, write_index
from fruitvision.data.read.layouts.found import Listing, PictureEntry
from fruitvision.data.read.layouts.scan import long_path
from fruitvision.data.read.listing import list_pictures, list_tree
from fruitvision.data.read.rgb import SHORT_SIDE
from fruitvision.errors import DataError
from fruitvision.files import cache_folder

Progress = Callable[[int, int], None]

_WAIT_SECONDS = 5.0
_FORMAT = "5"  # the version of the store's format, increased with every change
_EARLIER = re.compile(r"([34]-)?[0-9a-f]{20}")  # the names of the folders of formats 2 to 4, and of their files
_OWN = re.compile(r"[0-9a-f]{32}-[0-9a-f]{8}|lock")


def open_dataset(
    root: str | Path | Listing,
    *,
    seed: int = 0,
    test_fraction: float = TEST_FRACTION,
    short_side: int = SHORT_SIDE,
    progress: Progress | None = None,
    cache: Path | None = None,
) -> tuple[Dataset, ImageStore]:
    """Scan a folder of pictures, decoding each file that is not in the cache yet.

    Args:
        root: the folder, or its listing.
        seed: determines which pictures of a folder without splits are held out for testing.
        test_fraction: the fraction of each class that is held out.
        short_side: pictures with a longer short side are reduced to it, in pixels.
        progress: called with (files done, files).
        cache: a folder to use instead of the user's cache folder.

    Raises:
        DataError: fewer than two classes have pictures, or the cache cannot be written.
    """
    listing = root if isinstance(root, Listing) else list_pictures(root)
    store = open_store(listing, short_side=short_side, progress=progress, cache=cache)
    rows = {path: row for row, path in enumerate(store.paths)}
    problems = _problems(listing, store)
    dataset = assemble(listing, rows, store.hashes, problems, seed=seed, test_fraction=test_fraction)
    return dataset, store


def open_folder(
    root: str | Path | Listing,
    *,
    short_side: int = SHORT_SIDE,
    progress: Progress | None = None,
    cache: Path | None = None,
) -> tuple[tuple[str, ...], Split, ImageStore, tuple[Problem, ...]]:
    """Every picture of a folder of class folders, of all splits, for evaluation.

    Returns:
        the names of the class folders, sorted; one split whose labels are indices into them; the store; and the files that were left out.

    Raises:
        DataError: as ``open_dataset``, but a single class is enough.
    """
    listing = root if isinstance(root, Listing) else list_pictures(root, need_training=False)
    store = open_store(listing, short_side=short_side, progress=progress, cache=cache)
    names, split = as_one_split(listing, {path: row for row, path in enumerate(store.paths)})
    if not names:
        raise DataError("no-pictures", folder=str(listing.root))
    return names, split, store, tuple(_problems(listing, store))


def open_unlabelled(
    root: str | Path, *, short_side: int = SHORT_SIDE, progress: Progress | None = None, cache: Path | None = None
) -> ImageStore:
    """The store of every picture in a folder and its subfolders, without labels.

    Raises DataError if there is no such folder or no picture in it.
    """
    return open_store(list_tree(root, ""), short_side=short_side, progress=progress, cache=cache)


def open_store(
    listing: Listing, *, short_side: int = SHORT_SIDE, progress: Progress | None = None, cache: Path | None = None
) -> ImageStore:
    """The store of exactly these files. If it has to be built, other processes that need it wait."""
    home = _home(listing.root, short_side, cache)
    key = _listing_key(listing.files)
    store = _find(home, key, listing.root)
    if store is None:
        try:
            home.mkdir(parents=True, exist_ok=True)
            with _locked(home, lambda: progress and progress(0, len(listing.files))):
                store = _find(home, key, listing.root)
                if store is None:
                    store = _build(listing, home, key, short_side, progress)
                    _prune(home, keep=store.path)
        except OSError as error:
            raise _cannot_write(home, error) from error
    else:
        _tidy(home, keep=store.path)
    if progress is not None:
        progress(len(listing.files), len(listing.files))
    return store


def _home(root: Path, short_side: int, cache: Path | None) -> Path:
    """The folder of all stores of one folder of pictures."""
    place = os.path.normcase(os.path.realpath(root))
    key = hashlib.sha256(f"{short_side}\0{place}".encode("utf-8", "surrogatepass")).hexdigest()
    return Path(cache or cache_folder()) / "stores" / f"{_FORMAT}-{key[:20]}"


def _listing_key(files: Sequence[PictureEntry]) -> str:
    text = "".join(f"{file.path}\0{file.size}\0{file.mtime_ns}\n" for file in files)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _find(home: Path, key: str, root: Path) -> ImageStore | None:
    for folder in sorted(home.glob(f"{key}-*")):
        store = _open_if_complete(folder)
        if store is not None and not store.can_be_completed(root):
            return store
    return None


def _open_if_complete(folder: Path) -> ImageStore | None:
    """The store; None if it is being built or removed, or was left incomplete by a crash."""
    try:
        return ImageStore(folder)
    except DataError:
        return None


def _build(listing: Listing, home: Path, key: str, short_side: int, progress: Progress | None) -> ImageStore:
    """Build a new store, decoding the files that no older store has; it is complete once its index is written."""
    files = listing.files
    folder = home / f"{key}-{secrets.token_hex(4)}"
    folder.mkdir()
    try:
        outcomes: list[Outcome | None] = [None] * len(files)
        old_part = folder / "pixels-0.bin"
        _copy_known(home, files, outcomes, old_part)
        missing = [i for i, outcome in enumerate(outcomes) if outcome is None]
        ready = len(files) - len(missing)
        parts = [folder / f"pixels-{n + 1}.bin" for n in range(worker_count(len(missing)))]

        def report(done: int) -> None:
            if progress is not None:
                progress(ready + done, len(files))

        report(0)
        fresh = decode_files(Path(long_path(listing.root)), [files[i].path for i in missing], parts, short_side, report)
        for i, outcome in zip(missing, fresh, strict=True):
            outcomes[i] = outcome if isinstance(outcome, DecodeFailure) else _shift(outcome)
        write_index(folder, files, [outcome for outcome in outcomes if outcome is not None], [old_part, *parts])
        return ImageStore(folder)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _shift(outcome: DecodedPicture) -> DecodedPicture:
    """Part 0 of a store is reserved for what is copied from an older one."""
    return outcome._replace(part=outcome.part + 1)


def _copy_known(home: Path, files: Sequence[PictureEntry], outcomes: list[Outcome | None], part: Path) -> None:
    """Copy the pixels of unchanged files from an older store of the same folder of pictures."""
    with part.open("wb") as pixels:
        for folder in sorted(home.iterdir()):
            old = _open_if_complete(folder)
            if old is None:
                continue
            known = old.known()
            for i, file in enumerate(files):
                row = known.get((file.path, file.size, file.mtime_ns))
                if outcomes[i] is not None or row is None:
                    continue
                if isinstance(row, DecodeFailure):
                    if row.kind not in ("unreadable", *NEEDS_PACKAGE):
                        outcomes[i] = row
                    continue
                try:
                    picture = old[row]
                except DataError:
                    break  # the older store is damaged: the rest of it is not used
                height, width, _ = picture.shape
                outcomes[i] = DecodedPicture(0, pixels.tell(), height, width, old.hashes[row], zlib.crc32(picture.data))
                pixels.write(picture.data)


@contextmanager
def _locked(home: Path, waiting: Callable[[], object]) -> Iterator[None]:
    """Lock the stores of this folder of pictures against other processes; ``waiting`` is called while another one holds the lock."""
    lock = FileLock(home / "lock")
    while True:
        try:
            lock.acquire(timeout=_WAIT_SECONDS)
            break
        except Timeout:
            waiting()
    try:
        yield
    finally:
        lock.release()


def _tidy(home: Path, keep: Path) -> None:
    """Remove superseded stores that are no longer in use, unless a store is being built now."""
    with contextlib.suppress(OSError):
        if any(folder.is_dir() and folder != keep for folder in home.iterdir()):
            with FileLock(home / "lock", timeout=0):
                _prune(home, keep)


def _prune(home: Path, keep: Path) -> None:
    """Remove superseded and incomplete stores of this folder of pictures, and those of earlier versions.

    A store in use is kept, since a run's workers may open it by its path later, and is removed when the folder of pictures is next
    opened. On Windows its index, which is deleted first, cannot be deleted while in use.
    """
    for folder in home.iterdir():
        if folder.is_dir() and folder != keep:
            try:
                with unused(folder) as free:
                    if not free:
                        continue
                    (folder / INDEX).unlink(missing_ok=True)
            except OSError:
                continue
            shutil.rmtree(folder, ignore_errors=True)
    for folder in home.parent.iterdir():
        if _EARLIER.fullmatch(folder.name) and all(_OWN.fullmatch(inner.name) for inner in folder.iterdir()):
            with contextlib.ExitStack() as held, contextlib.suppress(OSError):
                if all(held.enter_context(unused(inner)) for inner in folder.iterdir() if inner.is_dir()):
                    shutil.rmtree(folder, ignore_errors=True)


def _problems(listing: Listing, store: ImageStore) -> list[Problem]:
    return [Problem(*left_out) for left_out in listing.left_out] + store.problems()


def _cannot_write(home: Path, error: OSError) -> DataError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT) or getattr(error, "winerror", None) in (39, 112):
        return DataError("cache-disk-full", folder=str(home.parent.parent))
    return DataError("cache-not-writable", folder=str(home.parent.parent), reason=error.strerror or str(error))
