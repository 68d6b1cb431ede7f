"""The language of the page is switched, and a Chinese page says nothing in English by itself."""

from __future__ import annotations

import pytest

from .conftest import FEW
from .test_classify import drawn, upload

MIXED = """() => {
    const look = () => {
        const words = [...document.querySelectorAll("#title, #panels [role=tab], #classify-answer, #classify-start, #classify-note")]
            .map((own) => own.innerText).join(" ").replace(/FruitVision|fruits-\\S+|\\d+%/g, "");
        if (!document.querySelector(".fv-language-overlay").hidden) {
            window.locked = (window.locked ?? true) && Boolean(document.querySelector("#language").closest("[inert]"));
            window.announced = !document.querySelector(".fv-language-overlay-status").closest("[aria-busy], [inert], [hidden]");
        } else if (/[a-z]{3}/i.test(words) && /[\\u4e00-\\u9fff]/.test(words)) window.mixed = words;
        requestAnimationFrame(look);
    };
    document.querySelector("#language input[value=zh]").focus();
    document.querySelector("#language input[value=zh]").click();
    look();
}"""


def test_the_language_switch_changes_every_word_at_once_and_is_remembered(visit):
    page = visit()
    upload(page, drawn("Banana"))
    page.wait_for_selector("#classify-answer .fv-name")
    page.get_by_role("tab", name="Train").click()
    page.wait_for_selector("#train-start")
    page.get_by_role("tab", name="Classify").click()
    page.evaluate(MIXED)
    page.wait_for_selector("text=显示网络关注的区域")
    page.wait_for_function("/[\\u4e00-\\u9fff]/.test(document.querySelector('#classify-answer .fv-name').textContent)")
    page.wait_for_selector(".fv-language-overlay", state="hidden")
    page.wait_for_timeout(300)
    assert page.evaluate("window.mixed") is None, "no sentence is seen beside one of another language"
    assert page.evaluate("[window.locked, window.announced]") == [True, True], "no key reaches what is covered, and the cover is said"
    assert page.evaluate("document.activeElement.matches('#language input') && !document.querySelector('#language').closest('[inert]')")
    for tab in ("识别", "训练", "比较"):
        assert page.get_by_role("tab", name=tab).is_visible()
    assert page.evaluate("document.documentElement.lang") == "zh-CN"
    page.get_by_role("tab", name="训练").click()  # it was not seen meanwhile, and follows now
    page.wait_for_selector(".fv-language-overlay", state="hidden")
    assert "Start" not in page.inner_text("#panels")
    page.reload()
    page.wait_for_selector("#panels :text('你的图片')")


# What is said in Latin letters on a Chinese page: names, formats and units, and what stands beside Chinese words.
LATIN = """() => {
    const said = new Set(), names = /^(FruitVision|English|nchw|batch|layer|instance|group|group-ws|none)$/;
    const latin = (text) => text && /[a-z]{2}/i.test(text) && !/[\\u4e00-\\u9fff]/.test(text) && !names.test(text.trim());
    for (const own of document.querySelectorAll("body *:not(script, style, template, code, svg *, .fv-norm *, .fv-answer *, option)")) {
        for (const name of ["aria-label", "title", "placeholder", "alt"]) {
            if (latin(own.getAttribute(name))) said.add(`${name}: ${own.getAttribute(name)}`);
        }
        for (const node of own.childNodes) if (node.nodeType === 3 && latin(node.data) && own.checkVisibility()) said.add(node.data.trim());
    }
    return [...said];
}"""


@pytest.mark.parametrize("locale", ["zh-CN", "en-US", "de-DE"])
def test_a_chinese_page_says_nothing_in_english_by_itself(visit, app, locale):
    """Gradio's own words, for the eye and for a screen reader, whatever the browser speaks."""
    page, said = visit(locale=locale, url=f"{app.url}?lang=zh"), set()
    page.wait_for_selector("#classify-picture [data-fv-word='拍照']")
    page.click("#classify-picture [data-fv-icon=webcam]")
    page.wait_for_selector("text=点击打开摄像头")
    said.update(page.evaluate(LATIN))
    page.click("#classify-picture [data-fv-icon=upload]")
    upload(page, drawn("Banana"))
    page.wait_for_selector("#classify-answer .fv-name")
    page.wait_for_selector("text=已完成", state="attached")
    for panel, ready in (("train", "#train-grid img"), ("compare", "#norm-effect-composition .fv-effects")):
        page.click(f"#panel-{panel}-button")
        page.wait_for_selector(ready)
        said.update(page.evaluate(LATIN))
    assert said == {word for word in said if word in ("sample-set", "few kinds")}


def test_a_chinese_browser_is_spoken_to_in_chinese(visit):
    page = visit(locale="zh-CN")
    page.wait_for_selector("text=给我看一个水果")
    page.get_by_role("tab", name="实时摄像头").click()
    page.wait_for_selector("text=打开摄像头")


def test_a_folder_that_the_owner_chose_stays_chosen_when_the_language_changes(visit):
    page, refused = visit(), []
    page.on("response", lambda answer: refused.append(answer.url) if answer.status >= 500 else None)
    for panel in ("train", "compare"):
        page.click(f"#panel-{panel}-button")
        if panel == "compare":
            page.locator("#compare-tabs").get_by_role("tab", name="Race").click()
        page.click(f"#{panel}-data input")
        page.get_by_role("option", name=FEW).click()
    for language, said in (("zh", "6 类"), ("en", "6 kinds")):
        page.locator(f"#language label:has(input[value={language}])").click()
        page.wait_for_selector(".fv-language-overlay", state="hidden")
        page.click("#panel-train-button")
        page.wait_for_selector(f"#train-found:has-text('{said}')")
        page.click("#panel-compare-button")
        page.wait_for_timeout(1500)  # a tick of the panel's timer
        for panel in ("train", "compare"):
            assert page.input_value(f"#{panel}-data input") == FEW
    assert not refused
