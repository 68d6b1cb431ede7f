"""Where the app is: said in the terminal, and opened in the browser."""

from __future__ import annotations

import atexit
import contextlib
import platform
import shutil
import sys
import tempfile
import threading
import webbrowser
from importlib.util import find_spec
from pathlib import Path

from fruitvision.errors import FruitVisionError, quoted
from fruitvision.files import cache_folder, write_text
from fruitvision.ui.page.context import Context
from fruitvision.wording.text import say

OPENED_SECONDS = 60.0
OPENVINO_MACHINES = ("x86_64", "AMD64", "arm64")
"""That OpenVINO has packages for, as pyproject.toml names them."""


def announce(context: Context, host: str, port: int, visitors: str | None, *, share: bool, open_browser: bool) -> None:
    """Say where the app is, and open it."""
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
    for sentence in hints(language):
        print(sentence, flush=True)


def hints(language: str) -> list[str]:
    """What would make answers, or trainings, faster here: said in the terminal, about OpenVINO once on a computer.

    torch is asked, and imported for it, only where there is an NVIDIA card, or OpenVINO could be installed.
    """
    if shutil.which("nvidia-smi"):
        from fruitvision.training.device import unused_card

        if card := unused_card():
            return [say(f"launch.{card.reason}", language, card=card.name, torch=card.torch, python=quoted([sys.executable]))]
    told = cache_folder() / "told-of-fast"
    if find_spec("openvino") or platform.machine() not in OPENVINO_MACHINES or told.exists():
        return []
    from fruitvision.training.device import choose_device

    if choose_device().type != "cpu":
        return []
    with contextlib.suppress(FruitVisionError, OSError):
        write_text(told, "")
    return [say("launch.fast", language)]


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
