"""A person shows the app a fruit: by a file, through the camera, in English and in Chinese, at a desk and on a phone."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from fruitvision.data.synthetic.sample import draw_fruit
from fruitvision.ui.page.components import MAX_UPLOAD_BYTES

PHONE = {"width": 390, "height": 844}


def drawn(kind: str, seed: int = 3) -> dict:
    """A drawn fruit as an upload."""
    buffer = io.BytesIO()
    draw_fruit(kind, np.random.default_rng(seed), 320, background="white").save(buffer, "PNG")
    return {"name": f"水果 {kind}.png", "mimeType": "image/png", "buffer": buffer.getvalue()}


def upload(page, file: dict) -> None:
    page.set_input_files("#classify-picture input[type=file]", files=[file])


def fits_width(page) -> bool:
    return page.evaluate("document.documentElement.scrollWidth <= window.innerWidth + 1")


def huge(kind: str) -> bytes:
    """A drawn fruit as a picture of over 10 MB: what a camera makes that keeps every bit."""
    pixels = np.asarray(draw_fruit(kind, np.random.default_rng(3), 2600, background="wood")).astype(int)
    pixels += np.random.default_rng(0).integers(-20, 20, pixels.shape)
    buffer = io.BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(buffer, "PNG", compress_level=1)
    assert buffer.tell() > MAX_UPLOAD_BYTES
    return buffer.getvalue()


def test_who_reaches_for_a_picture_has_the_network_loaded_meanwhile_and_who_only_looks_does_not(visit):
    page, asked = visit(), []
    page.on("request", lambda request: asked.append(request.post_data or "") if "component_server" in request.url else None)
    page.hover("h1")
    page.wait_for_timeout(300)
    assert not any('"prepare"' in one for one in asked)
    page.hover("#classify-picture")
    page.hover("#classify-start")
    page.wait_for_timeout(300)
    assert sum('"prepare"' in one for one in asked) == 1


@pytest.mark.slow
def test_a_picture_too_large_to_send_is_made_smaller_in_the_browser(visit, tmp_path):
    page, path = visit(), tmp_path / "huge.png"
    path.write_bytes(huge("Banana"))
    page.set_input_files("#classify-picture input[type=file]", path)
    page.wait_for_selector("#classify-answer .fv-name")
    assert not page.locator(".fv-upload-error").count()


@pytest.mark.parametrize(("locale", "words"), [("en-US", "too large"), ("zh-CN", "太大")])
def test_what_is_too_large_and_no_picture_is_a_sentence_in_the_readers_language(visit, tmp_path, locale, words):
    page, path = visit(locale=locale), tmp_path / "huge.jpg"
    path.write_bytes(b"x" * (MAX_UPLOAD_BYTES + 1))
    page.wait_for_function(f"window.fruitvision?.language === '{locale[:2]}'")
    page.set_input_files("#classify-picture input[type=file]", path)
    page.wait_for_selector(".fv-upload-error")
    assert words in page.inner_text(".fv-upload-error") and page.locator("text=exceeds").count() == 0
    upload(page, drawn("Banana"))
    page.wait_for_selector("#classify-answer .fv-name")
    assert not page.locator(".fv-upload-error").count()


def as_file(image: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def drop(page, name: str, kind: str, content: bytes) -> None:
    """A file dropped on the picture's place, as from the desktop."""
    transfer = page.evaluate_handle(
        """async ([name, type, encoded]) => {
            const files = new DataTransfer(), bytes = await (await fetch(`data:application/octet-stream;base64,${encoded}`)).blob();
            files.items.add(new File([bytes], name, { type }));
            return files;
        }""",
        [name, kind, base64.b64encode(content).decode()],
    )
    page.dispatch_event("#classify-picture :is(img, button:has(input))", "drop", {"dataTransfer": transfer})


@pytest.mark.parametrize("kind", ["", "image/heic"], ids=["unknown type", "known type"])
def test_a_heic_that_is_dropped_is_answered(visit, kind):
    heif, page = pytest.importorskip("pillow_heif"), visit()
    buffer = io.BytesIO()
    heif.from_pillow(draw_fruit("Banana", np.random.default_rng(3), 320, background="white")).save(buffer, format="HEIF")
    drop(page, "IMG_0001.HEIC", kind, buffer.getvalue())
    page.wait_for_selector("#classify-answer .fv-name")
    page.wait_for_function("document.querySelector('#classify-picture img').naturalWidth > 0")


def test_a_jpeg_of_108_megapixels_is_answered(visit):
    page, large = (
        visit(),
        draw_fruit("Banana", np.random.default_rng(3), 320, background="white").resize((12_000, 9000), Image.Resampling.NEAREST),
    )
    drop(page, "20260101.jpg", "image/jpeg", as_file(large, "JPEG", quality=50))
    page.wait_for_selector("#classify-answer .fv-name")


