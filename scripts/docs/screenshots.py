"""Take all pictures of the documentation, in Chromium from the real app with synthetic fruit.

python -m scripts.docs.screenshots                      # all of docs/images, in two or three minutes
python -m scripts.docs.screenshots --only classify      # those whose names begin so

It needs the test requirements (Playwright, a Chromium). A small network is trained first, so that Train has curves to show.
"""

from __future__ import annotations

import argparse
import io
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.webcam import system_chromium
from fruitvision.data.synthetic.sample import draw_fruit, draw_sample
from fruitvision.wording.text import LANGUAGES
from tests.browser.conftest import ARGUMENTS, RunningApp, run_app

PROJECT = Path(__file__).resolve().parents[2]
IMAGES = PROJECT / "docs" / "images"
LOCALES = {"en": "en-US", "zh": "zh-CN"}
SIZES = {"wide": {"width": 1280, "height": 860}, "phone": {"width": 390, "height": 844}}
MOVING = {"width": 1080, "height": 760}
KINDS = ("Apple", "Banana", "Kiwi", "Lemon", "Orange", "Strawberry")
QUALITY = 72
TRAINING = ("start=scratch", "width=16", "image_size=64", "first_image_size=0", "eval_resize=64", "epochs=20")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="the beginning of the names of the pictures to take")
    parser.add_argument("--out", type=Path, default=IMAGES)
    flags = parser.parse_args()
    flags.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name, opened_app(Path(name)) as (app, browser):
        for language in LANGUAGES:
            suffix = "" if language == "en" else f".{language}"
            for size in SIZES:
                for panel, take in PANELS.items():
                    picture = f"{panel}-{size}{suffix}.webp"
                    if picture.startswith(flags.only):
                        save_still(take(visit(browser, app, language, size, panel)), flags.out / picture)
            picture = f"classify{suffix}.webp"
            if picture.startswith(flags.only):
                save_moving(moving(visit(browser, app, language, "moving", "classify")), flags.out / picture)
    total = sum(path.stat().st_size for path in flags.out.iterdir())
    print(f"{flags.out}: {total / 1e6:.2f} MB in all")


@contextmanager
def opened_app(folder: Path) -> Iterator[tuple[RunningApp, Any]]:
    """The app with one finished run, and a Chromium whose fake camera plays a rotating synthetic banana."""
    from playwright.sync_api import sync_playwright

    data = draw_sample(folder / "data" / "drawn fruit", train_per_class=40, test_per_class=10, size=100, classes=KINDS)
    words = [sys.executable, "-m", "fruitvision", "train", "--run", folder / "runs" / "first", "--data", data]
    for setting in TRAINING:
        words += ["--set", setting]
    subprocess.run([str(word) for word in words], cwd=PROJECT, check=True, stdout=subprocess.DEVNULL)
    film = folder / "banana.mjpeg"
    film.write_bytes(b"".join(jpeg(banana(turn / 8)) for turn in range(12)))
    camera = f"--use-file-for-fake-video-capture={film}"
    with run_app(folder, "--data", str(folder / "data"), cwd=folder, app=PROJECT / "app.py") as app, sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=system_chromium(), args=[*ARGUMENTS, camera])
        try:
            yield app, browser
        finally:
            browser.close()


def banana(turn: float) -> Image.Image:
    return draw_fruit("Banana", np.random.default_rng(7), (640, 480), background="white", place=(0.5, 0.5, 0.3, turn))


def jpeg(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def drawn(kind: str, seed: int, background: str = "white") -> dict[str, Any]:
    """A drawn fruit as an upload."""
    picture = draw_fruit(kind, np.random.default_rng(seed), 480, background=background)
    return {"name": f"{kind}.jpg", "mimeType": "image/jpeg", "buffer": jpeg(picture)}


def visit(browser: Any, app: RunningApp, language: str, size: str, panel: str) -> Any:
    """A page of the app at that panel, in a new browser context."""
    context = browser.new_context(viewport=SIZES.get(size, MOVING), locale=LOCALES[language], permissions=["camera"])
    page = context.new_page()
    page.set_default_timeout(60_000)
    tab = panel if panel in ("train", "compare") else "classify"
    page.goto(f"{app.url}?lang={language}&tab={tab}")
    page.wait_for_selector("#classify-answer .fv-answer", state="attached")
    page.wait_for_timeout(1500)
    return page


def upload(page: Any, file: dict[str, Any]) -> None:
    page.locator("#classify-picture-tab-button").click()  # on a phone the camera is open first
    page.set_input_files("#classify-picture input[type=file]", files=[file])
    page.wait_for_selector("#classify-answer .fv-name")
    page.wait_for_timeout(1200)


def taken(page: Any, *, whole: bool = False) -> Image.Image:
    return Image.open(io.BytesIO(page.screenshot(full_page=whole, animations="disabled"))).convert("RGB")


def classify(page: Any) -> Image.Image:
    upload(page, drawn("Cherry", 4))
    picture = taken(page)
    page.context.close()
    return picture


def train(page: Any) -> Image.Image:
    page.wait_for_selector("#train-grid img")
    page.wait_for_selector("#train-charts svg, #train-charts canvas")
    page.wait_for_timeout(2500)  # the estimated times of the presets
    picture = taken(page)
    page.context.close()
    return picture


def compare(page: Any) -> Image.Image:
    page.wait_for_selector("#compare-page .fv-norm")
    page.wait_for_timeout(2500)
    picture = taken(page)
    page.context.close()
    return picture


PANELS: dict[str, Callable[[Any], Image.Image]] = {"classify": classify, "train": train, "compare": compare}


def moving(page: Any) -> list[tuple[Image.Image, int]]:
    """Frames of an animation of Classify, each with its duration in milliseconds: some fruits, a heatmap, the live camera."""
    shown = [(taken(page), 1200)]
    for kind, seed in (("Cherry", 4), ("Orange", 7), ("Kiwi", 6)):  # the network is unsure about the orange
        upload(page, drawn(kind, seed))
        shown.append((taken(page), 1600))
    page.locator("#classify-heat input").check(force=True)
    page.wait_for_selector("#classify-heatmap img")
    page.locator("#classify-heatmap").scroll_into_view_if_needed()
    page.wait_for_timeout(1000)
    shown.append((taken(page), 1800))
    page.evaluate("window.scrollTo(0, 0)")
    page.locator("#classify-live-tab-button").click()
    page.click(".fv-live-start")
    page.wait_for_selector(".fv-live-answer .fv-name")
    for _ in range(8):
        page.wait_for_timeout(300)
        shown.append((taken(page), 400))
    page.context.close()
    return shown


def save_still(picture: Image.Image, path: Path) -> None:
    picture.save(path, "WEBP", quality=QUALITY, method=6)
    print(f"{path.name}: {path.stat().st_size / 1e3:.0f} kB", flush=True)


def save_moving(shown: list[tuple[Image.Image, int]], path: Path) -> None:
    first, *others = (picture for picture, _ in shown)
    durations = [milliseconds for _, milliseconds in shown]
    first.save(path, "WEBP", save_all=True, append_images=others, duration=durations, loop=0, quality=QUALITY, method=6)
    print(f"{path.name}: {path.stat().st_size / 1e3:.0f} kB", flush=True)


if __name__ == "__main__":
    main()
