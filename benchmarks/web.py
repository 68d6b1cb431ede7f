"""The standalone web page: what a visit costs, how fast it answers, and whether it agrees with Python. In Chromium, by Playwright."""

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

from benchmarks.bench import Bench, free_port, serving
from benchmarks.pairs import Figure, Goal, compare
from benchmarks.webcam import CHROMIUM, HELD, frames, system_chromium
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
# The page's worker, asked as the page asks it: the numbers behind the words, for the picture that the field "probe" was given.
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
# The network alone, as `run` in a loop.
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


class Counting(http.server.SimpleHTTPRequestHandler):
    """Python's own file server that compresses text, as web servers do, and counts requests and bytes of answers."""

    def __init__(self, *given: Any, counts: dict[str, int], **named: Any) -> None:
        self.counts = counts
        super().__init__(*given, **named)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""

    def do_GET(self) -> None:
        self.counts["requests"] += 1
        super().do_GET()

    def copyfile(self, source: Any, outputfile: Any) -> None:
        content = source.read()
        self.counts["bytes"] += min(len(content), len(gzip.compress(content, 6)))
        outputfile.write(content)


@contextmanager
def counted(folder: Path) -> Iterator[tuple[str, dict[str, int]]]:
    """The folder served by this process: its address, and what was asked of it."""
    counts = {"requests": 0, "bytes": 0}
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Counting, directory=str(folder), counts=counts))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/", counts
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def chromium(*more: str) -> Iterator[Any]:
    """A browser without a screen."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=system_chromium(), args=[*CHROMIUM, *more])
        yield browser
        browser.close()


def web(bench: Bench) -> list[Figure]:
    """All of it, for the shipped network with int8 weights, and its speed with float32 too."""
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
        film.write_bytes(b"".join(list(frames(bench))[::HELD]))  # each frame another one: nothing rests
        return [*visits(bench, small, film), *forward(bench, small, whole), *agreement(bench, small), crowd(bench, small)]


def bounded(what: str, unit: str, found: list[float], goal: Goal) -> Figure:
    """A figure against its bound."""
    middle = statistics.median(found)
    return Figure(what, "its bound", unit, middle, goal[1], middle, min(found), max(found), goal)


def opened(browser: Any, url: str) -> Any:
    """The page, when it can answer."""
    page = browser.new_context(locale="en-US", permissions=["camera"]).new_page()
    page.set_default_timeout(120_000)
    page.goto(url)
    page.wait_for_selector("body[data-ready=yes]")
    return page


def until(page: Any, expression: str) -> Any:
    """The expression's value, once it is true. The page's policy forbids what Playwright's own waiting does."""
    while not (found := page.evaluate(expression)):
        page.wait_for_timeout(20)
    return found


def visits(bench: Bench, folder: Path, film: Path) -> list[Figure]:
    """Bytes of the first and second visit, the first answer after loading, frames a second, and requests after loading."""
    picture = Path(film.parent, "picture.jpg")
    picture.write_bytes(next(frames(bench)))
    first, second, answers, alone, rates, later = [], [], [], [], [], []
    with chromium(f"--use-file-for-fake-video-capture={film}") as browser:
        for _ in range(bench.pairs):
            with counted(folder) as (url, counts):
                page = opened(browser, url)
                began = time.perf_counter()
                page.set_input_files("#file", picture)
                page.wait_for_selector("#answer h2")
                answers.append(time.perf_counter() - began)
                until(page, "document.getElementById('offline').textContent")
                first.append(counts["bytes"] / MB)
                before = counts["requests"]
                rates.append(frames_a_second(page, bench.some(100, 20)))
                later.append(float(counts["requests"] - before))
                page.evaluate(FORWARD)
                alone.append(1 / page.evaluate(f"forward({bench.some(50, 10)})"))
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
        bounded("first visit, text compressed, int8 weights", "MB", first, ("<=", 9)),
        bounded("second visit", "MB", second, ("<=", 0)),
        bounded("first picture answered after loading", "s", answers, ("<=", 2)),
        bounded("frames a second of the camera, one thread", "/s", rates, (">=", 10)),
        Figure(**{**share.__dict__, "goal": (">=", 0.8)}),
        bounded("requests after loading", "", later, ("<=", 0)),
    ]


def frames_a_second(page: Any, count: int) -> float:
    """Answers a second of the live view, the first few left out."""
    page.evaluate("""() => {
      window.answers = [];
      new MutationObserver(() => answers.push(performance.now())).observe(document.getElementById("answer"), { childList: true });
    }""")
    page.click("#start")
    until(page, f"answers.length >= {count + 5}")
    times = page.evaluate("answers")
    page.click("#start")
    return 1000 * count / (times[count + 4] - times[4])


def forward(bench: Bench, small: Path, whole: Path) -> list[Figure]:
    """The network alone, one thread in the page and one in ONNX Runtime on this computer."""
    found = []
    count = bench.some(50, 10)
    with chromium() as browser:
        for folder, weights in ((whole, "float32"), (small, "int8 weights")):
            content = gzip.decompress((folder / "network.onnx.gz").read_bytes())
            session = open_session(content, threads=1)
            classifier = load(NETWORK)
            image = classifier.config.transform.batch([load_pixels(bench.pictures()[0][0])])[:1].numpy()
            with counted(folder) as (url, _):
                page = opened(browser, url)
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
    """The page's answers against Python's, picture by picture."""
    pictures = [path for path, _ in bench.pictures()]
    pictures = pictures[:: max(1, len(pictures) // bench.some(PICTURES, 20))][: bench.some(PICTURES, 20)]
    classifier = load(NETWORK)
    with chromium() as browser, counted(folder) as (url, _):
        share, mean = compared(opened(browser, url), classifier, pictures)
    return [
        bounded(f"the same fruit as Python, of {len(pictures)} pictures, int8 weights", "", [share], (">=", 0.995)),
        bounded("the mean difference of its probability", "", [mean], ("<=", 0.01)),
    ]


def compared(page: Any, classifier: Classifier, pictures: Sequence[Path]) -> tuple[float, float]:
    """The share of pictures for which the page answers the same fruit as Python, and the mean difference of its probability."""
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
    """Every file of the page for a thousand visitors within a minute, from one process of Python's own server."""
    visitors = bench.some(VISITORS, 50)
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

    with serving(command, port), ThreadPoolExecutor(AT_ONCE) as pool:
        began = time.perf_counter()
        errors = sum(not fine for fine in pool.map(visit, range(visitors)))
        seconds = time.perf_counter() - began
    what = f"page loads a minute of http.server on one core, {visitors} measured, {errors} errors"
    rate = 0.0 if errors else visitors * SECONDS / seconds
    return bounded(what, "", [rate], (">=", VISITORS))
