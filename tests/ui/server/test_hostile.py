"""The real app, opened to others on loopback, and hundreds of requests that it must refuse."""

from __future__ import annotations

import html
import re
import threading
import time
import uuid
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import httpx
import pytest

from fruitvision.ui.server import gate
from fruitvision.ui.server.access import COOKIE
from tests.ui.conftest import MARKUP, SECRET
from tests.ui.server.allowed import SERVED
from tests.ui.visitor import FILE, JOIN, SERVER, UPLOAD, Visitor, data_url, picture_bytes


@pytest.fixture(autouse=True)
def _still_answers(visitor):
    yield
    assert frame(visitor)["html"].count("fv-name") == 1, "a good request right after"


def frame(visitor: Visitor, image: str | None = None) -> dict:
    return visitor.serve("classify-live", "answer_frame", {"image": image or data_url(picture_bytes()), "language": "en"}).json()


# Who may do what -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(SERVED["classify-teach"]))
def test_a_visitor_neither_teaches_nor_sees_what_was_taught(visitor, shared, name):
    asked = {"language": "en", "image": data_url(picture_bytes()), "name": "Apple"}
    assert visitor.serve("classify-teach", name, asked).json()["code"] == "owner-only"
    for forged in ("", "x", shared.token[:-1], shared.token + "x", shared.token.upper()):
        answer = visitor.serve("classify-teach", name, {"name": "Apple"}, cookie=f"{COOKIE}={forged}")
        assert answer.json()["code"] == "owner-only"


def test_the_owners_cookie_opens_and_the_token_is_in_no_page(shared, client, visitor):
    token = shared.token
    link = client.get("/", params={"owner": token})
    assert link.status_code == 303 and link.headers["location"] == "/"
    cookie = link.headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=Strict" in cookie
    client.cookies.clear()
    assert "error" not in visitor.serve("classify-teach", "taught_state", {}, cookie=shared.cookie).json()
    for path in ("/", "config", "gradio_api/startup-events"):
        for headers in ({}, {"cookie": shared.cookie}):
            assert token not in client.get(path, headers=headers).text


# Files -----------------------------------------------------------------------------------------------------------


def test_no_route_gives_a_file_away(shared, client, project):
    folder = shared.folder
    config = project / "checkpoints/fruits-360/config.json"
    targets = [folder / "secret.txt", Path("/etc/passwd"), project / "app.py", config, folder / "runs"]
    routes = [
        "gradio_api/file=",
        "file=",
        "file/",
        "gradio_api/file/",
        "static/",
        "assets/",
        "svelte/",
        "gradio_api/proxy=",
        "gradio_api/custom_component/x/client/component/",
        "gradio_api/stream/",
    ]
    asked = 0
    for target in targets:
        plain = str(target)
        encoded = plain.replace("/", "%2F")
        forms = [
            plain,
            encoded,
            encoded.replace("%", "%25"),
            "../" * 12 + plain.lstrip("/"),
            "..%2F" * 12 + encoded.removeprefix("%2F"),
            "....//" * 8 + plain.lstrip("/"),
            "%2e%2e/" * 12 + plain.lstrip("/"),
            "file://" + plain,
            plain + "%00.png",
        ]
        for path in (route + form for route in routes for form in forms):
            answer = client.get("/" + path)
            asked += 1
            assert answer.status_code in (302, 307, 400, 403, 404, 405, 422), (path, answer.status_code)
            assert SECRET not in answer.text and "root:" not in answer.text
    assert asked == 450


def test_gradio_s_other_routes_do_not_exist_here(client):
    for path in (
        "monitoring",
        "monitoring/summary",
        "docs",
        "openapi.json",
        "gradio_api/openapi.json",
        "gradio_api/deep_link",
        "gradio_api/vibe-code",
        "gradio_api/runs",
        "gradio_api/mcp/",
        "gradio_api/dev/reload",
        "login",
        "gradio_api/app_id",
    ):
        assert client.get(path).status_code == 404, path
    for path in ("gradio_api/process_recording", "gradio_api/vibe-edit", "gradio_api/api/predict", "gradio_api/call/predict", "login"):
        assert client.post(path, json={}).status_code == 404, path


