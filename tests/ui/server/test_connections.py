"""Connections that send nothing, or half a request, end; others go on meanwhile."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import httpx
import pytest
import uvicorn

from fruitvision.ui.server import connections
from fruitvision.ui.server.access import COOKIE, Access
from fruitvision.ui.server.connections import Connections, OncePerMinute, max_connections, serve_through, server_settings
from fruitvision.ui.server.gate import Gate

MOST = 12


LARGE = 40 * 2**20


async def app(scope, receive, send) -> None:
    """Says one word, or sends a large file."""
    assert scope["type"] == "http"
    if scope["path"].endswith("/large"):
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % LARGE)]})
        for sent in range(0, LARGE, 2**16):
            await send({"type": "http.response.body", "body": bytes(2**16), "more_body": sent + 2**16 < LARGE})
        return
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(connections, "HEADER_SECONDS", 1.0)
    monkeypatch.setattr(connections, "CHECK_SECONDS", 0.2)


@pytest.fixture
def port() -> Iterator[int]:
    with serving(app) as (number, _):
        yield number


@contextmanager
def serving(served) -> Iterator[tuple[int, Connections]]:
    """A server's port, and its connections."""
    settings = server_settings(MOST)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        number = free.getsockname()[1]
    server = uvicorn.Server(uvicorn.Config(served, port=number, log_level="critical", lifespan="off", **settings))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield number, settings["http"].keywords["connections"]
    server.should_exit = True
    thread.join(10)


def half_sent(port: int, content: bytes = b"GET / HTTP/1.1\r\nHost: x\r\nX-A: ") -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=10)
    connection.sendall(content)
    return connection


