"""What a person meets first in Classify, corrects there, and keeps when the app is started anew."""

from __future__ import annotations

import base64
import os
import signal
import subprocess
import time

import pytest

from .conftest import PHONE, run_app
from .test_classify import drawn, drop, upload

ZOOMED = {"width": 640, "height": 400}  # 1280 × 800 at 200%


@pytest.mark.parametrize("size", [PHONE, ZOOMED], ids=["phone", "zoomed"])
def test_on_a_small_screen_the_camera_comes_first_and_fills_it(visit, size):
    page = visit(size=size)
    page.wait_for_selector(".fv-live-start:visible")
    box = page.locator(".fv-stage").bounding_box()
    button = page.locator(".fv-live-start").bounding_box()
    assert box["width"] >= 0.8 * size["width"] and box["height"] >= 0.5 * size["height"]
    assert button["y"] + button["height"] <= size["height"] and box["y"] < button["y"]
    tabs = page.locator(".fv-ways [role=tab]:visible")
    assert page.get_by_role("tab", name="Live camera").bounding_box()["x"] < page.get_by_role("tab", name="Picture").bounding_box()["x"]
    assert tabs.count() == 2
    page.click(".fv-live-start")
    page.wait_for_selector(".fv-live-answer .fv-name")
    box, answer = page.locator(".fv-stage").bounding_box(), page.locator(".fv-live-answer").bounding_box()
    assert answer["y"] > box["y"] and answer["y"] + answer["height"] <= min(box["y"] + box["height"], size["height"]) + 1


def test_a_drawn_example_a_pasted_picture_and_a_pdf(visit):
    page = visit(locale="zh-CN")
    page.wait_for_selector("#classify-picture [data-fv-word='粘贴']")
    page.click("button[data-example=Banana]")
    page.wait_for_selector("#classify-answer .fv-sure .fv-name:has-text('香蕉')")
    page.wait_for_function("document.querySelector('#classify-picture img').alt.includes('香蕉')")
    page.locator("label:has-text('显示网络关注的区域') input").check()
    page.wait_for_function("document.querySelector('#classify-heatmap img')?.alt.includes('香蕉')")
    drop_on_shown = "#classify-picture"
    page.dispatch_event(drop_on_shown, "drop", {"dataTransfer": page.evaluate_handle(FILE, ["rechnung.pdf", "application/pdf", ""])})
    page.wait_for_selector(".fv-upload-error:has-text('rechnung.pdf')")
    assert "香蕉" in page.inner_text("#classify-answer .fv-name"), "what was shown stays"
    kiwi = base64.b64encode(drawn("Orange")["buffer"]).decode()
    page.evaluate(
        """async ([name, type, encoded]) => {
            const files = new DataTransfer(), bytes = await (await fetch(`data:${type};base64,${encoded}`)).blob();
            files.items.add(new File([bytes], name, { type }));
            document.body.dispatchEvent(new ClipboardEvent("paste", { clipboardData: files, bubbles: true, cancelable: true }));
        }""",
        ["image.png", "image/png", kiwi],
    )
    page.wait_for_function("document.querySelector('#classify-answer .fv-name')?.textContent.includes('橙')")
    assert not page.locator(".fv-upload-error").count()


FILE = """([name, type, content]) => {
    const files = new DataTransfer();
    files.items.add(new File([content], name, { type }));
    return files;
}"""


def test_a_pdf_on_the_empty_place_is_said_to_be_no_picture(visit):
    page = visit()
    drop(page, "letter.pdf", "application/pdf", b"%PDF-1.4")
    page.wait_for_selector(".fv-upload-error:has-text('“letter.pdf” is not a picture')")


LONG = "Bananenfreundschaftsbanane" * 2


