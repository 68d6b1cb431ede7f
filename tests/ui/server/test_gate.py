"""What stands before Gradio: whose request, how large, how slow; and the tunnel that does not come."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from types import SimpleNamespace

import pytest

from fruitvision.errors import PictureError, UsageError
from fruitvision.ui import gradio_internals
from fruitvision.ui.server import bodies, gate, guarded_blocks, places, tunnel
from fruitvision.ui.server.access import TOKEN_VARIABLE, Access
from fruitvision.ui.server.gate import Gate
from fruitvision.ui.server.guarded_blocks import refuse_foreign_files

OWN = [(b"host", b"127.0.0.1:7860")]


async def reached(scope, receive, send) -> None:
    """An app that reads the whole body and says so."""
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"reached"})


def talk(
    access: Access,
    headers=OWN,
    *,
    body=(b"",),
    pause: float = 0.0,
    path: str = "/config",
    hosts=(),
    root: str = "",
    method: str = "POST",
    app=reached,
    **guards,
) -> list[dict]:
    """What such a request, its body in pieces, is answered."""
    pieces, sent = list(body), []

    async def receive() -> dict:
        await asyncio.sleep(pause)
        return {"type": "http.request", "body": pieces.pop(0), "more_body": bool(pieces)}

    async def send(message: dict) -> None:
        sent.append(message)

    scope = {"type": "http", "method": method, "path": path, "root_path": "", "headers": list(headers), "query_string": b""}
    asyncio.run(Gate(app, access, set(hosts), root_path=root, **guards)(scope, receive, send))
    return sent


def ask(access: Access, headers=OWN, **more) -> int:
    """The status of the same."""
    return talk(access, headers, **more)[0]["status"]


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:7860",
        "127.0.0.1.evil.example",
        "192.168.1.5:7860",
        "",
        "[localhost]evil.example",
        "[::1]evil.example",
        "localhost:7860@evil.example",
        "127.0.0.1:",
        "::1",
        "localhost:x",
    ],
)
def test_an_app_for_this_computer_alone_answers_under_its_own_name_only(host):
    """A foreign page whose name points here would otherwise act as the owner (DNS rebinding)."""
    assert ask(Access(), [(b"host", host.encode())]) == 421
    assert ask(Access("a-token-of-the-tests"), [(b"host", host.encode())]) == 200, "shared, it goes by the token"


@pytest.mark.parametrize("host", ["127.0.0.1:7860", "localhost:7860", "LOCALHOST", "[::1]:7860"])
def test_this_computers_names_are_let_in(host):
    assert ask(Access(), [(b"host", host.encode())]) == 200


def test_a_page_that_came_through_the_tunnel_or_a_proxy_is_its_own():
    token = Access("a-token-of-the-tests")
    through = [(b"host", b"127.0.0.1:7860"), (b"origin", b"https://abc.gradio.live")]
    assert ask(token, through) == 403
    assert ask(token, through, hosts=["abc.gradio.live"]) == 200
    for claim in (b"x-forwarded-host", b"x-forwarded-server", b"forwarded", b"x-original-host"):
        assert ask(token, [*through, (claim, b"abc.gradio.live")]) == 403, "any script may say so"
    assert ask(token, [(b"host", b"fruit.example"), (b"origin", b"https://fruit.example")], path="/fruit/config", root="/fruit") == 200


@pytest.mark.parametrize(
    "header",
    [
        b"x-forwarded-for",
        b"x-forwarded-host",
        b"x-forwarded-proto",
        b"forwarded",
        b"x-real-ip",
        b"via",
        b"x_forwarded_for",
        b"x-client-ip",
        b"x-cluster-client-ip",
        b"fly-client-ip",
        b"cf-ray",
        b"x-amzn-trace-id",
        b"tailscale-user-login",
    ],
)
def test_an_app_for_this_computer_alone_does_not_answer_behind_a_proxy(header):
    """There everybody comes from 127.0.0.1, and would be its owner."""
    assert ask(Access(), [*OWN, (header, b"203.0.113.5")]) == 403
    assert ask(Access("a-token-of-the-tests"), [*OWN, (header, b"203.0.113.5")]) == 200


@pytest.mark.parametrize("site", [b"same-site", b"cross-site"])
@pytest.mark.parametrize(
    "path", ["/config", "/gradio_api/queue/data", "/gradio_api/file=x", "/gradio_api/component_server", "/assets/x.js"]
)
def test_other_pages_of_the_same_site_call_nothing(site, path):
    """Another port of this computer, or a sister's name below one domain, is the same site: it sends a Strict cookie along."""
    for access in (Access(), Access("a-token-of-the-tests")):
        for method in ("GET", "POST"):
            assert ask(access, [*OWN, (b"sec-fetch-site", site), (b"sec-fetch-mode", b"no-cors")], path=path, method=method) == 403


