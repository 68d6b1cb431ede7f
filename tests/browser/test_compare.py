"""A person asks what a normalization layer does, and lets two of them race."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from PIL import Image

from .conftest import FEW
from .measured import contrast, hidden_scrolls, small_letters, small_targets

NORMS = ("Batch norm", "Layer norm", "Instance norm", "Group norm")
PHONE = {"width": 390, "height": 844}


def open_compare(visit, **how):
    page = visit(**how)
    page.get_by_role("tab", name=re.compile("Compare|比较")).click()
    page.wait_for_selector("#compare-page .fv-norm")
    return page


def test_each_norm_shows_at_once_what_shares_a_mean_and_answers_the_question(visit):
    page = open_compare(visit)
    assert "Yes. Each channel has its own mean and variance, computed over N, H and W" in page.inner_text("#compare-page")
    pictures = set()
    for norm in NORMS:
        page.locator("#compare-norm").get_by_text(norm, exact=True).click()
        page.wait_for_selector(f"#compare-page h2:text-is('{norm}')")
        assert page.locator("#compare-page math").count() == 4
        pictures.add(page.inner_html("#compare-drawing svg"))
    assert len(pictures) == len(NORMS)


def test_pointing_at_a_cell_lights_its_set(visit):
    page = open_compare(visit)
    page.wait_for_timeout(500)
    before = page.evaluate("document.querySelector('#compare-drawing polygon.lit').dataset.set")
    other = page.locator(f"#compare-drawing polygon.sheet:not([data-set='{before}'])").first
    other.hover(force=True)
    wanted = other.get_attribute("data-set")
    page.wait_for_function("set => document.querySelector('#compare-drawing polygon.lit').dataset.set === set", arg=wanted)


def open_race(visit, **how):
    page = open_compare(visit, **how)
    page.locator("#compare-tabs").get_by_role("tab", name=re.compile("Race|赛一赛")).click()
    page.wait_for_selector("#compare-start")
    return page


def share(page) -> int:
    """By how many percent the sentence says that batch norm's result changed."""
    return int(re.search(r"changes by (\d+)%", page.inner_text("#norm-effect-composition"))[1])


def test_a_picture_is_touched_and_who_is_beside_it_matters_to_batch_norm_alone(visit, sample_set):
    page = open_compare(visit)
    page.wait_for_selector("#norm-effect-composition .fv-effects")
    rows = page.locator("#norm-effect-view tr.fv-mine")
    assert "N,H,W" in rows.first.inner_text() and "✓ 64 / 64" in rows.first.inner_text()
    page.set_input_files("#norm-effect-picture input[type=file]", next(sample_set.rglob("*.jpg")))
    below = "document.querySelector('#norm-effect-picture label').getBoundingClientRect().bottom"
    page.wait_for_function(f"document.querySelector('#norm-effect-picture img')?.getBoundingClientRect().top >= {below}")
    mine = page.locator("#norm-effect-composition .fv-strip img.fv-mine").first
    before = share(page), page.inner_html("#norm-effect-composition .fv-maps")
    page.click("#norm-effect-others")
    page.wait_for_function("old => document.querySelector('#norm-effect-composition .fv-maps')?.innerHTML !== old", arg=before[1])
    assert share(page) > 0 and mine.is_visible()
    page.locator("#compare-norm").get_by_text("Group norm", exact=True).click()
    page.wait_for_selector("#norm-effect-composition:has-text('Group norm: no difference')")
    page.wait_for_selector(
        "#norm-effect-view tr.fv-mine:has-text('C/G,H,W'):has-text('256 / 256'), #norm-effect-view tr.fv-mine:has-text('128 / 128')"
    )
    page.locator("#compare-norm").get_by_text("Batch norm", exact=True).click()
    page.locator("#norm-effect-mode").get_by_text("evaluation", exact=True).click()
    page.wait_for_selector("#norm-effect-composition:has-text('Batch norm in evaluation mode: no difference')")
    page.locator("#norm-effect-size").get_by_text("1", exact=True).click()
    page.wait_for_selector("#norm-effect-composition:has-text('which is instance norm')")


def test_the_same_picture_is_answered_at_once_by_the_networks_that_come_with_the_program(visit):
    page = open_compare(visit)
    page.locator("#compare-tabs").get_by_role("tab", name="Same picture").click()
    page.wait_for_selector("#same-picture-view .fv-same-picture section:nth-child(4)")


def test_one_norm_alone_is_no_race(visit):
    page = open_race(visit)
    for norm in NORMS[1:]:
        page.locator("#compare-norms").get_by_label(norm, exact=True).uncheck()
    page.click("#compare-start")
    page.wait_for_selector("#compare-notice:has-text('at least two')")


