"""The exported page answers as Python does, asks for nothing after loading, and says what is no picture."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import fruitvision
from benchmarks.web import compare_answers
from fruitvision.data.synthetic.sample import draw_fruit
from tests.browser.web.conftest import drawn, exported, give, until

pytestmark = pytest.mark.slow


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
    """Weights in int8 change most where the network is not sure, as of drawn fruit: the bound for photographs stands below.

    Decoders differ, too: Chromium's and Pillow's round JPEG's chroma otherwise, by a step or two of 255.
    """
    served, _ = serve(site)
    same, difference = compare_answers(page_of(served.url), fruitvision.load("fruits-webcam"), drawn_files(tmp_path))
    assert same == 1 and difference <= 0.02


def test_the_page_answers_photographs_as_python_does(site, serve, page_of, real_data):
    pictures = sorted((real_data / "fruits-360" / "Test").rglob("*.jpg"))
    photos = sorted(path for path in (real_data / "photos").rglob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
    chosen = [*pictures[:: max(1, len(pictures) // 8)][:8], *photos[:: max(1, len(photos) // 16)][:16]]
    served, _ = serve(site)
    same, difference = compare_answers(page_of(served.url), fruitvision.load("fruits-webcam"), chosen)
    assert same == 1 and difference <= 0.01


def test_a_network_trained_a_moment_ago_answers_in_the_page_and_its_run_gives_the_name(trained, serve, page_of, tmp_path, sample_set):
    served, _ = serve(exported(trained, tmp_path / "site"))
    page = page_of(served.url)
    assert page.inner_text("#network") == "mine" and "synthetic" in page.inner_text("#accuracy")
    same, difference = compare_answers(page, fruitvision.load(trained), sorted((sample_set / "Test").rglob("*.jpg")))
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


@pytest.mark.parametrize(("locale", "words"), [("en-US", "is damaged"), ("zh-CN", "已损坏")])
def test_what_is_no_picture_is_a_sentence_and_the_next_picture_is_answered(site, serve, page_of, locale, words):
    served, _ = serve(site)
    page = page_of(served.url, locale=locale)
    give(page, {"name": "letter.jpg", "mimeType": "image/jpeg", "buffer": b"\xff\xd8\xff letter"})
    assert words in page.inner_text("#answer .wrong")
    give(page, drawn("Apple"))
    assert not page.locator("#answer .wrong").count()


def test_a_picture_that_is_given_while_the_network_loads_is_answered_when_it_is_there(site, serve, page_of):
    served, _ = serve(site)
    page = page_of(served.url, ready=False)
    until(page, "document.getElementById('network').textContent")
    give(page, drawn("Banana"))
    assert "Banana" in page.inner_text("#answer h2") and page.locator("body[data-ready=yes]").count()


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
