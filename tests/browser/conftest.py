"""The real app in a process of its own, and a real Chromium with a camera that films a drawn fruit."""

from __future__ import annotations

import io
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import platformdirs
import pytest

from fruitvision.web.runtime import VERSION

START_SECONDS = 120
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--no-first-run",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
)
WIDE = {"width": 1280, "height": 900}
PHONE = {"width": 390, "height": 844}
FEW = "few kinds"  # a folder that the app offers beside its sample set: 240 pictures, where a test waits for a training
FRAMES = 12  # of the film that the browser takes for its camera
# What the page says of requests of its own that were under way when it was left or closed.
LEFT_PAGE = "AbortError|aborted without reason|Connection errored out"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every test of this folder has the marker ``browser``."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.browser)


@dataclass(frozen=True)
class RunningApp:
    """An app that answers at ``url``; ``runs`` is its folder of runs."""

    url: str
    runs: Path
    process: subprocess.Popen


@contextmanager
def run_app(folder: Path, *flags: str, cwd: Path, app: Path, environment: Mapping[str, str] | None = None) -> Iterator[RunningApp]:
    """``python app.py`` on a free port, ended on leaving; the trainings it started are not."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    runs = folder / "runs"
    command = [sys.executable, str(app), "--no-browser", "--port", str(port), "--runs", str(runs), *flags]
    log = folder / "app.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=cwd, stdout=output, stderr=subprocess.STDOUT, env={**os.environ, **(environment or {})})
    try:
        end = time.monotonic() + START_SECONDS
        while "http://" not in log.read_text(encoding="utf-8", errors="replace"):
            text = log.read_text(encoding="utf-8", errors="replace")
            assert process.poll() is None and time.monotonic() < end, f"the app did not open: {text}"
            time.sleep(0.2)
        yield RunningApp(f"http://127.0.0.1:{port}/", runs, process)
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture(scope="session")
def app(tmp_path_factory: pytest.TempPathFactory, project: Path, shipped_checkpoint: Path) -> Iterator[RunningApp]:
    """One app for all tests of this folder, opened as a person would, in whatever language the browser asks for."""
    from fruitvision.data.synthetic.sample import draw_sample

    folder = tmp_path_factory.mktemp("app")
    draw_sample(folder / "data" / FEW, test_per_class=5, size=64, classes=("Apple", "Banana", "Kiwi", "Lemon", "Orange", "Pear"))
    with run_app(folder, cwd=folder, app=project / "app.py") as running:
        yield running


@pytest.fixture(scope="session")
def public(tmp_path_factory: pytest.TempPathFactory, project: Path, shipped_checkpoint: Path) -> Iterator[tuple[RunningApp, str, Path]]:
    """An app that is open to visitors too, its owner's link, and its folder of what is taught."""
    folder = tmp_path_factory.mktemp("public")
    flags = ("--public", "--host", "127.0.0.1", "--taught", str(folder / "mine"))
    with run_app(folder, *flags, cwd=folder, app=project / "app.py") as running:
        link = re.search(r"http\S+owner=\S+", (folder / "app.log").read_text(encoding="utf-8"))[0]
        yield running, link, folder / "mine"


@pytest.fixture(scope="session")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short film of a drawn banana, as Motion JPEG: what the browser takes for its camera."""
    from fruitvision.data.synthetic.sample import draw_fruit

    path = tmp_path_factory.mktemp("film") / "banana.mjpeg"
    with path.open("wb") as file:
        for number in range(FRAMES):
            rng = np.random.default_rng(7)
            frame = draw_fruit("Banana", rng, (640, 480), background="white", place=(0.5, 0.5, 0.3, number / FRAMES))
            buffer = io.BytesIO()
            frame.save(buffer, "JPEG", quality=90)
            file.write(buffer.getvalue())
    return path


@pytest.fixture(scope="module")
def browser(chromium: str | None, film: Path) -> Iterator[object]:
    """Chromium; for one module, since Playwright's event loop would stand in the way of the tests that come after."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        camera = f"--use-file-for-fake-video-capture={film}"
        opened = driver.chromium.launch(executable_path=chromium, args=[*ARGUMENTS, camera])
        yield opened
        opened.close()


@pytest.fixture
def visit(browser, app: RunningApp) -> Iterator[Callable]:
    """``visit(size=WIDE, locale="en-US")`` opens the app in a browser of its own; an error in the page fails the test."""
    contexts, errors = [], []

    def open_page(*, size: dict = WIDE, locale: str = "en-US", url: str | None = None):
        context = browser.new_context(viewport=size, locale=locale, permissions=["camera"])
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(30_000)
        page.on("pageerror", lambda error: errors.append(str(error)) if not re.search(LEFT_PAGE, str(error)) else None)
        page.on("console", lambda line: errors.append(line.text) if is_fault(line) else None)
        page.goto(url or app.url)
        page.wait_for_selector("#classify-answer .fv-answer", state="attached")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not errors, errors


def runtime() -> Path | None:
    """onnxruntime-web: what FRUITVISION_WEB_RUNTIME names, or the user's cache; None leaves it to the npm registry."""
    if named := os.environ.get("FRUITVISION_WEB_RUNTIME"):
        return Path(named)
    cache = Path(platformdirs.user_cache_dir("fruitvision", appauthor=False)) / f"onnxruntime-web-{VERSION}"
    return cache if cache.is_dir() else None


def is_fault(line) -> bool:
    """Whether a line of the browser's console tells of a mistake of ours, not of a page that was closed or offline."""
    return line.type == "error" and not re.search(f"net::ERR|Failed to load resource|manifest|{LEFT_PAGE}", line.text)
