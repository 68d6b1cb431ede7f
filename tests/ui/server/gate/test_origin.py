"""Whose request it is: this computer's names, the tunnel, a proxy, another page of the same site."""

from __future__ import annotations

import threading
import time
from types import SimpleNamespace

import pytest

from fruitvision.errors import UsageError
from fruitvision.ui import gradio_internals
from fruitvision.ui.server import tunnel
from fruitvision.ui.server.access import TOKEN_VARIABLE, Access
from tests.ui.server.gate.conftest import OWN, ask, talk


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
    names_none = host.startswith("[") or "@" in host or host in ("::1", "localhost:x")
    assert ask(Access("a-token-of-the-tests"), [(b"host", host.encode())]) == (421 if names_none else 200), "shared, it goes by the token"


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
