"""The page for everybody: its address, its languages, contrast, keyboard and screen reader."""

from __future__ import annotations

import contextlib
import json
import shutil
import time
from collections.abc import Iterator

import pytest

from fruitvision.runs.config import RunConfig
from fruitvision.runs.folder import RunFolder, new_run
from fruitvision.runs.status import RunStatus
from fruitvision.training.config import TrainConfig

from .conftest import PHONE, WIDE
from .test_classify import drawn, upload
from .test_train import fill_quick

Axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe
TimeoutError = pytest.importorskip("playwright.sync_api").TimeoutError
READY = {
    "classify": "#classify-answer .fv-answer:visible, .fv-live-start:visible",
    "train": "#train-found .fv-data",
    "compare": "#compare-drawing svg",
}


def serious(page) -> list[str]:
    """What axe-core finds of impact "serious" or "critical", as "rule: element"."""
    found = Axe().run(page).response["violations"]
    grave = [one for one in found if one["impact"] in ("serious", "critical")]
    return [f"{one['id']}: {node['html'][:160]} {node['failureSummary'][-160:]}" for one in grave for node in one["nodes"]]


@pytest.mark.parametrize("panel", READY)
@pytest.mark.parametrize(("scheme", "size"), [("light", WIDE), ("dark", PHONE)])
def test_axe_finds_nothing_serious(visit, app, panel, scheme, size):
    page = visit(size=size)
    page.emulate_media(color_scheme=scheme)
    page.goto(f"{app.url}?tab={panel}")
    page.wait_for_selector(READY[panel])
    page.wait_for_timeout(500)
    assert serious(page) == []


def test_language_and_panel_stand_in_the_address(visit, app):
    page = visit(locale="zh-CN")
    page.get_by_role("tab", name="训练").click()
    page.wait_for_url("**/?tab=train")
    page.wait_for_selector(READY["train"])
    page.get_by_role("tab", name="比较").click()
    page.wait_for_url("**/?tab=compare")
    page.go_back()
    page.wait_for_url("**/?tab=train")
    assert page.is_visible("#train-way"), "Back leads to the panel before"
    page.reload()
    page.wait_for_selector(READY["train"])
    assert page.is_visible("#train-way"), "a reload stays where one was"
    page.get_by_role("radio", name="English").check(force=True)
    page.wait_for_selector("#title:has-text('Recognises')")
    assert "lang=en" in page.url and "tab=train" in page.url
    page.goto(app.url)
    page.wait_for_selector("#title:has-text('Recognises')")
    page.goto(f"{app.url}?lang=zh&tab=compare")
    page.wait_for_selector("#title:has-text('识别水果')")
    assert page.is_visible(READY["compare"].split(",")[0]) or page.is_visible("#compare-page")


def test_a_panel_that_is_opened_at_once_is_in_the_browsers_language_whole(visit, app):
    page = visit(locale="zh-CN")
    page.get_by_role("tab", name="训练").click()
    page.wait_for_selector(READY["train"])
    words = page.inner_text("#panels")
    assert not [word for word in ("Your pictures", "Recipe", "Start", "Drop", "kinds") if word in words]


def test_keys_move_between_the_tabs_in_the_order_in_which_they_are_seen(visit):
    page = visit(size=PHONE)
    page.wait_for_selector(".fv-live-start:visible")
    page.get_by_role("tab", name="Live camera").focus()
    for key, tab in (("ArrowRight", "picture"), ("Home", "live"), ("End", "picture"), ("ArrowLeft", "live")):
        page.keyboard.press(key)
        page.wait_for_function(f"document.activeElement.id === 'classify-{tab}-tab-button' && document.activeElement.tabIndex === 0")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    assert page.locator("[role=tablist] [role=tab]:visible[tabindex='0']").count() == 2, "the Tab key comes to the open one of each list"
    page.get_by_role("tab", name="Classify").focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_function("document.activeElement.id === 'panel-train-button'")
    page.wait_for_selector(READY["train"])
    page.keyboard.press("ArrowLeft")
    page.wait_for_selector(READY["classify"])


