"""The real app, opened to others on loopback, and hundreds of requests that it must refuse."""

from __future__ import annotations

import base64
import io
import uuid
from pathlib import Path

import httpx
import pytest
from PIL import Image

from fruitvision.ui import gate
from fruitvision.ui.access import COOKIE
from tests.browser.conftest import run_app

UPLOAD, JOIN, SERVER = "gradio_api/upload", "gradio_api/queue/join", "gradio_api/component_server"
_LIVE: dict[str, int] = {}
SECRET = "a secret that no visitor may read"


@pytest.fixture(scope="module")
def opened(tmp_path_factory, project, shipped_checkpoint):
    """(None, its address, its token, its top folder) of an app in a process of its own: public, on this computer."""
    folder = tmp_path_factory.mktemp("hostile")
    (folder / "secret.txt").write_text(SECRET, encoding="utf-8")
    token = "token-of-the-tests-" + uuid.uuid4().hex
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FRUITVISION_OWNER_TOKEN", token)
        with run_app(folder, "--public", "--host", "127.0.0.1", cwd=folder, app=project / "app.py") as running:
            yield None, running.url, token, folder


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


@pytest.fixture(scope="module", autouse=True)
def _ids(client):
    for one in client.get("config").json()["components"]:
        name = one["props"].get("elem_id")
        if name in ("classify-live", "classify-teach"):
            _LIVE[name.removeprefix("classify-")] = one["id"]


def serve(client, part: str, name: str, data, **headers) -> httpx.Response:
    body = {"data": data, "component_id": _LIVE[part], "fn_name": name, "session_hash": uuid.uuid4().hex}
    return client.post(SERVER, json=body, headers=headers)


def frame(client, image: str | None = None) -> dict:
    return serve(client, "live", "answer_frame", {"image": image or data_url(picture_bytes()), "language": "en"}).json()


# Who may do what -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["taught_state", "taught_pictures", "teach_picture", "take_back", "start_over", "export_taught", "import_taught"]
)
def test_a_visitor_neither_teaches_nor_sees_what_was_taught(client, opened, name):
    asked = {"language": "en", "image": data_url(picture_bytes()), "name": "Apple"}
    assert serve(client, "teach", name, asked).json()["code"] == "owner-only"
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
    config = project / "checkpoints/fruits-360/config.json"
    targets = [folder / "secret.txt", Path("/etc/passwd"), project / "app.py", config, folder / "runs"]
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
    for path in ("monitoring", "monitoring/summary", "docs", "openapi.json", "gradio_api/info", "gradio_api/openapi.json",
                 "gradio_api/deep_link", "gradio_api/vibe-code", "gradio_api/runs", "gradio_api/mcp/", "gradio_api/dev/reload", "login", "gradio_api/app_id"):  # fmt: skip
        assert client.get(path).status_code == 404, path
    for path in ("gradio_api/process_recording", "gradio_api/vibe-edit", "gradio_api/api/predict", "gradio_api/call/predict", "login"):
        assert client.post(path, json={}).status_code == 404, path


# Whose page it is ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://127.0.0.1:1", "http://127.0.0.1.evil.example", "file://", "http://[::"]
)
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
            assert client.post(path, content=pieces).status_code in (400, 413), path  # 400: no form, seen before its body
        except httpx.WriteError:
            pass  # it hung up in the midst, which refuses as well


def test_an_upload_over_ten_megabytes_is_refused(client):
    assert client.post(UPLOAD, files={"files": ("a.png", b"x" * (10 * 2**20 + 1))}).status_code == 413


def test_forged_sessions_and_events_show_nothing_of_others(client):
    for session in ("", "x", "../../x", "0" * 5000, "%00", "'; drop table", uuid.uuid4().hex):
        answer = client.post("gradio_api/cancel", json={"session_hash": session, "event_id": "x", "fn_index": 0})
        assert "fv-" not in answer.text
        answer = client.post("gradio_api/reset", json={"event_id": session})
        assert answer.status_code in (200, 400, 422) and "fv-" not in answer.text
