"""The real app, opened to others on loopback, and hundreds of requests that it must refuse."""

from __future__ import annotations

import base64
import io
import json
import os
import socket
import time
import uuid
from pathlib import Path

import httpx
import pytest
from PIL import Image

from fruitvision.ui import gate
from fruitvision.ui.access import COOKIE

UPLOAD, JOIN, SERVER = "gradio_api/upload", "gradio_api/queue/join", "gradio_api/component_server"
SECRET = "a secret that no visitor may read"
# What a visitor may call. Everything else in the app must ask for the owner, or it does not belong there.
LOOKING = {
    "first_language", "switch", "choices_update", "answer_it", "note_of", "view", "watch", "greet", "newest", "rename", "look",
    "choose", "count_time", "act", "norm_page", "answer", "preset_values", "use_run",
}  # fmt: skip
CHANGING = {"look", "download", "start", "start_taught", "change", "pack", "report", "rename", "delete", "save"}


@pytest.fixture(scope="module")
def opened(tmp_path_factory, shipped_checkpoint):
    """(app, its address, its token, its top folder): public, on this computer."""
    from fruitvision.ui.app import launch

    folder = tmp_path_factory.mktemp("hostile")
    (folder / "secret.txt").write_text(SECRET, encoding="utf-8")
    (folder / "data" / "mine").mkdir(parents=True)
    token = "token-of-the-tests-" + uuid.uuid4().hex
    os.environ["FRUITVISION_OWNER_TOKEN"] = token
    try:
        demo = launch(
            host="127.0.0.1", public=True, runs=folder / "runs", taught=folder / "taught", data=folder / "data", language="en",
            checkpoint=shipped_checkpoint, open_browser=False, block=False,
        )  # fmt: skip
    finally:
        del os.environ["FRUITVISION_OWNER_TOKEN"]
    yield demo, demo.local_url, token, folder
    demo.close(verbose=False)


@pytest.fixture(scope="module")
def client(opened):
    with httpx.Client(base_url=opened[1], timeout=20, follow_redirects=False) as client:
        yield client


@pytest.fixture(autouse=True)
def _still_answers(client):
    yield
    assert frame(client)["html"].count("fv-name") == 1, "a good request right after"


def picture_bytes(side: int = 64, kind: str = "JPEG") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (side, side), (200, 30, 30)).save(buffer, kind)
    return buffer.getvalue()


def data_url(data: bytes) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(data).decode()


def component(opened, elem_id: str) -> int:
    return next(block._id for block in opened[0].blocks.values() if getattr(block, "elem_id", None) == elem_id)


_LIVE: dict[str, int] = {}


@pytest.fixture(scope="module", autouse=True)
def _ids(opened):
    _LIVE.update(live=component(opened, "classify-live"), teach=component(opened, "classify-teach"))


def serve(client, part: str, name: str, data, **headers) -> httpx.Response:
    body = {"data": data, "component_id": _LIVE[part], "fn_name": name, "session_hash": uuid.uuid4().hex}
    return client.post(SERVER, json=body, headers=headers)


def frame(client, image: str | None = None) -> dict:
    return serve(client, "live", "answer_frame", {"image": image or data_url(picture_bytes()), "language": "en"}).json()


def join(client, fn_index: int, data: list, session: str | None = None, **headers) -> tuple[int, str]:
    """Status of joining the queue, and everything that the queue then says."""
    session = session or uuid.uuid4().hex
    body = {"data": data, "fn_index": fn_index, "session_hash": session, "event_data": None, "trigger_id": None}
    joined = client.post(JOIN, json=body, headers=headers)
    if joined.status_code != 200:
        return joined.status_code, joined.text
    said = ""
    with client.stream("GET", "gradio_api/queue/data", params={"session_hash": session}, headers=headers) as events:
        for line in events.iter_lines():
            said += line + "\n"
            if "process_completed" in line or "close_stream" in line:
                break
    return 200, said


def handlers(demo) -> list:
    return [fn for fn in demo.fns.values() if fn.fn]


# Who may do what -------------------------------------------------------------------------------------------------


def test_every_registered_function_is_one_that_looks_or_asks_for_the_owner(opened):
    """A new handler belongs to one of the lists, with a thought about who may call it."""
    names = {fn.fn.__name__ for fn in handlers(opened[0])}
    harmless = {name for name in names if "<lambda>" in name}  # lambdas see no request, hold no context, and touch no disk
    assert names - harmless <= LOOKING | CHANGING, sorted(names - harmless - LOOKING - CHANGING)
    for fn in handlers(opened[0]):
        inner = fn.fn
        if inner.__name__ in CHANGING - LOOKING:
            assert "require_owner" in inner.__code__.co_names, inner.__qualname__


