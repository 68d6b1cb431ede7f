"""A public link through Gradio's servers, with a time limit."""

from __future__ import annotations

import contextlib
import threading

import gradio as gr

from fruitvision.ui import gradio_internals
from fruitvision.ui.gradio_internals import close_tunnels

TUNNEL_SECONDS = 30.0


def open_tunnel(demo: gr.Blocks, port: int, *, seconds: float = TUNNEL_SECONDS) -> str | None:
    """The public https URL of the running app; None if there is none within ``seconds``.

    Gradio itself would wait for the tunnel's program without a limit before it starts the app. A tunnel that opens too late is
    closed again.
    """
    urls: list[str] = []
    lock, timed_out = threading.Lock(), threading.Event()

    def connect() -> None:
        with contextlib.suppress(Exception):  # offline, blocked, or no tunnel program for this platform
            url = gradio_internals.open_tunnel(port, demo.share_token)
            with lock:
                urls.append(url)
                too_late = timed_out.is_set()
            if too_late:
                close_tunnels()

    thread = threading.Thread(target=connect, name="fruitvision-tunnel", daemon=True)
    thread.start()
    thread.join(seconds)
    with lock:
        if not urls:
            timed_out.set()
    if timed_out.is_set():
        close_tunnels()
        return None
    demo.share_url = urls[0].replace("http://", "https://", 1)
    demo.share = True
    return demo.share_url