@pytest.mark.parametrize("content", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: x\r\nX-A: "])
def test_half_a_request_is_not_waited_for(port, content):
    started = time.monotonic()
    with half_sent(port, content) as connection:
        assert connection.recv(100) == b"" and time.monotonic() - started < 5


def test_headers_that_drip_are_not_waited_for(port):
    with half_sent(port) as connection:
        end = time.monotonic() + 8
        with pytest.raises(OSError):
            while time.monotonic() < end:
                connection.sendall(b"a")
                time.sleep(0.1)


def test_those_that_wait_make_room_for_those_that_ask(port, monkeypatch):
    monkeypatch.setattr(connections, "HEADER_SECONDS", 60.0)
    with ExitStack() as stack:
        for _ in range(3 * MOST):
            stack.enter_context(half_sent(port))
        assert httpx.get(f"http://127.0.0.1:{port}/", timeout=5).text == "ok"


def test_a_second_request_comes_on_the_same_connection(port):
    with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
        for _ in range(3):
            assert client.get("/").text == "ok"
            time.sleep(0.5)


def test_one_address_holds_no_more_than_its_part():
    class Stub:
        answering = True

        def __init__(self, address: str) -> None:
            self.address = address

    every = connections.Connections(10)
    assert [every.admit(Stub("203.0.113.5")) for _ in range(6)] == [True] * 5 + [False]
    assert every.admit(Stub("203.0.113.6")) and all(every.admit(Stub("127.0.0.1")) for _ in range(4))
    assert not every.admit(Stub("203.0.113.7")), "all are answering"
    gone = next(iter(every.open))
    every.forget(gone)
    assert every.admit(Stub("203.0.113.5"))


def test_a_process_that_may_open_few_files_keeps_some_of_them(monkeypatch):
    resource = pytest.importorskip("resource")
    monkeypatch.setattr(resource, "getrlimit", lambda which: (256, 4096))
    assert max_connections() == 160
    monkeypatch.setattr(resource, "getrlimit", lambda which: (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert max_connections() == connections.MAX_CONNECTIONS


def test_the_log_says_once_a_minute_that_there_are_no_more_handles(monkeypatch):
    def shown(words: str) -> bool:
        return seldom.filter(logging.LogRecord("asyncio", logging.ERROR, "", 0, words, (), None))

    seldom = OncePerMinute()
    full = "socket.accept() out of system resource"
    assert [shown(full) for _ in range(100)] == [True] + [False] * 99 and shown("anything else")
    assert shown("Invalid HTTP request received."), "each sentence has a minute of its own"
    later = time.monotonic() + connections.LOG_SECONDS + 1
    monkeypatch.setattr(connections.time, "monotonic", lambda: later)
    assert shown(full)


def test_odd_requests_do_not_fill_the_log(port, caplog, monkeypatch):
    monkeypatch.setattr(connections._LOG_FILTER, "_next", {})
    with serve_through(lambda app: app):
        pass
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    upgrade = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: nothing\r\n\r\n"
    for content in (b"nothing that is known\r\n\r\n", upgrade) * 20:
        with half_sent(port, content) as connection:
            assert connection.recv(1000)
    said = [record.getMessage() for record in caplog.records if record.name == "uvicorn.error"]
    assert len(said) == len(set(said)) and {one.split()[0] for one in said} >= {"Invalid", "Unsupported"}, said


def test_a_connection_that_is_used_stays(port):
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        for _ in range(12):  # more than twice the time for headers
            connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            received = b""
            while not received.endswith(b"ok"):
                assert (piece := connection.recv(1000)), "closed"
                received += piece
            time.sleep(0.25)


def test_a_slow_line_is_served_to_the_end(port, monkeypatch):
    """It always has something waiting, and used to be cut after the time for one that takes nothing."""
    monkeypatch.setattr(connections, "STALLED_SECONDS", 1.0)
    received, started = 0, time.monotonic()
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**16)
        connection.settimeout(5)
        connection.connect(("127.0.0.1", port))
        connection.sendall(b"GET /large HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        while piece := connection.recv(2**19):
            received += len(piece)
            time.sleep(0.005)
    assert received > LARGE and time.monotonic() - started > 1.5


def test_a_client_that_takes_nothing_is_cut(port, monkeypatch):
    monkeypatch.setattr(connections, "STALLED_SECONDS", 1.0)
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**16)
        connection.settimeout(5)
        connection.connect(("127.0.0.1", port))
        connection.sendall(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
        time.sleep(3)
        received = 0
        with pytest.raises(OSError):
            while piece := connection.recv(2**20):
                received += len(piece)
            raise OSError("closed")
        assert received < LARGE


def slow_reader(port: int, stack: ExitStack, path: str = "/large", cookie: str = "") -> socket.socket:
    """One that asks for a large file, and takes next to nothing of it."""
    connection = stack.enter_context(socket.socket())
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**12)
    connection.settimeout(5)
    connection.connect(("127.0.0.1", port))
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nCookie: {cookie}\r\n\r\n".encode())
    return connection


def test_slow_readers_do_not_hold_every_connection(port):
    """They were never idle, so that nobody new was let in for as long as they took a few bytes now and then."""
    with ExitStack() as stack:
        for _ in range(MOST):
            slow_reader(port, stack)
        time.sleep(1.0)
        assert httpx.get(f"http://127.0.0.1:{port}/", timeout=5).text == "ok"


def test_of_slow_readers_whoever_has_the_most_gives_way_and_the_owner_last():
    access, token = Access("a-token-of-the-tests"), "a-token-of-the-tests"
    mallory, bob = (access.new_visitor_cookie().partition(";")[0] for _ in range(2))
    with serving(Gate(app, access, set())) as (port, every), ExitStack() as stack:
        admitted, admit = [], every.admit
        every.admit = lambda one: admitted.append(one) or admit(one)

        def wait_for(count: int, left: int) -> None:
            end = time.monotonic() + 10
            while len(admitted) < count or len(every.open) > left:
                assert time.monotonic() < end
                time.sleep(0.05)

        for cookie in (f"{COOKIE}={token}", bob):
            slow_reader(port, stack, "/assets/large", cookie)
        wait_for(2, 2)
        for _ in range(MOST - 3):
            slow_reader(port, stack, "/assets/large", mallory)
        wait_for(MOST - 1, MOST // connections.SLOW_DIVISOR)
        assert {one.quota_key for one in admitted} == {one.quota_key for one in every.open} and len(every.open) == 3
        assert sum(one.by_owner for one in every.open) == 1


def test_who_reads_nothing_of_a_page_holds_little_of_it_in_memory():
    """A page came in one piece, so that all of it was copied for each client that did not read it."""

    async def page(scope, receive, send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % LARGE)]})
        await send({"type": "http.response.body", "body": bytes(LARGE)})

    with serving(Gate(page, Access("a-token-of-the-tests"), set())) as (port, every), ExitStack() as stack:
        for path in ("/", "/config", "/assets/x.woff2"):
            slow_reader(port, stack, path)
        end = time.monotonic() + 10
        while len(every.open) < 3 or not all(one.transport.get_write_buffer_size() for one in every.open):
            assert time.monotonic() < end
            time.sleep(0.01)
        time.sleep(0.1)
        assert max(one.transport.get_write_buffer_size() for one in every.open) < 2**19
