"""The exported page in a real Chromium, served by nothing but Python's own web server."""

from __future__ import annotations

import functools
import http.server
import io
import json
import os
import re
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import fruitvision
from benchmarks.web import PROBE
from fruitvision.data.synthetic.sample import draw_fruit
from fruitvision.errors import DownloadError
from fruitvision.recognition.taught.store import TaughtStore
from fruitvision.recognition.taught.transfer import export_taught, import_taught
from fruitvision.runs.folder import RunConfig, RunFolder
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


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, shipped_checkpoint: Path) -> Path:
    """The page of the shipped network."""
    return exported(shipped_checkpoint.with_name("fruits-webcam"), tmp_path_factory.mktemp("web") / "site")


@pytest.fixture(scope="module")
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

    def open_page(url: str, *, locale: str = "en-US", size: dict = PHONE, **more):
        context = browser.new_context(viewport=size, locale=locale, permissions=["camera"], accept_downloads=True, **more)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(LONG)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda line: errors.append(line.text) if line.type == "error" and "net::ERR" not in line.text else None)
        page.goto(url)
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


def compared(page, classifier, pictures: list[Path]) -> tuple[float, float]:
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


def drawn_files(folder: Path) -> list[Path]:
    """Pictures of every form that a phone or a desk gives: large and small, turned by EXIF, transparent, grey, palette."""
    found = []
    for n, kind in enumerate(("Banana", "Apple", "Kiwi", "Lemon", "Orange", "Pear")):
        picture = draw_fruit(kind, np.random.default_rng(n), (700 - 90 * n, 500), background="wood" if n % 2 else "white")
        found.append(folder / f"{n}.png")
        picture.save(found[-1])
        exif = Image.Exif()
        exif[0x0112] = (6, 3, 8)[n % 3]
        found.append(folder / f"{n}.jpg")
        picture.resize((1500, 1100)).save(found[-1], quality=90, exif=exif)
    cut = draw_fruit("Banana", np.random.default_rng(9), 300, background="white").convert("RGBA")
    cut.putalpha(Image.linear_gradient("L").resize(cut.size))
    for name, one in (("cut.png", cut), ("grey.png", cut.convert("L")), ("palette.gif", cut.convert("RGB").quantize(64))):
        found.append(folder / name)
        one.save(found[-1])
    return found


def test_the_page_answers_as_python_does(site, serve, page_of, tmp_path):
    """Decoders differ: Chromium's and Pillow's round JPEG's chroma otherwise, by a step or two of 255."""
    served, _ = serve(site)
    same, difference = compared(page_of(served.url), fruitvision.load("fruits-webcam"), drawn_files(tmp_path))
    assert same == 1 and difference <= 0.01


