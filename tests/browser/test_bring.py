"""A person brings pictures of their own into Train: before a camera, as a zip, as a folder; and trains on them."""

from __future__ import annotations

import io
import re
import zipfile

import numpy as np
import pytest
from PIL import Image

from fruitvision.data.synthetic.sample import draw_fruit

from .conftest import FRAMES, PHONE, WIDE, run_app
from .test_classify import fits_width
from .test_train import fill_quick, name_run


@pytest.fixture(scope="module")
def own(tmp_path_factory, project, shipped_checkpoint):
    """An app with folders of its own."""
    folder = tmp_path_factory.mktemp("own")
    with run_app(folder, "--data", str(folder / "data"), "--dataset-limit", "8", cwd=folder, app=project / "app.py") as running:
        yield running


def drawn(kind: str, seed: int, side: int = 96) -> bytes:
    buffer = io.BytesIO()
    draw_fruit(kind, np.random.default_rng(seed), (side, side), background="white").save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def zipped(kinds: tuple[str, ...], count: int) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for kind in kinds:
            for number in range(count):
                archive.writestr(f"my fruit/{kind}/{number}.jpg", drawn(kind, number))
    return buffer.getvalue()


def open_way(visit, own, way: str, **how):
    page = visit(url=own.url, **how)
    open_tab(page, way)
    return page


def open_tab(page, way: str) -> None:
    page.get_by_role("tab", name=re.compile("Train|训练")).click()
    page.click(f"#train-way label:has(input[value={way}])")


def train(page, name: str) -> None:
    """A quick training, to its end."""
    fill_quick(page, epochs=1)
    name_run(page, name)
    page.click("#train-start")
    page.wait_for_selector(f"#train-status .fv-run-finished:has-text('{name}')", timeout=180_000)


@pytest.mark.slow
def test_a_camera_that_is_allowed_after_the_button_was_let_go_is_switched_off(visit, own):
    page = open_way(visit, own, "collect")
    page.evaluate("""() => {
      const open = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
      window.streams = [];
      navigator.mediaDevices.getUserMedia = async (asked) => {
        await new Promise((resolve) => setTimeout(resolve, 5000));
        streams.push(await open(asked));
        return streams.at(-1);
      };
    }""")
    for number in range(2):
        record = page.locator(".fv-kind").nth(number).locator(".fv-kind-record")
        record.dispatch_event("pointerdown", {"pointerId": 1, "isPrimary": True})
        page.wait_for_timeout(300)
        record.dispatch_event("pointerup", {"pointerId": 1})
    page.wait_for_function("streams.length === 2", timeout=20_000)
    page.wait_for_function("streams.every((one) => one.getTracks().every((track) => track.readyState === 'ended'))", timeout=20_000)
    assert not page.locator(".fv-kind video:visible").count()


@pytest.mark.slow
def test_two_kinds_are_collected_before_the_camera_trained_and_used(visit, own):
    page = open_way(visit, own, "collect", size=PHONE)
    page.wait_for_selector(".fv-kind")
    assert page.locator(".fv-kind").count() == 2 and page.is_disabled(".fv-collect-use") and fits_width(page)
    for number, name in enumerate(("Banane", "苹果")):
        card = page.locator(".fv-kind").nth(number)
        card.locator("input[type=text]").fill(name)
        record = card.locator(".fv-kind-record")
        record.scroll_into_view_if_needed()
        record.dispatch_event("pointerdown", {"pointerId": 1, "isPrimary": True})
        card.locator("figure").nth(3).wait_for()
        assert "Recording" in record.inner_text()
        record.dispatch_event("pointerup", {"pointerId": 1})
    page.wait_for_selector("#train-found:has-text('2 kinds')", timeout=60_000)
    folder = own.runs.parent / "data" / "collected"
    assert sorted(path.name for path in folder.iterdir() if path.is_dir()) == ["Banane", "苹果"]
    before = page.locator(".fv-kind").nth(1).locator("figure").count()
    page.locator(".fv-kind").nth(1).locator("figure button").first.click()
    page.wait_for_function(f"document.querySelectorAll('.fv-kind')[1].querySelectorAll('figure').length === {before - 1}")
    page.locator(".fv-kind").nth(0).locator("input[type=text]").fill("Banana")
    page.locator(".fv-kind").nth(0).locator("input[type=text]").press("Tab")
    page.wait_for_function("document.querySelector('#train-found').textContent.includes('Banana')", timeout=60_000)
    page.reload()
    open_tab(page, "collect")
    page.wait_for_selector(".fv-kind figure img")
    assert [one.input_value() for one in page.locator(".fv-kind input[type=text]").all()] == ["Banana", "苹果"]
    page.click(".fv-collect-use")
    page.wait_for_selector("#train-found:has-text('Banana')")
    train(page, "before the camera")
    page.click("#train-use")
    page.wait_for_function("document.querySelector('#model input').value.includes('before the camera')")


def test_a_view_that_the_kind_has_already_is_not_taken_again_and_that_is_said(visit, own):
    page = open_way(visit, own, "collect")
    page.click(".fv-kind-add")
    card = page.locator(".fv-kind").last
    record = card.locator(".fv-kind-record")
    record.scroll_into_view_if_needed()
    record.dispatch_event("pointerdown", {"pointerId": 1, "isPrimary": True})
    page.wait_for_selector(".fv-collect .fv-said:has-text('hardly changes')")
    record.dispatch_event("pointerup", {"pointerId": 1})
    card.locator(".fv-kind-count:has-text('nearly the same as others')").wait_for()
    assert 2 <= card.locator("figure").count() <= FRAMES
    left = page.locator(".fv-kind").count() - 1
    card.locator(".fv-kind-forget").click()
    page.wait_for_function(f"document.querySelectorAll('.fv-kind').length === {left}")


