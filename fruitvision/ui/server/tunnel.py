"""A public link through Gradio's servers, or none: within half a minute either way."""

from __future__ import annotations

import contextlib
import threading

import gradio as gr

from fruitvision.ui import gradio_internals
from fruitvision.ui.gradio_internals import close_tunnels

TUNNEL_SECONDS = 30.0


def open_tunnel(demo: gr.Blocks, port: int, *, seconds: float = TUNNEL_SECONDS) -> str | None:
    """The https address under which the app is reached from outside; None where none came in time.

    Gradio's own way waits for a line of the tunnel's program with no limit, while nothing else of the app goes on. Here the
    app runs already, and a tunnel that comes too late is closed again: nobody has been told of it.
    """
    found: list[str] = []
    lock, late = threading.Lock(), threading.Event()

    def ask() -> None:
        with contextlib.suppress(Exception):  # it is offline, blocked, or has no program for this computer: all the same here
            url = gradio_internals.open_tunnel(port, demo.share_token)
            with lock:
                found.append(url)
                given_up = late.is_set()
            if given_up:
                close_tunnels()

    thread = threading.Thread(target=ask, name="fruitvision-tunnel", daemon=True)
    thread.start()
    thread.join(seconds)
    with lock:
        if not found:
            late.set()
    if late.is_set():
        close_tunnels()
        return None
    demo.share_url = found[0].replace("http://", "https://", 1)
    demo.share = True
    return demo.share_url