def test_a_visitor_changes_nothing_through_any_function_and_is_told_so(opened, client):
    demo, _, _, folder = opened
    before = sorted(path.relative_to(folder) for path in folder.rglob("*"))
    called = 0
    for number, fn in demo.fns.items():
        if fn.fn is None:
            continue
        status, said = join(client, number, [getattr(one, "value", None) for one in fn.inputs])
        called += 1
        assert status in (200, 404, 422, 503), (fn.fn.__name__, status)
        if fn.fn.__name__ in CHANGING - LOOKING and "gr.Warning" not in said:
            assert "only the owner" in said.lower() or "owner" in said.lower(), (fn.fn.__qualname__, said[-400:])
    assert called > 30
    assert sorted(path.relative_to(folder) for path in folder.rglob("*")) == before


@pytest.mark.parametrize(
    "name", ["taught_state", "taught_pictures", "teach_picture", "take_back", "start_over", "export_taught", "import_taught"]
)
def test_a_visitor_neither_teaches_nor_sees_what_was_taught(client, opened, name):
    assert serve(client, "teach", name, {"language": "en", "image": data_url(picture_bytes()), "name": "Apple"}).json()["code"] == "owner-only"
    for forged in ("", "x", opened[2][:-1], opened[2] + "x", opened[2].upper()):
        answer = serve(client, "teach", name, {"name": "Apple"}, cookie=f"{COOKIE}={forged}")
        assert answer.json()["code"] == "owner-only"


def test_the_owners_cookie_opens_and_the_token_is_in_no_page(opened, client):
    _, _, token, _ = opened
    link = client.get("/", params={"owner": token})
    assert link.status_code == 303 and link.headers["location"] == "/"
    cookie = link.headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=Strict" in cookie
    client.cookies.clear()
    assert "error" not in serve(client, "teach", "taught_state", {}, cookie=f"{COOKIE}={token}").json()
    for path in ("/", "config", "gradio_api/startup-events"):
        for headers in ({}, {"cookie": f"{COOKIE}={token}"}):
            assert token not in client.get(path, headers=headers).text


# Files -----------------------------------------------------------------------------------------------------------


def test_no_route_gives_a_file_away(opened, client, project):
    folder = opened[3]
    targets = [folder / "secret.txt", Path("/etc/passwd"), project / "app.py", project / "checkpoints/fruits-360/config.json", folder / "runs"]
    routes = ["gradio_api/file=", "file=", "file/", "gradio_api/file/", "static/", "assets/", "svelte/", "gradio_api/proxy=",
              "gradio_api/custom_component/x/client/component/", "gradio_api/stream/"]  # fmt: skip
    asked = 0
    for target in targets:
        plain = str(target)
        encoded = plain.replace("/", "%2F")
        forms = [plain, encoded, encoded.replace("%", "%25"), "../" * 12 + plain.lstrip("/"), "..%2F" * 12 + encoded.removeprefix("%2F"),
                 "....//" * 8 + plain.lstrip("/"), "%2e%2e/" * 12 + plain.lstrip("/"), "file://" + plain, plain + "%00.png"]  # fmt: skip
        for path in (route + form for route in routes for form in forms):
            answer = client.get("/" + path)
            asked += 1
            assert answer.status_code in (302, 307, 400, 403, 404, 405, 422), (path, answer.status_code)
            assert SECRET not in answer.text and "root:" not in answer.text
    assert asked == 450


def test_gradio_s_other_routes_do_not_exist_here(client):
    for path in ("monitoring", "monitoring/summary", "docs", "openapi.json", "gradio_api/info", "gradio_api/openapi.json", "gradio_api/deep_link",
                 "gradio_api/vibe-code", "gradio_api/runs", "gradio_api/mcp/", "gradio_api/dev/reload", "login", "gradio_api/app_id"):  # fmt: skip
        assert client.get(path).status_code == 404, path
    for path in ("gradio_api/process_recording", "gradio_api/vibe-edit", "gradio_api/api/predict", "gradio_api/call/predict", "login"):
        assert client.post(path, json={}).status_code == 404, path


