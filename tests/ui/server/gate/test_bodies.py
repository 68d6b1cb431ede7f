"""What a request brings: how long, how slowly, how deep, how many files."""

from __future__ import annotations

import asyncio
import contextlib
import time
from types import SimpleNamespace

import pytest

from fruitvision.errors import PictureError
from fruitvision.ui.server import bodies, guarded_blocks
from fruitvision.ui.server.access import Access
from fruitvision.ui.server.gate import Gate
from fruitvision.ui.server.guarded_blocks import is_below, refuse_foreign_files
from fruitvision.ui.server.uploads import MAX_FILES
from tests.ui.server.gate.conftest import OWN, ask, reached


@pytest.mark.parametrize(
    "file",
    [
        "http://100.100.100.200/latest/meta-data",
        "HTTPS://evil.example/x",
        "ftp://x",
        "data:text/html,x",
        "//evil.example/x",
        "/\\evil.example/x",
        "\\??\\UNC\\evil.example\\x",
        "\\\\evil.example\\x",
        " http://x",
        "/etc/passwd",
        "file:///etc/passwd",
        "gradio_api/file=http://x",
        "x\0",
    ],
)
def test_no_address_and_no_file_but_an_upload_is_fetched(file):
    for access in (Access(), Access("a-token-of-the-tests")):
        assert ask(access, path=f"/gradio_api/file={file}", method="GET") in (403, 404)


def test_a_body_that_drips_holds_no_place(monkeypatch):
    """60 of them kept every other visitor's calls away."""
    monkeypatch.setattr(bodies, "CHUNK_SECONDS", 2.0)

    async def many() -> list[int]:
        door, statuses = Gate(reached, Access("a-token-of-the-tests"), set()), []

        async def call(number: int, drips: bool) -> None:
            async def receive() -> dict:
                await asyncio.sleep(10 if drips else 0)
                return {"type": "http.request", "body": b"1", "more_body": drips}

            async def send(message: dict) -> None:
                if message["type"] == "http.response.start":
                    statuses.append(message["status"])

            scope = {"type": "http", "method": "POST", "path": "/gradio_api/run/x", "headers": OWN, "query_string": b"", "root_path": ""}
            await door({**scope, "client": (f"203.0.113.{number}", 5)}, receive, send)

        slow = [asyncio.create_task(call(number, True)) for number in range(200)]
        await asyncio.sleep(0.1)
        await call(250, False)
        answered = list(statuses)
        for task in slow:
            task.cancel()
        await asyncio.gather(*slow, return_exceptions=True)
        return answered

    assert asyncio.run(many()) == [200]


def test_files_come_to_their_own_route_alone_and_are_counted_as_gradio_does():
    kind = (b"content-type", b"multipart/form-data; boundary=limit")
    assert ask(Access(), [*OWN, kind], body=[form(1)], path="/gradio_api/component_server") == 415
    for given in (b"multipart/form-data; xboundary=other; boundary=limit", b"Multipart/Form-Data; boundary=limit"):
        many = form(MAX_FILES + 1)
        assert ask(Access(), [*OWN, (b"content-type", given)], body=[many], path="/gradio_api/upload") == 400, given


def form(files: int) -> bytes:
    part = b'--limit\r\nContent-Disposition: form-data; name="files"; filename="x"\r\n\r\nx\r\n'
    return part * files + b"--limit--"


@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_files_in_one_request_are_counted(size):
    kind = (b"content-type", b"multipart/form-data; boundary=limit")
    for files, status in ((MAX_FILES, 200), (MAX_FILES + 1, 400)):
        content = form(files)
        pieces = [content[at : at + size] for at in range(0, len(content), size)]
        assert ask(Access(), [*OWN, kind], body=pieces, path="/gradio_api/upload") == status
    assert ask(Access(), [*OWN, (b"content-type", b"multipart/form-data")], body=[content], path="/gradio_api/upload") == 400


def test_a_body_that_comes_too_slowly_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(bodies, "CHUNK_SECONDS", 0.2)
    started = time.monotonic()
    assert ask(Access(), body=[b"a", b"b"], pause=5.0) == 408
    assert time.monotonic() - started < 2
    monkeypatch.setattr(bodies, "BODY_SECONDS", 0.5)
    assert ask(Access(), body=[b"a"] * 100, pause=0.05) == 408, "a drip, never late, but without end"
    assert ask(Access(), body=[b"a", b"b"], pause=0.01) == 200


@pytest.mark.parametrize("length", [b"-1", b"1e3", b"99999999999999999999", "９".encode(), b""])
def test_a_length_that_is_none_or_too_large_is_refused(length):
    assert ask(Access(), [*OWN, (b"content-length", length)]) == 413


@pytest.mark.parametrize(
    "path",
    [
        "http://169.254.169.254/x",
        " HTTPS://evil.example",
        "file:///etc/passwd",
        "gopher://x",
        "data:,x",
        "/etc/passwd",
        "secret.png",
        "{uploads}",
        "{uploads}/../secret.png",
        "{uploads}/link/secret.png",
        "{uploads}-beside/x.png",
        "\x00",
        "",
        "//evil.example/share/x.png",
        "\\\\evil.example\\share\\x.png",
        "/\\evil.example\\share\\x.png",
        "\\??\\UNC\\evil.example\\share\\x.png",
    ],
)
def test_what_is_no_upload_is_refused_where_a_file_belongs_however_deep(tmp_path, path):
    uploads = tmp_path / "uploads"
    uploads.mkdir()
    with contextlib.suppress(OSError):  # Windows lets not everybody make one
        (uploads / "link").symlink_to(tmp_path)
    path = path.format(uploads=uploads)
    for meta in ({}, {"meta": {"_type": "gradio.FileData"}}, {"meta": {"_type": "x"}}):
        with pytest.raises(PictureError):
            refuse_foreign_files([1, {"a": [{"b": {"path": path, **meta}}]}], uploads)
    refuse_foreign_files([{"path": str(uploads / "x" / "x.png"), "orig_name": "http://name.png"}, "http://words", None], uploads)