def test_the_page_answers_photographs_as_python_does(site, serve, page_of, real_data):
    pictures = sorted((real_data / "fruits-360" / "Test").rglob("*.jpg"))
    photos = sorted(path for path in (real_data / "photos").rglob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
    chosen = [*pictures[:: max(1, len(pictures) // 8)][:8], *photos[:: max(1, len(photos) // 16)][:16]]
    served, _ = serve(site)
    same, difference = compared(page_of(served.url), fruitvision.load("fruits-webcam"), chosen)
    assert same == 1 and difference <= 0.01


def test_a_network_trained_a_moment_ago_answers_in_the_page_and_its_run_gives_the_name(trained, serve, page_of, tmp_path, sample_set):
    served, _ = serve(exported(trained, tmp_path / "site"))
    page = page_of(served.url)
    assert page.inner_text("#network") == "mine" and "synthetic" in page.inner_text("#accuracy")
    same, difference = compared(page, fruitvision.load(trained), sorted((sample_set / "Test").rglob("*.jpg")))
    assert same >= 0.9 and difference <= 0.02  # sixteen pictures of 64 px, by a network that is sure of none


def test_nothing_is_asked_for_after_loading_and_the_page_comes_back_without_a_server(site, serve, page_of):
    served, server = serve(site)
    page = page_of(served.url)
    until(page, "document.getElementById('offline').textContent")
    once = [one for one in served.asked if one.endswith(" 200")]
    assert len(once) == len(set(once)), "fetched twice"
    before, requests = len(served.asked), []
    page.context.on("request", lambda request: requests.append(request.url) if request.url.startswith("http") else None)
    give(page, drawn("Banana"))
    assert "Banana" in page.inner_text("#answer h2")
    page.click("#heatmap")
    page.wait_for_selector("#heat:not([hidden])")
    page.click("#start")
    page.wait_for_selector("#answer h2")
    page.click("#language")
    page.click("#start")
    assert served.asked[before:] == [] and requests == []
    server.shutdown()
    server.server_close()
    page.goto(served.url)
    page.wait_for_selector("body[data-ready=yes]")
    assert page.evaluate("crossOriginIsolated") and int(page.get_attribute("body", "data-threads")) == min(os.cpu_count() or 1, 4)
    give(page, drawn("Banana"))
    assert "香蕉" in page.inner_text("#answer h2")  # the language that was chosen is remembered


def test_the_camera_is_answered_frame_by_frame_and_pauses_when_the_page_is_hidden(site, serve, page_of):
    served, _ = serve(site)
    page = page_of(served.url)
    page.evaluate("""() => {
      window.answers = 0;
      new MutationObserver(() => answers++).observe(document.getElementById("answer"), { childList: true });
    }""")
    page.click("#start")
    until(page, "answers >= 5")
    assert page.inner_text("#answer h2").strip() and page.is_visible("#guide")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.evaluate("""() => {
      Object.defineProperty(document, "hidden", { configurable: true, get: () => true });
      document.dispatchEvent(new Event("visibilitychange"));
    }""")
    count = -1
    for _ in range(10):  # the frame that is under way is still answered
        before, count = count, page.evaluate("answers")
        if before == count:
            break
        page.wait_for_timeout(1000)
    assert before == count
    page.click("#start")
    assert not page.is_visible("#video")


def test_a_frame_in_which_nothing_moves_is_answered_five_times_a_second_at_most(site, serve, page_of):
    served, _ = serve(site)
    page = page_of(served.url)
    page.evaluate("""() => {
      const still = Object.assign(document.createElement("canvas"), { width: 640, height: 480 }), pen = still.getContext("2d");
      setInterval(() => { pen.fillStyle = "#c9a227"; pen.fillRect(0, 0, 640, 480); }, 20);
      navigator.mediaDevices.getUserMedia = async () => still.captureStream(30);
      window.answers = [];
      new MutationObserver(() => answers.push(performance.now())).observe(document.getElementById("answer"), { childList: true });
    }""")
    page.click("#start")
    until(page, "answers.length >= 8")
    times = page.evaluate("answers.slice(3, 8)")
    assert (times[-1] - times[0]) / 4 >= 195


def test_ten_frames_are_taught_kept_and_exchanged_with_the_app(site, serve, page_of, tmp_path):
    served, _ = serve(site)
    page = page_of(served.url)
    page.click("#teaching")
    page.click("#frames")
    assert "Say first what it is" in page.inner_text("#said")
    page.click("#start")
    page.wait_for_selector("#answer h2")
    page.fill("#name", "Quince of mine")
    page.click("#frames")
    until(page, "document.getElementById('said').textContent.startsWith('Learned')")
    assert int(page.get_attribute("#teach", "data-learned-ms")) < 1000
    until(page, "document.querySelector('#answer h2')?.textContent === 'Quince of mine'")
    page.click("#start")
    with page.expect_download() as download:
        page.click("#export")
    zipped = tmp_path / "taught.zip"
    download.value.save_as(zipped)
    store = TaughtStore(tmp_path / "store")
    assert import_taught(store, zipped) == len(zipfile.ZipFile(zipped).namelist()) - 1
    assert list(store.index().names) == ["Quince of mine"]

    page.reload()
    page.wait_for_selector("body[data-ready=yes]")
    assert "Quince of mine" in page.text_content("#taught")
    page.click("#teaching")
    page.click("#over")
    page.click("#yes")
    until(page, "document.getElementById('export').disabled")

    store.add("空桌面 and <b>", draw_fruit("Kiwi", np.random.default_rng(1), 200, background="stone"))
    export_taught(store, tmp_path / "back.zip")
    page.set_input_files("#zip", tmp_path / "back.zip")
    until(page, "document.querySelectorAll('#taught li').length === 2")
    assert "空桌面 and <b>" in page.inner_text("#taught")
    page.set_input_files("#zip", files=[{"name": "no.zip", "mimeType": "application/zip", "buffer": b"PK nothing"}])
    page.wait_for_selector("#said.wrong")
    assert "no.zip is not an export" in page.inner_text("#said")


@pytest.mark.parametrize(("locale", "words"), [("en-US", "is damaged"), ("zh-CN", "已损坏")])
def test_what_is_no_picture_is_a_sentence_and_the_next_picture_is_answered(site, serve, page_of, locale, words):
    served, _ = serve(site)
    page = page_of(served.url, locale=locale)
    give(page, {"name": "letter.jpg", "mimeType": "image/jpeg", "buffer": b"\xff\xd8\xff letter"})
    assert words in page.inner_text("#answer .wrong")
    give(page, drawn("Apple"))
    assert not page.locator("#answer .wrong").count()


def test_every_control_has_a_name_and_colours_are_told_apart(site, serve, page_of):
    served, _ = serve(site)
    for scheme in ("light", "dark"):
        page = page_of(served.url, color_scheme=scheme)
        give(page, drawn("Banana"))
        page.click("#teaching")
        assert page.evaluate(NAMELESS) == []
        assert page.evaluate(PALE) == []
        page.keyboard.press("Tab")
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"


NAMELESS = """() => [...document.querySelectorAll("button, input:not([hidden]), img:not([hidden]), a")]
  .filter((own) => own.checkVisibility())
  .filter((own) => !(own.textContent.trim() || own.labels?.length || own.alt || own.ariaLabel)).map((own) => own.outerHTML)"""
# WCAG 2's contrast of each visible text with the nearest opaque ground behind it.
PALE = r"""() => {
  const parts = (colour) => colour.match(/[\d.]+/g).map(Number);
  const light = (colour) => parts(colour).slice(0, 3).map((value) => value / 255)
    .map((value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4))
    .reduce((sum, value, n) => sum + value * [0.2126, 0.7152, 0.0722][n], 0);
  const opaque = (own) => { const [, , , alpha = 1] = parts(getComputedStyle(own).backgroundColor); return alpha > 0.8; };
  const faults = [];
  for (const own of document.querySelectorAll("body *")) {
    const words = [...own.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    if (!words || !own.checkVisibility() || own.disabled || own.classList.contains("unseen")) continue;
    let behind = own;
    while (behind.parentElement && !opaque(behind)) behind = behind.parentElement;
    const [a, b] = [getComputedStyle(own).color, getComputedStyle(behind).backgroundColor].map(light).sort((x, y) => y - x);
    if ((a + 0.05) / (b + 0.05) < 4.5) faults.push(`${own.id || own.className || own.tagName}: ${((a + 0.05) / (b + 0.05)).toFixed(2)}`);
  }
  return faults;
}"""


def test_a_folder_with_other_files_is_left_alone_and_an_export_replaces_an_earlier_one(site, tmp_path, shipped_checkpoint):
    kept = json.loads((site / "model.json").read_text(encoding="utf-8"))
    assert kept["name"] == "fruits-webcam" and re.fullmatch("[0-9a-f]{16}", kept["version"])
    assert sum(path.stat().st_size for path in site.rglob("*") if path.is_file()) < 10e6
    for line in (site / "index.html", site / "sw.js", site / "app.css", *site.glob("js/*.js"), *site.glob("recognition/*.js")):
        assert not re.search(r"https?://(?!www\.w3\.org)", line.read_text(encoding="utf-8")), line.name