def test_an_address_in_the_place_of_a_file_is_never_fetched(opened, client):
    """A server of our own listens; nothing may call it, whatever field of whatever function holds its address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.2)
        port = listener.getsockname()[1]
        for number, fn in opened[0].fns.items():
            if fn.fn is None or not fn.inputs:
                continue
            for address in (f"http://127.0.0.1:{port}/a.png", f"HTTP://localhost:{port}/", "https://example.invalid/a.png", "file:///etc/passwd"):
                file = {"path": address, "url": address, "meta": {"_type": "gradio.FileData"}}
                status, said = join(client, number, [file] * len(fn.inputs))
                assert status >= 400 or "fv-name" not in said
        with pytest.raises(TimeoutError):
            listener.accept()


def test_a_file_of_the_server_is_no_upload(opened, client):
    number = next(number for number, fn in opened[0].fns.items() if fn.fn and fn.fn.__name__ == "answer_it")
    for path in ("/etc/passwd", str(opened[3] / "secret.txt"), "../secret.txt", "app.py"):
        _, said = join(client, number, [{"path": path, "meta": {"_type": "gradio.FileData"}}, False, None, "en"])
        assert "fv-name" not in said and SECRET not in said


# Whose page it is ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1:1", "http://127.0.0.1.evil.example", "file://", "http://[::"])
def test_a_foreign_page_calls_nothing(client, opened, origin):
    cookie = f"{COOKIE}={opened[2]}"
    assert serve(client, "teach", "start_over", {}, origin=origin, cookie=cookie).status_code == 403
    assert client.get("config", headers={"origin": origin}).status_code == 403
    assert client.post(UPLOAD, files={"files": picture_bytes()}, headers={"origin": origin}).status_code == 403


def test_its_own_page_calls(client, opened):
    assert serve(client, "live", "answer_frame", {}, origin=opened[1].rstrip("/")).status_code == 200


# Bodies ----------------------------------------------------------------------------------------------------------


def test_a_body_over_the_limit_is_refused_on_every_route_declared_or_not(client):
    large = b"x" * (gate.MAX_BODY_BYTES + 2**16)
    for path in (UPLOAD, SERVER, JOIN, "gradio_api/run/predict"):
        assert client.post(path, content=large).status_code == 413, path
        pieces = (large[at : at + 2**20] for at in range(0, len(large), 2**20))  # no Content-Length
        try:
            assert client.post(path, content=pieces).status_code == 413, path
        except httpx.WriteError:
            pass  # it hung up in the midst, which refuses as well
    for length in ("-1", "x", "9" * 40):
        assert client.post(SERVER, content=b"{}", headers={"content-length": length}).status_code in (400, 413)
        client.close_idle = None


def test_an_upload_over_ten_megabytes_is_refused(client):
    assert client.post(UPLOAD, files={"files": ("a.png", b"x" * (10 * 2**20 + 1))}).status_code == 413


def test_a_picture_over_ten_megabytes_is_refused_as_a_data_url(client, opened):
    heavy = "data:image/png;base64," + "A" * (10 * 2**20 * 4 // 3 + 64)
    number = next(number for number, fn in opened[0].fns.items() if fn.fn and fn.fn.__name__ == "answer_it")
    status, said = join(client, number, [{"path": "", "url": heavy, "meta": {"_type": "gradio.FileData"}}, False, None, "en"])
    assert status >= 400 or "fv-name" not in said
    assert "fv-error" in frame(client, data_url(b"\xff\xd8\xff" + b"x" * (2**20 + 1)))["html"]


def test_a_slow_body_is_given_up(client, opened, monkeypatch):
    monkeypatch.setattr(gate, "PAUSE_SECONDS", 0.5)
    address = httpx.URL(opened[1])
    with socket.create_connection((address.host, address.port), 10) as slow:
        slow.sendall(f"POST /{SERVER} HTTP/1.1\r\nHost: {address.host}\r\nContent-Length: 1000\r\n\r\n{{".encode())
        began = time.monotonic()
        assert b" 408 " in slow.recv(4096).partition(b"\r\n")[0]
        assert time.monotonic() - began < 5


@pytest.mark.parametrize("body", [
    b"", b"{", b"null", b"[]", b"\xff\xfe", b'{"data": ' + b"[" * 200_000 + b"]" * 200_000 + b"}", b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
    json.dumps({"data": [None] * 100_000, "fn_index": 0}).encode(), b'{"fn_index": 1e400}', b'{"fn_index": -1, "data": []}',
    b'{"fn_index": 99999, "data": [], "session_hash": "x"}', b'{"component_id": 1, "fn_name": "__init__", "data": null, "session_hash": "x"}',
    b'{"component_id": 1, "fn_name": "__class__", "data": null, "session_hash": "../x"}',
])  # fmt: skip
def test_json_of_every_bad_shape_is_refused(client, body):
    for path in (JOIN, SERVER, "gradio_api/run/predict", "gradio_api/reset", "gradio_api/cancel", UPLOAD):
        answer = client.post(path, content=body, headers={"content-type": "application/json"})
        assert answer.status_code >= 400 or answer.text in ('{"success":true}', "true"), (path, answer.status_code, answer.text[:200])
        assert "Traceback" not in answer.text and "site-packages" not in answer.text


def test_forged_sessions_and_events_show_nothing_of_others(client):
    for session in ("", "x", "../../x", "0" * 5000, "%00", "'; drop table", uuid.uuid4().hex):
        answer = client.post("gradio_api/cancel", json={"session_hash": session, "event_id": "x", "fn_index": 0})
        assert "fv-" not in answer.text
        answer = client.post("gradio_api/reset", json={"event_id": session})
        assert answer.status_code in (200, 400, 422) and "fv-" not in answer.text
