"""Opened to others, the app lets visitors look and its owner work; visitors' own browsers answer where they can."""

from __future__ import annotations

import base64
import io
import re
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import pytest

from fruitvision.data.augment.transforms import EvalTransform
from fruitvision.data.synthetic.sample import draw_fruit
from fruitvision.errors import DownloadError
from fruitvision.models.checkpoint import CheckpointConfig, save_checkpoint
from fruitvision.models.networks import build_network
from fruitvision.web.runtime import VERSION, runtime_files
from fruitvision.wording.text import say
from tests.browser.conftest import PHONE, WIDE, RunningApp, is_fault, run_app, runtime

APP = "#classify-answer .fv-answer"
READY = "body[data-ready=yes]"


def test_a_visitor_may_look_but_not_train_and_the_owners_link_opens_everything(visit, public):
    running, owners_link, _ = public
    page = visit(url=running.url)
    page.get_by_role("tab", name="Train").click()
    page.wait_for_selector("#train-visitor:has-text('visitor')")
    assert page.locator("#train-start").is_disabled()

    page = visit(url=owners_link)
    assert "owner=" not in page.url, "the token does not stay in the address"
    page.get_by_role("tab", name="Train").click()
    page.wait_for_selector("#train-found .fv-data")
    assert page.locator("#train-start").is_enabled() and not page.locator("#train-visitor").is_visible()
    page.context.close()


def test_a_visitor_who_calls_the_handlers_by_hand_starts_nothing(visit, public):
    running, *_ = public
    page = visit(url=running.url)
    calls = """async () => {
        const found = [];
        for (const one of window.gradio_config.dependencies) {
          if (!one.targets.some((target) => ['click', 'submit'].includes(target[1]))) continue;
          const inputs = one.inputs.map((id) => {
            const props = window.gradio_config.components.find((component) => component.id === id).props;
            return props.value ?? null;
          });
          const answer = await fetch('gradio_api/queue/join', { method: 'POST', headers: { 'Content-Type': 'application/json' },
            body: JSON.stringify({ data: inputs, fn_index: one.id, session_hash: 'by-hand', event_data: null, trigger_id: null }) });
          found.push(answer.status);
        }
        return found;
    }"""
    statuses = page.evaluate(calls)
    assert len(statuses) > 8
    page.wait_for_timeout(4000)
    assert not list(running.runs.glob("*")), "neither a run nor a study has begun"
    page.context.close()


FOREIGN = """<!doctype html><title>foreign</title><iframe src="{url}"></iframe><script>
const json = { data: { language: "en", name: "Apple", image: "x" }, component_id: 1, fn_name: "taught_state", session_hash: "x" };
async function outcome(path, options) {
  try { const answer = await fetch("{url}" + path, options); return answer.type === "opaque" ? "opaque" : await answer.text(); }
  catch (error) { return "refused"; }
}
async function attack() {
  const forged = { "X-Forwarded-Host": location.host, "Content-Type": "application/json" };
  const body = JSON.stringify(json);
  return [
    await outcome("config", { credentials: "include" }),
    await outcome("config", { credentials: "include", headers: { "X-Forwarded-Host": location.host } }),
    await outcome("gradio_api/component_server", { method: "POST", credentials: "include", headers: forged, body }),
    await outcome("gradio_api/queue/join", { method: "POST", credentials: "include", headers: forged, body }),
  ];
}
</script>"""


def test_a_page_on_another_port_of_this_computer_neither_calls_nor_frames_the_app(browser, app):
    """To the browser it is the same site; what it asked for was done, as by the owner."""
    served = FOREIGN.replace("{url}", app.url).encode()

    class Foreign(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-type", "text/html")
            self.end_headers()
            self.wfile.write(served)

        def log_message(self, *given) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Foreign) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        context = browser.new_context()
        page = context.new_page()
        statuses: list[int] = []
        page.on("response", lambda answer: statuses.append(answer.status) if answer.url.startswith(app.url) else None)
        page.goto(f"http://127.0.0.1:{server.server_address[1]}/")
        assert page.evaluate("attack()") == ["refused"] * 4
        page.wait_for_timeout(500)
        assert not page.frames[1].query_selector("#title"), "nor is it shown in a frame, where a click could be stolen"
        assert statuses and 200 not in statuses[1:], statuses
        context.close()
        server.shutdown()


