"""Gradio's picture component and dropdown with another check of what the page sends, and data URLs of pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr
from gradio.data_classes import ImageData

from fruitvision.data.read.base64_picture import decode_picture
from fruitvision.data.read.picture import MAX_PIXELS
from fruitvision.errors import PictureError
from fruitvision.ui.page.scripts import script
from fruitvision.wording.text import LANGUAGES, say, say_error

MAX_UPLOAD_BYTES = 10 * 2**20
PICTURE_IDS = ("classify-picture", "norm-effect-picture", "same-picture-picture")
"""The element ids of all picture components."""


def prepare_upload_script() -> str:
    """JavaScript that scales down pictures that are too large, or shows an error if it cannot.

    HEIC, AVIF and JPEG XL are converted to JPEG if the browser can decode them, since the server may not be able to.
    """
    error = PictureError("picture-too-large", picture="", size=f"> {MAX_UPLOAD_BYTES >> 20} MB", limit=f"{MAX_UPLOAD_BYTES >> 20} MB")
    return script(
        Path(__file__).parent / "client" / "prepare_upload.js",
        LIMIT=MAX_UPLOAD_BYTES,
        PIXELS=MAX_PIXELS,
        PICTURE_SELECTOR=", ".join(f"#{place}" for place in PICTURE_IDS),
        WORDS={language: say_error(error, language) for language in LANGUAGES},
        BROKEN_WORDS={language: say("classify.not_shown", language) for language in LANGUAGES},
        KEPT_WORDS={language: say("classify.kept_picture", language) for language in LANGUAGES},
        OTHER_WORDS={language: say("classify.not_a_picture", language) for language in LANGUAGES},
    )


class CheckedImage(gr.Image):
    """A picture component that passes the upload to the handler without decoding it.

    Gradio's own preprocessing decodes uploads before the handler runs. Here the handler first checks them with
    ``data/read/picture.py``, and shows a failed check as a sentence in the visitor's language.
    """

    def preprocess(self, payload: ImageData | None) -> Path | bytes | None:
        """The uploaded file's path, or the bytes of a data URL, not decoded. Raises gr.Error, which is shown as a toast."""
        if payload is None:
            return None
        if payload.url and payload.url.startswith("data:"):
            try:
                return data_url_bytes(payload.url, MAX_UPLOAD_BYTES)
            except PictureError as error:  # in all languages: the visitor's is not known here
                raise gr.Error(" ".join(say_error(error, language) for language in LANGUAGES)) from error
        return Path(payload.path) if payload.path else None

    def get_block_name(self) -> str:
        """The name of the frontend component: that of gr.Image."""
        return "image"


class ListedDropdown(gr.Dropdown):
    """A dropdown for choices that come and go, such as folders, runs and studies: it passes any text to the handler, which looks it up.

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


def data_url_bytes(url: Any, limit: int) -> bytes:
    """The bytes of a picture's base64 data URL. Raises PictureError if it is invalid, or has more than ``limit`` bytes."""
    if not isinstance(url, str) or not url.startswith("data:image/") or ";base64," not in url[:64]:
        raise PictureError("picture-not-an-image", picture="")
    return decode_picture(url.partition(",")[2], limit)


def picture_input(elem_id: str, height: int) -> CheckedImage:
    """A component to upload or paste a picture, without buttons over the picture."""
    return CheckedImage(sources=["upload", "clipboard"], type="filepath", height=height, show_label=True, elem_id=elem_id, buttons=[])