# Whose page it is ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://127.0.0.1:1", "http://127.0.0.1.evil.example", "file://", "http://[::"]
)
def test_a_foreign_page_calls_nothing(client, visitor, shared, origin):
    cookie = shared.cookie
    assert visitor.serve("classify-teach", "start_over", {}, origin=origin, cookie=cookie).status_code == 403
    assert client.get("config", headers={"origin": origin}).status_code == 403
    assert client.post(UPLOAD, files={"files": picture_bytes()}, headers={"origin": origin}).status_code == 403


@pytest.mark.parametrize("origin", ["http://127.0.0.1:8899", "http://localhost", "https://evil.example"])
def test_no_page_s_preflight_is_answered(client, origin):
    """Gradio's own middleware does, for whatever headers are asked for."""
    asked = {"origin": origin, "access-control-request-method": "POST", "access-control-request-headers": "x-forwarded-host"}
    for path in ("config", SERVER, JOIN, ""):
        answer = client.options(path, headers=asked)
        assert answer.status_code == 405 and not any(name.startswith("access-control") for name in answer.headers)
        assert not any(name.startswith("access-control") for name in client.get(path, headers={"origin": origin}).headers)


def test_its_own_page_calls(visitor, shared):
    assert visitor.serve("classify-live", "answer_frame", {}, origin=shared.url.rstrip("/")).status_code == 200


