"""Addresses, headers, cookies and answers that stay open."""

from __future__ import annotations

import asyncio

import pytest
from starlette.requests import ClientDisconnect

from fruitvision.ui import gradio_internals
from fruitvision.ui.server import gate, limits
from fruitvision.ui.server.access import Access
from fruitvision.ui.server.gate import Gate
from tests.ui.server.gate.conftest import OWN, ask, reached, talk


def test_headers_are_bounded_and_cookies_hold_no_backslash():
    token = Access("a-token-of-the-tests")
    assert ask(token, [*OWN, (b"x-a", b"a" * gate.MAX_HEADER_BYTES)]) == 431
    assert ask(token, [*OWN, *((b"x-%d" % n, b"a" * 100) for n in range(200))]) == 431
    assert ask(token, [*OWN, (b"cookie", b"fruitvision-owner=" + b"b" * gate.MAX_COOKIE_BYTES)]) == 431
    assert ask(token, [*OWN, (b"cookie", b'a=b; fruitvision-owner="\\"')]) == 431
    assert ask(token, [*OWN, (b"cookie", b"a=b; c=d")]) == 200


def test_cookies_of_other_programs_do_no_harm():
    """A browser sends those of every port of a host along; Python's own writes a comma in one as a backslash and digits."""
    read: list[bytes] = []

    async def app(scope, receive, send) -> None:
        read.append(dict(scope["headers"])[b"cookie"])
        await reached(scope, receive, send)

    for foreign in (b'theirs="a\\054b"', b"theirs=" + b"x" * 10_000):
        assert ask(Access(), [*OWN, (b"cookie", foreign + b"; fruitvision-number=1.2")], app=app) == 200
    assert set(read) == {b"fruitvision-number=1.2"}


def test_what_a_request_brings_is_neither_handed_on_nor_sent_back():
    """Gradio copied a request's headers into its answer to a Range."""
    seen: dict[bytes, bytes] = {}

    async def copying(scope, receive, send) -> None:
        seen.update(scope["headers"])
        own = [(b"Content-Type", b"text/html"), (b"set-cookie", b"fruitvision-number=1"), (b"set-cookie", b"other=1")]
        await send({"type": "http.response.start", "status": 200, "headers": [*scope["headers"], *own]})
        await send({"type": "http.response.body", "body": b""})

    given = [
        (b"range", b"bytes=0-0-0"),
        (b"if-range", b"x"),
        (b"accept-encoding", b"gzip, br"),
        (b"cookie", b"session=secret; fruitvision-owner=a-token-of-the-tests"),
        (b"x-accel-redirect", b"/etc/passwd"),
        (b"x-forwarded-host", b"evil.example"),
        (b"x-gradio-server", b"http://evil.example"),
        (b"x-forwarded-proto", b"https"),
    ]
    sent = talk(Access("a-token-of-the-tests"), [*OWN, *given], app=copying, method="GET")
    assert not {b"range", b"if-range", b"accept-encoding", b"x-forwarded-host", b"x-gradio-server"} & set(seen)
    assert seen[b"cookie"] == b"fruitvision-owner=a-token-of-the-tests" and seen[b"x-forwarded-proto"] == b"https"
    answered = sent[0]["headers"]
    assert not {b"cookie", b"x-accel-redirect", b"host", b"x-forwarded-proto"} & {name for name, _ in answered}
    assert [value for name, value in answered if name == b"set-cookie"] == [b"fruitvision-number=1"]
    assert dict(answered)[b"content-type"] == b"text/html"


@pytest.mark.parametrize("path", ["/gradio_api/queue/data", "/gradio_api/heartbeat/a-session", "/gradio_api/upload_progress"])
def test_answers_that_stay_open_are_counted(path, monkeypatch):
    monkeypatch.setattr(limits, "SLOT_TIMEOUT", 0.0)

    async def staying(scope, receive, send) -> None:
        await asyncio.sleep(60)

    async def ask_often(cookie: bytes, times: int) -> list[int]:
        async def send(message: dict) -> None:
            statuses.extend([message["status"]] if "status" in message else [])

        statuses: list[int] = []
        scope = {"type": "http", "method": "GET", "path": path, "headers": [*OWN, (b"cookie", cookie)], "client": ("203.0.113.5", 5)}
        asked = [asyncio.create_task(guard(dict(scope), None, send)) for _ in range(times)]
        await asyncio.sleep(0.1)
        for one in asked:
            one.cancel()
        return statuses

    access = Access("a-token-of-the-tests")
    guard = Gate(staying, access, set())
    number = access.new_visitor_cookie().partition(";")[0].encode()
    assert asyncio.run(ask_often(number, gate.MAX_STREAMS)) == [] and asyncio.run(ask_often(number, gate.MAX_STREAMS + 5)) == [503] * 5
    assert asyncio.run(ask_often(b"fruitvision-owner=a-token-of-the-tests", 100)) == []


