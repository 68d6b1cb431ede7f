"""Every function and every route of the app against the list of those that a visitor may use; the others are tried by one."""

from __future__ import annotations

import asyncio
import gc
import inspect
import json
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio
import psutil
import pytest
from gradio.routes import App
from markupsafe import escape

from fruitvision.data.read import decode_gate
from fruitvision.ui.api import routes as api
from fruitvision.ui.app import build_app
from fruitvision.ui.classify import panel as classify_panel
from fruitvision.ui.compare import norm_effect_panel, same_picture
from fruitvision.ui.page.context import Context
from fruitvision.ui.page.events import SAVE_FILE_JS
from fruitvision.ui.page.models import Models
from fruitvision.ui.server import gate
from fruitvision.ui.server.access import Access
from tests.ui.conftest import MARKUP, STOPPED
from tests.ui.server.allowed import OWNERS, ROUTES, SERVED, VISITORS
from tests.ui.visitor import FILE, Visitor, data_url, picture_bytes

REFUSAL = "only the owner of this app may do that"


@pytest.fixture(scope="module")
def demo(shared):
    runs = shared.folder / "runs"
    shelf = Models(runs, "fruits-360")
    context = Context(runs=runs, taught=shared.folder / "taught", access=Access(shared.token), models=shelf, data=shared.folder / "data")
    gradio.context.Context.id = 0  # as in the process of the app, whatever was built in this one before
    return quietly(build_app, context)


def quietly(build, *given, **named):
    """What ``build`` makes, without the complaints about event loops that Gradio makes and never closes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        made = build(*given, **named)
        asyncio.set_event_loop(None)  # the last one of them is this thread's
        gc.collect()
    return made


def name_of(function) -> str:
    """``train.runs.wire_run.watch``; methods of a value by the name of their class."""
    module = inspect.unwrap(function).__module__.removeprefix("fruitvision.ui.")
    return f"{module}.{function.__qualname__}".replace(".<locals>", "")


def registered(demo) -> dict[int, str]:
    """The name of each function, by its number. One without a name runs in the browser alone."""
    return {number: name_of(one.fn) for number, one in demo.fns.items() if one.fn is not None}


def test_every_function_is_on_one_of_the_lists(demo):
    assert Counter(registered(demo).values()) == VISITORS + OWNERS
    assert not set(VISITORS) & set(OWNERS)
    assert all(one.js and one.fn is None for number, one in demo.fns.items() if number not in registered(demo))


def test_every_function_of_a_component_is_on_the_list(demo):
    """Gradio calls any attribute of any component that is marked as one, not those alone that it tells the page of."""
    found = {}
    for block in demo.blocks.values():
        names = {name for name in dir(block) if getattr(getattr(block, name, None), "_is_server_fn", False)}
        if names:
            found[block.elem_id] = names
    assert found == SERVED


def test_one_function_has_a_name_for_programs_and_without_the_api_none_has(demo):
    info = demo.get_api_info()
    assert list(info["named_endpoints"]) == ["/classify"] and not info["unnamed_endpoints"]
    public = [number for number, one in demo.fns.items() if one.api_visibility != "private"]
    assert [registered(demo)[number] for number in public] == ["classify.api.build_endpoint.classify"]


def test_no_change_that_comes_while_another_is_answered_is_lost(demo):
    """By Gradio's "once" the page leaves out what happens meanwhile: a list stays in the language before."""
    once = [own for own in demo.fns.values() if own.fn and own.trigger_mode == "once"]
    changes = [(own, one) for own in once for one, event in own.targets if event == "change"]
    lost = {name_of(own.fn) for own, one in changes if isinstance(demo.blocks[one], gradio.Radio)}
    assert not lost


def test_what_saves_a_file_knows_whether_an_error_is_shown(demo):
    saving = [own for own in demo.fns.values() if isinstance(own.js, str) and SAVE_FILE_JS in own.js]
    assert len(saving) >= 5
    assert all([type(one) for one in own.inputs] == [gradio.DownloadButton, gradio.HTML] for own in saving)


def test_every_route_that_the_gate_lets_through_is_on_the_list(demo):
    app = quietly(App.create_app, demo, app_kwargs={"docs_url": None, "redoc_url": None, "openapi_url": None})
    paths = {path for one in all_routes(app.routes) for path in [one.path.rstrip("/") or "/"]}
    assert len(paths) > 40, "Gradio's own routes were not found"
    let_through = {path for path in paths if gate.ROUTES.fullmatch(filled(path)) or path == api.INFO}
    assert let_through == ROUTES & paths
    assert ROUTES - paths <= {"/svelte/{path:path}", "/robots.txt", "/manifest.json"}, "a route of the list is gone"