# What is cut, too small for a finger, or pale: elements of a page as a phone shows it.
FAULTS = """() => {
    const seen = (own) => own.checkVisibility() && own.getBoundingClientRect().width > 2, found = [];
    const name = (own) => `${own.tagName} ${own.id || own.className} ${own.textContent.trim().slice(0, 30)}`;
    const width = document.documentElement.clientWidth;
    if (document.documentElement.scrollWidth > width) found.push(`scrolls: ${document.documentElement.scrollWidth}`);
    for (const own of document.querySelectorAll("h1, [role=tab], #language label, #panels button:not(.fv-examples *)")) {
        const { left, right } = own.getBoundingClientRect();
        if (seen(own) && (left < 0 || right > width + 1 || own.scrollWidth > own.clientWidth + 1)) found.push(`cut: ${name(own)}`);
    }
    const fingers = "[role=tab], #language label, #classify-picture :is(.icon-button, .source-selection button), summary, .fv-teach button";
    for (const own of document.querySelectorAll(fingers)) {
        const { width, height } = own.getBoundingClientRect();
        if (seen(own) && (height < 43.5 || width < 24)) found.push(`small: ${name(own)} ${width}×${height}`);
    }
    const pen = document.createElement("canvas").getContext("2d");
    for (const own of document.querySelectorAll("input[placeholder]")) {
        const style = getComputedStyle(own);
        pen.font = getComputedStyle(own, "::placeholder").font;
        const room = own.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight);
        if (seen(own) && pen.measureText(own.placeholder).width > room) found.push(`cut: ${own.placeholder}`);
    }
    return found;
}"""


def test_a_page_as_narrow_as_a_phone_or_half_of_it_cuts_nothing_and_a_lying_phone_shows_the_camera_first(visit, app, public):
    _, link, _ = public
    page = visit(size=PHONE, url=link)
    page.wait_for_selector(".fv-live-start:visible")
    page.get_by_role("tab", name="Picture").click()
    page.click(".fv-teach > summary")
    for language in ("en", "zh"):
        if language == "zh":
            page.get_by_role("radio", name="中文").check(force=True)
            page.wait_for_selector(".fv-language-overlay", state="hidden")
        for width in (390, 320, 195):
            page.set_viewport_size({"width": width, "height": width * 2})
            with contextlib.suppress(TimeoutError):
                page.wait_for_function(f"() => document.documentElement.clientWidth === {width} && !({FAULTS})().length", timeout=10_000)
            assert page.evaluate(FAULTS) == [], (language, width)
            assert page.locator("#panels > .tab-wrapper [role=tab]:visible").count() == 3
    page.set_viewport_size({"width": 844, "height": 390})
    page.goto(app.url)
    page.wait_for_selector(".fv-live-start:visible")
    box = "(selector) => { const { top, bottom, left, height } = document.querySelector(selector).getBoundingClientRect();"
    box += " return { top, bottom, left, height }; }"
    assert page.evaluate(box, ".fv-header")["height"] <= 60
    assert page.evaluate(box, "#classify-live-tab-button")["left"] < page.evaluate(box, "#classify-picture-tab-button")["left"]
    said = page.text_content(".fv-live-intro")
    stage, intro = (page.evaluate(box, one) for one in (".fv-stage", ".fv-live-intro"))
    assert stage["bottom"] <= 390 and intro["top"] - stage["top"] > 16
    page.evaluate("() => { navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('', 'NotFoundError')); }")
    page.click(".fv-live-start")
    page.wait_for_function("before => document.querySelector('.fv-live-intro').textContent !== before", arg=said)
    assert page.text_content(".fv-live-message") == page.inner_text(".fv-live-intro"), "the problem has the place of the introduction"
    assert page.evaluate(box, ".fv-live-intro")["bottom"] < page.evaluate(box, ".fv-live-start")["top"]
    page.evaluate("() => { delete navigator.mediaDevices.getUserMedia; }")
    page.click(".fv-live-start")
    page.wait_for_selector(".fv-live-answer .fv-name")
    guide, buttons = (page.evaluate(box, one) for one in (".fv-guide", ".fv-live-buttons"))
    assert buttons["left"] > guide["left"] + guide["height"], "no button covers the frame, which is square"
    assert all(page.evaluate(box, one)["bottom"] <= 390 for one in (".fv-live-buttons", ".fv-live-answer")), "Stop and the answer are seen"