def test_another_picture_of_too_many_pixels_is_made_smaller_in_the_browser(visit):
    page, large = (
        visit(),
        draw_fruit("Banana", np.random.default_rng(3), 400, background="white").resize((8000, 8000), Image.Resampling.NEAREST),
    )
    upload(page, {"name": "large.png", "mimeType": "image/png", "buffer": as_file(large, "PNG", compress_level=1)})
    page.wait_for_selector("#classify-answer .fv-name")


def test_a_jpeg_that_was_cut_off_is_answered_with_a_note(visit):
    page = visit()
    data = as_file(draw_fruit("Banana", np.random.default_rng(3), 320, background="white"), "JPEG")
    upload(page, {"name": "cut.jpg", "mimeType": "image/jpeg", "buffer": data[:-9]})
    page.wait_for_selector("#classify-answer .fv-name")
    assert "its end is missing" in page.inner_text("#classify-answer .fv-note")


@pytest.mark.parametrize("size", [{"width": 1280, "height": 900}, PHONE], ids=["desktop", "phone"])
def test_an_upload_is_answered_with_a_name_how_sure_and_up_to_four_more_guesses(visit, size):
    page = visit(size=size)
    if size == PHONE:
        page.get_by_role("tab", name="Picture").click()
    assert "Show me a fruit" in page.inner_text("#classify-answer")
    upload(page, drawn("Banana"))
    page.wait_for_selector("#classify-answer .fv-name")
    assert page.inner_text("#classify-answer .fv-sureness").strip()
    assert page.locator("#classify-answer .fv-guesses li").count() <= 4
    assert fits_width(page)


def test_the_heatmap_comes_and_goes_with_its_switch(visit):
    page = visit()
    upload(page, drawn("Apple"))
    page.wait_for_selector("#classify-answer .fv-name")
    assert not page.locator("#classify-heatmap").is_visible()
    page.get_by_label("Show where the network looked").check()
    page.wait_for_selector("#classify-heatmap img")
    page.get_by_label("Show where the network looked").uncheck()
    page.wait_for_selector("#classify-heatmap", state="hidden")