def all_routes(routes):
    """With those of routers inside."""
    for one in routes:
        if hasattr(one, "path"):
            yield one
        inner = getattr(one, "original_router", None) or getattr(one, "router", None)
        yield from all_routes(getattr(inner, "routes", ()))


def filled(path: str) -> str:
    """A route's pattern with an x in each place."""
    parts = path.split("{")
    return parts[0] + "".join("x" + part.partition("}")[2] for part in parts[1:])


# Called ----------------------------------------------------------------------------------------------------------


def everything(shared) -> tuple[dict[str, tuple[int, int]], set[int]]:
    """Size and time of all that the app keeps (what visitors upload, and its log, aside), and its processes."""
    folder = shared.folder
    files = {}
    for path in folder.rglob("*"):
        parts = path.relative_to(folder).parts
        mine = parts[0] == "uploads" and not (len(parts) > 1 and parts[1].startswith("fruitvision-"))
        if not mine and path.name != "app.log" and path.is_file():
            files["/".join(parts)] = (path.stat().st_size, path.stat().st_mtime_ns)
    return files, {child.pid for child in psutil.Process(shared.pid).children(recursive=True)}


def number_of(demo, elem_id: str) -> int:
    """The function that a click on a component calls."""
    return next(n for n, one in demo.fns.items() if any(demo.blocks[t].elem_id == elem_id for t, _ in one.targets if t in demo.blocks))


@pytest.fixture
def chosen(shared, visitor, demo) -> Visitor:
    """A visitor whose page has a run in view, and another one overlaid: all that there is to choose."""
    runs = sorted(one.name for one in (shared.folder / "runs").iterdir() if "finished" in one.name)
    table = number_of(demo, "train-runs")
    for action in ("open", "overlay", "rename", "delete"):  # the last two do nothing for a visitor
        assert '"success": true' in visitor.call(table, [[], "en"], {"action": action, "run": runs[0]})
    return visitor


def arguments(visitor: Visitor, function: int) -> list:
    """What the page holds, with names and folders filled in, so that a call would do something."""
    values = visitor.values(function)
    kinds = {one["id"]: one["props"].get("elem_id") for one in visitor.config["components"]}
    given = {"train-new-name": "renamed by a visitor", "train-name": "by a visitor", "train-data": "sample"}
    return [
        given.get(kinds[number], value) for number, value in zip(visitor.config["dependencies"][function]["inputs"], values, strict=True)
    ]


def test_whatever_is_the_owners_is_refused_to_a_visitor_and_nothing_changes(shared, chosen, demo):
    before, tried = everything(shared), 0
    for number, name in registered(demo).items():
        if name in OWNERS:
            tried += 1
            for headers in ({}, {"cookie": shared.cookie[:-1]}, {"cookie": "fruitvision-owner="}):
                said = chosen.call(number, arguments(chosen, number), **headers)
                assert REFUSAL in said, (name, number, said)
                assert chosen.run(number, arguments(chosen, number), **headers).status_code == 404, "beside the queue"
    assert tried == OWNERS.total() and everything(shared) == before


def test_what_a_visitor_may_call_changes_nothing_and_shows_finished_runs_alone(shared, chosen, demo):
    before, names = everything(shared), 0
    picture = {"path": chosen.upload(picture_bytes()), "meta": FILE}
    for number, name in registered(demo).items():
        if name not in VISITORS:
            continue
        data = arguments(chosen, number)
        kinds = [type(demo.blocks[one]).__name__ for one in chosen.config["dependencies"][number]["inputs"]]
        data = [picture if kind == "CheckedImage" else value for kind, value in zip(kinds, data, strict=True)]
        said = chosen.call(number, data, {"action": "open", "run": "x"})
        assert '"success": true' in said, (name, said)
        assert STOPPED not in said and "stopped-and" not in said, name
        drawn = [text for line in said.splitlines() for text in texts(json.loads(line)) if 'class="fv-' in text]
        assert not [text for text in drawn if MARKUP in text], f"{name}: a run's name is a name, not markup"
        names += sum(escape(MARKUP) in text for text in drawn)
    assert everything(shared) == before and names


