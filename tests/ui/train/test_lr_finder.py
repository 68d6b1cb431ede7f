"""The panel's learning-rate test: tried in the background, drawn, taken over; one thing at a time."""

from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace
from unittest.mock import MagicMock

import gradio as gr
import pytest

from fruitvision.errors import RunError
from fruitvision.runs.lock import hold_lock
from fruitvision.training.config import TrainConfig
from fruitvision.training.lr_find import RangeTest
from fruitvision.ui.server.access import COOKIE, Access
from fruitvision.ui.train import lr_finder
from fruitvision.ui.train.lr_finder import LrFinder, LrFinderPanel, lr_finder_card, lr_finder_updates, wire_lr_finder
from fruitvision.wording.text import say

TINY = TrainConfig.from_preset("fast", start="scratch", width=8, image_size=32, first_image_size=0, eval_resize=32, batch_size=8)


def wait(search: LrFinder) -> LrFinder:
    search.task.join(60)
    assert not search.busy
    return search


def again(search: LrFinder, runs, data) -> None:
    """Another one, while the first takes its steps."""
    while search.busy and not search.task.done:
        time.sleep(0.001)
    LrFinder().begin(runs, data, TINY)


def test_it_is_drawn_and_suggested_and_lets_go_of_the_folder(tmp_path, sample_set, monkeypatch):
    monkeypatch.setattr(lr_finder, "STEPS", 40)
    search = LrFinder()
    assert lr_finder_card(search, "en") == ""
    search.begin(tmp_path / "runs", sample_set, TINY)
    wait(search)
    for language in ("en", "zh"):
        card = lr_finder_card(search, language)
        assert f"<strong>{search.task.result.suggested:g}</strong>" in card and "<svg" in card and "1e-06" in card
        assert say("train.rate_suggested", language) in card
    shown = lr_finder_updates(search, "en", owner=True)
    assert shown["take"]["visible"] and f"{search.task.result.suggested:g}" in shown["take"]["value"]
    assert shown["begin"]["value"] == say("train.rate_begin", "en")
    assert not shown["timer"].active and lr_finder_updates(search, "en", owner=False)["card"] == ""
    with hold_lock(tmp_path / "runs" / "next", "next"):
        pass  # it let go of the runs folder


def test_a_visitor_does_not_take_the_rate_that_the_owner_found():
    search = LrFinder()
    search.task = SimpleNamespace(result=RangeTest((1e-6,), (3.0,), 0.0123), busy=False)
    request = {name: SimpleNamespace(headers={"cookie": f"{COOKIE}={name}"}) for name in ("token", "x")}

    async def built() -> gr.Blocks:  # outside, Gradio opens an event loop, and leaves it open
        with gr.Blocks() as demo:
            page = MagicMock(context=SimpleNamespace(access=Access("token"), language="en"), demo=demo, language=gr.Radio(["en"]))
            page.bind = lambda component, **words: component
            wire_lr_finder(page, search, LrFinderPanel(page), [], gr.Number())
        return demo

    take = next(one.fn for one in asyncio.run(built()).fns.values() if one.fn and one.fn.__name__ == "take")
    assert take(request["token"]) == 0.0123 and take(request["x"]) == gr.skip()


def test_nothing_else_trains_meanwhile_and_it_stops_when_asked(tmp_path, sample_set, monkeypatch):
    monkeypatch.setattr(lr_finder, "STEPS", 2000)
    search = LrFinder()
    search.begin(tmp_path / "runs", sample_set, TINY)
    with pytest.raises(RunError, match="lr-find"):
        again(search, tmp_path / "runs", sample_set)
    assert "step" in lr_finder_card(search, "en") and lr_finder_updates(search, "en", owner=True)["timer"].active
    search.task.stop()
    wait(search)
    assert search.task.result is None and search.task.error is None and lr_finder_card(search, "en") == ""


def test_what_goes_wrong_is_a_sentence(tmp_path, monkeypatch):
    search = LrFinder()
    search.begin(tmp_path / "runs", tmp_path / "gone", TINY)
    assert wait(search).task.error["code"] == "data-missing" and 'role="alert"' in lr_finder_card(search, "zh")
    monkeypatch.setattr(lr_finder, "call_in_subprocess", lambda *given, **how: 1 / 0)
    search.begin(tmp_path / "runs", tmp_path / "gone", TINY)
    assert "ZeroDivisionError" in lr_finder_card(wait(search), "en")


def test_a_curve_that_breaks_at_its_end_still_shows_its_valley():
    rates = tuple(1e-6 * 10 ** (n / 10) for n in range(50))
    losses = tuple([3.0 - n / 20 for n in range(40)] + [10.0**n for n in range(10)])
    drawn = lr_finder.lr_finder_chart(RangeTest(rates, losses, 1e-3), "en")
    assert drawn.count('class="fv-curve"') == 2 and "0.001" in drawn
