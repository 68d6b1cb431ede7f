"""``POST /api/classify`` for curl and other programs, its page and its OpenAPI description; Gradio has no part in it.

The gate bounds bodies, calls and connections as it does a visitor's (``gate.py``). A picture is the request's whole body, so
that no form has to be parsed.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

from anyio import CapacityLimiter, to_thread
from starlette.requests import Request

from fruitvision import __version__
from fruitvision.report.markup import render
from fruitvision.wording.text import LANGUAGES, say

PATH, DESCRIPTION, PAGE = "/api/classify", "/api/openapi.json", "/api"
PATHS = {PATH: ("POST",), DESCRIPTION: ("GET", "HEAD"), PAGE: ("GET", "HEAD")}
"""What there is, and by which methods."""
INFO = "/gradio_api/info"
"""Gradio's own route, by which gradio_client learns of the endpoint."""
AT_ONCE = 64
"""Pictures that are answered at the same time, each from a thread of its own."""

Send = Callable[[dict], Awaitable[None]]
Receive = Callable[[], Awaitable[dict]]
Answer = Callable[[bytes, Request], dict[str, Any]]
"""Gets the picture's bytes, and returns what ``predict --json`` prints, or an "error"."""


class Api:
    """ASGI app for ``PATHS``, behind the gate.

    Args:
        answer: classifies; it is called in a thread.
        limit: bytes of a picture, which the gate holds.
    """

    def __init__(self, answer: Answer, limit: int) -> None:
        self._answer, self.limit = answer, limit
        self._threads: CapacityLimiter | None = None

    def holds(self, path: str, method: str) -> bool:
        """Whether there is such a route below the app's."""
        return method in PATHS.get(path, ())

    async def __call__(self, scope: dict, receive: Receive, send: Send) -> None:
        """Answer a request that the gate let in, on a path that it found in ``PATHS``."""
        path = scope["fruitvision.path"]
        if path == PATH:
            status, found = await self._classified(Request(scope, receive))
            await _send(send, status, "application/json", json.dumps(found, ensure_ascii=False))
        elif path == DESCRIPTION:
            await _send(send, 200, "application/json", json.dumps(description(self.limit), indent=2))
        else:
            page = render("ui/api/page.html", say=say, languages=list(LANGUAGES), path=PATH.lstrip("/"), megabytes=self.limit >> 20)
            await _send(send, 200, "text/html; charset=utf-8", str(page))

    async def _classified(self, request: Request) -> tuple[int, dict[str, Any]]:
        self._threads = self._threads or CapacityLimiter(AT_ONCE)  # it belongs to the running event loop
        found = await to_thread.run_sync(self._answer, await request.body(), request, limiter=self._threads)
        if "error" in found:
            return 503, found
        return (422 if any("error" in one for one in found["predictions"]) else 200), found


async def _send(send: Send, status: int, kind: str, text: str) -> None:
    body = text.encode()
    headers = [(b"content-type", kind.encode()), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def description(limit: int) -> dict[str, Any]:
    """The API in OpenAPI 3.1; ``limit``: bytes of a picture."""
    text = {"type": "string"}
    share = {"type": "number", "minimum": 0, "maximum": 1}
    guess = _object({"label": text, "fruit_type": text, "probability": share})
    error = _object({"code": text, "message": text, "facts": {"type": "object"}})
    fields = {
        "image": text,
        "label": text,
        "fruit_type": text,
        "confidence": share,
        "verdict": {"enum": ["sure", "unsure", "not-fruit"]},
        "top": {"type": "array", "items": guess, "description": "Best first, one guess for each fruit type."},
        "note": {"type": "string", "description": "What is wrong with the file, which could be read all the same."},
        "error": {**error, "description": "In place of the answer, where the picture cannot be read."},
    }
    prediction = {"type": "object", "properties": fields, "required": ["image"]}
    answers = {"type": "object", "properties": {"predictions": {"type": "array", "items": prediction}}, "required": ["predictions"]}
    picture = {"schema": {"type": "string", "format": "binary"}}
    refused = {"text/plain": {"schema": text}}
    limits = f"A picture has at most {limit >> 20} MB; 413 says that it is larger, and 503 that there is no room at the moment."
    operation = {
        "operationId": "classify",
        "summary": "Classify a picture",
        "description": f"The request's body is the picture: JPEG, PNG, WebP, HEIC, AVIF, GIF, BMP or TIFF. {limits}",
        "requestBody": {"required": True, "content": {"image/*": picture, "application/octet-stream": picture}},
        "responses": {
            "200": {"description": "What `fruitvision predict --json` prints.", "content": _json(answers)},
            "413": {"description": "The picture is too large.", "content": refused},
            "422": {"description": "The picture cannot be read; its prediction holds the error.", "content": _json(answers)},
            "503": {
                "description": "There is no room at the moment, or no network.",
                "content": {**refused, **_json(_object({"error": error}))},
            },
        },
    }
    info = {"title": "FruitVision", "version": __version__}
    return {"openapi": "3.1.0", "info": info, "servers": [{"url": ".."}], "paths": {PATH: {"post": operation}}}


def _object(fields: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": fields, "required": list(fields)}


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}
