"""Somebody with the link and a program of their own: whatever the page could ask for, asked by hand."""

from __future__ import annotations

import base64
import io
import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx
from PIL import Image

from fruitvision.ui.server.access import COOKIE

UPLOAD, JOIN, SERVER = "gradio_api/upload", "gradio_api/queue/join", "gradio_api/component_server/"
FILE = {"_type": "gradio.FileData"}


@dataclass(frozen=True)
class Shared:
    """An app that is shared on loopback: its address, its owner's token, the folder that it lives in, its process."""

    url: str
    token: str
    folder: Path
    pid: int

    @property
    def cookie(self) -> str:
        """What the owner's browser sends."""
        return f"{COOKIE}={self.token}"


@dataclass
class Visitor:
    """One session of one visitor."""

    client: httpx.Client
    session: str = field(default_factory=lambda: uuid.uuid4().hex)

    @cached_property
    def config(self) -> dict[str, Any]:
        """The page as the app describes it."""
        return self.client.get("config").json()

    def component(self, elem_id: str) -> int:
        """The number of the component of that name."""
        return next(one["id"] for one in self.config["components"] if one["props"].get("elem_id") == elem_id)

    def values(self, function: int) -> list[Any]:
        """What the page would send to a function at the start."""
        props = {one["id"]: one["props"] for one in self.config["components"]}
        return [props[number].get("value") for number in self.config["dependencies"][function]["inputs"]]

    def join(self, function: int, data: list[Any], event: Any = None, **headers: str) -> httpx.Response:
        """Put a call into the queue."""
        body = {"data": data, "fn_index": function, "session_hash": self.session, "event_data": event, "trigger_id": None}
        return self.client.post(JOIN, json=body, headers=headers)

    def messages(self, function: int, data: list[Any], event: Any = None, **headers: str) -> Iterator[dict[str, Any]]:
        """Call a function through the queue: what the app says, until it is done. Raises httpx.HTTPStatusError."""
        self.join(function, data, event, **headers).raise_for_status()
        with self.client.stream("GET", "gradio_api/queue/data", params={"session_hash": self.session}) as stream:
            for line in stream.iter_lines():
                if line.startswith("data:"):
                    message = json.loads(line[5:])
                    if message["msg"] == "close_stream":
                        return
                    yield message

    def call(self, function: int, data: list[Any], event: Any = None, **headers: str) -> str:
        """As :meth:`messages`, all of them as text; what the app refuses at once, as it said it."""
        try:
            return "\n".join(json.dumps(one, ensure_ascii=False) for one in self.messages(function, data, event, **headers))
        except httpx.HTTPStatusError as error:
            return error.response.text

    def run(self, function: int, data: list[Any], event: Any = None, **headers: str) -> httpx.Response:
        """Call a function beside the queue."""
        body = {"data": data, "fn_index": function, "session_hash": self.session, "event_data": event, "trigger_id": None}
        return self.client.post("gradio_api/run/predict", json=body, headers=headers)

    def serve(self, elem_id: str, name: str, data: Any, **headers: str) -> httpx.Response:
        """Call a function that belongs to a component."""
        body = {"data": data, "component_id": self.component(elem_id), "fn_name": name, "session_hash": self.session}
        return self.client.post(SERVER, json=body, headers=headers)

    def upload(self, content: bytes, name: str = "picture.jpg") -> str:
        """Where the app put an uploaded file."""
        return self.client.post(UPLOAD, files={"files": (name, content)}).json()[0]


def picture_bytes(side: int = 64, kind: str = "JPEG", colour: tuple[int, int, int] = (200, 30, 30)) -> bytes:
    """A picture of one colour, as a file."""
    buffer = io.BytesIO()
    Image.new("RGB", (side, side), colour).save(buffer, kind)
    return buffer.getvalue()


def data_url(data: bytes, kind: str = "jpeg") -> str:
    """A file as the address that holds it."""
    return f"data:image/{kind};base64," + base64.b64encode(data).decode()
