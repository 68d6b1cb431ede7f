"""``POST /api/classify`` for curl and other programs, its documentation page and its OpenAPI description, without Gradio.

The gate limits bodies, calls and connections as for the page's visitors (``gate.py``). The request's body is the picture itself,
so that no form has to be parsed.
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
"""The routes and their methods."""
INFO = "/gradio_api/info"
"""Gradio's own route, from which gradio_client learns of the endpoint."""
MAX_THREADS = 64
"""Pictures that are classified concurrently, each in a thread of its own."""

Send = Callable[[dict], Awaitable[None]]
Receive = Callable[[], Awaitable[dict]]
Answer = Callable[[bytes, Request], dict[str, Any]]
"""Takes the picture's bytes, and returns what ``predict --json`` prints, or an "error"."""


class Api:
    """An ASGI app for ``PATHS``, behind the gate.

    Args:
        answer: classifies a picture; called in a thread.
        limit: maximum size of a picture in bytes, which the gate enforces.
    """

    def __init__(self, answer: Answer, limit: int) -> None:
        self._answer, self.limit = answer, limit
        self._threads: CapacityLimiter | None = None

    def has_route(self, path: str, method: str) -> bool:
        """Whether there is a route with this path and method."""
        return method in PATHS.get(path, ())

    async def __call__(self, scope: dict, receive: Receive, send: Send) -> None:
        """Answer a request that the gate has accepted for one of ``PATHS``."""
        path = scope["fruitvision.path"]
        if path == PATH:
            status, answer = await self._classify(Request(scope, receive))
            await _send(send, status, "application/json", json.dumps(answer, ensure_ascii=False))
        elif path == DESCRIPTION:
            await _send(send, 200, "application/json", json.dumps(description(self.limit), indent=2))
        else:
            page = render("ui/api/page.html", say=say, languages=list(LANGUAGES), path=PATH.lstrip("/"), megabytes=self.limit >> 20)
            await _send(send, 200, "text/html; charset=utf-8", str(page))

    async def _classify(self, request: Request) -> tuple[int, dict[str, Any]]:
        self._threads = self._threads or CapacityLimiter(MAX_THREADS)  # created here: it belongs to the running event loop
        answer = await to_thread.run_sync(self._answer, await request.body(), request, limiter=self._threads)
        if "error" in answer:
            return 503, answer
        return (422 if any("error" in one for one in answer["predictions"]) else 200), answer


async def _send(send: Send, status: int, kind: str, text: str) -> None:
    body = text.encode()
    headers = [(b"content-type", kind.encode()), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def description(limit: int) -> dict[str, Any]:
    """The API's OpenAPI 3.1 description. ``limit``: maximum size of a picture in bytes."""
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
