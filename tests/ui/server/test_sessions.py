"""What the app keeps of each page is small, and enough to check later calls against."""

from __future__ import annotations

import gc
import tracemalloc

import gradio as gr
import pytest
from gradio.routes import App
from starlette.testclient import TestClient

from fruitvision.ui.app import SESSIONS, build_app, launch
from fruitvision.ui.gradio_internals import files_of
from fruitvision.ui.page.context import Context
from fruitvision.ui.page.models import Models
from fruitvision.ui.server.access import CALLER, Access, Caller
from fruitvision.ui.server.sessions import Sessions
from tests.ui.server.test_allowed import name_of, quietly
from tests.ui.visitor import Visitor


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sessions")
    context = Context(runs=folder, taught=folder, access=Access("token"), models=Models(folder), data=folder / "data")
    demo = quietly(build_app, context)
    demo.app = quietly(App.create_app, demo)
    Sessions.of(demo)
    return demo


def ask(demo, client, name: str, *data, visitor: Visitor | None = None, shown: str = "") -> Visitor:
    """Call a function of the app by its name, as somebody new unless somebody is named.

    Args:
        shown: the id of an element that it changes, where several functions have the name.
    """
    visitor = visitor or Visitor(client)
    number = next(
        number
        for number, one in demo.fns.items()
        if one.fn is not None and name_of(one.fn) == name and shown in {"", *(getattr(output, "elem_id", "") for output in one.outputs)}
    )
    answer = visitor.run(number, list(data))
    assert answer.status_code == 200, answer.text
    return visitor


def kilobytes_of_one(work, several: int = 10) -> float:
    """What stays of each time, once the first few have filled whatever is shared."""
    for _ in range(3):
        work()
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(several):
            work()
        gc.collect()
        return (tracemalloc.get_traced_memory()[0] - before) / several / 1024
    finally:
        tracemalloc.stop()


@pytest.mark.slow
def test_a_page_takes_kilobytes_and_one_in_another_language_what_its_components_take(demo):
    """Gradio's own: 370 KB, and 790 KB once the language was switched."""
    with TestClient(demo.app) as client:
        opened = kilobytes_of_one(lambda: ask(demo, client, "page.models.Models.choices_update", "en", None))
        switched = kilobytes_of_one(lambda: ask(demo, client, "app._wire_translation.switch", "zh", shown="train-name"))
    assert opened < 60 and switched < 600, (opened, switched)


def test_a_page_keeps_what_it_was_given_and_another_page_does_not_see_it(demo):
    with TestClient(demo.app) as client:
        mine, other = (ask(demo, client, "app._wire_translation.switch", language, shown="train-name").session for language in ("zh", "en"))
    number = next(number for number, one in demo.blocks.items() if getattr(one, "elem_id", "") == "train-name")
    words = [demo.app.state_holder[session][number].label for session in (mine, other)]
    assert demo.app.state_holder[mine][number].temp_files is files_of(demo), "a page's own list would be nobody's, and only grow"
    demo.app.state_holder[mine][number] = "a value of a gr.State"
    assert words[0] != words[1] and demo.state_holder is demo.app.state_holder


def test_classify_keeps_no_value_of_a_visitor_between_two_calls(demo):
    """A frame's memory and the empty table are the browser's; what a page shows is bounded by what its components take."""
    of_classify = [one for one in demo.fns.values() if one.fn is not None and name_of(one.fn).startswith("classify.")]
    assert of_classify
    assert not [name_of(one.fn) for one in of_classify for part in (*one.inputs, *one.outputs) if isinstance(part, gr.State)]


def test_the_app_that_is_launched_forgets_the_pages_unused_for_longest(tmp_path, monkeypatch):
    def launched(demo, **named):
        demo.state_session_capacity = named["state_session_capacity"]
        demo.app = App.create_app(demo)

    monkeypatch.setattr(gr.Blocks, "launch", launched)
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    demo = quietly(launch, port=None, runs=tmp_path, taught=tmp_path, data=tmp_path, open_browser=False, block=False)
    pages = demo.app.state_holder
    assert isinstance(pages, Sessions)
    for number in range(SESSIONS + 3):
        pages[str(number)]
    assert len(pages.session_data) == SESSIONS <= 512 and "0" not in pages and str(SESSIONS + 2) in pages


def test_pages_of_one_visitor_push_out_nobody_elses(demo):
    """300 names of one visitor made the owner's page forget which run it showed."""
    pages = Sessions()
    pages.blocks, pages.capacity = demo, 40
    visitors = [Caller(False, f"203.0.113.{n}", f"number {n}") for n in range(60)]

    def opened(caller: Caller, name: str) -> None:
        token = CALLER.set(caller)
        pages[name]
        CALLER.reset(token)

    opened(Caller(True), "owner")
    opened(visitors[0], "bob")
    for number in range(300):
        opened(visitors[1], f"mallory-{number}")
    assert "owner" in pages and "bob" in pages and len(pages.session_data) == Sessions.PAGES + 2
    for number, visitor in enumerate(visitors):
        opened(visitor, f"page-{number}")
    assert "owner" in pages and "page-59" in pages and len(pages.session_data) <= 41
    for number in range(60):
        opened(Caller(True), f"owner-{number}")
    assert "owner" not in pages and len(pages.session_data) <= 81
    assert set(pages.session_data) == set(pages._callers) == set(pages.time_last_used)


def test_a_call_without_a_session_describes_no_page_and_prints_no_traceback(demo, monkeypatch, capsys):
    """Gradio described each component for each such call, on the event loop; of an empty name it printed a traceback."""
    described = []
    of_class = type(demo.default_config)
    describe = of_class.config_for_block
    monkeypatch.setattr(of_class, "config_for_block", staticmethod(lambda *given: described.append(given) or describe(*given)))
    number = next(number for number, one in demo.fns.items() if one.fn is not None and not one.queue and not one.inputs)
    with TestClient(demo.app) as client:
        for session, status in ((None, 200), ("", 200), ("x", 200), ("a name", 400)):
            body = {"data": [], "fn_index": number, "session_hash": session}
            assert client.post("gradio_api/run/predict", json=body).status_code == status, session
    assert len(described) < 60 < len(demo.blocks)
    assert "Traceback" not in capsys.readouterr().err and "" not in demo.app.state_holder
