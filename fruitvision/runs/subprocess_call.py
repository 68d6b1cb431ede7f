"""Call a function in another process, so that its imports and memory are freed at the end, and it can be stopped at any time."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from fruitvision.errors import FruitVisionError, RunError, unexpected

T = TypeVar("T")
Report = Callable[..., None]
"""Called with anything that the function reports while it runs."""


def call_in_subprocess(function: Callable[..., T], *arguments: Any, report: Report | None = None) -> T:
    """Call ``function(*arguments, report)`` in another process and return its result.

    Args:
        function: a module-level function, which the other process imports; its last parameter is the callable to report with.
        arguments: picklable values; results and reports must be picklable, too.
        report: called in this process with everything that the function reports. If it raises, the other process is killed.

    Raises:
        FruitVisionError: raised by the function; "internal" for any other exception.
        RunError: "work-ended" if the process died, for example because of too little memory.
    """
    if getattr(sys, "frozen", False):  # a frozen executable would start itself again
        return function(*arguments, report or _silent)
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", __name__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[2]), *sys.path])},
        creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
    )
    assert process.stdin is not None and process.stdout is not None  # both are pipes
    try:
        process.stdin.write(pickle.dumps((function, arguments)))
        process.stdin.flush()  # stdin stays open, since the other process ends when it is closed
        while True:
            kind, value = pickle.load(process.stdout)
            if kind == "returned":
                return value
            if kind == "raised":
                raise value
            if report:
                report(*value)
    except (EOFError, OSError, pickle.UnpicklingError) as error:
        raise RunError("work-ended") from error
    finally:
        process.kill()
        process.stdout.close()
        process.wait()
        _close(process.stdin)


def _silent(*said: Any) -> None:
    pass


def _close(stream: Any) -> None:
    try:
        stream.close()
    except OSError:  # buffered data cannot reach a process that has ended
        pass


def _answer(to: BinaryIO, kind: str, value: Any) -> None:
    pickle.dump((kind, value), to)
    to.flush()


def main() -> None:
    """The other process of :func:`call_in_subprocess`. It ends when its standard input is closed, which the parent keeps open."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is handled by the parent, which ends this process
    to = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # keep output of libraries out of the answers
    function, arguments = pickle.load(sys.stdin.buffer)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        _answer(to, "returned", function(*arguments, lambda *said: _answer(to, "reported", said)))
    except FruitVisionError as error:
        _answer(to, "raised", error)
    except Exception as error:
        _answer(to, "raised", unexpected(error))


def _end_with_parent() -> None:
    os.read(0, 1)  # not sys.stdin, whose lock Python needs at exit
    os._exit(1)


if __name__ == "__main__":
    main()
