"""Requests of countless tiny parts, and requests that break off in the middle, keep nobody waiting and leave no traces in the log."""

from __future__ import annotations

import logging
import socket
import time

import h11
import httpx
import pytest

from fruitvision.ui.server.parsing.request_parser import FREE_CHUNKS, MAX_HEADER_LINES, MIN_CHUNK_BYTES, READ_BYTES, RequestParser
from tests.ui.server.test_connections import app, serving

START = b"POST / HTTP/1.1\r\nHost: x\r\n"
CHUNKED = START + b"Transfer-Encoding: chunked\r\n\r\n"


async def reading(scope, receive, send) -> None:
    """Says how long the body was."""
    size, more = 0, True
    while more:
        message = await receive()
        size, more = size + len(message.get("body", b"")), message.get("more_body", False)
    answer = b"%d" % size
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(answer))]})
    await send({"type": "http.response.body", "body": answer})


def parse(received: bytes) -> int:
    """How many events there are, until the end of a request, or of what was received. Raises h11.RemoteProtocolError."""
    parser, events = RequestParser(2**15), 0
    parser.receive_data(received)
    while parser.next_event() not in (h11.NEED_DATA, h11.PAUSED):
        events += 1
    return events


def chunk(content: bytes, extension: bytes = b"") -> bytes:
    return b"%x" % len(content) + extension + b"\r\n" + content + b"\r\n"


TINY = {
    "chunks": CHUNKED + chunk(b"a") * 40_000,
    "chunks behind a large one": CHUNKED + chunk(b"a" * 60_000) + chunk(b"a") * 40_000,
    "headers": START + b"a:\r\n" * 60_000 + b"\r\n",
    "headers without end": START + b"a:\n" * 10_000,
    "headers of a second request": START + b"Content-Length: 1\r\n\r\na" + START + b"a:\r\n" * 60_000 + b"\r\n",
    "headers behind the last chunk": CHUNKED + b"0\r\n" + b"a:\r\n" * 5_000,
    "a line of a chunk without end": CHUNKED + b"1;" + b"a" * 5_000,
}


@pytest.mark.parametrize("case", ["chunks", "chunks behind a large one", "headers", "headers without end"])
def test_countless_tiny_parts_are_refused_before_all_are_parsed(case):
    """One read of 256 KB was 43,690 chunks, parsed in one piece on the event loop."""
    started = time.perf_counter()
    with pytest.raises(h11.RemoteProtocolError):
        parse(TINY[case])
    assert time.perf_counter() - started < 0.25


@pytest.mark.parametrize("case", TINY)
def test_a_request_of_tiny_parts_ends_its_connection(case):
    with serving(reading) as (port, _), socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        try:
            connection.sendall(TINY[case])
            received = connection.recv(2**16)
            while received and (piece := connection.recv(2**16)):
                received += piece
        except ConnectionError:  # it closed with something left to read
            received = b""
        assert b" 400 " in received or not received
        assert httpx.get(f"http://127.0.0.1:{port}/", timeout=5).text == "0"


ORDINARY = {
    "a few tiny chunks": (CHUNKED + chunk(b"a") * FREE_CHUNKS + b"0\r\n\r\n", FREE_CHUNKS),
    "small chunks": (CHUNKED + chunk(b"a" * MIN_CHUNK_BYTES) * 4000 + b"0\r\n\r\n", 4000 * MIN_CHUNK_BYTES),
    "large chunks": (CHUNKED + chunk(b"\n" * 2**16, b";a=b") * 20 + b"0\r\nA: b\r\n\r\n", 20 * 2**16),
    "lines": (START + b"Content-Length: 500000\r\n\r\n" + b"\n" * 500_000, 500_000),
    "many headers": (START + b"a: b\r\n" * (MAX_HEADER_LINES - 5) + b"Content-Length: 9\r\n\r\n" + b"\n" * 9, 9),
    "line feeds alone": (b"POST / HTTP/1.1\nHost: x\nContent-Length: 900\n\n" + b"\n" * 900, 900),
}


@pytest.mark.parametrize("size", [1000, READ_BYTES, 10**7])
@pytest.mark.parametrize("case", ORDINARY)
def test_ordinary_bodies_come_whole(case, size):
    content, length = ORDINARY[case]
    with serving(reading) as (port, _), socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        for _ in range(2):  # on one connection
            for start in range(0, len(content), size):
                connection.sendall(content[start : start + size])
            received = b""
            while not received.endswith(b"\r\n\r\n%d" % length):
                piece = connection.recv(2**16)
                assert piece, received
                received += piece


@pytest.mark.parametrize("path", [b"/", b"/large"])
def test_a_body_that_is_broken_leaves_no_trace_in_the_log(path, caplog):
    """The server answered it, and so did the app: a traceback for each such request."""
    broken = (b"zz\r\n", b"0\r\n" + b"a:\r\n" * 5_000, chunk(b"a") * 1000)
    head = CHUNKED.replace(b"/", path, 1)
    with serving(app) as (port, _):
        logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
        for pause in (0.0, 0.1):
            for body in broken:
                with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
                    connection.sendall(head + b"" if pause else head + body)
                    time.sleep(pause)
                    try:
                        if pause:  # the response has begun, or is over
                            connection.sendall(body)
                        while connection.recv(2**20):
                            pass
                    except OSError:
                        pass
    assert not [one for one in caplog.records if one.exc_info or "Exception" in one.getMessage()], caplog.text