def test_on_a_phone_the_header_is_one_line_and_the_answer_lies_over_the_video(visit):
    page = visit(size=PHONE)
    box = "(selector) => { const { top, bottom, left, right, height } = document.querySelector(selector).getBoundingClientRect();"
    box += " return { top, bottom, left, right, height }; }"
    assert page.evaluate(box, ".fv-header")["height"] <= 60
    page.click("#model input")
    options = page.evaluate(box, "#model [role=listbox]")
    assert 0 <= options["left"] and options["right"] <= PHONE["width"] and options["right"] - options["left"] > 200
    page.keyboard.press("Escape")
    page.wait_for_selector("#model [role=listbox]", state="hidden")
    assert page.evaluate("document.activeElement.matches('#model input')")
    page.click("#model input")
    page.wait_for_selector("#model [role=listbox]")
    page.keyboard.press("Tab")
    page.wait_for_selector("#model [role=listbox]", state="hidden")
    page.wait_for_selector(".fv-live-start:visible")
    column, stage = (page.evaluate(box, one) for one in (".fv-live", ".fv-stage"))
    assert column["left"] - 1 <= stage["left"] and stage["right"] <= column["right"] + 1
    page.click(".fv-live-start")
    page.wait_for_selector(".fv-live-answer .fv-name")
    stage, answer = (page.evaluate(box, one) for one in (".fv-stage", ".fv-live-answer"))
    assert answer["bottom"] <= PHONE["height"] and stage["top"] < answer["top"] and answer["bottom"] <= stage["bottom"] + 1
    finished = {"ended": "x", "state": "finished", "words": "first has finished: accuracy 96.4%."}
    asks = lambda route: "run_state" in (route.request.post_data or "")  # noqa: E731
    page.route("**/component_server/", lambda route: route.fulfill(json=finished) if asks(route) else route.continue_())
    page.wait_for_selector(".fv-run-bar:has-text('has finished')")
    page.wait_for_function("document.querySelector('.fv-live-answer').getBoundingClientRect().bottom <= innerHeight")
    page.evaluate("document.querySelector('.fv-live-answer').scrollIntoView(true)")
    page.wait_for_function("document.querySelector('.fv-run-bar').getBoundingClientRect().bottom <= 0")  # it covers nothing
    page.get_by_role("tab", name="Train").click()
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    page.wait_for_function("document.querySelector('.fv-run-bar').getBoundingClientRect().top === 0")


def test_start_brings_the_runs_status_into_view(visit):
    page = visit(size=PHONE)
    page.get_by_role("tab", name="Train").click()
    page.wait_for_selector(READY["train"])
    fill_quick(page)
    page.fill("#setting-epochs input", "0")  # refused: the error stands beside the button
    page.click("#train-start")
    page.wait_for_selector("#train-notice [role=alert]")
    visible = "(one) => { const { top, bottom } = document.querySelector(one).getBoundingClientRect();"
    visible += " return top < innerHeight - 40 && bottom > 40; }"
    page.wait_for_function(visible, arg="#train-notice [role=alert]")
    page.fill("#setting-epochs input", "3")
    page.click("#train-start")
    page.wait_for_function(visible, arg="#train-status")
    page.wait_for_selector("#train-stop:visible, #train-status .fv-run-finished", timeout=60_000)
    if page.is_visible("#train-stop"):
        page.click("#train-stop")


def test_who_asked_for_less_motion_sees_none(visit, app):
    page = visit(size=PHONE)
    page.goto(f"{app.url}?tab=compare")
    page.wait_for_selector(READY["compare"])
    moved = """async () => {
        const asked = [], scroll = Element.prototype.scrollIntoView;
        Element.prototype.scrollIntoView = function (how) { asked.push(how.behavior); return scroll.call(this, how); };
        scrollTo({ top: 0, behavior: "instant" });
        await fruitvisionScrollIntoView("#compare-page");
        Element.prototype.scrollIntoView = scroll;
        const styles = [...document.querySelectorAll("body *")].map((one) => getComputedStyle(one));
        const times = styles.flatMap((style) => `${style.transitionDuration}, ${style.animationDuration}`.split(", "));
        const slow = times.some((time) => parseFloat(time) > 0.01);
        return { asked, slow };
    }"""
    assert page.evaluate(moved) == {"asked": ["smooth"], "slow": True}
    page.emulate_media(reduced_motion="reduce")
    assert page.evaluate(moved) == {"asked": ["instant"], "slow": False}