def test_the_app_fetches_no_address_for_anybody(client, shared):
    """Gradio streamed back what any http address gave, a cloud's metadata on 100.64.0.0/10 among it."""
    asked = []

    class Listener(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()

    with HTTPServer(("127.0.0.1", 0), Listener) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        port = server.server_address[1]
        for host in (f"127.0.0.1:{port}", f"localhost:{port}", f"[::1]:{port}", "100.100.100.200", "example.com"):
            for scheme in ("http://", "https://", "HTTP://", "http:%2F%2F", "%68ttp://"):
                for headers in ({}, {"cookie": shared.cookie}, {"origin": shared.url.rstrip("/")}):
                    answer = client.get(f"gradio_api/file={scheme}{host}/x", headers=headers, timeout=5)
                    assert answer.status_code in (403, 404), (scheme, host, answer.status_code)
        server.shutdown()
    assert not asked


@pytest.mark.parametrize("given", ["bytes=0-0", "bytes=0-0-0", "bytes=0-5,6-10", "bytes=9999999999999-", "bytes=-", "x" * 3000])
def test_no_range_shows_what_the_request_brought(client, visitor, shared, given):
    """In spite of HttpOnly a script could read the owner's token in the answer."""
    path = visitor.upload(picture_bytes())
    brought = {"range": given, "cookie": shared.cookie, "x-accel-redirect": "/etc/passwd", "set-cookie": "a=b"}
    answer = client.get(f"gradio_api/file={path}", headers=brought)
    assert answer.status_code == 200 and answer.content == Path(path).read_bytes()
    assert shared.token not in str(answer.headers) and "x-accel-redirect" not in answer.headers
    assert answer.headers["x-content-type-options"] == "nosniff" and "sandbox" in answer.headers["content-security-policy"]


def test_a_cookie_of_backslashes_freezes_nobody(client):
    started = time.monotonic()
    for size in (3000, 12_000):
        for name, status in (("a", 200), ("fruitvision-owner", 431)):  # another program's is not even read
            assert client.get("config", headers={"cookie": f'{name}="' + "\\" * size + '"'}).status_code == status
    assert time.monotonic() - started < 5


def test_a_visitor_who_fills_the_queue_does_not_shut_the_owner_out(client, visitor, shared):
    values = visitor.values(0)
    with httpx.Client(base_url=shared.url, timeout=30) as flood:
        statuses = [Visitor(flood).join(0, values).status_code for _ in range(60)]
        assert set(statuses) <= {200, 400, 503}
        assert Visitor(flood).join(0, values, cookie=shared.cookie).status_code in (200, 400)


def test_no_upload_is_compressed_and_the_pages_scripts_are(client, visitor):
    """Gradio compresses both on the event loop: a visitor's text of 10 MB, fetched often at once, kept everybody waiting."""
    asked = {"accept-encoding": "gzip, br"}
    path = visitor.upload(b"ab" * 50_000, "words.txt")
    answer = client.get(f"gradio_api/file={path}", headers=asked)
    assert answer.content == b"ab" * 50_000 and "content-encoding" not in answer.headers
    script = re.search(r"assets/index-[\w-]+\.js", client.get("/").text)
    assert script
    plain, packed = (client.get(script[0], headers=one) for one in ({"accept-encoding": "identity"}, asked))
    assert packed.headers["content-encoding"] == "gzip" and "content-encoding" not in plain.headers and packed.content == plain.content
    assert int(packed.headers["content-length"]) < len(plain.content) // 2


def test_a_call_without_a_session_writes_nothing_into_the_log(client, visitor, shared):
    number = next(one["id"] for one in visitor.config["dependencies"] if one["backend_fn"] and not one["queue"] and not one["inputs"])
    before = (shared.folder / "app.log").stat().st_size
    for session in (None, "") * 5:
        assert client.post("gradio_api/run/x", json={"data": [], "fn_index": number, "session_hash": session}).status_code == 200
    assert (shared.folder / "app.log").stat().st_size == before


# Bodies ----------------------------------------------------------------------------------------------------------


def test_a_body_over_the_limit_is_refused_on_every_route_declared_or_not(client):
    large = b"x" * (gate.MAX_BODY_BYTES + 2**16)
    for path in (UPLOAD, SERVER, JOIN, "gradio_api/run/predict"):
        assert client.post(path, content=large).status_code == 413, path
        pieces = (large[at : at + 2**20] for at in range(0, len(large), 2**20))  # no Content-Length
        try:
            assert client.post(path, content=pieces).status_code in (400, 413), path  # 400: no form, seen before its body
        except httpx.WriteError:
            pass  # it hung up in the midst, which refuses as well


def test_an_upload_over_ten_megabytes_is_refused(client):
    assert client.post(UPLOAD, files={"files": ("a.png", b"x" * (10 * 2**20 + 1))}).status_code == 413


@pytest.mark.parametrize("depth", [500, 10_000, 1_000_000])
def test_json_that_is_nested_too_deep_is_refused_in_a_line(client, depth):
    for opening, closing in (("[", "]"), ('{"a":', "}")):
        nested = opening * depth + "1" + closing * depth
        for path in (SERVER, JOIN, "gradio_api/run/predict"):
            for body in (nested, f'{{"data": {nested}, "fn_index": 0, "session_hash": "x", "fn_name": "x", "component_id": 0}}'):
                for kind in ("application/json", "text/plain", "multipart/form-data; boundary=x"):
                    answer = client.post(path, content=body, headers={"content-type": kind})
                    assert 400 <= answer.status_code < 500, (path, kind, answer.status_code)
                    assert "Traceback" not in answer.text


def test_forged_sessions_and_events_show_nothing_of_others(client):
    for session in ("", "x", "../../x", "0" * 5000, "%00", "'; drop table", uuid.uuid4().hex):
        for path, named in (("cancel", {"session_hash": session, "event_id": "x", "fn_index": 0}), ("reset", {"event_id": session})):
            answer = client.post(f"gradio_api/{path}", json=named)
            assert answer.status_code == 404 and "fv-" not in answer.text


def test_a_path_with_a_slash_at_its_end_redirects_nobody(client):
    for path in ("startup-events/", "config/", "queue/status/", "theme.css/"):
        for prefix in ("", "gradio_api/"):
            answer = client.get(prefix + path, headers={"host": "127.0.0.1"})
            assert answer.status_code == 404 and "location" not in answer.headers


@pytest.mark.parametrize("part", ["image", "empty"])
def test_a_data_url_over_ten_megabytes_is_refused_in_a_raw_call(visitor, part):
    large = data_url(picture_bytes() + b"\0" * (10 * 2**20))
    answer = visitor.serve("classify-live", "answer_frame", {"image": data_url(picture_bytes()), "language": "en", part: large})
    assert answer.status_code == 200 and "fv-error" in answer.text and "too large" in answer.text


def classified(visitor: Visitor, picture: dict) -> str:
    """What the picture field's function says, through the queue, to what a program puts in the place of an upload."""
    field = visitor.component("classify-picture")
    number = next(n for n, one in enumerate(visitor.config["dependencies"]) if field in one["inputs"])
    inputs = visitor.config["dependencies"][number]["inputs"]
    return visitor.call(number, [picture if one == field else value for one, value in zip(inputs, visitor.values(number), strict=True)])


def test_a_data_url_over_ten_megabytes_is_refused_by_the_picture_field(visitor):
    for size, answered in ((0, True), (10 * 2**20, False)):
        answer = classified(visitor, {"meta": FILE, "url": data_url(picture_bytes() + b"\0" * size)})
        assert ("fv-name" in answer) == answered and ('"success": true' in answer) == answered
        assert answered or "The picture is too large" in answer and "图片太大" in answer, "in both languages"


@pytest.mark.parametrize("levels", [100, 900, 10_000, 1_000_000])
@pytest.mark.parametrize("shape", ["[]", "{}"])
def test_deep_json_is_refused_and_stops_no_queue(client, visitor, levels, shape):
    deep = "[" * levels + "]" * levels if shape == "[]" else '{"a":' * levels + "1" + "}" * levels
    live = visitor.component("classify-live")
    in_data = {path: f'{{"data": [{deep}], "fn_index": 0, "session_hash": "x"}}' for path in (JOIN, "gradio_api/run/predict")}
    in_data[SERVER] = f'{{"data": {deep}, "component_id": {live}, "fn_name": "answer_frame", "session_hash": "x"}}'
    for path, body in [*in_data.items(), *((path, deep) for path in in_data)]:
        answer = client.post(path, content=body, headers={"content-type": "application/json"})
        assert answer.status_code < 500 and "fv-name" not in answer.text, (path, answer.status_code)
    assert "fv-name" in classified(visitor, {"meta": FILE, "url": data_url(picture_bytes())})


def test_markup_in_the_name_of_a_class_is_shown_as_it_is_written(visitor, shared):
    run = next(path.name for path in (shared.folder / "runs").iterdir() if path.name.endswith("finished"))
    frame = {"image": data_url(picture_bytes()), "model": f"run:{run}", "language": "en"}
    answer = visitor.serve("classify-live", "answer_frame", frame).json()["html"]
    assert MARKUP not in answer and html.escape(MARKUP) in answer


@pytest.mark.slow
def test_values_that_no_component_can_take_are_a_sentence_and_do_not_fill_the_console(visitor, shared):
    log = shared.folder / "app.log"
    lengths = []
    for _ in range(2):
        for number, one in enumerate(visitor.config["dependencies"]):
            if one["inputs"] and one["backend_fn"]:
                for value in (None, "a text", 5, [], {"a": 1}, {"path": 5}, [[[]]]):
                    assert "Traceback" not in visitor.call(number, [value] * len(one["inputs"]))
        lengths.append(log.stat().st_size)
    assert lengths[1] == lengths[0], "the second time nothing is new"
