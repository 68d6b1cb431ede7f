"""``/api``: exactly its routes, by the gate's rules; and the real app answers programs as ``predict --json`` does."""

from __future__ import annotations

import asyncio
import json
import threading

import httpx
import pytest

from fruitvision.__main__ import main
from fruitvision.ui.api.routes import PATHS, Api, description
from fruitvision.ui.server.access import Access
from fruitvision.ui.server.gate import Gate
from tests.ui.visitor import picture_bytes

LIMIT = 1000
OWN = [(b"host", b"127.0.0.1:7860")]
SHARED = Access("a-token-of-the-tests")


async def gradio(scope, receive, send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"gradio"})


def answered(picture: bytes, request) -> dict:
    return {"predictions": [{"image": "", "bytes": len(picture), "thread": threading.current_thread() is not threading.main_thread()}]}


def talk(method: str, path: str, *, body: bytes = b"", headers=OWN, access=SHARED, api: Api | None) -> tuple[int, bytes]:
    sent: list[dict] = []

    async def receive() -> dict:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: dict) -> None:
        sent.append(message)

    scope = {"type": "http", "method": method, "path": path, "root_path": "", "headers": list(headers), "query_string": b""}
    asyncio.run(Gate(gradio, access, set(), api=api)(scope, receive, send))
    return sent[0]["status"], b"".join(one.get("body", b"") for one in sent)


@pytest.mark.parametrize(
    ("method", "path"), [(method, path) for path, methods in PATHS.items() for method in methods] + [("GET", "/gradio_api/info")]
)
def test_the_routes_are_there_with_the_api_and_not_without(method, path):
    assert talk(method, path, api=Api(answered, LIMIT))[0] == 200
    assert talk(method, path, api=None)[0] == 404


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api"),
        ("POST", "/api/openapi.json"),
        ("POST", "/gradio_api/info"),
        ("GET", "/api/"),
        ("POST", "/api/classify/"),
        ("POST", "/api/predict"),
        ("POST", "/gradio_api/call/classify"),
        ("POST", "/gradio_api/api/predict"),
    ],
)
def test_there_are_no_others(method, path):
    assert talk(method, path, api=Api(answered, LIMIT))[0] == 404


def test_a_form_and_a_question_without_a_picture_are_told_how_to_send_one():
    form = [*OWN, (b"content-type", b"multipart/form-data; boundary=x")]
    for asked, status in ((("POST", "/api/classify"), 415), (("GET", "/api/classify"), 405)):
        found, body = talk(*asked, headers=form if status == 415 else OWN, api=Api(answered, LIMIT))
        assert found == status and b"--data-binary" in body


def test_a_picture_is_the_whole_body_whatever_bytes_it_has():
    """Nothing parses it: brackets are not counted as a JSON text's are."""
    status, body = talk("POST", "/api/classify", body=b"[" * LIMIT, api=Api(answered, LIMIT))
    assert (status, json.loads(body)["predictions"][0]) == (200, {"image": "", "bytes": LIMIT, "thread": True})


def test_a_body_over_the_limit_is_refused_declared_or_not():
    api = Api(answered, LIMIT)
    assert talk("POST", "/api/classify", body=b"x" * (LIMIT + 1), api=api)[0] == 413
    assert talk("POST", "/api/classify", headers=[*OWN, (b"content-length", b"1001")], api=api)[0] == 413


@pytest.mark.parametrize(
    "headers",
    [[(b"origin", b"https://evil.example")], [(b"sec-fetch-site", b"cross-site")], [(b"content-type", b"multipart/form-data; boundary=x")]],
)
def test_another_sites_page_and_a_form_are_refused(headers):
    assert talk("POST", "/api/classify", headers=[*OWN, *headers], api=Api(answered, LIMIT))[0] in (403, 415)


def test_an_app_for_this_computer_alone_answers_programs_of_this_computer_alone():
    api = Api(answered, LIMIT)
    assert talk("POST", "/api/classify", access=Access(), api=api)[0] == 200
    assert talk("POST", "/api/classify", access=Access(), headers=[(b"host", b"evil.example")], api=api)[0] == 421


