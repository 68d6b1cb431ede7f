"""Atomic writes, so that neither a reader nor a power failure sees half a file, and other functions for files."""

from __future__ import annotations

import csv
import errno
import hashlib
import io
import json
import math
import numbers
import os
import re
import shutil
import stat
import tempfile
import threading
import time
import unicodedata
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import chain, count
from pathlib import Path
from typing import Any, Generic, TypeVar
from urllib.parse import unquote
from urllib.request import url2pathname

import platformdirs
import psutil

from fruitvision.errors import DataError

T = TypeVar("T")
# On Windows a file cannot be replaced while another process (an indexer, a virus scanner, a reader) has it open.
RETRY_SECONDS = 3.0
# Some file systems store modification times with a resolution of two seconds.
FRESH_SECONDS = 2.5
CHECKSUM = "config_sha256"
MAX_NAME_BYTES = 120
"""Limit on names derived from user input; file systems allow 255."""
_FORBIDDEN = re.compile(r'[\x00-\x1f\x7f<>:"/\\|?*\ud800-\udfff]')
RESERVED = re.compile(r"(CON|PRN|AUX|NUL|CONIN\$|CONOUT\$|(COM|LPT)[0-9¹²³])[ ]*(\..*)?", re.IGNORECASE)
"""Names that Windows reserves for devices."""
_FORMULA = re.compile(r"\s*[=+@\-\uff1d\uff0b\uff0d\uff20]")
_CELL = re.compile(r"[;|](?=[\s\"]*[=+@\-\uff1d\uff0b\uff0d\uff20])")
"""A separator of cells where a spreadsheet does not separate by commas (Excel in German or French), and a formula behind it."""
_NETWORK = re.compile(r"\s*[/\\](?:[/\\]|\?\?[/\\])")
_SHORT = 200
MAX_MARKS = 30
"""Limit on combining marks in a row, as in Unicode's stream-safe text (UAX #15); languages have a few."""
_OTHER_MARKS = "\u0f73\u0f75\u0f81"
"""Characters that decompose into combining marks and are none themselves."""
_QUOTES = {'"': '"', "'": "'", "\u201c": "\u201d", "\u2018": "\u2019"}
_FILE_ADDRESS = re.compile(r"file:/{1,3}(?:localhost/)?(?=[^/])", re.IGNORECASE)
_ADDRESS = re.compile(r"(https?|ftp):/{1,2}(?=[^/])", re.IGNORECASE)


def clean_path(given: str | Path) -> Path:
    """A path as typed, pasted or dropped by a user: possibly in quotation marks, as a file:// URL, or with ~ for the home folder.

    A path that exists as given is returned unchanged. Raises DataError "path-is-address" for a network URL.
    """
    text = str(given).strip() if isinstance(given, str) else str(given)
    if os.path.lexists(text):
        return Path(text)
    if len(text) > 1 and _QUOTES.get(text[0]) == text[-1]:
        text = text[1:-1].strip()
    if _FILE_ADDRESS.match(text):
        address = _FILE_ADDRESS.sub("/", text, count=1)
        text = url2pathname(address) if os.name == "nt" else unquote(address)
    if scheme := _ADDRESS.match(text):  # a Path merges two slashes
        raise DataError("path-is-address", address=f"{scheme[1].lower()}://{text[scheme.end() :]}"[:300])
    try:
        return Path(text).expanduser()
    except RuntimeError:  # ~name of an unknown user
        return Path(text)


def is_network_path(path: str) -> bool:
    """Whether Windows would connect to another computer to look for a file: two slashes of any kind, or ``\\??\\``, at the start."""
    return _NETWORK.match(path) is not None


def cache_folder() -> Path:
    """The folder for everything that can be recreated: the user's cache folder, or FRUITVISION_CACHE."""
    named = os.environ.get("FRUITVISION_CACHE")
    return Path(named) if named else Path(platformdirs.user_cache_dir("fruitvision", appauthor=False))


def write_bytes(path: Path, content: bytes) -> None:
    """Write to a temporary file, fsync, replace. Raises DataError "disk-full" or "cannot-write"; the old file is then unchanged."""
    beside = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_native_id()}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        retry(lambda: beside.unlink(missing_ok=True))  # left by a killed process with these ids; or a link to another file
        with beside.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        retry(lambda: os.replace(beside, path))
    except OSError as error:
        with suppress(OSError):  # on a read-only file system not even a missing file can be unlinked
            beside.unlink(missing_ok=True)
        raise write_error(error, path) from error