def test_an_answer_is_corrected_in_its_card_marked_and_switched_off(visit, public):
    _, link, _ = public
    page = visit(url=link)
    upload(page, drawn("Banana"))
    page.click("#classify-answer .fv-fix summary")
    page.fill("#classify-answer .fv-fix input", "Plantain")
    page.keyboard.press("Enter")
    page.wait_for_selector("#classify-answer .fv-name:has-text('Plantain')")
    assert page.inner_text("#classify-answer .fv-kicker") == "Not sure. Perhaps", "of one picture it is not sure"
    assert page.inner_text("#classify-answer .fv-taught-mark").startswith("From what you taught. More pictures")
    page.click("#classify-answer .fv-fix-undo:has-text('Plantain') button")
    page.wait_for_selector("#classify-answer .fv-name:has-text('Banana')")
    page.wait_for_selector(".fv-fix-undo", state="detached")
    page.click("#classify-answer .fv-fix summary")
    page.fill("#classify-answer .fv-fix input", "Plantain")
    page.keyboard.press("Enter")
    page.wait_for_selector("#classify-answer .fv-name:has-text('Plantain')")
    page.get_by_label("Answer with what I taught too").uncheck()
    page.wait_for_selector("#classify-answer .fv-name:has-text('Banana')")
    page.get_by_label("Answer with what I taught too").check()
    page.get_by_role("tab", name="Live camera").click()
    page.click(".fv-live-start")
    page.wait_for_selector(".fv-live-answer .fv-fix:not([hidden])")
    page.click(".fv-live-answer .fv-fix summary")
    page.fill(".fv-live-answer .fv-fix input", "Cooking banana")
    page.keyboard.press("Enter")
    page.wait_for_function("document.querySelector('.fv-live-card .fv-name')?.textContent === 'Cooking banana'")
    assert "Learned that this is “Cooking banana”" in page.inner_text(".fv-live-learned")
    assert page.is_visible(".fv-live-card .fv-taught-mark")
    page.wait_for_function("document.querySelector('.fv-live-said').textContent.startsWith('Cooking banana')")
    assert page.locator(".fv-live-card [aria-live]").count() == 0, "one announcement, and not one for each frame"
    page.get_by_label("Answer with what I taught too").uncheck()  # one switch for both tabs
    page.wait_for_function("document.querySelector('.fv-live-card .fv-name')?.textContent === 'Banana'")
    page.click(".fv-live-answer .fv-fix summary")
    page.fill(".fv-live-answer .fv-fix input", LONG)
    page.keyboard.press("Enter")
    page.wait_for_selector(f".fv-live-learned:has-text('Learned that this is “{LONG}”'):has-text('too” is on again')")
    assert page.get_by_label("Answer with what I taught too").is_checked()
    inside = "(one) => one.scrollWidth <= one.clientWidth + 1"
    assert page.locator(".fv-live-answer").evaluate(inside), "a long word is broken"
    page.click(".fv-live-learned button")
    page.wait_for_function(f"!document.querySelector('.fv-taught-list').textContent.includes('{LONG}')")
    page.wait_for_function("document.querySelector('.fv-live-card .fv-name')?.textContent === 'Cooking banana'")
    page.click(".fv-live-answer .fv-fix summary")
    assert page.inner_text(".fv-live-answer .fv-fix-names button:first-child") == "Banana", "the network's own answer"
    page.click(".fv-live-answer .fv-fix-names button:has-text('No fruit')")
    page.wait_for_selector(".fv-live-learned:has-text('No fruit')")
    page.wait_for_function("document.querySelector('.fv-teach-said').textContent.startsWith('Learned “No fruit”')")
    page.get_by_role("tab", name="Picture").click()
    upload(page, drawn("Orange"))
    page.wait_for_function("document.querySelector('.fv-teach-said').textContent === ''")  # it was about what was shown before
    page.click(".fv-teach > summary")
    page.click(".fv-taught > summary")
    page.click(".fv-taught-over")
    page.click(".fv-taught-yes")
    page.wait_for_selector(".fv-taught-list:has-text('Nothing yet')")


@pytest.mark.slow
def test_a_page_notices_that_its_server_was_killed_and_goes_on_with_the_next(visit, tmp_path, project, shipped_checkpoint):
    with run_app(tmp_path, cwd=tmp_path, app=project / "app.py") as first:
        page = visit(url=first.url, locale="zh-CN")
        train, compare, live = (visit(url=f"{first.url}?tab={tab}") for tab in ("train", "compare", "train"))
        compare.wait_for_selector("#norm-effect-composition .fv-effects")
        train.wait_for_selector("#train-grid img")
        live.wait_for_selector("#train-grid img")  # its clock goes on, so this page is loaded anew too, and its camera goes on
        live.get_by_role("tab", name="Classify").click()
        live.get_by_role("tab", name="Live camera").click()
        live.click(".fv-live-start")
        live.wait_for_selector(".fv-live-answer .fv-name")
        upload(page, drawn("Banana"))
        page.wait_for_selector("#classify-answer .fv-name:has-text('香蕉')")
        page.wait_for_timeout(2000)
        train.evaluate("window.loadedBefore = true")
        command = first.process.args
        first.process.send_signal(signal.SIGKILL)
        first.process.wait()
        killed = time.monotonic()
        for one, words in ((page, "应用没有回应"), *((one, "not responding") for one in (train, compare, live))):
            one.wait_for_selector(f".fv-offline:not([hidden]):has-text('{words}')")
        assert time.monotonic() - killed < 5
        assert "香蕉" in page.inner_text("#classify-answer .fv-name")
        again = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=os.environ)
        try:
            for one in (page, train, compare, live):
                one.wait_for_selector(".fv-offline", state="hidden")
            train.wait_for_function("!window.loadedBefore")  # its clock asked while the server was away: the page is loaded anew
            train.wait_for_selector("#train-grid img")
            before = train.get_attribute("#train-grid img", "src")
            train.click("#train-again")
            train.wait_for_function("before => document.querySelector('#train-grid img').src !== before", arg=before)
            compare.locator("#compare-norm").get_by_text("Group norm", exact=True).click()
            compare.wait_for_selector("#norm-effect-composition:has-text('Group norm: no difference')")
            live.wait_for_function("document.querySelector('.fv-live-message').textContent === ''")
            live.evaluate("document.querySelector('.fv-live-answer .fv-name').textContent = ''")
            live.wait_for_function("document.querySelector('.fv-live-answer .fv-name')?.textContent")
            page.wait_for_selector("#classify-answer .fv-name:has-text('香蕉')")
            page.locator("label:has-text('显示网络关注的区域') input").check()
            page.wait_for_selector("#classify-heatmap img")
            assert page.locator("[data-testid=toast-body]").count() == 0
        finally:
            again.terminate()
            again.wait(30)


def test_a_reload_keeps_the_picture_and_the_view_of_it(visit):
    page = visit(size=PHONE)
    page.get_by_role("tab", name="Picture").click()
    upload(page, drawn("Banana"))
    page.wait_for_selector("#classify-answer .fv-name:has-text('Banana')")
    page.reload()
    page.wait_for_selector("#classify-answer .fv-name:has-text('Banana')")
    assert page.get_by_role("tab", name="Picture").get_attribute("aria-selected") == "true"
    assert page.locator("#classify-picture img").is_visible()
    page.goto(page.url.split("?")[0])  # not a reload: it begins anew
    page.wait_for_selector("#classify-answer .fv-answer", state="attached")
    page.wait_for_timeout(1000)
    assert page.locator("#classify-picture img").count() == 0
