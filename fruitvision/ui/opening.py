"""Where the app listens, and how a person gets there: a free port, the addresses in the terminal, the browser."""

from __future__ import annotations

import atexit
import contextlib
import os
import re
import socket
import tempfile
import threading
from pathlib import Path
from urllib.parse import urlsplit

from fruitvision.errors import UsageError
from fruitvision.ui.page.context import Context
from fruitvision.wording.text import say

PORTS = range(7860, 7960)
OPENED_SECONDS = 60.0


def is_address(text: str) -> bool:
    """Whether it is a whole http or https address with a host."""
    try:
        found = urlsplit(text)
        return found.scheme in ("http", "https") and re.fullmatch(r"[\w.:\[\]-]+", found.netloc, re.ASCII) is not None
    except ValueError:
        return False


def free_port(host: str, wanted: int | None) -> int:
    """``wanted`` where it is free, or the first free one of ours. Raises UsageError "port-in-use"."""
    if wanted is not None and not 0 < wanted < 65536:
        raise UsageError("bad-port", port=wanted)
    for port in [wanted] if wanted else PORTS:
        try:
            with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as tried:
                if os.name != "nt":  # there it would let two programs have the same port
                    tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                tried.bind((host, port))
                return port
        except socket.gaierror as error:
            raise UsageError("bad-host", host=host) from error
        except OverflowError as error:
            raise UsageError("bad-port", port=port) from error
        except OSError:
            continue
    port = wanted or PORTS.start
    raise UsageError("port-in-use", port=port, host=host)


def announce(context: Context, host: str, port: int, visitors: str | None, *, share: bool, open_browser: bool) -> None:
    """Say where the app is, and open it."""
    import webbrowser

    language = context.language
    shown = host if host not in ("0.0.0.0", "::") else "127.0.0.1"
    local = f"http://{f'[{shown}]' if ':' in shown else shown}:{port}/"
    if context.access.token is None:
        print(say("launch.open", language, url=local))
    else:
        if share and not visitors:
            print(say("launch.no_share", language))
        print(say("launch.visitors", language, url=visitors or local))
        print(say("launch.owner", language, url=f"{local}?owner={context.access.token}"))
    print(say("launch.close", language), flush=True)
    if open_browser:
        token = context.access.token
        webbrowser.open_new_tab(local if token is None else leading_to(f"{local}?owner={token}", context.runs))


_leading: list[Path] = []


@atexit.register
def forget_leading() -> None:
    while _leading:
        with contextlib.suppress(OSError):
            _leading.pop().unlink(missing_ok=True)


def leading_to(url: str, folder: Path) -> str:
    """The address of a file that leads on to ``url``, for this account alone: what a browser is started with, others may read.

    It lies in ``folder``, which browsers in a sandbox may read where it is below the person's own, and is deleted after a
    minute and in the end.
    """
    leading = f'<meta name="referrer" content="no-referrer"><meta http-equiv="refresh" content="0;url={url}">'
    for place in (folder, Path(tempfile.gettempdir())):
        try:
            handle, name = tempfile.mkstemp(prefix="open-", suffix=".html", dir=place)  # mode 0600
        except OSError:
            continue
        with open(handle, "w", encoding="utf-8") as file:
            file.write(f'<!doctype html><meta charset="utf-8">{leading}')
        _leading.append(Path(name))
        timer = threading.Timer(OPENED_SECONDS, forget_leading)
        timer.daemon = True
        timer.start()
        return Path(name).absolute().as_uri()
    return url.partition("?")[0]