def write_text(path: Path, text: str) -> None:
    """As :func:`write_bytes`, in UTF-8."""
    write_bytes(path, text.encode("utf-8"))


def csv_text(names: Sequence[str], rows: Iterable[Iterable[Any]], *, digits: int | None = None) -> str:
    """CSV for spreadsheets: with the byte order mark by which Excel recognizes UTF-8, and with text escaped that would be a formula.

    Missing values and NaN are empty; ``digits``: numbers are rounded to this many significant digits.
    """
    buffer = io.StringIO()
    table = csv.writer(buffer, lineterminator="\n")
    table.writerow([_cell(name, None) for name in names])
    table.writerows([_cell(value, digits) for value in row] for row in rows)
    return "\ufeff" + buffer.getvalue()


def _cell(value: Any, digits: int | None) -> Any:
    if value is None or isinstance(value, float) and math.isnan(value):
        return ""
    if not isinstance(value, numbers.Number):
        line = _CELL.sub(r"\g<0>'", re.sub(r"[\t\r\n]", " ", str(value)))
        return f"'{line}" if _FORMULA.match(line) else line
    return f"{value:.{digits}g}" if digits is not None and isinstance(value, float) else value


class FileCache(Generic[T]):
    """An LRU cache of ``max_files`` results of ``read``, each valid until the file changes.

    A change is detected by the inode, which differs after a file is replaced, and by size and modification time. Two changes may have
    the same time, so a file that was changed within the last ``FRESH_SECONDS`` is not cached.
    """

    def __init__(self, read: Callable[[str], T], max_files: int, *, max_bytes: int) -> None:
        self._read, self._max_files, self._max_bytes, self._lock = read, max_files, max_bytes, threading.Lock()
        self._known: OrderedDict[str, tuple[tuple[int, int, int], T]] = OrderedDict()

    def __call__(self, path: str) -> T:
        """Raises whatever ``read`` raises, and OSError, also for a file that is not regular or larger than ``max_bytes``.

        Reading a pipe would block, and reading a device such as /dev/zero would fill the memory.
        """
        info = os.stat(path)
        if not stat.S_ISREG(info.st_mode) or info.st_size > self._max_bytes:
            raise OSError(errno.EFBIG, "not a regular file of at most so many bytes", path)
        mark = (info.st_ino, info.st_size, info.st_mtime_ns)
        with self._lock:
            known = self._known.pop(path, None)
            if known is not None and known[0] == mark:
                self._known[path] = known  # moved to the end, as the most recently used
                return known[1]
        value = self._read(path)
        if abs(time.time() - info.st_mtime) > FRESH_SECONDS:
            with self._lock:
                self._known[path] = mark, value
                while len(self._known) > self._max_files:
                    self._known.popitem(last=False)
        return value


def read_json(path: str) -> Any:
    """The content of a JSON file. Raises OSError, and ValueError also where it is nested too deep."""
    try:
        return json.loads(Path(path).read_bytes())
    except RecursionError as error:
        raise ValueError(str(error)) from error


def sha256_of(path: Path) -> str:
    """A file's SHA-256, 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def json_with_checksum(values: Mapping[str, Any]) -> str:
    """``values`` as JSON with their SHA-256 as the first entry, which :func:`checksum_matches` verifies."""
    rest = without_checksum(values)
    return json.dumps({CHECKSUM: _digest(rest), **rest}, indent=1, ensure_ascii=False) + "\n"


def checksum_matches(values: Mapping[str, Any]) -> bool:
    """Whether values from such a file match their checksum, independent of the formatting of the JSON; True if they have none."""
    return not values.get(CHECKSUM) or values[CHECKSUM] == _digest(without_checksum(values))


def without_checksum(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values without the checksum."""
    return {name: value for name, value in values.items() if name != CHECKSUM}


