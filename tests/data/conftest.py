"""A server on the loopback that misbehaves as asked: what the downloads are tested against."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from fruitvision.data.fetch import transfer


@dataclass
class Served:
    """One file and how it is served. Lists give one item to each request; the last one stays."""

    content: bytes = b""
    etag: str | None = '"one"'
    ranges: bool = True  # whether Range is heeded
    statuses: list[int] = field(default_factory=lambda: [200])
    drop_after: list[int | None] = field(default_factory=lambda: [None])  # bytes before the connection is cut
    length_lie: int = 0  # added to the true Content-Length
    chunked: bool = False  # no Content-Length, as GitHub's archives
    headers: dict[str, str] = field(default_factory=dict)
    pause: float = 0.0  # seconds between pieces of 16 KiB
    needs_authorization: str | None = None
    requests: list[dict[str, str]] = field(default_factory=list)


class Server:
    """Files by path, and what was asked for each."""

    def __init__(self) -> None:
        self.files: dict[str, Served] = {}
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                outer.answer(self, outer.files.get(self.path.partition("?")[0]))

            def log_message(self, *arguments: object) -> None:
                """Keep quiet."""

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.thread = threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    def serve(self, path: str, content: bytes = b"", **behaviour) -> Served:
        self.files[path] = Served(content, **behaviour)
        return self.files[path]

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.http.server_port}{path}"

    def answer(self, handler: BaseHTTPRequestHandler, served: Served | None) -> None:
        handler.close_connection = True
        if served is None:
            handler.send_error(404)
            return
        number = len(served.requests)
        served.requests.append(dict(handler.headers.items()))
        status = served.statuses[min(number, len(served.statuses) - 1)]
        if served.needs_authorization not in (None, handler.headers.get("Authorization")):
            status = 401
        start = self._start(handler, served) if status == 200 else None
        body = served.content[start or 0 :] if status == 200 else b""
        if start is not None:
            status = 206 if start < len(served.content) else 416
        handler.send_response(status)
        for name, value in served.headers.items():
            handler.send_header(name, value)
        if served.etag:
            handler.send_header("ETag", served.etag)
        if status in (206, 416):
            span = f"{start}-{len(served.content) - 1}" if status == 206 else "*"
            handler.send_header("Content-Range", f"bytes {span}/{len(served.content) + served.length_lie}")
        if served.chunked:
            handler.send_header("Transfer-Encoding", "chunked")
        else:
            handler.send_header("Content-Length", str(len(body) + served.length_lie))
        handler.end_headers()
        self._send(handler, served, body, served.drop_after[min(number, len(served.drop_after) - 1)])

    @staticmethod
    def _start(handler: BaseHTTPRequestHandler, served: Served) -> int | None:
        asked = re.fullmatch(r"bytes=(\d+)-", handler.headers.get("Range", ""))
        if not asked or not served.ranges or handler.headers.get("If-Range", served.etag) != served.etag:
            return None
        return int(asked[1])

    @staticmethod
    def _send(handler: BaseHTTPRequestHandler, served: Served, body: bytes, stop: int | None) -> None:
        body = body if stop is None else body[:stop]
        try:
            for at in range(0, len(body), 2**14):
                piece = body[at : at + 2**14]
                handler.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece) if served.chunked else piece)
                if served.pause:
                    handler.wfile.flush()
                    time.sleep(served.pause)
            if served.chunked and stop is None:
                handler.wfile.write(b"0\r\n\r\n")
        except OSError:
            pass  # the client has gone

    def close(self) -> None:
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(transfer, "PAUSES", (0.0, 0.0, 0.0))
    running = Server()
    yield running
    running.close()
