"""What the app remembers of each open page: what later calls are checked against, and no more.

Gradio keeps, for each page, a description of every component with all it shows (``config_values``), long after the page was
closed. Only deep links read it, which this app does not serve.
"""

from __future__ import annotations

from collections import OrderedDict
from types import SimpleNamespace
from typing import Any, cast

import gradio as gr
from fastapi import HTTPException

from fruitvision.ui.gradio_internals import SessionState, StateHolder, files_of, list_together
from fruitvision.ui.server.access import CALLER, Caller
from fruitvision.ui.server.places import is_id, surplus


class Session(SessionState):
    """One page, without a description of what it shows."""

    def __init__(self, blocks: gr.Blocks) -> None:
        empty = SimpleNamespace(default_config=blocks.default_config, blocks={})  # it describes what is in ``blocks``
        super().__init__(cast(gr.Blocks, empty))
        self._files = files_of(blocks)

    def __setitem__(self, key: int, value: Any) -> None:
        """As Gradio's, without the description that it makes; the files that are shown stand in the app's own list."""
        list_together(self._files, value)
        super().__setitem__(key, value)
        self.config_values.clear()

    def _update_config(self, key: int) -> None:
        """Describe nothing."""

    def _update_value_in_config(self, key: int, value: Any) -> None:
        """Describe nothing."""


class Sessions(StateHolder):
    """The pages, by the hash of their session."""

    PAGES = 16
    """Of one visitor, beyond which the visitor's oldest is forgotten."""

    def __init__(self) -> None:
        super().__init__()
        self._callers: OrderedDict[str, Caller] = OrderedDict()

    @classmethod
    def of(cls, demo: gr.Blocks) -> Sessions:
        """Take the place of Gradio's own memory, once ``demo`` is launched."""
        sessions = cls()
        sessions.set_blocks(demo)
        demo.app.state_holder = sessions
        return sessions

    def __getitem__(self, session_id: str) -> SessionState:
        """The page, known from now on. Raises HTTPException for a name that no page has."""
        if not is_id(session_id):
            raise HTTPException(400, "The session has no such name.")
        if session_id not in self:
            caller = CALLER.get(Caller(True))
            if gone := surplus(self._callers.items(), caller, self.PAGES, self.capacity):
                self._forget(gone)
            self._callers[session_id] = caller
            self.session_data[session_id] = Session(self.blocks)
        return super().__getitem__(session_id)

    def update(self, session_id: str) -> None:
        """Note that the page is used. Gradio's forgets the page unused for longest here, whosever it is."""
        with self.lock:
            for known in (self.session_data, self._callers):
                if session_id in known:
                    known.move_to_end(session_id)

    def _forget(self, session_id: str) -> None:
        for kept in (self._callers, self.session_data, self.time_last_used):
            kept.pop(session_id, None)
