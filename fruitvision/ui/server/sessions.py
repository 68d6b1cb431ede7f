"""The state that the server keeps for each open page, without the copies of component values that only deep links use.

Gradio keeps a description of every component with its value for each page (``config_values``), long after the page was closed.
Only deep links read it, which this app does not serve.
"""

from __future__ import annotations

from collections import OrderedDict
from types import SimpleNamespace
from typing import Any, cast

import gradio as gr
from fastapi import HTTPException

from fruitvision.ui.gradio_internals import SessionState, StateHolder, files_of, replace_session_state, share_file_list
from fruitvision.ui.server.access import CALLER, Caller
from fruitvision.ui.server.limits import is_valid_id, to_evict


class Session(SessionState):
    """The state of one page, without ``config_values``."""

    def __init__(self, blocks: gr.Blocks) -> None:
        empty = SimpleNamespace(default_config=blocks.default_config, blocks={})  # Gradio describes each of ``blocks``
        super().__init__(cast(gr.Blocks, empty))
        self._files = files_of(blocks)

    def __setitem__(self, key: int, value: Any) -> None:
        """As Gradio's, without the description; the component's files are listed with the app's."""
        share_file_list(self._files, value)
        super().__setitem__(key, value)
        self.config_values.clear()

    def _update_config(self, key: int) -> None:
        """Keep no description."""

    def _update_value_in_config(self, key: int, value: Any) -> None:
        """Keep no description."""


class Sessions(StateHolder):
    """The open pages, by session hash."""

    PAGES = 16
    """Maximum pages of one visitor; beyond that, the visitor's oldest is dropped."""

    def __init__(self) -> None:
        super().__init__()
        self._callers: OrderedDict[str, Caller] = OrderedDict()

    @classmethod
    def of(cls, demo: gr.Blocks) -> Sessions:
        """Replace Gradio's state holder, after ``demo`` was launched."""
        sessions = cls()
        sessions.set_blocks(demo)
        demo.app.state_holder = sessions
        replace_session_state(Session)
        return sessions

    def __getitem__(self, session_id: str) -> SessionState:
        """The state of a page, created on first use. Raises HTTPException for an invalid id.

        Gradio takes an empty id for none in one place, and for one in another, where it would print a traceback of the exception.
        """
        if session_id == "":
            return Session(self.blocks)
        if not is_valid_id(session_id):
            raise HTTPException(400, "The session has no such name.")
        if session_id not in self:
            caller = CALLER.get(Caller(True))
            if evicted := to_evict(self._callers.items(), caller, self.PAGES, self.capacity):
                self._drop(evicted)
            self._callers[session_id] = caller
            self.session_data[session_id] = Session(self.blocks)
        return super().__getitem__(session_id)

    def update(self, session_id: str) -> None:
        """Mark the page as most recently used. Gradio's method also drops the least recently used page, whosever it is."""
        with self.lock:
            for by_session in (self.session_data, self._callers):
                if session_id in by_session:
                    by_session.move_to_end(session_id)

    def _drop(self, session_id: str) -> None:
        for by_session in (self._callers, self.session_data, self.time_last_used):
            by_session.pop(session_id, None)