def test_one_visitor_is_answered_so_many_times_at_once(monkeypatch):
    from fruitvision.ui.server import limits

    monkeypatch.setattr(limits, "SLOT_TIMEOUT", 0.05)
    monkeypatch.setattr(limits, "USERS_BEHIND_PROXY", 1)
    held = threading.Semaphore(0)
    api, sent = Api(lambda picture, request: held.acquire(timeout=20) and {"predictions": [{"image": ""}]}, LIMIT), []

    async def ask(gate: Gate) -> None:
        async def receive() -> dict:
            return {"type": "http.request", "body": b"x", "more_body": False}

        async def send(message: dict) -> None:
            if "status" in message:
                sent.append(message["status"])
                if message["status"] == 503:
                    held.release(limits.MAX_REQUESTS)

        path = "/api/classify"
        await gate({"type": "http", "method": "POST", "path": path, "root_path": "", "headers": OWN, "query_string": b""}, receive, send)

    async def crowd() -> None:
        gate = Gate(gradio, SHARED, set(), api=api)
        await asyncio.gather(*(ask(gate) for _ in range(limits.MAX_REQUESTS + 1)))

    asyncio.run(crowd())
    assert sorted(sent) == [200] * limits.MAX_REQUESTS + [503]


def test_what_cannot_be_answered_has_a_status_of_its_own():
    def failing(picture: bytes, request) -> dict:
        return {"predictions": [{"image": "", "error": {}}]} if picture else {"error": {"code": "model-gone"}}

    assert talk("POST", "/api/classify", body=b"x", api=Api(failing, LIMIT))[0] == 422
    assert talk("POST", "/api/classify", api=Api(failing, LIMIT))[0] == 503


def test_the_description_names_every_route_that_takes_a_picture_and_what_predict_prints(run_prediction):
    described = description(10 << 20)
    assert list(described["paths"]) == [path for path, methods in PATHS.items() if "POST" in methods]
    schema = described["paths"]["/api/classify"]["post"]["responses"]["200"]["content"]["application/json"]["schema"]
    assert set(run_prediction) <= set(schema["properties"]["predictions"]["items"]["properties"])


@pytest.fixture(scope="module")
def picture(tmp_path_factory):
    path = tmp_path_factory.mktemp("api") / "red.jpg"
    path.write_bytes(picture_bytes())
    return path


@pytest.fixture
def run_prediction(picture, shipped_checkpoint, capsys) -> dict:
    """What ``predict --json`` says of the picture."""
    assert main(["predict", str(picture), "--checkpoint", "fruits-360", "--json"]) == 0
    return json.loads(capsys.readouterr().out)["predictions"][0]


def like(found: dict, expected: dict) -> bool:
    """Whether it is the same answer, the name of the picture aside; OpenVINO rounds otherwise than torch."""
    same = {"label", "fruit_type", "verdict"}
    return (
        found.keys() == expected.keys()
        and all(found[key] == expected[key] for key in same)
        and abs(found["confidence"] - expected["confidence"]) < 0.01
    )


def test_a_visitor_posts_a_picture_to_the_real_app_and_gets_what_predict_prints(shared, picture, run_prediction):
    with httpx.Client(base_url=shared.url, timeout=60) as client:
        good = client.post("api/classify", content=picture.read_bytes())
        assert good.status_code == 200 and like(good.json()["predictions"][0], run_prediction)
        bad = client.post("api/classify", content=b"no picture")
        assert bad.status_code == 422 and bad.json()["predictions"][0]["error"]["code"].startswith("picture-")
        assert client.get("api/openapi.json").json()["openapi"].startswith("3.")
        page = client.get("api")
        assert "curl --data-binary" in page.text and page.headers["content-type"].startswith("text/html")


def test_gradios_client_gets_the_same(shared, picture, run_prediction):
    from gradio_client import Client, handle_file

    client = Client(shared.url, verbose=False)
    found = client.predict(handle_file(str(picture)), api_name="/classify")
    assert found["predictions"][0]["image"] == "red.jpg" and like(found["predictions"][0], run_prediction)
    assert list(client.view_api(return_format="dict")["named_endpoints"]) == ["/classify"]
