"""The exported page behind the gate: visitors are led to it, its files alone are sent, and owners come to the app."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from fruitvision.errors import UsageError
from fruitvision.ui.server.access import Access
from fruitvision.ui.server.gate import Gate
from fruitvision.web.device_page import DevicePage

HOST = (b"host", b"fruit.example")
LINK = (HOST, (b"sec-fetch-mode", b"navigate"), (b"sec-fetch-site", b"cross-site"))


async def app(scope, receive, send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": b"the app"})


@pytest.fixture
def page(tmp_path: Path) -> DevicePage:
    folder = tmp_path / "site"
    (folder / "js").mkdir(parents=True)
    (folder / "index.html").write_text("<p>page", encoding="utf-8")
    (folder / "model.json").write_text(json.dumps({}), encoding="utf-8")
    (folder / "js" / "app.js").write_bytes(b"x" * 200_000)
    (tmp_path / "secret").write_bytes(b"secret")
    return DevicePage(folder)


def ask(page: DevicePage | None, path: str, headers=LINK, *, query: bytes = b"", method: str = "GET", root: str = ""):
    """Status, headers and body of the answer to a visitor of a shared app."""
    sent: list[dict] = []

    async def receive() -> dict:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict) -> None:
        sent.append(message)

    scope = {"type": "http", "method": method, "path": path, "root_path": "", "headers": list(headers), "query_string": query}
    gate = Gate(app, Access("a-token-of-the-tests"), set(), root_path=root, device=page)
    asyncio.run(gate(scope, receive, send))
    return sent[0]["status"], dict(sent[0]["headers"]), b"".join(one.get("body", b"") for one in sent[1:])


def test_a_visitor_is_led_to_the_page_and_may_ask_for_the_app(page):
    status, headers, _ = ask(page, "/")
    assert (status, headers[b"location"]) == (303, b"device/?app")
    assert ask(page, "/", query=b"app")[2] == b"the app"
    assert ask(None, "/")[2] == b"the app"
    assert ask(page, "/config", (HOST,))[2] == b"the app"


@pytest.mark.parametrize("query", [b"app", b"app=&lang=zh", b"lang=zh&app", b"tab=compare", b"owner=a-token-of-the-tests"])
def test_who_asked_for_the_app_a_panel_or_with_the_owners_link_stays(page, query):
    assert ask(page, "/", query=query)[2] == b"the app"


def test_a_frame_shows_the_app(page):
    """The page itself may stand in no other site's."""
    assert ask(page, "/", (*LINK, (b"sec-fetch-dest", b"iframe")))[2] == b"the app"
    assert ask(page, "/", (*LINK, (b"sec-fetch-dest", b"document")), query=b"lang=zh")[0] == 303


def test_while_the_page_is_being_made_visitors_get_the_app(page, tmp_path):
    later = DevicePage()
    assert not later.ready and ask(later, "/")[2] == b"the app" and ask(later, "/device/")[0] == 404
    later.read(tmp_path / "site")
    assert later.ready and ask(later, "/")[0] == 303 and ask(later, "/device/")[2] == b"<p>page"


def test_files_come_whole_with_their_type_and_the_headers_that_threads_need(page):
    status, headers, body = ask(page, "/device/")
    assert status == 200 and body == b"<p>page" and headers[b"content-type"].startswith(b"text/html")
    assert headers[b"cross-origin-opener-policy"] == b"same-origin" and headers[b"cross-origin-embedder-policy"] == b"require-corp"
    assert b"set-cookie" not in headers
    status, headers, body = ask(page, "/fruit/device/js/app.js", (HOST,), root="/fruit")
    assert body == b"x" * 200_000 and headers[b"content-type"].startswith(b"text/javascript")
    known = ask(page, "/device/js/app.js", (HOST, (b"if-none-match", headers[b"etag"])))
    assert known[0] == 304 and known[2] == b""
    assert ask(page, "/device/js/app.js", (HOST,), method="HEAD")[2] == b""


@pytest.mark.parametrize("path", ["/device/../secret", "/device/..%2fsecret", "/device//index.html", "/device/js", "/device", "/device/no"])
def test_nothing_else_is_sent(page, path):
    assert ask(page, path, (HOST,))[0] == 404


def test_another_site_may_lead_here_but_not_take_its_files(page):
    elsewhere = (HOST, (b"sec-fetch-site", b"cross-site"), (b"sec-fetch-mode", b"no-cors"))
    assert ask(page, "/device/js/app.js", elsewhere)[0] == 403
    assert ask(page, "/device/")[0] == 200


def test_a_folder_that_is_no_exported_page_is_refused(tmp_path):
    for folder in (tmp_path, tmp_path / "gone"):
        with pytest.raises(UsageError) as caught:
            DevicePage(folder)
        assert caught.value.code == "not-a-page"


def test_links_that_lead_out_of_the_folder_are_not_sent(page, tmp_path):
    (tmp_path / "site" / "stolen.txt").symlink_to(tmp_path / "secret")
    (tmp_path / "site" / "inside.txt").symlink_to("index.html")
    (tmp_path / "link").symlink_to(tmp_path / "site")
    page = DevicePage(tmp_path / "link")
    assert ask(page, "/device/stolen.txt", (HOST,))[0] == 404
    assert ask(page, "/device/inside.txt", (HOST,))[2] == ask(page, "/device/")[2] == b"<p>page"