def test_what_is_no_picture_gets_a_sentence_and_the_next_picture_an_answer(visit):
    page = visit()
    good = as_file(draw_fruit("Orange", np.random.default_rng(3), 320, background="white"), "JPEG")
    bad = (b"This is a letter, not a fruit.", b"", b"<html><body>404</body></html>", good[:200], good[: len(good) // 2])
    for number, content in enumerate(bad):
        drop(page, f"banana-{number}.jpg", "image/jpeg", content)
        page.wait_for_selector(f"#classify-answer .fv-error:has-text('banana-{number}.jpg')")
        picture = page.locator("#classify-picture img")
        assert picture.get_attribute("alt") == "Your picture, which could not be read"
        shown = "one => one.naturalWidth > 0 || getComputedStyle(one).visibility === 'hidden'"
        page.wait_for_function(shown, arg=picture.element_handle())  # no broken icon
        drop(page, "orange.jpg", "image/jpeg", good)
        page.wait_for_selector("#classify-answer .fv-name:not([aria-busy] *)")
        assert picture.is_visible() and "Answer: " in picture.get_attribute("alt")
    assert "Traceback" not in page.content()
    paste = """() => {
        const files = new DataTransfer();
        files.items.add(new File(["%PDF-1.4"], "letter.pdf", { type: "application/pdf" }));
        document.body.dispatchEvent(new ClipboardEvent("paste", { clipboardData: files, bubbles: true, cancelable: true }));
    }"""
    page.evaluate(paste)
    page.wait_for_selector(".fv-upload-error:has-text('letter.pdf')")
    page.wait_for_timeout(500)
    assert picture.is_visible() and "Orange" in page.inner_text("#classify-answer .fv-name"), "what was there stays"
    stale = """() => new Promise((resolve) => {
        const files = new DataTransfer();
        files.items.add(new File(["no picture"], "late.jpg", { type: "image/jpeg" }));
        new MutationObserver(() => resolve(true)).observe(document.querySelector(".fv-answer"), { attributeFilter: ["aria-busy"] });
        setTimeout(() => resolve(false), 3000);
        window.fruitvisionSetPicture(files.files[0], document.querySelector("#classify-picture"));
    })"""
    assert page.evaluate(stale), "the answer before is not taken for that of the next picture"
    page.wait_for_selector("#classify-answer .fv-error:not([aria-busy] *):has-text('late.jpg')")
    busy = """async () => {
        const dimmed = () => new Promise((resolve) => setTimeout(() => resolve(document.querySelector(".fv-answer").ariaBusy), 100));
        window.dispatchEvent(new CustomEvent("fruitvision-picture-chosen", { detail: document.querySelector("#classify-picture") }));
        window.fruitvisionAsked({ path: "one" });
        window.fruitvisionAnswered({ path: "another" });
        return [await dimmed(), window.fruitvisionAnswered({ path: "one" }), await dimmed()];
    }"""
    assert page.evaluate(busy) == ["true", None, None], "until its own answer is there, and no longer"


def test_a_picture_of_30000_pixels_a_side_is_refused_before_it_is_decoded(visit):
    page = visit()
    buffer = io.BytesIO()
    Image.new("1", (30_000, 30_000)).save(buffer, "PNG")
    upload(page, {"name": "wall.png", "mimeType": "image/png", "buffer": buffer.getvalue()})
    page.wait_for_selector("#classify-answer .fv-error")


@pytest.mark.parametrize("size", [{"width": 1280, "height": 900}, PHONE], ids=["desktop", "phone"])
def test_the_live_camera_answers_frame_after_frame_until_it_is_stopped(visit, size):
    page = visit(size=size)
    calls = []

    def count(response) -> None:  # the page asks for other things of itself: whether the app is there, whether a run goes on
        if "component_server" in response.url and "answer_frame" in (response.request.post_data or ""):
            calls.append(response.status)

    page.on("response", count)
    page.get_by_role("tab", name="Live camera").click()
    page.click(".fv-live-start")
    page.wait_for_selector(".fv-live-answer .fv-name")
    for _ in range(100):
        if len(calls) >= 4:
            break
        page.wait_for_timeout(100)
    assert len(calls) >= 4 and set(calls) == {200}
    video = "document.querySelector('.fv-stage video')"
    assert page.evaluate(f"getComputedStyle({video}).transform") == "none", "the view is mirrored"
    assert fits_width(page)
    page.click(".fv-live-start")
    assert page.evaluate(f"{video}.srcObject === null")
    counts = []
    for _ in range(4):  # what was asked before the stop may still be answered
        counts.append(len(calls))
        page.wait_for_timeout(1200)
    assert len(calls) == counts[-1] and counts[-1] - counts[0] <= 1


def test_the_empty_table_is_shown_first_sent_along_and_forgotten(visit):
    page = visit()
    sent = []
    page.on("request", lambda request: sent.append(request.post_data) if "component_server" in request.url else None)
    page.get_by_role("tab", name="Live camera").click()
    assert not page.is_visible(".fv-live-empty")
    page.click(".fv-live-start")
    page.click(".fv-live-empty")
    page.wait_for_function("document.querySelector('.fv-live-hint').textContent.includes('empty table is remembered')")
    sent.clear()
    page.wait_for_function("document.querySelector('.fv-live-answer .fv-name') !== null")
    page.wait_for_timeout(1500)
    assert any('"empty":"data:image/jpeg' in data.replace(" ", "") for data in sent), "the empty table goes along"
    assert any('"memory":"' in data.replace(" ", "") for data in sent), "so does the last answer"
    page.click(".fv-live-empty")
    assert page.inner_text(".fv-live-empty") == "Show the empty table first"


def test_the_camera_goes_off_when_another_panel_is_opened(visit):
    page = visit()
    page.get_by_role("tab", name="Live camera").click()
    page.click(".fv-live-start")
    page.wait_for_selector(".fv-live-answer .fv-name")
    page.get_by_role("tab", name="Train").click()
    page.wait_for_function("document.querySelector('.fv-stage video').srcObject === null")


def test_the_live_view_goes_on_by_itself_after_the_server_was_away(visit):
    page = visit(size=PHONE)
    page.get_by_role("tab", name="Live camera").click()
    page.click(".fv-live-start")
    page.wait_for_selector(".fv-live-answer .fv-name")
    page.context.set_offline(True)
    page.wait_for_function("document.querySelector('.fv-live-message').textContent.includes('Trying again')")
    page.wait_for_selector(".fv-offline:not([hidden])")
    free = "() => [...document.querySelectorAll('.fv-live-answer, .fv-live-buttons, .fv-live-message')].every((one) => "
    free += "one.getBoundingClientRect().bottom <= document.querySelector('.fv-offline').getBoundingClientRect().top)"
    page.wait_for_function(free)  # the note that it is away covers neither the answer nor a button
    assert not page.is_visible(".fv-live-message"), "it is said once"
    page.context.set_offline(False)
    page.wait_for_function("document.querySelector('.fv-live-message').textContent === ''")


def test_two_live_views_do_not_wait_for_each_other(visit):
    pages = [visit(), visit()]
    for page in pages:
        page.get_by_role("tab", name="Live camera").click()
        page.click(".fv-live-start")
    for page in pages:
        page.wait_for_selector(".fv-live-answer .fv-name")
