"""The exported page of two networks, served by nothing but Python's own web server."""

from __future__ import annotations

import functools
import http.server
import io
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from fruitvision.data.synthetic.sample import draw_fruit
from fruitvision.errors import DownloadError
from fruitvision.runs.config import RunConfig
from fruitvision.runs.folder import RunFolder
from fruitvision.runs.job.loop import execute
from fruitvision.training.config import TrainConfig
from fruitvision.web.export import export_web
from tests.browser.conftest import runtime

PHONE = {"width": 390, "height": 844}
LONG = 60_000


def exported(checkpoint: Path, out: Path) -> Path:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    try:
        export_web(checkpoint, out, runtime=runtime())
    except DownloadError as error:
        pytest.skip(f"onnxruntime-web is not here ({error}): name it by FRUITVISION_WEB_RUNTIME")
    return out


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory, shipped_checkpoint: Path) -> Path:
    """The page of the shipped network."""
    return exported(shipped_checkpoint.with_name("fruits-webcam"), tmp_path_factory.mktemp("web") / "site")


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, sample_set: Path) -> Path:
    """A network that was trained a moment ago on drawn fruit: a run's best/."""
    tiny = {"epochs": 4, "batch_size": 8, "image_size": 32, "width": 8, "device": "cpu", "workers": 0}
    config = RunConfig(data=str(sample_set), training=TrainConfig.from_preset("fast", start="scratch", **tiny))
    run = RunFolder(tmp_path_factory.mktemp("runs") / "mine").create(config)
    execute(run.path)
    return run.path / "best"


@dataclass
class Site:
    """A served folder, and the requests that it got."""

    url: str
    asked: list[str] = field(default_factory=list)
    sent: int = 0


class Counting(http.server.SimpleHTTPRequestHandler):
    """Python's own file server, which also notes what is asked for."""

    def __init__(self, *given, site: Site, **named) -> None:
        self.site = site
        super().__init__(*given, **named)

    def log_message(self, format: str, *args) -> None:
        pass

    def send_response(self, code: int, message: str | None = None) -> None:
        self.site.asked.append(f"{self.path} {int(code)}")
        super().send_response(code, message)

    def copyfile(self, source, outputfile) -> None:
        content = source.read()
        self.site.sent += len(content)
        outputfile.write(content)


@pytest.fixture
def serve() -> Iterator[Callable[[Path], tuple[Site, http.server.ThreadingHTTPServer]]]:
    """Serve a folder on a port of its own; whoever asked for it may close the server."""
    servers = []

    def start(folder: Path):
        site = Site("")
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Counting, directory=str(folder), site=site))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        site.url = f"http://127.0.0.1:{server.server_port}/"
        servers.append(server)
        return site, server

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def page_of(browser) -> Iterator[Callable]:
    """``page_of(url)`` opens a page in a browser of its own and waits until it can answer; an error in the page fails the test."""
    contexts, errors = [], []

    def open_page(url: str, *, locale: str = "en-US", size: dict = PHONE, ready: bool = True, **more):
        context = browser.new_context(viewport=size, locale=locale, permissions=["camera"], accept_downloads=True, **more)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(LONG)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda line: errors.append(line.text) if line.type == "error" and "net::ERR" not in line.text else None)
        page.goto(url)
        if ready:
            page.wait_for_selector("body[data-ready=yes]")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not errors, errors


def drawn(kind: str, *, seed: int = 3, size: int = 320, form: str = "PNG") -> dict:
    """A drawn fruit as an upload."""
    buffer = io.BytesIO()
    draw_fruit(kind, np.random.default_rng(seed), size, background="white").save(buffer, form, quality=92)
    return {"name": f"水果 {kind}.{form.lower()}", "mimeType": f"image/{form.lower()}", "buffer": buffer.getvalue()}


def give(page, file: dict | Path) -> None:
    """Choose a picture, and wait for its answer."""
    page.set_input_files("#file", files=file if isinstance(file, Path) else [file])
    page.wait_for_selector("#answer:not([aria-busy]) h2")


def until(page, expression: str) -> None:
    """Wait for a JavaScript expression to be true. Playwright's own waiting evaluates text in the page, which its policy forbids."""
    end = time.monotonic() + LONG / 1000
    while not page.evaluate(expression):
        assert time.monotonic() < end, expression
        page.wait_for_timeout(30)
