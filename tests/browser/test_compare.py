"""A person asks what a normalization layer does, and lets two of them race."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

NORMS = ("Batch norm", "Layer norm", "Instance norm", "Group norm")
PHONE = {"width": 390, "height": 844}


def open_compare(visit, **how):
    page = visit(**how)
    page.get_by_role("tab", name=re.compile("Compare|比较")).click()
    page.wait_for_selector("#compare-page .fv-norm")
    return page


def test_each_norm_shows_at_once_what_shares_a_mean_and_answers_the_question(visit):
    page = open_compare(visit)
    assert "Yes. Each channel has its own mean and variance, taken over N, H and W" in page.inner_text("#compare-page")
    pictures = set()
    for norm in NORMS:
        page.locator("#compare-norm").get_by_text(norm, exact=True).click()
        page.wait_for_selector(f"#compare-page h2:text-is('{norm}')")
        assert page.locator("#compare-page math").count() == 3
        pictures.add(page.inner_html("#compare-page svg"))
    assert len(pictures) == len(NORMS)


def test_pointing_at_a_cell_lights_its_set(visit):
    page = open_compare(visit)
    page.wait_for_timeout(500)
    before = page.evaluate("document.querySelector('#compare-page polygon.lit').dataset.set")
    other = page.locator(f"#compare-page polygon.sheet:not([data-set='{before}'])").first
    other.hover(force=True)
    wanted = other.get_attribute("data-set")
    page.wait_for_function("set => document.querySelector('#compare-page polygon.lit').dataset.set === set", arg=wanted)


def test_one_norm_alone_is_no_race(visit):
    page = open_compare(visit)
    for norm in NORMS[1:]:
        page.locator("#compare-norms").get_by_label(norm, exact=True).uncheck()
    page.click("#compare-start")
    page.wait_for_selector("#compare-notice:has-text('at least two')")


def test_two_norms_race_while_the_page_is_closed_and_end_in_curves_and_a_table(visit):
    page = open_compare(visit)
    for norm in ("Layer norm", "Instance norm"):
        page.locator("#compare-norms").get_by_label(norm, exact=True).uncheck()
    page.click("#compare-start")
    page.wait_for_selector("#compare-status .fv-run-running", timeout=90_000)
    page.get_by_role("tab", name="Train").click()  # the machine is taken, and Train says by what
    page.click("#train-start")
    page.wait_for_selector("#train-notice:has-text('quick')")
    page.context.close()

    page = open_compare(visit, locale="zh-CN")
    page.wait_for_selector("#compare-status .fv-run-finished", timeout=150_000)
    table = page.inner_text("#compare-table")
    assert "批归一化" in table and "组归一化" in table and "%" in table
    assert page.locator("#compare-charts .fv-curve").count() == 6  # three charts of two norms
    with page.expect_download() as download:
        page.click("#compare-csv")
    assert b"batch" in Path(download.value.path()).read_bytes()


@pytest.mark.parametrize("locale", ["en-US", "zh-CN"])
def test_the_panel_fits_a_phone(visit, locale):
    page = open_compare(visit, size=PHONE, locale=locale)
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth + 1")