def test_a_link_on_another_page_leads_here():
    link = [*OWN, (b"sec-fetch-site", b"cross-site"), (b"sec-fetch-mode", b"navigate")]
    assert ask(Access(), link, path="/", method="GET") == 200
    assert ask(Access(), link, path="/", method="POST") == 403 == ask(Access(), link, path="/config", method="GET")


@pytest.mark.parametrize("method", ["OPTIONS", "PUT", "DELETE", "TRACE", "PATCH"])
def test_no_preflight_is_answered_nor_any_method_that_the_page_does_not_use(method):
    asked = [*OWN, (b"origin", b"http://127.0.0.1:8899"), (b"access-control-request-method", b"POST")]
    sent = talk(Access(), asked, method=method)
    assert sent[0]["status"] == 405 and not any(name.startswith(b"access-control") for name, _ in sent[0]["headers"])


@pytest.mark.parametrize(
    "file",
    [
        "http://100.100.100.200/latest/meta-data",
        "HTTPS://evil.example/x",
        "ftp://x",
        "data:text/html,x",
        "//evil.example/x",
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


def test_a_body_that_drips_holds_no_place(monkeypatch):
    """60 of them kept every other visitor's calls away."""
    monkeypatch.setattr(bodies, "PAUSE_SECONDS", 2.0)

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
        (b"cookie", b"session=secret; fruitvision-owner=a-token-of-the-tests"),
        (b"x-accel-redirect", b"/etc/passwd"),
        (b"x-forwarded-host", b"evil.example"),
        (b"x-gradio-server", b"http://evil.example"),
        (b"x-forwarded-proto", b"https"),
    ]
    sent = talk(Access("a-token-of-the-tests"), [*OWN, *given], app=copying, method="GET")
    assert not {b"range", b"if-range", b"x-forwarded-host", b"x-gradio-server"} & set(seen)
    assert seen[b"cookie"] == b"fruitvision-owner=a-token-of-the-tests" and seen[b"x-forwarded-proto"] == b"https"
    answered = sent[0]["headers"]
    assert not {b"cookie", b"x-accel-redirect", b"host", b"x-forwarded-proto"} & {name for name, _ in answered}
    assert [value for name, value in answered if name == b"set-cookie"] == [b"fruitvision-number=1"]
    assert dict(answered)[b"content-type"] == b"text/html"


@pytest.mark.parametrize("path", ["/gradio_api/queue/data", "/gradio_api/heartbeat/a-session", "/gradio_api/upload_progress"])
def test_answers_that_stay_open_are_counted(path, monkeypatch):
    monkeypatch.setattr(places, "PATIENCE_SECONDS", 0.0)

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
    number = access.new_number().partition(";")[0].encode()
    assert asyncio.run(ask_often(number, gate.STREAMS)) == [] and asyncio.run(ask_often(number, gate.STREAMS + 5)) == [503] * 5
    assert asyncio.run(ask_often(b"fruitvision-owner=a-token-of-the-tests", 100)) == []


def test_two_lengths_and_headers_that_come_twice_are_refused():
    token = Access("a-token-of-the-tests")
    assert ask(token, [*OWN, (b"content-length", b"0"), (b"transfer-encoding", b"chunked")]) == 400
    for name in (b"host", b"origin", b"sec-fetch-site", b"content-type"):
        assert ask(token, [*OWN, (name, b"127.0.0.1"), (name, b"evil.example")]) == 400
    for origin in (b"ftp://127.0.0.1:7860", b"chrome-extension://127.0.0.1:7860", b"127.0.0.1:7860"):
        assert ask(token, [*OWN, (b"origin", origin)]) == 403


@pytest.mark.parametrize("query", [b"session_hash=" + b"x" * 65, b"upload_id=a%20b", b"event_id=%ff", b"x=" + b"y" * 5000])
def test_names_in_an_address_are_bounded(query):
    sent: list[dict] = []

    async def send(message: dict) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": "/gradio_api/queue/data", "headers": OWN, "query_string": query}
    asyncio.run(Gate(reached, Access(), set())(scope, None, send))
    assert sent[0]["status"] in (400, 414)


def test_files_come_to_their_own_route_alone_and_are_counted_as_gradio_does():
    kind = (b"content-type", b"multipart/form-data; boundary=limit")
    assert ask(Access(), [*OWN, kind], body=[form(1)], path="/gradio_api/component_server") == 415
    for given in (b"multipart/form-data; xboundary=other; boundary=limit", b"Multipart/Form-Data; boundary=limit"):
        many = form(bodies.MOST_FILES + 1)
        assert ask(Access(), [*OWN, (b"content-type", given)], body=[many], path="/gradio_api/upload") == 400, given


def test_what_fails_is_a_sentence_and_is_logged_once(caplog):
    async def failing(scope, receive, send) -> None:
        raise LookupError("no such component")

    for _ in range(5):
        assert ask(Access(), app=failing) == 500
    assert len([one for one in caplog.records if "unexpected" in one.message]) <= 1


def test_an_upload_s_progress_is_forgotten(monkeypatch):
    monkeypatch.setattr(gate, "PROGRESS_SECONDS", 0.0)

    async def go() -> None:
        async with gate._forgotten({"query_string": b"upload_id=abc"}):
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


def form(files: int) -> bytes:
    part = b'--limit\r\nContent-Disposition: form-data; name="files"; filename="x"\r\n\r\nx\r\n'
    return part * files + b"--limit--"


@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_files_in_one_request_are_counted(size):
    kind = (b"content-type", b"multipart/form-data; boundary=limit")
    for files, status in ((bodies.MOST_FILES, 200), (bodies.MOST_FILES + 1, 400)):
        content = form(files)
        pieces = [content[at : at + size] for at in range(0, len(content), size)]
        assert ask(Access(), [*OWN, kind], body=pieces, path="/gradio_api/upload") == status
    assert ask(Access(), [*OWN, (b"content-type", b"multipart/form-data")], body=[content], path="/gradio_api/upload") == 400


def test_a_body_that_comes_too_slowly_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(bodies, "PAUSE_SECONDS", 0.2)
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


@pytest.mark.parametrize("value", [None, 5, "fr", ["en"], {"a": 1}, "zh"])
def test_whatever_stands_for_a_language_is_one(value):
    function = SimpleNamespace(inputs=[SimpleNamespace(elem_id="language"), SimpleNamespace(elem_id="model"), SimpleNamespace()])
    assert guarded_blocks._in_a_language(function, [value, None, value]) == ["zh" if value == "zh" else "en", None, value]


@pytest.mark.parametrize("token", ["short", "x" * 257, "sixteen letters; and", "sechzehn-zeichen-ä"])
def test_a_token_that_could_be_guessed_or_fits_no_cookie_is_refused(monkeypatch, token):
    monkeypatch.setenv(TOKEN_VARIABLE, token)
    with pytest.raises(UsageError) as caught:
        Access.of_launch(host="127.0.0.1", share=True, public=False)
    assert caught.value.code == "weak-token" and token not in str(caught.value)


def test_a_tunnel_that_does_not_come_is_given_up_and_closed(monkeypatch):
    never, closed = threading.Event(), []
    monkeypatch.setattr(gradio_internals.networking, "setup_tunnel", lambda *given: never.wait(20) and "http://late.gradio.live")
    monkeypatch.setattr(tunnel, "close_tunnels", lambda: closed.append(True))
    started = time.monotonic()
    assert tunnel.open_tunnel(SimpleNamespace(share_token="x"), 7860, seconds=0.3) is None
    assert time.monotonic() - started < 2 and closed
    never.set()  # and one that comes too late is closed, too
    end = time.monotonic() + 5
    while len(closed) < 2 and time.monotonic() < end:
        time.sleep(0.01)
    assert len(closed) == 2


def test_a_tunnel_that_comes_is_https_and_one_that_fails_is_none(monkeypatch):
    demo = SimpleNamespace(share_token="x")
    monkeypatch.setattr(gradio_internals.networking, "setup_tunnel", lambda *given: "http://abc.gradio.live")
    assert tunnel.open_tunnel(demo, 7860) == "https://abc.gradio.live" and demo.share

    def blocked(*given):
        raise OSError("offline")

    monkeypatch.setattr(gradio_internals.networking, "setup_tunnel", blocked)
    started = time.monotonic()
    assert tunnel.open_tunnel(demo, 7860) is None
    assert time.monotonic() - started < 2


@pytest.mark.parametrize("size", [1, 2, 3, 1000])
def test_nesting_is_followed_through_texts_escapes_and_pieces(size):
    deep, most = "[" * (bodies.MAX_DEPTH + 1), "[" * bodies.MAX_DEPTH
    harmless = (most, '{"a":"' + deep + '"}', '["\\\\\\"' + deep + '"]', "[]" * 1000)
    harmful = (deep, '["]]]]", ' + deep, '["\\\\", ' + deep, '["\\"]", ' + deep, '{"a":' * (bodies.MAX_DEPTH + 1), '""' * bodies.MAX_MARKS)
    for texts, expected in ((harmless, False), (harmful, True)):
        for text in texts if size > 1 or not expected else texts[:-1]:
            nesting, content = bodies.Nesting(), text.encode()
            pieces = (content[at : at + size] for at in range(0, len(content), size)) if len(content) < 10_000 else iter([content])
            assert any(nesting.too_deep(piece) for piece in pieces) is expected, text[:40]


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
    nesting = bodies.Nesting()
    assert nesting.problem(b'{"data":[' + b"1," * 30_000)
    assert not bodies.Nesting().problem(b'{"data":["data:image/jpeg;base64,' + b"A" * 13_000_000 + b'", 1, 2, 3]}')
    assert time.monotonic() - started < 2
