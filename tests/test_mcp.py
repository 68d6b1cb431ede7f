"""``fruitvision mcp`` as an assistant program meets it: a process of its own, spoken to by the protocol's own client."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from fruitvision.errors import CheckpointError, PictureError
from fruitvision.mcp import Assistant, _decoded
from tests.ui.visitor import picture_bytes

PROJECT = Path(__file__).resolve().parents[1]


@pytest.fixture
def picture(tmp_path) -> Path:
    path = tmp_path / "red.jpg"
    path.write_bytes(picture_bytes())
    return path


def test_the_tools_are_there_and_answer_as_predict_does(picture, tmp_path, shipped_checkpoint):
    pytest.importorskip("mcp", reason='run: pip install "fruitvision[mcp]"')
    from mcp.client.session import ClientSession
    from mcp.client.stdio import StdioServerParameters, stdio_client

    async def ask():
        command = ["-m", "fruitvision", "mcp", "--runs", str(tmp_path / "runs")]
        server = StdioServerParameters(command=sys.executable, args=command, cwd=PROJECT, env={**os.environ})
        async with stdio_client(server) as streams, ClientSession(*streams) as session:
            await session.initialize()
            tools = [tool.name for tool in (await session.list_tools()).tools]
            calls = [("list_models", {}), ("classify_image", {"path": str(picture), "model": "fruits-360"})]
            calls += [("classify_image", {"path": str(picture.with_name("gone.jpg"))}), ("classify_image", {"path": "x", "model": "../x"})]
            return tools, [await session.call_tool(*call) for call in calls]

    tools, (models, answer, *wrong) = asyncio.run(ask())
    assert sorted(tools) == ["classify_image", "list_models"]
    assert "fruits-360" in models.content[0].text
    assert json.loads(answer.content[0].text)["verdict"] in ("sure", "unsure", "not-fruit")
    assert "gone.jpg" in wrong[0].content[0].text and "no network called '../x'" in wrong[1].content[0].text
    assert all("Traceback" not in one.content[0].text for one in wrong)


def test_over_http_a_picture_is_sent_and_another_sites_page_is_refused(picture, tmp_path, shipped_checkpoint):
    pytest.importorskip("mcp", reason='run: pip install "fruitvision[mcp]"')
    from mcp.client.session import ClientSession
    from mcp.client.streamable_http import streamable_http_client

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "fruitvision", "mcp", "--http", "--port", str(port), "--runs", str(tmp_path / "runs")]
    console = tmp_path / "console.txt"
    with console.open("wb") as output:
        server = subprocess.Popen(command, cwd=PROJECT, stdout=output, stderr=output)

    async def ask():
        async with streamable_http_client(f"http://127.0.0.1:{port}/mcp") as streams, ClientSession(*streams[:2]) as session:
            await session.initialize()
            given = {"data": base64.b64encode(picture.read_bytes()).decode(), "model": "fruits-360"}
            return [tool.input_schema for tool in (await session.list_tools()).tools], await session.call_tool("classify_image", given)

    try:
        end = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                assert server.poll() is None and time.monotonic() < end
                time.sleep(0.1)
        schemas, answer = asyncio.run(ask())
        long = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "x" * 2**20, "arguments": {}}}).encode()
        plain = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
        started = time.monotonic()
        with urllib.request.urlopen(urllib.request.Request(f"http://127.0.0.1:{port}/mcp", long, plain), timeout=60) as refused_name:
            assert b"Unknown tool" in refused_name.read()
        seconds = time.monotonic() - started
        headers = {"Origin": "https://evil.example", "Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
        foreign = urllib.request.Request(f"http://127.0.0.1:{port}/mcp", b"{}", headers)
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(foreign, timeout=30)
    finally:
        server.terminate()
        server.wait(30)
    assert seconds < 5 and console.stat().st_size < 10_000, "what a client sends is not written into the console, which took minutes"
    assert not any("path" in schema.get("properties", {}) for schema in schemas), "files of this computer are not asked for over HTTP"
    assert json.loads(answer.content[0].text)["verdict"] in ("sure", "unsure", "not-fruit")
    assert refused.value.code == 403
    refused.value.close()


def test_without_the_package_the_error_says_what_to_install():
    code = "import sys; sys.modules['mcp'] = None; from fruitvision.__main__ import main; sys.exit(main(['mcp']))"
    result = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, encoding="utf-8", timeout=120)
    assert (result.returncode, result.stdout) == (1, "") and 'pip install "mcp>=2"' in result.stderr


def test_a_name_is_no_path_and_a_picture_is_bounded(tmp_path, shipped_checkpoint, monkeypatch):
    assistant = Assistant(tmp_path)
    assert [one["name"] for one in assistant.list_models()][0] == next(iter(assistant.models()))
    with pytest.raises(CheckpointError, match="no network called"):
        assistant.classify(b"", "", str(shipped_checkpoint))
    assert _decoded(base64.b64encode(b"abc").decode()) == b"abc" == _decoded("data:image/png;base64,YWJj")
    monkeypatch.setattr("fruitvision.mcp.MAX_PICTURE_BYTES", 3)
    for wrong in ("", "no base64", "YWJj" * 100):
        with pytest.raises(PictureError):
            _decoded(wrong)
