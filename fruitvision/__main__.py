"""The command line: ``python -m fruitvision COMMAND``.

Any error is printed as one line on standard error that names the next step, and returned as an exit code: 1 failed, 2 misused, 130
stopped with Ctrl-C. With ``--json`` the error is also printed as the only object on standard output. A stack trace is written to a
log file; with FRUITVISION_DEBUG=1 Python prints it.
"""

from __future__ import annotations

import io
import json
import os
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

from fruitvision.errors import FruitVisionError, UsageError
from fruitvision.wording.text import plain

CTRL_C = 130  # 128 + SIGINT, as in shells


def main(argv: Sequence[str] | None = None, *, program: str | None = None) -> int:
    """Run one command and return its exit code. ``program``: the program's name in messages; by default as it was started."""
    words = list(sys.argv[1:] if argv is None else argv)
    return guarded(lambda: _run(argv, program), as_json="--json" in words)


def limit_spinning() -> None:
    """Limit the spinning of torch's idle threads, in this process and its children.

    On Linux they spin for milliseconds by default, even if another program could use the core: with one of two cores busy, training
    is twice as fast with this limit, and otherwise as fast. torch's OpenMP (libgomp) reads the setting when torch is imported.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "10000")


def guarded(action: Callable[[], int | None], *, as_json: bool = False) -> int:
    """Call ``action`` and return its exit code; an error becomes one line and 1 or 2, Ctrl-C becomes 130."""
    limit_spinning()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a console that cannot print 苹果 prints ?? instead of failing
            stream.reconfigure(errors="replace")
    try:
        code = action() or 0
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        return CTRL_C
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else bool(end.code)
    except BrokenPipeError:  # the reader of the output has closed it: `... | head`
        sys.stdout = open(os.devnull, "w", encoding="utf-8")
        return 1
    except Exception as error:
        if os.environ.get("FRUITVISION_DEBUG") == "1":
            raise
        explained = _explain(error)
        if as_json:
            print(json.dumps({"error": explained.as_dict()}))
        print(plain(f"Error: {explained}"), file=sys.stderr)
        return explained.exit_code


def _run(argv: Sequence[str] | None, program: str | None) -> int:
    import typer
    from typer.exceptions import TyperException

    from fruitvision import cli

    try:
        # Without argv typer uses sys.argv, on Windows with patterns (*.jpg) expanded.
        code = typer.main.get_command(cli.app).main(argv, prog_name=program, standalone_mode=False) or 0
    except TyperException as error:  # an unknown option, a missing argument, a value of the wrong kind
        context = getattr(error, "ctx", None)
        usage = error.format_message().strip() or "A command is missing."
        usage = usage if usage.endswith((".", "?")) else f"{usage}."
        raise UsageError("bad-usage", usage=usage, command=context.command_path if context else "python -m fruitvision") from error
    if code == CTRL_C:  # typer has caught the KeyboardInterrupt
        raise KeyboardInterrupt
    return code


def _explain(error: Exception) -> FruitVisionError:
    """Any exception as a FruitVisionError."""
    if isinstance(error, FruitVisionError):
        return error
    if isinstance(error, ModuleNotFoundError) and not (error.name or "").startswith("fruitvision"):
        return FruitVisionError("package-missing", package=error.name, python=sys.executable, what=_what_to_install())
    if isinstance(error, OSError) and error.strerror and error.filename:
        return FruitVisionError("file-trouble", path=str(error.filename), reason=error.strerror)
    what = f"{type(error).__name__}: {error}".rstrip(": ")
    log = _write_log(error)
    return FruitVisionError("internal-error", error=what, log=str(log)) if log else FruitVisionError("internal", error=what)


def _what_to_install() -> str:
    """The arguments for pip to install all requirements: the tested versions in a source checkout, or the installed package."""
    beside = Path(__file__).parents[1] / "requirements.txt"
    return f'-r "{beside}"' if beside.is_file() else "--upgrade fruitvision"


def _write_log(error: Exception) -> Path | None:
    """Append the stack trace to a log file; None if no file can be written."""
    try:
        import platformdirs

        folder = Path(os.environ.get("FRUITVISION_CACHE") or platformdirs.user_log_dir("fruitvision", False))
        folder.mkdir(parents=True, exist_ok=True)
        log = folder / "errors.log"
        with log.open("a", encoding="utf-8", errors="backslashreplace") as file:
            file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {' '.join(sys.argv)}\n")
            file.writelines(traceback.format_exception(error))
    except (OSError, ImportError):
        return None
    return log


def _leave(code: int) -> None:
    """End the process; under torchrun immediately, since torch's connection threads may otherwise abort a finished process during
    Python's shutdown."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


if __name__ == "__main__":
    _leave(main())
