"""The bar above the panels: how a training ended, and what a click on it may name."""

from __future__ import annotations

import time
from types import SimpleNamespace

import gradio as gr
import pytest

from fruitvision.runs.config import RunConfig
from fruitvision.runs.folder import RunFolder, list_runs, new_run
from fruitvision.runs.status import RunStatus
from fruitvision.training.config import TrainConfig
from fruitvision.ui.page.context import Context
from fruitvision.ui.page.models import Models
from fruitvision.ui.server.access import COOKIE, Access
from fruitvision.ui.train.bar import run_bar
from fruitvision.ui.train.bar.run_bar import NEWS_SECONDS, run_state, wire_bar


@pytest.fixture
def context(tmp_path) -> Context:
    runs = tmp_path / "runs"
    return Context(runs=runs, taught=tmp_path, access=Access("token"), models=Models(runs), data=tmp_path / "data")


def make_run(context: Context, name: str, state: str, **status) -> RunFolder:
    run = new_run(context.runs, RunConfig(name=name, data="pictures", training=TrainConfig.from_preset("fast")))
    run.write_status(RunStatus(state=state, epochs=3, epoch=3, best_val_accuracy=0.5, **status))
    return run


@pytest.mark.parametrize(
    ("state", "words"),
    [("finished", "tried has finished: accuracy 81.2%."), ("stopped", "tried was stopped."), ("failed", "tried ended with an error.")],
)
def test_the_bar_says_how_the_run_ended_that_a_page_saw_going_on(context, state, words):
    run = make_run(context, "tried", state)
    if state == "finished":
        run.append({"kind": "test", "top1": 0.8123, "images": 10})
    assert run_state(context, {"after": run.id}, "en") == {"ended": run.id, "state": state, "words": words}
    assert run_state(context, {"after": run.id + "x"}, "en") == run_state(context, {"after": 3}, "en") == {}
    assert "tried" in run_state(context, {"after": run.id}, "zh")["words"]


def test_the_runs_are_listed_once_each_time_that_a_page_asks(context, monkeypatch):
    """Every page asks each second, beside hundreds of runs."""
    make_run(context, "tried", "finished", heartbeat=time.time())
    listed = []
    monkeypatch.setattr(run_bar, "list_runs", lambda root: listed.append(root) or list_runs(root))
    assert run_state(context, {}, "en")["state"] == "finished" and len(listed) == 1


def test_a_run_that_finished_within_the_last_hour_is_news_to_a_page_that_has_not_seen_it(context):
    old = make_run(context, "old", "finished", heartbeat=time.time() - NEWS_SECONDS - 5)
    assert run_state(context, {}, "en") == {}
    stopped = make_run(context, "stopped", "stopped", heartbeat=time.time())
    run = make_run(context, "tried", "finished", heartbeat=time.time() - 60)
    assert run_state(context, {}, "en") == run_state(context, {"seen": old.id}, "en") == run_state(context, {"after": run.id}, "en")
    assert run_state(context, {}, "en") == {"ended": run.id, "state": "finished", "words": "tried has finished: accuracy 50.0%."}
    assert run_state(context, {"seen": run.id}, "en") == {}
    assert run_state(context, {"seen": stopped.id}, "en") == {}, "a later one was seen"
    assert run_state(context, {"seen": run.id, "after": run.id}, "en")["ended"] == run.id, "it was resumed, and has ended again"


def test_the_bar_brings_runs_into_view_and_keeps_nothing_else_that_is_sent(context):
    """A visitor's program may send anything in the place of a run: it stayed in the memory of his page, for each page that he named."""
    run = make_run(context, "one", "finished")
    (context.runs.parent / "beside").mkdir()
    clicked = []
    bar = SimpleNamespace(click=lambda handler, *rest, **named: clicked.append(handler))
    wire_bar(SimpleNamespace(context=context, bar=bar), None)
    for sent in (run.id, "../beside", "x" * 10_000, {"id": run.id}, [run.id], 1, "", None):
        assert clicked[0](gr.EventData(None, {"run": sent}), None) == (run.id if sent == run.id else gr.skip()), sent


def test_the_bar_brings_into_a_visitors_view_what_has_finished(context):
    stopped, clicked = make_run(context, "secret", "stopped"), []
    wire_bar(SimpleNamespace(context=context, bar=SimpleNamespace(click=lambda handler, *rest, **named: clicked.append(handler))), None)
    for token, shown in (("token", stopped.id), ("x", gr.skip())):
        request = SimpleNamespace(headers={"cookie": f"{COOKIE}={token}"})
        assert clicked[0](gr.EventData(None, {"run": stopped.id}), request) == shown
