"""The exported page before a camera: frame by frame, sparing the battery, and taught."""

from __future__ import annotations

import zipfile

import numpy as np
import pytest

from fruitvision.data.synthetic.sample import draw_fruit
from fruitvision.recognition.taught.store import TaughtStore
from fruitvision.recognition.taught.transfer import export_taught, import_taught
from tests.browser.web.conftest import until

pytestmark = pytest.mark.slow


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
    assert "Say first what it is" in page.inner_text("#missing")
    assert page.evaluate("document.activeElement.id") == "name"
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
    page.click("#taught li:has-text('空桌面') button")
    page.wait_for_selector("#taught .undo:focus")
    assert "空桌面 and <b>”; pictures: 1" in page.inner_text("#taught")
    page.click("#taught .undo")
    until(page, "!document.querySelector('.undo') && document.querySelectorAll('#taught li').length === 2")
    until(page, "!document.getElementById('teach').hasAttribute('aria-busy')")
    page.set_input_files("#zip", tmp_path / "back.zip")
    held = len(zipfile.ZipFile(tmp_path / "back.zip").namelist()) - 1
    until(page, f"document.getElementById('said').textContent === 'Pictures in the file: {held}; here already: {held}; added: 0.'")
    page.click("#language")
    until(page, f"document.getElementById('said').textContent.startsWith('文件中有 {held} 张图片')")
    page.click("#language")
    page.set_input_files("#zip", files=[{"name": "no.zip", "mimeType": "application/zip", "buffer": b"PK nothing"}])
    page.wait_for_selector("#said.wrong")
    assert "no.zip is not an export" in page.inner_text("#said")


def test_a_taught_picture_that_the_browser_lost_is_left_out(site, serve, page_of):
    served, _ = serve(site)
    page = page_of(served.url)
    page.evaluate("""async () => {
      const { name } = (await indexedDB.databases())[0];
      const opened = await new Promise((resolve, reject) => {
        const request = indexedDB.open(name);
        request.onsuccess = () => resolve(request.result);
        request.onerror = () => reject(request.error);
      });
      const writing = opened.transaction("pictures", "readwrite");
      writing.objectStore("pictures").put({ id: "lost", name: "Quince", number: 1, jpeg: new Blob(["x"]) });
      await new Promise((resolve) => { writing.oncomplete = resolve; });
      opened.close();
    }""")
    page.reload()
    page.wait_for_selector("body[data-ready=yes]")
    assert "Quince" in page.text_content("#taught"), "it can be taken away there"
