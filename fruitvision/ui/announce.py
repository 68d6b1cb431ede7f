"""Print the app's addresses in the terminal, and open it in the browser."""

from __future__ import annotations

import atexit
import contextlib
import platform
import shutil
import socket
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

REDIRECT_SECONDS = 60.0
ALL_ADDRESSES = ("0.0.0.0", "::")
DOCUMENTATION_ADDRESS = ("192.0.2.1", 9)
"""An address that nobody has (RFC 5737)."""
CONTAINER_MARKERS = ("/.dockerenv", "/run/.containerenv")
OPENVINO_MACHINES = ("x86_64", "AMD64", "arm64")
"""The machines that OpenVINO has packages for, as in pyproject.toml."""


def announce(context: Context, host: str, port: int, public_url: str | None, *, share_failed: bool, open_browser: bool) -> None:
    """Print the app's addresses and hints, and open the browser.

    ``public_url``: the tunnel's or a proxy's, if there is one. Without it, the visitors' link of an app that listens on all addresses
    has this computer's address in its network. ``share_failed``: a tunnel was asked for, and there is none.
    """
    language = context.language
    everywhere = host in ALL_ADDRESSES
    local = _url("127.0.0.1" if everywhere else host, port)
    visitors = public_url or (_url(network_address() or "127.0.0.1", port) if everywhere else local)
    if context.access.token is None:
        print(say("launch.open", language, url=local))
    else:
        if share_failed:
            print(say("launch.no_share", language))
        print(say("launch.visitors", language, url=visitors))
        print(say("launch.owner", language, url=f"{local}?owner={context.access.token}"))
    print(say("launch.close", language), flush=True)
    if open_browser:
        token = context.access.token
        webbrowser.open_new_tab(local if token is None else redirect_file(f"{local}?owner={token}", context.runs))
    for sentence in hints(language):
        print(sentence, flush=True)


def _url(host: str, port: int) -> str:
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/"


def network_address() -> str | None:
    """This computer's IPv4 address in its network; None if it is in none, or in a container, whose address others cannot reach."""
    if any(Path(marker).exists() for marker in CONTAINER_MARKERS):
        return None
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe, contextlib.suppress(OSError):
        probe.connect(DOCUMENTATION_ADDRESS)  # chooses a route and sends nothing
        return probe.getsockname()[0]
    return None


def hints(language: str) -> list[str]:
    """How predictions, or training, could be faster on this computer. The hint about OpenVINO is given only once.

    torch is imported only if there is an NVIDIA card, or if OpenVINO could be installed.
    """
    if shutil.which("nvidia-smi"):
        from fruitvision.training.device import unused_card

        if card := unused_card():
            return [say(f"launch.{card.reason}", language, card=card.name, torch=card.torch, python=quoted([sys.executable]))]
    marker = cache_folder() / "told-of-fast"
    if find_spec("openvino") or platform.machine() not in OPENVINO_MACHINES or marker.exists():
        return []
    from fruitvision.training.device import choose_device

    if choose_device().type != "cpu":
        return []
    with contextlib.suppress(FruitVisionError, OSError):
        write_text(marker, "")
    return [say("launch.fast", language)]


_redirect_files: list[Path] = []


@atexit.register
def delete_redirect_files() -> None:
    while _redirect_files:
        with contextlib.suppress(OSError):
            _redirect_files.pop().unlink(missing_ok=True)


def redirect_file(url: str, folder: Path) -> str:
    """The file URL of an HTML file that redirects to ``url``, which has the owner's token.

    Other accounts can read a browser's command line, but not this file. It is created in ``folder``, which sandboxed browsers can
    read if it is in the user's home, and deleted after a minute and when the app ends.
    """
    redirect = f'<meta name="referrer" content="no-referrer"><meta http-equiv="refresh" content="0;url={url}">'
    for parent in (folder, Path(tempfile.gettempdir())):
        try:
            handle, name = tempfile.mkstemp(prefix="open-", suffix=".html", dir=parent)  # mode 0600
        except OSError:
            continue
        with open(handle, "w", encoding="utf-8") as file:
            file.write(f'<!doctype html><meta charset="utf-8">{redirect}')
        _redirect_files.append(Path(name))
        timer = threading.Timer(REDIRECT_SECONDS, delete_redirect_files)
        timer.daemon = True
        timer.start()
        return Path(name).absolute().as_uri()
    return url.partition("?")[0]