def _digest(values: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def nfc(text: str) -> str:
    """The text in NFC, without what follows ``MAX_MARKS`` combining marks in a row.

    unicodedata sorts such marks by insertion, in quadratic time, while no other thread runs.
    """
    return unicodedata.normalize("NFC", text if len(text) <= _SHORT or text.isascii() else "".join(_with_few_marks(text)))


def _with_few_marks(text: str) -> Iterator[str]:
    marks = 0
    for letter in text:
        marks = marks + 1 if unicodedata.combining(letter) or letter in _OTHER_MARKS else 0
        if marks <= MAX_MARKS:
            yield letter


def safe_name(name: str) -> str:
    """A file or folder name similar to ``name`` that is valid on every file system; a file's suffix is kept."""
    safe = _FORBIDDEN.sub("_", nfc(name)).strip(" .")
    stem, dot, suffix = safe.rpartition(".")
    end = dot + suffix if stem and len(suffix) <= 10 else ""
    stem = safe[: len(safe) - len(end)][:MAX_NAME_BYTES]
    while len((stem + end).encode("utf-8")) > MAX_NAME_BYTES:
        stem = stem[:-1]
    safe = (stem.rstrip(" .") or "_") + end
    return f"_{safe}" if RESERVED.fullmatch(safe) else safe


def free_folder(folder: Path, is_free: Callable[[Path], bool]) -> Path:
    """``folder``, or the first of "NAME 2", "NAME 3", … of which ``is_free`` is true."""
    numbered = (folder.with_name(f"{folder.name} {number}") for number in count(2))
    return next(one for one in chain([folder], numbered) if is_free(one))


def remove_leftovers(folder: Path) -> None:
    """Remove temporary files and folders of killed processes under ``folder``; those of living processes are kept."""
    for path in folder.rglob(".*.new"):
        pid = path.name.split(".")[-2].partition("-")[0]
        if not pid.isdigit() or int(pid) != os.getpid() and psutil.pid_exists(int(pid)):
            continue
        if path.is_dir():
            _discard(path)
        else:
            path.unlink(missing_ok=True)


def replace_folder(new: Path, folder: Path) -> None:
    """Replace ``folder`` by the finished folder ``new``; in between, the old one is kept as ``.NAME.old``.

    A reader that finds no folder at that moment uses :func:`current_folder`.
    """
    old = previous_folder(folder)
    if os.path.lexists(folder):
        _discard(old)
        retry(lambda: os.replace(folder, old))
    retry(lambda: os.replace(new, folder))
    _discard(old)


def remove_folder(folder: Path) -> None:
    """Remove a folder recursively, or only the link if it is one. Raises OSError."""
    if folder.is_symlink():
        folder.unlink()
    else:
        shutil.rmtree(folder)


def _discard(folder: Path) -> None:
    with suppress(OSError):
        remove_folder(folder)


def previous_folder(folder: Path) -> Path:
    """The path where :func:`replace_folder` keeps the replaced folder."""
    return folder.with_name(f".{folder.name}.old")


def current_folder(folder: Path) -> Path:
    """The folder, or its predecessor if a replacement was interrupted between its two renames."""
    return previous_folder(folder) if not folder.exists() and previous_folder(folder).exists() else folder


def retry(action: Callable[[], T]) -> T:
    """Run ``action``, and repeat it for a few seconds while Windows reports that a file is in use."""
    end = time.monotonic() + RETRY_SECONDS
    while True:
        try:
            return action()
        except PermissionError:
            if os.name != "nt" or time.monotonic() > end:
                raise
            time.sleep(0.05)


@contextmanager
def named_write_errors(path: Path) -> Iterator[None]:
    """Context manager: convert an OSError to the DataError of :func:`write_error`, which names ``path``."""
    try:
        yield
    except OSError as error:
        raise write_error(error, path) from error


@contextmanager
def temporary_folder(prefix: str) -> Iterator[Path]:
    """A context with a temporary folder. Raises DataError if it cannot be created or written."""
    try:
        with tempfile.TemporaryDirectory(prefix=prefix) as folder:
            yield Path(folder)
    except OSError as error:  # if no folder is writable, Python's error names none
        where = tempfile.tempdir or os.environ.get("TMPDIR") or "the folder for temporary files"
        raise write_error(error, Path(where)) from error


def write_error(error: OSError, path: Path) -> DataError:
    """The error to raise for a failed write."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DataError("disk-full", path=str(path))
    return DataError("cannot-write", path=str(path), reason=error.strerror or type(error).__name__)
