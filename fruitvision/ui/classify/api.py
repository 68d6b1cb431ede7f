"""Classification for programs: ``Client.predict(…, api_name="/classify")`` of gradio_client, and ``POST /api/classify``.

Both answer as ``predict --json`` does, and as for a visitor: without taught classes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr

from fruitvision.data.read.decode_gate import decoding_for
from fruitvision.errors import FruitVisionError, PictureError
from fruitvision.ui.classify.panel import CONCURRENCY_LIMIT
from fruitvision.ui.page.components import CheckedImage
from fruitvision.ui.page.context import Context

API_NAME = "classify"


def build_endpoint(context: Context) -> None:
    """Build the endpoint "/classify", with hidden components."""

    def classify(picture: Path | bytes | None, request: gr.Request) -> dict[str, Any]:
        """Classify a picture; returns what `python -m fruitvision predict --json` prints."""
        if picture is None:
            return no_picture_answer()
        return classify_json(context, picture, picture.name if isinstance(picture, Path) else "", request)

    picture = CheckedImage(visible=False, type="filepath", label="picture", elem_id="api-picture")
    answer = gr.JSON(visible=False, label="predictions", elem_id="api-answer")
    gr.Button(visible=False).click(classify, picture, answer, api_name=API_NAME, concurrency_limit=CONCURRENCY_LIMIT)


def classify_json(context: Context, picture: Path | bytes, name: str, request: Any) -> dict[str, Any]:
    """The answer of the default model, as printed by ``predict --json``; ``request`` is Gradio's or Starlette's.

    For a picture that cannot be read, the prediction has an "error"; for other failures, there is an "error" instead of predictions.
    """
    try:
        batcher = context.models.batcher(None)
        with decoding_for(*context.access.quota_keys(request)):
            return {"predictions": [batcher.submit(picture).as_dict(name)]}
    except PictureError as error:
        return {"predictions": [{"image": name, "error": error.as_dict()}]}
    except FruitVisionError as error:
        return {"error": error.as_dict()}


def no_picture_answer() -> dict[str, Any]:
    """The answer to a request without a picture."""
    return {"predictions": [{"image": "", "error": PictureError("picture-not-an-image", picture="").as_dict()}]}
