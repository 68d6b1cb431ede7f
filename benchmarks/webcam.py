"""Latencies that a user notices: from a webcam frame to its answer on the page, and to the first answer of a newly opened app.

The browser is a headless Chromium whose fake camera plays some of the pictures. The app is unmodified: an injected script records
when the live view draws a video frame, and when the page with the changed answer has been painted.
"""

from __future__ import annotations

import base64
import importlib.util
import json
import shutil
import statistics
import sys
import tempfile
import time
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.bench import OPENING_SECONDS, PROJECT, Bench, free_port, running_server
from benchmarks.pairs import Figure

MAX_MS, MAX_SECONDS = 40.0, 2.0
WARM_UP = 3
FRAME, NUM_PICTURES, FRAMES_PER_PICTURE = (640, 480), 10, 15
"""The camera's resolution; the number of pictures that it plays, and the frames for which each is shown."""
CHROMIUM = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--no-first-run",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
)
WATCH = """
(() => {
  const drawn = CanvasRenderingContext2D.prototype.drawImage;
  let captured = null;
  window.waited = [];
  CanvasRenderingContext2D.prototype.drawImage = function (source, ...rest) {
    if (source instanceof HTMLVideoElement) captured = performance.now();
    return drawn.call(this, source, ...rest);
  };
  const painted = new MessageChannel(), since = [];
  painted.port1.onmessage = () => window.waited.push(performance.now() - since.shift());
  window.watchAnswers = () => new MutationObserver(() => {
    if (captured === null) return;
    const mine = captured;
    captured = null;
    requestAnimationFrame(() => { since.push(mine); painted.port2.postMessage(null); });
  }).observe(document.querySelector(".fv-live-answer"), { childList: true, subtree: true, characterData: true });
})();
"""


def webcam(bench: Bench) -> list[Figure]:
    """Milliseconds from the capture of a frame in the browser to its answer on the page."""
    if importlib.util.find_spec("playwright") is None:
        print("webcam is left out: it needs Playwright. Install it with: python -m pip install playwright", file=sys.stderr)
        return []
    with tempfile.TemporaryDirectory(prefix="fruitvision-benchmark-") as temporary:
        film = Path(temporary, "film.mjpeg")
        film.write_bytes(b"".join(webcam_frames(bench)))
        with running_app(Path(temporary, "runs")) as url:
            waited = frame_latencies(url, film, bench.pick(200, 5))
    late = float(np.percentile(waited, 95))
    what = f"webcam frame to the changed answer on the page, 95th percentile of {len(waited)}, median {statistics.median(waited):.0f}"
    return [Figure(what, "its bound", "ms", late, MAX_MS, late, min(waited), max(waited), ("<=", MAX_MS))]


def first_answer(bench: Bench) -> list[Figure]:
    """Seconds from the first page served to the first picture answered, for which the model has to be loaded."""
    picture = next(webcam_frames(bench))
    found = []
    for _ in range(bench.pairs):
        with tempfile.TemporaryDirectory(prefix="fruitvision-benchmark-") as runs, running_app(Path(runs)) as url:
            started = time.perf_counter()
            answer = live_view_answer(url, picture)
            found.append(time.perf_counter() - started)
            if "fv-name" not in answer:
                raise SystemExit(f"The app did not say what it sees: {answer[:500]}")
    middle = statistics.median(found)
    what = "first page answered to the first picture answered"
    return [Figure(what, "its bound", "s", middle, MAX_SECONDS, middle, min(found), max(found), ("<=", MAX_SECONDS))]


def system_chromium() -> str | None:
    """The path of an installed Chromium; None to use Playwright's own."""
    return next((found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None)


def frame_latencies(url: str, film: Path, count: int) -> list[float]:
    """Latencies in milliseconds of ``count`` answers of the live view at ``url``, after a warm-up. ``film``: a Motion JPEG file."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=system_chromium(), args=[*CHROMIUM, f"--use-file-for-fake-video-capture={film}"])
        page = browser.new_context(locale="en-US", permissions=["camera"]).new_page()
        page.set_default_timeout(OPENING_SECONDS * 1000)
        page.add_init_script(WATCH)
        page.goto(url)
        page.get_by_role("tab", name="Live camera").click()
        page.evaluate("watchAnswers()")
        page.click(".fv-live-start")
        page.wait_for_function(f"waited.length >= {WARM_UP + count}", timeout=(60 + 10 * count) * 1000)
        waited = page.evaluate("waited")
        browser.close()
    return waited[WARM_UP : WARM_UP + count]


def live_view_answer(url: str, picture: bytes) -> str:
    """The HTML that the app's live view shows for one JPEG, requested as the page does."""
    with urllib.request.urlopen(f"{url}config", timeout=OPENING_SECONDS) as page:
        components = json.load(page)["components"]
    live = next(one for one in components if one["props"].get("elem_id") == "classify-live")
    frame = {"image": "data:image/jpeg;base64," + base64.b64encode(picture).decode(), "model": None, "language": "en"}
    asked = {"session_hash": uuid.uuid4().hex, "component_id": live["id"], "fn_name": "answer_frame", "data": frame}
    return post_json(f"{url}gradio_api/component_server", asked)["html"]


def post_json(url: str, asked: dict[str, Any]) -> Any:
    """POST JSON and return the JSON of the response."""
    request = urllib.request.Request(url, json.dumps(asked).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=OPENING_SECONDS) as page:
        return json.load(page)


def webcam_frames(bench: Bench) -> Iterator[bytes]:
    """Frames of 640 × 480 as JPEGs that show some of the pictures, each for half a second."""
    pictures = [path for path, _ in bench.pictures()]
    for path in pictures[:: max(1, len(pictures) // NUM_PICTURES)][:NUM_PICTURES]:
        with Image.open(path) as image:
            frame, buffer = Image.new("RGB", FRAME, "white"), BytesIO()
            frame.paste(image.convert("RGB").resize((320, 320)), (160, 80))
        frame.save(buffer, "JPEG", quality=90)
        yield from [buffer.getvalue()] * FRAMES_PER_PICTURE


@contextmanager
def running_app(runs: Path) -> Iterator[str]:
    """Run ``python app.py`` in another process; yields its address once it serves its page."""
    port = free_port()
    command = [sys.executable, str(PROJECT / "app.py"), "--no-browser", "--port", str(port), "--runs", str(runs)]
    with running_server(command, port):
        yield f"http://127.0.0.1:{port}/"