def test_back_and_forward_keep_the_picture(visit):
    page = visit()
    upload(page, drawn("Banana"))
    page.wait_for_selector("#classify-answer .fv-name:has-text('Banana')")
    page.get_by_role("tab", name="Train").click()
    page.wait_for_url("**/?tab=train")
    page.go_back()
    page.wait_for_selector("#classify-picture img")
    assert "Banana" in page.inner_text("#classify-answer .fv-name")
    page.go_forward()
    page.wait_for_selector(READY["train"])
    page.go_back()
    assert page.locator("#classify-picture img").is_visible()


def test_enter_works_on_every_icon_of_a_picture(visit):
    page = visit()
    for icon, shown in (("webcam", "text=Click to Access Webcam"), ("upload", "#classify-picture input[type=file]")):
        page.focus(f"#classify-picture [data-fv-icon={icon}]")
        page.keyboard.press("Enter")
        page.wait_for_selector(shown, state="attached")
    upload(page, drawn("Banana"))
    page.wait_for_selector("#classify-answer .fv-name:has-text('Banana')")
    page.focus("#classify-picture button[aria-label='Remove the picture']")
    page.keyboard.press("Enter")
    page.wait_for_selector("#classify-picture img", state="detached")
    page.wait_for_function("document.activeElement.matches('#classify-picture button:has(> input[type=file])')")
    page.focus("[data-example=Apple]")
    page.keyboard.press("Enter")
    page.wait_for_selector("#classify-answer .fv-name:has-text('Apple')")
    assert page.evaluate("document.activeElement.id") == "classify-answer"


@pytest.fixture
def finished_run(app, shipped_checkpoint) -> Iterator[RunFolder]:
    """A run whose network can be chosen."""
    run = new_run(app.runs, RunConfig(name="chosen one", data=str(app.runs), training=TrainConfig.from_preset("fast")))
    shutil.copytree(shipped_checkpoint, run.best)
    run.write_status(RunStatus(state="finished", epochs=3, epoch=3, heartbeat=time.time() - 10**6, skipped=0))
    yield run
    shutil.rmtree(run.path, ignore_errors=True)


def test_the_model_is_chosen_by_keyboard_kept_by_a_reload_and_the_default_when_it_is_gone(visit, app, finished_run):
    page, name = visit(size={"width": 1280, "height": 500}), "document.querySelector('#model input')?.value"
    standard = page.input_value("#model input")
    page.focus("#model input")
    page.wait_for_selector("#model [role=listbox]")
    while page.get_attribute("#model [role=option].active", "aria-label") != "chosen one (your run)":
        page.keyboard.press("ArrowDown")
        page.wait_for_timeout(100)
    assert page.evaluate("scrollY") == 0, "the keys move in the list, not the page"
    page.keyboard.press("Enter")
    page.wait_for_selector("#model [role=listbox]", state="hidden")
    page.wait_for_timeout(300)
    assert page.evaluate("document.activeElement.matches('#model input')")
    page.wait_for_selector("#classify-note:has-text('chosen one')")
    page.reload()
    page.wait_for_function(f"{name} === 'chosen one (your run)'")
    page.wait_for_selector("#classify-note:has-text('chosen one')")
    other = page.context.new_page()
    other.goto(app.url)
    other.wait_for_function(f"{name} === 'chosen one (your run)'")
    finished_run.delete()
    other.reload()
    other.wait_for_function(f"{name} === {json.dumps(standard)}")
    other.wait_for_timeout(500)
    assert other.input_value("#model input") == standard and not other.locator(".toast-body").count()


def test_only_the_panel_that_is_shown_asks_the_server_for_changes(visit):
    page = visit()
    asked = []
    page.on("request", lambda request: asked.append(request.url) if "/run/" in request.url else None)

    def count(seconds: float) -> int:
        page.wait_for_timeout(3000)  # what the change of the panel itself asks for
        asked.clear()
        page.wait_for_timeout(seconds * 1000)
        return len(asked)

    assert count(3) == 0
    page.click("#panel-train-button")
    page.wait_for_selector("#train-found .fv-data")
    assert count(3) >= 2
    page.click("#panel-classify-button")
    assert count(3) == 0
    page.click("#panel-compare-button")
    page.click("#compare-study-tab-button")
    page.wait_for_selector("#compare-status")
    assert count(3) >= 1
    page.go_back()
    assert count(3) == 0
    page.go_back()
    assert count(3) >= 2, "Back to Train, without a click on its tab"
