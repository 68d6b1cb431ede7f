"""The page is rendered once for everybody, and asking for it keeps nobody waiting."""

from __future__ import annotations

import asyncio
import contextlib
import json

import pytest

from fruitvision.ui.app import build_app
from fruitvision.ui.page.context import Context
from fruitvision.ui.page.models import Models
from fruitvision.ui.server import limits
from fruitvision.ui.server.access import Access, Caller
from fruitvision.ui.server.guarded_blocks import RENDERED_LANGUAGE
from fruitvision.ui.server.limits import Busy
from fruitvision.ui.server.page_cache import MAX_ENTRIES, PageCache, wanted_language
from fruitvision.wording.text import say
from tests.ui.server.test_allowed import quietly

ANN = Caller(False, "203.0.113.5", "ann")


class App:
    """Renders a page that names the address that was asked for, and counts."""

    def __init__(self, status: int = 200, seconds: float = 0.0) -> None:
        self.status, self.seconds, self.asked = status, seconds, []

    async def __call__(self, scope, receive, send) -> None:
        self.asked.append(scope)
        await asyncio.sleep(self.seconds)
        host = dict(scope["headers"])[b"host"]
        await send({"type": "http.response.start", "status": self.status, "headers": [(b"content-length", b"%d" % len(host))]})
        await send({"type": "http.response.body", "body": host})


async def get(page: PageCache, host: bytes = b"fruit.example", caller: Caller = ANN, **more) -> bytes:
    scope = {"type": "http", "method": "GET", "path": "/", "headers": [(b"host", host)], **more}
    sent: list[dict] = []

    async def send(message: dict) -> None:
        sent.append(message)

    await page(scope, None, send, caller)
    return b"".join(message.get("body", b"") for message in sent)


def test_many_requests_are_one_rendering():
    app = App(seconds=0.01)

    async def many() -> None:
        page = PageCache(app)
        assert await get(page) == b"fruit.example"
        assert await asyncio.gather(*[get(page) for _ in range(200)]) == [b"fruit.example"] * 200
        assert await get(page, method="HEAD") == b""
        assert await get(page, query_string=b"deep_link=x") == b"fruit.example"

    asyncio.run(many())
    assert len(app.asked) == 1


def test_each_address_has_its_own_and_a_flood_of_them_is_bounded(monkeypatch):
    monkeypatch.setattr(limits, "SLOT_TIMEOUT", 0.0)
    app = App(seconds=0.01)

    async def many() -> int:
        page = PageCache(app)
        for host in (b"a", b"b", b"a"):
            assert await get(page, host) == host
        assert len(app.asked) == 2
        refused = 0
        for answer in await asyncio.gather(*[get(page, b"h%d" % n) for n in range(100)], return_exceptions=True):
            refused += isinstance(answer, Busy)
        assert await get(page, b"a", Caller(True)) == b"a"
        for number in range(50):
            with contextlib.suppress(Busy):
                await get(page, b"h%d" % number)
        assert len(page._entries) <= MAX_ENTRIES
        return refused

    assert asyncio.run(many()) == 98


@pytest.mark.parametrize("status", [404, 500])
def test_what_is_no_page_is_not_kept(status):
    app = App(status)

    async def twice() -> None:
        page = PageCache(app)
        await get(page)
        await get(page)

    asyncio.run(twice())
    assert len(app.asked) == 2


def test_an_owners_link_is_handed_on_whole():
    app = App()
    asyncio.run(get(PageCache(app), query_string=b"owner=secret"))
    assert app.asked[0]["query_string"] == b"owner=secret"


def headers(**named: str) -> dict:
    return {"headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in named.items()]}


@pytest.mark.parametrize(
    ("scope", "language"),
    [
        ({**headers()}, "en"),
        ({**headers(accept_language="zh-CN,zh;q=0.9,en;q=0.8")}, "zh"),
        ({**headers(accept_language="zh", cookie="a=b; fruitvision-language=en")}, "en"),
        ({**headers(cookie="fruitvision-language=zh"), "query_string": b"tab=train&lang=en"}, "en"),
        ({**headers(cookie="fruitvision-language=xx"), "query_string": b"lang=../../zh"}, "en"),
    ],
)
def test_the_language_of_a_page_is_the_addresss_the_choice_before_or_the_browsers(scope, language):
    assert wanted_language({"type": "http", **scope}, "en", follow_browser=True) == language


def test_an_app_in_one_language_does_not_follow_the_browser():
    assert wanted_language({"type": "http", **headers(accept_language="en")}, "zh", follow_browser=False) == "zh"


def test_each_language_is_rendered_once():
    rendered = []

    class InLanguage(App):
        async def __call__(self, scope: dict, receive, send) -> None:
            rendered.append(RENDERED_LANGUAGE.get())
            await super().__call__(scope, receive, send)

    async def many() -> None:
        page = PageCache(InLanguage(), lambda scope: scope["query_string"].decode())
        for language in (b"en", b"zh", b"en", b"zh"):
            await get(page, query_string=language)

    asyncio.run(many())
    assert rendered == ["en", "zh"]


def test_the_page_is_rendered_in_another_language_whole(tmp_path):
    """In as much of it as the switch of the language changes."""
    context = Context(runs=tmp_path, taught=tmp_path, access=Access(None), models=Models(tmp_path), data=tmp_path / "data")
    demo = quietly(build_app, context)
    before = json.dumps(demo.config["components"], default=str)
    mark = RENDERED_LANGUAGE.set("zh")
    try:
        chinese = demo.config
        assert chinese is demo.config, "made once"
    finally:
        RENDERED_LANGUAGE.reset(mark)
    shown = {one["props"].get("elem_id"): one["props"] for one in chinese["components"]}
    assert shown["language"]["value"] == "zh" and shown["panel-train"]["label"] == say("header.train", "zh")
    assert shown["train-start"]["value"] == say("train.start", "zh") and "水果" in shown["title"]["value"]
    assert json.dumps(demo.config["components"], default=str) == before, "the page that it was built in stays"
