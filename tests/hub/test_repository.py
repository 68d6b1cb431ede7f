"""The Hub through its own package, against a small server on this computer that answers as the Hub's HTTP API does."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch

import fruitvision
from fruitvision.data.augment.transforms import EvalTransform
from fruitvision.errors import CheckpointError
from fruitvision.hub.repository import fetch, is_repository
from fruitvision.models.checkpoint import CheckpointConfig, find_checkpoint, load_checkpoint, save_checkpoint
from fruitvision.models.networks import build_network

pytest.importorskip("huggingface_hub")
COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub(BaseHTTPRequestHandler):
    """One repository, user/fruit, with whatever was committed to it."""

    files: dict[str, bytes] = {}
    declared: dict[str, int] = {}
    """Sizes that it declares, where these are not the content's."""
    status = 0
    """What it answers whatever it is asked, where it is down."""
    asked: list[str] = []

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        self.asked.append(self.path)
        if self.status:
            self._json({"error": "down"}, self.status)
        elif self.path.startswith(("/api/models/user/fruit/revision/main", f"/api/models/user/fruit/revision/{COMMIT}")):
            self._json({"id": "user/fruit", "sha": COMMIT, "siblings": [{"rfilename": name} for name in self.files]})
        elif self.path.startswith("/user/fruit/resolve/") and self.path.rpartition("/")[2] in self.files:
            content = self.files[self.path.rpartition("/")[2]]
            declared = self.declared.get(self.path.rpartition("/")[2])
            more = {"Content-Length": str(declared)} if declared else {}
            self._send(200, content, {**more, "ETag": f'"{hashlib.sha256(content).hexdigest()}"', "X-Repo-Commit": COMMIT})
        else:
            self._json({"error": "Repository not found"}, 404, {"X-Error-Code": "RepoNotFound"})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path == "/api/repos/create":
            self._json({"url": "http://127.0.0.1/user/fruit", "id": "user/fruit", "name": "user/fruit"})
        elif "/preupload/" in self.path:
            names = [one["path"] for one in json.loads(body)["files"]]
            self._json({"files": [{"path": name, "uploadMode": "regular", "shouldIgnore": False} for name in names]})
        elif "/commit/" in self.path:
            for line in body.splitlines():
                own = json.loads(line)
                if own["key"] == "file":
                    self.files[own["value"]["path"]] = base64.b64decode(own["value"]["content"])
            self._json({"commitUrl": f"http://127.0.0.1/user/fruit/commit/{COMMIT}", "commitOid": COMMIT, "success": True})
        else:
            self._json({}, 200)

    def _json(self, values: dict, status: int = 200, headers: dict | None = None) -> None:
        self._send(status, json.dumps(values).encode(), {"Content-Type": "application/json", **(headers or {})})

    def _send(self, status: int, content: bytes, headers: dict) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, *words: object) -> None:
        pass


@pytest.fixture
def hub(tmp_path, monkeypatch) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(Hub, "files", {})
    monkeypatch.setattr(Hub, "declared", {})
    monkeypatch.setattr(Hub, "asked", [])
    monkeypatch.setenv("HF_ENDPOINT", address)
    monkeypatch.setenv("HF_TOKEN", "hf_of_the_tests")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)  # it is on in all tests
    yield address
    server.shutdown()
    server.server_close()


def checkpoint(folder: Path) -> Path:
    names = ("Apple", "Banana")
    torch.manual_seed(0)
    config = CheckpointConfig(width=8, classes=names, fruit_types=names, transform=EvalTransform(resize=32, crop=32))
    return save_checkpoint(folder, build_network(num_classes=2, width=8), config)


@pytest.mark.parametrize(("file", "size"), [("config.json", 10**9), ("model.safetensors", 10**12), ("README.md", 10**9)])
def test_a_repository_of_any_size_is_not_fetched(hub, tmp_path, file, size):
    fruitvision.push(checkpoint(tmp_path / "mine"), "user/fruit")
    Hub.declared[file] = size
    with pytest.raises(CheckpointError) as caught:
        fetch("hf://user/fruit")
    assert caught.value.code == "hub-too-large" and file in str(caught.value)
    assert not list((tmp_path / "cache").rglob(f"snapshots/*/{file}"))