def test_a_path_of_countless_parts_is_not_looked_up(tmp_path):
    """Its folders were looked up one by one on the event loop, in quadratic time: 25 seconds for 80,000, and a body holds millions."""
    start = time.perf_counter()
    for path in (f"{tmp_path}/" + "a/" * 20_000, "../" * 60_000):
        assert not is_below(path, tmp_path)
        with pytest.raises(PictureError):
            refuse_foreign_files([{"path": path}], tmp_path)
    assert time.perf_counter() - start < 0.5
    for name in ("a" * 256, "水" * 100, "a" * 256 + "/b"):  # Gradio failed on them, with a traceback in the log
        assert not is_below(str(tmp_path / name), tmp_path)
    assert is_below(str(tmp_path / ("f" * 64) / f"{'水' * 60}.jpeg"), tmp_path)  # Gradio's longest name: 200 bytes


def test_countless_paths_in_one_call_are_not_looked_up(tmp_path):
    """A body of 14 MB holds thousands; the page sends one."""
    upload = {"path": str(tmp_path / "x" / "x.png")}
    refuse_foreign_files([upload] * 16, tmp_path)
    with pytest.raises(PictureError):
        refuse_foreign_files([[{"files": [upload] * 17}]], tmp_path)


@pytest.mark.parametrize("value", [None, 5, "fr", ["en"], {"a": 1}, "zh"])
def test_whatever_stands_for_a_language_is_one(value):
    function = SimpleNamespace(inputs=[SimpleNamespace(elem_id="language"), SimpleNamespace(elem_id="model"), SimpleNamespace()])
    function.inputs.append(SimpleNamespace(elem_id="language-train"))
    language = "zh" if value == "zh" else "en"
    assert guarded_blocks._with_valid_language(function, [value, None, value, value]) == [language, None, value, language]


@pytest.mark.parametrize("size", [1, 2, 3, 1000])
def test_nesting_is_followed_through_texts_escapes_and_pieces(size):
    deep, most = "[" * (bodies.MAX_DEPTH + 1), "[" * bodies.MAX_DEPTH
    harmless = (most, '{"a":"' + deep + '"}', '["\\\\\\"' + deep + '"]', "[]" * 1000)
    harmful = (deep, '["]]]]", ' + deep, '["\\\\", ' + deep, '["\\"]", ' + deep, '{"a":' * (bodies.MAX_DEPTH + 1), '""' * bodies.MAX_TOKENS)
    for texts, expected in ((harmless, False), (harmful, True)):
        for text in texts if size > 1 or not expected else texts[:-1]:
            nesting, content = bodies.JsonCheck(), text.encode()
            pieces = (content[at : at + size] for at in range(0, len(content), size)) if len(content) < 10_000 else iter([content])
            assert any(nesting.too_deep(piece) for piece in pieces) is expected, text[:40]


def test_a_text_in_another_encoding_hides_no_nesting():
    """In UTF-16 a backslash stands before a NUL, and the quote that follows opens or closes no text where it seems to."""
    deep = '["\\\\",' + "[" * 900 + "]" * 900 + "]"
    for encoding in ("utf-16-le", "utf-16", "utf-32"):
        assert bodies.JsonCheck().check(deep.encode(encoding))


def test_a_body_of_single_bytes_takes_no_more_memory_than_its_bytes():
    chunks = [{"type": "http.request", "body": b"x", "more_body": True}] * 50_000 + [{"type": "http.request", "body": b"y"}]

    async def read() -> list[dict]:
        received = iter(chunks)

        async def receive() -> dict:
            return next(received)

        quota = SimpleNamespace(add=lambda size: None)
        whole = await bodies.Body(receive, 10**6, quota, bodies.NoCheck()).read()
        return [await whole()]

    assert asyncio.run(read()) == [{"type": "http.request", "body": b"x" * 50_000 + b"y", "more_body": False}]


def test_the_owner_alone_announces_a_hundred_thousand_files():
    token = Access("a-token-of-the-tests")
    json, owner = (b"content-type", b"application/json"), (b"cookie", b"fruitvision-owner=a-token-of-the-tests")
    body = [b'{"data":[' + b",".join(b'["Fruit/Apple/%d.jpg",12345]' % n for n in range(100_000)) + b"]}"]
    assert ask(token, [*OWN, json, owner], body=body, path="/gradio_api/component_server/") == 200
    assert ask(token, [*OWN, json], body=body, path="/gradio_api/component_server/") in (400, 413)
    assert ask(token, [*OWN, json, owner], body=body, path="/gradio_api/run/predict") == 400


def test_a_list_of_countless_numbers_is_not_parsed():
    """14 MB of "1,1,1…" kept every other answer, the owner's too, waiting for 30 seconds."""
    started = time.monotonic()
    nesting = bodies.JsonCheck()
    assert nesting.check(b'{"data":[' + b"1," * 30_000)
    assert not bodies.JsonCheck().check(b'{"data":["data:image/jpeg;base64,' + b"A" * 13_000_000 + b'", 1, 2, 3]}')
    assert time.monotonic() - started < 2