def test_pictures_are_dropped_on_a_card_and_what_cannot_be_read_is_said(visit, own):
    page = open_way(visit, own, "collect", locale="zh-CN")
    page.click(".fv-kind-add:has-text('添加一类')")
    card = page.locator(".fv-kind").last
    files = [{"name": f"{n}.jpg", "mimeType": "image/jpeg", "buffer": drawn("Pear", n)} for n in range(3)]
    card.locator("input[type=file]").set_input_files([*files, {"name": "x.jpg", "mimeType": "image/jpeg", "buffer": b"no picture"}])
    page.wait_for_selector(".fv-collect .fv-said.fv-wrong")
    assert card.locator("figure").count() == 3 and "种类" in card.locator("input[type=text]").input_value()
    again = [files[0], {"name": "9.jpg", "mimeType": "image/jpeg", "buffer": drawn("Pear", 9)}]
    card.locator("input[type=file]").set_input_files(again)
    card.locator(".fv-kind-count:has-text('收到 2 张，其中 1 张与已有的相同，保留 1 张')").wait_for()
    left = page.locator(".fv-kind").count() - 1
    card.locator(".fv-kind-forget").click()
    page.wait_for_function(f"document.querySelectorAll('.fv-kind').length === {left}")


@pytest.mark.parametrize("size", [WIDE, PHONE], ids=["desktop", "phone"])
@pytest.mark.slow
def test_a_zip_is_dropped_and_becomes_the_dataset(visit, own, size):
    page = open_way(visit, own, "drop", size=size)
    page.wait_for_selector(".fv-drop:not([hidden])")
    assert fits_width(page)
    content = zipped(("Apple", "Lemon", "Pear"), 12)
    page.set_input_files(".fv-drop-files", [{"name": "three kinds.zip", "mimeType": "application/zip", "buffer": content}])
    page.wait_for_selector("#train-found:has-text('3 kinds')", timeout=60_000)
    assert "three kinds" in page.inner_text("#train-found") and "three kinds" in page.inner_text(".fv-drop .fv-said")
    page.wait_for_selector("#train-grid img")
    if size == WIDE:
        train(page, "from a zip")


@pytest.mark.slow
def test_a_lost_connection_goes_on_and_wrong_things_are_said(visit, own):
    page = open_way(visit, own, "drop")
    page.wait_for_selector(".fv-drop:not([hidden])")
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (600, 600, 3), dtype=np.uint8))
    files = []
    for kind in ("a", "b"):
        buffer = io.BytesIO()
        noise.save(buffer, "PNG")
        files.append((f"{kind}/1.png", buffer.getvalue()))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path, content in files:
            archive.writestr(path, content)
    failed = []

    def lose(route):
        if "drop_begin" not in (route.request.post_data or "") and len(failed) < 2:
            failed.append(route.request)
            route.abort()
        else:
            route.continue_()

    page.route(re.compile("component_server"), lose)
    page.set_input_files(".fv-drop-files", [{"name": "noise.zip", "mimeType": "application/zip", "buffer": buffer.getvalue()}])
    page.wait_for_selector("#train-found:has-text('noise')", timeout=60_000)
    assert len(failed) == 2
    page.set_input_files(".fv-drop-files", [{"name": "1.jpg", "mimeType": "image/jpeg", "buffer": drawn("Pear", 1)}])
    page.wait_for_selector(".fv-drop .fv-wrong:has-text('no folders')")
    page.set_input_files(".fv-drop-files", [{"name": "much.zip", "mimeType": "application/zip", "buffer": b"PK" + bytes(9 * 2**20)}])
    page.wait_for_selector(".fv-drop .fv-wrong:has-text('--dataset-limit')")
    assert not list((own.runs.parent / "data").glob(".incoming-*"))


@pytest.mark.slow
def test_a_folder_of_a_phones_pictures_is_made_smaller_sent_and_becomes_the_dataset(visit, own, tmp_path):
    rng = np.random.default_rng(0)
    for kind in ("Äpfel", "Birnen"):
        (tmp_path / "fruit" / kind).mkdir(parents=True)
        for number in range(2):
            picture = Image.fromarray(rng.integers(0, 256, (2400, 3200, 3), dtype=np.uint8))  # noise: 8 MB as a JPEG
            picture.save(tmp_path / "fruit" / kind / f"{number}.jpg", quality=90)
    assert sum(path.stat().st_size for path in tmp_path.rglob("*.jpg")) > 24 * 2**20, "more than this app takes"
    page = open_way(visit, own, "drop")
    page.wait_for_selector(".fv-drop:not([hidden])")
    page.set_input_files(".fv-drop-folder input", tmp_path / "fruit")
    page.wait_for_selector("#train-found:has-text('2 kinds')", timeout=60_000)
    sent = sorted((own.runs.parent / "data" / "fruit").rglob("*.jpg"))
    assert [path.parent.name for path in sent] == ["Birnen", "Birnen", "Äpfel", "Äpfel"]
    for path in sent:
        with Image.open(path) as picture:
            assert min(picture.size) == 1024