def test_the_table_gives_a_visitor_no_run_that_has_not_finished(shared, visitor, demo):
    """The id of a run is a time and a name: with it a visitor read the name, date and accuracy of one that was stopped."""
    table = number_of(demo, "train-runs")
    stopped = next(one.name for one in (shared.folder / "runs").iterdir() if "stopped-and" in one.name)
    for action in ("classify", "rename", "delete"):
        asked = {"action": action, "run": stopped}
        said, owners = (visitor.call(table, [[], "en"], asked, **headers) for headers in ({}, {"cookie": shared.cookie}))
        assert STOPPED not in said and stopped not in said, action
        assert STOPPED in owners or stopped in owners, action


def texts(value: Any) -> Iterator[str]:
    """Every text in what the app said."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for one in value.values() if isinstance(value, dict) else value:
            yield from texts(one)


def test_what_runs_in_the_browser_alone_is_nothing_to_call_here(shared, visitor, demo):
    before = everything(shared)
    for number in set(demo.fns) - set(registered(demo)):
        said = visitor.call(number, visitor.values(number))
        assert '"success": true' not in said or json.loads(said.splitlines()[-1])["output"].get("data") in ([], None)
    assert everything(shared) == before


def test_routes_that_are_on_no_list_do_not_exist_in_the_running_app(client, demo):
    app = quietly(App.create_app, demo)
    tried = 0
    for one in all_routes(app.routes):
        if (one.path.rstrip("/") or "/") not in ROUTES:
            for method in getattr(one, "methods", None) or {"GET"}:
                tried += 1
                assert client.request(method, filled(one.path)).status_code == 404, (method, one.path)
    assert tried > 40


@pytest.mark.parametrize("meta", [{}, {"meta": {"_type": "x"}}, {"meta": FILE}], ids=["none", "another", "its own"])
def test_no_path_that_a_visitor_types_is_opened(shared, visitor, demo, meta):
    """A picture that only this computer has is not classified, whatever its path calls itself."""
    paths = [str(shared.folder / "secret.jpg"), "secret.jpg", str(shared.folder / "uploads" / ".." / "secret.jpg"), "/etc/passwd"]
    for elem_id in ("classify-picture", "same-picture-picture", "norm-effect-picture"):
        component = next(number for number, block in demo.blocks.items() if block.elem_id == elem_id)
        number = next(n for n, one in demo.fns.items() if component in [block._id for block in one.inputs])
        place = [block._id for block in demo.fns[number].inputs].index(component)
        for path in paths:
            data = arguments(visitor, number)
            data[place] = {"path": path, "url": path, **meta}
            said = visitor.call(number, data)
            assert '"success": false' in said and "fv-" not in said, said
    assert Path(paths[0]).is_file()


def test_each_visitors_choices_are_his_own(client, shared, demo, chosen):
    """The run that one session has in view is not in view in another."""
    watch = next(n for n, name in registered(demo).items() if name == "train.run_panel.wire_run.update")
    other = Visitor(client)
    assert "renamed" not in other.call(watch, other.values(watch))
    teach = other.serve("classify-teach", "teach_picture", {"image": data_url(picture_bytes()), "name": "Apple"})
    assert teach.json()["code"] == "owner-only"


def test_what_a_visitor_sends_is_decoded_as_his(demo, monkeypatch):
    """So that one who sends large pictures waits for himself: see ``data/read/decode_gate.py``."""
    seen = []

    def note(*given, **named):
        seen.append(decode_gate._visitor.get())
        return "", ""

    for panel, name in ((classify_panel, "answer_picture"), (classify_panel, "answer_frame"), (norm_effect_panel, "norm_effect_html")):
        monkeypatch.setattr(panel, name, note)
    monkeypatch.setattr(same_picture, "same_picture_view", note)
    request = SimpleNamespace(client=SimpleNamespace(host="192.0.2.7"), headers={})
    context = SimpleNamespace(access=Access("a-token-of-the-owner"))
    handlers = {name: demo.fns[number].fn for number, name in registered(demo).items()}
    handlers["classify.panel._wire_picture.answer"](None, False, True, None, "en", request)
    handlers["compare.norm_effect_panel.NormEffectPanel.wire.update"](request, "batch", None, 1, 1, "stem", "use", 0, "en")
    handlers["compare.same_picture.build.view"](None, None, None, "en", request)
    classify_panel._live_handler(context)({}, request)
    assert seen == [("at 192.0.2.7", "192.0.2.7")] * 4
    assert Access().quota_keys(request) == (None, None) and Access("a-token-of-the-owner").quota_keys(None) == ("at ", None)
