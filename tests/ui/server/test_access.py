"""Who owns an app follows from how it was started and from a token, never from an address."""

from __future__ import annotations

import asyncio
import os
import time
from ipaddress import ip_address
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit
from urllib.request import url2pathname

import pytest

from fruitvision.errors import AccessError, UsageError
from fruitvision.ui import announce
from fruitvision.ui import app as app_module
from fruitvision.ui.server import access as access_module
from fruitvision.ui.server.access import COOKIE, TOKEN_VARIABLE, Access, OwnerLink, cookie_value, quota_address


def request(cookie: str = "", client: str = "127.0.0.1"):
    return SimpleNamespace(headers={"cookie": cookie} if cookie else {}, client=SimpleNamespace(host=client))


def test_on_this_computer_alone_everybody_is_the_owner():
    access = Access.of_launch(host="127.0.0.1", share=False, public=False)
    assert access.token is None and access.is_owner(request())
    access.require_owner(request(client="8.8.8.8"))


@pytest.mark.parametrize("how", [{"share": True}, {"public": True}, {"host": "0.0.0.0"}, {"host": "192.168.0.7"}])
def test_shared_in_any_way_only_the_token_makes_an_owner(how):
    access = Access.of_launch(**{"host": "127.0.0.1", "share": False, "public": False, **how})
    assert len(access.token) >= 32
    assert access.is_owner(request(f"a=b; {COOKIE}={access.token}"))
    for cookie in ("", f"{COOKIE}=", f"{COOKIE}=None", f"{COOKIE}=x{access.token}", f"{COOKIE}={access.token.swapcase()}", "\x00;;=;"):
        assert not access.is_owner(request(cookie))
        with pytest.raises(AccessError):
            access.require_owner(request(cookie))
    assert not access.is_owner(None)


def test_two_apps_have_two_tokens_unless_they_are_given_one(monkeypatch):
    start = {"host": "127.0.0.1", "share": True, "public": False}
    assert Access.of_launch(**start).token != Access.of_launch(**start).token
    monkeypatch.setenv(TOKEN_VARIABLE, "given-by-the-operator")
    assert Access.of_launch(**start).token == "given-by-the-operator"


@pytest.mark.parametrize("header", ["", "nonsense", "=;=", f"{COOKIE}", "\u0000"])
def test_a_damaged_cookie_is_no_cookie(header):
    assert cookie_value(header) == ""


def visit(access: Access, query: bytes) -> tuple[list[dict], bool]:
    """What the middleware sends, and whether the app behind it was asked."""
    sent, asked = [], []

    async def app(scope, receive, send):
        asked.append(scope)

    async def send(message):
        sent.append(message)

    asyncio.run(OwnerLink(app, access)({"type": "http", "query_string": query}, None, send))
    return sent, bool(asked)


def test_the_owners_link_sets_a_cookie_that_no_script_reads_and_leads_on_without_the_token():
    access = Access("secret-token")
    sent, asked = visit(access, b"owner=secret-token")
    headers = dict(sent[0]["headers"])
    assert sent[0]["status"] == 303 and not asked
    assert headers[b"location"] == b"/"
    cookie = headers[b"set-cookie"].decode()
    assert "secret-token" in cookie and "HttpOnly" in cookie and "SameSite=Strict" in cookie


def test_a_wrong_token_leads_on_without_a_cookie_and_other_requests_pass():
    access = Access("secret-token")
    sent, _ = visit(access, b"owner=guess")
    assert b"set-cookie" not in dict(sent[0]["headers"])
    assert visit(access, b"theme=dark")[1] and visit(access, b"")[1]


def test_a_token_is_compared_in_constant_time_whatever_its_length(monkeypatch):
    compared, compare = [], access_module.hmac.compare_digest
    monkeypatch.setattr(access_module.hmac, "compare_digest", lambda *given: compared.append(given) or compare(*given))
    access = Access("a-token-of-the-tests")
    given = ["a", "a-token-of-the-tests", "b-token-of-the-tests", "a-token-of-the-tests-and-more", "é"]
    assert [access.is_owner(request(f"{COOKIE}={one}")) for one in given] == [False, True, False, False, False]
    assert len(compared) == len(given)


