"""``fruitvision mcp``: a server of the Model Context Protocol, by which an assistant program classifies pictures.

Needs the package ``mcp`` (the extra ``mcp``). On standard input and output it runs with the rights of the user who started it, and
accepts paths of files. Over HTTP it only answers this computer, and accepts the picture itself but no path.
"""

from __future__ import annotations

import functools
import importlib
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fruitvision import __version__
from fruitvision.data.read.base64_picture import decode_picture
from fruitvision.errors import CheckpointError, FruitVisionError, PictureError
from fruitvision.files import clean_path
from fruitvision.models.checkpoint import read_config, shipped
from fruitvision.recognition.classifier import Classifier
from fruitvision.runs.folder import list_runs

MAX_PICTURE_BYTES = 10 * 2**20
PATH = "/mcp"
INSTRUCTIONS = "Recognises fruit and vegetables in pictures. Start with classify_image; list_models names the networks that can answer."


class Assistant:
    """The implementation of the tools. Models are looked up in a list; a name is never used as a path.

    Args:
        runs: the folder of runs, whose finished networks are available beside the shipped ones.
    """

    def __init__(self, runs: Path) -> None:
        self._runs = runs
        self._loaded: tuple[str, Classifier] | None = None
        self._lock = threading.Lock()

    def models(self) -> dict[str, Path]:
        """The checkpoint folders by name, the default first."""
        found = {path.name: path for path in shipped()}
        done = [run for run in list_runs(self._runs) if run.has_checkpoint and run.status().state == "finished"]
        return found | {f"run:{run.id}": run.best for run in done}

    def list_models(self) -> list[dict[str, Any]]:
        """The available networks, the default first: name, classes, fruit types, metrics."""
        listed = []
        for name, folder in self.models().items():
            config = read_config(folder)
            own = {"name": name, "architecture": config.architecture, "classes": len(config.classes)}
            listed.append({**own, "fruit_types": sorted(set(config.fruit_types)), "metrics": config.metrics})
        return listed

    def classify(self, picture: Path | bytes, name: str, model: str | None) -> dict[str, Any]:
        """Classify a picture; the result is that of ``predict --json``. Raises PictureError, CheckpointError "model-unknown"."""
        with self._lock:  # one picture at a time, since a second network would double the memory
            return self._classifier(model).predict(picture).as_dict(name)

    def _classifier(self, model: str | None) -> Classifier:
        models = self.models()
        name = model or next(iter(models), "")
        if name not in models:
            raise CheckpointError("model-unknown", model=name[:100], models=", ".join(models))
        if self._loaded is None or self._loaded[0] != name:
            self._loaded = name, Classifier.from_checkpoint(models[name])
        return self._loaded[1]


def serve(runs: Path, *, port: int | None = None) -> None:
    """Serve on standard input and output until the client disconnects, or with ``port`` over HTTP on this computer.

    Raises FruitVisionError "mcp-missing".
    """
    server_class, security = _package()
    # Errors alone: at its other levels it writes what a client sends, however long, into the console, while nobody else is answered.
    server = server_class("fruitvision", version=__version__, instructions=INSTRUCTIONS, log_level="ERROR")
    assistant = Assistant(runs)
    server.tool()(_by_picture(assistant) if port else _by_path(assistant))

    @server.tool()
    def list_models() -> dict[str, Any]:
        """List the networks that can classify, the default first, with their fruit types and measured accuracy."""
        return {"models": assistant.list_models()}

    if port is None:
        server.run("stdio")
        return
    names = [f"{name}:{port}" for name in ("127.0.0.1", "localhost")]
    server.run(
        "streamable-http",
        host="127.0.0.1",
        port=port,
        streamable_http_path=PATH,
        stateless_http=True,
        max_request_body_size=MAX_PICTURE_BYTES * 4 // 3 + 2**16,
        # Requests of other sites are rejected, including those by DNS rebinding.
        transport_security=security(allowed_hosts=names, allowed_origins=[f"http://{name}" for name in names]),
    )


def _package() -> tuple[Any, Any]:
    try:
        server, security = map(importlib.import_module, ("mcp.server", "mcp.server.transport_security"))
        return server.MCPServer, security.TransportSecuritySettings
    except (ImportError, AttributeError) as error:  # not installed, or older than 2
        raise FruitVisionError("mcp-missing") from error


def _by_path(assistant: Assistant) -> Callable[..., dict[str, Any]]:
    def classify_image(path: str = "", data: str = "", model: str | None = None) -> dict[str, Any]:
        """Say which fruit a picture shows, how sure the network is ("sure", "unsure", "not-fruit"), and its next guesses.

        Args:
            path: the picture's file on this computer.
            data: or the picture itself, in base64.
            model: a name from list_models; the default network without.
        """
        if path:
            file = clean_path(path)
            return assistant.classify(file, str(file), model)
        return assistant.classify(_decoded(data), "", model)

    return _explained(classify_image)


def _by_picture(assistant: Assistant) -> Callable[..., dict[str, Any]]:
    def classify_image(data: str, model: str | None = None) -> dict[str, Any]:
        """Say which fruit a picture shows, how sure the network is ("sure", "unsure", "not-fruit"), and its next guesses.

        Args:
            data: the picture's file, in base64.
            model: a name from list_models; the default network without.
        """
        return assistant.classify(_decoded(data), "", model)

    return _explained(classify_image)


def _explained(tool: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    """Wrap a tool so that its errors are returned to the client as sentences."""
    tool_error = importlib.import_module("mcp.server.mcpserver.exceptions").ToolError

    @functools.wraps(tool)
    def explained(*given: Any, **named: Any) -> dict[str, Any]:
        try:
            return tool(*given, **named)
        except FruitVisionError as error:
            raise tool_error(str(error)) from error

    return explained


def _decoded(data: str) -> bytes:
    picture = decode_picture(data.partition(",")[2] if data.startswith("data:") else data, MAX_PICTURE_BYTES)
    if not picture:
        raise PictureError("picture-not-an-image", picture="")
    return picture
