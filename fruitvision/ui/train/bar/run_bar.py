"""The bar above the panels with the progress, or the result, of the training. Its script is ``run_bar.js``."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import gradio as gr

from fruitvision.runs.folder import RunFolder, RunStatus, list_runs
from fruitvision.ui.page.client.handlers import Payload, scripted_component, text
from fruitvision.ui.page.context import Context, Page
from fruitvision.ui.page.elements import time_left
from fruitvision.ui.page.events import UNQUEUED
from fruitvision.wording.text import SPACE, say

MAX_NAME_LENGTH = 60
"""Longer names of runs are truncated in the bar."""
NEWS_SECONDS = 3600.0
"""For so long after its end a run's result is shown to a page that has not seen it."""


def build_bar(context: Context) -> gr.HTML:
    """Build the bar. Its script hides it while there is nothing to show, and from visitors. Its click event carries the run's id."""
    template, words = "ui/train/bar/run_bar.html", ("lead", "away", "show")
    return scripted_component(context, template, words, (run_state,), elem_id="run-bar", prefix="train.bar")


def wire_bar(page: Page, run: gr.State) -> None:
    """Let a click display the bar's run; its script opens the panel. ``run``: the id of the displayed run."""

    def show_run(event: gr.EventData, request: gr.Request) -> Any:
        owner = page.context.access.is_owner(request)
        return visible_run(page.context, getattr(event, "run", None), owner=owner) or gr.skip()

    page.bar.click(show_run, None, run, **UNQUEUED)


def visible_runs(context: Context, *, owner: bool) -> list[RunFolder]:
    """The runs, newest first; for a visitor, the finished ones."""
    return [run for run in list_runs(context.runs) if owner or run.status().state == "finished"]


def visible_run(context: Context, run_id: Any, *, owner: bool) -> str | None:
    """The id if the caller may see such a run. Clients may send any value, of up to 13 MB, and the session's state would keep it."""
    return next((run.id for run in visible_runs(context, owner=owner) if run.id == run_id), None)


def run_state(context: Context, payload: Payload, language: str) -> dict[str, Any]:
    """The active run as {"run": id, "words", "left", "share": 0..1}; otherwise the result of the run whose id the page sends as "after".

    Without that, the result of the run that finished last, unless the one that the page sends as "seen" ended later, or it is long ago.
    """
    known = {run: run.status() for run in list_runs(context.runs)}  # every page asks each second: their files are looked at once
    run = next((one for one, status in known.items() if status.active), None)
    if run is None:
        return _ended(known, text(payload, "after") or _news(known, text(payload, "seen")), language)
    status, stopping = known[run], run.stop_file.exists()
    epochs = status.epochs or run.config().training.epochs
    state = "unresponsive" if not status.responding else "stopping" if stopping else status.state
    facts = {"name": run.name[:MAX_NAME_LENGTH], "epoch": max(status.epoch, 1), "epochs": epochs}
    left = ""
    if state == "running" and status.eta_s is not None:
        left = SPACE[language] + time_left(status.eta_s, language)
    return {"run": run.id, "words": say(f"train.bar_{state}", language, **facts), "left": left, "share": status.progress(epochs)}


def _news(known: Mapping[RunFolder, RunStatus], seen: str) -> str:
    """The id of the run that finished last, if that was after the end of ``seen`` and within ``NEWS_SECONDS``; otherwise empty."""
    since = max([time.time() - NEWS_SECONDS, *(status.heartbeat for run, status in known.items() if run.id == seen)])
    ended = [(status.heartbeat, run.id) for run, status in known.items() if status.state == "finished" and status.heartbeat > since]
    return max(ended, default=(0.0, ""))[1]


def _ended(known: Mapping[RunFolder, RunStatus], run_id: str, language: str) -> dict[str, Any]:
    """The result of a run as {"ended": id, "state", "words"}; empty if it does not exist, or is active."""
    run = next((one for one in known if one.id == run_id), None)
    if run is None or (status := known[run]).active:
        return {}
    tested, validated = run.summary(status).test_top1, status.best_val_accuracy
    measured = validated if tested is None else tested
    has_accuracy = status.state == "finished" and measured is not None
    facts = {"name": run.name[:MAX_NAME_LENGTH], "accuracy": f"{measured:.1%}" if has_accuracy else ""}
    return {
        "ended": run.id,
        "state": status.state,
        "words": say(f"train.bar_{status.state}{'_at' if has_accuracy else ''}", language, **facts),
    }
