"""Every name of Gradio that its documentation does not promise, in one place.

Written for Gradio 6.31, and tried with 6.0, the oldest that may be installed.

``tests/ui/test_gradio_internals.py`` fails by name where one of them is gone or takes other arguments.
"""

from __future__ import annotations

import inspect
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import SimpleNamespace
from typing import Any

import gradio as gr
from gradio import http_server, networking
from gradio.blocks import Block
from gradio.data_classes import PredictBodyInternal
from gradio.queueing import Event, Queue
from gradio.routes import file_upload_statuses
from gradio.server_messages import EstimationMessage, EventMessage, ProcessCompletedMessage
from gradio.state_holder import SessionState, StateHolder
from gradio.tunneling import CURRENT_TUNNELS
from gradio.utils import get_upload_folder

__all__ = [
    "EstimationMessage",
    "Event",
    "EventMessage",
    "PredictBodyInternal",
    "ProcessCompletedMessage",
    "Queue",
    "SessionState",
    "StateHolder",
    "blocks_of",
    "close_tunnels",
    "files_laid_in",
    "files_of",
    "forget_upload",
    "get_upload_folder",
    "list_together",
    "open_tunnel",
    "queue_of",
    "settings_known_to",
    "uvicorn_configured_by",
    "wrapping_tabs",
]


def wrapping_tabs() -> dict[str, Any]:
    """Arguments of gr.Tabs whose tabs take a second line where one is too short, and are never put into a menu."""
    return settings_known_to(gr.Tabs, overflow_behavior="wrap")


def queue_of(demo: gr.Blocks) -> Queue:
    """The queue of an app, before it is launched."""
    return demo._queue


def settings_known_to(function: Callable[..., Any], **settings: Any) -> dict[str, Any]:
    """Those of the settings that turn off what a later Gradio than 6.0 brought, where this one has it."""
    known = inspect.signature(function).parameters
    return {name: value for name, value in settings.items() if name in known}


def forget_upload(upload_id: str) -> None:
    """Forget the progress of an upload, which Gradio keeps for ever."""
    file_upload_statuses.stop_tracking(upload_id)
    file_upload_statuses._signals.pop(upload_id, None)


_BY_CONTENT = re.compile("[0-9a-f]{64}")


def files_laid_in(folder: str | os.PathLike[str]) -> Iterator[str]:
    """The files that Gradio laid into its folder: each in a folder named by the file's hash, or not whole yet, beside these.

    Whatever else lies there is not Gradio's.
    """
    with suppress(OSError), os.scandir(folder) as found:
        for one in found:
            if one.name.startswith(tempfile.gettempprefix()) and one.is_file(follow_symlinks=False):
                yield one.path
            elif _BY_CONTENT.fullmatch(one.name) and one.is_dir(follow_symlinks=False):
                with suppress(OSError):  # it was deleted meanwhile
                    yield from (os.path.join(one.path, name) for name in os.listdir(one.path))


def files_of(demo: gr.Blocks) -> set[str]:
    """The list of the files that an app made, from the moment that :func:`list_together` was called."""
    return demo.upload_file_set


def blocks_of(app: Any) -> gr.Blocks:
    """The page that an ASGI app of Gradio's serves."""
    return app.get_blocks()


def list_together(files: set[str], *blocks: Any) -> None:
    """Let components keep one list of the files that they make: each page's own copies of them kept lists that nobody knew.

    Other values, which a page has for a gr.State, keep none.
    """
    for block in blocks:
        if isinstance(block, Block):
            block.temp_files = files


def open_tunnel(port: int, token: str) -> str:
    """The address at Gradio's servers under which ``port`` of this computer is reached. Waits without a limit."""
    return networking.setup_tunnel("127.0.0.1", port, token, None, None)


def close_tunnels() -> None:
    """End the tunnels' programs of this process."""
    for tunnel in CURRENT_TUNNELS:
        tunnel.kill()


@contextmanager
def uvicorn_configured_by(configured: Callable[..., Any]) -> Iterator[None]:
    """Apps that are launched meanwhile are served by what ``configured`` makes of uvicorn.Config's arguments."""
    before = http_server.uvicorn  # pyright: ignore[reportPrivateImportUsage]
    http_server.uvicorn = SimpleNamespace(Config=configured)  # pyright: ignore[reportPrivateImportUsage, reportAttributeAccessIssue]
    try:
        yield
    finally:
        http_server.uvicorn = before  # pyright: ignore[reportPrivateImportUsage]