def test_two_lengths_and_headers_that_come_twice_are_refused():
    token = Access("a-token-of-the-tests")
    assert ask(token, [*OWN, (b"content-length", b"0"), (b"transfer-encoding", b"chunked")]) == 400
    for name in (b"host", b"origin", b"sec-fetch-site", b"content-type"):
        assert ask(token, [*OWN, (name, b"127.0.0.1"), (name, b"evil.example")]) == 400
    for origin in (b"ftp://127.0.0.1:7860", b"chrome-extension://127.0.0.1:7860", b"127.0.0.1:7860"):
        assert ask(token, [*OWN, (b"origin", origin)]) == 403


@pytest.mark.parametrize("host", ["[v1.x]", "[::::]", "a b", "a/b", "u@a", ":99999", "a:0", "\xff"])
def test_a_host_that_names_none_is_refused(host):
    """Gradio makes an address of it, and some of these ended in a traceback."""
    access = Access("a-token-of-the-tests")
    assert ask(access, [(b"host", host.encode("latin-1"))], method="GET") == 421
    for usual in ("", "a_b.local:80", "[::1]:7860", "xn--fruit.example", "FRUIT.example.:8080", "192.168.0.7"):
        assert ask(access, [(b"host", usual.encode())], method="GET") == 200, usual


def test_a_client_that_leaves_is_not_logged(caplog):
    """Each sort of call whose client left while it sent its body put a traceback into the log."""

    async def left(scope, receive, send) -> None:
        raise ClientDisconnect

    assert talk(Access("a-token-of-the-tests"), app=left) == []
    assert not caplog.records


def test_a_large_answer_is_sent_in_pieces():
    content = bytes(range(256)) * 1000

    async def app(scope, receive, send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for more in (True, False):
            await send({"type": "http.response.body", "body": content, "more_body": more})

    start, *sent = talk(Access(), app=app, method="GET")
    assert b"".join(one["body"] for one in sent) == content * 2 and max(len(one["body"]) for one in sent) <= 2**16
    assert [one["more_body"] for one in sent] == [True] * (len(sent) - 1) + [False]


@pytest.mark.parametrize("query", [b"session_hash=" + b"x" * 65, b"upload_id=a%20b", b"event_id=%ff", b"x=" + b"y" * 5000])
def test_names_in_an_address_are_bounded(query):
    sent: list[dict] = []

    async def send(message: dict) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": "/gradio_api/queue/data", "headers": OWN, "query_string": query}
    asyncio.run(Gate(reached, Access(), set())(scope, None, send))
    assert sent[0]["status"] in (400, 414)


def test_what_fails_is_a_sentence_and_is_logged_once(caplog):
    async def failing(scope, receive, send) -> None:
        raise LookupError("no such component")

    for _ in range(5):
        assert ask(Access(), app=failing) == 500
    assert len([one for one in caplog.records if "unexpected" in one.message]) <= 1


def test_an_upload_s_progress_is_forgotten(monkeypatch):
    monkeypatch.setattr(gate, "PROGRESS_SECONDS", 0.0)

    async def go() -> None:
        async with gate._upload_progress_forgotten({"query_string": b"upload_id=abc"}):
            gradio_internals.file_upload_statuses.track("abc")
        await asyncio.sleep(0.05)

    asyncio.run(go())
    assert "abc" not in gradio_internals.file_upload_statuses._statuses and "abc" not in gradio_internals.file_upload_statuses._signals


def test_every_answer_says_what_browsers_may_do_with_it():
    for sent in (talk(Access()), talk(Access(), [(b"host", b"evil.example")]), talk(Access(), path="/gradio_api/file=x", method="GET")):
        headers = dict(sent[0]["headers"])
        assert headers[b"x-content-type-options"] == b"nosniff"
        assert b"frame-ancestors 'self'" in headers[b"content-security-policy"]
    assert b"sandbox" in headers[b"content-security-policy"], "an upload is no page of ours"
    framed = dict(talk(Access(), embed_in=["https://huggingface.co"])[0]["headers"])[b"content-security-policy"]
    assert framed.endswith(b"frame-ancestors 'self' https://huggingface.co")
