"""A call made in a process of its own: what it imports and allocates is given back when it ends, and it can be stopped at once."""

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
"""Called with whatever the function has to say while it works."""


def call_in_subprocess(function: Callable[..., T], *arguments: Any, report: Report | None = None) -> T:
    """``function(*arguments, report)``, computed in another process.

    Args:
        function: of a module, by whose name the other process finds it; takes one argument more, to report with.
        arguments: what pickles, as has what is returned and reported.
        report: called in this process with what the function reports. If it raises, the other process is killed.

    Raises:
        FruitVisionError: what the function raised; "internal" for any other exception of it.
        RunError: "work-ended" where the process died, as it does where there is no memory.
    """
    if getattr(sys, "frozen", False):  # a program frozen into one file would start itself again
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
        process.stdin.flush()  # it stays open: the other process ends with it
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
    except OSError:  # what it still held cannot reach a process that has ended
        pass


def _answer(to: BinaryIO, kind: str, value: Any) -> None:
    pickle.dump((kind, value), to)
    to.flush()


def main() -> None:
    """What the other process does: see :func:`call_in_subprocess`. It ends with its input, which its parent holds open."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends this process
    to = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints is not an answer
    function, arguments = pickle.load(sys.stdin.buffer)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        _answer(to, "returned", function(*arguments, lambda *said: _answer(to, "reported", said)))
    except FruitVisionError as error:
        _answer(to, "raised", error)
    except Exception as error:
        _answer(to, "raised", unexpected(error))


def _end_with_parent() -> None:
    os.read(0, 1)  # not sys.stdin, whose lock Python wants for itself when it ends
    os._exit(1)


if __name__ == "__main__":
    main()