@pytest.mark.slow
def test_two_norms_race_while_the_page_is_closed_and_end_in_curves_and_a_table(visit, sample_set):
    page = open_race(visit)
    for norm in ("Layer norm", "Instance norm"):
        page.locator("#compare-norms").get_by_label(norm, exact=True).uncheck()
    page.click("#compare-data input")
    page.get_by_role("option", name=FEW).click()
    page.click("#compare-start")
    page.wait_for_selector("#compare-status .fv-run-running", timeout=90_000)
    page.get_by_role("tab", name="Train").click()  # the machine is taken, and Train says by what
    page.click("#train-start")
    page.wait_for_selector("#train-notice:has-text('quick')")
    page.context.close()

    page = open_race(visit, locale="zh-CN")
    page.wait_for_selector("#compare-status .fv-run-finished", timeout=400_000)
    table = page.inner_text("#compare-table")
    assert "批归一化" in table and "组归一化" in table and "%" in table
    assert page.locator("#compare-charts .fv-curve").count() == 6  # three charts of two norms
    with page.expect_download() as download:
        page.click("#compare-csv")
    assert b"batch" in Path(download.value.path()).read_bytes()
    assert page.locator("#compare-charts .fv-chart").first.bounding_box()["width"] > 200
    with page.expect_download() as download:
        page.click("#compare-png")
    with Image.open(download.value.path()) as drawn:
        colours = drawn.convert("RGB").getcolors(2**24)
        assert drawn.format == "PNG" and min(drawn.size) > 500 and len(colours) > 20  # curves, not an empty sheet
    page.locator("#compare-tabs").get_by_role("tab", name="同一张图").click()
    page.set_input_files("#same-picture-picture input[type=file]", next(sample_set.rglob("*.jpg")))
    page.wait_for_selector("#same-picture-view .fv-same-picture section:nth-child(2)")


@pytest.mark.parametrize("locale", ["en-US", "zh-CN"])
def test_the_panel_fits_a_phone(visit, locale):
    page = open_compare(visit, size=PHONE, locale=locale)
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth + 1")
    page.wait_for_selector("#norm-effect-view .fv-histogram")
    icons = "#norm-effect-picture .source-selection .icon"
    found = [measure(page, "#panel-compare") for measure in (small_letters, small_targets, hidden_scrolls)]
    page.evaluate("document.body.classList.add('dark')")
    dark = contrast(page, icons)
    page.evaluate("document.body.classList.remove('dark')")
    page.locator("#compare-study-tab-button").click()
    page.wait_for_selector("#compare-table table")
    found += [measure(page, "#panel-compare") for measure in (small_letters, small_targets, hidden_scrolls)]
    assert not any(found), found
    assert page.evaluate("getComputedStyle(document.querySelector('#compare-charts .fv-curve')).fill") == "none"
    table = page.locator("#compare-table .fv-table")
    assert table.evaluate("table => table.scrollWidth > table.clientWidth") and table.get_attribute("aria-label")
    assert min(dark, contrast(page, icons)) >= 3


CLIPPED = """() => {
  const inside = ({ left, right, width }) => !width || left >= -1 && right <= innerWidth + 1;
  const fits = (one) => [...Array(4)].reduce(([whole, node]) =>
    [whole && node.scrollWidth <= node.clientWidth + 1, node.parentElement ?? node], [true, one.parentElement])[0];
  const shown = (selector) => [...document.querySelectorAll(selector)].filter((one) => one.checkVisibility());
  const clipped = shown("#panel-compare table, #panel-compare svg").filter((one) => !inside(one.getBoundingClientRect()) || !fits(one));
  const boxes = shown("#compare-page math").map((one) => one.getBoundingClientRect());
  const touching = boxes.filter((a, n) => boxes.slice(n + 1).some((b) =>
    a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom));
  return [...clipped.map((one) => one.outerHTML.slice(0, 100)), ...touching.map(() => "two formulas touch")];
}"""


@pytest.mark.parametrize("locale", ["en-US", "zh-CN"])
def test_what_can_be_tried_is_on_the_first_screen_of_a_laptop_and_nothing_is_clipped(visit, locale):
    page = open_compare(visit, size={"width": 1280, "height": 800}, locale=locale)
    page.wait_for_selector("#norm-effect-composition .fv-effects")
    for part in ("#norm-effect-picture", "#compare-norm", "#norm-effect-numbers .fv-mine", "#compare-drawing svg"):
        box = page.locator(part).bounding_box()
        assert box["y"] >= 0 and box["y"] + box["height"] <= 800, (part, box)
    assert page.evaluate(CLIPPED) == []
    page.locator("#compare-study-tab-button").click()
    page.wait_for_selector("#compare-table table")
    assert page.evaluate(CLIPPED) == []
