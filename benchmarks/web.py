"""The standalone web page in Chromium, by Playwright: bytes of a visit, speed, and agreement with Python."""

from __future__ import annotations

import functools
import gzip
import http.server
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import numpy as np

from benchmarks.bench import Bench, free_port, running_server
from benchmarks.pairs import Figure, Goal, compare
from benchmarks.webcam import CHROMIUM, FRAMES_PER_PICTURE, system_chromium, webcam_frames
from fruitvision import load
from fruitvision.data.read.picture import load_pixels
from fruitvision.models.checkpoint import find_checkpoint
from fruitvision.recognition.classifier import Classifier
from fruitvision.web.export import export_web
from fruitvision.web.network import open_session

MB = 1e6
VISITORS, SECONDS = 1_000, 60.0
AT_ONCE = 16
NETWORK = "fruits-webcam"
PICTURES = 300
# Predictions as numbers, from the page's worker, for the picture in the file input "probe".
PROBE = """async () => {
  const { WorkerClient } = await import("./js/worker_client.js");
  const model = await (await fetch("model.json")).json(), worker = new WorkerClient(() => undefined);
  await worker.ask("open", { model, base: location.href });
  const input = Object.assign(document.createElement("input"), { type: "file", id: "probe" });
  document.body.append(input);
  window.answered = async () => {
    const { prediction } = await worker.ask("picture", { file: input.files[0] });
    return [prediction.fruit_type, prediction.confidence];
  };
}"""
# The network alone: `run` in a loop.
FORWARD = """async () => {
  const model = await (await fetch("model.json")).json();
  const { openNetwork, reference } = await import("./recognition/network.js");
  const network = await openNetwork(model, new URL(location.href), () => undefined), picture = reference(model.transform);
  window.forward = async (count) => {
    const began = performance.now();
    for (let n = 0; n < count; n++) await network.run(picture);
    return (performance.now() - began) / count / 1000;
  };
}"""


class CountingHandler(http.server.SimpleHTTPRequestHandler):
    """Python's file server, which counts requests and the bytes of responses as if they were sent with gzip."""

    def __init__(self, *given: Any, counts: dict[str, int], **named: Any) -> None:
        self.counts = counts
        super().__init__(*given, **named)

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing."""

    def do_GET(self) -> None:
        self.counts["requests"] += 1
        super().do_GET()

    def copyfile(self, source: Any, outputfile: Any) -> None:
        content = source.read()
        self.counts["bytes"] += min(len(content), len(gzip.compress(content, 6)))
        outputfile.write(content)


@contextmanager
def counting_server(folder: Path) -> Iterator[tuple[str, dict[str, int]]]:
    """Serve the folder from this process; yields its address and the counts of requests and bytes."""
    counts = {"requests": 0, "bytes": 0}
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(CountingHandler, directory=str(folder), counts=counts))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/", counts
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def chromium(*more: str) -> Iterator[Any]:
    """A headless Chromium."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=system_chromium(), args=[*CHROMIUM, *more])
        yield browser
        browser.close()


def web(bench: Bench) -> list[Figure]:
    """All benchmarks of the page, for a shipped network with int8 weights; the forward pass also with float32."""
    try:
        import playwright  # noqa: F401
    except ImportError:
        print("web is left out: it drives a Chromium. Install it with: python -m pip install playwright", file=sys.stderr)
        return []
    with tempfile.TemporaryDirectory(prefix="fruitvision-benchmark-") as temporary:
        small, whole = Path(temporary, "int8"), Path(temporary, "float32")
        export_web(find_checkpoint(NETWORK), small)
        export_web(find_checkpoint(NETWORK), whole, weights="float32")
        film = Path(temporary, "film.mjpeg")
        film.write_bytes(b"".join(list(webcam_frames(bench))[::FRAMES_PER_PICTURE]))  # every frame shows a different picture
        return [*visits(bench, small, film), *forward(bench, small, whole), *agreement(bench, small), crowd(bench, small)]


def figure_with_bound(what: str, unit: str, found: list[float], goal: Goal) -> Figure:
    """The median of ``found`` against the bound of ``goal``."""
    middle = statistics.median(found)
    return Figure(what, "its bound", unit, middle, goal[1], middle, min(found), max(found), goal)


def open_page(browser: Any, url: str) -> Any:
    """Open the page and wait until it can answer."""
    page = browser.new_context(locale="en-US", permissions=["camera"]).new_page()
    page.set_default_timeout(120_000)
    page.goto(url)
    page.wait_for_selector("body[data-ready=yes]")
    return page


def wait_for(page: Any, expression: str) -> Any:
    """Wait until an expression is true; returns its value. The page's security policy forbids Playwright's own way of waiting."""
    while not (found := page.evaluate(expression)):
        page.wait_for_timeout(20)
    return found


