"""The dropdown for choices that come and go while the page is open, such as folders, runs and studies."""

from __future__ import annotations

from typing import Any

import gradio as gr


class ListedDropdown(gr.Dropdown):
    """A dropdown that passes any text to the handler, which looks it up.

    Gradio's own refuses a value that is not among the choices it was sent last, and with it every event that has the dropdown as an
    input. A folder that was deleted, or a list that lost it, would thereby stop all of a panel's updates until the page is reloaded,
    those of the list itself among them.
    """

    def preprocess(self, payload: Any) -> Any:
        """The selected value. Raises gr.Error for anything but text."""
        return payload if isinstance(payload, str) else super().preprocess(payload)

    def get_block_name(self) -> str:
        """The name of the frontend component: that of gr.Dropdown."""
        return "dropdown"