@pytest.fixture(scope="module")
def offering(tmp_path_factory: pytest.TempPathFactory, project: Path) -> Iterator[tuple[RunningApp, str]]:
    """An app that has made the page for visitors' browsers itself, of a small network, and its owner's link."""
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    folder = tmp_path_factory.mktemp("offering")
    cache = folder / "cache" / f"onnxruntime-web-{VERSION}"
    cache.mkdir(parents=True)
    try:
        for name, content in runtime_files(runtime()).items():
            (cache / name).write_bytes(content)
    except DownloadError as error:
        pytest.skip(f"onnxruntime-web is not here ({error}): name it by FRUITVISION_WEB_RUNTIME")
    names = ("Apple", "Banana", "Kiwi")
    config = CheckpointConfig(width=8, classes=names, fruit_types=names, transform=EvalTransform(resize=64, crop=64))
    save_checkpoint(folder / "small", build_network(num_classes=3, width=8), config)
    flags = ("--public", "--host", "127.0.0.1", "--checkpoint", str(folder / "small"), "--device", "auto")
    log, end = folder / "app.log", time.monotonic() + 120
    with run_app(folder, *flags, cwd=folder, app=project / "app.py", environment={"FRUITVISION_CACHE": str(cache.parent)}) as running:
        while say("launch.device", "en") not in log.read_text(encoding="utf-8"):
            assert time.monotonic() < end, log.read_text(encoding="utf-8")
            time.sleep(0.2)
        yield running, re.search(r"http\S+owner=\S+", log.read_text(encoding="utf-8"))[0]


@pytest.fixture
def opened(browser) -> Iterator[Callable]:
    """``opened(url, wanted)`` opens an address in a browser of its own and waits for what is wanted; a fault there fails the test."""
    contexts, faults = [], []

    def open_page(url: str, wanted: str, *, prepare: Callable | None = None, size: dict = WIDE):
        context = browser.new_context(viewport=size, locale="en-US")
        contexts.append(context)
        if prepare:
            prepare(context)
        else:
            context.on("console", lambda line: faults.append(line.text) if is_fault(line) else None)
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.goto(url)
        page.wait_for_selector(wanted, state="attached")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not faults, faults


def fruit(kind: str) -> bytes:
    buffer = io.BytesIO()
    draw_fruit(kind, np.random.default_rng(3), 200, background="white").save(buffer, "PNG")
    return buffer.getvalue()


# A picture that a person drops on the page, or pastes: from another program, in either case.
GIVE = """([kind, content]) => {
  const bytes = Uint8Array.from(atob(content), (one) => one.charCodeAt(0));
  const given = new DataTransfer();
  given.items.add(new File([bytes], "fruit.png", { type: "image/png" }));
  const field = kind === "drop" ? "dataTransfer" : "clipboardData";
  const event = new (kind === "drop" ? DragEvent : ClipboardEvent)(kind, { [field]: given, bubbles: true, cancelable: true });
  document.querySelector("#stage").dispatchEvent(event);
  return document.querySelector("#answer").ariaBusy && document.querySelector("#picture").src;
}"""


def test_a_visitor_is_answered_on_the_own_device_and_goes_to_the_app_and_back(opened, offering):
    running, _ = offering
    asked = []
    page = opened(running.url, READY, prepare=lambda context: context.on("request", lambda one: asked.append(one)))
    assert page.url == f"{running.url}device/?app" and page.inner_text("#network") == "small"
    answer, shown = "#answer:not([aria-busy]) h2", set()
    page.set_input_files("#file", files=[{"name": "fruit.png", "mimeType": "image/png", "buffer": fruit("Banana")}])
    page.wait_for_selector(answer)
    for kind in ("drop", "paste"):
        shown.add(page.evaluate(GIVE, [kind, base64.b64encode(fruit("Kiwi")).decode()]))
        page.wait_for_selector(answer)
    assert len(shown - {None}) == 2 and page.is_visible("#picture")
    sent = [one for one in asked if one.url.startswith("http")]
    assert {one.method for one in sent} == {"GET"} and all(one.url.startswith(f"{running.url}device/") for one in sent[1:])

    page.click("#whole a")
    page.wait_for_selector(APP, state="attached")
    assert page.url == f"{running.url}?app" and page.inner_text("#device a") == "Answer on this device"
    page.set_viewport_size(PHONE)
    page.click("#model input")
    page.click("#device a")
    page.wait_for_selector(READY)


def test_a_browser_that_cannot_comes_to_the_app(opened, offering):
    running, _ = offering
    page = opened(running.url, APP, prepare=lambda context: context.add_init_script("delete globalThis.WebAssembly"))
    assert page.url == f"{running.url}?app"
    page = opened(running.url, APP, prepare=lambda context: context.route("**/device/runtime/*", lambda route: route.abort()))
    assert page.url == f"{running.url}?app"


def test_the_owners_link_opens_the_app_from_wherever_it_is_followed(opened, offering, tmp_path):
    running, owners_link = offering
    (tmp_path / "open.html").write_text(f'<meta http-equiv="refresh" content="0;url={owners_link}">', encoding="utf-8")
    page = opened((tmp_path / "open.html").as_uri(), APP)
    page.get_by_role("tab", name="Train").click()
    page.wait_for_selector("#train-start:enabled")
    assert "owner=" not in page.url and page.is_visible("#device a")