def test_what_was_pushed_is_loaded_by_its_name(hub, tmp_path):
    own = checkpoint(tmp_path / "mine")
    assert fruitvision.push(own, "user/fruit") == f"{hub}/user/fruit"
    assert set(Hub.files) == {"model.safetensors", "config.json", "README.md"}
    Hub.files["evil.pkl"] = b"not fetched"
    folder = find_checkpoint("hf://user/fruit")
    assert sorted(path.name for path in folder.iterdir()) == ["README.md", "config.json", "model.safetensors"]
    x = torch.zeros(1, 3, 32, 32)
    with torch.inference_mode():
        assert torch.allclose(load_checkpoint(folder)[0](x).logits, load_checkpoint(own)[0](x).logits, atol=1e-2)
    assert fruitvision.load("hf://user/fruit@main").classes == ("Apple", "Banana")


def test_a_repository_that_is_not_there_and_a_hub_that_is_not_reached_are_sentences(hub, monkeypatch):
    with pytest.raises(CheckpointError) as caught:
        fetch("hf://nobody/nothing")
    assert caught.value.code == "hub-missing" and "hf auth login" in str(caught.value)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    started = time.monotonic()
    with pytest.raises(CheckpointError) as caught:
        fetch("hf://user/other")
    assert caught.value.code == "hub-unreachable" and "user/other" in str(caught.value)
    assert time.monotonic() - started < 10, "it is said at once, and not after huggingface_hub's five further tries"


def test_what_was_fetched_before_is_loaded_without_a_connection(hub, tmp_path, monkeypatch):
    fruitvision.push(checkpoint(tmp_path / "mine"), "user/fruit")
    folder = fetch("hf://user/fruit")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    for name in ("hf://user/fruit", "hf://user/fruit@main", f"hf://user/fruit@{COMMIT}"):
        assert fetch(name) == folder
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert fetch("hf://user/fruit") == folder
    with pytest.raises(CheckpointError, match="offline") as caught:
        fetch("hf://user/fruit@other")
    assert caught.value.code == "hub-unreachable"


def test_what_was_fetched_in_part_is_given_up_at_once_without_a_connection(hub, tmp_path, monkeypatch):
    fruitvision.push(checkpoint(tmp_path / "mine"), "user/fruit")
    (fetch("hf://user/fruit") / "model.safetensors").unlink()
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    started = time.monotonic()
    with pytest.raises(CheckpointError) as caught:
        fetch("hf://user/fruit")
    assert caught.value.code == "hub-unreachable" and time.monotonic() - started < 10


def test_a_hub_that_is_down_is_asked_once_and_its_answer_is_said(hub, monkeypatch):
    monkeypatch.setattr(Hub, "status", 503)
    with pytest.raises(CheckpointError, match="503") as caught:
        fetch("hf://user/fruit")
    assert caught.value.code == "hub-unreachable" and len(Hub.asked) == 1
    monkeypatch.setattr(Hub, "status", 403)
    with pytest.raises(CheckpointError, match="403"):
        fetch("hf://user/fruit")


def test_a_mirrors_address_may_end_in_a_slash(hub, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", f"{hub}/")
    assert fruitvision.push(checkpoint(tmp_path / "mine"), "user/fruit") == f"{hub}/user/fruit"
    fetch("hf://user/fruit")
    assert not [path for path in Hub.asked if path.startswith("//")]


@pytest.mark.parametrize(
    "name",
    ["hf://user", "hf://../x/y", "hf://user/name/more", "hf://user/a b", "hf://user/..", "hf://../x", "hf://u/n@../../x", "hf://u/n@/x"]
    + ["hf://user/a--b", "hf://user/a..b", "hf://user/a.git", "hf://user/a.git@main", "hf://user/a-", "hf://user-/a", "hf://a--b/c"],
)
def test_what_is_no_name_is_refused_before_anything_is_asked(name):
    assert is_repository(name)
    with pytest.raises(CheckpointError) as caught:
        fetch(name)
    assert caught.value.code == "hub-name"


def test_torch_hub_loads_the_networks(shipped_checkpoint, project):
    network = torch.hub.load(str(project), "fruits_360", source="local")
    with torch.inference_mode():
        assert network(torch.zeros(1, 3, 64, 64)).logits.shape[0] == 1


@pytest.mark.parametrize("name", ["hf://user/fruit@x--y", "hf://user/a-b.c_d", "hf:/user/fruit"])
def test_what_may_be_a_name_is_asked_for(hub, name):
    with pytest.raises(CheckpointError) as caught:
        fetch(name)
    assert caught.value.code in ("hub-missing", "hub-unreachable") and Hub.asked