@pytest.mark.skipif(os.name == "nt", reason="files have other permissions there")
def test_the_browser_is_opened_without_the_token_on_its_command_line(tmp_path, monkeypatch):
    """What a program is started with, every account of the computer may read."""
    opened = []
    monkeypatch.setattr("webbrowser.open_new_tab", opened.append)
    monkeypatch.setattr(announce, "REDIRECT_SECONDS", 0.2)
    context = SimpleNamespace(language="en", access=Access("a-token-of-the-tests"), runs=tmp_path)
    announce.announce(context, "127.0.0.1", 7860, None, share_failed=False, open_browser=True)
    (address,) = opened
    assert "token" not in address and address.startswith("file://")
    file = Path(url2pathname(urlsplit(address).path))
    assert file.stat().st_mode & 0o077 == 0 and "http://127.0.0.1:7860/?owner=a-token-of-the-tests" in file.read_text()
    end = time.monotonic() + 10
    while file.exists():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("host", "public_url", "link"),
    [
        ("0.0.0.0", None, "http://192.168.1.20:7860/"),
        ("::", None, "http://192.168.1.20:7860/"),
        ("0.0.0.0", "https://fruit.example/app", "https://fruit.example/app"),
        ("10.0.0.7", None, "http://10.0.0.7:7860/"),
    ],
)
def test_the_visitors_link_is_one_that_others_can_open(host, public_url, link, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(announce, "network_address", lambda: "192.168.1.20")
    context = SimpleNamespace(language="en", access=Access("a-token-of-the-tests"), runs=tmp_path)
    announce.announce(context, host, 7860, public_url, share_failed=False, open_browser=False)
    visitors, owner = capsys.readouterr().out.splitlines()[:2]
    assert visitors.endswith(f": {link}")
    local = "10.0.0.7" if host == "10.0.0.7" else "127.0.0.1"
    assert owner.endswith(f"http://{local}:7860/?owner=a-token-of-the-tests")


def test_a_public_link_that_failed_is_said_behind_a_proxy_too(tmp_path, capsys):
    context = SimpleNamespace(language="en", access=Access("a-token-of-the-tests"), runs=tmp_path)
    announce.announce(context, "127.0.0.1", 7860, "https://fruit.example/app", share_failed=True, open_browser=False)
    first, visitors = capsys.readouterr().out.splitlines()[:2]
    assert "No public link" in first and visitors.endswith(": https://fruit.example/app")


def test_this_computers_address_in_its_network_is_found_and_that_of_a_container_is_not_told(tmp_path, monkeypatch):
    monkeypatch.setattr(announce, "CONTAINER_MARKERS", ())
    address = announce.network_address()
    assert address is None or ip_address(address).version == 4 and not ip_address(address).is_loopback
    monkeypatch.setattr(announce, "CONTAINER_MARKERS", (str(tmp_path),))
    assert announce.network_address() is None


@pytest.mark.parametrize("origin", ["huggingface.co", "https://huggingface.co/spaces", "javascript:x", "https://a; script-src *", "*"])
def test_only_an_origin_may_frame_the_app(origin, tmp_path):
    with pytest.raises(UsageError) as caught:
        app_module.launch(embed_in=[origin], open_browser=False, block=False, runs=tmp_path)
    assert caught.value.code == "bad-origin"


def test_a_cookie_that_a_sister_domain_set_before_the_owners_locks_nobody_out():
    access = Access("a-token-of-the-tests")
    assert access.is_owner(request(f"{COOKIE}=evil; {COOKIE}=a-token-of-the-tests"))
    assert not access.is_owner(request(f"{COOKIE}=evil; {COOKIE}=worse"))


@pytest.mark.parametrize(
    ("address", "counted"),
    [
        ("203.0.113.5", "203.0.113.5"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::ffff", "2001:db8:1:2::/64"),
        ("::ffff:203.0.113.5", "203.0.113.5"),
        ("::1", "::1"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
        ("unix socket", "unix socket"),
    ],
)
def test_one_person_has_one_address_of_ipv6(address, counted):
    assert quota_address(address) == counted
    assert Access("a-token-of-the-tests").caller({"headers": [], "client": (address, 5)}).address == counted


def test_room_for_uploads_that_is_too_small_is_said(tmp_path):
    with pytest.raises(UsageError) as caught:
        app_module.launch(runs=tmp_path, upload_quota=2**20, open_browser=False, block=False)
    assert caught.value.code == "small-quota" and "16 or more" in str(caught.value)
