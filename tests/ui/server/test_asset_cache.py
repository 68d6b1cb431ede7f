"""The page's scripts are compressed once, beside the event loop; nothing else is."""

from __future__ import annotations

import asyncio
import gzip
import threading
from pathlib import Path

import gradio
import pytest

from fruitvision.ui.server import page_cache
from fruitvision.ui.server.access import Access
from fruitvision.ui.server.gate import ROUTES, Gate

SCRIPT = b"let answer = 42;\n" * 5000
BROWSER = b"gzip, deflate, br, zstd"


class App:
    """Gives any file, and notes who asks; as Gradio, it would compress what it is told may be compressed."""

    def __init__(self, status: int = 200) -> None:
        self.status, self.asked = status, []

    async def __call__(self, scope, receive, send) -> None:
        self.asked.append((scope["path"], dict(scope["headers"])))
        headers = [(b"content-length", b"%d" % len(SCRIPT)), (b"content-type", b"text/javascript")]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        for start in range(0, len(SCRIPT), 2**14):
            await send({"type": "http.response.body", "body": SCRIPT[start : start + 2**14], "more_body": start + 2**14 < len(SCRIPT)})


async def get(gate: Gate, path: str, accepted: bytes = BROWSER, method: str = "GET") -> tuple[dict, bytes]:
    """The headers and the body of a response."""
    sent: list[dict] = []

    async def send(message: dict) -> None:
        sent.append(message)

    headers = [(b"host", b"127.0.0.1:7860"), (b"accept-encoding", accepted)]
    scope = {"type": "http", "method": method, "path": path, "root_path": "", "headers": headers, "query_string": b""}
    await gate(scope, None, send)
    assert [one.get("more_body", False) for one in sent[1:]] == [True] * (len(sent) - 2) + [False]
    return dict(sent[0]["headers"]), b"".join(one["body"] for one in sent[1:])


def test_many_requests_of_a_script_are_one_compression_in_a_thread(monkeypatch):
    """Gradio compressed it on the event loop, for each request anew, and kept everybody waiting."""
    app, threads, compress = App(), [], gzip.compress

    def noted(*given, **named) -> bytes:
        threads.append(threading.current_thread())
        return compress(*given, **named)

    monkeypatch.setattr(page_cache.gzip, "compress", noted)

    async def many() -> list:
        gate = Gate(app, Access("a-token-of-the-tests"), set())
        return [*await asyncio.gather(*[get(gate, "/assets/index.js") for _ in range(50)]), await get(gate, "/assets/index.js")]

    answers = asyncio.run(many())
    assert len(app.asked) == len(threads) == 1 and threads[0] is not threading.main_thread()
    for headers, body in answers:
        assert headers[b"content-encoding"] == b"gzip" and headers[b"vary"] == b"accept-encoding"
        assert headers[b"content-length"] == b"%d" % len(body) and headers[b"content-type"] == b"text/javascript"
        assert len(body) < len(SCRIPT) // 10 and gzip.decompress(body) == SCRIPT


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/file={uploads}/x.txt",
        "/assets/picture.woff2",
        "/assets/./index.js",
        "/assets//index.js",
        "/assets/../assets/index.js",
        "/static/a/.hidden/x.js",
        "/favicon.ico",
        "/config",
        "/manifest.json",
    ],
)
def test_nothing_else_is_compressed_and_gradio_is_told_of_no_encoding(path, tmp_path, monkeypatch):
    """A visitor's upload of 10 MB that compresses badly, fetched again and again, kept everybody waiting."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    app = App()
    gate = Gate(app, Access("a-token-of-the-tests"), set())
    headers, body = asyncio.run(get(gate, path.format(uploads=tmp_path)))
    assert b"content-encoding" not in headers and body == SCRIPT
    assert [b"accept-encoding" in asked for _, asked in app.asked] == [False] and not gate.assets._files


@pytest.mark.parametrize("accepted", [b"", b"identity", b"br"])
def test_who_accepts_no_gzip_gets_the_file_as_it_is(accepted):
    headers, body = asyncio.run(get(Gate(App(), Access(), set()), "/assets/index.js", accepted))
    assert b"content-encoding" not in headers and body == SCRIPT


def test_what_is_kept_is_bounded_and_what_is_not_there_is_not_kept(monkeypatch):
    monkeypatch.setattr(page_cache, "MAX_ASSET_BYTES", 1)

    async def ask(app: App) -> list[dict]:
        gate = Gate(app, Access(), set())
        return [(await get(gate, path))[0] for path in ("/theme.css", "/assets/two.css", "/theme.css")]

    assert [b"content-encoding" in headers for headers in asyncio.run(ask(App()))] == [True, False, True]
    assert [b"content-encoding" in headers for headers in asyncio.run(ask(App(404)))] == [False] * 3


@pytest.mark.parametrize(
    ("accepted", "packed"),
    [("gzip", True), ("br, GZIP;q=0.5", True), ("gzip;q=0", False), ("br;q=1, gzip; q=0.0", False), ("x-gzip2", False), ("", False)],
)
def test_who_refuses_gzip_gets_none(accepted, packed):
    headers, _ = asyncio.run(get(Gate(App(), Access("a-token-of-the-tests"), set()), "/assets/index.js", accepted.encode()))
    assert (b"content-encoding" in headers) == packed


def test_a_name_that_no_file_may_have_is_not_looked_for():
    """Gradio failed on it, with a traceback in the log; its own names are found."""
    app = App()
    for path in ("/assets/" + "a" * 300, "/static/" + "a/" * 2000 + "a", "/assets/" + "\u6c34" * 100):
        asyncio.run(get(Gate(app, Access("a-token-of-the-tests"), set()), path))
    assert not app.asked
    templates = Path(gradio.__file__).parent / "templates" / "frontend"
    for kind in ("assets", "static"):
        names = [file.relative_to(templates).as_posix() for file in (templates / kind).rglob("*") if file.is_file()]
        assert all(ROUTES.fullmatch(f"/{name}") for name in names) and (names or kind == "static")