def visits(bench: Bench, folder: Path, film: Path) -> list[Figure]:
    """Bytes of the first and second visit, seconds to the first answer, frames per second, and requests after loading."""
    picture = Path(film.parent, "picture.jpg")
    picture.write_bytes(next(webcam_frames(bench)))
    first, second, answers, alone, rates, later = [], [], [], [], [], []
    with chromium(f"--use-file-for-fake-video-capture={film}") as browser:
        for _ in range(bench.pairs):
            with counting_server(folder) as (url, counts):
                page = open_page(browser, url)
                began = time.perf_counter()
                page.set_input_files("#file", picture)
                page.wait_for_selector("#answer h2")
                answers.append(time.perf_counter() - began)
                wait_for(page, "document.getElementById('offline').textContent")
                first.append(counts["bytes"] / MB)
                before = counts["requests"]
                rates.append(frames_per_second(page, bench.pick(100, 20)))
                later.append(float(counts["requests"] - before))
                page.evaluate(FORWARD)
                alone.append(1 / page.evaluate(f"forward({bench.pick(50, 10)})"))
                before = counts["bytes"]
                page.reload()
                page.wait_for_selector("body[data-ready=yes]")
                second.append((counts["bytes"] - before) / MB)
                page.context.close()
    shares = [own / network for own, network in zip(rates, alone, strict=True)]
    median = statistics.median
    share = Figure(
        "frames a second of the camera", "the network alone", "/s", median(rates), median(alone), median(shares), min(shares), max(shares)
    )
    return [
        figure_with_bound("first visit, text compressed, int8 weights", "MB", first, ("<=", 9)),
        figure_with_bound("second visit", "MB", second, ("<=", 0)),
        figure_with_bound("first picture answered after loading", "s", answers, ("<=", 2)),
        figure_with_bound("frames a second of the camera, one thread", "/s", rates, (">=", 10)),
        Figure(**{**share.__dict__, "goal": (">=", 0.8)}),
        figure_with_bound("requests after loading", "", later, ("<=", 0)),
    ]


def frames_per_second(page: Any, count: int) -> float:
    """Answers per second of the live view, without the first few."""
    page.evaluate("""() => {
      window.answers = [];
      new MutationObserver(() => answers.push(performance.now())).observe(document.getElementById("answer"), { childList: true });
    }""")
    page.click("#start")
    wait_for(page, f"answers.length >= {count + 5}")
    times = page.evaluate("answers")
    page.click("#start")
    return 1000 * count / (times[count + 4] - times[4])


def forward(bench: Bench, small: Path, whole: Path) -> list[Figure]:
    """One forward pass of the network in the page against ONNX Runtime on this computer, one thread each."""
    found = []
    count = bench.pick(50, 10)
    with chromium() as browser:
        for folder, weights in ((whole, "float32"), (small, "int8 weights")):
            content = gzip.decompress((folder / "network.onnx.gz").read_bytes())
            session = open_session(content, threads=1)
            classifier = load(NETWORK)
            image = classifier.config.transform.batch([load_pixels(bench.pictures()[0][0])])[:1].numpy()
            with counting_server(folder) as (url, _):
                page = open_page(browser, url)
                page.evaluate(FORWARD)
                page.evaluate("forward(3)")

                def native(session: Any = session, image: np.ndarray = image) -> float:
                    began = time.perf_counter()
                    for _ in range(count):
                        session.run(["logits", "features"], {"image": image})
                    return (time.perf_counter() - began) / count

                def ours(page: Any = page) -> float:
                    return page.evaluate(f"forward({count})")

                goal: Goal | None = ("<=", 4) if weights == "float32" else None
                what = f"one forward pass of {NETWORK} in the page, {weights}, one thread"
                found.append(compare(what, ours, "ONNX Runtime on this computer, one thread", native, pairs=bench.pairs, goal=goal))
                page.context.close()
    return found


def agreement(bench: Bench, folder: Path) -> list[Figure]:
    """The page's predictions compared with Python's on the same pictures."""
    pictures = [path for path, _ in bench.pictures()]
    pictures = pictures[:: max(1, len(pictures) // bench.pick(PICTURES, 20))][: bench.pick(PICTURES, 20)]
    classifier = load(NETWORK)
    with chromium() as browser, counting_server(folder) as (url, _):
        share, mean = compare_answers(open_page(browser, url), classifier, pictures)
    return [
        figure_with_bound(f"the same fruit as Python, of {len(pictures)} pictures, int8 weights", "", [share], (">=", 0.995)),
        figure_with_bound("the mean difference of its probability", "", [mean], ("<=", 0.01)),
    ]


def compare_answers(page: Any, classifier: Classifier, pictures: Sequence[Path]) -> tuple[float, float]:
    """The fraction of pictures with the same predicted fruit as in Python, and the mean difference of its probability."""
    page.evaluate(PROBE)
    same, differences = [], []
    for path in pictures:
        page.set_input_files("#probe", path)
        fruit, confidence = page.evaluate("answered()")
        expected = classifier.predict(path)
        same.append(fruit == expected.fruit_type)
        differences.append(abs(confidence - expected.confidence))
    return float(np.mean(same)), float(np.mean(differences))


def crowd(bench: Bench, folder: Path) -> Figure:
    """Page loads per minute from one process of Python's http.server, with a thousand visitors."""
    visitors = bench.pick(VISITORS, 50)
    names = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    names = [name for name in names if "licences" not in name and "network.txt" not in name and not name.startswith(("_", "."))]
    port = free_port()
    command = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1", "--directory", str(folder)]

    def visit(_: int) -> bool:
        try:
            for name in names:
                with urlopen(f"http://127.0.0.1:{port}/{name}", timeout=60) as answer:
                    while answer.read(2**20):
                        pass
            return True
        except OSError:
            return False

    with running_server(command, port), ThreadPoolExecutor(AT_ONCE) as pool:
        began = time.perf_counter()
        errors = sum(not fine for fine in pool.map(visit, range(visitors)))
        seconds = time.perf_counter() - began
    what = f"page loads a minute of http.server on one core, {visitors} measured, {errors} errors"
    rate = 0.0 if errors else visitors * SECONDS / seconds
    return figure_with_bound(what, "", [rate], (">=", VISITORS))
