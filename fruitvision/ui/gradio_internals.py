"""All uses of Gradio's undocumented names, in one place.

Written for Gradio 6.31, and tested with 6.0, the oldest supported version.

``tests/ui/test_gradio_internals.py`` fails for each name that is missing or takes other arguments.
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
from gradio import http_server, networking, route_utils
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
    "gradio_files_in",
    "files_of",
    "forget_upload",
    "get_upload_folder",
    "share_file_list",
    "open_tunnel",
    "queue_of",
    "replace_session_state",
    "settings_known_to",
    "uvicorn_config_replaced",
    "wrapping_tabs",
]


def wrapping_tabs() -> dict[str, Any]:
    """Arguments of gr.Tabs that let the tabs wrap to a second line, instead of moving some into a menu."""
    return settings_known_to(gr.Tabs, overflow_behavior="wrap")


def queue_of(demo: gr.Blocks) -> Queue:
    """The queue of an app, before it is launched."""
    return demo._queue


def settings_known_to(function: Callable[..., Any], **settings: Any) -> dict[str, Any]:
    """Those keyword arguments that ``function`` has in the installed Gradio; some came after 6.0."""
    parameters = inspect.signature(function).parameters
    return {name: value for name, value in settings.items() if name in parameters}


def forget_upload(upload_id: str) -> None:
    """Delete the progress of an upload, which Gradio never does."""
    file_upload_statuses.stop_tracking(upload_id)
    file_upload_statuses._signals.pop(upload_id, None)


_HASH = re.compile("[0-9a-f]{64}")


def gradio_files_in(folder: str | os.PathLike[str]) -> Iterator[str]:
    """Gradio's files in its upload folder: complete ones are in folders named by their hash, incomplete ones beside these.

    Other files in the folder are not Gradio's.
    """
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(tempfile.gettempprefix()) and entry.is_file(follow_symlinks=False):
                yield entry.path
            elif _HASH.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False):
                with suppress(OSError):  # deleted meanwhile
                    yield from (os.path.join(entry.path, name) for name in os.listdir(entry.path))


def files_of(demo: gr.Blocks) -> set[str]:
    """The files that an app created, complete once :func:`share_file_list` was called."""
    return demo.upload_file_set


def blocks_of(app: Any) -> gr.Blocks:
    """The Blocks that an ASGI app of Gradio's serves."""
    return app.get_blocks()


def share_file_list(files: set[str], *blocks: Any) -> None:
    """Let components add the files that they create to one set: otherwise each page's copies of them would have sets of their own.

    Values of a gr.State, which are no components, are skipped.
    """
    for block in blocks:
        if isinstance(block, Block):
            block.temp_files = files


def replace_session_state(session: type[SessionState]) -> None:
    """Keep the state of a call without a session hash in ``session``: Gradio's own class describes every component for each such call."""
    route_utils.SessionState = session  # pyright: ignore[reportPrivateImportUsage, reportAttributeAccessIssue]


def open_tunnel(port: int, token: str) -> str:
    """Open a tunnel to ``port`` of this computer, and return its public URL. Waits without a time limit."""
    return networking.setup_tunnel("127.0.0.1", port, token, None, None)


def close_tunnels() -> None:
    """Stop the tunnel processes of this app."""
    for tunnel in CURRENT_TUNNELS:
        tunnel.kill()


@contextmanager
def uvicorn_config_replaced(config: Callable[..., Any]) -> Iterator[None]:
    """Apps that are launched inside the block create their uvicorn.Config by ``config``."""
    original = http_server.uvicorn  # pyright: ignore[reportPrivateImportUsage]
    http_server.uvicorn = SimpleNamespace(Config=config)  # pyright: ignore[reportPrivateImportUsage, reportAttributeAccessIssue]
    try:
        yield
    finally:
        http_server.uvicorn = original  # pyright: ignore[reportPrivateImportUsage]
