"""Decode many picture files in parallel, appending their pixels to files.

For small pictures most of the time is Python code, which threads of one process cannot run in parallel. From ``FILES_PER_PROCESS``
files per core on, one process per additional core is started. It runs this module and gets its work on standard input, because
``multiprocessing`` would import the caller's main script again. Fewer files are decoded by threads.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from fruitvision.data.read.picture import load_with_note, read_picture_file
from fruitvision.errors import Fault, PictureError

FILES_PER_PROCESS = 1500
_PROCESS_CHUNK, _THREAD_CHUNK = 64, 8
_WRITTEN_AT_ONCE = 8  # larger writes are cheaper, as long as they fit into the processor's cache
_MAX_WORKERS = 16


class DecodedPicture(NamedTuple):
    """Where the pixels of a picture are stored: (height, width, 3) bytes from ``offset`` in file number ``part``."""

    part: int
    offset: int
    height: int
    width: int
    sha256: str
    """of the file"""
    crc32: int
    """of the pixels"""


class DecodeFailure(NamedTuple):
    """Why a file could not be decoded: the kind and fault of a ``Problem``."""

    kind: str
    fault: dict[str, Any]


NEEDS_PACKAGE = ("heic", "avif")
"""Kinds of files that can be read after installing a package."""
Outcome = DecodedPicture | DecodeFailure


def decode_files(
    root: Path,
    paths: Sequence[str],
    parts: Sequence[Path],
    short_side: int,
    progress: Callable[[int], None],
) -> list[Outcome]:
    """Decode every file of ``paths`` (relative to ``root``) and append its pixels to one of ``parts``.

    Args:
        parts: the files to append to, one per worker.
        progress: called with the number of files done so far.

    Raises:
        OSError: the pixels could not be written.
    """
    outcomes: list[Outcome] = [DecodeFailure("unreadable", Fault("not-a-file").as_dict())] * len(paths)
    processes = len(parts) > 1 and len(paths) >= FILES_PER_PROCESS * len(parts) and _can_start_processes()
    step = _PROCESS_CHUNK if processes else _THREAD_CHUNK
    chunks = (range(at, min(at + step, len(paths))) for at in range(0, len(paths), step))
    workers: list[_ThreadWorker] = []
    done = 0
    try:
        for number, part in enumerate(parts):
            workers.append((_ProcessWorker if processes and number else _ThreadWorker)(root, part, short_side))
        with ThreadPoolExecutor(len(workers), "decode") as pool:
            running: dict[Future, tuple[int, range]] = {}
            idle = list(range(len(workers)))
            while True:
                while idle and (chunk := next(chunks, None)) is not None:
                    number = idle.pop()
                    future = pool.submit(workers[number].decode, [paths[i] for i in chunk])
                    running[future] = (number, chunk)
                if not running:
                    return outcomes
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    number, chunk = running.pop(future)
                    for i, answer in zip(chunk, future.result(), strict=True):
                        outcomes[i] = DecodedPicture(number, *answer) if len(answer) == 5 else DecodeFailure(*answer)
                    idle.append(number)
                    done += len(chunk)
                progress(done)
    finally:
        for worker in workers:
            worker.close()


def worker_count(files: int) -> int:
    """The number of workers for this many files on the available cores."""
    cores = usable_cores()
    processes = min(cores, files // FILES_PER_PROCESS)
    return min(_MAX_WORKERS, processes if processes > 1 else max(1, min(cores, files // _THREAD_CHUNK)))


def usable_cores() -> int:
    """The number of CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def decode_chunk(root: Path, names: Sequence[str], pixels: BinaryIO, short_side: int) -> list[tuple]:
    """For each file (offset, height, width, sha256, crc32), or (kind, fault) if it cannot be decoded."""
    answers: list[tuple] = []
    offset = pixels.tell()
    waiting: list[bytes] = []
    for name in names:
        try:
            data = read_picture_file(os.path.join(root, name.replace("/", os.sep)))
            image = load_with_note(data, short_side, whole=True).image  # the missing part would be trained on as grey
        except PictureError as error:
            kind = error.code.removeprefix("picture-")
            fault = {"code": error.code, "facts": error.as_dict()["facts"]}
            answers.append(({"missing": "unreadable", "too-small": "damaged"}.get(kind, kind), fault))
            continue
        width, height = image.size
        waiting.append(image.tobytes())
        answers.append((offset, height, width, hashlib.sha256(data).hexdigest(), zlib.crc32(waiting[-1])))
        offset += len(waiting[-1])
        if len(waiting) == _WRITTEN_AT_ONCE:
            pixels.write(b"".join(waiting))
            waiting.clear()
    pixels.write(b"".join(waiting))
    return answers


def _can_start_processes() -> bool:
    """False in a frozen executable, which would start itself again."""
    return bool(sys.executable) and not getattr(sys, "frozen", False)


class _ThreadWorker:
    """A worker in this process."""

    def __init__(self, root: Path, part: Path, short_side: int) -> None:
        self._root, self._short_side = root, short_side
        self._pixels = part.open("ab")

    def decode(self, names: Sequence[str]) -> list[tuple]:
        answers = decode_chunk(self._root, names, self._pixels, self._short_side)
        self._pixels.flush()
        return answers

    def close(self) -> None:
        self._pixels.close()


class _ProcessWorker(_ThreadWorker):
    """A worker in another process, which exchanges lines of JSON. If it dies, its work is done in this process."""

    def __init__(self, root: Path, part: Path, short_side: int) -> None:
        super().__init__(root, part, short_side)
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", __name__, str(root), str(part), str(short_side)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[3]), *sys.path])},
            encoding="utf-8",
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
        assert self._process.stdin is not None and self._process.stdout is not None  # both are pipes
        self._input, self._output = self._process.stdin, self._process.stdout

    def decode(self, names: Sequence[str]) -> list[tuple]:
        try:
            self._input.write(json.dumps(names) + "\n")
            self._input.flush()
            line = self._output.readline()
        except OSError:
            line = ""
        if not line.endswith("\n"):
            self._pixels.seek(0, os.SEEK_END)
            return super().decode(names)
        answer = json.loads(line)
        if isinstance(answer, dict):
            raise OSError(answer["errno"], answer["error"])
        return [tuple(item) for item in answer]

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()
        super().close()


def main(root: str, part: str, short_side: str) -> None:
    """The worker process of ``_ProcessWorker``. It ends when its standard input is closed, which the parent keeps open."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is handled by the parent, which ends this process
    worker = _ThreadWorker(Path(root), Path(part), int(short_side))
    for line in sys.stdin:
        try:
            answer = worker.decode(json.loads(line))
        except OSError as error:
            answer = {"errno": error.errno, "error": error.strerror}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
