"""What is used of Gradio beyond its documentation is there, and takes what it is given. Written for Gradio 6.31."""

from __future__ import annotations

import asyncio
import inspect
import os
import re
from pathlib import Path
from types import SimpleNamespace

import gradio as gr
import numpy as np
import pytest
from gradio import blocks, route_utils, routes
from starlette.datastructures import Headers

from fruitvision.ui import gradio_internals as internals
from fruitvision.ui.page.client.gradio_translation import RAW
from fruitvision.wording.text import sentences

OF_QUEUE = {
    "push": ["self", "body", "request", "username"],
    "get_events": ["self"],
    "send_message": ["self", "event", "event_message"],
    "start_processing": ["self"],
    "process_events": ["self", "events"],
    "compute_analytics_summary": ["self", ...],
}
OF_OTHERS = {
    (internals.StateHolder, "__getitem__"): ["self", "session_id"],
    (internals.StateHolder, "set_blocks"): ["self", "blocks"],
    (internals.StateHolder, "update"): ["self", "session_id"],
    (internals.SessionState, "__init__"): ["self", "blocks"],
    (internals.SessionState, "_update_config"): ["self", "key"],
    (internals.SessionState, "_update_value_in_config"): ["self", "key", "value"],
    (gr.Blocks, "preprocess_data"): ["self", "block_fn", "inputs", "state", "explicit_call"],
    (gr.Blocks, "process_api"): None,
}


def arguments(function) -> list[str]:
    return list(inspect.signature(function).parameters)


@pytest.mark.parametrize("name", OF_QUEUE)
def test_the_queue_is_called_as_it_was(name):
    expected, found = OF_QUEUE[name], arguments(getattr(internals.Queue, name))
    if name == "process_events":  # whatever else it takes is handed on
        found = found[: len(expected)]
    assert len(found) == len(expected)
    assert all(theirs == ours or ours is ... for theirs, ours in zip(found, expected, strict=True))


@pytest.mark.parametrize(("owner", "name"), OF_OTHERS)
def test_sessions_and_blocks_are_called_as_they_were(owner, name):
    expected = OF_OTHERS[owner, name]
    assert expected is None or arguments(getattr(owner, name))[: len(expected)] == expected


def test_a_queue_keeps_what_it_kept():
    async def built():
        with gr.Blocks() as demo:
            gr.Button().click(lambda: None)
        demo.queue()
        return internals.queue_of(demo)

    kept = set(vars(asyncio.run(built())))
    used = {"pending_messages_per_session", "pending_event_ids_session", "event_ids_to_events", "event_queue_per_concurrency_id"}
    assert used | {"active_jobs", "stopped", "max_size"} <= kept


def test_progress_of_uploads_and_tunnels_are_where_they_were():
    internals.forget_upload("nobody-s")
    internals.close_tunnels()
    assert arguments(internals.networking.setup_tunnel)[:3] == ["local_host", "local_port", "share_token"]
    assert isinstance(internals.get_upload_folder(), str)


def test_files_are_laid_where_they_are_looked_for_and_listed_once(tmp_path, monkeypatch):
    async def built():  # outside, Gradio opens an event loop for its locks, and leaves it open
        with gr.Blocks() as demo:
            return demo, gr.Image(), gr.DownloadButton()

    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "laid"))
    (tmp_path / "study.csv").write_text("a,b", encoding="utf-8")
    demo, picture, file = asyncio.run(built())
    assert internals.blocks_of(SimpleNamespace(get_blocks=lambda: demo)) is demo and arguments(routes.App.get_blocks) == ["self"]
    internals.share_file_list(internals.files_of(demo), picture, file)
    shown = picture.postprocess(np.zeros((4, 4, 3), np.uint8)).path
    copied = file.move_resource_to_block_cache(tmp_path / "study.csv")
    assert {os.path.realpath(path) for path in internals.gradio_files_in(tmp_path / "laid")} == {*map(os.path.realpath, (shown, copied))}
    picture.move_resource_to_block_cache(shown)
    assert {os.path.realpath(path) for path in internals.files_of(demo)} == {*map(os.path.realpath, (shown, copied))}
    source = inspect.getsource(routes) + inspect.getsource(blocks)
    assert set(re.findall(r"(?<!\w)(?:temp_files|upload_file_set)\.\w+", source)) == {"temp_files.add", "upload_file_set.update"}


def test_an_upload_that_has_not_come_whole_lies_where_it_is_looked_for(tmp_path):
    async def pieces():
        yield b'--limit\r\nContent-Disposition: form-data; name="files"; filename="x.jpg"\r\n\r\nhalf a picture'
        raise ConnectionError

    headers = Headers({"content-type": "multipart/form-data; boundary=limit"})
    parser = route_utils.GradioMultiPartParser(headers, pieces(), upload_dir=tmp_path, max_file_size=1000)
    with pytest.raises(ConnectionError):
        asyncio.run(parser.parse())
    for file in parser._files_to_close_on_error:
        file.close()
    assert [Path(path).read_bytes()[:4] for path in internals.gradio_files_in(tmp_path)] == [b"half"]


def test_a_call_without_a_session_takes_its_state_from_one_name(monkeypatch):
    assert "SessionState(app.get_blocks())" in inspect.getsource(route_utils.restore_session_state)
    monkeypatch.setattr(route_utils, "SessionState", route_utils.SessionState)  # put back at the end
    internals.replace_session_state(dict)
    assert route_utils.SessionState is dict


def test_uvicorn_is_configured_through_one_name():
    source = inspect.getsource(internals.http_server)
    assert "uvicorn.Config(" in source and source.count("uvicorn.Config(") == 1
    with internals.uvicorn_config_replaced(dict):
        assert internals.http_server.uvicorn.Config(a=1) == {"a": 1}


def test_the_words_that_are_translated_for_gradio_are_gradios():
    scripts = (Path(gr.__file__).parent / "templates" / "frontend" / "assets").glob("*.js")
    said = "".join(path.read_text(encoding="utf-8", errors="replace") for path in scripts if path.stat().st_size < 400_000)
    known = {key.removeprefix("gradio."): words["en"] for key, words in sentences().items() if key.startswith("gradio.")}
    assert {key: word for key, word in known.items() if not quoted(word, said)} == {}
    assert [raw for raw, key in RAW.items() if raw not in said or key not in known] == []
    assert quoted("Copy", "{copy:`Copy`}") and quoted("Copy", "<p>Copy</p>") and not quoted("Copy", "this.Copy=Copying(Copy)")
    assert quoted("at {n} of", "`at ${t} of`") and not quoted("at {n} of", "look at ")


def quoted(word: str, script: str) -> bool:
    """Whether a script says these words: as a text of their own, or as the beginning of one up to its first fact."""
    first, *facts = re.split(r"{\w+}", word)
    end = r"\$\{|[\"'`]" if facts else r"\s*[\"'`<]"
    return re.search(rf"[\"'`>]\s*{re.escape(first)}(?:{end})", script) is not None
