"""The page is rendered once for everybody, and asking for it keeps nobody waiting."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from fruitvision.ui.server import places
from fruitvision.ui.server.access import Caller
from fruitvision.ui.server.page_cache import MOST, PageCache
from fruitvision.ui.server.places import Busy

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
    monkeypatch.setattr(places, "PATIENCE_SECONDS", 0.0)
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
        assert len(page._kept) <= MOST
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
